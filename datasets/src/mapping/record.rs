//! What a mapper reads and where its results go.

use crate::{Coordinates, EventBatch, Reason, Timestamp, TopicId};

/// A record as the broker, or a file, holds it.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// Topic.
    pub topic: TopicId,
    /// Partition of the topic.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// The record's own timestamp: when the broker took it. A bare payload has none and is
    /// ingested at its own event time.
    pub timestamp: Option<Timestamp>,
    /// The key, if any.
    pub key: Option<&'a [u8]>,
    /// The headers; `&()` for none.
    pub headers: &'a dyn Headers,
    /// The value; a tombstone has none.
    pub value: Option<&'a [u8]>,
}

impl Record<'_> {
    /// The place of the record's `index`-th event.
    pub fn coordinates(&self, index: u32) -> Coordinates {
        Coordinates { topic: self.topic, partition: self.partition, offset: self.offset, index }
    }
}

/// The headers of a record, however its client holds them.
pub trait Headers {
    /// The value of the last header of this name: a producer that adds one means to override.
    fn last(&self, name: &str) -> Option<&[u8]>;
}

/// No headers.
impl Headers for () {
    fn last(&self, _name: &str) -> Option<&[u8]> {
        None
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for Vec<(N, V)> {
    fn last(&self, name: &str) -> Option<&[u8]> {
        self.iter().rev().find(|(known, _)| known.as_ref() == name).map(|(_, value)| value.as_ref())
    }
}

/// Takes what a record decodes to.
pub trait DecodeSink {
    /// The batch that the events of this player go to. One event is pushed to it before the next call.
    fn batch(&mut self, player_hash: u64) -> &mut EventBatch;

    /// Takes a refused record, or a refused item of an envelope.
    fn refuse(&mut self, refusal: Refusal);
}

/// An input that is no event, on its way to become a dead letter (DOMAIN §2, "Refused").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// The same for people: field, value, limit. Never holds a redacted value.
    pub detail: String,
    /// The record, and the place in its envelope.
    pub at: Coordinates,
    /// The record's timestamp; of a bare payload its event time, if that can be read.
    pub ingest_time: Option<Timestamp>,
    /// The player, if that much can be read.
    pub player_id: Option<String>,
    /// The record's value, redacted. Absent for a tombstone, and withheld from what does not parse.
    pub raw: Option<String>,
    /// A value that is no UTF-8, if `dead_letters.raw` allows.
    pub raw_bytes: Option<Vec<u8>>,
}
