//! Starts on topics from which something is missing, or that hold what is no record.

use questline_tests::compare;
use questline_tests::kafka::{Producer, create_topic, delete_records, delete_topic};
use questline_tests::play::{Play, recent};
use questline_tests::scenario::Scenario;
use questline_tests::stack::Stack;
use rdkafka::Offset;

/// Feeds so many records, runs until they are committed, and dies.
fn live(scenario: &Scenario, workers: usize, count: usize) {
    let mut run = scenario.run(workers);
    scenario.feed(count);
    scenario.await_caught_up(&mut run);
    run.kill();
}

#[test]
fn definitions_that_the_topic_has_lost_are_in_the_log() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "definitions", Play::new(recent(20_000, 51)));
    let oracle = scenario.play.oracle();
    live(&scenario, 2, 8_000);
    delete_records(&scenario.stack.brokers, &scenario.topic("missions"), 0, Offset::End);
    scenario.feed(usize::MAX);
    let mut run = scenario.run(1);
    scenario.await_outputs(&mut run, &oracle);
    run.terminate();
    println!("{}", compare::everything(&scenario, &oracle));
}

#[test]
fn offsets_without_records_do_not_stop_a_start() {
    let Some(stack) = Stack::from_env() else { return };
    let play = Play::new(recent(20_000, 52)).in_transactions(500);
    let scenario = Scenario::new(stack, "gaps", play);
    let oracle = scenario.play.oracle();
    for (workers, count) in [(1, 5_000), (2, 500), (4, 6_000)] {
        live(&scenario, workers, count);
    }
    scenario.feed(usize::MAX);
    let mut run = scenario.run(2);
    scenario.await_outputs(&mut run, &oracle);
    run.terminate();
    println!("{}", compare::everything(&scenario, &oracle));
}

#[test]
fn an_emptied_progress_topic_stops_a_start_that_would_repeat_everything() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "emptied", Play::new(recent(5_000, 53)));
    let oracle = scenario.play.oracle();
    scenario.feed(usize::MAX);
    let mut run = scenario.run(1);
    scenario.await_outputs(&mut run, &oracle);
    run.terminate();
    let (brokers, progress) = (&scenario.stack.brokers, scenario.topic("progress"));

    delete_records(brokers, &progress, 0, Offset::End);
    let said = scenario.run(1).wait_for_error();
    assert!(said.contains("the beginning of the progress topic") && said.contains("was removed"), "{said}");
    assert!(said.contains("start anew under another pipeline name"), "{said}");

    delete_topic(brokers, &progress);
    let said = scenario.run(1).wait_for_error();
    let topic = scenario.topic("completions");
    assert!(said.contains(&format!("the topic {topic} holds records, but the progress topic {progress}")), "{said}");
    assert!(said.contains("start anew under another pipeline name"), "{said}");

    // With other output topics the lake is in the way still.
    let (completions, activity) = (scenario.topic("completions-2"), scenario.topic("activity-2"));
    let variables = [
        ("QUESTLINE__KAFKA__TOPICS__COMPLETIONS", completions.as_str()),
        ("QUESTLINE__KAFKA__TOPICS__ACTIVITY", activity.as_str()),
    ];
    let said = scenario.run_with(1, &variables).wait_for_error();
    assert!(said.contains("the log of epochs has recorded no such cut"), "{said}");
    assert!(said.contains("start anew under another pipeline name"), "{said}");

    println!("{}", compare::everything(&scenario, &oracle));
}

#[test]
fn events_that_are_there_no_more_are_named() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "deleted", Play::new(recent(5_000, 54)));
    scenario.feed(usize::MAX);
    // It dies with cuts on record whose objects the next start would have to put.
    let mut run = scenario.run_with(2, &[("QUESTLINE_FAILPOINT", "before-cut-put:1")]);
    run.wait();
    let objects = || ["events", "epochs"].map(|table| scenario.lake().read(table, |_| ()));
    let before = objects();
    let (brokers, events) = (&scenario.stack.brokers, scenario.topic("events"));
    let end = scenario.ends()[2];

    delete_records(brokers, &events, 2, Offset::Offset(100));
    let said = scenario.run(2).wait_for_error();
    let expected = format!("{events}-2: the first offset needed is 0, the first available is 100, the end is {end}: ");
    assert!(said.contains(&expected), "{said}");

    delete_records(brokers, &events, 2, Offset::End);
    let said = scenario.run(4).wait_for_error();
    let expected =
        format!("{events}-2: the first offset needed is 0, the first available is {end}, the end is {end}: ");
    assert!(said.contains(&expected), "{said}");

    // Created anew, with fewer records than the log has read.
    delete_topic(brokers, &events);
    create_topic(brokers, &events, scenario.play.partitions(), "delete");
    let producer = Producer::new(brokers);
    let again = |partition| scenario.play.sent.iter().filter(move |record| record.partition == partition).take(50);
    (0..scenario.play.partitions()).flat_map(again).for_each(|record| producer.send_record(&events, record));
    producer.flush();
    let said = scenario.run(2).wait_for_error();
    assert!(said.contains("the log of epochs has read up to offset") && said.contains("the end is 50: "), "{said}");

    // A start that cannot read everything puts nothing: it would be wrong.
    assert_eq!(objects(), before);
}
