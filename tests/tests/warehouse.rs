//! `questline warehouse ddl`: what is printed runs, and means what the lake says.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use datasets::generator::GeneratorConfig;
use questline_tests::compare::expected_activity;
use questline_tests::explained::lines;
use questline_tests::oracle::Verdict;
use questline_tests::play::Play;
use questline_tests::process::{Python, questline};
use serde_json::{Value, json};

/// Runs the statements in standard input, then answers what the views have.
const RUN: &str = r#"
import json, sys
import duckdb
db = duckdb.connect()
db.execute(sys.stdin.read())
one = lambda sql: db.sql(sql).fetchall()[0]
tables = ["events", "dispositions", "activity_revisions", "completions", "dead_letters", "mission_definitions", "epochs", "audit", "points", "tiers", "mission_ggr_revisions", "mission_ggr", "transaction_revisions", "customer_revisions", "reviews", "gaming_activity", "transactions", "customers"]
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

#[test]
fn duckdb_runs_what_is_printed() {
    let Some(python) = Python::from_env() else { return };
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
    let found = python.run(RUN, folder.path(), &sql);
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
    let without = python.run(RUN, folder.path(), &sql);
    assert_eq!((&without["rows"]["completions"], &without["standing"]), (&0.into(), &0.into()));
    assert_eq!(without["rows"]["events"], found["rows"]["events"]);
}

/// A bet a day and currency, and rates that come before, within, after and too late for their days.
///
/// Days end at midnight in Malta, 22:00 in UTC. GBP: 1.10 holds from the 1st, 08:00; 1.20 from the 1st, 23:00, which is the 2nd in Malta. 1.15, of
/// the 1st, 12:00, arrives on the 2nd: the 1st is over by then, and on the 2nd 1.20 is newer. USD: the first to arrive is 0.90 on the 3rd, which the days before
/// take since there was none; 0.80 of the 3rd arrives behind it and is the newer one of that day. JPY has none.
fn converted_records() -> Vec<String> {
    let rate = |at: &str, arrives: &str, base: &str, rate: &str| {
        let value = json!({"event_name": "rate", "event_id": format!("{base}-{rate}"), "base": base, "quote": "EUR",
            "exchange_rate": rate, "timestamp": at});
        json!({"topic": "events", "timestamp": arrives, "key": base, "value": value})
    };
    let bets = |day: &str| {
        let bet = |currency: &str| {
            let time = format!("2026-06-{day}T20:00:00Z");
            let value = json!({"event_name": "bet_placed", "player_id": "p1", "transaction_id": format!("{day}{currency}"),
                "amount": "10.00", "game_type": "slots", "currency": currency, "timestamp": time});
            json!({"topic": "events", "timestamp": time, "key": "p1", "value": value})
        };
        ["EUR", "GBP", "USD", "JPY"].map(bet)
    };
    let mut records = vec![rate("2026-06-01T08:00:00Z", "2026-06-01T08:00:00Z", "GBP", "1.10")];
    records.extend(bets("01"));
    records.push(rate("2026-06-01T23:00:00Z", "2026-06-01T23:00:00Z", "GBP", "1.20"));
    records.push(rate("2026-06-01T12:00:00Z", "2026-06-02T09:00:00Z", "GBP", "1.15"));
    records.extend(bets("02"));
    records.push(rate("2026-06-03T09:00:00Z", "2026-06-03T09:00:00Z", "USD", "0.90"));
    records.push(rate("2026-06-03T10:00:00Z", "2026-06-03T10:00:00Z", "USD", "0.80"));
    records.extend(bets("03"));
    records.iter().map(|record| format!("{record}\n")).collect()
}

const CONVERTED: &str = r#"
import json, sys
import duckdb
db = duckdb.connect()
db.execute(sys.stdin.read())
rows = db.sql("SELECT date, currency, reporting_currency, rate, ggr, reporting_ggr FROM activity_reporting ORDER BY date, currency").fetchall()
print(json.dumps([" ".join(str(cell) for cell in row) for row in rows]))
"#;

#[test]
fn activity_is_shown_in_the_reporting_currency_by_rates_of_its_day() {
    let Some(python) = Python::from_env() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &format!("file://{}", folder.path().join("lake").display()));
    let text = std::fs::read_to_string(&config).unwrap() + "[activity]\nzone = \"Europe/Malta\"\n";
    std::fs::write(&config, text).unwrap();
    let input = folder.path().join("events.jsonl");
    std::fs::write(&input, converted_records().concat()).unwrap();
    let out = folder.path().join("out");
    let [input, out] = [&input, &out].map(|path| path.to_str().unwrap());
    let (code, _, said) = questline(["replay", "--config", &config, "--input", input, "--out", out]);
    assert_eq!(code, 0, "{said}");
    let (code, sql, said) = ddl(&config, &["--target", "duckdb"]);
    assert_eq!(code, 0, "{said}");
    let rows = python.run(CONVERTED, folder.path(), &sql);
    let of_day = |day: &str, gbp: &str, usd: &str| {
        [
            format!("2026-06-{day} EUR EUR 1.00000000 10.00000000 10.00000000"),
            format!("2026-06-{day} GBP EUR {gbp}"),
            format!("2026-06-{day} JPY EUR None 10.00000000 None"),
            format!("2026-06-{day} USD EUR {usd}"),
        ]
    };
    let expected = [
        of_day("01", "1.10000000 10.00000000 11.00000000", "0.90000000 10.00000000 9.00000000"),
        of_day("02", "1.20000000 10.00000000 12.00000000", "0.90000000 10.00000000 9.00000000"),
        of_day("03", "1.20000000 10.00000000 12.00000000", "0.80000000 10.00000000 8.00000000"),
    ];
    assert_eq!(rows, json!(expected.concat()));
}

/// A deposit that is within limits and then is not, one that goes the other way, one that stays; the same of two days of activity.
fn fed_records() -> Vec<String> {
    let deposit = |id: &str, hour: u32, amount: &str, status: &str| {
        json!({"event_name": "deposit", "player_id": "p1", "transaction_id": id, "amount": amount, "status": status,
            "timestamp": format!("2026-06-01T{hour:02}:00:00Z")})
    };
    let bet = |id: &str, time: &str, amount: &str| {
        json!({"event_name": "bet_placed", "player_id": "p1", "transaction_id": id, "amount": amount, "game_type": "slots",
            "timestamp": time})
    };
    let registration = json!({"event_name": "registration", "player_id": "p1", "transaction_id": "g1", "affiliate_id": "a",
        "timestamp": "2026-06-01T08:00:00Z"});
    let values = [
        registration,
        deposit("d1", 10, "10", "requested"),
        deposit("d1", 11, "12345678901234.56", "approved"),
        deposit("d2", 10, "12345678901234.56", "requested"),
        deposit("d2", 12, "7.50", "approved"),
        deposit("d3", 13, "20", "approved"),
        bet("b1", "2026-06-01T14:00:00Z", "1"),
        bet("b2", "2026-06-01T15:00:00Z", "12345678901234.56"),
        bet("b3", "2026-06-02T14:00:00Z", "2"),
    ];
    let line =
        |value: &Value| format!("{}\n", json!({"topic": "events", "timestamp": value["timestamp"], "value": value}));
    values.iter().map(line).collect()
}

const FED: &str = r#"
import json, sys
import duckdb
db = duckdb.connect()
db.execute(sys.stdin.read())
rows = lambda sql: [" ".join(str(cell) for cell in row) for row in db.sql(sql).fetchall()]
print(json.dumps({
    "transactions": rows("SELECT source_transaction_id, status, amount_currency FROM transactions ORDER BY 1"),
    "revisions": rows("SELECT count(*) FROM transaction_revisions"),
    "activity": rows("SELECT date, total_bets FROM activity ORDER BY 1"),
    "gaming_activity": rows("SELECT date, total_bets FROM gaming_activity ORDER BY 1"),
    "customers": rows("SELECT customer_id, affiliate_id FROM customers"),
    "reviews": rows("SELECT entity, field, reason FROM reviews ORDER BY ALL"),
}))
"#;

#[test]
fn the_feed_is_what_stands_and_was_not_withheld() {
    let Some(python) = Python::from_env() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &format!("file://{}", folder.path().join("lake").display()));
    let text = std::fs::read_to_string(&config).unwrap() + "[entities]\n";
    std::fs::write(&config, text).unwrap();
    let input = folder.path().join("events.jsonl");
    std::fs::write(&input, fed_records().concat()).unwrap();
    let out = folder.path().join("out");
    let [input, out] = [&input, &out].map(|path| path.to_str().unwrap());
    let (code, _, said) =
        questline(["replay", "--config", &config, "--input", input, "--out", out, "--epoch-records", "1"]);
    assert_eq!(code, 0, "{said}");
    let (code, sql, said) = ddl(&config, &["--target", "duckdb"]);
    assert_eq!(code, 0, "{said}");
    let expected = json!({
        "transactions": ["d2 approved 7.50000000", "d3 approved 20.00000000"],
        "revisions": ["3"],
        "activity": ["2026-06-01 12345678901235.56000000", "2026-06-02 2.00000000"],
        "gaming_activity": ["2026-06-02 2.00000000"],
        "customers": ["p1 a"],
        "reviews": [
            "gaming_activity ggr precision_exceeded",
            "gaming_activity ngr precision_exceeded",
            "gaming_activity total_bets precision_exceeded",
            "transactions amount_currency precision_exceeded",
            "transactions amount_currency precision_exceeded",
        ],
    });
    assert_eq!(python.run(FED, folder.path(), &sql), expected);
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
        let views =
            ["activity", "events_accepted", "completions_standing", "gaming_activity", "transactions", "customers"];
        let views = views.map(|name| format!("VIEW {name} AS"));
        assert!(sql.contains(has) && views.iter().all(|view| sql.contains(view.as_str())), "{sql}");
    }
    let on_disk = config(folder.path(), "file:///tmp/lake");
    let (code, _, said) = ddl(&on_disk, &["--target", "snowflake"]);
    assert!(code == 2 && said.contains("file:///tmp/lake"), "{said}");
    let (code, _, said) = ddl(&on_disk, &["--target", "oracle"]);
    assert!(code == 2 && said.contains("duckdb"), "{said}");
    let (code, _, said) = ddl(&config(folder.path(), "file:///nowhere/at/all"), &["--target", "duckdb"]);
    assert!(code == 1 && said.contains("there is no such folder"), "{said}");
}
