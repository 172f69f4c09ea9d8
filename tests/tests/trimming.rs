//! The log of epochs loses what checkpoints make superfluous, and nothing else.

use questline_tests::compare;
use questline_tests::play::{Play, recent};
use questline_tests::process::Questline;
use questline_tests::scenario::Scenario;
use questline_tests::stack::{Stack, wait_for};

/// Feeds until `run` has put so many checkpoints.
fn feed_until(scenario: &Scenario, run: &mut Questline, checkpoints: usize) {
    wait_for("checkpoints", || {
        run.assert_running();
        scenario.feed(50);
        assert!(scenario.left() > 0, "too few records");
        (run.log().matches("checkpoint in place").count() >= checkpoints).then_some(())
    });
}

#[test]
fn what_two_checkpoints_have_is_removed_from_the_log() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "trimming", Play::new(recent(150_000, 61)));
    let oracle = scenario.play.oracle();
    let progress = scenario.topic("progress");
    let begin = || scenario.watch().begin(&progress, 0);

    let mut run = scenario.run_with(2, &[("QUESTLINE__CHECKPOINT__KEEP_LOG", "true")]);
    feed_until(&scenario, &mut run, 4);
    run.kill();
    assert_eq!(begin(), 0, "what is to be kept is kept");

    // Each life trims, dies, and the next one goes on from what is left.
    let mut before = 0;
    for workers in [1, 4, 2] {
        let mut run = scenario.run(workers);
        wait_for("the log to be trimmed", || {
            run.assert_running();
            scenario.feed(50);
            assert!(scenario.left() > 0, "too few records");
            (begin() > before).then_some(())
        });
        before = begin();
        run.kill();
    }

    // Other rules need what is gone.
    let refused = scenario.run_with(1, &[("QUESTLINE__LEDGER__RETENTION", "90d")]).wait_for_error();
    assert!(refused.contains("the log of epochs of") && refused.contains("begins with epoch"), "{refused}");
    assert!(refused.contains("other rules"), "{refused}");

    let mut run = scenario.run(2);
    scenario.feed(usize::MAX);
    scenario.await_outputs(&mut run, &oracle);
    run.terminate();
    println!("{}", compare::everything(&scenario, &oracle));
    println!("the log begins at offset {} of {}", begin(), scenario.watch().end(&progress, 0));
}
