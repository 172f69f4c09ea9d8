//! Records as Kafka's client holds them, or as a replay keeps them, for decoding.

use datasets::mapping::{Headers, Record};
use datasets::{Timestamp, TopicId};
use operators::decode;
use operators::definitions::DefinitionRecord;

use crate::source;

/// Records where Kafka's client put them.
pub struct LiveChunk(source::Chunk);

impl LiveChunk {
    /// All records of `chunk`.
    pub fn new(chunk: source::Chunk) -> Self {
        LiveChunk(chunk)
    }
}

impl decode::Chunk for LiveChunk {
    fn for_each(&self, each: &mut dyn FnMut(&Record<'_>)) {
        for record in self.0.records() {
            each(&Record {
                topic: record.topic(),
                partition: record.partition(),
                offset: record.offset(),
                timestamp: record.timestamp(),
                key: record.key(),
                headers: &KafkaHeaders(record),
                value: record.value(),
            });
        }
    }
}

struct KafkaHeaders<'a>(source::Record<'a>);

impl Headers for KafkaHeaders<'_> {
    fn last(&self, name: &str) -> Option<&[u8]> {
        self.0.header(name)
    }
}

/// A record that outlives the chunk it was read in.
pub struct OwnedRecord {
    pub(super) topic: TopicId,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp: Option<Timestamp>,
    record_key: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
    value: Option<Vec<u8>>,
}

impl OwnedRecord {
    /// A copy of `record`.
    pub fn of(record: &source::Record<'_>) -> Self {
        let headers = record.headers().filter_map(|(name, value)| {
            // A name that is no UTF-8 cannot be configured, and a null value is as good as none.
            Some((String::from_utf8(name.to_vec()).ok()?, value?.to_vec()))
        });
        OwnedRecord {
            topic: record.topic(),
            partition: record.partition(),
            offset: record.offset(),
            timestamp: record.timestamp(),
            record_key: record.key().map(<[u8]>::to_vec),
            headers: headers.collect(),
            value: record.value().map(<[u8]>::to_vec),
        }
    }

    /// Its partition.
    pub fn key(&self) -> (TopicId, i32) {
        (self.topic, self.partition)
    }
}

/// What was kept.
#[derive(Default)]
pub struct StoredChunk {
    /// Records.
    pub records: Vec<OwnedRecord>,
    /// Definitions of the log.
    pub definitions: Vec<DefinitionRecord>,
}

impl decode::Chunk for StoredChunk {
    fn for_each(&self, each: &mut dyn FnMut(&Record<'_>)) {
        for record in &self.records {
            each(&Record {
                topic: record.topic,
                partition: record.partition,
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.record_key.as_deref(),
                headers: &record.headers,
                value: record.value.as_deref(),
            });
        }
    }

    fn definitions(&self) -> Vec<DefinitionRecord> {
        self.definitions.clone()
    }
}
