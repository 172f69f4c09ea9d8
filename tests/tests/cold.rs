//! Transactions and rows of activity that are not in memory, on real servers: a recomputation that has them all in memory finds nothing wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use datasets::Timestamp;
use questline_tests::cluster::Cluster;
use questline_tests::oracle::Sent;
use questline_tests::play::{Play, of_days};
use questline_tests::process::{Questline, questline};
use questline_tests::scenario::Scenario;
use questline_tests::stack::{Stack, wait_for};

const DAY: i64 = 86_400_000_000;
/// Bets of the first day that come again at the end, and as many others that are reversed then.
const ASKED: usize = 1_500;

/// Game types that one player bets on in the first day: as many rows as go cold together, and a few more. Each has one more bet of that day, which comes
/// at the end.
const GAMES: usize = 1_100;
/// Records that ask for the first day.
const LAST: usize = 2 * ASKED + GAMES;

/// Play of nearly six days, behind which some of the first day comes again, is reversed or has been forgotten to be sent.
fn play() -> Play {
    let mut play = Play::new(of_days(5, 60_000, 33));
    let text = |value: &serde_json::Value, name: &str| value.get(name)?.as_str().map(str::to_owned);
    let is_old = |sent: &&Sent| sent.ingest < play.sent[0].ingest + DAY;
    let bets = play.sent.iter().take_while(is_old).filter_map(|sent| {
        let value: serde_json::Value = serde_json::from_slice(&sent.value).ok()?;
        (text(&value, "event_name")? == "bet_placed").then_some(())?;
        Some((sent.clone(), text(&value, "player_id")?, text(&value, "transaction_id")?))
    });
    let bets: Vec<(Sent, String, String)> = bets.take(2 * ASKED).collect();
    assert_eq!(bets.len(), 2 * ASKED, "the first day has more");
    let (first, collector, _) = bets[0].clone();
    let of_games = |name: &str, ingest: i64| {
        let time = Timestamp::from_micros(first.ingest);
        let bets = (0..GAMES).map(|game| {
            let value = format!(
                r#"{{"player_id":"{collector}","event_id":"{name}_{game}","event_name":"bet_placed","transaction_id":"{name}_{game}","amount":"1.{:02}","currency":"EUR","game_type":"game {game}","timestamp":"{time}"}}"#,
                game % 100
            );
            Sent { ingest, value: value.into_bytes(), ..first.clone() }
        });
        bets.collect::<Vec<_>>()
    };
    play.sent.splice(1..1, of_games("early", first.ingest));
    let mut ingest = play.sent.last().expect("there is play").ingest;
    for (number, (bet, player, id)) in bets.into_iter().enumerate() {
        ingest += 1_000;
        let value = if number % 2 == 0 {
            bet.value.clone()
        } else {
            let time = Timestamp::from_micros(ingest);
            format!(
                r#"{{"player_id":"{player}","event_id":"back_{number}","event_name":"reversal","transaction_id":"back_{number}","reference_id":"{id}","timestamp":"{time}"}}"#
            )
            .into_bytes()
        };
        play.sent.push(Sent { ingest, value, ..bet });
    }
    play.sent.extend(of_games("late", ingest));
    let mut next = BTreeMap::new();
    for sent in &mut play.sent {
        let next = next.entry(sent.partition).or_insert(0);
        sent.offset = *next;
        *next += 1;
    }
    play
}

/// A pipeline with a folder for what is cold.
struct Cold {
    scenario: Scenario,
    folder: String,
}

impl Cold {
    fn new(stack: Stack) -> Self {
        let scenario = Scenario::new(stack, "cold", play());
        let folder = scenario.folder().join("cold").to_str().expect("temporary paths are UTF-8").to_owned();
        Cold { scenario, folder }
    }

    fn of_pipeline(&self) -> PathBuf {
        Path::new(&self.folder).join(&self.scenario.name)
    }

    fn files(&self) -> Vec<PathBuf> {
        files_in(&self.of_pipeline())
    }

    fn run(&self, workers: usize) -> Questline {
        self.scenario.run_with(workers, &[("QUESTLINE__CHECKPOINT__COLD_FOLDER", &self.folder)])
    }

    /// Feeds what does not ask for the first day, until there are so many files, one with rows, and checkpoints behind them.
    fn grow_cold(&self, run: &mut Questline, files: usize) {
        let (mut enough, mut committed) = (None, 0);
        let (watch, log) = (self.scenario.watch(), self.scenario.topic("progress"));
        wait_for("transactions and rows to go cold", || {
            run.assert_running();
            // Checkpoints are put behind epochs, and events open those: a few more for each commit, and fewer and fewer, so
            // that a slow machine does not run out of them.
            let end = watch.end(&log, 0);
            if std::mem::replace(&mut committed, end) < end {
                self.scenario.feed(500.min((self.scenario.left() - LAST).div_ceil(100)));
            }
            let there = checkpoints(run);
            let on_disk = self.files();
            let has_rows = on_disk.iter().any(|file| file.to_string_lossy().ends_with("-kept"));
            enough = enough.or((on_disk.len() >= files && has_rows).then_some(there));
            enough.is_some_and(|then| there > then + 1).then_some(())
        });
    }

    /// The recomputation, which has all in memory, and the checkpoint itself.
    fn verify(&self) {
        let config = self.scenario.config();
        let config = config.to_str().expect("temporary paths are UTF-8");
        let (code, said, wrong) = questline(["verify", "--config", config, "--complete"]);
        assert_eq!(code, 0, "{said}{wrong}");
        println!("{said}{} files", self.files().len());
        let (code, said, wrong) = questline(["checkpoint", "verify", "--config", config]);
        assert_eq!(code, 0, "{said}{wrong}");
    }
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).into_iter().flatten();
    let paths = files.map(|file| file.expect("it can be listed").path());
    paths.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("cold-"))).collect()
}

fn checkpoints(run: &Questline) -> usize {
    run.log().matches("checkpoint in place").count()
}

#[test]
fn what_is_cold_is_known_after_a_kill() {
    let Some(stack) = Stack::from_env() else { return };
    let cold = Cold::new(stack);
    let mut run = cold.run(1);
    cold.grow_cold(&mut run, 3);
    run.kill();
    // Another disk has nothing of it.
    let on_disk = cold.files();
    std::fs::remove_file(&on_disk[0]).expect("it is there");

    let mut run = cold.run(2);
    cold.scenario.feed(usize::MAX);
    cold.scenario.await_caught_up(&mut run);
    assert!(on_disk[0].exists(), "it was fetched from the checkpoint");
    run.terminate();
    cold.verify();

    // Without a folder it is read into memory.
    let mut run = cold.scenario.run(1);
    wait_for("the end of the log", || {
        run.assert_running();
        run.log().contains("the log of epochs has been followed to its end").then_some(())
    });
    run.terminate();
}

#[test]
fn a_folder_that_is_full_taken_lost_or_damaged_changes_no_answer() {
    let Some(stack) = Stack::from_env() else { return };
    let cold = Cold::new(stack);
    let Cold { scenario, .. } = &cold;
    // The next file is written to a disk that is full.
    std::fs::create_dir_all(cold.of_pipeline()).expect("a temporary folder");
    std::os::unix::fs::symlink("/dev/full", cold.of_pipeline().join("unfinished")).expect("a temporary folder");
    let run = cold.run(1);
    scenario.feed(scenario.left() / 2);
    let said = run.wait_for_error();
    assert!(said.contains("checkpoint.cold_folder: writing") && said.contains("No space left on device"), "{said}");

    // With room again. Another one takes over, and begins with the folder once the first has let go of it.
    let mut first = cold.run(2);
    cold.grow_cold(&mut first, 1);
    let mut run = cold.run(4);
    wait_for("the first one to notice", || {
        run.assert_running();
        scenario.feed(10.min(scenario.left() - LAST));
        first.has_ended().then_some(())
    });
    let said = first.wait_for_error();
    assert!(said.contains("another instance of this pipeline has taken over"), "{said}");
    cold.grow_cold(&mut run, 4);
    run.kill();

    // A block of each file is damaged, unless it is a head: those are fetched.
    std::fs::remove_dir_all(&cold.folder).expect("it is there");
    let mut run = cold.run(1);
    wait_for("the start", || {
        run.assert_running();
        run.log().contains("the log of epochs has been followed to its end").then_some(())
    });
    let files = cold.files();
    assert!(files.len() > 3, "{files:?}");
    run.kill();
    for file in &files {
        let mut bytes = std::fs::read(file).expect("it is there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(file, bytes).expect("it is ours");
    }
    scenario.feed(usize::MAX);
    let mut ends = 0;
    let run = loop {
        let mut run = cold.run(1 + ends % 2);
        wait_for("the end of the log, or of the process", || {
            (run.has_ended() || scenario.is_caught_up()).then_some(())
        });
        if !run.has_ended() {
            break run;
        }
        let (status, log) = (run.wait(), run.log());
        assert!(!status.success() && log.contains("cannot be used: the block at byte"), "{status}\n{log}");
        ends += 1;
        assert!(ends <= files.len(), "each file ends it once at most");
    };
    assert!(ends > 0, "no damaged block was asked for");
    println!("{ends} damaged files of {}", files.len());
    run.terminate();
    cold.verify();
}

/// Each process has files of its own, and the next start, on other numbers of both, those of all.
#[test]
fn in_a_cluster_what_is_cold_is_known_after_a_kill() {
    let Some(stack) = Stack::from_env() else { return };
    let cold = Cold::new(stack);
    let variables = [("QUESTLINE__CHECKPOINT__COLD_FOLDER", cold.folder.as_str())];
    let mut cluster = Cluster::start(&cold.scenario, 2, 1, &variables);
    cold.grow_cold(&mut cluster.processes[0], 3);
    let of_other = Path::new(&cold.folder).join("process-1").join(&cold.scenario.name);
    wait_for("files beside the other process", || {
        cluster.assert_running();
        (files_in(&of_other).len() >= 2).then_some(())
    });
    cluster.kill(0);
    // Another disk has nothing of it.
    let on_disk = files_in(&of_other);
    std::fs::remove_file(&on_disk[0]).expect("it is there");

    let mut cluster = Cluster::start(&cold.scenario, 2, 2, &variables);
    cold.scenario.feed(usize::MAX);
    cold.scenario.await_caught_up(&mut cluster.processes[0]);
    assert!(on_disk[0].exists(), "it was fetched from the checkpoint");
    cluster.terminate(1);
    cold.verify();

    let mut run = cold.run(1);
    wait_for("the end of the log", || {
        run.assert_running();
        run.log().contains("the log of epochs has been followed to its end").then_some(())
    });
    run.terminate();
}
