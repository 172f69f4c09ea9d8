//! State of operators in pieces, as checkpoints keep it.
//!
//! A *part* is what one operator keeps for one key group. Parts know nothing of each other, so each is
//! written at an epoch of its own, in *sections*: one holds what has changed since the last one, and a
//! little of what has not, going round. A *cycle* is one round: the sections since a cycle began, and
//! until it is complete those of the cycle before, hold everything.

use crate::Epoch;
use crate::cold::ColdRun;
use crate::hash::{KEY_GROUPS, KeyGroup};

/// Whose state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Keeper {
    /// The players operator: progress and ledger.
    Players,
    /// Daily activity.
    Activity,
}

/// One operator's state of one key group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    /// The operator.
    pub keeper: Keeper,
    /// The key group.
    pub group: KeyGroup,
}

/// How many parts there are: a constant of the state format.
pub const PARTS: usize = 2 << KeyGroup::BITS;

impl Part {
    /// Its number, from 0 to [`PARTS`].
    pub fn index(self) -> usize {
        let before = match self.keeper {
            Keeper::Players => 0,
            Keeper::Activity => usize::from(KEY_GROUPS),
        };
        before + self.group.index()
    }

    /// The part of this number, if there is one.
    pub fn of(index: usize) -> Option<Self> {
        let groups = usize::from(KEY_GROUPS);
        let keeper = [Keeper::Players, Keeper::Activity].into_iter().nth(index / groups)?;
        Some(Part { keeper, group: KeyGroup(u16::try_from(index % groups).expect("below a u16")) })
    }
}

/// A section of a part.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// The part.
    pub part: Part,
    /// It holds what the state is after this epoch.
    pub epoch: Epoch,
    /// A cycle begins with it.
    pub begins_cycle: bool,
    /// What changed, encoded by the operator; empty if nothing did.
    pub bytes: Vec<u8>,
    /// What is not in the state any more since it went cold. A part is its sections and all its runs.
    pub cold: Option<ColdRun>,
}

/// What a part was made of when it was last written, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The state is that after this epoch.
    pub epoch: Epoch,
    /// [`Section::bytes`] from the beginning of a cycle on, oldest first.
    pub sections: Vec<Vec<u8>>,
    /// What went cold before, and may still be needed.
    pub cold: Vec<ColdRun>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_numbered_without_gaps() {
        assert!((0..PARTS).all(|index| Part::of(index).is_some_and(|part| part.index() == index)));
        assert_eq!(Part::of(PARTS), None);
    }
}
