//! Rows of days that are over, outside memory.
//!
//! What is cold makes no difference to any answer, so when something goes cold may follow from anything. Why:
//! 1. A row goes cold as it was emitted last. Whatever is posted to it later is posted to a copy in memory, which from then on is
//!    asked first.
//! 2. Of several copies that went cold, the one with the highest revision is the row: there is no revision without other sums, and
//!    what has no other sums is the same row.
//! 3. A row goes cold only if the last section that has it has it as it is. A start reads the newest of the pieces that were written, so it finds the
//!    row in memory as it went cold or as it became later, or not at all: what is in memory is never older than what is cold.
//!
//! Rows are not forgotten, since money is never too late, and so runs of them are needed forever.

use std::collections::BTreeMap;
use std::sync::Arc;

use datasets::Timestamp;
use datasets::cold::ColdRun;
use datasets::hash::{KeyGroup, player_hash};
use datasets::time::Date;
use serde::{Deserialize, Serialize};

use super::rows::Rows;
use super::snapshot::{First, More, parts, whole};
use super::{RowKey, Totals, key};
use crate::cold::{self, ColdRules, Filter, Record, number_in, tag};
use crate::ledger::Market;

const HOUR: i64 = 3_600_000_000;

/// About so many rows of a key group go cold at once.
const FULL: usize = 8 << 10;

/// Times of [`ColdRules::every_hours`] at which key groups have their turns: so that an object does not hold a day, and there are few of them.
const PHASES: u16 = 4;

type Run = cold::Run<ColdRow>;
type Near = cold::Near<ColdRow>;

/// The cold rows of one key group.
#[derive(Clone, Debug, Default)]
pub(super) struct Cold {
    filter: Filter,
    /// By number; the low bits of it are the tag in the filter.
    runs: BTreeMap<u64, Run>,
    /// When rows have gone cold last, in the hours of [`ColdRules::every_hours`].
    turn: Option<i64>,
}

/// A row with its key, as it was emitted last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColdRow {
    /// What chooses its block, and what filters know of it.
    hash: u32,
    date: Date,
    market: Arc<Market>,
    customer_id: Arc<str>,
    pub(super) totals: Totals,
    /// How many revisions were emitted.
    pub(super) revision: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Block {
    markets: Vec<Arc<Market>>,
    rows: Vec<Written>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    date: Date,
    /// The number of its market.
    market: u32,
    customer_id: Arc<str>,
    totals: First,
    /// Where there is any.
    more: Option<More>,
    revision: u64,
}

/// Of a key's hash.
fn short(hash: u64) -> u32 {
    let [.., a, b, c, d] = hash.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

impl ColdRow {
    fn is(&self, key: &RowKey) -> bool {
        self.date == key.date && *self.market == *key.market && self.customer_id == key.customer_id
    }

    /// It has the key of the other one.
    fn is_of(&self, other: &ColdRow) -> bool {
        self.date == other.date && *self.market == *other.market && self.customer_id == other.customer_id
    }
}

impl Record for ColdRow {
    type Block = Block;
    const MAGIC: [u8; 7] = *b"QLROWS\0";
    const VERSION: u8 = 1;
    const NAMED: &'static str = "rows of activity";

    fn hash(&self) -> u32 {
        self.hash
    }

    fn pack(rows: &[Self]) -> Block {
        let mut markets = Vec::new();
        let rows = rows.iter().map(|row| {
            let (totals, more) = parts(row.totals);
            Written {
                date: row.date,
                market: number_in(&mut markets, &row.market),
                customer_id: row.customer_id.clone(),
                totals,
                more: (more != More::default()).then_some(more),
                revision: row.revision,
            }
        });
        let rows = rows.collect();
        Block { markets, rows }
    }

    fn unpack(Block { markets, rows }: Block) -> Option<Vec<Self>> {
        let row = |written: Written| {
            let Written { date, market, customer_id, totals, more, revision } = written;
            let market = markets.get(usize::try_from(market).ok()?)?.clone();
            let hash = short(key::hash(player_hash(&customer_id), &market, date));
            let totals = whole(totals, more.unwrap_or_default());
            Some(ColdRow { hash, date, market, customer_id, totals, revision })
        };
        rows.into_iter().map(row).collect()
    }
}

impl Cold {
    /// There may be a row of this key's hash.
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        self.filter.may_hold(short(hash))
    }

    /// The row of `key`.
    pub(super) fn find(&self, key: &RowKey) -> Option<ColdRow> {
        let found = if self.may_hold(key.hash) {
            self.newest(short(key.hash), |row| row.is(key), &mut Near::default())
        } else {
            None
        };
        #[cfg(test)]
        ANSWERS.set(ANSWERS.get() + usize::from(found.is_some()));
        found
    }

    /// Of the copies of a row, which has this `hash`, the newest.
    #[cold]
    fn newest(&self, hash: u32, is_it: impl Fn(&ColdRow) -> bool, near: &mut Near) -> Option<ColdRow> {
        let mut found: Option<ColdRow> = None;
        let mut tags: Vec<u8> = self.filter.tags(hash).collect();
        tags.dedup();
        for (number, run) in self.runs.iter().filter(|(number, _)| tags.contains(&tag(**number))) {
            for row in near.block(*number, run, hash).iter().filter(|row| is_it(row)) {
                if found.as_ref().is_none_or(|found| found.revision <= row.revision) {
                    found = Some(row.clone());
                }
            }
        }
        found
    }

    /// Runs that were written by an earlier life, the oldest first.
    pub(super) fn restore(kept: &[ColdRun]) -> Self {
        let (mut cold, mut entries) = (Cold::default(), Vec::new());
        for (number, run) in (0..).zip(kept) {
            // A start that goes on without it would answer wrongly.
            let (run, hashes) = Run::open(run).unwrap_or_else(|unreadable| panic!("{unreadable}"));
            entries.extend(hashes.into_iter().map(|hash| (hash, tag(number))));
            cold.runs.insert(number, run);
        }
        entries.sort_unstable();
        let len = entries.len();
        cold.filter = Filter::new(entries.into_iter(), len);
        cold
    }

    /// Takes rows, if there are any that are not here yet, and answers what was in them.
    fn take(&mut self, mut rows: Vec<ColdRow>) -> Option<ColdRun> {
        rows.sort_unstable_by_key(Record::hash);
        let mut near = Near::default();
        // What a start has found in a piece may have gone cold behind it.
        rows.retain(|row| {
            let may_be_here = self.filter.may_hold(row.hash);
            let known = may_be_here.then(|| self.newest(row.hash, |known| known.is_of(row), &mut near)).flatten();
            known.is_none_or(|known| known.revision < row.revision)
        });
        if rows.is_empty() {
            return None;
        }
        let (written, run) = cold::encode(&rows, i64::MAX, None);
        let number = self.runs.last_key_value().map_or(0, |(last, _)| last + 1);
        let hashes: Vec<u32> = rows.iter().map(Record::hash).collect();
        self.filter = self.filter.merged((|_| true, &[]), (&hashes, tag(number)));
        self.runs.insert(number, run);
        Some(written)
    }
}

impl Rows {
    /// Gives the memory of the rows of `group` back whose days were over for long enough at `oldest`, if there are `rules` for it, it is their
    /// turn and there are enough of them. Answers what was in it.
    pub(super) fn freeze(&mut self, group: KeyGroup, rules: Option<ColdRules>, oldest: Timestamp) -> Option<ColdRun> {
        let ColdRules { after_hours, every_hours, least_rows } = rules?;
        let hour = oldest.micros().div_euclid(HOUR).saturating_sub(after_hours);
        let phase = every_hours * i64::from(group.0 % PHASES) / i64::from(PHASES);
        let turn = (hour - phase).div_euclid(every_hours);
        if self.cold.turn == Some(turn) {
            return None;
        }
        let day = hour.div_euclid(24);
        let before = Date::from_days(i32::try_from(day).unwrap_or(if day < 0 { i32::MIN } else { i32::MAX }));
        let places = self.rows.unchanged().filter(|(_, row)| row.touched == 0 && row.date < before);
        let mut places: Vec<u32> = places.map(|(place, _)| place).take(FULL).collect();
        let is_all = places.len() < FULL;
        self.cold.turn = is_all.then_some(turn);
        if places.len() < least_rows {
            places.clear();
        }
        let rows: Vec<ColdRow> = places.into_iter().map(|place| self.remove(place)).collect();
        if is_all && !rows.is_empty() {
            self.forget_customers();
        }
        self.cold.take(rows)
    }

    /// Takes out the row at `place`.
    fn remove(&mut self, place: u32) -> ColdRow {
        let row = self.rows.remove(place).expect("a place where a row is");
        let customer_id = self.customers.id(row.customer);
        let hash = key::hash(player_hash(customer_id), &row.market, row.date);
        let (totals, revision) = (row.totals(), row.revision());
        let customer_id = customer_id.into();
        self.leave_index(hash, place);
        ColdRow { hash: short(hash), date: row.date, market: row.market, customer_id, totals, revision }
    }
}

#[cfg(test)]
thread_local! {
    static ANSWERS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How often this thread has found a cold row.
#[cfg(test)]
pub(crate) fn answers() -> usize {
    ANSWERS.get()
}

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;
