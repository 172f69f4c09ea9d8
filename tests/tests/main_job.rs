//! The main job, end to end: generated play in a real Kafka, completions and activity out of it,
//! history and reports in a real S3 server, all of it equal to a naive recomputation.

use std::time::Instant;

use questline_tests::compare;
use questline_tests::play::{Play, recent};
use questline_tests::scenario::Scenario;
use questline_tests::stack::Stack;

#[test]
fn a_million_events_come_out_as_recomputed() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "main", Play::new(recent(1_000_000, 7)));
    scenario.feed(usize::MAX);
    let oracle = scenario.play.oracle();
    let started = Instant::now();
    let mut run = scenario.run(2);
    scenario.await_outputs(&mut run, &oracle);
    let ran = started.elapsed();
    let stopped = run.terminate();
    println!("{}", compare::everything(&scenario, &oracle));
    println!("all of it was out {ran:.1?} after the start; a graceful end took {stopped:.1?}");
}
