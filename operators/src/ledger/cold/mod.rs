//! Plain transactions that nobody has asked for in a while, outside memory.
//!
//! What is cold makes no difference to any answer, so when something goes cold may follow from anything. Why:
//! 1. A cold transaction is a plain one as it was: whatever happens to one happens to a copy in memory, which from then
//!    on is asked first and lives as long.
//! 2. Of several transactions that had one key, one after the other, the newest by ingest time has it; the others were
//!    set aside under other keys when it came. The newest is also forgotten last.
//! 3. Each is forgotten by its own ingest time, in the sweep in which it would have been forgotten in memory.
//! 4. Nothing refers to a plain transaction: whoever reverses or is reversed is none.

mod record;

use std::collections::BTreeMap;

use datasets::cold::ColdRun;
use datasets::hash::{KEY_GROUPS, KeyGroup};
use datasets::{Identity, Timestamp};

use super::transactions::Plain;
use super::{HOUR, Ledger, LedgerRules};
use crate::cold::{self, ColdRules, Filter, tag};
use record::hash;

type Run = cold::Run<(Identity, Plain)>;
type Near = cold::Near<(Identity, Plain)>;

/// So many transactions make a run, however few hours they come from; and about so many go cold at once.
const FULL: usize = 32 << 10;

/// The cold transactions of one key group.
#[derive(Clone, Debug, Default)]
pub(super) struct Cold {
    filter: Filter,
    /// By number; the low bits of it are the tag in the filter.
    runs: BTreeMap<u64, Run>,
    next: u64,
    /// The hours of forgetting below this have gone cold, but for what came since.
    gone: Option<i64>,
}

impl Cold {
    /// A transaction comes that is forgotten in `hour`.
    pub(super) fn came(&mut self, hour: i64) {
        self.gone = self.gone.map(|gone| gone.min(hour));
    }

    /// There may be a transaction of this key.
    pub(super) fn may_hold(&self, key: Identity) -> bool {
        self.filter.may_hold(hash(key))
    }

    /// The transaction of `key`, unless it is forgotten by now.
    pub(super) fn find(&self, key: Identity, swept: Option<i64>, rules: &LedgerRules) -> Option<Plain> {
        if !self.may_hold(key) {
            return None;
        }
        self.read(key, swept, rules, &mut Near::default())
    }

    #[cold]
    fn read(&self, key: Identity, swept: Option<i64>, rules: &LedgerRules, near: &mut Near) -> Option<Plain> {
        let mut found: Option<Plain> = None;
        let mut tags: Vec<u8> = self.filter.tags(hash(key)).collect();
        tags.dedup();
        for (number, run) in &self.runs {
            // The file of what is forgotten as a whole may be gone.
            if !tags.contains(&tag(*number)) || swept.is_some_and(|hour| run.last_hour < hour) {
                continue;
            }
            let block = near.block(*number, run, hash(key));
            for (_, plain) in block.iter().filter(|(known, _)| *known == key) {
                let is_forgotten = swept.is_some_and(|hour| rules.forget_hour(plain.ingest_time) < hour);
                if !is_forgotten && found.as_ref().is_none_or(|found| found.ingest_time <= plain.ingest_time) {
                    found = Some(plain.clone());
                }
            }
        }
        #[cfg(test)]
        ANSWERS.set(ANSWERS.get() + usize::from(found.is_some()));
        found
    }

    /// Takes runs that were written by an earlier life.
    fn restore(&mut self, kept: &[ColdRun]) {
        let mut entries = Vec::new();
        for cold in kept {
            // As above: a start that goes on without it would answer wrongly.
            let (run, hashes) = Run::open(cold).unwrap_or_else(|unreadable| panic!("{unreadable}"));
            entries.extend(hashes.into_iter().map(|hash| (hash, tag(self.next))));
            self.gone = self.gone.max(Some(run.last_hour + 1));
            self.runs.insert(self.next, run);
            self.next += 1;
        }
        entries.sort_unstable();
        let len = entries.len();
        self.filter = Filter::new(entries.into_iter(), len);
    }

    /// Adds a run, and drops those that are forgotten.
    fn change(&mut self, new: Option<(Run, Vec<u32>)>, swept: i64) {
        let gone: Vec<(u64, Run)> = self.runs.extract_if(.., |_, run| run.last_hour < swept).collect();
        if new.is_none() && gone.is_empty() {
            return;
        }
        // Tags repeat after 256 runs: of those that live on, what a run leaves behind is taken out one by one.
        let mut lives = [false; 256];
        self.runs.keys().for_each(|number| lives[usize::from(tag(*number))] = true);
        let stays = |tag: u8| lives[usize::from(tag)];
        let mut removed = Vec::new();
        for (number, run) in gone.iter().filter(|(number, _)| stays(tag(*number))) {
            // Entries that cannot be read are asked for nothing until their tag is free, no more.
            let hashes = run.hashes().unwrap_or_default();
            removed.extend(hashes.into_iter().map(|hash| (hash, tag(*number))));
        }
        removed.sort_unstable();
        let hashes = new.as_ref().map_or(&[][..], |(_, hashes)| hashes);
        self.filter = self.filter.merged((stays, &removed), (hashes, tag(self.next)));
        if let Some((run, _)) = new {
            self.runs.insert(self.next, run);
            self.next += 1;
        }
    }
}

impl Ledger {
    /// Brings the transaction of `key` back to memory, if it is cold.
    pub(super) fn warm(&mut self, key: Identity, rules: &LedgerRules) {
        if self.cold.may_hold(key)
            && !self.transactions.contains(key)
            && let Some(plain) = self.cold.find(key, self.swept, rules)
        {
            self.expiry.entry(rules.forget_hour(plain.ingest_time)).or_default().push(key);
            self.transactions.insert_plain(key, plain);
        }
    }

    /// Gives the memory of plain transactions back that are due to go cold, if there are rules for it, and answers what was in
    /// it. Also drops what was forgotten since the last time.
    pub(crate) fn freeze(&mut self, group: KeyGroup, cold: Option<ColdRules>, rules: &LedgerRules) -> Option<ColdRun> {
        let swept = self.swept?;
        let Some(cold) = cold else {
            self.cold.change(None, swept);
            return None;
        };
        let due = self.due(group, swept, cold, rules);
        let mut transactions = Vec::new();
        // What is overdue stays: it is forgotten with the next sweep, and not before.
        for (hour, keys) in self.expiry.range_mut(due.clone()) {
            keys.retain(|key| {
                let is_due = |plain: &Plain| plain.is_applied && rules.forget_hour(plain.ingest_time) == *hour;
                let plain = self.transactions.take_plain(*key, is_due);
                let stays = plain.is_none();
                transactions.extend(plain.map(|plain| (*key, plain)));
                stays
            });
            keys.shrink_to_fit();
            self.cold.gone = Some(hour + 1);
            if transactions.len() >= FULL {
                break;
            }
        }
        if !due.is_empty() {
            if transactions.len() < FULL {
                self.cold.gone = Some(due.end);
            }
            self.expiry.retain(|_, keys| !keys.is_empty());
        }
        let hours = transactions.iter().map(|(_, plain)| rules.forget_hour(plain.ingest_time));
        let Some(last_hour) = hours.max() else {
            self.cold.change(None, swept);
            return None;
        };
        let until = Timestamp::from_micros((last_hour + 1).saturating_mul(HOUR));
        transactions.sort_unstable_by_key(|(key, plain)| (hash(*key), *key, plain.ingest_time));
        let (written, run) = cold::encode(&transactions, last_hour, Some(until));
        let hashes = transactions.iter().map(|(key, _)| hash(*key)).collect();
        self.cold.change(Some((run, hashes)), swept);
        Some(written)
    }

    /// The hours of forgetting whose transactions go cold now. Each key group has a time of the day of its own.
    fn due(&self, group: KeyGroup, swept: i64, cold: ColdRules, rules: &LedgerRules) -> std::ops::Range<i64> {
        let newest = Timestamp::from_micros(swept.saturating_sub(cold.after_hours).saturating_mul(HOUR));
        let end = rules.forget_hour(newest);
        let start = self.cold.gone.map_or(swept, |gone| gone.max(swept));
        if start >= end {
            return start..start;
        }
        let phase = cold.every_hours * i64::from(group.0) / i64::from(KEY_GROUPS);
        let turn = |hour: i64| (hour - phase).div_euclid(cold.every_hours);
        let len: usize = self.expiry.range(start..end).map(|(_, keys)| keys.len()).sum();
        if turn(start) < turn(end) || len >= FULL { start..end } else { start..start }
    }

    /// After the oldest piece: takes what went cold, and drops from memory what pieces know of it.
    pub(super) fn restore_cold(&mut self, kept: &[ColdRun], rules: &LedgerRules) {
        if kept.is_empty() {
            return;
        }
        self.cold.restore(kept);
        let known = self.transactions.ingest_times().filter(|(key, _)| self.cold.may_hold(*key));
        let mut known: Vec<(Identity, Timestamp)> = known.collect();
        // Neighbours are in one block.
        known.sort_unstable_by_key(|(key, _)| (hash(*key), *key));
        let mut near = Near::default();
        for (key, ingest_time) in known {
            let Some(cold) = self.cold.read(key, self.swept, rules, &mut near) else { continue };
            // A plain one has not changed since it went cold. Another one is what came of it, or of what had the key before.
            let is_plain = self.transactions.plain(key).is_some();
            if ingest_time < cold.ingest_time || (is_plain && ingest_time == cold.ingest_time) {
                self.transactions.remove(key);
            }
        }
        // What had come behind its hour, or had no turn yet.
        for (_, plain) in self.transactions.plain.iter() {
            self.cold.came(rules.forget_hour(plain.ingest_time));
        }
    }
}

#[cfg(test)]
thread_local! {
    static ANSWERS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How often this thread has found a cold transaction.
#[cfg(test)]
pub(crate) fn answers() -> usize {
    ANSWERS.get()
}

#[cfg(test)]
mod tests;
