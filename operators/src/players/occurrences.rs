//! The occurrences of missions in which a player has progress.

use datasets::Timestamp;
use serde::{Deserialize, Serialize};

use crate::definitions::MissionSlot;
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

    /// All of them, in order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (OccurrenceKey, &mut Progress)> {
        self.keys.iter().copied().zip(&mut self.progress)
    }

    /// Those of one mission, in order.
    pub(super) fn of_mission(&mut self, slot: MissionSlot) -> impl Iterator<Item = (OccurrenceKey, &mut Progress)> {
        let start = self.keys.partition_point(|(other, _)| *other < slot);
        let end = self.keys.partition_point(|(other, _)| *other <= slot);
        self.keys[start..end].iter().copied().zip(&mut self.progress[start..end])
    }
}
