//! Gates of missions: events count while the player is opted in, or in segments, or after completions of others (DOMAIN §4).
//!
//! What an event contributes is kept whether the gate is open for it or not, since the opt-in that covers it may still
//! come: once for all gated missions of a class, until no window can be moved any more. Progress begins with the
//! first contribution that counts. Gates are asked when contributions are folded, so a control event that comes late
//! folds again what lies behind it, and the facts do not depend on when it came.

use std::sync::Arc;

use datasets::{Coordinates, Event, EventName, TextField, Timestamp, TopicId};

use super::Player;
use super::closings::closing_hour;
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

/// The gate of a version of a mission, as one player and one window find it.
pub(super) enum Passage<'a> {
    /// There is none.
    Free,
    /// This is asked.
    Gated {
        /// The marks of the opt-in, if there has to be one.
        opt_in: Option<Option<&'a Marks>>,
        /// The marks of the segments, if there are any.
        segments: Option<&'a [Arc<str>]>,
        /// All of them are needed.
        all: bool,
        /// The player's own.
        timeline: Option<&'a Timeline>,
        /// A window knows what comes in time for it.
        history: &'a MissionHistory,
        /// Of the window, if it recurs.
        end: Option<Timestamp>,
        /// Missions that are required were completed then; absent: one of them was not.
        unlocked_after: Option<Timestamp>,
    },
}

impl<'a> Passage<'a> {
    /// The gate of `version` of `slot` in a window with this recurring end.
    pub(super) fn new(
        timeline: Option<&'a Timeline>,
        definitions: &'a Definitions,
        (slot, version): (MissionSlot, usize),
        end: Option<Timestamp>,
    ) -> Self {
        let history = definitions.history(slot);
        let gate = &history.version(version).mission.gate;
        if gate.is_open() {
            return Passage::Free;
        }
        let marks = |subject| timeline.and_then(|timeline| timeline.marks(subject));
        let is_known = |ingest_time| history.is_in_time(ingest_time, end);
        let unlocks = timeline.map(|timeline| &timeline.unlocks);
        Passage::Gated {
            opt_in: gate.opt_in.map(|_| marks(Subject::OptIn(slot))),
            segments: gate.segments.as_ref().map(|segments| &segments.names[..]),
            all: gate.segments.as_ref().is_some_and(|segments| segments.all),
            timeline,
            history,
            end,
            unlocked_after: unlocked_after(&history.version(version).mission, unlocks, definitions, is_known),
        }
    }

    /// What happens at `time` counts. Answers since when the player has been opted in, or since ever if it never
    /// was before or need not be.
    pub(super) fn since(&self, time: Timestamp) -> Option<Timestamp> {
        let Passage::Gated { opt_in, segments, all, timeline, history, end, unlocked_after } = self else {
            return Some(Timestamp::MIN);
        };
        if unlocked_after.is_none_or(|after| time <= after) {
            return None;
        }
        let is_known = |ingest_time| history.is_in_time(ingest_time, *end);
        let is_in = |name: &Arc<str>| {
            let marks = timeline.and_then(|timeline| timeline.marks(Subject::Segment(name)));
            marks.is_some_and(|marks| marks.since(time, is_known).is_some())
        };
        let has_segments =
            segments.is_none_or(|names| if *all { names.iter().all(is_in) } else { names.iter().any(is_in) });
        match opt_in {
            _ if !has_segments => None,
            None => Some(Timestamp::MIN),
            Some(marks) => marks.and_then(|marks| marks.since(time, is_known)),
        }
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
        let oldest = self.oldest_to_come;
        let needed = slots.iter().map(|slot| definitions.history(*slot).needed_from(oldest));
        // A mission that is still unknown counts from its activation, about now.
        let horizon = needed.chain([MissionHistory::unknown_needed_from(oldest)]).min().unwrap_or(Timestamp::MIN);
        let mark = Mark { order, ingest_time: event.ingest_time, enters };
        let timeline = self.timeline.get_or_insert_default();
        timeline.insert(subject, mark, horizon);
        if !slots.is_empty() {
            self.settle();
        }
        for slot in slots {
            self.late |= self.is_late_for(slot, order.0);
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
