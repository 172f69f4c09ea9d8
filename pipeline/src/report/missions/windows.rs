//! The windows of missions, by all versions of their definitions, and the days beside them.

use std::collections::BTreeMap;
use std::sync::Arc;

use datasets::Timestamp;
use datasets::mission::{Mission, Window as Recurrence};
use datasets::time::{Date, window};
use jiff::tz::TimeZone;
use operators::attribution::{Days, PeriodDays, Population, Window, WindowKey};
use operators::definitions::{Definitions, MissionHistory};

/// Where reporting days begin, and which of them are complete.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    pub zone: TimeZone,
    pub complete: Days,
}

impl Calendar {
    /// Days of a lake that has everything from `began` until `until`: those that lie within.
    pub fn new(zone: &TimeZone, began: Timestamp, until: Timestamp) -> Self {
        let first = began.date(zone);
        let is_whole = first.start(zone) >= began;
        let from = first.days() + i32::from(!is_whole);
        Calendar { zone: zone.clone(), complete: Days { from, to: until.date(zone).days().max(from) } }
    }

    /// The first and the last complete day.
    pub fn bounds(&self) -> Option<(Date, Date)> {
        let Days { from, to } = self.complete;
        (from < to).then(|| (Date::from_days(from), Date::from_days(to - 1)))
    }

    /// The periods of a window in which a mission counts over `[from, until)`.
    fn periods(&self, from: Timestamp, until: Timestamp) -> [PeriodDays; 3] {
        let first = from.date(&self.zone).days();
        let is_open = until == Timestamp::MAX;
        // Of a window without an end there are the days so far, and none behind them.
        let to = if is_open { self.complete.to.max(first) } else { until.plus_micros(-1).date(&self.zone).days() + 1 };
        let count = to - first;
        let days = |from: i32, to: i32| {
            let all = Days { from, to };
            PeriodDays { all, complete: all.within(self.complete) }
        };
        [days(first - count, first), days(first, to), days(to, if is_open { to } else { to + count })]
    }
}

/// When a mission counts in a window, over all versions that it counted by.
struct Span {
    start: Timestamp,
    end: Option<Timestamp>,
    from: Timestamp,
    /// Exclusive.
    until: Timestamp,
    populations: Vec<Population>,
}

/// Every window that began by `now` in which a mission counts at some time.
pub(super) fn windows(definitions: &Definitions, calendar: &Calendar, now: Timestamp) -> Vec<Window> {
    let missions = definitions.iter().filter(|(slot, _)| definitions.tier(*slot).is_none());
    let windows = missions.flat_map(|(_, history)| {
        let mission_id = history.version(0).mission.mission_id.clone();
        spans(history, now).into_iter().map(move |(window, span)| {
            let Span { start, end, from, until, populations } = span;
            let key = WindowKey { mission_id: mission_id.clone(), window };
            Window { key, start, end, from, until, periods: calendar.periods(from, until), populations }
        })
    });
    windows.collect()
}

fn spans(history: &MissionHistory, now: Timestamp) -> BTreeMap<Timestamp, Span> {
    let mut spans = BTreeMap::new();
    for number in (0..=history.newest()).filter(|number| history.version(*number).is_active()) {
        let version = history.version(number);
        let next = (number < history.newest()).then(|| history.version(number + 1).from);
        let mission = &version.mission;
        let from = version.from.max(mission.start);
        let end = mission.end.map_or(Timestamp::MAX, |end| end.plus_micros(1));
        let until = end.min(next.unwrap_or(Timestamp::MAX));
        let mut add = |key: Timestamp, (start, end), from: Timestamp, until: Timestamp| {
            let populations = populations(mission);
            let span = Span { start, end, from, until, populations };
            let known = spans.remove(&key);
            let span = match known {
                Some(Span { from, until, .. }) => {
                    Span { from: from.min(span.from), until: until.max(span.until), ..span }
                }
                None => span,
            };
            spans.insert(key, span);
        };
        match &mission.window {
            _ if until <= from || now < from => {}
            // It keeps the start that it had first.
            Recurrence::Once => add(history.version(0).mission.start, (mission.start, mission.end), from, until),
            Recurrence::Every { every, zone, .. } => {
                let mut at = from;
                while at < until && at <= now {
                    let (start, end) = window(*every, zone, at);
                    add(start, (start, Some(end)), at, until.min(end));
                    at = end;
                }
            }
        }
    }
    spans
}

/// Each segment by itself where one is enough; all of them together where all are needed.
fn populations(mission: &Mission) -> Vec<Population> {
    match &mission.gate.segments {
        None => vec![Population { name: None, segments: Vec::new() }],
        Some(segments) if segments.all => {
            let name: Arc<str> = segments.names.join(" & ").into();
            vec![Population { name: Some(name), segments: segments.names.clone() }]
        }
        Some(segments) => {
            let one = |name: &Arc<str>| Population { name: Some(name.clone()), segments: vec![name.clone()] };
            segments.names.iter().map(one).collect()
        }
    }
}
