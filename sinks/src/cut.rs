//! Cuts: which rows a Parquet object holds, decided and recorded before it is written.

use datasets::Epoch;
use serde::{Deserialize, Serialize};

/// The lake's tables. The log of epochs knows them by their places here: a new one comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variants are the tables of the warehouse guide")]
pub enum Table {
    Events,
    Dispositions,
    Activity,
    Completions,
    DeadLetters,
    MissionDefinitions,
    Epochs,
    Audit,
    Points,
    Tiers,
    Transactions,
    Customers,
    Reviews,
}

/// All rows of `lane` of `table` in epochs `first..=last`. One object for each date among them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cut {
    /// Table.
    pub table: Table,
    /// Lane of the table; only `events` has more than lane 0.
    pub lane: u16,
    /// First epoch, inclusive.
    pub first: Epoch,
    /// Last epoch, inclusive.
    pub last: Epoch,
    /// Version of the table's schema.
    pub schema_version: u16,
}
