//! Gates of missions: events count while the player is opted in, or in segments, or after completions of others (DOMAIN §4).
//!
//! What an event contributes is kept whether the gate is open for it or not, since the opt-in that covers it may still
//! come: once for all gated missions of a class, until no window can be moved any more. Progress begins with the
//! first contribution that counts. Gates are asked when contributions are folded, so a control event that comes late
//! folds again what lies behind it, and the facts do not depend on when it came.

use std::collections::BTreeSet;
use std::sync::Arc;

use datasets::{Coordinates, Event, EventName, TextField, Timestamp, TopicId};

use super::Player;
use super::closings::closing_hour;
use super::contests::{Contestant, Contests};
use super::occurrences::{OccurrenceKey, Occurrences};
use super::timeline::{Mark, Marks, Subject, Timeline};
use super::touch::Touch;
use super::tracks::{OccurrenceSequence, Tracks};
use super::unlocks::unlocked_after;
use crate::definitions::{Bounds, ClassId, Definitions, Generation, MissionHistory, MissionSlot};
use crate::ledger::Order;
use crate::progress::{Progress, Sequence};

/// Before every record.
const FIRST: Coordinates = Coordinates { topic: TopicId(0), partition: 0, offset: 0, index: 0 };

/// What is asked before an event counts for a version of a mission, as one player and one window find it.
pub(super) struct Passage<'a> {
    /// The mission's own gate; absent where it is always open.
    gate: Option<Asked<'a>>,
    /// Events that others of its group may get instead.
    contests: Option<&'a Contests>,
    slot: MissionSlot,
    timeline: Option<&'a Timeline>,
    definitions: &'a Definitions,
    /// Of the window, if it recurs: a window knows what comes in time for it.
    end: Option<Timestamp>,
}

/// The gate of a version.
struct Asked<'a> {
    /// The marks of the opt-in, if there has to be one.
    opt_in: Option<Option<&'a Marks>>,
    /// The segments, if there are any.
    segments: Option<&'a [Arc<str>]>,
    /// All of them are needed.
    all: bool,
    /// The player's own.
    timeline: Option<&'a Timeline>,
    /// Missions that are required were completed then; absent: one of them was not.
    unlocked_after: Option<Timestamp>,
}

impl<'a> Asked<'a> {
    /// The gate of a version, by causes of which the ingest time `is_known`. `None`: it is always open.
    fn new(
        timeline: Option<&'a Timeline>,
        definitions: &'a Definitions,
        (slot, version): (MissionSlot, usize),
        is_known: impl Fn(Timestamp) -> bool,
    ) -> Option<Self> {
        let mission = &definitions.history(slot).version(version).mission;
        let gate = &mission.gate;
        if gate.is_open() {
            return None;
        }
        let marks = |subject| timeline.and_then(|timeline| timeline.marks(subject));
        let unlocks = timeline.map(|timeline| &timeline.unlocks);
        Some(Asked {
            opt_in: gate.opt_in.map(|_| marks(Subject::OptIn(slot))),
            segments: gate.segments.as_ref().map(|segments| &segments.names[..]),
            all: gate.segments.as_ref().is_some_and(|segments| segments.all),
            timeline,
            unlocked_after: unlocked_after(mission, unlocks, definitions, is_known),
        })
    }

    /// What happens at `time` passes, by marks of which the ingest time `is_known`: since when the player has been opted in, or since
    /// ever if it never was before or need not be.
    fn since(&self, time: Timestamp, is_known: impl Fn(Timestamp) -> bool) -> Option<Timestamp> {
        if self.unlocked_after.is_none_or(|after| time <= after) {
            return None;
        }
        let is_in = |name: &Arc<str>| {
            let marks = self.timeline.and_then(|timeline| timeline.marks(Subject::Segment(name)));
            marks.is_some_and(|marks| marks.since(time, &is_known).is_some())
        };
        let mut segments = self.segments.iter().copied().flatten();
        let has_segments = match self.segments {
            None => true,
            Some(_) if self.all => segments.all(is_in),
            Some(_) => segments.any(is_in),
        };
        match self.opt_in {
            _ if !has_segments => None,
            None => Some(Timestamp::MIN),
            Some(marks) => marks.and_then(|marks| marks.since(time, &is_known)),
        }
    }
}

impl<'a> Passage<'a> {
    /// What is asked for `version` of `slot` in a window with this recurring end.
    pub(super) fn new(
        timeline: Option<&'a Timeline>,
        definitions: &'a Definitions,
        (slot, version): (MissionSlot, usize),
        end: Option<Timestamp>,
    ) -> Self {
        let history = definitions.history(slot);
        let is_known = |ingest_time| history.is_in_time(ingest_time, end);
        let gate = Asked::new(timeline, definitions, (slot, version), is_known);
        let contests = timeline.map(|timeline| &timeline.contests).filter(|contests| {
            let is_in_group = history.version(version).mission.exclusive_group.is_some();
            is_in_group && !contests.is_empty()
        });
        Passage { gate, contests, slot, timeline, definitions, end }
    }

    /// The event of `order` counts. Answers since when the player has been opted in, or since ever if it never
    /// was before or need not be.
    pub(super) fn since(&self, order: Order) -> Option<Timestamp> {
        let since = self.own_since(order.0)?;
        let before = self.contests.map_or(&[][..], |contests| contests.before(order, self.slot));
        let is_lost = before.iter().any(|rival| self.is_lost_to(*rival, order.0));
        (!is_lost).then_some(since)
    }

    /// The same of what happens at `time`, if nobody else gets it.
    pub(super) fn own_since(&self, time: Timestamp) -> Option<Timestamp> {
        let Some(gate) = &self.gate else { return Some(Timestamp::MIN) };
        gate.since(time, |ingest_time| self.is_known(ingest_time))
    }

    fn is_known(&self, ingest_time: Timestamp) -> bool {
        self.definitions.history(self.slot).is_in_time(ingest_time, self.end)
    }

    /// Another mission, which goes before, gets what happens at `time`. What came too late for its window did not open or close its gate
    /// there; and what came too late for this one is not known here.
    fn is_lost_to(&self, rival: Contestant, time: Timestamp) -> bool {
        let history = self.definitions.history(rival.slot);
        let Some((_, end)) = history.window_at(rival.version(), time) else { return false };
        let is_known = |ingest_time| self.is_known(ingest_time) && history.is_in_time(ingest_time, end);
        let gate = Asked::new(self.timeline, self.definitions, (rival.slot, rival.version()), is_known);
        gate.is_none_or(|gate| gate.since(time, is_known).is_some())
    }
}

/// What `event` says of its player's timeline: about what, and whether it enters.
fn subject<'a>(event: &Event<'a>, definitions: &Definitions) -> Option<(Subject<'a>, bool)> {
    let opt_in = || definitions.slot(event.text(TextField::MissionId)?).map(Subject::OptIn);
    let segment = || event.text(TextField::Segment).map(Subject::Segment);
    match event.name {
        EventName::OptedIn => Some((opt_in()?, true)),
        EventName::OptedOut => Some((opt_in()?, false)),
        EventName::SegmentEntered => Some((segment()?, true)),
        EventName::SegmentLeft => Some((segment()?, false)),
        _ => None,
    }
}

impl Touch<'_> {
    /// Takes what `event`, which counts at `order`, says of the player, if it is a control event; and moves the missions
    /// whose gates it opens or closes.
    pub(super) fn mark(&mut self, event: &Event<'_>, order: Order) {
        let definitions = self.definitions;
        let Some((subject, enters)) = subject(event, definitions) else { return };
        let concerned = |history: &MissionHistory| match subject {
            Subject::OptIn(_) => history.gates().any(|gate| gate.opt_in.is_some()),
            Subject::Segment(name) => history.gates().any(|gate| gate.asks_for(name)),
        };
        let slots: Vec<MissionSlot> = match subject {
            Subject::OptIn(slot) => vec![slot],
            Subject::Segment(_) => definitions.gated().to_vec(),
        };
        let slots: Vec<_> = slots.into_iter().filter(|slot| concerned(definitions.history(*slot))).collect();
        // What one of a group may get from now on, or no longer, the others do not, or do again.
        let rivals: BTreeSet<_> = slots.iter().flat_map(|slot| definitions.rivals(*slot)).collect();
        let rivals: Vec<_> = rivals.into_iter().filter(|slot| !slots.contains(slot)).collect();
        self.late |=
            slots.iter().any(|slot| self.is_late_for(*slot, order.0) || self.is_late_for_rivals(*slot, order.0));
        let slots = [slots, rivals].concat();
        let oldest = self.oldest_to_come;
        let needed = slots.iter().map(|slot| definitions.history(*slot).needed_from(oldest));
        // A mission that is still unknown counts from its activation, about now.
        let horizon = needed.chain([definitions.unknown_needed_from(oldest)]).min().unwrap_or(Timestamp::MIN);
        let mark = Mark { order, ingest_time: event.ingest_time, enters };
        let timeline = self.timeline.get_or_insert_default();
        timeline.insert(subject, mark, horizon);
        if !slots.is_empty() {
            self.settle();
        }
        for slot in slots {
            let Touch { occurrences, tracks, timeline, ingest_time, moved, begun, .. } = self;
            let (timeline, ingest_time) = (timeline.as_deref(), *ingest_time);
            let mut reopening = Reopening { occurrences, tracks, timeline, definitions, ingest_time };
            reopening.pass_again(slot, order.0, moved, begun);
        }
    }

    /// What happened at `time` comes too late for the window that a gated version in force then puts it into.
    fn is_late_for(&self, slot: MissionSlot, time: Timestamp) -> bool {
        let history = self.definitions.history(slot);
        let gated = history.in_force_at(time).filter(|version| !history.version(*version).mission.gate.is_open());
        let window = gated.and_then(|version| history.window_at(version, time));
        window.is_some_and(|(_, end)| !history.is_in_time(self.ingest_time, end))
    }
}

/// A player behind gates that have just opened or closed.
pub(super) struct Reopening<'a> {
    pub(super) occurrences: &'a mut Occurrences,
    pub(super) tracks: &'a Tracks,
    pub(super) timeline: Option<&'a Timeline>,
    pub(super) definitions: &'a Definitions,
    /// Of what opened or closed them.
    pub(super) ingest_time: Timestamp,
}

impl Reopening<'_> {
    /// Asks the gates of a mission again about all that lies at `from` or later. Adds the occurrences that have something to
    /// announce to `moved`, and those of which something is kept from now on, with the end of a recurring window, to `begun`.
    pub(super) fn pass_again(
        &mut self,
        slot: MissionSlot,
        from: Timestamp,
        moved: &mut Vec<OccurrenceKey>,
        begun: &mut Vec<(OccurrenceKey, Option<Timestamp>)>,
    ) {
        let history = self.definitions.history(slot);
        for (window, end, version) in windows_from(self.tracks, history, from) {
            let key = OccurrenceKey::new(slot, window, self.definitions);
            if !history.is_in_time(self.ingest_time, end) {
                continue;
            }
            let Reopening { tracks, timeline, definitions, .. } = *self;
            let sequence = OccurrenceSequence { tracks, timeline, definitions, key };
            if self.occurrences.get(key).is_none() && sequence.after(None).is_empty() {
                continue;
            }
            let progress = self.occurrences.get_or_begin(key, &mut 0, || {
                begun.push((key, end));
                Progress::new(end, version)
            });
            progress.fold_again((from, FIRST), history, &sequence);
            if !progress.is_settled(history) {
                moved.push(key);
            }
        }
    }
}

/// The windows of a mission, with their recurring ends and a version, that have contributions at `from` or later.
fn windows_from(
    tracks: &Tracks,
    history: &MissionHistory,
    from: Timestamp,
) -> Vec<(Timestamp, Option<Timestamp>, usize)> {
    let mut windows: Vec<(Timestamp, Option<Timestamp>, usize)> = Vec::new();
    for (version, stage, class) in history.classes() {
        let mut around: Option<(Generation, Bounds)> = None;
        for (generation, time) in tracks.get(class).into_iter().flat_map(|track| track.times_from(from)) {
            if around.as_ref().is_some_and(|(known, bounds)| *known == generation && bounds.contain(time)) {
                continue;
            }
            let mut bounds = Bounds::ALL;
            let place = history.place((version, stage), generation, time, &mut bounds);
            around = Some((generation, bounds));
            if let Some((window, end)) = place
                && windows.iter().all(|(known, ..)| *known != window)
            {
                windows.push((window, end, version));
            }
        }
    }
    windows
}

impl Player {
    /// The hour after which the oldest contributions of a gated class move no window any more; `None`: there are none,
    /// or they always will.
    pub(super) fn due(&self, class: ClassId, definitions: &Definitions) -> Option<i64> {
        let oldest = self.tracks.get(class)?.oldest()?;
        due(class, oldest, definitions)
    }

    /// Forgets the contributions of a gated class that were due before `hour`.
    pub(super) fn forget_due(&mut self, class: ClassId, hour: i64, definitions: &Definitions) {
        let Some(track) = self.tracks.get(class) else { return };
        let times = track.times_from(Timestamp::MIN).map(|(_, time)| time);
        let needed = times.filter(|time| due(class, *time, definitions).is_none_or(|due| due >= hour));
        let needed = needed.min();
        self.tracks.keep_from(class, needed);
    }
}

/// The hour after which what a class was contributed at `time` moves no window any more.
pub(super) fn due(class: ClassId, time: Timestamp, definitions: &Definitions) -> Option<i64> {
    let mut due = i64::MIN;
    for user in &definitions.class(class).users {
        let history = definitions.history(user.slot);
        let Some((_, end)) = history.window_at(user.version, time) else { continue };
        due = due.max(closing_hour(history.kept_until(end)?));
    }
    Some(due)
}
