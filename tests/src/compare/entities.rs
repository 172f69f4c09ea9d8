//! An operator's feed: its topics against the recomputation and the topic of activity, and its table against its topic.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::tables::{money, time};
use crate::kafka::{Message, read_all};
use crate::oracle::Oracle;
use crate::scenario::Scenario;

/// Columns of gaming activity.
const ACTIVITY: [&str; 11] = [
    "date",
    "customer_id",
    "game_type",
    "currency",
    "bets_count",
    "total_bets",
    "wins",
    "ggr",
    "ngr",
    "revision",
    "updated_at",
];

/// The last row of every transaction is the one that is recomputed, none is told twice, and the table has every message; the feed's rows of
/// `activity` are those of its topic. Answers how many transactions there are.
pub fn check(scenario: &Scenario, oracle: &Oracle<'_>, activity: &BTreeMap<String, Vec<Value>>) -> usize {
    let topic = |of: &str| read_all(&scenario.stack.brokers, &scenario.topic(of));
    let transactions = topic("transactions");
    let expected = oracle.transactions(&scenario.play.sent, &scenario.play.currencies());
    let mut last: BTreeMap<String, Value> = BTreeMap::new();
    for message in &transactions {
        let (id, mut row) = keyed(message);
        assert_eq!(row["transaction_id"], *id, "{row}");
        row.as_object_mut().expect("an object").remove("updated_at");
        assert_ne!(last.insert(id, row.clone()), Some(row), "it is told when it changes");
    }
    assert_eq!(last.len(), expected.len());
    for (id, row) in &expected {
        assert_eq!(last.get(id), Some(row), "{id}");
    }
    let mut told: Vec<String> = transactions.iter().map(|message| keyed(message).1.to_string()).collect();
    let mut rows = Vec::new();
    scenario.lake().read("transactions", |row| {
        let mut value = json!({
            "amount_currency": money(row, "amount_currency"),
            "amount_usd": money(row, "amount_usd"),
            "transaction_date": time(row, "transaction_date"),
            "updated_at": time(row, "updated_at"),
        });
        for name in [
            "transaction_id",
            "customer_id",
            "transaction_type",
            "transaction_subtype",
            "currency",
            "status",
            "note",
            "source",
            "source_transaction_id",
        ] {
            value[name] = row.text(name).into();
        }
        rows.push(value.to_string());
    });
    told.sort();
    rows.sort();
    assert!(told == rows, "{} messages and {} rows of transactions differ", told.len(), rows.len());

    let mut feed: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for message in topic("gaming-activity") {
        let (key, row) = keyed(&message);
        feed.entry(key).or_default().push(row);
    }
    assert!(feed.keys().eq(activity.keys()), "{} rows in the feed, {} in activity", feed.len(), activity.len());
    for (key, revisions) in activity {
        let in_feed = |row: &Value| Value::from_iter(ACTIVITY.map(|name| (name, row[name].clone())));
        assert_eq!(feed[key], revisions.iter().map(in_feed).collect::<Vec<_>>(), "{key}");
    }
    // Nobody registers in generated play, and nothing breaks a limit.
    assert_eq!((topic("customers").len(), topic("reviews").len()), (0, 0));
    expected.len()
}

fn keyed(message: &Message) -> (String, Value) {
    (message.key.clone().expect("rows have keys"), serde_json::from_str(&message.value).expect("rows are JSON"))
}
