//! A player's tier: the highest one that the player has, in the order of configuration (DOMAIN §4, "Tiers").
//!
//! Whether a tier is reached is judged as a mission is of which nobody hears, with the tier's measure as its only stage and
//! the threshold as its target: so duplicates, reversals, re-settlements, late events and rates of exchange are to tiers what
//! they are to missions. What is kept here is what follows from that for the one tier that is told.

use datasets::Timestamp;
use datasets::mission::{Mission, Window};
use datasets::time::window;
use serde::{Deserialize, Serialize};

/// A configured tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// What it is judged by; its id is the tier's name. A recurring window is the tier's period.
    pub mission: Mission,
    /// A tier that has periods is kept through the one behind that in which it was reached.
    pub outlasts_next: bool,
}

impl Tier {
    /// Until when the tier is kept that was reached in the window that starts at `start`: for ever, where there is only one.
    pub fn kept_until(&self, start: Timestamp) -> Timestamp {
        match &self.mission.window {
            Window::Once => Timestamp::MAX,
            Window::Every { every, zone, .. } => {
                let (_, end) = window(*every, zone, start);
                if self.outlasts_next { window(*every, zone, end).1 } else { end }
            }
        }
    }
}

/// A tier by its place in the configuration, from 0: a later one is higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TierNumber(pub u32);

impl TierNumber {
    /// Its place in a list of all tiers.
    pub fn index(self) -> usize {
        usize::try_from(self.0).expect("usize holds a u32")
    }
}

/// What one player has of tiers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rank {
    /// How many changes were told.
    changes: u64,
    /// From the lowest to the highest, each with the first instant at which the player has it no more;
    /// [`Timestamp::MAX`]: never.
    held: Vec<(TierNumber, Timestamp)>,
}

/// What an event does to a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// The player has it from now on, until then at least.
    Reached(Timestamp),
    /// The player has it no longer.
    Lost,
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
    /// Moves tiers by what came at `at`. What was to be kept until then or before is past: it is not told. Answers what is
    /// to be told: nothing, if the highest tier is the same.
    pub fn change(&mut self, moves: impl IntoIterator<Item = (TierNumber, Move)>, at: Timestamp) -> Option<Change> {
        let previous = self.highest();
        for (tier, how) in moves {
            let place = self.held.binary_search_by_key(&tier, |(held, _)| *held);
            match (place, how) {
                (Ok(place), Move::Lost) => drop(self.held.remove(place)),
                (Err(_), Move::Lost) => {}
                (Ok(place), Move::Reached(until)) => self.held[place].1 = self.held[place].1.max(until),
                (Err(place), Move::Reached(until)) if at < until => self.held.insert(place, (tier, until)),
                (Err(_), Move::Reached(_)) => {}
            }
        }
        self.changed_from(previous)
    }

    /// Takes what the player has no more when the clock reads `now`. Answers what is to be told, each with its time.
    pub fn expire(&mut self, now: Timestamp) -> Vec<(Timestamp, Change)> {
        let mut changes = Vec::new();
        while let Some(due) = self.next_due().filter(|due| *due <= now) {
            let previous = self.highest();
            self.held.retain(|(_, until)| *until > due);
            changes.extend(self.changed_from(previous).map(|change| (due, change)));
        }
        changes
    }

    /// Until when the player has a tier, if it has: [`Timestamp::MAX`] for ever.
    pub fn held_until(&self, tier: TierNumber) -> Option<Timestamp> {
        self.held.iter().find(|(held, _)| *held == tier).map(|(_, until)| *until)
    }

    /// When the player loses a tier next if nothing happens.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.held.iter().map(|(_, until)| *until).filter(|until| *until < Timestamp::MAX).min()
    }

    fn highest(&self) -> Option<TierNumber> {
        self.held.last().map(|(tier, _)| *tier)
    }

    fn changed_from(&mut self, previous: Option<TierNumber>) -> Option<Change> {
        let tier = self.highest();
        if tier == previous {
            return None;
        }
        self.changes += 1;
        Some(Change { revision: self.changes, tier, previous })
    }
}

#[cfg(test)]
mod tests {
    use super::Move::{Lost, Reached};
    use super::*;

    const SILVER: TierNumber = TierNumber(0);
    const GOLD: TierNumber = TierNumber(1);
    const FOR_EVER: Move = Reached(Timestamp::MAX);

    type Told = (u64, Option<TierNumber>, Option<TierNumber>);

    fn shown(change: Change) -> Told {
        (change.revision, change.tier, change.previous)
    }

    fn told(rank: &mut Rank, moves: &[(TierNumber, Move)]) -> Option<Told> {
        rank.change(moves.iter().copied(), at(5)).map(shown)
    }

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn the_highest_tier_is_told_when_it_changes() {
        let mut rank = Rank::default();
        assert_eq!(told(&mut rank, &[(SILVER, FOR_EVER)]), Some((1, Some(SILVER), None)));
        assert_eq!(told(&mut rank, &[(SILVER, FOR_EVER)]), None);
        assert_eq!(told(&mut rank, &[(GOLD, FOR_EVER)]), Some((2, Some(GOLD), Some(SILVER))));
        assert_eq!(told(&mut rank, &[(SILVER, Lost)]), None, "a lower one is not seen");
        assert_eq!(told(&mut rank, &[(GOLD, Lost)]), Some((3, None, Some(GOLD))));
        assert_eq!(told(&mut rank, &[(GOLD, Lost)]), None);
        assert_eq!((rank.next_due(), rank.expire(Timestamp::MAX).len()), (None, 0));
    }

    #[test]
    fn what_one_event_does_is_told_at_once() {
        let mut rank = Rank::default();
        assert_eq!(told(&mut rank, &[(SILVER, FOR_EVER), (GOLD, FOR_EVER)]), Some((1, Some(GOLD), None)));
        assert_eq!(told(&mut rank, &[(GOLD, Lost), (SILVER, Lost), (GOLD, FOR_EVER)]), None);
        assert_eq!(told(&mut rank, &[(GOLD, Lost), (SILVER, FOR_EVER)]), Some((2, Some(SILVER), Some(GOLD))));
    }

    #[test]
    fn what_is_kept_for_a_time_is_lost_when_that_is_over() {
        let mut rank = Rank::default();
        assert_eq!(told(&mut rank, &[(GOLD, Reached(at(5)))]), None, "its time is over");
        assert_eq!(told(&mut rank, &[(SILVER, Reached(at(9))), (GOLD, Reached(at(7)))]), Some((1, Some(GOLD), None)));
        assert_eq!(told(&mut rank, &[(SILVER, Reached(at(8)))]), None, "it is kept for the longer time");
        assert_eq!((rank.next_due(), rank.expire(at(6))), (Some(at(7)), vec![]));
        let expired: Vec<(Timestamp, Told)> =
            rank.expire(at(20)).into_iter().map(|(due, change)| (due, shown(change))).collect();
        assert_eq!(expired, [(at(7), (2, Some(SILVER), Some(GOLD))), (at(9), (3, None, Some(SILVER)))]);
        assert_eq!(rank.next_due(), None);
    }

    #[test]
    fn tiers_that_end_together_are_one_change() {
        let mut rank = Rank::default();
        told(&mut rank, &[(SILVER, Reached(at(9))), (GOLD, Reached(at(9)))]);
        let expired: Vec<Told> = rank.expire(at(9)).into_iter().map(|(_, change)| shown(change)).collect();
        assert_eq!(expired, [(2, None, Some(GOLD))]);
    }
}
