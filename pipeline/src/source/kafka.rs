//! One worker's consumer: assigned partitions, polled in batches without waiting.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datasets::{Timestamp, TopicId, Topics};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;
use serde::{Deserialize, Serialize};
use sinks::kafka::{Connection, Unreachable};

pub use super::queue::Wake;
use super::queue::{Client, Message, MessageQueue, Messages, TopicHandle};

/// How a consumer reads.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// Names the pipeline to the brokers. Partitions are assigned by us, the group has no members.
    pub group_id: String,
    /// Whether records of open and aborted transactions are seen.
    pub isolation: Isolation,
    /// Most kilobytes fetched ahead of the worker: the memory that a worker which does not poll takes.
    pub fetch_ahead_kib: u32,
}

impl ConsumerConfig {
    /// The defaults for everything that has one.
    pub fn new(group_id: impl Into<String>) -> Self {
        ConsumerConfig { group_id: group_id.into(), isolation: Isolation::ReadCommitted, fetch_ahead_kib: 32 * 1024 }
    }
}

/// Which records of transactions are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Those of committed ones.
    ReadCommitted,
    /// All, as soon as they are written.
    ReadUncommitted,
}

impl Isolation {
    fn name(self) -> &'static str {
        match self {
            Isolation::ReadCommitted => "read_committed",
            Isolation::ReadUncommitted => "read_uncommitted",
        }
    }
}

/// The next offset to read of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Topic.
    pub topic: TopicId,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// The consumer had read everything below `offset` when the partition ended there. What is not a
/// record (markers of transactions, what they aborted, what compaction removed) takes offsets too:
/// this is the only sign of having passed it.
pub type PartitionEnd = Position;

/// Why the input cannot be read on.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SourceError {
    #[error(
        "{topic}-{partition}: the first offset needed is {offset}, the first available is {low}, the end is {high}: \
         records were deleted before they were read, or the topic was created anew"
    )]
    OffsetOutOfRange { topic: Arc<str>, partition: i32, offset: i64, low: i64, high: i64 },
    #[error(
        "{topic}-{partition}: the log of epochs has read up to offset {upper}, the end is {high}: the partition has lost \
         records, or the topic was created anew"
    )]
    Shortened { topic: Arc<str>, partition: i32, upper: i64, high: i64 },
    #[error("{topic}-{partition}, offset {offset}: {detail}")]
    Partition { topic: Arc<str>, partition: i32, offset: i64, detail: String },
    #[error("topic {0} does not exist")]
    NoTopic(String),
    #[error("the Kafka consumer failed")]
    Client(#[from] KafkaError),
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
}

/// A consumer of assigned partitions. What is not polled stays with the broker, beyond
/// [`ConsumerConfig::fetch_ahead_kib`]: flow control is not to poll.
pub struct KafkaConsumer {
    topics: Topics,
    /// Addresses of topic handles, as messages carry them.
    addresses: Arc<[(usize, TopicId)]>,
    handles: Vec<(TopicHandle, TopicId)>,
    assigned: BTreeSet<(TopicId, i32)>,
    said: Option<Instant>,
    queue: MessageQueue,
    client: Arc<Client>,
}

impl KafkaConsumer {
    /// A consumer without partitions. `wake` is called, from another thread, when there is something
    /// to poll after there was nothing: whoever is woken polls until a chunk is empty.
    pub fn new(
        connection: &Connection,
        config: &ConsumerConfig,
        topics: &Topics,
        wake: Wake,
    ) -> Result<Self, SourceError> {
        let client = Arc::new(client(connection, config)?);
        let mut queue = MessageQueue::new(Arc::clone(&client));
        queue.on_nonempty(wake);
        Ok(KafkaConsumer {
            topics: topics.clone(),
            addresses: Arc::new([]),
            handles: Vec::new(),
            assigned: BTreeSet::new(),
            said: None,
            queue,
            client,
        })
    }

    /// Reads these partitions from these offsets: adds new ones, moves those that it has. Chunks taken
    /// before are not affected; later ones hold nothing from before the move.
    pub fn assign(&mut self, positions: &[Position]) -> Result<(), SourceError> {
        let (mut added, mut moved) = (TopicPartitionList::new(), TopicPartitionList::new());
        for position in positions {
            let topic = self.topics.name(position.topic);
            let list = if self.assigned.contains(&(position.topic, position.partition)) {
                &mut moved
            } else {
                if !self.queue.forward(topic, position.partition) {
                    return Err(SourceError::NoTopic(topic.to_string()));
                }
                &mut added
            };
            list.add_partition_offset(topic, position.partition, Offset::Offset(position.offset))?;
        }
        self.know_topics(positions)?;
        if added.count() > 0 {
            self.client.incremental_assign(&added)?;
        }
        if moved.count() > 0 {
            let moved = self.client.seek_partitions(moved, Duration::from_secs(30))?;
            moved.elements().iter().try_for_each(|partition| partition.error())?;
        }
        self.assigned.extend(positions.iter().map(|position| (position.topic, position.partition)));
        Ok(())
    }

    fn know_topics(&mut self, positions: &[Position]) -> Result<(), SourceError> {
        for position in positions {
            if !self.handles.iter().any(|(_, topic)| *topic == position.topic) {
                let name = self.topics.name(position.topic);
                let handle =
                    TopicHandle::new(&self.client, name).ok_or_else(|| SourceError::NoTopic(name.to_string()))?;
                self.handles.push((handle, position.topic));
            }
        }
        self.addresses = self.handles.iter().map(|(handle, topic)| (handle.address(), *topic)).collect();
        Ok(())
    }

    /// Takes up to `max` records, without waiting.
    ///
    /// # Errors
    /// What cannot be read on: deleted offsets, corrupt records. Brokers that are away are no error:
    /// the client finds them again, and says so meanwhile.
    pub fn poll(&mut self, max: usize) -> Result<Chunk, SourceError> {
        loop {
            let (taken, chunk) = self.take(max)?;
            // Notices alone do not tell what lies behind them, and nobody is woken for it again.
            if taken == 0 || !chunk.is_empty() {
                return Ok(chunk);
            }
        }
    }

    /// An error if the partition ends below `position`, up to where it was read before. An end that a consumer met
    /// does not tell that for sure: a new leader may not know yet how much is committed.
    pub fn check_reaches(&self, position: Position) -> Result<(), SourceError> {
        let Position { topic, partition, offset: upper } = position;
        let topic = Arc::clone(self.topics.name(topic));
        match self.client.fetch_watermarks(&topic, partition, Duration::from_secs(5)) {
            Ok((_, high)) if high < upper => Err(SourceError::Shortened { topic, partition, upper, high }),
            // Brokers that are away are no error here either.
            _ => Ok(()),
        }
    }

    /// A chunk, and how many messages were taken for it, notices included.
    fn take(&mut self, max: usize) -> Result<(usize, Chunk), SourceError> {
        let mut messages = self.queue.poll(max);
        let taken = messages.len();
        let (mut ends, mut failed) = (Vec::new(), None);
        messages.retain(|message| {
            let Some(notice) = message.notice() else { return true };
            let at = self.position(&message);
            match notice {
                RDKafkaErrorCode::PartitionEOF => ends.push(at),
                _ if is_passing(notice) => self.say(at, &message),
                _ => failed = failed.take().or_else(|| Some((notice, at, text(&message)))),
            }
            false
        });
        // The client's own events: its log, its errors. Messages never come this way.
        match self.client.poll(Duration::ZERO) {
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error.into()),
            Some(Ok(message)) => unreachable!("{:?} came around its queue", message),
            Some(Err(_)) | None => {}
        }
        if let Some((notice, at, detail)) = failed {
            return Err(self.failure(notice, at, detail));
        }
        Ok((taken, Chunk { messages, ends, is_full: taken == max, addresses: Arc::clone(&self.addresses) }))
    }

    fn position(&self, message: &Message<'_>) -> Position {
        Position { topic: topic_of(&self.addresses, message), partition: message.partition(), offset: message.offset() }
    }

    fn say(&mut self, at: Position, message: &Message<'_>) {
        if self.said.is_none_or(|said| said.elapsed() > Duration::from_secs(5)) {
            self.said = Some(Instant::now());
            let topic = self.topics.name(at.topic);
            tracing::warn!(%topic, partition = at.partition, "kafka: {}", text(message));
        }
    }

    fn failure(&self, notice: RDKafkaErrorCode, at: Position, detail: String) -> SourceError {
        let topic = Arc::clone(self.topics.name(at.topic));
        let (partition, offset) = (at.partition, at.offset);
        let out_of_range = matches!(notice, RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange);
        // The worker ends here anyhow: it may wait for what makes the error clear.
        match self.client.fetch_watermarks(&topic, partition, Duration::from_secs(5)) {
            Ok((low, high)) if out_of_range => SourceError::OffsetOutOfRange { topic, partition, offset, low, high },
            _ => SourceError::Partition { topic, partition, offset, detail },
        }
    }
}

pub(super) fn client(connection: &Connection, config: &ConsumerConfig) -> Result<Client, SourceError> {
    let fetch_ahead = config.fetch_ahead_kib.to_string();
    let tuning = [
        ("fetch.wait.max.ms", "10"),
        // The client's default of 1000 halves throughput: it sleeps when its queue is full.
        ("fetch.queue.backoff.ms", "1"),
        ("queued.min.messages", "1000000"),
        ("queued.max.messages.kbytes", fetch_ahead.as_str()),
        ("fetch.error.backoff.ms", "100"),
        ("isolation.level", config.isolation.name()),
    ];
    let required = [
        ("group.id", config.group_id.as_str()),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("enable.partition.eof", "true"),
        // An offset that is not there is an error to stop at, never a place to jump from.
        ("auto.offset.reset", "error"),
        ("allow.auto.create.topics", "false"),
        ("check.crcs", "true"),
    ];
    Ok(connection.client(&tuning, &required).create_with_context(connection.context())?)
}

/// The partition goes on by itself once this is over. Everything else would lose records if ignored.
fn is_passing(notice: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        notice,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::NetworkException
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicOrPartition
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::ReplicaNotAvailable
            | Code::BrokerNotAvailable
            | Code::KafkaStorageError
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::TopicAuthorizationFailed
    )
}

fn text(notice: &Message<'_>) -> String {
    String::from_utf8_lossy(notice.value().unwrap_or_default()).into_owned()
}

fn topic_of(addresses: &[(usize, TopicId)], message: &Message<'_>) -> TopicId {
    let address = message.topic_address();
    let found = addresses.iter().find(|(known, _)| *known == address);
    found.expect("every assigned topic has a handle").1
}

/// Records that were taken together, freed when dropped.
pub struct Chunk {
    messages: Messages,
    ends: Vec<PartitionEnd>,
    is_full: bool,
    addresses: Arc<[(usize, TopicId)]>,
}

impl Chunk {
    /// How many records.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// As much was taken as was asked for: more may be there, and nobody is woken for it again. Notices were
    /// taken too, so the number of records does not tell.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// No records and no ends: there is nothing more to poll now.
    pub fn is_empty(&self) -> bool {
        self.messages.len() == 0 && self.ends.is_empty()
    }

    /// The records, those of a partition in order of offsets.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.messages.iter().map(|message| Record { message, topic: topic_of(&self.addresses, &message) })
    }

    /// Ends of partitions that were reached on the way. A record in this chunk at or beyond such an end
    /// was written after it.
    pub fn ends(&self) -> &[PartitionEnd] {
        &self.ends
    }
}

/// A record as it was read, borrowed from its chunk.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    message: Message<'a>,
    topic: TopicId,
}

impl<'a> Record<'a> {
    /// Topic.
    pub fn topic(&self) -> TopicId {
        self.topic
    }

    /// Partition.
    pub fn partition(&self) -> i32 {
        self.message.partition()
    }

    /// Offset.
    pub fn offset(&self) -> i64 {
        self.message.offset()
    }

    /// The ingest time; absent on records of a format that had none.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.message.timestamp_millis().map(Timestamp::from_millis)
    }

    /// The key, if not null.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.message.key()
    }

    /// The value, if not null: a record without one is a tombstone.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.message.value()
    }

    /// Names and values of the headers in order, parsed now. A name may come more than once, a value
    /// may be null.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        self.message.headers().map(|(name, value)| (name.to_bytes(), value))
    }

    /// The last header of this name, as Kafka's own clients look them up; `None` also for a null value.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().filter(|(found, _)| *found == name.as_bytes()).last().and_then(|(_, value)| value)
    }
}
