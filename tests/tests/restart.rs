//! Ends and starts of `questline run` on real servers: killed at any moment, two at once, asked to stop,
//! without a broker, with a partition that was not there at the start.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use questline_tests::compare;
use questline_tests::play::{Play, recent};
use questline_tests::process::{Questline, questline};
use questline_tests::scenario::Scenario;
use questline_tests::stack::{Stack, wait_for};

/// Seeded draws.
struct Dice(u64);

impl Dice {
    /// Splitmix64, to `low..=high`.
    fn between(&mut self, low: i64, high: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let span = u64::try_from(high - low + 1).expect("low is below high");
        low + i64::try_from((mixed ^ (mixed >> 31)) % span).expect("below high")
    }
}

/// Kills a run once its log of epochs has grown by so much, or once it has nothing more to do. What is
/// left of its share is fed piece by piece meanwhile. Answers by how much the log had grown, and
/// whether there was still something to do.
fn kill_in_mid_load(scenario: &Scenario, mut run: Questline, mut share: usize, growth: i64) -> (i64, bool) {
    let progress = scenario.topic("progress");
    let before = scenario.watch().end(&progress, 0);
    let told = wait_for("the log of epochs to grow", || {
        run.assert_running();
        let grown = scenario.watch().end(&progress, 0) - before;
        if grown >= growth {
            return Some((grown, true));
        }
        let piece = share.min(250);
        if piece > 0 {
            scenario.feed(piece);
            share -= piece;
        } else if scenario.is_caught_up() {
            return Some((grown, false));
        }
        None
    });
    run.kill();
    told
}

#[test]
fn killed_at_any_moment_nothing_is_lost_and_nothing_is_repeated() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "restart", Play::new(recent(200_000, 11)));
    let oracle = scenario.play.oracle();
    let mut dice = Dice(20_260_601);
    let lives = [1, 1, 2, 4, 1, 2, 4, 2];
    let mut told = Vec::new();
    for (life, workers) in (0..).zip(lives) {
        let share = scenario.left() / (lives.len() + 1 - life);
        // Part of it is there before the start, so that there is a backlog.
        let backlog = share / usize::try_from(dice.between(1, 4)).expect("1 to 4");
        scenario.feed(backlog);
        let run = scenario.run(workers);
        let growth = dice.between(1, 12);
        told.push(kill_in_mid_load(&scenario, run, share - backlog, growth));
    }
    let at_work = told.iter().filter(|(_, is_at_work)| *is_at_work).count();
    assert!(at_work >= 5, "only {at_work} of {told:?} were killed at work");
    scenario.feed(usize::MAX);
    let mut run = scenario.run(2);
    scenario.await_outputs(&mut run, &oracle);
    run.terminate();
    println!("{}", compare::everything(&scenario, &oracle));
    println!("killed {} times, after the log of epochs had grown by (and at work) {told:?}", lives.len());

    // A start that finds all done changes nothing, and ends at once when asked.
    let mut run = scenario.run(4);
    scenario.await_outputs(&mut run, &oracle);
    let stopped = run.terminate();
    assert!(stopped < Duration::from_secs(10), "an idle pipeline took {stopped:?} to end");
    compare::everything(&scenario, &oracle);
}

#[test]
fn of_two_at_once_the_first_stops() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "two", Play::new(recent(20_000, 12)));
    let oracle = scenario.play.oracle();
    scenario.feed(5_000);
    let mut first = scenario.run(1);
    wait_for("the first one to commit", || scenario.is_caught_up().then_some(()));
    let mut second = scenario.run(2);
    let started = Instant::now();
    scenario.feed(usize::MAX);
    let status = first.wait();
    let stopped = started.elapsed();
    let log = first.log();
    assert_eq!(status.code(), Some(1), "{log}");
    let last = log.lines().last().expect("it says why");
    assert!(last.starts_with("error: ") && last.contains("another"), "{last}");
    println!("the first one said, after {stopped:.1?}: {last}");
    scenario.await_outputs(&mut second, &oracle);
    let caught_up = started.elapsed();
    let ended = second.terminate();
    println!("the second one had caught up after {caught_up:.1?}, and ended within {ended:.1?}");
    println!("{}", compare::everything(&scenario, &oracle));
}

#[test]
fn a_pipeline_without_events_stops_at_once() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "idle", Play::new(recent(1, 13)));
    let run = scenario.run(2);
    let watch = scenario.watch();
    wait_for("the first epoch", || (watch.end(&scenario.topic("progress"), 0) > 0).then_some(()));
    let stopped = run.terminate();
    assert!(stopped < Duration::from_secs(5), "{stopped:?}");
}

#[test]
fn a_partition_that_comes_later_is_read() {
    let Some(stack) = Stack::from_env() else { return };
    let mut play = Play::new(recent(20_000, 14));
    play.sent.sort_by_key(|record| record.partition);
    let first = play.sent.iter().filter(|record| record.partition < 2).count();
    let mut scenario = Scenario::with_partitions(stack, "grow", play, 2);
    scenario.feed(first);
    let mut run = scenario.run(2);
    let watch = scenario.watch();
    wait_for("the first partitions to be read", || {
        run.assert_running();
        let committed = watch.committed(&scenario.topic("events"), 2);
        (committed == scenario.ends()[..2]).then_some(())
    });
    scenario.grow();
    scenario.feed(usize::MAX);
    let oracle = scenario.play.oracle();
    scenario.await_outputs(&mut run, &oracle);
    run.terminate();
    println!("{}", compare::everything(&scenario, &oracle));
}

#[test]
fn without_a_broker_it_says_so_and_gives_up() {
    // A port that nobody listens on.
    let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("it has one").port();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("pipeline.toml");
    let text =
        format!("[pipeline]\nname = \"nobody\"\n[kafka]\nbrokers = \"127.0.0.1:{port}\"\nstartup_timeout = \"2s\"\n");
    std::fs::write(&config, text).expect("a temporary file can be written");
    let started = Instant::now();
    let (code, _, said) = questline(["run", "--config", config.to_str().expect("UTF-8")]);
    let waited = started.elapsed();
    assert_eq!(code, 1, "{said}");
    assert!(waited >= Duration::from_secs(2) && waited < Duration::from_secs(20), "{waited:?}");
    let last = said.lines().last().expect("it says why");
    assert!(last.starts_with("error: ") && last.contains(&format!("127.0.0.1:{port}")), "{said}");
}
