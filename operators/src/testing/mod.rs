//! What the tests of this crate share: scripts of inputs, and recomputations to hold operators against.
//!
//! The recomputations start from the list of everything that was read so far, each time anew, and use
//! nothing of the operators but their settings.

mod activity;
mod crash;
mod gates;
mod groups;
mod ledger;
mod missions;
mod repeats;
mod restrictions;
mod run;
mod script;
mod unlocks;
mod values;

pub(crate) use activity::{sums, sums_of_postings, value_rows};
pub(crate) use crash::{Archived, Cluster, EpochInput, Out, Setting, groups};
pub(crate) use gates::{GATED, GateOracle, Spec, gated_definitions, random_script_with_controls};
pub(crate) use groups::GROUPED;
pub(crate) use ledger::{Fact, LedgerOracle};
pub(crate) use missions::{MissionOracle, Occurrence, Standing, definitions, first_definitions, second_definitions};
pub(crate) use restrictions::{RestrictionOracle, random_script_with_restrictions, restricted_definitions, restricts};
pub(crate) use run::Run;
pub(crate) use script::{Arrival, Input, Rng, at, batch, cut, interleave, random_script, record, rules};
pub(crate) use unlocks::UNLOCKING;
