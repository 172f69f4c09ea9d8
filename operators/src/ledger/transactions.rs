//! The transactions of a key group, by key.
//!
//! Nearly all are one event that nothing has happened to since. Those take 80 bytes with their key; the
//! first thing that happens to one turns it into a [`Transaction`], which means the same.

use std::sync::Arc;

use datasets::{Coordinates, Event, Identity, Money, PackedCoordinates, Timestamp};
use serde::{Deserialize, Serialize};

use super::transaction::{Assertion, Booking, LifeCycle, Market, MarketName, Side, Transaction, Version};
use super::{Admission, Effect, EffectKind, Markets};
use crate::index::Index;
use crate::slab::Slab;

/// Transactions by key.
#[derive(Clone, Debug, Default)]
pub(super) struct Transactions {
    /// Where each key's transaction is, as [`Place::number`]. What is new is known to be new by this alone.
    index: Index,
    pub(super) plain: Slab<(Identity, Plain)>,
    pub(super) full: Slab<(Identity, Transaction)>,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Plain(u32),
    Full(u32),
}

/// A transaction of a single version that nobody has reversed and that reverses nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Plain<M = Arc<Market>> {
    pub(super) ingest_time: Timestamp,
    pub(super) event_time: Timestamp,
    pub(super) at: PackedCoordinates,
    pub(super) content: u64,
    pub(super) amount: i64,
    pub(super) bonus: i64,
    pub(super) market: Option<M>,
    pub(super) side: ShortSide,
    pub(super) is_applied: bool,
}

/// A [`Side`] in seven bytes, written as that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Side", try_from = "Side")]
pub(super) struct ShortSide {
    jackpot: [u8; 6],
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Win,
    Bet,
    Chargeback,
}

impl TryFrom<Side> for ShortSide {
    type Error = &'static str;

    fn try_from(side: Side) -> Result<Self, Self::Error> {
        let kind = match side {
            Side::Win | Side::JackpotWin(_) => Kind::Win,
            Side::Bet | Side::JackpotBet(_) => Kind::Bet,
            Side::Chargeback => Kind::Chargeback,
        };
        let bytes = u64::try_from(side.jackpot().raw()).map(u64::to_le_bytes);
        let Ok([jackpot @ .., 0, 0]) = bytes else {
            // 2,814,749.76710655 is the largest that does not.
            return Err("the jackpot's part needs more than 48 bits");
        };
        Ok(ShortSide { jackpot, kind })
    }
}

impl From<ShortSide> for Side {
    fn from(ShortSide { jackpot: [a, b, c, d, e, f], kind }: ShortSide) -> Side {
        let jackpot = Money::from_raw(i128::from(u64::from_le_bytes([a, b, c, d, e, f, 0, 0])));
        match kind {
            Kind::Win => Side::win(jackpot),
            Kind::Bet => Side::bet(jackpot),
            Kind::Chargeback => Side::Chargeback,
        }
    }
}

impl Plain<MarketName<'_>> {
    /// The same, of a market that others have too.
    pub(super) fn sharing(self, markets: &mut Markets) -> Plain {
        let Plain { ingest_time, event_time, at, content, amount, bonus, market, side, is_applied } = self;
        let market = market.map(|market| markets.share(market));
        Plain { ingest_time, event_time, at, content, amount, bonus, market, side, is_applied }
    }
}

impl Plain {
    /// `event` as a transaction, not applied yet; `None` if a part is too large.
    pub(super) fn new(event: &Event<'_>, booking: Option<&Booking>) -> Option<Self> {
        let money = |money: Option<Money>| i64::try_from(money.unwrap_or_default().raw()).ok();
        Some(Plain {
            ingest_time: event.ingest_time,
            event_time: event.event_time,
            at: PackedCoordinates::pack(event.at)?,
            content: event.content,
            amount: money(booking.map(|booking| booking.amount))?,
            bonus: money(booking.map(|booking| booking.bonus))?,
            market: booking.map(|booking| booking.market.clone()),
            side: ShortSide::try_from(booking.map_or(Side::Win, |booking| booking.side)).ok()?,
            is_applied: false,
        })
    }

    /// Identity of one more event under the key.
    pub(super) fn compare(&self, event: &Event<'_>) -> Admission {
        if self.content == event.content { Admission::Duplicate } else { Admission::Conflict }
    }

    fn booking(&self) -> Option<Booking> {
        let money = |raw| Money::from_raw(i128::from(raw));
        let market = self.market.clone()?;
        Some(Booking { side: self.side.into(), amount: money(self.amount), bonus: money(self.bonus), market })
    }

    /// What being applied asserts of `key`.
    pub(super) fn effect(&self, key: Identity, at: Coordinates) -> Effect {
        let kind = EffectKind::Enter { live: true, event: None };
        Effect { key, time: self.event_time, at, booking: self.booking(), kind }
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
    pub(super) fn plain(&self, key: Identity) -> Option<&Plain> {
        match self.find(key)? {
            Place::Plain(place) => self.plain.get(place).map(|(_, plain)| plain),
            Place::Full(_) => None,
        }
    }

    /// Marks the transaction of `key` applied if it is a plain one that came from `at`.
    pub(super) fn apply_plain(&mut self, key: Identity, at: Coordinates) -> Option<&Plain> {
        let Place::Plain(place) = self.find(key)? else { return None };
        let (_, plain) = self.plain.get_mut(place).filter(|(_, plain)| plain.at.unpack() == at)?;
        plain.is_applied = true;
        Some(plain)
    }

    /// Takes out the transaction of `key` if it is a plain one that is `wanted`.
    pub(super) fn take_plain(&mut self, key: Identity, wanted: impl FnOnce(&Plain) -> bool) -> Option<Plain> {
        let Transactions { index, plain, full } = self;
        let number = index.find(short_hash(key), |number| Place::of(number).is(key, plain, full))?;
        let Place::Plain(place) = Place::of(number) else { return None };
        if !plain.get(place).is_some_and(|(_, plain)| wanted(plain)) {
            return None;
        }
        index.remove(short_hash(key), |other| other == number);
        plain.remove(place).map(|(_, plain)| plain)
    }

    /// The transaction of `key`, if something has happened to it.
    pub(super) fn full(&self, key: Identity) -> Option<&Transaction> {
        match self.find(key)? {
            Place::Full(place) => self.full.get(place).map(|(_, transaction)| transaction),
            Place::Plain(_) => None,
        }
    }

    /// The transaction of `key`, to which something happens.
    pub(super) fn get_mut(&mut self, key: Identity) -> Option<&mut Transaction> {
        let place = match self.find(key)? {
            Place::Full(place) => place,
            Place::Plain(_) => {
                let transaction = self.remove(key)?;
                self.insert(key, transaction)
            }
        };
        self.full.get_mut(place).map(|(_, transaction)| transaction)
    }

    /// When the first version of `key` was ingested.
    pub(super) fn ingest_time(&self, key: Identity) -> Option<Timestamp> {
        match self.find(key)? {
            Place::Plain(place) => self.plain.get(place).map(|(_, plain)| plain.ingest_time),
            Place::Full(place) => self.full.get(place).map(|(_, transaction)| transaction.ingest_time),
        }
    }

    /// An event of `key` has been applied.
    pub(super) fn is_applied(&self, key: Identity) -> bool {
        self.find(key).is_some_and(|place| match place {
            Place::Plain(place) => self.plain.get(place).is_some_and(|(_, plain)| plain.is_applied),
            Place::Full(place) => self.full.get(place).is_some_and(|(_, full)| full.applied().next().is_some()),
        })
    }

    /// What `key` asserts now.
    pub(super) fn asserted(&self, key: Identity) -> Option<Assertion> {
        match self.find(key)? {
            Place::Plain(place) => {
                let (_, plain) = self.plain.get(place).filter(|(_, plain)| plain.is_applied)?;
                Some(Assertion { time: plain.event_time, at: plain.at.unpack() })
            }
            Place::Full(place) => self.full.get(place)?.1.asserted,
        }
    }

    /// What the version of `key` that came from `at` books.
    pub(super) fn booking(&self, key: Identity, at: Coordinates) -> Option<Booking> {
        match self.find(key)? {
            Place::Plain(place) => self.plain.get(place)?.1.booking(),
            Place::Full(place) => self.full.get(place)?.1.version(at)?.booking.clone(),
        }
    }

    /// So many are about to come, if these are the first.
    pub(super) fn make_room(&mut self, count: usize) {
        self.index.make_room(count);
    }

    /// What was put first comes last when they are written. Nothing counts as changed.
    pub(super) fn turn_round(&mut self) {
        let (plain, full) = (self.plain.turn_round(), self.full.turn_round());
        self.index.move_all(|number| {
            let place = match Place::of(number) {
                Place::Plain(place) => Place::Plain(plain(place)),
                Place::Full(place) => Place::Full(full(place)),
            };
            place.number()
        });
    }

    /// `key` is new.
    pub(super) fn insert_plain(&mut self, key: Identity, plain: Plain) {
        let place = self.plain.insert((key, plain));
        self.put(key, Place::Plain(place));
    }

    /// When each transaction was first ingested.
    pub(super) fn ingest_times(&self) -> impl Iterator<Item = (Identity, Timestamp)> {
        let plain = self.plain.iter().map(|(key, plain)| (*key, plain.ingest_time));
        plain.chain(self.full.iter().map(|(key, transaction)| (*key, transaction.ingest_time)))
    }

    /// `key` is new. Answers the transaction's place.
    pub(super) fn insert(&mut self, key: Identity, transaction: Transaction) -> u32 {
        let place = self.full.insert((key, transaction));
        self.put(key, Place::Full(place));
        place
    }

    pub(super) fn remove(&mut self, key: Identity) -> Option<Transaction> {
        let Transactions { index, plain, full } = self;
        match Place::of(index.remove(short_hash(key), |number| Place::of(number).is(key, plain, full))?) {
            Place::Plain(place) => plain.remove(place).map(|(_, plain)| plain.into_full()),
            Place::Full(place) => full.remove(place).map(|(_, transaction)| transaction),
        }
    }

    pub(super) fn contains(&self, key: Identity) -> bool {
        self.find(key).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    fn find(&self, key: Identity) -> Option<Place> {
        let is_it = |number| Place::of(number).is(key, &self.plain, &self.full);
        self.index.find(short_hash(key), is_it).map(Place::of)
    }

    fn put(&mut self, key: Identity, place: Place) {
        debug_assert!(self.find(key).is_none(), "a key has one transaction");
        self.index.insert(short_hash(key), place.number());
    }
}

impl Place {
    /// Times two, and one more for [`Place::Full`].
    fn number(self) -> u32 {
        let (place, is_full) = match self {
            Place::Plain(place) => (place, 0),
            Place::Full(place) => (place, 1),
        };
        place.checked_mul(2).expect("a key group has fewer than 2^31 transactions") + is_full
    }

    /// The place of this number.
    fn of(number: u32) -> Self {
        let place = number / 2;
        if number.is_multiple_of(2) { Place::Plain(place) } else { Place::Full(place) }
    }

    /// The transaction there is that of `key`.
    fn is(self, key: Identity, plain: &Slab<(Identity, Plain)>, full: &Slab<(Identity, Transaction)>) -> bool {
        let found = match self {
            Place::Plain(place) => plain.get(place).map(|(found, _)| *found),
            Place::Full(place) => full.get(place).map(|(found, _)| *found),
        };
        found == Some(key)
    }
}

/// A key is a hash already.
fn short_hash(key: Identity) -> u32 {
    let [a, b, c, d, ..] = key.leading_word().to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_one_takes_80_bytes() {
        assert_eq!(size_of::<Option<(Identity, Plain)>>(), 80);
    }

    #[test]
    fn sides_are_short_to_the_last_bit_and_written_as_before_there_were_jackpots() {
        let written = |side: Side| postcard::to_allocvec(&side).unwrap();
        assert_eq!([written(Side::Win), written(Side::Bet)], [false, true].map(|is_bet| vec![u8::from(is_bet)]));
        for raw in [0, 1, 1 << 47, (1 << 48) - 1] {
            for side in [Side::bet(Money::from_raw(raw)), Side::win(Money::from_raw(raw))] {
                let short = ShortSide::try_from(side).unwrap();
                assert_eq!(Side::from(short), side);
                assert_eq!(postcard::to_allocvec(&short).unwrap(), written(side));
                assert_eq!(postcard::from_bytes::<ShortSide>(&written(side)).unwrap(), short);
            }
        }
        assert!(ShortSide::try_from(Side::bet(Money::from_raw(1 << 48))).is_err());
        assert_eq!(Side::from(ShortSide::try_from(Side::Chargeback).unwrap()), Side::Chargeback);
    }
}
