//! Where records come from.
//!
//! - [`KafkaConsumer`]: the partitions of one worker, polled in batches, never blocking.
//! - [`KafkaCluster`]: what there is to read: topics, partitions, their ends; beside the data path.

mod kafka;
mod kafka_cluster;
mod queue;

pub use kafka::{Chunk, ConsumerConfig, Isolation, KafkaConsumer, PartitionEnd, Position, Record, SourceError, Wake};
pub use kafka_cluster::KafkaCluster;
