//! Ends and starts of `questline run` on real servers: two at once, asked to stop, without a broker, with a
//! partition that was not there at the start.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use questline_tests::compare;
use questline_tests::play::{Play, recent};
use questline_tests::process::{page, questline};
use questline_tests::scenario::Scenario;
use questline_tests::stack::{Stack, wait_for};

#[test]
fn of_two_at_once_the_first_stops() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "two", Play::new(recent(20_000, 12)));
    let oracle = scenario.play.oracle();
    scenario.feed(5_000);
    let first = scenario.run(1);
    wait_for("the first one to commit", || scenario.is_caught_up().then_some(()));
    let mut second = scenario.run(2);
    let started = Instant::now();
    scenario.feed(usize::MAX);
    let last = first.wait_for_error();
    let stopped = started.elapsed();
    assert!(last.contains("another instance of this pipeline has taken over"), "{last}");
    println!("the first one said, after {stopped:.1?}: {last}");
    scenario.await_outputs(&mut second, &oracle);
    let caught_up = started.elapsed();
    let ended = second.terminate();
    println!("the second one had caught up after {caught_up:.1?}, and ended within {ended:.1?}");
    println!("{}", compare::everything(&scenario, &oracle));
}

/// It has bound its partitions and nothing else: what it reads next are definitions still.
#[test]
fn a_start_that_died_before_it_read_definitions_reads_them_first() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "early", Play::new(recent(10_000, 15)));
    let oracle = scenario.play.oracle();
    scenario.feed(usize::MAX);
    let mut run = scenario.run_with(2, &[("QUESTLINE_FAILPOINT", "after-commit:1")]);
    run.wait();
    let mut run = scenario.run(2);
    scenario.await_outputs(&mut run, &oracle);
    run.terminate();
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

/// Nobody listens on it.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("it has one").port()
}

#[test]
fn metrics_count_what_this_run_committed() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "metrics", Play::new(recent(20_000, 16)));
    let oracle = scenario.play.oracle();
    let (port, half) = (free_port(), scenario.play.sent.len() / 2);
    let listen = format!("127.0.0.1:{port}");
    let variables = [("QUESTLINE__METRICS__LISTEN", listen.as_str())];
    let is_ready = || page(("127.0.0.1", port), "/ready").filter(|page| page.starts_with("HTTP/1.1 200 ")).map(drop);
    let has = |metric: &str, value: usize| {
        let line = format!("questline_{metric}{{pipeline=\"{}\"}} {value}", scenario.name);
        page(("127.0.0.1", port), "/metrics").filter(|page| page.lines().any(|told| told == line)).map(drop)
    };

    scenario.feed(half);
    let mut run = scenario.run_with(1, &variables);
    wait_for("the first half to be counted", || {
        run.assert_running();
        has("events_read_total", half)
    });
    wait_for("the first run to be ready", is_ready);
    run.kill();
    // What the first run has committed is followed by the second one, and is none of its own.
    let mut run = scenario.run_with(2, &variables);
    wait_for("the second run to be ready", is_ready);
    assert!(has("events_read_total", 0).is_some(), "{:?}", page(("127.0.0.1", port), "/metrics"));
    scenario.feed(usize::MAX);
    wait_for("the second half to be counted", || has("events_read_total", scenario.play.sent.len() - half));
    scenario.await_outputs(&mut run, &oracle);
    let told = page(("127.0.0.1", port), "/metrics").expect("it still runs");
    assert!(told.contains("stage=\"commit\""), "{told}");
    run.terminate();
    println!("{}", compare::everything(&scenario, &oracle));
}

#[test]
fn without_a_broker_it_says_so_and_gives_up() {
    let port = free_port();
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
