//! [`Commits`]: a commit, and who is told of it.

use std::sync::Arc;

use datasets::rows::EpochOutputs;

use crate::SinkError;
use crate::checkpoint::CheckpointHandle;
use crate::cut::Cut;
use crate::kafka::{KafkaCommitter, Transactional, TransactionalProducer};
use crate::lake::LakeHandle;

/// Commits closed epochs and records cuts of the lake with them. Lake and checkpoint are told once that is committed:
/// what they put then has happened.
pub struct Commits<P = TransactionalProducer> {
    committer: KafkaCommitter<P>,
    lake: Option<LakeHandle>,
    checkpoint: Option<CheckpointHandle>,
    /// Decided by the lake, in no record yet.
    cuts: Vec<Cut>,
}

impl<P: Transactional> Commits<P> {
    /// Nothing is to be recorded yet.
    pub fn new(committer: KafkaCommitter<P>, lake: Option<LakeHandle>, checkpoint: Option<CheckpointHandle>) -> Self {
        Commits { committer, lake, checkpoint, cuts: Vec::new() }
    }

    /// The lake has decided these.
    pub fn record(&mut self, cuts: impl IntoIterator<Item = Cut>) {
        self.cuts.extend(cuts);
    }

    /// There are cuts that no record holds yet.
    pub fn has_cuts(&self) -> bool {
        !self.cuts.is_empty()
    }

    /// Commits `batch` in one transaction, without what an earlier run has committed.
    ///
    /// # Errors
    /// See [`KafkaCommitter::commit_with`].
    pub fn commit(&mut self, batch: &[Arc<EpochOutputs>]) -> Result<(), SinkError> {
        // A cut is recorded with its last epoch or later, never ahead of what it names; and not with epochs of a
        // replay, which are committed already: behind the last of them, the lake may have decided the first new cut.
        let upper = batch.last().map_or(0, |last| last.epoch + 1);
        let upper = if upper > self.committer.upper() { upper } else { 0 };
        let due: Vec<Cut> = self.cuts.extract_if(.., |cut| cut.last < upper).collect();
        let rounds = self.checkpoint.as_ref().map_or(0, CheckpointHandle::rounds);
        let chains = self.committer.commit_with(batch, due.clone())?;
        if let Some(checkpoint) = self.checkpoint.as_ref().filter(|_| !chains.is_empty()) {
            checkpoint.committed(chains, rounds);
        }
        if let Some(lake) = self.lake.as_ref().filter(|_| !due.is_empty()) {
            lake.cut_recorded(&due);
        }
        Ok(())
    }
}
