//! From GGR to NGR: a declared waterfall of deductions (DOMAIN §5).

use std::ops::Add;
use std::sync::Arc;

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
    JackpotContribution,
    JackpotWins,
    Chargebacks,
}

/// What a fixed amount is charged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// Each bet, those of amount 0 included.
    Bet,
    /// Each row that has a bet, a stake or a winning.
    Row,
}

/// One step of the waterfall.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// The whole amount of a column is not deducted but added: what somebody else has paid.
    AddBack(Base),
    /// The same amount each time, on rows of its own currency: nothing converts it.
    Fixed {
        /// How much.
        amount: Money,
        /// Of which rows.
        currency: Arc<str>,
        /// How often.
        per: Per,
    },
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
    /// What jackpots get of the stakes.
    pub jackpot_contribution: Money,
    /// What jackpots paid of the winnings.
    pub jackpot_wins: Money,
    /// Payments that were charged back.
    pub chargebacks: Money,
}

impl Totals {
    /// How often a fixed amount is charged. It follows from sums that are the same in both bases.
    fn number_of(&self, per: Per) -> i64 {
        match per {
            Per::Bet => self.bets_count,
            Per::Row => {
                let is_played = self.bets_count != 0 || !self.stakes.is_zero() || !self.winnings.is_zero();
                i64::from(is_played)
            }
        }
    }
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
            jackpot_contribution: self.jackpot_contribution + other.jackpot_contribution,
            jackpot_wins: self.jackpot_wins + other.jackpot_wins,
            chargebacks: self.chargebacks + other.chargebacks,
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
        let amounts = self.amounts(totals);
        let deductions = self.waterfall.iter().map(|deduction| match deduction {
            Deduction::AmountOf(Base::BonusCost) => Money::ZERO,
            Deduction::AmountOf(base) => amounts.of(*base),
            Deduction::AddBack(base) => -amounts.of(*base),
            Deduction::Fixed { currency: of, .. } if **of != *currency => Money::ZERO,
            Deduction::Fixed { amount, per, .. } => Money::from_raw(amount.raw() * i128::from(totals.number_of(*per))),
            Deduction::Percent { percent, of, clamp } => {
                let base = amounts.of(*of);
                if *clamp && base.is_negative() {
                    return Money::ZERO;
                }
                let share = Money::from_raw(percent.raw() / 100);
                base.checked_mul(share).expect("a share of an amount fits where the amount does")
            }
        });
        (amounts.cash_ggr - deductions.sum()).round_to(minor_unit(currency))
    }

    fn amounts<'a>(&self, totals: &'a Totals) -> Amounts<'a> {
        let (bets, wins) = self.bets_and_wins(totals);
        let bonus_cost = self.bonus_cost(totals);
        Amounts { bets, wins, bonus_cost, cash_ggr: bets - wins - bonus_cost, totals }
    }
}

/// What deductions are taken from.
struct Amounts<'a> {
    bets: Money,
    wins: Money,
    bonus_cost: Money,
    cash_ggr: Money,
    totals: &'a Totals,
}

impl Amounts<'_> {
    fn of(&self, base: Base) -> Money {
        match base {
            Base::Ggr => self.cash_ggr,
            Base::Bets => self.bets,
            Base::Wins => self.wins,
            Base::BonusCost => self.bonus_cost,
            Base::JackpotContribution => self.totals.jackpot_contribution,
            Base::JackpotWins => self.totals.jackpot_wins,
            Base::Chargebacks => self.totals.chargebacks,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
            ..Totals::default()
        };
        // Cash: 75 - 25 = 50, less 10 % = 45. Gross: 100 - 30 = 70, less bonus cost 20, less 10 % of 50.
        assert_eq!(rules(Basis::Cash, &[FEE]).ngr(&totals, "EUR"), money("45"));
        assert_eq!(rules(Basis::Gross, &[FEE]).ngr(&totals, "EUR"), money("45"));
        let declared = [Deduction::AmountOf(Base::BonusCost), FEE];
        assert_eq!(rules(Basis::Gross, &declared).ngr(&totals, "EUR"), money("45"));
    }

    #[test]
    fn what_a_jackpot_paid_is_added_back() {
        // 100 staked, 3 of it for the jackpot; 1,040 won, 1,000 of it from the jackpot: GGR -940, NGR -940 - 3 + 1000.
        let totals = Totals {
            stakes: money("100"),
            winnings: money("1040"),
            jackpot_contribution: money("3"),
            jackpot_wins: money("1000"),
            ..Totals::default()
        };
        let declared = [Deduction::AmountOf(Base::JackpotContribution), Deduction::AddBack(Base::JackpotWins)];
        assert_eq!(rules(Basis::Cash, &[]).ngr(&totals, "EUR"), money("-940"));
        assert_eq!(rules(Basis::Cash, &declared).ngr(&totals, "EUR"), money("57"));
        assert_eq!(rules(Basis::Gross, &declared).ngr(&totals, "EUR"), money("57"));
        let half = Deduction::Percent { percent: money("50"), of: Base::JackpotContribution, clamp: true };
        assert_eq!(rules(Basis::Cash, &[half]).ngr(&totals, "EUR"), money("-941.5"));
    }

    #[test]
    fn fixed_amounts_are_charged_for_what_is_there() {
        let fixed = |per| Deduction::Fixed { amount: money("0.10"), currency: "EUR".into(), per };
        let played = Totals { bets_count: 3, stakes: money("30"), ..Totals::default() };
        let ngr = |per, totals: &Totals, currency| rules(Basis::Cash, &[fixed(per)]).ngr(totals, currency);
        assert_eq!(ngr(Per::Bet, &played, "EUR"), money("29.70"));
        assert_eq!(ngr(Per::Row, &played, "EUR"), money("29.90"));
        // Of another currency, nothing; of a row of zeros, nothing; and a chargeback is no play.
        assert_eq!(ngr(Per::Bet, &played, "USD"), money("30"));
        assert_eq!(ngr(Per::Row, &Totals::default(), "EUR"), Money::ZERO);
        let charged = Totals { chargebacks: money("5"), ..Totals::default() };
        assert_eq!(ngr(Per::Row, &charged, "EUR"), Money::ZERO);
        // A free round is a bet; a bonus-only win is played, whatever the basis shows of it.
        let free = Totals { bets_count: 1, ..Totals::default() };
        assert_eq!((ngr(Per::Bet, &free, "EUR"), ngr(Per::Row, &free, "EUR")), (money("-0.1"), money("-0.1")));
        let bonus = Totals { winnings: money("2"), bonus_wins: money("2"), ..Totals::default() };
        assert_eq!((ngr(Per::Bet, &bonus, "EUR"), ngr(Per::Row, &bonus, "EUR")), (Money::ZERO, money("-0.1")));
    }

    /// Amounts in cents, as of a row.
    fn cents() -> impl Strategy<Value = Money> {
        (0..1_000_000_i128).prop_map(|cents| Money::from_raw(cents * 1_000_000))
    }

    /// A part of an amount.
    fn part(amount: Money, percent: i128) -> Money {
        Money::from_raw(amount.raw() * percent / 100)
    }

    fn deduction() -> impl Strategy<Value = Deduction> {
        // Bets and wins are those of the basis: a share of them is not the same in both.
        let base = || {
            prop_oneof![
                Just(Base::Ggr),
                Just(Base::JackpotContribution),
                Just(Base::JackpotWins),
                Just(Base::Chargebacks),
            ]
        };
        prop_oneof![
            (0..=10_000_i128, base(), any::<bool>()).prop_map(|(percent, of, clamp)| {
                let percent = Money::from_raw(percent * 1_000_000);
                Deduction::Percent { percent, of, clamp }
            }),
            base().prop_map(Deduction::AmountOf),
            base().prop_map(Deduction::AddBack),
            Just(Deduction::AmountOf(Base::BonusCost)),
            (cents(), prop_oneof![Just("EUR"), Just("USD")], prop_oneof![Just(Per::Bet), Just(Per::Row)])
                .prop_map(|(amount, currency, per)| Deduction::Fixed { amount, currency: currency.into(), per }),
        ]
    }

    proptest! {
        #[test]
        fn both_bases_give_one_ngr_whatever_is_declared(
            (stakes, winnings, chargebacks) in (cents(), cents(), cents()),
            percents in prop::array::uniform4(0..=100_i128),
            bets_count in 0..5_i64,
            waterfall in prop::collection::vec(deduction(), 0..6),
        ) {
            let [bonus_bets, bonus_wins, jackpot_contribution, jackpot_wins] = percents;
            let totals = Totals {
                bets_count,
                stakes,
                winnings,
                bonus_bets: part(stakes, bonus_bets),
                bonus_wins: part(winnings, bonus_wins),
                jackpot_contribution: part(stakes, jackpot_contribution),
                jackpot_wins: part(winnings, jackpot_wins),
                chargebacks,
            };
            let [cash, gross] =
                [Basis::Cash, Basis::Gross].map(|basis| rules(basis, &waterfall).ngr(&totals, "EUR"));
            prop_assert_eq!(cash, gross);
        }
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
