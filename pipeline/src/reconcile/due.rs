//! Which reporting days are complete in the lake, and which have to be.

use datasets::Timestamp;
use datasets::time::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

const HOUR: i64 = 3_600_000_000;

/// Activity of a reporting day has to be complete by this hour of UTC, the first one at its end or after it.
const DUE_HOUR: i64 = 6;

/// What the lake has of reporting days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Completeness {
    /// Whatever was ingested before this, by the recorded clock, is in the lake, in rows of activity too.
    pub until: Timestamp,
    /// The last reporting day that had ended by then; null if there is none.
    pub complete: Option<Date>,
    /// The last one that has to be complete; null of a replay's lake, which gets no more.
    pub due: Option<Date>,
    /// How many have to be and are not. What comes late is late money, which restates its day, and not missing.
    pub overdue: u32,
}

impl Completeness {
    /// Of a lake that has everything from `began` until `until`. `at` is when this is asked, by the wall's clock; `None` of a replay's.
    pub fn new(zone: &TimeZone, (began, until): (Timestamp, Timestamp), at: Option<Timestamp>) -> Self {
        let first = began.date(zone).days();
        let until = until.max(began);
        let complete = until.date(zone).days() - 1;
        let due = at.map(|at| due(zone, at).days());
        let overdue = due.map_or(0, |due| due - complete.max(first - 1));
        Completeness {
            until,
            complete: (complete >= first).then(|| Date::from_days(complete)),
            due: due.map(Date::from_days),
            overdue: u32::try_from(overdue).unwrap_or(0),
        }
    }
}

/// The last reporting day that had ended when it was [`DUE_HOUR`] last.
fn due(zone: &TimeZone, at: Timestamp) -> Date {
    let hours = (at.micros().div_euclid(HOUR) - DUE_HOUR).div_euclid(24) * 24 + DUE_HOUR;
    Date::from_days(Timestamp::from_micros(hours * HOUR).date(zone).days() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        serde_json::from_value(text.into()).unwrap()
    }

    fn shown(date: Option<Date>) -> String {
        date.map_or_else(|| "none".to_owned(), |date| date.to_string())
    }

    #[test]
    fn a_day_is_due_at_six_behind_its_end() {
        for (zone, asked, expected) in [
            ("UTC", "2026-06-03T05:59:59.999999Z", "2026-06-01"),
            ("UTC", "2026-06-03T06:00:00Z", "2026-06-02"),
            ("UTC", "2026-06-03T23:00:00Z", "2026-06-02"),
            // Ends at 22:00.
            ("Europe/Malta", "2026-06-03T05:00:00Z", "2026-06-01"),
            ("Europe/Malta", "2026-06-03T06:00:00Z", "2026-06-02"),
            // Ends at 07:00 of the next day: six comes first on the day behind that.
            ("America/Los_Angeles", "2026-06-03T06:30:00Z", "2026-06-01"),
            ("America/Los_Angeles", "2026-06-04T06:00:00Z", "2026-06-02"),
            // Ends at six itself, in the summer; an hour earlier or later the rest of the year.
            ("America/Denver", "2026-06-03T06:00:00Z", "2026-06-02"),
            ("America/Denver", "2026-12-03T06:59:59Z", "2026-12-01"),
        ] {
            let zone = datasets::time::zone(zone).unwrap();
            assert_eq!(shown(Some(due(&zone, at(asked)))), expected, "{zone:?} at {asked}");
        }
    }

    #[test]
    fn days_are_overdue_from_the_first_that_is_not_complete() {
        let of = |began: &str, until: &str, asked: &str| {
            let found = Completeness::new(&TimeZone::UTC, (at(began), at(until)), Some(at(asked)));
            (shown(found.complete), shown(found.due), found.overdue)
        };
        let told = |complete: &str, due: &str, overdue| (complete.to_owned(), due.to_owned(), overdue);
        let began = "2026-06-01T12:00:00Z";
        let (until, due) = ("2026-06-03T00:00:00Z", "2026-06-03T06:00:00Z");
        assert_eq!(of(began, until, due), told("2026-06-02", "2026-06-02", 0));
        assert_eq!(of(began, "2026-06-02T23:59:59Z", due), told("2026-06-01", "2026-06-02", 1));
        assert_eq!(of(began, "2026-06-02T23:59:59Z", "2026-06-03T05:59:59Z"), told("2026-06-01", "2026-06-01", 0));
        assert_eq!(of(began, "2026-06-01T13:00:00Z", "2026-06-05T07:00:00Z"), told("none", "2026-06-04", 4));
        // Of before its first day the pipeline owes nothing, and a lake with few files may not tell anything yet.
        assert_eq!(of(began, "2026-06-01T13:00:00Z", "2026-06-01T14:00:00Z"), told("none", "2026-05-31", 0));
        let young = Completeness::new(&TimeZone::UTC, (at(began), Timestamp::MIN), Some(at("2026-06-01T14:00:00Z")));
        assert_eq!((young.complete, young.overdue, young.until), (None, 0, at(began)));
        let replayed = Completeness::new(&TimeZone::UTC, (at(began), at(until)), None);
        assert_eq!((shown(replayed.complete), replayed.due, replayed.overdue), ("2026-06-02".to_owned(), None, 0));
    }
}
