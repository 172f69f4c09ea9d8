//! Rows of activity in sections, and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use datasets::hash::{KeyGroup, player_hash};
use datasets::state::{Keeper, Kept, Part, Section, Unpacker};
use datasets::time::Date;
use datasets::{Epoch, Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::cold::Cold;
use super::customers::Customers;
use super::row::Row;
use super::rows::{Rows, Touched};
use super::{DailyActivity, Totals, key};
use crate::ledger::{Market, MarketName, Markets};
use crate::snapshot::{self, ColdRules, READABLE, Round, Turn, Visited, WRITABLE};

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
pub(super) struct First {
    bets_count: i64,
    stakes: Money,
    winnings: Money,
    bonus_bets: Money,
    bonus_wins: Money,
}

/// The sums that few rows have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct More {
    jackpot_contribution: Money,
    jackpot_wins: Money,
    chargebacks: Money,
}

/// By place in the piece: what counts, and what was emitted.
type Beside = Vec<(usize, [More; 2])>;

/// Sums as they are written.
pub(super) fn parts(totals: Totals) -> (First, More) {
    let Totals { bets_count, stakes, winnings, bonus_bets, bonus_wins, .. } = totals;
    let Totals { jackpot_contribution, jackpot_wins, chargebacks, .. } = totals;
    let first = First { bets_count, stakes, winnings, bonus_bets, bonus_wins };
    (first, More { jackpot_contribution, jackpot_wins, chargebacks })
}

/// Sums that were written.
pub(super) fn whole(first: First, more: More) -> Totals {
    let First { bets_count, stakes, winnings, bonus_bets, bonus_wins } = first;
    let More { jackpot_contribution, jackpot_wins, chargebacks } = more;
    Totals { bets_count, stakes, winnings, bonus_bets, bonus_wins, jackpot_contribution, jackpot_wins, chargebacks }
}

impl<'a> Written<'a, &'a Market> {
    fn of(row: &'a Row, customers: &'a Customers, touched: &[Touched]) -> (Self, [More; 2]) {
        let market: &Market = &row.market;
        let (date, customer_id) = (row.date, customers.id(row.customer));
        let (totals, more) = parts(row.totals());
        let (emitted, more_emitted) = parts(Rows::emitted(touched, row));
        let written = Written {
            hash: key::hash(player_hash(customer_id), market, date),
            date,
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
fn bytes<'a>(rows: impl Iterator<Item = &'a Row>, customers: &Customers, touched: &[Touched]) -> Vec<u8> {
    let (written, more): (Vec<_>, Vec<_>) = rows.map(|row| Written::of(row, customers, touched)).unzip();
    let mut bytes = postcard::to_allocvec(&written).expect(WRITABLE);
    let beside = more.into_iter().enumerate().filter(|(_, more)| *more != <[More; 2]>::default());
    let beside: Beside = beside.collect();
    if !beside.is_empty() {
        bytes.extend(postcard::to_allocvec(&beside).expect(WRITABLE));
    }
    bytes
}

impl DailyActivity {
    /// What is new in `group` after `epoch`, and a little of the rest. Clock and ingest times have come as far as `oldest`: rows of days
    /// that were long over then go cold, if there are rules for it. Nothing of a group that has yet to wake up.
    pub fn write(&mut self, group: KeyGroup, epoch: Epoch, cold: Option<ColdRules>, oldest: Timestamp) -> Visited {
        if self.restored.0.contains_key(&group) {
            return Visited::Asleep;
        }
        let cold = self.groups[group.index()].freeze(group, cold, oldest);
        let Rows { rows, customers, touched, round, .. } = &mut self.groups[group.index()];
        let Turn { pieces, needs, .. } = round.next([rows.chunks()], rows.changed());
        let last = pieces.len() - 1;
        let pieces = pieces.into_iter().enumerate().map(|(number, [chunks])| {
            let taken = rows.take(chunks, number == last).map(|(row, _)| &*row);
            bytes(taken, customers, touched)
        });
        let (part, pieces) = (Part { keeper: Keeper::Activity, group }, pieces.collect());
        Visited::Section(Section { part, epoch, needs, pieces, cold })
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
        let (mut touched, mut full) = (BTreeMap::new(), Vec::new());
        // From the newest to the oldest, so that nothing is built of what was written again.
        for piece in kept.pieces.into_iter().rev() {
            full.push([restored.rows.full_chunks()]);
            let mut rest = unpacker.unpack(&piece).expect(READABLE);
            let rows = snapshot::list::<Written<'_, MarketName<'_>>>(&mut rest);
            restored.make_room(rows.len());
            let mut places = Vec::with_capacity(rows.len());
            for written in rows {
                let Written { hash, date, customer_id, totals, emitted, revision, is_touched, market } = written;
                let market = shared.market(market);
                if restored.find_by(hash, customer_id, &market, date).is_some() {
                    places.push(None);
                    continue;
                }
                let mut row = Row::new(restored.customers.enter(customer_id), market, date);
                row.set_totals(whole(totals, More::default()));
                row.set_revision(revision);
                let place = restored.insert(hash, row);
                if is_touched {
                    touched.insert(place, whole(emitted, More::default()));
                }
                places.push(Some(place));
            }
            let beside: Beside = if rest.is_empty() { Vec::new() } else { snapshot::next(&mut rest) };
            for (number, [more, more_emitted]) in beside {
                let Some(place) = places[number] else { continue };
                let row = restored.rows.get_mut(place).expect("nothing goes cold meanwhile");
                row.set_totals(whole(parts(row.totals()).0, more));
                if let Some(emitted) = touched.get_mut(&place) {
                    *emitted = whole(parts(*emitted).0, more_emitted);
                }
            }
        }
        restored.cold = Cold::restore(&kept.cold);
        let turned = restored.turn_round();
        restored.round = Round::resume(&full, [restored.rows.chunks()]);
        for (place, emitted) in touched {
            restored.mark_touched(turned(place), emitted);
        }
        restored.rows.settle();
        restored
    }
}

/// Markets that rows have in common, while they are read again. Most are that of the row before.
#[derive(Default)]
struct Shared {
    markets: Markets,
    market: Option<Arc<Market>>,
}

impl Shared {
    fn market(&mut self, name: MarketName<'_>) -> Arc<Market> {
        match &self.market {
            Some(last) if name.is_of(last) => last.clone(),
            _ => self.market.insert(self.markets.share(name)).clone(),
        }
    }
}
