//! What an epoch does to the tiers of players.
//!
//! A tier is told as soon as the event that moves it has been applied. Nothing that responsible gambling knows keeps it back: it
//! is no reward, and channels are of rewards.

use std::sync::Arc;

use datasets::rows::{TierKind, TierRow, Trigger};
use datasets::{Event, Timestamp};

use super::repeats::Told;
use super::{Player, Players};
use crate::changes::Changes;
use crate::definitions::{Definitions, MissionSlot};
use crate::tiers::{Change, Rank, TierNumber};

/// A player's tiers, if there ever were any.
pub(super) type Ranked = Option<Box<Rank>>;

impl Player {
    /// What is to be told when `told` has been said of tiers, and since when it is so; of a fall, nobody reached that.
    fn rank(&mut self, told: &[Told], definitions: &Definitions) -> Option<(Change, Option<Timestamp>)> {
        let moved = || told.iter().filter_map(|told| Some((definitions.tier(told.key.slot)?, &told.announcement)));
        let rank = self.rank.get_or_insert_default();
        let change = rank.change(moved().map(|(tier, announcement)| (tier, announcement.completed)))?;
        let reached = moved().find(|(tier, announcement)| Some(*tier) == change.tier && announcement.completed);
        Some((change, reached.map(|(_, announcement)| announcement.completed_at)))
    }
}

impl Players {
    /// Takes out of `told` what is said of tiers, and tells the player's tier if `event` has changed it.
    pub(super) fn tell_tier(
        &mut self,
        (event, place): (&Event<'_>, u32),
        told: &mut Vec<Told>,
        now: Timestamp,
        changes: &mut Changes,
    ) {
        let of_tiers: Vec<Told> = told.extract_if(.., |told| self.definitions.tier(told.key.slot).is_some()).collect();
        if of_tiers.is_empty() {
            return;
        }
        let (id, player) = self.groups[event.key_group().index()].players.get_mut(place);
        let Some((change, reached)) = player.rank(&of_tiers, &self.definitions) else { return };
        let times = (reached.unwrap_or(event.event_time), now);
        changes.tiers.push(row(change, id, times, Some(self.reporter.trigger(event)), &self.definitions));
    }
}

/// `change` of a player as it is told. `changed_at` is when what caused it happened.
fn row(
    change: Change,
    player: &Arc<str>,
    (changed_at, emitted_at): (Timestamp, Timestamp),
    trigger: Option<Trigger>,
    definitions: &Definitions,
) -> TierRow {
    let Change { revision, tier, previous } = change;
    let name = |TierNumber(number)| definitions.mission_id(MissionSlot(number)).to_owned();
    TierRow {
        kind: TierKind::TierChanged,
        player_id: player.as_ref().to_owned(),
        revision,
        tier: tier.map(name),
        previous: previous.map(name),
        changed_at,
        emitted_at,
        trigger,
    }
}
