//! Reversals: what they name, and what they wait for.
//!
//! What a reversal names is a function of what has been applied, never of the order in which it came:
//! each new transaction looks at those that named its id before.

use std::collections::BTreeMap;

use datasets::{Coordinates, Event, Family, Identity, TextField, Timestamp};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::transaction::{Order, Target};
use super::transactions::Transactions;
use super::{Effect, FastMap, Ledger, LedgerRules};

/// Reversals of reversals are followed this deep; a longer chain is no accounting, and never matches.
const MAX_DEPTH: u8 = 16;

/// Changes that are told one by one, at least.
const MAX_CHANGED: usize = 1024;

/// What became of a reversal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reversal {
    /// It took effect.
    Accepted,
    /// Another one stands already.
    AlreadyReversed,
    /// Its transaction is older than the ledger.
    Expired,
    /// Its transaction has not come yet.
    Waits,
}

/// A reversal that waits for its transaction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Waiting {
    /// Its own coordinates.
    pub at: Coordinates,
    /// Its own ingest time.
    pub ingest_time: Timestamp,
    /// The player.
    pub player_id: String,
    /// Its own id.
    pub transaction_id: String,
    /// The id it names.
    pub reference_id: String,
    /// Its text, for the dead letter.
    pub payload: String,
    reference: Identity,
}

/// Who names whom.
#[derive(Clone, Debug, Default)]
pub(super) struct References {
    /// Reversals by the id they name, see [`Identity::reference`].
    pub(super) by_reference: FastMap<Identity, SmallVec<[Reference; 1]>>,
    /// Those without a match, by the last instant at which one may be ingested.
    pub(super) waiting: BTreeMap<(Timestamp, Identity), Waiting>,
    /// Ids whose reversals have changed since they were written.
    pub(super) changed: Changed,
}

/// See [`References::changed`].
#[derive(Clone, Debug)]
pub(super) enum Changed {
    /// These, some of them more than once.
    Some(Vec<Identity>),
    /// Any.
    All,
}

impl Default for Changed {
    fn default() -> Self {
        Changed::Some(Vec::new())
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Reference {
    key: Identity,
    /// The id it names, as a key of family `Other`, which no reversal can name: [`Identity::reference`] is quickly
    /// asked, and this cannot be mistaken.
    named: Identity,
    order: Order,
    ingest_time: Timestamp,
    /// The family it names; `None` looks through all in order.
    family: Option<Family>,
}

impl References {
    fn mark(&mut self, reference: Identity) {
        let Changed::Some(changed) = &mut self.changed else { return };
        if changed.len() < self.by_reference.len().max(MAX_CHANGED) {
            changed.push(reference);
        } else {
            // Nobody writes them, or they have changed many times each.
            self.changed = Changed::All;
        }
    }

    fn insert(&mut self, reference: Identity, named: Reference) {
        self.mark(reference);
        self.by_reference.entry(reference).or_default().push(named);
    }

    /// Drops references of reversals that the ledger has forgotten.
    pub(super) fn forget(&mut self, transactions: &Transactions) {
        if self.by_reference.is_empty() {
            return;
        }
        self.by_reference.retain(|_, references| {
            references.retain(|reference| transactions.contains(reference.key));
            !references.is_empty()
        });
    }

    /// The reversal `key` has another key from now on.
    pub(super) fn rename(&mut self, key: Identity, aside: Identity) {
        self.changed = Changed::All;
        for reference in self.by_reference.values_mut().flatten().filter(|reference| reference.key == key) {
            reference.key = aside;
        }
        let waits: Vec<Timestamp> =
            self.waiting.keys().filter(|(_, waiting)| *waiting == key).map(|(deadline, _)| *deadline).collect();
        for deadline in waits {
            let waiting = self.waiting.remove(&(deadline, key)).expect("found above");
            self.waiting.insert((deadline, aside), waiting);
        }
    }
}

impl Ledger {
    /// Applies an admitted reversal. Answers what became of it, and how many reversals had waited for it.
    pub fn reverse(
        &mut self,
        event: &Event<'_>,
        key: Identity,
        rules: &LedgerRules,
        effects: &mut Vec<Effect>,
    ) -> (Reversal, u64) {
        let from = effects.len();
        let outcome = self.take_back(event, key, rules, effects);
        self.book_stakes((event, key), from, rules, effects);
        outcome
    }

    fn take_back(
        &mut self,
        event: &Event<'_>,
        key: Identity,
        rules: &LedgerRules,
        effects: &mut Vec<Effect>,
    ) -> (Reversal, u64) {
        let key = self.mark_applied(event, key, rules);
        let released = self.match_references(event, key, rules, effects);
        let reference_id = event.text(TextField::ReferenceId).unwrap_or("");
        let family = event.text(TextField::ReferenceFamily).and_then(Family::named);
        let order = (event.event_time, event.at);

        let reference = Identity::reference(event, reference_id);
        let exact = Identity::named(event, Family::Other, reference_id);
        let named = Reference { key, named: exact, order, ingest_time: event.ingest_time, family };
        let Some(target) = self.resolve(event, reference_id, &named, rules) else {
            let deadline = event.ingest_time.plus_micros(rules.orphan_wait);
            let waiting = Waiting {
                at: event.at,
                ingest_time: event.ingest_time,
                player_id: event.player_id().to_owned(),
                transaction_id: event.transaction_id().to_owned(),
                reference_id: reference_id.to_owned(),
                payload: event.payload().to_owned(),
                reference,
            };
            self.reversals.waiting.insert((deadline, key), waiting);
            self.reversals.insert(reference, named);
            return (Reversal::Waits, released);
        };
        if self.is_expired(&named, target, rules) {
            return (Reversal::Expired, released);
        }
        self.reversals.insert(reference, named);
        let outcome = if self.is_reversed(target.key) { Reversal::AlreadyReversed } else { Reversal::Accepted };
        self.link(key, order, target, rules);
        self.refresh(target.key, None, effects);
        (outcome, released)
    }

    /// Reversals whose wait ended before `now`, in order of their deadline. They keep their ids: what is a
    /// duplicate must not depend on when the clock fired.
    pub fn give_up(&mut self, now: Timestamp) -> Vec<Waiting> {
        let mut orphans = Vec::new();
        while let Some(entry) = self.reversals.waiting.first_entry() {
            if entry.key().0 >= now {
                break;
            }
            let ((_, key), orphan) = entry.remove_entry();
            self.reversals.mark(orphan.reference);
            if let Some(references) = self.reversals.by_reference.get_mut(&orphan.reference) {
                references.retain(|reference| reference.key != key);
            }
            orphans.push(orphan);
        }
        orphans
    }

    /// A reversal has named the id of `event`.
    pub(super) fn is_referenced(&self, event: &Event<'_>) -> bool {
        let by_reference = &self.reversals.by_reference;
        let reference = || Identity::reference(event, event.transaction_id());
        !by_reference.is_empty() && by_reference.contains_key(&reference())
    }

    /// Links the reversals that named `event`, which has just come, under `key`, and brings what they
    /// named until now up to date. Answers how many had waited.
    pub(super) fn match_references(
        &mut self,
        event: &Event<'_>,
        key: Identity,
        rules: &LedgerRules,
        effects: &mut Vec<Effect>,
    ) -> u64 {
        if self.reversals.by_reference.is_empty() {
            return 0;
        }
        let id = event.transaction_id();
        let reference = Identity::reference(event, id);
        let Some(references) = self.reversals.by_reference.get(&reference).cloned() else { return 0 };
        let exact = Identity::named(event, Family::Other, id);
        let mut released = 0;
        for named in references.into_iter().filter(|reference| reference.named == exact) {
            let target = self.resolve(event, id, &named, rules).filter(|target| target.key == key);
            let Some(target) = target.filter(|target| !self.is_expired(&named, *target, rules)) else { continue };
            let waited = (named.ingest_time.plus_micros(rules.orphan_wait), named.key);
            if self.reversals.waiting.remove(&waited).is_some() {
                released += 1;
            }
            // One without `reference_family` may have named a later family of this id until now.
            let previous = self.link(named.key, named.order, target, rules);
            if let Some(previous) = previous.filter(|previous| previous.key != key) {
                self.refresh(previous.key, None, effects);
            }
        }
        released
    }

    /// The transaction that a reversal names, among those that have been applied. `event` gives player and
    /// source. One that was ingested after the reversal's wait had ended is none.
    fn resolve(&mut self, event: &Event<'_>, id: &str, named: &Reference, rules: &LedgerRules) -> Option<Target> {
        let families = Family::REVERSIBLE.iter().map(|(_, family)| *family);
        families.filter(|family| named.family.is_none_or(|wanted| wanted == *family)).find_map(|family| {
            let key = Identity::named(event, family, id);
            self.warm(key, rules);
            let key = self.holder(key, family, named)?;
            let transaction = self.transactions.get_mut(key)?;
            if transaction.ingest_time.micros_since(named.ingest_time) > rules.orphan_wait {
                return None;
            }
            let below = transaction.target.filter(|_| family == Family::Reversal);
            let depth = below.map_or(0, |target| target.depth) + u8::from(family == Family::Reversal);
            (depth <= MAX_DEPTH).then_some(Target { key, depth })
        })
    }

    /// The transaction that `key` meant when `named` was ingested: the newest that was there, else the first
    /// to come, of those that have been applied. An id can be used again once its identity is forgotten.
    ///
    /// A reversal can only be reversed by one later in order, so chains end. One that is not earlier is passed
    /// over as if it did not exist: which of the two is applied first must not matter.
    fn holder(&mut self, key: Identity, family: Family, named: &Reference) -> Option<Identity> {
        let older = self.set_aside.get(&key).into_iter().flatten().rev().copied();
        let mut first = None;
        for key in std::iter::once(key).chain(older) {
            let Some(transaction) = self.transactions.get_mut(key) else { continue };
            let Some(version) = transaction.applied().next() else { continue };
            if family == Family::Reversal && version.order >= named.order {
                continue;
            }
            first = Some(key);
            if transaction.ingest_time <= named.ingest_time {
                break;
            }
        }
        first
    }

    /// What `named` names had left the ledger when it came.
    fn is_expired(&self, named: &Reference, target: Target, rules: &LedgerRules) -> bool {
        let since = self.transactions.ingest_time(target.key).unwrap_or(named.ingest_time);
        named.ingest_time.micros_since(since) > rules.ledger_retention
    }

    /// Makes `key` a reversal of `target` and answers what it reversed before.
    fn link(&mut self, key: Identity, order: Order, target: Target, rules: &LedgerRules) -> Option<Target> {
        self.watch(key, rules);
        self.watch(target.key, rules);
        let reversal = self.transactions.get_mut(key)?;
        let previous = reversal.target.replace(target);
        if let Some(previous) = previous.and_then(|previous| self.transactions.get_mut(previous.key)) {
            previous.reversals.retain(|(_, other)| *other != key);
        }
        let target = self.transactions.get_mut(target.key).expect("resolved from the ledger");
        target.insert_reversal(order, key);
        previous
    }
}
