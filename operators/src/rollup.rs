//! GGR by date and game type: a differential roll-up of daily activity.

use std::sync::Arc;

use datasets::rows::ActivityRow;
use datasets::time::Date;
use datasets::{Epoch, Money};
use differential_dataflow::VecCollection;
use differential_dataflow::difference::{IsZero, Multiply, Semigroup};
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

impl Multiply<isize> for Takings {
    type Output = Takings;

    fn multiply(self, times: &isize) -> Takings {
        let times = i64::try_from(*times).expect("usize is at most 64 bits wide");
        let money = |money: Money| Money::from_raw(money.raw() * i128::from(times));
        Takings {
            customers: self.customers * times,
            bets_count: self.bets_count * times,
            total_bets: money(self.total_bets),
            wins: money(self.wins),
        }
    }
}

/// Takings by game type and day.
pub fn takings_by_game_type(
    rows: VecCollection<'_, Epoch, ActivityRow>,
) -> VecCollection<'_, Epoch, (GameDay, Takings)> {
    rows.explode(|row| {
        let day = GameDay { date: row.key.date, game_type: row.key.game_type, currency: row.key.currency };
        let ActivityRow { bets_count, total_bets, wins, .. } = row;
        [(day, Takings { customers: 1, bets_count, total_bets, wins })]
    })
    .count_total()
}
