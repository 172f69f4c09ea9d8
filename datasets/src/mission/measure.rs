//! What a stage measures (DOMAIN §4).

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::Values;
use crate::condition::{Attribute, TextSource};
use crate::time::{Every, window};
use crate::{Event, Money, Timestamp};

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
    /// The longest run of consecutive periods with one.
    Streak(Periods),
    /// How many different values of a field.
    Distinct(Values),
}

/// Days or weeks of a zone, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Periods {
    /// Day or week.
    pub every: Every,
    /// Where days begin.
    pub zone: TimeZone,
    /// The zone's IANA name.
    pub zone_name: Arc<str>,
}

impl Periods {
    /// The period that `at` falls into, half-open.
    pub fn at(&self, at: Timestamp) -> (Timestamp, Timestamp) {
        window(self.every, &self.zone, at)
    }

    /// How many there are from the one of `first` to that of `last`; skipped days of a calendar included.
    pub fn between(&self, first: Timestamp, last: Timestamp) -> i64 {
        let day = |at: Timestamp| i64::from(at.date(&self.zone).days());
        match self.every {
            // 1970-01-01 was a Thursday.
            Every::Week => (day(last) + 3).div_euclid(7) - (day(first) + 3).div_euclid(7) + 1,
            _ => day(last) - day(first) + 1,
        }
    }
}

/// By the zone's name: equal zones have equal names here.
impl Hash for Periods {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Periods { every, zone: _, zone_name } = self;
        (every, zone_name).hash(state);
    }
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

    /// The currency that it is in; absent where it measures no money.
    pub fn currency(&self) -> Option<&str> {
        match self {
            Measure::Sum { currency, .. } | Measure::Max { currency, .. } => currency.as_deref(),
            Measure::Count | Measure::Run | Measure::Streak(_) | Measure::Distinct(_) => None,
        }
    }

    /// What progress is the number of; absent: it is no number of anything.
    pub fn counts(&self) -> Option<&'static str> {
        match self {
            Measure::Count | Measure::Run => Some("events"),
            Measure::Streak(Periods { every: Every::Week, .. }) => Some("weeks"),
            Measure::Streak(_) => Some("days"),
            Measure::Distinct(_) => Some("values"),
            Measure::Sum { .. } | Measure::Max { .. } => None,
        }
    }

    /// What a contribution of `value` is by itself, for people: a value that counts once is one.
    pub fn worth(&self, value: Money) -> Money {
        if matches!(self, Measure::Distinct(_)) { Money::ONE } else { value }
    }

    /// What a qualifying `event` contributes, before any conversion to the measure's currency and any weight.
    /// `None` when the measured field is absent, or is no number that is exact at eight places: there is
    /// nothing to measure. Of a value that counts once it is the name, by [`value_hash`](crate::hash::value_hash).
    pub fn contribution(&self, event: &Event<'_>) -> Option<Money> {
        match self {
            Measure::Count | Measure::Run | Measure::Streak(_) => Some(Money::ONE),
            Measure::Sum { field: Quantity::Amount, real_money_only: true, .. } => {
                event.amount().map(|amount| amount - event.bonus_amount())
            }
            Measure::Sum { field, .. } | Measure::Max { field, .. } => field.of(event),
            Measure::Distinct(values) => values.name(event).map(Money::from_raw),
        }
    }
}
