//! What a stage measures (DOMAIN §4).

use std::sync::Arc;

use crate::condition::Attribute;
use crate::{Event, Money};

/// How qualifying events become progress.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Each is one.
    Count,
    /// A field of each.
    Sum {
        /// Which.
        field: SumField,
        /// The currency of a sum of money; absent on other sums.
        currency: Option<Arc<str>>,
        /// Without the part that was bonus money.
        real_money_only: bool,
    },
    /// Consecutive ones; see [`Stage::breaks_run`](super::Stage::breaks_run).
    Run,
}

/// A field that can be summed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SumField {
    /// Stake, win, payout …
    Amount,
    /// The part of the amount that was bonus money.
    BonusAmount,
    /// Decimal odds.
    Odds,
    /// A number of the payload.
    Attribute(Attribute),
}

impl SumField {
    /// It is an amount of a currency.
    pub fn is_money(&self) -> bool {
        matches!(self, SumField::Amount | SumField::BonusAmount)
    }
}

impl Measure {
    /// What a qualifying `event` contributes, before any conversion to [`Measure::Sum`]'s currency.
    /// `None` when the summed field is absent, or is no number that is exact at eight places: there is
    /// nothing to add.
    pub fn contribution(&self, event: &Event<'_>) -> Option<Money> {
        match self {
            Measure::Count | Measure::Run => Some(Money::ONE),
            Measure::Sum { field, real_money_only, .. } => match field {
                SumField::Amount if *real_money_only => event.amount().map(|amount| amount - event.bonus_amount()),
                SumField::Amount => event.amount(),
                SumField::BonusAmount => Some(event.bonus_amount()),
                SumField::Odds => event.odds(),
                SumField::Attribute(attribute) => attribute.amount(event),
            },
        }
    }
}
