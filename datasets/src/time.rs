//! Instants, days and recurring windows.

use std::fmt;

use jiff::civil;
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An instant: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Before every event.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// After every event.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// From microseconds since the epoch of Unix.
    pub const fn from_micros(micros: i64) -> Self {
        Timestamp(micros)
    }

    /// From milliseconds since the epoch of Unix, as Kafka counts.
    pub const fn from_millis(millis: i64) -> Self {
        Timestamp(millis.saturating_mul(1000))
    }

    /// Microseconds since the epoch of Unix.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch of Unix, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Later by `micros`; stops at the ends of the range.
    pub const fn plus_micros(self, micros: i64) -> Self {
        Timestamp(self.0.saturating_add(micros))
    }

    /// Microseconds from `earlier` to here; stops at the ends of the range.
    pub const fn micros_since(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The calendar day in `zone`.
    pub fn date(self, zone: &TimeZone) -> Date {
        Date(zone.to_datetime(self.jiff()).date())
    }

    fn jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }
}

/// RFC 3339 in UTC with 0, 3 or 6 digits of fraction.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = match self.0.rem_euclid(1_000_000) {
            0 => 0,
            micros if micros % 1000 == 0 => 3,
            _ => 6,
        };
        write!(f, "{:.places$}", self.jiff())
    }
}

impl From<jiff::Timestamp> for Timestamp {
    /// Cuts off what is finer than a microsecond, towards the past.
    fn from(at: jiff::Timestamp) -> Self {
        let micros = at.as_nanosecond().div_euclid(1000);
        Timestamp(i64::try_from(micros).expect("jiff's range fits microseconds in an i64"))
    }
}

impl std::str::FromStr for Timestamp {
    type Err = jiff::Error;

    /// RFC 3339, with an offset.
    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        text.parse::<jiff::Timestamp>().map(Into::into)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
        } else {
            i64::deserialize(deserializer).map(Timestamp)
        }
    }
}

/// A calendar day; prints as `2026-06-01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(civil::Date);

impl Date {
    /// Days since 1970-01-01, as Arrow's `Date32` counts.
    pub fn days(self) -> i32 {
        let since = civil::date(1970, 1, 1).until(self.0).expect("civil dates are in range of each other");
        since.get_days()
    }

    /// The inverse of [`Date::days`]; stops at the ends of the calendar.
    pub fn from_days(days: i32) -> Self {
        Date(civil::date(1970, 1, 1).saturating_add(i64::from(days).days()))
    }

    /// The first instant of the day in `zone`.
    pub fn start(self, zone: &TimeZone) -> Timestamp {
        day_start(self.0, zone)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.days().serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map(Date).map_err(de::Error::custom)
        } else {
            i32::deserialize(deserializer).map(Date::from_days)
        }
    }
}

/// A recurring tumbling window, half-open, in a zone (DOMAIN §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Every {
    /// A local day: 23, 24 or 25 hours.
    Day,
    /// Monday to Sunday.
    Week,
    /// A calendar month.
    Month,
}

/// The window `[start, end)` of `every` that contains `at`, local to `zone`.
pub fn window(every: Every, zone: &TimeZone, at: Timestamp) -> (Timestamp, Timestamp) {
    let day = zone.to_datetime(at.jiff()).date();
    let (first, step): (civil::Date, Span) = match every {
        Every::Day => (day, 1.day()),
        Every::Week => {
            let back = i64::from(day.weekday().to_monday_zero_offset());
            (day.saturating_sub(back.days()), 1.week())
        }
        Every::Month => (day.first_of_month(), 1.month()),
    };
    (day_start(first, zone), day_start(first.saturating_add(step), zone))
}

/// The first instant of a local day. Where midnight falls into a gap, the day starts after the gap;
/// where it is repeated, it starts at the first one, so that days stay half-open and without overlap.
fn day_start(day: civil::Date, zone: &TimeZone) -> Timestamp {
    day.to_datetime(civil::Time::midnight())
        .to_zoned(zone.clone())
        .map_or(Timestamp::MAX, |zoned| zoned.timestamp().into())
}

/// The IANA zone called `name`, from the database inside the binary.
pub fn zone(name: &str) -> Result<TimeZone, jiff::Error> {
    if name == "UTC" { Ok(TimeZone::UTC) } else { TimeZone::get(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect(text)
    }

    fn printed(every: Every, name: &str, text: &str) -> (String, String) {
        let (start, end) = window(every, &zone(name).expect(name), at(text));
        (start.to_string(), end.to_string())
    }

    #[test]
    fn prints_what_is_needed() {
        for text in ["2026-06-03T10:00:00Z", "2026-06-03T10:00:00.004Z", "2026-06-03T10:00:00.000001Z"] {
            assert_eq!(at(text).to_string(), text);
        }
        assert_eq!(at("2026-06-01T08:00:00.1234567Z").to_string(), "2026-06-01T08:00:00.123456Z");
        assert_eq!(at("1969-12-31T23:59:59.9999999Z").to_string(), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn days_follow_daylight_saving() {
        let day = |text| printed(Every::Day, "Europe/Malta", text);
        // 29 March 2026 has 23 hours, 25 October has 25.
        assert_eq!(day("2026-03-29T12:00:00Z"), ("2026-03-28T23:00:00Z".into(), "2026-03-29T22:00:00Z".into()));
        assert_eq!(day("2026-10-25T12:00:00Z"), ("2026-10-24T22:00:00Z".into(), "2026-10-25T23:00:00Z".into()));
    }

    #[test]
    fn weeks_start_on_monday_and_months_on_the_first() {
        assert_eq!(
            printed(Every::Week, "UTC", "2026-06-07T23:59:59.999999Z"),
            ("2026-06-01T00:00:00Z".into(), "2026-06-08T00:00:00Z".into())
        );
        assert_eq!(printed(Every::Week, "UTC", "2026-06-08T00:00:00Z").0, "2026-06-08T00:00:00Z");
        assert_eq!(
            printed(Every::Month, "UTC", "2024-02-29T00:00:00Z"),
            ("2024-02-01T00:00:00Z".into(), "2024-03-01T00:00:00Z".into())
        );
    }

    #[test]
    fn dates_count_days() {
        let utc = TimeZone::UTC;
        let date = at("2026-06-01T00:00:00Z").date(&utc);
        assert_eq!(Date::from_days(date.days()), date);
        assert_eq!(date.to_string(), "2026-06-01");
        assert_eq!(date.start(&utc), at("2026-06-01T00:00:00Z"));
        assert_eq!(at("1970-01-01T00:00:00Z").date(&utc).days(), 0);
        assert_eq!(at("1969-12-31T23:59:59Z").date(&utc).days(), -1);
    }
}
