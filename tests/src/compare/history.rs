//! The lake's raw history and its log of epochs.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::oracle::number::{instant, units};
use crate::oracle::{Oracle, Sent, Verdict};
use crate::scenario::Scenario;

/// The table `epochs`: what each epoch read, and its clock.
pub struct Epochs {
    nows: Vec<i64>,
    /// By partition of the events topic: where epochs that read of it ended, with the epoch.
    uppers: BTreeMap<i32, Vec<(i64, u64)>>,
    counters: Vec<Value>,
}

impl Epochs {
    /// Every epoch once, none left out, and none that reads backwards.
    pub fn read(scenario: &Scenario) -> Self {
        let mut rows: BTreeMap<i64, (i64, Value, Value)> = BTreeMap::new();
        scenario.lake().read("epochs", |row| {
            let json = |name| serde_json::from_str(row.text(name).expect("not NULL")).expect("a column of JSON");
            let epoch = (row.instant("now").expect("a clock"), json("bindings"), json("counters"));
            assert!(rows.insert(row.int("epoch"), epoch).is_none(), "epoch {} is there twice", row.int("epoch"));
        });
        let (events, mut epochs) =
            (scenario.topic("events"), Epochs { nows: Vec::new(), uppers: BTreeMap::new(), counters: Vec::new() });
        for ((expected, number), (epoch, (now, bindings, counters))) in (0..).zip(0..).zip(rows) {
            assert_eq!(epoch, expected, "an epoch is missing");
            assert!(
                epochs.nows.last().is_none_or(|before| *before <= now),
                "the clock of epoch {epoch} goes backwards"
            );
            epochs.nows.push(now);
            epochs.counters.push(counters);
            for binding in
                bindings.as_array().expect("bindings").iter().filter(|binding| binding["topic"] == events.as_str())
            {
                let place = |name: &str| binding[name].as_i64().expect(name);
                let partition = i32::try_from(place("partition")).expect("a few");
                let uppers = epochs.uppers.entry(partition).or_default();
                assert!(uppers.last().is_none_or(|(before, _)| *before <= place("upper")), "{binding}");
                uppers.push((place("upper"), number));
            }
        }
        let ends = epochs.uppers.values().map(|uppers| uppers.last().map_or(0, |(upper, _)| *upper));
        assert!(ends.eq(scenario.ends()), "the epochs read to the end: {:?}", scenario.ends());
        epochs
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.nows.len()
    }

    /// The epoch that read a record.
    pub fn of(&self, partition: i32, offset: i64) -> u64 {
        let uppers = &self.uppers[&partition];
        uppers[uppers.partition_point(|(upper, _)| *upper <= offset)].1
    }

    /// An epoch's clock, µs.
    pub fn now(&self, epoch: u64) -> i64 {
        self.nows[usize::try_from(epoch).expect("epochs fit")]
    }

    /// The counters of all epochs add up to the verdicts.
    pub fn check_counters(&self, scenario: &Scenario, oracle: &Oracle<'_>, completions: &[Value], audit: &[Value]) {
        let sum = |name: &str| self.counters.iter().map(|counters| counters[name].as_i64().expect(name)).sum::<i64>();
        let counts = oracle.counts();
        let count = |verdict| i64::try_from(counts.get(&verdict).copied().unwrap_or(0)).expect("it fits");
        let told = |kind| completions.iter().filter(|message| message["type"] == kind).count();
        assert_eq!(usize::try_from(sum("read")), Ok(scenario.play.sent.len()));
        assert_eq!(sum("accepted"), count(Verdict::Accepted));
        assert_eq!(usize::try_from(sum("suppressed")), Ok(audit.len()));
        assert_eq!(sum("duplicates"), count(Verdict::Duplicate));
        assert_eq!(sum("already_reversed"), count(Verdict::AlreadyReversed));
        assert_eq!(
            [sum("late"), sum("orphan_reversals_waiting"), sum("fx_missing_waiting"), sum("deferred_waiting")],
            [0; 4]
        );
        assert_eq!(usize::try_from(sum("completed")), Ok(told("mission_completed")));
        assert_eq!(usize::try_from(sum("revoked")), Ok(told("mission_revoked")));
        let mut refused: BTreeMap<&str, i64> = BTreeMap::new();
        let letters =
            self.counters.iter().flat_map(|counters| counters["dead_letters"].as_object().expect("by reason"));
        letters.for_each(|(reason, count)| *refused.entry(reason).or_default() += count.as_i64().expect("a count"));
        let expected = counts.iter().filter_map(|(verdict, count)| match verdict {
            Verdict::Refused(reason) => Some((*reason, i64::try_from(*count).expect("it fits"))),
            Verdict::Conflict => Some(("idempotency_conflict", i64::try_from(*count).expect("it fits"))),
            _ => None,
        });
        assert_eq!(refused, expected.collect());
    }
}

/// The row of each record, by partition and offset.
struct Index(BTreeMap<(i32, i64), usize>);

impl Index {
    fn new(sent: &[Sent]) -> Self {
        Index((0..).zip(sent).map(|(index, record)| ((record.partition, record.offset), index)).collect())
    }

    fn of(&self, partition: i64, offset: i64) -> usize {
        self.0[&(i32::try_from(partition).expect("a few"), offset)]
    }
}

/// Table `events`: every record that decoded exactly once, as it was sent. Answers how many.
pub fn events(scenario: &Scenario, oracle: &Oracle<'_>, epochs: &Epochs) -> usize {
    let (topic, index) = (scenario.topic("events"), Index::new(&scenario.play.sent));
    let mut seen = vec![false; scenario.play.sent.len()];
    scenario.lake().read("events", |row| {
        let at = index.of(row.int("partition"), row.int("offset"));
        let Sent { partition, offset, ingest, key, value } = &scenario.play.sent[at];
        assert!(!std::mem::replace(&mut seen[at], true), "partition {partition}, offset {offset} is there twice");
        let payload = row.text("payload").expect("a payload");
        assert_eq!(payload.as_bytes(), value);
        assert_eq!(row.text("topic"), Some(topic.as_str()));
        assert_eq!((row.int("record_index"), row.text("source")), (0, Some("pam")));
        assert_eq!(row.instant("ingest_time"), Some(*ingest));
        assert_eq!(u64::try_from(row.int("epoch")), Ok(epochs.of(*partition, *offset)), "{payload}");
        assert_eq!(row.text("player_id"), Some(key.as_str()));
        columns(row, &serde_json::from_str(payload).expect("what decoded is JSON"));
    });
    for (at, (record, verdict)) in scenario.play.sent.iter().zip(&oracle.verdicts).enumerate() {
        let decodes = !verdict.is_refused();
        assert_eq!(seen[at], decodes, "partition {}, offset {}: {verdict:?}", record.partition, record.offset);
    }
    seen.into_iter().filter(|seen| *seen).count()
}

/// The columns say what the payload says.
fn columns(row: crate::lake::Row<'_>, payload: &Value) {
    for name in [
        "event_name",
        "event_id",
        "transaction_id",
        "currency",
        "game_type",
        "game_id",
        "market_type",
        "sport",
        "reference_id",
        "reference_family",
        "status",
        "channel",
    ] {
        // What has no money may have the default currency or none.
        let default = Some("EUR").filter(|_| name == "currency" && row.text(name).is_some());
        assert_eq!(row.text(name), payload[name].as_str().or(default), "{name} of {payload}");
    }
    // Two places at most: their shortest form in binary is what was sent.
    let number = |name: &str| payload[name].as_number().map(|number| units(&number.to_string()).expect("plain"));
    let amounts = ["bet_amount", "win_amount", "payout", "deposit_amount", "amount"];
    assert_eq!(row.units("amount"), amounts.into_iter().find_map(number), "{payload}");
    assert_eq!(row.units("bonus_amount"), Some(number("bonus_amount").unwrap_or(0)), "{payload}");
    assert_eq!(row.units("odds"), number("odds"), "{payload}");
    assert_eq!(row.instant("event_time"), payload["timestamp"].as_str().and_then(instant), "{payload}");
}

/// Table `dispositions`: each event that did not simply count, once. Answers how many.
pub fn dispositions(scenario: &Scenario, oracle: &Oracle<'_>) -> usize {
    let index = Index::new(&scenario.play.sent);
    let mut found = BTreeMap::new();
    scenario.lake().read("dispositions", |row| {
        let at = index.of(row.int("partition"), row.int("offset"));
        let Sent { ingest, key, value, .. } = &scenario.play.sent[at];
        let payload: Value = serde_json::from_slice(value).expect("what decoded is JSON");
        assert_eq!(row.text("topic"), Some(scenario.topic("events").as_str()));
        assert_eq!((row.int("record_index"), row.instant("ingest_time")), (0, Some(*ingest)));
        assert_eq!(row.text("player_id"), Some(key.as_str()));
        assert_eq!(row.text("transaction_id"), payload["transaction_id"].as_str());
        let disposition = row.text("disposition").expect("not NULL").to_owned();
        assert_eq!(found.insert(at, disposition), None, "{payload}");
    });
    let expected = oracle.verdicts.iter().enumerate().filter_map(|(at, verdict)| {
        let disposition = match verdict {
            Verdict::Duplicate => "duplicate",
            Verdict::AlreadyReversed => "already_reversed",
            Verdict::Conflict => "conflict",
            Verdict::Accepted | Verdict::Refused(_) => return None,
        };
        Some((at, disposition.to_owned()))
    });
    assert_eq!(found, expected.collect());
    found.len()
}
