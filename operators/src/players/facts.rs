//! From the ledger's effects to postings and to the progress of missions.

use std::sync::Arc;

use datasets::mission::Measure;
use datasets::time::Date;
use datasets::{Event, Money, Timestamp};
use jiff::tz::TimeZone;

use crate::activity::RowKey;
use crate::changes::Posting;
use crate::ledger::Booking;

/// Calendar days of a zone; remembers the day it saw last, since events come in runs.
#[derive(Debug)]
pub(super) struct Days {
    zone: TimeZone,
    last: Option<(Timestamp, Timestamp, Date)>,
}

impl Days {
    pub(super) fn new(zone: TimeZone) -> Self {
        Days { zone, last: None }
    }

    pub(super) fn date(&mut self, at: Timestamp) -> Date {
        if let Some((start, end, date)) = self.last
            && start <= at
            && at < end
        {
            return date;
        }
        let date = at.date(&self.zone);
        let next = Date::from_days(date.days().saturating_add(1));
        self.last = Some((date.start(&self.zone), next.start(&self.zone), date));
        date
    }
}

/// The posting of a booking of `event`'s player that counts on `date`.
pub(super) fn posting(booking: &Booking, event: &Event<'_>, customer_id: &Arc<str>, date: Date) -> Posting {
    let Booking { is_bet, amount, bonus, market } = booking;
    let key = RowKey::new(event, customer_id, date, market);
    Posting { group: event.key_group(), key, is_bet: *is_bet, amount: *amount, bonus: *bonus }
}

/// What an event adds to a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// This much.
    Of(Money),
    /// Nothing: the field is absent, or it weighs nothing.
    Absent,
    /// An amount in another currency, without a rate. Never 1:1 (DOMAIN §4).
    NoRate,
}

/// The value of a qualifying event for `measure`: first in its currency, then weighted, each rounded to 8 places.
pub(super) fn value(event: &Event<'_>, measure: &Measure) -> Value {
    let Some(amount) = measure.contribution(event) else { return Value::Absent };
    let (currency, weights) = match measure {
        Measure::Sum { currency, weights, .. } => (currency, weights.as_ref()),
        Measure::Max { currency, .. } => (currency, None),
        Measure::Count | Measure::Run | Measure::Streak(_) | Measure::Distinct(_) => return Value::Of(amount),
    };
    let weight = weights.map(|weights| weights.of(event));
    if weight.is_some_and(Money::is_zero) {
        return Value::Absent;
    }
    let is_foreign = currency.as_ref().is_some_and(|currency| currency.as_ref() != event.currency());
    let converted =
        if is_foreign { event.exchange_rate().and_then(|rate| product(amount, rate)) } else { Some(amount) };
    let weighted = match weight {
        Some(weight) => converted.and_then(|converted| product(converted, weight)),
        None => converted,
    };
    weighted.map_or(Value::NoRate, Value::Of)
}

/// A product beyond the range of money is as good as no rate: held, and seen by people.
fn product(amount: Money, by: Money) -> Option<Money> {
    amount.checked_mul(by).filter(|product| product.raw().abs() < Money::LIMIT)
}

/// Stable over (pipeline, player, mission, window, occurrence), on any machine and in any release.
pub(super) fn completion_id(pipeline: &str, player: &str, mission: &str, window: Timestamp, occurrence: u32) -> String {
    /// Fixed for ever: a version 5 UUID is the SHA-1 of a namespace and a name.
    const NAMESPACE: uuid::Uuid = uuid::Uuid::from_u128(0x7175_6573_746c_696e_655f_636f_6d70_6c65);
    // Lengths keep the names apart, whatever characters they have.
    let [p, q, r] = [pipeline, player, mission].map(str::len);
    let name = format!("{p}:{pipeline}{q}:{player}{r}:{mission}{}:{occurrence}", window.micros());
    uuid::Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string()
}
