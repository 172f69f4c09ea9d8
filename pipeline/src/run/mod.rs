//! `questline run`: on Kafka, exactly once.
//!
//! ```text
//! recover: fence, read the log ── read a checkpoint ── follow the rest of the log, outputs suppressed ── read freely
//! workers ─┬─ closed epochs ──┬── committer's thread ── one transaction after the other
//!          │                  ├── lake's thread ── cuts, recorded by the committer, then put
//!          └─ state ──────────┴── checkpoint's thread ── segments and manifests, of what is committed
//! ```
//! In a cluster all of this is in process 0, but for the workers and what they read; see [`crate::cluster`].

mod assign;
mod checkpoint;
mod chunk;
mod commit;
mod decisions;
mod follow;
mod gate;
mod metrics;
mod missing;
mod monitor;
mod offsets;
mod pacer;
mod past;
mod peers;
mod source;
mod stages;
mod together;
mod trimming;

use std::net::TcpStream;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use crossbeam_channel::{Sender, unbounded};
use operators::deadline::Deadlines;
use sinks::checkpoint::LaneState;
use sinks::cut::Cut;
use sinks::kafka::{CommitterConfig, Connection, EntityTopics, OutputTopics, RecoveredLog};
use sinks::lake::{CutLog, Lake, LakeHandle, LakeStart};
use sinks::{Commits, SinkError};

use crate::cluster::{self, Message, Team};
use crate::config::{Config, KafkaConfig};
use crate::dataflow::Edges;
use crate::engine::{self, Halt, Wake};
use crate::epochs::Pacer;
use crate::exporter;
use crate::plan::{Prepared, Purpose, lake_config, prepare};
use crate::reading::{Nothing, Source};
use crate::source::{ConsumerConfig, KafkaCluster, Position};
use assign::{Assignment, Finds, Logged, Sources};
pub use checkpoint::checkpoint_config;
use checkpoint::{Keeping, Start};
use commit::CommitLoop;
use decisions::Decisions;
use gate::Gate;
use metrics::Metrics;
use monitor::Monitor;
pub(crate) use pacer::wall_time;
use pacer::{Flow, Hint, Limits, LivePacer};
use peers::{Desk, Peers};
use stages::Closed;
pub use together::Member;
use trimming::Trimming;

/// Runs until `halt` is asked for or something fails. What was read by then is committed, and the lake
/// is cut. With other processes, as a `member` among them.
///
/// # Errors
/// What failed, for people.
pub fn run(config: &Config, workers: usize, member: Option<Member>, (wake, halt): (Wake, Halt)) -> Result<(), String> {
    if let Some(member) = member.filter(|member| member.hosts.count() > 1) {
        return together::together(config, workers, member, (wake, halt));
    }
    let team = Team::alone(workers);
    let part = Part { team, data: Vec::new(), peers: Peers::none(), desk: Arc::default(), run: run_id() };
    lead(config, part, (wake, halt))
}

/// Names a run in what it writes.
fn run_id() -> String {
    format!("{}-{}", std::process::id(), wall_time())
}

/// The part of process 0, which may be the only one.
struct Part {
    team: Team,
    /// Timely's connections to the others.
    data: Vec<Option<TcpStream>>,
    peers: Peers,
    /// Where the others tell of themselves, once there is something to tell.
    desk: Arc<OnceLock<Desk>>,
    run: String,
}

/// Recovers, tells the others where to begin, opens epochs and commits.
fn lead(config: &Config, part: Part, (wake, halt): (Wake, Halt)) -> Result<(), String> {
    let Part { team, data, peers, desk, run: run_id } = part;
    let kafka = config.kafka.as_ref().ok_or("[kafka] is missing: `run` needs brokers, `replay` does not")?;
    let mut prepared = prepare(config, team.workers(), Purpose::Run)?;
    prepared.plan.keepers = team.threads;
    let connection = connection(kafka);
    let (committer, log) =
        sinks::kafka::open(&committer_config(config, kafka, &run_id)).map_err(|error| crate::chain(&error))?;
    let start = Start::find(config, &run_id, &log).map_err(|error| crate::chain(&error))?;
    prepared.plan.begin = start.begin();
    let first = prepared.plan.begin.first;
    let cluster = KafkaCluster::connect(&connection, &ConsumerConfig::new(&config.pipeline.name));
    let cluster = Arc::new(cluster.map_err(|error| crate::chain(&error))?);
    let mut logged = Logged::new(&log, start.uppers(), first, &prepared.plan.decode.topics);
    let past = missing::fill(config, &prepared, &cluster, (&log, &start), &mut logged)?;
    let (record_cut, cuts) = unbounded();
    let opening = Opening { workers: team.threads, prepared: &prepared, log: &log, durable: start.lanes() };
    let lake = open_lake(config, opening, record_cut.clone()).map_err(|error| crate::chain(&error))?;
    let hint = Hint::new(wake.clone());
    let past =
        past.map(|past| past.start(halt.clone(), hint.clone())).transpose().map_err(|error| error.to_string())?;
    let assignment = Assignment::new(&prepared, cluster, &logged, team.workers());
    let assignment = assignment.map_err(|error| crate::chain(&error))?;
    let manifest = start.manifest();
    let keeping = start.go_on(&prepared.plan.decode.topics, team, lake.clone(), log.upper);
    let keeping = keeping.map_err(|error| crate::chain(&error))?;
    let gate = Gate::new(assignment.definitions, {
        let peers = peers.clone();
        Arc::new(move |epoch| peers.tell_all(&Message::Passed(epoch)))
    });
    let (finds, found) = Finds::new(&team);
    let reading = (team, assignment.shares(&team, team.process), found);
    let sources = Sources::new(&prepared, &connection, &config.pipeline.name, reading, (gate.clone(), past));
    let deadlines: Vec<Deadlines> = (0..team.workers()).map(|_| Deadlines::default()).collect();

    // The clock waits for partitions that are behind, so it hears of them before the first epoch.
    let mut discovery = assignment.discovery(&hint);
    let mut new = Vec::new();
    let looked = discovery.look(&mut |worker, position| new.push((worker, position)));
    looked.map_err(|error| crate::chain(&error))?;
    let new_of = |process| -> Vec<(usize, Position)> {
        new.iter().filter(|(worker, _)| team.of(process).contains(worker)).copied().collect()
    };
    new_of(team.process).into_iter().for_each(|(worker, position)| finds.give(worker, position));

    // From here on the others tell of themselves.
    let checkpoint = keeping.handle().cloned();
    let others = Desk { hint: hint.clone(), gate, deadlines: deadlines.clone(), checkpoint };
    assert!(desk.set(others).is_ok(), "a process begins once");
    for process in 1..team.processes {
        let (begin, definitions) = (prepared.plan.begin, assignment.definitions);
        let (manifest, shares) = (manifest.clone(), assignment.shares(&team, process));
        let found = new_of(process);
        let start = cluster::Start { begin, free_from: log.upper, manifest, definitions, shares, found };
        peers.tell(process, Message::Start(start));
    }

    let flow = Flow::resuming(first, log.upper);
    let (publish, epochs) = unbounded();
    let metrics = Metrics::new(&config.pipeline.name, log.upper);
    if let Some(listen) = config.metrics.listen {
        let address = exporter::serve(listen, metrics.clone())
            .map_err(|error| format!("cannot serve metrics at {listen} (metrics.listen): {error}"))?;
        tracing::info!(%address, "metrics are at /metrics, readiness at /ready");
    }
    let (committed, counts) = monitor::committed(metrics);
    let hand_out = move |worker: usize, position| match worker / team.threads {
        0 => finds.give(worker, position),
        process => peers.tell(process, Message::Found { worker, position }),
    };
    let hand_out: Box<monitor::HandOut> = Box::new(hand_out);
    let trimmed = keeping.handle().cloned().filter(|_| !config.checkpoint.keep_log);
    let trimming = trimmed.map(|checkpoint| Trimming::start(committer_config(config, kafka, &run_id), checkpoint));
    let trimming = trimming.transpose().map_err(|error| error.to_string())?;
    let _decisions = Decisions::start(&committer_config(config, kafka, &run_id))?;
    let monitor = Monitor::start(
        counts,
        (lake.clone(), keeping.handle().cloned()),
        halt.clone(),
        (discovery, hand_out),
        trimming,
        (flow.clone(), log.upper),
    );
    let monitor = monitor.map_err(|error| error.to_string())?;
    let commits = CommitLoop {
        commits: Commits::new(committer, lake.clone(), keeping.handle().cloned()),
        epochs,
        cuts,
        flow: flow.clone(),
        hint: hint.clone(),
        wake: wake.clone(),
        together: usize::try_from(config.limits.epochs_in_flight / 2).unwrap_or(usize::MAX).max(1),
        committed,
    };
    let committing = std::thread::Builder::new().name("committer".to_owned()).spawn({
        let halt = halt.clone();
        move || commits.run().inspect_err(|error| halt.fail(crate::chain(error)))
    });
    let committing = committing.map_err(|error| error.to_string())?;

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
        Makers { sources, pacing, lake: lake.clone(), publish, flow, hint, halt: halt.clone(), deadlines, keeping };
    let edges = move |worker| makers.edges(worker);
    let ran = match team.processes {
        1 => engine::run(team.threads, &prepared.plan, &halt, edges),
        _ => engine::run_joined((team, data), &prepared.plan, &halt, edges),
    };
    if let Err(error) = ran {
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
        audit: kafka.topics.audit.clone(),
        activity: kafka.topics.activity.clone(),
        dead_letters: kafka.topics.dead_letters.clone(),
        progress: kafka.topics.progress(pipeline),
        entities: config.entities.as_ref().map(|_| EntityTopics {
            gaming_activity: kafka.topics.gaming_activity.clone(),
            transactions: kafka.topics.transactions.clone(),
            customers: kafka.topics.customers.clone(),
            reviews: kafka.topics.reviews.clone(),
        }),
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
        // What the log does not know any more, checkpoints have; and before they have it, the lake has it.
        durable_below: log.first,
        durable,
        replay_upper: log.upper,
        log: CutLog::Recorded(Box::new(record)),
    };
    Lake::start(&lake_config(lake), start).map(Some)
}

/// Makes the edges of each worker, on its own thread.
struct Makers {
    sources: Sources,
    pacing: Mutex<Option<LivePacer>>,
    lake: Option<LakeHandle>,
    publish: Sender<Closed>,
    flow: Flow,
    hint: Hint,
    halt: Halt,
    deadlines: Vec<Deadlines>,
    keeping: Arc<Keeping>,
}

impl Makers {
    fn edges(&self, worker: usize) -> Edges {
        let source = self.sources.source(worker, &self.hint, &self.halt, &self.deadlines[worker]);
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
                let _ = publish.send(Closed::now(outputs));
            }),
            takings: Box::new(|_, _, _| ()),
            deadlines: self.deadlines[worker].clone(),
            state: self.keeping.state(worker),
        }
    }
}
