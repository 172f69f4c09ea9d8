//! Single records, by their places.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use datasets::{TopicId, Topics};
use sinks::kafka::Connection;

use crate::source::{ConsumerConfig, KafkaCluster, KafkaConsumer, Position, Record, SourceError};

/// How long brokers may take for a record.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads single records.
pub(super) struct Fetcher<'a> {
    connection: &'a Connection,
    group: &'a str,
    cluster: &'a KafkaCluster,
    open: BTreeMap<(String, i32), Open>,
}

/// A partition that is read, with the first offset that it has and its end.
struct Open {
    consumer: KafkaConsumer,
    rung: Receiver<()>,
    topic: TopicId,
    bounds: (i64, i64),
}

impl<'a> Fetcher<'a> {
    pub fn new(connection: &'a Connection, group: &'a str, cluster: &'a KafkaCluster) -> Self {
        Fetcher { connection, group, cluster, open: BTreeMap::new() }
    }

    /// What `take` makes of the record at this place; `None` if there is none, or not any more.
    ///
    /// # Errors
    /// A topic or partition that does not exist or cannot be read.
    pub fn fetch<T>(
        &mut self,
        topic: &str,
        (partition, offset): (i32, i64),
        take: impl Fn(&Record<'_>) -> T,
    ) -> Result<Option<T>, String> {
        let key = (topic.to_owned(), partition);
        if !self.open.contains_key(&key) {
            let open = self.open(topic, partition)?;
            self.open.insert(key.clone(), open);
        }
        let open = self.open.get_mut(&key).expect("it was just opened");
        if offset < open.bounds.0 || offset >= open.bounds.1 {
            return Ok(None);
        }
        let failed = |error: SourceError| crate::chain(&error);
        open.consumer.assign(&[Position { topic: open.topic, partition, offset }]).map_err(failed)?;
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let chunk = open.consumer.poll(1).map_err(failed)?;
            // Offsets have gaps: the first record at or behind the place tells.
            if let Some(record) = chunk.records().next() {
                return Ok((record.offset() == offset).then(|| take(&record)));
            }
            if chunk.ends().iter().any(|end| end.offset > offset) {
                return Ok(None);
            }
            // Disconnected never: the consumer holds the bell.
            let _ = open.rung.recv_timeout(Duration::from_millis(100));
        }
        Err(format!("{topic}-{partition}: offset {offset} was not read within {PATIENCE:?}"))
    }

    fn open(&self, topic: &str, partition: i32) -> Result<Open, String> {
        let failed = |error: SourceError| crate::chain(&error);
        if !self.cluster.partitions(topic).map_err(failed)?.contains(&partition) {
            return Err(format!("{topic} has no partition {partition}"));
        }
        let bounds = self.cluster.watermarks(topic, partition).map_err(failed)?;
        let topics = Topics::new([topic]);
        let (bell, rung) = bounded(1);
        let wake = Arc::new(move || {
            // A bell that is rung already is enough.
            let _ = bell.try_send(());
        });
        let config = ConsumerConfig { fetch_ahead_kib: 1024, ..ConsumerConfig::new(self.group) };
        let consumer = KafkaConsumer::new(self.connection, &config, &topics, wake).map_err(failed)?;
        let topic = topics.id(topic).expect("the only one");
        Ok(Open { consumer, rung, topic, bounds })
    }
}
