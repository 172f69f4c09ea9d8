//! Closing an epoch: definitions, identity, events, timers.

use std::sync::Arc;

use datasets::hash::{KEY_GROUPS, KeyGroup};
use datasets::rates::RateRecord;
use datasets::rows::{DefinitionRow, DispositionKind, Place};
use datasets::{Event, EventBatch, EventName, Family, Identity, Reason, TextField, Timestamp};

use super::closings::{self, Closings, PlayerPlace, closing_hour};
use super::emission::{AT_ONCE, Leaving};
use super::gate::Reopening;
use super::occurrences::OccurrenceKey;
use super::purse::Spending;
use super::repeats::Told;
use super::report::{Message, Reporter};
use super::snapshot::Restored;
use super::touch::{Touch, Touched};
use super::tracks::OccurrenceSequence;
use super::unlocks::{Outcome, Why};
use super::untouched::Untouched;
use super::{Clock, Group, Player, Players};
use super::{facts, fetch};
use crate::changes::{Changes, Phase, Position};
use crate::decode::rates_of;
use crate::definitions::{Applied, DefinitionRecord, Definitions, MissionSlot};
use crate::ledger::{Admission, Effect, EffectKind, Reversal};

impl Players {
    /// Closes an epoch and tells what it changed. `batches` and `definitions` may come in any order.
    /// All events are here, and so are the rates among them.
    pub fn close(
        &mut self,
        clock: Clock,
        definitions: &mut [DefinitionRecord],
        batches: &[Arc<EventBatch>],
    ) -> Changes {
        self.close_share(clock, (definitions, &mut rates_of(batches)), batches)
    }

    /// The same with one worker's share of the events, and what all workers get.
    pub fn close_share(
        &mut self,
        clock: Clock,
        (definitions, rates): (&mut [DefinitionRecord], &mut [RateRecord]),
        batches: &[Arc<EventBatch>],
    ) -> Changes {
        let Clock { now, newest, .. } = clock;
        // What a partition that lags behind still brings is newer than the least of both clocks.
        let oldest_to_come = now.min(newest);
        let events = batches.iter().map(|batch| batch.len()).sum();
        // Most events book once.
        let mut changes = Changes { postings: Vec::with_capacity(events), ..Changes::default() };
        definitions.sort_by_key(|record| record.at);
        let mut counting_earlier = Vec::new();
        for record in definitions.iter() {
            let slot = self.define(record, (now, oldest_to_come), &mut changes);
            counting_earlier.extend(slot.map(|slot| (slot, record)));
        }
        self.definitions.index();
        self.learn(rates, (now, oldest_to_come), &mut changes);
        self.count_earlier(&counting_earlier, (now, oldest_to_come), &mut changes);
        // Players do not touch each other: each is settled by itself, while its state is at hand.
        let mut arrivals = in_order_of_coordinates(batches, &self.restored);
        let mut players: Vec<&mut [Arrival<'_>]> = arrivals.chunk_by_mut(|a, b| a.place == b.place).collect();
        for block in players.chunks_mut(fetch::BLOCK) {
            fetch::fetch(&self.groups, block);
            block.iter_mut().for_each(|player| self.settle(player, (now, oldest_to_come), &mut changes));
        }
        self.end_tiers(now, &mut changes);
        self.fire(now, &mut changes);
        self.emit(now, &mut changes);
        self.book_points(now, &mut changes);
        self.sweep(oldest_to_come, &mut changes);
        changes
    }

    /// Takes the events of one player: they touch nobody else's state.
    fn settle(&mut self, arrivals: &mut [Arrival<'_>], clocks: Clocks, changes: &mut Changes) {
        for arrival in arrivals.iter_mut() {
            arrival.is_accepted = self.admit(arrival, changes);
        }
        arrivals.sort_unstable_by_key(|arrival| (arrival.event.event_time, arrival.event.at));
        for arrival in arrivals.iter().filter(|arrival| arrival.is_accepted) {
            self.apply(&arrival.event, arrival.key, clocks, changes);
        }
        if self.rules.entities.is_some() {
            self.tell_entities(arrivals, clocks.0, changes);
        }
    }

    /// Settles identity. The event is to be applied, or what is wrong with it has been said.
    fn admit(&mut self, Arrival { event, key, .. }: &Arrival<'_>, changes: &mut Changes) -> bool {
        if event.name == EventName::Rate {
            self.report_rate(event, changes);
            return false;
        }
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
    }

    /// The mission that an opt-in or opt-out names, if there is none of this id yet.
    fn unknown_mission<'a>(&self, event: &Event<'a>) -> Option<&'a str> {
        if !matches!(event.name, EventName::OptedIn | EventName::OptedOut) {
            return None;
        }
        event.text(TextField::MissionId).filter(|mission| !self.definitions.is_known(mission))
    }

    fn apply(&mut self, event: &Event<'_>, key: Identity, clocks: Clocks, changes: &mut Changes) {
        let group = &mut self.groups[event.key_group().index()];
        let mut effects = std::mem::take(&mut self.effects);
        let released = if event.name.family() == Family::Reversal {
            let (outcome, released) = group.ledger.reverse(event, key, &self.rules.ledger, &mut effects);
            self.report_reversal(event, outcome, changes);
            released
        } else {
            group.ledger.apply(event, key, &self.rules.ledger, &mut effects)
        };
        changes.counters.accepted += released;
        changes.counters.orphan_reversals_waiting -= i64::try_from(released).expect("a count of references");
        if !effects.is_empty() {
            self.take_effect(event, &effects, clocks, changes);
        }
        effects.clear();
        self.effects = effects;
    }

    fn take_effect(
        &mut self,
        event: &Event<'_>,
        effects: &[Effect],
        (now, oldest_to_come): Clocks,
        changes: &mut Changes,
    ) {
        let players = &mut self.groups[event.key_group().index()].players;
        let place = players.enter(event.player_hash, event.player_id());
        let (id, player) = players.get_mut(place);
        let spent = effects.iter().filter_map(|effect| Spending::of(effect, event));
        self.spendings.extend(spent.map(|spending| spending.of_player(id, self.reporter.trigger(event))));
        let ingest = (event.ingest_time, oldest_to_come);
        let mut touch = Touch::new(player, (&self.definitions, &self.rates), &mut self.scratch, ingest);
        for effect in effects {
            touch.apply(effect, event);
            if let Some(booking) = &effect.booking {
                let diff = match effect.kind {
                    EffectKind::Enter { live: true, .. }
                    | EffectKind::Toggle { live: true }
                    | EffectKind::Stake { live: true } => 1,
                    EffectKind::Enter { live: false, .. } => continue,
                    EffectKind::Toggle { live: false } | EffectKind::Leave | EffectKind::Stake { live: false } => -1,
                };
                let posting = facts::posting(booking, event, id, self.days.date(effect.time));
                changes.postings.push((posting, diff));
            }
        }
        let touched = touch.end();
        self.conclude(event, (place, Phase::Events), touched, (now, oldest_to_come), changes);
    }

    /// Tells what came of a touch of the player at `place`, of which `event` is the cause.
    pub(super) fn conclude(
        &mut self,
        event: &Event<'_>,
        (place, phase): (u32, Phase),
        touched: Touched,
        clocks: Clocks,
        changes: &mut Changes,
    ) {
        let Touched { ingest_time, moved, begun, filed, kept, late, held, waiting, restricts, retains_more } = touched;
        let (id, player) = self.groups[event.key_group().index()].players.get_mut(place);
        changes.counters.fx_missing_waiting += waiting;
        if late {
            changes.counters.late += 1;
            self.reporter.dispose(event, DispositionKind::Late, changes);
        }
        if held {
            self.reporter.dispose(event, DispositionKind::Held, changes);
        }
        if restricts && player.restrictions.as_ref().is_some_and(|restrictions| restrictions.has_deferred()) {
            self.releases.insert((AT_ONCE, event.key_group(), id.clone()));
        }
        let here = (event.key_group(), place);
        keep((&mut self.closings, &mut self.untouched), here, begun, &self.definitions);
        let classes = filed.into_iter().filter_map(|class| player.due(class, &self.definitions));
        let waits = player.waits.as_ref();
        let held = kept.into_iter().filter_map(|order| waits?.due(order, &self.definitions));
        let retained = player.retained.as_ref().filter(|_| retains_more);
        let retained = retained.and_then(|retained| retained.due(&self.definitions));
        classes.chain(held).chain(retained).for_each(|due| self.closings.file(due, here));
        if !moved.is_empty() {
            self.announce((event, ingest_time), (place, phase), moved, clocks, changes);
        }
    }

    /// Announces what an event moved, in order of mission and window.
    fn announce(
        &mut self,
        (event, ingest_time): (&Event<'_>, Timestamp),
        (place, phase): (u32, Phase),
        moved: Vec<OccurrenceKey>,
        (now, oldest_to_come): Clocks,
        changes: &mut Changes,
    ) {
        let (_, player) = self.groups[event.key_group().index()].players.get_mut(place);
        let why = Why { edited: None, ingest_time, oldest_to_come };
        let Outcome { mut told, begun } = player.announce(moved, why, &self.definitions);
        keep((&mut self.closings, &mut self.untouched), (event.key_group(), place), begun, &self.definitions);
        self.tell_tier((event, place), &mut told, (ingest_time, now), changes);
        let (id, player) = self.groups[event.key_group().index()].players.get_mut(place);
        for (Told { key, occurrence, announcement }, sequence) in told.into_iter().zip(0..) {
            let OccurrenceKey { slot, window, .. } = key;
            let history = self.definitions.history(slot);
            let progress = player.occurrences.get(key).expect("it has just moved");
            let (time, at) = (event.event_time, event.at);
            let position = Position { phase, time, at, player: id.clone(), sequence };
            let mission = &history.version(announcement.version).mission;
            let trigger = self.reporter.trigger(event);
            let window_end = progress.window_end(history);
            let window_start = if progress.is_once() { mission.start } else { window };
            let message =
                Message { position, mission, occurrence, window, window_start, window_end, announcement, trigger };
            let (position, row) = self.reporter.message(message, now);
            let on_suppression = history.version(history.newest()).mission.on_suppression;
            self.leaving.push(Leaving { position, key, row, on_suppression });
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

    /// Applies a definition. Answers the mission if it counts events from before.
    fn define(&mut self, record: &DefinitionRecord, clocks: Clocks, changes: &mut Changes) -> Option<MissionSlot> {
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
        let Applied::Version { slot, retargeted, counts_earlier, required } = applied else { return None };
        self.untouched.define(slot);
        for slot in required {
            let groups = self.groups.iter_mut();
            let players = groups.flat_map(|group| {
                let may_have = |player: &Player| player.may_have_completed(slot, &self.definitions);
                group.players.iter_mut_where(may_have, slot)
            });
            players.for_each(|(.., player)| player.begin_to_unlock(slot, &self.definitions));
        }
        if retargeted {
            self.retarget(slot, record, clocks);
        }
        counts_earlier.then_some(slot)
    }

    /// A new target can complete players at once, in the windows that are open when it takes effect.
    fn retarget(&mut self, slot: MissionSlot, record: &DefinitionRecord, (now, oldest_to_come): Clocks) {
        let history = self.definitions.history(slot);
        let version = history.version(history.newest());
        if !version.is_active() {
            return;
        }
        let definitions = &self.definitions;
        // Which control events come in time for it is judged again, and so is what others of its group get.
        let rivals = definitions.rivals(slot);
        let concerns = |player: &Player| {
            player.occurrences.has(slot, definitions) || rivals.iter().any(|rival| player.contests(*rival, definitions))
        };
        // To look at all players takes a while. Who contests what is not known before.
        let may_concern = |group: KeyGroup| !rivals.is_empty() || !self.untouched.is(slot, group);
        let (looked_at, passed): (Vec<_>, Vec<_>) =
            (0..KEY_GROUPS).map(KeyGroup).partition(|group| may_concern(*group));
        debug_assert!(
            passed.iter().all(|group| self.groups[group.index()].players.awake().all(|(.., player)| !concerns(player))),
            "every occurrence that begins is kept, and so touched"
        );
        looked_at.iter().for_each(|group| self.untouched.note(slot, *group));
        let groups = self.groups.iter_mut().zip((0..KEY_GROUPS).map(KeyGroup));
        let groups = groups.filter(|(_, number)| looked_at.binary_search(number).is_ok());
        let players = groups.flat_map(|(group, number)| {
            // Nobody who is dormant contests anything.
            let players = group.players.iter_mut_where(concerns, slot);
            players.map(move |(place, id, player)| ((number, place), id, player))
        });
        for (place, id, player) in players {
            self.untouched.touch(slot, place.0);
            player.settle(definitions);
            if history.is_gated() {
                let Player { occurrences, tracks, timeline, .. } = &mut *player;
                let timeline = timeline.as_deref();
                for (key, progress) in occurrences.of_mission(slot, definitions) {
                    let sequence = OccurrenceSequence { tracks, timeline, definitions, key };
                    progress.fold_anew(history, &sequence);
                }
            }
            let windows = player.occurrences.of_mission(slot, definitions);
            let open =
                windows.filter(|(_, progress)| progress.window_end(history).is_none_or(|end| version.from <= end));
            let mut open: Vec<_> = open.map(|(key, _)| key).collect();
            let ingest_time = record.ingest_time;
            let Player { occurrences, tracks, timeline, .. } = &mut *player;
            let timeline = timeline.as_deref();
            let mut reopening = Reopening { occurrences, tracks, timeline, definitions, ingest_time };
            let mut begun = Vec::new();
            rivals.iter().for_each(|rival| reopening.pass_again(*rival, Timestamp::MIN, &mut open, &mut begun));
            let why = Why { edited: Some((slot, version.from)), ingest_time, oldest_to_come };
            let outcome = player.announce(open, why, definitions);
            begun.extend(outcome.begun);
            let told = outcome.told;
            keep((&mut self.closings, &mut self.untouched), place, begun, definitions);
            let leaving =
                leaving((Phase::Definitions, told), (id, player), |_| record, (definitions, &self.reporter), now);
            self.leaving.extend(leaving);
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

    /// Gives back the memory of what no record can touch that is ingested at `oldest` or later, of the groups whose hours have ended.
    fn sweep(&mut self, oldest: Timestamp, changes: &mut Changes) {
        let phase = closings::Phase::of(oldest);
        let before = self.swept;
        self.swept = before.max(phase);
        if before.hour_of(KeyGroup(0)) < phase.hour_of(KeyGroup(0)) {
            self.forget_rates(oldest, changes);
        }
        for (group, hour) in phase.since(before) {
            let Group { players, ledger, .. } = &mut self.groups[group.index()];
            ledger.forget_before(hour, &self.rules.ledger);
            for place in self.closings.take(group, hour) {
                let (_, player) = players.get_mut(place);
                changes.counters.fx_missing_waiting -= player.forget_before(hour, &self.definitions);
                if let Some(next) = player.next_closing(hour, &self.definitions) {
                    self.closings.file(next, (group, place));
                }
            }
        }
    }
}

/// The clock, and the earliest ingest time that can still come.
pub(super) type Clocks = (Timestamp, Timestamp);

/// What definitions have told of a player's missions: `record_of` each.
pub(super) fn leaving<'r>(
    (phase, told): (Phase, Vec<Told>),
    (id, player): (&Arc<str>, &Player),
    record_of: impl Fn(MissionSlot) -> &'r DefinitionRecord,
    (definitions, reporter): (&Definitions, &Reporter),
    now: Timestamp,
) -> Vec<Leaving> {
    let leaving = told.into_iter().zip(0..).map(|(Told { key, occurrence, announcement }, sequence)| {
        let OccurrenceKey { slot, window, .. } = key;
        let (history, record) = (definitions.history(slot), record_of(slot));
        let progress = player.occurrences.get(key).expect("it was told");
        let time = record.ingest_time;
        let position = Position { phase, time, at: record.at, player: id.clone(), sequence };
        let mission = &history.version(announcement.version).mission;
        let trigger = reporter.definition_change(record);
        let window_end = progress.window_end(history);
        let window_start = if progress.is_once() { mission.start } else { window };
        let message =
            Message { position, mission, occurrence, window, window_start, window_end, announcement, trigger };
        let (position, row) = reporter.message(message, now);
        let on_suppression = history.version(history.newest()).mission.on_suppression;
        Leaving { position, key, row, on_suppression }
    });
    leaving.collect()
}

/// Occurrences that have begun are kept for as long as they can be moved, and their missions are touched.
pub(super) fn keep(
    (closings, untouched): (&mut Closings, &mut Untouched),
    player: PlayerPlace,
    begun: Vec<(OccurrenceKey, Option<Timestamp>)>,
    definitions: &Definitions,
) {
    for (key, end) in begun {
        untouched.touch(key.slot, player.0);
        if let Some(until) = definitions.history(key.slot).kept_until(end) {
            closings.file(closing_hour(until), player);
        }
    }
}

/// An event on its way through the core.
pub(super) struct Arrival<'a> {
    /// Sorts by key group, then player.
    place: u64,
    pub(super) event: Event<'a>,
    pub(super) key: Identity,
    pub(super) is_accepted: bool,
}

/// All events of an epoch that are new, by player in [`Arrival::place`]'s order, each player's in that of coordinates.
fn in_order_of_coordinates<'a>(batches: &'a [Arc<EventBatch>], restored: &Restored) -> Vec<Arrival<'a>> {
    let events = batches.iter().flat_map(|batch| batch.iter());
    let events: Vec<Event<'_>> = events.filter(|event| !restored.is_asleep(event.key_group())).collect();
    let places = events.iter().map(|event| event.player_hash.rotate_right(KeyGroup::BITS));
    let mut order: Vec<(u64, usize)> = places.zip(0..).collect();
    order.sort_unstable_by(|(a, i), (b, j)| a.cmp(b).then_with(|| events[*i].at.cmp(&events[*j].at)));
    let arrivals = order.into_iter().map(|(place, index)| {
        let event = events[index];
        Arrival { place, event, key: event.identity, is_accepted: false }
    });
    arrivals.collect()
}
