//! Numbers of payloads, which may have more digits than an amount.

use std::cmp::Ordering;

use crate::{Money, MoneyError};

/// A number as far as amounts can tell it from others: the largest amount that is not above it,
/// and whether something is left. Comparing one with an amount is exact, however many digits it has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal {
    floor: Money,
    has_rest: bool,
}

impl From<Money> for Decimal {
    fn from(amount: Money) -> Self {
        Decimal { floor: amount, has_rest: false }
    }
}

impl Decimal {
    /// Reads a JSON number.
    pub(super) fn parse(digits: &str) -> Option<Self> {
        match digits.parse::<Money>() {
            Ok(amount) => Some(amount.into()),
            Err(MoneyError::OutOfRange) => Some(Self::floor_of(digits)),
            Err(MoneyError::Malformed) => None,
        }
    }

    /// Rounds a well-formed number that is no amount towards negative infinity.
    fn floor_of(digits: &str) -> Self {
        let is_negative = digits.starts_with('-');
        let unsigned = digits.trim_start_matches(['-', '+']);
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let significant = all.trim_start_matches('0');

        // value = 0.significant * 10^point; an amount has 22 digits before and 8 after its point.
        let zeros = length(&all) - length(significant);
        let point = length(whole).saturating_add(exponent_of(exponent)) - zeros;
        if point > 22 {
            let floor = Money::from_raw(if is_negative { i128::MIN } else { i128::MAX });
            return Decimal { floor, has_rest: true };
        }
        let kept = usize::try_from(point.saturating_add(8)).unwrap_or(0);
        let digits = significant.bytes().chain(std::iter::repeat(b'0'));
        let magnitude = digits.take(kept).fold(0_i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
        let has_rest = significant.bytes().skip(kept).any(|digit| digit != b'0');
        let floor = if is_negative { -magnitude - i128::from(has_rest) } else { magnitude };
        Decimal { floor: Money::from_raw(floor), has_rest }
    }

    /// The order, unless both have a rest beyond the same amount.
    pub(super) fn compare(self, other: Decimal) -> Option<Ordering> {
        match self.floor.cmp(&other.floor) {
            Ordering::Equal if self.has_rest && other.has_rest => None,
            Ordering::Equal => Some(self.has_rest.cmp(&other.has_rest)),
            unequal => Some(unequal),
        }
    }

    /// The number as an amount, if it is one.
    pub(super) fn exact(self) -> Option<Money> {
        (!self.has_rest).then_some(self.floor)
    }
}

/// A JSON number as equal numbers are all written: its significant digits, without zeros around them, and the power of ten of
/// the last one. `None` where that power is beyond 64 bits.
pub(super) fn normal_form(number: &str) -> Option<String> {
    let (sign, unsigned) = number.strip_prefix('-').map_or(("", number), |unsigned| ("-", unsigned));
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    let zeros = length(&digits) - length(significant);
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    let exponent: i64 = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
    let power = exponent.checked_sub(length(fraction))?.checked_add(zeros)?;
    Some(format!("{sign}{significant}e{power}"))
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).expect("no text is longer than i64::MAX")
}

/// Only its sign and "beyond 30 digits" matter, so a huge one may saturate.
fn exponent_of(text: &str) -> i64 {
    let limit = 1_000_000_000_000;
    let saturated = if text.starts_with('-') { -limit } else { limit };
    text.parse::<i64>().map_or(saturated, |exponent| exponent.clamp(-limit, limit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(left: &str, right: &str) -> Option<Ordering> {
        Decimal::parse(left).expect(left).compare(Decimal::parse(right).expect(right))
    }

    #[test]
    fn compares_beyond_the_digits_of_amounts() {
        for (left, right, expected) in [
            ("0.3333333333333333", "0.33333333", Ordering::Greater),
            ("0.3333333333333333", "0.33333334", Ordering::Less),
            ("-0.3333333333333333", "-0.33333333", Ordering::Less),
            ("-0.3333333333333333", "-0.33333334", Ordering::Greater),
            ("1e-400", "0", Ordering::Greater),
            ("-1e-400", "0", Ordering::Less),
            ("-1e-99999999999999999999", "0", Ordering::Less),
            ("1e400", "9999999999999999999999.99999999", Ordering::Greater),
            ("1e99999999999999999999", "1", Ordering::Greater),
            ("-1e22", "-9999999999999999999999", Ordering::Less),
            ("123456789.0000000012e-1", "12345678.9", Ordering::Greater),
            ("0.000000001e3", "0.000001", Ordering::Equal),
            ("9007199254740993", "9007199254740992", Ordering::Greater),
        ] {
            assert_eq!(order(left, right), Some(expected), "{left} {right}");
            assert_eq!(order(right, left), Some(expected.reverse()), "{right} {left}");
        }
        assert_eq!(order("0.000000001", "0.000000002"), None);
        assert!(Decimal::parse("1,5").is_none() && Decimal::parse("").is_none());
    }

    #[test]
    fn equal_numbers_have_one_normal_form() {
        for equal in [
            &["2.5", "2.50", "25e-1", "0.25E+1", "0.0025e3"][..],
            &["0", "-0", "0.00", "0e400", "-0.0e-99999999999999999999"],
            &["100", "1e2", "1E+02", "100.000"],
            &["1e400", "10e399", "0.1e401"],
            &["-7", "-7.0"],
            &["0.000000001"],
            &["0.000000002"],
            &["9007199254740993"],
            &["9007199254740992"],
        ] {
            let forms: Vec<_> = equal.iter().map(|number| normal_form(number).expect(number)).collect();
            assert!(forms.windows(2).all(|pair| pair[0] == pair[1]), "{equal:?}: {forms:?}");
        }
        assert_eq!(normal_form("1e99999999999999999999"), None);
        assert_eq!(normal_form("0.1e-9223372036854775808"), None);
    }

    proptest! {
        /// Of numbers that are amounts, those with one amount have one form.
        #[test]
        fn normal_forms_tell_amounts_apart(
            one in r"-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,4})?(e-?[0-3])?",
            other in r"-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,4})?(e-?[0-3])?",
        ) {
            let amount = |number: &str| number.parse::<Money>().unwrap();
            let are_equal = normal_form(&one).unwrap() == normal_form(&other).unwrap();
            prop_assert_eq!(are_equal, amount(&one) == amount(&other));
            let again = normal_form(&one).unwrap();
            prop_assert_eq!(amount(&again), amount(&one), "{}", again);
        }

        #[test]
        fn agrees_with_integers(left in -10_000_000_i64..10_000_000, right in -1_000_i64..1_000) {
            // `left` at scale 12 has four digits more than an amount, `right` at scale 8 has none.
            let order = order(&format!("{left}e-12"), &format!("{right}e-8"));
            prop_assert_eq!(order, Some(left.cmp(&(right * 10_000))));
        }
    }
}
