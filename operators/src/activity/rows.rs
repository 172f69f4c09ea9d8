//! The rows of one key group: an index to rows in chunks that stay where they are.

use std::hint::black_box;

use datasets::time::Date;
use datasets::{Money, Timestamp};
use hashbrown::HashTable;

use super::customers::Customers;
use super::row::Row;
use super::{ActivityRules, Restatements, RowKey, Totals};
use crate::changes::Posting;
use crate::ledger::{Market, Side};
use crate::slab::{Slab, long_hash, short_hash};
use crate::snapshot::Round;

/// See the module. Rows are not removed.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// Where each key's row is.
    index: HashTable<Slot>,
    pub(super) rows: Slab<Row>,
    pub(super) customers: Customers,
    /// Rows that a posting touched since their last report.
    pub(super) touched: Vec<Touched>,
    /// Where writing them goes on.
    pub(super) round: Round<1>,
}

/// A row's place, with enough of its key's hash to move in the index without looking there.
#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    place: u32,
}

/// A row that was touched.
#[derive(Clone, Debug)]
pub(super) struct Touched {
    place: u32,
    /// Its sums as of the last revision that was emitted. A row that is not touched has none others.
    pub(super) emitted: Totals,
}

impl Rows {
    /// Where the row of `key` is.
    pub(super) fn find(&self, key: &RowKey) -> Option<u32> {
        self.find_by(key.hash, &key.customer_id, &key.market, key.date)
    }

    /// The same, by the parts of the key.
    pub(super) fn find_by(&self, hash: u64, customer_id: &str, market: &Market, date: Date) -> Option<u32> {
        let short = short_hash(hash);
        let is_of =
            |row: &Row| row.date == date && *row.market == *market && self.customers.is(row.customer, customer_id);
        let is_it = |slot: &Slot| slot.hash == short && self.rows.get(slot.place).is_some_and(is_of);
        self.index.find(long_hash(short), is_it).map(|slot| slot.place)
    }

    /// What was put first comes last when they are written. Nothing counts as changed. Answers where the row at a place is now.
    pub(super) fn turn_round(&mut self) -> impl Fn(u32) -> u32 + use<> {
        let turned = self.rows.turn_round();
        self.index.iter_mut().for_each(|slot| slot.place = turned(slot.place));
        turned
    }

    /// As [`find`](Self::find), and brings the row near.
    pub(super) fn look_up(&self, key: &RowKey) -> Option<u32> {
        let place = self.find(key)?;
        black_box(self.rows.get(place).map(|row| row.touched));
        Some(place)
    }

    /// A row whose key is new and has this hash.
    pub(super) fn insert(&mut self, hash: u64, row: Row) -> u32 {
        let place = self.rows.insert(row);
        let hash = short_hash(hash);
        self.index.insert_unique(long_hash(hash), Slot { hash, place }, |slot| long_hash(slot.hash));
        place
    }

    /// So many rows are about to come, if these are the first.
    pub(super) fn make_room(&mut self, count: usize) {
        if self.index.is_empty() {
            self.index.reserve(count, |slot| long_hash(slot.hash));
        }
        self.customers.make_room(count);
    }

    /// Adds a posting to its row, which is at `place` unless it is new.
    pub(super) fn add(&mut self, posting: &Posting, diff: isize, place: Option<u32>) {
        // Another posting of the block may have made it meanwhile.
        let place = place.or_else(|| self.find(&posting.key));
        let place = place.unwrap_or_else(|| {
            let RowKey { hash, date, market, customer_id } = &posting.key;
            let customer = self.customers.enter(customer_id);
            self.insert(*hash, Row::new(customer, market.clone(), *date))
        });
        let row = self.rows.get_mut(place).expect("rows are not removed");
        let before = row.totals();
        let mut totals = before;
        totals.post(posting, i64::try_from(diff).expect("a posting is asserted a few times at most"));
        row.set_totals(totals);
        if row.touched == 0 {
            touch(&mut self.touched, place, row, before);
        }
    }

    /// The row at `place` was touched, and what was `emitted` of it may be something else.
    pub(super) fn mark_touched(&mut self, place: u32, emitted: Totals) {
        let row = self.rows.get_mut(place).expect("rows are not removed");
        touch(&mut self.touched, place, row, emitted);
    }

    /// What was last emitted of `row`.
    pub(super) fn emitted(touched: &[Touched], row: &Row) -> Totals {
        let place = row.touched.checked_sub(1).and_then(|place| usize::try_from(place).ok());
        place.map_or_else(|| row.totals(), |place| touched[place].emitted)
    }

    /// Restates what was touched.
    pub(super) fn restate(&mut self, rules: &ActivityRules, now: Timestamp, restatements: &mut Restatements) {
        restatements.rows.reserve(self.touched.len());
        for Touched { place, emitted } in std::mem::take(&mut self.touched) {
            let row = self.rows.get_mut(place).expect("rows are not removed");
            row.touched = 0;
            let (totals, revision) = (row.totals(), row.revision());
            // Every column follows from the sums, and every sum shows in some column, whatever the basis.
            if revision > 0 && emitted == totals {
                continue;
            }
            let key = RowKey::of(self.customers.id(row.customer).into(), row.market.clone(), row.date);
            restatements.add_takings(&key, rules.takings(&totals, &emitted, revision == 0));
            row.set_revision(revision + 1);
            restatements.rows.push(rules.restated(&key, &totals, revision + 1, now));
        }
    }
}

fn touch(touched: &mut Vec<Touched>, place: u32, row: &mut Row, emitted: Totals) {
    touched.push(Touched { place, emitted });
    row.touched = u32::try_from(touched.len()).expect("fewer rows than places");
}

impl Totals {
    /// Adds a posting so many times.
    fn post(&mut self, posting: &Posting, count: i64) {
        let times = |money: Money| Money::from_raw(money.raw() * i128::from(count));
        let jackpot = times(posting.side.jackpot());
        match posting.side {
            Side::Bet | Side::JackpotBet(_) => {
                self.bets_count += count;
                self.stakes += times(posting.amount);
                self.bonus_bets += times(posting.bonus);
                self.jackpot_contribution += jackpot;
            }
            Side::Win | Side::JackpotWin(_) => {
                self.winnings += times(posting.amount);
                self.bonus_wins += times(posting.bonus);
                self.jackpot_wins += jackpot;
            }
            Side::Chargeback => self.chargebacks += times(posting.amount),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_takes_little_more_than_itself() {
        assert_eq!(size_of::<Slot>(), 8);
    }
}
