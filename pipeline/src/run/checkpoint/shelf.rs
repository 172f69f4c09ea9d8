//! Where a process hands the sections that its workers have written.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use datasets::state::Section;
use sinks::checkpoint::{CheckpointHandle, ColdFiles};

use crate::cluster::{self, Message};
use crate::run::peers::Peers;

/// Outputs of a round from which on it does not wait for the end of its interval, since they are kept in memory.
const HEAVY: usize = 64 << 20;

/// Where sections go.
#[derive(Clone)]
pub(super) enum Shelf {
    /// To the thread that puts checkpoints.
    Here(CheckpointHandle),
    /// To the process that has it.
    Afar(AfarShelf),
}

/// Sends sections to process 0, which tells how far checkpoints are.
#[derive(Clone)]
pub struct AfarShelf {
    leader: Peers,
    told: Arc<Mutex<cluster::Checkpoints>>,
    /// Where what goes cold is kept, once that may be.
    files: Arc<OnceLock<ColdFiles>>,
}

impl AfarShelf {
    /// Before anything was told.
    pub fn new(leader: Peers) -> Self {
        AfarShelf { leader, told: Arc::default(), files: Arc::default() }
    }

    pub(super) fn keep_files(&self, files: ColdFiles) {
        assert!(self.files.set(files).is_ok(), "a process begins once");
    }

    /// A manifest is in place, says process 0.
    pub fn in_place(&self, manifest: String) {
        if let Some(files) = self.files.get() {
            files.in_place(manifest);
        }
    }

    /// Why the process cannot go on: what went cold has no place on the disk.
    pub fn failure(&self) -> Option<&str> {
        self.files.get()?.failure()
    }

    fn section(&self, section: Section) {
        if let (Some(files), Some(cold)) = (self.files.get(), &section.cold) {
            files.cold(section.part, cold.bytes.clone());
        }
        // It is in memory: where it could be instead is told when process 0 has put it.
        self.leader.tell_all(&Message::section(section).expect("what has just gone cold is in memory"));
    }

    /// Process 0 tells.
    pub fn told(&self, now: cluster::Checkpoints) {
        *self.lock() = now;
    }

    fn lock(&self) -> MutexGuard<'_, cluster::Checkpoints> {
        self.told.lock().expect("no panic while assigning")
    }
}

/// What other processes have to know of checkpoints.
pub fn progress(handle: &CheckpointHandle) -> cluster::Checkpoints {
    let is_heavy = handle.bytes() > HEAVY;
    cluster::Checkpoints { rounds: handle.rounds(), is_heavy, has_ended: handle.has_ended() }
}

impl Shelf {
    pub(super) fn progress(&self) -> cluster::Checkpoints {
        match self {
            Shelf::Here(handle) => progress(handle),
            Shelf::Afar(shelf) => *shelf.lock(),
        }
    }

    pub(super) fn section(&self, section: Section) {
        match self {
            Shelf::Here(handle) => handle.section(section),
            Shelf::Afar(shelf) => shelf.section(section),
        }
    }
}
