//! What a player's progress is made of, for who asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use datasets::hash::{KeyGroup, player_hash};
use datasets::mission::Mission;
use datasets::rows::AuditKind;
use datasets::{Coordinates, Timestamp};

use super::tracks::OccurrenceSequence;
use super::{Player, Players};
use crate::definitions::{Definitions, MissionSlot};
use crate::progress::{Counted, Sequence, Step, trace};
use crate::tiers::TierNumber;

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
    /// Completions that stand and never left, by occurrence.
    pub kept_back: BTreeMap<u32, AuditKind>,
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
        self.definitions.slot(mission_id).map_or_else(Vec::new, |slot| self.accounts_of(player_id, slot))
    }

    /// The same of a tier, by the mission that it is judged by.
    pub fn tier_accounts(&mut self, player_id: &str, TierNumber(tier): TierNumber) -> Vec<Account> {
        self.accounts_of(player_id, MissionSlot(tier))
    }

    /// Until when a player has a tier, if it has: [`Timestamp::MAX`] for ever.
    pub fn tier_held_until(&self, player_id: &str, tier: TierNumber) -> Option<Timestamp> {
        let hash = player_hash(player_id);
        let players = &self.groups[KeyGroup::of(hash).index()].players;
        let (_, player) = players.find(hash, player_id).and_then(|place| players.get(place))?;
        player.rank.as_ref()?.held_until(tier)
    }

    fn accounts_of(&mut self, player_id: &str, slot: MissionSlot) -> Vec<Account> {
        let hash = player_hash(player_id);
        let players = &mut self.groups[KeyGroup::of(hash).index()].players;
        let Some(place) = players.find(hash, player_id) else { return Vec::new() };
        let (_, player) = players.get_mut(place);
        player.settle(&self.definitions);
        let Player { occurrences, tracks, timeline, restrictions, .. } = player;
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
                kept_back: restrictions.iter().flat_map(|restrictions| restrictions.kept_back(key)).collect(),
            }
        });
        accounts.collect()
    }

    /// Whether an event of a player counts in each window of a mission that is kept for it, by the mission's id and the start that the
    /// window had first: one of the first stage, since nothing counts for a later one before. A window of which nothing is kept any more stays as it was told last.
    pub fn takes_part(&mut self, player_id: &str) -> Vec<(Arc<str>, Timestamp, bool)> {
        let hash = player_hash(player_id);
        let players = &mut self.groups[KeyGroup::of(hash).index()].players;
        let Some(place) = players.find(hash, player_id) else { return Vec::new() };
        let (_, player) = players.get_mut(place);
        player.settle(&self.definitions);
        let Player { occurrences, tracks, timeline, .. } = player;
        let definitions = &self.definitions;
        let windows = occurrences.iter().filter(|(key, _)| definitions.tier(key.slot).is_none()).map(|(key, _)| {
            let sequence = OccurrenceSequence { tracks, timeline: timeline.as_deref(), definitions, key };
            let mission = &definitions.history(key.slot).version(0).mission.mission_id;
            (mission.clone(), key.window, sequence.any(&mut |counted| counted.stage == 0 && counted.qualifies))
        });
        windows.collect()
    }

    /// The definitions that were read.
    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// Since when a completion of each mission that any version of `mission_id` requires has been in force for a player, where one is.
    pub fn required(&self, player_id: &str, mission_id: &str) -> BTreeMap<Arc<str>, Timestamp> {
        let Some(slot) = self.definitions.slot(mission_id) else { return BTreeMap::new() };
        let hash = player_hash(player_id);
        let players = &self.groups[KeyGroup::of(hash).index()].players;
        let player = players.find(hash, player_id).and_then(|place| players.look(place));
        let Some(player) = player else { return BTreeMap::new() };
        let since = |id: &Arc<str>| {
            let required = self.definitions.slot(id)?;
            Some((id.clone(), player.in_force_since(required, &self.definitions)?))
        };
        self.definitions.history(slot).gates().flat_map(|gate| &gate.requires).filter_map(since).collect()
    }
}
