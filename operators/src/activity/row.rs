//! One row in memory.
//!
//! Nearly all sums fit 64 bits, and there are as many rows as days that customers played on: so what few rows need
//! lies beside, and a row takes 72 bytes with its key.

use std::sync::Arc;

use datasets::Money;
use datasets::time::Date;

use super::Totals;
use super::customers::Customer;
use crate::ledger::Market;

/// The sums of a day, customer and market. What does not fit here is in `rest`; money counts the units of [`Money::raw`].
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) market: Arc<Market>,
    rest: Option<Box<Rest>>,
    stakes: i64,
    winnings: i64,
    bonus_bets: i64,
    bonus_wins: i64,
    bets_count: i32,
    revision: u32,
    pub(super) date: Date,
    pub(super) customer: Customer,
    /// Its place among those that were touched since their last report, counted from 1; and 0 for none.
    pub(super) touched: u32,
}

/// What a row has beyond what it has room for: all of a sum that does not fit, or nothing of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rest {
    totals: Totals,
    revision: u64,
}

impl Row {
    /// A row of zeros that was never emitted.
    pub(super) fn new(customer: Customer, market: Arc<Market>, date: Date) -> Self {
        Row {
            market,
            rest: None,
            stakes: 0,
            winnings: 0,
            bonus_bets: 0,
            bonus_wins: 0,
            bets_count: 0,
            revision: 0,
            date,
            customer,
            touched: 0,
        }
    }

    /// Its sums.
    pub(super) fn totals(&self) -> Totals {
        let money = |narrow: i64| Money::from_raw(i128::from(narrow));
        let narrow = Totals {
            bets_count: i64::from(self.bets_count),
            stakes: money(self.stakes),
            winnings: money(self.winnings),
            bonus_bets: money(self.bonus_bets),
            bonus_wins: money(self.bonus_wins),
            ..Totals::default()
        };
        self.rest.as_ref().map_or(narrow, |rest| narrow + rest.totals)
    }

    /// How many revisions were emitted.
    pub(super) fn revision(&self) -> u64 {
        u64::from(self.revision) + self.rest.as_ref().map_or(0, |rest| rest.revision)
    }

    /// Takes other sums.
    pub(super) fn set_totals(&mut self, totals: Totals) {
        let mut rest = totals;
        self.stakes = take(&mut rest.stakes);
        self.winnings = take(&mut rest.winnings);
        self.bonus_bets = take(&mut rest.bonus_bets);
        self.bonus_wins = take(&mut rest.bonus_wins);
        self.bets_count = i32::try_from(rest.bets_count).unwrap_or(0);
        rest.bets_count -= i64::from(self.bets_count);
        let revision = self.rest.as_ref().map_or(0, |rest| rest.revision);
        self.set_rest(Rest { totals: rest, revision });
    }

    /// Takes another revision.
    pub(super) fn set_revision(&mut self, revision: u64) {
        let narrow = u32::try_from(revision);
        self.revision = narrow.unwrap_or(0);
        let totals = self.rest.as_ref().map(|rest| rest.totals).unwrap_or_default();
        self.set_rest(Rest { totals, revision: if narrow.is_ok() { 0 } else { revision } });
    }

    fn set_rest(&mut self, rest: Rest) {
        if rest == Rest::default() {
            self.rest = None;
        } else {
            match &mut self.rest {
                Some(known) => **known = rest,
                None => self.rest = Some(Box::new(rest)),
            }
        }
    }
}

/// Takes out what fits.
fn take(money: &mut Money) -> i64 {
    let narrow = i64::try_from(money.raw()).unwrap_or(0);
    *money -= Money::from_raw(i128::from(narrow));
    narrow
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::customers::Customers;
    use super::*;

    fn row() -> Row {
        Row::new(Customers::default().enter("p"), Arc::new(Market::new("slots", "EUR")), Date::from_days(0))
    }

    #[test]
    fn one_takes_72_bytes() {
        assert_eq!(size_of::<Option<Row>>(), 72);
    }

    proptest! {
        /// Sums and revisions at and beyond every bound of the narrow form.
        #[test]
        fn nothing_is_lost(
            steps in prop::collection::vec(
                (
                    prop::array::uniform7(prop_oneof![
                        -3..4_i128, Just(i128::from(i64::MAX)), Just(i128::from(i64::MAX) + 1),
                        Just(i128::from(i64::MIN)), Just(i128::from(i64::MIN) - 1), Just(Money::LIMIT),
                    ]),
                    prop_oneof![0..3_i64, Just(i64::from(i32::MAX)), Just(i64::from(i32::MAX) + 1), Just(i64::MIN)],
                    prop_oneof![0..3_u64, Just(u64::from(u32::MAX)), Just(u64::from(u32::MAX) + 1), Just(u64::MAX)],
                ),
                1..6,
            )
        ) {
            let mut row = row();
            for (amounts, bets_count, revision) in steps {
                let [stakes, winnings, bonus_bets, bonus_wins, jackpot_contribution, jackpot_wins, chargebacks] =
                    amounts.map(Money::from_raw);
                let totals = Totals {
                    bets_count,
                    stakes,
                    winnings,
                    bonus_bets,
                    bonus_wins,
                    jackpot_contribution,
                    jackpot_wins,
                    chargebacks,
                };
                row.set_totals(totals);
                row.set_revision(revision);
                prop_assert_eq!((row.totals(), row.revision()), (totals, revision));
            }
            row.set_totals(Totals::default());
            row.set_revision(7);
            prop_assert!(row.rest.is_none());
        }
    }
}
