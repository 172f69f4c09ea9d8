//! The output topics beside what is recomputed.
//!
//! A message does not tell its epoch, only the clock of it. Epochs beyond the last one that was recomputed have
//! that clock or a later one; so a message that was not recomputed is newer than the lake if its time is
//! not below that clock. One that was recomputed is judged whatever its time.

use std::collections::{BTreeMap, HashMap};

use datasets::rows::{Entity, EntityRows, EpochOutputs, activity_key};
use datasets::{Epoch, Timestamp};
use serde_json::Value;
use sinks::kafka::Connection;

use super::report::{Comparison, Fault};
use crate::config::{Config, KafkaConfig};
use crate::source::{ConsumerConfig, KafkaCluster, read_whole_topic};

/// A message that is to be there.
struct Expected {
    epoch: Epoch,
    player: String,
    json: Vec<u8>,
    found: u64,
}

/// What the topics should hold, and how they are reached.
pub(super) struct TopicCheck {
    connection: Connection,
    group: String,
    cluster: KafkaCluster,
    completions: (String, BTreeMap<String, Expected>),
    audit: (String, BTreeMap<String, Expected>),
    /// Topics that keep the last message of each key.
    compacted: Vec<Compacted>,
}

/// What a compacted topic should keep: what was withheld of a key last is `None`.
struct Compacted {
    what: &'static str,
    topic: String,
    expected: HashMap<String, Option<Expected>>,
}

impl TopicCheck {
    /// Connects to the brokers.
    ///
    /// # Errors
    /// Brokers that do not answer within the startup timeout.
    pub fn connect(config: &Config, kafka: &KafkaConfig) -> Result<Self, String> {
        let connection = crate::run::connection(kafka);
        let group = config.pipeline.name.clone();
        let cluster = KafkaCluster::connect(&connection, &ConsumerConfig::new(&group));
        let cluster = cluster.map_err(|error| crate::chain(&error))?;
        Ok(TopicCheck {
            connection,
            group,
            cluster,
            completions: (kafka.topics.completions.clone(), BTreeMap::new()),
            audit: (kafka.topics.audit.clone(), BTreeMap::new()),
            compacted: compacted(config, kafka),
        })
    }

    /// Takes the next epoch.
    pub fn take(&mut self, outputs: &EpochOutputs) {
        let epoch = outputs.epoch;
        let expect = |topic: &mut BTreeMap<String, Expected>, player: &str, json: Vec<u8>| {
            let value: Value = serde_json::from_slice(&json).expect("just written");
            topic.insert(message_key(&value), Expected { epoch, player: player.to_owned(), json, found: 0 });
        };
        outputs.completions.iter().for_each(|row| expect(&mut self.completions.1, &row.player_id, json(row)));
        outputs.points.iter().for_each(|row| expect(&mut self.completions.1, &row.player_id, json(row)));
        outputs.tiers.iter().for_each(|row| expect(&mut self.completions.1, &row.player_id, json(row)));
        outputs.audit.iter().for_each(|row| expect(&mut self.audit.1, &row.player_id, json(row)));
        let [activity, feed @ ..] = &mut self.compacted[..] else { unreachable!("activity is the first") };
        for row in &outputs.activity {
            activity.expect(activity_key(&row.key), epoch, json(row));
        }
        if let [gaming_activity, transactions, customers] = feed {
            let EntityRows { gaming_activity: rows, transactions: moved, customers: known, reviews } =
                &outputs.entities;
            rows.iter().for_each(|row| gaming_activity.expect(row.key(), epoch, json(row)));
            moved.iter().for_each(|row| transactions.expect(row.transaction_id.clone(), epoch, json(row)));
            known.iter().for_each(|row| customers.expect(row.customer_id.clone(), epoch, json(row)));
            for review in reviews.iter().filter(|review| review.withheld) {
                let topic = match review.entity {
                    Entity::GamingActivity => &mut *gaming_activity,
                    Entity::Transactions => &mut *transactions,
                    Entity::Customers => &mut *customers,
                };
                topic.expected.insert(review.key.clone(), None);
            }
        }
    }

    /// Reads the topics to their ends. `until` is the clock of the last epoch that was taken.
    ///
    /// # Errors
    /// Topics that are not there, or cannot be read.
    pub fn finish(self, until: Timestamp) -> Result<Vec<Comparison>, String> {
        let TopicCheck { connection, group, cluster, completions, audit, compacted } = self;
        let reader = TopicReader { connection, group, cluster };
        let by_completion = |what: &str, (topic, expected): (String, BTreeMap<String, Expected>)| {
            let mut judged = Completions { expected, until, comparison: Comparison::new(what) };
            let oldest = reader.read(&topic, "emitted_at", |message| judged.take(message))?;
            Ok::<_, String>(judged.finish(oldest))
        };
        let completions = by_completion("topic completions", completions)?;
        let audit = by_completion("topic audit", audit)?;
        let mut comparisons = vec![completions, audit];
        for Compacted { what, topic, expected } in compacted {
            let mut last: HashMap<String, Message> = HashMap::new();
            reader.read(&topic, "updated_at", |message| {
                last.insert(message.key.clone(), message);
            })?;
            comparisons.push(judge_compacted(what, expected, &last, until));
        }
        Ok(comparisons)
    }
}

impl Compacted {
    fn expect(&mut self, key: String, epoch: Epoch, json: Vec<u8>) {
        self.expected.insert(key, Some(Expected { epoch, player: String::new(), json, found: 0 }));
    }
}

/// The compacted topics of a pipeline: that of activity, and those of an operator's feed if there is one.
fn compacted(config: &Config, kafka: &KafkaConfig) -> Vec<Compacted> {
    let topics = &kafka.topics;
    let all = [
        ("topic activity", &topics.activity),
        ("topic gaming-activity", &topics.gaming_activity),
        ("topic transactions", &topics.transactions),
        ("topic customers", &topics.customers),
    ];
    let count = if config.entities.is_some() { all.len() } else { 1 };
    let all = all.into_iter().take(count);
    all.map(|(what, topic)| Compacted { what, topic: topic.clone(), expected: HashMap::new() }).collect()
}

fn json(row: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(row).expect("rows have text keys")
}

/// A message of an output topic.
struct Message {
    key: String,
    bytes: Vec<u8>,
    value: Value,
}

impl Message {
    fn text(&self, name: &str) -> &str {
        self.value[name].as_str().unwrap_or_default()
    }

    /// It takes back what was sent of its key.
    fn is_tombstone(&self) -> bool {
        self.bytes.is_empty()
    }

    fn time(&self, name: &str) -> Option<Timestamp> {
        self.text(name).parse().ok()
    }

    /// What differs from `expected`. Equal bytes are equal; else the values decide, since the order of
    /// members and the writing of numbers mean nothing.
    fn difference(&self, expected: &Expected) -> Option<Fault> {
        if self.bytes == expected.json {
            return None;
        }
        let recomputed: Value = serde_json::from_slice(&expected.json).expect("just written");
        let (column, emitted, recomputed) = first_difference(&self.value, &recomputed)?;
        Some(Fault::Differs { column, emitted, recomputed })
    }
}

/// Judges messages about completions as they come.
struct Completions {
    expected: BTreeMap<String, Expected>,
    until: Timestamp,
    comparison: Comparison,
}

impl Completions {
    fn take(&mut self, message: Message) {
        let Completions { expected, until, comparison } = self;
        let key = message_key(&message.value);
        let Some(expected) = expected.get_mut(&key) else {
            return judge_unknown(key, message.time("emitted_at"), *until, comparison);
        };
        comparison.records += 1;
        expected.found += 1;
        let (epoch, found) = (Some(expected.epoch), expected.found);
        if let Some(fault) = message.difference(expected) {
            comparison.differ(epoch, key, fault);
        } else if message.key != expected.player {
            let (emitted, recomputed) = (message.key, expected.player.clone());
            comparison.differ(epoch, key, Fault::Differs { column: "the message's key".into(), emitted, recomputed });
        } else if found > 1 {
            comparison.differ(epoch, key, Fault::Doubled { times: found });
        }
    }

    /// `oldest`: what is missing of this time or before may have been removed by the topic's retention.
    fn finish(self, oldest: Option<Timestamp>) -> Comparison {
        let Completions { expected, mut comparison, .. } = self;
        for (key, expected) in expected.into_iter().filter(|(_, expected)| expected.found == 0) {
            let row: Value = serde_json::from_slice(&expected.json).expect("just written");
            let emitted = row["emitted_at"].as_str().and_then(|at| at.parse().ok());
            if oldest >= emitted && oldest.is_some() {
                comparison.expired += 1;
            } else {
                comparison.differ(Some(expected.epoch), key, Fault::Missing);
            }
        }
        comparison
    }
}

/// Compares the last message of every key, which compaction keeps. A tombstone does not tell its time.
fn judge_compacted(
    what: &str,
    expected: HashMap<String, Option<Expected>>,
    last: &HashMap<String, Message>,
    until: Timestamp,
) -> Comparison {
    let mut comparison = Comparison::new(what);
    let is_expected = |key: &String| expected.get(key).is_some_and(Option::is_some);
    for (key, message) in last.iter().filter(|(key, message)| !is_expected(key) && !message.is_tombstone()) {
        judge_unknown(key.clone(), message.time("updated_at"), until, &mut comparison);
    }
    for (key, expected) in expected.into_iter().filter_map(|(key, expected)| Some((key, expected?))) {
        let epoch = Some(expected.epoch);
        let Some(message) = last.get(&key) else {
            comparison.differ(epoch, key, Fault::Missing);
            continue;
        };
        let recomputed: Value = serde_json::from_slice(&expected.json).expect("just written");
        let is_later = match recomputed["revision"].as_u64() {
            Some(revision) => message.value["revision"].as_u64() > Some(revision),
            // Rows without a revision follow each other in time, and two may have one time.
            None => message.bytes != expected.json && message.time("updated_at") >= time(&recomputed),
        };
        if message.is_tombstone() || is_later && message.time("updated_at").is_some_and(|at| at >= until) {
            comparison.newer += 1;
            continue;
        }
        comparison.records += 1;
        if let Some(fault) = message.difference(&expected) {
            comparison.differ(epoch, key, fault);
        }
    }
    comparison
}

fn time(row: &Value) -> Option<Timestamp> {
    row["updated_at"].as_str()?.parse().ok()
}

/// A message that was not recomputed: an epoch beyond the lake put it out, or nothing did that we know of.
fn judge_unknown(key: String, at: Option<Timestamp>, until: Timestamp, comparison: &mut Comparison) {
    if at.is_some_and(|at| at >= until) {
        comparison.newer += 1;
    } else {
        comparison.records += 1;
        comparison.differ(None, key, Fault::Unexpected);
    }
}

/// What no two messages of the topic `completions` have in common.
fn message_key(row: &Value) -> String {
    let text = |name: &str| row[name].as_str().unwrap_or_default();
    let number = |name: &str| &row[name];
    match text("type") {
        kind @ "points_changed" => format!("player_id {}, line {}, type {kind}", text("player_id"), number("line")),
        kind @ "tier_changed" => {
            format!("player_id {}, revision {}, type {kind}", text("player_id"), number("revision"))
        }
        kind => format!("completion_id {}, revision {}, type {kind}", text("completion_id"), number("revision")),
    }
}

/// The first member, by name, in which two objects differ, with both values. Objects in them are looked into.
pub(super) fn first_difference(emitted: &Value, recomputed: &Value) -> Option<(String, String, String)> {
    if emitted == recomputed {
        return None;
    }
    if let (Value::Object(emitted), Value::Object(recomputed)) = (emitted, recomputed) {
        let names: std::collections::BTreeSet<&String> = emitted.keys().chain(recomputed.keys()).collect();
        let member = |object: &serde_json::Map<String, Value>, name| object.get(name).cloned().unwrap_or_default();
        return names.into_iter().find_map(|name| {
            let (path, emitted, recomputed) = first_difference(&member(emitted, name), &member(recomputed, name))?;
            let path = if path.is_empty() { name.clone() } else { format!("{name}.{path}") };
            Some((path, emitted, recomputed))
        });
    }
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Some((String::new(), shown(emitted), shown(recomputed)))
}

/// Reads topics as they are committed now.
struct TopicReader {
    connection: Connection,
    group: String,
    cluster: KafkaCluster,
}

impl TopicReader {
    /// Gives every message to `each`, those of a partition in their order. Where partitions do not begin with their
    /// first message any more, answers the latest time that one of them begins with.
    fn read(&self, topic: &str, time: &str, mut each: impl FnMut(Message)) -> Result<Option<Timestamp>, String> {
        let mut firsts: BTreeMap<i32, Option<Timestamp>> = BTreeMap::new();
        let begins = read_whole_topic(&self.connection, (&self.group, topic), &self.cluster, |record| {
            let (partition, offset) = (record.partition(), record.offset());
            let bytes = record.value().unwrap_or_default();
            let value = if bytes.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(bytes) };
            let message = Message {
                key: String::from_utf8_lossy(record.key().unwrap_or_default()).into_owned(),
                bytes: bytes.to_vec(),
                value: value.map_err(|error| format!("{topic}-{partition}, offset {offset}: {error}"))?,
            };
            firsts.entry(partition).or_insert_with(|| message.time(time));
            each(message);
            Ok(())
        })?;
        let cut = begins.iter().filter(|begin| begin.offset > 0);
        // A partition that is cut and empty says nothing of when it was.
        let latest = |first: Option<Timestamp>| first.unwrap_or(Timestamp::MAX);
        Ok(cut.map(|begin| latest(firsts.get(&begin.partition).copied().flatten())).max())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const UNTIL: i64 = 1_000;

    fn at(millis: i64) -> String {
        Timestamp::from_millis(millis).to_string()
    }

    fn until() -> Timestamp {
        Timestamp::from_millis(UNTIL)
    }

    fn completion(id: &str, revision: u64, millis: i64) -> Value {
        json!({"type": "mission_completed", "completion_id": id, "revision": revision, "emitted_at": at(millis),
               "trigger": {"offset": 7}})
    }

    fn message(key: &str, value: &Value) -> Message {
        Message { key: key.into(), bytes: value.to_string().into_bytes(), value: value.clone() }
    }

    fn expected(epoch: Epoch, value: &Value) -> Expected {
        Expected { epoch, player: "p".into(), json: value.to_string().into_bytes(), found: 0 }
    }

    fn judge(recomputed: &[Value], emitted: &[Value], oldest: Option<Timestamp>) -> Comparison {
        let known = (0..).zip(recomputed).map(|(epoch, value)| (message_key(value), expected(epoch, value)));
        let comparison = Comparison::new("topic completions");
        let mut completions = Completions { expected: known.collect(), until: until(), comparison };
        emitted.iter().for_each(|value| completions.take(message("p", value)));
        completions.finish(oldest)
    }

    fn first(comparison: &Comparison) -> String {
        comparison.first.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    #[test]
    fn every_completion_is_there_once() {
        let (a, b) = (completion("a", 1, 5), completion("b", 1, 6));
        let equal = judge(&[a.clone(), b.clone()], &[b.clone(), a.clone()], None);
        assert_eq!((equal.records, equal.differences), (2, 0));
        let missing = judge(&[a.clone(), b.clone()], std::slice::from_ref(&a), None);
        assert_eq!(
            first(&missing),
            "completion_id b, revision 1, type mission_completed, epoch 1: was recomputed, and is missing"
        );
        let doubled = judge(std::slice::from_ref(&a), &[a.clone(), a.clone()], None);
        assert_eq!((doubled.records, doubled.differences), (2, 1));
        assert!(first(&doubled).ends_with("epoch 0: is there 2 times"), "{doubled:?}");
        let unexpected = judge(&[], &[a], None);
        assert!(first(&unexpected).ends_with("was emitted, and is not recomputed"), "{unexpected:?}");
    }

    #[test]
    fn a_member_that_differs_is_named_by_its_path() {
        let recomputed = completion("a", 1, 5);
        let mut emitted = recomputed.clone();
        emitted["trigger"]["offset"] = json!(8);
        let judged = judge(std::slice::from_ref(&recomputed), &[emitted], None);
        assert!(first(&judged).ends_with(": trigger.offset was emitted as 8, and is recomputed as 7"), "{judged:?}");
        let mut emitted = recomputed.clone();
        emitted["reversed_by"] = json!("t9");
        let judged = judge(&[recomputed], &[emitted], None);
        assert!(first(&judged).ends_with(": reversed_by was emitted as t9, and is recomputed as null"), "{judged:?}");
    }

    #[test]
    fn what_is_newer_than_the_lake_is_counted_and_not_judged() {
        let newer = [completion("n", 1, UNTIL), completion("m", 1, UNTIL + 1)];
        let judged = judge(&[], &newer, None);
        assert_eq!((judged.records, judged.newer, judged.differences), (0, 2, 0));
        // Of the last epoch itself, and there twice.
        let last = completion("a", 1, UNTIL);
        assert_eq!(judge(std::slice::from_ref(&last), &[last.clone(), last.clone()], None).differences, 1);
    }

    #[test]
    fn what_retention_may_have_removed_is_counted_and_not_judged() {
        let (a, b) = (completion("a", 1, 5), completion("b", 1, 9));
        let judged = judge(&[a.clone(), b], &[], Some(Timestamp::from_millis(5)));
        assert_eq!((judged.expired, judged.differences), (1, 1));
        assert_eq!(judge(&[a], &[], Some(Timestamp::MAX)).expired, 1);
    }

    fn row(revision: u64, stake: &str, millis: i64) -> Value {
        json!({"revision": revision, "total_bets": stake, "updated_at": at(millis)})
    }

    fn judge_rows(recomputed: &Value, last: &Value) -> Comparison {
        let expected = HashMap::from([("k".to_owned(), Some(expected(4, recomputed)))]);
        judge_compacted("topic activity", expected, &HashMap::from([("k".to_owned(), message("k", last))]), until())
    }

    #[test]
    fn the_last_message_of_a_row_is_its_last_revision() {
        let recomputed = row(2, "1.00", 7);
        assert_eq!(judge_rows(&recomputed, &recomputed).differences, 0);
        let differs = judge_rows(&recomputed, &row(2, "1.01", 7));
        assert_eq!(first(&differs), "k, epoch 4: total_bets was emitted as 1.01, and is recomputed as 1.00");
        assert_eq!(judge_rows(&recomputed, &row(1, "1.00", 7)).differences, 1);
        assert_eq!(judge_rows(&recomputed, &row(3, "1.00", 8)).differences, 1);
        let newer = judge_rows(&recomputed, &row(3, "1.00", UNTIL));
        assert_eq!((newer.newer, newer.records, newer.differences), (1, 0, 0));
        let known = HashMap::from([("k".to_owned(), Some(expected(4, &recomputed)))]);
        let missing = judge_compacted("topic activity", known, &HashMap::new(), until());
        assert_eq!(first(&missing), "k, epoch 4: was recomputed, and is missing");
    }

    #[test]
    fn what_is_withheld_is_not_there() {
        let withheld = || HashMap::from([("k".to_owned(), None)]);
        let judge = |last: HashMap<String, Message>| judge_compacted("topic customers", withheld(), &last, until());
        assert_eq!(judge(HashMap::new()).differences, 0);
        let tombstone = Message { key: "k".into(), bytes: Vec::new(), value: Value::Null };
        assert_eq!(judge(HashMap::from([("k".to_owned(), tombstone)])).differences, 0);
        let row = |millis: i64| message("k", &json!({"affiliate_id": "a", "updated_at": at(millis)}));
        assert_eq!(judge(HashMap::from([("k".to_owned(), row(7))])).differences, 1);
        assert_eq!(judge(HashMap::from([("k".to_owned(), row(UNTIL))])).newer, 1);
    }

    #[test]
    fn rows_without_a_revision_follow_each_other_in_time() {
        let row = |status: &str, millis: i64| json!({"status": status, "updated_at": at(millis)});
        assert_eq!(judge_rows(&row("a", 7), &row("a", 7)).differences, 0);
        assert_eq!(judge_rows(&row("a", 7), &row("b", 7)).differences, 1);
        assert_eq!(judge_rows(&row("a", 7), &row("b", UNTIL)).newer, 1);
        assert_eq!(judge_rows(&row("a", UNTIL), &row("b", UNTIL)).newer, 1);
        assert_eq!(judge_rows(&row("a", 7), &row("b", 6)).differences, 1);
    }
}
