//! A manifest: everything that a start has to know beside the log of epochs.

use datasets::rates::RateBook;
use datasets::rows::{Binding, DefinitionRow};
use datasets::state::PARTS;
use datasets::{Epoch, Timestamp};
use serde::{Deserialize, Serialize};

use super::CheckpointConfig;
use crate::SinkError;
use crate::cut::Table;
use crate::kafka::Chain;

/// The newest format. Older ones stay readable, and are written where nothing of a newer one is needed: an earlier release
/// would go on without what is cold.
pub(super) const FORMAT: u32 = 2;
/// Nothing is cold.
const ALL_HOT: u32 = 1;

/// What a checkpoint is made of, as JSON in `manifest/{seq}-{run}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format of this.
    pub format: u32,
    /// Format of sections.
    pub state_format: u32,
    /// The pipeline.
    pub pipeline: String,
    /// The rules that the state follows from.
    pub rules: String,
    /// Counts on from manifest to manifest.
    pub seq: u64,
    /// The run that put it.
    pub run_id: String,
    /// The first epoch that a start follows.
    pub first: Epoch,
    /// Everything before `first` that the log would have told.
    pub before: Before,
    /// The last epoch that any part knows.
    pub reached: Epoch,
    /// The log's hash chain after `reached`.
    pub chain: ChainText,
    /// By [`Part::index`](datasets::state::Part::index).
    pub parts: Vec<PartState>,
    /// Segments that are needed, oldest first.
    pub segments: Vec<SegmentRef>,
    /// What went cold, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cold: Vec<ColdRef>,
    /// Of the lake, if there is one.
    pub lanes: Vec<LaneState>,
}

/// What the epochs below some epoch have led to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// The last reading of the clock.
    pub now: Timestamp,
    /// The last of the wall's; an earlier release knew only one clock.
    #[serde(default)]
    pub wall: Option<Timestamp>,
    /// The highest ingest time.
    pub newest: Timestamp,
    /// How far each partition was read.
    pub uppers: Vec<Binding>,
    /// Definition records with their epochs, in the order in which they applied.
    pub definitions: Vec<(Epoch, DefinitionRow)>,
    /// Rates of exchange that were known.
    #[serde(default, skip_serializing_if = "RateBook::is_empty")]
    pub rates: RateBook,
}

impl Manifest {
    /// The first epoch whose record a start needs: what it follows, and `reached`, by whose chain the log is known.
    pub fn log_needed_from(&self) -> Epoch {
        self.first.min(self.reached)
    }
}

impl Before {
    /// The last reading of the wall's clock.
    pub fn wall(&self) -> Timestamp {
        self.wall.unwrap_or(self.now)
    }
}

/// A part, as the segments hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartState {
    /// It was written last after this epoch.
    pub epoch: Epoch,
    /// The number of the first segment that is needed for it.
    pub from: u64,
    /// How many of the pieces from there on are needed: the last ones. `None` is all: those of an earlier release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pieces: Option<usize>,
}

/// A segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRef {
    /// Its number: segments and manifests count together.
    pub seq: u64,
    /// Its object, under the checkpoint's folder.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// The last epoch whose outputs it holds.
    pub outputs_to: Option<Epoch>,
}

/// What went cold in one round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColdRef {
    /// Its object, under the checkpoint's folder.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// Nobody needs it once the clock and the ingest times have come this far. None: somebody always does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// How far a lane of the lake is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneState {
    /// Table.
    pub table: Table,
    /// Lane of it.
    pub lane: u16,
    /// All cuts of epochs below this are in place; the next one begins here.
    pub covered: Epoch,
    /// The first epoch from `covered` on that may have rows.
    pub rows_from: Epoch,
}

/// A [`Chain`] in hexadecimal: JSON has no numbers of 128 bits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainText(String);

impl From<Chain> for ChainText {
    fn from(chain: Chain) -> Self {
        ChainText(format!("{:032x}", chain.0))
    }
}

/// Why a checkpoint cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It is of no use: another one may be.
    #[error("{0}")]
    Unusable(String),
    /// Nobody knows, or somebody has to do something first.
    #[error(transparent)]
    Fatal(SinkError),
}

impl From<String> for Problem {
    fn from(why: String) -> Self {
        Problem::Unusable(why)
    }
}

impl Manifest {
    /// Its object, under the checkpoint's folder.
    pub fn name(&self) -> String {
        name(self.seq, &self.run_id)
    }

    /// Reads one, as far as this version can.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(bytes: &[u8], config: &CheckpointConfig) -> Result<Self, Problem> {
        let CheckpointConfig { pipeline, state_format, rules, .. } = config;
        #[derive(Deserialize)]
        struct Head {
            format: u32,
            state_format: u32,
            pipeline: String,
        }
        let head: Head = serde_json::from_slice(bytes).map_err(|error| format!("it is no manifest: {error}"))?;
        if head.pipeline != *pipeline {
            // Each would remove what the other needs.
            return Err(Problem::Fatal(SinkError::Conflict(format!(
                "the checkpoints in {} belong to the pipeline {:?}: give each pipeline a folder of its own",
                config.url, head.pipeline
            ))));
        }
        if !(ALL_HOT..=FORMAT).contains(&head.format) || !(1..=*state_format).contains(&head.state_format) {
            let Head { format, state_format: found, .. } = head;
            return Err(
                format!("it has format {format}.{found}, and this version reads {FORMAT}.{state_format}").into()
            );
        }
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| format!("it is damaged: {error}"))?;
        if manifest.parts.len() != PARTS {
            return Err(format!("it has {} parts instead of {PARTS}", manifest.parts.len()).into());
        }
        if manifest.rules != *rules {
            return Err("its state follows from other rules: the configuration has changed since".to_owned().into());
        }
        Ok(manifest)
    }
}

fn name(seq: u64, run_id: &str) -> String {
    format!("manifest/{seq:016}-{run_id}.json")
}

/// The format of a manifest with this.
pub(super) fn format_of(cold: &[ColdRef]) -> u32 {
    if cold.is_empty() { ALL_HOT } else { FORMAT }
}

/// The name of what went cold in a round and is needed until then, or always.
pub(super) fn cold_name(seq: u64, run_id: &str, until: Option<Timestamp>) -> String {
    let kept = if until.is_none() { "-kept" } else { "" };
    format!("cold/{seq:016}-{run_id}{kept}")
}

/// The name of a segment.
pub(super) fn segment_name(seq: u64, run_id: &str) -> String {
    format!("segment/{seq:016}-{run_id}")
}

/// The number in a name.
pub(super) fn seq_of(name: &str) -> Option<u64> {
    let (_, file) = name.split_once('/')?;
    file.split_once('-')?.0.parse().ok()
}
