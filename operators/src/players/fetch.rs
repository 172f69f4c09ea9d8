//! Brings the state that events will need near the core.
//!
//! State is far larger than any cache, and each step from a player to what it contributed has to wait for
//! memory. What different events need does not depend on each other, so that a processor waits for
//! many at once if it is asked so: step by step, for all events before any is settled. Reads only.

use std::hint::black_box;

use super::close::Arrival;
use super::{Player, Players};

impl Players {
    /// Reads what settling `arrivals` will read.
    pub(super) fn fetch(&self, arrivals: &[Arrival<'_>]) {
        let group = |arrival: &Arrival<'_>| &self.groups[arrival.event.key_group().index()];
        let known = arrivals.iter().filter(|arrival| group(arrival).ledger.knows(arrival.key)).count();
        let runs = arrivals.chunk_by(|a, b| a.place == b.place);
        let players: Vec<&Player> =
            runs.filter_map(|run| group(&run[0]).players.get(run[0].event.player_id())).collect();
        let near: usize = players.iter().map(|player| player.tracks.fetch_classes() + player.occurrences.fetch()).sum();
        let far: usize = players.iter().map(|player| player.tracks.fetch_contributions()).sum();
        black_box((known, near, far));
    }
}
