//! When what is known of players can be forgotten.
//!
//! Of everything that is known of a player and has an end, the earliest hour is filed, or an earlier one: who falls due in an hour is
//! looked at as a whole, and filed again under the next. So whoever has progress in a hundred missions, most of which end in one hour,
//! takes 4 bytes here.
//!
//! Windows of millions of players end at one instant. So each key group has hours of its own, which begin a phase later than those of the group
//! before: what falls due for all is spread over an hour, and when it is forgotten still follows from the log alone.

use std::collections::BTreeMap;

use datasets::Timestamp;
use datasets::hash::KeyGroup;

use super::Player;
use super::occurrences::OccurrenceKey;
use crate::definitions::{ClassId, Definitions, GRACE};
use crate::ledger::Order;

const HOUR: i64 = 3_600_000_000;

/// Phases of an hour, one for each key group.
const PHASES: i64 = 1 << KeyGroup::BITS;

/// The hour of a time.
fn hour_of(time: Timestamp) -> i64 {
    time.micros().div_euclid(HOUR)
}

/// Phases that have begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Phase(i64);

impl Phase {
    /// None has.
    pub(super) const NEVER: Phase = Phase(i64::MIN);

    /// The one of a time.
    pub(super) fn of(time: Timestamp) -> Self {
        Phase(time.micros().div_euclid(HOUR / PHASES))
    }

    /// The groups whose hours have ended since `before`, each with the hour that has begun for it.
    pub(super) fn since(self, before: Phase) -> impl Iterator<Item = (KeyGroup, i64)> {
        let first = before.0.saturating_add(1).max(self.0.saturating_sub(PHASES - 1));
        (first..=self.0).map(|phase| {
            let group = u16::try_from(phase.rem_euclid(PHASES)).expect("there are as many phases as groups");
            (KeyGroup(group), phase.div_euclid(PHASES))
        })
    }

    /// The hour that has begun for a group.
    pub(super) fn hour_of(self, group: KeyGroup) -> Option<i64> {
        (self != Phase::NEVER).then(|| (self.0 - i64::from(group.0)).div_euclid(PHASES))
    }
}

/// The hour after which progress can be dropped that moves until then, with some grace, so that records which a slow
/// partition brings with an earlier ingest time still find it.
pub(super) fn closing_hour(moves_until: Timestamp) -> i64 {
    hour_of(moves_until.plus_micros(GRACE))
}

/// A key group, and the place of a player in it.
pub(super) type PlayerPlace = (KeyGroup, u32);

/// The places of one group's players, by the hour after which something of them can be forgotten.
pub(super) type Hours = Vec<(i64, Vec<u32>)>;

/// Players by key group, and by the hour after which something of them can be forgotten.
#[derive(Debug, Default)]
pub(super) struct Closings(BTreeMap<(KeyGroup, i64), Vec<u32>>);

impl Closings {
    /// Players of a group, none of whom is filed, fall due in these hours.
    pub(super) fn take_over(&mut self, group: KeyGroup, hours: Hours) {
        for (hour, places) in hours {
            let known = self.0.insert((group, hour), places);
            debug_assert!(known.is_none(), "a group is taken over when nobody of it is filed");
        }
    }

    /// Something of a player falls due in `hour`.
    pub(super) fn file(&mut self, hour: i64, (group, place): PlayerPlace) {
        let players = self.0.entry((group, hour)).or_default();
        // What one event begins mostly ends in one hour.
        if players.last() != Some(&place) {
            players.push(place);
        }
    }

    /// Takes out the players of a group that are filed before `hour`, each once.
    pub(super) fn take(&mut self, group: KeyGroup, hour: i64) -> Vec<u32> {
        let due = self.0.extract_if((group, i64::MIN)..(group, hour), |_, _| true);
        let mut due: Vec<u32> = due.flat_map(|(_, players)| players).collect();
        due.sort_unstable();
        due.dedup();
        due
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}

/// What has an end.
enum Closing {
    /// Progress.
    Occurrence(OccurrenceKey),
    /// Contributions to a gated class: the oldest of them.
    Class(ClassId),
    /// An amount that waits for a rate.
    Held(Order),
    /// Retained events: the first of them.
    Retained,
}

impl Player {
    /// What has an end, with the hour after which it can be forgotten. An end never becomes earlier, since every version so far counts.
    fn closings(&self, definitions: &Definitions) -> impl Iterator<Item = (i64, Closing)> {
        let occurrences = self.kept_until_all(definitions);
        let occurrences = occurrences.map(|(key, until)| (closing_hour(until), Closing::Occurrence(key)));
        let classes = self.tracks.iter().map(|track| track.class);
        let classes = classes.filter(|class| definitions.class(*class).is_gated);
        let classes = classes.filter_map(|class| Some((self.due(class, definitions)?, Closing::Class(class))));
        let held = self.waits.iter().flat_map(|held| held.orders().map(move |order| (held, order)));
        let held = held.filter_map(|(held, order)| Some((held.due(order, definitions)?, Closing::Held(order))));
        let retained = self.retained.as_deref().and_then(|retained| retained.due(definitions));
        occurrences.chain(classes).chain(held).chain(retained.map(|due| (due, Closing::Retained)))
    }

    /// The first hour that is not before `hour` after which something can be forgotten.
    pub(super) fn next_closing(&self, hour: i64, definitions: &Definitions) -> Option<i64> {
        self.closings(definitions).map(|(due, _)| due).filter(|due| *due >= hour).min()
    }

    /// Forgets what is due before `hour`. Answers by how many fewer events wait for a rate.
    pub(super) fn forget_before(&mut self, hour: i64, definitions: &Definitions) -> i64 {
        let due: Vec<_> = self.closings(definitions).filter(|(due, _)| *due < hour).collect();
        let mut fewer = 0;
        for (_, closing) in due {
            match closing {
                Closing::Occurrence(key) => self.forget(key, definitions),
                Closing::Class(class) => self.forget_due(class, hour, definitions),
                Closing::Held(order) => fewer += self.forget_held(order),
                Closing::Retained => self.forget_retained(hour, definitions),
            }
        }
        self.drop_contests(definitions);
        fewer
    }
}

#[cfg(test)]
mod tests {
    use datasets::hash::KEY_GROUPS;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_group_has_its_hours_one_behind_the_other(steps in prop::collection::vec(0..3 * HOUR, 1..30)) {
            let (mut time, mut phase) = (1_780_000_000_000_000, Phase::NEVER);
            let mut hours = BTreeMap::new();
            for step in steps {
                time += step;
                let before = std::mem::replace(&mut phase, Phase::of(Timestamp::from_micros(time)));
                let begun: Vec<_> = phase.since(before).collect();
                prop_assert!(begun.len() <= usize::from(KEY_GROUPS));
                for (group, hour) in begun {
                    prop_assert!(hours.insert(group, hour).is_none_or(|last| last < hour));
                }
                // Whoever begins anew with the phase alone knows the same hours: those that began at most an hour ago.
                for group in (0..KEY_GROUPS).map(KeyGroup) {
                    let begun = hour_of(Timestamp::from_micros(time - i64::from(group.0) * (HOUR / PHASES)));
                    prop_assert_eq!((hours.get(&group).copied(), phase.hour_of(group)), (Some(begun), Some(begun)));
                }
            }
        }
    }
}
