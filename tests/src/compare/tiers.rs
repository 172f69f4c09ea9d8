//! Changes of tiers, against the bets that stand and the lake.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::tables::{equal, time, trigger};
use crate::oracle::Oracle;
use crate::scenario::{Scenario, TIERS};

/// The changes of each player count on, each from what the one before led to; the last one leads to the tier that the
/// player's standing bets make; and the table has every message of the topic once.
pub fn check(scenario: &Scenario, oracle: &Oracle<'_>, messages: &[Value]) {
    let mut bets: BTreeMap<&str, i64> = BTreeMap::new();
    for ((_, customer, _, _), row) in &oracle.activity {
        *bets.entry(customer).or_default() += row.bets;
    }
    let tier = |bets: i64| TIERS.iter().rfind(|(_, threshold)| bets >= *threshold).map(|(name, _)| Value::from(*name));
    let expected = bets.into_iter().filter_map(|(player, bets)| Some((player, tier(bets)?)));
    let expected: BTreeMap<&str, Value> = expected.collect();

    let mut last: BTreeMap<&str, &Value> = BTreeMap::new();
    for message in messages {
        let known = last.insert(message["player_id"].as_str().expect("a player"), message);
        let (revision, tier) =
            known.map_or((0, &Value::Null), |known| (known["revision"].as_i64().unwrap_or(0), &known["tier"]));
        assert_eq!((message["revision"].as_i64(), &message["previous"]), (Some(revision + 1), tier), "{message}");
        assert_ne!(message["tier"], message["previous"], "{message}");
    }
    let found = last.into_iter().map(|(player, message)| (player, message["tier"].clone()));
    let found: BTreeMap<&str, Value> = found.filter(|(_, tier)| !tier.is_null()).collect();
    assert_eq!(found, expected, "tiers");

    let name = |message: &Value| format!("{} {}", message["player_id"], message["revision"]);
    let mut rows = BTreeMap::new();
    scenario.lake().read("tiers", |row| {
        let message = json!({
            "type": row.text("type"),
            "player_id": row.text("player_id"),
            "revision": row.int("revision"),
            "tier": row.text("tier"),
            "previous": row.text("previous"),
            "changed_at": time(row, "changed_at"),
            "emitted_at": time(row, "emitted_at"),
            "trigger": trigger(row),
        });
        assert!(rows.insert(name(&message), message).is_none(), "a change is there twice");
    });
    equal("tiers", &messages.iter().map(|message| (name(message), message.clone())).collect(), &rows);
}
