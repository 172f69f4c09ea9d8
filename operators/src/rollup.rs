//! GGR by date and game type: a differential roll-up of daily activity.

use std::sync::Arc;

use datasets::time::Date;
use datasets::{Epoch, Money};
use differential_dataflow::VecCollection;
use differential_dataflow::difference::{IsZero, Semigroup};
use differential_dataflow::operators::CountTotal;
use serde::{Deserialize, Serialize};

/// What is summed over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GameDay {
    /// Reporting day.
    pub date: Date,
    /// The kind of game.
    pub game_type: Arc<str>,
    /// Never merged with another one.
    pub currency: Arc<str>,
}

/// The sums of one [`GameDay`] over all customers: a difference that differential dataflow adds up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Takings {
    /// Customers with a row. While there is one, the sums are kept though their money nets to zero.
    pub customers: i64,
    /// Bets.
    pub bets_count: i64,
    /// Stakes, by the configured basis.
    pub total_bets: Money,
    /// Wins, by the configured basis.
    pub wins: Money,
}

impl Takings {
    /// Gross gaming revenue.
    pub fn ggr(&self) -> Money {
        self.total_bets - self.wins
    }
}

impl IsZero for Takings {
    fn is_zero(&self) -> bool {
        *self == Takings::default()
    }
}

impl Semigroup for Takings {
    fn plus_equals(&mut self, other: &Self) {
        self.customers += other.customers;
        self.bets_count += other.bets_count;
        self.total_bets += other.total_bets;
        self.wins += other.wins;
    }
}

/// Takings by game type and day, from the changes of rows.
pub fn takings_by_game_type(
    changes: VecCollection<'_, Epoch, GameDay, Takings>,
) -> VecCollection<'_, Epoch, (GameDay, Takings)> {
    changes.count_total()
}
