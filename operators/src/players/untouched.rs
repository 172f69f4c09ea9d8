//! Where nobody has progress in a mission: when it is edited, those players need not be looked at.

use datasets::hash::KeyGroup;

use crate::definitions::MissionSlot;

/// Bits of a word.
const WORD: usize = 64;

/// A bit for each key group.
type Groups = [u64; (1 << KeyGroup::BITS) / WORD];

/// For each mission the key groups of which nobody has progress in it. It is certain of those that it names, and names not all:
/// what a mission has in a group that was read is not known until somebody looks.
#[derive(Clone, Debug, Default)]
pub(super) struct Untouched(Vec<Groups>);

impl Untouched {
    /// A mission of which nothing was heard before: only groups that are read later can have progress in it.
    pub(super) fn define(&mut self, slot: MissionSlot) {
        if index(slot) >= self.0.len() {
            self.pass(slot);
            self.0[index(slot)] = [u64::MAX; _];
        }
    }

    /// A mission that groups may know already.
    pub(super) fn pass(&mut self, slot: MissionSlot) {
        let len = self.0.len().max(index(slot) + 1);
        self.0.resize(len, Groups::default());
    }

    /// Nobody of the group has progress in the mission.
    pub(super) fn is(&self, slot: MissionSlot, group: KeyGroup) -> bool {
        let (word, bit) = place(group);
        self.0.get(index(slot)).is_some_and(|groups| groups[word] & bit != 0)
    }

    /// All players of the group were looked at, and nobody has progress in the mission.
    pub(super) fn note(&mut self, slot: MissionSlot, group: KeyGroup) {
        self.pass(slot);
        let (word, bit) = place(group);
        self.0[index(slot)][word] |= bit;
    }

    /// Somebody of the group has progress in the mission from now on.
    pub(super) fn touch(&mut self, slot: MissionSlot, group: KeyGroup) {
        let (word, bit) = place(group);
        if let Some(groups) = self.0.get_mut(index(slot)) {
            groups[word] &= !bit;
        }
    }

    /// The group was read: nobody knows what it has.
    pub(super) fn read(&mut self, group: KeyGroup) {
        let (word, bit) = place(group);
        self.0.iter_mut().for_each(|groups| groups[word] &= !bit);
    }
}

fn index(slot: MissionSlot) -> usize {
    usize::try_from(slot.0).expect("usize holds a u32")
}

fn place(group: KeyGroup) -> (usize, u64) {
    (group.index() / WORD, 1 << (group.index() % WORD))
}

#[cfg(test)]
mod tests {
    use datasets::hash::KEY_GROUPS;

    use super::*;

    #[test]
    fn a_new_mission_is_untouched_until_somebody_begins_it_or_a_group_is_read() {
        let (first, second) = (MissionSlot(3), MissionSlot(5));
        let (a, b, c) = (KeyGroup(0), KeyGroup(64), KeyGroup(KEY_GROUPS - 1));
        let mut untouched = Untouched::default();
        untouched.pass(first);
        untouched.define(second);
        assert_eq!([a, b, c].map(|group| untouched.is(first, group)), [false; 3]);
        assert_eq!([a, b, c].map(|group| untouched.is(second, group)), [true; 3]);
        assert!(!untouched.is(MissionSlot(4), a) && !untouched.is(MissionSlot(6), a), "nothing was heard of these");
        untouched.touch(second, b);
        untouched.define(second);
        assert_eq!([a, b, c].map(|group| untouched.is(second, group)), [true, false, true]);
        untouched.note(first, c);
        untouched.read(c);
        assert_eq!([a, b, c].map(|group| untouched.is(second, group)), [true, false, false]);
        assert!(!untouched.is(first, c));
        untouched.note(first, c);
        assert!(untouched.is(first, c) && !untouched.is(first, a));
    }
}
