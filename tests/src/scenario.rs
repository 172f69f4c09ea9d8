//! A pipeline of its own: topics, generated play, a lake, and the process that runs on them.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::kafka::{self, Producer, Watch};
use crate::lake::LakeReader;
use crate::oracle::Oracle;
use crate::play::Play;
use crate::process::{Questline, Variables};
use crate::stack::{Stack, Wait, unique, wait_for};

/// Tiers by the number of bets that stand, from the lowest to the highest.
pub const TIERS: [(&str, i64); 3] = [("Bronze", 3), ("Silver", 12), ("Gold", 40)];

/// The same as configuration. Each is lost when bets are reversed.
pub fn tiers() -> String {
    let tiers = TIERS.map(|(name, bets)| {
        let measure = "{ kind = \"count\", on = [\"bet_placed\"] }";
        format!("[[tier]]\nname = \"{name}\"\nmeasure = {measure}\nthreshold = {bets}\ndowngrade = \"automatic\"\n")
    });
    tiers.concat()
}

/// See the module.
pub struct Scenario {
    /// The servers.
    pub stack: Stack,
    /// The pipeline's name; topics and lake are named after it.
    pub name: String,
    /// What is fed, in this order.
    pub play: Play,
    fed: Cell<usize>,
    folder: TempDir,
    producer: Producer,
    watch: Watch,
    runs: Cell<u32>,
}

impl Scenario {
    /// Creates the topics of events and missions, and sends the definitions of `play`.
    pub fn new(stack: Stack, label: &str, play: Play) -> Self {
        let partitions = play.partitions();
        Self::with_partitions(stack, label, play, partitions)
    }

    /// The same, where the topic of events has only its first `partitions` as yet.
    pub fn with_partitions(stack: Stack, label: &str, play: Play, partitions: i32) -> Self {
        let name = unique(label);
        let scenario = Scenario {
            watch: Watch::new(&stack.brokers, &name),
            name,
            play,
            fed: Cell::new(0),
            folder: tempfile::tempdir().expect("a temporary folder"),
            producer: Producer::new(&stack.brokers),
            runs: Cell::new(0),
            stack,
        };
        kafka::create_topic(&scenario.stack.brokers, &scenario.topic("events"), partitions, "delete");
        // From a topic that is only compacted, the broker deletes no records on request.
        kafka::create_topic(&scenario.stack.brokers, &scenario.topic("missions"), 1, "compact,delete");
        for (id, definition) in &scenario.play.missions {
            let at = scenario.play.start_ms();
            scenario.producer.send(&scenario.topic("missions"), 0, id, definition.as_bytes(), at);
        }
        scenario.producer.flush();
        scenario
    }

    /// Gives the topic of events all of its partitions.
    pub fn grow(&mut self) {
        let partitions = usize::try_from(self.play.partitions()).expect("a few");
        kafka::add_partitions(&self.stack.brokers, &self.topic("events"), partitions);
        let grown = || self.watch.partitions(&self.topic("events")) == partitions;
        wait_for("the new partitions", || grown().then_some(()));
        // One that knows them.
        self.producer = Producer::new(&self.stack.brokers);
    }

    /// The topic of events, missions, completions, audit, activity, dead-letters or progress.
    pub fn topic(&self, of: &str) -> String {
        format!("{}-{of}", self.name)
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        let Scenario { stack: Stack { brokers, s3_endpoint, bucket }, name, .. } = self;
        let tiers = tiers();
        let text = format!(
            r#"
[pipeline]
name = "{name}"
reporting_interval = "500ms"
checkpoint_interval = "300ms"
[kafka]
brokers = "{brokers}"
startup_timeout = "30s"
[kafka.topics]
completions = "{name}-completions"
audit = "{name}-audit"
activity = "{name}-activity"
dead_letters = "{name}-dead-letters"
gaming_activity = "{name}-gaming-activity"
transactions = "{name}-transactions"
customers = "{name}-customers"
reviews = "{name}-reviews"
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
[entities]
{tiers}"#
        );
        let path = self.folder.path().join("pipeline.toml");
        // A process that was just started may be reading it.
        if std::fs::read_to_string(&path).ok().as_ref() != Some(&text) {
            std::fs::write(&path, text).expect("a temporary file can be written");
        }
        path
    }

    /// A folder that goes with the scenario.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts `questline run`.
    pub fn run(&self, workers: usize) -> Questline {
        self.run_with(workers, &[])
    }

    /// The same with `variables`, which win over its configuration.
    pub fn run_with(&self, workers: usize, variables: Variables<'_>) -> Questline {
        self.start(&["--workers", &workers.to_string()], variables)
    }

    /// Starts one `process` of those that are at `hosts`.
    pub fn run_among(&self, hosts: &[String], process: usize, workers: usize, variables: Variables<'_>) -> Questline {
        let (process, hosts) = (process.to_string(), hosts.join(","));
        self.start(&["--workers", &workers.to_string(), "--process", &process, "--hosts", &hosts], variables)
    }

    fn start(&self, arguments: &[&str], variables: Variables<'_>) -> Questline {
        self.runs.set(self.runs.get() + 1);
        let log = self.folder.path().join(format!("run-{}.log", self.runs.get()));
        let config = self.config();
        let config = config.to_str().expect("temporary paths are UTF-8");
        Questline::start(["run", "--config", config].into_iter().chain(arguments.iter().copied()), variables, &log)
    }

    /// Sends the next `count` records and waits until the broker has them; fewer at the end.
    pub fn feed(&self, count: usize) {
        let fed = self.fed.get();
        let until = fed.saturating_add(count).min(self.play.sent.len());
        let topic = self.topic("events");
        match &self.play.batches {
            None => {
                self.play.sent[fed..until].iter().for_each(|record| self.producer.send_record(&topic, record));
                self.producer.flush();
            }
            Some(batches) => {
                let batches = batches.iter().filter(|batch| (fed..until).contains(&batch.first));
                kafka::send_in_transactions(&self.stack.brokers, &topic, &self.play, batches);
            }
        }
        self.fed.set(until);
        for (partition, end) in (0..).zip(self.ends()).filter(|(_, end)| *end > 0) {
            // A commit is answered before its markers are written, which take offsets too.
            wait_for("the markers", || (self.watch.end(&topic, partition) >= end).then_some(()));
            assert_eq!(self.watch.end(&topic, partition), end, "every record has the offset that it should have");
        }
    }

    /// How many records are left to be fed.
    pub fn left(&self) -> usize {
        self.play.sent.len() - self.fed.get()
    }

    /// The ends of the partitions as far as they were fed.
    pub fn ends(&self) -> Vec<i64> {
        let mut ends = vec![0; usize::try_from(self.play.partitions()).expect("a few")];
        for record in &self.play.sent[..self.fed.get()] {
            ends[usize::try_from(record.partition).expect("partitions count from 0")] = record.offset + 1;
        }
        if self.play.batches.is_some() {
            // The marker of the last transaction.
            ends.iter_mut().filter(|end| **end > 0).for_each(|end| *end += 1);
        }
        ends
    }

    /// The pipeline has committed everything that was fed, as far as it has told the broker.
    pub fn is_caught_up(&self) -> bool {
        self.watch.committed(&self.topic("events"), self.play.partitions()) == self.ends()
    }

    /// Waits until it has, by `run`.
    pub fn await_caught_up(&self, run: &mut Questline) {
        wait_for("the pipeline to catch up", || {
            run.assert_running();
            self.is_caught_up().then_some(())
        });
    }

    /// Looks at its topics as one who knows the pipeline's offsets.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Its lake.
    pub fn lake(&self) -> LakeReader {
        LakeReader::new(&self.stack, &self.name)
    }

    /// Waits until everything that was fed is committed, every row of activity is told, and `run` itself has
    /// come that far: another instance may have committed it all, whose lake this one has yet to complete.
    pub fn await_outputs(&self, run: &mut Questline, oracle: &Oracle<'_>) {
        wait_for("the end of the log of epochs", || {
            run.assert_running();
            run.log().contains("the log of epochs has been followed to its end").then_some(())
        });
        wait_for("the offsets of the pipeline to reach the ends", || {
            run.assert_running();
            self.is_caught_up().then_some(())
        });
        let mut follower = kafka::Follower::new(&self.stack.brokers, &self.topic("activity"));
        let mut waiting = crate::compare::expected_activity(oracle);
        let mut wait = Wait::begin();
        while waiting.values().any(|row| !row.is_told) {
            while let Some(message) = follower.next(Duration::from_millis(20)) {
                crate::compare::told(&mut waiting, &message);
            }
            run.assert_running();
            wait.on(|| {
                format!("the rows of activity: {}; {}", crate::compare::untold(&waiting), self.undecided("activity"))
            });
        }
    }

    /// Where the partitions of a topic end, and where what is decided of them ends.
    fn undecided(&self, of: &str) -> String {
        let topic = self.topic(of);
        let ends = (0..).take(self.watch.partitions(&topic)).map(|partition| {
            let (decided, end) = (self.watch.decided_end(&topic, partition), self.watch.end(&topic, partition));
            format!("{topic}-{partition} is decided up to {decided} of {end}")
        });
        ends.collect::<Vec<_>>().join(", ")
    }
}
