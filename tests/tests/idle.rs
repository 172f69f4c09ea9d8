//! A pipeline without input for so long that the broker forgets its producers.

use std::time::{Duration, Instant};

use questline_tests::compare;
use questline_tests::kafka::transactional_ids;
use questline_tests::play::{Play, recent};
use questline_tests::scenario::Scenario;
use questline_tests::stack::{OwnBroker, Stack, wait_for};

/// After so long without a transaction the broker forgets a transactional id.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(8);

/// Many of them pass meanwhile.
const REPORTING_INTERVAL: Duration = Duration::from_millis(20);

/// Partitions forget what they know of a producer long before its transactional id is forgotten: after a day, where
/// the id is after a week.
#[test]
fn a_producer_that_partitions_have_forgotten_goes_on() {
    let Some(stack) = Stack::from_env() else { return };
    // Not sooner: on a busy machine a transaction of ours may be half as long under way, and must not be forgotten.
    let settings = ["producer.id.expiration.ms=2000", "producer.id.expiration.check.interval.ms=100"];
    let broker = OwnBroker::start(stack, &settings);
    let scenario = Scenario::new(broker.stack.clone(), "idle-day", Play::new(recent(20_000, 44)));
    let oracle = scenario.play.oracle();
    let mut run = scenario.run(2);
    for count in [6_000, 6_000, usize::MAX] {
        scenario.feed(count);
        scenario.await_caught_up(&mut run);
        // More than twice as long as it takes.
        let since = Instant::now();
        wait_for("the producers to be forgotten", || {
            run.assert_running();
            (since.elapsed() > Duration::from_secs(5)).then_some(())
        });
    }
    scenario.await_outputs(&mut run, &oracle);
    run.terminate();
    println!("{}", compare::everything(&scenario, &oracle));
}

#[test]
fn a_pipeline_that_idles_until_the_broker_has_forgotten_it_loses_nothing() {
    let Some(stack) = Stack::from_env() else { return };
    let forgotten_after = format!("transactional.id.expiration.ms={}", FORGOTTEN_AFTER.as_millis());
    let settings = [
        forgotten_after.as_str(),
        "transaction.remove.expired.transaction.cleanup.interval.ms=100",
        // What partitions know of producers goes earlier.
        "producer.id.expiration.ms=2000",
        "producer.id.expiration.check.interval.ms=100",
    ];
    let broker = OwnBroker::start(stack, &settings);
    let scenario = Scenario::new(broker.stack.clone(), "idle-hours", Play::new(recent(20_000, 43)));
    let oracle = scenario.play.oracle();
    let progress = scenario.topic("progress");
    let end = || scenario.watch().end(&progress, 0);
    let reporting_interval = format!("{}ms", REPORTING_INTERVAL.as_millis());
    let start = || scenario.run_with(2, &[("QUESTLINE__PIPELINE__REPORTING_INTERVAL", &reporting_interval)]);
    let ids = || transactional_ids(&broker.stack.brokers, &scenario.name);

    let mut run = start();
    for count in [4_000, 4_000] {
        scenario.feed(count);
        scenario.await_caught_up(&mut run);
        let (mut last, mut since) = (end(), Instant::now());
        wait_for("the broker to forget every transactional id", || {
            run.assert_running();
            if end() != last {
                (last, since) = (end(), Instant::now());
            }
            ids().is_empty().then_some(())
        });
        let idle = since.elapsed();
        let intervals = idle.as_millis() / REPORTING_INTERVAL.as_millis();
        println!("no epoch in {idle:.1?}, which is {intervals} reporting intervals; the log ends at {last}");
        assert!(idle >= FORGOTTEN_AFTER / 2, "{idle:?}");
        assert_eq!(end(), last);

        scenario.feed(1_000);
        let said = run.wait_for_error();
        println!("{said}");
        assert!(said.contains("the brokers have forgotten it"), "{said}");
        run = start();
    }
    scenario.feed(usize::MAX);
    scenario.await_outputs(&mut run, &oracle);
    run.terminate();
    println!("{}", compare::everything(&scenario, &oracle));
}
