//! `[source.mapping]` as it is written.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::EventName;

/// Where a source's payloads keep the fields of an event (DOMAIN §2).
///
/// A place is a JSON Pointer into the payload (`"/stake/amount"`), `"header:NAME"`, `"key"`, or
/// `"=constant"`. A field that is not given is looked for under its own name and its aliases at the
/// top of the payload; a field that is given is looked for in that place alone. The jackpot's parts have no
/// place but the one that is given.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MappingConfig {
    /// JSON Pointer to the array of an envelope, whose items are the events; `""` if the payload
    /// itself is the array. Absent: the payload is one event.
    pub records: Option<String>,
    /// What happened.
    pub event_name: Option<String>,
    /// The event's own id.
    pub event_id: Option<String>,
    /// The player: a text, or a whole number whose digits are kept.
    pub player_id: Option<String>,
    /// The transaction's id, the same on every retry.
    pub transaction_id: Option<String>,
    /// When it happened; `{ path, zone }` gives a zone to texts that carry none.
    pub timestamp: Option<TimePlace>,
    /// Stake, win, payout …; `{ path, scale }` for minor units.
    pub amount: Option<AmountPlace>,
    /// The part of `amount` that was bonus money. It has a `scale` of its own.
    pub bonus_amount: Option<AmountPlace>,
    /// The part of a bet's `amount` that goes to a jackpot. It has a `scale` of its own, and is read only where this is given.
    pub jackpot_contribution: Option<AmountPlace>,
    /// The part of a win's or settlement's `amount` that a jackpot paid. It has a `scale` of its own, and is read only where this is given.
    pub jackpot_win: Option<AmountPlace>,
    /// ISO 4217 code, or one of `defaults.currencies`.
    pub currency: Option<String>,
    /// 1 unit of the event's currency = this many of the mission's; on a `rate`, 1 base in quote.
    pub exchange_rate: Option<AmountPlace>,
    /// The kind of game.
    pub game_type: Option<String>,
    /// The game.
    pub game_id: Option<String>,
    /// The market of a bet.
    pub market_type: Option<String>,
    /// The sport of a bet.
    pub sport: Option<String>,
    /// Decimal odds.
    pub odds: Option<AmountPlace>,
    /// The transaction that this one reverses or settles.
    pub reference_id: Option<String>,
    /// The family of that transaction: `bet`, `win`, `settlement` …
    pub reference_family: Option<String>,
    /// The status of a deposit or withdrawal, or of a KYC check.
    pub status: Option<String>,
    /// The payload's version.
    pub schema_version: Option<String>,
    /// Where the player was, or the channel of a consent.
    pub channel: Option<String>,
    /// The mission of `opted_in` and `opted_out`.
    pub mission_id: Option<String>,
    /// The segment of `segment_entered` and `segment_left`.
    pub segment: Option<String>,
    /// The end of `self_excluded` and `cooled_off`; its zone is by default the timestamp's.
    pub until: Option<TimePlace>,
    /// The consent of `consent_changed`: true or false.
    pub granted: Option<String>,
    /// The currency that a `rate` converts from.
    pub base: Option<String>,
    /// The currency that a `rate` converts to.
    pub quote: Option<String>,
    /// The source's event names and what they mean. Names that are not here stay as they are.
    pub event_names: BTreeMap<String, String>,
    /// JSON Pointers into the event to what never leaves the process.
    pub redact: Vec<String>,
}

impl MappingConfig {
    /// Events `chargeback` are money that is booked, since something is called so by `event_names`. Elsewhere they are custom events, as they were everywhere
    /// before there were chargebacks.
    pub fn books_chargebacks(&self) -> bool {
        self.event_names.values().any(|name| name == EventName::CHARGEBACK)
    }
}

/// Tells what is configured as releases without jackpots told it where it says nothing of them: by this text a checkpoint knows whether the
/// rules that its state follows from are the same.
impl fmt::Debug for MappingConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MappingConfig {
            records,
            event_name,
            event_id,
            player_id,
            transaction_id,
            timestamp,
            amount,
            bonus_amount,
            jackpot_contribution,
            jackpot_win,
            currency,
            exchange_rate,
            game_type,
            game_id,
            market_type,
            sport,
            odds,
            reference_id,
            reference_family,
            status,
            schema_version,
            channel,
            mission_id,
            segment,
            until,
            granted,
            base,
            quote,
            event_names,
            redact,
        } = self;
        let mut told = f.debug_struct("MappingConfig");
        told.field("records", records);
        told.field("event_name", event_name);
        told.field("event_id", event_id);
        told.field("player_id", player_id);
        told.field("transaction_id", transaction_id);
        told.field("timestamp", timestamp);
        told.field("amount", amount);
        told.field("bonus_amount", bonus_amount);
        if jackpot_contribution.is_some() {
            told.field("jackpot_contribution", jackpot_contribution);
        }
        if jackpot_win.is_some() {
            told.field("jackpot_win", jackpot_win);
        }
        told.field("currency", currency);
        told.field("exchange_rate", exchange_rate);
        told.field("game_type", game_type);
        told.field("game_id", game_id);
        told.field("market_type", market_type);
        told.field("sport", sport);
        told.field("odds", odds);
        told.field("reference_id", reference_id);
        told.field("reference_family", reference_family);
        told.field("status", status);
        told.field("schema_version", schema_version);
        told.field("channel", channel);
        told.field("mission_id", mission_id);
        told.field("segment", segment);
        told.field("until", until);
        told.field("granted", granted);
        told.field("base", base);
        told.field("quote", quote);
        told.field("event_names", event_names);
        told.field("redact", redact);
        told.finish()
    }
}

/// The place of an amount: `"/amount"` or `{ path = "/amount", scale = 2 }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmountPlace {
    /// The place.
    pub path: String,
    /// The value counts units of 10^-`scale`: 2 for cents.
    pub scale: u32,
}

/// The place of an instant: `"/time"` or `{ path = "/time", zone = "Europe/Malta" }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimePlace {
    /// The place.
    pub path: String,
    /// IANA name of the zone of texts that carry no offset.
    pub zone: Option<String>,
}

impl<'de> Deserialize<'de> for AmountPlace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            path: String,
            #[serde(default)]
            scale: u32,
        }
        match deserializer.deserialize_any(PlaceVisitor::<Table>::default())? {
            Written::Path(path) => Ok(AmountPlace { path, scale: 0 }),
            Written::Table(Table { path, scale }) => Ok(AmountPlace { path, scale }),
        }
    }
}

impl<'de> Deserialize<'de> for TimePlace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            path: String,
            zone: Option<String>,
        }
        match deserializer.deserialize_any(PlaceVisitor::<Table>::default())? {
            Written::Path(path) => Ok(TimePlace { path, zone: None }),
            Written::Table(Table { path, zone }) => Ok(TimePlace { path, zone }),
        }
    }
}

enum Written<T> {
    Path(String),
    Table(T),
}

/// Takes a string or a table. An untagged enum would, but says of every mistake that nothing matched.
struct PlaceVisitor<T>(std::marker::PhantomData<T>);

impl<T> Default for PlaceVisitor<T> {
    fn default() -> Self {
        PlaceVisitor(std::marker::PhantomData)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for PlaceVisitor<T> {
    type Value = Written<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a place such as \"/amount\", or a table with `path`")
    }

    fn visit_str<E>(self, path: &str) -> Result<Self::Value, E> {
        Ok(Written::Path(path.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(table)).map(Written::Table)
    }
}

/// One mistake in a mapping.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct ConfigError {
    /// The key inside of `[source.mapping]`, such as `amount.scale` or `redact[1]`.
    pub path: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}
