//! Closing an epoch: definitions, identity, events, timers.

use std::sync::Arc;

use datasets::rows::{DefinitionRow, DispositionKind, Place};
use datasets::{Event, EventBatch, EventName, Family, Reason, TextField, Timestamp};
use hashbrown::hash_map::EntryRef;

use super::facts;
use super::report::Message;
use super::touch::{Moved, Touch};
use super::{Clock, Closing, Group, Player, Players};
use crate::changes::{Changes, Phase, Position};
use crate::definitions::{Applied, DefinitionRecord, MissionSlot};
use crate::ledger::{Admission, Effect, EffectKind, Reversal, TransactionKey};
use crate::progress::Cause;

/// Progress is dropped this long after its window can no longer move, so that records which a slow
/// partition brings with an earlier ingest time still find it.
const GRACE: i64 = 86_400_000_000;
const HOUR: i64 = 3_600_000_000;

impl Players {
    /// Closes an epoch and tells what it changed. `batches` and `definitions` may come in any order.
    pub fn close(
        &mut self,
        clock: Clock,
        definitions: &mut [DefinitionRecord],
        batches: &[Arc<EventBatch>],
    ) -> Changes {
        let Clock { now, newest, .. } = clock;
        let mut changes = Changes::default();
        definitions.sort_by_key(|record| record.at);
        for record in definitions.iter() {
            self.define(record, now, &mut changes);
        }
        self.definitions.index();
        for (event, key) in self.settle_identity(batches, &mut changes) {
            self.apply(&event, key, now, &mut changes);
        }
        self.fire(now, &mut changes);
        self.sweep(newest);
        changes
    }

    /// The accepted events in the order in which they apply.
    fn settle_identity<'a>(
        &mut self,
        batches: &'a [Arc<EventBatch>],
        changes: &mut Changes,
    ) -> Vec<(Event<'a>, TransactionKey)> {
        let events = batches.iter().flat_map(|batch| batch.iter());
        let mut events: Vec<_> = events.map(|event| (event, TransactionKey::of(&event))).collect();
        events.sort_by_key(|(event, _)| event.at);
        events.retain(|(event, key)| {
            if let Some(unknown) = self.unknown_mission(event) {
                let detail = format!("there is no mission {unknown:?}");
                self.reporter.refuse(event, Reason::BadControlEvent, detail, changes);
                return false;
            }
            let ledger = &mut self.groups[event.key_group().index()].ledger;
            match ledger.admit(event, *key, &self.rules.ledger, &mut self.markets) {
                Admission::Accepted => {
                    changes.counters.accepted += 1;
                    return true;
                }
                Admission::Duplicate => {
                    changes.counters.duplicates += 1;
                    self.reporter.dispose(event, DispositionKind::Duplicate, changes);
                }
                Admission::Conflict => {
                    let detail = format!("transaction {} is known with other content", event.transaction_id());
                    self.reporter.dispose(event, DispositionKind::Conflict, changes);
                    self.reporter.refuse(event, Reason::IdempotencyConflict, detail, changes);
                }
            }
            false
        });
        events.sort_by_key(|(event, _)| (event.event_time, event.at));
        events
    }

    /// The mission that an opt-in or opt-out names, if there is none of this id yet.
    fn unknown_mission<'a>(&self, event: &Event<'a>) -> Option<&'a str> {
        if !matches!(event.name, EventName::OptedIn | EventName::OptedOut) {
            return None;
        }
        event.text(TextField::MissionId).filter(|mission| !self.definitions.is_known(mission))
    }

    fn apply(&mut self, event: &Event<'_>, key: TransactionKey, now: Timestamp, changes: &mut Changes) {
        let group = &mut self.groups[event.key_group().index()];
        let mut effects = std::mem::take(&mut self.effects);
        if event.name.family() == Family::Reversal {
            let outcome = group.ledger.reverse(event, key, &self.rules.ledger, &mut effects);
            self.report_reversal(event, outcome, changes);
        } else {
            let released = group.ledger.apply(event, key, &self.rules.ledger, &mut effects);
            changes.counters.accepted += released;
            changes.counters.orphan_reversals_waiting -= i64::try_from(released).expect("a count of references");
        }
        if !effects.is_empty() {
            self.take_effect(event, &effects, now, changes);
        }
        effects.clear();
        self.effects = effects;
    }

    fn take_effect(&mut self, event: &Event<'_>, effects: &[Effect], now: Timestamp, changes: &mut Changes) {
        let (id, player) = self.groups[event.key_group().index()].player(event.player_id());
        let mut touch = Touch::new(player, &self.definitions, &mut self.candidates, event.ingest_time);
        for effect in effects {
            touch.apply(effect, event);
            if let Some(booking) = &effect.booking {
                let diff = match effect.kind {
                    EffectKind::Enter { live: true, .. } | EffectKind::Toggle { live: true } => 1,
                    EffectKind::Enter { live: false, .. } => continue,
                    EffectKind::Toggle { live: false } | EffectKind::Leave => -1,
                };
                changes.postings.push((facts::posting(booking, &id, self.days.date(effect.time)), diff));
            }
        }
        let Touch { moved, late, held, .. } = touch;
        if late {
            changes.counters.late += 1;
            self.reporter.dispose(event, DispositionKind::Late, changes);
        }
        if held {
            changes.counters.fx_missing_waiting += 1;
            self.reporter.dispose(event, DispositionKind::Held, changes);
        }
        if !moved.is_empty() {
            self.announce(event, &id, moved, now, changes);
        }
    }

    /// Announces what an event moved, in order of mission and window.
    fn announce(
        &mut self,
        event: &Event<'_>,
        id: &Arc<str>,
        mut moved: Vec<Moved>,
        now: Timestamp,
        changes: &mut Changes,
    ) {
        let definitions = &self.definitions;
        moved.sort_by_key(|moved| (definitions.mission_id(moved.slot), moved.window, !moved.is_new));
        moved.dedup_by_key(|moved| (moved.slot, moved.window));
        let group = event.key_group();
        let player = self.groups[group.index()].players.get_mut(id).expect("it has just moved");
        for (Moved { slot, window, is_new }, sequence) in moved.into_iter().zip(0..) {
            let history = self.definitions.history(slot);
            let progress = player.progress.get_mut(&(slot, window)).expect("it has just moved");
            let window_end = progress.window_end;
            if let Some(end) = window_end.filter(|_| is_new) {
                let lateness = history.version(history.newest()).mission.lateness_micros;
                let hour = end.plus_micros(lateness).plus_micros(GRACE).micros().div_euclid(HOUR);
                self.closing.entry(hour).or_default().push(Closing { group, player: id.clone(), slot, window });
            }
            let Some(announcement) = progress.announce(Cause::Event, history) else { continue };
            let player = id.clone();
            let position = Position { phase: Phase::Events, time: event.event_time, at: event.at, player, sequence };
            let mission = &history.version(announcement.version).mission;
            let trigger = self.reporter.trigger(event);
            let message = Message { position, mission, window, window_end, announcement, trigger };
            self.reporter.message(message, now, changes);
        }
    }

    fn report_reversal(&mut self, event: &Event<'_>, outcome: Reversal, changes: &mut Changes) {
        if outcome == Reversal::Accepted {
            return;
        }
        changes.counters.accepted -= 1;
        match outcome {
            Reversal::Accepted => {}
            Reversal::AlreadyReversed => {
                changes.counters.already_reversed += 1;
                self.reporter.dispose(event, DispositionKind::AlreadyReversed, changes);
            }
            Reversal::Expired => {
                let detail = "the transaction it names is older than ledger.retention".to_owned();
                self.reporter.dispose(event, DispositionKind::Orphan, changes);
                self.reporter.refuse(event, Reason::ExpiredReference, detail, changes);
            }
            Reversal::Waits => {
                changes.counters.orphan_reversals_waiting += 1;
                let deadline = event.ingest_time.plus_micros(self.rules.ledger.orphan_wait);
                self.deadlines.insert((deadline, event.key_group()));
            }
        }
    }

    fn define(&mut self, record: &DefinitionRecord, now: Timestamp, changes: &mut Changes) {
        let applied = self.definitions.apply(record);
        if self.speaks {
            let (version, refused) = match &applied {
                Applied::Version { slot, .. } => {
                    let history = self.definitions.history(*slot);
                    (Some(history.version(history.newest()).mission.version), None)
                }
                Applied::Ended => (None, None),
                Applied::Refused(errors) => (None, Some(errors)),
            };
            if let Some(errors) = refused {
                self.reporter.refuse_definition(record, errors, changes);
            }
            changes.definitions.push((
                record.at,
                DefinitionRow {
                    place: Place::new(&self.reporter.topics, record.at),
                    ingest_time: record.ingest_time,
                    mission_id: record.key.clone(),
                    version,
                    accepted: refused.is_none(),
                    definition: record.text.clone(),
                },
            ));
        }
        if let Applied::Version { slot, retargeted: true } = applied {
            self.retarget(slot, record, now, changes);
        }
    }

    /// A new target can complete players at once, in the windows that are open when it takes effect.
    fn retarget(&mut self, slot: MissionSlot, record: &DefinitionRecord, now: Timestamp, changes: &mut Changes) {
        let history = self.definitions.history(slot);
        let version = history.version(history.newest());
        if !version.is_active() {
            return;
        }
        let players = self.groups.iter_mut().flat_map(|group| group.players.iter_mut());
        for (id, Player { progress }) in players {
            let windows = progress.range_mut((slot, Timestamp::MIN)..=(slot, Timestamp::MAX));
            let open = windows.filter(|(_, progress)| progress.window_end.is_none_or(|end| version.from <= end));
            for (((_, window), progress), sequence) in open.zip(0..) {
                let Some(announcement) = progress.announce(Cause::Definition(version.from), history) else { continue };
                let (time, player) = (record.ingest_time, id.clone());
                let position = Position { phase: Phase::Definitions, time, at: record.at, player, sequence };
                let mission = &history.version(announcement.version).mission;
                let trigger = self.reporter.definition_change(record);
                let window_end = progress.window_end;
                let message = Message { position, mission, window: *window, window_end, announcement, trigger };
                self.reporter.message(message, now, changes);
            }
        }
    }

    /// Fires what the clock makes due.
    fn fire(&mut self, now: Timestamp, changes: &mut Changes) {
        while let Some((deadline, group)) = self.deadlines.first().copied()
            && deadline < now
        {
            self.deadlines.pop_first();
            for orphan in self.groups[group.index()].ledger.give_up(now) {
                changes.counters.orphan_reversals_waiting -= 1;
                self.reporter.orphan(orphan, changes);
            }
        }
    }

    /// Gives back the memory of what no record can touch that is ingested at `newest` or later.
    fn sweep(&mut self, newest: Timestamp) {
        let hour = newest.micros().div_euclid(HOUR);
        if hour <= self.swept {
            return;
        }
        self.swept = hour;
        for group in &mut self.groups {
            group.ledger.forget(newest, &self.rules.ledger);
        }
        let later = self.closing.split_off(&hour);
        for Closing { group, player, slot, window } in
            std::mem::replace(&mut self.closing, later).into_values().flatten()
        {
            if let Some(player) = self.groups[group.index()].players.get_mut(&player) {
                player.progress.remove(&(slot, window));
            }
        }
    }
}

impl Group {
    /// The player's state, begun if this is the first that is heard of it.
    fn player(&mut self, id: &str) -> (Arc<str>, &mut Player) {
        match self.players.entry_ref(id) {
            EntryRef::Occupied(entry) => (entry.key().clone(), entry.into_mut()),
            EntryRef::Vacant(entry) => {
                let entry = entry.insert_entry_with_key(id.into(), Player::default());
                (entry.key().clone(), entry.into_mut())
            }
        }
    }
}
