//! What a topic holds for a `read_committed` consumer, so that two programs' outputs can be compared.

use std::collections::BTreeSet;
use std::time::Duration;

use datasets::hash::fingerprint;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::json;

use crate::Outcome;
use crate::reader::bounds;

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(clap::Args)]
pub struct Tally {
    /// What is read, from its beginning to its end.
    #[arg(long, value_name = "TOPIC")]
    topic: String,
}

impl Tally {
    /// How many records, and a sum of their values' hashes that does not depend on their order.
    pub fn run(self, brokers: &str) -> Outcome {
        let (_, ends) = bounds(brokers, &self.topic)?;
        let mut open: BTreeSet<i32> = ends.iter().map(|end| end.partition).collect();
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "bench")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .create()?;
        let mut assigned = TopicPartitionList::new();
        for partition in &open {
            assigned.add_partition_offset(&self.topic, *partition, Offset::Beginning)?;
        }
        consumer.assign(&assigned)?;
        let (mut records, mut hash) = (0_u64, 0_u128);
        while !open.is_empty() {
            match consumer.poll(PATIENCE).ok_or("nothing came any more")? {
                Ok(record) => {
                    records += 1;
                    hash = hash.wrapping_add(fingerprint(record.payload().unwrap_or_default()));
                }
                Err(KafkaError::PartitionEOF(partition)) => drop(open.remove(&partition)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(json!({"records": records, "hash": format!("{hash:032x}")}))
    }
}
