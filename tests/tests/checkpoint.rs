//! A start that goes on from a checkpoint, on real servers: what comes out is what would have come out.

use questline_tests::compare;
use questline_tests::play::{Play, recent};
use questline_tests::process::{Questline, questline};
use questline_tests::scenario::Scenario;
use questline_tests::stack::{Stack, wait_for};

/// The number behind `name=` in each line of `log` that has `what`.
fn told(log: &str, what: &str, name: &str) -> Vec<u64> {
    let number = |line: &str| {
        let (_, rest) = line.split_once(&format!(" {name}="))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    log.lines().filter(|line| line.contains(what)).filter_map(number).collect()
}

/// Feeds until the run has put a checkpoint from which a start follows epochs beyond `first`, and leaves at least
/// `rest` records. Answers where it begins.
fn feed_until_checkpoint(scenario: &Scenario, run: &mut Questline, first: u64, rest: usize) -> u64 {
    wait_for("checkpoints", || {
        run.assert_running();
        if scenario.left() > rest {
            scenario.feed(100);
        }
        told(&run.log(), "checkpoint in place", "first").last().copied().filter(|next| *next > first)
    })
}

#[test]
fn a_start_goes_on_from_the_last_checkpoint() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "checkpoint", Play::new(recent(150_000, 21)));
    let oracle = scenario.play.oracle();
    let mut first = 0;
    for (life, workers) in [1, 2, 4, 1].into_iter().enumerate() {
        let mut run = scenario.run(workers);
        let rest = scenario.left() / 5 * (4 - life);
        let next = feed_until_checkpoint(&scenario, &mut run, first, rest);
        let read = told(&run.log(), "checkpoint read", "first");
        // Another one may have come between the last look and the kill.
        assert!(if life > 0 { read[0] >= first } else { read.is_empty() }, "life {life}: {read:?}, not {first}");
        first = next;
        run.kill();
    }
    let mut run = scenario.run(2);
    scenario.feed(usize::MAX);
    scenario.await_outputs(&mut run, &oracle);
    let log = run.log();
    run.terminate();
    println!("{}", compare::everything(&scenario, &oracle));
    let config = scenario.config();
    let config = config.to_str().expect("temporary paths are UTF-8");
    let (code, said, wrong) = questline(["verify", "--config", config, "--complete"]);
    assert_eq!(code, 0, "{said}{wrong}");
    let (code, said, wrong) = questline(["checkpoint", "verify", "--config", config]);
    assert_eq!(code, 0, "{said}{wrong}");
    println!("{said}");
    let of_last = |name| told(&log, "checkpoint read", name);
    println!("the last start followed epochs {:?} to {:?}", of_last("first"), of_last("upper"));
    assert!(of_last("first")[0] >= first, "{log}");
}
