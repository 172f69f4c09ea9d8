//! What checkpoints are put, and what is removed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use datasets::Epoch;

use super::CheckpointConfig;
use super::local::Local;
use super::manifest::{Manifest, seq_of};
use super::pack::Pack;
use super::recovery::{Folder, Recovered};
use super::rounds::{Rounds, Sealed};
use super::thread::{CheckpointHandle, Message, Shared};
use crate::SinkError;
use crate::background::{Gathering, gathering};
use crate::failpoint::{Failpoint, pass};
use crate::lake::{LakeHandle, Place, output_bytes};

/// How long old objects may take to be listed: they can be removed another time.
const PATIENCE: Duration = Duration::from_millis(200);

/// Puts one round after the other. Decides everything, and waits for nothing but the store.
pub(crate) struct Putting {
    rounds: Rounds,
    /// The last manifests, at most two: their objects stay.
    kept: Vec<Manifest>,
    /// The rounds that have to be in place when a commit begins, so that the log below this epoch is not needed.
    trimmable: Option<(u64, Epoch)>,
    place: Place,
    local: Option<Local>,
    lake: Option<LakeHandle>,
    shared: Arc<Shared>,
}

impl Putting {
    /// Goes on from what was `recovered` in `folder`. Answers how it is reached, and what it is told.
    pub(crate) fn new(
        config: &CheckpointConfig,
        folder: &Folder,
        recovered: Option<&Recovered>,
        lake: Option<LakeHandle>,
    ) -> (Self, CheckpointHandle, (Receiver<Message>, Gathering)) {
        let (sender, messages) = unbounded();
        let (nudge, gathering) = gathering();
        let shared = Arc::new(Shared::default());
        let putting = Putting {
            rounds: Rounds::new(config, recovered, folder.next_seq),
            kept: recovered.map(|recovered| recovered.manifest.clone()).into_iter().collect(),
            trimmable: None,
            place: folder.place.clone(),
            local: folder.local.clone(),
            lake,
            shared: shared.clone(),
        };
        (putting, CheckpointHandle { sender, _nudge: nudge, shared }, (messages, gathering))
    }

    /// Puts the round that is under way, if it is complete.
    ///
    /// # Errors
    /// What can never be put: without a manifest nothing of it is ever used; the next start follows more of the log.
    pub(crate) async fn turn(&mut self) -> Result<(), SinkError> {
        let lanes = self.lake.as_ref().map_or_else(Vec::new, LakeHandle::lanes);
        let freed = self.rounds.forget_outputs(&lanes);
        self.shared.bytes.fetch_sub(freed, Ordering::Relaxed);
        let sealed = self.rounds.seal(lanes);
        match sealed.map_err(|error| SinkError::Rejected("a segment cannot be written".to_owned(), error.into()))? {
            Some(sealed) => self.put(sealed).await,
            None => Ok(()),
        }
    }

    /// Somebody said something.
    pub(crate) fn receive(&mut self, message: Message) {
        match message {
            Message::Section(section) => self.rounds.section(section),
            Message::Published(outputs) => {
                if !self.rounds.published(outputs.clone()) {
                    self.shared.bytes.fetch_sub(output_bytes(&outputs), Ordering::Relaxed);
                }
            }
            Message::Committed { chains, rounds } => {
                self.rounds.committed(&chains);
                let proven = self.trimmable.take_if(|(needed, _)| rounds >= *needed);
                if let Some((_, epoch)) = proven {
                    self.shared.log_needed_from.store(epoch, Ordering::Release);
                }
            }
        }
    }

    async fn put(
        &mut self,
        Sealed { segment: (name, bytes), packs, manifest, freed }: Sealed,
    ) -> Result<(), SinkError> {
        let began = Instant::now();
        let len = bytes.len();
        let json = serde_json::to_vec(&manifest).expect("a manifest has only types that JSON has");
        self.shared.is_putting.store(true, Ordering::Relaxed);
        pass(Failpoint::BeforeSegmentPut);
        self.place.put_new(&name, bytes.into()).await?;
        for (name, pack) in packs {
            self.put_cold(&name, pack).await?;
        }
        pass(Failpoint::BeforeManifestPut);
        self.place.put_new(&manifest.name(), json.into()).await?;
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
        *self.shared.manifest.lock().expect("no panic while assigning") = Some(manifest.name());
        self.kept.push(manifest);
        if self.kept.len() > 2 {
            self.kept.remove(0);
        }
        if let Err(error) = self.remove_unneeded().await {
            tracing::warn!(error = %crate::chain(&error), "old checkpoints stay for now: they cannot be removed");
        }
        self.shared.bytes.fetch_sub(freed, Ordering::Relaxed);
        let rounds = self.shared.rounds.fetch_add(1, Ordering::Release) + 1;
        if let [older, _] = &self.kept[..] {
            self.trimmable = Some((rounds, older.log_needed_from()));
        }
        Ok(())
    }

    /// Puts what went cold in the store, and on the disk: from there it is read from now on.
    async fn put_cold(&self, name: &str, pack: Pack) -> Result<(), SinkError> {
        let Pack { bytes, runs, .. } = pack;
        if let Some(local) = &self.local {
            let file = local.keep(name, &bytes).inspect_err(|error| {
                // It stays in memory, where it is right; but memory would grow until it ends.
                let _ = self.shared.failure.set(crate::chain(error));
            })?;
            runs.iter().for_each(|(run, offset)| run.move_to(file.clone(), *offset));
        }
        pass(Failpoint::BeforeColdPut);
        self.place.put_new(name, bytes.into()).await
    }

    /// Removes older objects that the kept manifests do not need. Not newer ones, which another instance may
    /// have put: of two at once, this may be the one that was fenced.
    async fn remove_unneeded(&self) -> Result<(), SinkError> {
        let [_, last] = &self.kept[..] else { return Ok(()) };
        let manifests = self.kept.iter().map(Manifest::name);
        let segments = self.kept.iter().flat_map(|manifest| manifest.segments.iter().map(|one| one.name.clone()));
        let cold = self.kept.iter().flat_map(|manifest| manifest.cold.iter().map(|one| one.name.clone()));
        let needed: BTreeSet<String> = manifests.chain(segments).chain(cold).collect();
        if let Some(local) = &self.local {
            local.retain(|name| needed.contains(name));
        }
        let names = self.place.names(&["manifest", "segment", "cold"], PATIENCE).await?;
        let is_old = |name: &String| seq_of(name).is_some_and(|seq| seq < last.seq);
        self.place.remove(names.into_iter().filter(|name| is_old(name) && !needed.contains(name))).await
    }
}
