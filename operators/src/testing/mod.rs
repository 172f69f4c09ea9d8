//! What the tests of this crate share: scripts of inputs, and recomputations to hold operators against.
//!
//! The recomputations start from the list of everything that was read so far, each time anew, and use
//! nothing of the operators but their settings.

mod activity;
mod crash;
mod earlier;
mod entities;
mod gates;
mod groups;
mod ledger;
mod missions;
mod money;
mod rates;
mod repeats;
mod resets;
mod restrictions;
mod run;
mod script;
mod settlements;
mod tiers;
mod unlocks;
mod values;

pub(crate) use activity::{sums, sums_of_postings, value_rows};
pub(crate) use crash::{Archived, Cluster, EpochInput, Out, Setting, Written, groups};
pub(crate) use earlier::{
    EARLIER, as_if_earlier, contested_earlier, earlier_definitions, earlier_definitions_with_drafts,
};
pub(crate) use entities::{Feed, entity_rules, random_script_with_entities};
pub(crate) use gates::{GATED, GateOracle, Spec, gated_definitions, random_script_with_controls};
pub(crate) use groups::{CONTESTED, GROUPED};
pub(crate) use ledger::{Fact, LedgerOracle};
pub(crate) use missions::{MissionOracle, Occurrence, Standing, definitions, first_definitions, second_definitions};
pub(crate) use money::random_script_with_money;
pub(crate) use rates::{RateOracle, random_script_with_rates, rated_definitions};
pub(crate) use resets::RESETTING;
pub(crate) use restrictions::{RestrictionOracle, random_script_with_restrictions, restricted_definitions, restricts};
pub(crate) use run::Run;
pub(crate) use script::{
    Arrival, Input, Rng, arrived, at, batch, cut, interleave, random_script, random_script_of_many, record, rules,
};
pub(crate) use settlements::random_script_with_settlements;
pub(crate) use tiers::{KEPT, LOST, MIXED, PERIODS, TierOracle, TierSpec, TierTold, tiered};
pub(crate) use unlocks::UNLOCKING;

/// Seeds of a random test: so many where CI runs it, and `QUESTLINE_SEEDS` times as many where that is set.
#[expect(clippy::disallowed_methods, reason = "how long tests take is no configuration of operators")]
pub(crate) fn seeds(count: u64) -> std::ops::Range<u64> {
    let times = std::env::var("QUESTLINE_SEEDS").map_or(1, |times| times.parse().expect("QUESTLINE_SEEDS is a number"));
    0..count * times
}
