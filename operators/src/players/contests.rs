//! Events that missions of a group contest (DOMAIN §4, `exclusive_group`).
//!
//! Which missions of its group an event qualifies for follows from the event and the versions in force at its time, but for their gates:
//! what a player was opted in to, or had completed, can be heard later. So whoever may get an event has its contribution, and who they
//! are is kept here, in the order in which they go before each other. The first whose gate is open gets it.

use std::collections::BTreeMap;

use datasets::mission::Mission;
use serde::{Deserialize, Serialize};

use crate::definitions::{Definitions, MissionSlot};
use crate::ledger::Order;

/// A mission that may get an event, and its version at the event's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Contestant {
    pub(super) slot: MissionSlot,
    version: u32,
}

/// The missions of one group that may get an event, the first one first. The gate of the last may be one that is always open.
pub(super) type Contest = Vec<Contestant>;

/// A player's events that are contested.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Contests {
    /// One for each set of groups: most events are contested by the same missions.
    sets: Vec<Vec<Contest>>,
    by_order: BTreeMap<Order, u32>,
}

impl Contestant {
    pub(super) fn new(slot: MissionSlot, version: usize) -> Self {
        Contestant { slot, version: u32::try_from(version).expect("fewer than 2^32 versions") }
    }

    /// The version's number in its history.
    pub(super) fn version(self) -> usize {
        usize::try_from(self.version).expect("usize holds a u32")
    }

    /// The mission, by its version.
    pub(super) fn mission(self, definitions: &Definitions) -> &Mission {
        &definitions.history(self.slot).version(self.version()).mission
    }

    /// The group.
    pub(super) fn group(self, definitions: &Definitions) -> Option<&str> {
        self.mission(definitions).exclusive_group.as_deref()
    }
}

impl Contests {
    /// Nothing is contested.
    pub(super) fn is_empty(&self) -> bool {
        self.by_order.is_empty()
    }

    /// The contests of the event of `order`, one of each group.
    pub(super) fn of(&self, order: Order) -> &[Contest] {
        let set = self.by_order.get(&order);
        set.map_or(&[], |set| &self.sets[index(*set)])
    }

    /// Who goes before a mission for the event of `order`.
    pub(super) fn before(&self, order: Order, slot: MissionSlot) -> &[Contestant] {
        let place = |contest: &Contest| contest.iter().position(|contestant| contestant.slot == slot);
        let mut contests = self.of(order).iter();
        contests.find_map(|contest| Some(&contest[..place(contest)?])).unwrap_or_default()
    }

    /// The event of `order` has these contests.
    pub(super) fn put(&mut self, order: Order, contests: Vec<Contest>) {
        let place = self.sets.iter().position(|known| *known == contests).unwrap_or_else(|| {
            self.sets.push(contests);
            self.sets.len() - 1
        });
        self.by_order.insert(order, u32::try_from(place).expect("fewer than 2^32 sets"));
    }

    /// Nothing is kept any more of the event of `order`.
    pub(super) fn remove(&mut self, order: Order) {
        self.by_order.remove(&order);
        if self.by_order.is_empty() {
            self.sets.clear();
        }
    }

    /// Nothing is kept any more of events but those that are `needed`.
    pub(super) fn retain(&mut self, mut needed: impl FnMut(Order, &[Contest]) -> bool) {
        let sets = std::mem::take(&mut self.sets);
        for (order, set) in std::mem::take(&mut self.by_order) {
            let contests = &sets[index(set)];
            if needed(order, contests) {
                self.put(order, contests.clone());
            }
        }
    }
}

fn index(set: u32) -> usize {
    usize::try_from(set).expect("usize holds a u32")
}

#[cfg(test)]
mod tests {
    use datasets::{Coordinates, Timestamp, TopicId};

    use super::*;

    fn order(time: i64) -> Order {
        (Timestamp::from_micros(time), Coordinates { topic: TopicId(0), partition: 0, offset: time, index: 0 })
    }

    fn contest(slots: &[u32]) -> Contest {
        slots.iter().map(|slot| Contestant::new(MissionSlot(*slot), 0)).collect()
    }

    #[test]
    fn who_goes_before_is_told_by_group() {
        let mut contests = Contests::default();
        contests.put(order(1), vec![contest(&[4, 2]), contest(&[7, 1, 5])]);
        let before = |slot| contests.before(order(1), MissionSlot(slot)).to_vec();
        assert_eq!((before(4), before(2)), (contest(&[]), contest(&[4])));
        assert_eq!((before(7), before(5), before(9)), (contest(&[]), contest(&[7, 1]), contest(&[])));
        assert!(contests.before(order(2), MissionSlot(5)).is_empty());
    }

    #[test]
    fn sets_are_kept_once_and_as_long_as_they_are_needed() {
        let mut contests = Contests::default();
        for time in 0..9 {
            contests.put(order(time), vec![contest(&[u32::try_from(time % 3).unwrap(), 9])]);
        }
        assert_eq!(contests.sets.len(), 3);
        contests.retain(|order, _| order.0.micros() % 3 == 2);
        assert_eq!((contests.sets.len(), contests.by_order.len()), (1, 3));
        assert_eq!(contests.before(order(8), MissionSlot(9)), contest(&[2]));
        contests.retain(|_, _| false);
        assert_eq!(contests, Contests::default());
    }
}
