//! The thread that puts checkpoints: waits for messages, and decides nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use datasets::Epoch;
use datasets::rows::EpochOutputs;
use datasets::state::Section;
use tokio::runtime::Runtime;

use super::CheckpointConfig;
use super::putting::Putting;
use super::recovery::{Found, Recovered};
use crate::SinkError;
use crate::background::{Gathering, Nudge, give_way};
use crate::kafka::Chain;
use crate::lake::{LakeHandle, output_bytes};

/// How long the thread waits before it looks again whether a round is complete.
const PATIENCE: Duration = Duration::from_millis(200);

pub(crate) enum Message {
    Section(Section),
    Published(Arc<EpochOutputs>),
    Committed { chains: Vec<(Epoch, Chain)>, rounds: u64 },
}

#[derive(Default)]
pub(crate) struct Shared {
    /// Rounds whose manifest is in place.
    pub(super) rounds: AtomicU64,
    pub(super) log_needed_from: AtomicU64,
    /// Outputs that are in no checkpoint yet, about.
    pub(super) bytes: AtomicUsize,
    pub(super) is_putting: AtomicBool,
    pub(super) has_ended: AtomicBool,
    pub(super) failure: OnceLock<String>,
    /// The last manifest that is in place, of those that were put.
    pub(super) manifest: Mutex<Option<String>>,
}

/// Where state, outputs and commits are told. Clones are the same.
#[derive(Clone)]
pub struct CheckpointHandle {
    pub(super) sender: Sender<Message>,
    /// Goes with the last handle: the thread is to end then.
    pub(super) _nudge: Nudge,
    pub(super) shared: Arc<Shared>,
}

impl CheckpointHandle {
    /// A section was written.
    pub fn section(&self, section: Section) {
        self.send(Message::Section(section));
    }

    /// An epoch closed; every epoch must come, in order.
    pub fn published(&self, outputs: Arc<EpochOutputs>) {
        self.shared.bytes.fetch_add(output_bytes(&outputs), Ordering::Relaxed);
        self.send(Message::Published(outputs));
    }

    /// Epochs are committed, each with the log's hash chain after it, in a transaction that began when `rounds` were
    /// in place.
    pub fn committed(&self, chains: Vec<(Epoch, Chain)>, rounds: u64) {
        self.send(Message::Committed { chains, rounds });
    }

    /// No start will follow the log from an earlier epoch than this, of any instance: the last two checkpoints need
    /// none, and this instance has committed since they are in place, so whoever takes over finds them.
    pub fn log_needed_from(&self) -> Epoch {
        self.shared.log_needed_from.load(Ordering::Acquire)
    }

    /// Rounds that are in place: the next one may begin.
    pub fn rounds(&self) -> u64 {
        self.shared.rounds.load(Ordering::Acquire)
    }

    /// Memory of outputs that are in no checkpoint yet, about: a round should come to its end.
    pub fn bytes(&self) -> usize {
        if self.has_ended() { 0 } else { self.shared.bytes.load(Ordering::Relaxed) }
    }

    /// The same while a checkpoint is being put, and 0 otherwise: then only more epochs can bring the round to its
    /// end, so nobody may wait for it.
    pub fn bytes_waiting(&self) -> usize {
        if self.shared.is_putting.load(Ordering::Relaxed) { self.bytes() } else { 0 }
    }

    /// No more checkpoints are put. The pipeline needs none to be exact.
    pub fn has_ended(&self) -> bool {
        self.shared.has_ended.load(Ordering::Relaxed)
    }

    /// The name of the last manifest that this process has put.
    pub fn manifest(&self) -> Option<String> {
        self.shared.manifest.lock().expect("no panic while assigning").clone()
    }

    /// Why the pipeline cannot go on: what went cold has no place on the disk.
    pub fn failure(&self) -> Option<&str> {
        self.shared.failure.get().map(String::as_str)
    }

    fn send(&self, message: Message) {
        // A thread that is gone has said why.
        let _ = self.sender.send(message);
    }
}

/// Starts the thread.
pub struct Checkpoints(JoinHandle<()>);

impl Checkpoints {
    /// Goes on from what was `recovered`. Ends when every handle is gone.
    ///
    /// # Errors
    /// [`SinkError::Rejected`] if the thread cannot be started.
    pub fn start(
        config: &CheckpointConfig,
        found: Found,
        recovered: Option<&Recovered>,
        lake: Option<LakeHandle>,
    ) -> Result<(Self, CheckpointHandle), SinkError> {
        let Found { folder, runtime } = found;
        let (putting, handle, (messages, gathering)) = Putting::new(config, &folder, recovered, lake);
        let shared = handle.shared.clone();
        let spawned = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || run(putting, &runtime, &messages, &gathering, shared));
        let spawned = spawned.map_err(|error| SinkError::Rejected("checkpoints: starting".to_owned(), error.into()))?;
        Ok((Checkpoints(spawned), handle))
    }

    /// Waits for the end of the thread.
    pub fn join(self) {
        // Its panic is on the log already.
        let _ = self.0.join();
    }
}

fn run(
    mut putting: Putting,
    runtime: &Runtime,
    messages: &Receiver<Message>,
    gathering: &Gathering,
    shared: Arc<Shared>,
) {
    let _end = End(shared);
    give_way();
    loop {
        let began = Instant::now();
        match messages.recv_timeout(PATIENCE) {
            Ok(message) => putting.receive(message),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        messages.try_iter().for_each(|message| putting.receive(message));
        if let Err(error) = runtime.block_on(putting.turn()) {
            return tracing::error!(error = %crate::chain(&error), "no more checkpoints are put");
        }
        gathering.wait(began);
    }
}

/// Tells that the thread has ended, however it did.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.has_ended.store(true, Ordering::Relaxed);
    }
}
