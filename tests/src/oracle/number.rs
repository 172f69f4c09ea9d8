//! Amounts and instants as texts, by hand: nothing here is shared with what is tested.

/// Decimal places of an amount.
const SCALE: usize = 8;
const UNIT: i128 = 100_000_000;
const DAY: i64 = 86_400_000_000;

/// A plain decimal in units of 10^-8; `None` if it has more places than that, or is no plain decimal.
pub fn units(text: &str) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) || fraction.len() > SCALE {
        return None;
    }
    let padded = format!("{whole}{fraction:0<SCALE$}");
    Some(sign * padded.parse::<i128>().ok()?)
}

/// As outputs have it: at least two places, no zeros beyond.
pub fn show_units(units: i128) -> String {
    let (sign, digits) = (if units < 0 { "-" } else { "" }, units.unsigned_abs());
    let unit = UNIT.unsigned_abs();
    let fraction = format!("{:08}", digits % unit);
    let kept = fraction.trim_end_matches('0').len().max(2);
    format!("{sign}{}.{}", digits / unit, &fraction[..kept])
}

/// RFC 3339 in UTC, in microseconds since 1970; `None` for a day or time that does not exist.
pub fn instant(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z')?;
    let (date, time) = text.split_once('T')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let number = |text: &str| text.parse::<i64>().ok();
    let date: Vec<i64> = date.split('-').map(number).collect::<Option<_>>()?;
    let time: Vec<i64> = time.split(':').map(number).collect::<Option<_>>()?;
    let (&[year, month, day], &[hour, minute, second]) = (&*date, &*time) else { return None };
    let days = days(year, month, day);
    if civil(days) != (year, month, day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let micros = number(&format!("{fraction:0<6}"))?;
    Some(days * DAY + ((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
}

/// As outputs have it: RFC 3339 in UTC, with a fraction of 0, 3 or 6 digits.
pub fn show_instant(micros: i64) -> String {
    let (day, rest) = (day_of(micros), micros.rem_euclid(DAY));
    let (seconds, fraction) = (rest / 1_000_000, rest % 1_000_000);
    let fraction = match fraction {
        0 => String::new(),
        _ if fraction % 1000 == 0 => format!(".{:03}", fraction / 1000),
        _ => format!(".{fraction:06}"),
    };
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}{fraction}Z", show_day(day))
}

/// Days since 1970 of an instant, in UTC.
pub fn day_of(micros: i64) -> i64 {
    micros.div_euclid(DAY)
}

/// `2026-06-01`
pub fn show_day(day: i64) -> String {
    let (year, month, day) = civil(day);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The day, ISO week or month, in UTC, that holds `micros`: its first instant and the next one's.
pub fn window(every: &str, micros: i64) -> (i64, i64) {
    let today = day_of(micros);
    let (first, next) = match every {
        "day" => (today, today + 1),
        "week" => {
            // 1 January 1970 was a Thursday.
            let monday = today - (today + 3).rem_euclid(7);
            (monday, monday + 7)
        }
        "month" => {
            let (year, month, _) = civil(today);
            let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            (days(year, month, 1), days(next.0, next.1, 1))
        }
        other => panic!("no recurring window: {other}"),
    };
    (first * DAY, next * DAY)
}

/// Days since 1970 of a date, counted year by year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let leaps = |year: i64| year / 4 - year / 100 + year / 400;
    let before = (year - 1970) * 365 + leaps(year - 1) - leaps(1969);
    before + (1..month).map(|month| month_length(year, month)).sum::<i64>() + day - 1
}

fn civil(days_since: i64) -> (i64, i64, i64) {
    let mut year = 1970 + days_since.div_euclid(366);
    while days(year + 1, 1, 1) <= days_since {
        year += 1;
    }
    let mut month = 1;
    while month < 12 && days(year, month + 1, 1) <= days_since {
        month += 1;
    }
    (year, month, days_since - days(year, month, 1) + 1)
}

fn month_length(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        assert_eq!(units("25.50"), Some(2_550_000_000));
        assert_eq!(units("-5"), Some(-500_000_000));
        assert_eq!(units("0.123456789"), None);
        assert_eq!(units("true"), None);
        assert_eq!(show_units(2_550_000_000), "25.50");
        assert_eq!(show_units(1), "0.00000001");
        assert_eq!(show_units(-500_000_000), "-5.00");
    }

    #[test]
    fn instants() {
        assert_eq!(instant("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(instant("2026-06-01T00:00:00.004Z"), Some(1_780_272_000_004_000));
        assert_eq!(instant("2026-13-45T25:61:00Z"), None);
        assert_eq!(instant("2025-02-29T00:00:00Z"), None);
        for text in ["2024-02-29T23:59:59.999Z", "2026-12-31T12:00:00Z", "2000-03-01T00:00:00.000001Z"] {
            assert_eq!(show_instant(instant(text).unwrap()), text);
        }
    }

    #[test]
    fn windows() {
        let shown = |every, at| {
            let (start, end) = window(every, instant(at).unwrap());
            format!("{} {}", show_day(day_of(start)), show_day(day_of(end)))
        };
        assert_eq!(shown("day", "2026-06-03T10:00:00Z"), "2026-06-03 2026-06-04");
        assert_eq!(shown("week", "2026-06-07T23:59:59Z"), "2026-06-01 2026-06-08");
        assert_eq!(shown("week", "2026-06-08T00:00:00Z"), "2026-06-08 2026-06-15");
        assert_eq!(shown("month", "2026-12-31T00:00:00Z"), "2026-12-01 2027-01-01");
    }
}
