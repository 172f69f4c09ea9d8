//! A pipeline of its own: topics, generated play, a lake, and the process that runs on them.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use datasets::Timestamp;
use datasets::generator::{Generator, GeneratorConfig, Tally, missions};
use tempfile::TempDir;

use crate::kafka::{self, Producer, Watch};
use crate::lake::LakeReader;
use crate::oracle::{Definition, Oracle, Sent};
use crate::process::Questline;
use crate::stack::{Stack, unique, wait_for};

const HOUR: i64 = 3_600_000_000;

/// See the module.
pub struct Scenario {
    /// The servers.
    pub stack: Stack,
    /// The pipeline's name; topics and lake are named after it.
    pub name: String,
    /// Every record, in the order in which they are fed.
    pub sent: Vec<Sent>,
    /// What the generator says of them.
    pub tally: Tally,
    /// Definition records: id and text.
    pub missions: Vec<(String, String)>,
    config: GeneratorConfig,
    fed: usize,
    folder: TempDir,
    producer: Producer,
    runs: Cell<u32>,
}

/// Play of nineteen hours that ended an hour ago, in four partitions, with all that goes wrong.
pub fn recent_play(events: u64, seed: u64) -> GeneratorConfig {
    let now = now_micros();
    let defaults = GeneratorConfig::default();
    GeneratorConfig {
        events,
        players: 100_000,
        missions: 20,
        seed,
        start: Timestamp::from_micros(now - 20 * HOUR),
        span_micros: 19 * HOUR,
        partitions: 4,
        ..defaults
    }
}

fn now_micros() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is past 1970");
    i64::try_from(since.as_micros()).expect("before the year 294247")
}

impl Scenario {
    /// Generates play, creates the topics of events and missions, and sends the definitions.
    pub fn new(stack: Stack, label: &str, config: GeneratorConfig) -> Self {
        let name = unique(label);
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
        let producer = Producer::new(&stack.brokers);
        let scenario = Scenario {
            sent,
            tally: generator.tally(),
            missions: missions(&config),
            config,
            fed: 0,
            folder: tempfile::tempdir().expect("a temporary folder"),
            producer,
            runs: Cell::new(0),
            name,
            stack,
        };
        kafka::create_topic(&scenario.stack.brokers, &scenario.topic("events"), scenario.partitions(), "delete");
        kafka::create_topic(&scenario.stack.brokers, &scenario.topic("missions"), 1, "compact");
        for (id, definition) in &scenario.missions {
            let at = scenario.config.start.millis();
            scenario.producer.send(&scenario.topic("missions"), 0, id, definition.as_bytes(), at);
        }
        scenario.producer.flush();
        scenario
    }

    /// The topic of events, missions, completions, activity, dead-letters or progress.
    pub fn topic(&self, of: &str) -> String {
        format!("{}-{of}", self.name)
    }

    /// Partitions of the events topic.
    pub fn partitions(&self) -> i32 {
        i32::try_from(self.config.partitions).expect("a few")
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        let Scenario { stack: Stack { brokers, s3_endpoint, bucket }, name, .. } = self;
        let text = format!(
            r#"
[pipeline]
name = "{name}"
reporting_interval = "500ms"
[kafka]
brokers = "{brokers}"
startup_timeout = "30s"
[kafka.topics]
completions = "{name}-completions"
activity = "{name}-activity"
dead_letters = "{name}-dead-letters"
partitions = 3
[[source]]
name = "pam"
topics = ["{name}-events"]
[missions]
topic = "{name}-missions"
[dead_letters]
raw = true
[lake]
url = "s3://{bucket}/{name}"
max_file_bytes = 16_000_000
max_file_age = "1s"
[lake.s3]
endpoint = "{s3_endpoint}"
allow_http = true
"#
        );
        let path = self.folder.path().join("pipeline.toml");
        std::fs::write(&path, text).expect("a temporary file can be written");
        path
    }

    /// A folder that goes with the scenario.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts `questline run`.
    pub fn run(&self, workers: usize) -> Questline {
        self.runs.set(self.runs.get() + 1);
        let log = self.folder.path().join(format!("run-{}.log", self.runs.get()));
        let (config, workers) = (self.config(), workers.to_string());
        let config = config.to_str().expect("temporary paths are UTF-8");
        Questline::start(["run", "--config", config, "--workers", &workers], &log)
    }

    /// Sends the next `count` records and waits until the broker has them; fewer at the end.
    pub fn feed(&mut self, count: usize) {
        let until = (self.fed.saturating_add(count)).min(self.sent.len());
        let topic = self.topic("events");
        for record in &self.sent[self.fed..until] {
            let Sent { partition, ingest, key, value, .. } = record;
            self.producer.send(&topic, *partition, key, value, ingest / 1000);
        }
        self.producer.flush();
        self.fed = until;
        let watch = self.watch();
        for (partition, end) in (0..).zip(self.ends()) {
            assert_eq!(watch.end(&topic, partition), end, "every record has the offset that it should have");
        }
    }

    /// How many records are left to be fed.
    pub fn left(&self) -> usize {
        self.sent.len() - self.fed
    }

    /// The ends of the partitions as far as they were fed.
    pub fn ends(&self) -> Vec<i64> {
        let mut ends = vec![0; usize::try_from(self.partitions()).expect("a few")];
        for record in &self.sent[..self.fed] {
            ends[usize::try_from(record.partition).expect("partitions count from 0")] = record.offset + 1;
        }
        ends
    }

    /// Looks at its topics as one who knows the pipeline's offsets.
    pub fn watch(&self) -> Watch {
        Watch::new(&self.stack.brokers, &self.name)
    }

    /// Its lake.
    pub fn lake(&self) -> LakeReader {
        LakeReader::new(&self.stack, &self.name)
    }

    /// The naive recomputation of everything that is sent.
    pub fn oracle(&self) -> Oracle<'_> {
        let activation = self.config.start.millis() * 1000;
        let definitions = self.missions.iter().map(|(_, text)| Definition::new(text, activation)).collect();
        Oracle::new(&self.sent, definitions, &self.currencies())
    }

    /// The codes that events may have.
    pub fn currencies(&self) -> Vec<String> {
        self.config.currencies.iter().map(|(_, code)| code.clone()).collect()
    }

    /// Waits until everything that was fed is committed, and every row of activity is told.
    pub fn await_outputs(&self, run: &mut Questline, oracle: &Oracle<'_>) {
        let (watch, ends, topic) = (self.watch(), self.ends(), self.topic("events"));
        wait_for("the offsets of the pipeline to reach the ends", || {
            run.assert_running();
            (watch.committed(&topic, self.partitions()) == ends).then_some(())
        });
        let mut follower = kafka::Follower::new(&self.stack.brokers, &self.topic("activity"));
        let mut waiting = crate::compare::expected_activity(oracle);
        wait_for("the rows of activity", || {
            while let Some(message) = follower.next(Duration::from_millis(20)) {
                crate::compare::told(&mut waiting, &message);
            }
            run.assert_running();
            waiting.values().all(|row| row.is_told).then_some(())
        });
    }
}
