//! Sums that differential dataflow adds up, takes back and multiplies.

use datasets::Money;
use differential_dataflow::difference::{Abelian, IsZero, Monoid, Multiply, Semigroup};
use serde::{Deserialize, Serialize};

/// Sums of rows of daily activity: a difference. What is restated is taken back and given anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Figures {
    /// Bets.
    pub bets_count: i64,
    /// Stakes.
    pub total_bets: Money,
    /// Winnings.
    pub wins: Money,
    /// Gross gaming revenue.
    pub ggr: Money,
    /// Net gaming revenue.
    pub ngr: Money,
}

impl IsZero for Figures {
    fn is_zero(&self) -> bool {
        *self == Figures::default()
    }
}

impl Semigroup for Figures {
    fn plus_equals(&mut self, other: &Self) {
        self.bets_count += other.bets_count;
        self.total_bets += other.total_bets;
        self.wins += other.wins;
        self.ggr += other.ggr;
        self.ngr += other.ngr;
    }
}

impl Monoid for Figures {
    fn zero() -> Self {
        Figures::default()
    }
}

impl Abelian for Figures {
    fn negate(&mut self) {
        *self = self.multiply(&-1);
    }
}

impl Multiply<isize> for Figures {
    type Output = Figures;

    fn multiply(self, by: &isize) -> Figures {
        let by = i64::try_from(*by).expect("an isize has at most 64 bits");
        let money = |money: Money| Money::from_raw(money.raw() * i128::from(by));
        let Figures { bets_count, total_bets, wins, ggr, ngr } = self;
        let [total_bets, wins, ggr, ngr] = [total_bets, wins, ggr, ngr].map(money);
        Figures { bets_count: bets_count * by, total_bets, wins, ggr, ngr }
    }
}

/// [`Figures`] of so many customers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Totals {
    /// Who have figures. While there is one, the sums are kept though their money nets to zero.
    customers: i64,
    /// Who have played.
    pub(super) players: i64,
    pub(super) figures: Figures,
}

impl Totals {
    /// Those of one customer, who has played where there is a bet, a stake or a win: not where money was only charged back.
    pub(super) fn of_customer(figures: Figures) -> Self {
        let has_played = figures.bets_count != 0 || !figures.total_bets.is_zero() || !figures.wins.is_zero();
        Totals { customers: 1, players: i64::from(has_played), figures }
    }
}

impl IsZero for Totals {
    fn is_zero(&self) -> bool {
        *self == Totals::default()
    }
}

impl Semigroup for Totals {
    fn plus_equals(&mut self, other: &Self) {
        self.customers += other.customers;
        self.players += other.players;
        self.figures.plus_equals(&other.figures);
    }
}

impl Multiply<isize> for Totals {
    type Output = Totals;

    fn multiply(self, by: &isize) -> Totals {
        let times = i64::try_from(*by).expect("an isize has at most 64 bits");
        let (customers, players) = (self.customers * times, self.players * times);
        Totals { customers, players, figures: self.figures.multiply(by) }
    }
}
