//! Rates of exchange: which are taken, and what they release.
//!
//! Rates are of no player, so every worker hears of all of them and judges them alike. An epoch's rates apply before its events,
//! in the order of coordinates: an event converts by what is known when its epoch is closed. The first rate of a pair
//! releases what waits for one, player by player, in the order of event time.

use datasets::rates::{Forgotten, RateBook, RateIdentity, RateRecord};
use datasets::rows::DispositionKind;
use datasets::{Event, Reason, Timestamp};

use super::close::Clocks;
use super::touch::Touch;
use super::{Player, Players};
use crate::changes::{Changes, Phase};
use crate::definitions::GRACE;
use crate::ledger::Order;

impl Players {
    /// The rates that are known.
    pub fn rates(&self) -> &RateBook {
        &self.rates
    }

    /// Takes an epoch's rates.
    pub(super) fn learn(&mut self, records: &mut [RateRecord], clocks: Clocks, changes: &mut Changes) {
        self.refused_rates.clear();
        records.sort_by_key(|record| record.at);
        let mut pairs = Vec::new();
        for record in records {
            let identity = self.rates.identify(record, self.rules.ledger.identity_retention);
            if identity != RateIdentity::New {
                self.refused_rates.insert(record.at, identity);
                continue;
            }
            if self.rates.take(record) {
                pairs.push((record.base.clone(), record.quote.clone()));
            }
            if self.speaks {
                changes.rates.taken.push(record.clone());
            }
        }
        if !pairs.is_empty() {
            self.release_held(&pairs, clocks, changes);
        }
    }

    /// Says what became of a `rate` event, on the worker that has its batch.
    pub(super) fn report_rate(&mut self, event: &Event<'_>, changes: &mut Changes) {
        match self.refused_rates.get(&event.at).copied().unwrap_or(RateIdentity::New) {
            RateIdentity::New => changes.counters.accepted += 1,
            RateIdentity::Duplicate => {
                changes.counters.duplicates += 1;
                self.reporter.dispose(event, DispositionKind::Duplicate, changes);
            }
            RateIdentity::Conflict => {
                let detail = format!("rate {} is known with other content", event.transaction_id());
                self.reporter.dispose(event, DispositionKind::Conflict, changes);
                self.reporter.refuse(event, Reason::IdempotencyConflict, detail, changes);
            }
        }
    }

    /// What waits for a rate of these pairs, which have their first one now, counts.
    fn release_held(&mut self, pairs: &[(String, String)], clocks: Clocks, changes: &mut Changes) {
        let definitions = &self.definitions;
        let of_pairs = |player: &Player| player.waits.as_ref().map(|held| held.waiting_for(pairs, definitions));
        let mut waiting: Vec<(usize, u32, Vec<Order>)> = Vec::new();
        for (group, state) in self.groups.iter().enumerate() {
            let players = state.players.awake().filter_map(|(place, _, player)| Some((place, of_pairs(player)?)));
            waiting
                .extend(players.filter(|(_, orders)| !orders.is_empty()).map(|(place, orders)| (group, place, orders)));
        }
        for (group, place, orders) in waiting {
            for order in orders {
                let (_, player) = self.groups[group].players.get_mut(place);
                let Some(event) = player.waits.as_ref().and_then(|held| held.event_of(order)) else { continue };
                let event = event.get(0);
                let ingest = (event.ingest_time, clocks.1);
                let known = (&self.definitions, &self.rates);
                let mut touch = Touch::new(player, known, &mut self.scratch, ingest);
                touch.release(order);
                let touched = touch.end();
                self.conclude(&event, (place, Phase::Rates), touched, clocks, changes);
            }
        }
    }

    /// Forgets rates that only what is older than the ledger could ask for, and identities that nothing can have again.
    pub(super) fn forget_rates(&mut self, oldest: Timestamp, changes: &mut Changes) {
        if self.rates.is_empty() {
            return;
        }
        let back = |micros: i64| oldest.plus_micros(micros.saturating_add(GRACE).saturating_neg());
        let ledger = &self.rules.ledger;
        let forgotten = Forgotten { identities: back(ledger.identity_retention), rates: back(ledger.ledger_retention) };
        self.rates.forget(forgotten);
        if self.speaks {
            changes.rates.forgotten = Some(forgotten);
        }
    }
}
