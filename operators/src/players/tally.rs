//! Sums that many occurrences share.
//!
//! Missions that take the same events for the same value differ in their targets. What an event adds to one
//! of them it adds to all, and nearly always nothing else follows from it. So it is added once, to the
//! [`Tally`] of the class, for as long as that is all that happens: while no occurrence reaches its target,
//! and behind everything that has decided before. Whoever looks at an occurrence settles the tallies first.
//!
//! Invariant: the fold of an occurrence, shifted by the tallies of its classes, is the fold of its sequence.

use datasets::Timestamp;
use serde::{Deserialize, Serialize};

use super::Player;
use super::occurrences::Occurrences;
use super::touch::{Place, Recent, find_places};
use super::tracks::Track;
use crate::contributions::Contribution;
use crate::definitions::{Definitions, Generation};

/// What contributions to a class have added to its occurrences, beside what those know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Of the definitions that `room` follows from, in this process: another one counts anew, from 1.
    #[serde(skip)]
    revision: u64,
    /// How many contributions: the last ones of the track.
    count: u32,
    /// Of all of them.
    generation: Generation,
    /// Their sum ([`datasets::Money::raw`]).
    sum: i64,
    /// All that is added stays below this, so that no occurrence reaches its target.
    room: i64,
    /// All that is added comes later than this, so that nothing decided is decided anew.
    decided: Timestamp,
}

#[cfg(test)]
impl Tally {
    /// How many contributions it holds.
    pub(super) fn count(&self) -> u32 {
        self.count
    }
}

impl Track {
    /// Adds `contribution` to the tally, if that is all that it does.
    pub(super) fn add(
        &mut self,
        contribution: &Contribution,
        generation: Generation,
        recent: &Recent,
        definitions: &Definitions,
    ) -> bool {
        let Contribution { order, live, value, .. } = *contribution;
        let (Some(last), Ok(value)) = (self.last(), i64::try_from(value.raw())) else { return false };
        let tally = &mut self.tally;
        let is_known = tally.revision == definitions.revision() && tally.generation == generation;
        // It comes behind all others, and where the last one came: the tally's are the last.
        let is_next = order > last && order.0 > tally.decided && recent.bounds.contain(last.0);
        let fits = is_known && is_next && live && 0 <= value && value < tally.room;
        if fits {
            tally.sum += value;
            tally.room -= value;
            tally.count += 1;
            self.push(*contribution);
        }
        fits
    }

    /// After `contribution` was told to its occurrences, which are `recent`'s: how much may be added to all.
    pub(super) fn open(
        &mut self,
        contribution: &Contribution,
        recent: &Recent,
        occurrences: &Occurrences,
        definitions: &Definitions,
    ) {
        self.tally = Tally::default();
        let Some(generation) = self.generation().filter(|_| self.last() == Some(contribution.order)) else { return };
        let (mut room, mut decided) = (i64::MAX, Timestamp::MIN);
        for place in &recent.places {
            let progress = occurrences.get(place.key);
            let of_one = progress.and_then(|progress| progress.room(definitions.history(place.key.slot)));
            let Some((more, since)) = of_one else { return };
            room = room.min(more);
            decided = decided.max(since);
        }
        self.tally = Tally { revision: definitions.revision(), generation, room, decided, ..Tally::default() };
    }

    /// Tells the occurrences what the tally holds for them. `places` is scratch.
    pub(super) fn settle(&mut self, occurrences: &mut Occurrences, definitions: &Definitions, places: &mut Vec<Place>) {
        let Tally { count, generation, sum, .. } = self.tally;
        if count == 0 {
            return;
        }
        (self.tally.count, self.tally.sum) = (0, 0);
        let last = self.last().expect("the tally's contributions are here");
        // Where a contribution belongs follows from its generation, whatever has been defined since.
        find_places(definitions, self.class, generation, last.0, places);
        for place in places.iter() {
            let progress =
                occurrences.get_mut(place.key).expect("a tally is opened when all its occurrences are there");
            progress.add_all(sum, last);
        }
    }

    /// Adds nothing more to the tally until it is opened again. What it holds has been settled.
    pub(super) fn close(&mut self) {
        debug_assert_eq!(self.tally.count, 0, "settled");
        self.tally = Tally::default();
    }
}

impl Player {
    /// Settles every tally, so that each occurrence knows all of its progress.
    pub(super) fn settle(&mut self, definitions: &Definitions) {
        let mut places = Vec::new();
        let Player { occurrences, tracks, .. } = self;
        tracks.iter_mut().for_each(|track| track.settle(occurrences, definitions, &mut places));
    }
}
