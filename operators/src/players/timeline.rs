//! What a player's control events say of its missions and segments, by event time; what completions unlock, and what missions contest.
//!
//! A player is opted in to a mission, or in a segment, over `[enters, leaves)`. Marks may come in any order, so
//! all are kept that can still decide about an event: what the marks of a set say depends on the set alone.

use std::sync::Arc;

use datasets::Timestamp;
use serde::{Deserialize, Serialize};

use super::contests::Contests;
use super::unlocks::Unlocks;
use crate::definitions::MissionSlot;
use crate::ledger::Order;

/// A player's opt-ins and segments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Timeline {
    opt_ins: Vec<(MissionSlot, Marks)>,
    segments: Vec<(Arc<str>, Marks)>,
    /// A section of the state says them behind all timelines.
    #[serde(skip)]
    pub(super) unlocks: Unlocks,
    /// The same.
    #[serde(skip)]
    pub(super) contests: Contests,
}

/// What a mark is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject<'a> {
    /// The opt-in of a mission.
    OptIn(MissionSlot),
    /// A segment.
    Segment(&'a str),
}

/// From here on the player is in, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// When it holds from, then the record: the later of two at one time decides.
    pub(super) order: Order,
    /// A window does not know what comes too late for it.
    pub(super) ingest_time: Timestamp,
    /// In, else out.
    pub(super) enters: bool,
}

/// Marks of one subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marks {
    /// In order.
    all: Vec<Mark>,
    /// The player was in by one that is forgotten.
    was_in: bool,
}

impl Timeline {
    /// Of who has unlocked something and sent no control event.
    pub(super) fn of(unlocks: Unlocks) -> Self {
        Timeline { unlocks, ..Timeline::default() }
    }

    /// A control event was heard.
    pub(super) fn has_marks(&self) -> bool {
        !self.opt_ins.is_empty() || !self.segments.is_empty()
    }

    /// Adds a mark, and forgets those of its subject that decide about nothing: nobody asks about times before the
    /// `horizon`, and every window that is asked about ends behind it.
    pub(super) fn insert(&mut self, subject: Subject<'_>, mark: Mark, horizon: Timestamp) {
        match subject {
            Subject::OptIn(slot) => insert(&mut self.opt_ins, |known| *known == slot, || slot, mark, horizon),
            Subject::Segment(name) => {
                insert(&mut self.segments, |known| **known == *name, || name.into(), mark, horizon)
            }
        }
    }

    /// The marks of a subject; none if nothing was heard of it.
    pub(super) fn marks(&self, subject: Subject<'_>) -> Option<&Marks> {
        match subject {
            Subject::OptIn(slot) => find(&self.opt_ins, |known| *known == slot),
            Subject::Segment(name) => find(&self.segments, |known| **known == *name),
        }
    }
}

fn find<S>(all: &[(S, Marks)], is_it: impl Fn(&S) -> bool) -> Option<&Marks> {
    all.iter().find(|(known, _)| is_it(known)).map(|(_, marks)| marks)
}

fn insert<S>(
    all: &mut Vec<(S, Marks)>,
    is_it: impl Fn(&S) -> bool,
    subject: impl FnOnce() -> S,
    mark: Mark,
    horizon: Timestamp,
) {
    let place = all.iter().position(|(known, _)| is_it(known)).unwrap_or_else(|| {
        all.push((subject(), Marks::default()));
        all.len() - 1
    });
    let marks = &mut all[place].1;
    marks.insert(mark);
    marks.forget(horizon);
}

impl Marks {
    fn insert(&mut self, mark: Mark) {
        let place = self.all.partition_point(|other| other.order <= mark.order);
        self.all.insert(place, mark);
    }

    /// Of the marks before the horizon the last one that everybody knows hides all before it. It stays, in or out, since it
    /// hides what is still to come as well.
    fn forget(&mut self, horizon: Timestamp) {
        // What is ingested before a window ends comes in time for it, whatever its lateness is.
        let is_known = |mark: &Mark| mark.order.0 < horizon && mark.ingest_time <= horizon;
        if let Some(last) = self.all.iter().rposition(is_known) {
            self.was_in |= self.all.drain(..last).any(|mark| mark.enters);
        }
    }

    /// The player is in at `time`, by the marks whose ingest time `is_known`: since when, or since ever if it was not in
    /// before. `None`: it is not in.
    pub(super) fn since(&self, time: Timestamp, is_known: impl Fn(Timestamp) -> bool) -> Option<Timestamp> {
        let end = self.all.partition_point(|mark| mark.order.0 <= time);
        let mut known = self.all[..end].iter().rev().filter(|mark| is_known(mark.ingest_time));
        let mut since = known.next().filter(|last| last.enters)?.order.0;
        for mark in known.by_ref() {
            if !mark.enters {
                let is_again = self.was_in || known.any(|earlier| earlier.enters);
                return Some(if is_again { since } else { Timestamp::MIN });
            }
            since = mark.order.0;
        }
        Some(Timestamp::MIN)
    }
}

#[cfg(test)]
mod tests {
    use datasets::{Coordinates, TopicId};

    use super::*;

    const ALL: Timestamp = Timestamp::MIN;

    fn mark(time: i64, offset: i64, ingest: i64, enters: bool) -> Mark {
        let at = Coordinates { topic: TopicId(0), partition: 0, offset, index: 0 };
        Mark { order: (micros(time), at), ingest_time: micros(ingest), enters }
    }

    fn micros(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn times(marks: &Timeline) -> Vec<i64> {
        let marks = marks.marks(Subject::Segment("s"));
        marks.map(|marks| marks.all.iter().map(|mark| mark.order.0.micros()).collect()).unwrap_or_default()
    }

    fn timeline(marks: &[Mark], horizon: Timestamp) -> Timeline {
        let mut timeline = Timeline::default();
        marks.iter().for_each(|mark| timeline.insert(Subject::Segment("s"), *mark, horizon));
        timeline
    }

    fn since(timeline: &Timeline, time: i64, until: i64) -> Option<Timestamp> {
        timeline.marks(Subject::Segment("s"))?.since(micros(time), |ingested| ingested <= micros(until))
    }

    #[test]
    fn intervals_are_half_open_and_the_later_mark_decides() {
        let marks = [mark(10, 0, 0, true), mark(20, 1, 0, false), mark(30, 2, 0, true), mark(35, 3, 0, true)];
        let timeline = timeline(&marks, ALL);
        assert_eq!([9, 20, 29].map(|time| since(&timeline, time, 0)), [None; 3]);
        assert_eq!([10, 19].map(|time| since(&timeline, time, 0)), [Some(Timestamp::MIN); 2]);
        // To enter while in is no second time.
        assert_eq!([30, 35, 99].map(|time| since(&timeline, time, 0)), [Some(micros(30)); 3]);
    }

    #[test]
    fn at_one_time_the_later_record_decides() {
        let both = [mark(10, 0, 0, true), mark(10, 1, 0, false)];
        for marks in [both, [both[1], both[0]]] {
            assert_eq!(since(&timeline(&marks, ALL), 10, 0), None);
        }
        let again = timeline(&[mark(5, 0, 0, true), mark(10, 1, 0, false), mark(10, 2, 0, true)], ALL);
        assert_eq!([9, 10].map(|time| since(&again, time, 0)), [Some(Timestamp::MIN), Some(micros(10))]);
    }

    #[test]
    fn who_does_not_know_a_mark_does_not_follow_it() {
        let timeline = timeline(&[mark(10, 0, 5, true), mark(20, 1, 7, false), mark(30, 2, 6, true)], ALL);
        assert_eq!([4, 5].map(|until| since(&timeline, 15, until)), [None, Some(Timestamp::MIN)]);
        assert_eq!([6, 7].map(|until| since(&timeline, 30, until)), [Some(Timestamp::MIN), Some(micros(30))]);
    }

    #[test]
    fn what_decides_about_nothing_is_forgotten() {
        let marks = [mark(10, 0, 10, true), mark(20, 1, 33, false), mark(30, 2, 30, true), mark(40, 3, 41, true)];
        assert_eq!(times(&timeline(&marks, micros(35))), [30, 40]);
        assert_eq!(times(&timeline(&marks, micros(33))), [30, 40]);
        assert_eq!(times(&timeline(&marks, micros(32))), [30, 40]);
        assert_eq!(times(&timeline(&marks, micros(30))), [10, 20, 30, 40], "not everybody knows of 20");
        assert_eq!(times(&timeline(&marks, micros(50))), [40]);
        // A second time stays one.
        let known = [mark(10, 0, 10, true), mark(20, 1, 20, false), mark(30, 2, 30, true)];
        let (all, some) = (timeline(&known, ALL), timeline(&known, micros(25)));
        assert_eq!((times(&some), times(&all)), (vec![20, 30], vec![10, 20, 30]));
        assert_eq!([&all, &some].map(|timeline| since(timeline, 35, 99)), [Some(micros(30)); 2]);
    }

    #[test]
    fn an_older_mark_that_comes_behind_what_is_forgotten_stays_hidden() {
        let known = timeline(&[mark(10, 0, 5, true), mark(20, 1, 7, false), mark(5, 2, 12, true)], micros(30));
        assert_eq!((since(&known, 35, 99), times(&known)), (None, vec![20]));
    }
}
