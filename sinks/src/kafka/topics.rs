//! The output topics: created where they are missing, checked where they are not.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::connection::{SharedContext, serve_events};
use super::{CommitterConfig, Connection};
use crate::SinkError;

/// What a broker allows where it does not let us ask: its default of 1 MiB.
const ASSUMED_MAX_MESSAGE_BYTES: usize = 1_048_588;

/// Creates missing topics and returns the size in bytes of the largest batch that all of them take.
pub(super) fn ensure(config: &CommitterConfig, reader: &BaseConsumer<SharedContext>) -> Result<usize, SinkError> {
    let connection = &config.connection;
    let admin = Admin::connect(connection)?;
    for topic in config.topics.all() {
        let found =
            connection.retry("read the metadata of output topics", |timeout| partitions(reader, topic, timeout))?;
        if found.is_none() {
            create(config, &admin, topic)?;
            connection.retry("find the new output topics", |timeout| {
                partitions(reader, topic, timeout)?
                    .ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition))
            })?;
        }
    }
    check_progress(config, reader, &admin)?;
    let sizes = config.topics.all().map(|topic| admin.setting(topic, "max.message.bytes"));
    let sizes = sizes.map(|size| size.and_then(|size| size.parse::<usize>().ok()).unwrap_or(ASSUMED_MAX_MESSAGE_BYTES));
    Ok(sizes.min().unwrap_or(ASSUMED_MAX_MESSAGE_BYTES))
}

/// Removes what lies below `offset` in the only partition of `topic`.
pub(super) fn remove_below(connection: &Connection, topic: &str, offset: i64) -> Result<(), SinkError> {
    let admin = Admin::connect(connection)?;
    connection.retry(&format!("remove what lies below offset {offset} in topic {topic}"), |timeout| {
        admin.remove_below(topic, offset, timeout)
    })?;
    Ok(())
}

fn create(config: &CommitterConfig, admin: &Admin, topic: &str) -> Result<(), SinkError> {
    let replication = TopicReplication::Fixed(config.replication.unwrap_or(-1));
    let new = if topic == config.topics.progress {
        NewTopic::new(topic, 1, replication)
            .set("cleanup.policy", "delete")
            .set("retention.ms", "-1")
            .set("retention.bytes", "-1")
    } else {
        let new = NewTopic::new(topic, config.partitions, replication);
        if config.topics.is_compacted(topic) { new.set("cleanup.policy", "compact") } else { new }
    };
    tracing::info!(topic, partitions = new.num_partitions, "kafka: creating topic");
    config.connection.retry(&format!("create topic {topic}"), |timeout| admin.create(&new, timeout))?;
    Ok(())
}

/// The progress topic is the pipeline's memory: its order is that of one partition, and nothing may
/// remove its records by age, size or key.
fn check_progress(
    config: &CommitterConfig,
    reader: &BaseConsumer<SharedContext>,
    admin: &Admin,
) -> Result<(), SinkError> {
    let topic = &config.topics.progress;
    let count = config.connection.retry("read the metadata of the progress topic", |timeout| {
        partitions(reader, topic, timeout)?.ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition))
    })?;
    if count != 1 {
        return Err(SinkError::Conflict(format!(
            "the progress topic {topic} has {count} partitions: it needs exactly 1"
        )));
    }
    for (setting, needed) in [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")] {
        match admin.setting(topic, setting) {
            None => tracing::warn!(topic, setting, needed, "kafka: may not read a setting of the progress topic"),
            Some(found) if found == needed => {}
            Some(found) => {
                return Err(SinkError::Conflict(format!(
                    "the progress topic {topic} has {setting}={found}, which would lose the pipeline's state: set it to {needed}"
                )));
            }
        }
    }
    Ok(())
}

/// How many partitions `topic` has; `None` when there is no such topic. A consumer's request for
/// metadata creates no topic, an admin client's would.
pub(super) fn partitions(
    reader: &BaseConsumer<SharedContext>,
    topic: &str,
    timeout: Duration,
) -> KafkaResult<Option<usize>> {
    let metadata = reader.fetch_metadata(Some(topic), timeout).inspect_err(|_| serve_events(reader))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    match found.map(|found| (found.error().map(RDKafkaErrorCode::from), found.partitions().len())) {
        None | Some((Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic), _)) => Ok(None),
        Some((Some(error), _)) => Err(KafkaError::MetadataFetch(error)),
        Some((None, 0)) => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::LeaderNotAvailable)),
        Some((None, partitions)) => Ok(Some(partitions)),
    }
}

/// The admin client, called from threads without an executor.
struct Admin {
    client: AdminClient<SharedContext>,
    runtime: tokio::runtime::Runtime,
}

impl Admin {
    fn connect(connection: &Connection) -> Result<Self, SinkError> {
        let refused =
            |error: KafkaError| SinkError::Rejected("cannot set up the Kafka admin client".into(), error.into());
        let config = connection.client(&[], &[]);
        let client = AdminClient::from_config_and_context(&config, connection.context()).map_err(refused)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| SinkError::Rejected("cannot set up the Kafka admin client".into(), error.into()))?;
        Ok(Admin { client, runtime })
    }

    fn create(&self, topic: &NewTopic<'_>, timeout: Duration) -> KafkaResult<()> {
        let options = AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
        let results = self.runtime.block_on(self.client.create_topics([topic], &options))?;
        for result in results {
            match result {
                // Another instance was faster.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(KafkaError::Global(code)),
            }
        }
        Ok(())
    }

    fn remove_below(&self, topic: &str, offset: i64, timeout: Duration) -> KafkaResult<()> {
        let options = AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
        let mut below = TopicPartitionList::new();
        below.add_partition_offset(topic, 0, Offset::Offset(offset))?;
        let removed = self.runtime.block_on(self.client.delete_records(&below, &options))?;
        removed.elements().iter().try_for_each(|partition| partition.error())
    }

    /// The effective value of a topic's setting; `None` where the broker does not tell.
    fn setting(&self, topic: &str, name: &str) -> Option<String> {
        let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(10)));
        let asked = [ResourceSpecifier::Topic(topic)];
        let results = self.runtime.block_on(self.client.describe_configs(&asked, &options));
        match results {
            Ok(results) => {
                let resource = results.into_iter().next()?.ok()?;
                resource.get(name)?.value.clone()
            }
            Err(error) => {
                tracing::debug!(topic, %error, "kafka: may not read the topic's settings");
                None
            }
        }
    }
}
