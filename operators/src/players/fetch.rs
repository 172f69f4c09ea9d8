//! Reads ahead the state that events are about to need.
//!
//! A player's state lies behind a chain of references, and a core waits for each link of it. Links of
//! different players do not wait for each other: so for a block of players, one link of each is read at a time.
//! Nothing comes of what is read; whoever needs it next finds it near.

use std::hint::black_box;
use std::sync::Arc;

use smallvec::SmallVec;

use super::close::Arrival;
use super::{Group, Player};

/// Players whose state is read ahead at once: more reads than a core has under way, less state than its
/// nearest memory holds.
pub(super) const BLOCK: usize = 64;

/// Reads what the arrivals of a block of players need first.
pub(super) fn fetch(groups: &[Group], block: &[&mut [Arrival<'_>]]) {
    let arrivals = || block.iter().flat_map(|arrivals| arrivals.iter());
    for Arrival { event, key, .. } in arrivals() {
        black_box(groups[event.key_group().index()].ledger.may_know(*key));
        black_box(event.name);
    }
    let mut found: SmallVec<[(&Group, u32); BLOCK]> = SmallVec::new();
    for event in block.iter().filter_map(|arrivals| Some(arrivals.first()?.event)) {
        let group = &groups[event.key_group().index()];
        found.extend(group.players.guess(event.player_hash).map(|place| (group, place)));
    }
    for Arrival { event, .. } in arrivals() {
        black_box((event.player_id().as_bytes().first(), event.transaction_id().as_bytes().last()));
    }
    let players: SmallVec<[(&Arc<str>, &Player); BLOCK]> =
        found.iter().filter_map(|(group, place)| group.players.get(*place)).collect();
    for (id, player) in &players {
        black_box((id.as_bytes().first(), player.tracks.is_empty()));
    }
    for (_, player) in &players {
        black_box(player.tracks.first());
    }
    for track in players.iter().flat_map(|(_, player)| player.tracks.iter()) {
        black_box(track.newest());
    }
}
