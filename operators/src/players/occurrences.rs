//! The occurrences of missions in which a player has progress.

use std::hint::black_box;

use datasets::Timestamp;
use serde::{Deserialize, Serialize};

use super::Player;
use super::tracks::Track;
use crate::definitions::{ClassId, Definitions, MissionHistory, MissionSlot};
use crate::progress::Progress;
use crate::room::make_room;

/// An event mostly begins some occurrences at once.
const AT_LEAST: usize = 2;

/// A mission and the start of its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct OccurrenceKey {
    /// What the mission looks at first, so that occurrences which one event moves lie side by side.
    near: Near,
    pub(super) slot: MissionSlot,
    pub(super) window: Timestamp,
}

/// A class or none, in the order and the form of an `Option`, in half of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Option<ClassId>", into = "Option<ClassId>")]
struct Near(u32);

impl From<Option<ClassId>> for Near {
    fn from(class: Option<ClassId>) -> Self {
        Near(class.map_or(0, |ClassId(number)| number + 1))
    }
}

impl From<Near> for Option<ClassId> {
    fn from(Near(next): Near) -> Self {
        next.checked_sub(1).map(ClassId)
    }
}

impl OccurrenceKey {
    pub(super) fn new(slot: MissionSlot, window: Timestamp, definitions: &Definitions) -> Self {
        OccurrenceKey { near: definitions.history(slot).first_class().into(), slot, window }
    }
}

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
    /// `hint` is where it may be, and becomes where the next one may.
    pub(super) fn get_or_begin(
        &mut self,
        key: OccurrenceKey,
        hint: &mut usize,
        begin: impl FnOnce() -> Progress,
    ) -> &mut Progress {
        let mut index = *hint;
        if self.keys.get(index) != Some(&key) {
            index = self.keys.binary_search(&key).unwrap_or_else(|index| {
                make_room(&mut self.keys, AT_LEAST);
                self.keys.insert(index, key);
                make_room(&mut self.progress, AT_LEAST);
                self.progress.insert(index, begin());
                index
            });
        }
        *hint = index + 1;
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
    pub(super) fn iter(&self) -> impl Iterator<Item = (OccurrenceKey, &Progress)> {
        self.keys.iter().copied().zip(&self.progress)
    }

    /// There is none.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Reads ahead which there are: four of them are in what a core reads from memory at once.
    pub(super) fn fetch(&self) {
        for key in self.keys.iter().step_by(4) {
            black_box(key.slot);
        }
    }

    /// Those of one mission, in order.
    pub(super) fn of_mission(
        &mut self,
        slot: MissionSlot,
        definitions: &Definitions,
    ) -> impl Iterator<Item = (OccurrenceKey, &mut Progress)> {
        let of = self.of(slot, definitions);
        self.keys[of.clone()].iter().copied().zip(&mut self.progress[of])
    }

    /// Progress in those of one mission, in order.
    pub(super) fn progress_of(&self, slot: MissionSlot, definitions: &Definitions) -> impl Iterator<Item = &Progress> {
        self.progress[self.of(slot, definitions)].iter()
    }

    /// There is one of this mission.
    pub(super) fn has(&self, slot: MissionSlot, definitions: &Definitions) -> bool {
        !self.of(slot, definitions).is_empty()
    }

    fn of(&self, slot: MissionSlot, definitions: &Definitions) -> std::ops::Range<usize> {
        let first = OccurrenceKey::new(slot, Timestamp::MIN, definitions);
        let last = OccurrenceKey { window: Timestamp::MAX, ..first };
        self.keys.partition_point(|key| *key < first)..self.keys.partition_point(|key| *key <= last)
    }
}

impl Player {
    /// All occurrences of which something is known that is not needed for ever, and until when it may be.
    pub(super) fn kept_until_all(&self, definitions: &Definitions) -> impl Iterator<Item = (OccurrenceKey, Timestamp)> {
        let begun = self.occurrences.iter().filter_map(|(key, progress)| {
            Some((key, definitions.history(key.slot).kept_until(progress.recurring_end())?))
        });
        let overridden = self
            .tracks
            .overridden()
            .filter_map(|key| Some((key, self.kept_until(key, definitions.history(key.slot))?)));
        begun.chain(overridden)
    }

    /// Until when what is known of an occurrence may be needed; `None`: for ever.
    pub(super) fn kept_until(&self, key: OccurrenceKey, history: &MissionHistory) -> Option<Timestamp> {
        match self.occurrences.get(key) {
            Some(progress) => history.kept_until(progress.recurring_end()),
            None => history.kept_until_of(key.window),
        }
    }

    /// Forgets an occurrence that nothing can move any more, and what was only kept for it.
    pub(super) fn forget(&mut self, key: OccurrenceKey, definitions: &Definitions) {
        // A tally is of occurrences that are there.
        self.settle(definitions);
        self.tracks.iter_mut().for_each(Track::close);
        self.settle_completion(key, definitions);
        self.occurrences.remove(key);
        if let Some(restrictions) = &mut self.restrictions {
            restrictions.forget(key);
        }
        let classes = definitions.history(key.slot).classes().map(|(_, _, class)| class);
        // Gated ones are kept for occurrences that have not begun, too.
        let classes = classes.filter(|class| !definitions.class(*class).is_gated);
        let needed: Vec<_> = classes.map(|class| (class, self.needed_from(class, definitions))).collect();
        self.tracks.forget(key, &needed);
    }

    /// From when on contributions to a class are needed by an occurrence; `None`: none is.
    fn needed_from(&self, class: ClassId, definitions: &Definitions) -> Option<Timestamp> {
        let users = definitions.class(class).users.iter();
        let windows = users.flat_map(|user| {
            let has_once = definitions.history(user.slot).has_once();
            let of = self.occurrences.of(user.slot, definitions);
            // The only window of a mission keeps the start it had first, which an edit may have moved since.
            of.map(move |index| if has_once { Timestamp::MIN } else { self.occurrences.keys[index].window })
        });
        windows.min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;

    #[test]
    fn progress_in_a_mission_takes_56_bytes() {
        assert_eq!(size_of::<OccurrenceKey>() + size_of::<Progress>(), 56);
    }

    #[test]
    fn a_key_is_written_and_sorted_as_with_an_option() {
        let classes = [None, Some(ClassId(0)), Some(ClassId(7)), Some(ClassId(300))];
        let keys =
            classes.map(|class| OccurrenceKey { near: class.into(), slot: MissionSlot(3), window: Timestamp::MIN });
        assert!(keys.is_sorted());
        for (key, class) in keys.iter().zip(classes) {
            let bytes = postcard::to_allocvec(key).unwrap();
            assert_eq!(bytes, postcard::to_allocvec(&(class, key.slot, key.window)).unwrap());
            assert_eq!(postcard::from_bytes::<OccurrenceKey>(&bytes).unwrap(), *key);
        }
    }
}
