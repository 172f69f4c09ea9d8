//! From payloads of any shape to canonical events (DOMAIN §2).
//!
//! The operator says where things are ([`MappingConfig`]), and [`Mapper::decode`] turns each
//! [`Record`] into events of an [`EventBatch`](crate::EventBatch), or into a [`Refusal`] that says why not.
//!
//! # Policies
//! - A field without a configured place is looked for at the top of the payload: under its own name
//!   first, else under its aliases. Of the aliases of `amount`, the one that fits the event goes
//!   first: a settlement with `stake` and `payout` counts its payout. A configured place stands alone.
//! - `null` and `""` are absent. Of a name that an object has twice, the last one counts.
//! - A text field also takes a whole number, by its digits; `granted` also takes `"true"` and `"false"`.
//! - The items of an envelope are the events: pointers lead into the item. What all items share (event
//!   name, player, timestamp, currency, rate, game, version, channel) may stand in the envelope, at the
//!   same pointer. An empty envelope has no events.
//! - `jackpot_contribution` belongs to a bet, `jackpot_win` to a win or settlement. On other events they are attributes.
//! - `mission_id`, `segment`, `until`, `granted`, `base`, `quote` and `reference_family` are checked on the
//!   events that they belong to. On others they are attributes like any other.
//! - A fault of one item refuses that item; a record that is no JSON is refused whole, at index 0.
//! - Redaction happens before anything leaves: history, dead letters, the details of refusals. A field
//!   that is both mapped and redacted is still mapped. A record that does not parse cannot be redacted:
//!   its text is withheld unless [`DecodeRules::raw_dead_letters`] allows.
//! - A dead letter shows the whole record; of an envelope over 16 KiB only the refused item, so that one
//!   bad batch does not multiply.

mod check;
mod compile;
mod config;
mod instant;
mod json;
mod names;
mod record;
mod redact;
mod slot;

use std::borrow::Cow;

use check::{Checked, Reader, Refused};
use compile::Outside;
pub use compile::{DecodeRules, Mapper};
pub use config::{AmountPlace, ConfigError, MappingConfig, TimePlace};
use json::{Kind, Value};
use names::{Habit, Pointer};
pub use record::{DecodeSink, Headers, Record, Refusal};
use slot::Found;

use crate::hash::player_hash;
use crate::{EventRow, Reason, TextField};

/// Dead letters of an envelope up to this many bytes show all of it.
const SHOWN_ENVELOPE: usize = 16 * 1024;

impl Mapper {
    /// Decodes a record: one event or one refusal, or one for each item of an envelope.
    pub fn decode<S: DecodeSink>(&mut self, record: &Record<'_>, sink: &mut S) {
        let mut habit = std::mem::take(&mut self.habit);
        // All values of a record are a kilobyte: it is filled where it lies.
        let mut found = Found::new();
        match self.values_outside(record, &mut found) {
            Ok(()) => self.decode_value(record, &mut habit, &mut found, sink),
            Err(refused) => sink.refuse(self.whole_refusal(record, refused, &Found::new())),
        }
        self.habit = habit;
    }

    fn decode_value<'a, S: DecodeSink>(
        &'a self,
        record: &Record<'a>,
        habit: &mut Habit,
        found: &mut Found<'a>,
        sink: &mut S,
    ) {
        let outside = self.records.as_ref().map(|_| *found);
        let value = match self.scan(record, habit, found) {
            Ok(value) => value,
            Err(refused) => return sink.refuse(self.whole_refusal(record, refused, found)),
        };
        let (Some(pointer), Some(outside)) = (&self.records, outside) else {
            return self.decode_event(record, 0, value, found, sink);
        };
        match envelope_items(pointer, value) {
            Err(refused) => sink.refuse(self.whole_refusal(record, refused, found)),
            Ok(items) => {
                let mut index = 0;
                json::items(items, |item| {
                    let mut own = outside;
                    self.names.visit_all(item, &mut own);
                    own.inherit(found);
                    self.decode_event(record, index, item, &own, sink);
                    index += 1;
                });
            }
        }
    }

    /// Checks the record's text and finds the values in it.
    fn scan<'a>(&self, record: &Record<'a>, habit: &mut Habit, found: &mut Found<'a>) -> Result<Value<'a>, Refused> {
        let not_json = |detail: String| Refused { reason: Reason::NotJson, detail };
        let bytes = match record.value {
            None => return Err(not_json("the record is a tombstone: it has no value".to_owned())),
            Some([]) => return Err(not_json("the record's value is empty".to_owned())),
            Some(bytes) => bytes,
        };
        let text = simdutf8::compat::from_utf8(bytes).map_err(|error| Refused {
            reason: Reason::InvalidUtf8,
            detail: format!("the record's value is no UTF-8 from byte {} on", error.valid_up_to()),
        })?;
        let value = json::scan_members(text, habit.of(&self.names, found)).map_err(|fault| {
            not_json(format!("the record's value is no JSON: expected {} at byte {}", fault.expected, fault.at))
        })?;
        match value.kind {
            Kind::Object => Ok(value),
            Kind::Array if self.records.as_ref().is_some_and(|pointer| pointer.0.is_empty()) => Ok(value),
            _ => Err(not_json(format!("the record's value is {}, not a JSON object", value.kind_name()))),
        }
    }

    /// The values of the record's key and headers, and the constants.
    fn values_outside<'a>(&'a self, record: &Record<'a>, found: &mut Found<'a>) -> Result<(), Refused> {
        for (slot, place) in &self.outside {
            let bytes = match place {
                Outside::Constant(text) => Some(text.as_bytes()),
                Outside::Header(name) => record.headers.last(name),
                Outside::Key => record.key,
            };
            let text = std::str::from_utf8(bytes.unwrap_or_default()).map_err(|_| Refused {
                reason: Reason::InvalidUtf8,
                detail: format!("{} ({}) is no UTF-8", slot.name(), self.places.describe(*slot)),
            })?;
            found.set(*slot, Value::plain(text));
        }
        Ok(())
    }

    fn decode_event<'a, S: DecodeSink>(
        &'a self,
        record: &Record<'a>,
        index: u32,
        payload: Value<'a>,
        found: &Found<'a>,
        sink: &mut S,
    ) {
        let reader = Reader { mapper: self, found };
        let checked = if payload.kind == Kind::Object {
            reader.check(record.timestamp)
        } else {
            let detail = format!("the item is {}, not a JSON object", payload.kind_name());
            Err(Refused { reason: Reason::WrongType, detail })
        };
        match checked {
            Ok(checked) => {
                let payload = if found.redacted {
                    Cow::Owned(redact::without(payload, &self.hidden))
                } else {
                    Cow::Borrowed(payload.raw)
                };
                self.push(record, index, &checked, &payload, sink);
            }
            Err(refused) => {
                let raw = self.shown_item(record, payload);
                sink.refuse(self.refusal(record, index, refused, found, raw));
            }
        }
    }

    fn push<S: DecodeSink>(&self, record: &Record<'_>, index: u32, event: &Checked<'_>, payload: &str, sink: &mut S) {
        let ingest_time = record.timestamp.unwrap_or(event.event_time);
        let mut row = EventRow::new(record.coordinates(index), self.source, event.event_time, ingest_time);
        row.name = event.name;
        row.amount = event.amount;
        row.bonus_amount = event.bonus_amount;
        row.jackpot = event.jackpot;
        row.exchange_rate = event.exchange_rate;
        row.odds = event.odds;
        row.until = event.until;
        row.granted = event.granted;
        let texts = event.texts.iter().map(|(field, text)| (*field, text.as_ref()));
        let texts = texts.chain([(TextField::PlayerId, event.player_id.as_ref())]);
        sink.batch(player_hash(&event.player_id)).push(&row, texts, payload);
    }

    #[cold]
    fn whole_refusal(&self, record: &Record<'_>, refused: Refused, found: &Found<'_>) -> Refusal {
        let raw = self.shown_record(record);
        let mut refusal = self.refusal(record, 0, refused, found, raw);
        if refusal.reason == Reason::NotJson {
            // What was found before the text broke off is not known to be the player.
            refusal.player_id = None;
        }
        let bytes = record.value.unwrap_or_default();
        if self.rules.raw_dead_letters && std::str::from_utf8(bytes).is_err() {
            refusal.raw_bytes = Some(bytes.to_owned());
        }
        refusal
    }

    #[cold]
    fn refusal<'a>(
        &'a self,
        record: &Record<'_>,
        index: u32,
        refused: Refused,
        found: &Found<'a>,
        raw: Option<String>,
    ) -> Refusal {
        let reader = Reader { mapper: self, found };
        Refusal {
            reason: refused.reason,
            detail: refused.detail,
            at: record.coordinates(index),
            ingest_time: record.timestamp.or_else(|| reader.readable_time()),
            player_id: reader.player_id().ok().flatten().map(Cow::into_owned),
            raw,
            raw_bytes: None,
        }
    }

    #[cold]
    fn shown_item(&self, record: &Record<'_>, item: Value<'_>) -> Option<String> {
        let is_large = record.value.is_some_and(|bytes| bytes.len() > SHOWN_ENVELOPE);
        if self.records.is_some() && is_large {
            return Some(redact::without(item, &self.hidden));
        }
        self.shown_record(record)
    }

    /// The record's text as far as it may be shown.
    #[cold]
    fn shown_record(&self, record: &Record<'_>) -> Option<String> {
        let bytes = record.value.filter(|bytes| !bytes.is_empty())?;
        let text = std::str::from_utf8(bytes).ok()?;
        let unredacted = || self.rules.raw_dead_letters.then(|| text.to_owned());
        let Ok(value) = json::scan(text, |_, _| {}) else { return unredacted() };
        if !self.redacts {
            return Some(text.to_owned());
        }
        match &self.records {
            // Pointers lead into objects: in anything else they would miss what they mean to hide.
            None if value.kind != Kind::Object => unredacted(),
            None => Some(redact::without(value, &self.hidden)),
            Some(pointer) => match envelope_items(pointer, value) {
                Ok(items) => Some(self.redact_envelope(value, items)),
                Err(_) if value.kind != Kind::Object => unredacted(),
                Err(_) => Some(redact::without(value, &self.hidden)),
            },
        }
    }
}

impl Mapper {
    /// The text of an envelope without what is redacted in its items and around them.
    fn redact_envelope(&self, envelope: Value<'_>, items: Value<'_>) -> String {
        let start = items.raw.as_ptr().addr() - envelope.raw.as_ptr().addr();
        let mut text = envelope.raw[..start].to_owned();
        let mut separator = "[";
        json::items(items, |item| {
            text.push_str(separator);
            separator = ",";
            text.push_str(&redact::without(item, &self.hidden));
        });
        text.push_str(if separator == "[" { "[]" } else { "]" });
        text.push_str(&envelope.raw[start + items.raw.len()..]);
        let redacted = json::scan(&text, |_, _| {}).expect("leaving out parts of JSON leaves JSON");
        redact::without(redacted, &self.hidden)
    }
}

/// The array of an envelope.
fn envelope_items<'a>(pointer: &Pointer, envelope: Value<'a>) -> Result<Value<'a>, Refused> {
    let items = pointer.find(envelope);
    match items.kind {
        Kind::Array => Ok(items),
        Kind::Absent | Kind::Null => {
            let detail = format!("records ({pointer}) is absent: the source's records are envelopes");
            Err(Refused { reason: Reason::MissingField, detail })
        }
        _ => {
            let detail = format!("records ({pointer}) is {}, not an array", items.kind_name());
            Err(Refused { reason: Reason::WrongType, detail })
        }
    }
}
