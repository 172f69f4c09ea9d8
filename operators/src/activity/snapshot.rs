//! Rows of activity in sections, and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use datasets::Epoch;
use datasets::hash::KeyGroup;
use datasets::state::{Keeper, Kept, Part, Section};
use hashbrown::HashSet;

use super::key::ReadKey;
use super::{DailyActivity, Row, RowKey, Rows};
use crate::ledger::{Market, MarketName, Markets};
use crate::slab::CHUNK;
use crate::snapshot;

/// Key groups that were read from a checkpoint and have not been reached yet, with the epochs that they know.
#[derive(Default)]
pub(super) struct Restored(BTreeMap<KeyGroup, (Epoch, Rows)>);

impl DailyActivity {
    /// What is new in `group` after `epoch`, and a little of the rest. Nothing of a group that has yet to wake up.
    pub fn write(&mut self, group: KeyGroup, epoch: Epoch) -> Option<Section> {
        if self.restored.0.contains_key(&group) {
            return None;
        }
        let Rows { rows, changed, round, .. } = &mut self.groups[group.index()];
        let ([chunks], begins_cycle) = round.next([rows.len().div_ceil(CHUNK)], changed.len());
        for place in chunks.start * CHUNK..rows.len().min(chunks.end * CHUNK) {
            rows[place].mark(place, changed);
        }
        for place in changed.iter() {
            rows[*place].is_changed = false;
        }
        let written: Vec<(&RowKey, &Row)> =
            changed.drain(..).map(|place| rows.get_index(place).expect("rows are not removed")).collect();
        let bytes = postcard::to_allocvec(&written).expect("rows have only types that postcard writes");
        Some(Section { part: Part { keeper: Keeper::Activity, group }, epoch, begins_cycle, bytes, cold: None })
    }

    /// Takes what was written. Each group wakes up behind the epoch that was written last.
    pub fn restore(&mut self, state: &snapshot::Restored) {
        self.restored.0 = state.read(Keeper::Activity, |shared, kept| Rows::read(kept, shared));
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
    fn read(kept: &Kept, shared: &mut Shared) -> Rows {
        let mut restored = Rows::default();
        // A customer's rows are all in one group.
        shared.customers.clear();
        for bytes in &kept.sections {
            let mut rest = &bytes[..];
            let rows = snapshot::list::<(ReadKey<'_>, Row)>(&mut rest);
            if restored.rows.is_empty() {
                restored.rows.reserve_exact(rows.len());
            }
            for (key, row) in rows {
                restored.rows.insert(key.sharing(shared), row);
            }
        }
        let touched = restored.rows.values().enumerate().filter(|(_, row)| row.is_touched);
        restored.touched = touched.map(|(place, _)| place).collect();
        restored
    }
}

/// Texts that rows have in common, while they are read again.
#[derive(Default)]
pub(super) struct Shared {
    markets: Markets,
    customers: HashSet<Arc<str>, foldhash::fast::FixedState>,
}

impl Shared {
    pub(super) fn market(&mut self, market: MarketName<'_>) -> Arc<Market> {
        self.markets.share(market)
    }

    pub(super) fn customer(&mut self, id: &str) -> Arc<str> {
        self.customers.get_or_insert_with(id, |id| id.into()).clone()
    }
}
