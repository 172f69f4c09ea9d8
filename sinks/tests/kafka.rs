//! The committer against a real broker: what its readers see, and what a start recovers.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use datasets::rows::{
    ActivityKey, ActivityRow, AuditKind, AuditRow, Binding, CompletionKind, CompletionRow, CustomerRow, DeadLetterRow,
    DefinitionRow, Entity, EntityRows, EpochOutputs, Place, Restriction, ReviewReason, ReviewRow, RewardRow, Trigger,
    TriggerKind,
};
use datasets::time::Date;
use datasets::{Epoch, Money, Reason, Timestamp};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sinks::cut::{Cut, Table};
use sinks::kafka::{CommitterConfig, Connection, EntityTopics, OutputTopics, open};
use sinks::{EpochWriter, SinkError};

/// The broker of `scripts/test`; without one the test says so and passes.
fn brokers() -> Option<String> {
    let brokers = std::env::var("QUESTLINE_BROKERS").ok();
    if brokers.is_none() {
        eprintln!("skipped: needs a broker: scripts/test starts one");
    }
    brokers
}

/// A pipeline with topics of its own.
fn pipeline(brokers: &str) -> CommitterConfig {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let name = format!("t{since}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut config = CommitterConfig::new(Connection::new(brokers), &name, "run-1");
    config.partitions = 3;
    config.topics = OutputTopics {
        completions: format!("{name}-completions"),
        audit: format!("{name}-audit"),
        activity: format!("{name}-activity"),
        dead_letters: format!("{name}-dead-letters"),
        progress: format!("{name}-progress"),
        entities: Some(EntityTopics {
            gaming_activity: format!("{name}-gaming-activity"),
            transactions: format!("{name}-transactions"),
            customers: format!("{name}-customers"),
            reviews: format!("{name}-reviews"),
        }),
    };
    config
}

fn empty(epoch: Epoch) -> EpochOutputs {
    let seconds = i64::try_from(epoch).unwrap();
    EpochOutputs {
        epoch,
        now: Timestamp::from_millis(1_780_000_000_000 + seconds * 1000),
        bindings: vec![Binding { topic: Arc::from("events"), partition: 0, upper: seconds * 10 }],
        ..EpochOutputs::default()
    }
}

/// An epoch with one message of each kind.
fn full(epoch: Epoch, player: &str) -> EpochOutputs {
    let place = Place { topic: Arc::from("events"), partition: 0, offset: i64::try_from(epoch).unwrap() };
    let money = |text: &str| text.parse::<Money>().unwrap();
    let outputs = empty(epoch);
    let now = outputs.now;
    EpochOutputs {
        completions: vec![CompletionRow {
            kind: CompletionKind::MissionCompleted,
            completion_id: format!("c{epoch}"),
            revision: 1,
            player_id: player.into(),
            mission_id: "m".into(),
            mission_version: 1,
            occurrence: 1,
            window_start: Timestamp::from_millis(0),
            window_end: None,
            completed_at: now,
            emitted_at: now,
            reversed_by: None,
            trigger: Trigger { kind: TriggerKind::Event, transaction_id: Some("t".into()), place: place.clone() },
            progress: money("105.00"),
            target: money("100.00"),
            reward: Some(RewardRow { kind: "points".into(), value: "500".into() }),
            channels: vec!["email".into()],
        }],
        audit: vec![AuditRow {
            kind: AuditKind::Suppressed,
            reason: Restriction::SelfExcluded,
            until: None,
            completion_id: format!("s{epoch}"),
            revision: 1,
            player_id: player.into(),
            mission_id: "m".into(),
            mission_version: 1,
            occurrence: 1,
            window_start: Timestamp::from_millis(0),
            window_end: None,
            completed_at: now,
            emitted_at: now,
            trigger: Trigger { kind: TriggerKind::Event, transaction_id: None, place: place.clone() },
            progress: money("105.00"),
            target: money("100.00"),
            reward: None,
            channels: Vec::new(),
        }],
        activity: vec![ActivityRow {
            key: ActivityKey {
                date: Date::from_days(20605),
                customer_id: Arc::from(player),
                game_type: Arc::from("slots"),
                currency: Arc::from("EUR"),
            },
            bets_count: 1,
            total_bets: money("25.50"),
            wins: Money::ZERO,
            ggr: money("25.50"),
            ngr: money("25.50"),
            bonus_bets: Money::ZERO,
            bonus_wins: Money::ZERO,
            bonus_cost: Money::ZERO,
            jackpot_contribution: Money::ZERO,
            jackpot_wins: Money::ZERO,
            chargebacks: Money::ZERO,
            revision: epoch + 1,
            updated_at: now,
        }],
        dead_letters: vec![DeadLetterRow {
            reason: Reason::NotJson,
            detail: "no object".into(),
            place,
            index: 0,
            ingest_time: now,
            player_id: None,
            raw: Some("{".into()),
            raw_base64: None,
            truncated: false,
        }],
        ..outputs
    }
}

fn arcs(outputs: impl IntoIterator<Item = EpochOutputs>) -> Vec<Arc<EpochOutputs>> {
    outputs.into_iter().map(Arc::new).collect()
}

/// What [`read`] answers for a message without a payload.
const TOMBSTONE: &[u8] = b"(none)";

/// Everything that a reader finds in `topic`, by partition, in order: key and payload.
fn read(brokers: &str, topic: &str, isolation: &str) -> Vec<(Option<String>, String)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "test")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", isolation)
        .set("fetch.wait.max.ms", "10")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10)).unwrap();
    let mut found = Vec::new();
    for partition in metadata.topics()[0].partitions() {
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
        consumer.assign(&assignment).unwrap();
        loop {
            match consumer.poll(Duration::from_secs(10)).expect("an answer within 10 s") {
                Ok(message) => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    found.push((message.key().map(text), text(message.payload().unwrap_or(TOMBSTONE))));
                }
                Err(KafkaError::PartitionEOF(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    found
}

fn committed(brokers: &str, topic: &str) -> Vec<(Option<String>, String)> {
    read(brokers, topic, "read_committed")
}

fn ids(messages: &[(Option<String>, String)]) -> Vec<String> {
    let id = |payload: &str| serde_json::from_str::<serde_json::Value>(payload).unwrap()["completion_id"].clone();
    messages.iter().map(|(_, payload)| id(payload).as_str().unwrap().to_owned()).collect()
}

/// A transactional producer with an open transaction of one message.
fn open_transaction(brokers: &str, id: &str, topic: &str, payload: &str) -> BaseProducer {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", brokers).set("transactional.id", id).create().unwrap();
    producer.init_transactions(Duration::from_secs(30)).unwrap();
    producer.begin_transaction().unwrap();
    producer.send(BaseRecord::to(topic).key("k").payload(payload)).unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();
    producer
}

#[test]
fn readers_see_each_epoch_once_and_in_order() {
    let Some(brokers) = brokers() else { return };
    let config = pipeline(&brokers);
    let (mut committer, log) = open(&config).unwrap();
    assert_eq!((log.upper, log.now, log.records.len()), (0, None, 0));
    assert_eq!(committer.resume_upper().unwrap(), 0);
    for epoch in 0..20 {
        committer.commit(&arcs([full(epoch, "p1")])).unwrap();
    }
    // A replay may offer them again.
    committer.commit(&arcs([full(18, "p1"), full(19, "p1"), full(20, "p1")])).unwrap();
    committer.commit(&arcs([full(3, "p1")])).unwrap();
    assert_eq!(committer.resume_upper().unwrap(), 21);

    let completions = committed(&brokers, &config.topics.completions);
    assert_eq!(ids(&completions), (0..21).map(|epoch| format!("c{epoch}")).collect::<Vec<_>>());
    assert!(completions.iter().all(|(key, _)| key.as_deref() == Some("p1")));
    let expected = serde_json::to_string(&full(0, "p1").completions[0]).unwrap();
    assert_eq!(completions[0].1, expected);
    let audit = committed(&brokers, &config.topics.audit);
    assert_eq!(ids(&audit), (0..21).map(|epoch| format!("s{epoch}")).collect::<Vec<_>>());
    assert!(audit.iter().all(|(key, _)| key.as_deref() == Some("p1")));

    let activity = committed(&brokers, &config.topics.activity);
    assert_eq!(activity.len(), 21);
    assert!(activity.iter().all(|(key, _)| key.as_deref() == Some("2026-06-01|p1|slots|EUR")));
    let dead_letters = committed(&brokers, &config.topics.dead_letters);
    assert_eq!(dead_letters.len(), 21);
    assert_eq!(dead_letters[0].0, None);
}

#[test]
fn what_is_withheld_is_taken_back() {
    let Some(brokers) = brokers() else { return };
    let config = pipeline(&brokers);
    let (mut committer, _) = open(&config).unwrap();
    let customer = |affiliate: &str| CustomerRow {
        customer_id: "p1".into(),
        signup_date: Timestamp::from_millis(0),
        affiliate_id: affiliate.into(),
        last_modified_date: Timestamp::from_millis(1),
        campaign_id: None,
        click_id: None,
        lang_id: None,
        country_code: None,
        kyc_status_id: None,
        sales_status_id: None,
        first_name: None,
        last_name: None,
        email: None,
        updated_at: Timestamp::from_millis(2),
    };
    let review = |field: &str| ReviewRow {
        entity: Entity::Customers,
        key: "p1".into(),
        field: field.into(),
        reason: ReviewReason::TooLong,
        detail: "long".into(),
        withheld: true,
        customer_id: "p1".into(),
        date: None,
        game_type: None,
        currency: None,
        updated_at: Timestamp::from_millis(3),
    };
    let sent = |epoch, affiliate: &str| {
        let entities = EntityRows { customers: vec![customer(affiliate)], ..EntityRows::default() };
        EpochOutputs { entities, ..empty(epoch) }
    };
    // Two things are wrong, and one row is taken back.
    let reviews = vec![review("affiliate_id"), review("signup_date")];
    let withheld = EpochOutputs { entities: EntityRows { reviews, ..EntityRows::default() }, ..empty(1) };
    committer.commit(&arcs([sent(0, "a"), withheld, sent(2, "b")])).unwrap();
    let topics = config.topics.entities.as_ref().unwrap();
    let customers = committed(&brokers, &topics.customers);
    let text = |affiliate: &str| serde_json::to_string(&customer(affiliate)).unwrap();
    let expected = [text("a"), "(none)".to_owned(), text("b")].map(|payload| (Some("p1".to_owned()), payload));
    assert_eq!(customers, expected);
    assert_eq!(committed(&brokers, &topics.reviews).len(), 2);
    assert!(committed(&brokers, &topics.transactions).is_empty());
}

#[test]
fn a_start_recovers_the_whole_log() {
    let Some(brokers) = brokers() else { return };
    let config = pipeline(&brokers);
    let cut = |last| Cut { table: Table::Activity, lane: 0, first: 0, last, schema_version: 1 };
    let definition = DefinitionRow {
        place: Place { topic: Arc::from("missions"), partition: 0, offset: 1 },
        ingest_time: Timestamp::from_millis(1),
        mission_id: "m".into(),
        version: None,
        accepted: false,
        definition: Some("not JSON".into()),
    };
    let chain = {
        let (mut committer, _) = open(&config).unwrap();
        // Alone, empty and alone, coalesced with and without outputs, more than there are ids.
        committer.commit_with(&arcs([full(0, "p")]), vec![cut(0)]).unwrap();
        committer.commit(&arcs([empty(1)])).unwrap();
        let defining = EpochOutputs { definitions: vec![definition.clone()], ..empty(3) };
        committer.commit_with(&arcs([empty(2), defining, full(4, "p")]), vec![cut(4)]).unwrap();
        for epoch in 5..25 {
            committer.commit(&arcs([empty(epoch)])).unwrap();
        }
        committer.commit(&arcs((25..400).map(empty))).unwrap();
        open(&config).unwrap().1.chain
    };
    let (mut committer, log) = open(&CommitterConfig { run_id: "run-2".into(), ..config.clone() }).unwrap();
    assert_eq!(log.upper, 400);
    assert_eq!(log.now, Some(empty(399).now));
    assert_eq!(log.chain, chain);
    assert_eq!(log.cuts, [cut(0), cut(4)]);
    for (record, expected) in log.records.iter().zip((0..400).map(empty)) {
        assert_eq!((record.epoch, record.now, &record.bindings), (expected.epoch, expected.now, &expected.bindings));
        assert_eq!(record.run_id, "run-1");
    }
    assert_eq!(log.records[3].definitions, [definition]);
    assert_eq!(log.records[4].cuts, [cut(4)]);

    committer.commit(&arcs([empty(400)])).unwrap();
    let (_, log) = open(&config).unwrap();
    assert_eq!(log.upper, 401);
    assert_eq!(log.records[400].run_id, "run-2");
}

#[test]
fn what_was_not_committed_is_never_seen() {
    let Some(brokers) = brokers() else { return };
    let config = pipeline(&brokers);
    {
        let (mut committer, _) = open(&config).unwrap();
        committer.commit(&arcs([full(0, "p1")])).unwrap();
    }
    // A process dies between its last message and its commit, whichever of the ids was in use.
    for index in [0, 7] {
        let id = format!("{}-{index}", config.pipeline);
        drop(open_transaction(&brokers, &id, &config.topics.completions, r#"{"completion_id":"lost"}"#));
        drop(open_transaction(&brokers, &id, &config.topics.progress, "lost"));
    }
    let (mut committer, log) = open(&config).unwrap();
    assert_eq!(log.upper, 1);
    committer.commit(&arcs([full(1, "p1")])).unwrap();
    assert_eq!(ids(&committed(&brokers, &config.topics.completions)), ["c0", "c1"]);
    let written = read(&brokers, &config.topics.completions, "read_uncommitted");
    assert_eq!(written.len(), 4, "the lost messages were really written: {written:?}");
}

#[test]
fn aborted_transactions_at_the_end_of_the_log_do_not_stop_a_start() {
    let Some(brokers) = brokers() else { return };
    let config = pipeline(&brokers);
    open(&config).unwrap();
    // On an empty log, too.
    for epoch in 0..3 {
        let other = open_transaction(&brokers, &format!("{}-other", config.pipeline), &config.topics.progress, "x");
        other.abort_transaction(Duration::from_secs(10)).unwrap();
        let (mut committer, log) = open(&config).unwrap();
        assert_eq!(log.upper, epoch);
        committer.commit(&arcs([empty(epoch)])).unwrap();
    }
}

#[test]
fn a_second_instance_fences_the_first() {
    let Some(brokers) = brokers() else { return };
    let config = pipeline(&brokers);
    let (mut first, _) = open(&config).unwrap();
    first.commit(&arcs([full(0, "p1")])).unwrap();
    let (mut second, log) = open(&config).unwrap();
    assert_eq!(log.upper, 1);
    let error = first.commit(&arcs([full(1, "p1")])).unwrap_err();
    assert!(matches!(error, SinkError::Fenced(..)), "{error:?}");
    let error = first.commit(&arcs([full(1, "p1")])).unwrap_err();
    assert!(matches!(error, SinkError::Indeterminate(..)), "{error:?}");
    for epoch in 1..10 {
        second.commit(&arcs([full(epoch, "p1")])).unwrap();
    }
    assert_eq!(ids(&committed(&brokers, &config.topics.completions)).len(), 10);
}

/// Whichever of its ids the first one is using at that moment, and however far it is with it.
#[test]
fn an_instance_that_is_fenced_in_mid_commit_knows_why() {
    let Some(brokers) = brokers() else { return };
    let config = pipeline(&brokers);
    for _ in 0..4 {
        let (mut first, log) = open(&config).unwrap();
        let commits = std::thread::spawn(move || {
            (log.upper..).find_map(|epoch| first.commit(&arcs([full(epoch, "p1")])).err()).unwrap()
        });
        open(&config).unwrap();
        let error = commits.join().unwrap();
        assert!(matches!(error, SinkError::Fenced(..)), "{error:?}");
    }
    let (_, log) = open(&config).unwrap();
    let completions = ids(&committed(&brokers, &config.topics.completions));
    assert_eq!(completions, (0..log.upper).map(|epoch| format!("c{epoch}")).collect::<Vec<_>>());
}

#[test]
fn instances_that_open_at_once_commit_each_epoch_once() {
    let Some(brokers) = brokers() else { return };
    let config = pipeline(&brokers);
    open(&config).unwrap();
    let run = |_| {
        let Ok((mut committer, log)) = open(&config) else { return };
        for epoch in log.upper..log.upper + 12 {
            if committer.commit(&arcs([full(epoch, "p1")])).is_err() {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for instance in 0..3 {
            scope.spawn(move || run(instance));
        }
    });
    let (_, log) = open(&config).unwrap();
    let completions = ids(&committed(&brokers, &config.topics.completions));
    assert_eq!(completions, (0..log.upper).map(|epoch| format!("c{epoch}")).collect::<Vec<_>>());
}

#[test]
fn long_inputs_fit() {
    let Some(brokers) = brokers() else { return };
    let config = pipeline(&brokers);
    let (mut committer, _) = open(&config).unwrap();
    let mut outputs = full(0, "p1");
    // Bytes that do not compress, the hardest case for the broker's limit.
    let mut state = 1_u64;
    let noise: String = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from_u32(0x4e00 + u32::try_from(state >> 52).unwrap()).unwrap()
    })
    .take(600_000)
    .collect();
    outputs.dead_letters[0].raw = Some(noise.clone());
    let definition = DefinitionRow {
        place: Place { topic: Arc::from("missions"), partition: 0, offset: 1 },
        ingest_time: Timestamp::from_millis(1),
        mission_id: "m".into(),
        version: None,
        accepted: true,
        definition: Some(noise.clone()),
    };
    outputs.definitions = vec![definition; 3];
    committer.commit(&arcs([outputs.clone(), empty(1)])).unwrap();

    let dead_letters = committed(&brokers, &config.topics.dead_letters);
    let row: DeadLetterRow = serde_json::from_str(&dead_letters[0].1).unwrap();
    assert!(row.truncated);
    assert!(row.raw.is_some_and(|raw| noise.starts_with(&raw) && raw.len() > 1_000_000));
    let (_, log) = open(&config).unwrap();
    assert_eq!(log.upper, 2);
    assert_eq!(log.records[0].definitions, outputs.definitions);
}

#[test]
fn a_message_that_cannot_be_written_leaves_nothing_behind() {
    let Some(brokers) = brokers() else { return };
    let config = pipeline(&brokers);
    let (mut committer, _) = open(&config).unwrap();
    let mut outputs = full(0, "p1");
    outputs.completions[0].mission_id = "m".repeat(2_000_000);
    let error = committer.commit(&arcs([outputs])).unwrap_err();
    assert!(matches!(&error, SinkError::Conflict(message) if message.contains("max.message.bytes")), "{error:?}");
    committer.commit(&arcs([full(0, "p1")])).unwrap();
    assert_eq!(ids(&committed(&brokers, &config.topics.completions)), ["c0"]);
}

#[test]
fn a_topic_that_is_no_log_of_ours_is_refused() {
    let Some(brokers) = brokers() else { return };
    let config = pipeline(&brokers);
    {
        let (mut committer, _) = open(&config).unwrap();
        for epoch in 0..3 {
            committer.commit(&arcs([empty(epoch)])).unwrap();
        }
    }
    let refusal = |config: &CommitterConfig| match open(config) {
        Err(SinkError::Conflict(message)) => message,
        other => panic!("{:?}", other.map(|(_, log)| log)),
    };

    let other = CommitterConfig { pipeline: format!("{}-other", config.pipeline), ..config.clone() };
    assert!(refusal(&other).contains("belongs to another pipeline"));

    let mut many = pipeline(&brokers);
    many.topics.progress.clone_from(&many.topics.completions);
    many.topics.completions.push_str("-2");
    let admin = |config: &CommitterConfig| {
        ClientConfig::new()
            .set("bootstrap.servers", &config.connection.brokers)
            .create::<rdkafka::admin::AdminClient<_>>()
            .unwrap()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let new =
        |name, partitions| rdkafka::admin::NewTopic::new(name, partitions, rdkafka::admin::TopicReplication::Fixed(1));
    runtime
        .block_on(admin(&many).create_topics([&new(many.topics.progress.as_str(), 2)], &Default::default()))
        .unwrap();
    assert!(refusal(&many).contains("2 partitions"));

    let short = pipeline(&brokers);
    runtime
        .block_on(admin(&short).create_topics(
            [&new(short.topics.progress.as_str(), 1).set("retention.ms", "86400000")],
            &Default::default(),
        ))
        .unwrap();
    assert!(refusal(&short).contains("retention.ms="));

    let remove_below = |below: Offset| {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(&config.topics.progress, 0, below).unwrap();
        runtime.block_on(admin(&config).delete_records(&offsets, &Default::default())).unwrap();
    };
    // Offset 0 is epoch 0, offset 1 the marker of its transaction. Whether a checkpoint has it, others look.
    remove_below(Offset::Offset(2));
    let (_, log) = open(&config).unwrap();
    assert_eq!((log.first, log.upper, log.records.len()), (1, 3, 2));
    assert_eq!(log.record(0), None);
    assert_eq!(log.record(2).map(|record| record.epoch), Some(2));
    remove_below(Offset::End);
    assert!(refusal(&config).contains("was removed"));
}

#[test]
fn an_absent_broker_is_named_after_the_timeout() {
    let mut config = CommitterConfig::new(Connection::new("127.0.0.1:1"), "absent", "run");
    config.connection.startup_timeout = Duration::from_secs(5);
    let started = Instant::now();
    let error = open(&config).map(|(_, log)| log).unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let SinkError::Rejected(message, _) = &error else { panic!("{error:?}") };
    assert!(message.contains("127.0.0.1:1 within 5s"), "{message}");
    assert!(message.contains("Connection refused"), "{message}");
}
