//! A player's tier: the highest one that the player has, in the order of configuration (DOMAIN §4, "Tiers").
//!
//! Whether a player has a tier is judged as a mission is of which nobody hears, with the tier's measure as its only stage
//! and the threshold as its target: so duplicates, reversals, re-settlements, late events and rates of exchange are to tiers
//! what they are to missions. What is kept here is what follows from that for the one tier that is told.

use serde::{Deserialize, Serialize};

/// A tier by its place in the configuration, from 0: a later one is higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TierNumber(pub u32);

/// What one player has of tiers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rank {
    /// How many changes were told.
    changes: u64,
    /// From the lowest to the highest.
    held: Vec<TierNumber>,
}

/// A change of the highest tier that a player has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Counts the player's changes, from 1.
    pub revision: u64,
    /// From now on.
    pub tier: Option<TierNumber>,
    /// Until now.
    pub previous: Option<TierNumber>,
}

impl Rank {
    /// The player has each of these tiers from now on, or no longer. Answers what is to be told: nothing, if the
    /// highest one is the same.
    pub fn change(&mut self, moved: impl IntoIterator<Item = (TierNumber, bool)>) -> Option<Change> {
        let previous = self.held.last().copied();
        for (tier, is_held) in moved {
            match (self.held.binary_search(&tier), is_held) {
                (Err(place), true) => self.held.insert(place, tier),
                (Ok(place), false) => drop(self.held.remove(place)),
                (Ok(_), true) | (Err(_), false) => {}
            }
        }
        let tier = self.held.last().copied();
        if tier == previous {
            return None;
        }
        self.changes += 1;
        Some(Change { revision: self.changes, tier, previous })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILVER: TierNumber = TierNumber(0);
    const GOLD: TierNumber = TierNumber(1);

    fn told(rank: &mut Rank, moved: &[(TierNumber, bool)]) -> Option<(u64, Option<TierNumber>, Option<TierNumber>)> {
        rank.change(moved.iter().copied()).map(|change| (change.revision, change.tier, change.previous))
    }

    #[test]
    fn the_highest_tier_is_told_when_it_changes() {
        let mut rank = Rank::default();
        assert_eq!(told(&mut rank, &[(SILVER, true)]), Some((1, Some(SILVER), None)));
        assert_eq!(told(&mut rank, &[(SILVER, true)]), None);
        assert_eq!(told(&mut rank, &[(GOLD, true)]), Some((2, Some(GOLD), Some(SILVER))));
        assert_eq!(told(&mut rank, &[(SILVER, false)]), None, "a lower one is not seen");
        assert_eq!(told(&mut rank, &[(GOLD, false)]), Some((3, None, Some(GOLD))));
        assert_eq!(told(&mut rank, &[(GOLD, false)]), None);
    }

    #[test]
    fn what_one_event_does_is_told_at_once() {
        let mut rank = Rank::default();
        assert_eq!(told(&mut rank, &[(SILVER, true), (GOLD, true)]), Some((1, Some(GOLD), None)));
        assert_eq!(told(&mut rank, &[(GOLD, false), (SILVER, false), (GOLD, true)]), None);
        assert_eq!(told(&mut rank, &[(GOLD, false), (SILVER, true)]), Some((2, Some(SILVER), Some(GOLD))));
    }
}
