//! The committer: what epochs put out, and the record of the epochs themselves, in one transaction.
//!
//! ```text
//! epochs ── rows to messages ── one transaction ─┬─ completions, audit, activity, dead letters
//!            (messages)       (transaction)      └─ progress: one record per epoch
//!
//! open: topics ── take over all ids ── read the progress topic ── RecoveredLog
//!       (topics)                       (recovery)
//! ```
//! The protocol is written against two traits (broker), which librdkafka implements (client, producer) and the
//! simulation's broker.
//!
//! Exactly-once rests on three facts:
//! 1. Outputs and progress records of an epoch become visible together, or not at all.
//! 2. [`TRANSACTIONAL_IDS`] never changes, and [`open`] initialises all of them before it reads the
//!    log: what an earlier process had not committed by then is aborted, and it can commit no more.
//! 3. Ids are used in rotation from the first. When two processes open at once, each id ends with
//!    one of them, so of the two only the owner of the first id commits anything, until it meets an
//!    id of the other's.

mod beginning;
pub(crate) mod broker;
mod client;
mod committer;
mod connection;
mod messages;
mod producer;
mod progress;
mod recovery;
mod topics;
mod transaction;
mod trim;
mod undecided;

use std::time::Duration;

pub(crate) use broker::Transactional;
#[cfg(test)]
pub(crate) use committer::open_on;
pub use committer::{KafkaCommitter, open};
pub use connection::{Connection, SharedContext, Unreachable, serve_events};
pub use messages::{EntityTopics, OutputTopics};
pub(crate) use producer::TransactionalProducer;
pub use progress::{Chain, Decoder, ProgressError, ProgressRecord};
pub use recovery::{RecoveredLog, read_log};
#[cfg(test)]
pub(crate) use trim::trim;
pub use trim::trim_log;
pub use undecided::{DecisionWatch, Undecided};

/// How many transactional ids a pipeline has: a constant of the format, since recovery must fence
/// every id that an earlier release may have used.
pub const TRANSACTIONAL_IDS: usize = 8;

/// What the committer needs to know.
#[derive(Clone, Debug)]
pub struct CommitterConfig {
    /// The brokers and how to reach them.
    pub connection: Connection,
    /// Name of the pipeline: the transactional ids are `{pipeline}-0` to `{pipeline}-7`.
    pub pipeline: String,
    /// Names this run in progress records, for auditors.
    pub run_id: String,
    /// Where outputs go.
    pub topics: OutputTopics,
    /// Partitions of output topics that do not exist yet. (Progress has one, always.)
    pub partitions: i32,
    /// Replicas of topics that do not exist yet; absent = the broker's default.
    pub replication: Option<i32>,
    /// Of what is written: trades CPU for the network.
    pub compression: Compression,
    /// How long the broker keeps a dead process's transaction open unless a new one starts: readers
    /// of the output topics wait for it.
    pub transaction_timeout: Duration,
}

impl CommitterConfig {
    /// The defaults for everything that has one.
    pub fn new(connection: Connection, pipeline: impl Into<String>, run_id: impl Into<String>) -> Self {
        let pipeline = pipeline.into();
        CommitterConfig {
            topics: OutputTopics::of(&pipeline),
            connection,
            pipeline,
            run_id: run_id.into(),
            partitions: 6,
            replication: None,
            compression: Compression::Lz4,
            transaction_timeout: Duration::from_secs(60),
        }
    }
}

/// Compression of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// None.
    None,
    /// LZ4.
    Lz4,
}
