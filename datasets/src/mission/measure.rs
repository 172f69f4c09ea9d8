//! What a stage measures (DOMAIN §4).

use std::sync::Arc;

use crate::condition::{Attribute, TextSource};
use crate::{Event, Money};

/// How qualifying events become progress.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Each is one.
    Count,
    /// A quantity of each, all together.
    Sum {
        /// Which.
        field: Quantity,
        /// The currency of a sum of money; absent on other sums.
        currency: Option<Arc<str>>,
        /// Without the part that was bonus money.
        real_money_only: bool,
        /// How much of it counts; absent: all.
        weights: Option<Weights>,
    },
    /// Consecutive ones; see [`Stage::breaks_run`](super::Stage::breaks_run).
    Run,
    /// The largest of a quantity. Nothing below zero is any progress.
    Max {
        /// Which.
        field: Quantity,
        /// The currency of money; absent on other quantities.
        currency: Option<Arc<str>>,
    },
}

/// A field that is a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Quantity {
    /// Stake, win, payout …
    Amount,
    /// The part of the amount that was bonus money.
    BonusAmount,
    /// Decimal odds.
    Odds,
    /// A number of the payload.
    Attribute(Attribute),
}

impl Quantity {
    /// It is an amount of a currency.
    pub fn is_money(&self) -> bool {
        matches!(self, Quantity::Amount | Quantity::BonusAmount)
    }

    /// Its value in `event`; `None` when it is absent, or is no number that is exact at eight places.
    fn of(&self, event: &Event<'_>) -> Option<Money> {
        match self {
            Quantity::Amount => event.amount(),
            Quantity::BonusAmount => Some(event.bonus_amount()),
            Quantity::Odds => event.odds(),
            Quantity::Attribute(attribute) => attribute.amount(event),
        }
    }
}

/// How much of an event counts, by one of its texts (`slots` in full, `blackjack` a tenth).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Weights {
    /// The text that decides.
    pub by: TextSource,
    /// Its values with their weights, none below zero, sorted by value.
    pub weights: Vec<(Arc<str>, Money)>,
    /// The weight of every other value, and of an event without the text.
    pub others: Money,
}

impl Weights {
    /// The weight of `event`.
    pub fn of(&self, event: &Event<'_>) -> Money {
        let text = self.by.text(event);
        let known = text.and_then(|text| self.weights.binary_search_by(|(value, _)| (**value).cmp(&*text)).ok());
        known.map_or(self.others, |index| self.weights[index].1)
    }
}

impl Measure {
    /// Progress is the sum of what events contribute, in whatever order they come.
    pub fn adds(&self) -> bool {
        matches!(self, Measure::Count | Measure::Sum { .. })
    }

    /// Progress counts events, so it is a whole number.
    pub fn counts(&self) -> bool {
        matches!(self, Measure::Count | Measure::Run)
    }

    /// What a qualifying `event` contributes, before any conversion to the measure's currency and any weight.
    /// `None` when the measured field is absent, or is no number that is exact at eight places: there is
    /// nothing to measure.
    pub fn contribution(&self, event: &Event<'_>) -> Option<Money> {
        match self {
            Measure::Count | Measure::Run => Some(Money::ONE),
            Measure::Sum { field: Quantity::Amount, real_money_only: true, .. } => {
                event.amount().map(|amount| amount - event.bonus_amount())
            }
            Measure::Sum { field, .. } | Measure::Max { field, .. } => field.of(event),
        }
    }
}
