//! When epochs open while running: along the log first, then as soon as there is something to do.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use datasets::{Epoch, Timestamp};
use operators::deadline::Deadlines;
use sinks::checkpoint::CheckpointHandle;
use sinks::kafka::ProgressRecord;
use sinks::lake::LakeHandle;

use super::peers::Peers;
use crate::cluster::Message;
use crate::config::Config;
use crate::engine::{Halt, Wake};
use crate::epochs::{Pace, Pacer, Recorded, Tick};

/// Something is there to be read, or has to be recorded.
#[derive(Clone)]
pub struct Hint {
    is_set: Arc<AtomicBool>,
    wake: Wake,
    /// Of the process that opens epochs, where that is another one.
    afar: Option<Peers>,
}

impl Hint {
    /// Set at first: there is always a first epoch.
    pub fn new(wake: Wake) -> Self {
        Hint { is_set: Arc::new(AtomicBool::new(true)), wake, afar: None }
    }

    /// Of process 0, for another one.
    pub fn afar(wake: Wake, leader: Peers) -> Self {
        Hint { afar: Some(leader), ..Hint::new(wake) }
    }

    /// Asks for an epoch.
    pub fn ring(&self) {
        if let Some(leader) = &self.afar {
            leader.tell_all(&Message::Ring);
        } else {
            self.is_set.store(true, Ordering::Release);
        }
        // Along the log an epoch is open already, and waits for what has come.
        self.wake.all();
    }

    /// There may be room for an epoch that is known to be needed.
    pub fn look_again(&self) {
        self.wake.all();
    }

    fn take(&self) -> bool {
        self.is_set.swap(false, Ordering::AcqRel)
    }
}

/// Where epochs are on their way out.
#[derive(Clone, Default)]
pub struct Flow(Arc<FlowState>);

#[derive(Default)]
struct FlowState {
    published: AtomicU64,
    committed: AtomicU64,
}

impl Flow {
    /// Everything below `upper` was committed by an earlier run; `first` is the first epoch that is followed.
    pub fn resuming(first: Epoch, upper: Epoch) -> Self {
        let flow = Flow::default();
        flow.publish(first);
        flow.commit(upper);
        flow
    }

    /// The dataflow has put out epochs below `upper`.
    pub fn publish(&self, upper: Epoch) {
        self.0.published.store(upper, Ordering::Release);
    }

    /// Epochs below `upper` are committed.
    pub fn commit(&self, upper: Epoch) {
        self.0.committed.store(upper, Ordering::Release);
    }

    /// The dataflow has put out epochs below.
    pub fn published(&self) -> Epoch {
        self.0.published.load(Ordering::Acquire)
    }

    fn committed(&self) -> Epoch {
        self.0.committed.load(Ordering::Acquire)
    }
}

/// Bounds on what is under way; timely's own queues have none.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Epochs that the dataflow works on at once.
    pub epochs_in_flight: u64,
    /// Epochs that wait for their commit.
    pub epochs_uncommitted: u64,
    /// Bytes that wait for the lake.
    pub bytes_in_flight: usize,
    /// Microseconds after which a file of the lake is cut.
    pub file_age: i64,
}

impl Limits {
    /// As configured.
    pub fn of(config: &Config) -> Self {
        let limits = &config.limits;
        Limits {
            epochs_in_flight: IN_DATAFLOW,
            epochs_uncommitted: limits.epochs_in_flight,
            bytes_in_flight: usize::try_from(limits.bytes_in_flight).unwrap_or(usize::MAX),
            file_age: config.lake.as_ref().map_or(i64::MAX, |lake| lake.max_file_age.micros()),
        }
    }
}

/// Epochs that keep every worker busy while the first one waits for the last to close one.
const IN_DATAFLOW: u64 = 4;

/// Most bytes that wait for the lake's thread. More would only lie in memory that has to be found for them first.
const QUEUED: usize = 48 << 20;

/// While a commit is under way, epochs that would only wait for it are not opened more often than this.
const SHORTEST: Duration = Duration::from_millis(3);

/// Opens epochs of a running pipeline.
pub struct LivePacer {
    /// Epochs of the log that are still to be followed.
    pub log: VecDeque<ProgressRecord>,
    /// Asks for epochs.
    pub hint: Hint,
    /// Of all workers.
    pub deadlines: Vec<Deadlines>,
    /// Progress of what was opened.
    pub flow: Flow,
    /// Bounds on it.
    pub limits: Limits,
    /// Whose backlog is bounded.
    pub lake: Option<LakeHandle>,
    /// Whose backlog is bounded too.
    pub checkpoint: Option<CheckpointHandle>,
    /// Ends the pipeline.
    pub halt: Halt,
    /// When the last epoch was opened.
    pub opened: Instant,
    /// No epoch has been opened beyond the log.
    pub is_following: bool,
}

impl LivePacer {
    fn has_room(&self, epoch: Epoch) -> bool {
        let bytes = self.lake.as_ref().map_or(0, LakeHandle::bytes_in_flight)
            + self.checkpoint.as_ref().map_or(0, CheckpointHandle::bytes_waiting);
        epoch.saturating_sub(self.flow.published()) < self.limits.epochs_in_flight
            && self.flow.published().saturating_sub(self.flow.committed()) < self.limits.epochs_uncommitted
            && bytes < self.limits.bytes_in_flight
    }

    /// The lake's thread has fallen behind: nobody tells when it comes up again.
    fn is_lake_behind(&self) -> bool {
        self.lake.as_ref().is_some_and(|lake| lake.bytes_queued() >= QUEUED)
    }

    fn is_deadline(&self, now: Timestamp) -> bool {
        self.deadlines.iter().any(|deadlines| deadlines.next() <= now)
    }

    /// A file is old enough to be cut, and only an epoch can say so.
    fn is_cut_due(&self, now: Timestamp) -> bool {
        let oldest = self.lake.as_ref().and_then(LakeHandle::oldest_open);
        oldest.is_some_and(|oldest| now.micros_since(oldest) >= self.limits.file_age)
    }

    fn is_hasty(&self, epoch: Epoch) -> bool {
        self.flow.committed() < epoch && self.opened.elapsed() < SHORTEST
    }
}

impl Pacer for LivePacer {
    fn next(&mut self, epoch: Epoch) -> Pace {
        if self.halt.is_asked() {
            return Pace::End;
        }
        if !self.has_room(epoch) {
            return Pace::Wait;
        }
        if self.is_lake_behind() {
            self.hint.wake.first_at(Instant::now() + SHORTEST);
            return Pace::Wait;
        }
        if let Some(record) = self.log.pop_front() {
            debug_assert_eq!(record.epoch, epoch, "the log has one record an epoch");
            let ProgressRecord { now, wall, bindings, definitions, .. } = record;
            let recorded = Some(Arc::new(Recorded { now, bindings, definitions }));
            return Pace::Open(Tick { opened: wall, recorded, is_last: false });
        }
        if self.is_hasty(epoch) {
            self.hint.wake.first_at(self.opened + SHORTEST);
            return Pace::Wait;
        }
        let opened = wall_time();
        // While the clock follows a backlog, no reading of it comes nearer to a deadline than the input does.
        let is_behind = self.deadlines.iter().any(Deadlines::is_behind);
        let is_due = !is_behind && (self.is_deadline(opened) || self.is_cut_due(opened));
        if !self.hint.take() && !is_due {
            return Pace::Wait;
        }
        self.opened = Instant::now();
        if std::mem::take(&mut self.is_following) {
            tracing::info!(epoch, "the log of epochs has been followed to its end");
        }
        Pace::Open(Tick { opened, recorded: None, is_last: false })
    }
}

/// The clock on the wall: only ever read here, and recorded with the epoch it opens.
pub fn wall_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
