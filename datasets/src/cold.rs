//! Records of an operator that are rarely needed: encoded once, never changed, and mostly not in memory.
//!
//! Whoever makes a [`ColdRun`] has its bytes in memory. Whoever keeps checkpoints puts them into a file and says so by
//! [`ColdBytes::move_to`]; readers do not notice.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::Timestamp;

/// A file that is read at any place, by any thread.
pub trait ReadAt: Send + Sync + fmt::Debug {
    /// Fills `buffer` with what begins at `offset`.
    ///
    /// # Errors
    /// What the file system says; an end before the buffer is full is one too.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Where it is, for people.
    fn place(&self) -> String;

    /// It does not hold what was written: nobody is to read it again.
    fn set_aside(&self);
}

/// Bytes that do not change, wherever they are.
#[derive(Debug)]
pub struct ColdBytes {
    place: Mutex<Place>,
    len: usize,
}

#[derive(Clone, Debug)]
enum Place {
    Memory(Arc<[u8]>),
    File { file: Arc<dyn ReadAt>, offset: u64 },
}

impl ColdBytes {
    /// Bytes in memory.
    pub fn new(bytes: Vec<u8>) -> Self {
        ColdBytes { len: bytes.len(), place: Mutex::new(Place::Memory(bytes.into())) }
    }

    /// `len` bytes of `file`, from `offset` on.
    pub fn of_file(file: Arc<dyn ReadAt>, offset: u64, len: usize) -> Self {
        ColdBytes { len, place: Mutex::new(Place::File { file, offset }) }
    }

    /// How many they are.
    #[expect(clippy::len_without_is_empty, reason = "nobody keeps none")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The same bytes are in `file` from now on, from `offset` on: the memory is given back.
    pub fn move_to(&self, file: Arc<dyn ReadAt>, offset: u64) {
        *self.lock() = Place::File { file, offset };
    }

    /// Some of them.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(&self, range: Range<usize>) -> io::Result<Vec<u8>> {
        let place = self.lock().clone();
        let beyond = || io::Error::new(io::ErrorKind::UnexpectedEof, "fewer bytes than expected");
        if range.end > self.len || range.start > range.end {
            return Err(beyond());
        }
        match place {
            Place::Memory(bytes) => bytes.get(range).map(<[u8]>::to_vec).ok_or_else(beyond),
            Place::File { file, offset } => {
                let mut buffer = vec![0; range.len()];
                let start = u64::try_from(range.start).expect("a length fits in 64 bits");
                file.read_at(&mut buffer, offset + start)?;
                Ok(buffer)
            }
        }
    }

    /// They are not those that were written: a file is not to be read again.
    pub fn set_aside(&self) {
        if let Place::File { file, .. } = &*self.lock() {
            file.set_aside();
        }
    }

    /// They take memory.
    pub fn is_in_memory(&self) -> bool {
        matches!(*self.lock(), Place::Memory(_))
    }

    /// Where they are, for people.
    pub fn place(&self) -> String {
        match &*self.lock() {
            Place::Memory(_) => "memory".to_owned(),
            Place::File { file, .. } => file.place(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().expect("no panic while it is locked")
    }
}

/// Key groups forget one behind the other, within so many microseconds.
pub const SPREAD: i64 = 3_600_000_000;

/// Records that went cold together.
#[derive(Clone, Debug)]
pub struct ColdRun {
    /// All of it, as the operator encoded it.
    pub bytes: Arc<ColdBytes>,
    /// So many bytes at its beginning are read at a start; the rest when it is needed.
    pub head: usize,
    /// Nothing of it is needed once the clock and the ingest times have come this far, and [`SPREAD`] further. None: it always is.
    pub until: Option<Timestamp>,
}

/// What is needed `until` then still is when the clock and the ingest times have come as far as `oldest`.
pub fn is_needed(until: Option<Timestamp>, oldest: Timestamp) -> bool {
    until.is_none_or(|until| oldest < until.plus_micros(SPREAD))
}

impl PartialEq for ColdRun {
    fn eq(&self, other: &Self) -> bool {
        let of = |run: &ColdRun| run.bytes.read(0..run.bytes.len()).ok();
        let is_same = Arc::ptr_eq(&self.bytes, &other.bytes) || (of(self).is_some() && of(self) == of(other));
        is_same && (self.head, self.until) == (other.head, other.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Behind(Vec<u8>);

    impl ReadAt for Behind {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            let start = usize::try_from(offset).unwrap();
            let found = self.0.get(start..start + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            buffer.copy_from_slice(found);
            Ok(())
        }

        fn place(&self) -> String {
            "behind".to_owned()
        }

        fn set_aside(&self) {}
    }

    #[test]
    fn readers_do_not_notice_where_bytes_are() {
        let bytes = ColdBytes::new(b"abcdef".to_vec());
        assert_eq!(bytes.read(1..3).unwrap(), b"bc");
        assert!(bytes.is_in_memory());
        bytes.move_to(Arc::new(Behind(b"--abcdef".to_vec())), 2);
        assert!(!bytes.is_in_memory());
        assert_eq!(bytes.read(1..3).unwrap(), b"bc");
        assert_eq!(bytes.read(0..6).unwrap(), b"abcdef");
        assert!(bytes.read(3..7).is_err());
        bytes.move_to(Arc::new(Behind(b"ab".to_vec())), 0);
        assert!(bytes.read(0..6).is_err(), "a file that ends too soon");
    }
}
