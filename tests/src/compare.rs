//! Everything that the pipeline put out, against the recomputation: to the cent and to the record.

mod history;
mod points;
mod tables;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::kafka::{Message, read_all};
use crate::oracle::number::{instant, show_instant, show_units};
use crate::oracle::{Oracle, Row, RowKey, Verdict, player_of};
use crate::scenario::Scenario;
use history::Epochs;

/// A row of activity that is waited for.
pub struct Awaited {
    row: Value,
    /// The last message about it says the same.
    pub is_told: bool,
    /// What the last message says where that is something else.
    told: Option<Value>,
}

/// Compares all outputs of a pipeline that has ended and says how much there was.
///
/// # Panics
/// At the first difference.
pub fn everything(scenario: &Scenario, oracle: &Oracle<'_>) -> String {
    let topic = |of: &str| read_all(&scenario.stack.brokers, &scenario.topic(of));
    tally(scenario, oracle);
    let epochs = Epochs::read(scenario);
    let (points, completions_only) = points::split(topic("completions"));
    let completions = completions(scenario, oracle, &epochs, completions_only);
    points::check(scenario, &completions, &points);
    let activity = activity(oracle, topic("activity"));
    let dead_letters = dead_letters(scenario, oracle, topic("dead-letters"));

    epochs.check_counters(scenario, oracle, &completions);
    let rows = history::events(scenario, oracle, &epochs);
    let dispositions = history::dispositions(scenario, oracle);
    tables::completions(scenario, &completions);
    tables::activity(scenario, &activity);
    tables::dead_letters(scenario, &dead_letters);
    tables::definitions(scenario);

    let revisions: usize = activity.values().map(Vec::len).sum();
    let revoked = completions.iter().filter(|message| message["type"] == "mission_revoked").count();
    format!(
        "{} events in {} epochs: {} completions ({revoked} revoked), {} activity rows ({revisions} revisions), \
         {rows} rows of history, {dispositions} dispositions, {} dead letters: topics, lake and recomputation are equal",
        scenario.play.sent.len(),
        epochs.count(),
        completions.len() - revoked,
        activity.len(),
        dead_letters.len(),
    )
}

/// The recomputation against the generator's own book: two that know nothing of each other.
fn tally(scenario: &Scenario, oracle: &Oracle<'_>) {
    let counts = oracle.counts();
    let count = |verdict| counts.get(&verdict).copied().unwrap_or(0);
    let tally = &scenario.play.tally;
    assert_eq!(count(Verdict::Duplicate), tally.duplicates);
    assert_eq!(count(Verdict::AlreadyReversed), tally.already_reversed);
    assert_eq!(count(Verdict::Accepted), tally.accepted());
    for (reason, expected) in &tally.dead_letters {
        let verdict = match reason.as_str() {
            "idempotency_conflict" => Verdict::Conflict,
            reason => Verdict::Refused(reason),
        };
        assert_eq!(count(verdict), *expected, "{reason}");
    }
}

/// The messages of the topic `completions`, equal to the recomputed ones for each player, in order.
fn completions(scenario: &Scenario, oracle: &Oracle<'_>, epochs: &Epochs, messages: Vec<Message>) -> Vec<Value> {
    let mut by_player: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut ids: BTreeMap<String, (String, String, String)> = BTreeMap::new();
    let mut all = Vec::new();
    for Message { key, value, .. } in messages {
        let message: Value = serde_json::from_str(&value).expect("completions are JSON");
        assert_eq!(message["player_id"].as_str(), key.as_deref(), "{value}");
        let text = |name: &str| message[name].as_str().expect(name).to_owned();
        let occurrence = (text("player_id"), text("mission_id"), text("window_start"));
        let known = ids.entry(text("completion_id")).or_insert_with(|| occurrence.clone());
        assert_eq!(*known, occurrence, "one id, one occurrence");
        all.push(message.clone());
        by_player.entry(text("player_id")).or_default().push(message);
    }
    let occurrences: BTreeSet<_> = ids.values().collect();
    assert_eq!(occurrences.len(), ids.len(), "one occurrence, one id");

    live_set(oracle, by_player.values().flatten());
    let mut expected = oracle.messages(&scenario.topic("events"), |partition, offset| epochs.of(partition, offset));
    for (player, found) in by_player {
        let expected = expected.remove(player.as_str()).unwrap_or_default();
        let found: Vec<Value> = found.into_iter().map(without_id).collect();
        let expected: Vec<Value> = expected.into_iter().map(|message| stamped(message, epochs)).collect();
        assert_eq!(found, expected, "messages about {player}");
    }
    let missing: Vec<_> = expected.into_iter().take(3).collect();
    assert!(missing.is_empty(), "never told: {missing:?}");
    all
}

fn without_id(mut message: Value) -> Value {
    message.as_object_mut().expect("an object").remove("completion_id");
    message
}

/// A message leaves with the clock of the epoch of its cause.
fn stamped(mut message: Value, epochs: &Epochs) -> Value {
    let place = |name: &str| message["trigger"][name].as_i64().expect(name);
    let partition = i32::try_from(place("partition")).expect("a few");
    let now = epochs.now(epochs.of(partition, place("offset")));
    message["emitted_at"] = show_instant(now).into();
    message
}

/// Completed and revoked take turns, and what is left is what the facts say, however epochs were cut. (Not the
/// times: a correction that leaves a completion standing is not told.)
pub fn live_set<'a>(oracle: &Oracle<'_>, messages: impl IntoIterator<Item = &'a Value>) {
    let mut live = BTreeMap::new();
    let mut revisions: BTreeMap<&str, i64> = BTreeMap::new();
    for message in messages {
        let text = |name: &str| message[name].as_str().expect(name);
        let revision = message["revision"].as_i64().expect("a number");
        let known = revisions.entry(text("completion_id")).or_default();
        let window = instant(text("window_start")).expect("an instant");
        let key = (text("player_id").to_owned(), text("mission_id").to_owned(), window);
        let completed_at = instant(text("completed_at")).expect("an instant");
        if text("type") == "mission_completed" {
            assert_eq!(revision, *known + 1, "{message}");
            assert_eq!(live.insert(key, completed_at), None, "{message}");
        } else {
            assert_eq!(revision, *known, "{message}");
            assert!(live.remove(&key).is_some(), "{message}");
        }
        *known = revision;
    }
    let (revoking, keeping): (BTreeMap<_, _>, _) =
        live.into_iter().partition(|((_, mission, _), _)| oracle.revokes(mission));
    let expected = oracle.standing(true);
    assert!(revoking.keys().eq(expected.keys()), "{} stand, {} should", revoking.len(), expected.len());
    // What was reversed since stays kept.
    let missing = oracle.standing(false).into_keys().find(|key| !keeping.contains_key(key));
    assert_eq!(missing, None, "kept completions");
}

/// A row as a message without revision and time.
fn row_value((date, customer, game_type, currency): &RowKey, row: &Row) -> Value {
    let ggr = show_units(row.stake - row.wins);
    json!({
        "date": date,
        "customer_id": customer,
        "game_type": game_type,
        "currency": currency,
        "bets_count": row.bets,
        "total_bets": show_units(row.stake),
        "wins": show_units(row.wins),
        "ggr": ggr,
        "ngr": ggr,
        "bonus_bets": show_units(row.bonus),
        "bonus_wins": "0.00",
        "bonus_cost": "0.00",
        "jackpot_contribution": "0.00",
        "jackpot_wins": "0.00",
    })
}

/// Every row by its message key, none of them told yet.
pub fn expected_activity(oracle: &Oracle<'_>) -> BTreeMap<String, Awaited> {
    let rows = oracle.activity.iter().map(|(key, row)| {
        let (date, customer, game_type, currency) = key;
        let message_key = format!("{date}|{customer}|{game_type}|{currency}");
        (message_key, Awaited { row: row_value(key, row), is_told: false, told: None })
    });
    rows.collect()
}

/// Takes note of a row as it was last told.
pub fn told_row(waiting: &mut BTreeMap<String, Awaited>, row: &Value) {
    let key = ["date", "customer_id", "game_type", "currency"].map(|name| row[name].as_str().expect(name));
    let awaited = waiting.get_mut(&key.join("|")).unwrap_or_else(|| panic!("nobody played {row}"));
    awaited.is(values(&row.to_string()));
}

/// Takes note of a message about a row.
pub fn told(waiting: &mut BTreeMap<String, Awaited>, message: &Message) {
    let Some(awaited) = message.key.as_ref().and_then(|key| waiting.get_mut(key)) else { return };
    awaited.is(values(&message.value));
}

/// How many rows were not told as they should be, and the first of them.
pub fn untold(waiting: &BTreeMap<String, Awaited>) -> String {
    let untold: Vec<_> = waiting.values().filter(|awaited| !awaited.is_told).collect();
    let first = untold.first().map(|awaited| match &awaited.told {
        Some(told) => format!(", the first was told as {told} instead of {}", awaited.row),
        None => format!(", the first was never told: {}", awaited.row),
    });
    format!("{} of {} are missing{}", untold.len(), waiting.len(), first.unwrap_or_default())
}

impl Awaited {
    fn is(&mut self, told: Value) {
        self.is_told = told == self.row;
        self.told = (!self.is_told).then_some(told);
    }
}

/// A message about a row, without revision and time.
fn values(message: &str) -> Value {
    let mut row: Value = serde_json::from_str(message).expect("rows are JSON");
    let members = row.as_object_mut().expect("an object");
    members.remove("revision");
    members.remove("updated_at");
    row
}

/// The revisions of every row, by key: without gaps, each other than the one before, the last as recomputed.
fn activity(oracle: &Oracle<'_>, messages: Vec<Message>) -> BTreeMap<String, Vec<Value>> {
    let mut rows: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for Message { key, value, .. } in messages {
        let row: Value = serde_json::from_str(&value).expect("rows are JSON");
        rows.entry(key.expect("rows have keys")).or_default().push(row);
    }
    let without_stamp = |row: &Value| values(&row.to_string());
    let mut expected = expected_activity(oracle);
    for (key, revisions) in &rows {
        let awaited = expected.remove(key).unwrap_or_else(|| panic!("nobody played {key}"));
        let last = revisions.last().expect("a row has a revision");
        assert_eq!(without_stamp(last), awaited.row);
        for (number, revision) in (1..).zip(revisions) {
            assert_eq!(revision["revision"].as_i64(), Some(number), "{key}");
        }
        for pair in revisions.windows(2) {
            assert_ne!(without_stamp(&pair[0]), without_stamp(&pair[1]), "{key}: told twice");
            assert!(pair[0]["updated_at"].as_str() <= pair[1]["updated_at"].as_str(), "{key}");
        }
    }
    let missing: Vec<_> = expected.keys().take(3).collect();
    assert!(missing.is_empty(), "never told: {missing:?}");
    rows
}

/// The messages of the topic of dead letters without their detail, equal to the recomputed ones, by place.
fn dead_letters(scenario: &Scenario, oracle: &Oracle<'_>, messages: Vec<Message>) -> BTreeMap<(i32, i64), Value> {
    let mut found = BTreeMap::new();
    for Message { key, value, .. } in messages {
        let mut letter: Value = serde_json::from_str(&value).expect("dead letters are JSON");
        assert_eq!(letter["player_id"].as_str(), key.as_deref(), "{value}");
        let detail = letter.as_object_mut().expect("an object").remove("detail");
        assert!(detail.is_some_and(|detail| detail.as_str().is_some_and(|text| !text.is_empty())), "{value}");
        let place = |name: &str| letter[name].as_i64().expect(name);
        let place = (i32::try_from(place("partition")).expect("a few"), place("offset"));
        assert_eq!(found.insert(place, letter), None, "one refusal, one letter: {value}");
    }
    let currencies = scenario.play.currencies();
    let mut expected = 0;
    for (sent, verdict) in scenario.play.sent.iter().zip(&oracle.verdicts) {
        let reason = match verdict {
            Verdict::Refused(reason) => reason,
            Verdict::Conflict => "idempotency_conflict",
            _ => continue,
        };
        expected += 1;
        let mut letter = json!({
            "reason": reason,
            "topic": scenario.topic("events"),
            "partition": sent.partition,
            "offset": sent.offset,
            "index": 0,
            "ingest_time": show_instant(sent.ingest),
            "player_id": player_of(sent, &currencies),
            "raw": std::str::from_utf8(&sent.value).ok(),
            "truncated": false,
        });
        if std::str::from_utf8(&sent.value).is_err() {
            use base64::Engine;
            letter["raw_base64"] = base64::prelude::BASE64_STANDARD.encode(&sent.value).into();
        }
        assert_eq!(found.get(&(sent.partition, sent.offset)), Some(&letter));
    }
    assert_eq!(found.len(), expected, "letters that nobody should have written");
    found
}
