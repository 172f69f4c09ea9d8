//! Transactions that are not in memory, on real servers: a recomputation that has them all in memory finds nothing wrong.

use std::path::Path;

use datasets::Timestamp;
use datasets::generator::GeneratorConfig;
use questline_tests::oracle::Sent;
use questline_tests::play::{Play, recent};
use questline_tests::process::{Questline, questline};
use questline_tests::scenario::Scenario;
use questline_tests::stack::{Stack, wait_for};

const DAY: i64 = 86_400_000_000;
/// Bets of the first day that come again at the end, and as many others that are reversed then.
const ASKED: usize = 1_500;

/// Play of nearly six days, behind which some of the first day comes again or is reversed.
fn play() -> Play {
    let recent = recent(60_000, 33);
    let config =
        GeneratorConfig { start: recent.start.plus_micros(-5 * DAY), span_micros: 5 * DAY + DAY / 2, ..recent };
    let mut play = Play::new(config);
    let text = |value: &serde_json::Value, name: &str| value.get(name)?.as_str().map(str::to_owned);
    let is_old = |sent: &&Sent| sent.ingest < play.sent[0].ingest + DAY;
    let bets = play.sent.iter().take_while(is_old).filter_map(|sent| {
        let value: serde_json::Value = serde_json::from_slice(&sent.value).ok()?;
        (text(&value, "event_name")? == "bet_placed").then_some(())?;
        Some((sent.clone(), text(&value, "player_id")?, text(&value, "transaction_id")?))
    });
    let bets: Vec<(Sent, String, String)> = bets.take(2 * ASKED).collect();
    assert_eq!(bets.len(), 2 * ASKED, "the first day has more");
    let mut ingest = play.sent.last().expect("there is play").ingest;
    for (number, (bet, player, id)) in bets.into_iter().enumerate() {
        ingest += 1_000;
        let last = play.sent.iter().rev().find(|sent| sent.partition == bet.partition);
        let offset = last.map_or(0, |sent| sent.offset + 1);
        let value = if number % 2 == 0 {
            bet.value.clone()
        } else {
            let time = Timestamp::from_micros(ingest);
            format!(
                r#"{{"player_id":"{player}","event_id":"back_{number}","event_name":"reversal","transaction_id":"back_{number}","reference_id":"{id}","timestamp":"{time}"}}"#
            )
            .into_bytes()
        };
        play.sent.push(Sent { offset, ingest, value, ..bet });
    }
    play
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
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
    let scenario = Scenario::new(stack, "cold", play());
    let folder = scenario.folder().join("cold");
    let of_pipeline = folder.join(&scenario.name);
    let variables = [("QUESTLINE__CHECKPOINT__COLD_FOLDER", folder.to_str().expect("temporary paths are UTF-8"))];

    let mut run = scenario.run_with(1, &variables);
    scenario.feed(scenario.left() - 2 * ASKED);
    scenario.await_caught_up(&mut run);
    wait_for("transactions to go cold", || {
        run.assert_running();
        (!files(&of_pipeline).is_empty()).then_some(())
    });
    let before = checkpoints(&run);
    wait_for("checkpoints", || {
        run.assert_running();
        (checkpoints(&run) > before + 1).then_some(())
    });
    run.kill();
    // Another disk has nothing of it.
    let on_disk = files(&of_pipeline);
    std::fs::remove_file(&on_disk[0]).expect("it is there");

    let mut run = scenario.run_with(2, &variables);
    scenario.feed(usize::MAX);
    scenario.await_caught_up(&mut run);
    assert!(on_disk[0].exists(), "it was fetched from the checkpoint");
    run.terminate();
    let (code, said, wrong) = questline(["verify", "--config", config(&scenario).as_str(), "--complete"]);
    assert_eq!(code, 0, "{said}{wrong}");
    println!("{said}{} files", files(&of_pipeline).len());
    let (code, said, wrong) = questline(["checkpoint", "verify", "--config", config(&scenario).as_str()]);
    assert_eq!(code, 0, "{said}{wrong}");

    // Without a folder it is read into memory.
    let mut run = scenario.run(1);
    wait_for("the end of the log", || {
        run.assert_running();
        run.log().contains("the log of epochs has been followed to its end").then_some(())
    });
    run.terminate();
}

fn config(scenario: &Scenario) -> String {
    scenario.config().to_str().expect("temporary paths are UTF-8").to_owned()
}
