//! From the ledger's effects to postings and to the progress of missions.

use std::sync::Arc;

use datasets::mission::Measure;
use datasets::rates::RateBook;
use datasets::time::Date;
use datasets::{Event, Money, Timestamp};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

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
    let Booking { side, amount, bonus, market } = booking;
    let key = RowKey::new(event, customer_id, date, market);
    Posting { group: event.key_group(), key, side: *side, amount: *amount, bonus: *bonus }
}

/// What an event adds to a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// This much.
    Of(Money),
    /// Nothing: the field is absent, or it weighs nothing.
    Absent,
    /// An amount that no rate converts, as far as is known. Never 1:1 (DOMAIN §4).
    NoRate(Foreign),
}

/// An amount on its way into a measure's currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Foreign {
    amount: Money,
    /// Absent where everything counts in full.
    weight: Option<Money>,
}

impl Foreign {
    /// First converted, then weighted, each rounded to 8 places. A product beyond the range of money is as good as no
    /// rate: held, and seen by people.
    pub(super) fn convert(self, rate: Money) -> Option<Money> {
        self.weigh(product(self.amount, rate)?)
    }

    fn weigh(self, converted: Money) -> Option<Money> {
        self.weight.map_or(Some(converted), |weight| product(converted, weight))
    }
}

/// What there is of a qualifying event for `measure`, before any conversion; `None`: the field is absent, or it weighs nothing.
pub(super) fn measured(event: &Event<'_>, measure: &Measure) -> Option<Foreign> {
    let amount = measure.contribution(event)?;
    let weight = match measure {
        Measure::Sum { weights, .. } => weights.as_ref().map(|weights| weights.of(event)),
        _ => None,
    };
    (!weight.is_some_and(Money::is_zero)).then_some(Foreign { amount, weight })
}

/// The value for `measure` of a qualifying event that counts at `time`: by the event's own rate, else by those that are
/// known.
pub(super) fn value(event: &Event<'_>, measure: &Measure, rates: &RateBook, time: Timestamp) -> Value {
    let Some(foreign) = measured(event, measure) else { return Value::Absent };
    let value = match measure.currency().filter(|currency| *currency != event.currency()) {
        None => foreign.weigh(foreign.amount),
        Some(currency) => {
            let known = || rates.find(event.currency(), currency, time).map(|rate| rate.rate);
            event.exchange_rate().or_else(known).and_then(|rate| foreign.convert(rate))
        }
    };
    value.map_or(Value::NoRate(foreign), Value::Of)
}

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
