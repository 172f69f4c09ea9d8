//! What there is to read, beside the data path: it may block, so it is called from its own thread.

use std::time::Duration;

use datasets::rows::Binding;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;
use sinks::kafka::{Connection, serve_events};

use super::kafka::{ConsumerConfig, SourceError, client};
use super::queue::Client;

/// The longest that one question to the brokers waits for its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Topics, partitions and their ends.
pub struct KafkaCluster {
    client: Client,
}

impl KafkaCluster {
    /// Waits until the brokers answer.
    ///
    /// # Errors
    /// [`SourceError::Unreachable`] when they do not within [`Connection::startup_timeout`].
    pub fn connect(connection: &Connection, config: &ConsumerConfig) -> Result<Self, SourceError> {
        let cluster = KafkaCluster { client: client(connection, config)? };
        connection.retry("reach the brokers", |timeout| {
            let cluster_id = cluster.client.client().fetch_cluster_id(timeout);
            serve_events(&cluster.client);
            cluster_id.map(drop).ok_or(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown))
        })?;
        Ok(cluster)
    }

    /// The partitions of `topic`, sorted. Asked again and again, it finds new ones.
    ///
    /// # Errors
    /// [`SourceError::NoTopic`] when the topic does not exist (yet).
    pub fn partitions(&self, topic: &str) -> Result<Vec<i32>, SourceError> {
        let metadata = self.client.fetch_metadata(Some(topic), PATIENCE).inspect_err(|_| serve_events(&self.client))?;
        let absent = || SourceError::NoTopic(topic.to_owned());
        let found = metadata.topics().iter().find(|found| found.name() == topic).ok_or_else(absent)?;
        match found.error().map(RDKafkaErrorCode::from) {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Err(absent()),
            Some(error) => Err(KafkaError::MetadataFetch(error).into()),
            None => {
                let mut partitions: Vec<i32> = found.partitions().iter().map(|partition| partition.id()).collect();
                partitions.sort_unstable();
                Ok(partitions)
            }
        }
    }

    /// The first offset of a partition and its end: under [`Isolation::ReadCommitted`] the last stable
    /// offset, below which everything is decided.
    ///
    /// [`Isolation::ReadCommitted`]: super::Isolation::ReadCommitted
    pub fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64), SourceError> {
        Ok(self.client.fetch_watermarks(topic, partition, PATIENCE).inspect_err(|_| serve_events(&self.client))?)
    }

    /// Writes how far the pipeline has committed to its consumer group, for tools that show lag. Waits for the answer,
    /// and for brokers that are away. Nothing depends on it: recovery reads the progress topic.
    ///
    /// # Errors
    /// Offsets that did not get there: the client gives up what is under way when their coordinator goes away.
    pub fn publish_offsets<'a>(&self, uppers: impl IntoIterator<Item = &'a Binding>) -> KafkaResult<()> {
        let mut offsets = TopicPartitionList::new();
        for binding in uppers {
            offsets.add_partition_offset(&binding.topic, binding.partition, Offset::Offset(binding.upper))?;
        }
        let published = self.client.commit(&offsets, CommitMode::Sync);
        serve_events(&self.client);
        published
    }
}
