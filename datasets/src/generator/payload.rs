//! An event as JSON, with the field names that need no mapping (DOMAIN §2).
//!
//! Written by hand into a buffer: the generator feeds benchmarks, so it must not be what they measure.

use super::config::Currency;
use super::play::Transaction;
use crate::time::Date;
use crate::{EventName, Family, Timestamp};

const BASE_36: [u8; 36] = *b"0123456789abcdefghijklmnopqrstuvwxyz";
const DAY_MICROS: i64 = 86_400_000_000;

/// Writes payloads; keeps the text of the day that it last wrote.
pub(super) struct PayloadWriter {
    currencies: Vec<Currency>,
    day: i64,
    date: String,
}

impl PayloadWriter {
    pub(super) fn new(currencies: Vec<Currency>) -> Self {
        PayloadWriter { currencies, day: 0, date: "1970-01-01".to_owned() }
    }

    pub(super) fn currency(&self, index: u8) -> &Currency {
        &self.currencies[usize::from(index)]
    }

    pub(super) fn currencies(&self) -> &[Currency] {
        &self.currencies
    }

    /// The payload of `event` in the record that has `event_id`.
    pub(super) fn payload(&mut self, event: &Transaction, event_id: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(352);
        out.extend_from_slice(b"{\"player_id\":\"");
        push_player_id(&mut out, event.player.number);
        out.extend_from_slice(b"\",\"event_id\":\"evt_");
        push_number(&mut out, event_id, 36);
        text(&mut out, b"\",\"event_name\":\"", event_name(event.name));
        out.push(b'"');
        if let Some(field) = amount_field(event.name) {
            let currency = &self.currencies[usize::from(event.player.currency)];
            out.extend_from_slice(field);
            push_decimal(&mut out, event.amount, currency.places);
            if event.bonus > 0 {
                out.extend_from_slice(b",\"bonus_amount\":");
                push_decimal(&mut out, event.bonus, currency.places);
            }
            text(&mut out, b",\"currency\":\"", &currency.code);
            out.push(b'"');
        }
        if let Some(title) = event.title {
            text(&mut out, b",\"game_type\":\"", title.game.name());
            for (key, value) in [
                (&b"\",\"game_id\":\""[..], title.game_id),
                (b"\",\"sport\":\"", title.sport),
                (b"\",\"market_type\":\"", title.market),
            ] {
                if !value.is_empty() {
                    text(&mut out, key, value);
                }
            }
            out.push(b'"');
        }
        if let Some(odds) = event.odds {
            out.extend_from_slice(b",\"odds\":");
            push_decimal(&mut out, odds, 2);
        }
        out.extend_from_slice(b",\"timestamp\":\"");
        self.push_time(&mut out, event.event_time);
        if let Some(number) = event.number {
            out.extend_from_slice(b"\",\"transaction_id\":\"txn_");
            push_number(&mut out, number, 36);
        }
        if let Some((number, family)) = event.reference {
            out.extend_from_slice(b"\",\"reference_id\":\"txn_");
            push_number(&mut out, number, 36);
            if event.name == EventName::Reversal {
                text(&mut out, b"\",\"reference_family\":\"", family_name(family));
            }
        }
        if let Some(status) = event.status {
            text(&mut out, b"\",\"status\":\"", status);
        }
        text(&mut out, b"\",\"country\":\"", event.player.country);
        if event.name == EventName::Login {
            text(&mut out, b"\",\"channel\":\"", event.player.channel);
        }
        out.extend_from_slice(b"\"}");
        out
    }

    /// RFC 3339 with milliseconds.
    fn push_time(&mut self, out: &mut Vec<u8>, at: Timestamp) {
        let day = at.micros().div_euclid(DAY_MICROS);
        if day != self.day {
            self.day = day;
            self.date = Date::from_days(i32::try_from(day).expect("within the calendar")).to_string();
        }
        let millis = at.micros().rem_euclid(DAY_MICROS).unsigned_abs() / 1000;
        let (seconds, millis) = (millis / 1000, millis % 1000);
        out.extend_from_slice(self.date.as_bytes());
        out.push(b'T');
        push_padded(out, seconds / 3600, 2);
        out.push(b':');
        push_padded(out, seconds / 60 % 60, 2);
        out.push(b':');
        push_padded(out, seconds % 60, 2);
        out.push(b'.');
        push_padded(out, millis, 3);
        out.push(b'Z');
    }
}

/// The player's id, which is also the record's key.
pub(super) fn push_player_id(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(b"player_");
    push_number(out, u64::from(number) + 1, 10);
}

fn event_name(name: EventName) -> &'static str {
    let known = EventName::KNOWN.iter().find(|(_, known)| *known == name);
    known.expect("only known events are generated").0
}

fn family_name(family: Family) -> &'static str {
    let known = Family::REVERSIBLE.iter().find(|(_, known)| *known == family);
    known.expect("only families with a name are reversed").0
}

/// The key of the amount, each event's own alias as systems of record send it.
fn amount_field(name: EventName) -> Option<&'static [u8]> {
    match name {
        EventName::BetPlaced => Some(b",\"bet_amount\":"),
        EventName::Win => Some(b",\"win_amount\":"),
        EventName::BetSettled => Some(b",\"payout\":"),
        EventName::Deposit => Some(b",\"deposit_amount\":"),
        EventName::Withdrawal | EventName::BonusGranted => Some(b",\"amount\":"),
        _ => None,
    }
}

fn text(out: &mut Vec<u8>, key: &[u8], value: &str) {
    out.extend_from_slice(key);
    out.extend_from_slice(value.as_bytes());
}

/// `number` in base 10 or 36.
fn push_number(out: &mut Vec<u8>, mut number: u64, base: u64) {
    // 2^64 has 20 decimal digits.
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = digit(number % base);
        number /= base;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

fn push_padded(out: &mut Vec<u8>, number: u64, width: u32) {
    for place in (0..width).rev() {
        out.push(digit(number / 10_u64.pow(place) % 10));
    }
}

/// `minor` units of 10^-`places` as a JSON number.
pub(super) fn push_decimal(out: &mut Vec<u8>, minor: i64, places: u32) {
    if minor < 0 {
        out.push(b'-');
    }
    let unit = 10_u64.pow(places);
    push_number(out, minor.unsigned_abs() / unit, 10);
    if places > 0 {
        out.push(b'.');
        push_padded(out, minor.unsigned_abs() % unit, places);
    }
}

fn digit(value: u64) -> u8 {
    BASE_36[usize::try_from(value).expect("a digit of base 36 at most")]
}

#[cfg(test)]
mod tests {
    use super::super::play::{Player, TITLES};
    use super::super::random::Dice;
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_print_as_the_standard_library_prints_them() {
        for number in [0, 9, 10, 35, 36, 4711, u64::MAX] {
            assert_eq!(written(|out| push_number(out, number, 10)), number.to_string());
            let base_36 = written(|out| push_number(out, number, 36));
            assert_eq!(u64::from_str_radix(&base_36, 36), Ok(number));
        }
        assert_eq!(written(|out| push_decimal(out, 2550, 2)), "25.50");
        assert_eq!(written(|out| push_decimal(out, -5, 2)), "-0.05");
        assert_eq!(written(|out| push_decimal(out, 2550, 0)), "2550");
        assert_eq!(written(|out| push_decimal(out, 1, 8)), "0.00000001");
    }

    #[test]
    fn a_bet_looks_like_the_sample() {
        let currencies = vec![Currency::new("EUR")];
        let player = Player { country: "MT", ..Player::new(11, 1, &[(1, 0)], &currencies) };
        let at: Timestamp = "2026-06-07T14:32:15.04Z".parse().unwrap();
        let title = &TITLES[13].1;
        let mut bet = super::super::play::stake(player, title, &mut Dice::new(1), &currencies[0], at, 36);
        (bet.amount, bet.bonus, bet.odds) = (2550, 50, Some(245));
        let payload = PayloadWriter::new(currencies).payload(&bet, 35);
        assert_eq!(
            String::from_utf8(payload).unwrap(),
            r#"{"player_id":"player_12","event_id":"evt_z","event_name":"bet_placed","bet_amount":25.50,"bonus_amount":0.50,"currency":"EUR","game_type":"sportsbook","sport":"football","market_type":"match_winner","odds":2.45,"timestamp":"2026-06-07T14:32:15.040Z","transaction_id":"txn_10","country":"MT"}"#
        );
    }
}
