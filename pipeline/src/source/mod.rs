//! Where records come from.
//!
//! - [`KafkaConsumer`]: the partitions of one worker, polled in batches, never blocking.
//! - [`read_whole_topic`]: a topic to its end, for commands that look at one.
//! - [`KafkaCluster`]: what there is to read: topics, partitions, their ends; beside the data path.

mod kafka;
mod kafka_cluster;
mod queue;
mod whole_topic;

pub use kafka::{Chunk, ConsumerConfig, Isolation, KafkaConsumer, PartitionEnd, Position, Record, SourceError, Wake};
pub use kafka_cluster::KafkaCluster;
pub use whole_topic::read_whole_topic;
