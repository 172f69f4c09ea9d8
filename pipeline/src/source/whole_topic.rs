//! A topic read from its beginning to where it ends now, for commands that look at one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;
use datasets::Topics;
use sinks::kafka::Connection;

use super::kafka::{ConsumerConfig, KafkaConsumer, Position, Record, SourceError};
use super::kafka_cluster::KafkaCluster;

/// Most messages that are taken at once.
const AT_ONCE: usize = 4096;

/// Gives every record of `topic` that is there now to `each`, those of a partition in their order. Answers where the
/// partitions begin.
///
/// # Errors
/// A topic that does not exist or cannot be read, and what `each` answers.
pub fn read_whole_topic(
    connection: &Connection,
    (group, topic): (&str, &str),
    cluster: &KafkaCluster,
    mut each: impl FnMut(&Record<'_>) -> Result<(), String>,
) -> Result<Vec<Position>, String> {
    let failed = |error: SourceError| crate::chain(&error);
    let topics = Topics::new([topic]);
    let id = topics.id(topic).expect("the only one");
    let (mut begins, mut ends) = (Vec::new(), BTreeMap::new());
    for partition in cluster.partitions(topic).map_err(failed)? {
        let (low, end) = cluster.watermarks(topic, partition).map_err(failed)?;
        begins.push(Position { topic: id, partition, offset: low });
        if low < end {
            ends.insert(partition, end);
        }
    }
    let (bell, rung) = bounded(1);
    let wake = Arc::new(move || {
        // A bell that is rung already is enough.
        let _ = bell.try_send(());
    });
    let mut consumer = KafkaConsumer::new(connection, &ConsumerConfig::new(group), &topics, wake).map_err(failed)?;
    consumer.assign(&begins).map_err(failed)?;
    while !ends.is_empty() {
        let chunk = consumer.poll(AT_ONCE).map_err(failed)?;
        for record in chunk.records() {
            each(&record)?;
            ends.retain(|known, end| *known != record.partition() || record.offset() + 1 < *end);
        }
        for end in chunk.ends() {
            ends.retain(|partition, known| *partition != end.partition || end.offset < *known);
        }
        if chunk.is_empty() {
            // Disconnected never: the consumer holds the bell.
            let _ = rung.recv_timeout(Duration::from_millis(100));
        }
    }
    Ok(begins)
}
