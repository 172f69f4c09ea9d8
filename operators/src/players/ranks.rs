//! What an epoch does to the tiers of players.
//!
//! A tier is told as soon as the event that moves it has been applied. Nothing that responsible gambling knows keeps it back: it
//! is no reward, and channels are of rewards. What time takes away by the ingest of such an event is told before, and what it
//! takes by the epoch's clock behind all events: so a player's changes do not depend on the cutting of epochs where events come
//! in order.

use std::collections::BTreeSet;
use std::sync::Arc;

use datasets::hash::KeyGroup;
use datasets::rows::{TierKind, TierRow, Trigger};
use datasets::{Event, Timestamp};

use super::repeats::Told;
use super::{Player, Players};
use crate::changes::Changes;
use crate::definitions::{Definitions, MissionSlot};
use crate::tiers::{Change, Move, Rank, Tier, TierNumber};

/// A player's tiers, if there ever were any.
pub(super) type Ranked = Option<Box<Rank>>;

/// When the player at this place may lose a tier. It may be for nothing: it can be reached again before.
pub(super) type Fall = (Timestamp, KeyGroup, u32);

/// What has just been told of the mission by which a tier is judged.
struct Judged {
    tier: TierNumber,
    how: Move,
    completed_at: Timestamp,
}

impl Judged {
    fn new(told: &Told, definitions: &Definitions, tiers: &[Tier]) -> Option<Self> {
        let tier = definitions.tier(told.key.slot)?;
        let how = match told.announcement.completed {
            true => Move::Reached(tiers[tier.index()].kept_until(told.key.window)),
            false => Move::Lost,
        };
        Some(Judged { tier, how, completed_at: told.announcement.completed_at })
    }
}

impl Player {
    /// Moves the player's tiers at `at`. Answers what is to be told, and since when it is so; of a fall, nobody reached that.
    fn rank(&mut self, judged: &[Judged], at: Timestamp) -> Option<(Change, Option<Timestamp>)> {
        let rank = self.rank.get_or_insert_default();
        let change = rank.change(judged.iter().map(|judged| (judged.tier, judged.how)), at)?;
        let is_reached = |one: &&Judged| Some(one.tier) == change.tier && one.how != Move::Lost;
        Some((change, judged.iter().rfind(is_reached).map(|judged| judged.completed_at)))
    }
}

impl Players {
    /// Takes out of `told` what is said of tiers, and tells the player's tier if `event` has changed it, which what came at
    /// `ingest_time` made it do.
    pub(super) fn tell_tier(
        &mut self,
        (event, place): (&Event<'_>, u32),
        told: &mut Vec<Told>,
        (ingest_time, now): (Timestamp, Timestamp),
        changes: &mut Changes,
    ) {
        let (definitions, tiers) = (&self.definitions, &self.rules.tiers);
        let of_tiers = told.extract_if(.., |told| definitions.tier(told.key.slot).is_some());
        let judged: Vec<Judged> = of_tiers.filter_map(|told| Judged::new(&told, definitions, tiers)).collect();
        if judged.is_empty() {
            return;
        }
        let group = event.key_group();
        let (id, player) = self.groups[group.index()].players.get_mut(place);
        // Of partitions that are ahead, the clock knows nothing yet.
        let at = ingest_time.min(now);
        if let Some(rank) = player.rank.as_deref_mut() {
            changes.tiers.extend(fallen(rank, id, (at, now), definitions));
        }
        if let Some((change, reached)) = player.rank(&judged, at) {
            let times = (reached.unwrap_or(event.event_time), now);
            changes.tiers.push(row(change, id, times, Some(self.reporter.trigger(event)), definitions));
        }
        let due = player.rank.as_ref().and_then(|rank| rank.next_due());
        self.falls.extend(due.map(|due| (due, group, place)));
    }

    /// Tells who has lost a tier because its time is over.
    pub(super) fn end_tiers(&mut self, now: Timestamp, changes: &mut Changes) {
        let later = self.falls.split_off(&(now.plus_micros(1), KeyGroup(0), 0));
        let due = std::mem::replace(&mut self.falls, later);
        let players: BTreeSet<(KeyGroup, u32)> = due.into_iter().map(|(_, group, place)| (group, place)).collect();
        for (group, place) in players {
            let (id, player) = self.groups[group.index()].players.get_mut(place);
            let Some(rank) = player.rank.as_deref_mut() else { continue };
            changes.tiers.extend(fallen(rank, id, (now, now), &self.definitions));
            self.falls.extend(rank.next_due().map(|due| (due, group, place)));
        }
    }
}

/// What a player has lost by `at`, as it is told at `now`.
fn fallen(
    rank: &mut Rank,
    player: &Arc<str>,
    (at, now): (Timestamp, Timestamp),
    definitions: &Definitions,
) -> impl Iterator<Item = TierRow> {
    rank.expire(at).into_iter().map(move |(due, change)| row(change, player, (due, now), None, definitions))
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
