//! The lake's thread: encodes epochs as they become whole, decides cuts, and puts those recorded.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, select, unbounded};
use datasets::{Epoch, Timestamp};

use super::assembly::Assembly;
use super::handle::{Message, Shared, output_bytes};
use super::lanes::{CutFiles, Lanes};
use super::store::Place;
use super::{CutLimits, CutLog, LakeTotals};
use crate::SinkError;
use crate::checkpoint::LaneState;
use crate::cut::{Cut, Table};

/// Cuts that are put at the same time when their order does not matter: one connection rarely
/// carries what a store takes. A lake that is left in the middle may lack files of so many.
pub const PARALLEL_PUTS: usize = 4;

/// Everything that the thread owns.
pub(super) struct LakeThread {
    place: Place,
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
    stored: (Sender<Stored>, Receiver<Stored>),
    totals: LakeTotals,
    finishing: Option<Sender<LakeTotals>>,
    shared: Arc<Shared>,
    /// Last, so that puts under way end after everything else is gone.
    runtime: tokio::runtime::Runtime,
}

/// A cut whose put ended.
struct Stored {
    files: CutFiles,
    result: Result<(), SinkError>,
}

/// What the loop does next.
enum Next {
    Go,
    Stop,
}

impl LakeThread {
    pub(super) fn new(
        place: Place,
        runtime: tokio::runtime::Runtime,
        limits: CutLimits,
        lanes: Lanes,
        workers: usize,
        log: CutLog,
        shared: Arc<Shared>,
    ) -> Self {
        LakeThread {
            place,
            limits,
            log,
            assembly: Assembly::new(workers),
            lanes,
            reached: None,
            decided: HashMap::new(),
            ready: VecDeque::new(),
            putting: 0,
            outstanding: BTreeMap::new(),
            stored: unbounded(),
            totals: LakeTotals::default(),
            finishing: None,
            shared,
            runtime,
        }
    }

    /// Runs until finished, failed, or left by every handle.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        let _watch = Watch(self.shared.clone());
        loop {
            let stored = self.stored.1.clone();
            let next = select! {
                recv(messages) -> message => match message {
                    Ok(message) => self.receive(message),
                    Err(_) => return,
                },
                recv(stored) -> stored => self.put_ended(stored.expect("the thread holds a sender")),
            };
            match next {
                Ok(Next::Go) => {}
                Ok(Next::Stop) => return,
                Err(error) => return self.shared.fail(error),
            }
        }
    }

    fn receive(&mut self, message: Message) -> Result<Next, SinkError> {
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
                self.put_ready();
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
                self.shared.add(files.bytes());
                self.owe(&files);
                self.ready.push_back(files);
            }
            self.reached = Some(epoch);
            self.cut_due(epoch, now)?;
            self.shared.set_oldest_open(self.lanes.oldest_open());
            let queued: usize = whole.history.iter().map(|batch| batch.size()).sum();
            self.shared.subtract(queued + output_bytes(&whole.outputs));
        }
        self.put_ready();
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
        self.put_ready();
        Ok(())
    }

    fn decide(&mut self, files: Vec<CutFiles>) {
        for files in files {
            self.shared.add(files.bytes());
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

    /// Starts as many puts as may run at a time. Without a log they run one by one: the order marks what is complete.
    fn put_ready(&mut self) {
        let limit = match self.log {
            CutLog::Recorded(_) => PARALLEL_PUTS,
            CutLog::Listing => 1,
        };
        while self.putting < limit {
            let Some(files) = self.ready.pop_front() else { return };
            self.putting += 1;
            let (place, stored) = (self.place.clone(), self.stored.0.clone());
            self.runtime.spawn(async move {
                let result = put_all(&place, &files).await;
                // Nobody listens once the lake has stopped.
                let _ = stored.send(Stored { files, result });
            });
        }
    }

    fn put_ended(&mut self, stored: Stored) -> Result<Next, SinkError> {
        stored.result?;
        let Stored { files, .. } = stored;
        self.putting -= 1;
        self.shared.subtract(files.bytes());
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
        self.put_ready();
        Ok(self.finish_if_done())
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

async fn put_all(place: &Place, files: &CutFiles) -> Result<(), SinkError> {
    for object in &files.objects {
        place.put(object).await?;
    }
    Ok(())
}

/// Makes a panic of the thread an error that callers see.
struct Watch(Arc<Shared>);

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(SinkError::Indeterminate("lake".to_owned(), "its thread panicked".into()));
        }
    }
}
