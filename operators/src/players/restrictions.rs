//! Responsible gambling: what a player may be told, and what it was not told (DOMAIN §4, "RG").
//!
//! Exclusions and consents are judged when a message leaves, by the recorded clock. Of the control events about one thing the
//! latest by event time decides, then the one with the later coordinates, whichever came first: what holds follows
//! from the set that was read. An exclusion holds as soon as it is read, also where the clock is behind its event time.

use std::sync::Arc;

use datasets::rows::{AuditKind, CompletionRow, Restriction};
use datasets::{Event, EventName, TextField, Timestamp};
use serde::{Deserialize, Serialize};

use super::occurrences::OccurrenceKey;
use crate::ledger::Order;

/// One of the completions of an occurrence, counted from 1.
pub(super) type Completion = (OccurrenceKey, u32);

/// What responsible gambling knows of a player.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Restrictions {
    self_excluded: Option<Exclusion>,
    cooled_off: Option<Exclusion>,
    /// The last that ended both.
    lifted: Option<Order>,
    /// By channel. With one of them, channels that are not here are denied.
    consents: Vec<Consent>,
    /// Completions that stand and never left.
    suppressed: Vec<Completion>,
    /// Completions that stand and leave when they may, in the order in which they were reached.
    #[serde(with = "datasets::wire")]
    deferred: Vec<(Completion, CompletionRow)>,
}

/// The last of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Exclusion {
    order: Order,
    /// The first instant at which it holds no more; absent: it has to be lifted.
    until: Option<Timestamp>,
}

/// The last about its channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Consent {
    channel: Arc<str>,
    order: Order,
    granted: bool,
}

/// Why a completion may not be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) reason: Restriction,
    /// When that ends by the clock alone.
    pub(super) until: Option<Timestamp>,
}

/// The event says something of its player's restrictions.
pub(super) fn restricts(event: &Event<'_>) -> bool {
    matches!(
        event.name,
        EventName::SelfExcluded | EventName::CooledOff | EventName::ExclusionLifted | EventName::ConsentChanged
    )
}

impl Restrictions {
    /// Takes what `event`, which counts at `order`, says.
    pub(super) fn take(&mut self, event: &Event<'_>, order: Order) {
        let exclusion = Exclusion { order, until: event.until() };
        let is_later = |known: Option<Exclusion>| known.is_none_or(|known| known.order <= order);
        match event.name {
            EventName::SelfExcluded if is_later(self.self_excluded) => self.self_excluded = Some(exclusion),
            EventName::CooledOff if is_later(self.cooled_off) => self.cooled_off = Some(exclusion),
            EventName::ExclusionLifted => self.lifted = self.lifted.max(Some(order)),
            EventName::ConsentChanged => {
                // Decoding has refused those without.
                if let (Some(channel), Some(granted)) = (event.text(TextField::Channel), event.granted()) {
                    self.consent(channel, order, granted);
                }
            }
            _ => {}
        }
    }

    fn consent(&mut self, channel: &str, order: Order, granted: bool) {
        match self.consents.iter_mut().find(|known| *known.channel == *channel) {
            None => self.consents.push(Consent { channel: channel.into(), order, granted }),
            Some(known) if known.order <= order => (known.order, known.granted) = (order, granted),
            Some(_) => {}
        }
    }

    /// The exclusion in force at `now`.
    fn exclusion(&self, now: Timestamp) -> Option<Kept> {
        let kinds = [(Restriction::SelfExcluded, self.self_excluded), (Restriction::CooledOff, self.cooled_off)];
        kinds.into_iter().find_map(|(reason, exclusion)| {
            let Exclusion { order, until } = exclusion?;
            let holds = self.lifted.is_none_or(|lifted| lifted < order) && until.is_none_or(|until| now < until);
            holds.then_some(Kept { reason, until })
        })
    }

    /// Those of `channels` that the player has consented to; all of them where it has never said anything.
    fn consented(&self, channels: &[String]) -> Vec<String> {
        let has = |channel: &&String| {
            let known = self.consents.iter().find(|known| *known.channel == ***channel);
            known.map_or(self.consents.is_empty(), |known| known.granted)
        };
        channels.iter().filter(has).cloned().collect()
    }

    /// On which of the reward's `channels` a completion may be told at `now`.
    pub(super) fn allow(&self, channels: &[String], now: Timestamp) -> Result<Vec<String>, Kept> {
        if let Some(kept) = self.exclusion(now) {
            return Err(kept);
        }
        let consented = self.consented(channels);
        if consented.is_empty() && !channels.is_empty() {
            return Err(Kept { reason: Restriction::NoConsent, until: None });
        }
        Ok(consented)
    }

    /// A completion never leaves.
    pub(super) fn suppress(&mut self, completion: Completion) {
        self.suppressed.push(completion);
    }

    /// A completion leaves when it may.
    pub(super) fn defer(&mut self, completion: Completion, row: CompletionRow) {
        self.deferred.push((completion, row));
    }

    /// The completions of an occurrence that stand and were kept back, and how.
    pub(super) fn kept_back(&self, key: OccurrenceKey) -> impl Iterator<Item = (u32, AuditKind)> {
        let suppressed = self.suppressed.iter().map(|completion| (completion, AuditKind::Suppressed));
        let deferred = self.deferred.iter().map(|(completion, _)| (completion, AuditKind::Deferred));
        let all = suppressed.chain(deferred);
        all.filter(move |((known, _), _)| *known == key).map(|((_, occurrence), kind)| (*occurrence, kind))
    }

    /// The occurrences of completions that were suppressed.
    #[cfg(test)]
    pub(super) fn suppressed(&self) -> impl Iterator<Item = OccurrenceKey> {
        self.suppressed.iter().map(|(key, _)| *key)
    }

    /// There is something that leaves when it may.
    pub(super) fn has_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// A completion stands no more. Answers how it was kept back, if it was: then nobody is to hear of it.
    pub(super) fn revoke(&mut self, completion: Completion) -> Option<AuditKind> {
        if let Some(place) = self.suppressed.iter().position(|known| *known == completion) {
            self.suppressed.swap_remove(place);
            return Some(AuditKind::Suppressed);
        }
        let place = self.deferred.iter().position(|(known, _)| *known == completion)?;
        self.deferred.remove(place);
        Some(AuditKind::Deferred)
    }

    /// Takes out what was deferred and may leave at `now`, with its channels. Answers when the clock alone may let more
    /// leave.
    pub(super) fn release(&mut self, now: Timestamp) -> (Vec<CompletionRow>, Option<Timestamp>) {
        let (mut released, mut next) = (Vec::new(), None::<Timestamp>);
        for (completion, mut row) in std::mem::take(&mut self.deferred) {
            match self.allow(&row.channels, now) {
                Ok(channels) => {
                    row.channels = channels;
                    released.push(row);
                }
                Err(Kept { until, .. }) => {
                    next = next.into_iter().chain(until).min();
                    self.deferred.push((completion, row));
                }
            }
        }
        (released, next)
    }

    /// An occurrence can be moved no more: what was suppressed in it stays so. What was deferred still leaves.
    pub(super) fn forget(&mut self, key: OccurrenceKey) {
        self.suppressed.retain(|(known, _)| *known != key);
    }
}
