//! Moves a player's missions by the ledger's effects.

use datasets::{Event, Timestamp};

use super::Player;
use super::facts::{self, Value};
use super::occurrences::{OccurrenceKey, Occurrences};
use super::tracks::{OccurrenceSequence, Tracks};
use crate::contributions::Contribution;
use crate::definitions::{ClassId, Definitions, Generation};
use crate::ledger::{Effect, EffectKind, Order};
use crate::progress::{Counted, Progress, Shift};

/// Lists that are reused between events.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    candidates: Vec<ClassId>,
    places: Vec<Place>,
}

/// A stage of an occurrence to which a contribution belongs.
#[derive(Clone, Copy, Debug)]
struct Place {
    key: OccurrenceKey,
    stage: u8,
    /// Of a recurring window.
    end: Option<Timestamp>,
    version: usize,
    /// The occurrence is not moved any more by what is ingested when the cause was.
    is_late: bool,
}

/// One event's way through its player's missions.
pub(super) struct Touch<'a> {
    occurrences: &'a mut Occurrences,
    tracks: &'a mut Tracks,
    definitions: &'a Definitions,
    scratch: &'a mut Scratch,
    /// Ingest time of the event that causes it all: lateness is its own, also for a correction.
    ingest_time: Timestamp,
    /// Occurrences that an effect left with something to announce.
    pub(super) moved: Vec<OccurrenceKey>,
    /// Occurrences of which something is kept from now on, with the end of a recurring window.
    pub(super) begun: Vec<(OccurrenceKey, Option<Timestamp>)>,
    /// It came too late for a mission that it would have moved.
    pub(super) late: bool,
    /// A mission's money waits for a rate.
    pub(super) held: bool,
}

impl<'a> Touch<'a> {
    pub(super) fn new(
        player: &'a mut Player,
        definitions: &'a Definitions,
        scratch: &'a mut Scratch,
        ingest_time: Timestamp,
    ) -> Self {
        let Player { occurrences, tracks } = player;
        let (moved, begun) = (Vec::new(), Vec::new());
        Touch { occurrences, tracks, definitions, scratch, ingest_time, moved, begun, late: false, held: false }
    }

    /// Applies one effect of `cause`.
    pub(super) fn apply(&mut self, effect: &Effect, cause: &Event<'_>) {
        let order = (effect.time, effect.at);
        match &effect.kind {
            EffectKind::Enter { live, event: None } => self.enter(cause, order, *live),
            EffectKind::Enter { live, event: Some(stored) } => self.enter(&stored.get(0), order, *live),
            EffectKind::Toggle { live } => self.correct(order, *live),
            EffectKind::Leave => self.correct(order, false),
        }
    }

    /// Adds what `event`, counting at `order`, contributes to each mission it qualifies for.
    fn enter(&mut self, event: &Event<'_>, order: Order, live: bool) {
        let mut candidates = std::mem::take(&mut self.scratch.candidates);
        self.definitions.candidates(event, &mut candidates);
        for class in &candidates {
            self.contribute(*class, event, order, live);
        }
        self.scratch.candidates = candidates;
    }

    fn contribute(&mut self, id: ClassId, event: &Event<'_>, order: Order, live: bool) {
        let class = self.definitions.class(id);
        let Some(qualifies) = class.takes(event) else { return };
        let value = facts::value(event, &class.stage.measure);
        if value == Value::Absent {
            return;
        }
        let mut places = std::mem::take(&mut self.scratch.places);
        self.find_places(id, class.generation, order, &mut places);
        let in_time = places.iter().any(|place| !place.is_late);
        self.late |= places.iter().any(|place| place.is_late);
        match value {
            Value::Of(value) => {
                let known = self.tracks.find(id, order).map(|(_, contribution)| contribution);
                if in_time || known.is_some() {
                    let contribution = Contribution { order, qualifies, live, value };
                    self.set(&places, known.as_ref(), &contribution, (id, class.generation));
                }
            }
            _ => self.held |= in_time,
        }
        self.scratch.places = places;
    }

    /// Changes what the fact of `order` had contributed, wherever it had.
    fn correct(&mut self, order: Order, live: bool) {
        let mut places = std::mem::take(&mut self.scratch.places);
        for (class, generation, known) in self.tracks.of(order) {
            self.find_places(class, generation, order, &mut places);
            places.retain(|place| self.occurrences.get(place.key).is_some());
            let is_moved = |place: &Place| self.tracks.is_live(&known, place.key) != live;
            self.late |= places.iter().any(|place| place.is_late && is_moved(place));
            self.set(&places, Some(&known), &Contribution { live, ..known }, (class, generation));
        }
        self.scratch.places = places;
    }

    /// Replaces the contents of `places` by those of a contribution of `order` in a generation of a class.
    fn find_places(&self, class: ClassId, generation: Generation, order: Order, places: &mut Vec<Place>) {
        places.clear();
        for user in &self.definitions.class(class).users {
            let history = self.definitions.history(user.slot);
            // Judged by the version in force at its event time.
            if !history.counts(user.version, user.stage, generation, order.0) {
                continue;
            }
            let Some((window, end)) = history.window_at(user.version, order.0) else { continue };
            let is_late = history.moves_until(end).is_some_and(|until| self.ingest_time > until);
            let key = OccurrenceKey::new(user.slot, window, self.definitions);
            places.push(Place { key, stage: user.stage, end, version: user.version, is_late });
        }
    }

    /// Makes `contribution` of what was `known` of its event before. Where it is too late for that, it stays
    /// what it was.
    fn set(
        &mut self,
        places: &[Place],
        known: Option<&Contribution>,
        contribution: &Contribution,
        (class, generation): (ClassId, Generation),
    ) {
        self.tracks.put(class, generation, *contribution);
        let mut hint = 0;
        // Places of one occurrence are neighbours: stages that take the same events.
        for places in places.chunk_by(|a, b| a.key == b.key) {
            let Place { key, end, is_late, .. } = places[0];
            let was_live = known.is_some_and(|known| self.tracks.is_live(known, key));
            if !is_late {
                self.tracks.clear_override(contribution.order, key);
                self.shift(places, &mut hint, was_live, contribution);
            } else if was_live != contribution.live {
                self.tracks.set_override(contribution.order, key, was_live);
                self.begun.push((key, end));
            }
        }
    }

    /// Moves one occurrence, of which `places` are the stages, by `contribution`.
    fn shift(&mut self, places: &[Place], hint: &mut usize, was_live: bool, contribution: &Contribution) {
        let Place { key, end, version, .. } = places[0];
        let history = self.definitions.history(key.slot);
        let begun = &mut self.begun;
        let progress = self.occurrences.get_or_begin(key, hint, || {
            begun.push((key, end));
            Progress::new(end, version)
        });
        if was_live != contribution.live {
            let end = progress.recurring_end();
            let sequence = OccurrenceSequence { tracks: self.tracks, definitions: self.definitions, key, end };
            if let [place] = places {
                let shift = if contribution.live { Shift::Counts } else { Shift::CountsNoMore };
                progress.shift(&Counted::new(contribution, place.stage), shift, history, &sequence);
            } else {
                progress.fold_again(contribution.order, history, &sequence);
            }
            if !progress.is_settled(history) {
                self.moved.push(key);
            }
        }
    }
}
