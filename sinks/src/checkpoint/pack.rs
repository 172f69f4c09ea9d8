//! A pack: what went cold in one round, in one object; what is needed forever in another one than what is not.
//!
//! ```text
//! magic, runs behind each other, index: postcard, its length: u64 LE, its hash: u64 LE, magic
//! ```
//! The heads of runs are read at every start, so their hashes are in the index; the rest of a run has hashes of its own.

use std::sync::Arc;

use datasets::Timestamp;
use datasets::cold::{ColdBytes, ColdRun, ReadAt};
use datasets::state::{Part, Section};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 8] = b"QLPACK\0\x01";
/// Behind the index.
const TAIL: usize = 24;

/// A pack that is to be put.
pub(super) struct Pack {
    pub bytes: Vec<u8>,
    /// Nobody needs it any more then. None: somebody always does.
    pub until: Option<Timestamp>,
    /// Its runs, and where they are in it.
    pub runs: Vec<(Arc<ColdBytes>, u64)>,
}

/// Why a pack cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error("no pack of cold state: {0}")]
    Malformed(&'static str),
    #[error("its index cannot be decoded")]
    Index(#[source] postcard::Error),
    #[error("{what} at byte {offset} is damaged: its checksum differs")]
    Damaged { what: &'static str, offset: usize },
    #[error("it cannot be read")]
    Unreadable(#[source] std::io::Error),
}

#[derive(Serialize, Deserialize)]
struct Entry {
    part: usize,
    offset: usize,
    len: usize,
    head: usize,
    head_hash: u64,
    /// Of the whole run: for those that are fetched.
    hash: u64,
    /// At the end of time for those that are always needed.
    until: Timestamp,
}

impl Pack {
    /// What went cold with `sections`, if anything did, and is needed for a time; and what is needed forever.
    pub fn both(sections: &[Section]) -> std::io::Result<[Option<Self>; 2]> {
        Ok([Self::of(sections, |until| until.is_some())?, Self::of(sections, |until| until.is_none())?])
    }

    /// What went cold with `sections` and is needed until a time that is `wanted`, if anything is.
    fn of(sections: &[Section], wanted: impl Fn(Option<Timestamp>) -> bool) -> std::io::Result<Option<Self>> {
        let (mut bytes, mut index, mut runs) = (MAGIC.to_vec(), Vec::new(), Vec::new());
        let mut last = None;
        for Section { part, cold, .. } in sections {
            let Some(cold) = cold.as_ref().filter(|cold| wanted(cold.until)) else { continue };
            let run = cold.bytes.read(0..cold.bytes.len())?;
            let (offset, len, head) = (bytes.len(), run.len(), cold.head);
            let (head_hash, hash) = (xxh3_64(&run[..head]), xxh3_64(&run));
            let until = cold.until.unwrap_or(Timestamp::MAX);
            index.push(Entry { part: part.index(), offset, len, head, head_hash, hash, until });
            bytes.extend_from_slice(&run);
            last = last.max(cold.until);
            runs.push((cold.bytes.clone(), length(offset)));
        }
        if index.is_empty() {
            return Ok(None);
        }
        let encoded = postcard::to_allocvec(&index).expect("an index has only types that postcard writes");
        bytes.extend_from_slice(&encoded);
        bytes.extend_from_slice(&length(encoded.len()).to_le_bytes());
        bytes.extend_from_slice(&xxh3_64(&encoded).to_le_bytes());
        bytes.extend_from_slice(MAGIC);
        Ok(Some(Pack { bytes, until: last, runs }))
    }
}

fn length(len: usize) -> u64 {
    u64::try_from(len).expect("a length fits in 64 bits")
}

/// Where a run is in its pack.
pub(super) struct RunPlace {
    pub part: Part,
    pub offset: u64,
    /// Of all of it.
    pub hash: u64,
}

/// The runs of a pack, which is whole.
pub(super) fn places(bytes: &[u8]) -> Result<Vec<RunPlace>, PackError> {
    let index = index(|offset, len| part_of(bytes, offset, len).map(<[u8]>::to_vec), bytes.len())?;
    let places = index.iter().map(|entry| {
        entry.whole(bytes)?;
        Ok(RunPlace { part: entry.part()?, offset: length(entry.offset), hash: entry.hash })
    });
    places.collect()
}

fn part_of(bytes: &[u8], offset: usize, len: usize) -> Result<&[u8], PackError> {
    let found = bytes.get(offset..).and_then(|rest| rest.get(..len));
    found.ok_or(PackError::Malformed("shorter than it says"))
}

/// The runs of a pack, each in memory of its own.
pub(super) fn runs_in_memory(bytes: &[u8]) -> Result<Vec<(Part, ColdRun)>, PackError> {
    let index = index(|offset, len| part_of(bytes, offset, len).map(<[u8]>::to_vec), bytes.len())?;
    index.iter().map(|entry| entry.run(ColdBytes::new(entry.whole(bytes)?.to_vec()))).collect()
}

/// The runs of a pack of `len` bytes. Beside their heads, nothing of them is read.
pub(super) fn runs_of_file(file: &Arc<dyn ReadAt>, len: u64) -> Result<Vec<(Part, ColdRun)>, PackError> {
    let get = |offset: usize, len: usize| {
        let mut buffer = vec![0; len];
        file.read_at(&mut buffer, length(offset)).map_err(PackError::Unreadable)?;
        Ok(buffer)
    };
    let len = usize::try_from(len).map_err(|_| PackError::Malformed("larger than an address"))?;
    let index = index(get, len)?;
    let runs = index.iter().map(|entry| {
        if xxh3_64(&get(entry.offset, entry.head)?) != entry.head_hash {
            return Err(PackError::Damaged { what: "the head of a run", offset: entry.offset });
        }
        entry.run(ColdBytes::of_file(file.clone(), length(entry.offset), entry.len))
    });
    runs.collect()
}

impl Entry {
    fn part(&self) -> Result<Part, PackError> {
        Part::of(self.part).ok_or(PackError::Malformed("a part of a number that does not exist"))
    }

    /// The run, as it was written, out of the whole pack.
    fn whole<'a>(&self, pack: &'a [u8]) -> Result<&'a [u8], PackError> {
        let run = part_of(pack, self.offset, self.len)?;
        if xxh3_64(run) != self.hash {
            return Err(PackError::Damaged { what: "a run", offset: self.offset });
        }
        Ok(run)
    }

    fn run(&self, bytes: ColdBytes) -> Result<(Part, ColdRun), PackError> {
        let part = self.part()?;
        let until = Some(self.until).filter(|until| *until < Timestamp::MAX);
        Ok((part, ColdRun { bytes: Arc::new(bytes), head: self.head, until }))
    }
}

/// Reads the index of `len` bytes by `get`, which takes offset and length.
fn index(get: impl Fn(usize, usize) -> Result<Vec<u8>, PackError>, len: usize) -> Result<Vec<Entry>, PackError> {
    const SHORT: PackError = PackError::Malformed("too short");
    let body = len.checked_sub(TAIL).filter(|body| *body >= MAGIC.len()).ok_or(SHORT)?;
    let tail = get(body, TAIL)?;
    if get(0, MAGIC.len())? != MAGIC || !tail.ends_with(MAGIC) {
        return Err(PackError::Malformed("it begins or ends otherwise"));
    }
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| tail[at + byte]));
    let index_len = usize::try_from(word(0)).map_err(|_| SHORT)?;
    let start = body.checked_sub(index_len).filter(|start| *start >= MAGIC.len()).ok_or(SHORT)?;
    let encoded = get(start, index_len)?;
    if xxh3_64(&encoded) != word(8) {
        return Err(PackError::Damaged { what: "the index", offset: start });
    }
    let index: Vec<Entry> = postcard::from_bytes(&encoded).map_err(PackError::Index)?;
    let is_inside = |entry: &Entry| {
        let end = entry.offset.checked_add(entry.len);
        entry.head <= entry.len && end.is_some_and(|end| end <= start)
    };
    if index.iter().all(is_inside) { Ok(index) } else { Err(PackError::Malformed("shorter than its index says")) }
}

#[cfg(test)]
mod tests;
