//! One transaction: its versions, what it asserts now, and who reverses it.

use datasets::hash::text_hash;
use datasets::{Coordinates, Event, EventBatch, EventName, Identity, Money, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Event time, then coordinates: the order in which accepted events apply.
pub type Order = (Timestamp, Coordinates);

/// Where a bet or a win is booked; shared by all transactions of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Market {
    /// The kind of game.
    pub game_type: Arc<str>,
    /// The currency.
    pub currency: Arc<str>,
    /// Follows from both.
    hash: u64,
}

/// A [`Market`] as it was written, before it is shared.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct MarketName<'a> {
    pub(super) game_type: &'a str,
    pub(super) currency: &'a str,
    #[serde(rename = "hash")]
    _hash: u64,
}

impl MarketName<'_> {
    /// It is what was written of this one.
    pub(crate) fn is_of(&self, market: &Market) -> bool {
        *self.game_type == *market.game_type && *self.currency == *market.currency
    }
}

impl Market {
    /// A market by its names.
    pub fn new(game_type: &str, currency: &str) -> Self {
        let hash = market_hash(game_type, currency);
        Market { game_type: game_type.into(), currency: currency.into(), hash }
    }

    /// Equal for equal markets.
    pub fn hash(&self) -> u64 {
        self.hash
    }
}

/// [`Market::hash`] of a market by its names.
pub fn market_hash(game_type: &str, currency: &str) -> u64 {
    text_hash(game_type).rotate_left(32) ^ text_hash(currency)
}

/// What is booked: the stake of a bet, or the winnings of a win or settlement, and what of it a jackpot gets, or paid; or a chargeback.
///
/// State was written before there were jackpots: what has none is written as the truth value `is_bet`, and never renumbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Side {
    /// Winnings.
    Win,
    /// A stake.
    Bet,
    /// Winnings, of which a jackpot paid this.
    JackpotWin(Money),
    /// A stake, of which a jackpot gets this.
    JackpotBet(Money),
    /// A payment that the payer's bank has taken back.
    Chargeback,
}

impl Side {
    /// By the event's name, if daily activity books it.
    pub fn of(name: EventName, jackpot: Money) -> Option<Self> {
        match name {
            EventName::BetPlaced => Some(Side::bet(jackpot)),
            EventName::Win | EventName::BetSettled => Some(Side::win(jackpot)),
            EventName::Chargeback => Some(Side::Chargeback),
            _ => None,
        }
    }

    /// A stake, and what a jackpot gets of it.
    pub fn bet(jackpot: Money) -> Self {
        if jackpot.is_zero() { Side::Bet } else { Side::JackpotBet(jackpot) }
    }

    /// Winnings, and what a jackpot paid of them.
    pub fn win(jackpot: Money) -> Self {
        if jackpot.is_zero() { Side::Win } else { Side::JackpotWin(jackpot) }
    }

    /// It is a stake.
    pub fn is_bet(self) -> bool {
        matches!(self, Side::Bet | Side::JackpotBet(_))
    }

    /// It is a winning, which settles a bet.
    pub fn is_win(self) -> bool {
        matches!(self, Side::Win | Side::JackpotWin(_))
    }

    /// What a jackpot gets, or paid.
    pub fn jackpot(self) -> Money {
        match self {
            Side::Win | Side::Bet | Side::Chargeback => Money::ZERO,
            Side::JackpotWin(jackpot) | Side::JackpotBet(jackpot) => jackpot,
        }
    }
}

/// Money that daily activity books: a stake, a winning or a chargeback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booking {
    /// Which of these.
    pub side: Side,
    /// All of it.
    pub amount: Money,
    /// The part that was bonus money.
    pub bonus: Money,
    /// Game type and currency.
    pub market: Arc<Market>,
}

/// What a transaction's versions do to each other (DOMAIN §2, "Two exceptions, by family").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LifeCycle {
    /// One version; anything else under the key is a duplicate or a conflict.
    Single,
    /// The last status decides whether the money counts.
    Status,
    /// The newest payout replaces the others, at the first one's time.
    Resettled,
}

/// One accepted event under the key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Version {
    /// When it happened, then where it came from.
    pub order: Order,
    /// Fingerprint of the mapped content.
    pub content: u64,
    /// It has been applied; until then it only holds its place in the identity.
    pub applied: bool,
    /// What it books.
    pub booking: Option<Booking>,
    /// The event, where its time can still move, or where it is kept whole.
    pub moving: Option<Box<Moving>>,
}

/// What a version needs to be judged again at another time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Moving {
    /// The status is a counted one, or there is none.
    pub counted: bool,
    /// The status as sent.
    pub status: Option<String>,
    /// The event alone in a batch.
    pub event: EventBatch,
}

impl Version {
    /// A version made of `event`, not applied yet.
    pub fn new(event: &Event<'_>, booking: Option<Booking>, moving: Option<Box<Moving>>) -> Self {
        Version { order: (event.event_time, event.at), content: event.content, applied: false, booking, moving }
    }
}

/// What a transaction asserts: one of its versions, at a time that may be an older version's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assertion {
    /// When it counts.
    pub time: Timestamp,
    /// Coordinates of the version that decides.
    pub at: Coordinates,
}

/// An entry of the ledger.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Transaction {
    /// What further versions mean.
    pub life_cycle: LifeCycle,
    /// Ingest time of the first version.
    pub ingest_time: Timestamp,
    /// Sorted by [`Order`].
    pub versions: smallvec::SmallVec<[Version; 1]>,
    /// Reversals that name this one, sorted by [`Order`].
    pub reversals: Vec<(Order, Identity)>,
    /// What is asserted now.
    pub asserted: Option<Assertion>,
    /// For a reversal: what it resolved to, and how many reversals lie below.
    pub target: Option<Target>,
}

/// What a reversal reverses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The transaction.
    pub key: Identity,
    /// 0 for a reversal of money, 1 for a reversal of that …
    pub depth: u8,
}

impl Transaction {
    /// An entry with its first version.
    pub fn new(life_cycle: LifeCycle, ingest_time: Timestamp, version: Version) -> Self {
        Transaction {
            life_cycle,
            ingest_time,
            versions: smallvec::smallvec![version],
            reversals: Vec::new(),
            asserted: None,
            target: None,
        }
    }

    /// Adds a version at its place in the order.
    pub fn insert(&mut self, version: Version) {
        let index = self.versions.partition_point(|other| other.order < version.order);
        self.versions.insert(index, version);
    }

    /// Adds a reversal at its place in the order.
    pub fn insert_reversal(&mut self, order: Order, key: Identity) {
        let index = self.reversals.partition_point(|(other, _)| *other < order);
        self.reversals.insert(index, (order, key));
    }

    /// The version that came from `at`.
    pub fn version(&self, at: Coordinates) -> Option<&Version> {
        self.versions.iter().find(|version| version.order.1 == at)
    }

    /// Settlements after the first: each settles again what a reversal before it had un-settled.
    pub fn resettlements(&self) -> impl Iterator<Item = Order> {
        let from = if self.life_cycle == LifeCycle::Resettled { 1 } else { usize::MAX };
        self.applied().skip(from).map(|version| version.order)
    }

    /// What would count if nobody reversed it.
    pub fn unreversed(&self) -> Option<Assertion> {
        let newest = self.applied().next_back()?;
        let time = match self.life_cycle {
            LifeCycle::Single => newest.order.0,
            LifeCycle::Resettled => self.applied().next().expect("there is a newest").order.0,
            LifeCycle::Status => self.counted_since()?,
        };
        Some(Assertion { time, at: newest.order.1 })
    }

    /// When the present run of counted statuses began; `None` while the last one is not counted.
    fn counted_since(&self) -> Option<Timestamp> {
        let mut since = None;
        for version in self.applied() {
            let counted = version.moving.as_ref().is_none_or(|moving| moving.counted);
            since = if counted { since.or(Some(version.order.0)) } else { None };
        }
        since
    }

    /// The versions that have been applied, in order.
    pub fn applied(&self) -> impl DoubleEndedIterator<Item = &Version> {
        self.versions.iter().filter(|version| version.applied)
    }
}
