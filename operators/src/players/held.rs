//! Amounts that wait for a rate (DOMAIN §4: held, never 1:1).
//!
//! An event is judged when it comes: by the definitions that are known then, and whether it is in time. What has no rate then is
//! kept as the contribution that it would be, but for its value. The first rate of its currencies makes it one, at the event's
//! own time: from then on its value is what it is, whatever rates come later. Until then it can be reversed and restored
//! as anything else.

use std::collections::BTreeMap;

use datasets::{Event, EventBatch, EventRow, Money, TextField, Timestamp};
use serde::{Deserialize, Serialize};

use super::Player;
use super::facts::Foreign;
use super::gate;
use super::touch::Touch;
use crate::contributions::Contribution;
use crate::definitions::{ClassId, Definitions, Generation};
use crate::ledger::Order;

/// What waits of one player, by when it counts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Held(BTreeMap<Order, HeldEvent>);

/// An event with something that waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct HeldEvent {
    /// What messages tell of it, without its payload.
    event: EventBatch,
    /// Nobody has taken it back.
    live: bool,
    /// It was said that it waits, which it is not of a player who is not in.
    told: bool,
    amounts: Vec<HeldAmount>,
}

/// What waits of an event for one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HeldAmount {
    pub(super) class: ClassId,
    /// In which it came.
    pub(super) generation: Generation,
    pub(super) qualifies: bool,
    pub(super) foreign: Foreign,
}

impl HeldEvent {
    /// The event.
    fn event(&self) -> Event<'_> {
        self.event.get(0)
    }

    /// It counts as waiting: one that was taken back waits for nothing.
    fn waits(&self) -> bool {
        self.told && self.live
    }
}

impl Held {
    /// Nothing waits.
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Something of the event of `order` waits.
    pub(super) fn has(&self, order: Order) -> bool {
        self.0.contains_key(&order)
    }

    /// The order of each event.
    pub(super) fn orders(&self) -> impl Iterator<Item = Order> {
        self.0.keys().copied()
    }

    /// Events that wait for a rate of one of `pairs`, of base and quote.
    pub(super) fn waiting_for(&self, pairs: &[(String, String)], definitions: &Definitions) -> Vec<Order> {
        let is_of = |held: &HeldEvent, amount: &HeldAmount| {
            let into = definitions.class(amount.class).stage.measure.currency();
            pairs.iter().any(|(base, quote)| base == held.event().currency() && into == Some(quote))
        };
        let waiting = self.0.iter().filter(|(_, held)| held.amounts.iter().any(|amount| is_of(held, amount)));
        waiting.map(|(order, _)| *order).collect()
    }

    /// The event of `order`, without its payload.
    pub(super) fn event_of(&self, order: Order) -> Option<EventBatch> {
        self.0.get(&order).map(|held| held.event.clone())
    }

    /// When nothing can be released any more of the event of `order`; `None`: there always may be, or there is none.
    pub(super) fn due(&self, order: Order, definitions: &Definitions) -> Option<i64> {
        let amounts = &self.0.get(&order)?.amounts;
        let due = amounts.iter().map(|amount| gate::due(amount.class, order.0, definitions));
        due.max_by_key(|due| due.unwrap_or(i64::MAX)).flatten()
    }

    /// Forgets the event of `order`. Answers by how many fewer wait.
    fn forget(&mut self, order: Order) -> i64 {
        self.0.remove(&order).map_or(0, |held| i64::from(held.waits()))
    }

    /// The event of `order` counts, or no longer. Answers by how many more wait.
    fn set_live(&mut self, order: Order, live: bool) -> i64 {
        let Some(held) = self.0.get_mut(&order) else { return 0 };
        let before = i64::from(held.waits());
        held.live = live;
        i64::from(held.waits()) - before
    }
}

impl Player {
    /// Forgets what waits of the event of `order`. Answers by how many fewer wait.
    pub(super) fn forget_held(&mut self, order: Order) -> i64 {
        let Some(held) = self.waits.as_deref_mut() else { return 0 };
        let fewer = held.forget(order);
        if held.is_empty() {
            self.waits = None;
        }
        fewer
    }
}

impl Touch<'_> {
    /// `event` waits with an amount for one class. Whether that `is_said` depends on the player's gates.
    pub(super) fn hold(&mut self, event: &Event<'_>, amount: HeldAmount, (order, live): (Order, bool), is_said: bool) {
        let all = &mut self.waits.get_or_insert_default().0;
        let held = all.entry(order).or_insert_with(|| {
            self.kept.push(order);
            HeldEvent { event: without_payload(event), live, told: false, amounts: Vec::new() }
        });
        let before = i64::from(held.waits());
        held.amounts.retain(|known| known.class != amount.class);
        held.amounts.push(amount);
        held.live = live;
        self.held |= is_said && !held.told;
        held.told |= is_said;
        self.waiting += i64::from(held.waits()) - before;
    }

    /// The fact of `order` counts, or no longer, with what of it still waits.
    pub(super) fn correct_held(&mut self, order: Order, live: bool) {
        if let Some(held) = self.waits.as_deref_mut() {
            self.waiting += held.set_live(order, live);
        }
    }

    /// What the event of `order` contributes by the rates that are known by now. Its own ingest time and that of the rate
    /// decide whether it is in time.
    pub(super) fn release(&mut self, order: Order) {
        let Some(held) = self.waits.as_deref_mut() else { return };
        let Some(mut event) = held.0.remove(&order) else { return };
        if held.is_empty() {
            *self.waits = None;
        }
        let before = i64::from(event.waits());
        let mut ingest_time = self.ingest_time;
        for amount in std::mem::take(&mut event.amounts) {
            match self.convert(&event, &amount, order.0) {
                Some((value, since)) => {
                    self.ingest_time = event.event().ingest_time.max(since);
                    ingest_time = ingest_time.max(since);
                    let HeldAmount { class, generation, qualifies, .. } = amount;
                    let contribution = Contribution { order, qualifies, live: event.live, value };
                    self.contribute_late((class, generation), &contribution);
                }
                None => event.amounts.push(amount),
            }
        }
        self.ingest_time = ingest_time;
        self.waiting -= before;
        if !event.amounts.is_empty() {
            self.waiting += before;
            // What is left may be due earlier than what went: as it would be if it were read again from a checkpoint.
            self.kept.push(order);
            self.waits.get_or_insert_default().0.insert(order, event);
        }
        self.drop_contest_unless_kept(order);
    }

    /// The value of an amount, and when the rate was ingested by which it has one.
    fn convert(&self, held: &HeldEvent, amount: &HeldAmount, time: Timestamp) -> Option<(Money, Timestamp)> {
        let event = held.event();
        let into = self.definitions.class(amount.class).stage.measure.currency()?;
        if event.exchange_rate().is_some() || into == event.currency() {
            return None;
        }
        let rate = self.rates.find(event.currency(), into, time)?;
        Some((amount.foreign.convert(rate.rate)?, rate.ingest_time))
    }
}

/// What is needed of a held event.
fn without_payload(event: &Event<'_>) -> EventBatch {
    let mut row = EventRow::new(event.at, event.source, event.event_time, event.ingest_time);
    row.name = event.name;
    row.exchange_rate = event.exchange_rate();
    let fields =
        [TextField::EventName, TextField::PlayerId, TextField::TransactionId, TextField::EventId, TextField::Currency];
    let mut batch = EventBatch::new(0, 0);
    batch.push(&row, fields.iter().filter_map(|field| Some((*field, event.text(*field)?))), "");
    batch
}
