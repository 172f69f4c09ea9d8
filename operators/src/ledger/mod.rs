//! Identity and reversal (DOMAIN §2): which events count, since when, and until who takes them back.
//!
//! A transaction asserts at most one fact at a time. Every input is first *admitted*, which settles
//! identity in the order of coordinates, then *applied* in the order of event time, which answers
//! with the [`Effect`]s on what is asserted. What a transaction asserts is a function of the set of
//! its versions and reversals alone, never of the order in which they arrived.

mod cold;
mod reversal;
mod snapshot;
mod stakes;
mod standing;
mod transaction;
mod transactions;
mod whole;

use std::sync::Arc;

use datasets::{Coordinates, Event, EventBatch, Family, Identity, TextField, Timestamp};
use hashbrown::HashMap;

use cold::Cold;
#[cfg(test)]
pub(crate) use cold::answers as cold_answers;
pub use reversal::{Reversal, Waiting};
pub(crate) use snapshot::{Reading, WrittenLedger};
pub use stakes::Attribution;
pub(crate) use stakes::Slip;
pub(crate) use transaction::MarketName;
use transaction::{Assertion, LifeCycle, Moving, Target, Transaction, Version};
pub use transaction::{Booking, Market, Order, Side};
use transactions::{Plain, Transactions};
pub(crate) use whole::{Moved, Whole};

/// Settings of `[identity]` and `[ledger]`; durations in microseconds.
#[derive(Clone, Debug)]
pub struct LedgerRules {
    /// How long a transaction id is remembered to recognise duplicates.
    pub identity_retention: i64,
    /// How long a transaction can be reversed.
    pub ledger_retention: i64,
    /// How long a reversal waits for its transaction.
    pub orphan_wait: i64,
    /// Families whose status moves under one transaction id.
    pub lifecycle: Vec<Family>,
    /// Statuses whose money counts.
    pub counted_status: Vec<String>,
    /// The day that a stake belongs to.
    pub attribution: Attribution,
    /// Events whose transactions are kept whole, by name: all that was sent of them can be told again when they stand otherwise. Costs
    /// the memory of the event.
    pub whole: Vec<String>,
}

/// What identity says of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is to be applied.
    Accepted,
    /// Same key, same content.
    Duplicate,
    /// Same key, other content, and no life-cycle that explains it.
    Conflict,
}

/// A change of what is asserted.
#[derive(Clone, Debug)]
pub struct Effect {
    /// The transaction.
    pub key: Identity,
    /// When the fact counts.
    pub time: Timestamp,
    /// Coordinates of the deciding version.
    pub at: Coordinates,
    /// What daily activity books, with the sign of `kind`; nothing of a bet whose stake is booked with its settlement.
    pub booking: Option<Booking>,
    /// The change.
    pub kind: EffectKind,
}

/// See [`Effect`].
#[derive(Clone, Debug)]
pub enum EffectKind {
    /// A fact that missions have not seen: the event being applied, or a stored one.
    /// `live` is false when it arrives reversed.
    Enter {
        /// It counts now.
        live: bool,
        /// The stored event; `None` for the one being applied.
        event: Option<Arc<EventBatch>>,
    },
    /// A fact that missions know counts again, or no longer.
    Toggle {
        /// It counts now.
        live: bool,
    },
    /// The fact is replaced.
    Leave,
    /// The stake of a bet is booked with its settlement, or no longer. Missions do not look at it.
    Stake {
        /// It is booked now.
        live: bool,
    },
}

type FastMap<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// The transactions of one key group.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    transactions: Transactions,
    reversals: reversal::References,
    stakes: stakes::Stakes,
    /// Earlier transactions of a key, oldest first, by the keys under which they are kept now.
    set_aside: FastMap<Identity, Vec<Identity>>,
    /// Keys by the hour in which they can be forgotten, so that forgetting costs what is forgotten.
    expiry: std::collections::BTreeMap<i64, Vec<Identity>>,
    /// Transactions that are not in memory.
    cold: Cold,
    /// The hour up to which has been forgotten.
    swept: Option<i64>,
    /// Of the player whose events are applied.
    watched: whole::Watched,
}

/// Expiry is bucketed by the hour.
const HOUR: i64 = 3_600_000_000;

impl Ledger {
    /// Settles the identity of `event`, whose key is `key`. Call in order of coordinates within an epoch.
    pub fn admit(&mut self, event: &Event<'_>, key: Identity, rules: &LedgerRules, markets: &mut Markets) -> Admission {
        let life_cycle = rules.life_cycle(event);
        if let Some(known) = self.transactions.plain(key) {
            if rules.remembers(LifeCycle::Single, known.ingest_time, event) {
                return known.compare(event);
            }
            self.set_aside(key, event.name.family(), rules);
        } else if let Some(known) = self.transactions.get_mut(key) {
            if rules.remembers(known.life_cycle, known.ingest_time, event) {
                let admission = known.compare(event);
                if admission == Admission::Accepted {
                    known.insert(rules.version(event, life_cycle, markets));
                }
                return admission;
            }
            self.set_aside(key, event.name.family(), rules);
        } else if let Some(known) = self.cold.find(key, self.swept, rules) {
            if rules.remembers(LifeCycle::Single, known.ingest_time, event) {
                return known.compare(event);
            }
            self.warm(key, rules);
            self.set_aside(key, event.name.family(), rules);
        }
        let is_plain = life_cycle == LifeCycle::Single && !rules.keeps_whole(event);
        match is_plain.then(|| Plain::new(event, booking(event, markets).as_ref())).flatten() {
            Some(plain) => self.transactions.insert_plain(key, plain),
            None => {
                let version = rules.version(event, life_cycle, markets);
                self.transactions.insert(key, Transaction::new(life_cycle, event.ingest_time, version));
            }
        }
        let hour = rules.forget_hour(event.ingest_time);
        self.expiry.entry(hour).or_default().push(key);
        self.cold.came(hour);
        Admission::Accepted
    }

    /// A new transaction takes the key of one whose identity is forgotten. What the old one asserted
    /// stays, and so does its right to be applied and reversed, under a key that no event has.
    fn set_aside(&mut self, key: Identity, family: Family, rules: &LedgerRules) {
        let Some(old) = self.transactions.remove(key) else { return };
        let Some(first) = old.versions.first() else { return };
        let aside = key.aside(first.order.1);
        self.retarget(&old, key, Some(aside));
        if rules.attribution == Attribution::Settlement {
            self.stakes.rename(key, aside, family == Family::Bet);
        }
        if family == Family::Reversal {
            self.reversals.rename(key, aside);
            let target = old.target.and_then(|target| self.transactions.get_mut(target.key));
            let by = target.into_iter().flat_map(|target| &mut target.reversals);
            by.filter(|(_, reversal)| *reversal == key).for_each(|(_, reversal)| *reversal = aside);
        }
        self.set_aside.entry(key).or_default().push(aside);
        self.expiry.entry(rules.forget_hour(old.ingest_time)).or_default().push(aside);
        self.transactions.insert(aside, old);
    }

    /// Those who reverse `transaction`, which had `key`, find it under another one, or no longer. A key
    /// that is left behind would name a stranger as soon as its id is used again.
    fn retarget(&mut self, transaction: &Transaction, key: Identity, to: Option<Identity>) {
        for (_, reversal) in &transaction.reversals {
            let reversal = self.transactions.get_mut(*reversal);
            if let Some(reversal) = reversal.filter(|reversal| reversal.target.is_some_and(|target| target.key == key))
            {
                reversal.target = reversal.target.zip(to).map(|(target, key)| Target { key, ..target });
            }
        }
    }

    /// Forgets one transaction.
    fn remove(&mut self, key: Identity) {
        if let Some(transaction) = self.transactions.remove(key) {
            self.retarget(&transaction, key, None);
        }
    }

    /// Applies an admitted event that is no reversal, in [`Order`] within an epoch. Answers how many
    /// reversals had waited for it.
    pub fn apply(&mut self, event: &Event<'_>, key: Identity, rules: &LedgerRules, effects: &mut Vec<Effect>) -> u64 {
        let from = effects.len();
        if !self.is_referenced(event)
            && let Some(plain) = self.transactions.apply_plain(key, event.at)
        {
            effects.push(plain.effect(key, event.at));
            self.book_stakes((event, key), from, rules, effects);
            return 0;
        }
        let key = self.mark_applied(event, key, rules);
        let released = self.match_references(event, key, rules, effects);
        self.refresh(key, Some(event.at), effects);
        self.book_stakes((event, key), from, rules, effects);
        released
    }

    /// Answers where the transaction is now.
    fn mark_applied(&mut self, event: &Event<'_>, key: Identity, rules: &LedgerRules) -> Identity {
        for key in [key, key.aside(event.at)] {
            self.watch(key, rules);
            let versions = self.transactions.get_mut(key).map(|transaction| &mut transaction.versions);
            let version = versions.and_then(|versions| versions.iter_mut().find(|version| version.order.1 == event.at));
            if let Some(version) = version {
                version.applied = true;
                return key;
            }
        }
        unreachable!("an event is admitted before it is applied");
    }

    /// Brings what `key` asserts up to date and tells the difference. `current` is the event being applied.
    fn refresh(&mut self, key: Identity, current: Option<Coordinates>, effects: &mut Vec<Effect>) {
        let mut next = Some(key);
        // A reversal's standing decides about its target, whose standing may decide about another.
        while let Some(key) = next {
            let live = !self.is_reversed(key);
            let Some(transaction) = self.transactions.get_mut(key) else { return };
            next = transaction.target.map(|target| target.key);
            match transaction.life_cycle {
                LifeCycle::Single => transaction.toggle(key, (live, current), effects),
                LifeCycle::Status | LifeCycle::Resettled => transaction.move_to(key, (live, current), effects),
            }
        }
    }

    /// The hour before which everything that was due has been forgotten.
    pub(crate) fn swept(&self) -> Option<i64> {
        self.swept
    }

    /// Forgets transactions that can neither recur nor be reversed by a record ingested in `hour` or later, counted since 1970.
    pub fn forget_before(&mut self, hour: i64, rules: &LedgerRules) {
        self.swept = Some(hour);
        let later = self.expiry.split_off(&hour);
        let due = std::mem::replace(&mut self.expiry, later);
        self.stakes.forget(hour);
        if due.is_empty() {
            return;
        }
        for key in due.into_values().flatten() {
            // A newer transaction may have taken the key since.
            let forgotten = |ingest_time: Timestamp| rules.forget_hour(ingest_time) < hour;
            if self.transactions.ingest_time(key).is_some_and(forgotten) {
                self.remove(key);
            }
        }
        self.reversals.forget(&self.transactions);
        let (transactions, stakes) = (&self.transactions, &mut self.stakes);
        self.set_aside.retain(|_, older| {
            older.retain(|key| {
                let is_known = transactions.contains(*key);
                if !is_known {
                    stakes.forget_aside(*key);
                }
                is_known
            });
            !older.is_empty()
        });
    }

    /// A transaction of this key is in memory, or may be elsewhere.
    pub fn may_know(&self, key: Identity) -> bool {
        self.transactions.contains(key) || self.cold.may_hold(key)
    }

    /// How many transactions are in memory.
    pub fn len(&self) -> usize {
        self.transactions.len()
    }

    /// No transaction is in memory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Transaction {
    fn compare(&self, event: &Event<'_>) -> Admission {
        if self.versions.iter().any(|version| version.content == event.content) {
            return Admission::Duplicate;
        }
        match self.life_cycle {
            LifeCycle::Single => Admission::Conflict,
            LifeCycle::Resettled => Admission::Accepted,
            LifeCycle::Status => {
                let status = event.text(TextField::Status);
                // Without any status there is no life-cycle; one status at one time has one content.
                let contradicts = self.versions.iter().any(|version| {
                    let known = version.moving.as_ref().and_then(|moving| moving.status.as_deref());
                    known == status && (status.is_none() || version.order.0 == event.event_time)
                });
                if contradicts { Admission::Conflict } else { Admission::Accepted }
            }
        }
    }

    /// A single version never moves: it enters once, then only its standing changes.
    fn toggle(&mut self, key: Identity, (live, current): (bool, Option<Coordinates>), effects: &mut Vec<Effect>) {
        let Some(assertion) = self.unreversed() else { return };
        let kind = if current == Some(assertion.at) {
            EffectKind::Enter { live, event: None }
        } else if live == self.asserted.is_some() {
            return;
        } else {
            EffectKind::Toggle { live }
        };
        effects.push(self.effect(key, assertion, kind));
        self.asserted = live.then_some(assertion);
    }

    /// Replaces what is asserted by what should be.
    fn move_to(&mut self, key: Identity, (live, current): (bool, Option<Coordinates>), effects: &mut Vec<Effect>) {
        let next = self.unreversed().filter(|_| live);
        if next == self.asserted {
            return;
        }
        if let Some(old) = self.asserted {
            effects.push(self.effect(key, old, EffectKind::Leave));
        }
        if let Some(new) = next {
            let stored = self.version(new.at).filter(|_| current != Some(new.at));
            let stored = stored.and_then(|version| version.moving.as_ref());
            let event = stored.map(|moving| Arc::new(moving.event.clone()));
            effects.push(self.effect(key, new, EffectKind::Enter { live: true, event }));
        }
        self.asserted = next;
    }

    fn effect(&self, key: Identity, assertion: Assertion, kind: EffectKind) -> Effect {
        let booking = self.version(assertion.at).and_then(|version| version.booking.clone());
        Effect { key, time: assertion.time, at: assertion.at, booking, kind }
    }
}

impl LedgerRules {
    fn life_cycle(&self, event: &Event<'_>) -> LifeCycle {
        match event.name.family() {
            Family::Settlement => LifeCycle::Resettled,
            family if self.lifecycle.contains(&family) => LifeCycle::Status,
            _ => LifeCycle::Single,
        }
    }

    /// `event` may be a resend of a transaction that was first ingested at `ingest_time`. Versions of one life-cycle belong together for as long as the
    /// ledger knows them; for the rest the retention of identities decides, by the record's own ingest time.
    fn remembers(&self, life_cycle: LifeCycle, ingest_time: Timestamp, event: &Event<'_>) -> bool {
        let age = event.ingest_time.micros_since(ingest_time);
        life_cycle != LifeCycle::Single || age <= self.identity_retention
    }

    /// Transactions are kept for twice the ledger's retention: a reversal that comes in the second
    /// half finds what it names and is refused as `expired_reference`, not as an orphan.
    fn forget_hour(&self, ingest_time: Timestamp) -> i64 {
        let keep = self.ledger_retention.max(self.identity_retention).saturating_mul(2);
        ingest_time.plus_micros(keep).micros().div_euclid(HOUR) + 1
    }

    fn version(&self, event: &Event<'_>, life_cycle: LifeCycle, markets: &mut Markets) -> Version {
        let booking = booking(event, markets);
        let moving = (life_cycle != LifeCycle::Single || self.keeps_whole(event)).then(|| {
            let status = event.text(TextField::Status);
            let counted = status.is_none_or(|status| self.counted_status.iter().any(|counted| counted == status));
            let counted = counted || life_cycle == LifeCycle::Resettled;
            Box::new(Moving { counted, status: status.map(str::to_owned), event: event.to_batch() })
        });
        Version::new(event, booking, moving)
    }
}

fn booking(event: &Event<'_>, markets: &mut Markets) -> Option<Booking> {
    Side::of(event.name, event.jackpot()).map(|side| Booking {
        side,
        amount: event.amount().unwrap_or_default(),
        bonus: event.bonus_amount(),
        market: markets.intern(booked_game_type(event), event.currency()),
    })
}

/// Bets, settlements and wins come with one. A chargeback may have none, and gets it here and not in the event: its content stays what it
/// was when it was a custom event, so that a resend of one from that time is a duplicate.
fn booked_game_type<'a>(event: &Event<'a>) -> &'a str {
    match event.game_type() {
        "" => "unknown",
        game_type => game_type,
    }
}

/// Shares one allocation among all bookings of a game type and currency.
#[derive(Debug, Default)]
pub struct Markets(hashbrown::HashTable<Arc<Market>>);

impl Markets {
    fn intern(&mut self, game_type: &str, currency: &str) -> Arc<Market> {
        let is_same = |known: &Arc<Market>| &*known.game_type == game_type && &*known.currency == currency;
        let hash = transaction::market_hash(game_type, currency);
        let market = self.0.entry(hash, is_same, |market| market.hash());
        market.or_insert_with(|| Arc::new(Market::new(game_type, currency))).get().clone()
    }

    /// The market that was written.
    pub(crate) fn share(&mut self, MarketName { game_type, currency, .. }: MarketName<'_>) -> Arc<Market> {
        self.intern(game_type, currency)
    }
}

#[cfg(test)]
mod tests;
