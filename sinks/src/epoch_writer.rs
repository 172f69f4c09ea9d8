//! What every sink promises about epochs.

use std::sync::Arc;

use datasets::Epoch;
use datasets::rows::EpochOutputs;

/// Makes closed epochs durable, in order.
///
/// The contract, held by one suite for every writer:
/// - after `commit` returned `Ok`, all epochs given are durable, or will be made so by a writer
///   that resumes from `resume_upper`;
/// - a reader sees each epoch's rows once, in order of epochs, also after the process died in the
///   middle of a commit and another writer resumed;
/// - epochs below `resume_upper` are ignored, so a replay may offer them again;
/// - an epoch without rows moves `resume_upper` too.
pub trait EpochWriter: Send {
    /// The first epoch that is not yet durable.
    fn resume_upper(&mut self) -> Result<Epoch, SinkError>;

    /// Makes `epochs`, which are consecutive, durable together.
    fn commit(&mut self, epochs: &[Arc<EpochOutputs>]) -> Result<(), SinkError>;
}

/// A failed commit. The variant tells the caller what to do next.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Nothing was written; the same commit may be tried again.
    #[error("{0}: nothing was written")]
    Rejected(String, #[source] BoxError),
    /// It may have been written: end the process, recovery finds out.
    #[error("{0}: the outcome is unknown")]
    Indeterminate(String, #[source] BoxError),
    /// Another instance of the pipeline took over: stop at once.
    #[error("{0}: another instance of this pipeline has taken over")]
    Fenced(String, #[source] BoxError),
    /// What is stored contradicts what is to be written: stop loudly.
    #[error("{0}")]
    Conflict(String),
}

/// Any cause.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
