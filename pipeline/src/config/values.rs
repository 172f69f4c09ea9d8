//! Values of the configuration: durations, zones, percentages, properties. Each is checked where it is read.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use datasets::Money;
use jiff::tz::TimeZone;
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// Reads a string by [`FromStr`]; `expected` says what else was needed when it is no string.
struct Text<T> {
    expected: &'static str,
    parsed: PhantomData<T>,
}

impl<T> Text<T> {
    fn new(expected: &'static str) -> Self {
        Text { expected, parsed: PhantomData }
    }
}

impl<T: FromStr<Err = String>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// A length of time, exact to the microsecond; a day has 24 hours.
///
/// Written `"7d"`, `"48h"`, `"5m"`, `"10s"`, `"100ms"`, `"1d 12h"`, or as ISO 8601: `"P90D"`, `"PT5M"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(i64);

const UNITS: [(i64, &str); 6] =
    [(86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1000, "ms"), (1, "us")];

impl Duration {
    /// A number of days.
    pub const fn days(days: i64) -> Self {
        Duration(days * 86_400_000_000)
    }

    /// A number of seconds.
    pub const fn seconds(seconds: i64) -> Self {
        Duration(seconds * 1_000_000)
    }

    /// Microseconds; never negative.
    pub const fn micros(self) -> i64 {
        self.0
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        std::time::Duration::from_micros(duration.0.unsigned_abs())
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let no_duration = || format!("{text:?} is no duration: write \"7d\", \"48h\", \"5m\", \"10s\" or \"P90D\"");
        let span: jiff::Span = text.parse().map_err(|_| no_duration())?;
        if span.is_negative() {
            return Err(format!("{text:?} is negative"));
        }
        if span.get_months() != 0 || span.get_years() != 0 {
            return Err(format!("{text:?} has months or years, which have no fixed length: write days"));
        }
        let exact = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| no_duration())?;
        i64::try_from(exact.as_micros()).map(Duration).map_err(|_| no_duration())
    }
}

/// In the largest unit that leaves a whole number: `7d`, `36h`, `100ms`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(micros, _): &&(i64, &str)| self.0 % micros == 0;
        match UNITS.iter().find(fits) {
            Some((micros, unit)) if self.0 != 0 => write!(f, "{}{unit}", self.0 / micros),
            _ => f.write_str("0s"),
        }
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text::new("a duration such as \"7d\", \"48h\" or \"P90D\""))
    }
}

/// A zone of the IANA database, such as `Europe/Malta`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// As written.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// With its rules.
    pub fn time_zone(&self) -> &TimeZone {
        &self.zone
    }
}

impl Default for Zone {
    /// UTC.
    fn default() -> Self {
        Zone { name: "UTC".to_owned(), zone: TimeZone::UTC }
    }
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let zone = datasets::time::zone(name).map_err(|_| {
            format!("unknown time zone {name:?}: use a name of the IANA database, such as \"Europe/Malta\"")
        })?;
        Ok(Zone { name: name.to_owned(), zone })
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text::new("a time zone such as \"Europe/Malta\""))
    }
}

/// An exact percentage: 10 is 10 %. A decimal string, or a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent(pub Money);

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent: Money = text.parse().map_err(|why| format!("{text:?} is no percentage: {why}"))?;
        if percent.is_negative() || percent > Money::from_units(100) {
            return Err(format!("{text:?} is not between 0 and 100"));
        }
        // A hundredth of it has to be exact at eight places.
        if percent.raw() % 100 != 0 {
            return Err(format!("{text:?} has more than 6 decimal places"));
        }
        Ok(Percent(percent))
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(ScalarText("a percentage as a string, such as \"12.5\""))?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// An exact amount above 0. A decimal string, or a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedAmount(pub Money);

impl FromStr for FixedAmount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let amount: Money = text.parse().map_err(|why| format!("{text:?} is no amount: {why}"))?;
        // As many times as there can be bets, it still fits.
        if amount <= Money::ZERO || amount > Money::from_units(1_000_000_000) {
            return Err(format!("{text:?} is not above 0 and at most 1000000000"));
        }
        Ok(FixedAmount(amount))
    }
}

impl<'de> Deserialize<'de> for FixedAmount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(ScalarText("an amount as a string, such as \"0.05\""))?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// A number that a measure is to reach, as it is written: its digits are exact. A decimal string, or a whole number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threshold(pub String);

impl<'de> Deserialize<'de> for Threshold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarText("a number as a string, such as \"1000.50\"")).map(Threshold)
    }
}

/// A string, or a whole number or boolean as its text. A TOML float is refused: its digits are gone.
struct ScalarText(&'static str);

impl Visitor<'_> for ScalarText {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_i64<E>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_bool<E>(self, flag: bool) -> Result<String, E> {
        Ok(flag.to_string())
    }
}

/// Properties that a client library takes as texts. Values are not printed: some are secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(pub BTreeMap<String, String>);

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Property(String);
        impl<'de> Deserialize<'de> for Property {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(ScalarText("a string, a whole number or a boolean")).map(Property)
            }
        }
        let properties = BTreeMap::<String, Property>::deserialize(deserializer)?;
        Ok(Properties(properties.into_iter().map(|(key, Property(text))| (key, text)).collect()))
    }
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_print_back() {
        for (text, micros, printed) in [
            ("7d", 604_800_000_000, "7d"),
            ("48h", 172_800_000_000, "2d"),
            ("36h", 129_600_000_000, "36h"),
            ("P90D", 7_776_000_000_000, "90d"),
            ("PT5M", 300_000_000, "5m"),
            ("1d 12h", 129_600_000_000, "36h"),
            ("2w", 1_209_600_000_000, "14d"),
            ("100ms", 100_000, "100ms"),
            ("1.5s", 1_500_000, "1500ms"),
            ("0s", 0, "0s"),
        ] {
            let duration: Duration = text.parse().expect(text);
            assert_eq!((duration.micros(), duration.to_string().as_str()), (micros, printed), "{text}");
            assert_eq!(duration.to_string().parse(), Ok(duration), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_says_so() {
        let no = |text: &str| text.parse::<Duration>().expect_err(text);
        assert_eq!(no("7"), "\"7\" is no duration: write \"7d\", \"48h\", \"5m\", \"10s\" or \"P90D\"");
        assert_eq!(no("-7d"), "\"-7d\" is negative");
        assert_eq!(no("P1M"), "\"P1M\" has months or years, which have no fixed length: write days");
        assert!(no("").contains("no duration") && no("soon").contains("no duration"));
    }

    #[test]
    fn percentages_are_exact() {
        assert_eq!("12.5".parse(), Ok(Percent(Money::from_raw(1_250_000_000))));
        assert!(
            "101".parse::<Percent>().is_err() && "-1".parse::<Percent>().is_err() && "ten".parse::<Percent>().is_err()
        );
    }

    #[test]
    fn secrets_are_not_printed() {
        let properties = Properties(BTreeMap::from([("sasl.password".to_owned(), "hunter2".to_owned())]));
        assert_eq!(format!("{properties:?} {:?}", Secret("hunter2".to_owned())), "{\"sasl.password\"} ***");
    }
}
