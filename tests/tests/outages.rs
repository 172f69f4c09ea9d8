//! A broker of its own, which is killed in the middle of a transaction; and processes that die in one.

use questline_tests::compare;
use questline_tests::kafka::{OpenTransaction, transactional_ids};
use questline_tests::kafka_proxy::KafkaProxy;
use questline_tests::play::{Play, recent};
use questline_tests::process::Questline;
use questline_tests::scenario::Scenario;
use questline_tests::stack::{OwnBroker, Stack, wait_for};

/// The process that goes on: `run` itself, or, where the outage has ended it clearly, the next one.
fn going_on(scenario: &Scenario, mut run: Questline, next: impl Fn() -> Questline) -> Questline {
    wait_for("the pipeline to catch up, or to end", || (run.has_ended() || scenario.is_caught_up()).then_some(()));
    if !run.has_ended() {
        println!("it survived");
        return run;
    }
    let said = run.wait_for_error();
    println!("it ended: {said}");
    assert!(said.contains("outcome is unknown") || said.contains("nothing was written"), "{said}");
    next()
}

/// Waits until every commit that the broker has answered is in the partitions too. Of one that is not, a single broker
/// that is killed may lose the markers: restarted, it sends them while its own partitions have no leader yet, takes
/// these for deleted ("these partitions are likely deleted already and hence can be skipped", Kafka 4.3.1), and whoever
/// reads committed records waits for ever. docs/operations.md tells users.
fn await_markers(scenario: &Scenario) {
    let ids = || transactional_ids(&scenario.stack.brokers, &scenario.name);
    wait_for("the markers of what is committed", || ids().values().all(|is_prepared| !is_prepared).then_some(()));
}

#[test]
fn a_broker_that_is_killed_in_mid_transaction_costs_nothing() {
    let Some(stack) = Stack::from_env() else { return };
    let broker = OwnBroker::start(stack, &[]);
    let proxy = KafkaProxy::start(&broker.stack.brokers);
    let scenario = Scenario::new(broker.stack.clone(), "outage", Play::new(recent(20_000, 41)));
    let oracle = scenario.play.oracle();
    let start = || scenario.run_with(2, &[("QUESTLINE__KAFKA__BROKERS", &proxy.address())]);
    let mut run = start();
    scenario.feed(4_000);
    scenario.await_caught_up(&mut run);

    // Everything is written and acknowledged, the commit has not been asked for.
    proxy.hold();
    scenario.feed(1_000);
    proxy.await_held();
    await_markers(&scenario);
    broker.kill();
    proxy.release();
    broker.restart();
    scenario.feed(4_000);
    run = going_on(&scenario, run, start);

    // The broker has committed, its answer is lost, and then it is killed.
    proxy.lose_and_hold();
    scenario.feed(1_000);
    proxy.await_held();
    await_markers(&scenario);
    broker.kill();
    proxy.release();
    broker.restart();
    scenario.feed(usize::MAX);
    run = going_on(&scenario, run, start);

    scenario.await_outputs(&mut run, &oracle);
    run.terminate();
    println!("{}", compare::everything(&scenario, &oracle));
}

#[test]
fn what_a_dead_process_left_open_is_aborted_by_the_next_start_or_by_the_timeout() {
    let Some(stack) = Stack::from_env() else { return };
    // The broker looks often for transactions that have timed out.
    let broker = OwnBroker::start(stack, &["transaction.abort.timed.out.transaction.cleanup.interval.ms=200"]);
    let scenario = Scenario::new(broker.stack.clone(), "left-open", Play::new(recent(20_000, 42)));
    let oracle = scenario.play.oracle();
    let progress = scenario.topic("progress");
    for (passing, timeout) in [("before-commit:2", "60s"), ("before-commit:3", "1s"), ("after-produce:2", "1s")] {
        let variables = [("QUESTLINE_FAILPOINT", passing), ("QUESTLINE__KAFKA__TRANSACTION_TIMEOUT", timeout)];
        let mut run = scenario.run_with(2, &variables);
        wait_for("the end at the failpoint", || {
            scenario.feed(100);
            run.has_ended().then_some(())
        });
        let (all, decided) = (scenario.watch().end(&progress, 0), scenario.watch().decided_end(&progress, 0));
        if timeout == "1s" {
            // Longer down than the timeout: the broker has aborted it before the next start.
            wait_for("the broker to give the transaction up", || {
                let decided = scenario.watch().decided_end(&progress, 0);
                (decided >= all && decided == scenario.watch().end(&progress, 0)).then_some(())
            });
        } else {
            assert!(decided < all, "a transaction is open at {decided} of {all}");
        }
    }
    scenario.feed(usize::MAX);
    let mut run = scenario.run(1);
    scenario.await_outputs(&mut run, &oracle);
    run.terminate();
    println!("{}", compare::everything(&scenario, &oracle));
}

#[test]
fn consumers_that_do_not_get_on_are_told_of() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "undecided", Play::new(recent(2_000, 45)));
    let oracle = scenario.play.oracle();
    let mut run = scenario.run_with(1, &[("QUESTLINE__KAFKA__TRANSACTION_TIMEOUT", "1s")]);
    scenario.feed(1_000);
    scenario.await_caught_up(&mut run);
    // Another program's, and longer than one of ours may be.
    let open = OpenTransaction::begin(&scenario.stack.brokers, &scenario.topic("activity"));
    scenario.feed(usize::MAX);
    wait_for("the warning", || {
        run.assert_running();
        run.log()
            .lines()
            .any(|line| line.contains("left a transaction undecided") && line.contains("-activity"))
            .then_some(())
    });
    open.abort();
    scenario.await_outputs(&mut run, &oracle);
    run.terminate();
    println!("{}", compare::everything(&scenario, &oracle));
}
