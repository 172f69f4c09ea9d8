//! The key of a row of daily activity, as the operators know it.

use std::sync::Arc;

use datasets::Event;
use datasets::hash::player_hash;
use datasets::rows::ActivityKey;
use datasets::time::Date;
use serde::{Deserialize, Serialize};

use crate::ledger::Market;
use crate::rollup::GameDay;

/// The row that a posting belongs to. The same as an [`ActivityKey`], found without reading its texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowKey {
    /// Follows from the rest.
    pub(super) hash: u64,
    pub(super) date: Date,
    pub(super) market: Arc<Market>,
    pub(super) customer_id: Arc<str>,
}

impl RowKey {
    /// The row of `event`'s player, whose id is `customer_id`, on a day.
    pub fn new(event: &Event<'_>, customer_id: &Arc<str>, date: Date, market: &Arc<Market>) -> Self {
        let hash = hash(event.player_hash, market, date);
        RowKey { hash, date, market: market.clone(), customer_id: customer_id.clone() }
    }

    /// The same by its parts.
    pub(super) fn of(customer_id: Arc<str>, market: Arc<Market>, date: Date) -> Self {
        let hash = hash(player_hash(&customer_id), &market, date);
        RowKey { hash, date, market, customer_id }
    }

    /// The key as it leaves.
    pub fn activity(&self) -> ActivityKey {
        let RowKey { date, market, customer_id, .. } = self;
        ActivityKey {
            date: *date,
            customer_id: customer_id.clone(),
            game_type: market.game_type.clone(),
            currency: market.currency.clone(),
        }
    }

    /// Day and game without the customer.
    pub fn game_day(&self) -> GameDay {
        let RowKey { date, market, .. } = self;
        GameDay { date: *date, game_type: market.game_type.clone(), currency: market.currency.clone() }
    }

    /// The row is of this day and game.
    pub fn is_of(&self, day: &GameDay) -> bool {
        self.date == day.date && self.market.game_type == day.game_type && self.market.currency == day.currency
    }
}

/// Of a key, by the hashes of its parts.
pub(super) fn hash(player: u64, market: &Market, date: Date) -> u64 {
    let day = u64::from(date.days().cast_unsigned());
    player ^ market.hash() ^ day.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
