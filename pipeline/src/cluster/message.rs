//! What processes tell each other beside the dataflow. None of it decides what an epoch does: it says when to look, where to
//! begin, and how to end.

use std::collections::BTreeMap;
use std::sync::Arc;

use datasets::cold::{ColdBytes, ColdRun};
use datasets::state::{Part, Section};
use datasets::{Epoch, Timestamp};
use serde::{Deserialize, Serialize};

use crate::dataflow::Begin;
use crate::source::Position;

/// To process 0 or from it; each says which.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// From 0, once: the others begin.
    Start(Start),
    /// To 0: there is something to read.
    Ring,
    /// To 0: what a worker's timers and its backlog are.
    Deadlines {
        /// Among all workers.
        worker: usize,
        /// The earliest.
        next: Timestamp,
        /// See [`Deadlines::behind`](operators::deadline::Deadlines::behind).
        is_behind: bool,
    },
    /// Both ways: a partition of definitions has been read as far as events wait for it, in this epoch.
    Passed(Epoch),
    /// From 0: a partition was found.
    Found {
        /// Who reads it, among all workers.
        worker: usize,
        /// From where.
        position: Position,
    },
    /// To 0: state, for a checkpoint.
    Section {
        /// [`Part::index`].
        part: usize,
        /// See [`Section::epoch`].
        epoch: Epoch,
        /// See [`Section::needs`].
        needs: usize,
        /// See [`Section::pieces`].
        pieces: Vec<Vec<u8>>,
        /// See [`Section::cold`].
        cold: Option<Run>,
    },
    /// From 0: how checkpoints go on.
    Checkpoints(Checkpoints),
    /// From 0: a manifest of this name is in place.
    Manifest(String),
    /// To 0: a graceful end was asked for.
    Stop,
    /// Both ways, last: the sender ends, and why.
    Failed(String),
    /// From 0, last: everything is committed, and the lake is cut.
    Done,
    /// Both ways: nothing but that the sender is there.
    Alive,
}

/// Where another process begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The first epoch that is followed.
    pub begin: Begin,
    /// The first epoch that is not in the log.
    pub free_from: Epoch,
    /// The checkpoint whose state is loaded.
    pub manifest: Option<String>,
    /// Partitions of definitions that are read before events, of all workers.
    pub definitions: i64,
    /// Of the receiver's workers.
    pub shares: Vec<Share>,
    /// Partitions beyond the log, with the worker of the receiver that reads each.
    pub found: Vec<(usize, Position)>,
}

/// What one worker reads first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Partitions that the log names, with the first offset of each.
    pub logged: Vec<Position>,
    /// Ends of partitions of definitions that are reached before events are read.
    pub definitions_end: BTreeMap<i32, i64>,
}

/// What a worker has to know of checkpoints before it writes its next round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoints {
    /// Rounds whose manifest is in place.
    pub rounds: u64,
    /// What is kept for the next one is so much that it should come to its end.
    pub is_heavy: bool,
    /// No more are put.
    pub has_ended: bool,
}

/// A [`ColdRun`] with its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    bytes: Vec<u8>,
    head: usize,
    until: Option<Timestamp>,
}

impl Message {
    /// A section, on its way to process 0.
    ///
    /// # Errors
    /// Cold bytes that cannot be read.
    pub fn section(Section { part, epoch, needs, pieces, cold }: Section) -> std::io::Result<Self> {
        let run = |ColdRun { bytes, head, until }: ColdRun| -> std::io::Result<Run> {
            Ok(Run { bytes: bytes.read(0..bytes.len())?, head, until })
        };
        Ok(Message::Section { part: part.index(), epoch, needs, pieces, cold: cold.map(run).transpose()? })
    }

    /// The section of [`Message::Section`]; `None` for any other one, or for a part that does not exist.
    pub fn into_section(self) -> Option<Section> {
        let Message::Section { part, epoch, needs, pieces, cold } = self else { return None };
        let run = |Run { bytes, head, until }| ColdRun { bytes: Arc::new(ColdBytes::new(bytes)), head, until };
        Some(Section { part: Part::of(part)?, epoch, needs, pieces, cold: cold.map(run) })
    }
}
