//! From records to events, on the worker that read them: payloads are parsed where they lie, and
//! what crosses to another worker is a batch for the owner of its players.

use std::rc::Rc;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as STANDARD;
use datasets::hash::KeyGroup;
use datasets::mapping::{DecodeSink, Mapper, Record, Refusal};
use datasets::rates::RateRecord;
use datasets::rows::{Counters, DeadLetterRow, Place};
use datasets::{BatchPool, Coordinates, Epoch, EventBatch, Timestamp, TopicId, Topics};
use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use crate::definitions::DefinitionRecord;

/// Records of one epoch, as a source read them; they stay where the client library put them.
pub trait Chunk {
    /// Calls `each` with every record, in the order of each partition.
    fn for_each(&self, each: &mut dyn FnMut(&Record<'_>));

    /// Definitions of the log, with what became of them when they were read first.
    fn definitions(&self) -> Vec<DefinitionRecord> {
        Vec::new()
    }

    /// Gives `sink` events that were decoded when they were read first, as history keeps them, and answers the
    /// highest ingest time of the records behind them.
    fn decoded(&self, _sink: &mut dyn DecodeSink) -> Option<Timestamp> {
        None
    }
}

/// What to do with the records of a topic.
#[derive(Clone)]
pub enum TopicRole {
    /// Events of a source.
    Events(Box<Mapper>),
    /// Mission definitions.
    Definitions,
    /// Records that only move the clock of a replay.
    Clock,
}

/// How to decode.
#[derive(Clone)]
pub struct DecodeRules {
    /// By [`TopicId`].
    pub roles: Vec<TopicRole>,
    /// The names behind the ids.
    pub topics: Arc<Topics>,
    /// Workers among which players are divided.
    pub workers: usize,
    /// Lanes of the lake's table `events`; a partition stays in its lane.
    pub lanes: u16,
}

/// What reading a chunk told, beside its events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// `read` and `dead_letters`.
    pub counters: Counters,
    /// Refused inputs.
    #[serde(with = "datasets::wire")]
    pub dead_letters: Vec<(Coordinates, DeadLetterRow)>,
    /// The highest ingest time among them; definitions count too.
    pub newest: Option<Timestamp>,
}

/// The streams that decoding makes.
pub struct Decoded<'s> {
    /// Events by owner, ready to be exchanged. History takes them as they are.
    pub events: StreamVec<'s, Epoch, Arc<EventBatch>>,
    /// Definition records, to be broadcast.
    pub definitions: StreamVec<'s, Epoch, DefinitionRecord>,
    /// Rates of exchange, to be broadcast.
    pub rates: StreamVec<'s, Epoch, RateRecord>,
    /// Everything else that is known of what was read.
    pub read: StreamVec<'s, Epoch, Read>,
}

/// Decodes the records that this worker read.
pub fn decode<'s>(records: StreamVec<'s, Epoch, Rc<dyn Chunk>>, rules: DecodeRules) -> Decoded<'s> {
    let mut builder = OperatorBuilder::new("Decode".to_owned(), records.scope());
    let mut records = builder.new_input(records, Pipeline);
    let (events_output, events) = builder.new_output::<Vec<Arc<EventBatch>>>();
    let (definitions_output, definitions) = builder.new_output::<Vec<DefinitionRecord>>();
    let (rates_output, rates) = builder.new_output::<Vec<RateRecord>>();
    let (read_output, read) = builder.new_output::<Vec<Read>>();
    let mut events_output = OutputBuilder::from(events_output);
    let mut definitions_output = OutputBuilder::from(definitions_output);
    let mut rates_output = OutputBuilder::from(rates_output);
    let mut read_output = OutputBuilder::from(read_output);
    let mut decoder = Decoder::new(rules);

    builder.build(move |_capabilities| {
        move |_frontiers| {
            let mut events_output = events_output.activate();
            let mut definitions_output = definitions_output.activate();
            let mut rates_output = rates_output.activate();
            let mut read_output = read_output.activate();
            records.for_each(|capability, chunks| {
                for chunk in chunks.drain(..) {
                    decoder.decode(chunk.as_ref());
                    let (events, definitions, read) = decoder.take();
                    rates_output.session(&capability.retain(2)).give_iterator(rates_of(&events).into_iter());
                    events_output.session(&capability.retain(0)).give_iterator(events.into_iter());
                    definitions_output.session(&capability.retain(1)).give_iterator(definitions.into_iter());
                    read_output.session(&capability.retain(3)).give(read);
                }
            });
        }
    });
    Decoded { events, definitions, rates, read }
}

/// The rates among events.
pub fn rates_of(batches: &[Arc<EventBatch>]) -> Vec<RateRecord> {
    let events = batches.iter().flat_map(|batch| batch.iter());
    events.filter_map(|event| RateRecord::of(&event)).collect()
}

/// The pure core: records in, batches by lane and owner out.
pub struct Decoder {
    rules: DecodeRules,
    pool: BatchPool,
    gathered: Gathered,
    definitions: Vec<DefinitionRecord>,
    newest: Option<Timestamp>,
    /// A bare payload was read, whose ingest time only its event knows.
    has_bare: bool,
}

/// Takes what a mapper makes of one record after another.
struct Gathered {
    topics: Arc<Topics>,
    workers: usize,
    lane: u16,
    /// By lane, then owner.
    batches: Vec<EventBatch>,
    dead_letters: Vec<(Coordinates, DeadLetterRow)>,
    counters: Counters,
}

impl Decoder {
    /// Nothing decoded yet.
    pub fn new(rules: DecodeRules) -> Self {
        let pool = BatchPool::default();
        let gathered = Gathered {
            topics: rules.topics.clone(),
            workers: rules.workers,
            lane: 0,
            batches: empty_batches(&rules, &pool),
            dead_letters: Vec::new(),
            counters: Counters::default(),
        };
        Decoder { rules, pool, gathered, definitions: Vec::new(), newest: None, has_bare: false }
    }

    /// Decodes every record of `chunk`.
    pub fn decode(&mut self, chunk: &dyn Chunk) {
        chunk.for_each(&mut |record| {
            self.newest = self.newest.max(record.timestamp);
            self.has_bare |= record.timestamp.is_none();
            match &mut self.rules.roles[usize::from(record.topic.0)] {
                TopicRole::Events(mapper) => {
                    let lane = owner(record.topic, record.partition, usize::from(self.rules.lanes));
                    self.gathered.lane = u16::try_from(lane).expect("fewer lanes than 65,536");
                    mapper.decode(record, &mut self.gathered);
                }
                TopicRole::Definitions => self.definitions.push(definition(record)),
                TopicRole::Clock => {}
            }
        });
        for definition in chunk.definitions() {
            self.newest = self.newest.max(Some(definition.ingest_time));
            self.definitions.push(definition);
        }
        self.newest = self.newest.max(chunk.decoded(&mut self.gathered));
    }

    /// What was decoded since the last call.
    pub fn take(&mut self) -> (Vec<Arc<EventBatch>>, Vec<DefinitionRecord>, Read) {
        let next = empty_batches(&self.rules, &self.pool);
        let batches = std::mem::replace(&mut self.gathered.batches, next);
        if std::mem::take(&mut self.has_bare) {
            let ingested = batches.iter().flat_map(EventBatch::iter).map(|event| event.ingest_time);
            self.newest = self.newest.max(ingested.max());
        }
        let batches = batches.into_iter().filter(|batch| !batch.is_empty()).map(Arc::new).collect();
        let read = Read {
            counters: std::mem::take(&mut self.gathered.counters),
            dead_letters: std::mem::take(&mut self.gathered.dead_letters),
            newest: self.newest.take(),
        };
        (batches, std::mem::take(&mut self.definitions), read)
    }
}

impl DecodeSink for Gathered {
    fn batch(&mut self, player_hash: u64) -> &mut EventBatch {
        self.counters.read += 1;
        let owner = KeyGroup::of(player_hash).worker(self.workers);
        &mut self.batches[usize::from(self.lane) * self.workers + owner]
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.counters.read += 1;
        *self.counters.dead_letters.entry(refusal.reason).or_default() += 1;
        let Refusal { reason, detail, at, ingest_time, player_id, raw, raw_bytes } = refusal;
        let raw_base64 = raw_bytes.map(|bytes| STANDARD.encode(bytes));
        let ingest_time = ingest_time.unwrap_or_default();
        let place = Place::new(&self.topics, at);
        let (index, truncated) = (at.index, false);
        let row = DeadLetterRow { reason, detail, place, index, ingest_time, player_id, raw, raw_base64, truncated };
        self.dead_letters.push((at, row));
    }
}

fn empty_batches(rules: &DecodeRules, pool: &BatchPool) -> Vec<EventBatch> {
    let owners = |lane| (0..rules.workers).map(move |worker| pool.batch(worker, lane));
    (0..rules.lanes).flat_map(owners).collect()
}

/// Which of `owners` (workers that read, lanes of the lake) a partition belongs to. A lane does not depend
/// on who reads, so cuts survive another number of workers.
pub fn owner(topic: TopicId, partition: i32, owners: usize) -> usize {
    let spread = usize::from(topic.0) + usize::try_from(partition).unwrap_or(0);
    spread % owners
}

fn definition(record: &Record<'_>) -> DefinitionRecord {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    DefinitionRecord {
        at: record.coordinates(0),
        ingest_time: record.timestamp.unwrap_or_default(),
        key: record.key.map(text).unwrap_or_default(),
        text: record.value.map(text),
        was_refused: false,
    }
}
