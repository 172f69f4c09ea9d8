//! Speed, as far as a machine that does other things at once can tell: by ratios of what is measured in turns, with room
//! for noise. What `docs/benchmarks.md` promises is measured by `scripts/bench`; these hold what must not be lost unseen.

use std::time::Duration;

use pipeline::bench::{Workload, core};
use questline_tests::play::{Play, recent};
use questline_tests::process::bench_helper;
use questline_tests::scenario::Scenario;
use questline_tests::stack::Stack;

/// The least that it took in some rounds: what disturbs a round only adds to it.
fn least(rounds: &[Duration]) -> u128 {
    rounds.iter().min().expect("some rounds").as_nanos()
}

#[test]
fn an_event_costs_no_more_beside_missions_that_it_does_not_meet() {
    let workload =
        |unmatched| Workload { events: 40_000, players: 5_000, missions: 10, unmatched, span: 100, known: 0, bets: 0 };
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        few.push(core(&workload(0)).unwrap().all());
        many.push(core(&workload(5_000)).unwrap().all());
    }
    let (few, many) = (least(&few), least(&many));
    println!("{} ns an event beside 10 missions, {} beside 5,010", few / 40_000, many / 40_000);
    // 1.1 where it is measured well. A look at each mission would make it more than ten.
    assert!(many * 10 <= few * 16, "an event beside 5,010 missions takes {many} ns, beside 10 {few} ns");
}

#[test]
fn a_run_costs_no_more_than_so_many_bare_loops() {
    let Some(stack) = Stack::from_env() else { return };
    let brokers = stack.brokers.clone();
    let scenario = Scenario::new(stack, "relative", Play::new(recent(150_000, 52)));
    scenario.feed(usize::MAX);
    let topic = scenario.topic("events");
    let bare = bench_helper(["bare-loop", "--brokers", &brokers, "--topic", &topic]);
    let mut run = scenario.run(1);
    scenario.await_caught_up(&mut run);
    let questline = run.cpu_micros();
    let bare_again = bench_helper(["bare-loop", "--brokers", &brokers, "--topic", &topic]);
    run.terminate();
    let bare = [bare, bare_again].iter().map(|figures| figures["cpu_micros"].as_u64().unwrap()).max().unwrap();
    // Eight times as much without anything beside it.
    println!("{questline} µs of CPU for a run, {bare} for a bare loop: {} times as much", questline / bare);
    assert!(questline <= bare * 16, "a run takes {questline} µs of CPU, a bare loop {bare}");
}
