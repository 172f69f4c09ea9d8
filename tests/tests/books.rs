//! `questline reconcile`: books that balance, and what is said when they do not. Stakes on the day of their settlement,
//! through deaths of the process.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Decimal128Type;
use arrow_array::{Array, ArrayRef, Decimal128Array, RecordBatch};
use questline_tests::lake::LakeReader;
use questline_tests::oracle::number::show_units;
use questline_tests::play::{Play, recent};
use questline_tests::process::{Questline, page, questline, questline_with, without_servers};
use questline_tests::scenario::Scenario;
use questline_tests::stack::{Stack, wait_for};
use serde_json::{Value, json};

/// A folder with a lake into which records of two days were replayed.
struct Books(tempfile::TempDir);

impl Books {
    fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = folder.path().join("lake");
        let config = format!(
            "[pipeline]\nname = \"acme\"\n[[source]]\nname = \"pam\"\ntopics = [\"events\"]\n[lake]\nurl = \"file://{}\"\n{more}",
            lake.display()
        );
        let books = Books(folder);
        books.write("pipeline.toml", &config);
        let lines: String = records().iter().map(|record| format!("{record}\n")).collect();
        let events = books.write("events.jsonl", &lines);
        let (config, out) = (books.path("pipeline.toml"), books.path("out"));
        let [config, events, out] = [&config, &events, &out].map(|path| path.to_str().unwrap());
        let (code, _, said) =
            questline(["replay", "--config", config, "--input", events, "--out", out, "--epoch-records", "2"]);
        assert_eq!(code, 0, "{said}");
        books
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn reconcile(&self, more: &[&str]) -> (i32, String, String) {
        let config = self.path("pipeline.toml");
        questline(["reconcile", "--config", config.to_str().unwrap()].into_iter().chain(more.iter().copied()))
    }

    fn account(&self, more: &[&str]) -> (i32, Value) {
        let (code, out, said) = self.reconcile(&[more, &["--format", "json"]].concat());
        (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{said}")))
    }
}

/// Two bets and a win of the first day, one of the bets settled on the second; a duplicate, a reversed bet, a reversal too
/// many, and what is no JSON.
fn records() -> Vec<Value> {
    let bet = |id: &str, time: &str, amount: &str| {
        json!({"event_name": "bet_placed", "player_id": "p1", "transaction_id": id, "timestamp": time,
            "amount": amount, "game_type": "slots"})
    };
    let win = |name: &str, id: &str, of: &str, time: &str, amount: &str| {
        json!({"event_name": name, "player_id": "p1", "transaction_id": id, "timestamp": time, "amount": amount,
            "game_type": "slots", "reference_id": of})
    };
    let back = |id: &str, of: &str, time: &str| json!({"event_name": "reversal", "player_id": "p1", "transaction_id": id, "timestamp": time, "reference_id": of});
    let values = [
        bet("b1", "2026-06-01T10:00:00Z", "10.00"),
        bet("b2", "2026-06-01T11:00:00Z", "5.00"),
        bet("b1", "2026-06-01T10:00:00Z", "10.00"),
        win("win", "w2", "b2", "2026-06-01T11:00:05Z", "3.00"),
        json!("no object"),
        bet("b3", "2026-06-01T12:00:00Z", "7.00"),
        back("r3", "b3", "2026-06-01T13:00:00Z"),
        back("r4", "b3", "2026-06-01T14:00:00Z"),
        win("bet_settled", "s1", "b1", "2026-06-02T09:00:00Z", "30.00"),
    ];
    let records = values.into_iter().zip(0..).map(|(value, offset): (Value, i64)| {
        let time = value["timestamp"].as_str().unwrap_or("2026-06-01T11:30:00Z").to_owned();
        json!({"topic": "events", "partition": 0, "offset": offset, "timestamp": time, "key": "p1", "value": value})
    });
    records.collect()
}

fn sums(count: i64, bets: &str, wins: &str, ggr: &str) -> Value {
    json!({"bets_count": count, "total_bets": bets, "wins": wins, "ggr": ggr, "ngr": ggr,
        "jackpot_contribution": "0.00", "jackpot_wins": "0.00", "chargebacks": "0.00"})
}

/// (day, sums as recomputed) of the account, which are those of the lake.
fn days(account: &Value) -> Vec<(String, Value)> {
    let days = account["activity"].as_array().unwrap().iter().map(|day| {
        assert_eq!(day["recomputed"], day["lake"], "{day}");
        (day["date"].as_str().unwrap().to_owned(), day["recomputed"].clone())
    });
    days.collect()
}

#[test]
fn the_books_of_two_days_balance() {
    let books = Books::new("");
    let (code, account) = books.account(&[]);
    assert_eq!((code, &account["equal"]), (0, &true.into()), "{account}");
    let (first, second) = ("2026-06-01".to_owned(), "2026-06-02".to_owned());
    let expected = [(first, sums(2, "15.00", "3.00", "12.00")), (second.clone(), sums(0, "0.00", "30.00", "-30.00"))];
    assert_eq!(days(&account), expected);
    // All of a replay's lake is there, up to its last record.
    let complete = json!({"until": "2026-06-02T09:00:00Z", "complete": "2026-06-01", "due": null, "overdue": 0});
    assert_eq!(account["days"], complete);
    let inputs = account["inputs"].as_array().unwrap();
    let input = &inputs[0];
    let numbers = ["events", "duplicates", "already_reversed", "counted", "refused"].map(|name| input[name].as_u64());
    assert_eq!(numbers, [Some(7), Some(1), Some(1), Some(5), Some(1)], "{input}");
    assert_eq!((inputs.len(), &inputs[1]["counted"]), (2, &json!(1)), "{account}");
    let partition = &account["partitions"][0];
    assert_eq!((&partition["with_events"], &partition["refused"]), (&json!(8), &json!(1)), "{partition}");

    let (code, account) = books.account(&["--date", "2026-06-02"]);
    assert_eq!((code, days(&account)), (0, vec![expected[1].clone()]));
    assert_eq!(account["inputs"].as_array().unwrap().len(), 1, "{account}");

    let (code, text, _) = books.reconcile(&["--date", "2031-01-01"]);
    assert!(code == 0 && text.lines().filter(|line| *line == "nothing").count() == 3, "{text}");
    let (code, text, _) = books.reconcile(&[]);
    assert!(code == 0 && text.contains("2026-06-02  slots") && text.lines().any(|line| line == "equal"), "{text}");
    assert!(text.contains("reporting days are complete in the lake up to 2026-06-01\n"), "{text}");
}

#[test]
fn stakes_are_on_the_day_of_their_settlement() {
    let books = Books::new("[activity]\nattribution = \"settlement\"\n");
    let (code, account) = books.account(&[]);
    assert_eq!(code, 0, "{account}");
    let expected = [
        ("2026-06-01".to_owned(), sums(1, "5.00", "3.00", "2.00")),
        ("2026-06-02".to_owned(), sums(1, "10.00", "30.00", "-20.00")),
    ];
    assert_eq!(days(&account), expected);
}

#[test]
fn the_operators_own_totals_are_compared_to_the_last_cent() {
    let books = Books::new("");
    let names = "date,game_type,currency,bets_count,total_bets,wins\n";
    let totals = format!("{names}2026-06-01,slots,EUR,2,15,3\n2026-06-02,slots,EUR,0,0,30.00\n");
    let compare = |totals: &str, more: &[&str]| {
        let file = books.write("totals.csv", totals);
        books.reconcile(&[&["--totals", file.to_str().unwrap()], more].concat())
    };
    let (code, text, said) = compare(&totals, &[]);
    assert_eq!(code, 0, "{text}{said}");

    let (code, text, said) = compare(&totals.replace(",15,", ",15.01,"), &[]);
    assert!(code == 1 && said.ends_with("error: the books differ\n"), "{said}");
    let named =
        "2026-06-01, all customers, slots, EUR: total_bets is 15.01 in totals, line 2, and is recomputed as 15.00";
    assert!(text.contains(named), "{text}");
    // The events behind it, with what became of them.
    for event in [
        "2026-06-01T10:00:00Z p1 bet_placed b1 10.00 EUR: events-0, offset 0",
        "2026-06-01T10:00:00Z p1 bet_placed b1 10.00 EUR (duplicate): events-0, offset 2",
        "2026-06-01T13:00:00Z p1 reversal r3 of b3",
        "r4 of b3 (already_reversed)",
    ] {
        assert!(text.contains(event), "{event} is not in\n{text}");
    }
    assert!(!text.lines().any(|line| line == "equal"), "{text}");
    assert_eq!(compare(&totals.replace(",15,", ",15.01,"), &["--date", "2026-06-02"]).0, 0);

    let (code, _, said) = compare("date,stakes\n2026-06-01,15\n", &[]);
    assert!(code == 2 && said.contains("totals.csv:2: unknown column \"stakes\""), "{said}");
    let (code, _, said) = books.reconcile(&["--date", "yesterday"]);
    assert!(code == 2 && said.contains("2026-06-01"), "{said}");
}

#[test]
fn usage_is_told_with_exit_2() {
    let folder = tempfile::tempdir().unwrap();
    let config = without_servers(folder.path());
    let (code, _, said) = questline(["reconcile", "--config", config.to_str().unwrap()]);
    assert!(code == 2 && said.contains("lake: is missing"), "{said}");
}

/// The same rows of activity, with 0.01 more stakes in some.
fn a_cent_more(batch: &RecordBatch, is_altered: impl Fn(usize) -> bool) -> RecordBatch {
    let total = batch.schema().index_of("total_bets").unwrap();
    let amounts = batch.column(total).as_primitive::<Decimal128Type>();
    let more = |row: usize| if is_altered(row) { 1_000_000 } else { 0 };
    let values: Vec<i128> = amounts.values().iter().enumerate().map(|(row, amount)| amount + more(row)).collect();
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    columns[total] = Arc::new(Decimal128Array::from(values).with_data_type(amounts.data_type().clone()));
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

/// `reconcile --every`, with its page.
struct Check {
    process: Questline,
    address: String,
    /// How much of what it wrote was looked at.
    seen: usize,
}

impl Check {
    fn start(books: &Books) -> Self {
        let (config, log) = (books.path("pipeline.toml"), books.path("check.log"));
        let every = ["--every", "20ms", "--listen", "127.0.0.1:0"];
        let arguments = ["reconcile", "--config", config.to_str().unwrap()].into_iter().chain(every);
        let mut process = Questline::start(arguments, &[("RUST_LOG", "info")], &log);
        let address = wait_for("the address of its page", || {
            process.assert_running();
            let log = process.log();
            let (_, behind) = log.split_once("address=")?;
            behind.split_once(char::is_whitespace).map(|(address, _)| address.to_owned())
        });
        Check { process, address, seen: 0 }
    }

    /// Waits until so many more rounds have come to `outcome`, and returns what was written since the last wait.
    fn rounds(&mut self, outcome: &str, count: usize) -> String {
        let outcome = format!("Z {outcome}: ");
        let said = wait_for(&outcome, || {
            self.process.assert_running();
            let said = self.process.log().split_off(self.seen);
            (said.matches(&outcome).count() >= count).then_some(said)
        });
        self.seen += said.len();
        said
    }

    /// A figure of its page.
    fn metric(&self, name: &str, labels: &str) -> f64 {
        let page = page(&self.address, "/metrics").unwrap();
        let name = format!("questline_reconcile_{name}{{pipeline=\"acme\"{labels}}} ");
        let value = page.lines().find_map(|line| line.strip_prefix(&name));
        value.unwrap_or_else(|| panic!("{name} is not in\n{page}")).parse().unwrap()
    }
}

#[test]
fn a_check_that_goes_on_tells_when_the_books_begin_to_differ_and_when_they_balance_again() {
    let books = Books::new("");
    let lake = LakeReader::in_folder(&books.path("lake"));
    // The row of the first day as it stands; an earlier revision has 22.00.
    let falsify = || {
        lake.tamper("activity", |batch| {
            let stakes = batch.column_by_name("total_bets").unwrap().as_primitive::<Decimal128Type>();
            (stakes.value(0) == 1_500_000_000).then(|| a_cent_more(batch, |_| true))
        })
    };
    let differing = |check: &Check| check.metric("differing_keys", ",kind=\"activity\"");

    let mut check = Check::start(&books);
    check.rounds("equal", 2);
    assert!(page(&check.address, "/ready").unwrap().starts_with("HTTP/1.1 200 "));
    assert_eq!(differing(&check), 0.0);
    assert!(check.metric("last_equal_seconds", "") > 0.0);

    let (object, original) = falsify();
    let said = check.rounds("differs", 3);
    for line in [
        "2026-06-01, p1, slots, EUR: total_bets is 15.01 in lake, and is recomputed as 15.00",
        "    2026-06-01T10:00:00Z p1 bet_placed b1 10.00 EUR: events-0, offset 0",
    ] {
        // Only the first of these rounds tells it.
        assert_eq!(said.lines().filter(|said| *said == line).count(), 1, "{line}\n{said}");
    }
    assert!(said.contains("Z differs: activity 1, lake activity "), "{said}");
    assert_eq!(differing(&check), 1.0);
    let (since, rounds) =
        (check.metric("last_equal_seconds", ""), check.metric("rounds_total", ",outcome=\"differs\""));
    check.rounds("differs", 2);
    assert_eq!(check.metric("last_equal_seconds", ""), since);
    assert!(check.metric("rounds_total", ",outcome=\"differs\"") > rounds);

    lake.put(&object, original);
    check.rounds("equal", 2);
    assert_eq!(differing(&check), 0.0);
    assert!(check.metric("last_equal_seconds", "") > since);

    // Nothing is known while the lake is away, and that is not a difference.
    std::fs::rename(books.path("lake"), books.path("away")).unwrap();
    check.rounds("failed", 2);
    assert!(check.metric("rounds_total", ",outcome=\"failed\"") >= 2.0);
    std::fs::rename(books.path("away"), books.path("lake")).unwrap();
    check.rounds("equal", 2);
    check.process.terminate();

    falsify();
    let mut check = Check::start(&books);
    check.rounds("differs", 1);
    let status = check.process.stop();
    let log = check.process.log();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.ends_with("error: the books differ\n"), "{log}");
}

#[test]
fn usage_of_a_check_that_goes_on_is_told_with_exit_2() {
    let folder = tempfile::tempdir().unwrap();
    let config = without_servers(folder.path());
    for (arguments, expected) in [
        (["--every", "0s"].as_slice(), "must be above 0"),
        (&["--every", "often"], "is no duration"),
        (&["--listen", "127.0.0.1:0"], "--every"),
        (&["--every", "1h", "--date", "2026-06-01"], "cannot be used with"),
    ] {
        let fixed = ["reconcile", "--config", config.to_str().unwrap()];
        let (code, _, said) = questline(fixed.into_iter().chain(arguments.iter().copied()));
        assert!(code == 2 && said.contains(expected), "{said}");
    }
}

fn account(scenario: &Scenario, more: &[&str]) -> (i32, Value, String) {
    let config = scenario.config();
    let arguments = ["reconcile", "--config", config.to_str().unwrap(), "--format", "json"];
    let (code, out, said) = questline(arguments.into_iter().chain(more.iter().copied()));
    (code, serde_json::from_str(&out).unwrap_or(Value::Null), said)
}

/// The generator's own book as an operator would hand it over, by day, game and currency.
fn own_totals(scenario: &Scenario, folder: &Path) -> PathBuf {
    let oracle = scenario.play.oracle();
    let mut totals = std::collections::BTreeMap::<_, (i64, i128, i128)>::new();
    for ((date, _, game, currency), row) in &oracle.activity {
        let sums = totals.entry((date.clone(), game.clone(), currency.clone())).or_default();
        *sums = (sums.0 + row.bets, sums.1 + row.stake, sums.2 + row.wins);
    }
    let lines = totals.into_iter().map(|((date, game_type, currency), (bets, stake, wins))| {
        json!({"date": date, "game_type": game_type, "currency": currency, "bets_count": bets,
            "total_bets": show_units(stake), "wins": show_units(wins)})
    });
    let path = folder.join("totals.jsonl");
    std::fs::write(&path, lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    path
}

#[test]
fn a_pipelines_books_balance_and_tampering_is_named() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "books", Play::new(recent(8_000, 31)));
    scenario.feed(usize::MAX);
    let mut run = scenario.run(2);
    let oracle = scenario.play.oracle();
    scenario.await_outputs(&mut run, &oracle);
    run.terminate();

    let totals = own_totals(&scenario, scenario.folder());
    let totals = ["--totals", totals.to_str().unwrap()];
    let (code, books, said) = account(&scenario, &totals);
    assert_eq!((code, &books["equal"], &books["unwritten"]), (0, &true.into(), &json!(0)), "{books}{said}");
    // Yesterday in UTC is due, or the day before as long as it is not six; a lake of so few files has yet to show it.
    assert!(books["days"]["due"].is_string() && books["days"]["overdue"].is_u64(), "{books}");
    let ends = scenario.ends();
    let partitions = books["partitions"].as_array().unwrap();
    for (end, partition) in ends.iter().zip(partitions) {
        let number = |name: &str| partition[name].as_i64().unwrap();
        assert_eq!(partition["range"], json!([0, end]), "{partition}");
        assert_eq!(number("with_events") + number("refused") + number("neither"), *end, "{partition}");
    }
    let counted: u64 = books["inputs"].as_array().unwrap().iter().map(|input| input["counted"].as_u64().unwrap()).sum();
    let accepted = oracle.verdicts.iter().filter(|verdict| **verdict == questline_tests::oracle::Verdict::Accepted);
    assert_eq!(counted, u64::try_from(accepted.count()).unwrap());

    let altered = RefCell::new(None);
    scenario.lake().tamper("activity", |batch| {
        let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>().value(0).to_owned();
        *altered.borrow_mut() = Some((text("customer_id"), text("game_type"), text("currency")));
        Some(a_cent_more(batch, |row| row == 0))
    });
    let (customer, ..) = altered.into_inner().unwrap();
    let (code, books, said) = account(&scenario, &["--lake-only"]);
    assert_eq!((code, &books["equal"]), (1, &false.into()), "{books}");
    assert!(said.ends_with("error: the books differ\n"), "{said}");
    // The row's last revision, unless a later one took its place: then only the record differs.
    let verdict = books["verdict"]["compared"].as_array().unwrap().iter();
    let of_lake = verdict.clone().find(|comparison| comparison["what"] == "lake activity").unwrap();
    assert!(of_lake["first"]["key"].as_str().unwrap().contains(&format!("customer_id {customer},")), "{of_lake}");
    if let Some(first) = books["first"].as_array().unwrap().first() {
        assert_eq!((&first["customer_id"], &first["column"]), (&json!(customer), &json!("total_bets")), "{first}");
        assert!(!first["events"].as_array().unwrap().is_empty(), "{first}");
    }
}

/// Stakes wait for their settlements through two deaths; what a start finds is what it had.
#[test]
fn settled_stakes_outlive_the_process() {
    const BY_SETTLEMENT: (&str, &str) = ("QUESTLINE__ACTIVITY__ATTRIBUTION", "settlement");
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "settled", Play::new(recent(40_000, 32)));
    for (workers, rest) in [(2, 20_000), (1, 5_000)] {
        let mut run = scenario.run_with(workers, &[BY_SETTLEMENT]);
        wait_for("checkpoints", || {
            run.assert_running();
            if scenario.left() > rest {
                scenario.feed(100);
            }
            (run.log().matches("checkpoint in place").count() > 1).then_some(())
        });
        run.kill();
    }
    let mut run = scenario.run_with(2, &[BY_SETTLEMENT]);
    scenario.feed(usize::MAX);
    wait_for("the end", || {
        run.assert_running();
        scenario.is_caught_up().then_some(())
    });
    assert!(run.log().contains("checkpoint read"), "{}", run.log());
    run.terminate();
    let config = scenario.config();
    let arguments = |command| [command, "--config", config.to_str().unwrap(), "--format", "json"];
    let (code, out, said) = questline_with(&[BY_SETTLEMENT], arguments("verify").into_iter().chain(["--complete"]));
    assert_eq!(code, 0, "{out}{said}");
    let (code, out, said) = questline_with(&[BY_SETTLEMENT], arguments("reconcile"));
    assert_eq!(code, 0, "{said}");
    let books: Value = serde_json::from_str(&out).unwrap();
    let staked: i64 =
        books["activity"].as_array().unwrap().iter().map(|day| day["recomputed"]["bets_count"].as_i64().unwrap()).sum();
    assert!(staked > 500, "{staked} stakes are settled: {books}");
}
