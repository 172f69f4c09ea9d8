//! The committer's thread: closed epochs become transactions, and cuts of the lake are recorded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, select};
use datasets::rows::EpochOutputs;
use sinks::cut::Cut;
use sinks::failpoint::{Failpoint, pass};
use sinks::{Commits, SinkError};

use super::monitor::Committed;
use super::pacer::{Flow, Hint, wall_time};
use super::stages::Closed;
use crate::engine::Wake;

/// Epochs without outputs wait for company, at most this long.
const PATIENCE: Duration = Duration::from_millis(100);

/// Outputs of a backlog that is older than this wait for company too: a transaction costs brokers several requests
/// for each partition in it, whatever it holds.
const BACKLOG: i64 = 2_000_000;

/// They wait a twentieth of their age, at most this long.
const LONGEST: Duration = Duration::from_millis(500);

/// What the committer's thread works with.
pub struct CommitLoop {
    /// The one committer, and who it tells.
    pub commits: Commits,
    /// Closed epochs, in order; closed when the dataflow has ended.
    pub epochs: Receiver<Closed>,
    /// Cuts to be recorded; closed when the lake is finished.
    pub cuts: Receiver<Cut>,
    /// Told how far it came.
    pub flow: Flow,
    /// Asked for an epoch when there is a cut to record and none to record it in.
    pub hint: Hint,
    /// Woken when there is room again.
    pub wake: Wake,
    /// Most epochs that wait for company: fewer than may be uncommitted, or the dataflow would wait for them.
    pub together: usize,
    /// Told what was committed.
    pub committed: Committed,
}

impl CommitLoop {
    /// Commits until the dataflow has ended and the lake is finished.
    ///
    /// # Errors
    /// The first commit that failed: the process has to end.
    pub fn run(mut self) -> Result<(), SinkError> {
        let mut last: Option<Arc<EpochOutputs>> = None;
        while let Some(batch) = self.next_batch() {
            last = batch.last().map(|closed| closed.outputs.clone()).or(last);
            self.commit(&batch)?;
        }
        // The dataflow has ended; what the lake still cuts is recorded in epochs that read nothing.
        let Some(mut last) = last else { return Ok(()) };
        while self.commits.has_cuts() || self.next_cut() {
            self.commits.record(self.cuts.try_iter());
            let (epoch, now, wall) = (last.epoch + 1, last.now, last.wall);
            let outputs = Arc::new(EpochOutputs { epoch, now, wall, ..EpochOutputs::default() });
            last = outputs.clone();
            self.commit(&[Closed::now(outputs)])?;
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
    fn next_batch(&mut self) -> Option<Vec<Closed>> {
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
                Ok(closed) => {
                    let before = batch.len();
                    batch.push(closed);
                    batch.extend(self.epochs.try_iter().take(self.together));
                    let patience = batch[before..].iter().map(patience_of).min().unwrap_or_default();
                    let until = Instant::now() + patience;
                    let until = *deadline.insert(deadline.map_or(until, |known: Instant| known.min(until)));
                    if until <= Instant::now() || batch.len() >= self.together {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) if batch.is_empty() => return None,
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.commits.record(self.cuts.try_iter());
        Some(batch)
    }

    fn commit(&mut self, batch: &[Closed]) -> Result<(), SinkError> {
        let epochs: Vec<Arc<EpochOutputs>> = batch.iter().map(|closed| closed.outputs.clone()).collect();
        let began = wall_time();
        self.commits.commit(&epochs)?;
        self.committed.add(batch, began, wall_time());
        if self.commits.has_cuts() {
            self.hint.ring();
        }
        if let Some(last) = batch.last() {
            self.flow.commit(last.outputs.epoch + 1);
            self.wake.all();
        }
        pass(Failpoint::AfterProgress);
        Ok(())
    }
}

fn patience_of(Closed { outputs, .. }: &Closed) -> Duration {
    patience(outputs.has_messages(), outputs.wall.micros_since(outputs.now))
}

/// How long an epoch may wait for others that go out in one transaction with it. Its clock follows a backlog by `age`
/// microseconds.
fn patience(has_messages: bool, age: i64) -> Duration {
    match (has_messages, age) {
        (false, _) => PATIENCE,
        (true, ..BACKLOG) => Duration::ZERO,
        (true, _) => LONGEST.min(Duration::from_micros(age.unsigned_abs() / 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_old_already_waits_for_company() {
        let millis = Duration::from_millis;
        assert_eq!(patience(true, 0), millis(0));
        assert_eq!(patience(true, -5), millis(0));
        assert_eq!(patience(true, 1_999_999), millis(0));
        assert_eq!(patience(true, 2_000_000), millis(100));
        assert_eq!(patience(true, 86_400_000_000), millis(500));
        assert_eq!(patience(false, 0), millis(100));
        assert_eq!(patience(false, 86_400_000_000), millis(100));
    }
}
