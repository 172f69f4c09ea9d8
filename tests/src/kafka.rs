//! Topics as a test fills and reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::oracle::Sent;
use crate::play::{Batch, Play};
use crate::stack::{PATIENCE, wait_for};

/// Where a broker keeps what it knows of transactional ids: a record for each change, without a value for one that it
/// has forgotten.
const TRANSACTION_STATE: &str = "__transaction_state";

/// A message as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its partition.
    pub partition: i32,
    /// Its key.
    pub key: Option<String>,
    /// Its value.
    pub value: String,
}

fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

fn admin<T>(
    brokers: &str,
    act: impl AsyncFnOnce(&AdminClient<DefaultClientContext>, &AdminOptions) -> Result<T, KafkaError>,
) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let client: AdminClient<DefaultClientContext> = client(brokers).create().unwrap();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
    runtime.block_on(act(&client, &options)).unwrap()
}

/// Creates a topic that keeps records of any age.
pub fn create_topic(brokers: &str, name: &str, partitions: i32, policy: &str) {
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let topic = topic.set("cleanup.policy", policy).set("retention.ms", "-1");
    let created = admin(brokers, async |client, options| client.create_topics([&topic], options).await);
    created[0].as_ref().unwrap();
}

/// Gives a topic more partitions: `partitions` in all.
pub fn add_partitions(brokers: &str, name: &str, partitions: usize) {
    let more = NewPartitions::new(name, partitions);
    let created = admin(brokers, async |client, options| client.create_partitions([&more], options).await);
    created[0].as_ref().unwrap();
}

/// Removes records below `offset`, as retention does.
pub fn delete_records(brokers: &str, topic: &str, partition: i32, offset: Offset) {
    let mut below = TopicPartitionList::new();
    below.add_partition_offset(topic, partition, offset).unwrap();
    let deleted = admin(brokers, async |client, options| client.delete_records(&below, options).await);
    deleted.elements()[0].error().unwrap();
}

/// Deletes a topic and waits until it is gone.
pub fn delete_topic(brokers: &str, name: &str) {
    let deleted = admin(brokers, async |client, options| client.delete_topics(&[name], options).await);
    deleted[0].as_ref().unwrap();
    let watch = Watch::new(brokers, "e2e-gone");
    wait_for("the end of a topic", || (watch.partitions(name) == 0).then_some(()));
}

/// Produces in order, and knows when everything is acknowledged.
pub struct Producer(ThreadedProducer<DefaultProducerContext>);

impl Producer {
    /// Idempotent: records of a partition keep their order.
    pub fn new(brokers: &str) -> Self {
        let mut config = client(brokers);
        config.set("enable.idempotence", "true").set("linger.ms", "2").set("compression.type", "lz4");
        config.set("batch.size", "1000000").set("queue.buffering.max.messages", "500000");
        Producer(config.create().unwrap())
    }

    /// Hands a record to the producer.
    pub fn send(&self, topic: &str, partition: i32, key: &str, value: &[u8], timestamp_ms: i64) {
        let mut record = BaseRecord::to(topic).partition(partition).key(key).payload(value).timestamp(timestamp_ms);
        while let Err((error, back)) = self.0.send(record) {
            // Its own thread makes room.
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
            std::thread::yield_now();
            record = back;
        }
    }

    /// The same with a record of play.
    pub fn send_record(&self, topic: &str, record: &Sent) {
        let Sent { partition, ingest, key, value, .. } = record;
        self.send(topic, *partition, key, value, ingest / 1000);
    }

    /// Waits until the broker has everything.
    pub fn flush(&self) {
        self.0.flush(PATIENCE).unwrap();
    }
}

/// Produces batches of play, each in a transaction.
pub fn send_in_transactions<'a>(brokers: &str, topic: &str, play: &Play, batches: impl Iterator<Item = &'a Batch>) {
    let mut config = client(brokers);
    config.set("transactional.id", topic).set("linger.ms", "2");
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    let send = |record: &Sent, partition| {
        let Sent { ingest, key, value, .. } = record;
        let record = BaseRecord::to(topic).partition(partition).key(key).payload(value).timestamp(ingest / 1000);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    };
    for Batch { first, count, is_after_abort } in batches {
        let records = &play.sent[*first..first + count];
        if *is_after_abort {
            producer.begin_transaction().unwrap();
            (0..play.partitions()).for_each(|partition| send(&records[0], partition));
            producer.flush(PATIENCE).unwrap();
            producer.abort_transaction(PATIENCE).unwrap();
        }
        producer.begin_transaction().unwrap();
        records.iter().for_each(|record| send(record, record.partition));
        producer.commit_transaction(PATIENCE).unwrap();
    }
}

/// A transaction of nobody else's, with one record in the first partition of a topic.
pub struct OpenTransaction(BaseProducer);

impl OpenTransaction {
    /// Leaves it open.
    pub fn begin(brokers: &str, topic: &str) -> Self {
        let mut config = client(brokers);
        let producer: BaseProducer = config.set("transactional.id", format!("{topic}-open")).create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
        producer
            .send(BaseRecord::to(topic).partition(0).key("open").payload("open"))
            .map_err(|(error, _)| error)
            .unwrap();
        producer.flush(PATIENCE).unwrap();
        OpenTransaction(producer)
    }

    /// Ends it, as if it had not been.
    pub fn abort(self) {
        self.0.abort_transaction(PATIENCE).unwrap();
    }
}

fn consumer(brokers: &str, group: &str, isolation: &str) -> BaseConsumer {
    let mut config = client(brokers);
    config.set("group.id", group).set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    config.set("isolation.level", isolation).set("fetch.wait.max.ms", "10").set("check.crcs", "true");
    config.set("allow.auto.create.topics", "false").set("auto.offset.reset", "error");
    config.set("fetch.queue.backoff.ms", "1").create().unwrap()
}

/// Partitions of a topic, none while it does not exist.
fn partitions(consumer: &BaseConsumer, topic: &str) -> Vec<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10)).unwrap();
    metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect()
}

/// Reads what is committed in a topic while more is written.
pub struct Follower {
    consumer: BaseConsumer,
    partitions: Vec<i32>,
    ended: BTreeSet<i32>,
}

impl Follower {
    /// From the beginning of every partition. Waits until the topic exists.
    pub fn new(brokers: &str, topic: &str) -> Self {
        let consumer = consumer(brokers, "e2e-follower", "read_committed");
        let partitions = wait_for(&format!("topic {topic}"), || {
            Some(partitions(&consumer, topic)).filter(|partitions| !partitions.is_empty())
        });
        let mut assignment = TopicPartitionList::new();
        for partition in &partitions {
            assignment.add_partition_offset(topic, *partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&assignment).unwrap();
        Follower { consumer, partitions, ended: BTreeSet::new() }
    }

    /// The next message, if one comes soon.
    pub fn next(&mut self, patience: Duration) -> Option<Message> {
        match self.consumer.poll(patience)? {
            Ok(message) => {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("outputs are UTF-8");
                let partition = message.partition();
                self.ended.remove(&partition);
                Some(Message {
                    partition,
                    key: message.key().map(text),
                    value: message.payload().map(text).unwrap_or_default(),
                })
            }
            Err(KafkaError::PartitionEOF(partition)) => {
                self.ended.insert(partition);
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn is_at_end(&self) -> bool {
        self.ended.len() == self.partitions.len()
    }
}

/// Everything that is committed in a topic, in order within each partition.
pub fn read_all(brokers: &str, topic: &str) -> Vec<Message> {
    let mut follower = Follower::new(brokers, topic);
    let mut messages = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while !follower.is_at_end() {
        messages.extend(follower.next(Duration::from_millis(100)));
        assert!(Instant::now() < deadline, "{topic} has no end");
    }
    messages
}

/// Looks at topics from outside.
pub struct Watch {
    all: BaseConsumer,
    committed: BaseConsumer,
}

impl Watch {
    /// As a member of `group`, whose offsets it can tell.
    pub fn new(brokers: &str, group: &str) -> Self {
        let consumer = |isolation| consumer(brokers, group, isolation);
        Watch { all: consumer("read_uncommitted"), committed: consumer("read_committed") }
    }

    /// How many partitions a topic has.
    pub fn partitions(&self, topic: &str) -> usize {
        partitions(&self.all, topic).len()
    }

    /// The first offset of a partition that is still there.
    pub fn begin(&self, topic: &str, partition: i32) -> i64 {
        let (begin, _) = self.all.fetch_watermarks(topic, partition, Duration::from_secs(10)).unwrap();
        begin
    }

    /// The end of a partition; 0 while there is no such topic.
    pub fn end(&self, topic: &str, partition: i32) -> i64 {
        end(&self.all, topic, partition)
    }

    /// The end of what is decided of a partition: no open transaction lies below it.
    pub fn decided_end(&self, topic: &str, partition: i32) -> i64 {
        end(&self.committed, topic, partition)
    }

    /// The offsets that the group has committed, by partition; 0 where it has none.
    pub fn committed(&self, topic: &str, partitions: i32) -> Vec<i64> {
        let mut wanted = TopicPartitionList::new();
        for partition in 0..partitions {
            wanted.add_partition(topic, partition);
        }
        let committed = self.all.committed_offsets(wanted, Duration::from_secs(10)).unwrap();
        let offset = |partition| committed.find_partition(topic, partition).map(|found| found.offset());
        (0..partitions)
            .map(|partition| offset(partition).and_then(|offset| offset.to_raw()).unwrap_or(0).max(0))
            .collect()
    }
}

fn end(consumer: &BaseConsumer, topic: &str, partition: i32) -> i64 {
    if partitions(consumer, topic).is_empty() {
        return 0;
    }
    consumer.fetch_watermarks(topic, partition, Duration::from_secs(10)).map_or(0, |(_, end)| end)
}

/// The transactional ids that a broker knows whose name begins with `prefix`, by the log in which it keeps them: true
/// of one whose last commit or abort it has yet to write into the partitions.
pub fn transactional_ids(brokers: &str, prefix: &str) -> BTreeMap<String, bool> {
    const PREPARED: [u8; 2] = [2, 3];
    let consumer = consumer(brokers, "e2e-ids", "read_uncommitted");
    let mut assignment = TopicPartitionList::new();
    let mut unread: BTreeSet<i32> = partitions(&consumer, TRANSACTION_STATE).into_iter().collect();
    for partition in &unread {
        assignment.add_partition_offset(TRANSACTION_STATE, *partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut known = BTreeMap::new();
    while !unread.is_empty() {
        let message = match consumer.poll(PATIENCE).expect("records, or the end") {
            Ok(message) => message,
            Err(KafkaError::PartitionEOF(partition)) => {
                unread.remove(&partition);
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        // A version and a length, two bytes each.
        let id = message.key().and_then(|key| key.get(4..)).expect("every record is about an id");
        let id = String::from_utf8(id.to_vec()).expect("ids are UTF-8");
        match message.payload() {
            // Behind version, producer's id, epoch and timeout.
            Some(value) if id.starts_with(prefix) => known.insert(id, PREPARED.contains(&value[16])),
            _ => known.remove(&id),
        };
    }
    known
}
