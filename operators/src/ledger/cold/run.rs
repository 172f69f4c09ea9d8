//! One run: transactions that went cold together, in blocks that are read by themselves.
//!
//! ```text
//! magic and version: 8 bytes, head: postcard, its hash: 16 bytes, blocks: each postcard, its hash: 16 bytes
//! ```
//! Transactions are in the order of their keys' hashes, which is also what divides them among blocks: so a key names its
//! block, and a block holds 64 of them, more or less. Changes with [`VERSION`]; what older versions wrote stays readable.

use std::ops::Range;
use std::sync::Arc;

use datasets::cold::{ColdBytes, ColdRun};
use datasets::hash::fingerprint;
use datasets::{Identity, PackedCoordinates, Timestamp};
use serde::{Deserialize, Serialize};

use super::super::transaction::Market;
use super::super::transactions::{Plain, ShortSide};

const MAGIC: [u8; 7] = *b"QLCOLD\0";
/// Of the format. Version 2 adds jackpots and chargebacks; what has none of them is as in version 1.
const VERSION: u8 = 2;
/// Bytes of a hash.
const HASH: usize = 16;
/// Transactions of a block, on average.
const PER_BLOCK: usize = 64;

/// A run that can be asked.
#[derive(Clone, Debug)]
pub(super) struct Run {
    bytes: Arc<ColdBytes>,
    /// Where each block ends, behind the head; and the head itself, in front.
    ends: Vec<u32>,
    /// The last hour of forgetting of anything in it.
    pub(super) last_hour: i64,
}

/// Why a run cannot be used.
#[derive(Debug)]
pub(super) struct Unreadable {
    place: String,
    why: String,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Unreadable { place, why } = self;
        write!(
            formatter,
            "cold transactions in {place} cannot be used: {why}. The next start fetches this file from the checkpoint again"
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
    fn read(bytes: &ColdBytes, len: usize) -> Result<Self, Unreadable> {
        let unreadable = |why: String| Unreadable { place: bytes.place(), why };
        let read = bytes.read(0..len).map_err(|error| unreadable(error.to_string()))?;
        let body = read.strip_prefix(&MAGIC).ok_or_else(|| unreadable("they begin otherwise".to_owned()))?;
        let Some((&version, head)) = body.split_first() else { return Err(unreadable("it is too short".to_owned())) };
        if !(1..=VERSION).contains(&version) {
            return Err(unreadable(format!("they have version {version}, and this program reads up to {VERSION}")));
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

#[derive(Serialize, Deserialize)]
struct Block {
    markets: Vec<Arc<Market>>,
    transactions: Vec<Record>,
}

/// A transaction in a block. All are applied.
#[derive(Serialize, Deserialize)]
struct Record {
    key: [u8; 16],
    content: [u8; 8],
    ingest_time: i64,
    /// From its event time to its ingest time; around the ends of the range.
    age: i64,
    at: PackedCoordinates,
    amount: i64,
    bonus: i64,
    /// The number of its market, counted from 1; and 0 for none.
    market: u32,
    /// In version 1 the truth value `is_bet`, which is written as [`Side::Win`](crate::ledger::Side::Win) and
    /// [`Side::Bet`](crate::ledger::Side::Bet) are.
    side: ShortSide,
}

/// What chooses a key's block, and what filters know of it.
pub(super) fn hash(key: Identity) -> u32 {
    let [.., a, b, c, d] = key.leading_word().to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Encodes `transactions`, at least one, all of them applied, and sorts them. `last_hour` is the last hour of forgetting
/// of any, `until` a time that comes after it.
pub(super) fn encode(transactions: &mut [(Identity, Plain)], last_hour: i64, until: Timestamp) -> (ColdRun, Run) {
    transactions.sort_unstable_by_key(|(key, plain)| (hash(*key), *key, plain.ingest_time));
    let blocks = transactions.len().div_ceil(PER_BLOCK);
    let mut body = Vec::with_capacity(48 * transactions.len());
    let mut lengths = Vec::with_capacity(blocks);
    let mut rest = &*transactions;
    for number in 0..blocks {
        let len = rest.partition_point(|(key, _)| block_of(hash(*key), blocks) <= number);
        let (these, later) = rest.split_at(len);
        rest = later;
        let start = body.len();
        put(&mut body, &Block::new(these));
        lengths.push(u32::try_from(body.len() - start).expect("a block of some kilobytes"));
    }
    let mut last = 0;
    let hashes = transactions.iter().map(|(key, _)| {
        let hash = hash(*key);
        hash - std::mem::replace(&mut last, hash)
    });
    let head = Head { last_hour, blocks: lengths, hashes: hashes.collect() };
    let mut bytes = MAGIC.to_vec();
    bytes.push(VERSION);
    put(&mut bytes, &head);
    let head_len = bytes.len();
    bytes.append(&mut body);
    bytes.shrink_to_fit();
    let bytes = Arc::new(ColdBytes::new(bytes));
    let run = Run { bytes: bytes.clone(), ends: ends(head_len, &head.blocks), last_hour };
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

impl Run {
    /// A run that was written, with the hashes of its keys in order.
    pub(super) fn open(cold: &ColdRun) -> Result<(Self, Vec<u32>), Unreadable> {
        let Head { last_hour, blocks, hashes } = Head::read(&cold.bytes, cold.head)?;
        let run = Run { bytes: cold.bytes.clone(), ends: ends(cold.head, &blocks), last_hour };
        Ok((run, hashes))
    }

    /// The hashes of its keys in order.
    pub(super) fn hashes(&self) -> Result<Vec<u32>, Unreadable> {
        Head::read(&self.bytes, index(self.ends[0])).map(|head| head.hashes)
    }

    /// It is not what was written: nobody is to read its file again.
    pub(super) fn set_aside(&self) {
        self.bytes.set_aside();
    }

    /// The number of the block in which `key` is, if it is here.
    pub(super) fn block_of(&self, key: Identity) -> usize {
        block_of(hash(key), self.ends.len() - 1)
    }

    /// A block by its number.
    pub(super) fn block(&self, number: usize) -> Result<Vec<(Identity, Plain)>, Unreadable> {
        let range: Range<usize> = index(self.ends[number])..index(self.ends[number + 1]);
        let unreadable = |why: String| Unreadable { place: self.bytes.place(), why };
        let bytes = self.bytes.read(range.clone()).map_err(|error| unreadable(error.to_string()))?;
        let at = |why: String| unreadable(format!("the block at byte {}: {why}", range.start));
        let block: Block = take(&bytes).map_err(at)?;
        block.read().ok_or_else(|| at("it names a market that it does not have".to_owned()))
    }
}

impl Block {
    fn new(transactions: &[(Identity, Plain)]) -> Self {
        let mut markets: Vec<Arc<Market>> = Vec::new();
        let transactions = transactions.iter().map(|(key, plain)| {
            let number = plain.market.as_ref().map(|market| {
                markets.iter().position(|known| known == market).unwrap_or_else(|| {
                    markets.push(market.clone());
                    markets.len() - 1
                })
            });
            Record {
                key: key.to_bytes(),
                content: plain.content.to_le_bytes(),
                ingest_time: plain.ingest_time.micros(),
                age: plain.ingest_time.micros().wrapping_sub(plain.event_time.micros()),
                at: plain.at,
                amount: plain.amount,
                bonus: plain.bonus,
                market: number.map_or(0, |number| u32::try_from(number + 1).expect("no more than transactions")),
                side: plain.side,
            }
        });
        let transactions = transactions.collect();
        Block { markets, transactions }
    }

    fn read(self) -> Option<Vec<(Identity, Plain)>> {
        let Block { markets, transactions } = self;
        let plain = |record: Record| {
            let market = match usize::try_from(record.market).ok()?.checked_sub(1) {
                None => None,
                Some(number) => Some(markets.get(number)?.clone()),
            };
            let ingest_time = Timestamp::from_micros(record.ingest_time);
            let plain = Plain {
                ingest_time,
                event_time: Timestamp::from_micros(record.ingest_time.wrapping_sub(record.age)),
                at: record.at,
                content: u64::from_le_bytes(record.content),
                amount: record.amount,
                bonus: record.bonus,
                market,
                side: record.side,
                is_applied: true,
            };
            Some((Identity::from_bytes(record.key), plain))
        };
        transactions.into_iter().map(plain).collect()
    }
}

#[cfg(test)]
mod tests;
