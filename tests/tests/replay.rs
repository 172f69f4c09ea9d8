//! `questline replay`: the same bytes on any number of workers, the same facts in any epochs, Parquet that
//! others read, and bad usage that is named.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use datasets::generator::{GeneratorConfig, Shares};
use pipeline::config::Config;
use pipeline::replay::Replay;
use pipeline::replay::input::Input;
use questline_tests::compare::{expected_activity, live_set, told_row};
use questline_tests::explained::lines;
use questline_tests::oracle::number::{show_units, units};
use questline_tests::play::Play;
use questline_tests::process::{Python, questline};
use serde_json::Value;

const PIPELINE: &str = "[pipeline]\nname = \"replayed\"\n[[source]]\nname = \"pam\"\ntopics = [\"events\"]\n";

/// Much of everything that goes wrong.
const HEAVY: Shares = Shares {
    duplicates: 50_000,
    reversals: 80_000,
    late: 50_000,
    malformed: 20_000,
    conflicts: 10_000,
    resettlements: 0,
};

fn play(events: u64, players: u32, seed: u64) -> Play {
    let partitions = 4;
    Play::new(GeneratorConfig { events, players, seed, partitions, shares: HEAVY, ..GeneratorConfig::default() })
}

/// A folder with a configuration and inputs.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pipeline.toml"), config).unwrap();
        Bench(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Replays `input` into a folder and answers that. Whoever waits for a minute waits in vain: a hang is a
    /// failure that says where.
    fn replay(&self, input: &Path, workers: usize, epoch_records: usize) -> PathBuf {
        let out = self.path(&format!("out-{workers}-{epoch_records}"));
        let config = Config::load(&self.path("pipeline.toml"), []).unwrap();
        let replay = Replay { config, input: Input::open(input).unwrap(), out: out.clone(), workers, epoch_records };
        let (done, waiting) = channel();
        let running = std::thread::spawn(move || {
            let outcome = replay.run(|_| ()).map(drop);
            // Whoever waited has given up.
            let _ = done.send(());
            outcome
        });
        if waiting.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout) {
            panic!("{} hangs on {workers} workers, {epoch_records} lines an epoch", input.display());
        }
        running.join().expect("a replay does not panic").unwrap();
        out
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())).collect()
}

#[test]
fn three_hundred_replays_have_the_same_bytes_on_any_number_of_workers() {
    const INPUTS: u64 = 10;
    let bench = Bench::new(PIPELINE);
    let (mut runs, mut bytes) = (0, 0);
    for round in 0..100_u64 {
        let input = bench.path(&format!("events-{}.jsonl", round % INPUTS));
        if round < INPUTS {
            // The ends of input are uneven: of epochs, of partitions, of workers.
            play(280 + 7 * round, 40, round).write_lines(&input);
        }
        let epoch_records = [1, 7, 50, 1000][usize::try_from(round % 4).unwrap()];
        let alone = files(&bench.replay(&input, 1, epoch_records));
        for workers in [2, 4] {
            let together = files(&bench.replay(&input, workers, epoch_records));
            assert!(alone.keys().eq(together.keys()));
            for (name, expected) in &alone {
                let same = together[name] == *expected;
                assert!(same, "{name} differs on {workers} workers, {epoch_records} lines an epoch, round {round}");
            }
        }
        runs += 3;
        bytes += alone.values().map(Vec::len).sum::<usize>();
        assert!(alone["activity.jsonl"].len() > 1000 && alone["dead_letters.jsonl"].len() > 100, "there is something");
    }
    println!("{runs} replays on 1, 2 and 4 workers: {bytes} bytes of each are equal");
}

#[test]
fn epochs_do_not_change_the_facts() {
    let bench = Bench::new(PIPELINE);
    let play = play(6_000, 60, 3).with_restrictions();
    let input = bench.path("events.jsonl");
    play.write_lines(&input);
    let oracle = play.oracle();
    for (epoch_records, workers) in [(1, 2), (10, 1), (333, 4), (10_000, 2)] {
        let out = bench.replay(&input, workers, epoch_records);
        let completions = lines(&out.join("completions.jsonl"));
        let audit = lines(&out.join("audit.jsonl"));
        live_set(&oracle, &completions, &audit);
        assert!(audit.len() > 20, "{} suppressed", audit.len());
        let mut waiting = expected_activity(&oracle);
        lines(&out.join("activity.jsonl")).iter().for_each(|row| told_row(&mut waiting, row));
        let wrong: Vec<&String> = waiting.iter().filter(|(_, row)| !row.is_told).map(|(key, _)| key).collect();
        assert!(wrong.is_empty(), "{epoch_records} lines an epoch: {wrong:?}");
        let standing = oracle.standing(true).len();
        println!("{epoch_records} lines an epoch: {standing} completions stand, {} rows are equal", waiting.len());
        assert!(standing > 50 && waiting.len() > 100, "there is something to compare");
    }
}

/// Sums of the last revisions by game type, and rows of every table, as each reader finds them.
const READERS: &str = r#"
import json, sys
from collections import defaultdict
import duckdb, pyarrow.dataset
root = sys.argv[1]
tables = ["events", "dispositions", "activity", "completions", "points", "dead_letters", "mission_definitions", "epochs"]
path = lambda table: f"{root}/{table}/**/*.parquet"
sums = duckdb.sql(f"""
    SELECT game_type, sum(ggr) FROM (
        SELECT * FROM read_parquet('{path("activity")}')
        QUALIFY row_number() OVER (PARTITION BY date, customer_id, game_type, currency ORDER BY revision DESC) = 1
    ) GROUP BY game_type""").fetchall()
duck = {
    "ggr": {game: str(ggr) for game, ggr in sums},
    "rows": {table: duckdb.sql(f"SELECT count(*) FROM read_parquet('{path(table)}')").fetchall()[0][0] for table in tables},
}
read = lambda table: pyarrow.dataset.dataset(f"{root}/{table}", format="parquet").to_table().to_pylist()
last, arrow = {}, {"ggr": defaultdict(int), "rows": {table: len(read(table)) for table in tables}}
for row in sorted(read("activity"), key=lambda row: row["revision"]):
    last[row["date"], row["customer_id"], row["game_type"], row["currency"]] = row
for row in last.values():
    arrow["ggr"][row["game_type"]] += row["ggr"]
arrow["ggr"] = {game: str(ggr) for game, ggr in arrow["ggr"].items()}
print(json.dumps([duck, arrow]))
"#;

#[test]
fn duckdb_and_pyarrow_read_the_lake() {
    let Some(python) = Python::from_env() else { return };
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let bench = Bench::new(&format!("{PIPELINE}[lake]\nurl = \"file://{}\"\n", lake.display()));
    let play = play(20_000, 300, 5);
    let input = bench.path("events.jsonl");
    play.write_lines(&input);
    let out = bench.replay(&input, 2, 1_000);

    let mut last: BTreeMap<String, Value> = BTreeMap::new();
    for row in lines(&out.join("activity.jsonl")) {
        let key = ["date", "customer_id", "game_type", "currency"].map(|name| row[name].as_str().unwrap());
        last.insert(key.join("|"), row);
    }
    let mut expected: BTreeMap<String, i128> = BTreeMap::new();
    for row in last.values() {
        let game = row["game_type"].as_str().unwrap().to_owned();
        *expected.entry(game).or_default() += units(row["ggr"].as_str().unwrap()).unwrap();
    }
    let found: [Value; 2] = serde_json::from_value(python.run(READERS, &lake, "")).unwrap();
    let decoded = play.oracle().verdicts.iter().filter(|verdict| !verdict.is_refused()).count();
    for (reader, found) in ["DuckDB", "pyarrow"].into_iter().zip(found) {
        let sums = found["ggr"].as_object().unwrap().iter();
        let sums: BTreeMap<String, i128> =
            sums.map(|(game, sum)| (game.clone(), units(sum.as_str().unwrap()).unwrap())).collect();
        assert_eq!(sums, expected, "{reader}");
        let rows = |table: &str| found["rows"][table].as_u64().and_then(|rows| usize::try_from(rows).ok());
        assert_eq!(rows("events"), Some(decoded), "{reader}");
        assert_eq!(rows("completions"), Some(lines(&out.join("completions.jsonl")).len()), "{reader}");
        assert_eq!(rows("points"), Some(lines(&out.join("points.jsonl")).len()), "{reader}");
        assert_eq!(rows("dead_letters"), Some(lines(&out.join("dead_letters.jsonl")).len()), "{reader}");
        assert_eq!(rows("mission_definitions"), Some(play.missions.len()), "{reader}");
    }
    let shown: Vec<String> = expected.iter().map(|(game, sum)| format!("{game} {}", show_units(*sum))).collect();
    println!("GGR as DuckDB, pyarrow and the JSON rows have it: {}", shown.join(", "));
}

/// Runs `replay` by the command line on `input`, which holds `text`.
fn by_command_line(config: &str, input: Option<&str>) -> (i32, String, String) {
    let bench = Bench::new(config);
    let (events, out) = (bench.path("events.jsonl"), bench.path("out"));
    if let Some(text) = input {
        fs::write(&events, text).unwrap();
    }
    let [config, events, out] =
        [bench.path("pipeline.toml"), events, out].map(|path| path.to_str().unwrap().to_owned());
    questline(["replay", "--config", &config, "--input", &events, "--out", &out])
}

#[test]
fn bad_usage_is_named() {
    let (code, help, _) = questline(["--help"]);
    assert_eq!(code, 0);
    let commands = ["demo", "run", "replay", "validate", "generate", "bench"];
    assert!(commands.iter().all(|command| help.contains(command)), "{help}");
    for command in commands {
        let (code, help, _) = questline([command, "--help"]);
        assert!(code == 0 && help.contains("Usage"), "{command}: {help}");
    }
    let (code, _, said) = questline(["replay"]);
    assert!(code == 2 && said.contains("--config") && said.contains("--input"), "{said}");
    assert_eq!(questline(["replya"]).0, 2);

    let wrong =
        "[pipeline]\nname = \"p\"\nworkrs = 2\n[identity]\nretention = \"1h\"\n[activity]\nzone = \"Mars/Olympus\"\n";
    let (code, _, said) = by_command_line(wrong, Some(""));
    assert_eq!(code, 2, "{said}");
    for error in ["workrs", "retention", "Mars/Olympus", "pipeline.toml:3", "pipeline.toml:5", "pipeline.toml:7"] {
        assert!(said.contains(error), "{error} is not in:\n{said}");
    }

    let (code, _, said) = by_command_line(PIPELINE, None);
    assert!(code == 2 && said.contains("events.jsonl"), "{code}: {said}");

    let known = r#"{"topic":"events","value":{"event_name":"login","player_id":"p","event_id":"e","timestamp":"2026-06-01T00:00:00Z"}}"#;
    let unknown = format!("{known}\n{known}\n{}\n", known.replace("\"events\"", "\"elsewhere\""));
    let (code, _, said) = by_command_line(PIPELINE, Some(&unknown));
    assert!(code == 1 || code == 2, "{code}");
    assert!(said.contains("events.jsonl:3") && said.contains("elsewhere"), "{said}");
}

#[test]
fn a_replay_by_the_command_line_says_what_it_did() {
    let bench = Bench::new(PIPELINE);
    let play = play(500, 50, 9);
    let (input, out) = (bench.path("events.jsonl"), bench.path("out"));
    play.write_lines(&input);
    let [config, input, out_text] =
        [&bench.path("pipeline.toml"), &input, &out].map(|path| path.to_str().unwrap().to_owned());
    let started = Instant::now();
    let (code, said, error) =
        questline(["replay", "--config", &config, "--input", &input, "--out", &out_text, "--workers", "2"]);
    assert_eq!(code, 0, "{error}");
    assert!(started.elapsed() < Duration::from_secs(30));
    assert!(said.contains("500 events read"), "{said}");
    let summary: Value = serde_json::from_slice(&fs::read(out.join("summary.json")).unwrap()).unwrap();
    assert_eq!(summary["accepted"], play.tally.accepted());
    assert_eq!(summary["duplicates"], play.tally.duplicates);
    assert_eq!(summary["already_reversed"], play.tally.already_reversed);

    let (code, said, error) =
        questline(["replay", "--config", &config, "--input", &input, "--out", &out_text, "--format", "json"]);
    assert_eq!(code, 0, "{error}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["counters"], &said["out"]), (&summary, &Value::from(out_text)));
}

#[test]
fn a_program_reads_what_validate_finds() {
    let bench = Bench::new(PIPELINE);
    let validate = |config: &str, missions: &str| {
        fs::write(bench.path("pipeline.toml"), config).unwrap();
        fs::write(bench.path("missions.jsonl"), missions).unwrap();
        let [config, missions] =
            ["pipeline.toml", "missions.jsonl"].map(|name| bench.path(name).to_str().unwrap().to_owned());
        let (code, said, error) =
            questline(["validate", "--config", &config, "--missions", &missions, "--format", "json"]);
        assert_eq!(error, "");
        (code, serde_json::from_str::<Value>(&said).unwrap())
    };
    let mission = r#"{"mission_id":"m","version":1,"name":"M","status":"active","stages":[{"on":["login"],"measure":{"kind":"count"},"target":"1"}]}"#;
    let (code, said) = validate(PIPELINE, mission);
    assert_eq!((code, &said["valid"], &said["definitions"]), (0, &Value::from(true), &Value::from(1)), "{said}");
    let (code, said) = validate(PIPELINE, &mission.replace("\"1\"", "\"0\""));
    assert_eq!((code, &said["valid"]), (2, &Value::from(false)), "{said}");
    assert!(said["errors"][0].as_str().unwrap().contains("missions.jsonl"), "{said}");
    // What is no error, but may not be meant.
    let steps = "[[activity.ngr]]\nname = \"pool\"\nadd_back = \"jackpot_wins\"\n[[activity.ngr]]\nname = \"tax\"\npercent = \"20\"\n";
    let (code, said) = validate(&format!("{PIPELINE}{steps}"), mission);
    let note = "activity.ngr \"pool\": note: its amount is always 0, since no source has mapping.jackpot_win";
    assert_eq!((code, &said["notes"]), (0, &serde_json::json!([note])), "{said}");
    let (code, said) = validate("[pipeline]\nname = \"p\"\nworkrs = 2\n", mission);
    assert_eq!(code, 2);
    assert!(said["errors"][0].as_str().unwrap().contains("workrs"), "{said}");
}

#[test]
fn bench_says_what_an_event_costs() {
    let of = ["bench", "--events", "20000", "--players", "300", "--missions", "8", "--unmatched", "12"];
    let (code, said, error) = questline(of);
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(said.starts_with("20,000 events of 300 players beside 20 missions"), "{said}");
    let (code, said, error) = questline(of.into_iter().chain(["--format", "json"]));
    assert_eq!((code, error.as_str()), (0, ""));
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["events"], &said["missions"]), (&Value::from(20_000), &Value::from(20)));
    // The unmatched missions have nobody: as many completions without them.
    let (_, alone, _) =
        questline(["bench", "--events", "20000", "--players", "300", "--missions", "8", "--format", "json"]);
    let alone: Value = serde_json::from_str(&alone).unwrap();
    assert!(said["completions"].as_u64().unwrap() > 0, "{said}");
    assert_eq!((&said["completions"], &said["rows"]), (&alone["completions"], &alone["rows"]));
    let stages = ["decode", "players", "activity", "report"];
    let sum: u64 = stages.iter().map(|stage| said["nanos_per_event"][stage].as_u64().unwrap()).sum();
    let all = said["nanos_per_event"]["all"].as_u64().unwrap();
    assert!((sum..sum + 4).contains(&all), "each stage is cut to whole nanoseconds: {said}");
    assert_eq!(questline(["bench", "--events", "100", "--missions", "0", "--unmatched", "3"]).0, 0);
    assert_eq!(questline(["bench", "--players", "0"]).0, 2);
}
