//! Moves a player's missions by the ledger's effects.

use std::collections::BTreeSet;

use datasets::rates::RateBook;
use datasets::{Event, Money, Timestamp};
use smallvec::SmallVec;

use super::Player;
use super::facts::{self, Value};
use super::gate::Passage;
use super::groups::Contested;
use super::held::{Held, HeldAmount};
use super::occurrences::{OccurrenceKey, Occurrences};
use super::restrictions::{Restrictions, restricts};
use super::retained::Retained;
use super::timeline::Timeline;
use super::tracks::{OccurrenceSequence, Override, Tracks};
use crate::contributions::Contribution;
use crate::definitions::{Bounds, ClassId, Definitions, Generation, MissionHistory, User};
use crate::ledger::{Effect, EffectKind, Order};
use crate::progress::{Counted, Progress, Shift};

/// What is reused between events.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    candidates: Vec<ClassId>,
    places: Vec<Place>,
    settled: Vec<Place>,
    /// By class, where its contributions of late belonged: events come in runs.
    recent: Vec<Recent>,
    /// Of the definitions that `recent` follows from.
    revision: u64,
}

/// Where contributions to a class belong, for times within bounds and for what is ingested in time for all.
#[derive(Debug)]
pub(super) struct Recent {
    pub(super) bounds: Bounds,
    /// Until then nothing is late.
    moves_until: Timestamp,
    /// Contributions add to one sum of each place, and do nothing else.
    only_adds: bool,
    pub(super) places: Vec<Place>,
}

impl Default for Recent {
    fn default() -> Self {
        let nothing = Bounds { from: Timestamp::MAX, to: Timestamp::MIN };
        Recent { bounds: nothing, moves_until: Timestamp::MIN, only_adds: false, places: Vec::new() }
    }
}

/// A stage of an occurrence to which a contribution belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) key: OccurrenceKey,
    stage: u8,
    /// Of a recurring window.
    end: Option<Timestamp>,
    version: usize,
    /// Whether anything counts depends on the player's gates.
    is_gated: bool,
    /// The last ingest time that moves the occurrence.
    moves_until: Timestamp,
    /// The newest version and the target of its first stage, if `stage` is that and adds, whatever was before.
    sum: Option<SumTarget>,
}

/// See [`Place::sum`].
#[derive(Clone, Copy, Debug)]
struct SumTarget {
    version: usize,
    target: Money,
}

/// One event's way through its player's missions.
pub(super) struct Touch<'a> {
    pub(super) occurrences: &'a mut Occurrences,
    pub(super) tracks: &'a mut Tracks,
    pub(super) timeline: &'a mut Option<Box<Timeline>>,
    restrictions: &'a mut Option<Box<Restrictions>>,
    pub(super) waits: &'a mut Option<Box<Held>>,
    pub(super) retained: &'a mut Option<Box<Retained>>,
    pub(super) definitions: &'a Definitions,
    pub(super) rates: &'a RateBook,
    scratch: &'a mut Scratch,
    /// Ingest time of the event that causes it all: lateness is its own, also for a correction.
    pub(super) ingest_time: Timestamp,
    /// Nothing comes any more that was ingested before.
    pub(super) oldest_to_come: Timestamp,
    /// Occurrences that an effect left with something to announce.
    pub(super) moved: Vec<OccurrenceKey>,
    /// Occurrences of which something is kept from now on, with the end of a recurring window.
    pub(super) begun: Vec<(OccurrenceKey, Option<Timestamp>)>,
    /// Gated classes with their first contribution.
    pub(super) filed: Vec<ClassId>,
    /// It came too late for a mission that it would have moved.
    pub(super) late: bool,
    /// A mission's money waits for a rate from now on.
    pub(super) held: bool,
    /// What the player may be told has changed.
    pub(super) restricts: bool,
    /// An event is retained that is the first to be forgotten.
    pub(super) retains_more: bool,
    /// By how many more events wait for a rate.
    pub(super) waiting: i64,
    /// Events that are kept from now on because they wait.
    pub(super) kept: Vec<Order>,
}

/// What came of a [`Touch`], by the names that it has there.
pub(super) struct Touched {
    pub(super) ingest_time: Timestamp,
    pub(super) moved: Vec<OccurrenceKey>,
    pub(super) begun: Vec<(OccurrenceKey, Option<Timestamp>)>,
    pub(super) filed: Vec<ClassId>,
    pub(super) kept: Vec<Order>,
    pub(super) late: bool,
    pub(super) held: bool,
    pub(super) waiting: i64,
    pub(super) restricts: bool,
    pub(super) retains_more: bool,
}

impl<'a> Touch<'a> {
    pub(super) fn new(
        player: &'a mut Player,
        (definitions, rates): (&'a Definitions, &'a RateBook),
        scratch: &'a mut Scratch,
        (ingest_time, oldest_to_come): (Timestamp, Timestamp),
    ) -> Self {
        let Player { occurrences, tracks, timeline, restrictions, waits, retained, .. } = player;
        Touch {
            occurrences,
            tracks,
            timeline,
            restrictions,
            waits,
            retained,
            definitions,
            rates,
            scratch,
            ingest_time,
            oldest_to_come,
            moved: Vec::new(),
            begun: Vec::new(),
            filed: Vec::new(),
            late: false,
            held: false,
            restricts: false,
            retains_more: false,
            waiting: 0,
            kept: Vec::new(),
        }
    }

    /// What came of it.
    pub(super) fn end(self) -> Touched {
        let Touch { ingest_time, moved, begun, filed, kept, late, held, waiting, restricts, retains_more, .. } = self;
        Touched { ingest_time, moved, begun, filed, kept, late, held, waiting, restricts, retains_more }
    }

    /// Applies one effect of `cause`.
    pub(super) fn apply(&mut self, effect: &Effect, cause: &Event<'_>) {
        let order = (effect.time, effect.at);
        match &effect.kind {
            EffectKind::Enter { live, event: None } => {
                // Control events have one version, and no reversal names them.
                self.mark(cause, order);
                if restricts(cause) {
                    self.restrictions.get_or_insert_default().take(cause, order);
                    self.restricts = true;
                }
                self.retain(cause, order, *live);
                self.enter(cause, order, *live);
            }
            EffectKind::Enter { live, event: Some(stored) } => {
                self.retain(&stored.get(0), order, *live);
                self.enter(&stored.get(0), order, *live);
            }
            EffectKind::Toggle { live } => self.correct(order, *live),
            EffectKind::Leave => self.correct(order, false),
            EffectKind::Stake { .. } => {}
        }
    }

    /// Adds what `event`, counting at `order`, contributes to each mission it qualifies for.
    fn enter(&mut self, event: &Event<'_>, order: Order, live: bool) {
        let mut candidates = std::mem::take(&mut self.scratch.candidates);
        self.definitions.candidates(event, &mut candidates);
        let is_contested = self.definitions.has_groups() && self.contest(&mut candidates, event, order);
        for class in &candidates {
            self.contribute(*class, event, order, live);
        }
        if is_contested {
            self.drop_contest_unless_kept(order);
        }
        self.scratch.candidates = candidates;
    }

    /// Adds what an event, which counts at `order`, contributes to `classes` that have begun behind it. Other missions of their groups get
    /// it no longer: since when is added to `contested`.
    pub(super) fn contribute_earlier(
        &mut self,
        classes: &BTreeSet<ClassId>,
        event: &Event<'_>,
        (order, live): (Order, bool),
        contested: &mut Contested,
    ) {
        let losers = match self.definitions.has_groups() {
            true => self.contest_earlier(classes, event, order, contested),
            false => SmallVec::new(),
        };
        for class in classes {
            let is_lost = self.definitions.class(*class).exclusive.is_some_and(|slot| losers.contains(&slot));
            // Missions of one epoch can share one.
            if !is_lost && self.tracks.get(*class).is_none_or(|track| track.find(order).is_none()) {
                self.contribute(*class, event, order, live);
            }
        }
        self.drop_contest_unless_kept(order);
    }

    fn contribute(&mut self, id: ClassId, event: &Event<'_>, order: Order, live: bool) {
        let recent = self.take_recent(id, self.definitions.class(id).generation, order.0);
        let track = self.tracks.get(id);
        // Nothing is known of what comes behind everything.
        let track = track.filter(|track| track.last().is_some_and(|last| order <= last));
        let known = track.and_then(|track| track.find(order));
        // Without both, as behind versions that are superseded, there is nothing to ask the event.
        if !recent.places.is_empty() || known.is_some() {
            self.contribute_to(id, &recent, known, event, (order, live));
        }
        self.scratch.recent[id.index()] = recent;
    }

    fn contribute_to(
        &mut self,
        id: ClassId,
        recent: &Recent,
        known: Option<(Generation, Contribution)>,
        event: &Event<'_>,
        (order, live): (Order, bool),
    ) {
        let class = self.definitions.class(id);
        let Some(qualifies) = class.takes(event) else { return };
        // What was converted once stays what it was.
        let value = match known {
            Some((_, known)) => Value::Of(known.value),
            None => facts::value(event, &class.stage.measure, self.rates, order.0),
        };
        if value == Value::Absent {
            return;
        }
        let is_any_late = self.ingest_time > recent.moves_until;
        self.late |= is_any_late && recent.places.iter().any(|place| self.is_late(place) && self.passes(place, order));
        let in_time = recent.places.iter().any(|place| !self.is_late(place));
        if !in_time && known.is_none() {
            return;
        }
        let value = match value {
            Value::Of(value) => value,
            Value::Absent => return,
            Value::NoRate(foreign) => {
                let is_said = recent.places.iter().any(|place| !self.is_late(place) && self.passes(place, order));
                let amount = HeldAmount { class: id, generation: class.generation, qualifies, foreign };
                return self.hold(event, amount, (order, live), is_said);
            }
        };
        let contribution = Contribution { order, qualifies, live, value };
        let only_adds = recent.only_adds && !is_any_late && !self.tracks.has_overrides();
        let is_added = only_adds
            && known.is_none()
            && self
                .tracks
                .get_mut(id)
                .is_some_and(|track| track.add(&contribution, class.generation, recent, self.definitions));
        if is_added {
            #[cfg(test)]
            self.assert_folded();
            return;
        }
        self.settle_for(id, &recent.places);
        if let Some((generation, known)) = known.filter(|(generation, _)| *generation != class.generation) {
            self.leave_behind(id, generation, &known, &recent.places);
        }
        let known = known.map(|(_, known)| known);
        self.set(&recent.places, known.as_ref(), &contribution, (id, class.generation));
        if let Some(track) = self.tracks.get_mut(id).filter(|_| only_adds) {
            track.open(&contribution, recent, self.occurrences, self.definitions);
        }
    }

    /// Settles and closes the tallies of all classes that `places` of a class may have contributions of.
    fn settle_for(&mut self, id: ClassId, places: &[Place]) {
        // Only of a mission with versions, or with stages, several classes look at one occurrence; and what
        // has stages has no tally.
        if places.iter().all(|place| self.definitions.history(place.key.slot).newest() == 0) {
            let Touch { occurrences, tracks, definitions, scratch, .. } = self;
            if let Some(track) = tracks.get_mut(id) {
                track.settle(occurrences, definitions, &mut scratch.settled);
                track.close();
            }
        } else {
            self.settle();
        }
    }

    /// Settles and closes every tally.
    pub(super) fn settle(&mut self) {
        let Touch { occurrences, tracks, definitions, scratch, .. } = self;
        for track in tracks.iter_mut() {
            track.settle(occurrences, definitions, &mut scratch.settled);
            track.close();
        }
    }

    /// Fails unless the folds of all occurrences, with their tallies, are those of their whole sequences.
    #[cfg(test)]
    fn assert_folded(&self) {
        let (occurrences, tracks) = (self.occurrences.clone(), self.tracks.clone());
        let timeline = self.timeline.clone();
        let mut player = Player { occurrences, tracks, timeline, ..Player::default() };
        player.settle(self.definitions);
        let timeline = player.timeline.as_deref();
        for (key, progress) in player.occurrences.iter() {
            let sequence = OccurrenceSequence { tracks: &player.tracks, timeline, definitions: self.definitions, key };
            progress.assert_folded(self.definitions.history(key.slot), &sequence);
        }
    }

    /// What is `known` from an older generation enters again, to `places`. Where it only belonged by what was in force
    /// then, it stays out, or what it was if it could not be taken back.
    fn leave_behind(&mut self, class: ClassId, generation: Generation, known: &Contribution, places: &[Place]) {
        let mut before = Vec::new();
        find_places(self.definitions, class, generation, known.order.0, &mut before);
        for Place { key, .. } in before.into_iter().filter(|old| places.iter().all(|place| place.key != old.key)) {
            let is = if self.tracks.is_live(class, known, key) { Override::Live } else { Override::Never };
            self.tracks.set_override(class, known.order, key, is);
        }
    }

    /// Where contributions to a class belong that count at `time` and are made now. To be put back.
    fn take_recent(&mut self, id: ClassId, generation: Generation, time: Timestamp) -> Recent {
        let revision = self.definitions.revision();
        if std::mem::replace(&mut self.scratch.revision, revision) != revision {
            self.scratch.recent.clear();
        }
        if self.scratch.recent.len() <= id.index() {
            self.scratch.recent.resize_with(id.index() + 1, Recent::default);
        }
        let mut recent = std::mem::take(&mut self.scratch.recent[id.index()]);
        if !recent.bounds.contain(time) {
            let Recent { bounds, moves_until, only_adds, places } = &mut recent;
            *bounds = find_places(self.definitions, id, generation, time, places);
            *moves_until = places.iter().map(|place| place.moves_until).min().unwrap_or(Timestamp::MAX);
            *only_adds = places.iter().all(|place| self.definitions.history(place.key.slot).is_one_sum());
        }
        recent
    }

    /// Changes what the fact of `order` had contributed, wherever it had.
    fn correct(&mut self, order: Order, live: bool) {
        self.correct_retained(order, live);
        self.correct_held(order, live);
        self.settle();
        let mut places = std::mem::take(&mut self.scratch.places);
        for (class, generation, known) in self.tracks.of(order) {
            find_places(self.definitions, class, generation, order.0, &mut places);
            places.retain(|place| {
                let entered = self.tracks.get_override(class, order, place.key) != Some(Override::Never);
                // Behind a gate an occurrence can begin later, with what is kept for it.
                entered && (place.is_gated || self.occurrences.get(place.key).is_some())
            });
            let is_moved =
                |place: &Place| self.tracks.is_live(class, &known, place.key) != live && self.passes(place, order);
            self.late |= places.iter().any(|place| self.is_late(place) && is_moved(place));
            self.set(&places, Some(&known), &Contribution { live, ..known }, (class, generation));
        }
        self.scratch.places = places;
    }

    /// Adds a contribution to a generation of a class, which may be one of the past.
    pub(super) fn contribute_late(&mut self, (class, generation): (ClassId, Generation), contribution: &Contribution) {
        self.settle();
        let mut places = std::mem::take(&mut self.scratch.places);
        find_places(self.definitions, class, generation, contribution.order.0, &mut places);
        // It may have come back while it waited, and counts once.
        let is_known = self.tracks.get(class).is_some_and(|track| track.find(contribution.order).is_some());
        places.retain(|_| !is_known);
        self.late |= places.iter().any(|place| self.is_late(place) && self.passes(place, contribution.order));
        if places.iter().any(|place| !self.is_late(place)) {
            self.set(&places, None, contribution, (class, generation));
        }
        self.scratch.places = places;
    }

    /// The occurrence is not moved any more by what is ingested when the cause was.
    fn is_late(&self, place: &Place) -> bool {
        self.ingest_time > place.moves_until
    }

    /// Since when the player has been in, if the event of `order` passes the gate of a place.
    fn since(&self, place: &Place, order: Order) -> Option<Timestamp> {
        if !place.is_gated {
            return Some(Timestamp::MIN);
        }
        let version = (place.key.slot, place.version);
        Passage::new(self.timeline.as_deref(), self.definitions, version, place.end).since(order)
    }

    fn passes(&self, place: &Place, order: Order) -> bool {
        self.since(place, order).is_some()
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
        if self.definitions.class(class).is_gated && self.tracks.get(class).is_none() {
            self.filed.push(class);
        }
        self.tracks.put(class, generation, *contribution, known.is_some());
        // Nothing is otherwise for one occurrence than for all, and nothing was there before.
        let is_plain = known.is_none() && contribution.live && !self.tracks.has_overrides();
        let mut hint = 0;
        // Places of one occurrence are neighbours: stages that take the same events.
        for places in places.chunk_by(|a, b| a.key == b.key) {
            let Place { key, end, .. } = places[0];
            let is_late = self.is_late(&places[0]);
            if is_plain && !is_late {
                self.shift(places, &mut hint, false, contribution);
                continue;
            }
            let was_live = known.is_some_and(|known| self.tracks.is_live(class, known, key));
            if !is_late {
                self.tracks.clear_override(class, contribution.order, key);
                self.shift(places, &mut hint, was_live, contribution);
            } else if self.tracks.get_override(class, contribution.order, key).is_none()
                && was_live != contribution.live
            {
                let is = match known {
                    None => Override::Never,
                    Some(_) if was_live => Override::Live,
                    Some(_) => Override::Dead,
                };
                self.tracks.set_override(class, contribution.order, key, is);
                self.begun.push((key, end));
            }
        }
    }

    /// Moves one occurrence, of which `places` are the stages, by `contribution`.
    fn shift(&mut self, places: &[Place], hint: &mut usize, was_live: bool, contribution: &Contribution) {
        let Some(since) = self.since(&places[0], contribution.order) else { return };
        let Place { key, end, version, sum, .. } = places[0];
        let timeline = self.timeline.as_deref();
        let begun = &mut self.begun;
        let mut is_new = false;
        let progress = self.occurrences.get_or_begin(key, hint, || {
            begun.push((key, end));
            is_new = true;
            Progress::new(end, version)
        });
        if was_live != contribution.live {
            if let ([_], Some(SumTarget { version, target })) = (places, sum)
                && contribution.live
                && !is_new
                && progress.add(contribution.value, version, target)
            {
                #[cfg(test)]
                {
                    let (tracks, definitions) = (&*self.tracks, self.definitions);
                    let sequence = OccurrenceSequence { tracks, timeline, definitions, key };
                    progress.assert_folded(self.definitions.history(key.slot), &sequence);
                }
                return;
            }
            let history = self.definitions.history(key.slot);
            let sequence = OccurrenceSequence { tracks: self.tracks, timeline, definitions: self.definitions, key };
            // Of an occurrence that was forgotten, what others still keep is there again.
            if let ([place], false) = (places, is_new) {
                let shift = if contribution.live { Shift::Counts } else { Shift::CountsNoMore };
                progress.shift(&Counted::new(contribution, place.stage, since), shift, history, &sequence);
            } else {
                progress.fold_again(contribution.order, history, &sequence);
            }
            if !progress.is_settled(history) {
                self.moved.push(key);
            }
        }
    }
}

/// Replaces the contents of `places` by those of a contribution at `time` in a generation of a class.
/// Answers the times around it with the same places.
pub(super) fn find_places(
    definitions: &Definitions,
    class: ClassId,
    generation: Generation,
    time: Timestamp,
    places: &mut Vec<Place>,
) -> Bounds {
    places.clear();
    let mut bounds = Bounds::ALL;
    for User { slot, version, stage } in definitions.class(class).users.iter().copied() {
        let history = definitions.history(slot);
        // Judged by the version in force at its event time.
        let place = history.place((version, stage), generation, time, &mut bounds);
        let Some((window, end)) = place else { continue };
        let key = OccurrenceKey::new(slot, window, definitions);
        let moves_until = history.moves_until(end).unwrap_or(Timestamp::MAX);
        let is_gated = history.version(version).mission.is_gated();
        places.push(Place { key, stage, end, version, is_gated, moves_until, sum: sum_target(history, stage) });
    }
    bounds
}

/// The newest version judges what has not completed.
fn sum_target(history: &MissionHistory, stage: u8) -> Option<SumTarget> {
    let version = history.newest();
    let newest = &history.version(version).mission;
    let first = newest.stages.first().filter(|_| !newest.gate.resets())?;
    (stage == 0 && first.measure.adds() && !history.repeats()).then_some(SumTarget { version, target: first.target })
}
