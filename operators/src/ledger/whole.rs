//! Transactions that are kept whole: what was sent of them, and how they stand.
//!
//! How one stands is a function of what the ledger knows. So what moved is found by comparing: before anything happens that can move a
//! transaction, it is noted how it stands, with all that its standing decides about.

use datasets::{Coordinates, Event, Family, Identity, Timestamp};

use super::transaction::{LifeCycle, Transaction, Version};
use super::{Ledger, LedgerRules};

/// How a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The last version, by [`Order`](super::Order).
    at: Coordinates,
    /// See [`Whole::time`].
    time: Timestamp,
    /// A reversal of it stands.
    is_reversed: bool,
}

/// A transaction that is kept whole, and what happened to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved {
    pub key: Identity,
    pub before: Option<Standing>,
    pub after: Option<Standing>,
}

/// Transactions that may stand otherwise than noted here; nothing where no event of theirs had been applied.
pub(super) type Watched = Vec<(Identity, Option<Standing>)>;

/// A transaction that is kept whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole<'a> {
    /// Its last version, by [`Order`](super::Order).
    pub event: Event<'a>,
    /// Since when it counts, or would if nobody had reversed it; the time of the last version where that does not count.
    pub time: Timestamp,
    /// A reversal of it stands.
    pub is_reversed: bool,
    /// None that the ledger knows had its id before.
    pub is_first: bool,
}

impl LedgerRules {
    /// See [`LedgerRules::whole`].
    pub(super) fn keeps_whole(&self, event: &Event<'_>) -> bool {
        !self.whole.is_empty()
            && !matches!(event.name.family(), Family::Bet | Family::Win | Family::Settlement | Family::Reversal)
            && self.whole.iter().any(|name| name == event.event_name())
    }
}

impl Transaction {
    fn is_whole(&self, rules: &LedgerRules) -> bool {
        let event = self.versions.first().and_then(|version| version.moving.as_ref());
        self.life_cycle != LifeCycle::Resettled && event.is_some_and(|moving| rules.keeps_whole(&moving.event.get(0)))
    }

    /// The last version, and [`Whole::time`].
    fn last(&self) -> Option<(&Version, Timestamp)> {
        let last = self.applied().next_back()?;
        Some((last, self.unreversed().map_or(last.order.0, |asserted| asserted.time)))
    }
}

impl Ledger {
    /// Something is about to happen to `key`. Its standing decides about what it reverses, and so on up.
    pub(super) fn watch(&mut self, key: Identity, rules: &LedgerRules) {
        if rules.whole.is_empty() {
            return;
        }
        let mut next = Some(key);
        while let Some(transaction) = next.and_then(|key| self.transactions.full(key)) {
            let key = next.expect("it was found");
            next = transaction.target.map(|target| target.key);
            if transaction.is_whole(rules) && self.watched.iter().all(|(watched, _)| *watched != key) {
                self.watched.push((key, self.standing(key)));
            }
        }
    }

    fn standing(&self, key: Identity) -> Option<Standing> {
        let (last, time) = self.transactions.full(key)?.last()?;
        Some(Standing { at: last.order.1, time, is_reversed: self.is_reversed(key) })
    }

    /// Transactions that are kept whole and stand otherwise than when this was asked last: how they stood, and how they stand.
    pub(crate) fn take_moved(&mut self) -> Vec<Moved> {
        let watched = std::mem::take(&mut self.watched).into_iter();
        let moved = watched.map(|(key, before)| Moved { key, before, after: self.standing(key) });
        moved.filter(|moved| moved.before != moved.after).collect()
    }

    /// A transaction that is kept whole, as it stands or stood; `None` while no event of it had been applied.
    pub(crate) fn whole(&self, key: Identity, standing: Option<Standing>, rules: &LedgerRules) -> Option<Whole<'_>> {
        let Standing { at, time, is_reversed } = standing?;
        let event = self.transactions.full(key)?.version(at)?.moving.as_ref()?.event.get(0);
        let of_id = self.set_aside.get(&event.identity).into_iter().flatten().copied().chain([event.identity]);
        let is_whole = |key: &Identity| self.transactions.full(*key).is_some_and(|known| known.is_whole(rules));
        let is_first = of_id.into_iter().find(is_whole) == Some(key);
        Some(Whole { event, time, is_reversed, is_first })
    }
}
