//! The forms of a timestamp (DOMAIN §2).
//!
//! - RFC 3339 with `Z` or an offset, the `T` also as a space, the offset also without its colon;
//! - the same without an offset, in a configured zone. A local time that the clocks skip is read
//!   with the offset from before the gap, one that they repeat as the first of the two;
//! - seconds, milliseconds or microseconds since 1970, told apart by 10, 13 or 16 digits.
//!
//! What is finer than a microsecond is cut off, never rounded. A leap second is read as the second
//! before it.

use jiff::civil;
use jiff::tz::TimeZone;

use crate::Timestamp;

/// Why a text is no instant; completes "the timestamp …".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadTimestamp(pub &'static str);

const NOT_A_FORM: BadTimestamp = BadTimestamp("is neither RFC 3339 nor epoch seconds, ms or µs");
const NOT_ON_THE_CALENDAR: BadTimestamp = BadTimestamp("is not on the calendar");
const NO_ZONE: BadTimestamp = BadTimestamp("has no offset, and the mapping names no zone");
const NOT_A_MAGNITUDE: BadTimestamp = BadTimestamp("has not the 10, 13 or 16 digits of epoch seconds, ms or µs");

const SECOND: i64 = 1_000_000;

const POWERS_OF_TEN: [i64; 7] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000];

/// Reads an instant from a text in any form.
pub(super) fn parse(text: &str, zone: Option<&TimeZone>) -> Result<Timestamp, BadTimestamp> {
    let bytes = text.as_bytes();
    match bytes.get(4) {
        Some(b'-') => parse_calendar(bytes, zone),
        _ => parse_epoch(text),
    }
}

/// Reads epoch seconds, ms or µs from their digits. A fraction is allowed and cut off below 1 µs.
pub(super) fn parse_epoch(digits: &str) -> Result<Timestamp, BadTimestamp> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return Err(NOT_A_FORM);
    }
    let (micros_per_unit, places) = match whole.len() {
        10 => (SECOND, 6),
        13 => (1000, 3),
        16 => (1, 0),
        _ => return Err(NOT_A_MAGNITUDE),
    };
    let whole = whole.parse::<i64>().expect("at most 16 digits");
    Ok(Timestamp::from_micros(whole * micros_per_unit + leading_digits(fraction.as_bytes(), places)))
}

fn parse_calendar(bytes: &[u8], zone: Option<&TimeZone>) -> Result<Timestamp, BadTimestamp> {
    let Some((local, rest)) = bytes.split_first_chunk::<19>() else { return Err(NOT_A_FORM) };
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b't' | b' ', time @ ..] = local else {
        return Err(NOT_A_FORM);
    };
    let [h1, h2, b':', n1, n2, b':', s1, s2] = time else { return Err(NOT_A_FORM) };
    let year = number([y1, y2, y3, y4])?;
    let (month, day) = (number([m1, m2])?, number([d1, d2])?);
    let (hour, minute, second) = (number([h1, h2])?, number([n1, n2])?, number([s1, s2])?);
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return Err(NOT_ON_THE_CALENDAR);
    }
    if hour > 23 || minute > 59 || second > 60 {
        return Err(NOT_ON_THE_CALENDAR);
    }
    let (micros, rest) = parse_fraction(rest)?;
    let second = second.min(59);
    let seconds_of_day = hour * 3600 + minute * 60 + second;
    let utc_seconds = match parse_offset(rest)? {
        Some(offset) => days_since_1970(year, month, day) * 86_400 + seconds_of_day - offset,
        None => local_seconds([year, month, day, hour, minute, second], zone.ok_or(NO_ZONE)?)?,
    };
    Ok(Timestamp::from_micros(utc_seconds * SECOND + micros))
}

/// The microseconds of `.123…`, and what follows.
fn parse_fraction(rest: &[u8]) -> Result<(i64, &[u8]), BadTimestamp> {
    let Some(fraction) = rest.strip_prefix(b".") else { return Ok((0, rest)) };
    let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return Err(NOT_A_FORM);
    }
    let (fraction, rest) = fraction.split_at(digits);
    Ok((leading_digits(fraction, 6), rest))
}

/// Seconds east of UTC, if there is an offset.
fn parse_offset(rest: &[u8]) -> Result<Option<i64>, BadTimestamp> {
    let (sign, hours, minutes) = match rest {
        [] => return Ok(None),
        [b'Z' | b'z'] => return Ok(Some(0)),
        [sign @ (b'+' | b'-'), h1, h2] => (sign, [*h1, *h2], [b'0', b'0']),
        [sign @ (b'+' | b'-'), h1, h2, m1, m2] | [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            (sign, [*h1, *h2], [*m1, *m2])
        }
        _ => return Err(NOT_A_FORM),
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    if hours > 23 || minutes > 59 {
        return Err(NOT_A_FORM);
    }
    let seconds = hours * 3600 + minutes * 60;
    Ok(Some(if *sign == b'-' { -seconds } else { seconds }))
}

fn local_seconds(fields: [i64; 6], zone: &TimeZone) -> Result<i64, BadTimestamp> {
    // Every field was checked against the calendar, whose years have four digits.
    let [year, month, day, hour, minute, second] =
        fields.map(|field| i16::try_from(field).expect("four digits at most"));
    let small = |field: i16| i8::try_from(field).expect("two digits");
    let local = civil::DateTime::new(year, small(month), small(day), small(hour), small(minute), small(second), 0)
        .map_err(|_| NOT_ON_THE_CALENDAR)?;
    let instant = zone.to_ambiguous_timestamp(local).compatible().map_err(|_| NOT_ON_THE_CALENDAR)?;
    Ok(instant.as_second())
}

fn number<const N: usize>(digits: [u8; N]) -> Result<i64, BadTimestamp> {
    let digits = digits.map(|byte| byte.wrapping_sub(b'0'));
    if digits.iter().any(|digit| *digit > 9) {
        return Err(NOT_A_FORM);
    }
    Ok(digits.iter().fold(0, |number, digit| number * 10 + i64::from(*digit)))
}

/// The first `places` of `digits` as a number, as if zeros followed.
fn leading_digits(digits: &[u8], places: usize) -> i64 {
    let taken = &digits[..digits.len().min(places)];
    let number = taken.iter().fold(0, |number, byte| number * 10 + i64::from(byte - b'0'));
    number * POWERS_OF_TEN[places - taken.len()]
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days of the proleptic Gregorian calendar. Years are counted from March, so that the leap day is
/// a year's last and months before it have fixed starts: (153 m + 2) / 5.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time;

    fn read(text: &str) -> Result<String, BadTimestamp> {
        parse(text, None).map(|at| at.to_string())
    }

    #[test]
    fn every_form_is_read() {
        for (text, instant) in [
            ("2026-06-07T14:32:15Z", "2026-06-07T14:32:15Z"),
            ("2026-06-07t14:32:15z", "2026-06-07T14:32:15Z"),
            ("2026-06-07 14:32:15Z", "2026-06-07T14:32:15Z"),
            ("2026-06-01T10:00:00+02:00", "2026-06-01T08:00:00Z"),
            ("2026-06-01T08:00:00+0000", "2026-06-01T08:00:00Z"),
            ("2026-06-01T08:00:00-0330", "2026-06-01T11:30:00Z"),
            ("2026-06-01T08:00:00+02", "2026-06-01T06:00:00Z"),
            ("2026-01-01T00:30:00+01:00", "2025-12-31T23:30:00Z"),
            ("2026-06-01T08:00:00.1Z", "2026-06-01T08:00:00.100Z"),
            ("2026-06-01T08:00:00.1234567Z", "2026-06-01T08:00:00.123456Z"),
            ("2026-06-01T08:00:00.1234569+00:00", "2026-06-01T08:00:00.123456Z"),
            ("2026-06-01T23:59:59.999999999999Z", "2026-06-01T23:59:59.999999Z"),
            ("1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.999999Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
            ("1780358399", "2026-06-01T23:59:59Z"),
            ("1780358399999", "2026-06-01T23:59:59.999Z"),
            ("1780358399999999", "2026-06-01T23:59:59.999999Z"),
            ("1780358399.25", "2026-06-01T23:59:59.250Z"),
            ("1780358399999.5", "2026-06-01T23:59:59.999500Z"),
            ("1780358399.9999999", "2026-06-01T23:59:59.999999Z"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(instant), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "yesterday",
            "",
            "2026-06-01",
            "2026-06-01T08:00Z",
            "2026-06-01X08:00:00Z",
            "2026-06-01T08:00:00.Z",
            "2026-06-01T08:00:00 Z",
            "2026-06-01T08:00:00+2",
            "2026-06-01T08:00:00+24:00",
            "2026-06-01T08:00:00+02:60",
            "2026-06-01T08:00:00Zulu",
            "2026-06-01T08:00:00+02:00[Europe/Malta]",
            "+2026-06-01T08:00:00Z",
            "2026-6-1T08:00:00Z",
            "20260601T080000Z",
            "1780358399e3",
            "-1780358399",
            "1780358399.",
            " 1780358399",
        ] {
            assert_eq!(read(text), Err(NOT_A_FORM), "{text:?}");
        }
        for text in [
            "2026-02-30T10:00:00Z",
            "2025-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-05-31T24:00:00Z",
            "2026-05-31T25:00:00Z",
            "2026-05-31T10:60:00Z",
            "2026-05-31T10:00:61Z",
        ] {
            assert_eq!(read(text), Err(NOT_ON_THE_CALENDAR), "{text:?}");
        }
        for text in ["1", "2026", "178035839", "17803583990", "178035839999", "1780358399999999999"] {
            assert_eq!(read(text), Err(NOT_A_MAGNITUDE), "{text:?}");
        }
    }

    #[test]
    fn texts_without_an_offset_need_a_zone() {
        assert_eq!(read("2026-06-01 08:00:00"), Err(NO_ZONE));
        let malta = time::zone("Europe/Malta").unwrap();
        for (text, instant) in [
            ("2026-06-01 08:00:00", "2026-06-01T06:00:00Z"),
            ("2026-01-01T08:00:00.5", "2026-01-01T07:00:00.500Z"),
            // An offset of its own wins over the zone.
            ("2026-06-01 08:00:00Z", "2026-06-01T08:00:00Z"),
            // The clocks jump from 02:00 to 03:00: 02:30 with the offset of winter is 01:30Z.
            ("2026-03-29 01:59:59", "2026-03-29T00:59:59Z"),
            ("2026-03-29 02:30:00", "2026-03-29T01:30:00Z"),
            ("2026-03-29 03:00:00", "2026-03-29T01:00:00Z"),
            // 02:30 happens twice: the first one is summer time.
            ("2026-10-25 02:30:00", "2026-10-25T00:30:00Z"),
            ("2026-10-25 03:00:00", "2026-10-25T02:00:00Z"),
        ] {
            assert_eq!(parse(text, Some(&malta)).map(|at| at.to_string()).as_deref(), Ok(instant), "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_calendar_library(micros in -62_135_596_800_000_000_i64..253_370_764_800_000_000) {
            let at = Timestamp::from_micros(micros);
            prop_assert_eq!(parse(&at.to_string(), None), Ok(at));
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}", date in "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}\\PC{0,8}") {
            let _ = parse(&text, Some(&TimeZone::UTC));
            let _ = parse(&date, Some(&TimeZone::UTC));
        }
    }
}
