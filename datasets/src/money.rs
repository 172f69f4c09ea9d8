//! Exact decimal amounts (DOMAIN §2, "Money is exact").

use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An amount at scale 8: `Money::from_raw(1)` is `0.00000001`.
///
/// Input is bounded by [`Money::LIMIT`], which leaves room to add 10^8 of the largest amounts
/// before a sum reaches the 38 digits of the outputs' decimal type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i128);

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a decimal number at all.
    #[error("not a decimal number")]
    Malformed,
    /// A number, but with more than eight decimal places or 22 whole digits.
    #[error("more than 8 decimal places or 22 whole digits")]
    OutOfRange,
}

impl Money {
    /// Decimal places.
    pub const SCALE: u32 = 8;
    /// One unit.
    pub const ONE: Money = Money(100_000_000);
    /// Nothing.
    pub const ZERO: Money = Money(0);
    /// Amounts read must be below this: 10^22 units.
    pub const LIMIT: i128 = 10_i128.pow(22 + Self::SCALE);

    /// From a number of 10^-8 units.
    pub const fn from_raw(raw: i128) -> Self {
        Money(raw)
    }

    /// The number of 10^-8 units.
    pub const fn raw(self) -> i128 {
        self.0
    }

    /// A whole number of units.
    pub const fn from_units(units: i64) -> Self {
        // i64 * 10^8 < 2^63 * 2^27 = 2^90.
        #[expect(clippy::as_conversions, reason = "i128::from is not const")]
        Money(units as i128 * Self::ONE.0)
    }

    /// Below zero.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Exactly zero.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Digits from the first to the last one that is not zero: as many as a reader has to keep so that the amount stays exact.
    pub const fn significant_digits(self) -> u32 {
        match self.without_zeros().0.checked_ilog10() {
            Some(last) => last + 1,
            None => 0,
        }
    }

    /// Decimal places up to the last digit that is not zero.
    pub const fn decimal_places(self) -> u32 {
        Self::SCALE.saturating_sub(self.without_zeros().1)
    }

    /// All digits up to the last one that is not zero, and how many zeros follow. Of nothing the zeros are no fewer than the places.
    const fn without_zeros(self) -> (u128, u32) {
        let (mut digits, mut zeros) = (self.0.unsigned_abs(), 0);
        if digits == 0 {
            return (0, Self::SCALE);
        }
        while digits.is_multiple_of(10) {
            (digits, zeros) = (digits / 10, zeros + 1);
        }
        (digits, zeros)
    }

    /// Reads `digits` as a number of units of 10^-`scale` (`2000` at scale 2 is `20.00`).
    ///
    /// Accepts a sign, a decimal point and an exponent. Trailing zeros beyond the eighth place
    /// do not change the value and are accepted.
    pub fn parse_scaled(digits: &str, scale: u32) -> Result<Self, MoneyError> {
        match Self::parse_short(digits.as_bytes(), scale) {
            Some(money) => Ok(money),
            None => Self::parse_any(digits, scale),
        }
    }

    /// Most amounts: digits alone, no more than a word holds, and a point.
    fn parse_short(digits: &[u8], scale: u32) -> Option<Self> {
        if digits.len() > 18 {
            return None;
        }
        let (mut value, mut places, mut has_point) = (0_u64, 0_u32, false);
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit <= 9 {
                value = value * 10 + u64::from(digit);
                places += u32::from(has_point);
            } else if *byte == b'.' && !has_point {
                has_point = true;
            } else {
                return None;
            }
        }
        let ([b'0'..=b'9', .., b'0'..=b'9'] | [b'0'..=b'9']) = digits else { return None };
        // Below 10^18 * 10^8 < 10^30.
        let shift = Self::SCALE.checked_sub(scale.checked_add(places)?)?;
        Some(Money(i128::from(value) * i128::from(10_u64.pow(shift))))
    }

    fn parse_any(digits: &str, scale: u32) -> Result<Self, MoneyError> {
        let (negative, unsigned) = match digits.as_bytes() {
            [b'-', ..] => (true, &digits[1..]),
            [b'+', ..] => (false, &digits[1..]),
            _ => (false, digits),
        };
        let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
            Some(at) => (&unsigned[..at], parse_exponent(&unsigned[at + 1..])?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() && fraction.is_empty() || mantissa.ends_with('.') || whole.is_empty() {
            return Err(MoneyError::Malformed);
        }
        // value = digits * 10^shift at scale 8.
        let places = i64::try_from(fraction.len()).map_err(|_| MoneyError::OutOfRange)?;
        let mut shift = i64::from(Self::SCALE) - i64::from(scale) - places + exponent;
        let mut value: i128 = 0;
        let mut overflow = false;
        let mut dropped_zeros_only = true;
        let all = whole.bytes().chain(fraction.bytes());
        // Zeros are held back so that `1.000000000000000000000000000000000000000000` fits.
        let mut zeros: u32 = 0;
        let mut count = 0_i64;
        for byte in all {
            count += 1;
            let digit = match byte {
                b'0'..=b'9' => i128::from(byte - b'0'),
                _ => return Err(MoneyError::Malformed),
            };
            if digit == 0 {
                zeros += 1;
                continue;
            }
            let shifted = pow10(i64::from(zeros) + 1).and_then(|by| value.checked_mul(by));
            match shifted.and_then(|shifted| shifted.checked_add(digit)) {
                Some(longer) => value = longer,
                None if value == 0 => value = digit,
                None => overflow = true,
            }
            zeros = 0;
        }
        debug_assert!(count > 0, "an empty mantissa was refused above");
        shift += i64::from(zeros);
        if value == 0 && !overflow {
            return Ok(Money::ZERO);
        }
        if overflow {
            return Err(MoneyError::OutOfRange);
        }
        if shift < 0 {
            match pow10(-shift) {
                Some(by) if value % by == 0 => value /= by,
                _ => dropped_zeros_only = false,
            }
        } else {
            value = pow10(shift).and_then(|by| value.checked_mul(by)).ok_or(MoneyError::OutOfRange)?;
        }
        if !dropped_zeros_only || value >= Self::LIMIT {
            return Err(MoneyError::OutOfRange);
        }
        Ok(Money(if negative { -value } else { value }))
    }

    /// The product, rounded half-up (away from zero) to 8 places. `None` on overflow.
    pub fn checked_mul(self, other: Money) -> Option<Money> {
        // |a| = whole * 10^8 + rest, so that a*b/10^8 = whole*b + rest*b/10^8 without a 256-bit product.
        let negative = self.is_negative() != other.is_negative();
        let (a, b) = (self.0.unsigned_abs(), other.0.unsigned_abs());
        let one = Self::ONE.0.unsigned_abs();
        let (a_whole, a_rest) = (a / one, a % one);
        let (b_whole, b_rest) = (b / one, b % one);
        let exact = a_whole.checked_mul(b)?.checked_add(a_rest.checked_mul(b_whole)?)?;
        let rounded = (a_rest * b_rest + one / 2) / one;
        let value = i128::try_from(exact.checked_add(rounded)?).ok()?;
        Some(Money(if negative { -value } else { value }))
    }

    /// Rounded half-up (away from zero) to `places` decimal places.
    pub fn round_to(self, places: u32) -> Money {
        if places >= Self::SCALE {
            return self;
        }
        let unit = 10_i128.pow(Self::SCALE - places);
        let magnitude = (self.0.abs() + unit / 2) / unit * unit;
        Money(if self.0 < 0 { -magnitude } else { magnitude })
    }
}

fn parse_exponent(text: &str) -> Result<i64, MoneyError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(MoneyError::Malformed);
    }
    // 10^±10000 is out of range for every non-zero mantissa that a record can carry.
    let magnitude = digits.parse::<i64>().unwrap_or(i64::MAX).min(1_000_000_000);
    Ok(if text.starts_with('-') { -magnitude } else { magnitude })
}

fn pow10(exponent: i64) -> Option<i128> {
    10_i128.checked_pow(u32::try_from(exponent).ok()?)
}

impl FromStr for Money {
    type Err = MoneyError;

    fn from_str(digits: &str) -> Result<Self, MoneyError> {
        Money::parse_scaled(digits, 0)
    }
}

/// At least two decimal places, no trailing zeros beyond them: `100.00`, `0.00000001`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = Self::ONE.0.unsigned_abs();
        let magnitude = self.0.unsigned_abs();
        // Every amount of every message is written: without memory of its own, and in 64 bits where they do.
        let mut rest = u32::try_from(magnitude % one).expect("below 10^8");
        let mut fraction = *b".00000000";
        for digit in fraction[1..].iter_mut().rev() {
            *digit += u8::try_from(rest % 10).expect("a digit");
            rest /= 10;
        }
        let places = fraction.iter().rposition(|digit| *digit != b'0').expect("the point is none").max(2);
        if self.0 < 0 {
            f.write_str("-")?;
        }
        match u64::try_from(magnitude / one) {
            Ok(whole) => write!(f, "{whole}")?,
            Err(_) => write!(f, "{}", magnitude / one)?,
        }
        f.write_str(std::str::from_utf8(&fraction[..=places]).expect("a point and digits"))
    }
}

impl Add for Money {
    type Output = Money;
    fn add(self, other: Money) -> Money {
        Money(self.0 + other.0)
    }
}

impl Sub for Money {
    type Output = Money;
    fn sub(self, other: Money) -> Money {
        Money(self.0 - other.0)
    }
}

impl Neg for Money {
    type Output = Money;
    fn neg(self) -> Money {
        Money(-self.0)
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Money) {
        self.0 += other.0;
    }
}

impl SubAssign for Money {
    fn sub_assign(&mut self, other: Money) {
        self.0 -= other.0;
    }
}

impl std::iter::Sum for Money {
    fn sum<I: Iterator<Item = Money>>(iter: I) -> Money {
        iter.fold(Money::ZERO, Add::add)
    }
}

/// A decimal string in text formats, the raw integer in binary ones.
impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(de::Error::custom)
        } else {
            i128::deserialize(deserializer).map(Money)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(text: &str) -> Money {
        text.parse().expect(text)
    }

    #[test]
    fn digits_survive() {
        for (text, printed) in [
            ("9007199254740993", "9007199254740993.00"),
            ("0.00000001", "0.00000001"),
            ("25.50", "25.50"),
            ("-5", "-5.00"),
            ("1e3", "1000.00"),
            ("1.5E-2", "0.015"),
            ("0.100000000000", "0.10"),
            ("100000000000000000000e-20", "1.00"),
            ("0e999999999999", "0.00"),
            ("000000000000000000000000000000000000000000000000001", "1.00"),
        ] {
            assert_eq!(money(text).to_string(), printed, "{text}");
        }
    }

    #[test]
    fn ten_times_a_tenth_is_one() {
        assert_eq!(Money::parse_short(b"25.50", 0), Some(money("25.5")));
        assert_eq!((0..10).map(|_| money("0.10")).sum::<Money>(), Money::ONE);
    }

    #[test]
    fn too_precise_or_too_large_is_refused() {
        for text in [
            "0.000000001",
            "1e22",
            "1e-9",
            "99999999999999999999999999999999999999999999",
            "170141183460469231731687303715884105729",
            "1e400",
            "1e-400",
        ] {
            assert_eq!(text.parse::<Money>(), Err(MoneyError::OutOfRange), "{text}");
        }
        assert!("9999999999999999999999.99999999".parse::<Money>().is_ok());
        for text in ["", "-", ".", "1.", ".5", "1e", "0x1", "1,5", "NaN", "1.2.3", "--1", "1e+-2", " 1"] {
            assert_eq!(text.parse::<Money>(), Err(MoneyError::Malformed), "{text:?}");
        }
    }

    #[test]
    fn digits_and_places_are_counted() {
        for (text, digits, places) in [
            ("0", 0, 0),
            ("1", 1, 0),
            ("-1.005", 4, 3),
            ("100", 1, 0),
            ("100.10", 4, 1),
            ("0.00000001", 1, 8),
            ("9999999999999.99", 15, 2),
            ("10000000000000.01", 16, 2),
            ("9007199254740993", 16, 0),
            ("9999999999999999999999.99999999", 30, 8),
        ] {
            assert_eq!((money(text).significant_digits(), money(text).decimal_places()), (digits, places), "{text}");
        }
    }

    #[test]
    fn minor_units() {
        assert_eq!(Money::parse_scaled("2000", 2), Ok(money("20")));
        assert_eq!(Money::parse_scaled("1", 8), Ok(money("0.00000001")));
        assert_eq!(Money::parse_scaled("1", 9), Err(MoneyError::OutOfRange));
    }

    #[test]
    fn products_round_half_up() {
        assert_eq!(money("0.00000001").checked_mul(money("0.5")), Some(money("0.00000001")));
        assert_eq!(money("-0.00000001").checked_mul(money("0.5")), Some(money("-0.00000001")));
        assert_eq!(money("0.00000001").checked_mul(money("0.49")), Some(Money::ZERO));
        assert_eq!(money("105.5").checked_mul(money("1.1")), Some(money("116.05")));
        assert_eq!(money("2.345").round_to(2), money("2.35"));
        assert_eq!(money("-2.345").round_to(2), money("-2.35"));
        assert_eq!(money("0.5").round_to(0), money("1"));
    }

    proptest! {
        #[test]
        fn printing_and_parsing_are_inverse(raw in -Money::LIMIT + 1..Money::LIMIT) {
            prop_assert_eq!(money(&Money(raw).to_string()), Money(raw));
        }

        #[test]
        fn short_numbers_are_read_as_all_are(text in "[+-]?[0-9.]{0,20}(e[0-9])?", scale in 0_u32..12) {
            if let Some(short) = Money::parse_short(text.as_bytes(), scale) {
                prop_assert_eq!(Ok(short), Money::parse_any(&text, scale));
            }
        }

        #[test]
        fn any_text_is_a_number_or_an_error(text in "[+-]?[0-9]{0,50}\\.?[0-9]{0,50}([eE][+-]?[0-9]{1,20})?") {
            if let Ok(money) = text.parse::<Money>() {
                prop_assert!(money.raw().abs() < Money::LIMIT);
            }
        }

        #[test]
        fn multiplication_by_one_and_order(a in any::<i64>(), b in any::<i64>()) {
            let (x, y) = (Money(i128::from(a)), Money(i128::from(b)));
            prop_assert_eq!(x.checked_mul(Money::ONE), Some(x));
            prop_assert_eq!(x.checked_mul(y), y.checked_mul(x));
        }
    }
}
