//! Watches a running pipeline from its own thread: finds partitions, tells the rate, hands on how far it came, and
//! sees failures of the lake and of cold state.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use datasets::rows::{Binding, Counters};
use datasets::{Epoch, Timestamp};
use sinks::checkpoint::CheckpointHandle;
use sinks::lake::LakeHandle;

use super::assign::Discovery;
use super::metrics::Metrics;
use super::offsets::Offsets;
use super::pacer::{Flow, wall_time};
use super::stages::{Closed, Stages};
use super::trimming::Trimming;
use crate::engine::Halt;
use crate::source::Position;

const LOOK_EVERY: Duration = Duration::from_secs(10);
const TELL_EVERY: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_millis(200);

/// Takes a partition that was found, with the worker that is to read it.
pub type HandOut = dyn FnMut(usize, Position) + Send;

/// What the committer has committed, added up where the monitor looks now and then: nobody is woken for an epoch that
/// only counts. The monitor ends when it is dropped.
pub struct Committed {
    sums: Arc<Mutex<Sums>>,
    metrics: Arc<Metrics>,
    _open: Sender<Infallible>,
}

/// The monitor's end of [`Committed`].
pub struct Looked {
    sums: Arc<Mutex<Sums>>,
    metrics: Arc<Metrics>,
    closed: Receiver<Infallible>,
}

#[derive(Default)]
struct Sums {
    counters: Counters,
    /// Partitions that have moved since somebody looked.
    moved: BTreeMap<(Arc<str>, i32), i64>,
    /// Since somebody told of them.
    stages: Stages,
}

/// Nothing is committed yet. `metrics` hear of everything that will be.
pub fn committed(metrics: Arc<Metrics>) -> (Committed, Looked) {
    let sums = Arc::<Mutex<Sums>>::default();
    let (open, closed) = bounded(0);
    (Committed { sums: sums.clone(), metrics: metrics.clone(), _open: open }, Looked { sums, metrics, closed })
}

impl Committed {
    /// These epochs are committed, too, in a transaction that began and ended then.
    pub fn add(&self, epochs: &[Closed], began: Timestamp, ended: Timestamp) {
        self.metrics.add(epochs, began, ended);
        let mut sums = self.sums.lock().expect("no panic while adding");
        sums.stages.add(epochs, began, ended);
        for Closed { outputs, .. } in epochs {
            sums.counters.add(&outputs.counters);
            let moved = outputs.bindings.iter().map(|one| ((one.topic.clone(), one.partition), one.upper));
            sums.moved.extend(moved);
        }
    }
}

/// The thread that watches.
pub struct Monitor(JoinHandle<()>);

impl Monitor {
    /// Watches until the committer has ended.
    ///
    /// # Errors
    /// Threads that cannot be started.
    pub fn start(
        committed: Looked,
        (lake, checkpoint): (Option<LakeHandle>, Option<CheckpointHandle>),
        halt: Halt,
        (discovery, hand_out): (Discovery, Box<HandOut>),
        trimming: Option<Trimming>,
        (flow, free_from): (Flow, Epoch),
    ) -> std::io::Result<Self> {
        let offsets = Offsets::start(discovery.cluster.clone())?;
        let counters = Counters::default();
        let watch = Watch {
            committed,
            lake,
            checkpoint,
            halt,
            discovery,
            hand_out,
            offsets,
            trimming,
            flow,
            free_from,
            counters,
        };
        std::thread::Builder::new().name("monitor".to_owned()).spawn(move || watch.run()).map(Monitor)
    }

    /// Waits for the thread.
    pub fn join(self) {
        // It only watches: its panic is on the log already.
        let _ = self.0.join();
    }
}

struct Watch {
    committed: Looked,
    lake: Option<LakeHandle>,
    checkpoint: Option<CheckpointHandle>,
    halt: Halt,
    discovery: Discovery,
    hand_out: Box<HandOut>,
    offsets: Offsets,
    trimming: Option<Trimming>,
    flow: Flow,
    /// Earlier epochs were committed by an earlier run.
    free_from: Epoch,
    counters: Counters,
}

impl Watch {
    fn run(mut self) {
        let mut looked: Option<Instant> = None;
        let (mut told, mut before) = (Instant::now(), 0);
        loop {
            if looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
                looked = Some(Instant::now());
                if let Err(error) = self.discovery.look(&mut *self.hand_out) {
                    tracing::warn!(error = crate::chain(&error), "cannot look for partitions");
                }
            }
            let Err(waited) = self.committed.closed.recv_timeout(PATIENCE);
            self.look_at_committed();
            if waited == RecvTimeoutError::Disconnected {
                break;
            }
            if let Some(trimming) = &mut self.trimming {
                trimming.look();
            }
            let is_ready = self.flow.published() >= self.free_from;
            self.committed.metrics.look(wall_time(), is_ready, self.lake.as_ref(), self.checkpoint.as_ref());
            if let Some(error) = self.lake.as_ref().and_then(LakeHandle::error) {
                self.halt.fail(crate::chain(&error));
            }
            if let Some(why) = self.checkpoint.as_ref().and_then(CheckpointHandle::failure) {
                self.halt.fail(why.to_owned());
            }
            if told.elapsed() >= TELL_EVERY && self.counters.read > before {
                let rate = (self.counters.read - before) * 1000 / millis(told.elapsed());
                self.tell("running", Some(rate));
                (told, before) = (Instant::now(), self.counters.read);
            }
        }
        self.tell("stopped", None);
    }

    fn look_at_committed(&mut self) {
        let mut sums = self.committed.sums.lock().expect("no panic while adding");
        self.counters = sums.counters.clone();
        let moved = std::mem::take(&mut sums.moved).into_iter();
        let moved = moved.map(|((topic, partition), upper)| Binding { topic, partition, upper }).collect();
        drop(sums);
        self.offsets.moved(moved);
    }

    fn tell(&self, state: &str, rate: Option<u64>) {
        let refused: u64 = self.counters.dead_letters.values().sum();
        let Counters { read, accepted, duplicates, completed, revoked, suppressed, .. } = &self.counters;
        let stages = std::mem::take(&mut self.committed.sums.lock().expect("no panic while adding").stages);
        let stages = (!stages.is_empty()).then(|| tracing::field::display(stages));
        tracing::info!(read, rate, accepted, duplicates, refused, completed, revoked, suppressed, stages, "{state}");
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
