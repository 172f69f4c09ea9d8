//! Moves a player's missions by the ledger's effects.

use datasets::{Event, Timestamp};

use super::facts::{self, Value};
use super::occurrences::{OccurrenceKey, Occurrences};
use crate::contributions::Contribution;
use crate::definitions::{Candidate, Definitions, MissionHistory};
use crate::ledger::{Effect, EffectKind, Order};
use crate::progress::Progress;

/// One event's way through its player's missions.
pub(super) struct Touch<'a> {
    occurrences: &'a mut Occurrences,
    definitions: &'a Definitions,
    candidates: &'a mut Vec<Candidate>,
    /// Ingest time of the event that causes it all: lateness is its own, also for a correction.
    ingest_time: Timestamp,
    /// Occurrences that an effect left with something to announce.
    pub(super) moved: Vec<OccurrenceKey>,
    /// Occurrences that have just begun.
    pub(super) begun: Vec<OccurrenceKey>,
    /// It came too late for a mission that it would have moved.
    pub(super) late: bool,
    /// A mission's money waits for a rate.
    pub(super) held: bool,
}

impl<'a> Touch<'a> {
    pub(super) fn new(
        occurrences: &'a mut Occurrences,
        definitions: &'a Definitions,
        candidates: &'a mut Vec<Candidate>,
        ingest_time: Timestamp,
    ) -> Self {
        let (moved, begun) = (Vec::new(), Vec::new());
        Touch { occurrences, definitions, candidates, ingest_time, moved, begun, late: false, held: false }
    }

    /// Applies one effect of `cause`.
    pub(super) fn apply(&mut self, effect: &Effect, cause: &Event<'_>) {
        let order = (effect.time, effect.at);
        match &effect.kind {
            EffectKind::Enter { live, event: None } => self.enter(cause, order, *live),
            EffectKind::Enter { live, event: Some(stored) } => self.enter(&stored.get(0), order, *live),
            EffectKind::Toggle { live } => {
                self.correct(order, |progress, history| progress.set_live(order, *live, history));
            }
            EffectKind::Leave => self.correct(order, |progress, history| progress.remove(order, history)),
        }
    }

    /// Adds what `event`, counting at `order`, contributes to each mission it qualifies for.
    fn enter(&mut self, event: &Event<'_>, order: Order, live: bool) {
        let mut candidates = std::mem::take(self.candidates);
        self.definitions.candidates(event, &mut candidates);
        for candidate in &candidates {
            self.contribute(candidate, event, order, live);
        }
        *self.candidates = candidates;
    }

    fn contribute(&mut self, candidate: &Candidate, event: &Event<'_>, order: Order, live: bool) {
        let history = self.definitions.history(candidate.slot);
        // Judged by the version in force at its event time.
        let Some((in_force, version)) = history.in_force(order.0) else { return };
        if in_force != candidate.version || !version.is_active() {
            return;
        }
        let mission = &version.mission;
        let stage = &mission.stages[candidate.stage];
        if !mission.is_eligible(event) {
            return;
        }
        let qualifies = stage.accepts(event);
        if !qualifies && !stage.breaks_run(event) {
            return;
        }
        let Some((window, recurring_end)) = history.window_at(in_force, order.0) else { return };
        let value = facts::value(event, &stage.measure);
        if value == Value::Absent {
            return;
        }
        if history.moves_until(recurring_end).is_some_and(|until| self.ingest_time > until) {
            self.late = true;
            return;
        }
        let Value::Of(value) = value else {
            self.held = true;
            return;
        };
        let key = (candidate.slot, window);
        let begun = &mut self.begun;
        let progress = self.occurrences.get_or_begin(key, || {
            begun.push(key);
            Progress::new(recurring_end, in_force)
        });
        let stage = u8::try_from(candidate.stage).expect("definitions have fewer than 256 stages");
        progress.insert(Contribution { order, stage, qualifies, live, value }, history);
        if !progress.is_settled(history) {
            self.moved.push(key);
        }
    }

    /// Changes what the fact of `order` had contributed, wherever it had.
    fn correct(&mut self, order: Order, change: impl Fn(&mut Progress, &MissionHistory) -> bool) {
        for (key, progress) in self.occurrences.iter_mut() {
            if !progress.contains(order) {
                continue;
            }
            let history = self.definitions.history(key.0);
            if progress.moves_until(history).is_some_and(|until| self.ingest_time > until) {
                self.late = true;
            } else if change(progress, history) && !progress.is_settled(history) {
                self.moved.push(key);
            }
        }
    }
}
