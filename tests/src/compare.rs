//! Everything that the pipeline put out, against the recomputation: to the cent and to the record.

mod entities;
mod history;
mod points;
mod restrictions;
mod tables;
mod tiers;

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
    let (points, rest) = split(topic("completions"), "points_changed");
    let (tiers, completions_only) = split(rest, "tier_changed");
    let (completions, audit) = completions(scenario, oracle, &epochs, (completions_only, topic("audit")));
    points::check(scenario, &completions, &points);
    tiers::check(scenario, oracle, &tiers);
    let activity = activity(oracle, topic("activity"));
    let transactions = entities::check(scenario, oracle, &activity);
    let dead_letters = dead_letters(scenario, oracle, topic("dead-letters"));

    epochs.check_counters(scenario, oracle, &completions, &audit);
    let rows = history::events(scenario, oracle, &epochs);
    let dispositions = history::dispositions(scenario, oracle);
    tables::completions(scenario, &completions);
    tables::audit(scenario, &audit);
    tables::activity(scenario, &activity);
    tables::dead_letters(scenario, &dead_letters);
    tables::definitions(scenario);

    let revisions: usize = activity.values().map(Vec::len).sum();
    let revoked = completions.iter().filter(|message| message["type"] == "mission_revoked").count();
    format!(
        "{} events in {} epochs: {} completions ({revoked} revoked), {} suppressed, {} activity rows ({revisions} revisions), {transactions} transactions, \
         {rows} rows of history, {dispositions} dispositions, {} dead letters: topics, lake and recomputation are equal",
        scenario.play.sent.len(),
        epochs.count(),
        completions.len() - revoked,
        audit.len(),
        activity.len(),
        dead_letters.len(),
    )
}

/// Parts the messages of one type from the others of the same topic.
fn split(messages: Vec<Message>, kind: &str) -> (Vec<Value>, Vec<Message>) {
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for message in messages {
        let value: Value = serde_json::from_str(&message.value).expect("messages are JSON");
        if value["type"] == kind {
            assert_eq!(value["player_id"].as_str(), message.key.as_deref(), "{value}");
            found.push(value);
        } else {
            others.push(message);
        }
    }
    (found, others)
}

/// The recomputation against the generator's own book: two that know nothing of each other.
fn tally(scenario: &Scenario, oracle: &Oracle<'_>) {
    let counts = oracle.counts();
    let count = |verdict| counts.get(&verdict).copied().unwrap_or(0);
    let tally = &scenario.play.tally;
    assert_eq!(count(Verdict::Duplicate), tally.duplicates);
    assert_eq!(count(Verdict::AlreadyReversed), tally.already_reversed);
    assert_eq!(count(Verdict::Accepted), tally.accepted() + scenario.play.restrictions);
    for (reason, expected) in &tally.dead_letters {
        let verdict = match reason.as_str() {
            "idempotency_conflict" => Verdict::Conflict,
            reason => Verdict::Refused(reason),
        };
        assert_eq!(count(verdict), *expected, "{reason}");
    }
}

/// The messages of the topics `completions` and `audit`, equal to the recomputed ones for each player, in order.
fn completions(
    scenario: &Scenario,
    oracle: &Oracle<'_>,
    epochs: &Epochs,
    (messages, audit): (Vec<Message>, Vec<Message>),
) -> (Vec<Value>, Vec<Value>) {
    let (messages, audit) = (parsed(messages), parsed(audit));
    let mut ids: BTreeMap<&str, [&str; 3]> = BTreeMap::new();
    for message in messages.iter().chain(&audit) {
        let text = |name: &str| message[name].as_str().expect(name);
        let occurrence = ["player_id", "mission_id", "window_start"].map(text);
        let known = ids.entry(text("completion_id")).or_insert(occurrence);
        assert_eq!(*known, occurrence, "one id, one occurrence");
    }
    let occurrences: BTreeSet<_> = ids.values().collect();
    assert_eq!(occurrences.len(), ids.len(), "one occurrence, one id");

    live_set(oracle, &messages, &audit);
    let expected = oracle.messages(&scenario.topic("events"), |partition, offset| epochs.of(partition, offset));
    let (mut told, mut kept_back) = (by_player(&messages), by_player(&audit));
    for (player, expected) in expected {
        let expected = expected.into_iter().map(|message| stamped(message, epochs)).collect();
        let (leaves, silent) = restrictions::judged(player, expected, oracle, epochs);
        assert_eq!(told.remove(player).unwrap_or_default(), leaves, "messages about {player}");
        assert_eq!(kept_back.remove(player).unwrap_or_default(), silent, "what {player} was not told");
    }
    let more: Vec<_> = told.into_iter().chain(kept_back).take(3).collect();
    assert!(more.is_empty(), "nobody expected {more:?}");
    (messages, audit)
}

/// Messages whose key is the player.
fn parsed(messages: Vec<Message>) -> Vec<Value> {
    let parsed = messages.into_iter().map(|Message { key, value, .. }| {
        let message: Value = serde_json::from_str(&value).expect("messages are JSON");
        assert_eq!(message["player_id"].as_str(), key.as_deref(), "{value}");
        message
    });
    parsed.collect()
}

/// Messages without their ids, in their order.
fn by_player(messages: &[Value]) -> BTreeMap<&str, Vec<Value>> {
    let mut by_player: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for message in messages {
        by_player
            .entry(message["player_id"].as_str().expect("a player"))
            .or_default()
            .push(without_id(message.clone()));
    }
    by_player
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
/// times: a correction that leaves a completion standing is not told.) What was suppressed last may stand: that it was
/// taken back is not told.
pub fn live_set(oracle: &Oracle<'_>, messages: &[Value], audit: &[Value]) {
    let text = |message: &Value, name: &str| message[name].as_str().expect(name).to_owned();
    let revision = |message: &Value| message["revision"].as_i64().expect("a number");
    let occurrence = |message: &Value| {
        let window = instant(&text(message, "window_start")).expect("an instant");
        (text(message, "player_id"), text(message, "mission_id"), window)
    };
    let mut live = BTreeMap::new();
    let mut revisions: BTreeMap<String, i64> = BTreeMap::new();
    let suppressed: BTreeSet<(String, i64)> =
        audit.iter().map(|row| (text(row, "completion_id"), revision(row))).collect();
    assert_eq!(suppressed.len(), audit.len(), "a revision was suppressed twice");
    for message in messages {
        let id = text(message, "completion_id");
        let known = revisions.entry(id.clone()).or_default();
        let (key, revision) = (occurrence(message), revision(message));
        let completed_at = instant(&text(message, "completed_at")).expect("an instant");
        if message["type"] == "mission_completed" {
            let between: Vec<i64> = (*known + 1..revision).collect();
            let were_suppressed = between.into_iter().all(|revision| suppressed.contains(&(id.clone(), revision)));
            assert!(revision > *known && were_suppressed, "{message}");
            assert!(!suppressed.contains(&(id, revision)), "told and suppressed: {message}");
            assert_eq!(live.insert(key, completed_at), None, "{message}");
        } else {
            assert_eq!(revision, *known, "{message}");
            assert!(live.remove(&key).is_some(), "{message}");
        }
        *known = revision;
    }
    let is_last = |row: &&Value| revisions.get(&text(row, "completion_id")).is_none_or(|known| *known < revision(row));
    let may_stand: BTreeSet<_> = audit.iter().filter(is_last).map(occurrence).collect();
    let (revoking, keeping): (BTreeMap<_, _>, _) =
        live.into_iter().partition(|((_, mission, _), _)| oracle.revokes(mission));
    let expected = oracle.standing(true);
    let surplus = revoking.keys().find(|key| !expected.contains_key(key));
    assert_eq!(surplus, None, "{} stand, {} should", revoking.len(), expected.len());
    let missing = expected.keys().find(|key| !revoking.contains_key(key) && !may_stand.contains(key));
    assert_eq!(missing, None, "{} stand, {} should", revoking.len(), expected.len());
    // What was reversed since stays kept.
    let missing = oracle.standing(false).into_keys().find(|key| !keeping.contains_key(key) && !may_stand.contains(key));
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
