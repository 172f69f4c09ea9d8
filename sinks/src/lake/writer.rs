//! The lake without an epoch log, for replays: the names of its objects are the record.

use std::sync::Arc;
use std::thread::JoinHandle;

use datasets::Epoch;
use datasets::rows::EpochOutputs;
use datasets::schema::EventNames;

use super::handle::{runtime, spawn};
use super::name::cut_of;
use super::store::Place;
use super::{CutLog, LakeConfig, LakeHandle, LakeStart, LakeTotals};
use crate::cut::{Cut, Table};
use crate::{EpochWriter, SinkError};

/// Writes closed epochs to a lake that no log records.
///
/// All tables are cut at the same epochs and `epochs` is put last, so its objects tell how far the
/// lake is complete; a cut that was interrupted is completed along its own bounds.
pub struct LakeWriter {
    handle: LakeHandle,
    thread: Option<JoinHandle<()>>,
    /// The first epoch that was not given yet.
    next: Epoch,
}

impl LakeWriter {
    /// Opens the lake that `config` names. `workers` deliver history by [`LakeWriter::handle`];
    /// `lanes` must be the number with which the lake was begun.
    ///
    /// # Errors
    /// As [`Lake::start`](super::Lake::start).
    pub fn open(config: &LakeConfig, workers: usize, lanes: u16, names: Arc<EventNames>) -> Result<Self, SinkError> {
        Self::open_at(Place::open(config)?, config, workers, lanes, names)
    }

    /// The same at a place that is open; `config.url` is not looked at.
    ///
    /// # Errors
    /// As [`Lake::start`](super::Lake::start).
    pub fn open_at(
        place: Place,
        config: &LakeConfig,
        workers: usize,
        lanes: u16,
        names: Arc<EventNames>,
    ) -> Result<Self, SinkError> {
        let runtime = runtime()?;
        let objects = runtime.block_on(place.list(config.start_timeout))?;
        let cuts: Vec<Cut> = objects.iter().filter_map(|name| cut_of(name)).collect();
        let complete = cuts.iter().filter(|cut| cut.table == Table::Epochs).map(|cut| cut.last + 1);
        let durable_below = complete.max().unwrap_or(0);
        let resume = interrupted(&cuts, durable_below, lanes);
        let replay_upper = resume.iter().map(|cut| cut.last + 1).max().unwrap_or(durable_below);
        let start = LakeStart {
            workers,
            lanes,
            names,
            resume,
            durable_below,
            durable: Vec::new(),
            replay_upper,
            log: CutLog::Listing,
        };
        let (handle, thread) = spawn(place, runtime, objects, &config.limits, start)?;
        Ok(LakeWriter { handle, thread: Some(thread), next: durable_below })
    }

    /// For workers, to deliver history, and for flow control. With at least one worker, epochs wait for its uppers.
    pub fn handle(&self) -> &LakeHandle {
        &self.handle
    }

    /// Cuts and puts what is open.
    ///
    /// # Errors
    /// The first error of the lake.
    pub fn finish(self) -> Result<LakeTotals, SinkError> {
        self.handle.finish()
    }
}

/// The bounds of the cut that was under way when an earlier writer died, for every lane: those
/// without objects may have had rows that were not put. Its objects keep the version that is in their
/// names, or what is in place already would be put once more.
fn interrupted(cuts: &[Cut], durable_below: Epoch, lanes: u16) -> Vec<Cut> {
    let Some(begun) = cuts.iter().find(|cut| cut.first >= durable_below) else { return Vec::new() };
    let table_lanes = |table| 0..if table == Table::Events { lanes } else { 1 };
    let everywhere = Table::ALL.into_iter().flat_map(|table| table_lanes(table).map(move |lane| (table, lane)));
    everywhere.map(|(table, lane)| Cut { table, lane, ..begun.clone() }).collect()
}

impl EpochWriter for LakeWriter {
    /// Epochs that are committed and not yet cut are not durable: a writer opened after a crash
    /// wants them again.
    fn resume_upper(&mut self) -> Result<Epoch, SinkError> {
        self.handle.error().map_or(Ok(self.handle.durable_upper()), Err)
    }

    fn commit(&mut self, epochs: &[Arc<EpochOutputs>]) -> Result<(), SinkError> {
        for outputs in epochs.iter().filter(|outputs| outputs.epoch >= self.next) {
            self.handle.sealed(outputs.clone());
        }
        self.next = epochs.last().map_or(self.next, |last| self.next.max(last.epoch + 1));
        self.handle.error().map_or(Ok(()), Err)
    }
}

impl Drop for LakeWriter {
    /// Leaves nothing under way that could meet a later writer: without [`LakeWriter::finish`],
    /// what is not cut is not written.
    fn drop(&mut self) {
        self.handle.abandon();
        if let Some(thread) = self.thread.take() {
            // A panic is told by `error`.
            let _ = thread.join();
        }
    }
}
