//! Finds the checkpoint that a start can go on from.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::time::Duration;

use datasets::Epoch;
use datasets::cold::ColdRun;
use datasets::rows::EpochOutputs;
use datasets::state::{Kept, PARTS, Part, Unpacker};
use futures::future::join_all;

use super::CheckpointConfig;
use super::local::Local;
use super::manifest::{ChainText, ColdRef, Manifest, Problem, seq_of};
use super::pack::{self, PackError};
use super::segment::Segment;
use crate::SinkError;
use crate::kafka::RecoveredLog;
use crate::lake::Place;

/// Objects of cold state that are fetched at the same time.
const AT_ONCE: usize = 16;

/// Segments that are fetched at the same time. They are large.
const SEGMENTS_AT_ONCE: usize = 4;

/// What lies in a checkpoint's folder.
pub(crate) struct Folder {
    pub(super) place: Place,
    /// Names of manifests, the newest first.
    manifests: Vec<String>,
    /// Beyond every number in a name.
    pub(super) next_seq: u64,
    /// Where cold state is read, if it is not kept in memory.
    pub(super) local: Option<Local>,
    patience: Duration,
}

/// The same, for threads that may wait.
pub struct Found {
    pub(super) folder: Folder,
    pub(super) runtime: tokio::runtime::Runtime,
}

/// A checkpoint that was read.
pub struct Recovered {
    /// What it is made of.
    pub manifest: Manifest,
    /// All parts.
    pub parts: Vec<(Part, Kept)>,
    /// Of each part the segments that its pieces are in.
    pub(super) segments: Vec<VecDeque<u64>>,
    /// Of the epochs that some part knows and others do not, and of those before that the lake has open.
    pub outputs: BTreeMap<Epoch, EpochOutputs>,
}

/// Opens the folder and looks at what is there.
///
/// # Errors
/// [`SinkError::Rejected`] if the store is not usable or not reachable within the start timeout; [`SinkError::Conflict`] if
/// another process still uses the folder of cold state then.
pub fn find(config: &CheckpointConfig) -> Result<Found, SinkError> {
    let mut lake = crate::lake::LakeConfig::new(&config.url);
    lake.s3.clone_from(&config.s3);
    let place = Place::open(&lake)?;
    let runtime = crate::lake::runtime()?;
    // Whoever had it before puts nothing more: what is found then stays.
    let open = |folder: &Path| Local::open(&folder.join(&config.pipeline), config.start_timeout);
    let local = config.cold.as_deref().map(open).transpose()?;
    let folder = runtime.block_on(Folder::look(place, config.start_timeout))?;
    let folder = Folder { local, ..folder };
    Ok(Found { folder, runtime })
}

/// Reads the newest checkpoint that belongs to `log`. None, and a start follows the log from its beginning.
///
/// # Errors
/// [`SinkError::Rejected`] if the store does not answer; [`SinkError::Conflict`] if the folder is another pipeline's, or
/// if the log was trimmed and no checkpoint has what is missing.
pub fn recover(config: &CheckpointConfig, found: &Found, log: &RecoveredLog) -> Result<Option<Recovered>, SinkError> {
    found.runtime.block_on(found.folder.recover(config, log))
}

fn trimmed(config: &CheckpointConfig, log: &RecoveredLog, passed_over: &[String]) -> SinkError {
    let CheckpointConfig { pipeline, url, .. } = config;
    let found = if passed_over.is_empty() { "there is none".to_owned() } else { passed_over.join("; ") };
    SinkError::Conflict(format!(
        "the log of epochs of {pipeline} begins with epoch {}: the rest was removed because a checkpoint in {url} has it, and \
         no checkpoint there can be used ({found}). Restore the checkpoints, or go back to the version and the configuration that they \
         were written with; or start anew under another pipeline name, with output topics and a lake of its own",
        log.first
    ))
}

impl Found {
    /// Names of manifests, the newest first.
    pub fn manifests(&self) -> &[String] {
        &self.folder.manifests
    }

    /// A manifest by its name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn manifest(&self, config: &CheckpointConfig, name: &str) -> Result<Manifest, Problem> {
        self.runtime.block_on(self.folder.manifest(config, name))
    }

    /// Reads a whole checkpoint.
    ///
    /// # Errors
    /// The first thing that is missing or damaged.
    pub fn load(&self, manifest: Manifest) -> Result<Recovered, Problem> {
        self.runtime.block_on(self.folder.load(manifest))
    }
}

impl Recovered {
    /// Decompresses all parts, as a start does where it needs them.
    ///
    /// # Errors
    /// The first one that is something else than what was compressed.
    pub fn unpack(&self) -> Result<(), Problem> {
        let unusable = |what: &str, error| Problem::Unusable(format!("{what} cannot be decompressed: {error}"));
        let mut unpacker = Unpacker::new().map_err(|error| unusable("nothing", error))?;
        for (part, kept) in &self.parts {
            for piece in &kept.pieces {
                unpacker.unpack(piece).map_err(|error| unusable(&format!("a piece of {part:?}"), error))?;
            }
        }
        Ok(())
    }
}

impl Folder {
    pub(crate) async fn look(place: Place, patience: Duration) -> Result<Self, SinkError> {
        let names = place.names(&["manifest", "segment", "cold"], patience).await?;
        let next_seq = names.iter().filter_map(|name| seq_of(name)).max().map_or(0, |last| last + 1);
        let mut manifests: Vec<String> = names.into_iter().filter(|name| name.starts_with("manifest/")).collect();
        manifests.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Folder { place, manifests, next_seq, local: None, patience })
    }

    pub(crate) async fn recover(
        &self,
        config: &CheckpointConfig,
        log: &RecoveredLog,
    ) -> Result<Option<Recovered>, SinkError> {
        let mut passed_over = Vec::new();
        for name in &self.manifests {
            match self.read(config, name, log).await {
                Ok(recovered) => return Ok(Some(recovered)),
                Err(Problem::Unusable(why)) => {
                    tracing::warn!(manifest = name, why, "this checkpoint is passed over");
                    passed_over.push(format!("{name}: {why}"));
                }
                Err(Problem::Fatal(error)) => return Err(error),
            }
        }
        if log.first > 0 {
            return Err(trimmed(config, log, &passed_over));
        }
        if !self.manifests.is_empty() {
            tracing::warn!("no checkpoint can be used: the log of epochs is followed from its beginning");
        }
        Ok(None)
    }

    pub(super) async fn manifest(&self, config: &CheckpointConfig, name: &str) -> Result<Manifest, Problem> {
        let bytes = self.get(name).await?;
        Manifest::parse(&bytes, config)
    }

    async fn load(&self, manifest: Manifest) -> Result<Recovered, Problem> {
        let epochs = manifest.parts.iter().map(|part| part.epoch);
        let mut kept: Vec<Kept> = epochs.map(|epoch| Kept { epoch, pieces: Vec::new(), cold: Vec::new() }).collect();
        let mut segments = vec![VecDeque::new(); PARTS];
        let outputs = self.read_segments(&manifest, &mut kept, &mut segments).await?;
        for (part, (kept, segments)) in manifest.parts.iter().zip(kept.iter_mut().zip(&mut segments)) {
            let needed = part.pieces.unwrap_or(kept.pieces.len());
            let superfluous = kept.pieces.len().checked_sub(needed);
            let superfluous = superfluous.ok_or_else(|| "its segments have less than it says".to_owned())?;
            kept.pieces.drain(..superfluous);
            segments.drain(..superfluous);
        }
        // There are thousands, and on a new disk all have to be fetched.
        for some in manifest.cold.chunks(AT_ONCE) {
            for runs in join_all(some.iter().map(|cold| self.cold(cold))).await {
                runs?.into_iter().for_each(|(part, run)| kept[part.index()].cold.push(run));
            }
        }
        if let Some(local) = &self.local {
            local.retain(|name| manifest.cold.iter().any(|cold| cold.name == name));
        }
        let parts = (0..PARTS).filter_map(Part::of).zip(kept).collect();
        Ok(Recovered { manifest, parts, segments, outputs })
    }

    /// Adds the pieces that are needed to `kept`, and their segments to `segments`. Answers the outputs of the epochs since the first one needed.
    async fn read_segments(
        &self,
        manifest: &Manifest,
        kept: &mut [Kept],
        segments: &mut [VecDeque<u64>],
    ) -> Result<BTreeMap<Epoch, EpochOutputs>, Problem> {
        let mut outputs = BTreeMap::new();
        for some in manifest.segments.chunks(SEGMENTS_AT_ONCE) {
            let fetched = join_all(some.iter().map(|reference| self.get(&reference.name))).await;
            for (reference, bytes) in some.iter().zip(fetched) {
                let bytes = bytes?;
                let damaged = |error| Problem::Unusable(format!("{}: {}", reference.name, crate::chain(&error)));
                let segment = Segment::open(&bytes).map_err(damaged)?;
                for piece in segment.pieces() {
                    let (part, packed) = piece.map_err(damaged)?;
                    let part = part.index();
                    if reference.seq >= manifest.parts[part].from {
                        kept[part].pieces.push(packed);
                        segments[part].push_back(reference.seq);
                    }
                }
                if segment.output_epochs().is_some_and(|(_, last)| last >= manifest.first) {
                    let known = segment.outputs().map_err(damaged)?.into_iter();
                    let needed = known.filter(|outputs| outputs.epoch >= manifest.first);
                    outputs.extend(needed.map(|outputs| (outputs.epoch, outputs)));
                }
            }
        }
        Ok(outputs)
    }

    /// What went cold in one round: on the disk, if there is one, and fetched to there if it is not there yet.
    async fn cold(&self, cold: &ColdRef) -> Result<Vec<(Part, ColdRun)>, Problem> {
        let damaged = |error: PackError| Problem::Unusable(format!("{}: {}", cold.name, crate::chain(&error)));
        let Some(local) = &self.local else {
            let bytes = self.get(&cold.name).await?;
            return pack::runs_in_memory(&bytes).map_err(damaged);
        };
        if let Some(file) = local.find(&cold.name, cold.bytes) {
            match pack::runs_of_file(&file, cold.bytes) {
                Ok(runs) => return Ok(runs),
                Err(error) => {
                    let why = crate::chain(&error);
                    tracing::warn!(file = file.place(), why, "it is fetched from the checkpoint again");
                }
            }
        }
        let bytes = self.get(&cold.name).await?;
        pack::runs_in_memory(&bytes).map_err(damaged)?;
        let file = local.keep(&cold.name, &bytes).map_err(Problem::Fatal)?;
        pack::runs_of_file(&file, cold.bytes).map_err(damaged)
    }

    async fn read(&self, config: &CheckpointConfig, name: &str, log: &RecoveredLog) -> Result<Recovered, Problem> {
        let manifest = self.manifest(config, name).await?;
        let reached = manifest.reached;
        let needed = manifest.log_needed_from();
        if needed < log.first {
            return Err(format!(
                "a start from it needs epoch {needed}, which the log of epochs does not have any more"
            )
            .into());
        }
        let Some(record) = log.record(reached) else {
            return Err(format!("it knows epoch {reached}, which the log of epochs does not have").into());
        };
        if ChainText::from(record.chain) != manifest.chain {
            return Err(format!("its epochs up to {reached} are not those of the log").into());
        }
        self.load(manifest).await
    }

    pub(super) async fn get(&self, name: &str) -> Result<bytes::Bytes, Problem> {
        self.place.get(name, self.patience).await.map_err(|error| match error {
            object_store::Error::NotFound { .. } => Problem::Unusable(format!("{name} is missing")),
            // A start that goes on without it may follow what is there no more.
            error => Problem::Fatal(SinkError::Rejected(format!("reading the checkpoint's {name}"), error.into())),
        })
    }
}
