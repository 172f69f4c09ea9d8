//! A process other than 0: it reads its partitions and keeps its players, and begins where process 0 says.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use datasets::Timestamp;
use operators::deadline::Deadlines;

use super::assign::{Finds, Sources};
use super::checkpoint::{self, AfarShelf, Keeping};
use super::connection;
use super::gate::Gate;
use super::pacer::Hint;
use super::peers::Peers;
use crate::cluster::{Ends, Hosts, Joined, Link, Message, SILENCE, Start, Team};
use crate::config::{Config, KafkaConfig};
use crate::dataflow::Edges;
use crate::engine::{self, Halt, Wake};
use crate::plan::{Purpose, prepare};
use crate::reading::{Nothing, Source};
use crate::source::Position;

/// What process 0 has told to begin with, and where it tells the rest.
struct Begun {
    start: Start,
    gate: Gate,
    found: Vec<Receiver<Position>>,
}

/// Runs until the dataflow has ended and process 0 has committed it. What fails is told to `halt` or answered.
///
/// # Errors
/// What failed, for people.
pub fn follow(
    config: &Config,
    (team, hosts): (Team, &Hosts),
    joined: Joined,
    peers: &Peers,
    (wake, halt): (Wake, Halt),
) -> Result<(), String> {
    let kafka: &KafkaConfig = config.kafka.as_ref().ok_or("[kafka] is missing")?;
    let Joined { run, data, mut control } = joined;
    let leader = control[0].take().expect("whoever joined has a link to process 0");
    let hint = Hint::afar(wake, peers.clone());
    let shelf = AfarShelf::new(peers.clone());
    let deadlines: Vec<Deadlines> = team.here().map(|_| Deadlines::default()).collect();
    let (begin, begun) = bounded(1);
    let (finish, finished) = bounded(1);
    let hearing = Hearing {
        team,
        leader: hosts.name(0),
        halt: halt.clone(),
        peers: peers.clone(),
        hint: hint.clone(),
        shelf: shelf.clone(),
        begin,
        finish,
        running: None,
    };
    let link = Link::start(leader, ends(hearing, news(team, deadlines.clone(), (shelf.clone(), halt.clone()))));
    peers.set(vec![(0, link.map_err(|why| format!("lost {}: {why}", hosts.name(0)))?)]);

    // Whoever waits for the failure of `halt` ends the process when process 0 does not begin.
    let Begun { start, gate, found } = begun.recv().map_err(|_| format!("lost {}", hosts.name(0)))?;
    let mut prepared = prepare(config, team.workers(), Purpose::Run)?;
    (prepared.plan.begin, prepared.plan.keepers) = (start.begin, team.threads);
    let topics = prepared.plan.decode.topics.clone();
    let from = (run.as_str(), start.manifest.as_deref());
    let keeping: Keeping = checkpoint::follow(config, from, (&topics, team), (shelf, start.free_from))?;
    let reading = (team, start.shares, found);
    let sources = Sources::new(&prepared, &connection(kafka), &config.pipeline.name, reading, (gate, None));
    let workers = team.here();
    tracing::info!(
        first = start.begin.first,
        first_worker = workers.start,
        workers = workers.len(),
        "process 0 begins"
    );

    let failed = halt.clone();
    let edges = move |worker: usize| {
        let deadlines = &deadlines[worker - team.here().start];
        let source: Box<dyn Source> = match sources.source(worker, &hint, &failed, deadlines) {
            Ok(source) => Box::new(source),
            Err(error) => {
                failed.fail(crate::chain(&error));
                Box::new(Nothing)
            }
        };
        Edges {
            pacer: None,
            source,
            // Process 0 has the lake.
            history: crate::history::history(worker, None),
            publish: Box::new(|_| ()),
            takings: Box::new(|_, _, _| ()),
            deadlines: deadlines.clone(),
            state: keeping.state(worker),
        }
    };
    engine::run_joined((team, data), &prepared.plan, &halt, edges)?;
    if let Some(failure) = halt.failure() {
        return Err(failure);
    }
    // The rest is done by process 0; its word is awaited, so that an end in order means the same everywhere.
    finished.recv().map_err(|_| format!("lost {} before it had committed everything", hosts.name(0)))
}

/// Takes what process 0 tells.
struct Hearing {
    team: Team,
    leader: String,
    halt: Halt,
    peers: Peers,
    hint: Hint,
    shelf: AfarShelf,
    begin: Sender<Begun>,
    finish: Sender<()>,
    running: Option<(Gate, Finds)>,
}

impl Hearing {
    fn hear(&mut self, message: Message) {
        match (message, &self.running) {
            (Message::Start(start), None) => {
                let peers = self.peers.clone();
                let gate = Gate::new(start.definitions, Arc::new(move |epoch| peers.tell_all(&Message::Passed(epoch))));
                // Made here, so that nothing is missed that is told behind it.
                let (finds, found) = Finds::new(&self.team);
                start.found.iter().for_each(|(worker, position)| finds.give(*worker, *position));
                self.running = Some((gate.clone(), finds));
                // Nobody waits any more where an end was asked for.
                let _ = self.begin.send(Begun { start, gate, found });
            }
            (Message::Passed(epoch), Some((gate, _))) => {
                gate.pass_elsewhere(epoch);
                // The epoch in which it was told may have come before it.
                self.hint.ring();
            }
            (Message::Found { worker, position }, Some((_, finds))) if self.team.here().contains(&worker) => {
                finds.give(worker, position);
                self.hint.ring();
            }
            (Message::Checkpoints(now), _) => self.shelf.told(now),
            (Message::Manifest(name), _) => self.shelf.in_place(name),
            (Message::Failed(why), _) => self.halt.fail(format!("{} has failed: {why}", self.leader)),
            // It may not be awaited any more.
            (Message::Done, _) => drop(self.finish.send(())),
            _ => {}
        }
    }
}

fn ends(
    mut hearing: Hearing,
    news: impl FnMut() -> Vec<Message> + Send + 'static,
) -> Ends<impl FnMut() -> Vec<Message> + Send, impl FnMut(Message) + Send, impl FnOnce(String) + Send> {
    let (leader, halt) = (hearing.leader.clone(), hearing.halt.clone());
    Ends {
        process: 0,
        silence: SILENCE,
        news,
        hear: move |message| hearing.hear(message),
        lose: move |why| halt.fail(format!("lost {leader}: {why}")),
    }
}

/// Timers and backlogs of the workers here as they change, and the wish to end.
fn news(
    team: Team,
    deadlines: Vec<Deadlines>,
    (shelf, halt): (AfarShelf, Halt),
) -> impl FnMut() -> Vec<Message> + Send + 'static {
    let mut told: Vec<(Timestamp, bool)> = vec![(Timestamp::MAX, false); deadlines.len()];
    let mut has_stopped = false;
    move || {
        let mut news = Vec::new();
        if let Some(why) = shelf.failure() {
            halt.fail(why.to_owned());
        }
        for ((worker, deadlines), told) in team.here().zip(&deadlines).zip(&mut told) {
            let now = (deadlines.next(), deadlines.is_behind());
            if now != std::mem::replace(told, now) {
                let (next, is_behind) = now;
                news.push(Message::Deadlines { worker, next, is_behind });
            }
        }
        if halt.is_asked() && halt.failure().is_none() && !std::mem::replace(&mut has_stopped, true) {
            news.push(Message::Stop);
        }
        news
    }
}
