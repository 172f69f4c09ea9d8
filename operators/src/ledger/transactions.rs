//! The transactions of a key group, by key.
//!
//! Nearly all are one event that nothing has happened to since. Those take 80 bytes with their key; the
//! first thing that happens to one turns it into a [`Transaction`], which means the same.

use std::sync::Arc;

use datasets::{Coordinates, Event, Money, PackedCoordinates, Timestamp};
use serde::{Deserialize, Serialize};

use super::transaction::{Assertion, Booking, LifeCycle, Market, Transaction, TransactionKey, Version, content};
use super::{Admission, Effect, EffectKind, FastMap};

/// Transactions by key; each key is in one of the maps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Transactions {
    plain: FastMap<TransactionKey, Plain>,
    full: FastMap<TransactionKey, Transaction>,
}

/// A transaction of a single version that nobody has reversed and that reverses nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Plain {
    pub(super) ingest_time: Timestamp,
    event_time: Timestamp,
    at: PackedCoordinates,
    content: u64,
    amount: i64,
    bonus: i64,
    market: Option<Arc<Market>>,
    is_bet: bool,
    is_applied: bool,
}

impl Plain {
    /// `event` as a transaction, not applied yet; `None` if a part is too large.
    pub(super) fn new(event: &Event<'_>, booking: Option<&Booking>) -> Option<Self> {
        let money = |money: Option<Money>| i64::try_from(money.unwrap_or_default().raw()).ok();
        Some(Plain {
            ingest_time: event.ingest_time,
            event_time: event.event_time,
            at: PackedCoordinates::pack(event.at)?,
            content: content(event),
            amount: money(booking.map(|booking| booking.amount))?,
            bonus: money(booking.map(|booking| booking.bonus))?,
            market: booking.map(|booking| booking.market.clone()),
            is_bet: booking.is_some_and(|booking| booking.is_bet),
            is_applied: false,
        })
    }

    /// Identity of one more event under the key.
    pub(super) fn compare(&self, event: &Event<'_>) -> Admission {
        if self.content == content(event) { Admission::Duplicate } else { Admission::Conflict }
    }

    fn booking(&self) -> Option<Booking> {
        let money = |raw| Money::from_raw(i128::from(raw));
        let market = self.market.clone()?;
        Some(Booking { is_bet: self.is_bet, amount: money(self.amount), bonus: money(self.bonus), market })
    }

    /// What being applied asserts.
    pub(super) fn effect(&self, at: Coordinates) -> Effect {
        let kind = EffectKind::Enter { live: true, event: None };
        Effect { time: self.event_time, at, booking: self.booking(), kind }
    }

    fn into_full(self) -> Transaction {
        let at = self.at.unpack();
        let time = self.event_time;
        let booking = self.booking();
        let applied = self.is_applied;
        let version = Version { order: (time, at), content: self.content, applied, booking, moving: None };
        Transaction {
            asserted: applied.then_some(Assertion { time, at }),
            ..Transaction::new(LifeCycle::Single, self.ingest_time, version)
        }
    }
}

impl Transactions {
    /// The transaction of `key`, if nothing has happened to it yet.
    pub(super) fn plain(&self, key: TransactionKey) -> Option<&Plain> {
        self.plain.get(&key)
    }

    /// Marks the transaction of `key` applied if it is a plain one that came from `at`.
    pub(super) fn apply_plain(&mut self, key: TransactionKey, at: Coordinates) -> Option<&Plain> {
        let plain = self.plain.get_mut(&key).filter(|plain| plain.at.unpack() == at)?;
        plain.is_applied = true;
        Some(plain)
    }

    /// The transaction of `key`, if something has happened to it.
    pub(super) fn full(&self, key: TransactionKey) -> Option<&Transaction> {
        self.full.get(&key)
    }

    /// The transaction of `key`, to which something happens.
    pub(super) fn get_mut(&mut self, key: TransactionKey) -> Option<&mut Transaction> {
        if let Some(plain) = self.plain.remove(&key) {
            self.full.insert(key, plain.into_full());
        }
        self.full.get_mut(&key)
    }

    /// When the first version of `key` was ingested.
    pub(super) fn ingest_time(&self, key: TransactionKey) -> Option<Timestamp> {
        let plain = self.plain.get(&key).map(|plain| plain.ingest_time);
        plain.or_else(|| self.full.get(&key).map(|transaction| transaction.ingest_time))
    }

    pub(super) fn insert_plain(&mut self, key: TransactionKey, plain: Plain) {
        self.plain.insert(key, plain);
    }

    pub(super) fn insert(&mut self, key: TransactionKey, transaction: Transaction) {
        self.full.insert(key, transaction);
    }

    pub(super) fn remove(&mut self, key: TransactionKey) -> Option<Transaction> {
        self.plain.remove(&key).map(Plain::into_full).or_else(|| self.full.remove(&key))
    }

    pub(super) fn contains(&self, key: TransactionKey) -> bool {
        self.plain.contains_key(&key) || self.full.contains_key(&key)
    }

    pub(super) fn len(&self) -> usize {
        self.plain.len() + self.full.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_one_takes_80_bytes() {
        assert_eq!(size_of::<(TransactionKey, Plain)>(), 80);
    }
}
