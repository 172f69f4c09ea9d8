//! A pipeline whose store refuses, is silent, and loses answers, by a proxy in front of the S3 server.

use std::time::Instant;

use questline_tests::compare;
use questline_tests::load::Load;
use questline_tests::play::{Play, recent};
use questline_tests::process::Questline;
use questline_tests::s3_proxy::{OF_PUTS, S3Proxy};
use questline_tests::scenario::Scenario;
use questline_tests::stack::{Stack, wait_for};

fn run_through(scenario: &Scenario, proxy: &S3Proxy, workers: usize, keep_log: bool) -> Questline {
    // A request that is not answered is given up soon; cuts come often, so that there are many.
    let variables = [
        ("QUESTLINE__CHECKPOINT__KEEP_LOG", keep_log.to_string()),
        ("QUESTLINE__LAKE__S3__ENDPOINT", proxy.endpoint()),
        ("QUESTLINE__LAKE__MAX_FILE_AGE", "300ms".to_owned()),
        ("AWS_TIMEOUT", "1 second".to_owned()),
    ];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    scenario.run_with(workers, &variables)
}

#[test]
fn a_store_that_fails_every_third_time_gets_every_row_once() {
    let Some(stack) = Stack::from_env() else { return };
    let proxy = S3Proxy::start(&stack.s3_endpoint, 20_260_602, 33);
    let scenario = Scenario::new(stack, "store", Play::new(recent(20_000, 31)));
    let oracle = scenario.play.oracle();
    let started = Instant::now();
    // The first two die with puts under way, whose outcome they never learn.
    for (workers, share) in [(2, 8_000), (1, 8_000)] {
        let mut run = run_through(&scenario, &proxy, workers, false);
        let met = proxy.met_by_puts().values().sum::<u32>();
        let mut load = Load::new(&scenario, share);
        wait_for("faults", || {
            run.assert_running();
            load.go_on();
            (proxy.met_by_puts().values().sum::<u32>() >= met + 9).then_some(())
        });
        run.kill();
    }
    scenario.feed(usize::MAX);
    let mut run = run_through(&scenario, &proxy, 4, false);
    scenario.await_outputs(&mut run, &oracle);
    run.terminate();
    println!("{}", compare::everything(&scenario, &oracle));
    let met = proxy.met_by_puts();
    println!("after {:.1?} puts had met {met:?}, other requests {}", started.elapsed(), proxy.met_by_reads());
    let missing: Vec<_> = OF_PUTS.iter().filter(|fault| !met.contains_key(fault)).collect();
    assert!(missing.is_empty(), "no put met {missing:?}");
}

#[test]
fn objects_that_the_listing_does_not_show_are_found_to_be_ours() {
    let Some(stack) = Stack::from_env() else { return };
    let proxy = S3Proxy::start(&stack.s3_endpoint, 1, 0);
    let scenario = Scenario::new(stack, "hidden", Play::new(recent(10_000, 32)));
    let oracle = scenario.play.oracle();
    scenario.feed(usize::MAX);
    // Checkpoints are hidden too: a start can do without only while the log has its beginning.
    let mut run = run_through(&scenario, &proxy, 1, true);
    scenario.await_outputs(&mut run, &oracle);
    run.terminate();
    compare::everything(&scenario, &oracle);
    // Every object is put again, found to be there, and compared by its footer.
    proxy.hide_objects();
    let mut run = run_through(&scenario, &proxy, 2, true);
    scenario.await_outputs(&mut run, &oracle);
    run.terminate();
    println!("{}", compare::everything(&scenario, &oracle));
}
