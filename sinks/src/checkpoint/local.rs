//! Files on a disk of this machine, with the same bytes as objects of a checkpoint: what is in them is read here.
//!
//! They are never the only ones of their kind: a start fetches what is missing or damaged.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datasets::cold::ReadAt;

use crate::SinkError;

/// The folder of one pipeline, which one process uses at a time: each removes what it does not know.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    folder: PathBuf,
    /// Locked for as long as the process lives.
    _lock: Arc<File>,
}

/// Opened for each read: there are thousands of files, and reads are rare.
#[derive(Debug)]
struct LocalFile(PathBuf);

impl ReadAt for LocalFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        File::open(&self.0)?.read_exact_at(buffer, offset)
    }

    fn place(&self) -> String {
        self.0.display().to_string()
    }
}

/// The name of a file while it is written.
const UNFINISHED: &str = "unfinished";

impl Local {
    /// Makes the folder, if it is not there.
    ///
    /// # Errors
    /// Also where another process uses it.
    pub(crate) fn open(folder: &Path) -> Result<Self, SinkError> {
        std::fs::create_dir_all(folder).map_err(|error| rejected(folder, error))?;
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(|error| rejected(&path, error))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => rejected(&path, error),
            TryLockError::WouldBlock => SinkError::Conflict(format!(
                "checkpoint.cold_folder: {} is used by another process: wait for its end, or name another folder",
                folder.display()
            )),
        })?;
        Ok(Local { folder: folder.to_owned(), _lock: Arc::new(lock) })
    }

    /// A file of `name`, an object's name, with these bytes; another one of this name is replaced.
    pub(crate) fn keep(&self, name: &str, bytes: &[u8]) -> Result<Arc<dyn ReadAt>, SinkError> {
        let path = self.path(name);
        let write = || {
            let unfinished = self.folder.join(UNFINISHED);
            let mut file = File::create(&unfinished)?;
            file.write_all(bytes)?;
            // A file that has its name has its bytes, whenever the machine stops.
            file.sync_all()?;
            std::fs::rename(&unfinished, &path)
        };
        write().map_err(|error| rejected(&path, error))?;
        Ok(Arc::new(LocalFile(path)))
    }

    /// The file of this name, if it is there and has this length.
    pub(crate) fn find(&self, name: &str, len: u64) -> Option<Arc<dyn ReadAt>> {
        let path = self.path(name);
        let is_whole = path.metadata().is_ok_and(|metadata| metadata.len() == len);
        is_whole.then(|| -> Arc<dyn ReadAt> { Arc::new(LocalFile(path)) })
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
        let local = Local::open(&folder.path().join("a/b")).unwrap();
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
        let local = Local::open(folder.path()).unwrap();
        let error = Local::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains("is used by another process"), "{error}");
        drop(local);
        Local::open(folder.path()).unwrap();
    }

    #[test]
    fn what_cannot_be_written_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(folder.path()).unwrap();
        // A folder where the file is to be.
        std::fs::create_dir_all(folder.path().join("cold-1-run/in-the-way")).unwrap();
        let error = local.keep("cold/1-run", b"abc").err().unwrap();
        assert!(crate::chain(&error).contains("cold-1-run"), "{error}");
    }
}
