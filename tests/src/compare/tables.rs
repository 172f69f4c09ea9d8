//! The lake's tables of outputs, against the topics.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::lake::Row;
use crate::oracle::number::{show_instant, show_units};
use crate::scenario::Scenario;

pub(super) fn time(row: Row<'_>, name: &str) -> Value {
    row.instant(name).map(show_instant).into()
}

pub(super) fn money(row: Row<'_>, name: &str) -> Value {
    row.units(name).map(show_units).into()
}

/// What caused a row, as messages have it.
pub(super) fn trigger(row: Row<'_>) -> Value {
    json!({
        "kind": row.text("trigger_kind"),
        "transaction_id": row.text("trigger_transaction_id"),
        "topic": row.text("trigger_topic"),
        "partition": row.int("trigger_partition"),
        "offset": row.int("trigger_offset"),
    })
}

/// Table `completions` has every message of the topic once, word for word.
pub fn completions(scenario: &Scenario, messages: &[Value]) {
    let mut found = BTreeMap::new();
    scenario.lake().read("completions", |row| {
        let mut message = json!({
            "type": row.text("type"),
            "completion_id": row.text("completion_id"),
            "revision": row.int("revision"),
            "player_id": row.text("player_id"),
            "mission_id": row.text("mission_id"),
            "mission_version": row.int("mission_version"),
            "occurrence": row.int("occurrence"),
            "window_start": time(row, "window_start"),
            "window_end": time(row, "window_end"),
            "completed_at": time(row, "completed_at"),
            "emitted_at": time(row, "emitted_at"),
            "trigger": trigger(row),
            "progress": money(row, "progress"),
            "target": money(row, "target"),
            "reward": {"type": row.text("reward_type"), "value": row.text("reward_value")},
            "channels": row.texts("channels"),
        });
        if let Some(reversed_by) = row.text("reversed_by") {
            message["reversed_by"] = reversed_by.into();
        }
        assert!(found.insert(name(&message), message).is_none(), "a completion is there twice");
    });
    let expected: BTreeMap<_, _> = messages.iter().map(|message| (name(message), message.clone())).collect();
    assert_eq!(expected.len(), messages.len(), "a message was told twice");
    equal("completions", &expected, &found);
}

/// Table `audit` has every message of the topic once, word for word.
pub fn audit(scenario: &Scenario, messages: &[Value]) {
    let mut found = BTreeMap::new();
    scenario.lake().read("audit", |row| {
        let message = json!({
            "type": row.text("type"),
            "reason": row.text("reason"),
            "until": time(row, "until"),
            "completion_id": row.text("completion_id"),
            "revision": row.int("revision"),
            "player_id": row.text("player_id"),
            "mission_id": row.text("mission_id"),
            "mission_version": row.int("mission_version"),
            "occurrence": row.int("occurrence"),
            "window_start": time(row, "window_start"),
            "window_end": time(row, "window_end"),
            "completed_at": time(row, "completed_at"),
            "emitted_at": time(row, "emitted_at"),
            "trigger": trigger(row),
            "progress": money(row, "progress"),
            "target": money(row, "target"),
            "reward": {"type": row.text("reward_type"), "value": row.text("reward_value")},
            "channels": row.texts("channels"),
        });
        assert!(found.insert(name(&message), message).is_none(), "a suppressed completion is there twice");
    });
    let expected: BTreeMap<_, _> = messages.iter().map(|message| (name(message), message.clone())).collect();
    assert_eq!(expected.len(), messages.len(), "a message was told twice");
    equal("audit", &expected, &found);
}

/// What no two messages have in common.
fn name(message: &Value) -> String {
    format!("{} {} {}", message["completion_id"], message["revision"], message["type"])
}

/// Table `activity` has the last revision of every row, and none that the topic does not have.
pub fn activity(scenario: &Scenario, rows: &BTreeMap<String, Vec<Value>>) {
    let mut found: BTreeMap<String, BTreeMap<i64, Value>> = BTreeMap::new();
    scenario.lake().read("activity", |row| {
        let mut value = json!({
            "date": row.day("date"),
            "customer_id": row.text("customer_id"),
            "game_type": row.text("game_type"),
            "currency": row.text("currency"),
            "bets_count": row.int("bets_count"),
            "revision": row.int("revision"),
            "updated_at": time(row, "updated_at"),
        });
        for name in [
            "total_bets",
            "wins",
            "ggr",
            "ngr",
            "bonus_bets",
            "bonus_wins",
            "bonus_cost",
            "jackpot_contribution",
            "jackpot_wins",
        ] {
            value[name] = money(row, name);
        }
        let key = ["customer_id", "game_type", "currency"].map(|name| row.text(name).expect("not NULL"));
        let revisions = found.entry(format!("{}|{}", row.day("date"), key.join("|"))).or_default();
        assert!(revisions.insert(row.int("revision"), value).is_none(), "{key:?}: a revision is there twice");
    });
    assert!(found.keys().eq(rows.keys()), "{} rows in the lake, {} in the topic", found.len(), rows.len());
    for (key, revisions) in &found {
        let told = &rows[key];
        for (number, row) in revisions {
            let place = usize::try_from(*number).expect("revisions count from 1") - 1;
            assert_eq!(told.get(place), Some(row), "{key}");
        }
        assert_eq!(revisions.values().next_back(), told.last(), "{key}");
    }
}

/// Table `dead_letters` equals the topic.
pub fn dead_letters(scenario: &Scenario, letters: &BTreeMap<(i32, i64), Value>) {
    let mut found = BTreeMap::new();
    scenario.lake().read("dead_letters", |row| {
        let mut letter = json!({
            "reason": row.text("reason"),
            "topic": row.text("topic"),
            "partition": row.int("partition"),
            "offset": row.int("offset"),
            "index": row.int("record_index"),
            "ingest_time": time(row, "ingest_time"),
            "player_id": row.text("player_id"),
            "raw": row.text("raw"),
            "truncated": row.flag("truncated"),
        });
        if let Some(raw) = row.text("raw_base64") {
            letter["raw_base64"] = raw.into();
        }
        assert!(row.text("detail").is_some_and(|detail| !detail.is_empty()), "{letter}");
        let place = (i32::try_from(row.int("partition")).expect("a few"), row.int("offset"));
        assert!(found.insert(place, letter).is_none(), "a dead letter is there twice");
    });
    equal("dead_letters", letters, &found);
}

/// Table `mission_definitions` has every definition record once, as it was sent.
pub fn definitions(scenario: &Scenario) {
    let mut found = BTreeMap::new();
    scenario.lake().read("mission_definitions", |row| {
        let text = |name| row.text(name).expect("not NULL").to_owned();
        assert_eq!((row.flag("accepted"), row.int("version")), (true, 1));
        assert!(found.insert(text("mission_id"), text("definition")).is_none(), "a definition is there twice");
    });
    equal("mission_definitions", &scenario.play.missions.iter().cloned().collect(), &found);
}

pub(super) fn equal<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    table: &str,
    expected: &BTreeMap<K, V>,
    found: &BTreeMap<K, V>,
) {
    for (key, row) in expected {
        assert_eq!(found.get(key), Some(row), "{table}: {key:?}");
    }
    let more: Vec<_> = found.keys().filter(|key| !expected.contains_key(key)).take(3).collect();
    assert!(more.is_empty(), "{table} has rows that no topic has: {more:?}");
}
