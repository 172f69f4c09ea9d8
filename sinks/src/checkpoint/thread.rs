//! The thread that puts checkpoints.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use datasets::Epoch;
use datasets::rows::EpochOutputs;
use datasets::state::Section;

use super::CheckpointConfig;
use super::manifest::{Manifest, seq_of};
use super::recovery::{Found, Recovered};
use super::rounds::{Rounds, Sealed};
use crate::SinkError;
use crate::failpoint::{Failpoint, pass};
use crate::kafka::Chain;
use crate::lake::{LakeHandle, Place, output_bytes};

/// How long the thread waits before it looks again whether a round is complete.
const PATIENCE: Duration = Duration::from_millis(200);

enum Message {
    Section(Section),
    Published(Arc<EpochOutputs>),
    Committed(Vec<(Epoch, Chain)>),
}

#[derive(Default)]
struct Shared {
    /// Rounds whose manifest is in place.
    rounds: AtomicU64,
    /// Outputs that are in no checkpoint yet, about.
    bytes: AtomicUsize,
    is_putting: AtomicBool,
    has_ended: AtomicBool,
}

/// Where state, outputs and commits are told. Clones are the same.
#[derive(Clone)]
pub struct CheckpointHandle {
    sender: Sender<Message>,
    shared: Arc<Shared>,
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

    /// Epochs are committed, each with the log's hash chain after it.
    pub fn committed(&self, chains: Vec<(Epoch, Chain)>) {
        self.send(Message::Committed(chains));
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
        let (sender, messages) = unbounded();
        let shared = Arc::new(Shared::default());
        let last = recovered.map(|recovered| recovered.manifest.clone());
        let Found { place, runtime, next_seq, .. } = found;
        let thread = Thread {
            rounds: Rounds::new(config, last.as_ref(), next_seq),
            kept: last.into_iter().collect(),
            place,
            runtime,
            lake,
            shared: shared.clone(),
        };
        let spawned = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(move || thread.run(&messages));
        let spawned = spawned.map_err(|error| SinkError::Rejected("checkpoints: starting".to_owned(), error.into()))?;
        Ok((Checkpoints(spawned), CheckpointHandle { sender, shared }))
    }

    /// Waits for the end of the thread.
    pub fn join(self) {
        // Its panic is on the log already.
        let _ = self.0.join();
    }
}

struct Thread {
    rounds: Rounds,
    /// The last manifests, at most two: their objects stay.
    kept: Vec<Manifest>,
    place: Place,
    runtime: tokio::runtime::Runtime,
    lake: Option<LakeHandle>,
    shared: Arc<Shared>,
}

impl Thread {
    fn run(mut self, messages: &Receiver<Message>) {
        let _end = End(self.shared.clone());
        loop {
            match messages.recv_timeout(PATIENCE) {
                Ok(message) => self.receive(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            messages.try_iter().for_each(|message| self.receive(message));
            let lanes = self.lake.as_ref().map_or_else(Vec::new, LakeHandle::lanes);
            let freed = self.rounds.forget_outputs(&lanes);
            self.shared.bytes.fetch_sub(freed, Ordering::Relaxed);
            let put = match self.rounds.seal(lanes) {
                Ok(Some(sealed)) => self.put(sealed),
                Ok(None) => continue,
                Err(error) => Err(SinkError::Rejected("a segment cannot be written".to_owned(), error.into())),
            };
            if let Err(error) = put {
                // Without a manifest nothing of it is ever used; the next start follows more of the log.
                return tracing::error!(error = %crate::chain(&error), "no more checkpoints are put");
            }
        }
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Section(section) => self.rounds.section(section),
            Message::Published(outputs) => {
                if !self.rounds.published(outputs.clone()) {
                    self.shared.bytes.fetch_sub(output_bytes(&outputs), Ordering::Relaxed);
                }
            }
            Message::Committed(chains) => self.rounds.committed(&chains),
        }
    }

    fn put(&mut self, Sealed { segment: (name, bytes), manifest, freed }: Sealed) -> Result<(), SinkError> {
        let began = Instant::now();
        let len = bytes.len();
        let json = serde_json::to_vec(&manifest).expect("a manifest has only types that JSON has");
        self.shared.is_putting.store(true, Ordering::Relaxed);
        self.runtime.block_on(async {
            pass(Failpoint::BeforeSegmentPut);
            self.place.put_new(&name, bytes.into()).await?;
            pass(Failpoint::BeforeManifestPut);
            self.place.put_new(&manifest.name(), json.into()).await
        })?;
        self.shared.is_putting.store(false, Ordering::Relaxed);
        pass(Failpoint::AfterManifestPut);
        tracing::info!(
            checkpoint = manifest.seq,
            first = manifest.first,
            reached = manifest.reached,
            bytes = len,
            segments = manifest.segments.len(),
            put_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "checkpoint in place"
        );
        self.kept.push(manifest);
        if self.kept.len() > 2 {
            self.kept.remove(0);
        }
        self.remove_unneeded();
        self.shared.bytes.fetch_sub(freed, Ordering::Relaxed);
        self.shared.rounds.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Removes older objects that the kept manifests do not need. Not newer ones, which another instance may
    /// have put: of two at once, this may be the one that was fenced.
    fn remove_unneeded(&self) {
        let [_, last] = &self.kept[..] else { return };
        let manifests = self.kept.iter().map(Manifest::name);
        let segments = self.kept.iter().flat_map(|manifest| manifest.segments.iter().map(|one| one.name.clone()));
        let needed: BTreeSet<String> = manifests.chain(segments).collect();
        let remove = async {
            let names = self.place.names(&["manifest", "segment"], PATIENCE).await?;
            let is_old = |name: &String| seq_of(name).is_some_and(|seq| seq < last.seq);
            self.place.remove(names.into_iter().filter(|name| is_old(name) && !needed.contains(name))).await
        };
        if let Err(error) = self.runtime.block_on(remove) {
            tracing::warn!(error = %crate::chain(&error), "old checkpoints stay for now: they cannot be removed");
        }
    }
}

/// Tells that the thread has ended, however it did.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.has_ended.store(true, Ordering::Relaxed);
    }
}
