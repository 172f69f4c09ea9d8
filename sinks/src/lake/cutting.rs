//! What the lake decides: which rows are in which cut, and which cuts may be put. No storage, no thread.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crossbeam_channel::Sender;
use datasets::{Epoch, Timestamp};

use super::assembly::Assembly;
use super::handle::{Message, Shared, output_bytes};
use super::lanes::{CutFiles, Lanes};
use super::{CutLimits, CutLog, LakeTotals};
use crate::SinkError;
use crate::checkpoint::LaneState;
use crate::cut::{Cut, Table};

/// Cuts that are put at the same time when their order does not matter: one connection rarely
/// carries what a store takes. A lake that is left in the middle may lack files of so many.
pub const PARALLEL_PUTS: usize = 4;

/// Files under construction, and those on their way.
pub(crate) struct Cutting {
    limits: CutLimits,
    log: CutLog,
    assembly: Assembly,
    lanes: Lanes,
    /// The last epoch that entered files.
    reached: Option<Epoch>,
    /// Decided, not yet recorded.
    decided: HashMap<Cut, CutFiles>,
    /// Recorded, not yet put; in order.
    ready: VecDeque<CutFiles>,
    putting: usize,
    /// Cuts that are not in place yet: where each begins, and the first epoch that it has rows of.
    outstanding: BTreeMap<(Table, u16, Epoch), Epoch>,
    totals: LakeTotals,
    finishing: Option<Sender<LakeTotals>>,
    shared: Arc<Shared>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Go,
    Stop,
}

impl Cutting {
    pub(super) fn new(limits: CutLimits, lanes: Lanes, workers: usize, log: CutLog, shared: Arc<Shared>) -> Self {
        Cutting {
            limits,
            log,
            assembly: Assembly::new(workers),
            lanes,
            reached: None,
            decided: HashMap::new(),
            ready: VecDeque::new(),
            putting: 0,
            outstanding: BTreeMap::new(),
            totals: LakeTotals::default(),
            finishing: None,
            shared,
        }
    }

    /// Somebody said something.
    pub(crate) fn receive(&mut self, message: Message) -> Result<Next, SinkError> {
        match message {
            Message::History { worker, epoch, batch } => self.assembly.history(worker, epoch, batch)?,
            Message::Upper { worker, upper } => {
                self.assembly.upper(worker, upper);
                self.advance()?;
            }
            Message::Sealed(outputs) => {
                self.assembly.sealed(outputs);
                self.advance()?;
            }
            Message::Recorded(cuts) => {
                let files = cuts.iter().filter_map(|cut| self.decided.remove(cut));
                self.ready.extend(files);
            }
            Message::Finish(reply) => {
                if let Some(epoch) = self.reached {
                    self.cut_rest(epoch)?;
                }
                self.finishing = Some(reply);
            }
            Message::Abandon => return Ok(Next::Stop),
        }
        Ok(self.finish_if_done())
    }

    /// Takes the epochs that are whole now.
    fn advance(&mut self) -> Result<(), SinkError> {
        while let Some(whole) = self.assembly.pop()? {
            let (epoch, now) = (whole.outputs.epoch, whole.outputs.now);
            for files in self.lanes.take(&whole)? {
                self.shared.add_cut(files.bytes());
                self.owe(&files);
                self.ready.push_back(files);
            }
            self.reached = Some(epoch);
            self.cut_due(epoch, now)?;
            self.shared.set_oldest_open(self.lanes.oldest_open());
            let queued: usize = whole.history.iter().map(|batch| batch.size()).sum();
            self.shared.unqueue(queued + output_bytes(&whole.outputs));
        }
        self.tell_lanes();
        Ok(())
    }

    fn owe(&mut self, CutFiles { cut: Cut { table, lane, first, .. }, rows_from, .. }: &CutFiles) {
        self.outstanding.insert((*table, *lane, *first), *rows_from);
    }

    /// Tells how far each lane is durable, for checkpoints.
    fn tell_lanes(&mut self) {
        let outstanding = &self.outstanding;
        let states = self.lanes.states(self.reached.map_or(0, |reached| reached + 1)).map(|state| {
            let LaneState { table, lane, covered, rows_from } = state;
            let mut ours = outstanding.range((table, lane, 0)..=(table, lane, Epoch::MAX));
            let first = ours.clone().next().map(|((.., first), _)| *first);
            let rows = ours.by_ref().map(|(_, rows)| *rows).min();
            LaneState {
                covered: first.unwrap_or(covered).min(covered),
                rows_from: rows.unwrap_or(rows_from).min(rows_from),
                ..state
            }
        });
        self.shared.set_lanes(states.collect());
    }

    fn cut_due(&mut self, epoch: Epoch, now: Timestamp) -> Result<(), SinkError> {
        let files = match self.log {
            CutLog::Recorded(_) => self.lanes.cut_due(epoch, now, &self.limits)?,
            CutLog::Listing if self.lanes.is_any_due(now, &self.limits) => self.lanes.cut_across(epoch)?,
            CutLog::Listing => Vec::new(),
        };
        self.decide(files);
        Ok(())
    }

    fn cut_rest(&mut self, epoch: Epoch) -> Result<(), SinkError> {
        let files = match self.log {
            CutLog::Recorded(_) => self.lanes.cut_open(epoch)?,
            CutLog::Listing => self.lanes.cut_across(epoch)?,
        };
        self.decide(files);
        self.shared.set_oldest_open(None);
        Ok(())
    }

    fn decide(&mut self, files: Vec<CutFiles>) {
        for files in files {
            self.shared.add_cut(files.bytes());
            self.owe(&files);
            match &self.log {
                CutLog::Listing => self.ready.push_back(files),
                CutLog::Recorded(record) => {
                    let cut = files.cut.clone();
                    // Before it is told: the answer may come from another thread at once.
                    self.decided.insert(cut.clone(), files);
                    record(cut);
                }
            }
        }
    }

    /// A cut that may be put now; as many at a time as may be. Without a log they are put one by one: the order marks
    /// what is complete.
    pub(crate) fn next_put(&mut self) -> Option<CutFiles> {
        let limit = match self.log {
            CutLog::Recorded(_) => PARALLEL_PUTS,
            CutLog::Listing => 1,
        };
        let files = if self.putting < limit { self.ready.pop_front() } else { None };
        self.putting += usize::from(files.is_some());
        files
    }

    /// A cut is in place.
    pub(crate) fn put_ended(&mut self, files: &CutFiles) -> Next {
        self.putting -= 1;
        self.shared.subtract_cut(files.bytes());
        if files.cut.table == Table::Epochs {
            self.shared.set_durable_upper(files.cut.last + 1);
        }
        let total = self.totals.tables.entry(files.cut.table).or_default();
        for object in &files.objects {
            total.rows += object.footer.rows;
            total.objects += 1;
            total.bytes += u64::try_from(object.bytes.len()).expect("a length fits in 64 bits");
        }
        let Cut { table, lane, first, last, .. } = files.cut;
        self.outstanding.remove(&(table, lane, first));
        self.tell_lanes();
        tracing::debug!(table = table.name(), lane, first, last, objects = files.objects.len(), "cut put");
        self.finish_if_done()
    }

    fn finish_if_done(&mut self) -> Next {
        if !(self.decided.is_empty() && self.ready.is_empty() && self.putting == 0) {
            return Next::Go;
        }
        let Some(reply) = self.finishing.take() else { return Next::Go };
        // The caller may have given up waiting.
        let _ = reply.send(std::mem::take(&mut self.totals));
        Next::Stop
    }
}
