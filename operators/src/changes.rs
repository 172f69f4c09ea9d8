//! What closing an epoch changes, each with the place that fixes its order on any number of workers.

use std::sync::Arc;

use datasets::hash::KeyGroup;
use datasets::rates::RateChanges;
use datasets::rows::{
    AuditRow, CompletionRow, Counters, DeadLetterRow, DefinitionRow, DispositionRow, EntityRows, PointsRow, TierRow,
};
use datasets::{Coordinates, Money, Timestamp};
use serde::{Deserialize, Serialize};

use crate::activity::RowKey;
use crate::ledger::Side;

/// A position in the epoch: definitions first, then what rates make count, then events in order of event time, then what was
/// deferred and may leave. The player and a count break ties, so the order is total and no worker's share matters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Definitions, rates, events, what was deferred.
    pub phase: Phase,
    /// Event time, or the definition's.
    pub time: Timestamp,
    /// The record.
    pub at: Coordinates,
    /// The player.
    pub player: Arc<str>,
    /// Counts what one record causes for one player.
    pub sequence: u32,
}

/// See [`Position`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named by what they are")]
pub enum Phase {
    Definitions,
    /// Missions that count what came before them: behind what definitions do by themselves.
    Earlier,
    /// Amounts that had waited for a rate.
    Rates,
    Events,
    Releases,
}

/// A stake, a winning or a chargeback that daily activity books, asserted with +1 and retracted with -1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Posting {
    /// The player's key group.
    pub group: KeyGroup,
    /// The row it belongs to.
    pub key: RowKey,
    /// Which of these.
    pub side: Side,
    /// All of it.
    pub amount: Money,
    /// The part that was bonus money.
    pub bonus: Money,
}

/// One worker's changes of one epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Completions and revocations.
    #[serde(with = "datasets::wire")]
    pub completions: Vec<(Position, CompletionRow)>,
    /// Completions that did not leave.
    #[serde(with = "datasets::wire")]
    pub audit: Vec<(Position, AuditRow)>,
    /// Lines of points ledgers: a player and a line's number order them.
    #[serde(with = "datasets::wire")]
    pub points: Vec<PointsRow>,
    /// Changes of tiers: a player and a revision order them.
    #[serde(with = "datasets::wire")]
    pub tiers: Vec<TierRow>,
    /// Rows for the feed, but for those of gaming activity, which follow from the rows of activity.
    pub entities: EntityRows,
    /// Updates of the collection of postings.
    pub postings: Vec<(Posting, isize)>,
    /// Dead letters of identity and reversal.
    #[serde(with = "datasets::wire")]
    pub dead_letters: Vec<(Coordinates, DeadLetterRow)>,
    /// What did not simply count.
    #[serde(with = "datasets::wire")]
    pub dispositions: Vec<(Coordinates, DispositionRow)>,
    /// Definition records, from the worker that speaks for all.
    #[serde(with = "datasets::wire")]
    pub definitions: Vec<(Coordinates, DefinitionRow)>,
    /// Rates that were taken and forgotten, from the worker that speaks for all.
    pub rates: RateChanges,
    /// Additions to the counters.
    pub counters: Counters,
}
