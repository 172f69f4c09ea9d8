//! From GGR to NGR: a declared waterfall of deductions (DOMAIN §5).

use std::ops::Add;

use datasets::Money;
use datasets::currency::minor_unit;
use serde::{Deserialize, Serialize};

/// How stakes and wins are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Basis {
    /// Stake without bonus money, withdrawable winnings.
    #[default]
    Cash,
    /// All stake and all wins.
    Gross,
}

/// What a percentage is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named by the columns of the row")]
pub enum Base {
    /// Cash GGR, in either basis.
    Ggr,
    Bets,
    Wins,
    BonusCost,
}

/// One step of the waterfall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deduction {
    /// `percent` of `of`; a negative base deducts nothing when `clamp`.
    Percent {
        /// 10 is 10 %.
        percent: Money,
        /// Its base.
        of: Base,
        /// Keeps a negative base out.
        clamp: bool,
    },
    /// The whole amount of a column.
    AmountOf(Base),
}

/// Settings of `[activity]`.
#[derive(Clone, Debug, Default)]
pub struct ActivityRules {
    /// Cash or gross.
    pub basis: Basis,
    /// The waterfall, in order.
    pub waterfall: Vec<Deduction>,
}

/// The columns that money rules need, before rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Bets, those of amount 0 included.
    pub bets_count: i64,
    /// All stakes.
    pub stakes: Money,
    /// All winnings.
    pub winnings: Money,
    /// Bonus money staked.
    pub bonus_bets: Money,
    /// Bonus-only winnings.
    pub bonus_wins: Money,
}

impl Add for Totals {
    type Output = Totals;

    fn add(self, other: Totals) -> Totals {
        Totals {
            bets_count: self.bets_count + other.bets_count,
            stakes: self.stakes + other.stakes,
            winnings: self.winnings + other.winnings,
            bonus_bets: self.bonus_bets + other.bonus_bets,
            bonus_wins: self.bonus_wins + other.bonus_wins,
        }
    }
}

impl ActivityRules {
    /// (total_bets, wins) by the basis.
    pub fn bets_and_wins(&self, totals: &Totals) -> (Money, Money) {
        match self.basis {
            Basis::Cash => (totals.stakes - totals.bonus_bets, totals.winnings - totals.bonus_wins),
            Basis::Gross => (totals.stakes, totals.winnings),
        }
    }

    /// 0 in cash; bonus stake minus bonus-only winnings in gross.
    pub fn bonus_cost(&self, totals: &Totals) -> Money {
        match self.basis {
            Basis::Cash => Money::ZERO,
            Basis::Gross => totals.bonus_bets - totals.bonus_wins,
        }
    }

    /// NGR, rounded half-up to the currency's minor unit, once.
    ///
    /// In gross the bonus cost comes off first, declared or not, so both bases give the same NGR;
    /// a declared deduction of it is that same one.
    pub fn ngr(&self, totals: &Totals, currency: &str) -> Money {
        let (bets, wins) = self.bets_and_wins(totals);
        let bonus_cost = self.bonus_cost(totals);
        let cash_ggr = bets - wins - bonus_cost;
        let deductions = self.waterfall.iter().map(|deduction| match deduction {
            Deduction::AmountOf(Base::BonusCost) => Money::ZERO,
            Deduction::AmountOf(base) => base.amount(bets, wins, bonus_cost, cash_ggr),
            Deduction::Percent { percent, of, clamp } => {
                let base = of.amount(bets, wins, bonus_cost, cash_ggr);
                if *clamp && base.is_negative() {
                    return Money::ZERO;
                }
                let share = Money::from_raw(percent.raw() / 100);
                base.checked_mul(share).expect("a share of an amount fits where the amount does")
            }
        });
        (cash_ggr - deductions.sum()).round_to(minor_unit(currency))
    }
}

impl Base {
    fn amount(self, bets: Money, wins: Money, bonus_cost: Money, cash_ggr: Money) -> Money {
        match self {
            Base::Ggr => cash_ggr,
            Base::Bets => bets,
            Base::Wins => wins,
            Base::BonusCost => bonus_cost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        text.parse().expect(text)
    }

    fn rules(basis: Basis, waterfall: &[Deduction]) -> ActivityRules {
        ActivityRules { basis, waterfall: waterfall.to_vec() }
    }

    const FEE: Deduction = Deduction::Percent { percent: Money::from_units(10), of: Base::Ggr, clamp: true };

    #[test]
    fn both_bases_give_one_ngr() {
        let totals = Totals {
            bets_count: 2,
            stakes: money("100"),
            winnings: money("30"),
            bonus_bets: money("25"),
            bonus_wins: money("5"),
        };
        // Cash: 75 - 25 = 50, less 10 % = 45. Gross: 100 - 30 = 70, less bonus cost 20, less 10 % of 50.
        assert_eq!(rules(Basis::Cash, &[FEE]).ngr(&totals, "EUR"), money("45"));
        assert_eq!(rules(Basis::Gross, &[FEE]).ngr(&totals, "EUR"), money("45"));
        let declared = [Deduction::AmountOf(Base::BonusCost), FEE];
        assert_eq!(rules(Basis::Gross, &declared).ngr(&totals, "EUR"), money("45"));
    }

    #[test]
    fn a_negative_base_deducts_nothing() {
        let totals = Totals { winnings: money("10"), ..Totals::default() };
        assert_eq!(rules(Basis::Cash, &[FEE]).ngr(&totals, "EUR"), money("-10"));
        let open = Deduction::Percent { percent: money("10"), of: Base::Ggr, clamp: false };
        assert_eq!(rules(Basis::Cash, &[open]).ngr(&totals, "EUR"), money("-9"));
    }

    #[test]
    fn rounds_once_and_half_up() {
        let totals = Totals { stakes: money("0.05"), ..Totals::default() };
        // 0.05 - 0.005 = 0.045 -> 0.05; rounded after each step it would be 0.04 with two of them.
        assert_eq!(rules(Basis::Cash, &[FEE]).ngr(&totals, "EUR"), money("0.05"));
        assert_eq!(rules(Basis::Cash, &[FEE, FEE]).ngr(&totals, "EUR"), money("0.04"));
        let yen = Totals { stakes: money("5"), ..Totals::default() };
        assert_eq!(rules(Basis::Cash, &[FEE]).ngr(&yen, "JPY"), money("5"));
    }
}
