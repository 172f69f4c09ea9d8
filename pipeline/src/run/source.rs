//! One worker's partitions, read epoch by epoch: along the log first, then freely.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use crossbeam_channel::Receiver;
use datasets::rows::Binding;
use datasets::{Epoch, Timestamp, TopicId, Topics};
use operators::deadline::Deadlines;

use super::checkpoint::definition;
use super::chunk::{LiveChunk, OwnedRecord, StoredChunk};
use super::gate::Gate;
use super::past::PastFeed;
use crate::engine::Halt;
use crate::epochs::{Recorded, Tick};
use crate::reading::{Reading, Source};
use crate::source::{KafkaConsumer, Position, SourceError};

type PartitionKey = (TopicId, i32);

/// Most records of one worker in one epoch: what the players operator sorts and revisits stays near the core.
const EPOCH_RECORDS: usize = 8 * 1024;

/// How far one partition has been read.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// Next offset to hand on.
    upper: i64,
    /// Ingest time of the last record handed on.
    last: Option<Timestamp>,
    /// Where the partition ended when the consumer last came to its end.
    end: Option<i64>,
    /// The consumer reads it.
    is_assigned: bool,
}

/// What a source is made of.
pub struct SourceStart {
    /// A consumer without partitions.
    pub consumer: KafkaConsumer,
    /// The names behind the ids.
    pub topics: Arc<Topics>,
    /// The missions topic, whose partitions are read before the others.
    pub missions: Option<TopicId>,
    /// This worker's share of the partitions that the log names, with the first offset of each.
    pub logged: Vec<Position>,
    /// Partitions that are not in the log yet, as they are found. The first offset is where reading begins.
    pub found: Receiver<Position>,
    /// Ends of the missions topic's partitions that have to be reached before events are read.
    pub definitions_end: BTreeMap<i32, i64>,
    /// Shared by all workers.
    pub gate: Gate,
    /// Hands on the definitions of the log, for all workers.
    pub speaks: bool,
    /// Epochs at the beginning of the log that Kafka has not all of: positions are behind them.
    pub past: Option<PastFeed>,
    /// There is more to read: an epoch should be opened.
    pub ring: Box<dyn Fn()>,
    /// Told whether there is more to read.
    pub deadlines: Deadlines,
    /// Stops the pipeline with an error.
    pub halt: Halt,
}

/// Reads assigned partitions from Kafka.
pub struct KafkaSource {
    start: SourceStart,
    partitions: BTreeMap<PartitionKey, Progress>,
    /// Records read beyond what an epoch of the log is bound to, by partition.
    ahead: BTreeMap<PartitionKey, VecDeque<OwnedRecord>>,
    /// The epoch that is being read along the log: what it has so far.
    following: Vec<OwnedRecord>,
}

impl KafkaSource {
    /// Begins at the start of the log.
    pub fn new(mut start: SourceStart) -> Result<Self, SourceError> {
        let missions = start.missions;
        let (definitions, events): (Vec<_>, Vec<_>) =
            start.logged.iter().copied().partition(|position| Some(position.topic) == missions);
        // Definitions of the log come with it: the topic may have been compacted since.
        start.consumer.assign(&events)?;
        let progress = |position: Position, is_assigned| {
            let key = (position.topic, position.partition);
            (key, Progress { upper: position.offset, last: None, end: None, is_assigned })
        };
        let partitions = definitions.into_iter().map(|position| progress(position, false));
        let partitions = partitions.chain(events.into_iter().map(|position| progress(position, true))).collect();
        Ok(KafkaSource { start, partitions, ahead: BTreeMap::new(), following: Vec::new() })
    }

    /// Reads exactly what an epoch of the log read.
    fn follow(&mut self, recorded: &Recorded) -> Result<Reading, SourceError> {
        loop {
            self.take_bound(recorded);
            if recorded.bindings.iter().all(|binding| self.has_reached(binding)) {
                break;
            }
            let chunk = self.start.consumer.poll(EPOCH_RECORDS)?;
            if chunk.is_empty() {
                self.check_reachable(recorded)?;
                return Ok(Reading::default());
            }
            for record in chunk.records() {
                let key = (record.topic(), record.partition());
                self.ahead.entry(key).or_default().push_back(OwnedRecord::of(&record));
            }
            for end in chunk.ends() {
                self.ends_at((end.topic, end.partition), end.offset);
            }
        }
        let past = match self.start.past.as_mut().map(|past| past.next(recorded.now)).transpose() {
            Ok(past) => past.flatten(),
            // Its reader wakes us, or has failed.
            Err(_) => return Ok(Reading::default()),
        };
        let mut chunk = StoredChunk { records: std::mem::take(&mut self.following), ..StoredChunk::default() };
        if self.start.speaks {
            let definitions = recorded.definitions.iter();
            chunk.definitions.extend(definitions.filter_map(|row| definition(row, &self.start.topics)));
        }
        let mine = recorded.bindings.iter().filter(|binding| self.owns(binding).is_some());
        let bindings: Vec<Binding> = mine.cloned().collect();
        for binding in &bindings {
            let key = self.owns(binding).expect("filtered by it");
            let upper = &mut self.partitions.get_mut(&key).expect("owned").upper;
            // Before the end of the past it is beyond it already.
            *upper = binding.upper.max(*upper);
        }
        let mut chunks: Vec<Rc<dyn operators::decode::Chunk>> = vec![Rc::new(chunk)];
        chunks.extend(past.map(|past| -> Rc<dyn operators::decode::Chunk> { Rc::new(past) }));
        Ok(Reading { chunks, is_complete: true, bindings, behind: None })
    }

    /// Moves what lies below the epoch's bounds from `ahead` to `following`.
    fn take_bound(&mut self, recorded: &Recorded) {
        for binding in &recorded.bindings {
            let Some(key) = self.owns(binding) else { continue };
            let Some(ahead) = self.ahead.get_mut(&key) else { continue };
            while ahead.front().is_some_and(|record| record.offset < binding.upper) {
                let record = ahead.pop_front().expect("just seen");
                let progress = self.partitions.get_mut(&key).expect("owned");
                progress.upper = record.offset + 1;
                progress.last = record.timestamp.or(progress.last);
                self.following.push(record);
            }
        }
    }

    /// A bound is reached by a record or an end at or beyond it: offsets have gaps.
    fn has_reached(&self, binding: &Binding) -> bool {
        let Some(key) = self.owns(binding) else { return true };
        let progress = &self.partitions[&key];
        let next = self.ahead.get(&key).and_then(|ahead| ahead.front());
        Some(key.0) == self.start.missions || progress.upper >= binding.upper || next.is_some()
    }

    /// What an epoch read is still there, as far as the ends that were met tell: waiting for it would take what is
    /// written later for it.
    fn check_reachable(&self, recorded: &Recorded) -> Result<(), SourceError> {
        for binding in recorded.bindings.iter().filter(|binding| !self.has_reached(binding)) {
            let (topic, partition) = self.owns(binding).expect("others count as reached");
            let end = self.partitions[&(topic, partition)].end;
            if end.is_some_and(|end| end < binding.upper) {
                self.start.consumer.check_reaches(Position { topic, partition, offset: binding.upper })?;
            }
        }
        Ok(())
    }

    fn owns(&self, binding: &Binding) -> Option<PartitionKey> {
        let key = (self.start.topics.id(&binding.topic)?, binding.partition);
        self.partitions.contains_key(&key).then_some(key)
    }

    /// Reads what is there.
    fn read_freely(&mut self, epoch: Epoch) -> Result<Reading, SourceError> {
        let begun = self.begin_found();
        if !begun.is_empty() {
            // Where a partition begins is bound before anything of it is read: a replay has to know.
            (self.start.ring)();
            return Ok(Reading { is_complete: true, bindings: begun, behind: self.behind(), ..Reading::default() });
        }
        self.assign_allowed(epoch)?;
        if !self.start.gate.is_open(epoch) {
            return self.read_definitions(epoch);
        }
        let mut chunks: Vec<Rc<dyn operators::decode::Chunk>> = Vec::new();
        let mut moved = BTreeMap::new();
        let ahead = std::mem::take(&mut self.ahead);
        let ends: Vec<_> = ahead.keys().filter_map(|key| Some((*key, self.partitions.get(key)?.end?))).collect();
        let ahead: Vec<OwnedRecord> = ahead.into_values().flatten().collect();
        for record in &ahead {
            self.advance(record.key(), record.offset, record.timestamp, &mut moved);
        }
        // Met while the log was followed, behind these records; nobody tells of them again.
        for (key, end) in ends {
            self.ends_at(key, end);
            moved.insert(key, self.partitions[&key].upper);
        }
        if !ahead.is_empty() {
            chunks.push(Rc::new(StoredChunk { records: ahead, ..StoredChunk::default() }));
        }
        let chunk = self.start.consumer.poll(EPOCH_RECORDS)?;
        for record in chunk.records() {
            self.advance((record.topic(), record.partition()), record.offset(), record.timestamp(), &mut moved);
        }
        for end in chunk.ends() {
            let key = (end.topic, end.partition);
            self.ends_at(key, end.offset);
            if let Some(progress) = self.partitions.get(&key) {
                moved.insert(key, progress.upper);
            }
        }
        self.pass_gate(epoch);
        if chunk.is_full() {
            (self.start.ring)();
        }
        chunks.push(Rc::new(LiveChunk::new(chunk)));
        let bindings = moved.into_iter().map(|(key, upper)| self.binding(key, upper)).collect();
        Ok(Reading { chunks, is_complete: true, bindings, behind: self.behind() })
    }

    /// Reads definitions and nothing else. Partitions of events are assigned already where the log was followed: what
    /// comes of them waits.
    fn read_definitions(&mut self, epoch: Epoch) -> Result<Reading, SourceError> {
        let missions = self.start.missions;
        let mut definitions = Vec::new();
        let mut moved = BTreeMap::new();
        let chunk = self.start.consumer.poll(EPOCH_RECORDS)?;
        for record in chunk.records() {
            let key = (record.topic(), record.partition());
            if Some(key.0) == missions {
                self.advance(key, record.offset(), record.timestamp(), &mut moved);
                definitions.push(OwnedRecord::of(&record));
            } else {
                self.ahead.entry(key).or_default().push_back(OwnedRecord::of(&record));
            }
        }
        for end in chunk.ends() {
            let key = (end.topic, end.partition);
            self.ends_at(key, end.offset);
            if let Some(progress) = self.partitions.get(&key).filter(|_| Some(key.0) == missions) {
                moved.insert(key, progress.upper);
            }
        }
        self.pass_gate(epoch);
        if chunk.is_full() {
            (self.start.ring)();
        }
        let bindings = moved.into_iter().map(|(key, upper)| self.binding(key, upper)).collect();
        let chunk = StoredChunk { records: definitions, ..StoredChunk::default() };
        let chunks: Vec<Rc<dyn operators::decode::Chunk>> = vec![Rc::new(chunk)];
        Ok(Reading { chunks, is_complete: true, bindings, behind: self.behind() })
    }

    fn begin_found(&mut self) -> Vec<Binding> {
        let found: Vec<Position> = self.start.found.try_iter().collect();
        let begun = found.into_iter().filter_map(|position| {
            let key = (position.topic, position.partition);
            let progress = Progress { upper: position.offset, last: None, end: None, is_assigned: false };
            let Entry::Vacant(entry) = self.partitions.entry(key) else { return None };
            entry.insert(progress);
            Some(self.binding(key, position.offset))
        });
        begun.collect()
    }

    /// Gives the consumer the partitions that it may read now: definitions at once, events once every
    /// definition that was there at the start has been read.
    fn assign_allowed(&mut self, epoch: Epoch) -> Result<(), SourceError> {
        let is_open = self.start.gate.is_open(epoch);
        let missions = self.start.missions;
        let allowed = self
            .partitions
            .iter_mut()
            .filter(|((topic, _), progress)| !progress.is_assigned && (is_open || Some(*topic) == missions));
        let positions: Vec<Position> = allowed
            .map(|((topic, partition), progress)| {
                progress.is_assigned = true;
                Position { topic: *topic, partition: *partition, offset: progress.upper }
            })
            .collect();
        if positions.is_empty() { Ok(()) } else { self.start.consumer.assign(&positions) }
    }

    fn pass_gate(&mut self, epoch: Epoch) {
        let Some(missions) = self.start.missions else { return };
        let partitions = &self.partitions;
        let before = self.start.definitions_end.len();
        self.start.definitions_end.retain(|partition, end| {
            partitions.get(&(missions, *partition)).is_none_or(|progress| progress.upper < *end)
        });
        for _ in self.start.definitions_end.len()..before {
            self.start.gate.pass(epoch);
            (self.start.ring)();
        }
    }

    fn advance(
        &mut self,
        key: PartitionKey,
        offset: i64,
        timestamp: Option<Timestamp>,
        moved: &mut BTreeMap<PartitionKey, i64>,
    ) {
        let Some(progress) = self.partitions.get_mut(&key) else { return };
        progress.upper = offset + 1;
        progress.last = timestamp.or(progress.last);
        moved.insert(key, progress.upper);
    }

    /// The consumer has delivered everything below `offset`, and there was nothing at it.
    fn ends_at(&mut self, key: PartitionKey, offset: i64) {
        let is_ahead = self.is_ahead(key);
        let Some(progress) = self.partitions.get_mut(&key) else { return };
        progress.end = Some(offset);
        if !is_ahead {
            // What is no record takes offsets too; a record that came after the end is beyond it already.
            progress.upper = progress.upper.max(offset);
        }
    }

    fn is_ahead(&self, key: PartitionKey) -> bool {
        self.ahead.get(&key).is_some_and(|ahead| !ahead.is_empty())
    }

    /// The least last-read ingest time among partitions that are not at their end.
    fn behind(&self) -> Option<Timestamp> {
        let behind = self.partitions.iter().filter(|(key, progress)| {
            let at_end = progress.end.is_some_and(|end| progress.upper <= end) && !self.is_ahead(**key);
            !at_end
        });
        let last: Vec<Option<Timestamp>> = behind.map(|(_, progress)| progress.last).collect();
        // Of a partition that has not begun to arrive nothing is known; with no other, the clock waits.
        last.iter().flatten().min().copied().or((!last.is_empty()).then_some(Timestamp::MIN))
    }

    fn binding(&self, (topic, partition): PartitionKey, upper: i64) -> Binding {
        Binding { topic: self.start.topics.name(topic).clone(), partition, upper }
    }
}

impl Source for KafkaSource {
    fn read(&mut self, epoch: Epoch, tick: &Tick) -> Reading {
        let reading = match &tick.recorded {
            Some(recorded) => self.follow(recorded),
            None => self.read_freely(epoch),
        };
        self.start.deadlines.behind(reading.as_ref().is_ok_and(|reading| reading.behind.is_some()));
        reading.unwrap_or_else(|error| {
            self.start.halt.fail(format!("cannot read on: {}", crate::chain(&error)));
            // Never complete: the lake would take what is missing for nothing.
            Reading::default()
        })
    }
}
