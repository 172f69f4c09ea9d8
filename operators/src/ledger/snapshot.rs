//! A ledger in sections, see [`datasets::state`].
//!
//! What follows from the rest is not written: when a transaction can be forgotten, and with it the references
//! of what was forgotten. Nor is what went cold: it was handed out when it did.

use std::collections::BTreeMap;
use std::ops::Range;

use datasets::cold::ColdRun;
use datasets::{Identity, Timestamp};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::reversal::{Changed, Reference, Waiting};
use super::transaction::Transaction;
use super::transactions::Plain;
use super::{FastMap, Ledger, LedgerRules, Markets};

/// Chunks of plain and of other transactions.
type Chunks<T> = [T; 2];

/// What a section says of a ledger. The fields of [`LedgerSection`], borrowed.
#[derive(Serialize)]
pub(crate) struct WrittenLedger<'a> {
    plain: Vec<&'a (Identity, Plain)>,
    full: Vec<&'a (Identity, Transaction)>,
    are_all_references: bool,
    references: Vec<(Identity, &'a [Reference])>,
    waiting: &'a BTreeMap<(Timestamp, Identity), Waiting>,
    set_aside: &'a FastMap<Identity, Vec<Identity>>,
    overdue: Vec<Identity>,
}

/// What a section says of a ledger, as it is read again.
#[derive(Deserialize)]
pub(crate) struct LedgerSection {
    plain: Vec<(Identity, Plain)>,
    full: Vec<(Identity, Transaction)>,
    /// References that are not here are none, else they are as they were.
    are_all_references: bool,
    references: Vec<(Identity, SmallVec<[Reference; 1]>)>,
    waiting: BTreeMap<(Timestamp, Identity), Waiting>,
    set_aside: FastMap<Identity, Vec<Identity>>,
    /// Transactions that were due to be forgotten when they came, and are not until the next hour.
    overdue: Vec<Identity>,
}

impl Ledger {
    /// How many chunks of transactions have changed since they were written.
    pub(crate) fn changed(&self) -> usize {
        self.transactions.plain.changed() + self.transactions.full.changed()
    }

    /// How many chunks of transactions there are.
    pub(crate) fn chunks(&self) -> Chunks<usize> {
        [self.transactions.plain.chunks(), self.transactions.full.chunks()]
    }

    /// What has changed since the last time, and the chunks `round`; all references where a cycle begins.
    /// The ledger has been swept up to the hour `swept`.
    pub(crate) fn write(
        &mut self,
        [plain, full]: Chunks<Range<usize>>,
        begins_cycle: bool,
        swept: i64,
    ) -> WrittenLedger<'_> {
        let Ledger { transactions, reversals, set_aside, expiry, .. } = self;
        let by_reference = &reversals.by_reference;
        let (are_all_references, references) = match std::mem::take(&mut reversals.changed) {
            Changed::Some(mut changed) if !begins_cycle => {
                changed.sort_unstable();
                changed.dedup();
                // Of an id that is gone, an older section may tell more.
                let known = |id| by_reference.get(&id).map_or(&[][..], SmallVec::as_slice);
                (false, changed.into_iter().map(|id| (id, known(id))).collect())
            }
            _ => (true, by_reference.iter().map(|(id, references)| (*id, references.as_slice())).collect()),
        };
        WrittenLedger {
            plain: transactions.plain.take_changed(plain).collect(),
            full: transactions.full.take_changed(full).collect(),
            are_all_references,
            references,
            waiting: &reversals.waiting,
            set_aside,
            overdue: expiry.range(..swept).flat_map(|(_, keys)| keys).copied().collect(),
        }
    }

    /// Takes what a section says; sections come from the oldest to the newest. Answers what was overdue then.
    pub(crate) fn read(&mut self, section: LedgerSection, markets: &mut Markets) -> Vec<Identity> {
        let LedgerSection { plain, full, are_all_references, references, waiting, set_aside, overdue } = section;
        for (key, mut plain) in plain {
            self.transactions.remove(key);
            plain.market = plain.market.map(|market| markets.intern(&market.game_type, &market.currency));
            self.transactions.insert_plain(key, plain);
        }
        for (key, mut transaction) in full {
            self.transactions.remove(key);
            for booking in transaction.versions.iter_mut().filter_map(|version| version.booking.as_mut()) {
                booking.market = markets.intern(&booking.market.game_type, &booking.market.currency);
            }
            self.transactions.insert(key, transaction);
        }
        if are_all_references {
            self.reversals.by_reference.clear();
        }
        self.reversals.by_reference.extend(references);
        (self.reversals.waiting, self.set_aside) = (waiting, set_aside);
        overdue
    }

    /// After the last section: what was not written, as of the hour up to which had been forgotten, but for what was
    /// `overdue`; and what went `cold`.
    pub(crate) fn complete(
        &mut self,
        swept: Option<i64>,
        (overdue, cold): (&[Identity], &[ColdRun]),
        rules: &LedgerRules,
    ) {
        self.swept = swept;
        self.restore_cold(cold, rules);
        let spared: FastMap<Identity, ()> = overdue.iter().map(|key| (*key, ())).collect();
        let mut late = Vec::new();
        for (key, ingest_time) in self.transactions.ingest_times() {
            let hour = rules.forget_hour(ingest_time);
            if spared.contains_key(&key) {
                late.push((hour, key));
            } else {
                self.expiry.entry(hour).or_default().push(key);
            }
        }
        if let Some(hour) = swept {
            self.forget_due(hour, rules);
        }
        for (hour, key) in late {
            self.expiry.entry(hour).or_default().push(key);
        }
        self.reversals.forget(&self.transactions);
        self.transactions.plain.settle();
        self.transactions.full.settle();
    }

    /// When waits end.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = Timestamp> {
        self.reversals.waiting.keys().map(|(deadline, _)| *deadline)
    }
}
