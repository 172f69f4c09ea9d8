//! What an epoch tells of a player's transactions and of the player as a customer.

use datasets::Timestamp;
use datasets::rows::EntityRows;

use super::Players;
use super::close::Arrival;
use crate::changes::Changes;
use crate::entities::transaction_sheet;
use crate::ledger::Moved;

impl Players {
    /// After a player's events: the rows that they change.
    pub(super) fn tell_entities(&mut self, arrivals: &[Arrival<'_>], now: Timestamp, changes: &mut Changes) {
        let (Some(rules), Some(first)) = (&self.rules.entities, arrivals.first()) else { return };
        let group = &mut self.groups[first.event.key_group().index()];
        let EntityRows { transactions, customers, reviews, .. } = &mut changes.entities;
        for Moved { key, before, after } in group.ledger.take_moved() {
            let whole = |standing| group.ledger.whole(key, standing, &self.rules.ledger);
            let sheet = |standing| Some(transaction_sheet(whole(standing)?, rules, now));
            if let Some(after) = sheet(after) {
                after.tell(sheet(before).as_ref(), (&mut *transactions, &mut *reviews));
            }
        }
        let telling = arrivals.iter().filter(|arrival| arrival.is_accepted && rules.customers.tells(&arrival.event));
        let mut telling: Vec<_> = telling.map(|arrival| &arrival.event).collect();
        // Players whose hashes are equal arrive together, and are two customers all the same.
        telling.sort_by_key(|event| event.player_id());
        for telling in telling.chunk_by(|a, b| a.player_id() == b.player_id()) {
            let place = group.players.enter(telling[0].player_hash, telling[0].player_id());
            let (id, player) = group.players.get_mut(place);
            let before = player.customer.as_ref().map(|customer| customer.sheet(id, now));
            let customer = player.customer.get_or_insert_default();
            telling.iter().for_each(|event| customer.take(event, &rules.customers));
            customer.sheet(id, now).tell(before.as_ref(), (&mut *customers, &mut *reviews));
        }
    }
}

#[cfg(test)]
impl super::Group {
    /// Whose customer is known.
    pub(crate) fn customers(&self) -> impl Iterator<Item = &str> {
        self.players.iter().filter(|(_, player)| player.customer.is_some()).map(|(id, _)| &**id)
    }
}
