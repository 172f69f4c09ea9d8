//! Where a stake is booked that belongs to the day of the settlement (DOMAIN §5).
//!
//! A win or a settlement names a bet: by its `reference_id`, else by its own transaction id. A bet is settled while one
//! that names it counts, and its stake is booked at the earliest time at which one does. So what is booked is a
//! function of what counts, never of the order in which it came: whatever moves a bet or one of its settlements
//! has the whole slip looked at again.

use std::collections::BTreeMap;

use datasets::{Event, EventName, Family, Identity, TextField, Timestamp};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::transaction::{Assertion, Booking};
use super::{Effect, EffectKind, FastMap, Ledger, LedgerRules};
use crate::slab::Slab;

/// The day that a stake belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attribution {
    /// That of the bet.
    #[default]
    Transaction,
    /// That of its settlement.
    Settlement,
}

/// What names one bet, and what is booked of it. Of several bets that had one id, one after the other, all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Slip {
    settlements: SmallVec<[Settlement; 1]>,
    /// Bets whose stakes are booked, at the time of their settlement.
    booked: SmallVec<[(Identity, Assertion); 1]>,
    /// The hour after which nothing can move it.
    due: i64,
}

/// A win or settlement that names a bet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Settlement {
    key: Identity,
    ingest_time: Timestamp,
    /// Since when it counts, while it does.
    since: Option<Timestamp>,
}

/// The slips of one key group, by the key of the bet.
#[derive(Clone, Debug, Default)]
pub(super) struct Stakes {
    index: FastMap<Identity, u32>,
    pub(super) slips: Slab<(Identity, Slip)>,
    /// The bet that a settlement names; and the key that a bet had before it was set aside.
    names: FastMap<Identity, Identity>,
    /// Slips by the hour after which nothing can move them.
    expiry: BTreeMap<i64, Vec<Identity>>,
}

impl Stakes {
    fn get(&self, bet: Identity) -> Option<&Slip> {
        let place = self.index.get(&bet)?;
        self.slips.get(*place).map(|(_, slip)| slip)
    }

    fn get_mut(&mut self, bet: Identity) -> Option<&mut Slip> {
        let place = self.index.get(&bet)?;
        self.slips.get_mut(*place).map(|(_, slip)| slip)
    }

    /// Takes a slip, unless there is one.
    pub(super) fn insert_unless_known(&mut self, bet: Identity, slip: Slip) {
        if !self.index.contains_key(&bet) {
            self.index.insert(bet, self.slips.insert((bet, slip)));
        }
    }

    /// After the last slip: what was not written. What was put first comes last when they are written.
    pub(super) fn complete(&mut self, set_aside: &FastMap<Identity, Vec<Identity>>) {
        let turned = self.slips.turn_round();
        self.index.values_mut().for_each(|place| *place = turned(*place));
        let mut names = Vec::new();
        for (bet, slip) in self.slips.iter() {
            names.extend(slip.settlements.iter().map(|settlement| (settlement.key, settlement.ingest_time, *bet)));
            self.expiry.entry(slip.due).or_default().push(*bet);
        }
        // One id may have settled several bets, one after the other: the last one has it.
        names.sort_unstable();
        self.names.extend(names.into_iter().map(|(settlement, _, bet)| (settlement, bet)));
        // Others than bets are not asked for.
        let aside = set_aside.iter().flat_map(|(key, older)| older.iter().map(move |older| (*older, *key)));
        for (older, key) in aside {
            self.names.entry(older).or_insert(key);
        }
    }

    /// `settlement` names `bet` from now on.
    fn name(&mut self, bet: Identity, settlement: Settlement, due: i64) {
        self.names.insert(settlement.key, bet);
        self.insert_unless_known(bet, Slip { settlements: SmallVec::new(), booked: SmallVec::new(), due: i64::MIN });
        let slip = self.get_mut(bet).expect("it has just been made");
        slip.settlements.retain(|known| known.key != settlement.key);
        slip.settlements.push(settlement);
        if slip.due < due {
            slip.due = due;
            self.expiry.entry(due).or_default().push(bet);
        }
    }

    /// A transaction has another key from now on; `is_bet` if it is one.
    pub(super) fn rename(&mut self, key: Identity, aside: Identity, is_bet: bool) {
        if is_bet {
            self.names.insert(aside, key);
            let booked = self.get_mut(key).into_iter().flat_map(|slip| &mut slip.booked);
            booked.filter(|(bet, _)| *bet == key).for_each(|(bet, _)| *bet = aside);
        } else if let Some(bet) = self.names.remove(&key) {
            self.names.insert(aside, bet);
            let settlements = self.get_mut(bet).into_iter().flat_map(|slip| &mut slip.settlements);
            settlements.filter(|settlement| settlement.key == key).for_each(|settlement| settlement.key = aside);
        }
    }

    /// Forgets slips that nothing can move from `hour` on.
    pub(super) fn forget(&mut self, hour: i64) {
        let later = self.expiry.split_off(&hour);
        for bet in std::mem::replace(&mut self.expiry, later).into_values().flatten() {
            if self.get(bet).is_some_and(|slip| slip.due < hour)
                && let Some(place) = self.index.remove(&bet)
                && let Some((_, slip)) = self.slips.remove(place)
            {
                for settlement in &slip.settlements {
                    // Another bet may have got the name since.
                    if self.names.get(&settlement.key) == Some(&bet) {
                        self.names.remove(&settlement.key);
                    }
                }
            }
        }
    }

    /// A transaction that was set aside is forgotten.
    pub(super) fn forget_aside(&mut self, key: Identity) {
        self.names.remove(&key);
    }
}

/// A bet that a slip is about.
struct Bet {
    key: Identity,
    ingest_time: Timestamp,
    asserted: Option<Assertion>,
}

impl Ledger {
    /// What `event` did to bets and settlements is in `effects` from place `from` on: moves stakes to where they belong now.
    pub(super) fn book_stakes(
        &mut self,
        (event, key): (&Event<'_>, Identity),
        from: usize,
        rules: &LedgerRules,
        effects: &mut Vec<Effect>,
    ) {
        if rules.attribution == Attribution::Transaction {
            return;
        }
        let mut moved: SmallVec<[Identity; 2]> = SmallVec::new();
        // A bet that does not count can still be the one that a settlement names.
        moved.extend((event.name == EventName::BetPlaced).then(|| self.bet_of(key)));
        for effect in &mut effects[from..] {
            match effect.booking.take_if(|booking| booking.side.is_bet()) {
                Some(_) => moved.push(self.bet_of(effect.key)),
                None if effect.booking.as_ref().is_some_and(|booking| booking.side.is_win()) => {
                    self.note(effect, event, rules, &mut moved);
                }
                None => {}
            }
        }
        moved.sort_unstable();
        moved.dedup();
        moved.into_iter().for_each(|bet| self.book(bet, rules, effects));
    }

    /// The key that a bet came with.
    fn bet_of(&self, key: Identity) -> Identity {
        self.stakes.names.get(&key).copied().unwrap_or(key)
    }

    /// A settlement counts since another time, or no longer, or names another bet. Adds the bets to `moved`.
    fn note(&mut self, effect: &Effect, cause: &Event<'_>, rules: &LedgerRules, moved: &mut SmallVec<[Identity; 2]>) {
        let named = match &effect.kind {
            EffectKind::Enter { event: None, .. } => Some(named_bet(cause)),
            EffectKind::Enter { event: Some(stored), .. } => Some(named_bet(&stored.get(0))),
            EffectKind::Toggle { .. } | EffectKind::Leave | EffectKind::Stake { .. } => None,
        };
        let key = effect.key;
        let before = self.stakes.names.get(&key).copied();
        let (Some(bet), Some(ingest_time)) = (named.or(before), self.transactions.ingest_time(key)) else { return };
        if let Some(before) = before.filter(|before| *before != bet) {
            let slip = self.stakes.get_mut(before).expect("what is named has a slip");
            slip.settlements.retain(|settlement| settlement.key != key);
            moved.push(before);
        }
        let since = self.transactions.asserted(key).map(|assertion| assertion.time);
        // Of what came behind its time, until the next sweep.
        let due = rules.forget_hour(ingest_time).max(self.swept.unwrap_or(i64::MIN));
        self.stakes.name(bet, Settlement { key, ingest_time, since }, due);
        moved.push(bet);
    }

    /// Books what is settled of the bets that came with the key `bet`, and takes back what is not.
    fn book(&mut self, bet: Identity, rules: &LedgerRules, effects: &mut Vec<Effect>) {
        if self.stakes.get(bet).is_none() {
            return;
        }
        self.warm(bet, rules);
        let bets = self.bets(bet);
        let Some(slip) = self.stakes.get_mut(bet) else { return };
        let settled = |one: &Bet| {
            let counting = slip.settlements.iter().filter_map(|settlement| {
                let settles = rules.settles(*settlement, &bets) == Some(one.key);
                settlement.since.filter(|_| settles)
            });
            Some(Assertion { time: counting.min()?, ..one.asserted? })
        };
        let wanted: SmallVec<[(Identity, Assertion); 1]> =
            bets.iter().filter_map(|one| Some((one.key, settled(one)?))).collect();
        // What the ledger has forgotten stays where it was booked.
        let is_known = |key: Identity| bets.iter().any(|one| one.key == key);
        let (kept, gone): (SmallVec<[_; 1]>, SmallVec<[_; 1]>) =
            slip.booked.iter().copied().partition(|booked| wanted.contains(booked) || !is_known(booked.0));
        let new: SmallVec<[_; 1]> = wanted.into_iter().filter(|wanted| !kept.contains(wanted)).collect();
        slip.booked = kept.into_iter().chain(new.iter().copied()).collect();
        let changes = gone.into_iter().map(|gone| (gone, false)).chain(new.into_iter().map(|new| (new, true)));
        effects.extend(changes.filter_map(|((key, Assertion { time, at }), live)| {
            let booking: Option<Booking> = self.transactions.booking(key, at);
            booking.map(|booking| Effect { key, time, at, booking: Some(booking), kind: EffectKind::Stake { live } })
        }));
    }

    /// The bets that came with a key and have been applied, newest first.
    fn bets(&self, key: Identity) -> SmallVec<[Bet; 1]> {
        let older = self.set_aside.get(&key).into_iter().flatten().rev().copied();
        let known = std::iter::once(key).chain(older).filter(|key| self.transactions.is_applied(*key));
        let known = known.filter_map(|key| {
            let ingest_time = self.transactions.ingest_time(key)?;
            Some(Bet { key, ingest_time, asserted: self.transactions.asserted(key) })
        });
        known.collect()
    }
}

impl LedgerRules {
    /// The bet that `settlement` settles of those that had the id it names, newest first: the newest that was there, else the
    /// first to come; none that the ledger had forgotten, or may have.
    fn settles(&self, settlement: Settlement, bets: &[Bet]) -> Option<Identity> {
        let mut settles = None;
        for Bet { key, ingest_time, .. } in bets {
            let age = settlement.ingest_time.micros_since(*ingest_time);
            if age.abs() > self.ledger_retention {
                continue;
            }
            settles = Some(*key);
            if age >= 0 {
                break;
            }
        }
        settles
    }
}

#[cfg(test)]
impl Ledger {
    /// How many slips are kept, and nothing else of them.
    pub(crate) fn slips(&self) -> usize {
        let Stakes { index, slips, names, expiry } = &self.stakes;
        assert_eq!(slips.iter().count(), index.len());
        assert_eq!(slips.iter().map(|(_, slip)| slip.settlements.len()).sum::<usize>(), names.len());
        assert!(expiry.values().flatten().all(|bet| index.contains_key(bet)));
        index.len()
    }
}

/// The key of the bet that a win or settlement names.
fn named_bet(settlement: &Event<'_>) -> Identity {
    let named = settlement.text(TextField::ReferenceId).filter(|id| !id.is_empty());
    Identity::named(settlement, Family::Bet, named.unwrap_or(settlement.transaction_id()))
}
