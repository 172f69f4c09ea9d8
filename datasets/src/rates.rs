//! Rates of exchange, as `rate` events tell them (DOMAIN §4): which are known, and which one converts an amount.
//!
//! Rates are of no player. Every worker keeps the same book, so what converts depends on the log of epochs alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Coordinates, Event, EventName, Identity, Money, TextField, Timestamp};

/// A `rate` event: 1 `base` = `rate` `quote`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateRecord {
    /// Where it came from.
    pub at: Coordinates,
    /// From when on it holds.
    pub event_time: Timestamp,
    /// When the broker took it.
    pub ingest_time: Timestamp,
    /// Its key (DOMAIN §2).
    pub identity: Identity,
    /// Fingerprint of its content.
    pub content: u64,
    /// The currency that it converts.
    pub base: String,
    /// The currency that it converts to.
    pub quote: String,
    /// How much of it, above 0.
    pub rate: Money,
}

impl RateRecord {
    /// `event` as a rate, if it is one.
    pub fn of(event: &Event<'_>) -> Option<Self> {
        if event.name != EventName::Rate {
            return None;
        }
        Some(RateRecord {
            at: event.at,
            event_time: event.event_time,
            ingest_time: event.ingest_time,
            identity: event.identity,
            content: event.content,
            base: event.text(TextField::Base)?.to_owned(),
            quote: event.text(TextField::Quote)?.to_owned(),
            rate: event.exchange_rate()?,
        })
    }
}

/// A rate of a pair of currencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// From when on it holds.
    pub event_time: Timestamp,
    /// When the broker took it.
    pub ingest_time: Timestamp,
    /// The record: of two of one time the later one holds.
    pub at: Coordinates,
    /// 1 of the one is so much of the other.
    pub rate: Money,
}

/// What identity says of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateIdentity {
    /// It is to be taken.
    New,
    /// Same key, same content.
    Duplicate,
    /// Same key, other content.
    Conflict,
}

/// What an epoch changed of a [`RateBook`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateChanges {
    /// Rates that were taken, in order.
    pub taken: Vec<RateRecord>,
    /// Then so much was forgotten.
    pub forgotten: Option<Forgotten>,
}

/// What a [`RateBook`] forgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Identities of rates that were ingested before.
    pub identities: Timestamp,
    /// Rates behind which a newer one held then already.
    pub rates: Timestamp,
}

/// All rates that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct RateBook {
    /// By base, then quote. None is empty.
    pairs: BTreeMap<String, BTreeMap<String, Pair>>,
    /// When each was ingested, and its content.
    identities: BTreeMap<Identity, (Timestamp, u64)>,
}

/// The rates of one pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Pair {
    /// In the order of their times, then of records.
    rates: Vec<Rate>,
    /// The first that arrived; absent once older ones than those that are left were forgotten.
    first: Option<Rate>,
}

impl RateBook {
    /// No rate is known.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty() && self.identities.is_empty()
    }

    /// The rate by which an amount of `base` of `time` becomes one of `quote`: the newest one at that time or before it,
    /// else the first that arrived. A rate says nothing of the other direction, nor of a third currency.
    ///
    /// Where older ones are forgotten, what lies before all that are left converts by the oldest of those.
    pub fn find(&self, base: &str, quote: &str, time: Timestamp) -> Option<&Rate> {
        let Pair { rates, first } = self.pairs.get(base)?.get(quote)?;
        let behind = rates.partition_point(|rate| rate.event_time <= time);
        match behind.checked_sub(1) {
            Some(newest) => rates.get(newest),
            None => first.as_ref().or(rates.first()),
        }
    }

    /// Settles the identity of a rate, which keys are known for so many microseconds. Call in order of coordinates.
    pub fn identify(&self, record: &RateRecord, retention: i64) -> RateIdentity {
        match self.identities.get(&record.identity) {
            Some((known, content)) if record.ingest_time.micros_since(*known) <= retention => {
                if *content == record.content { RateIdentity::Duplicate } else { RateIdentity::Conflict }
            }
            _ => RateIdentity::New,
        }
    }

    /// Takes a rate that is new. Answers whether it is the first of its pair.
    pub fn take(&mut self, record: &RateRecord) -> bool {
        let RateRecord { at, event_time, ingest_time, identity, content, base, quote, rate } = record;
        self.identities.insert(*identity, (*ingest_time, *content));
        let rate = Rate { event_time: *event_time, ingest_time: *ingest_time, at: *at, rate: *rate };
        let pair = self.pairs.entry(base.clone()).or_default().entry(quote.clone()).or_default();
        let is_first = pair.rates.is_empty();
        if is_first {
            pair.first = Some(rate);
        }
        let place = pair.rates.partition_point(|other| (other.event_time, other.at) <= (rate.event_time, rate.at));
        pair.rates.insert(place, rate);
        is_first
    }

    /// Forgets. The newest rate of a pair stays for ever.
    pub fn forget(&mut self, Forgotten { identities, rates }: Forgotten) {
        self.identities.retain(|_, (ingest_time, _)| *ingest_time >= identities);
        for pair in self.pairs.values_mut().flat_map(BTreeMap::values_mut) {
            let holding = pair.rates.partition_point(|rate| rate.event_time <= rates).saturating_sub(1);
            if holding > 0 {
                pair.rates.drain(..holding);
                pair.first = None;
            }
        }
    }

    /// Does what an epoch did to the book that told these `changes`.
    pub fn follow(&mut self, changes: &RateChanges) {
        for record in &changes.taken {
            self.take(record);
        }
        if let Some(forgotten) = changes.forgotten {
            self.forget(forgotten);
        }
    }
}

/// A rate in numbers: time, ingest time, record, rate.
type WrittenRate = (i64, i64, Coordinates, Money);

/// A book as it is written: JSON has texts alone for keys, and its times end with the year 9999.
#[derive(Clone, Serialize, Deserialize)]
struct Written {
    pairs: Vec<(String, String, Vec<WrittenRate>, Option<WrittenRate>)>,
    identities: Vec<(Identity, i64, u64)>,
}

impl From<Rate> for WrittenRate {
    fn from(Rate { event_time, ingest_time, at, rate }: Rate) -> Self {
        (event_time.micros(), ingest_time.micros(), at, rate)
    }
}

impl From<WrittenRate> for Rate {
    fn from((event_time, ingest_time, at, rate): WrittenRate) -> Self {
        let [event_time, ingest_time] = [event_time, ingest_time].map(Timestamp::from_micros);
        Rate { event_time, ingest_time, at, rate }
    }
}

impl From<RateBook> for Written {
    fn from(RateBook { pairs, identities }: RateBook) -> Self {
        let pairs = pairs.into_iter().flat_map(|(base, of_base)| {
            of_base.into_iter().map(move |(quote, Pair { rates, first })| {
                let rates = rates.into_iter().map(WrittenRate::from).collect();
                (base.clone(), quote, rates, first.map(WrittenRate::from))
            })
        });
        let identities = identities.into_iter().map(|(identity, (time, content))| (identity, time.micros(), content));
        Written { pairs: pairs.collect(), identities: identities.collect() }
    }
}

impl From<Written> for RateBook {
    fn from(Written { pairs, identities }: Written) -> Self {
        let mut book = RateBook::default();
        for (base, quote, rates, first) in pairs {
            let rates = rates.into_iter().map(Rate::from).collect();
            let pair = Pair { rates, first: first.map(Rate::from) };
            book.pairs.entry(base).or_default().insert(quote, pair);
        }
        let identities = identities.into_iter();
        book.identities =
            identities.map(|(identity, time, content)| (identity, (Timestamp::from_micros(time), content))).collect();
        book
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TopicId;

    fn record(base: &str, quote: &str, rate: &str, time: i64, offset: i64) -> RateRecord {
        let time = Timestamp::from_micros(time);
        let mut identity = [0; 16];
        identity[0] = u8::try_from(offset).unwrap();
        RateRecord {
            at: Coordinates { topic: TopicId(0), partition: 0, offset, index: 0 },
            event_time: time,
            ingest_time: time,
            identity: Identity::from_bytes(identity),
            content: 1,
            base: base.to_owned(),
            quote: quote.to_owned(),
            rate: rate.parse().unwrap(),
        }
    }

    fn found(book: &RateBook, time: i64) -> Option<String> {
        book.find("USD", "EUR", Timestamp::from_micros(time)).map(|rate| rate.rate.to_string())
    }

    fn book() -> RateBook {
        let mut book = RateBook::default();
        let records = [("0.90", 20, 0), ("0.80", 10, 1), ("0.95", 20, 2), ("0.99", 30, 3)];
        let is_first = records.map(|(rate, time, offset)| book.take(&record("USD", "EUR", rate, time, offset)));
        assert_eq!(is_first, [true, false, false, false]);
        book
    }

    #[test]
    fn the_newest_at_or_before_converts_else_the_first_that_came() {
        let book = book();
        let rates = [9, 10, 19, 20, 29, 30, 99].map(|time| found(&book, time).unwrap());
        assert_eq!(rates, ["0.90", "0.80", "0.80", "0.95", "0.95", "0.99", "0.99"]);
    }

    #[test]
    fn nothing_is_inverted_or_chained() {
        let mut book = book();
        book.take(&record("EUR", "GBP", "0.85", 10, 4));
        let time = Timestamp::from_micros(50);
        assert_eq!([("EUR", "USD"), ("USD", "GBP")].map(|(base, quote)| book.find(base, quote, time)), [None, None]);
    }

    #[test]
    fn what_is_forgotten_leaves_the_rate_that_held_then() {
        let mut known = book();
        let until = |time| Forgotten { identities: Timestamp::MIN, rates: Timestamp::from_micros(time) };
        known.forget(until(9));
        assert_eq!(known, book());
        known.forget(until(25));
        // The first that came would be an older one's neighbour by chance alone.
        assert_eq!([5, 10, 20, 30].map(|time| found(&known, time).unwrap()), ["0.95", "0.95", "0.95", "0.99"]);
        known.forget(until(1000));
        assert_eq!(found(&known, 5).unwrap(), "0.99");
    }

    #[test]
    fn an_identity_is_known_for_its_retention() {
        let mut book = book();
        let again = |time, content| RateRecord { content, ..record("USD", "EUR", "0.90", time, 0) };
        let outcomes = [(30, 1), (30, 2), (31, 1)].map(|(time, content)| book.identify(&again(time, content), 10));
        assert_eq!(outcomes, [RateIdentity::Duplicate, RateIdentity::Conflict, RateIdentity::New]);
        book.forget(Forgotten { identities: Timestamp::from_micros(21), rates: Timestamp::MIN });
        assert_eq!(book.identify(&again(22, 2), 10), RateIdentity::New);
    }

    #[test]
    fn it_is_written_and_follows() {
        let mut known = book();
        let changes = RateChanges {
            taken: vec![record("GBP", "EUR", "1.17", 40, 9)],
            forgotten: Some(Forgotten { identities: Timestamp::from_micros(30), rates: Timestamp::from_micros(25) }),
        };
        known.follow(&changes);
        let json = serde_json::to_string(&known).unwrap();
        let read: RateBook = serde_json::from_str(&json).unwrap();
        assert_eq!(read, known, "{json}");
        assert_eq!(read.find("GBP", "EUR", Timestamp::MIN).unwrap().rate.to_string(), "1.17");
    }
}
