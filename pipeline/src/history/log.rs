//! What the lake says was read, epoch by epoch: the log, events, definitions.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use datasets::mapping::{DecodeSink, Refusal};
use datasets::rows::{Binding, Counters};
use datasets::schema::EventNames;
use datasets::{Coordinates, Epoch, EventBatch, Timestamp, TopicId};
use operators::definitions::DefinitionRecord;
use operators::players::Clock;
use sinks::cut::Table;
use sinks::lake::{LakeReader, PARALLEL_PUTS};

use super::cell::{Cell, rows};
use super::events::push_events;
use super::in_order::{AFTER_DECODING, InOrder, cuts, json, upper};
use crate::config::Config;
use crate::plan::{Purpose, lake_config};

/// An epoch of the log, and what it read.
pub(crate) struct EpochInput {
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

impl EpochInput {
    /// The definitions, as they were judged when they were read. `missions` is the topic that they came from.
    ///
    /// # Errors
    /// A row without a place.
    pub fn definitions(&self, missions: TopicId) -> Result<Vec<DefinitionRecord>, String> {
        let read = rows(&self.definitions).map(|row| {
            let text = row.text("definition");
            // NULL is a tombstone, which is accepted, or an empty text, which is not.
            let accepted = row.cell("accepted") == Some(Cell::Bool(true));
            let text = (!text.is_empty() || !accepted).then(|| text.to_owned());
            let partition = row.int("partition").and_then(|partition| i32::try_from(partition).ok())?;
            Some(DefinitionRecord {
                at: Coordinates { topic: missions, partition, offset: row.int("offset")?, index: 0 },
                ingest_time: row.time("ingest_time").unwrap_or_default(),
                key: row.text("mission_id").to_owned(),
                text,
                was_refused: !accepted,
            })
        });
        let read: Option<Vec<_>> = read.collect();
        read.ok_or_else(|| "lake: a definition has no place".to_owned())
    }

    /// The events, in one batch; of one player and of none, as rates are, or of all.
    ///
    /// # Errors
    /// Rows that are no events of this configuration.
    pub fn batch(&self, player: Option<&str>, names: &EventNames) -> Result<EventBatch, String> {
        let mut batch = InOne(EventBatch::new(0, 0));
        let wrong = |message: String| format!("lake: table events, epoch {}: {message}", self.epoch);
        for events in &self.events {
            let Some(player) = player else {
                push_events(events, 0..events.num_rows(), names, &mut None, &mut batch).map_err(wrong)?;
                continue;
            };
            let column = events.column_by_name("player_id").and_then(|column| column.as_string_opt::<i32>());
            let players = column.ok_or_else(|| wrong("there is no column player_id".to_owned()))?;
            let names_of = events.column_by_name("event_name").and_then(|column| column.as_string_opt::<i32>());
            let names_of = names_of.ok_or_else(|| wrong("there is no column event_name".to_owned()))?;
            let is_wanted = |row: &usize| players.value(*row) == player || names_of.value(*row) == "rate";
            for row in (0..events.num_rows()).filter(is_wanted) {
                push_events(events, row..row + 1, names, &mut None, &mut batch).map_err(wrong)?;
            }
        }
        Ok(batch.0)
    }

    /// The recorded clock. Raises `newest`, the highest ingest time so far, to that of what was read.
    pub fn clock(&self, newest: &mut Timestamp) -> Clock {
        *newest = (*newest).max(self.highest_read().unwrap_or(*newest));
        Clock { now: self.now, wall: self.wall, newest: *newest, is_last: false }
    }

    /// The highest ingest time of all that was read.
    fn highest_read(&self) -> Option<Timestamp> {
        let all = self.events.iter().chain(&self.definitions);
        let columns = all.filter_map(|batch| batch.column_by_name("ingest_time"));
        let times = columns.filter_map(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        let read = times.flat_map(|times| times.values().iter().copied()).max().map(Timestamp::from_micros);
        read.max(self.newest)
    }
}

/// Takes all events as they come.
struct InOne(EventBatch);

impl DecodeSink for InOne {
    fn batch(&mut self, _player_hash: u64) -> &mut EventBatch {
        &mut self.0
    }

    fn refuse(&mut self, refusal: Refusal) {
        unreachable!("rows of events were decoded before: {refusal:?}");
    }
}

/// Reads epochs in order.
pub(crate) struct Inputs {
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
        let table = |table| InOrder::new(lake, table, 0);
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
    let events: usize = events.iter().map(RecordBatch::num_rows).sum();
    u64::try_from(events).expect("a count fits in 64 bits") < decoded
}

/// A lake, opened to be read again from its first epoch on.
pub(crate) struct LakeHistory {
    pub lake: Arc<LakeReader>,
    pub inputs: Inputs,
    pub settled: Settled,
    /// A replay wrote it.
    pub is_replay: bool,
}

impl LakeHistory {
    /// Lists the lake of `config`, which is asked for by `why` it is needed.
    ///
    /// # Errors
    /// There is none, it cannot be reached or read, or it has no log of epochs.
    pub fn open(config: &Config, why: &str) -> Result<Self, String> {
        let of = config.lake.as_ref().ok_or_else(|| format!("[lake] is missing: {why}"))?;
        let lake = Arc::new(LakeReader::open(&lake_config(of)).map_err(|error| crate::chain(&error))?);
        if lake.objects(Table::Epochs).is_empty() {
            return Err(
                "the lake has no log of epochs: nothing was cut yet, or lake.url names another place".to_owned()
            );
        }
        let is_replay = is_replay(&lake)?;
        // A replay puts one object after the other, the log last: below its end everything is there.
        let settled = match is_replay {
            true => Settled::all(upper(&lake, Table::Epochs)),
            false => Settled::of(&lake, of.max_file_age.micros())?,
        };
        let inputs = Inputs::new(&lake, settled, config.missions.topic.as_str().into())?;
        Ok(LakeHistory { lake, inputs, settled, is_replay })
    }

    /// Epochs of the log.
    pub fn epochs(&self) -> Epoch {
        upper(&self.lake, Table::Epochs)
    }

    /// What a dataflow does that wrote such a lake.
    pub fn purpose(&self) -> Purpose {
        if self.is_replay { Purpose::Replay } else { Purpose::Run }
    }
}

/// What must be in a lake. Beyond it, files may still be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
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

    /// Of a lake whose rows are there up to this clock.
    #[cfg(test)]
    pub fn at(until: Timestamp) -> Self {
        Settled { log: Epoch::MAX, until }
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

    /// The last clock of which all rows are there; `None` where nothing will be added.
    pub fn until(self) -> Option<Timestamp> {
        (self.until < Timestamp::MAX).then_some(self.until)
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
pub(crate) fn is_replay(lake: &LakeReader) -> Result<bool, String> {
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
