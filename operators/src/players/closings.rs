//! When what is known of players can be forgotten.
//!
//! Of everything that is known of a player and has an end, the earliest hour is filed, or an earlier one: who falls due in an hour is
//! looked at as a whole, and filed again under the next. So whoever has progress in a hundred missions, most of which end in one hour,
//! takes 8 bytes here.

use std::collections::BTreeMap;

use datasets::Timestamp;
use datasets::hash::KeyGroup;

use super::Player;
use super::occurrences::OccurrenceKey;
use crate::definitions::{ClassId, Definitions, GRACE};
use crate::ledger::Order;

const HOUR: i64 = 3_600_000_000;

/// The hour of a time.
pub(super) fn hour_of(time: Timestamp) -> i64 {
    time.micros().div_euclid(HOUR)
}

/// The hour after which progress can be dropped that moves until then, with some grace, so that records which a slow
/// partition brings with an earlier ingest time still find it.
pub(super) fn closing_hour(moves_until: Timestamp) -> i64 {
    hour_of(moves_until.plus_micros(GRACE))
}

/// A key group, and the place of a player in it.
pub(super) type PlayerPlace = (KeyGroup, u32);

/// Players by the hour after which something of them can be forgotten.
#[derive(Debug, Default)]
pub(super) struct Closings(BTreeMap<i64, Vec<PlayerPlace>>);

impl Closings {
    /// Something of a player falls due in `hour`.
    pub(super) fn file(&mut self, hour: i64, player: PlayerPlace) {
        let players = self.0.entry(hour).or_default();
        // What one event begins mostly ends in one hour.
        if players.last() != Some(&player) {
            players.push(player);
        }
    }

    /// Takes out the players that are filed before `hour`, each once.
    pub(super) fn take(&mut self, hour: i64) -> Vec<PlayerPlace> {
        let later = self.0.split_off(&hour);
        let mut due: Vec<_> = std::mem::replace(&mut self.0, later).into_values().flatten().collect();
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
