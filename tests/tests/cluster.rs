//! One pipeline on several processes: the same outputs, whatever is lost and however many go on.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use questline_tests::cluster::{Cluster, hosts};
use questline_tests::compare;
use questline_tests::load::Load;
use questline_tests::play::{Play, recent};
use questline_tests::process::{Questline, questline};
use questline_tests::scenario::Scenario;
use questline_tests::stack::{Stack, wait_for};

/// How long the end of one process may take to end the others, on a machine that is busy with tests.
const QUICKLY: Duration = Duration::from_secs(5);

/// The run keeps up with a load until the log has grown by so much.
fn grow(scenario: &Scenario, run: &mut [Questline], share: usize, by: i64) {
    let mut load = Load::new(scenario, share);
    wait_for("the log of epochs to grow", || {
        run.iter_mut().for_each(Questline::assert_running);
        (load.go_on() >= by).then_some(())
    });
}

fn verify(scenario: &Scenario) {
    let config = scenario.config();
    let config = config.to_str().expect("temporary paths are UTF-8");
    let (code, said, wrong) = questline(["verify", "--config", config, "--complete"]);
    assert_eq!(code, 0, "{said}{wrong}");
}

#[test]
fn two_processes_do_the_main_job() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "cluster", Play::new(recent(20_000, 31)));
    let oracle = scenario.play.oracle();
    scenario.feed(10_000);
    let mut cluster = Cluster::start(&scenario, 2, 2, &[]);
    scenario.feed(usize::MAX);
    cluster.await_outputs(&scenario, &oracle);
    // Whichever is asked, all end in order.
    let stopped = cluster.terminate(1);
    println!("{}", compare::everything(&scenario, &oracle));
    println!("a graceful end took {stopped:.1?}");
    verify(&scenario);
}

#[test]
fn the_loss_of_one_ends_the_others_and_the_next_start_goes_on() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "loss", Play::new(recent(20_000, 32)));
    let oracle = scenario.play.oracle();
    for lost in [1, 0, 2] {
        let mut cluster = Cluster::start(&scenario, 3, 1, &[]);
        let share = scenario.left() / 4;
        grow(&scenario, &mut cluster.processes, share, 8);
        let address = cluster.address(lost);
        let killed = Instant::now();
        for (process, why) in cluster.kill(lost) {
            let took = killed.elapsed();
            assert!(took < QUICKLY, "process {process} took {took:?}: {why}");
            assert!(why.contains(&format!("lost process {lost} ({address})")), "process {process}: {why}");
            println!("process {process} after {took:.1?}: {why}");
        }
    }
    scenario.feed(usize::MAX);
    let mut cluster = Cluster::start(&scenario, 3, 1, &[]);
    cluster.await_outputs(&scenario, &oracle);
    cluster.terminate(0);
    println!("{}", compare::everything(&scenario, &oracle));
    verify(&scenario);
}

/// One worker, then four of two processes, then two of one, with kills between them.
#[test]
fn another_number_of_processes_and_workers_goes_on() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "rescale", Play::new(recent(20_000, 33)));
    let oracle = scenario.play.oracle();
    let mut went_on = 0;
    for (processes, workers) in [(1, 1), (2, 2), (1, 2), (2, 1)] {
        let mut cluster = Cluster::start(&scenario, processes, workers, &[]);
        let share = scenario.left() / 5;
        grow(&scenario, &mut cluster.processes, share, 20);
        // So that there is state to divide anew.
        wait_for("a checkpoint", || {
            cluster.assert_running();
            cluster.processes[0].log().contains("checkpoint in place").then_some(())
        });
        went_on += usize::from(cluster.processes[0].log().contains("checkpoint read"));
        cluster.kill(processes - 1);
    }
    assert_eq!(went_on, 3, "each start but the first goes on from a checkpoint");
    scenario.feed(usize::MAX);
    let mut cluster = Cluster::start(&scenario, 1, 2, &[]);
    cluster.await_outputs(&scenario, &oracle);
    cluster.terminate(0);
    println!("{}", compare::everything(&scenario, &oracle));
    verify(&scenario);
}

/// Process 0 commits, cuts and keeps checkpoints for all: it dies at each such place, and a start with others goes on.
#[test]
fn deaths_of_the_process_that_commits_lose_nothing_and_repeat_nothing() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "cluster-deaths", Play::new(recent(20_000, 37)));
    let oracle = scenario.play.oracle();
    let often = [("QUESTLINE__LAKE__MAX_FILE_AGE", "300ms"), ("QUESTLINE__PIPELINE__CHECKPOINT_INTERVAL", "50ms")];
    let places = ["before-commit:3", "after-commit:3", "before-cut-put:2", "after-cut-put:2", "before-manifest-put:1"];
    for (life, place) in places.into_iter().chain(["after-manifest-put:2"]).enumerate() {
        let workers = [1, 2][life % 2];
        let variables = [often[0], often[1], ("QUESTLINE_FAILPOINT", place)];
        let Cluster { mut processes, .. } = Cluster::start(&scenario, 2, workers, &variables);
        let mut load = Load::new(&scenario, scenario.left() / 7);
        wait_for(&format!("the end at {place}"), || {
            load.go_on();
            processes[0].has_ended().then_some(())
        });
        let log = processes[0].log();
        assert!(log.contains("failpoint") && log.contains("the process ends here"), "{place}: {log}");
        let why = processes.remove(1).wait_for_error();
        assert!(why.contains("lost process 0"), "{place}: {why}");
    }
    scenario.feed(usize::MAX);
    let mut cluster = Cluster::start(&scenario, 2, 2, &[]);
    cluster.await_outputs(&scenario, &oracle);
    cluster.terminate(0);
    println!("{}", compare::everything(&scenario, &oracle));
    verify(&scenario);
}

#[test]
fn a_partition_that_comes_later_is_read_by_its_process() {
    let Some(stack) = Stack::from_env() else { return };
    let mut play = Play::new(recent(10_000, 34));
    play.sent.sort_by_key(|record| record.partition);
    let first = play.sent.iter().filter(|record| record.partition < 1).count();
    let mut scenario = Scenario::with_partitions(stack, "cluster-grow", play, 1);
    scenario.feed(first);
    let mut cluster = Cluster::start(&scenario, 2, 1, &[]);
    wait_for("the first partition to be read", || {
        cluster.assert_running();
        let committed = scenario.watch().committed(&scenario.topic("events"), 1);
        (committed == scenario.ends()[..1]).then_some(())
    });
    scenario.grow();
    scenario.feed(usize::MAX);
    let oracle = scenario.play.oracle();
    cluster.await_outputs(&scenario, &oracle);
    cluster.terminate(0);
    println!("{}", compare::everything(&scenario, &oracle));
}

#[test]
fn a_process_that_differs_is_refused_and_the_right_one_still_comes() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "differs", Play::new(recent(100, 35)));
    let hosts = hosts(2);
    let leader = scenario.run_among(&hosts, 0, 2, &[]);
    let refused = |workers, variables| scenario.run_among(&hosts, 1, workers, variables).wait_for_error();
    let said = refused(2, &[("QUESTLINE__LEDGER__RETENTION", "90d")]);
    assert!(said.contains("refused this process: another configuration in [ledger]"), "{said}");
    let said = refused(1, &[]);
    assert!(said.contains("another number of workers: process 0 has 2, and it has 1"), "{said}");
    let said = refused(2, &[("QUESTLINE__PIPELINE__NAME", "other")]);
    assert!(said.contains("another pipeline"), "{said}");
    let follower = scenario.run_among(&hosts, 1, 2, &[]);
    let mut cluster = Cluster { hosts, processes: vec![leader, follower] };
    wait_for("the first epoch", || {
        cluster.assert_running();
        (scenario.watch().end(&scenario.topic("progress"), 0) > 0).then_some(())
    });
    cluster.terminate(0);
}

#[test]
fn one_that_waits_in_vain_says_for_whom() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "vain", Play::new(recent(1, 36)));
    let patience = [("QUESTLINE__KAFKA__STARTUP_TIMEOUT", "1s")];
    let hosts = hosts(2);
    let said = scenario.run_among(&hosts, 0, 1, &patience).wait_for_error();
    assert!(said.contains(&format!("gave up waiting for process 1 ({})", hosts[1])), "{said}");
    let said = scenario.run_among(&hosts, 1, 1, &patience).wait_for_error();
    assert!(said.contains(&format!("cannot reach process 0 ({})", hosts[0])), "{said}");
    let taken = TcpListener::bind(&hosts[0]).expect("nobody listens there");
    let said = scenario.run_among(&hosts, 0, 1, &patience).wait_for_error();
    assert!(said.contains(&format!("cannot listen at {}", hosts[0])), "{said}");
    drop(taken);
}

#[test]
fn wrong_flags_are_told() {
    for (arguments, expected) in [
        (&["--process", "0"][..], "--hosts"),
        (&["--hosts", "a:1,b:2"], "--process"),
        (&["--process", "2", "--hosts", "a:1,b:2"], "--process 2: --hosts a:1,b:2 names the processes 0 to 1"),
        (&["--process", "0", "--hosts", "a:1,b"], "number 2: \"b\" has no port"),
        (&["--process", "0", "--hosts", "no-such-file"], "--hosts no-such-file: cannot be read"),
    ] {
        let (code, _, said) = questline(["run", "--config", "none.toml"].into_iter().chain(arguments.iter().copied()));
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}
