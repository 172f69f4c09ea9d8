//! What play to generate.

use crate::currency::Currencies;
use crate::{Money, Timestamp};

/// How much play, by whom, when, and what goes wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratorConfig {
    /// Records in all, whatever they are.
    pub events: u64,
    /// Players who may turn up; who does, and how often, follows Zipf.
    pub players: u32,
    /// Mission definitions.
    pub missions: u32,
    /// Equal configurations with equal seeds give equal bytes.
    pub seed: u64,
    /// The first ingest time; cut to whole milliseconds.
    pub start: Timestamp,
    /// From the first ingest time to the last, in microseconds. Spread by a curve of the day.
    pub span_micros: i64,
    /// What goes wrong.
    pub shares: Shares,
    /// Currencies with their weights: a player has one. The first is that of the missions.
    pub currencies: Vec<(u32, String)>,
    /// Partitions of the events topic; a player's events are all in one.
    pub partitions: u32,
}

/// Shares of all events, in parts per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Resends of an earlier event with a new `event_id`, seconds to hours later.
    pub duplicates: u32,
    /// Reversals of an earlier bet, win or settlement. One in fifty reverses what is reversed already.
    pub reversals: u32,
    /// Bets that come in hours to three days late.
    pub late: u32,
    /// Records that are refused for what they are.
    pub malformed: u32,
    /// Resends with another amount.
    pub conflicts: u32,
    /// Settlements that are settled again with another payout, hours to three days later.
    pub resettlements: u32,
}

impl Default for Shares {
    /// 1 % duplicates, 1 % reversals, 0.5 % late, 0.1 % malformed, 0.05 % conflicts.
    fn default() -> Self {
        Shares {
            duplicates: 10_000,
            reversals: 10_000,
            late: 5_000,
            malformed: 1_000,
            conflicts: 500,
            resettlements: 0,
        }
    }
}

impl Shares {
    /// Nothing goes wrong.
    pub const NONE: Shares =
        Shares { duplicates: 0, reversals: 0, late: 0, malformed: 0, conflicts: 0, resettlements: 0 };
}

/// One day.
pub(super) const DAY_MICROS: i64 = 86_400_000_000;

impl Default for GeneratorConfig {
    /// A hundred thousand events of ten thousand players on 1 June 2026.
    fn default() -> Self {
        let currencies = [(80, "EUR"), (10, "GBP"), (6, "USD"), (4, "SEK")];
        GeneratorConfig {
            events: 100_000,
            players: 10_000,
            missions: 20,
            seed: 1,
            start: Timestamp::from_millis(1_780_272_000_000),
            span_micros: DAY_MICROS,
            shares: Shares::default(),
            currencies: currencies.map(|(weight, code)| (weight, code.to_owned())).to_vec(),
            partitions: 1,
        }
    }
}

/// A configuration that no play can be generated from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GeneratorError {
    /// Nobody plays.
    #[error("players must be at least 1")]
    NoPlayers,
    /// The span is not within 1 second and 10 years.
    #[error("the span must be between 1 second and 10 years")]
    Span,
    /// The start is not within the years 1970 to 9000.
    #[error("the start must lie between the years 1970 and 9000")]
    Start,
    /// There is no partition, or more than a broker counts.
    #[error("partitions must be between 1 and 1,000,000")]
    Partitions,
    /// The shares leave too little ordinary play.
    #[error("the shares add up to {0} parts per million: at most 500,000")]
    Shares(u64),
    /// No currency, or none with a weight.
    #[error("at least one currency with a weight above 0 is needed")]
    NoCurrency,
    /// More currencies than the generator counts.
    #[error("at most 255 currencies")]
    TooManyCurrencies,
    /// A code beyond ISO 4217.
    #[error("unknown currency {0:?}: use a code of ISO 4217")]
    UnknownCurrency(String),
}

impl GeneratorConfig {
    pub(super) fn check(&self) -> Result<(), GeneratorError> {
        let Shares { duplicates, reversals, late, malformed, conflicts, resettlements } = self.shares;
        let shares = [duplicates, reversals, late, malformed, conflicts, resettlements].map(u64::from).iter().sum();
        let known = Currencies::default();
        let unknown = self.currencies.iter().find(|(_, code)| !known.contains(code));
        if self.players == 0 {
            Err(GeneratorError::NoPlayers)
        } else if !(1_000_000..=3653 * DAY_MICROS).contains(&self.span_micros) {
            Err(GeneratorError::Span)
        } else if !(0..221_845_392_000_000_000).contains(&self.start.micros()) {
            Err(GeneratorError::Start)
        } else if !(1..=1_000_000).contains(&self.partitions) {
            Err(GeneratorError::Partitions)
        } else if shares > 500_000 {
            Err(GeneratorError::Shares(shares))
        } else if self.currencies.iter().all(|(weight, _)| *weight == 0) {
            Err(GeneratorError::NoCurrency)
        } else if self.currencies.len() > 255 {
            Err(GeneratorError::TooManyCurrencies)
        } else if let Some((_, code)) = unknown {
            Err(GeneratorError::UnknownCurrency(code.clone()))
        } else {
            Ok(())
        }
    }
}

/// A currency as the generator uses it: amounts are counted in its smallest unit.
#[derive(Clone, Debug)]
pub(super) struct Currency {
    pub(super) code: String,
    /// Decimal places of the smallest unit.
    pub(super) places: u32,
    /// What 0.01 EUR is in smallest units, roughly: stakes look alike in every currency.
    pub(super) units_per_cent: i64,
}

impl Currency {
    pub(super) fn new(code: &str) -> Self {
        let units_per_cent = match code {
            "SEK" | "NOK" | "DKK" => 10,
            "JPY" => 2,
            "KWD" | "BHD" | "JOD" | "OMR" => 4,
            _ => 1,
        };
        Currency { code: code.to_owned(), places: crate::currency::minor_unit(code), units_per_cent }
    }

    /// An exact amount from a number of smallest units.
    pub(super) fn money(&self, minor: i128) -> Money {
        Money::from_raw(minor * 10_i128.pow(Money::SCALE - self.places))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_start_at_midnight() {
        let config = GeneratorConfig::default();
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.start.to_string(), "2026-06-01T00:00:00Z");
    }

    #[test]
    fn nonsense_is_named() {
        let with = |change: fn(&mut GeneratorConfig)| {
            let mut config = GeneratorConfig::default();
            change(&mut config);
            config.check().expect_err("nonsense").to_string()
        };
        assert_eq!(with(|config| config.players = 0), "players must be at least 1");
        assert_eq!(with(|config| config.span_micros = 0), "the span must be between 1 second and 10 years");
        assert_eq!(with(|config| config.partitions = 0), "partitions must be between 1 and 1,000,000");
        assert_eq!(with(|config| config.currencies.clear()), "at least one currency with a weight above 0 is needed");
        assert_eq!(
            with(|config| config.currencies[1].1 = "eur".to_owned()),
            "unknown currency \"eur\": use a code of ISO 4217"
        );
        assert_eq!(
            with(|config| config.shares.late = 900_000),
            "the shares add up to 921500 parts per million: at most 500,000"
        );
        assert_eq!(with(|config| config.start = Timestamp::MIN), "the start must lie between the years 1970 and 9000");
    }

    #[test]
    fn amounts_are_exact() {
        assert_eq!(Currency::new("EUR").money(2550).to_string(), "25.50");
        assert_eq!(Currency::new("JPY").money(2550).to_string(), "2550.00");
        assert_eq!(Currency::new("KWD").money(2551).to_string(), "2.551");
    }
}
