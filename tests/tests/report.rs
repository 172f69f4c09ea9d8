//! `questline report ledger` beside sums of what was put out.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use datasets::generator::GeneratorConfig;
use questline_tests::oracle::number::{show_units, units};
use questline_tests::play::{Play, of_days};
use questline_tests::process::{Python, questline};
use serde_json::{Value, json};

/// Reporting days begin two hours ahead of UTC; bonuses cost only in gross.
const CONFIG: &str = "[pipeline]\nname = \"acme\"\n[[source]]\nname = \"pam\"\ntopics = [\"events\"]\n[missions]\ntopic = \"missions\"\n\
    [points]\nexpiry = \"P2D\"\n[activity]\nbasis = \"gross\"\nzone = \"Etc/GMT-2\"\n";

/// Sums by day of the reporting zone, then key.
type ByDay = BTreeMap<String, BTreeMap<String, i128>>;

struct Report(tempfile::TempDir);

impl Report {
    /// Replays play of six days, with spendings of points at its end.
    fn new() -> Self {
        let report = Report(tempfile::tempdir().unwrap());
        let config = format!("{CONFIG}[lake]\nurl = \"file://{}\"\n", report.path("lake").display());
        std::fs::write(report.path("pipeline.toml"), config).unwrap();
        // The same play whenever it is run.
        let start = GeneratorConfig::default().start;
        let play = Play::new(GeneratorConfig { start, ..of_days(5, 30_000, 54) });
        let events = report.path("events.jsonl");
        play.write_lines(&events);
        let last = play.sent.last().unwrap();
        let time = questline_tests::oracle::number::show_instant(last.ingest);
        let spending = |number: usize| {
            let player = &play.sent[number].key;
            let value = json!({"event_name": "points_spent", "player_id": player, "transaction_id": format!("spent-{number}"),
                "amount": format!("{number}.5"), "timestamp": time});
            format!("{}\n", json!({"topic": "events", "timestamp": time, "key": player, "value": value}))
        };
        let lines = std::fs::read_to_string(&events).unwrap() + &(0..40).map(spending).collect::<String>();
        std::fs::write(&events, lines).unwrap();
        let (code, _, said) = report.questline(&[
            "replay",
            "--input",
            &shown(&events),
            "--out",
            &shown(&report.path("out")),
            "--epoch-records",
            "1000",
        ]);
        assert_eq!(code, 0, "{said}");
        report
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn questline(&self, arguments: &[&str]) -> (i32, String, String) {
        let config = shown(&self.path("pipeline.toml"));
        questline(arguments.iter().copied().chain(["--config", &config]))
    }

    fn ledger(&self, out: &str, more: &[&str]) -> (i32, String, String) {
        self.questline(&[&["report", "ledger", "--out", &shown(&self.path(out))], more].concat())
    }

    /// The rows of an output of the replay.
    fn rows(&self, file: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("out").join(file)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn shown(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// The day two hours ahead of UTC.
fn day(instant: &Value) -> String {
    let micros = questline_tests::oracle::number::instant(instant.as_str().unwrap()).unwrap();
    let ahead = questline_tests::oracle::number::show_instant(micros + 2 * 3_600_000_000);
    ahead[..10].to_owned()
}

fn amount(row: &Value, column: &str) -> i128 {
    units(row[column].as_str().unwrap()).unwrap()
}

/// A file's lines by column.
fn lines(path: &Path) -> Vec<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let line =
        |line: &str| names.iter().map(|name| (*name).to_owned()).zip(line.split(',').map(str::to_owned)).collect();
    lines.map(line).collect()
}

/// What every player has at the end of a day, added up; and what every bonus cost by then, by currency.
fn expected(report: &Report) -> (ByDay, ByDay) {
    let (mut points, mut bonuses) = (ByDay::new(), ByDay::new());
    let mut balances: BTreeMap<String, i128> = BTreeMap::new();
    for row in report.rows("points.jsonl") {
        balances.insert(row["player_id"].to_string(), amount(&row, "balance"));
        let all = BTreeMap::from([("points".to_owned(), balances.values().sum())]);
        points.insert(day(&row["emitted_at"]), all);
    }
    let mut costs: BTreeMap<(String, String), i128> = BTreeMap::new();
    for row in report.rows("activity.jsonl") {
        let key = ["date", "customer_id", "game_type"].map(|name| row[name].as_str().unwrap()).join("|");
        let cost = amount(&row, "bonus_cost");
        let before = costs.insert((row["currency"].as_str().unwrap().to_owned(), key), cost);
        if cost == before.unwrap_or(0) {
            continue;
        }
        let mut all = BTreeMap::new();
        for ((currency, _), cost) in &costs {
            *all.entry(currency.clone()).or_default() += cost;
        }
        bonuses.insert(day(&row["updated_at"]), all);
    }
    (points, bonuses)
}

#[test]
fn the_ledger_balances_every_day() {
    let report = Report::new();
    let (code, out, said) = report.ledger("books", &["--format", "json"]);
    assert_eq!(code, 0, "{said}");
    let told: Value = serde_json::from_str(&out).unwrap();
    let days: Vec<&str> = told["days"].as_array().unwrap().iter().map(|day| day["date"].as_str().unwrap()).collect();
    assert!(days.len() >= 5, "{days:?}");
    let file = |name: &str, day: &str| lines(&report.path("books").join(format!("{name}-{day}.csv")));
    let of = |line: &BTreeMap<String, String>, column: &str| units(&line[column]).unwrap();

    let mut closed: BTreeMap<(String, String), i128> = BTreeMap::new();
    let mut movements = BTreeMap::new();
    let (points, bonuses) = expected(&report);
    for day in &days {
        let mut sides: BTreeMap<String, (i128, i128)> = BTreeMap::new();
        for line in file("journal", day) {
            let unit = sides.entry(line["unit"].clone()).or_default();
            *unit = (unit.0 + of(&line, "debit"), unit.1 + of(&line, "credit"));
            *movements.entry(line["movement"].clone()).or_insert(0) += 1;
            assert!(of(&line, "debit") >= 0 && of(&line, "credit") >= 0, "{line:?}");
            assert_eq!(line["movement"] == "bonus_cost", !line["activity_date"].is_empty(), "{line:?}");
        }
        assert!(sides.values().all(|(debit, credit)| debit == credit), "{day}: {sides:?}");
        let balances = file("balances", day);
        assert!(balances.len() >= closed.len(), "{day}: no account goes away");
        for line in &balances {
            let key = (line["account"].clone(), line["unit"].clone());
            let before = closed.insert(key, of(line, "closing")).unwrap_or(0);
            assert_eq!(of(line, "opening"), before, "{line:?} does not open as the day before closed");
        }
        // What is known of the last day up to this one. Of a row that left twice within one file the lake has the last revision, so that
        // what bonuses cost is only known when all days are over.
        let last = |of: &ByDay| of.range(..=(*day).to_owned()).next_back().map(|(_, sums)| sums.clone());
        let costs = last(&bonuses).filter(|_| Some(day) == days.last());
        for (account, expected) in [("points_liability", last(&points)), ("bonus_expense", costs)] {
            for (unit, sum) in expected.unwrap_or_default() {
                let closing = closed.get(&(account.to_owned(), unit.clone())).copied().unwrap_or(0);
                assert_eq!(show_units(closing), show_units(sum), "{day}: {account} in {unit}");
            }
        }
    }
    let kinds: Vec<&str> = movements.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["bonus_cost", "expired", "granted", "redeemed", "revoked"], "the play has all movements");
    println!("{} days, lines of the journals: {movements:?}", days.len());

    // The days once more, some of them: files that are there stay as they are.
    let (code, out, _) = report.ledger("books", &["--from", days[1], "--to", days[2], "--format", "json"]);
    let again: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &again["files"]), (0, &json!({"new": 0, "same": 8})));
    let (code, text, _) = report.ledger("some", &["--from", days[1], "--to", days[1]]);
    assert!(code == 0 && text.contains("4 new files") && text.contains("granted"), "{text}");
    let same = |name: &str| {
        std::fs::read(report.path("books").join(name)).unwrap()
            == std::fs::read(report.path("some").join(name)).unwrap()
    };
    assert!(same(&format!("journal-{}.csv", days[1])) && same(&format!("balances-{}.csv", days[1])));

    let (code, _, said) = report.ledger("books", &["--from", days[2], "--to", days[1]]);
    assert!(code == 2 && said.contains("is behind --to"), "{said}");
    std::fs::write(report.path("books").join(format!("journal-{}.csv", days[0])), "altered").unwrap();
    let (code, _, said) = report.ledger("books", &[]);
    assert!(code == 1 && said.contains("differs from the books"), "{said}");
}

const READ: &str = r#"
import sys, json, duckdb
folder = sys.argv[1]
sums = {}
for kind in ("parquet", "csv"):
    sums[kind] = duckdb.sql(f"SELECT count(*), sum(debit)::DECIMAL(38, 8)::VARCHAR, sum(credit)::DECIMAL(38, 8)::VARCHAR FROM '{folder}/journal-*.{kind}'").fetchall()
print(json.dumps(sums))
"#;

#[test]
fn duckdb_reads_both_kinds_of_file() {
    let Some(python) = Python::from_env() else { return };
    let report = Report::new();
    let (code, _, said) = report.ledger("books", &[]);
    assert_eq!(code, 0, "{said}");
    let sums = python.run(READ, &report.path("books"), "");
    assert_eq!(sums["parquet"], sums["csv"]);
    assert!(sums["csv"][0][0].as_u64().unwrap() > 20, "{sums}");
}
