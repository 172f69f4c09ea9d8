//! What a checkpoint is made of next: pure bookkeeping, without storage.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use datasets::cold::is_needed;
use datasets::rates::RateChanges;
use datasets::rows::{Binding, DefinitionRow, EpochOutputs};
use datasets::state::{PARTS, Section};
use datasets::{Epoch, Timestamp};

use super::manifest::{self, Before, ColdRef, LaneState, Manifest, PartState, SegmentRef};
use super::pack::Pack;
use super::recovery::Recovered;
use super::{CheckpointConfig, segment};
use crate::kafka::Chain;
use crate::lake::output_bytes;

/// A round that is to be put: the segment, then the manifest that names it.
pub(super) struct Sealed {
    pub segment: (String, Vec<u8>),
    /// What went cold, if anything did.
    pub packs: Vec<(String, Pack)>,
    pub manifest: Manifest,
    /// Memory of the outputs that it took, about.
    pub freed: usize,
}

/// The rounds of a run, one after the other.
pub(super) struct Rounds {
    pipeline: String,
    run_id: String,
    state_format: u32,
    rules: String,
    /// Number of the next segment and manifest.
    seq: u64,
    parts: Vec<Track>,
    segments: Vec<SegmentRef>,
    cold: Vec<ColdRef>,
    /// The first epoch that a start would follow.
    first: Epoch,
    before: Before,
    /// Epochs from `first` on, as they were published.
    recent: VecDeque<Recent>,
    /// Hash chains of epochs that were committed, for those that are not sealed yet.
    chains: VecDeque<(Epoch, Chain)>,
    /// Of the round that is under way.
    sections: Vec<Section>,
    visited: Vec<bool>,
    /// Epochs whose outputs are in no segment yet.
    outputs: VecDeque<Arc<EpochOutputs>>,
    /// The first epoch whose outputs are in no segment.
    outputs_from: Epoch,
}

/// What has been written of a part.
#[derive(Clone, Default)]
struct Track {
    epoch: Option<Epoch>,
    /// The segments of the pieces that are needed, oldest first.
    segments: VecDeque<u64>,
}

/// What an epoch adds to [`Before`].
struct Recent {
    epoch: Epoch,
    now: Timestamp,
    wall: Timestamp,
    newest: Timestamp,
    bindings: Vec<Binding>,
    definitions: Vec<DefinitionRow>,
    rates: RateChanges,
}

impl Rounds {
    /// Goes on from what was read last, or begins. `seq` is beyond every number that was ever used.
    pub fn new(config: &CheckpointConfig, recovered: Option<&Recovered>, seq: u64) -> Self {
        let last = recovered.map(|recovered| &recovered.manifest);
        let parts = recovered.map_or_else(|| vec![Track::default(); PARTS], Track::of_all);
        Rounds {
            pipeline: config.pipeline.clone(),
            run_id: config.run_id.clone(),
            state_format: config.state_format,
            rules: config.rules.clone(),
            seq,
            parts,
            segments: last.map_or_else(Vec::new, |last| last.segments.clone()),
            cold: last.map_or_else(Vec::new, |last| last.cold.clone()),
            first: last.map_or(0, |last| last.first),
            before: last.map_or_else(Before::default, |last| last.before.clone()),
            recent: VecDeque::new(),
            chains: VecDeque::new(),
            sections: Vec::new(),
            visited: vec![false; PARTS],
            outputs: VecDeque::new(),
            outputs_from: last.map_or(0, |last| last.reached + 1),
        }
    }

    /// A part has had its turn.
    pub fn section(&mut self, section: Section) {
        let visited = std::mem::replace(&mut self.visited[section.part.index()], true);
        assert!(!visited, "a round takes each part once");
        self.sections.push(section);
    }

    /// An epoch closed; they come in order. Answers whether its outputs wait for a segment.
    pub fn published(&mut self, outputs: Arc<EpochOutputs>) -> bool {
        let EpochOutputs { epoch, now, wall, newest, .. } = *outputs;
        if epoch >= self.first {
            let EpochOutputs { bindings, definitions, rates, .. } = &*outputs;
            let (bindings, definitions, rates) = (bindings.clone(), definitions.clone(), rates.clone());
            self.recent.push_back(Recent { epoch, now, wall, newest, bindings, definitions, rates });
        }
        let is_new = epoch >= self.outputs_from;
        self.outputs.extend(is_new.then_some(outputs));
        is_new
    }

    /// Drops outputs that no start will ask for: the lake has all rows of their epochs, or there is none to ask.
    /// Answers how much memory that was, about.
    pub fn forget_outputs(&mut self, lanes: &[LaneState]) -> usize {
        let needed_from = lanes.iter().map(|lane| lane.rows_from).min().unwrap_or(Epoch::MAX);
        let mut freed = 0;
        while let Some(outputs) = self.outputs.pop_front_if(|outputs| outputs.epoch < needed_from) {
            freed += output_bytes(&outputs);
        }
        freed
    }

    /// Epochs were committed; they come in order.
    pub fn committed(&mut self, chains: &[(Epoch, Chain)]) {
        self.chains.extend(chains);
    }

    /// The round, once every part has had its turn and all epochs that parts know are published and committed.
    ///
    /// # Errors
    /// A segment that cannot be compressed, or cold bytes that cannot be read.
    pub fn seal(&mut self, lanes: Vec<LaneState>) -> std::io::Result<Option<Sealed>> {
        if self.visited.iter().any(|visited| !visited) {
            return Ok(None);
        }
        let reached = self.sections.iter().map(|section| section.epoch).max().expect("every part has a section");
        let Some(chain) = self.chains.iter().find(|(epoch, _)| *epoch == reached).map(|(_, chain)| *chain) else {
            return Ok(None);
        };
        if self.recent.back().is_none_or(|last| last.epoch < reached) {
            return Ok(None);
        }
        // The lake has taken epochs that are not committed: another run may bind them otherwise. What is covered is.
        let lanes: Vec<LaneState> = lanes
            .into_iter()
            .map(|lane| LaneState { rows_from: lane.rows_from.min(reached + 1).max(lane.covered), ..lane })
            .collect();
        let seq = self.seq;
        let sections = std::mem::take(&mut self.sections);
        self.visited.fill(false);
        let to_write = self.outputs.partition_point(|outputs| outputs.epoch <= reached);
        let outputs: Vec<Arc<EpochOutputs>> = self.outputs.drain(..to_write).collect();
        let freed = outputs.iter().map(|outputs| output_bytes(outputs)).sum();
        let outputs: Vec<&EpochOutputs> = outputs.iter().map(Arc::as_ref).collect();
        let bytes = segment::encode(&sections, &outputs)?;
        let packs = Pack::both(&sections)?.into_iter().flatten();
        let packs: Vec<(String, Pack)> =
            packs.map(|pack| (manifest::cold_name(seq, &self.run_id, pack.until), pack)).collect();
        self.seq += 1;
        self.outputs_from = reached + 1;
        self.chains.retain(|(epoch, _)| *epoch > reached);
        for section in &sections {
            self.parts[section.part.index()].write(section, seq);
        }
        let name = manifest::segment_name(seq, &self.run_id);
        self.segments.push(SegmentRef {
            seq,
            name: name.clone(),
            bytes: u64::try_from(bytes.len()).expect("a length fits in 64 bits"),
            outputs_to: outputs.last().map(|outputs| outputs.epoch),
        });
        self.cold.extend(packs.iter().map(|(name, pack)| ColdRef {
            name: name.clone(),
            bytes: u64::try_from(pack.bytes.len()).expect("a length fits in 64 bits"),
            until: pack.until,
        }));
        self.advance(&lanes);
        let manifest = Manifest {
            format: manifest::format_of(&self.cold),
            state_format: self.state_format,
            pipeline: self.pipeline.clone(),
            rules: self.rules.clone(),
            seq,
            run_id: self.run_id.clone(),
            first: self.first,
            before: self.before.clone(),
            reached,
            chain: chain.into(),
            parts: self.parts.iter().map(|part| part.state()).collect(),
            segments: self.segments.clone(),
            cold: self.cold.clone(),
            lanes,
        };
        Ok(Some(Sealed { segment: (name, bytes), packs, manifest, freed }))
    }

    /// Moves `first` to the first epoch that some part does not know, or of which the lake holds rows, and drops
    /// what nobody needs any more.
    fn advance(&mut self, lanes: &[LaneState]) {
        let known = self.parts.iter().map(|part| part.state().epoch + 1);
        let rows = lanes.iter().map(|lane| lane.rows_from);
        // Never back: what lies before `first` cannot be had again.
        self.first = known.chain(rows).min().unwrap_or(0).max(self.first);
        let known = std::mem::take(&mut self.before.uppers).into_iter();
        let mut uppers: BTreeMap<_, _> = known.map(|one| ((one.topic, one.partition), one.upper)).collect();
        while let Some(Recent { epoch, now, wall, newest, bindings, definitions, rates }) =
            self.recent.pop_front_if(|recent| recent.epoch < self.first)
        {
            (self.before.now, self.before.wall, self.before.newest) = (now, Some(wall), newest);
            self.before.definitions.extend(definitions.into_iter().map(|row| (epoch, row)));
            self.before.rates.follow(&rates);
            uppers.extend(bindings.into_iter().map(|one| ((one.topic, one.partition), one.upper)));
        }
        let uppers = uppers.into_iter().map(|((topic, partition), upper)| Binding { topic, partition, upper });
        self.before.uppers = uppers.collect();
        // Clock and ingest times of every part have come at least as far as those before `first`.
        let oldest = self.before.now.min(self.before.newest);
        self.cold.retain(|cold| is_needed(cold.until, oldest));
        let from = self.parts.iter().map(|part| part.state().from).min().unwrap_or(0);
        let first = self.first;
        self.segments.retain(|segment| segment.seq >= from || segment.outputs_to.is_some_and(|last| last >= first));
    }
}

impl Track {
    /// Of every part, as it was read.
    fn of_all(Recovered { manifest, segments, .. }: &Recovered) -> Vec<Self> {
        let of = |(state, segments): (&PartState, &VecDeque<u64>)| Track {
            epoch: Some(state.epoch),
            segments: segments.clone(),
        };
        manifest.parts.iter().zip(segments).map(of).collect()
    }

    fn write(&mut self, section: &Section, seq: u64) {
        self.epoch = Some(section.epoch);
        let superfluous = self.segments.len().checked_sub(section.needs);
        self.segments.drain(..superfluous.expect("what a section needs was written, and was said to be needed"));
        self.segments.extend(section.pieces.iter().map(|_| seq));
    }

    fn state(&self) -> PartState {
        let written = "it was written";
        let from = *self.segments.front().expect(written);
        PartState { epoch: self.epoch.expect(written), from, pieces: Some(self.segments.len()) }
    }
}
