//! `[[activity.ngr]]`: from GGR to NGR.

use std::fmt;

use datasets::mapping::MappingConfig;
use serde::Deserialize;

use super::Config;
use super::settings::SourceConfig;
use super::values::{FixedAmount, Percent};

/// `[[activity.ngr]]`: one step, by `percent`, `amount_of`, `add_back` or `fixed`.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NgrConfig {
    /// What people call it. Required.
    pub name: String,
    /// A percentage of `of`.
    pub percent: Option<Percent>,
    /// What `percent` is of. Default `ggr`, the cash one in either basis.
    pub of: Option<NgrBase>,
    /// What a negative base of `percent` does. Default `zero`.
    pub clamp: Option<Clamp>,
    /// The whole amount of a column is deducted.
    pub amount_of: Option<NgrBase>,
    /// The whole amount of a column is added: what somebody else has paid.
    pub add_back: Option<AddedBack>,
    /// The same amount each time, in `currency`.
    pub fixed: Option<FixedAmount>,
    /// With `fixed`: the currency of the rows that it is deducted on. Required there.
    pub currency: Option<String>,
    /// With `fixed`: what it is charged for. Required there.
    pub per: Option<NgrPer>,
}

impl NgrConfig {
    /// What may not be meant: an amount of events that no source has, as they are mapped.
    fn note(&self, sources: &[SourceConfig]) -> Option<String> {
        let base = self.amount_of.or(self.of.filter(|_| self.percent.is_some()));
        let added = self.add_back.map(|AddedBack::JackpotWins| NgrBase::JackpotWins);
        let (is_mapped, wanted): (fn(&MappingConfig) -> bool, _) = match base.or(added)? {
            NgrBase::JackpotContribution => {
                (|mapping| mapping.jackpot_contribution.is_some(), "mapping.jackpot_contribution")
            }
            NgrBase::JackpotWins => (|mapping| mapping.jackpot_win.is_some(), "mapping.jackpot_win"),
            NgrBase::Chargebacks => (MappingConfig::books_chargebacks, "a `chargeback` in mapping.event_names"),
            NgrBase::Ggr | NgrBase::Bets | NgrBase::Wins | NgrBase::BonusCost => return None,
        };
        let is_mapped = sources.iter().any(|source| is_mapped(&source.mapping));
        let name = &self.name;
        (!is_mapped)
            .then(|| format!("activity.ngr {name:?}: note: its amount is always 0, since no source has {wanted}"))
    }
}

impl Config {
    /// What is no error, but may not be meant.
    pub fn notes(&self) -> Vec<String> {
        self.activity.ngr.iter().filter_map(|step| step.note(&self.sources)).collect()
    }
}

/// Tells what is configured as releases without the last four fields told it where it says nothing of them: by this text a checkpoint knows
/// whether the rules that its state follows from are the same.
impl fmt::Debug for NgrConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NgrConfig { name, percent, of, clamp, amount_of, add_back, fixed, currency, per } = self;
        let mut told = f.debug_struct("NgrConfig");
        told.field("name", name).field("percent", percent).field("of", of).field("clamp", clamp);
        told.field("amount_of", amount_of);
        if add_back.is_some() {
            told.field("add_back", add_back);
        }
        if fixed.is_some() {
            told.field("fixed", fixed);
        }
        if currency.is_some() {
            told.field("currency", currency);
        }
        if per.is_some() {
            told.field("per", per);
        }
        told.finish()
    }
}

/// `add_back`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddedBack {
    /// What jackpots paid of the wins, for an operator that does not pay it.
    JackpotWins,
}

/// `per`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NgrPer {
    /// Each bet, those of amount 0 included.
    #[default]
    Bet,
    /// Each row that has a bet, a stake or a win.
    Row,
}

/// A column that a deduction is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "named by the columns of the row")]
pub enum NgrBase {
    Ggr,
    Bets,
    Wins,
    BonusCost,
    JackpotContribution,
    JackpotWins,
    Chargebacks,
}

/// `clamp`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clamp {
    /// It deducts nothing.
    #[default]
    Zero,
    /// It deducts a negative amount: NGR grows.
    None,
}
