//! The last step of an epoch: which completions leave, by what responsible gambling knows of their players.
//!
//! All that an epoch emits leaves when it closes, with its clock. So everything that the epoch has read is known, whatever
//! its event time; definitions, events and timers are treated alike. What is kept back here stands for all others, who only
//! see progress: it counts for limits and for what it unlocks, as if it had been told.

use std::sync::Arc;

use datasets::hash::{KeyGroup, player_hash};
use datasets::mission::OnSuppression;
use datasets::rows::{AuditKind, AuditRow, CompletionKind, CompletionRow};
use datasets::{Coordinates, Timestamp, TopicId};

use super::occurrences::OccurrenceKey;
use super::restrictions::Kept;
use super::{Player, Players};
use crate::changes::{Changes, Phase, Position};

/// A message on its way out, with all channels of its reward.
pub(super) struct Leaving {
    pub(super) position: Position,
    pub(super) key: OccurrenceKey,
    pub(super) row: CompletionRow,
    pub(super) on_suppression: OnSuppression,
}

/// A player whose deferred completions may leave, from when on.
pub(super) type Release = (Timestamp, KeyGroup, Arc<str>);

/// Due whenever an epoch closes.
pub(super) const AT_ONCE: Timestamp = Timestamp::MIN;

impl Players {
    /// Lets leave what may, then what was deferred and may now.
    pub(super) fn emit(&mut self, now: Timestamp, changes: &mut Changes) {
        let mut leaving = std::mem::take(&mut self.leaving);
        // A player's own in their order: what is completed and revoked in one epoch is kept back and forgotten.
        leaving.sort_unstable_by(|a, b| a.position.cmp(&b.position));
        for one in leaving.drain(..) {
            self.leave(one, now, changes);
        }
        self.leaving = leaving;
        while self.releases.first().is_some_and(|(due, ..)| *due <= now)
            && let Some((_, group, id)) = self.releases.pop_first()
        {
            self.release(group, id, now, changes);
        }
    }

    fn leave(&mut self, leaving: Leaving, now: Timestamp, changes: &mut Changes) {
        let Leaving { position, key, mut row, on_suppression } = leaving;
        let group = KeyGroup::of(player_hash(&position.player));
        let players = &mut self.groups[group.index()].players;
        let place = players.find(player_hash(&position.player), &position.player).expect("it has just moved");
        // Most players have said nothing, and stay as they are.
        let is_free = players.get(place).is_none_or(|(_, player)| player.restrictions.is_none());
        if is_free {
            return tell(position, row, changes);
        }
        let (id, Player { restrictions, .. }) = players.get_mut(place);
        let restrictions = restrictions.get_or_insert_default();
        let completion = (key, row.occurrence);
        match (row.kind, restrictions.allow(&row.channels, now)) {
            (CompletionKind::MissionCompleted, Ok(channels)) => {
                row.channels = channels;
                tell(position, row, changes);
            }
            (CompletionKind::MissionCompleted, Err(kept)) => {
                let kind = match on_suppression {
                    OnSuppression::Drop => AuditKind::Suppressed,
                    OnSuppression::Defer => AuditKind::Deferred,
                };
                changes.audit.push((position, audit(kind, kept, row.clone())));
                match kind {
                    AuditKind::Suppressed => {
                        changes.counters.suppressed += 1;
                        restrictions.suppress(completion);
                    }
                    AuditKind::Deferred => {
                        changes.counters.deferred_waiting += 1;
                        restrictions.defer(completion, row);
                        self.releases.extend(kept.until.map(|until| (until, group, id.clone())));
                    }
                }
            }
            (CompletionKind::MissionRevoked, allowed) => match restrictions.revoke(completion) {
                Some(AuditKind::Suppressed) => {}
                Some(AuditKind::Deferred) => changes.counters.deferred_waiting -= 1,
                None => {
                    // It takes back what was earned, so it leaves in any case; the player is told where it may be.
                    row.channels = allowed.unwrap_or_default();
                    tell(position, row, changes);
                }
            },
        }
    }

    fn release(&mut self, group: KeyGroup, id: Arc<str>, now: Timestamp, changes: &mut Changes) {
        let players = &mut self.groups[group.index()].players;
        let Some(place) = players.find(player_hash(&id), &id) else { return };
        let (_, player) = players.get_mut(place);
        let Some(restrictions) = &mut player.restrictions else { return };
        let (released, next) = restrictions.release(now);
        for (row, sequence) in released.into_iter().zip(0..) {
            changes.counters.deferred_waiting -= 1;
            let position = Position { phase: Phase::Releases, time: now, at: FIRST, player: id.clone(), sequence };
            tell(position, CompletionRow { emitted_at: now, ..row }, changes);
        }
        self.releases.extend(next.map(|next| (next, group, id)));
    }
}

/// No record causes what the clock lets leave.
const FIRST: Coordinates = Coordinates { topic: TopicId(0), partition: 0, offset: 0, index: 0 };

fn tell(position: Position, row: CompletionRow, changes: &mut Changes) {
    match row.kind {
        CompletionKind::MissionCompleted => changes.counters.completed += 1,
        CompletionKind::MissionRevoked => changes.counters.revoked += 1,
    }
    changes.completions.push((position, row));
}

fn audit(kind: AuditKind, Kept { reason, until }: Kept, row: CompletionRow) -> AuditRow {
    AuditRow {
        kind,
        reason,
        until,
        completion_id: row.completion_id,
        revision: row.revision,
        player_id: row.player_id,
        mission_id: row.mission_id,
        mission_version: row.mission_version,
        occurrence: row.occurrence,
        window_start: row.window_start,
        window_end: row.window_end,
        completed_at: row.completed_at,
        emitted_at: row.emitted_at,
        trigger: row.trigger,
        progress: row.progress,
        target: row.target,
        reward: row.reward,
        channels: row.channels,
    }
}
