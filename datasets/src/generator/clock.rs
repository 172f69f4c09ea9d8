//! When the events of a run come in: evenly by a curve of the day, quiet at night, busiest in the evening.

use crate::Timestamp;

/// Relative traffic by hour of the day, UTC.
const HOURLY: [u64; 24] =
    [40, 28, 20, 15, 12, 12, 16, 24, 34, 44, 52, 58, 62, 64, 66, 70, 76, 86, 96, 104, 108, 104, 88, 62];

const HOUR_MICROS: i64 = 3_600_000_000;

/// Hands out one ingest time an event, never decreasing, in whole milliseconds.
///
/// The span is a sequence of hours, each as long as its microseconds times its weight; events
/// stand at equal distances on that scale. The distance is a fraction, so its remainder is carried.
pub(super) struct IngestClock {
    end: i64,
    hour_start: i64,
    hour_end: i64,
    position: u64,
    step: u64,
    remainder: u64,
    carried: u64,
    events: u64,
}

impl IngestClock {
    /// `events` times from `start`, which is on a whole millisecond, up to `start + span_micros`.
    pub(super) fn new(start: Timestamp, span_micros: i64, events: u64) -> Self {
        let start = start.micros();
        let end = start.saturating_add(span_micros);
        let mut length = 0;
        let mut at = start;
        while at < end {
            let hour_end = hour_end(at).min(end);
            length += hour_length(at, hour_end);
            at = hour_end;
        }
        let events = events.max(1);
        IngestClock {
            end,
            hour_start: start,
            hour_end: hour_end(start).min(end),
            position: 0,
            step: length / events,
            remainder: length % events,
            carried: 0,
            events,
        }
    }

    /// The time of the next event.
    pub(super) fn tick(&mut self) -> Timestamp {
        let mut length = hour_length(self.hour_start, self.hour_end);
        while self.position >= length && self.hour_end < self.end {
            self.position -= length;
            self.hour_start = self.hour_end;
            self.hour_end = hour_end(self.hour_start).min(self.end);
            length = hour_length(self.hour_start, self.hour_end);
        }
        let now = self.hour_start.saturating_add_unsigned(self.position / weight(self.hour_start));
        self.position += self.step;
        self.carried += self.remainder;
        if self.carried >= self.events {
            self.carried -= self.events;
            self.position += 1;
        }
        Timestamp::from_millis(now.min(self.end).div_euclid(1000))
    }
}

fn hour_end(at: i64) -> i64 {
    (at.div_euclid(HOUR_MICROS) + 1).saturating_mul(HOUR_MICROS)
}

fn weight(at: i64) -> u64 {
    let hour = at.div_euclid(HOUR_MICROS).rem_euclid(24);
    HOURLY[usize::try_from(hour).expect("a remainder of 24")]
}

fn hour_length(start: i64, end: i64) -> u64 {
    end.abs_diff(start) * weight(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * HOUR_MICROS;

    fn times(start: &str, span: i64, events: u64) -> Vec<Timestamp> {
        let mut clock = IngestClock::new(start.parse().expect(start), span, events);
        (0..events).map(|_| clock.tick()).collect()
    }

    #[test]
    fn a_day_follows_the_curve() {
        let times = times("2026-06-01T00:00:00Z", DAY, 100_000);
        assert!(times.is_sorted());
        assert_eq!(times[0].to_string(), "2026-06-01T00:00:00Z");
        assert!(times[99_999] < "2026-06-02T00:00:00Z".parse().unwrap());
        let total: u64 = HOURLY.iter().sum();
        for (hour, weight) in HOURLY.iter().enumerate() {
            let hour = i64::try_from(hour).unwrap();
            let start: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
            let within = |at: &&Timestamp| at.micros_since(start).div_euclid(HOUR_MICROS) == hour;
            let count = u64::try_from(times.iter().filter(within).count()).unwrap();
            assert!(count.abs_diff(100_000 * weight / total) <= 1, "hour {hour}: {count}");
        }
    }

    #[test]
    fn any_span_is_filled() {
        for (span, events) in [(1_000, 10), (HOUR_MICROS / 2, 7), (3 * DAY + 12_345, 1000), (5_000, 100_000)] {
            let times = times("2026-06-01T22:59:59.5Z", span, events);
            let first: Timestamp = "2026-06-01T22:59:59.5Z".parse().unwrap();
            assert!(times.is_sorted());
            assert_eq!(times[0], first);
            assert!(times.iter().all(|at| at.micros_since(first) < span));
        }
    }
}
