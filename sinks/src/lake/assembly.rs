//! Puts epochs together from what workers and the dataflow's end deliver at their own pace.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use datasets::rows::EpochOutputs;
use datasets::{Epoch, EventBatch};

use crate::SinkError;

/// Everything of one epoch.
pub(super) struct WholeEpoch {
    pub(super) outputs: Arc<EpochOutputs>,
    /// By worker, each in the order of delivery.
    pub(super) history: Vec<Arc<EventBatch>>,
}

/// Epochs of which something is still missing.
pub(super) struct Assembly {
    /// By worker: it has delivered all history of earlier epochs.
    uppers: Vec<Epoch>,
    history: BTreeMap<(Epoch, usize), Vec<Arc<EventBatch>>>,
    sealed: VecDeque<Arc<EpochOutputs>>,
}

impl Assembly {
    pub(super) fn new(workers: usize) -> Self {
        Assembly { uppers: vec![0; workers], history: BTreeMap::new(), sealed: VecDeque::new() }
    }

    /// A worker read these events in `epoch`.
    pub(super) fn history(&mut self, worker: usize, epoch: Epoch, batch: Arc<EventBatch>) -> Result<(), SinkError> {
        let upper = self.uppers.get(worker).copied();
        if upper.is_none_or(|upper| epoch < upper) {
            let said = format!("worker {worker} delivered history of epoch {epoch} after its upper {upper:?}");
            return Err(SinkError::Conflict(format!("lake: {said}")));
        }
        self.history.entry((epoch, worker)).or_default().push(batch);
        Ok(())
    }

    /// A worker has delivered all history below `upper`.
    pub(super) fn upper(&mut self, worker: usize, upper: Epoch) {
        if let Some(known) = self.uppers.get_mut(worker) {
            *known = upper.max(*known);
        }
    }

    /// An epoch closed; they come in order.
    pub(super) fn sealed(&mut self, outputs: Arc<EpochOutputs>) {
        self.sealed.push_back(outputs);
    }

    /// The next epoch, once it is whole.
    pub(super) fn pop(&mut self) -> Result<Option<WholeEpoch>, SinkError> {
        let upper = self.uppers.iter().min();
        let is_whole = |out: &mut Arc<EpochOutputs>| upper.is_none_or(|upper| out.epoch < *upper);
        let Some(outputs) = self.sealed.pop_front_if(is_whole) else { return Ok(None) };
        let later = self.history.split_off(&(outputs.epoch + 1, 0));
        let now = std::mem::replace(&mut self.history, later);
        // Rows of an epoch that is skipped would be lost without a trace.
        if let Some(((epoch, _), _)) = now.first_key_value().filter(|((epoch, _), _)| *epoch < outputs.epoch) {
            let said = format!("epoch {epoch} has history but was never closed; epoch {} was", outputs.epoch);
            return Err(SinkError::Conflict(format!("lake: {said}")));
        }
        Ok(Some(WholeEpoch { outputs, history: now.into_values().flatten().collect() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(epoch: Epoch) -> Arc<EpochOutputs> {
        Arc::new(EpochOutputs { epoch, ..EpochOutputs::default() })
    }

    fn batch(lane: u16) -> Arc<EventBatch> {
        Arc::new(EventBatch::new(0, lane))
    }

    fn lanes(whole: &WholeEpoch) -> Vec<u16> {
        whole.history.iter().map(|batch| batch.lane).collect()
    }

    #[test]
    fn an_epoch_waits_for_every_worker_and_its_end() {
        let mut assembly = Assembly::new(2);
        assembly.history(1, 0, batch(3)).unwrap();
        assembly.history(0, 0, batch(1)).unwrap();
        assembly.history(0, 1, batch(9)).unwrap();
        assembly.history(1, 0, batch(4)).unwrap();
        assembly.upper(0, 2);
        assembly.upper(1, 1);
        assert!(assembly.pop().unwrap().is_none());
        assembly.sealed(sealed(0));
        assembly.sealed(sealed(1));
        assert_eq!(lanes(&assembly.pop().unwrap().unwrap()), [1, 3, 4]);
        assert!(assembly.pop().unwrap().is_none());
        assembly.upper(1, 2);
        assert_eq!(lanes(&assembly.pop().unwrap().unwrap()), [9]);
    }

    #[test]
    fn without_workers_there_is_no_history_to_wait_for() {
        let mut assembly = Assembly::new(0);
        assembly.sealed(sealed(7));
        assert_eq!(assembly.pop().unwrap().unwrap().outputs.epoch, 7);
    }

    #[test]
    fn history_that_would_be_lost_is_an_error() {
        let mut assembly = Assembly::new(1);
        assembly.history(0, 3, batch(0)).unwrap();
        assembly.upper(0, 9);
        assert!(assembly.history(0, 8, batch(0)).is_err());
        assert!(assembly.history(1, 9, batch(0)).is_err());
        assembly.sealed(sealed(4));
        assert!(assembly.pop().is_err());
    }
}
