//! One record as DOMAIN §2 reads it.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::number::{instant, units};

/// A record as it was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Partition of the events topic.
    pub partition: i32,
    /// Its place in the partition.
    pub offset: i64,
    /// The record's timestamp, µs.
    pub ingest: i64,
    /// The player.
    pub key: String,
    /// The payload.
    pub value: Vec<u8>,
}

/// Event time, partition, offset: the order in which events apply.
pub type Order = (i64, i32, i64);

/// An event that nothing is wrong with.
pub struct Play<'a> {
    /// Its place in the order.
    pub order: Order,
    /// `event_name`.
    pub name: &'a str,
    /// `transaction_id`, or else `event_id`.
    pub transaction: &'a str,
    /// In 10^-8; of money events.
    pub amount: Option<i128>,
    /// The part of it that is bonus money.
    pub bonus: i128,
    /// Everything that the payload has.
    pub fields: Fields<'a>,
}

/// The members of a payload, as they were written.
pub struct Fields<'a>(BTreeMap<&'a str, &'a RawValue>);

/// Why a record is refused, and whose it is if that can be read.
pub struct Refused<'a> {
    /// As in dead letters.
    pub reason: &'static str,
    /// The player.
    pub player: Option<&'a str>,
}

impl<'a> Fields<'a> {
    /// A string; generated ones have no escapes.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        let inside = self.0.get(name)?.get().strip_prefix('"')?.strip_suffix('"')?;
        assert!(!inside.contains('\\'), "{inside}");
        Some(inside).filter(|text| !text.is_empty())
    }

    /// A number's digits.
    pub fn digits(&self, name: &str) -> Option<&'a str> {
        self.0
            .get(name)
            .map(|value| value.get())
            .filter(|text| text.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']))
    }

    /// What was written, quotes included.
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|value| value.get())
    }

    /// Everything but the id of the message itself: what a resend has in common with its original.
    pub fn content(&self) -> String {
        let members = self.0.iter().filter(|(name, _)| **name != "event_id");
        members.map(|(name, value)| format!("{name}={value};")).collect()
    }

    fn is_absent(&self, name: &str) -> bool {
        self.0.get(name).is_none_or(|value| matches!(value.get(), "null" | "\"\""))
    }
}

/// Where an event keeps its amount.
fn amount_field(name: &str) -> Option<&'static str> {
    match name {
        "bet_placed" => Some("bet_amount"),
        "win" => Some("win_amount"),
        "bet_settled" => Some("payout"),
        "deposit" => Some("deposit_amount"),
        "withdrawal" | "bonus_granted" => Some("amount"),
        _ => None,
    }
}

/// Reads a record, or says why it is refused.
pub fn read<'a>(sent: &'a Sent, currencies: &[String]) -> Result<Play<'a>, Refused<'a>> {
    let refused = |reason, player| Refused { reason, player };
    let text = std::str::from_utf8(&sent.value).map_err(|_| refused("invalid_utf8", None))?;
    let fields = serde_json::from_str(text).map_err(|_| refused("not_json", None))?;
    let fields = Fields(fields);
    let player = fields.text("player_id");
    assert_eq!(player, Some(sent.key.as_str()), "{text}");
    let refused = |reason| Err(refused(reason, player));

    let name = fields.text("event_name").expect("generated events have names");
    let Some(time) = fields.text("timestamp").and_then(instant) else { return refused("bad_timestamp") };
    if time > sent.ingest + 300_000_000 {
        return refused("future_timestamp");
    }
    if fields.text("game_id").is_some_and(|id| id.chars().count() > 500) {
        return refused("too_long");
    }
    if fields.text("currency").is_some_and(|code| !currencies.iter().any(|known| known == code)) {
        return refused("unknown_currency");
    }
    let mut amount = None;
    if let Some(field) = amount_field(name) {
        if fields.is_absent(field) {
            return refused("missing_field");
        }
        let Some(digits) = fields.digits(field) else { return refused("wrong_type") };
        amount = match units(digits) {
            None => return refused("amount_out_of_range"),
            Some(amount) if amount < 0 => return refused("negative_amount"),
            amount => amount,
        };
    }
    let bonus = fields.digits("bonus_amount").map_or(0, |digits| units(digits).expect("plain amounts"));
    let transaction = fields.text("transaction_id").or(fields.text("event_id")).expect("generated events have ids");
    Ok(Play { order: (time, sent.partition, sent.offset), name, transaction, amount, bonus, fields })
}
