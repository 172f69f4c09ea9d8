//! Rows of activity in sections, and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use datasets::hash::{KeyGroup, player_hash};
use datasets::state::{Keeper, Kept, Part, Section, Unpacker};
use datasets::time::Date;
use datasets::{Epoch, Money};
use foldhash::fast::FixedState;
use hashbrown::HashSet;
use serde::{Deserialize, Serialize};

use super::row::Row;
use super::rows::{Rows, Touched};
use super::{DailyActivity, RowKey, Totals, key};
use crate::ledger::{Market, MarketName, Markets};
use crate::snapshot::{self, READABLE, Round, Turn, Visited};

/// Key groups that were read from a checkpoint and have not been reached yet, with the epochs that they know.
#[derive(Default)]
pub(super) struct Restored(BTreeMap<KeyGroup, (Epoch, Rows)>);

/// A row as it is written. Behind the rows of a piece comes since format 9, where one has any, a list of [`More`] by their places.
#[derive(Serialize, Deserialize)]
struct Written<'a, M> {
    hash: u64,
    date: Date,
    market: M,
    customer_id: &'a str,
    totals: First,
    /// As of the last revision that was emitted.
    emitted: First,
    revision: u64,
    is_touched: bool,
}

/// The sums that rows have had from the beginning.
#[derive(Serialize, Deserialize)]
struct First {
    bets_count: i64,
    stakes: Money,
    winnings: Money,
    bonus_bets: Money,
    bonus_wins: Money,
}

/// The sums that few rows have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct More {
    jackpot_contribution: Money,
    jackpot_wins: Money,
    chargebacks: Money,
}

/// By place in the piece: what counts, and what was emitted.
type Beside = Vec<(usize, [More; 2])>;

/// Sums as they are written.
fn parts(totals: Totals) -> (First, More) {
    let Totals { bets_count, stakes, winnings, bonus_bets, bonus_wins, .. } = totals;
    let Totals { jackpot_contribution, jackpot_wins, chargebacks, .. } = totals;
    let first = First { bets_count, stakes, winnings, bonus_bets, bonus_wins };
    (first, More { jackpot_contribution, jackpot_wins, chargebacks })
}

/// Sums that were written.
fn whole(first: First, more: More) -> Totals {
    let First { bets_count, stakes, winnings, bonus_bets, bonus_wins } = first;
    let More { jackpot_contribution, jackpot_wins, chargebacks } = more;
    Totals { bets_count, stakes, winnings, bonus_bets, bonus_wins, jackpot_contribution, jackpot_wins, chargebacks }
}

impl<'a> Written<'a, &'a Market> {
    fn of(row: &'a Row, touched: &[Touched]) -> (Self, [More; 2]) {
        let Row { customer_id, date, .. } = row;
        let market: &Market = &row.market;
        let (totals, more) = parts(row.totals());
        let (emitted, more_emitted) = parts(Rows::emitted(touched, row));
        let written = Written {
            hash: key::hash(player_hash(customer_id), market, *date),
            date: *date,
            market,
            customer_id,
            totals,
            emitted,
            revision: row.revision(),
            is_touched: row.touched != 0,
        };
        (written, [more, more_emitted])
    }
}

/// The bytes of a piece of these rows.
fn bytes<'a>(rows: impl Iterator<Item = &'a Row>, touched: &[Touched]) -> Vec<u8> {
    let (written, more): (Vec<_>, Vec<_>) = rows.map(|row| Written::of(row, touched)).unzip();
    let mut bytes = postcard::to_allocvec(&written).expect(WRITABLE);
    let beside = more.into_iter().enumerate().filter(|(_, more)| *more != <[More; 2]>::default());
    let beside: Beside = beside.collect();
    if !beside.is_empty() {
        bytes.extend(postcard::to_allocvec(&beside).expect(WRITABLE));
    }
    bytes
}

const WRITABLE: &str = "rows have only types that postcard writes";

impl DailyActivity {
    /// What is new in `group` after `epoch`, and a little of the rest. Nothing of a group that has yet to wake up.
    pub fn write(&mut self, group: KeyGroup, epoch: Epoch) -> Visited {
        if self.restored.0.contains_key(&group) {
            return Visited::Asleep;
        }
        let Rows { rows, touched, round, .. } = &mut self.groups[group.index()];
        let Turn { pieces, needs, .. } = round.next([rows.chunks()], rows.changed());
        let last = pieces.len() - 1;
        let pieces = pieces.into_iter().enumerate().map(|(number, [chunks])| {
            let taken = rows.take(chunks, number == last).map(|(row, _)| &*row);
            bytes(taken, touched)
        });
        let (part, pieces) = (Part { keeper: Keeper::Activity, group }, pieces.collect());
        Visited::Section(Section { part, epoch, needs, pieces, cold: None })
    }

    /// Takes what was written. Each group wakes up behind the epoch that was written last.
    pub fn restore(&mut self, state: &snapshot::Restored) {
        self.restored.0 = state.read(Keeper::Activity, |shared, unpacker, kept| Rows::read(kept, unpacker, shared));
        self.reported = state.wall;
    }

    /// Before `epoch` is closed: groups that do not know it yet begin to live.
    pub fn wake(&mut self, epoch: Epoch) {
        for (group, (_, rows)) in self.restored.0.extract_if(.., |_, (known, _)| *known < epoch) {
            self.groups[group.index()] = rows;
        }
    }
}

impl Rows {
    fn read(kept: Kept, unpacker: &mut Unpacker, shared: &mut Shared) -> Rows {
        let mut restored = Rows::default();
        // A customer's rows are all in one group.
        shared.customers.clear();
        // What was touched when a row was written last; of what was written again, that counts.
        let mut touched: BTreeMap<u32, Totals> = BTreeMap::new();
        let mut sizes = Vec::new();
        for piece in kept.pieces {
            let mut rest = unpacker.unpack(&piece).expect(READABLE);
            let rows = snapshot::list::<Written<'_, MarketName<'_>>>(&mut rest);
            restored.make_room(rows.len());
            let mut places = Vec::with_capacity(rows.len());
            for written in rows {
                let place = restored.place_of(&written, shared);
                let Written { totals, emitted, revision, is_touched, .. } = written;
                let row = restored.rows.get_mut(place).expect("it was found or made");
                row.set_totals(whole(totals, More::default()));
                row.set_revision(revision);
                if is_touched {
                    touched.insert(place, whole(emitted, More::default()));
                } else {
                    touched.remove(&place);
                }
                places.push(place);
            }
            let beside: Beside = if rest.is_empty() { Vec::new() } else { snapshot::next(&mut rest) };
            for (place, [more, more_emitted]) in beside {
                let place = places[place];
                let row = restored.rows.get_mut(place).expect("it was found or made");
                row.set_totals(whole(parts(row.totals()).0, more));
                if let Some(emitted) = touched.get_mut(&place) {
                    *emitted = whole(parts(*emitted).0, more_emitted);
                }
            }
            sizes.push([restored.rows.chunks()]);
        }
        restored.round = Round::resume(&sizes);
        for (place, emitted) in touched {
            restored.mark_touched(place, emitted);
        }
        restored.rows.settle();
        restored
    }

    /// Where the row that was written is, or is now.
    fn place_of(&mut self, written: &Written<'_, MarketName<'_>>, shared: &mut Shared) -> u32 {
        let (market, customer_id) = (shared.market(written.market), shared.customer(written.customer_id));
        let key = RowKey { hash: written.hash, date: written.date, market, customer_id };
        let known = self.find(&key);
        known.unwrap_or_else(|| self.insert(key.hash, Row::of(key.customer_id, key.market, key.date)))
    }
}

/// Texts that rows have in common, while they are read again. Most are those of the row before.
#[derive(Default)]
struct Shared {
    markets: Markets,
    market: Option<Arc<Market>>,
    customers: HashSet<Arc<str>, FixedState>,
    customer: Option<Arc<str>>,
}

impl Shared {
    fn market(&mut self, name: MarketName<'_>) -> Arc<Market> {
        match &self.market {
            Some(last) if name.is_of(last) => last.clone(),
            _ => self.market.insert(self.markets.share(name)).clone(),
        }
    }

    fn customer(&mut self, id: &str) -> Arc<str> {
        match &self.customer {
            Some(last) if **last == *id => last.clone(),
            _ => self.customer.insert(self.customers.get_or_insert_with(id, |id| id.into()).clone()).clone(),
        }
    }
}
