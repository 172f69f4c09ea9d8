//! A ledger in sections, see [`datasets::state`].
//!
//! What follows from the rest is not written: when a transaction can be forgotten, and with it the references
//! of what was forgotten. Nor is what went cold: it was handed out when it did.

use std::ops::Range;

use datasets::cold::ColdRun;
use datasets::{Identity, Timestamp};
use serde::Serialize;
use smallvec::SmallVec;

use super::reversal::{Changed, Reference, Waiting};
use super::transaction::{MarketName, Transaction};
use super::transactions::{Plain, Transactions};
use super::{FastMap, Ledger, LedgerRules, Markets, Slip};
use crate::snapshot::{self, WRITABLE};

/// Chunks of plain and of other transactions, and of slips.
type Chunks<T> = [T; 3];

/// What a piece says of a ledger. [`Ledger::read`] reads its fields one behind the other.
#[derive(Serialize)]
pub(crate) struct WrittenLedger<'a> {
    plain: Vec<&'a (Identity, Plain)>,
    full: Vec<&'a (Identity, Transaction)>,
    /// References that are not here are none, else they are as they were.
    are_all_references: bool,
    references: Vec<(Identity, &'a [Reference])>,
    /// This and what follows is whole in the last piece of a section, and empty in those before.
    waiting: Vec<(&'a (Timestamp, Identity), &'a Waiting)>,
    set_aside: Vec<(&'a Identity, &'a Vec<Identity>)>,
    /// Transactions that were due to be forgotten when they came, and are not until the next hour.
    overdue: Vec<Identity>,
    /// Written apart, behind what older formats say.
    #[serde(skip)]
    slips: Vec<&'a (Identity, Slip)>,
}

/// How far reading has come, from the newest piece on.
#[derive(Default)]
pub(crate) struct Reading {
    has_begun: bool,
    /// Older pieces know no more references.
    has_all_references: bool,
    /// Transactions that were overdue when the newest piece was written.
    pub(crate) overdue: Vec<Identity>,
}

impl WrittenLedger<'_> {
    /// The slips as they are written, and whether there are none.
    pub(crate) fn slips(&self) -> (Vec<u8>, bool) {
        let bytes = postcard::to_allocvec(&self.slips).expect(WRITABLE);
        (bytes, self.slips.is_empty())
    }
}

impl Ledger {
    /// How many transactions and slips have changed since they were written.
    pub(crate) fn changed(&self) -> usize {
        self.transactions.plain.changed() + self.transactions.full.changed() + self.stakes.slips.changed()
    }

    /// How many chunks of transactions and slips there are.
    pub(crate) fn chunks(&self) -> Chunks<usize> {
        [self.transactions.plain.chunks(), self.transactions.full.chunks(), self.stakes.slips.chunks()]
    }

    /// How many of them have no room for one more.
    pub(crate) fn full_chunks(&self) -> Chunks<usize> {
        let Transactions { plain, full, .. } = &self.transactions;
        [plain.full_chunks(), full.full_chunks(), self.stakes.slips.full_chunks()]
    }

    /// The chunks of a piece, and all that has changed beside them if it is the last one of its section; all references if it is the first
    /// of a time round. The ledger has been swept up to the hour `swept`.
    pub(crate) fn write(
        &mut self,
        [plain, full, slips]: Chunks<Range<usize>>,
        (is_first, is_last): (bool, bool),
        swept: i64,
    ) -> WrittenLedger<'_> {
        let Ledger { transactions, reversals, stakes, set_aside, expiry, .. } = self;
        let by_reference = &reversals.by_reference;
        let (are_all_references, references) = match std::mem::take(&mut reversals.changed) {
            Changed::Some(mut changed) if !is_first => {
                changed.sort_unstable();
                changed.dedup();
                // Of an id that is gone, an older section may tell more.
                let known = |id| by_reference.get(&id).map_or(&[][..], SmallVec::as_slice);
                (false, changed.into_iter().map(|id| (id, known(id))).collect())
            }
            _ => (true, by_reference.iter().map(|(id, references)| (*id, references.as_slice())).collect()),
        };
        let mut written = WrittenLedger {
            plain: taken(transactions.plain.take(plain, is_last)),
            full: taken(transactions.full.take(full, is_last)),
            are_all_references,
            references,
            waiting: Vec::new(),
            set_aside: Vec::new(),
            overdue: Vec::new(),
            slips: taken(stakes.slips.take(slips, is_last)),
        };
        if is_last {
            written.waiting = reversals.waiting.iter().collect();
            written.set_aside = set_aside.iter().collect();
            written.overdue = expiry.range(..swept).flat_map(|(_, keys)| keys).copied().collect();
        }
        written
    }

    /// Takes what a piece says, off the front of `rest`, but for what is known from newer ones: pieces come from the newest to the oldest.
    pub(crate) fn read(&mut self, rest: &mut &[u8], reading: &mut Reading, markets: &mut Markets) {
        let plain = snapshot::list::<(Identity, Plain<MarketName<'_>>)>(rest);
        self.transactions.make_room(plain.len());
        for (key, plain) in plain {
            if !self.transactions.contains(key) {
                self.transactions.insert_plain(key, plain.sharing(markets));
            }
        }
        for (key, mut transaction) in snapshot::list::<(Identity, Transaction)>(rest) {
            if self.transactions.contains(key) {
                continue;
            }
            for booking in transaction.versions.iter_mut().filter_map(|version| version.booking.as_mut()) {
                booking.market = markets.intern(&booking.market.game_type, &booking.market.currency);
            }
            self.transactions.insert(key, transaction);
        }
        let are_all_references: bool = snapshot::next(rest);
        let references = snapshot::list::<(Identity, SmallVec<[Reference; 1]>)>(rest);
        for (id, references) in references {
            if !reading.has_all_references {
                self.reversals.by_reference.entry(id).or_insert(references);
            }
        }
        reading.has_all_references |= are_all_references;
        let (waiting, set_aside, overdue) = (snapshot::next(rest), snapshot::next(rest), snapshot::next(rest));
        if !std::mem::replace(&mut reading.has_begun, true) {
            (self.reversals.waiting, self.set_aside, reading.overdue) = (waiting, set_aside, overdue);
        }
    }

    /// Takes the slips of a piece, as above.
    pub(crate) fn read_slips(&mut self, slips: Vec<(Identity, Slip)>) {
        slips.into_iter().for_each(|(bet, slip)| self.stakes.insert_unless_known(bet, slip));
    }

    /// After the oldest piece: what was not written, as of the hour up to which had been forgotten, but for what was
    /// `overdue`; and what went `cold`.
    pub(crate) fn complete(
        &mut self,
        swept: Option<i64>,
        (overdue, cold): (&[Identity], &[ColdRun]),
        rules: &LedgerRules,
    ) {
        self.swept = swept;
        self.transactions.turn_round();
        self.stakes.complete(&self.set_aside);
        self.restore_cold(cold, rules);
        let spared: FastMap<Identity, ()> = overdue.iter().map(|key| (*key, ())).collect();
        // Room for as many as there are: a start is as fast as the memory that it touches.
        let mut due: FastMap<i64, usize> = FastMap::default();
        for (_, ingest_time) in self.transactions.ingest_times() {
            *due.entry(rules.forget_hour(ingest_time)).or_default() += 1;
        }
        for (hour, count) in due {
            self.expiry.entry(hour).or_default().reserve_exact(count);
        }
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
            self.forget_before(hour, rules);
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

fn taken<'a, T>(values: impl Iterator<Item = (&'a mut T, bool)>) -> Vec<&'a T> {
    values.map(|(value, _)| &*value).collect()
}
