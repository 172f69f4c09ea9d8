//! One run: records that went cold together, in blocks that are read by themselves.
//!
//! ```text
//! magic and version: 8 bytes, head: postcard, its hash: 16 bytes, blocks: each postcard, its hash: 16 bytes
//! ```
//! Records are in the order of their keys' hashes, which is also what divides them among blocks: so a key names its
//! block, and a block holds 64 of them, more or less.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use datasets::Timestamp;
use datasets::cold::{ColdBytes, ColdRun};
use datasets::hash::fingerprint;
use serde::{Deserialize, Serialize};

use super::Record;

/// Bytes of a hash.
const HASH: usize = 16;
/// Records of a block, on average.
const PER_BLOCK: usize = 64;

/// A run that can be asked.
#[derive(Clone, Debug)]
pub(crate) struct Run<R> {
    bytes: Arc<ColdBytes>,
    /// Where each block ends, behind the head; and the head itself, in front.
    ends: Vec<u32>,
    /// The last hour of forgetting of anything in it; the last one that there is, if that is never forgotten.
    pub(crate) last_hour: i64,
    of: PhantomData<R>,
}

/// Why a run cannot be used.
#[derive(Debug)]
pub(crate) struct Unreadable {
    what: &'static str,
    place: String,
    why: String,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Unreadable { what, place, why } = self;
        write!(
            formatter,
            "cold {what} in {place} cannot be used: {why}. The next start fetches this file from the checkpoint again"
        )
    }
}

#[derive(Serialize, Deserialize)]
struct Head {
    last_hour: i64,
    /// Lengths of the blocks, with their hashes.
    blocks: Vec<u32>,
    /// Hashes of all keys; in the file, as differences.
    hashes: Vec<u32>,
}

impl Head {
    /// Reads the first `len` bytes of a run.
    fn read<R: Record>(bytes: &ColdBytes, len: usize) -> Result<Self, Unreadable> {
        let unreadable = |why: String| unreadable::<R>(bytes, why);
        let read = bytes.read(0..len).map_err(|error| unreadable(error.to_string()))?;
        let body = read.strip_prefix(&R::MAGIC).ok_or_else(|| unreadable("they begin otherwise".to_owned()))?;
        let Some((&version, head)) = body.split_first() else { return Err(unreadable("it is too short".to_owned())) };
        if !(1..=R::VERSION).contains(&version) {
            let newest = R::VERSION;
            return Err(unreadable(format!("they have version {version}, and this program reads up to {newest}")));
        }
        let mut head: Head = take(head).map_err(unreadable)?;
        let mut last: u32 = 0;
        for hash in &mut head.hashes {
            last = last.checked_add(*hash).ok_or_else(|| unreadable("its hashes are not in order".to_owned()))?;
            *hash = last;
        }
        Ok(head)
    }
}

fn unreadable<R: Record>(bytes: &ColdBytes, why: String) -> Unreadable {
    Unreadable { what: R::NAMED, place: bytes.place(), why }
}

/// Encodes records, at least one, in the order of their hashes. `last_hour` is the last hour of forgetting of any, `until` a time that
/// comes after it; of what is never forgotten, the last one that there is, and none.
pub(crate) fn encode<R: Record>(records: &[R], last_hour: i64, until: Option<Timestamp>) -> (ColdRun, Run<R>) {
    debug_assert!(records.is_sorted_by_key(R::hash), "a block is found by the hash");
    let blocks = records.len().div_ceil(PER_BLOCK);
    let mut body = Vec::with_capacity(48 * records.len());
    let mut lengths = Vec::with_capacity(blocks);
    let mut rest = records;
    for number in 0..blocks {
        let len = rest.partition_point(|record| block_of(record.hash(), blocks) <= number);
        let (these, later) = rest.split_at(len);
        rest = later;
        let start = body.len();
        put(&mut body, &R::pack(these));
        lengths.push(u32::try_from(body.len() - start).expect("a block of some kilobytes"));
    }
    let mut last = 0;
    let hashes = records.iter().map(|record| {
        let hash = record.hash();
        hash - std::mem::replace(&mut last, hash)
    });
    let head = Head { last_hour, blocks: lengths, hashes: hashes.collect() };
    let mut bytes = R::MAGIC.to_vec();
    bytes.push(R::VERSION);
    put(&mut bytes, &head);
    let head_len = bytes.len();
    bytes.append(&mut body);
    bytes.shrink_to_fit();
    let bytes = Arc::new(ColdBytes::new(bytes));
    let run = Run { bytes: bytes.clone(), ends: ends(head_len, &head.blocks), last_hour, of: PhantomData };
    (ColdRun { bytes, head: head_len, until }, run)
}

fn put(bytes: &mut Vec<u8>, value: &impl Serialize) {
    let encoded = postcard::to_allocvec(value).expect("it has only types that postcard writes");
    bytes.extend_from_slice(&encoded);
    bytes.extend_from_slice(&fingerprint(&encoded).to_le_bytes());
}

fn take<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    let (encoded, hash) = bytes.split_last_chunk::<HASH>().ok_or("it is too short")?;
    if fingerprint(encoded) != u128::from_le_bytes(*hash) {
        return Err("it is damaged: its checksum differs".to_owned());
    }
    postcard::from_bytes(encoded).map_err(|error| format!("it cannot be decoded: {error}"))
}

fn ends(head: usize, blocks: &[u32]) -> Vec<u32> {
    let head = u32::try_from(head).expect("a run is shorter than 4 GiB");
    let mut end = head;
    let blocks = blocks.iter().map(|len| {
        end = end.checked_add(*len).expect("a run is shorter than 4 GiB");
        end
    });
    std::iter::once(head).chain(blocks).collect()
}

fn index(end: u32) -> usize {
    usize::try_from(end).expect("usize holds a u32")
}

fn block_of(hash: u32, blocks: usize) -> usize {
    let blocks = u64::try_from(blocks).expect("a length fits in 64 bits");
    usize::try_from((u64::from(hash) * blocks) >> u32::BITS).expect("below the number of blocks")
}

impl<R: Record> Run<R> {
    /// A run that was written, with the hashes of its keys in order.
    pub(crate) fn open(cold: &ColdRun) -> Result<(Self, Vec<u32>), Unreadable> {
        let Head { last_hour, blocks, hashes } = Head::read::<R>(&cold.bytes, cold.head)?;
        let run = Run { bytes: cold.bytes.clone(), ends: ends(cold.head, &blocks), last_hour, of: PhantomData };
        Ok((run, hashes))
    }

    /// The hashes of its keys in order.
    pub(crate) fn hashes(&self) -> Result<Vec<u32>, Unreadable> {
        Head::read::<R>(&self.bytes, index(self.ends[0])).map(|head| head.hashes)
    }

    /// It is not what was written: nobody is to read its file again.
    pub(crate) fn set_aside(&self) {
        self.bytes.set_aside();
    }

    /// How many blocks it has.
    pub(crate) fn blocks(&self) -> usize {
        self.ends.len() - 1
    }

    /// The number of the block in which records of this hash are, if there are any.
    pub(crate) fn block_of(&self, hash: u32) -> usize {
        block_of(hash, self.blocks())
    }

    /// A block by its number.
    pub(crate) fn block(&self, number: usize) -> Result<Vec<R>, Unreadable> {
        let range: Range<usize> = index(self.ends[number])..index(self.ends[number + 1]);
        let unreadable = |why: String| unreadable::<R>(&self.bytes, why);
        let bytes = self.bytes.read(range.clone()).map_err(|error| unreadable(error.to_string()))?;
        let at = |why: String| unreadable(format!("the block at byte {}: {why}", range.start));
        R::unpack(take(&bytes).map_err(at)?).ok_or_else(|| at("it names a market that it does not have".to_owned()))
    }
}
