//! Epoch writers: they make closed epochs durable and know no business rule.
//!
//! - [`EpochWriter`]: the trait, with one contract suite that every writer passes.
//! - [`kafka`]: the committer; outputs and progress record of an epoch in one transaction.
//! - [`Commits`]: a commit, and who is told of it.
//! - [`lake`]: Parquet on object storage, in named cuts.
//! - [`checkpoint`]: the state of the operators on object storage.
//! - [`files`]: JSON lines, for replays.
//! - [`failpoint`]: where tests let the process die.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod background;
pub mod checkpoint;
mod commits;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod cut;
mod epoch_writer;
pub mod failpoint;
pub mod files;
pub mod kafka;
pub mod lake;
#[cfg(test)]
mod simulation;

pub use commits::Commits;
pub use epoch_writer::{EpochWriter, SinkError};

/// An error with its causes, for people.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
