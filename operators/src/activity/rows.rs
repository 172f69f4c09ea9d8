//! The rows of one key group: an index to rows in chunks that stay where they are, and those that are not in memory any more.

use std::hint::black_box;

use datasets::time::Date;
use datasets::{Money, Timestamp};

use super::cold::Cold;
use super::customers::Customers;
use super::row::Row;
use super::{ActivityRules, Restatements, RowKey, Totals};
use crate::changes::Posting;
use crate::index::{Index, short_hash};
use crate::ledger::{Market, Side};
use crate::slab::Slab;
use crate::snapshot::Round;

/// See the module. Rows leave memory only when they go cold.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// Where each key's row is.
    index: Index,
    pub(super) rows: Slab<Row>,
    pub(super) customers: Customers,
    pub(super) cold: Cold,
    /// Rows that a posting touched since their last report.
    pub(super) touched: Vec<Touched>,
    /// Where writing them goes on.
    pub(super) round: Round<1>,
}

/// A row that was touched.
#[derive(Clone, Debug)]
pub(super) struct Touched {
    place: u32,
    /// Its sums as of the last revision that was emitted. A row that is not touched has none others.
    pub(super) emitted: Totals,
}

impl Rows {
    /// Where the row of `key` is, if it is in memory.
    pub(super) fn find(&self, key: &RowKey) -> Option<u32> {
        self.find_by(key.hash, &key.customer_id, &key.market, key.date)
    }

    /// The same, by the parts of the key.
    pub(super) fn find_by(&self, hash: u64, customer_id: &str, market: &Market, date: Date) -> Option<u32> {
        let is_of =
            |row: &Row| row.date == date && *row.market == *market && self.customers.is(row.customer, customer_id);
        self.index.find(short_hash(hash), |place| self.rows.get(place).is_some_and(is_of))
    }

    /// What was put first comes last when they are written. Nothing counts as changed. Answers where the row at a place is now.
    pub(super) fn turn_round(&mut self) -> impl Fn(u32) -> u32 + use<> {
        let turned = self.rows.turn_round();
        self.index.move_all(&turned);
        turned
    }

    /// As [`find`](Self::find), and brings the row near.
    pub(super) fn look_up(&self, key: &RowKey) -> Option<u32> {
        let place = self.find(key);
        match place {
            Some(place) => black_box(self.rows.get(place).is_some_and(|row| row.touched != 0)),
            None => black_box(self.cold.may_hold(key.hash)),
        };
        place
    }

    /// A row whose key is new and has this hash.
    pub(super) fn insert(&mut self, hash: u64, row: Row) -> u32 {
        let place = self.rows.insert(row);
        self.index.insert(short_hash(hash), place);
        place
    }

    /// The row at `place`, whose key has this hash, was taken out.
    pub(super) fn leave_index(&mut self, hash: u64, place: u32) {
        self.index.remove(short_hash(hash), |other| other == place);
    }

    /// Keeps the ids of those customers only who have a row in memory.
    pub(super) fn forget_customers(&mut self) {
        let mut left = Customers::default();
        for row in self.rows.iter_mut_unchanged() {
            row.customer = left.enter(self.customers.id(row.customer));
        }
        self.customers = left;
    }

    /// So many rows are about to come, if these are the first.
    pub(super) fn make_room(&mut self, count: usize) {
        self.index.make_room(count);
        self.customers.make_room(count);
    }

    /// Adds a posting to its row, which is at `place` unless it is new.
    pub(super) fn add(&mut self, posting: &Posting, diff: isize, place: Option<u32>) {
        // Another posting of the block may have made it meanwhile.
        let place = place.or_else(|| self.find(&posting.key));
        let place = place.unwrap_or_else(|| self.begin(&posting.key));
        let row = self.rows.get_mut(place).expect("rows stay where they are until they go cold");
        let before = row.totals();
        let mut totals = before;
        totals.post(posting, i64::try_from(diff).expect("a posting is asserted a few times at most"));
        row.set_totals(totals);
        if row.touched == 0 {
            touch(&mut self.touched, place, row, before);
        }
    }

    /// A row that is not in memory: as it went cold, or a new one.
    fn begin(&mut self, key: &RowKey) -> u32 {
        let mut row = Row::new(self.customers.enter(&key.customer_id), key.market.clone(), key.date);
        if let Some(cold) = self.cold.find(key) {
            row.set_totals(cold.totals);
            row.set_revision(cold.revision);
        }
        self.insert(key.hash, row)
    }

    /// The row at `place` was touched, and what was `emitted` of it may be something else.
    pub(super) fn mark_touched(&mut self, place: u32, emitted: Totals) {
        let row = self.rows.get_mut(place).expect("a row that was touched stays");
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
            let row = self.rows.get_mut(place).expect("a row that was touched stays");
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
