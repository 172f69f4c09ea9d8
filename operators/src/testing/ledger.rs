//! Identity and reversal, recomputed from the list of accepted inputs (DOMAIN §2).

use std::collections::{BTreeMap, BTreeSet};

use datasets::{Coordinates, EventName, Family, Timestamp};

use super::Input;
use crate::ledger::LedgerRules;

/// What a transaction asserts: the version that decides, and when it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub input: Input,
    pub time: Timestamp,
}

/// Remembers what was accepted; everything else is found anew for each question.
pub(crate) struct LedgerOracle {
    pub(super) rules: LedgerRules,
    /// Each transaction with its versions in the order in which they were accepted.
    pub(super) transactions: Vec<Vec<Input>>,
    /// Reversals that were refused.
    refused: BTreeSet<Coordinates>,
    /// Reversals that wait no more.
    matched: BTreeSet<Coordinates>,
    /// What reversals named last that had not left the ledger when they came.
    named: BTreeMap<Coordinates, usize>,
    pub duplicates: u64,
    pub conflicts: u64,
}

impl LedgerOracle {
    pub(crate) fn new(rules: LedgerRules) -> Self {
        LedgerOracle {
            rules,
            transactions: Vec::new(),
            refused: BTreeSet::new(),
            matched: BTreeSet::new(),
            named: BTreeMap::new(),
            duplicates: 0,
            conflicts: 0,
        }
    }

    /// Reads an epoch.
    pub(crate) fn epoch(&mut self, inputs: &[Input], now: Timestamp) {
        let mut accepted: Vec<&Input> = Vec::new();
        let mut by_coordinates: Vec<&Input> = inputs.iter().collect();
        by_coordinates.sort_by_key(|input| input.at);
        for input in by_coordinates {
            if self.admit(input) {
                accepted.push(input);
            }
        }
        self.expire(&accepted);
        self.give_up(now);
    }

    /// It is one of the versions of a transaction.
    pub(crate) fn has_accepted(&self, input: &Input) -> bool {
        self.transactions.iter().flatten().any(|known| known.at == input.at)
    }

    fn admit(&mut self, input: &Input) -> bool {
        let holder = self.transactions.iter_mut().rev().find(|versions| versions[0].key() == input.key());
        let moves = self.rules.lifecycle.contains(&input.key().0) || input.name == "bet_settled";
        let retention = self.rules.identity_retention;
        let known =
            holder.filter(|versions| moves || input.ingest_time.micros_since(versions[0].ingest_time) <= retention);
        let Some(versions) = known else {
            self.transactions.push(vec![input.clone()]);
            return true;
        };
        let is_duplicate = versions.iter().any(|version| version.is_same_content(input));
        let is_conflict = match input.key().0 {
            Family::Settlement => false,
            _ if moves => versions.iter().any(|version| {
                version.status == input.status && (input.status.is_none() || version.event_time == input.event_time)
            }),
            _ => true,
        };
        self.duplicates += u64::from(is_duplicate);
        self.conflicts += u64::from(!is_duplicate && is_conflict);
        if !is_duplicate && !is_conflict {
            versions.push(input.clone());
        }
        !is_duplicate && !is_conflict
    }

    /// A reversal that finds its transaction too old is refused for good. One that has come does not turn to such a transaction.
    fn expire(&mut self, accepted: &[&Input]) {
        let mut in_order = accepted.to_vec();
        in_order.sort_by_key(|input| input.order());
        let mut open: BTreeSet<Coordinates> = in_order.iter().map(|input| input.at).collect();
        for input in in_order {
            open.remove(&input.at);
            let known = |input: &Input| !open.contains(&input.at);
            // Itself, and those that name its id: others name what they named.
            let is_concerned = |one: &&Input| {
                let names_it = one.player == input.player && one.reference.as_deref() == Some(input.id.as_str());
                one.name == "reversal" && known(one) && (one.at == input.at || names_it)
            };
            let reversals = self.transactions.iter().map(|versions| &versions[0]).filter(is_concerned);
            let reversals = reversals.filter(|one| !self.refused.contains(&one.at));
            let found = reversals.filter_map(|one| Some((one, self.resolve(one, &known)?)));
            let (expired, named): (Vec<_>, Vec<_>) = found.partition(|(one, target)| self.is_expired(one, *target));
            let refused = expired.into_iter().map(|(one, _)| one.at).find(|at| *at == input.at);
            let named: Vec<_> = named.into_iter().map(|(one, target)| (one.at, target)).collect();
            self.refused.extend(refused);
            self.named.extend(named);
        }
    }

    fn is_expired(&self, reversal: &Input, target: usize) -> bool {
        let age = reversal.ingest_time.micros_since(self.transactions[target][0].ingest_time);
        age > self.rules.ledger_retention
    }

    /// A reversal that found no transaction in its time is refused.
    fn give_up(&mut self, now: Timestamp) {
        let reversals = self.transactions.iter().map(|versions| &versions[0]).filter(|input| input.name == "reversal");
        let (matched, open): (Vec<&Input>, Vec<&Input>) =
            reversals.partition(|input| self.matched.contains(&input.at) || self.resolve(input, &|_| true).is_some());
        let orphans = open.into_iter().filter(|input| input.ingest_time.plus_micros(self.rules.orphan_wait) < now);
        let orphans: Vec<Coordinates> = orphans.map(|input| input.at).collect();
        let matched: Vec<Coordinates> = matched.into_iter().map(|input| input.at).collect();
        self.matched.extend(matched);
        self.refused.extend(orphans);
    }

    /// The transaction that `reversal` takes back, of those that are `known`.
    fn target(&self, reversal: &Input, known: &dyn Fn(&Input) -> bool) -> Option<usize> {
        let named = self.resolve(reversal, known).filter(|target| !self.is_expired(reversal, *target));
        let before = self.named.get(&reversal.at).copied();
        named.or(before.filter(|target| self.transactions[*target].iter().any(known)))
    }

    /// The transaction that `reversal` names among the inputs that are `known`.
    fn resolve(&self, reversal: &Input, known: &dyn Fn(&Input) -> bool) -> Option<usize> {
        let every: Vec<Family> = Family::REVERSIBLE.iter().map(|(_, family)| *family).collect();
        let families = reversal.family.map_or(every, |name| vec![Family::named(name).unwrap()]);
        let reference = reversal.reference.as_deref().unwrap();
        families.into_iter().find_map(|family| {
            let key = (family, "", reversal.player, reference);
            // A reversal can only be reversed by a later one.
            let in_order = |first: &Input| family != Family::Reversal || first.order() < reversal.order();
            let holders: Vec<usize> = (0..self.transactions.len())
                .filter(|index| self.transactions[*index][0].key() == key && in_order(&self.transactions[*index][0]))
                .filter(|index| self.transactions[*index].iter().any(known))
                .collect();
            // An id that was used twice: the newest that was there, else the first to come.
            let there = |index: &usize| self.transactions[*index][0].ingest_time <= reversal.ingest_time;
            let target = holders.iter().copied().rfind(there).or(holders.first().copied())?;
            let first = &self.transactions[target][0];
            let in_time = first.ingest_time.micros_since(reversal.ingest_time) <= self.rules.orphan_wait;
            in_time.then_some(target)
        })
    }

    /// Everything asserted by the inputs that `known` lets through.
    pub(crate) fn facts(&self, known: &dyn Fn(&Input) -> bool) -> Vec<Fact> {
        let reversed = self.reversed(known);
        let indexed = self.transactions.iter().enumerate();
        let standing = indexed.filter(|(index, versions)| !reversed.contains(index) && versions[0].name != "reversal");
        standing
            .filter_map(|(_, versions)| self.fact(versions.iter().filter(|version| known(version)).collect()))
            .collect()
    }

    pub(super) fn fact(&self, mut versions: Vec<&Input>) -> Option<Fact> {
        versions.sort_by_key(|version| version.order());
        let (first, last) = (versions.first()?, versions.last()?);
        let time = if self.rules.lifecycle.contains(&first.key().0) {
            let counts = |version: &Input| {
                version.status.is_none_or(|status| self.rules.counted_status.iter().any(|counted| counted == status))
            };
            versions.iter().rev().take_while(|version| counts(version)).last()?.event_time
        } else {
            first.event_time
        };
        Some(Fact { input: (*last).clone(), time })
    }

    /// Plays reversals and re-settlements in the order of event time; answers the transactions that are
    /// reversed in the end.
    pub(super) fn reversed(&self, known: &dyn Fn(&Input) -> bool) -> BTreeSet<usize> {
        let mut steps: Vec<(&Input, usize)> = Vec::new();
        for (index, versions) in self.transactions.iter().enumerate() {
            let mut versions: Vec<&Input> = versions.iter().filter(|version| known(version)).collect();
            versions.sort_by_key(|version| version.order());
            let skip = usize::from(versions.first().is_some_and(|first| first.name != "reversal"));
            steps.extend(versions.into_iter().skip(skip).map(|version| (version, index)));
        }
        steps.sort_by_key(|(input, _)| input.order());
        let mut against: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (input, index) in steps {
            match EventName::of_source(input.name, true).family() {
                Family::Settlement => {
                    against.remove(&index);
                }
                Family::Reversal if !self.refused.contains(&input.at) => {
                    if let Some(target) = self.target(input, known)
                        && !is_reversed(target, &against)
                    {
                        against.entry(target).or_default().push(index);
                    }
                }
                _ => {}
            }
        }
        (0..self.transactions.len()).filter(|index| is_reversed(*index, &against)).collect()
    }
}

fn is_reversed(transaction: usize, against: &BTreeMap<usize, Vec<usize>>) -> bool {
    against.get(&transaction).is_some_and(|by| by.iter().any(|reversal| !is_reversed(*reversal, against)))
}
