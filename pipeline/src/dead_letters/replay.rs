//! Records that were refused, given in again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use datasets::{Reason, Timestamp};
use rdkafka::client::ClientContext;
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use serde::Serialize;

use super::{DeadLetters, Letter, LetterId};
use crate::config::SourceConfig;

/// How long the brokers may take to acknowledge.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says of a record where its dead letter is.
const HEADER: &str = "questline-dead-letter";

/// A record that is to be given in again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The letter.
    pub id: LetterId,
    /// Where it goes.
    pub topic: String,
    /// The partition in which it was.
    pub partition: i32,
    key: Option<Vec<u8>>,
    value: Vec<u8>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

/// What was given in again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// The letter.
    pub id: LetterId,
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Its new offset; absent where it was only planned.
    pub offset: Option<i64>,
}

impl DeadLetters<'_> {
    /// The records behind `letters`, with another value for the one if there is one.
    ///
    /// # Errors
    /// Everything that keeps a record back; then none is to be given in.
    pub fn plan(&self, letters: &[Letter], value: Option<&[u8]>) -> Result<Vec<Planned>, Vec<String>> {
        let now = now();
        let mut fetcher = self.fetcher();
        let (mut planned, mut errors) = (Vec::new(), Vec::new());
        for Letter { id, row } in letters {
            let place = &row.place;
            let source =
                self.config.sources.iter().find(|source| source.topics.iter().any(|topic| **topic == *place.topic));
            let Some(source) = source else {
                errors.push(not_of_a_source(*id, row.reason, &place.topic));
                continue;
            };
            let taken = fetcher.fetch(&place.topic, (place.partition, place.offset), |record| {
                let headers = record
                    .headers()
                    .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.map(<[u8]>::to_vec)));
                (record.key().map(<[u8]>::to_vec), record.value().map(<[u8]>::to_vec), headers.collect::<Vec<_>>())
            });
            let (key, sent, headers) = match taken {
                Ok(Some(taken)) => taken,
                // Whoever writes the value anew may do without what is gone.
                Ok(None) if value.is_some() => (row.player_id.clone().map(String::into_bytes), None, Vec::new()),
                Ok(None) => {
                    errors.push(format!(
                        "{id}: {}-{} has no offset {} any more: write the value anew, with --value FILE",
                        place.topic, place.partition, place.offset
                    ));
                    continue;
                }
                Err(error) => {
                    errors.push(format!("{id}: {error}"));
                    continue;
                }
            };
            if value.is_none()
                && is_double(source, now.micros_since(row.ingest_time), self.config.identity.retention.micros())
            {
                errors.push(format!(
                    "{id}: its record is an envelope that is older than identity.retention: what was accepted of it would count \
                     again; give in the refused item alone, with --value FILE"
                ));
                continue;
            }
            let (topic, partition) = (place.topic.to_string(), place.partition);
            let value = value.map(<[u8]>::to_vec).or(sent).unwrap_or_default();
            planned.push(Planned { id: *id, topic, partition, key, value, headers });
        }
        if errors.is_empty() { Ok(planned) } else { Err(errors) }
    }

    /// Gives records in again, each to the partition in which it was, and waits until the brokers have them.
    ///
    /// # Errors
    /// What was not acknowledged; what was is told.
    pub fn replay(&self, planned: &[Planned]) -> Result<Vec<Replayed>, String> {
        let offsets = Arc::new(Mutex::new(Delivered::default()));
        let required = [("enable.idempotence", "true"), ("acks", "all")];
        let producer: ThreadedProducer<Delivering> = self
            .connection
            .client(&[], &required)
            .create_with_context(Delivering(offsets.clone()))
            .map_err(|error| format!("cannot produce to {}: {error}", self.connection.brokers))?;
        for (index, record) in planned.iter().enumerate() {
            let mut headers = OwnedHeaders::new();
            for (key, value) in record.headers.iter().filter(|(name, _)| name != HEADER) {
                headers = headers.insert(Header { key, value: value.as_deref() });
            }
            let letter = format!("{}:{}", self.topic, record.id);
            headers = headers.insert(Header { key: HEADER, value: Some(&letter) });
            let sent = BaseRecord::<[u8], [u8], Box<usize>>::with_opaque_to(&record.topic, Box::new(index));
            let sent = sent.partition(record.partition).payload(&record.value).headers(headers);
            let sent = match &record.key {
                Some(key) => sent.key(key),
                None => sent,
            };
            producer.send(sent).map_err(|(error, _)| format!("cannot produce to {}: {error}", record.topic))?;
        }
        producer.flush(PATIENCE).map_err(|error| format!("not acknowledged within {PATIENCE:?}: {error}"))?;
        drop(producer);
        let Delivered { offsets, failed } =
            std::mem::take(&mut *offsets.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some((index, error)) = failed {
            let id = planned[index].id;
            return Err(format!("{id} was not taken: {error}; {} of {} were", offsets.len(), planned.len()));
        }
        let replayed = planned.iter().enumerate().map(|(index, record)| Replayed {
            id: record.id,
            topic: record.topic.clone(),
            partition: record.partition,
            offset: offsets.get(&index).copied(),
        });
        Ok(replayed.collect())
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// The whole envelope is sent again, and its other items are not known any more to have been.
fn is_double(source: &SourceConfig, age: i64, retention: i64) -> bool {
    source.mapping.records.is_some() && age >= retention
}

fn not_of_a_source(id: LetterId, reason: Reason, topic: &str) -> String {
    match reason {
        Reason::InvalidDefinition => {
            format!("{id}: is a mission definition: put a better one in force with `missions apply`")
        }
        _ => format!("{id}: topic {topic:?} is none of this configuration's sources: the letter is another pipeline's"),
    }
}

/// What the brokers said.
#[derive(Default)]
struct Delivered {
    offsets: BTreeMap<usize, i64>,
    /// The first that was not taken.
    failed: Option<(usize, String)>,
}

#[derive(Clone)]
struct Delivering(Arc<Mutex<Delivered>>);

impl ClientContext for Delivering {}

impl ProducerContext for Delivering {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, index: Box<usize>) {
        let mut delivered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(message) => {
                delivered.offsets.insert(*index, message.offset());
            }
            Err((error, _)) => {
                delivered.failed.get_or_insert((*index, error.to_string()));
            }
        }
    }
}
