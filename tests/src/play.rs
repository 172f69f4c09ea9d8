//! Generated play, with every payload in hand.

use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use datasets::generator::{
    Generated, Generator, GeneratorConfig, JsonLines, RecordSink as _, Tally, TopicNames, missions,
};
use datasets::{Reason, Timestamp};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

pub use crate::oracle::Sent;
use crate::oracle::number::show_instant;
use crate::oracle::{Definition, Oracle};

const HOUR: i64 = 3_600_000_000;

/// What is sent to a pipeline.
pub struct Play {
    /// Every record, in the order in which they are sent.
    pub sent: Vec<Sent>,
    /// What the generator says of them.
    pub tally: Tally,
    /// Definition records: id and text.
    pub missions: Vec<(String, String)>,
    /// Transactions in which the records are sent; absent: none.
    pub batches: Option<Vec<Batch>>,
    /// Control events of responsible gambling among the records.
    pub restrictions: u64,
    config: GeneratorConfig,
}

/// Records that are sent in one transaction.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Its first record.
    pub first: usize,
    /// How many.
    pub count: usize,
    /// Before it, a transaction with a record for each partition is given up.
    pub is_after_abort: bool,
}

/// Play of nineteen hours that ended an hour ago, in four partitions, with all that goes wrong.
pub fn recent(events: u64, seed: u64) -> GeneratorConfig {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970");
    let now = i64::try_from(since.as_micros()).expect("it is before the year 294247");
    GeneratorConfig {
        events,
        players: 100_000,
        missions: 20,
        seed,
        start: Timestamp::from_micros(now - 20 * HOUR),
        span_micros: 19 * HOUR,
        partitions: 4,
        ..GeneratorConfig::default()
    }
}

/// The same over `days` more before it: what is older than two days of it can go cold.
pub fn of_days(days: i64, events: u64, seed: u64) -> GeneratorConfig {
    let recent = recent(events, seed);
    let before = days * 24 * HOUR;
    GeneratorConfig { start: recent.start.plus_micros(-before), span_micros: recent.span_micros + before, ..recent }
}

/// Missions of the measures that generated ones do not have. Each is of one currency, so nothing waits for a rate.
fn of_further_measures(config: &GeneratorConfig) -> Vec<(String, String)> {
    let currency = config.currencies.first().map_or("EUR", |(_, code)| code);
    let of = |amount: &str| format!("currency == '{currency}' && {amount} > 0");
    let amounts = |kind: &str| json!({"kind": kind, "field": "amount", "currency": currency});
    let mut weighted = amounts("sum");
    weighted["weights"] =
        json!({"game_type": {"slots": "1", "blackjack": "0.1", "roulette": "0.33333333", "virtual_sports": "0"}});
    let kinds = [
        ("x-top-bet", "day", "bet_placed", of("bet_amount"), amounts("max"), "50.00"),
        ("x-top-win", "week", "win", of("win_amount"), amounts("max"), "80.00"),
        ("x-wager", "once", "bet_placed", of("bet_amount"), weighted, "40.00"),
        ("x-games", "day", "bet_placed", of("bet_amount"), json!({"kind": "distinct", "field": "game_id"}), "2"),
        (
            "x-game-types",
            "once",
            "bet_placed",
            of("bet_amount"),
            json!({"kind": "distinct", "field": "game_type"}),
            "2",
        ),
        ("x-two-days", "once", "bet_placed", of("bet_amount"), json!({"kind": "streak", "every": "day"}), "2"),
    ];
    let day = 24 * HOUR;
    let start = config.start.micros().div_euclid(day) * day;
    let end = start + 90 * day;
    let definition = |(id, every, on, condition, measure, target): (&str, &str, &str, String, Value, &str)| {
        let definition = json!({
            "mission_id": id,
            "version": 1,
            "name": id,
            "status": "active",
            "start": Timestamp::from_micros(start),
            "end": Timestamp::from_micros(end),
            "window": {"every": every, "zone": "UTC"},
            "stages": [{"on": [on], "where": condition, "measure": measure, "target": target}],
            "reward": {"type": "points", "value": "5", "channels": ["push"]},
            "on_reversal": "revoke",
        });
        (id.to_owned(), definition.to_string())
    };
    kinds.into_iter().map(definition).collect()
}

/// One control event comes before so many records.
const RESTRICTIONS_EVERY: usize = 11;

/// The control event of this number, of the player of `record`, ingested with it.
fn restriction(number: u64, record: &Sent) -> Value {
    let id = format!("rg-{number}");
    // Every fifth is late, behind others about the same.
    let time = if number.is_multiple_of(5) { record.ingest - 2 * HOUR } else { record.ingest };
    let mut value = json!({"player_id": record.key, "event_id": id, "transaction_id": id,
        "timestamp": show_instant(time)});
    let rest = match number % 7 {
        0 => json!({"event_name": "self_excluded", "until": show_instant(time + 3 * HOUR)}),
        1 | 2 => json!({"event_name": "consent_changed", "channel": "push", "granted": true}),
        3 => json!({"event_name": "cooled_off", "until": show_instant(time + HOUR)}),
        4 => json!({"event_name": "exclusion_lifted"}),
        5 => json!({"event_name": "consent_changed", "channel": "email", "granted": number.is_multiple_of(2)}),
        _ => json!({"event_name": "self_excluded"}),
    };
    value.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
    value
}

impl Play {
    /// Play by `config`.
    pub fn new(config: GeneratorConfig) -> Self {
        let mut generator = Generator::new(&config).expect("a sound configuration");
        let mut next = vec![0; usize::try_from(config.partitions).expect("a few")];
        let sent = generator.by_ref().map(|record| {
            let next: &mut i64 = &mut next[usize::try_from(record.partition).expect("partitions count from 0")];
            *next += 1;
            Sent {
                partition: record.partition,
                offset: *next - 1,
                ingest: record.timestamp.micros(),
                key: record.key,
                value: record.value,
            }
        });
        let sent = sent.collect();
        let missions = missions(&config).into_iter().chain(of_further_measures(&config)).collect();
        Play { sent, tally: generator.tally(), missions, batches: None, restrictions: 0, config }
    }

    /// The same play, with exclusions and consents of those who play: some are read late, some end, some are lifted.
    pub fn with_restrictions(mut self) -> Self {
        let mut next = vec![0_i64; usize::try_from(self.config.partitions).expect("a few")];
        let mut sent = Vec::with_capacity(self.sent.len());
        let mut push = |record: Sent| {
            let next = &mut next[usize::try_from(record.partition).expect("partitions count from 0")];
            sent.push(Sent { offset: *next, ..record });
            *next += 1;
        };
        for (place, record) in std::mem::take(&mut self.sent).into_iter().enumerate() {
            if place.is_multiple_of(RESTRICTIONS_EVERY) {
                self.restrictions += 1;
                let value = restriction(self.restrictions, &record).to_string().into_bytes();
                push(Sent { value, ..record.clone() });
            }
            push(record);
        }
        self.sent = sent;
        self
    }

    /// The same play in transactions of `count` records, every other one after an aborted one. Markers, and what was
    /// aborted, take offsets that no record has.
    pub fn in_transactions(mut self, count: usize) -> Self {
        let mut next = vec![0_i64; usize::try_from(self.config.partitions).expect("a few")];
        let mut batches = Vec::new();
        for (number, records) in self.sent.chunks_mut(count).enumerate() {
            let batch = Batch { first: number * count, count: records.len(), is_after_abort: number % 2 == 1 };
            if batch.is_after_abort {
                next.iter_mut().for_each(|next| *next += 2);
            }
            for record in &mut *records {
                let next = &mut next[usize::try_from(record.partition).expect("partitions count from 0")];
                record.offset = *next;
                *next += 1;
            }
            let is_in = |partition| records.iter().any(|record| record.partition == partition);
            assert!((0..).take(next.len()).all(is_in), "a transaction has records for every partition");
            next.iter_mut().for_each(|next| *next += 1);
            batches.push(batch);
        }
        self.batches = Some(batches);
        self
    }

    /// Timestamp of the definition records, in ms.
    pub fn start_ms(&self) -> i64 {
        self.config.start.millis()
    }

    /// Partitions of the events topic.
    pub fn partitions(&self) -> i32 {
        i32::try_from(self.config.partitions).expect("a few")
    }

    /// The codes that events may have.
    pub fn currencies(&self) -> Vec<String> {
        self.config.currencies.iter().map(|(_, code)| code.clone()).collect()
    }

    /// The naive recomputation of everything.
    pub fn oracle(&self) -> Oracle<'_> {
        let activation = self.start_ms() * 1000;
        let definitions = self.missions.iter().map(|(_, text)| Definition::new(text, activation)).collect();
        Oracle::new(&self.sent, definitions, &self.currencies())
    }

    /// The same as a file for `questline replay`, on the topics `events` and `missions`.
    pub fn write_lines(&self, path: &Path) {
        let file = std::fs::File::create(path).expect("a temporary file can be created");
        let mut lines = JsonLines::new(BufWriter::new(file));
        let topics = TopicNames { events: "events", missions: "missions" };
        for (key, text) in self.missions.clone() {
            let timestamp = Timestamp::from_millis(self.start_ms());
            let record = Generated { partition: 0, key, timestamp, value: text.into_bytes(), defect: None };
            lines.send(topics.missions, record).expect("a file takes all lines");
        }
        for Sent { partition, ingest, key, value, .. } in self.sent.iter().cloned() {
            let defect = serde_json::from_slice::<IgnoredAny>(&value).is_err().then_some(Reason::NotJson);
            let record = Generated { partition, key, timestamp: Timestamp::from_micros(ingest), value, defect };
            lines.send(topics.events, record).expect("a file takes all lines");
        }
        lines.finish().expect("a file takes all lines").flush().expect("a file takes all lines");
    }
}
