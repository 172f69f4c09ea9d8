//! The players of a key group, by id.

use std::sync::Arc;

use datasets::hash::player_hash;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use super::Player;
use super::contests::Contests;
use super::held::Held;
use super::restrictions::Restrictions;
use super::retained::Retained;
use super::timeline::Timeline;
use super::unlocks::Unlocks;
use crate::entities::Customer;
use crate::points::Points;
use crate::slab::Slab;
use crate::tiers::Rank;

/// Every player that was heard of, at a place that stays.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster {
    index: HashTable<Slot>,
    pub(super) members: Slab<Member>,
}

/// A player's place, with the hash of the id: who is not here is known by this alone.
#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u64,
    place: u32,
}

/// A player with the id.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Member {
    id: Arc<str>,
    player: Player,
}

/// A [`Member`] as it was written.
#[derive(Deserialize)]
pub(super) struct ReadMember<'a> {
    id: &'a str,
    player: Player,
}

impl Member {
    /// The player's timeline, where a control event was heard.
    pub(super) fn timeline(&self) -> Option<&Timeline> {
        self.player.timeline.as_deref().filter(|timeline| timeline.has_marks())
    }

    /// What completions unlock for the player.
    pub(super) fn unlocks(&self) -> Option<&Unlocks> {
        self.player.timeline.as_deref().map(|timeline| &timeline.unlocks).filter(|unlocks| !unlocks.is_empty())
    }

    /// Which events of the player missions contest.
    pub(super) fn contests(&self) -> Option<&Contests> {
        self.player.timeline.as_deref().map(|timeline| &timeline.contests).filter(|contests| !contests.is_empty())
    }

    /// What waits of the player.
    pub(super) fn waits(&self) -> Option<&Held> {
        self.player.waits.as_deref()
    }

    /// What was written beside the player.
    pub(super) fn set_waits(&mut self, waits: Box<Held>) {
        self.player.waits = Some(waits);
    }

    /// What was written beside the player.
    pub(super) fn set_timeline(&mut self, timeline: Box<Timeline>) {
        self.player.timeline = Some(timeline);
    }

    /// The same.
    pub(super) fn set_unlocks(&mut self, unlocks: Unlocks) {
        self.player.timeline.get_or_insert_default().unlocks = unlocks;
    }

    /// The same.
    pub(super) fn set_contests(&mut self, contests: Contests) {
        self.player.timeline.get_or_insert_default().contests = contests;
    }

    /// What is known of the player as a customer.
    pub(super) fn customer(&self) -> Option<&Customer> {
        self.player.customer.as_deref()
    }

    /// What was written beside the player.
    pub(super) fn set_customer(&mut self, customer: Box<Customer>) {
        self.player.customer = Some(customer);
    }

    /// What is retained of the player's events.
    pub(super) fn retained(&self) -> Option<&Retained> {
        self.player.retained.as_deref()
    }

    /// What was written beside the player.
    pub(super) fn set_retained(&mut self, retained: Box<Retained>) {
        self.player.retained = Some(retained);
    }

    /// The player's restrictions.
    pub(super) fn restrictions(&self) -> Option<&Restrictions> {
        self.player.restrictions.as_deref()
    }

    /// What was written beside the player.
    pub(super) fn set_restrictions(&mut self, restrictions: Box<Restrictions>) {
        self.player.restrictions = Some(restrictions);
    }

    /// The player's tiers.
    pub(super) fn rank(&self) -> Option<&Rank> {
        self.player.rank.as_deref()
    }

    /// What was written beside the player.
    pub(super) fn set_rank(&mut self, rank: Box<Rank>) {
        self.player.rank = Some(rank);
    }

    /// The player's points.
    pub(super) fn points(&self) -> Option<&Points> {
        self.player.points.as_deref()
    }

    /// What was written beside the player.
    pub(super) fn set_points(&mut self, points: Box<Points>) {
        self.player.points = Some(points);
    }
}

impl Roster {
    /// The place of the player of `id`, whose [`player_hash`] is `hash`; begun if this is the first that is heard of it.
    pub(super) fn enter(&mut self, hash: u64, id: &str) -> u32 {
        if let Some(place) = self.find(hash, id) {
            return place;
        }
        let place = self.members.insert(Member { id: id.into(), player: Player::default() });
        self.index.insert_unique(spread(hash), Slot { hash, place }, |slot| spread(slot.hash));
        place
    }

    /// The place of the player of `id`, whose [`player_hash`] is `hash`.
    pub(super) fn find(&self, hash: u64, id: &str) -> Option<u32> {
        let is_same = |slot: &Slot| slot.hash == hash && self.members.get(slot.place).is_some_and(|one| &*one.id == id);
        self.index.find(spread(hash), is_same).map(|slot| slot.place)
    }

    /// Where the player of this hash is, unless another one has the same.
    pub(super) fn guess(&self, hash: u64) -> Option<u32> {
        self.index.find(spread(hash), |slot| slot.hash == hash).map(|slot| slot.place)
    }

    /// The player at `place`, with the id.
    pub(super) fn get(&self, place: u32) -> Option<(&Arc<str>, &Player)> {
        self.members.get(place).map(|Member { id, player }| (id, player))
    }

    /// The player at `place`, with the id. Panics where nobody is.
    pub(super) fn get_mut(&mut self, place: u32) -> (&Arc<str>, &mut Player) {
        let Member { id, player } = self.members.get_mut(place).expect("players stay where they are");
        (id, player)
    }

    /// The players that are `wanted`, with their places.
    pub(super) fn iter_mut_where(
        &mut self,
        wanted: impl Fn(&Player) -> bool,
    ) -> impl Iterator<Item = (u32, &Arc<str>, &mut Player)> {
        let members = self.members.iter_mut_where(move |member| wanted(&member.player));
        members.map(|(place, Member { id, player })| (place, &*id, player))
    }

    /// Takes players as they were written, in the places of what is known. Answers their places.
    pub(super) fn restore_all<'a>(&mut self, members: impl ExactSizeIterator<Item = ReadMember<'a>>) -> Vec<u32> {
        if self.index.is_empty() {
            self.index.reserve(members.len(), |slot| spread(slot.hash));
        }
        members.map(|member| self.restore(member)).collect()
    }

    fn restore(&mut self, ReadMember { id, player }: ReadMember<'_>) -> u32 {
        let place = self.enter(player_hash(id), id);
        *self.get_mut(place).1 = player;
        place
    }

    /// The player at a place that [`Roster::restore_all`] has answered.
    pub(super) fn member_mut(&mut self, place: u32) -> &mut Member {
        self.members.get_mut(place).expect("players stay where they are")
    }

    /// All players, with their places.
    pub(super) fn places(&self) -> impl Iterator<Item = (u32, &Arc<str>, &Player)> {
        self.members.places().map(|(place, Member { id, player })| (place, id, player))
    }

    /// All players.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Player)> {
        self.members.iter().map(|Member { id, player }| (id, player))
    }
}

/// The players of one group have the low bits of their hashes in common, which an index begins with.
fn spread(hash: u64) -> u64 {
    hash.rotate_right(16)
}
