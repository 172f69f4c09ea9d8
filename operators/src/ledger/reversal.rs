//! Reversals: what they name, what they wait for, and which of them stand.
//!
//! A transaction counts while no accepted reversal of it stands. A reversal is accepted when, at its
//! own place in the [`Order`], none before it stood; it stands while it is not itself reversed. Both
//! are read off the ordered lists, so any order of arrival gives the same answer.

use std::collections::BTreeMap;

use datasets::{Coordinates, Event, Family, TextField, Timestamp, TopicId};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::transaction::{Order, Target, Transaction, TransactionKey};
use super::{Effect, FastMap, Ledger, LedgerRules};

/// After everything.
pub(super) const ALWAYS: Order =
    (Timestamp::MAX, Coordinates { topic: TopicId(u16::MAX), partition: i32::MAX, offset: i64::MAX, index: u32::MAX });

/// Reversals of reversals are followed this deep; a longer chain is no accounting, and never matches.
const MAX_DEPTH: u8 = 16;

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
    reference: TransactionKey,
}

/// Who names whom.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct References {
    /// Reversals by the id they name (as a key of family `Other`, which no reversal can name).
    by_reference: FastMap<TransactionKey, SmallVec<[Reference; 1]>>,
    /// Those without a match, by the last instant at which one may be ingested.
    waiting: BTreeMap<(Timestamp, TransactionKey), Waiting>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Reference {
    key: TransactionKey,
    order: Order,
    ingest_time: Timestamp,
    /// The family it names; `None` looks through all in order.
    family: Option<Family>,
}

impl References {
    /// Drops references of reversals that the ledger has forgotten.
    pub(super) fn forget(&mut self, transactions: &FastMap<TransactionKey, Transaction>) {
        if self.by_reference.is_empty() {
            return;
        }
        self.by_reference.retain(|_, references| {
            references.retain(|reference| transactions.contains_key(&reference.key));
            !references.is_empty()
        });
    }
}

impl Ledger {
    /// Applies an admitted reversal.
    pub fn reverse(
        &mut self,
        event: &Event<'_>,
        key: TransactionKey,
        rules: &LedgerRules,
        effects: &mut Vec<Effect>,
    ) -> Reversal {
        let key = self.mark_applied(event, key);
        let reference_id = event.text(TextField::ReferenceId).unwrap_or("");
        let family = event.text(TextField::ReferenceFamily).and_then(Family::named);
        let order = (event.event_time, event.at);

        let reference = TransactionKey::named(event, Family::Other, reference_id);
        let named = Reference { key, order, ingest_time: event.ingest_time, family };
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
            self.reversals.by_reference.entry(reference).or_default().push(named);
            return Reversal::Waits;
        };
        let transaction = &self.transactions[&target.key];
        if event.ingest_time.micros_since(transaction.ingest_time) > rules.ledger_retention {
            return Reversal::Expired;
        }
        self.reversals.by_reference.entry(reference).or_default().push(named);
        let already = self.reversal_at(transaction, ALWAYS).is_some();
        self.link(key, order, target);
        // One that waited for this one may un-do it again.
        self.match_references(event, key, rules, effects);
        self.refresh(target.key, None, effects);
        if already { Reversal::AlreadyReversed } else { Reversal::Accepted }
    }

    /// Reversals whose wait ended before `now`, in order of their deadline.
    pub fn give_up(&mut self, now: Timestamp) -> Vec<Waiting> {
        let mut orphans = Vec::new();
        while let Some(entry) = self.reversals.waiting.first_entry() {
            if entry.key().0 >= now {
                break;
            }
            let ((_, key), orphan) = entry.remove_entry();
            if let Some(references) = self.reversals.by_reference.get_mut(&orphan.reference) {
                references.retain(|reference| reference.key != key);
            }
            orphans.push(orphan);
        }
        orphans
    }

    /// Links the reversals that named `event`, which has just come, under `key`, and brings what they
    /// named until now up to date. Answers how many had waited.
    pub(super) fn match_references(
        &mut self,
        event: &Event<'_>,
        key: TransactionKey,
        rules: &LedgerRules,
        effects: &mut Vec<Effect>,
    ) -> u64 {
        if self.reversals.by_reference.is_empty() {
            return 0;
        }
        let id = event.transaction_id();
        let reference = TransactionKey::named(event, Family::Other, id);
        let Some(references) = self.reversals.by_reference.get(&reference).cloned() else { return 0 };
        let mut released = 0;
        for named in references {
            let Some(target) = self.resolve(event, id, &named, rules).filter(|target| target.key == key) else {
                continue;
            };
            let waited = (named.ingest_time.plus_micros(rules.orphan_wait), named.key);
            if self.reversals.waiting.remove(&waited).is_some() {
                released += 1;
            }
            // One without `reference_family` may have named a later family of this id until now.
            let previous = self.link(named.key, named.order, target);
            if let Some(previous) = previous.filter(|previous| previous.key != key) {
                self.refresh(previous.key, None, effects);
            }
        }
        released
    }

    /// The transaction that a reversal names, among those that have been applied. `event` gives player and
    /// source. One that was ingested after the reversal's wait had ended is none.
    fn resolve(&self, event: &Event<'_>, id: &str, named: &Reference, rules: &LedgerRules) -> Option<Target> {
        let families = Family::REVERSIBLE.iter().map(|(_, family)| *family);
        families.filter(|family| named.family.is_none_or(|wanted| wanted == *family)).find_map(|family| {
            let key = TransactionKey::named(event, family, id);
            let transaction = self.transactions.get(&key)?;
            let first = transaction.versions.iter().find(|version| version.applied)?;
            if transaction.ingest_time.micros_since(named.ingest_time) > rules.orphan_wait {
                return None;
            }
            if family != Family::Reversal {
                return Some(Target { key, depth: 0 });
            }
            // A reversal can only be reversed by a later one, so chains end.
            let depth = transaction.target.map_or(0, |target| target.depth) + 1;
            (first.order < named.order && depth <= MAX_DEPTH).then_some(Target { key, depth })
        })
    }

    /// Makes `key` a reversal of `target` and answers what it reversed before.
    fn link(&mut self, key: TransactionKey, order: Order, target: Target) -> Option<Target> {
        let reversal = self.transactions.get_mut(&key)?;
        let previous = reversal.target.replace(target);
        if let Some(previous) = previous.and_then(|previous| self.transactions.get_mut(&previous.key)) {
            previous.reversals.retain(|(_, other)| *other != key);
        }
        let target = self.transactions.get_mut(&target.key).expect("resolved from the ledger");
        target.insert_reversal(order, key);
        previous
    }

    /// The accepted reversal of `transaction` that stands at `until`.
    pub(super) fn reversal_at(&self, transaction: &Transaction, until: Order) -> Option<Order> {
        self.standing(transaction, until, MAX_DEPTH)
    }

    fn standing(&self, transaction: &Transaction, until: Order, depth: u8) -> Option<Order> {
        let stands = |(order, key): (Order, TransactionKey), at: Order| {
            let resettled = transaction.resettlements().any(|settlement| order < settlement && settlement <= at);
            let reversed = depth > 0
                && self.transactions.get(&key).is_some_and(|reversal| self.standing(reversal, at, depth - 1).is_some());
            !resettled && !reversed
        };
        let mut accepted: Option<(Order, TransactionKey)> = None;
        for reversal in transaction.reversals.iter().take_while(|(order, _)| *order <= until) {
            if !accepted.is_some_and(|earlier| stands(earlier, reversal.0)) {
                accepted = Some(*reversal);
            }
        }
        accepted.filter(|reversal| stands(*reversal, until)).map(|(order, _)| order)
    }
}
