//! Rows about events and missions, as [`Changes`] carry them.

use std::sync::Arc;

use datasets::mission::{DefinitionError, Mission};
use datasets::rows::{
    CompletionKind, CompletionRow, DeadLetterRow, DispositionKind, DispositionRow, Place, Trigger, TriggerKind,
};
use datasets::{Coordinates, Event, Reason, Timestamp, Topics};

use super::facts::completion_id;
use crate::changes::{Changes, Position};
use crate::definitions::DefinitionRecord;
use crate::ledger::Waiting;
use crate::progress::Announcement;

/// Turns what happened into rows.
pub(super) struct Reporter {
    pub(super) topics: Arc<Topics>,
    pub(super) pipeline: Arc<str>,
}

/// One message about an occurrence of a mission.
pub(super) struct Message<'a> {
    pub(super) position: Position,
    pub(super) mission: &'a Mission,
    /// Counts completions in the window, from 1.
    pub(super) occurrence: u32,
    /// What the occurrence's progress is kept under.
    pub(super) window: Timestamp,
    pub(super) window_start: Timestamp,
    pub(super) window_end: Option<Timestamp>,
    pub(super) announcement: Announcement,
    pub(super) trigger: Trigger,
}

impl Reporter {
    pub(super) fn trigger(&self, event: &Event<'_>) -> Trigger {
        let place = Place::new(&self.topics, event.at);
        Trigger { kind: TriggerKind::Event, transaction_id: Some(event.transaction_id().to_owned()), place }
    }

    pub(super) fn definition_change(&self, record: &DefinitionRecord) -> Trigger {
        let place = Place::new(&self.topics, record.at);
        Trigger { kind: TriggerKind::DefinitionChange, transaction_id: None, place }
    }

    /// What is to be told, on all channels of the reward.
    pub(super) fn message(&self, message: Message<'_>, now: Timestamp) -> (Position, CompletionRow) {
        let Message { position, mission, occurrence, window, window_start, window_end, announcement, trigger } =
            message;
        let kind = match announcement.completed {
            true => CompletionKind::MissionCompleted,
            false => CompletionKind::MissionRevoked,
        };
        let row = CompletionRow {
            kind,
            completion_id: completion_id(&self.pipeline, &position.player, &mission.mission_id, window, occurrence),
            revision: announcement.revision,
            player_id: position.player.as_ref().to_owned(),
            mission_id: mission.mission_id.as_ref().to_owned(),
            mission_version: mission.version,
            occurrence,
            window_start,
            window_end,
            completed_at: announcement.completed_at,
            emitted_at: now,
            reversed_by: trigger.transaction_id.clone().filter(|_| !announcement.completed),
            trigger,
            progress: announcement.progress,
            target: mission.stages.last().expect("a mission has a stage").target,
            reward: mission.reward.clone(),
            channels: mission.channels.clone(),
        };
        (position, row)
    }

    pub(super) fn dispose(&self, event: &Event<'_>, disposition: DispositionKind, changes: &mut Changes) {
        let row = DispositionRow {
            place: Place::new(&self.topics, event.at),
            index: event.at.index,
            disposition,
            ingest_time: event.ingest_time,
            player_id: event.player_id().to_owned(),
            transaction_id: event.transaction_id().to_owned(),
        };
        changes.dispositions.push((event.at, row));
    }

    pub(super) fn refuse(&self, event: &Event<'_>, reason: Reason, detail: String, changes: &mut Changes) {
        // A rate has none.
        let player = Some(event.player_id().to_owned()).filter(|player| !player.is_empty());
        self.bury(reason, detail, (event.at, event.ingest_time), player, Some(event.payload().to_owned()), changes);
    }

    /// A reversal that gave up waiting.
    pub(super) fn orphan(&self, orphan: Waiting, changes: &mut Changes) {
        let Waiting { at, ingest_time, player_id, transaction_id, reference_id, payload, .. } = orphan;
        let row = DispositionRow {
            place: Place::new(&self.topics, at),
            index: at.index,
            disposition: DispositionKind::Orphan,
            ingest_time,
            player_id: player_id.clone(),
            transaction_id,
        };
        changes.dispositions.push((at, row));
        let detail = format!("transaction {reference_id} did not come within identity.orphan_wait");
        self.bury(Reason::OrphanReversal, detail, (at, ingest_time), Some(player_id), Some(payload), changes);
    }

    pub(super) fn refuse_definition(
        &self,
        record: &DefinitionRecord,
        errors: &[DefinitionError],
        changes: &mut Changes,
    ) {
        let detail = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let from = (record.at, record.ingest_time);
        self.bury(Reason::InvalidDefinition, detail, from, None, record.text.clone(), changes);
    }

    fn bury(
        &self,
        reason: Reason,
        detail: String,
        (at, ingest_time): (Coordinates, Timestamp),
        player_id: Option<String>,
        raw: Option<String>,
        changes: &mut Changes,
    ) {
        let place = Place::new(&self.topics, at);
        let row = DeadLetterRow {
            reason,
            detail,
            place,
            index: at.index,
            ingest_time,
            player_id,
            raw,
            raw_base64: None,
            truncated: false,
        };
        *changes.counters.dead_letters.entry(reason).or_default() += 1;
        changes.dead_letters.push((at, row));
    }
}
