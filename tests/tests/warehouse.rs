//! `questline warehouse ddl`: what is printed runs, and means what the lake says.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use datasets::generator::GeneratorConfig;
use questline_tests::compare::expected_activity;
use questline_tests::explained::lines;
use questline_tests::oracle::Verdict;
use questline_tests::play::Play;
use questline_tests::process::questline;
use serde_json::Value;

/// Runs the statements in standard input, then answers what the views have.
const RUN: &str = r#"
import json, sys
import duckdb
db = duckdb.connect()
db.execute(sys.stdin.read())
one = lambda sql: db.sql(sql).fetchall()[0]
tables = ["events", "dispositions", "activity_revisions", "completions", "dead_letters", "mission_definitions", "epochs", "audit", "points", "tiers"]
print(json.dumps({
    "rows": {table: one(f"SELECT count(*) FROM {table}")[0] for table in tables},
    "accepted": one("SELECT count(*) FROM events_accepted")[0],
    "activity": one("SELECT count(*) FROM activity")[0],
    "bets": str(one("SELECT coalesce(sum(total_bets), 0) FROM activity")[0]),
    "standing": one("SELECT count(*) FROM completions_standing")[0],
    "days": one("SELECT count(DISTINCT ingest_dt) FROM events WHERE ingest_dt <= current_date")[0],
    "types": dict(db.sql("SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'events'").fetchall()),
}))
"#;

fn config(folder: &Path, url: &str) -> String {
    let text = format!(
        "[pipeline]\nname = \"acme\"\n[[source]]\nname = \"pam\"\ntopics = [\"events\"]\n[lake]\nurl = \"{url}\"\n"
    );
    let path = folder.join("pipeline.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn ddl(config: &str, more: &[&str]) -> (i32, String, String) {
    questline(["warehouse", "ddl", "--config", config].into_iter().chain(more.iter().copied()))
}

fn duckdb(python: &std::ffi::OsStr, sql: &str, folder: &Path) -> Value {
    let statements = folder.join("ddl.sql");
    std::fs::write(&statements, sql).unwrap();
    let input = std::fs::File::open(&statements).unwrap();
    let ran = Command::new(python).args(["-c", RUN]).stdin(input).output().unwrap();
    assert!(ran.status.success(), "{}\n{sql}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).unwrap()
}

#[test]
fn duckdb_runs_what_is_printed() {
    let Some(python) = std::env::var_os("QUESTLINE_PYTHON") else {
        eprintln!("skipped: needs Python with duckdb: scripts/test sets it up");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let config = config(folder.path(), &format!("file://{}", lake.display()));
    // Few players, who complete and are taken back.
    let play = GeneratorConfig { events: 20_000, players: 500, partitions: 4, seed: 41, ..GeneratorConfig::default() };
    let play = Play::new(play);
    let (input, out) = (folder.path().join("events.jsonl"), folder.path().join("out"));
    play.write_lines(&input);
    let [input, out] = [&input, &out].map(|path| path.to_str().unwrap());
    let (code, _, said) = questline(["replay", "--config", &config, "--input", input, "--out", out]);
    assert_eq!(code, 0, "{said}");

    let (code, sql, said) = ddl(&config, &["--target", "duckdb"]);
    assert_eq!(code, 0, "{said}");
    let found = duckdb(&python, &sql, folder.path());
    let oracle = play.oracle();
    let count = |is: fn(Verdict) -> bool| oracle.verdicts.iter().filter(|verdict| is(**verdict)).count();
    assert_eq!(found["rows"]["events"], count(|verdict| !verdict.is_refused()), "{found}");
    assert_eq!(found["accepted"], count(|verdict| verdict == Verdict::Accepted), "{found}");
    assert_eq!(found["activity"], expected_activity(&oracle).len(), "{found}");
    let staked: i128 = oracle.activity.values().map(|row| row.stake).sum();
    assert_eq!(found["bets"].as_str().unwrap().replace('.', "").parse(), Ok(staked), "{found}");
    let mut standing = std::collections::BTreeSet::new();
    for message in lines(&Path::new(out).join("completions.jsonl")) {
        let id = message["completion_id"].as_str().unwrap().to_owned();
        if message["type"] == "mission_completed" {
            standing.insert(id)
        } else {
            standing.remove(&id)
        };
    }
    assert_eq!(found["standing"], standing.len(), "{found}");
    assert!(standing.len() > 50 && found["rows"]["completions"].as_u64() > found["standing"].as_u64(), "{found}");
    let types = &found["types"];
    assert_eq!((&types["amount"], &types["ingest_dt"]), (&"DECIMAL(38,8)".into(), &"DATE".into()), "{types}");
    println!("{found}");

    // Of what has no file yet the view is empty, with the same columns.
    std::fs::remove_dir_all(lake.join("completions")).unwrap();
    let (code, sql, said) = ddl(&config, &["--target", "duckdb"]);
    assert_eq!(code, 0, "{said}");
    let without = duckdb(&python, &sql, folder.path());
    assert_eq!((&without["rows"]["completions"], &without["standing"]), (&0.into(), &0.into()));
    assert_eq!(without["rows"]["events"], found["rows"]["events"]);
}

#[test]
fn snowflake_needs_a_lake_on_s3() {
    let folder = tempfile::tempdir().unwrap();
    let on_s3 = config(folder.path(), "s3://bucket/root");
    for (load, has) in
        [("copy", "COPY INTO events"), ("pipe", "AUTO_INGEST = TRUE"), ("external", "CREATE EXTERNAL TABLE")]
    {
        let (code, sql, said) = ddl(&on_s3, &["--target", "snowflake", "--load", load]);
        assert_eq!(code, 0, "{said}");
        let views = ["VIEW activity AS", "VIEW events_accepted AS", "VIEW completions_standing AS"];
        assert!(sql.contains(has) && views.iter().all(|view| sql.contains(view)), "{sql}");
    }
    let on_disk = config(folder.path(), "file:///tmp/lake");
    let (code, _, said) = ddl(&on_disk, &["--target", "snowflake"]);
    assert!(code == 2 && said.contains("file:///tmp/lake"), "{said}");
    let (code, _, said) = ddl(&on_disk, &["--target", "oracle"]);
    assert!(code == 2 && said.contains("duckdb"), "{said}");
    let (code, _, said) = ddl(&config(folder.path(), "file:///nowhere/at/all"), &["--target", "duckdb"]);
    assert!(code == 1 && said.contains("there is no such folder"), "{said}");
}
