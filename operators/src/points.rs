//! A player's points: what was earned and spent, and what of it has expired (DOMAIN §4).
//!
//! The lines that were told are never restated; what corrects them is told as further lines. What they add up to is a
//! function of what stands and of the clock alone: [`Points::expire`] plays all that is known in the order of event
//! time, spends what expires first, and tells what differs from what was told. So neither the order in which
//! things arrive nor the cutting of epochs changes a balance. Arrival only decides how many lines it takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use datasets::rows::PointsReason;
use datasets::{Money, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ledger::Order;

/// Memory is given back of so many entries at once, so that this costs little for each.
const WORTH_FORGETTING: usize = 32;

/// Settings of `[points]`; durations in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PointsRules {
    /// How long after the completion that earned them points can be spent; `None`: for ever.
    pub expiry: Option<i64>,
    /// How long after it was told a line can be corrected.
    pub kept: i64,
}

/// One player's points.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Points {
    balance: Money,
    /// How many lines were told.
    lines: u64,
    /// By time, then id.
    earned: Vec<Earned>,
    /// By order.
    spent: Vec<Spent>,
    /// When some of what is left expires next.
    next_expiry: Option<Timestamp>,
}

/// The points of one completion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Earned {
    /// When the mission was completed.
    at: Timestamp,
    /// First instant at which they cannot be spent any more; [`Timestamp::MAX`]: never.
    expires: Timestamp,
    /// The clock when it was told.
    told: Timestamp,
    completion: u128,
    amount: Money,
    /// What of it was told to have expired.
    expired: Money,
}

/// A transaction that spends points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Spent {
    order: Order,
    /// The clock when it was told.
    told: Timestamp,
    transaction: Arc<str>,
    amount: Money,
    /// No reversal of it stands.
    stands: bool,
}

/// A line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Counts the player's lines, from 1.
    pub number: u64,
    /// What is added.
    pub delta: Money,
    /// The sum of all lines up to this one.
    pub balance: Money,
    /// Why.
    pub reason: PointsReason,
    /// The completion's id, or the transaction that spends.
    pub reference: String,
    /// When earned points expire.
    pub expires: Option<Timestamp>,
}

impl Points {
    /// The completion `id` earns `amount` at `at`. It has earned nothing yet, or that was taken back. `now` is the clock.
    pub fn earn(&mut self, id: Uuid, (at, amount): (Timestamp, Money), rules: &PointsRules, now: Timestamp) -> Line {
        let expires = rules.expiry.map(|expiry| at.plus_micros(expiry));
        let completion = id.as_u128();
        let place = self.earned.partition_point(|other| (other.at, other.completion) < (at, completion));
        let earned = Earned {
            at,
            expires: expires.unwrap_or(Timestamp::MAX),
            told: now,
            completion,
            amount,
            expired: Money::ZERO,
        };
        self.earned.insert(place, earned);
        Line { expires, ..self.line(amount, PointsReason::Earn, id.to_string()) }
    }

    /// The completion `id` is taken back with what it earned. What of it has expired is gone already.
    pub fn revoke(&mut self, id: Uuid) -> Option<Line> {
        let place = self.earned.iter().rposition(|earned| earned.completion == id.as_u128())?;
        let Earned { amount, expired, .. } = self.earned.remove(place);
        self.told_if_any(expired - amount, PointsReason::Revoke, id.to_string())
    }

    /// The transaction of `order` spends `amount`, unless it arrives reversed.
    pub fn spend(
        &mut self,
        order: Order,
        (transaction, amount): (&str, Money),
        stands: bool,
        now: Timestamp,
    ) -> Option<Line> {
        let place = self.spent.partition_point(|other| other.order < order);
        self.spent.insert(place, Spent { order, told: now, transaction: transaction.into(), amount, stands });
        let delta = if stands { -amount } else { Money::ZERO };
        self.told_if_any(delta, PointsReason::Spend, transaction.to_owned())
    }

    /// The transaction of `order` counts again, or no longer; nothing if it spends no points.
    pub fn toggle(&mut self, order: Order, stands: bool) -> Option<Line> {
        let place = self.spent.binary_search_by_key(&order, |spent| spent.order).ok()?;
        let spent = &mut self.spent[place];
        if std::mem::replace(&mut spent.stands, stands) == stands {
            return None;
        }
        let (amount, transaction) = (spent.amount, spent.transaction.to_string());
        let (delta, reason) = if stands { (-amount, PointsReason::Spend) } else { (amount, PointsReason::Revoke) };
        self.told_if_any(delta, reason, transaction)
    }

    /// Forgets the transaction of `order`, which [`toggle`](Self::toggle) has taken back.
    pub fn forget(&mut self, order: Order) {
        self.spent.retain(|spent| spent.order != order || spent.stands);
    }

    /// What has expired when the clock reads `now`, with when it was due: what that is more or less than was told.
    pub fn expire(&mut self, now: Timestamp) -> Vec<(Timestamp, Line)> {
        let Played { mut left, .. } = self.play(self.earned.len(), self.spent.len());
        let later = left.split_off(&(now.plus_micros(1), 0));
        self.next_expiry = later.keys().next().map(|(expires, _)| *expires).filter(|next| *next != Timestamp::MAX);
        let mut due = vec![Money::ZERO; self.earned.len()];
        left.into_iter().for_each(|((_, place), amount)| due[place] = amount);
        let mut lines = Vec::new();
        for (place, due) in due.into_iter().enumerate() {
            let Earned { expires, completion, expired, .. } = &mut self.earned[place];
            let (expires, completion) = (*expires, Uuid::from_u128(*completion));
            let delta = std::mem::replace(expired, due) - due;
            lines.extend(
                self.told_if_any(delta, PointsReason::Expire, completion.to_string()).map(|line| (expires, line)),
            );
        }
        lines
    }

    /// When points expire next, as [`expire`](Self::expire) left them.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.next_expiry
    }

    /// Plays the first of what was earned and spent, by event time: each transaction spends what expires first of what
    /// was there when it happened, and what expired before it is none of that. What it spends beyond is owed, and
    /// paid by what is earned next.
    fn play(&self, earned: usize, spent: usize) -> Played {
        let mut played = Played::default();
        let mut earned = (0..).zip(&self.earned[..earned]).peekable();
        for spent in self.spent[..spent].iter().filter(|spent| spent.stands) {
            while let Some((place, earned)) = earned.next_if(|(_, earned)| earned.at <= spent.order.0) {
                played.earn(place, earned);
            }
            played.spend(spent);
        }
        earned.for_each(|(place, earned)| played.earn(place, earned));
        played
    }

    /// Gives back the memory of what was told before `horizon` and cannot be corrected any more, when there is some. What
    /// is left of it can still be spent, and expires when it is due.
    pub fn forget_before(&mut self, horizon: Timestamp) {
        // What comes before all that can still be corrected.
        let is_open = |told: Timestamp| told >= horizon;
        let earned = self.earned.iter().filter(|earned| is_open(earned.told)).map(|earned| earned.at);
        let spent = self.spent.iter().filter(|spent| is_open(spent.told)).map(|spent| spent.order.0);
        let from = earned.chain(spent).fold(horizon, Timestamp::min);
        let earned = self.earned.partition_point(|earned| earned.at < from);
        let spent = self.spent.partition_point(|spent| spent.order.0 < from);
        if earned + spent < WORTH_FORGETTING {
            return;
        }
        let Played { left, owed } = self.play(earned, spent);
        // Nothing is left while something is owed, so what is owed is as well spent at the end.
        let last = self.spent.drain(..spent).next_back().filter(|_| owed > Money::ZERO);
        self.spent.splice(0..0, last.map(|last| Spent { amount: owed, stands: true, ..last }));
        let mut kept: Vec<Earned> = Vec::new();
        for ((expires, place), amount) in left.into_iter().filter(|((expires, _), _)| *expires > from) {
            match kept.last_mut() {
                // Whose they were is of no interest to anybody.
                Some(last) if expires == Timestamp::MAX && last.expires == expires => last.amount += amount,
                _ => kept.push(Earned { amount, ..self.earned[place].clone() }),
            }
        }
        kept.sort_by_key(|earned| (earned.at, earned.completion));
        self.earned.splice(..earned, kept);
    }

    fn told_if_any(&mut self, delta: Money, reason: PointsReason, reference: String) -> Option<Line> {
        (!delta.is_zero()).then(|| self.line(delta, reason, reference))
    }

    fn line(&mut self, delta: Money, reason: PointsReason, reference: String) -> Line {
        self.balance += delta;
        self.lines += 1;
        Line { number: self.lines, delta, balance: self.balance, reason, reference, expires: None }
    }
}

/// What is left of what was earned, by when it expires, and what is owed.
#[derive(Default)]
struct Played {
    left: BTreeMap<(Timestamp, usize), Money>,
    owed: Money,
}

impl Played {
    fn earn(&mut self, place: usize, earned: &Earned) {
        let paid = self.owed.min(earned.amount);
        self.owed -= paid;
        if paid < earned.amount {
            self.left.insert((earned.expires, place), earned.amount - paid);
        }
    }

    fn spend(&mut self, spent: &Spent) {
        let mut open = spent.amount;
        let first = (spent.order.0.plus_micros(1), 0);
        for left in self.left.range_mut(first..).map(|(_, left)| left) {
            let taken = open.min(*left);
            *left -= taken;
            open -= taken;
            if open.is_zero() {
                break;
            }
        }
        self.left.retain(|_, left| !left.is_zero());
        self.owed += open;
    }
}

#[cfg(test)]
mod tests;
