//! `questline run`: on Kafka, exactly once.
//!
//! ```text
//! recover: fence, read the log ── read a checkpoint ── follow the rest of the log, outputs suppressed ── read freely
//! workers ─┬─ closed epochs ──┬── committer's thread ── one transaction after the other
//!          │                  ├── lake's thread ── cuts, recorded by the committer, then put
//!          └─ state ──────────┴── checkpoint's thread ── segments and manifests, of what is committed
//! ```

mod assign;
mod checkpoint;
mod chunk;
mod commit;
mod monitor;
mod offsets;
mod pacer;
mod source;
mod trimming;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use crossbeam_channel::{Sender, unbounded};
use datasets::rows::EpochOutputs;
use operators::deadline::Deadlines;
use sinks::checkpoint::LaneState;
use sinks::cut::Cut;
use sinks::kafka::{CommitterConfig, Connection, OutputTopics, RecoveredLog};
use sinks::lake::{CutLog, Lake, LakeHandle, LakeStart};
use sinks::{Commits, SinkError};

use crate::config::{Config, KafkaConfig};
use crate::dataflow::Edges;
use crate::engine::{self, Halt, Wake};
use crate::epochs::Pacer;
use crate::plan::{Prepared, Purpose, lake_config, prepare};
use crate::reading::{Nothing, Source};
use assign::{Assignment, Logged};
pub use checkpoint::checkpoint_config;
use checkpoint::{Keeping, Start};
use commit::CommitLoop;
use monitor::Monitor;
use pacer::{Flow, Hint, Limits, LivePacer};
use trimming::Trimming;

/// Runs until `halt` is asked for or something fails. What was read by then is committed, and the lake
/// is cut.
///
/// # Errors
/// What failed, for people.
pub fn run(config: &Config, workers: usize, (wake, halt): (Wake, Halt)) -> Result<(), String> {
    let kafka = config.kafka.as_ref().ok_or("[kafka] is missing: `run` needs brokers, `replay` does not")?;
    let mut prepared = prepare(config, workers, Purpose::Run)?;
    let connection = connection(kafka);
    let run_id = format!("{}-{}", std::process::id(), pacer::wall_time());
    let (committer, log) =
        sinks::kafka::open(&committer_config(config, kafka, &run_id)).map_err(|error| crate::chain(&error))?;
    let start = Start::find(config, &run_id, &log).map_err(|error| crate::chain(&error))?;
    prepared.plan.begin = start.begin();
    let first = prepared.plan.begin.first;
    let (record_cut, cuts) = unbounded();
    let opening = Opening { workers, prepared: &prepared, log: &log, durable: start.lanes() };
    let lake = open_lake(config, opening, record_cut.clone()).map_err(|error| crate::chain(&error))?;
    let hint = Hint::new(wake.clone());
    let logged = Logged::new(&log, start.uppers(), first, &prepared.plan.decode.topics);
    let assignment = Assignment::new(&prepared, &connection, &config.pipeline.name, logged, workers);
    let assignment = assignment.map_err(|error| crate::chain(&error))?;
    let keeping = start.go_on(&prepared.plan.decode.topics, workers, lake.clone(), log.upper);
    let keeping = keeping.map_err(|error| crate::chain(&error))?;

    let flow = Flow::resuming(first, log.upper);
    let (publish, epochs) = unbounded();
    let (committed, counts) = unbounded();
    let mut discovery = assignment.discovery(&hint);
    // The clock waits for partitions that are behind, so it hears of them before the first epoch.
    discovery.look().map_err(|error| crate::chain(&error))?;
    let trimmed = keeping.handle().cloned().filter(|_| !config.checkpoint.keep_log);
    let trimming = trimmed.map(|checkpoint| Trimming::start(committer_config(config, kafka, &run_id), checkpoint));
    let trimming = trimming.transpose().map_err(|error| error.to_string())?;
    let monitor = Monitor::start(counts, lake.clone(), halt.clone(), discovery, trimming);
    let monitor = monitor.map_err(|error| error.to_string())?;
    let commits = CommitLoop {
        commits: Commits::new(committer, lake.clone(), keeping.handle().cloned()),
        epochs,
        cuts,
        flow: flow.clone(),
        hint: hint.clone(),
        wake: wake.clone(),
        committed,
    };
    let committing = std::thread::Builder::new().name("committer".to_owned()).spawn({
        let halt = halt.clone();
        move || commits.run().inspect_err(|error| halt.fail(crate::chain(error)))
    });
    let committing = committing.map_err(|error| error.to_string())?;

    let deadlines: Vec<Deadlines> = (0..workers).map(|_| Deadlines::default()).collect();
    let pacing = LivePacer {
        log: log.records.into_iter().filter(|record| record.epoch >= first).collect(),
        hint: hint.clone(),
        deadlines: deadlines.clone(),
        flow: flow.clone(),
        limits: Limits::of(config),
        lake: lake.clone(),
        checkpoint: keeping.handle().cloned(),
        halt: halt.clone(),
        opened: Instant::now(),
        is_following: true,
    };
    let pacing = Mutex::new(Some(pacing));
    let keeping = Arc::new(keeping);
    let makers =
        Makers { assignment, pacing, lake: lake.clone(), publish, flow, hint, halt: halt.clone(), deadlines, keeping };
    if let Err(error) = engine::run(workers, &prepared.plan, &halt, move |worker| makers.edges(worker)) {
        halt.fail(error);
    }

    // The dataflow has let go of its sender: the committer empties its queue, then records what the
    // lake still cuts, until nobody can send a cut any more.
    let finished = match &lake {
        Some(lake) if halt.failure().is_none() => lake.finish().map(drop),
        _ => Ok(()),
    };
    drop(record_cut);
    if let Some(failure) = halt.failure() {
        return Err(failure);
    }
    finished.map_err(|error| crate::chain(&error))?;
    let committed = committing.join().map_err(|_| "the committer's thread panicked".to_owned())?;
    monitor.join();
    committed.map_err(|error| crate::chain(&error))
}

/// How the configured brokers are reached.
pub fn connection(kafka: &KafkaConfig) -> Connection {
    let mut connection = Connection::new(kafka.brokers.clone());
    connection.properties = kafka.properties.0.clone();
    connection.startup_timeout = kafka.startup_timeout.into();
    connection
}

/// How the committer reaches its brokers and topics.
pub fn committer_config(config: &Config, kafka: &KafkaConfig, run_id: &str) -> CommitterConfig {
    let pipeline = &config.pipeline.name;
    let mut committer = CommitterConfig::new(connection(kafka), pipeline, run_id);
    committer.topics = OutputTopics {
        completions: kafka.topics.completions.clone(),
        activity: kafka.topics.activity.clone(),
        dead_letters: kafka.topics.dead_letters.clone(),
        progress: kafka.topics.progress(pipeline),
    };
    committer.partitions = i32::try_from(kafka.topics.partitions).unwrap_or(i32::MAX);
    committer.transaction_timeout = kafka.transaction_timeout.into();
    committer.replication = kafka.topics.replication.map(|replicas| i32::try_from(replicas).unwrap_or(i32::MAX));
    committer
}

/// What a lake begins with.
struct Opening<'a> {
    workers: usize,
    prepared: &'a Prepared,
    log: &'a RecoveredLog,
    durable: Vec<LaneState>,
}

fn open_lake(
    config: &Config,
    Opening { workers, prepared, log, durable }: Opening<'_>,
    record_cut: Sender<Cut>,
) -> Result<Option<LakeHandle>, SinkError> {
    let Some(lake) = &config.lake else { return Ok(None) };
    let record = move |cut| {
        // A committer that is gone has said why.
        let _ = record_cut.send(cut);
    };
    let start = LakeStart {
        workers,
        lanes: prepared.plan.decode.lanes,
        names: prepared.names.clone(),
        resume: log.cuts.clone(),
        durable_below: 0,
        durable,
        replay_upper: log.upper,
        log: CutLog::Recorded(Box::new(record)),
    };
    Lake::start(&lake_config(lake), start).map(Some)
}

/// Makes the edges of each worker, on its own thread.
struct Makers {
    assignment: Assignment,
    pacing: Mutex<Option<LivePacer>>,
    lake: Option<LakeHandle>,
    publish: Sender<Arc<EpochOutputs>>,
    flow: Flow,
    hint: Hint,
    halt: Halt,
    deadlines: Vec<Deadlines>,
    keeping: Arc<Keeping>,
}

impl Makers {
    fn edges(&self, worker: usize) -> Edges {
        let source = self.assignment.source(worker, &self.hint, &self.halt, &self.deadlines[worker]);
        let source: Box<dyn Source> = match source {
            Ok(source) => Box::new(source),
            Err(error) => {
                self.halt.fail(crate::chain(&error));
                Box::new(Nothing)
            }
        };
        let mut pacer: Option<Box<dyn Pacer>> = None;
        if let Some(pacing) = self.pacing.lock().expect("no panic while starting").take_if(|_| worker == 0) {
            pacer = Some(Box::new(pacing));
        }
        let history = crate::history::history(worker, self.lake.clone());
        let (publish, lake, flow, hint) =
            (self.publish.clone(), self.lake.clone(), self.flow.clone(), self.hint.clone());
        let keeping = self.keeping.clone();
        Edges {
            pacer,
            source,
            history,
            publish: Box::new(move |outputs| {
                let outputs = keeping.publish(outputs);
                if let Some(lake) = &lake {
                    lake.sealed(outputs.clone());
                }
                flow.publish(outputs.epoch + 1);
                // Along the log nothing else wakes the pacer that waits for this.
                hint.look_again();
                // A committer that is gone has said why.
                let _ = publish.send(outputs);
            }),
            takings: Box::new(|_, _, _| ()),
            deadlines: self.deadlines[worker].clone(),
            state: self.keeping.state(worker),
        }
    }
}
