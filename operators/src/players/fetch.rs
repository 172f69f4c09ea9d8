//! Reads ahead the state that events are about to need.
//!
//! A player's state lies behind a chain of references, and a core waits for each link of it. Links of
//! different players do not wait for each other: so for a block of players, one link of each is read at a time.
//! Nothing comes of what is read; whoever needs it next finds it near.

use std::hint::black_box;

use datasets::hash::KeyGroup;

use super::close::Arrival;
use super::{Group, Player};

/// Players whose state is read ahead at once: more reads than a core has under way, less state than its
/// nearest memory holds.
pub(super) const BLOCK: usize = 64;

/// Reads what all `arrivals`, which are those of a block of players, need first.
pub(super) fn fetch(groups: &[Group], players: &[&mut [Arrival<'_>]]) {
    let mut found: smallvec::SmallVec<[(&Group, u32); BLOCK]> = smallvec::SmallVec::new();
    for arrivals in players {
        let Some(first) = arrivals.first() else { continue };
        let hash = first.event.player_hash;
        let group = &groups[KeyGroup::of(hash).index()];
        for arrival in arrivals.iter() {
            black_box(group.ledger.is_known(arrival.key));
        }
        found.extend(group.players.guess(hash).map(|place| (group, place)));
    }
    let players: smallvec::SmallVec<[&Player; BLOCK]> =
        found.iter().filter_map(|(group, place)| group.players.get(*place)).map(|(_, player)| player).collect();
    for player in &players {
        black_box(player.tracks.first());
    }
    for player in &players {
        for track in player.tracks.iter() {
            black_box(track.last());
        }
    }
}
