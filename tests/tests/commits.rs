//! Commits whose outcome does not come back, by a proxy in front of the broker.

use questline_tests::compare;
use questline_tests::kafka_proxy::{Fault, KafkaProxy};
use questline_tests::play::{Play, recent};
use questline_tests::process::Questline;
use questline_tests::scenario::Scenario;
use questline_tests::stack::{Stack, wait_for};

const BROKERS: &str = "QUESTLINE__KAFKA__BROKERS";

/// A run that reaches the broker by way of the proxy.
fn run_through(scenario: &Scenario, proxy: &KafkaProxy, workers: usize) -> Questline {
    scenario.run_with(workers, &[(BROKERS, &proxy.address())])
}

#[test]
fn a_commit_whose_answer_is_lost_is_found_to_have_succeeded() {
    let Some(stack) = Stack::from_env() else { return };
    let proxy = KafkaProxy::start(&stack.brokers);
    let scenario = Scenario::new(stack, "lost-answers", Play::new(recent(20_000, 21)));
    let oracle = scenario.play.oracle();
    let mut run = run_through(&scenario, &proxy, 2);
    scenario.feed(2_000);
    scenario.await_caught_up(&mut run);
    for times in [1, 2, 5] {
        proxy.fail(Fault::Lost, times);
        wait_for("answers to be lost", || {
            run.assert_running();
            scenario.feed(100);
            (proxy.faults_left() == 0).then_some(())
        });
    }
    scenario.feed(usize::MAX);
    scenario.await_outputs(&mut run, &oracle);
    run.terminate();
    println!("{}", compare::everything(&scenario, &oracle));
}

#[test]
fn a_commit_with_an_unknown_outcome_ends_the_process_and_the_next_finds_out() {
    let Some(stack) = Stack::from_env() else { return };
    let proxy = KafkaProxy::start(&stack.brokers);
    let scenario = Scenario::new(stack, "unknown", Play::new(recent(20_000, 22)));
    let oracle = scenario.play.oracle();
    for workers in [1, 2, 4] {
        let mut run = run_through(&scenario, &proxy, workers);
        scenario.feed(3_000);
        scenario.await_caught_up(&mut run);
        let before = scenario.watch().decided_end(&scenario.topic("progress"), 0);
        proxy.fail(Fault::Unknown, 1);
        scenario.feed(500);
        let said = run.wait_for_error();
        assert!(said.contains("cannot commit the transaction"), "{said}");
        assert!(said.contains("the outcome is unknown"), "{said}");
        // The broker has committed, though it may still be writing the transaction's markers.
        wait_for("the log to have the commit", || {
            (scenario.watch().decided_end(&scenario.topic("progress"), 0) > before).then_some(())
        });
    }
    scenario.feed(usize::MAX);
    let mut run = scenario.run(2);
    scenario.await_outputs(&mut run, &oracle);
    run.terminate();
    println!("{}", compare::everything(&scenario, &oracle));
}

#[test]
fn a_commit_that_a_takeover_has_fenced_is_said_to_be_fenced_whatever_the_broker_answers() {
    let Some(stack) = Stack::from_env() else { return };
    let proxy = KafkaProxy::start(&stack.brokers);
    let scenario = Scenario::new(stack, "taken-over", Play::new(recent(20_000, 23)));
    let oracle = scenario.play.oracle();
    let mut first = run_through(&scenario, &proxy, 2);
    scenario.feed(5_000);
    scenario.await_caught_up(&mut first);
    // Its next commit comes only after the takeover, and its answer tells nothing.
    proxy.hold();
    scenario.feed(1_000);
    proxy.await_held();
    let mut second = scenario.run(1);
    wait_for("the second one to have taken over", || {
        second.assert_running();
        second.log().contains("log of epochs recovered").then_some(())
    });
    proxy.fail(Fault::Unknown, 1);
    proxy.release();
    let said = first.wait_for_error();
    assert!(said.contains("another instance of this pipeline has taken over"), "{said}");
    assert_eq!(proxy.faults_left(), 0, "the answer to the commit was replaced");
    scenario.feed(usize::MAX);
    scenario.await_outputs(&mut second, &oracle);
    second.terminate();
    println!("{}", compare::everything(&scenario, &oracle));
}

/// They are for tools that show lag: what was lost is told again, also where nothing is read any more.
#[test]
fn offsets_that_the_broker_did_not_take_are_published_again() {
    let Some(stack) = Stack::from_env() else { return };
    let proxy = KafkaProxy::start(&stack.brokers);
    let scenario = Scenario::new(stack, "lost-offsets", Play::new(recent(2_000, 24)));
    let mut run = run_through(&scenario, &proxy, 2);
    scenario.feed(1_000);
    scenario.await_caught_up(&mut run);
    // Epochs that move nothing may publish before those of the last records do.
    proxy.refuse_offsets(3);
    scenario.feed(usize::MAX);
    scenario.await_caught_up(&mut run);
    assert_eq!(proxy.refusals_left(), 0);
    run.terminate();
}
