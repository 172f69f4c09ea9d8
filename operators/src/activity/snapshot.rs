//! Rows of activity in sections, and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use datasets::Epoch;
use datasets::hash::KeyGroup;
use datasets::state::{Keeper, Kept, Part, Section, Unpacker};
use foldhash::fast::FixedState;
use hashbrown::HashSet;
use indexmap::IndexMap;

use super::key::ReadKey;
use super::{DailyActivity, Row, RowKey, Rows};
use crate::ledger::{Market, MarketName, Markets};
use crate::slab::CHUNK;
use crate::snapshot::{self, READABLE, Round, Turn, Visited};

/// Key groups that were read from a checkpoint and have not been reached yet, with the epochs that they know.
#[derive(Default)]
pub(super) struct Restored(BTreeMap<KeyGroup, (Epoch, Rows)>);

impl DailyActivity {
    /// What is new in `group` after `epoch`, and a little of the rest. Nothing of a group that has yet to wake up.
    pub fn write(&mut self, group: KeyGroup, epoch: Epoch) -> Visited {
        if self.restored.0.contains_key(&group) {
            return Visited::Asleep;
        }
        let Rows { rows, changed, round, .. } = &mut self.groups[group.index()];
        let Turn { pieces, needs, .. } = round.next([chunks_of(rows)], changed.len());
        let places = pieces.into_iter().map(|[chunks]| chunks.start * CHUNK..rows.len().min(chunks.end * CHUNK));
        let mut places: Vec<Vec<usize>> = places.map(Iterator::collect).collect();
        for place in places.iter().flatten() {
            rows[*place].is_changed = false;
        }
        let others = changed.drain(..).filter(|place| std::mem::take(&mut rows[*place].is_changed));
        places.last_mut().expect("there is a piece").extend(others);
        let pieces = places.into_iter().map(|places| {
            let row = |place| rows.get_index(place).expect("rows are not removed");
            let written: Vec<(&RowKey, &Row)> = places.into_iter().map(row).collect();
            postcard::to_allocvec(&written).expect("rows have only types that postcard writes")
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

fn chunks_of(rows: &IndexMap<RowKey, Row, FixedState>) -> usize {
    rows.len().div_ceil(CHUNK)
}

impl Rows {
    fn read(kept: Kept, unpacker: &mut Unpacker, shared: &mut Shared) -> Rows {
        let mut restored = Rows::default();
        // A customer's rows are all in one group.
        shared.customers.clear();
        let mut sizes = Vec::new();
        for piece in kept.pieces {
            let mut rest = unpacker.unpack(&piece).expect(READABLE);
            let rows = snapshot::list::<(ReadKey<'_>, Row)>(&mut rest);
            if restored.rows.is_empty() {
                restored.rows.reserve_exact(rows.len());
            }
            for (key, row) in rows {
                restored.rows.insert(key.sharing(shared), row);
            }
            sizes.push([chunks_of(&restored.rows)]);
        }
        // Room for an eighth more: what came piece by piece has room for as much again.
        restored.rows.shrink_to(restored.rows.len() / 8 * 9);
        restored.round = Round::resume(&sizes);
        let touched = restored.rows.values().enumerate().filter(|(_, row)| row.is_touched);
        restored.touched = touched.map(|(place, _)| place).collect();
        restored
    }
}

/// Texts that rows have in common, while they are read again.
#[derive(Default)]
pub(super) struct Shared {
    markets: Markets,
    customers: HashSet<Arc<str>, FixedState>,
}

impl Shared {
    pub(super) fn market(&mut self, market: MarketName<'_>) -> Arc<Market> {
        self.markets.share(market)
    }

    pub(super) fn customer(&mut self, id: &str) -> Arc<str> {
        self.customers.get_or_insert_with(id, |id| id.into()).clone()
    }
}
