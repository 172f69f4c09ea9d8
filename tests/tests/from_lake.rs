//! Starts on topics whose retention has passed: what was read comes from the lake, and what is nowhere is named.

use questline_tests::cluster::Cluster;
use questline_tests::compare;
use questline_tests::kafka::delete_records;
use questline_tests::lake::epochs;
use questline_tests::play::{Play, recent};
use questline_tests::process::{Questline, questline};
use questline_tests::scenario::Scenario;
use questline_tests::stack::{Stack, wait_for};
use rdkafka::Offset;

/// Reads from the lake what Kafka has no more.
const LAKE: (&str, &str) = ("QUESTLINE__KAFKA__MISSING_OFFSETS", "lake");

/// A start follows the log from its beginning.
const NO_CHECKPOINTS: (&str, &str) = ("QUESTLINE__PIPELINE__CHECKPOINT_INTERVAL", "1d");

/// Files are cut at an end in order, and then only.
const LATE_FILES: (&str, &str) = ("QUESTLINE__LAKE__MAX_FILE_AGE", "1d");

const FROM_LAKE: &str = "records that Kafka has deleted are read from the lake";

/// Removes all events below these offsets, as retention does.
fn delete_below(scenario: &Scenario, offsets: &[i64]) {
    for (partition, offset) in (0..).zip(offsets) {
        delete_records(&scenario.stack.brokers, &scenario.topic("events"), partition, Offset::Offset(*offset));
    }
}

/// Feeds `count` records, and waits until they are committed.
fn feed(scenario: &Scenario, run: &mut Questline, count: usize) {
    scenario.feed(count);
    scenario.await_caught_up(run);
}

/// What came out is what the oracle says, and follows from the lake's own history.
fn prove(scenario: &Scenario, oracle: &questline_tests::oracle::Oracle<'_>) {
    println!("{}", compare::everything(scenario, oracle));
    let config = scenario.config();
    let config = config.to_str().expect("temporary paths are UTF-8");
    let (code, said, wrong) = questline(["verify", "--config", config, "--complete"]);
    assert_eq!(code, 0, "{said}{wrong}");
}

/// Names and numbers of objects in the lake.
fn objects(scenario: &Scenario) -> [usize; 3] {
    ["events", "dead_letters", "epochs"].map(|table| scenario.lake().read(table, |_| ()))
}

#[test]
fn what_was_read_is_read_again_from_the_lake() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "fromlake", Play::new(recent(30_000, 71)));
    let oracle = scenario.play.oracle();
    let mut run = scenario.run_with(2, &[NO_CHECKPOINTS]);
    feed(&scenario, &mut run, 12_000);
    run.terminate();
    let in_lake = scenario.ends();
    let mut run = scenario.run_with(1, &[NO_CHECKPOINTS]);
    feed(&scenario, &mut run, 6_000);
    run.kill();
    delete_below(&scenario, &in_lake);

    // By default they are named, all of them.
    let said = scenario.run_with(1, &[NO_CHECKPOINTS]).wait_for_error();
    let events = scenario.topic("events");
    for (partition, (low, end)) in in_lake.iter().zip(scenario.ends()).enumerate() {
        let expected = format!(
            "{events}-{partition}: the first offset needed is 0, the first available is {low}, the end is {end}: offsets 0 to \
             {} (at most {low} records), which epochs ",
            low - 1
        );
        assert!(said.contains(&expected), "{said}");
    }
    let advice =
        " have read. Restore them, have them read from the lake by kafka.missing_offsets = \"lake\", or start anew";
    assert!(said.contains(advice), "{said}");

    // Where a file of the lake is away too, nothing is put out.
    let lake = scenario.lake();
    let mut first = (i64::MAX, 0);
    lake.read("events", |row| first = first.min((row.int("epoch"), row.int("partition"))));
    let (epoch, partition) = first;
    for (table, lacks) in [("events", " events and refusals that "), ("epochs", " not in table epochs")] {
        let has_first = |object: &_| {
            let (first, last) = epochs(object);
            (first..=last).contains(&epoch.unsigned_abs())
        };
        let object = lake.objects(table).into_iter().find(has_first).expect("every cut is put");
        lake.without(&object, || {
            let said = scenario.run_with(1, &[NO_CHECKPOINTS, LAKE]).wait_for_error();
            let (_, lost) = said.split_once("the lake does not have all of them (in the lake, epoch").expect(&said);
            assert!(lost.contains(lacks) && lost.contains(&format!("{events}-{partition}: offsets 0 to ")), "{said}");
        });
    }

    // With it the start goes on, also after one that died on the way.
    let mut run = scenario.run_with(4, &[NO_CHECKPOINTS, LAKE]);
    wait_for("the lake to be read", || {
        run.assert_running();
        run.log().contains(FROM_LAKE).then_some(())
    });
    run.kill();
    let mut run = scenario.run_with(2, &[NO_CHECKPOINTS, LAKE]);
    scenario.feed(usize::MAX);
    scenario.await_outputs(&mut run, &oracle);
    assert!(run.log().contains(FROM_LAKE), "{}", run.log());
    run.terminate();
    prove(&scenario, &oracle);
}

#[test]
fn a_checkpoint_and_the_lake_do_without_kafka() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "nokafka", Play::new(recent(60_000, 72)));
    let oracle = scenario.play.oracle();
    // The checkpoints keep far back, since the lake has rows open.
    let mut run = scenario.run_with(2, &[LATE_FILES]);
    wait_for("checkpoints", || {
        run.assert_running();
        scenario.feed(200);
        assert!(scenario.left() > 20_000, "too few records");
        (run.log().matches("checkpoint in place").count() >= 3).then_some(())
    });
    scenario.await_caught_up(&mut run);
    run.terminate();
    delete_below(&scenario, &scenario.ends());

    let variables = [LAKE, LATE_FILES];
    let mut cluster = Cluster::start(&scenario, 2, 2, &variables);
    scenario.feed(usize::MAX);
    cluster.await_outputs(&scenario, &oracle);
    cluster.terminate(0);
    prove(&scenario, &oracle);
}

#[test]
fn what_is_nowhere_is_named() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "nowhere", Play::new(recent(15_000, 73)));
    let mut run = scenario.run_with(2, &[LATE_FILES]);
    feed(&scenario, &mut run, 8_000);
    run.terminate();
    let in_lake = scenario.ends();
    let mut run = scenario.run_with(1, &[LATE_FILES]);
    feed(&scenario, &mut run, 4_000);
    run.kill();
    let read = scenario.ends();
    delete_below(&scenario, &read);
    let before = objects(&scenario);

    let said = scenario.run_with(2, &[LATE_FILES, LAKE]).wait_for_error();
    assert!(said.contains("the lake does not have all of them (in the lake, epoch"), "{said}");
    let events = scenario.topic("events");
    for (partition, (from, to)) in in_lake.iter().zip(&read).enumerate() {
        let expected = format!(
            "{events}-{partition}: offsets {from} to {} (at most {} records), which epochs ",
            to - 1,
            to - from
        );
        assert!(said.contains(&expected), "{said}");
    }
    assert!(said.contains("Restore them, or start anew under another pipeline name"), "{said}");
    assert_eq!(objects(&scenario), before, "a start that cannot follow the log puts nothing");
}

#[test]
fn what_nobody_has_read_stops_a_start() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "unread", Play::new(recent(10_000, 74)));
    let mut run = scenario.run_with(2, &[NO_CHECKPOINTS]);
    feed(&scenario, &mut run, 6_000);
    run.terminate();
    let (read, events) = (scenario.ends()[2], scenario.topic("events"));
    scenario.feed(usize::MAX);
    let end = scenario.ends()[2];
    delete_records(&scenario.stack.brokers, &events, 2, Offset::Offset(read + 5));

    let said = scenario.run_with(1, &[NO_CHECKPOINTS]).wait_for_error();
    let expected = format!(
        "Kafka has deleted records that this start needs. {events}-2: the first offset needed is 0, the first available is \
         {}, the end is {end}: offsets 0 to {} (at most {read} records), which epochs ",
        read + 5,
        read - 1,
    );
    assert!(said.contains(&expected), "{said}");
    let unread = format!("offsets {read} to {} (at most 5 records), which nobody has read", read + 4);
    let expected = format!(" have read, and {unread}. Restore them, or start anew under another pipeline name");
    assert!(said.contains(&expected), "{said}");

    let said = scenario.run_with(1, &[NO_CHECKPOINTS, LAKE]).wait_for_error();
    let expected = format!(
        "error: Kafka has deleted records that this start needs, and the lake does not have all of them. {events}-2: \
         {unread}. Restore them, or start anew under another pipeline name, with output topics and a lake of its own"
    );
    assert_eq!(said, expected);
}
