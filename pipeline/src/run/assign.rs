//! Which worker reads which partition, and from where.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};
use datasets::rows::Binding;
use datasets::{Epoch, TopicId, Topics};
use operators::deadline::Deadlines;
use operators::decode::owner;
use sinks::kafka::{Connection, ProgressRecord, RecoveredLog};

use super::gate::Gate;
use super::pacer::Hint;
use super::past::PastFeed;
use super::source::{KafkaSource, SourceStart};
use crate::cluster::{Share, Team};
use crate::engine::Halt;
use crate::plan::Prepared;
use crate::source::{ConsumerConfig, KafkaCluster, KafkaConsumer, Position, SourceError};

/// Everything that is known of the partitions at start.
pub struct Assignment {
    cluster: Arc<KafkaCluster>,
    topics: Arc<Topics>,
    /// By worker, of all processes.
    shares: Vec<Share>,
    /// Partitions of definitions that are read before events.
    pub definitions: i64,
}

impl Assignment {
    /// Divides the partitions that the log names, and those that exist beyond it.
    ///
    /// # Errors
    /// Brokers that do not answer now.
    pub fn new(
        prepared: &Prepared,
        cluster: Arc<KafkaCluster>,
        logged: &Logged,
        workers: usize,
    ) -> Result<Self, SourceError> {
        let topics = prepared.plan.decode.topics.clone();
        let mut shares = vec![Share::default(); workers];
        for (position, _) in logged.partitions() {
            shares[owner(position.topic, position.partition, workers)].logged.push(position);
        }
        let mut definitions = 0;
        let name = topics.name(prepared.missions);
        for partition in existing(&cluster, name)? {
            let (low, end) = cluster.watermarks(name, partition)?;
            if logged.last.get(&(prepared.missions, partition)).copied().unwrap_or(low) < end {
                let share = &mut shares[owner(prepared.missions, partition, workers)];
                share.definitions_end.insert(partition, end);
                definitions += 1;
            }
        }
        Ok(Assignment { cluster, topics, shares, definitions })
    }

    /// What the workers of a process read first.
    pub fn shares(&self, team: &Team, process: usize) -> Vec<Share> {
        self.shares[team.of(process)].to_vec()
    }

    /// Finds partitions that nobody reads yet.
    pub fn discovery(&self, hint: &Hint) -> Discovery {
        let known = self.shares.iter().flat_map(|share| &share.logged);
        Discovery {
            cluster: self.cluster.clone(),
            topics: self.topics.clone(),
            known: known.map(|position| (position.topic, position.partition)).collect(),
            workers: self.shares.len(),
            hint: hint.clone(),
            missing: Vec::new(),
        }
    }
}

/// Makes the sources of this process.
pub struct Sources {
    connection: Connection,
    consumer: ConsumerConfig,
    topics: Arc<Topics>,
    missions: TopicId,
    gate: Gate,
    past: Option<PastFeed>,
    team: Team,
    /// By worker of this process.
    shares: Vec<(Share, Receiver<Position>)>,
}

/// Hands partitions that were found to the workers of this process.
#[derive(Clone)]
pub struct Finds {
    first: usize,
    senders: Vec<Sender<Position>>,
}

impl Finds {
    /// To the workers of `team` here, each of which receives them by its own end.
    pub fn new(team: &Team) -> (Self, Vec<Receiver<Position>>) {
        let (senders, receivers) = team.here().map(|_| unbounded()).unzip();
        (Finds { first: team.here().start, senders }, receivers)
    }

    /// `worker`, one of this process, reads what is at `position`.
    pub fn give(&self, worker: usize, position: Position) {
        // A worker that is gone needs nothing more.
        let _ = self.senders[worker - self.first].send(position);
    }
}

impl Sources {
    /// Of the workers of `team` here, which begin with `shares` and go on with what is found. The first worker of all has
    /// the `past` that Kafka has no more.
    pub fn new(
        prepared: &Prepared,
        connection: &Connection,
        pipeline: &str,
        (team, shares, found): (Team, Vec<Share>, Vec<Receiver<Position>>),
        (gate, past): (Gate, Option<PastFeed>),
    ) -> Self {
        Sources {
            connection: connection.clone(),
            consumer: ConsumerConfig::new(pipeline),
            topics: prepared.plan.decode.topics.clone(),
            missions: prepared.missions,
            gate,
            past,
            team,
            shares: shares.into_iter().zip(found).collect(),
        }
    }

    /// The source of a worker, made on its own thread.
    ///
    /// # Errors
    /// A consumer that cannot be made, or partitions that it cannot be given.
    pub fn source(
        &self,
        worker: usize,
        hint: &Hint,
        halt: &Halt,
        deadlines: &Deadlines,
    ) -> Result<KafkaSource, SourceError> {
        let (Share { logged, definitions_end }, found) = self.shares[worker - self.team.here().start].clone();
        let (on_records, on_more) = (hint.clone(), hint.clone());
        let wake = Arc::new(move || on_records.ring());
        KafkaSource::new(SourceStart {
            consumer: KafkaConsumer::new(&self.connection, &self.consumer, &self.topics, wake)?,
            topics: self.topics.clone(),
            missions: Some(self.missions),
            logged,
            found,
            definitions_end,
            gate: self.gate.clone(),
            speaks: worker == 0,
            past: self.past.clone().filter(|_| worker == 0),
            ring: Box::new(move || on_more.ring()),
            deadlines: deadlines.clone(),
            halt: halt.clone(),
        })
    }
}

type Uppers = BTreeMap<(TopicId, i32), i64>;

/// Where each partition is read from, and how far the log has read it.
pub struct Logged {
    first: Uppers,
    last: Uppers,
}

impl Logged {
    /// What `log` says from the epoch `from` on, `before` which partitions were read so far. The first binding of any
    /// other partition is where it begins: nothing of it is read before that is bound.
    pub fn new(log: &RecoveredLog, before: &[Binding], from: Epoch, topics: &Topics) -> Self {
        let (mut first, mut last) = (Uppers::new(), Uppers::new());
        let followed = log.records.iter().filter(|record| record.epoch >= from);
        for binding in before.iter().chain(followed.flat_map(|record| &record.bindings)) {
            // A topic that is not configured any more is not read any more.
            let Some(topic) = topics.id(&binding.topic) else { continue };
            first.entry((topic, binding.partition)).or_insert(binding.upper);
            last.insert((topic, binding.partition), binding.upper);
        }
        Logged { first, last }
    }

    /// Begins behind these epochs, which are not read from Kafka.
    pub fn pass<'a>(&mut self, epochs: impl Iterator<Item = &'a ProgressRecord>, topics: &Topics) {
        for binding in epochs.flat_map(|record| &record.bindings) {
            let Some(topic) = topics.id(&binding.topic) else { continue };
            self.first.insert((topic, binding.partition), binding.upper);
        }
    }

    /// Where each partition begins, and how far the log has read it.
    pub fn partitions(&self) -> impl Iterator<Item = (Position, i64)> {
        let position = |((topic, partition), offset): (&(TopicId, i32), &i64)| {
            (Position { topic: *topic, partition: *partition, offset: *offset }, self.last[&(*topic, *partition)])
        };
        self.first.iter().map(position)
    }
}

fn existing(cluster: &KafkaCluster, topic: &str) -> Result<Vec<i32>, SourceError> {
    match cluster.partitions(topic) {
        Err(SourceError::NoTopic(_)) => Ok(Vec::new()),
        partitions => partitions,
    }
}

/// Finds new partitions while the pipeline runs; it asks the brokers, so it has its own thread.
pub struct Discovery {
    /// The brokers.
    pub cluster: Arc<KafkaCluster>,
    topics: Arc<Topics>,
    known: std::collections::BTreeSet<(TopicId, i32)>,
    workers: usize,
    hint: Hint,
    /// Topics that were said not to exist.
    missing: Vec<TopicId>,
}

impl Discovery {
    /// Gives partitions that are new to `hand_out`, each with the worker that owns it. Read from their beginning.
    ///
    /// # Errors
    /// Brokers that do not answer now.
    pub fn look(&mut self, hand_out: &mut dyn FnMut(usize, Position)) -> Result<(), SourceError> {
        for topic in self.topics.ids() {
            let name = self.topics.name(topic).clone();
            let partitions = existing(&self.cluster, &name)?;
            if partitions.is_empty() && !self.missing.contains(&topic) {
                self.missing.push(topic);
                tracing::warn!(topic = %name, "topic does not exist; it is read as soon as it does");
            }
            for partition in partitions {
                if !self.known.contains(&(topic, partition)) {
                    let (offset, _) = self.cluster.watermarks(&name, partition)?;
                    tracing::info!(topic = %name, partition, offset, "reading a new partition");
                    hand_out(owner(topic, partition, self.workers), Position { topic, partition, offset });
                    self.known.insert((topic, partition));
                    self.hint.ring();
                }
            }
        }
        Ok(())
    }
}
