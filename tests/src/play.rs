//! Generated play, with every payload in hand.

use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use datasets::Timestamp;
use datasets::generator::{Generator, GeneratorConfig, JsonLines, Tally, TopicNames, generate, missions};

use crate::oracle::{Definition, Oracle, Sent};

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
        Play { sent, tally: generator.tally(), missions: missions(&config), batches: None, config }
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
        generate(&self.config, topics, &mut lines, |_| ()).expect("a file takes all lines");
        lines.finish().expect("a file takes all lines").flush().expect("a file takes all lines");
    }
}
