//! The lake: Parquet on object storage, in immutable objects whose names are decided before they
//! are written (ARCHITECTURE "Lake").
//!
//! ```text
//! workers ── history ──┐          ┌ lane: rows → open files (one per date)
//!                      ├ assembly ┤                │ due by size or age
//! closed epochs ───────┘  (whole  └ lane …         ▼
//!                          epochs)           decide a cut ──► committer records it
//!                                                  │
//!            storage ◄── one conditional put ◄── cut_recorded
//! ```
//!
//! All of it runs on one thread (thread), which waits, and decides nothing (cutting), with an asynchronous runtime
//! for the store; a [`LakeHandle`] is how others reach it. Only whole epochs enter files: a cut covers epochs, so none may be
//! half inside. Exactly-once rests on three facts: a recorded cut names its rows for good, an object is
//! created conditionally, and what already exists is compared by its footer, never overwritten.

mod assembly;
mod cutting;
mod encode;
mod handle;
mod lane;
mod lanes;
mod name;
mod numbered;
mod plan;
mod reader;
mod row_hash;
mod store;
#[cfg(test)]
mod tests;
mod thread;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datasets::Epoch;
use datasets::schema::EventNames;
use serde::{Deserialize, Serialize};

use crate::checkpoint::LaneState;
use crate::cut::{Cut, Table};

pub use cutting::PARALLEL_PUTS;
pub use encode::parquet;
pub use handle::{Lake, LakeHandle};
pub(crate) use handle::{output_bytes, runtime};
pub use numbered::NumberedTable;
pub use reader::{LakeObject, LakeReader, ReadError, Rows};
pub use store::{Place, S3Options};
pub use writer::LakeWriter;
#[cfg(test)]
pub(crate) use {
    cutting::{Cutting, Next},
    encode::Footer,
    handle::{Message, begin},
    lanes::CutFiles,
    name::cut_of,
    row_hash::row_hash,
    thread::put_all,
};

/// When a file closes. Larger and older files mean fewer objects and a longer lag for analysts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutLimits {
    /// Parquet bytes that a lane may hold in memory before its files are cut.
    pub max_file_bytes: usize,
    /// Age of a lane's oldest row, by the recorded clock, at which its files are cut.
    pub max_file_age: Duration,
}

impl Default for CutLimits {
    fn default() -> Self {
        CutLimits { max_file_bytes: 128 << 20, max_file_age: Duration::from_secs(300) }
    }
}

/// Where the lake is and how it is cut.
#[derive(Clone, Debug)]
pub struct LakeConfig {
    /// Root of the tables: `file:///path` or `s3://bucket/prefix`.
    pub url: String,
    /// When a file closes.
    pub limits: CutLimits,
    /// How to reach S3; the environment's `AWS_*` variables fill what is absent.
    pub s3: S3Options,
    /// How long the storage may be unreachable at start.
    pub start_timeout: Duration,
}

impl LakeConfig {
    /// The lake at `url` with every default.
    pub fn new(url: impl Into<String>) -> Self {
        LakeConfig {
            url: url.into(),
            limits: CutLimits::default(),
            s3: S3Options::default(),
            start_timeout: Duration::from_secs(60),
        }
    }
}

/// Who writes to the lake, and what is known from before.
pub struct LakeStart {
    /// Workers that deliver history. An epoch's events are complete once all passed it; with none,
    /// there is no history to wait for.
    pub workers: usize,
    /// Lanes of `events`, numbered from 0. A constant of the lake: rows belong to a lane for good.
    pub lanes: u16,
    /// Names of topics and sources.
    pub names: Arc<EventNames>,
    /// Cuts that the epoch log has recorded, in any order. Each lane's follow on each other.
    pub resume: Vec<Cut>,
    /// Rows of epochs below this are durable or not wanted: they are dropped. Never inside a cut.
    pub durable_below: Epoch,
    /// How far lanes are durable by themselves, by a checkpoint; those that are not here by `durable_below`.
    pub durable: Vec<LaneState>,
    /// Epochs below this come from a replay: they are cut along `resume` and nowhere else.
    pub replay_upper: Epoch,
    /// Where decided cuts are recorded.
    pub log: CutLog,
}

/// What makes a decided cut final.
pub enum CutLog {
    /// The epoch log. The function hands a decided cut to the committer, which must put it into a
    /// progress record of epoch `cut.last` or later (a cut recorded ahead of its own epochs would
    /// name rows that a restart may bind differently) and call [`LakeHandle::cut_recorded`] once
    /// that record is committed.
    Recorded(Box<dyn Fn(Cut) + Send>),
    /// No log: the names of the objects are the record. All tables are cut at the same epoch and
    /// put one after the other, `epochs` last, so that its objects mark what is complete.
    Listing,
}

/// What a lake has put since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LakeTotals {
    /// By table.
    pub tables: BTreeMap<Table, TableTotals>,
}

/// Part of [`LakeTotals`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableTotals {
    /// Rows in objects put, those found to be there already included.
    pub rows: u64,
    /// Objects.
    pub objects: u64,
    /// Bytes of Parquet.
    pub bytes: u64,
}
