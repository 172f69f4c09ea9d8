//! Rows of activity in sections, and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use datasets::Epoch;
use datasets::hash::{KeyGroup, player_hash};
use datasets::state::{Keeper, Kept, Part, Section, Unpacker};
use datasets::time::Date;
use serde::{Deserialize, Serialize};

use super::customers::Customers;
use super::row::Row;
use super::rows::{Rows, Touched};
use super::{DailyActivity, Totals, key};
use crate::ledger::{Market, MarketName, Markets};
use crate::snapshot::{self, READABLE, Round, Turn, Visited, WRITABLE};

/// Key groups that were read from a checkpoint and have not been reached yet, with the epochs that they know.
#[derive(Default)]
pub(super) struct Restored(BTreeMap<KeyGroup, (Epoch, Rows)>);

/// A row as it is written.
#[derive(Serialize, Deserialize)]
struct Written<'a, M> {
    hash: u64,
    date: Date,
    market: M,
    customer_id: &'a str,
    totals: Totals,
    /// As of the last revision that was emitted.
    emitted: Totals,
    revision: u64,
    is_touched: bool,
}

impl<'a> Written<'a, &'a Market> {
    fn of(row: &'a Row, customers: &'a Customers, touched: &[Touched]) -> Self {
        let Row { market, date, .. } = row;
        let customer_id = customers.id(row.customer);
        Written {
            hash: key::hash(player_hash(customer_id), market, *date),
            date: *date,
            market,
            customer_id,
            totals: row.totals(),
            emitted: Rows::emitted(touched, row),
            revision: row.revision(),
            is_touched: row.touched != 0,
        }
    }
}

impl DailyActivity {
    /// What is new in `group` after `epoch`, and a little of the rest. Nothing of a group that has yet to wake up.
    pub fn write(&mut self, group: KeyGroup, epoch: Epoch) -> Visited {
        if self.restored.0.contains_key(&group) {
            return Visited::Asleep;
        }
        let Rows { rows, customers, touched, round, .. } = &mut self.groups[group.index()];
        let Turn { pieces, needs, .. } = round.next([rows.chunks()], rows.changed());
        let last = pieces.len() - 1;
        let pieces = pieces.into_iter().enumerate().map(|(number, [chunks])| {
            let taken = rows.take(chunks, number == last);
            let written: Vec<Written<'_, &Market>> =
                taken.map(|(row, _)| Written::of(row, customers, touched)).collect();
            postcard::to_allocvec(&written).expect(WRITABLE)
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
        let (mut touched, mut full) = (Vec::new(), Vec::new());
        // From the newest to the oldest, so that nothing is built of what was written again.
        for piece in kept.pieces.into_iter().rev() {
            full.push([restored.rows.full_chunks()]);
            let mut rest = unpacker.unpack(&piece).expect(READABLE);
            let rows = snapshot::list::<Written<'_, MarketName<'_>>>(&mut rest);
            restored.make_room(rows.len());
            for written in rows {
                let Written { hash, date, customer_id, .. } = written;
                let market = shared.market(written.market);
                if restored.find_by(hash, customer_id, &market, date).is_some() {
                    continue;
                }
                let mut row = Row::new(restored.customers.enter(customer_id), market, date);
                row.set_totals(written.totals);
                row.set_revision(written.revision);
                let place = restored.insert(hash, row);
                if written.is_touched {
                    touched.push((place, written.emitted));
                }
            }
        }
        let turned = restored.reverse();
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
