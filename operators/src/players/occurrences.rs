//! The occurrences of missions in which a player has progress.

use datasets::Timestamp;
use serde::{Deserialize, Serialize};

use super::Player;
use crate::definitions::{ClassId, Definitions, MissionSlot};
use crate::progress::Progress;

/// A mission and the start of its window.
pub(super) type OccurrenceKey = (MissionSlot, Timestamp);

/// Progress by occurrence, sorted. A player has tens of them, so a sorted vector is smaller and faster
/// than a tree, whose nodes are allocated for many.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Occurrences {
    keys: Vec<OccurrenceKey>,
    /// One for each key.
    progress: Vec<Progress>,
}

impl Occurrences {
    /// Progress in the occurrence of `key`.
    pub(super) fn get(&self, key: OccurrenceKey) -> Option<&Progress> {
        self.keys.binary_search(&key).ok().map(|index| &self.progress[index])
    }

    /// Progress in the occurrence of `key`.
    pub(super) fn get_mut(&mut self, key: OccurrenceKey) -> Option<&mut Progress> {
        self.keys.binary_search(&key).ok().map(|index| &mut self.progress[index])
    }

    /// Progress in the occurrence of `key`, begun if there is none.
    pub(super) fn get_or_begin(&mut self, key: OccurrenceKey, begin: impl FnOnce() -> Progress) -> &mut Progress {
        let index = self.keys.binary_search(&key).unwrap_or_else(|index| {
            self.keys.insert(index, key);
            self.progress.insert(index, begin());
            index
        });
        &mut self.progress[index]
    }

    /// Forgets an occurrence.
    pub(super) fn remove(&mut self, key: OccurrenceKey) {
        if let Ok(index) = self.keys.binary_search(&key) {
            self.keys.remove(index);
            self.progress.remove(index);
        }
    }

    /// All of them, in order.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (OccurrenceKey, &Progress)> {
        self.keys.iter().copied().zip(&self.progress)
    }

    /// Windows of one mission, in order.
    pub(super) fn windows(&self, slot: MissionSlot) -> impl Iterator<Item = (Timestamp, &Progress)> {
        let of = self.of(slot);
        self.keys[of.clone()].iter().map(|(_, window)| *window).zip(&self.progress[of])
    }

    /// Those of one mission, in order.
    pub(super) fn of_mission(&mut self, slot: MissionSlot) -> impl Iterator<Item = (OccurrenceKey, &mut Progress)> {
        let of = self.of(slot);
        self.keys[of.clone()].iter().copied().zip(&mut self.progress[of])
    }

    fn of(&self, slot: MissionSlot) -> std::ops::Range<usize> {
        let start = self.keys.partition_point(|(other, _)| *other < slot);
        start..self.keys.partition_point(|(other, _)| *other <= slot)
    }
}

impl Player {
    /// Forgets an occurrence that nothing can move any more, and what was only kept for it.
    pub(super) fn forget(&mut self, key: OccurrenceKey, definitions: &Definitions) {
        self.occurrences.remove(key);
        let classes = definitions.history(key.0).classes().map(|(_, _, class)| class);
        let needed: Vec<_> = classes.map(|class| (class, self.needed_from(class, definitions))).collect();
        self.tracks.forget(key, &needed);
    }

    /// From when on contributions to a class are needed by an occurrence; `None`: none is.
    fn needed_from(&self, class: ClassId, definitions: &Definitions) -> Option<Timestamp> {
        let users = definitions.class(class).users.iter();
        let occurrences = users.flat_map(|user| self.occurrences.windows(user.slot));
        // The only window of a mission keeps the start it had first, which an edit may have moved since.
        occurrences.map(|(window, progress)| if progress.is_once() { Timestamp::MIN } else { window }).min()
    }
}
