//! Checkpoints: the state of the operators in object storage, so that a start follows the log of epochs from
//! its last stretch and not from its beginning.
//!
//! ```text
//! workers ── sections, part after part ──┐                  ┌─ segment/{seq}-{run}   what one round wrote
//! dataflow's end ── outputs of epochs ───┼─ thread ── put ──┼─ cold/{seq}-{run}      what went cold in it
//! committer ── what is committed ────────┘                  └─ manifest/{seq}-{run}  what a start needs
//! ```
//!
//! A *round* takes each part once, each at an epoch of its own. A start begins with the first epoch that some
//! part does not know, or that the lake has rows of which are in no object yet. Facts that it rests on:
//! 1. A manifest is put once all epochs that its parts know are committed, with the log's hash chain: what a
//!    start takes has happened, and in this log.
//! 2. Epochs that only some parts know are followed for the others' sake; what they put out is incomplete then,
//!    and so is kept beside the sections: the lake takes it from there.
//! 3. Objects are created, never changed. Those of the last two manifests stay.
//! 4. What went cold comes with the first section that does not have it any more, so a manifest whose parts are those
//!    sections names it too; and it stays there until nobody needs it. What is needed forever is in an object of its own, `…-kept`. A file
//!    beside the process, with the same bytes, is where it is read.

mod files;
mod local;
mod manifest;
mod pack;
mod putting;
mod recovery;
mod rounds;
mod segment;
#[cfg(test)]
mod tests;
mod thread;

use std::time::Duration;

pub use files::ColdFiles;
pub use manifest::{Before, LaneState, Manifest, Problem};
pub use recovery::{Found, Recovered, find, recover};
pub use thread::{CheckpointHandle, Checkpoints};
#[cfg(test)]
pub(crate) use {putting::Putting, recovery::Folder, thread::Message};

use crate::lake::S3Options;

/// Where checkpoints go, and how often.
#[derive(Clone, Debug)]
pub struct CheckpointConfig {
    /// A folder of its own: `file:///path` or `s3://bucket/prefix`.
    pub url: String,
    /// How to reach S3; the environment's `AWS_*` variables fill what is absent.
    pub s3: S3Options,
    /// How long a round takes. A start follows at most about two rounds of the log, and what the lake holds open.
    pub interval: Duration,
    /// How long the storage may be unreachable at start.
    pub start_timeout: Duration,
    /// The pipeline's name: a folder belongs to one.
    pub pipeline: String,
    /// Names this run in what it writes.
    pub run_id: String,
    /// The format of sections, as the operators count it.
    pub state_format: u32,
    /// Tells the rules that the state follows from: it is of no use under others.
    pub rules: String,
    /// A folder on a disk of this machine, for what is not kept in memory. This pipeline alone writes there, and removes
    /// what it does not know.
    pub cold: Option<std::path::PathBuf>,
}
