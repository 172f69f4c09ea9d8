//! What a player's progress is made of, for who asks.

use datasets::hash::{KeyGroup, player_hash};
use datasets::mission::Mission;
use datasets::{Coordinates, Timestamp};

use super::tracks::OccurrenceSequence;
use super::{Player, Players};
use crate::progress::{Counted, Sequence, Step, trace};

/// One occurrence of a mission for one player, as it stands after the epoch that was closed last.
#[derive(Clone, Debug)]
pub struct Account {
    /// The version that judges it.
    pub mission: Mission,
    /// The record of that version.
    pub definition: Coordinates,
    /// When that version took effect.
    pub in_force_from: Timestamp,
    /// First instant of the window, as messages tell it.
    pub window_start: Timestamp,
    /// End of the window: exclusive when recurring, inclusive when `once`; `None` never ends.
    pub window_end: Option<Timestamp>,
    /// What counts, in the order of event time.
    pub counted: Vec<Counted>,
}

impl Account {
    /// What each contribution did.
    pub fn steps(&self) -> Vec<Step> {
        trace(&self.counted, &self.mission)
    }
}

impl Players {
    /// Every occurrence of a mission that is kept for a player, by window. None of a player or mission that nobody
    /// has heard of.
    pub fn accounts(&mut self, player_id: &str, mission_id: &str) -> Vec<Account> {
        let Some(slot) = self.definitions.slot(mission_id) else { return Vec::new() };
        let hash = player_hash(player_id);
        let players = &mut self.groups[KeyGroup::of(hash).index()].players;
        let Some(place) = players.find(hash, player_id) else { return Vec::new() };
        let (_, player) = players.get_mut(place);
        player.settle(&self.definitions);
        let Player { occurrences, tracks, timeline, .. } = player;
        let history = self.definitions.history(slot);
        let accounts = occurrences.of_mission(slot, &self.definitions).map(|(key, progress)| {
            let timeline = timeline.as_deref();
            let counted = OccurrenceSequence { tracks, timeline, definitions: &self.definitions, key }.after(None);
            let judge = history.version(progress.judged_by());
            Account {
                mission: judge.mission.clone(),
                definition: judge.at,
                in_force_from: judge.from,
                window_start: if progress.is_once() { judge.mission.start } else { key.window },
                window_end: progress.window_end(history),
                counted: counted.to_vec(),
            }
        });
        accounts.collect()
    }
}
