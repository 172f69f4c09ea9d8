//! Reads the progress topic from where it begins to its committed end.

use std::time::{Duration, Instant};

use datasets::{Epoch, Timestamp};

use super::CommitterConfig;
use super::broker::{Cluster, Isolation};
use super::client::Client;
use super::progress::{Chain, Decoder, ProgressError, ProgressRecord};
use crate::SinkError;
use crate::cut::Cut;

/// What was committed before this process: the log of epochs, as far as it was not trimmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredLog {
    /// The epoch that it begins with: what came before was removed below a checkpoint.
    pub first: Epoch,
    /// One record per epoch, from `first` on.
    pub records: Vec<ProgressRecord>,
    /// The first epoch that is not committed.
    pub upper: Epoch,
    /// The last reading of the clock; `None` before the first epoch.
    pub now: Option<Timestamp>,
    /// The hash chain up to the last record.
    pub chain: Chain,
    /// Cuts of the lake, in the order in which they were recorded.
    pub cuts: Vec<Cut>,
}

impl RecoveredLog {
    fn of(pipeline: &str, records: Vec<ProgressRecord>) -> Self {
        let last = records.last();
        RecoveredLog {
            first: records.first().map_or(0, |first| first.epoch),
            upper: last.map_or(0, |last| last.epoch + 1),
            now: last.map(|last| last.now),
            chain: last.map_or(Chain::start(pipeline), |last| last.chain),
            cuts: records.iter().flat_map(|record| record.cuts.iter().cloned()).collect(),
            records,
        }
    }

    /// The record of an epoch, if it is committed and was not trimmed.
    pub fn record(&self, epoch: Epoch) -> Option<&ProgressRecord> {
        self.records.get(usize::try_from(epoch.checked_sub(self.first)?).ok()?)
    }
}

/// Reads the log. Every transactional id must have been fenced before: only then is what lies
/// below the end decided, and does nothing more come to be committed by another process.
pub(super) fn read(cluster: &impl Cluster, config: &CommitterConfig) -> Result<RecoveredLog, SinkError> {
    let topic = &config.topics.progress;
    let written = cluster.offsets(Isolation::Uncommitted)?;
    if written.start > 0 && written.is_empty() {
        return Err(emptied(topic, "it holds nothing"));
    }
    loop {
        let start = await_stable(cluster, config, written.end)?;
        let read = read_from(cluster, config, start);
        // Another instance may have trimmed it meanwhile.
        if read.is_ok() || cluster.offsets(Isolation::Committed)?.start == start {
            return read;
        }
    }
}

fn read_from(cluster: &impl Cluster, config: &CommitterConfig, start: i64) -> Result<RecoveredLog, SinkError> {
    let topic = &config.topics.progress;
    // The stable offset is at or beyond the end that was read, so the reader comes to it. (Records do
    // not tell: what an aborted transaction left, and every commit marker, takes offsets that no record has.)
    let mut decoder = Decoder::new(&config.pipeline);
    let mut records = Vec::new();
    cluster.read_committed(start, &mut |at, payload| match decoder.read(payload) {
        Ok(record) => {
            records.extend(record);
            Ok(())
        }
        Err(error @ ProgressError::Part { .. }) if records.is_empty() && start > 0 => {
            Err(emptied(topic, &format!("it begins at offset {start} with: {error}")))
        }
        Err(error) => Err(SinkError::Conflict(format!("{topic}, offset {at}: {error}"))),
    })?;
    decoder.end().map_err(|error| SinkError::Conflict(format!("{topic}: {error}")))?;
    if records.is_empty() && start > 0 {
        return Err(emptied(topic, "it holds no committed record"));
    }
    Ok(RecoveredLog::of(&config.pipeline, records))
}

/// Reads the log without taking anything over: for looking at it. A pipeline that runs meanwhile goes on.
///
/// # Errors
/// [`SinkError::Rejected`] when brokers cannot be reached within the startup timeout or refuse;
/// [`SinkError::Conflict`] when the progress topic is not a log of this pipeline from its beginning.
pub fn read_log(config: &CommitterConfig) -> Result<RecoveredLog, SinkError> {
    read(&Client::new(config)?, config)
}

/// Waits until everything below `end` is committed or aborted, and returns the first offset.
fn await_stable(cluster: &impl Cluster, config: &CommitterConfig, end: i64) -> Result<i64, SinkError> {
    let (timeout, topic) = (config.connection.startup_timeout, &config.topics.progress);
    let deadline = Instant::now() + timeout;
    loop {
        let stable = cluster.offsets(Isolation::Committed)?;
        if stable.end >= end {
            return Ok(stable.start);
        }
        if Instant::now() >= deadline {
            return Err(SinkError::Conflict(format!(
                "the progress topic {topic} ends at offset {end}, but a transaction has been undecided at offset {} for \
                 {timeout:?}: another program keeps it open, or the brokers have lost its commit (docs/operations.md: \
                 Undecided transactions)",
                stable.end
            )));
        }
        cluster.pause(Duration::from_millis(2));
    }
}

fn emptied(topic: &str, how: &str) -> SinkError {
    SinkError::Conflict(format!(
        "the beginning of the progress topic {topic} was removed ({how}): without it the pipeline's state cannot be \
         recovered. Restore the topic, or start anew under another pipeline name"
    ))
}
