//! The names that a condition knows, and their types.

use std::borrow::Cow;

use super::attribute::Attribute;
use super::value::{Scalar, Type};
use crate::{Event, Money, TextField};

/// Where a text that the index can look up comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TextSource {
    /// A canonical field.
    Field(TextField),
    /// A field of the payload.
    Attribute(Attribute),
}

impl TextSource {
    /// The text in `event`, if it is there and is a text.
    pub fn text<'a>(&self, event: &Event<'a>) -> Option<Cow<'a, str>> {
        match self {
            TextSource::Field(field) => event.text(*field).map(Cow::Borrowed),
            TextSource::Attribute(attribute) => match attribute.scalar(event)? {
                Scalar::Text(text) => Some(text),
                _ => None,
            },
        }
    }
}

/// What a name in a condition stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Field {
    Text(TextField),
    Number(NumberField),
    Time(TimeField),
    /// `granted` of a `consent_changed`.
    Granted,
    Attribute(Attribute),
}

/// The canonical fields that are exact decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NumberField {
    Amount,
    BonusAmount,
    ExchangeRate,
    Odds,
}

/// The canonical fields that are instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TimeField {
    EventTime,
    Until,
}

/// Canonical names first, then the default aliases of DOMAIN §2.
const NAMES: &[(&str, Field)] = &[
    ("event_name", Field::Text(TextField::EventName)),
    ("player_id", Field::Text(TextField::PlayerId)),
    ("transaction_id", Field::Text(TextField::TransactionId)),
    ("event_id", Field::Text(TextField::EventId)),
    ("currency", Field::Text(TextField::Currency)),
    ("game_type", Field::Text(TextField::GameType)),
    ("game_id", Field::Text(TextField::GameId)),
    ("market_type", Field::Text(TextField::MarketType)),
    ("sport", Field::Text(TextField::Sport)),
    ("reference_id", Field::Text(TextField::ReferenceId)),
    ("reference_family", Field::Text(TextField::ReferenceFamily)),
    ("status", Field::Text(TextField::Status)),
    ("schema_version", Field::Text(TextField::SchemaVersion)),
    ("channel", Field::Text(TextField::Channel)),
    ("mission_id", Field::Text(TextField::MissionId)),
    ("segment", Field::Text(TextField::Segment)),
    ("base", Field::Text(TextField::Base)),
    ("quote", Field::Text(TextField::Quote)),
    ("amount", Field::Number(NumberField::Amount)),
    ("bonus_amount", Field::Number(NumberField::BonusAmount)),
    ("exchange_rate", Field::Number(NumberField::ExchangeRate)),
    ("odds", Field::Number(NumberField::Odds)),
    ("event_time", Field::Time(TimeField::EventTime)),
    ("until", Field::Time(TimeField::Until)),
    ("granted", Field::Granted),
    ("bet_amount", Field::Number(NumberField::Amount)),
    ("win_amount", Field::Number(NumberField::Amount)),
    ("stake", Field::Number(NumberField::Amount)),
    ("payout", Field::Number(NumberField::Amount)),
    ("deposit_amount", Field::Number(NumberField::Amount)),
    ("user_id", Field::Text(TextField::PlayerId)),
    ("customer_id", Field::Text(TextField::PlayerId)),
    ("timestamp", Field::Time(TimeField::EventTime)),
    ("ts", Field::Time(TimeField::EventTime)),
    ("event_timestamp", Field::Time(TimeField::EventTime)),
];

/// The canonical name behind a default alias of an event's name (DOMAIN §2), else the name itself.
pub(crate) fn canonical_event_name(name: &str) -> &str {
    if name == "bet_won" { "win" } else { name }
}

impl Field {
    /// What `names`, joined by dots, stand for. Any name that is not known is an attribute.
    ///
    /// # Errors
    /// A message, for what exists but must not decide what counts.
    pub(crate) fn named(names: &[&str]) -> Result<Field, String> {
        let [name] = names else { return Ok(Field::Attribute(Attribute::new(names.iter().copied()))) };
        match *name {
            "ingest_time" | "source" => {
                Err(format!("`{name}` does not decide what counts (use `attributes.{name}` for a payload's own field)"))
            }
            name => Ok(NAMES
                .iter()
                .find(|(known, _)| *known == name)
                .map_or_else(|| Field::Attribute(Attribute::new([name])), |(_, field)| field.clone())),
        }
    }

    pub(super) fn type_of(&self) -> Type {
        match self {
            Field::Text(_) => Type::Text,
            Field::Number(_) => Type::Number,
            Field::Time(_) => Type::Time,
            Field::Granted => Type::Bool,
            Field::Attribute(_) => Type::Dynamic,
        }
    }

    /// The event has the field.
    pub(super) fn is_present(&self, event: &Event<'_>) -> bool {
        match self {
            Field::Attribute(attribute) => attribute.is_present(event),
            field => field.value(event).is_some(),
        }
    }

    /// The field's value in `event`, if it is there.
    pub(super) fn value<'a>(&self, event: &Event<'a>) -> Option<Scalar<'a>> {
        match self {
            Field::Text(field) => event.text(*field).map(|text| Scalar::Text(Cow::Borrowed(text))),
            Field::Number(field) => field.value(event).map(|amount| Scalar::Number(amount.into())),
            Field::Time(TimeField::EventTime) => Some(Scalar::Time(event.event_time)),
            Field::Time(TimeField::Until) => event.until().map(Scalar::Time),
            Field::Granted => event.granted().map(Scalar::Bool),
            Field::Attribute(attribute) => attribute.scalar(event),
        }
    }
}

impl NumberField {
    /// The field's value in `event`, if it is there.
    pub(crate) fn value(self, event: &Event<'_>) -> Option<Money> {
        match self {
            NumberField::Amount => event.amount(),
            NumberField::BonusAmount => Some(event.bonus_amount()),
            NumberField::ExchangeRate => event.exchange_rate(),
            NumberField::Odds => event.odds(),
        }
    }
}
