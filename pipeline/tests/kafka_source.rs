//! The Kafka source against a real broker: every record once, and every end.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use datasets::rows::Binding;
use datasets::{Timestamp, TopicId, Topics};
use pipeline::source::{
    Chunk, ConsumerConfig, Isolation, KafkaCluster, KafkaConsumer, PartitionEnd, Position, SourceError,
};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sinks::kafka::Connection;

const PATIENCE: Duration = Duration::from_secs(30);

/// A broker, and names that no other test uses.
struct Fixture {
    brokers: String,
    name: String,
    runtime: tokio::runtime::Runtime,
}

impl Fixture {
    /// On the broker of `scripts/test`; without one the test says so and passes.
    fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let Ok(brokers) = std::env::var("QUESTLINE_BROKERS") else {
            eprintln!("skipped: needs a broker: scripts/test starts one");
            return None;
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let name = format!("s{since}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Some(Fixture { brokers, name, runtime })
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", &self.brokers).create().unwrap()
    }

    fn topic(&self, suffix: &str, partitions: i32) -> String {
        let name = format!("{}-{suffix}", self.name);
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        self.runtime.block_on(self.admin().create_topics([&topic], &AdminOptions::new())).unwrap();
        name
    }

    fn producer(&self) -> BaseProducer {
        ClientConfig::new().set("bootstrap.servers", &self.brokers).create().unwrap()
    }

    fn transactional(&self) -> BaseProducer {
        let id = format!("{}-transactions", self.name);
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).set("transactional.id", id).create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer
    }

    fn connection(&self) -> Connection {
        Connection::new(&self.brokers)
    }

    fn config(&self) -> ConsumerConfig {
        ConsumerConfig::new(&self.name)
    }

    fn consumer(&self, topics: &Topics) -> KafkaConsumer {
        let thread = std::thread::current();
        let wake = Arc::new(move || thread.unpark());
        KafkaConsumer::new(&self.connection(), &self.config(), topics, wake).unwrap()
    }

    fn cluster(&self) -> KafkaCluster {
        KafkaCluster::connect(&self.connection(), &self.config()).unwrap()
    }
}

fn at(topic: TopicId, partition: i32, offset: i64) -> Position {
    Position { topic, partition, offset }
}

/// A record, copied.
#[derive(Clone, Debug, PartialEq)]
struct Copied {
    at: Position,
    timestamp: Option<Timestamp>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn copied(chunk: &Chunk) -> Vec<Copied> {
    let copy = |bytes: &[u8]| bytes.to_vec();
    let records = chunk.records().map(|record| Copied {
        at: at(record.topic(), record.partition(), record.offset()),
        timestamp: record.timestamp(),
        key: record.key().map(copy),
        value: record.value().map(copy),
        headers: record.headers().map(|(name, value)| (copy(name), value.map(copy))).collect(),
    });
    let records: Vec<_> = records.collect();
    assert_eq!(records.len(), chunk.len());
    records
}

/// Polls until `done`, parked while there is nothing.
fn poll_until(
    consumer: &mut KafkaConsumer,
    max: usize,
    mut done: impl FnMut(&[Copied], &[PartitionEnd]) -> bool,
) -> (Vec<Copied>, Vec<PartitionEnd>) {
    let deadline = Instant::now() + PATIENCE;
    let (mut records, mut ends) = (Vec::new(), Vec::new());
    while !done(&records, &ends) {
        assert!(Instant::now() < deadline, "only {} records and {ends:?} came", records.len());
        let chunk = consumer.poll(max).unwrap();
        assert!(chunk.len() <= max);
        if chunk.is_empty() {
            std::thread::park_timeout(Duration::from_millis(500));
        }
        records.extend(copied(&chunk));
        ends.extend_from_slice(chunk.ends());
    }
    (records, ends)
}

#[test]
fn every_record_comes_once_with_all_its_parts() {
    let Some(fixture) = Fixture::new() else { return };
    let names = [fixture.topic("b", 2), fixture.topic("a", 1)];
    let topics = Topics::new(names.iter().map(String::as_str));
    let producer = fixture.producer();
    let headers = || {
        OwnedHeaders::new()
            .insert(Header { key: "type", value: Some("BET") })
            .insert(Header { key: "none", value: None::<&str> })
            .insert(Header { key: "type", value: Some("WIN") })
    };
    for (name, partition) in [(&names[0], 0), (&names[0], 1), (&names[1], 0)] {
        let record = || BaseRecord::<[u8], [u8]>::to(name).partition(partition);
        producer.send(record().key(b"k").payload(b"v").timestamp(1_780_000_000_123).headers(headers())).unwrap();
        producer.send(record().key(b"tombstone").timestamp(5)).unwrap();
        producer.send(record().payload(b"").timestamp(0)).unwrap();
        for number in 3..1003 {
            producer.send(record().key(b"").payload(format!("{number}").as_bytes()).timestamp(number)).unwrap();
        }
    }
    producer.flush(PATIENCE).unwrap();

    let mut consumer = fixture.consumer(&topics);
    let (a, b) = (topics.id(&names[1]).unwrap(), topics.id(&names[0]).unwrap());
    let partitions = [(a, 0), (b, 0), (b, 1)];
    consumer.assign(&partitions.map(|(topic, partition)| at(topic, partition, 0))).unwrap();
    let (records, mut ends) = poll_until(&mut consumer, 100, |_, ends| ends.len() == 3);
    ends.sort();
    assert_eq!(ends, partitions.map(|(topic, partition)| at(topic, partition, 1003)));

    let mut by_partition = BTreeMap::<_, Vec<_>>::new();
    for record in records {
        by_partition.entry((record.at.topic, record.at.partition)).or_default().push(record);
    }
    assert_eq!(by_partition.keys().copied().collect::<Vec<_>>(), partitions);
    for records in by_partition.values() {
        let offsets: Vec<_> = records.iter().map(|record| record.at.offset).collect();
        assert_eq!(offsets, (0..1003).collect::<Vec<_>>());
        let text = |text: &str| Some(text.as_bytes().to_vec());
        let first = &records[0];
        assert_eq!((&first.key, &first.value), (&text("k"), &text("v")));
        assert_eq!(first.timestamp, Some(Timestamp::from_millis(1_780_000_000_123)));
        let header = |name: &str, value| (name.as_bytes().to_vec(), value);
        assert_eq!(first.headers, [header("type", text("BET")), header("none", None), header("type", text("WIN"))]);
        assert_eq!((&records[1].key, &records[1].value), (&text("tombstone"), &None));
        assert_eq!(records[1].headers, []);
        assert_eq!((&records[2].key, &records[2].value), (&None, &text("")));
        assert_eq!((&records[3].key, &records[3].value), (&text(""), &text("3")));
        assert_eq!(records[1002].timestamp, Some(Timestamp::from_millis(1002)));
    }
}

#[test]
fn headers_are_found_by_name() {
    let Some(fixture) = Fixture::new() else { return };
    let name = fixture.topic("events", 1);
    let topics = Topics::new([name.as_str()]);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "type", value: Some("first") })
        .insert(Header { key: "null", value: None::<&str> })
        .insert(Header { key: "type", value: Some("last") });
    let producer = fixture.producer();
    producer.send(BaseRecord::<[u8], [u8]>::to(&name).payload(b"v").headers(headers)).unwrap();
    producer.flush(PATIENCE).unwrap();
    let mut consumer = fixture.consumer(&topics);
    consumer.assign(&[at(TopicId(0), 0, 0)]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let chunk = loop {
        assert!(Instant::now() < deadline);
        let chunk = consumer.poll(10).unwrap();
        if chunk.len() == 1 {
            break chunk;
        }
        std::thread::park_timeout(Duration::from_millis(100));
    };
    // A chunk stays whole when the consumer has gone.
    drop(consumer);
    let record = chunk.records().next().unwrap();
    assert_eq!(record.header("type"), Some(b"last".as_slice()));
    assert_eq!((record.header("null"), record.header("other")), (None, None));
}

#[test]
fn ends_lie_behind_what_is_no_record() {
    let Some(fixture) = Fixture::new() else { return };
    let name = fixture.topic("events", 1);
    let topics = Topics::new([name.as_str()]);
    let producer = fixture.transactional();
    let transaction = |payloads: &[&str], commit: bool| {
        producer.begin_transaction().unwrap();
        for payload in payloads {
            producer.send(BaseRecord::<str, str>::to(&name).payload(payload)).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        let end = if commit { producer.commit_transaction(PATIENCE) } else { producer.abort_transaction(PATIENCE) };
        end.unwrap();
    };
    // Offsets 0, marker 1; aborted 2 and 3, marker 4; 5, marker 6; aborted 7, marker 8.
    transaction(&["a"], true);
    transaction(&["x", "y"], false);
    transaction(&["b"], true);
    transaction(&["z"], false);
    let mut consumer = fixture.consumer(&topics);
    consumer.assign(&[at(TopicId(0), 0, 0)]).unwrap();
    let end = at(TopicId(0), 0, 9);
    let (records, _) = poll_until(&mut consumer, 10, |_, ends| ends.last() == Some(&end));
    let offsets: Vec<_> = records.iter().map(|record| record.at.offset).collect();
    assert_eq!(offsets, [0, 5]);
    assert_eq!(fixture.cluster().watermarks(&name, 0).unwrap(), (0, 9));

    // An open transaction holds the end back, and moves it when it is decided.
    producer.begin_transaction().unwrap();
    producer.send(BaseRecord::<str, str>::to(&name).payload("c")).unwrap();
    producer.flush(PATIENCE).unwrap();
    assert_eq!(fixture.cluster().watermarks(&name, 0).unwrap(), (0, 9));
    assert!(consumer.poll(10).unwrap().is_empty());
    producer.commit_transaction(PATIENCE).unwrap();
    let end = at(TopicId(0), 0, 11);
    let (records, _) = poll_until(&mut consumer, 10, |_, ends| ends.last() == Some(&end));
    assert_eq!(records.iter().map(|record| record.at.offset).collect::<Vec<_>>(), [9]);

    // Who reads uncommitted records sees them all.
    let config = ConsumerConfig { isolation: Isolation::ReadUncommitted, ..fixture.config() };
    let mut all = KafkaConsumer::new(&fixture.connection(), &config, &topics, Arc::new(|| {})).unwrap();
    all.assign(&[at(TopicId(0), 0, 0)]).unwrap();
    let (records, _) = poll_until(&mut all, 10, |_, ends| ends.last() == Some(&end));
    assert_eq!(records.len(), 6);
}

#[test]
fn partitions_can_be_added_and_moved() {
    let Some(fixture) = Fixture::new() else { return };
    let name = fixture.topic("events", 1);
    let topics = Topics::new([name.as_str()]);
    let producer = fixture.producer();
    let fill = |partition: i32, count: i64| {
        for number in 0..count {
            let payload = format!("{partition}:{number}");
            producer.send(BaseRecord::<str, str>::to(&name).partition(partition).payload(&payload)).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    };
    fill(0, 5000);
    let cluster = fixture.cluster();
    assert_eq!(cluster.partitions(&name).unwrap(), [0]);
    let mut consumer = fixture.consumer(&topics);
    consumer.assign(&[at(TopicId(0), 0, 4000)]).unwrap();
    let (records, _) = poll_until(&mut consumer, 1000, |_, ends| !ends.is_empty());
    assert_eq!(records.len(), 1000);

    // A partition that was added while we read.
    let more = NewPartitions::new(&name, 2);
    fixture.runtime.block_on(fixture.admin().create_partitions([&more], &AdminOptions::new())).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while cluster.partitions(&name).unwrap() != [0, 1] {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(50));
    }
    let producer = fixture.producer();
    producer.send(BaseRecord::<str, str>::to(&name).partition(1).payload("new")).unwrap();
    producer.flush(PATIENCE).unwrap();
    consumer.assign(&[at(TopicId(0), 1, 0)]).unwrap();
    let (records, _) = poll_until(&mut consumer, 1000, |_, ends| ends.contains(&at(TopicId(0), 1, 1)));
    assert_eq!(records.iter().map(|record| record.at).collect::<Vec<_>>(), [at(TopicId(0), 1, 0)]);

    // Moved back in the middle of reading: nothing of what was fetched ahead shows up.
    for start in [0, 2500, 1000] {
        consumer.assign(&[at(TopicId(0), 0, start)]).unwrap();
        let (records, _) = poll_until(&mut consumer, 7, |records, _| records.len() > 50);
        let offsets: Vec<_> = records.iter().map(|record| record.at.offset).collect();
        let expected: Vec<_> = (start..).take(offsets.len()).collect();
        assert_eq!(offsets, expected);
    }
    let (records, _) = poll_until(&mut consumer, 1000, |_, ends| ends.contains(&at(TopicId(0), 0, 5000)));
    assert_eq!(records.last().unwrap().at.offset, 4999);
}

#[test]
fn an_offset_that_is_not_there_is_an_error_that_says_so() {
    let Some(fixture) = Fixture::new() else { return };
    let name = fixture.topic("events", 1);
    let topics = Topics::new([name.as_str()]);
    let producer = fixture.producer();
    for _ in 0..10 {
        producer.send(BaseRecord::<str, str>::to(&name).payload("x")).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&name, 0, Offset::Offset(4)).unwrap();
    fixture.runtime.block_on(fixture.admin().delete_records(&offsets, &AdminOptions::new())).unwrap();
    for wanted in [2, 11] {
        let mut consumer = fixture.consumer(&topics);
        consumer.assign(&[at(TopicId(0), 0, wanted)]).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let error = loop {
            assert!(Instant::now() < deadline);
            match consumer.poll(10) {
                Ok(chunk) => assert!(chunk.is_empty()),
                Err(error) => break error,
            }
            std::thread::park_timeout(Duration::from_millis(100));
        };
        let SourceError::OffsetOutOfRange { topic, partition: 0, offset, low: 4, high: 10 } = &error else {
            panic!("{error:?}")
        };
        assert_eq!((topic.as_ref(), *offset), (name.as_str(), wanted));
    }
}

#[test]
fn an_empty_partition_ends_and_wakes_up_when_it_fills() {
    let Some(fixture) = Fixture::new() else { return };
    let name = fixture.topic("events", 1);
    let topics = Topics::new([name.as_str()]);
    let wakes = Arc::new(AtomicU32::new(0));
    let wake = {
        let (wakes, thread) = (Arc::clone(&wakes), std::thread::current());
        Arc::new(move || {
            wakes.fetch_add(1, Ordering::SeqCst);
            thread.unpark();
        })
    };
    let mut consumer = KafkaConsumer::new(&fixture.connection(), &fixture.config(), &topics, wake).unwrap();
    consumer.assign(&[at(TopicId(0), 0, 0)]).unwrap();
    poll_until(&mut consumer, 10, |_, ends| ends == [at(TopicId(0), 0, 0)]);
    assert!(wakes.load(Ordering::SeqCst) > 0);

    let producer = fixture.producer();
    for number in 0..5 {
        while !consumer.poll(10).unwrap().is_empty() {}
        let before = wakes.load(Ordering::SeqCst);
        producer.send(BaseRecord::<str, str>::to(&name).payload("x")).unwrap();
        producer.flush(PATIENCE).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while wakes.load(Ordering::SeqCst) == before {
            assert!(Instant::now() < deadline, "nothing woke us for record {number}");
            std::thread::park_timeout(Duration::from_millis(500));
        }
        let (records, _) = poll_until(&mut consumer, 10, |records, _| !records.is_empty());
        assert_eq!(records[0].at.offset, number);
    }
}

#[test]
fn what_is_not_polled_stays_with_the_broker() {
    let Some(fixture) = Fixture::new() else { return };
    let name = fixture.topic("events", 1);
    let topics = Topics::new([name.as_str()]);
    let producer = fixture.producer();
    let payload = "x".repeat(1000);
    for _ in 0..20_000 {
        while producer.send(BaseRecord::<str, str>::to(&name).payload(&payload)).is_err() {
            producer.poll(Duration::from_millis(10));
        }
    }
    producer.flush(PATIENCE).unwrap();
    let mut connection = fixture.connection();
    connection.properties.insert("fetch.message.max.bytes".into(), "100000".into());
    let config = ConsumerConfig { fetch_ahead_kib: 1000, ..fixture.config() };
    let mut consumer = KafkaConsumer::new(&connection, &config, &topics, Arc::new(|| {})).unwrap();
    consumer.assign(&[at(TopicId(0), 0, 0)]).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let ahead = consumer.poll(20_000).unwrap().len();
    assert!((500..4000).contains(&ahead), "{ahead} records were fetched ahead");
    let (records, _) = poll_until(&mut consumer, 1000, |_, ends| !ends.is_empty());
    assert_eq!(ahead + records.len(), 20_000);
}

#[test]
fn offsets_are_published_for_lag_tools() {
    let Some(fixture) = Fixture::new() else { return };
    let name = fixture.topic("events", 2);
    let cluster = fixture.cluster();
    let uppers: Vec<_> = [(0, 17), (1, 4)]
        .map(|(partition, upper)| Binding { topic: Arc::from(name.as_str()), partition, upper })
        .into();
    cluster.publish_offsets(&uppers).unwrap();
    let group: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &fixture.brokers).set("group.id", &fixture.name).create().unwrap();
    let mut asked = TopicPartitionList::new();
    asked.add_partition(&name, 0);
    asked.add_partition(&name, 1);
    let found = group.committed_offsets(asked, PATIENCE).unwrap();
    let offsets: Vec<Offset> = found.elements().iter().map(|partition| partition.offset()).collect();
    assert_eq!(offsets, [Offset::Offset(17), Offset::Offset(4)]);
}

#[test]
fn absent_topics_and_brokers_are_named() {
    let Some(fixture) = Fixture::new() else { return };
    let error = fixture.cluster().partitions("no-such-topic").unwrap_err();
    assert_eq!(error.to_string(), "topic no-such-topic does not exist");

    let mut connection = Connection::new("127.0.0.1:1");
    connection.startup_timeout = Duration::from_secs(5);
    let error = KafkaCluster::connect(&connection, &fixture.config()).map(drop).unwrap_err().to_string();
    assert!(error.starts_with("cannot reach the brokers at 127.0.0.1:1 within 5s: "), "{error}");
    assert!(error.contains("Connection refused"), "{error}");
}
