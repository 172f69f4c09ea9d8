//! Lines of points ledgers, against the completions that earn them and the lake.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::tables::{equal, money, time, trigger};
use crate::oracle::number::{show_units, units};
use crate::scenario::Scenario;

/// Every completion that earns points has its line, and every revocation that takes them back, in the same order; and
/// the table has every line of the topic once. Nobody spends, and nothing expires.
pub fn check(scenario: &Scenario, completions: &[Value], points: &[Value]) {
    let mut expected: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let mut balances: BTreeMap<&str, i128> = BTreeMap::new();
    for message in completions.iter().filter(|message| message["reward"]["type"] == "points") {
        let text = |name: &str| message[name].as_str().expect(name);
        let value = units(message["reward"]["value"].as_str().expect("a value")).expect("a number");
        let is_earned = message["type"] == "mission_completed";
        let delta = if is_earned { value } else { -value };
        let balance = balances.entry(text("player_id")).or_default();
        *balance += delta;
        let lines = expected.entry(text("player_id")).or_default();
        lines.push(json!({
            "type": "points_changed",
            "player_id": message["player_id"],
            "line": lines.len() + 1,
            "delta": show_units(delta),
            "balance": show_units(*balance),
            "reason": if is_earned { "earn" } else { "revoke" },
            "reference": message["completion_id"],
            "expires_at": null,
            "emitted_at": message["emitted_at"],
            "trigger": message["trigger"],
        }));
    }
    assert!(balances.values().all(|balance| *balance >= 0));
    let mut found: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for line in points {
        let mut line = line.clone();
        let members = line.as_object_mut().expect("an object");
        assert!(members.remove("changed_at").is_some_and(|at| at.is_string()));
        let id = line["player_id"].as_str().expect("a player").to_owned();
        let id = expected.keys().find(|known| **known == id).unwrap_or_else(|| panic!("{line}: nobody earned it"));
        found.entry(id).or_default().push(line);
    }
    assert_eq!(found, expected);

    let name = |line: &Value| format!("{} {}", line["player_id"], line["line"]);
    let mut rows = BTreeMap::new();
    scenario.lake().read("points", |row| {
        let line = json!({
            "type": row.text("type"),
            "player_id": row.text("player_id"),
            "line": row.int("line"),
            "delta": money(row, "delta"),
            "balance": money(row, "balance"),
            "reason": row.text("reason"),
            "reference": row.text("reference"),
            "changed_at": time(row, "changed_at"),
            "expires_at": time(row, "expires_at"),
            "emitted_at": time(row, "emitted_at"),
            "trigger": trigger(row),
        });
        assert!(rows.insert(name(&line), line).is_none(), "a line is there twice");
    });
    equal("points", &points.iter().map(|line| (name(line), line.clone())).collect(), &rows);
}
