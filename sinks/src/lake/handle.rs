//! How the rest of the process reaches the lake's thread.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use datasets::rows::EpochOutputs;
use datasets::{Epoch, EventBatch, Timestamp};

use super::cutting::Cutting;
use super::lanes::Resume;
use super::store::Place;
use super::thread::LakeThread;
use super::{CutLimits, CutLog, LakeConfig, LakeStart, LakeTotals};
use crate::background::{Gathering, Nudge, gathering, give_way};
use crate::checkpoint::LaneState;
use crate::cut::Cut;
use crate::{SinkError, chain};

/// Starts the lake.
pub struct Lake;

impl Lake {
    /// Opens the store, looks at what is there, and starts the lake's thread.
    ///
    /// # Errors
    /// [`SinkError::Rejected`] if the store is not usable or not reachable within
    /// `config.start_timeout`; [`SinkError::Conflict`] if `start.resume` cannot be followed, or is not the log of
    /// what is there.
    pub fn start(config: &LakeConfig, start: LakeStart) -> Result<LakeHandle, SinkError> {
        Self::start_at(Place::open(config)?, config, start)
    }

    /// The same at a place that is open; `config.url` is not looked at.
    ///
    /// # Errors
    /// As [`Lake::start`].
    pub fn start_at(place: Place, config: &LakeConfig, start: LakeStart) -> Result<LakeHandle, SinkError> {
        let runtime = runtime()?;
        let objects = runtime.block_on(place.list(config.start_timeout))?;
        spawn(place, runtime, objects, &config.limits, start).map(|(handle, _)| handle)
    }
}

/// The store's runtime: one thread waits for the network, the lake's own thread encodes.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, SinkError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).thread_name("lake-store").on_thread_start(give_way).enable_all().build();
    runtime.map_err(|error| SinkError::Rejected("lake: starting the store's thread".to_owned(), error.into()))
}

/// Starts the thread, given the names of the objects in place.
pub(super) fn spawn(
    place: Place,
    runtime: tokio::runtime::Runtime,
    objects: Vec<String>,
    limits: &CutLimits,
    start: LakeStart,
) -> Result<(LakeHandle, std::thread::JoinHandle<()>), SinkError> {
    let (cutting, handle, (messages, gathering)) = begin(objects, limits, start)?;
    let thread = LakeThread::new(cutting, gathering, place, runtime, handle.shared.clone());
    let spawned = std::thread::Builder::new().name("lake".to_owned()).spawn(move || thread.run(&messages));
    let join = spawned.map_err(|error| SinkError::Rejected("lake: starting its thread".to_owned(), error.into()))?;
    Ok((handle, join))
}

/// What the lake's thread is told, and when it looks.
pub(crate) type Inbox = (Receiver<Message>, Gathering);

/// What the thread is to do, how it is reached, and what it is told.
pub(crate) fn begin(
    objects: Vec<String>,
    limits: &CutLimits,
    start: LakeStart,
) -> Result<(Cutting, LakeHandle, Inbox), SinkError> {
    let (sender, messages) = unbounded();
    let (nudge, gathering) = gathering();
    let shared = Arc::new(Shared::new(start.durable_below));
    let resume = Resume {
        cuts: &start.resume,
        durable_below: start.durable_below,
        durable: &start.durable,
        replay_upper: start.replay_upper,
    };
    // Only names along recorded cuts are asked for: the lake's past does not stay in memory.
    let replayed: HashSet<&Cut> = start.resume.iter().collect();
    let is_replayed = |name: &String| super::name::cut_of(name).is_some_and(|cut| replayed.contains(&cut));
    if let CutLog::Recorded(_) = start.log {
        let unrecorded = |name: &&String| {
            super::name::cut_of(name).is_some_and(|cut| cut.last >= start.durable_below && !replayed.contains(&cut))
        };
        if let Some(name) = objects.iter().find(unrecorded) {
            return Err(unknown_to_the_log(name));
        }
    }
    let present = objects.into_iter().filter(is_replayed).collect();
    let mut lanes = super::lanes::Lanes::new(start.lanes, start.names, &resume, present)?;
    shared.set_lanes(lanes.states(0).collect());
    let cutting = Cutting::new(limits.clone(), lanes, start.workers, start.log, shared.clone());
    Ok((cutting, LakeHandle { sender, nudge, shared }, (messages, gathering)))
}

/// What others tell the lake.
pub(crate) enum Message {
    History {
        worker: usize,
        epoch: Epoch,
        batch: Arc<EventBatch>,
    },
    Upper {
        worker: usize,
        upper: Epoch,
    },
    Sealed(Arc<EpochOutputs>),
    Recorded(Vec<Cut>),
    Finish(Sender<LakeTotals>),
    /// Stop as if the process had died here.
    Abandon,
}

/// What the lake tells others without being asked.
pub(crate) struct Shared {
    /// What was told and is not in a file yet.
    queued: AtomicUsize,
    /// Files that are not in place yet.
    cut: AtomicUsize,
    oldest_open: AtomicI64,
    durable_upper: AtomicU64,
    lanes: Mutex<Vec<LaneState>>,
    failure: OnceLock<SinkError>,
}

impl Shared {
    const NOTHING_OPEN: i64 = i64::MAX;

    fn new(durable_upper: Epoch) -> Self {
        Shared {
            queued: AtomicUsize::new(0),
            cut: AtomicUsize::new(0),
            oldest_open: AtomicI64::new(Self::NOTHING_OPEN),
            durable_upper: AtomicU64::new(durable_upper),
            lanes: Mutex::default(),
            failure: OnceLock::new(),
        }
    }

    fn queue(&self, bytes: usize) {
        self.queued.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn unqueue(&self, bytes: usize) {
        self.queued.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn add_cut(&self, bytes: usize) {
        self.cut.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn subtract_cut(&self, bytes: usize) {
        self.cut.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn set_oldest_open(&self, oldest: Option<Timestamp>) {
        self.oldest_open.store(oldest.map_or(Self::NOTHING_OPEN, Timestamp::micros), Ordering::Relaxed);
    }

    pub(super) fn set_durable_upper(&self, upper: Epoch) {
        self.durable_upper.fetch_max(upper, Ordering::Release);
    }

    pub(super) fn set_lanes(&self, lanes: Vec<LaneState>) {
        *self.lanes.lock().expect("no panic while assigning") = lanes;
    }

    /// Keeps the first error: later ones follow from it.
    pub(super) fn fail(&self, error: SinkError) {
        tracing::error!(error = %chain(&error), "lake stopped");
        // Only the first is kept.
        let _ = self.failure.set(error);
    }
}

/// The lake, as workers, the loop and the committer see it. Clones are the same lake.
#[derive(Clone)]
pub struct LakeHandle {
    sender: Sender<Message>,
    nudge: Nudge,
    shared: Arc<Shared>,
}

impl LakeHandle {
    /// A worker read these events in `epoch`. Never waits.
    pub fn history(&self, worker: usize, epoch: Epoch, batch: Arc<EventBatch>) {
        self.shared.queue(batch.size());
        self.send(Message::History { worker, epoch, batch });
    }

    /// A worker has delivered the history of all epochs below `upper`, with or without events.
    pub fn history_upper(&self, worker: usize, upper: Epoch) {
        self.send(Message::Upper { worker, upper });
    }

    /// An epoch closed. Every epoch must come, in order.
    pub fn sealed(&self, outputs: Arc<EpochOutputs>) {
        self.shared.queue(output_bytes(&outputs));
        self.send(Message::Sealed(outputs));
    }

    /// The progress record that names these cuts is committed: their objects are put now.
    pub fn cut_recorded(&self, cuts: &[Cut]) {
        self.send(Message::Recorded(cuts.to_vec()));
        self.nudge.wake();
    }

    /// Bytes, as they lie in memory, that are queued or belong to cuts not yet put: what goes down
    /// if the lake is left alone. Open files are not in it; `max_file_bytes` bounds those of each lane.
    pub fn bytes_in_flight(&self) -> usize {
        self.bytes_queued() + self.shared.cut.load(Ordering::Relaxed)
    }

    /// The part of [`LakeHandle::bytes_in_flight`] that waits for the thread, not for the store.
    pub fn bytes_queued(&self) -> usize {
        self.shared.queued.load(Ordering::Relaxed)
    }

    /// The recorded clock at the oldest row in an open file. An epoch at `max_file_age` after it,
    /// even an empty one, cuts that file.
    pub fn oldest_open(&self) -> Option<Timestamp> {
        let micros = self.shared.oldest_open.load(Ordering::Relaxed);
        (micros != Shared::NOTHING_OPEN).then(|| Timestamp::from_micros(micros))
    }

    /// Without an epoch log: every epoch below it is durable in all tables.
    pub fn durable_upper(&self) -> Epoch {
        self.shared.durable_upper.load(Ordering::Acquire)
    }

    /// How far each lane is durable.
    pub fn lanes(&self) -> Vec<LaneState> {
        self.shared.lanes.lock().expect("no panic while assigning").clone()
    }

    /// Why the lake stopped, if it did. Everything given to it after is dropped, so ask regularly.
    pub fn error(&self) -> Option<SinkError> {
        self.shared.failure.get().map(again)
    }

    /// Cuts what is open, waits until every decided cut is recorded and put, and stops the lake.
    /// Rows of a replay that did not get beyond the recorded cuts are left to the next one.
    ///
    /// # Errors
    /// The first error since the lake started.
    pub fn finish(&self) -> Result<LakeTotals, SinkError> {
        self.ask_to_finish().recv().map_err(|_| self.error().unwrap_or_else(gone))
    }

    /// Begins [`LakeHandle::finish`].
    pub(crate) fn ask_to_finish(&self) -> Receiver<LakeTotals> {
        let (reply, totals) = bounded(1);
        self.send(Message::Finish(reply));
        self.nudge.wake();
        totals
    }

    /// Stops the lake as if the process had died here.
    pub(super) fn abandon(&self) {
        self.send(Message::Abandon);
        self.nudge.wake();
    }

    fn send(&self, message: Message) {
        // A lake that is gone says why by `error`.
        let _ = self.sender.send(message);
    }
}

/// Memory of an epoch's outputs, about.
pub(crate) fn output_bytes(out: &EpochOutputs) -> usize {
    let raw = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    size_of_val(out)
        + size_of_val(out.completions.as_slice())
        + size_of_val(out.audit.as_slice())
        + size_of_val(out.points.as_slice())
        + size_of_val(out.tiers.as_slice())
        + size_of_val(out.activity.as_slice())
        + size_of_val(out.entities.gaming_activity.as_slice())
        + size_of_val(out.entities.transactions.as_slice())
        + size_of_val(out.entities.customers.as_slice())
        + size_of_val(out.entities.reviews.as_slice())
        + size_of_val(out.dead_letters.as_slice())
        + out.dead_letters.iter().map(|row| raw(&row.raw) + raw(&row.raw_base64)).sum::<usize>()
        + size_of_val(out.dispositions.as_slice())
        + size_of_val(out.definitions.as_slice())
}

/// An object is put only after its cut was recorded, so the log that recorded this one is another.
fn unknown_to_the_log(name: &str) -> SinkError {
    SinkError::Conflict(format!(
        "lake: {name} is there, but the log of epochs has recorded no such cut: the log was emptied, or restored from an \
         earlier state, or another pipeline or a replay writes under the same root. Going on would write rows a second \
         time. Restore the progress topic, or start anew under another pipeline name, with output topics and a lake of its own"
    ))
}

fn gone() -> SinkError {
    SinkError::Indeterminate("lake".to_owned(), "its thread has ended".into())
}

/// The same error for one more caller; its causes become text.
fn again(error: &SinkError) -> SinkError {
    match error {
        SinkError::Rejected(what, cause) => SinkError::Rejected(what.clone(), chain(cause.as_ref()).into()),
        SinkError::Indeterminate(what, cause) => SinkError::Indeterminate(what.clone(), chain(cause.as_ref()).into()),
        SinkError::Fenced(what, cause) => SinkError::Fenced(what.clone(), chain(cause.as_ref()).into()),
        SinkError::Conflict(what) => SinkError::Conflict(what.clone()),
    }
}
