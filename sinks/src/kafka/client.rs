//! The brokers through librdkafka, as a start needs them.

use std::ops::Range;
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::broker::{Cluster, Each, Isolation};
use super::connection::{SharedContext, serve_events};
use super::producer::TransactionalProducer;
use super::{CommitterConfig, Compression, Connection, topics};
use crate::SinkError;

/// A connection for one start.
pub(super) struct Client<'a> {
    config: &'a CommitterConfig,
    /// Also for metadata.
    uncommitted: BaseConsumer<SharedContext>,
    committed: BaseConsumer<SharedContext>,
}

impl<'a> Client<'a> {
    pub fn new(config: &'a CommitterConfig) -> Result<Self, SinkError> {
        let uncommitted = reader(&config.connection, &config.pipeline, "read_uncommitted")?;
        let committed = reader(&config.connection, &config.pipeline, "read_committed")?;
        Ok(Client { config, uncommitted, committed })
    }
}

impl Cluster for Client<'_> {
    type Producer = TransactionalProducer;

    fn ensure_topics(&self) -> Result<usize, SinkError> {
        topics::ensure(self.config, &self.uncommitted)
    }

    /// All at once: each takes a few round trips.
    fn take_over(&self, ids: Vec<String>, max_batch: usize) -> Result<Vec<TransactionalProducer>, SinkError> {
        let connection = &self.config.connection;
        let settings = &producer_settings(self.config, max_batch);
        let take_over = |id: String| {
            let producer = TransactionalProducer::create(connection, settings, id.clone())
                .map_err(|error| SinkError::Rejected("cannot set up a Kafka producer".into(), error.into()))?;
            connection.retry(&format!("initialise the transactional id {id}"), |timeout| producer.fence(timeout))?;
            Ok(producer)
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = ids.into_iter().map(|id| scope.spawn(move || take_over(id))).collect();
            threads.into_iter().map(|thread| thread.join().expect("fencing does not panic")).collect()
        })
    }

    fn offsets(&self, isolation: Isolation) -> Result<Range<i64>, SinkError> {
        let topic = &self.config.topics.progress;
        let consumer = match isolation {
            Isolation::Uncommitted => &self.uncommitted,
            // A read_committed client is told the last stable offset as the end.
            Isolation::Committed => &self.committed,
        };
        let (start, end) = self.config.connection.retry(&format!("read the ends of topic {topic}"), |timeout| {
            consumer.fetch_watermarks(topic, 0, timeout).inspect_err(|_| serve_events(consumer))
        })?;
        Ok(start..end)
    }

    fn read_committed(&self, start: i64, each: Each<'_>) -> Result<(), SinkError> {
        let topic = &self.config.topics.progress;
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(topic, 0, Offset::Offset(start))
            .and_then(|()| self.committed.assign(&assignment))
            .map_err(|error| unreadable(topic, error))?;
        let mut silence = Instant::now();
        loop {
            match self.committed.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    silence = Instant::now();
                    each(message.offset(), message.payload().unwrap_or_default())?;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) if is_lasting(&error) => return Err(unreadable(topic, error)),
                // The client reconnects by itself, and says so.
                Some(Err(_)) | None if silence.elapsed() < self.config.connection.startup_timeout => {}
                Some(Err(error)) => return Err(unreadable(topic, error)),
                None => return Err(unreadable(topic, KafkaError::NoMessageReceived)),
            }
        }
    }

    fn remove_below(&self, offset: i64) -> Result<(), SinkError> {
        topics::remove_below(&self.config.connection, &self.config.topics.progress, offset)
    }

    /// Offsets alone do not tell: markers of transactions take some too, and so does what was aborted.
    fn holds_records(&self, topic: &str) -> Result<bool, SinkError> {
        let (connection, reader) = (&self.config.connection, &self.committed);
        let unreadable =
            |error: KafkaError| SinkError::Rejected(format!("cannot look into the topic {topic}"), error.into());
        let found = connection
            .retry("read the metadata of output topics", |timeout| topics::partitions(reader, topic, timeout))?;
        let mut unread = found.unwrap_or(0);
        let mut assignment = TopicPartitionList::new();
        for partition in (0..).take(unread) {
            assignment.add_partition_offset(topic, partition, Offset::Beginning).map_err(unreadable)?;
        }
        reader.assign(&assignment).map_err(unreadable)?;
        let mut silence = Instant::now();
        while unread > 0 {
            match reader.poll(Duration::from_millis(100)) {
                Some(Ok(_)) => return Ok(true),
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    unread -= 1;
                    silence = Instant::now();
                }
                // The client reconnects by itself, and says so.
                Some(Err(_)) | None if silence.elapsed() < connection.startup_timeout => {}
                Some(Err(error)) => return Err(unreadable(error)),
                None => return Err(unreadable(KafkaError::NoMessageReceived)),
            }
        }
        Ok(false)
    }

    fn pause(&self, pause: Duration) {
        std::thread::sleep(pause);
    }
}

fn producer_settings(config: &CommitterConfig, max_batch: usize) -> ClientConfig {
    let compression = match config.compression {
        Compression::None => "none",
        Compression::Lz4 => "lz4",
    };
    let timeout = config.transaction_timeout.as_millis().to_string();
    let tuning = [
        ("linger.ms", "0"),
        // Every step of a transaction that must be repeated waits this long first.
        ("retry.backoff.ms", "1"),
        ("compression.type", compression),
        // As Java clients partition, so that their joins by player find our partitions.
        ("partitioner", "murmur2_random"),
        ("queue.buffering.max.messages", "1000000"),
    ];
    let message_max = (max_batch - super::committer::batch_overhead(max_batch) / 2).to_string();
    let required = [
        ("enable.idempotence", "true"),
        ("acks", "all"),
        ("transaction.timeout.ms", timeout.as_str()),
        ("message.max.bytes", message_max.as_str()),
    ];
    config.connection.client(&tuning, &required)
}

/// A consumer for one purpose: metadata, ends, or reading the log.
pub(super) fn reader(
    connection: &Connection,
    group_id: &str,
    isolation: &str,
) -> Result<BaseConsumer<SharedContext>, SinkError> {
    let tuning = [("fetch.wait.max.ms", "10"), ("fetch.queue.backoff.ms", "1")];
    let required = [
        ("group.id", group_id),
        ("isolation.level", isolation),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("enable.partition.eof", "true"),
        ("auto.offset.reset", "error"),
        ("allow.auto.create.topics", "false"),
        ("check.crcs", "true"),
    ];
    connection
        .client(&tuning, &required)
        .create_with_context(connection.context())
        .map_err(|error| SinkError::Rejected("cannot set up a Kafka consumer".into(), Box::new(error)))
}

fn is_lasting(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || matches!(
            error.rdkafka_error_code(),
            Some(
                Code::AutoOffsetReset
                    | Code::OffsetOutOfRange
                    | Code::BadMessage
                    | Code::BadCompression
                    | Code::TopicAuthorizationFailed
                    | Code::GroupAuthorizationFailed
                    | Code::UnknownTopicOrPartition
                    | Code::LogTruncation
            )
        )
}

fn unreadable(topic: &str, error: KafkaError) -> SinkError {
    SinkError::Rejected(format!("cannot read the progress topic {topic}"), error.into())
}
