//! The key of a row of daily activity, as the operators know it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datasets::Event;
use datasets::rows::ActivityKey;
use datasets::time::Date;
use serde::{Deserialize, Serialize};

use super::snapshot::Shared;
use crate::ledger::{Market, MarketName};
use crate::rollup::GameDay;

/// The row that a posting belongs to. The same as an [`ActivityKey`], found without reading its texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowKey {
    /// Follows from the rest.
    hash: u64,
    date: Date,
    market: Arc<Market>,
    customer_id: Arc<str>,
}

/// A [`RowKey`] as it was written, before it shares its texts.
#[derive(Deserialize)]
pub(super) struct ReadKey<'a> {
    hash: u64,
    date: Date,
    #[serde(borrow)]
    market: MarketName<'a>,
    customer_id: &'a str,
}

impl ReadKey<'_> {
    /// The key, with texts that others have too.
    pub(super) fn sharing(self, shared: &mut Shared) -> RowKey {
        let ReadKey { hash, date, market, customer_id } = self;
        RowKey { hash, date, market: shared.market(market), customer_id: shared.customer(customer_id) }
    }
}

impl RowKey {
    /// The row of `event`'s player, whose id is `customer_id`, on a day.
    pub fn new(event: &Event<'_>, customer_id: &Arc<str>, date: Date, market: &Arc<Market>) -> Self {
        let day = u64::from(date.days().cast_unsigned());
        let hash = event.player_hash ^ market.hash() ^ day.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        RowKey { hash, date, market: market.clone(), customer_id: customer_id.clone() }
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

/// Equal keys have equal hashes, because those follow from the rest.
impl Hash for RowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}
