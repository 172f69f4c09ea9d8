//! State that is rarely asked for, outside memory: runs of records that never change, and what tells which of them to ask.
//!
//! Who lets records go cold says why it makes no difference; here is what those have in common.

mod filter;
mod run;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ledger::Market;

pub(crate) use filter::Filter;
#[cfg(test)]
pub(crate) use run::Unreadable;
pub(crate) use run::{Run, encode};

/// When something goes cold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColdRules {
    /// A transaction that was ingested so many hours before the least of clock and ingest times may go cold; and a row of activity, of a day
    /// that has been over for so long.
    pub after_hours: i64,
    /// How many hours go cold together, at least: so few runs does a key group have.
    pub every_hours: i64,
    /// How many rows of a key group go cold together, at least. A run costs some 200 bytes of memory, and a start opens each.
    pub least_rows: usize,
}

impl Default for ColdRules {
    fn default() -> Self {
        ColdRules { after_hours: 48, every_hours: 24, least_rows: 1024 }
    }
}

/// What goes cold.
pub(crate) trait Record: Sized {
    /// Some of them, as they are written.
    type Block: serde::Serialize + serde::de::DeserializeOwned;
    /// A run of them begins with it.
    const MAGIC: [u8; 7];
    /// Of [`Block`](Self::Block), behind [`MAGIC`](Self::MAGIC). What older versions wrote stays readable.
    const VERSION: u8;
    /// What they are, for people.
    const NAMED: &'static str;

    /// Of the key: chooses the block, and is what filters know of it.
    fn hash(&self) -> u32;

    /// As they are written.
    fn pack(records: &[Self]) -> Self::Block;

    /// The inverse of [`pack`](Self::pack); none if it refers to something that it does not have.
    fn unpack(block: Self::Block) -> Option<Vec<Self>>;
}

/// The block of each run that was read last, by the run's number.
pub(crate) struct Near<R>(BTreeMap<u64, (usize, Vec<R>)>);

impl<R> Default for Near<R> {
    fn default() -> Self {
        Near(BTreeMap::new())
    }
}

impl<R: Record> Near<R> {
    /// The block of a run in which the records of this hash are.
    ///
    /// # Panics
    /// If it cannot be read: there is no answer without it, and a wrong one would be believed.
    pub(crate) fn block(&mut self, number: u64, run: &Run<R>, hash: u32) -> &[R] {
        let wanted = run.block_of(hash);
        if self.0.get(&number).is_none_or(|(known, _)| *known != wanted) {
            let block = run.block(wanted).unwrap_or_else(|unreadable| {
                run.set_aside();
                panic!("{unreadable}")
            });
            self.0.insert(number, (wanted, block));
        }
        &self.0[&number].1
    }
}

/// What a filter knows of a run's number.
pub(crate) fn tag(number: u64) -> u8 {
    number.to_le_bytes()[0]
}

/// The number of `market` among those of a block, to which it is added if it is new.
pub(crate) fn number_in(markets: &mut Vec<Arc<Market>>, market: &Arc<Market>) -> u32 {
    let known = markets.iter().position(|known| known == market);
    let number = known.unwrap_or_else(|| {
        markets.push(market.clone());
        markets.len() - 1
    });
    u32::try_from(number).expect("no more than there are records")
}
