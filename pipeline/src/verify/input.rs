//! What the lake says was read, epoch by epoch: the log, events, definitions.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use datasets::rows::{Binding, Counters};
use datasets::{Epoch, Reason, Timestamp};
use sinks::cut::{Cut, Table};
use sinks::lake::{LakeObject, LakeReader, PARALLEL_PUTS, Rows};

use super::cell::{Row, rows};
use super::compare::count;
use super::tables::cuts;

/// Why an event, a reversal or a definition is refused after it was decoded. (A `bad_control_event` may be
/// refused before or after.)
pub(super) const AFTER_DECODING: [Reason; 4] =
    [Reason::IdempotencyConflict, Reason::OrphanReversal, Reason::ExpiredReference, Reason::InvalidDefinition];

/// An epoch of the log, and what it read.
pub(super) struct EpochInput {
    pub epoch: Epoch,
    /// The recorded clock.
    pub now: Timestamp,
    /// The wall's, by which activity reported.
    pub wall: Timestamp,
    pub counters: Counters,
    /// Rows of `events`.
    pub events: Vec<RecordBatch>,
    /// Rows of `mission_definitions`.
    pub definitions: Vec<RecordBatch>,
    /// The highest ingest time of what became no event.
    pub newest: Option<Timestamp>,
}

/// Reads epochs in order.
pub(super) struct Inputs {
    epochs: InOrder,
    events: InOrder,
    definitions: InOrder,
    dead_letters: InOrder,
    settled: Settled,
    next: Epoch,
    /// Of the partitions of the missions topic.
    uppers: HashMap<i32, i64>,
    missions: Arc<str>,
}

impl Inputs {
    /// Begins with epoch 0. What is not `settled` may not be in the lake yet.
    ///
    /// # Errors
    /// Objects that hold the same epochs twice.
    pub fn new(lake: &Arc<LakeReader>, settled: Settled, missions: Arc<str>) -> Result<Self, String> {
        let table = |table| InOrder::new(lake, table);
        Ok(Inputs {
            epochs: table(Table::Epochs)?,
            events: table(Table::Events)?,
            definitions: table(Table::MissionDefinitions)?,
            dead_letters: table(Table::DeadLetters)?,
            settled,
            next: 0,
            uppers: HashMap::new(),
            missions,
        })
    }

    /// The next epoch; `None` behind the last one of which the lake has everything that was read.
    ///
    /// # Errors
    /// What cannot be read, or is no log of epochs.
    pub fn next(&mut self) -> Result<Option<EpochInput>, String> {
        let epoch = self.next;
        let log = self.epochs.take(epoch)?;
        let mut logged = rows(&log);
        let Some(row) = logged.next() else {
            let is_end = epoch >= self.epochs.upper.min(self.settled.log);
            return if is_end { Ok(None) } else { Err(format!("lake: table epochs has no row of epoch {epoch}")) };
        };
        if logged.next().is_some() {
            return Err(format!("lake: table epochs has epoch {epoch} more than once"));
        }
        let now = row.time("now").ok_or_else(|| format!("lake: epoch {epoch} has no clock"))?;
        let wall = row.time("wall").unwrap_or(now);
        let counters: Counters = json(row, "counters", epoch)?;
        let bindings: Vec<Binding> = json(row, "bindings", epoch)?;
        let (events, definitions) = (self.events.take(epoch)?, self.definitions.take(epoch)?);
        let lacks_some = lacks_events(&counters, &events) || self.lacks_definitions(epoch, &bindings);
        if lacks_some && !self.settled.has(now) {
            return Ok(None);
        }
        let letters = self.dead_letters.take(epoch)?;
        let refused = rows(&letters).filter(|letter| letter.text("topic") != &*self.missions);
        let newest = refused.filter_map(|letter| letter.time("ingest_time")).max();
        self.next += 1;
        Ok(Some(EpochInput { epoch, now, wall, counters, events, definitions, newest }))
    }

    /// Definitions were read, and no file tells which.
    fn lacks_definitions(&mut self, epoch: Epoch, bindings: &[Binding]) -> bool {
        let mut were_read = false;
        for Binding { partition, upper, .. } in bindings.iter().filter(|binding| binding.topic == self.missions) {
            // The first binding of a partition says where it begins.
            were_read |= self.uppers.insert(*partition, *upper).is_some_and(|before| before < *upper);
        }
        were_read && epoch >= self.definitions.reached
    }
}

/// Fewer events are there than were read and decoded.
fn lacks_events(counters: &Counters, events: &[RecordBatch]) -> bool {
    let letters = counters.dead_letters.iter().filter(|(reason, _)| !AFTER_DECODING.contains(reason));
    let decoded = counters.read.saturating_sub(letters.map(|(_, letters)| letters).sum());
    count(events.iter().map(RecordBatch::num_rows).sum()) < decoded
}

/// The epochs of a table: those below the end of its last cut.
pub(super) fn upper(lake: &LakeReader, table: Table) -> Epoch {
    lake.objects(table).iter().map(|object| object.cut.last + 1).max().unwrap_or(0)
}

/// What must be in a lake. Beyond it, files may still be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    /// Of the log: epochs below this.
    log: Epoch,
    /// Of the other tables: rows of epochs with this clock or an earlier one.
    until: Timestamp,
}

impl Settled {
    /// All of a lake whose log ends at `upper`.
    pub fn all(upper: Epoch) -> Self {
        Settled { log: upper, until: Timestamp::MAX }
    }

    /// Of the lake of a pipeline, which cuts a row after `max_file_age` microseconds of its clock at the latest.
    ///
    /// Cuts are put in the order in which they were decided, [`PARALLEL_PUTS`] at the same time. So when as many cuts of
    /// the log began after a row was due, that row's cut was decided before them, and is there unless its put hangs.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn of(lake: &LakeReader, max_file_age: i64) -> Result<Self, String> {
        let cuts = cuts(lake, Table::Epochs)?;
        let Some((cut, objects)) = cuts.len().checked_sub(PARALLEL_PUTS).map(|place| &cuts[place]) else {
            return Ok(Settled { log: 0, until: Timestamp::MIN });
        };
        let first = lake.rows(&objects[0]).and_then(|mut batches| batches.next().transpose());
        let first = first.map_err(|error| crate::chain(&error))?;
        let began = first.iter().flat_map(|batch| rows(std::slice::from_ref(batch))).find_map(|row| row.time("now"));
        let until = began.map_or(Timestamp::MIN, |began| began.plus_micros(max_file_age.saturating_neg()));
        Ok(Settled { log: cut.first, until })
    }

    /// Rows that an epoch with this clock put out must be there.
    pub fn has(self, now: Timestamp) -> bool {
        now <= self.until
    }
}

/// A replay wrote this lake: it read events, and bound no partitions.
///
/// # Errors
/// What cannot be read.
pub(super) fn is_replay(lake: &LakeReader) -> Result<bool, String> {
    for object in lake.objects(Table::Epochs) {
        for batch in lake.rows(object).map_err(|error| crate::chain(&error))? {
            let batch = batch.map_err(|error| crate::chain(&error))?;
            for row in rows(std::slice::from_ref(&batch)) {
                let epoch = row.epoch().unwrap_or_default();
                if !json::<Vec<Binding>>(row, "bindings", epoch)?.is_empty() {
                    return Ok(false);
                }
                if json::<Counters>(row, "counters", epoch)?.read > 0 {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

fn json<T: serde::de::DeserializeOwned>(row: Row<'_>, column: &str, epoch: Epoch) -> Result<T, String> {
    serde_json::from_str(row.text(column)).map_err(|error| format!("lake: {column} of epoch {epoch}: {error}"))
}

/// The rows of a table by epoch, of all its lanes and days.
struct InOrder {
    lake: Arc<LakeReader>,
    table: Table,
    cuts: VecDeque<(Cut, Vec<LakeObject>)>,
    open: Vec<Open>,
    /// Epochs from here on are in none of the cuts that were opened.
    reached: Epoch,
    /// Epochs from here on are in none of its cuts.
    upper: Epoch,
}

/// An object of which rows are left. They are in the order of epochs.
struct Open {
    rows: Rows,
    head: Option<RecordBatch>,
}

impl InOrder {
    fn new(lake: &Arc<LakeReader>, table: Table) -> Result<Self, String> {
        let upper = upper(lake, table);
        Ok(InOrder { lake: lake.clone(), table, cuts: cuts(lake, table)?, open: Vec::new(), reached: 0, upper })
    }

    /// The rows of `epoch`. Epochs are asked for in order.
    fn take(&mut self, epoch: Epoch) -> Result<Vec<RecordBatch>, String> {
        while let Some((cut, objects)) = self.cuts.pop_front_if(|(cut, _)| cut.first <= epoch) {
            self.reached = self.reached.max(cut.last + 1);
            for object in objects {
                let rows = self.lake.rows(&object).map_err(|error| crate::chain(&error))?;
                let open = Open { rows: rows.checked(), head: None };
                self.open.push(open);
            }
        }
        let mut taken = Vec::new();
        let mut left = Vec::new();
        for mut open in std::mem::take(&mut self.open) {
            if open.take(epoch, &mut taken).map_err(|error| format!("{}: {error}", self.table.name()))? {
                left.push(open);
            }
        }
        self.open = left;
        Ok(taken)
    }
}

impl Open {
    /// Moves the rows of `epoch` to `taken`. Answers whether there are more.
    fn take(&mut self, epoch: Epoch, taken: &mut Vec<RecordBatch>) -> Result<bool, String> {
        let asked = i64::try_from(epoch).expect("epochs are below 2^63");
        while let Some(head) = self.next_batch()? {
            let epochs = head.column_by_name("epoch").and_then(|column| column.as_primitive_opt::<Int64Type>());
            let epochs = epochs.ok_or("an object has no column epoch")?.values();
            if epochs.first().is_some_and(|first| *first < asked) || !epochs.is_sorted() {
                return Err(format!("rows of an object are not in the order of epochs at epoch {epoch}"));
            }
            let rows = epochs.partition_point(|found| *found == asked);
            if rows > 0 {
                taken.push(head.slice(0, rows));
            }
            if rows < head.num_rows() {
                self.head = Some(head.slice(rows, head.num_rows() - rows));
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, String> {
        match self.head.take() {
            Some(head) => Ok(Some(head)),
            None => self.rows.next().transpose().map_err(|error| crate::chain(&error)),
        }
    }
}
