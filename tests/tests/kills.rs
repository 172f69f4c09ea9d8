//! Deaths in a row under load: at any moment, and at every named place.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use questline_tests::compare;
use questline_tests::dice::Dice;
use questline_tests::load::Load;
use questline_tests::play::{Play, of_days};
use questline_tests::process::{Questline, questline, questline_with};
use questline_tests::scenario::Scenario;
use questline_tests::stack::{Stack, wait_for};

/// Cuts come often, so that a life need not wait for them.
const CUTS: (&str, &str) = ("QUESTLINE__LAKE__MAX_FILE_AGE", "300ms");
/// And checkpoints.
const CHECKPOINTS: (&str, &str) = ("QUESTLINE__PIPELINE__CHECKPOINT_INTERVAL", "50ms");

/// Every place, with the latest passing at which it may end a life here.
const FAILPOINTS: [(&str, u64); 12] = [
    ("before-produce", 9),
    ("after-produce", 9),
    ("before-commit", 9),
    ("after-commit", 9),
    ("after-progress", 9),
    ("before-cut-record", 2),
    ("after-cut-record", 2),
    ("before-cut-put", 6),
    ("after-cut-put", 6),
    ("before-segment-put", 1),
    ("before-manifest-put", 1),
    ("after-manifest-put", 1),
];

/// A place that is passed once there are transactions old enough to go cold.
const LATE: &str = "before-cold-put";

/// How many lives, unless `QUESTLINE_DEATHS` says more: two end at each place, a SIGKILL ends the rest.
const DEATHS: usize = 32;

/// How many lives.
fn lives() -> usize {
    let wanted = std::env::var("QUESTLINE_DEATHS").ok();
    wanted.map_or(DEATHS, |wanted| wanted.parse().expect("QUESTLINE_DEATHS is a number")).max(DEATHS)
}

/// How a life ends.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// SIGKILL, once the log of epochs has grown by so much.
    Killed { growth: i64 },
    /// At the n-th passing of a place.
    At { name: &'static str, passing: u64 },
}

/// One life, under the load of `share` records. Answers by how much it made the log grow, and whether it went on
/// from a checkpoint.
fn live(scenario: &Scenario, workers: usize, death: Death, share: usize) -> (i64, bool) {
    let folder = cold_folder(scenario);
    let cold = ("QUESTLINE__CHECKPOINT__COLD_FOLDER", folder.to_str().expect("temporary paths are UTF-8"));
    let went_on = |run: &Questline| run.log().contains("checkpoint read");
    match death {
        Death::Killed { growth } => {
            let mut run = scenario.run_with(workers, &[CUTS, CHECKPOINTS, cold]);
            let mut load = Load::new(scenario, share);
            let grown = wait_for("the log of epochs to grow", || {
                run.assert_running();
                Some(load.go_on()).filter(|grown| *grown >= growth)
            });
            let went_on = went_on(&run);
            run.kill();
            (grown, went_on)
        }
        Death::At { name, passing } => {
            let failpoint = format!("{name}:{passing}");
            let variables = [CUTS, CHECKPOINTS, cold, ("QUESTLINE_FAILPOINT", &failpoint)];
            let mut run = scenario.run_with(workers, &variables);
            let mut load = Load::new(scenario, share);
            let mut grown = 0;
            wait_for(&format!("the end at {failpoint}"), || {
                grown = load.go_on();
                run.has_ended().then_some(())
            });
            assert_died_at(name, &mut run);
            (grown, went_on(&run))
        }
    }
}

fn cold_folder(scenario: &Scenario) -> PathBuf {
    scenario.folder().join("cold")
}

/// Files of cold transactions.
fn cold_files(scenario: &Scenario) -> usize {
    let files = std::fs::read_dir(cold_folder(scenario).join(&scenario.name)).into_iter().flatten();
    let names = files.map(|file| file.expect("it can be listed").file_name());
    names.filter(|name| name.to_string_lossy().starts_with("cold-")).count()
}

/// By the failpoint, and by nothing else.
fn assert_died_at(name: &str, run: &mut Questline) {
    const SIGABRT: i32 = 6;
    let (status, log) = (run.wait(), run.log());
    assert_eq!(status.signal(), Some(SIGABRT), "{status}\n{log}");
    let place: String = name.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
    assert!(log.contains(&format!("failpoint {place}: the process ends here\n")), "{name}\n{log}");
}

#[test]
fn deaths_in_a_row_lose_nothing_and_repeat_nothing() {
    let Some(stack) = Stack::from_env() else { return };
    let started = Instant::now();
    let play = Play::new(of_days(5, 3_300 * u64::try_from(lives()).expect("a few"), 11)).with_restrictions();
    let scenario = Scenario::new(stack, "kills", play);
    let oracle = scenario.play.oracle();
    let mut dice = Dice(20_260_601);
    let twice = FAILPOINTS.iter().flat_map(|(name, latest)| [(name, 1), (name, *latest)]);
    let at = twice.map(|(name, latest)| Death::At { name, passing: dice.between(latest.min(2), latest) });
    let mut deaths: Vec<Death> = at.collect();
    let kills = lives() - deaths.len() - 2;
    deaths.extend((0..kills).map(|_| Death::Killed { growth: i64::try_from(dice.between(1, 30)).expect("small") }));
    dice.shuffle(&mut deaths);
    // By then, two thirds of the play have been read.
    deaths.insert(deaths.len() * 2 / 3, Death::At { name: LATE, passing: 1 });
    deaths.push(Death::At { name: LATE, passing: 1 });

    let (mut grown, mut went_on, mut cold) = (Vec::new(), 0, 0);
    for (life, death) in deaths.iter().enumerate() {
        let share = scenario.left() / (deaths.len() + 1 - life);
        // Part of it is there before the start, so that there is a backlog.
        let backlog = share / dice.one_of(&[1, 2, 3, 4]);
        scenario.feed(backlog);
        let workers = [1, 2, 4][life % 3];
        let since = Instant::now();
        let (by, is_from_checkpoint) = live(&scenario, workers, *death, share - backlog);
        grown.push(by);
        went_on += usize::from(is_from_checkpoint);
        cold += usize::from(cold_files(&scenario) > 0);
        println!("{death:?} on {workers} workers after {:.1?}, the log grew by {by}", since.elapsed());
    }
    let at_work = grown.iter().filter(|grown| **grown > 0).count();
    assert!(at_work >= 20, "only {at_work} lives left something behind");
    assert!(went_on >= 15, "only {went_on} lives went on from a checkpoint");
    assert!(cold >= 10, "only {cold} lives left cold transactions behind");
    scenario.feed(usize::MAX);
    let mut run = scenario.run(2);
    scenario.await_outputs(&mut run, &oracle);
    run.terminate();
    println!("{}", compare::everything(&scenario, &oracle));
    let elapsed = started.elapsed();
    println!(
        "{} deaths survived in {elapsed:.1?}, {went_on} lives went on from a checkpoint, {cold} left cold files",
        deaths.len()
    );
    let config = scenario.config();
    let config = config.to_str().expect("temporary paths are UTF-8");
    let (code, said, wrong) = questline(["verify", "--config", config, "--complete"]);
    assert_eq!(code, 0, "{said}{wrong}");
    println!("{said}");

    // A start that finds all done changes nothing, and ends at once when asked.
    let mut run = scenario.run(4);
    scenario.await_outputs(&mut run, &oracle);
    let stopped = run.terminate();
    assert!(stopped < Duration::from_secs(10), "an idle pipeline took {stopped:?} to end");
    compare::everything(&scenario, &oracle);
}

#[test]
fn an_unknown_failpoint_is_an_error_that_lists_those_there_are() {
    for (value, expected) in [("nowhere:1", "nowhere"), ("before-commit", "before-commit:1"), ("", "``")] {
        let (code, _, said) = questline_with(&[("QUESTLINE_FAILPOINT", value)], ["run", "--config", "none.toml"]);
        assert_eq!(code, 2, "{said}");
        let line = said.lines().last().expect("it says why");
        assert!(line.starts_with("error: QUESTLINE_FAILPOINT: ") && line.contains(expected), "{said}");
        let lists_all = FAILPOINTS.iter().all(|(name, _)| line.contains(&format!("`{name}`")));
        assert_eq!(lists_all, value != "before-commit", "{said}");
    }
}
