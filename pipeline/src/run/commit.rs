//! The committer's thread: closed epochs become transactions, and cuts of the lake are recorded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, select};
use datasets::rows::EpochOutputs;
use sinks::cut::Cut;
use sinks::failpoint::{Failpoint, pass};
use sinks::{Commits, SinkError};

use super::pacer::{Flow, Hint};
use crate::engine::Wake;

/// Epochs without outputs wait for company, at most this long.
const PATIENCE: Duration = Duration::from_millis(100);

/// Most epochs of one transaction.
const TOGETHER: usize = 1024;

/// What the committer's thread works with.
pub struct CommitLoop {
    /// The one committer, and who it tells.
    pub commits: Commits,
    /// Closed epochs, in order; closed when the dataflow has ended.
    pub epochs: Receiver<Arc<EpochOutputs>>,
    /// Cuts to be recorded; closed when the lake is finished.
    pub cuts: Receiver<Cut>,
    /// Told how far it came.
    pub flow: Flow,
    /// Asked for an epoch when there is a cut to record and none to record it in.
    pub hint: Hint,
    /// Woken when there is room again.
    pub wake: Wake,
    /// Told what was committed.
    pub committed: Sender<Arc<[Arc<EpochOutputs>]>>,
}

impl CommitLoop {
    /// Commits until the dataflow has ended and the lake is finished.
    ///
    /// # Errors
    /// The first commit that failed: the process has to end.
    pub fn run(mut self) -> Result<(), SinkError> {
        let mut last: Option<Arc<EpochOutputs>> = None;
        while let Some(batch) = self.next_batch() {
            last = batch.last().cloned().or(last);
            self.commit(&batch)?;
        }
        // The dataflow has ended; what the lake still cuts is recorded in epochs that read nothing.
        let Some(mut last) = last else { return Ok(()) };
        while self.commits.has_cuts() || self.next_cut() {
            self.commits.record(self.cuts.try_iter());
            let (epoch, now, wall) = (last.epoch + 1, last.now, last.wall);
            last = Arc::new(EpochOutputs { epoch, now, wall, ..EpochOutputs::default() });
            self.commit(std::slice::from_ref(&last))?;
        }
        Ok(())
    }

    /// Waits for a cut; false when there will be no more.
    fn next_cut(&mut self) -> bool {
        let cut = self.cuts.recv();
        let is_there = cut.is_ok();
        self.commits.record(cut);
        is_there
    }

    /// The epochs of the next transaction; `None` when there will be no more.
    fn next_batch(&mut self) -> Option<Vec<Arc<EpochOutputs>>> {
        let mut batch = Vec::new();
        let mut deadline = None;
        loop {
            let arrived = match deadline {
                None => select! {
                    recv(self.epochs) -> epoch => epoch.map_err(|_| RecvTimeoutError::Disconnected),
                    recv(self.cuts) -> cut => {
                        // Recorded in the next epoch; if the topics are idle, there has to be one.
                        self.commits.record(cut);
                        self.hint.ring();
                        continue;
                    }
                },
                Some(deadline) => self.epochs.recv_deadline(deadline),
            };
            match arrived {
                Ok(outputs) => {
                    let is_urgent = outputs.has_messages();
                    batch.push(outputs);
                    batch.extend(self.epochs.try_iter().take(TOGETHER));
                    if is_urgent || batch.iter().any(|outputs| outputs.has_messages()) || batch.len() >= TOGETHER {
                        break;
                    }
                    deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) if batch.is_empty() => return None,
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.commits.record(self.cuts.try_iter());
        Some(batch)
    }

    fn commit(&mut self, batch: &[Arc<EpochOutputs>]) -> Result<(), SinkError> {
        self.commits.commit(batch)?;
        if self.commits.has_cuts() {
            self.hint.ring();
        }
        if let Some(last) = batch.last() {
            self.flow.commit(last.epoch + 1);
            self.wake.all();
        }
        // Nobody may be listening any more.
        let _ = self.committed.send(batch.into());
        pass(Failpoint::AfterProgress);
        Ok(())
    }
}
