//! Files on a disk of this machine, with the same bytes as objects of a checkpoint: what is in them is read here.
//!
//! They are never the only ones of their kind: a start fetches what is missing or damaged.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datasets::cold::ReadAt;

use crate::SinkError;

/// The folder of one pipeline, which one process uses at a time: each removes what it does not know.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    folder: PathBuf,
    lock: Arc<File>,
}

/// Opened for each read: there are thousands of files, and reads are rare.
#[derive(Debug)]
struct LocalFile {
    path: PathBuf,
    /// The folder stays locked for as long as anybody may read in it.
    _lock: Arc<File>,
}

impl ReadAt for LocalFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        File::open(&self.path)?.read_exact_at(buffer, offset)
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }

    /// Under another name, which no start looks for.
    fn set_aside(&self) {
        let name = self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let aside = self.path.with_file_name(format!("{DAMAGED}{name}"));
        if let Err(error) = std::fs::rename(&self.path, &aside) {
            tracing::warn!(file = self.place(), %error, "it cannot be renamed");
        }
    }
}

/// The name of a file while it is written.
const UNFINISHED: &str = "unfinished";

/// Goes before the name of a file that does not hold what was written.
const DAMAGED: &str = "damaged-";

/// How often to look whether another process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Local {
    /// Makes the folder, if it is not there. Waits until nobody else uses it: whoever starts has taken the pipeline over,
    /// and the one before ends when it notices.
    ///
    /// # Errors
    /// Also where another process still uses it after `patience`.
    pub(crate) fn open(folder: &Path, patience: Duration) -> Result<Self, SinkError> {
        std::fs::create_dir_all(folder).map_err(|error| rejected(folder, error))?;
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(|error| rejected(&path, error))?;
        let began = Instant::now();
        let mut is_told = false;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Local { folder: folder.to_owned(), lock: Arc::new(lock) }),
                Err(TryLockError::Error(error)) => return Err(rejected(&path, error)),
                Err(TryLockError::WouldBlock) if began.elapsed() >= patience => {
                    return Err(SinkError::Conflict(format!(
                        "checkpoint.cold_folder: {} is used by another process: wait for its end, or name another folder",
                        folder.display()
                    )));
                }
                Err(TryLockError::WouldBlock) => {
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::warn!(folder = %folder.display(), "another process uses it: waiting for its end");
                    }
                    std::thread::sleep(LOOK_EVERY);
                }
            }
        }
    }

    /// A file of `name`, an object's name, with these bytes; another one of this name is replaced.
    pub(crate) fn keep(&self, name: &str, bytes: &[u8]) -> Result<Arc<dyn ReadAt>, SinkError> {
        let path = self.path(name);
        let unfinished = self.folder.join(UNFINISHED);
        let write = || {
            let mut file = File::create(&unfinished)?;
            file.write_all(bytes)?;
            // A file that has its name has its bytes, whenever the machine stops.
            file.sync_all()?;
            std::fs::rename(&unfinished, &path)
        };
        write().map_err(|error| {
            // What there is of it takes room that is missing. If it stays, the next file replaces it.
            let _ = std::fs::remove_file(&unfinished);
            rejected(&path, error)
        })?;
        Ok(self.file(path))
    }

    /// The file of this name, if it is there and has this length.
    pub(crate) fn find(&self, name: &str, len: u64) -> Option<Arc<dyn ReadAt>> {
        let path = self.path(name);
        let is_whole = path.metadata().is_ok_and(|metadata| metadata.len() == len);
        is_whole.then(|| self.file(path))
    }

    /// Removes what was kept and is not `needed`.
    pub(crate) fn retain(&self, needed: impl Fn(&str) -> bool) {
        let files = std::fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok);
        for file in files {
            let file_name = file.file_name();
            let name = file_name.to_str().and_then(|name| name.strip_prefix(PREFIX)).map(|name| format!("cold/{name}"));
            if let Some(name) = name.filter(|name| !needed(name))
                && let Err(error) = std::fs::remove_file(file.path())
            {
                tracing::warn!(name, %error, "a file that nobody needs stays for now: it cannot be removed");
            }
        }
    }

    fn file(&self, path: PathBuf) -> Arc<dyn ReadAt> {
        Arc::new(LocalFile { path, _lock: self.lock.clone() })
    }

    fn path(&self, name: &str) -> PathBuf {
        let name = name.strip_prefix("cold/").unwrap_or(name);
        self.folder.join(format!("{PREFIX}{name}"))
    }
}

/// Tells what was kept from other files.
const PREFIX: &str = "cold-";

fn rejected(path: &Path, error: io::Error) -> SinkError {
    SinkError::Rejected(format!("checkpoint.cold_folder: writing {}", path.display()), error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_finds_and_removes() {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(&folder.path().join("a/b"), Duration::ZERO).unwrap();
        let file = local.keep("cold/7-run", b"abcdef").unwrap();
        let mut bytes = [0; 3];
        file.read_at(&mut bytes, 2).unwrap();
        assert_eq!(&bytes, b"cde");
        assert!(file.read_at(&mut bytes, 4).is_err(), "it ends before");
        assert!(local.find("cold/7-run", 6).is_some());
        assert!(local.find("cold/7-run", 5).is_none(), "another length");
        assert!(local.find("cold/8-run", 6).is_none());
        std::fs::write(folder.path().join("a/b/other"), "of somebody else").unwrap();
        local.retain(|name| name == "cold/7-run");
        assert!(local.find("cold/7-run", 6).is_some());
        local.retain(|_| false);
        assert!(local.find("cold/7-run", 6).is_none());
        assert!(folder.path().join("a/b/other").exists());
    }

    #[test]
    fn one_process_uses_it_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(folder.path(), Duration::ZERO).unwrap();
        let file = local.keep("cold/7-run", b"abcdef").unwrap();
        let error = || Local::open(folder.path(), Duration::from_millis(1)).err().map(|error| error.to_string());
        assert!(error().unwrap().contains("is used by another process"));
        drop(local);
        assert!(error().is_some(), "somebody still reads in it");
        // Who starts while another one ends goes on behind it.
        std::thread::scope(|scope| {
            let next = scope.spawn(|| Local::open(folder.path(), Duration::from_secs(60)));
            drop(file);
            assert!(next.join().unwrap().is_ok());
        });
    }

    #[test]
    fn what_cannot_be_written_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(folder.path(), Duration::ZERO).unwrap();
        // A folder where the file is to be.
        std::fs::create_dir_all(folder.path().join("cold-1-run/in-the-way")).unwrap();
        let error = local.keep("cold/1-run", b"abc").err().unwrap();
        assert!(crate::chain(&error).contains("cold-1-run"), "{error}");
        assert!(!folder.path().join(UNFINISHED).exists(), "it takes no room");
    }

    #[test]
    fn a_full_disk_is_an_error_until_it_has_room() {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(folder.path(), Duration::ZERO).unwrap();
        std::os::unix::fs::symlink("/dev/full", folder.path().join(UNFINISHED)).unwrap();
        let error = local.keep("cold/1-run", b"abc").err().unwrap();
        assert!(crate::chain(&error).contains("No space left on device"), "{error}");
        assert!(local.find("cold/1-run", 3).is_none());
        assert!(local.keep("cold/1-run", b"abc").is_ok());
    }

    #[test]
    fn what_is_set_aside_is_not_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(folder.path(), Duration::ZERO).unwrap();
        local.keep("cold/1-run", b"abc").unwrap().set_aside();
        assert!(local.find("cold/1-run", 3).is_none());
        local.retain(|_| false);
        assert_eq!(std::fs::read(folder.path().join("damaged-cold-1-run")).unwrap(), b"abc", "somebody may look at it");
    }
}
