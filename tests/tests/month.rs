//! Activity of generated play beside what DuckDB makes of the raw history, in SQL: identity, reversals, re-settlements across
//! days and five currencies, in order and shuffled within lateness.
//!
//! A small month by default. All of it: `QUESTLINE_MONTH=30,100000,3000000 scripts/test -p questline-tests --test month -- --nocapture`.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use datasets::generator::{GeneratorConfig, Shares};
use questline_tests::dice::Dice;
use questline_tests::play::{Play, Sent};
use questline_tests::process::{Python, questline};
use serde_json::Value;

const HOUR: i64 = 3_600_000_000;
/// By how much a record may come later than it would: 40 hours, less than a reversal waits for what it reverses.
const DELAY_MILLIS: u64 = 40 * 3_600_000;

/// Days, players, events.
fn size() -> (i64, u32, u64) {
    let Ok(text) = std::env::var("QUESTLINE_MONTH") else { return (9, 3_000, 60_000) };
    let numbers: Vec<u64> = text.split(',').map(|number| number.trim().parse().expect("days,players,events")).collect();
    let [days, players, events] = numbers[..] else { panic!("QUESTLINE_MONTH=days,players,events, and not {text:?}") };
    (i64::try_from(days).unwrap(), u32::try_from(players).unwrap(), events)
}

/// 2 % reversals and 1 % re-settlements, beside duplicates and late bets. Nothing that is refused: of what is, order decides.
fn play() -> Play {
    let (days, players, events) = size();
    let currencies = [(50, "EUR"), (20, "GBP"), (15, "USD"), (10, "SEK"), (5, "NOK")];
    Play::new(GeneratorConfig {
        events,
        players,
        missions: 0,
        seed: 7,
        span_micros: days * 24 * HOUR,
        shares: Shares { reversals: 20_000, resettlements: 10_000, conflicts: 0, malformed: 0, ..Shares::default() },
        currencies: currencies.map(|(weight, code)| (weight, code.to_owned())).to_vec(),
        partitions: 4,
        ..GeneratorConfig::default()
    })
}

/// Every third record comes later than it would, by up to [`DELAY_MILLIS`].
fn shuffle(play: &mut Play) {
    let mut dice = Dice(99);
    for record in &mut play.sent {
        if dice.between(1, 3) == 1 {
            record.ingest += i64::try_from(dice.between(0, DELAY_MILLIS)).unwrap() * 1000;
        }
    }
    play.sent.sort_by_key(|Sent { ingest, .. }| *ingest);
}

/// The rules of identity, reversal and settlement (DOMAIN §2) and of rows (DOMAIN §5), over nothing but the events as they were read.
const RECOMPUTED: &str = r#"
import json, sys
import duckdb
root = sys.argv[1]
db = duckdb.connect()
db.execute("SET enable_progress_bar = false")
db.execute(f"""
CREATE VIEW events AS SELECT * FROM read_parquet('{root}/events/*/*.parquet', hive_partitioning = true);
CREATE TABLE transactions AS
  SELECT *, CASE event_name WHEN 'bet_placed' THEN 'bet' WHEN 'bet_settled' THEN 'settlement' ELSE event_name END AS family,
    min(event_time) OVER transaction AS first_time
  FROM events WHERE event_name IN ('bet_placed', 'bet_settled', 'win')
  WINDOW transaction AS (PARTITION BY source, event_name, player_id, transaction_id)
  -- Of a bet or win every record says the same; of a settlement the newest payout counts, on the first one's day.
  QUALIFY row_number() OVER (PARTITION BY source, event_name, player_id, transaction_id ORDER BY event_time DESC) = 1;
CREATE TABLE recomputed AS
  SELECT CAST(timezone('Europe/Malta', first_time) AS DATE) AS date, player_id AS customer_id, game_type, currency,
    count(*) FILTER (family = 'bet') AS bets_count,
    coalesce(sum(amount - bonus_amount) FILTER (family = 'bet'), 0) AS total_bets,
    coalesce(sum(amount - bonus_amount) FILTER (family <> 'bet'), 0) AS wins,
    -- What the source maps to them: a bet's bonus part, a settlement's payout.
    coalesce(sum(bonus_amount) FILTER (family = 'bet'), 0) AS jackpot_contribution,
    coalesce(sum(amount) FILTER (family = 'settlement'), 0) AS jackpot_wins
  FROM transactions AS t
  WHERE NOT EXISTS (
    SELECT 1 FROM events AS r WHERE r.event_name = 'reversal' AND r.player_id = t.player_id
      AND r.reference_id = t.transaction_id AND r.reference_family = t.family)
  GROUP BY ALL;
CREATE TABLE emitted AS
  SELECT * FROM read_parquet('{root}/activity/*/*.parquet', hive_partitioning = true)
  QUALIFY row_number() OVER (PARTITION BY date, customer_id, game_type, currency ORDER BY revision DESC) = 1;
CREATE TABLE differing AS
  SELECT * FROM recomputed AS r FULL JOIN emitted AS e USING (date, customer_id, game_type, currency)
  WHERE coalesce(r.bets_count, 0) <> coalesce(e.bets_count, -1) OR coalesce(r.total_bets, 0) <> coalesce(e.total_bets, -1)
    OR coalesce(r.wins, 0) <> coalesce(e.wins, -1) OR e.ggr <> e.total_bets - e.wins
    OR coalesce(r.jackpot_contribution, 0) <> coalesce(e.jackpot_contribution, -1)
    OR coalesce(r.jackpot_wins, 0) <> coalesce(e.jackpot_wins, -1)
    -- Every part of it has no more places than its currency.
    OR coalesce(r.total_bets - r.wins - r.jackpot_contribution + r.jackpot_wins
      - CASE WHEN r.currency = 'EUR' THEN 0.05 * r.bets_count ELSE 0 END, 0) <> e.ngr;
""")
one = lambda sql: db.sql(sql).fetchall()[0][0]
print(json.dumps({
    "rows": one("SELECT count(*) FROM recomputed"),
    "emitted": one("SELECT count(*) FROM emitted"),
    "restated": one("SELECT count(*) FROM emitted WHERE revision > 1"),
    "resettled": one("SELECT count(*) FROM (SELECT transaction_id FROM events WHERE event_name = 'bet_settled' GROUP BY ALL HAVING count(DISTINCT amount) > 1)"),
    "resettled_later": one("SELECT count(*) FROM transactions WHERE family = 'settlement' AND event_time::DATE > first_time::DATE"),
    "reversals": one("SELECT count(*) FROM events WHERE event_name = 'reversal'"),
    "jackpots": one("SELECT count(*) FROM recomputed WHERE jackpot_contribution > 0 OR jackpot_wins > 0"),
    "currencies": one("SELECT count(DISTINCT currency) FROM emitted"),
    "late_days": one("SELECT max(date_diff('day', event_time, ingest_time)) FROM events"),
    "ggr": str(one("SELECT sum(total_bets - wins) FROM recomputed")),
    "differing": one("SELECT count(*) FROM differing"),
    "first": [str(row) for row in db.sql("SELECT * FROM differing LIMIT 3").fetchall()],
}))
"#;

const RULES: &str = r#"
[pipeline]
name = "acme"
[[source]]
name = "pam"
topics = ["events"]
[source.mapping]
jackpot_contribution = "/bonus_amount"
jackpot_win = "/payout"
[activity]
zone = "Europe/Malta"
[[activity.ngr]]
name = "contribution"
amount_of = "jackpot_contribution"
[[activity.ngr]]
name = "paid by the pool"
add_back = "jackpot_wins"
[[activity.ngr]]
name = "fee"
fixed = "0.05"
currency = "EUR"
per = "bet"
"#;

fn replay(play: &Play, folder: &Path) -> PathBuf {
    let lake = folder.join("lake");
    let config = folder.join("pipeline.toml");
    let text = format!("{RULES}[lake]\nurl = \"file://{}\"\n", lake.display());
    std::fs::write(&config, text).unwrap();
    let input = folder.join("events.jsonl");
    play.write_lines(&input);
    let out = folder.join("out");
    let [config, input, out] = [&config, &input, &out].map(|path| path.to_str().unwrap());
    let (code, _, said) = questline(["replay", "--config", config, "--input", input, "--out", out, "--workers", "2"]);
    assert_eq!(code, 0, "{said}");
    // Recomputed by the operators themselves, from the columns of the history.
    let (code, told, said) = questline(["reconcile", "--config", config]);
    assert_eq!(code, 0, "{told}{said}");
    lake
}

#[test]
fn every_row_is_what_duckdb_makes_of_the_history() {
    let Some(python) = Python::from_env() else { return };
    let mut play = play();
    let recompute = |play: &Play| -> Value {
        let folder = tempfile::tempdir().unwrap();
        let lake = replay(play, folder.path());
        python.run(RECOMPUTED, Path::new(&lake), "")
    };
    let in_order = recompute(&play);
    println!("in order: {in_order}");
    assert_eq!(in_order["differing"], 0, "{in_order}");
    let number = |of: &Value, name: &str| of[name].as_u64().unwrap();
    for name in ["resettled", "resettled_later", "reversals", "restated", "jackpots"] {
        assert!(number(&in_order, name) > 100, "{name} in {in_order}");
    }
    assert_eq!(number(&in_order, "currencies"), 5);
    let ggr: datasets::Money = play.tally.activity.values().map(datasets::generator::TallyTotals::ggr).sum();
    assert_eq!(in_order["ggr"].as_str().unwrap().parse(), Ok(ggr), "the generator's own book");

    shuffle(&mut play);
    let shuffled = recompute(&play);
    println!("shuffled: {shuffled}");
    assert_eq!(shuffled["differing"], 0, "{shuffled}");
    for name in ["rows", "resettled", "ggr"] {
        assert_eq!(shuffled[name], in_order[name], "{name}: what is true of the play does not depend on its order");
    }
}
