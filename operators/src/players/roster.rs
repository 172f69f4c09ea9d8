//! The players of a key group, by id.

use std::sync::Arc;

use datasets::hash::player_hash;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use super::Player;
use super::timeline::Timeline;
use crate::points::Points;
use crate::slab::Slab;

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
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Member {
    id: Arc<str>,
    player: Player,
}

impl Member {
    /// The player's timeline.
    pub(super) fn timeline(&self) -> Option<&Timeline> {
        self.player.timeline.as_deref()
    }

    /// What was written beside the player.
    pub(super) fn set_timeline(&mut self, timeline: Box<Timeline>) {
        self.player.timeline = Some(timeline);
    }
}

impl Member {
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

    /// The players that are `wanted`.
    pub(super) fn iter_mut_where(
        &mut self,
        wanted: impl Fn(&Player) -> bool,
    ) -> impl Iterator<Item = (&Arc<str>, &mut Player)> {
        let members = self.members.iter_mut_where(move |member| wanted(&member.player));
        members.map(|Member { id, player }| (&*id, player))
    }

    /// Takes a player as it was written, in the place of what is known.
    pub(super) fn restore(&mut self, Member { id, player }: Member) {
        let hash = player_hash(&id);
        match self.find(hash, &id) {
            Some(place) => *self.get_mut(place).1 = player,
            None => {
                let place = self.members.insert(Member { id, player });
                self.index.insert_unique(spread(hash), Slot { hash, place }, |slot| spread(slot.hash));
            }
        }
    }

    /// All players.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Player)> {
        self.members.iter().map(|Member { id, player }| (id, player))
    }
}

/// The players of one group have the low bits of their hashes in common, which an index begins with.
fn spread(hash: u64) -> u64 {
    hash.rotate_right(16)
}
