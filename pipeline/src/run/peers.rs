//! The other processes of a cluster, as this one reaches them.

use std::sync::{Arc, OnceLock};

use operators::deadline::Deadlines;
use sinks::checkpoint::CheckpointHandle;

use super::checkpoint::progress;
use super::gate::Gate;
use super::pacer::Hint;
use crate::cluster::{Ends, Hosts, Link, Message, SILENCE};
use crate::engine::Halt;

/// Links to other processes: of process 0 to all, of the others to process 0. Clones are the same.
#[derive(Clone, Default)]
pub struct Peers(Arc<OnceLock<Vec<(usize, Link)>>>);

impl Peers {
    /// Of a process that has no others.
    pub fn none() -> Self {
        let peers = Peers::default();
        peers.set(Vec::new());
        peers
    }

    /// The links are there; once.
    pub fn set(&self, links: Vec<(usize, Link)>) {
        assert!(self.0.set(links).is_ok(), "links are made once");
    }

    /// Tells one. Never waits, once links are there.
    pub fn tell(&self, process: usize, message: Message) {
        let links = self.0.wait();
        if let Some((_, link)) = links.iter().find(|(other, _)| *other == process) {
            link.tell(message);
        }
    }

    /// Tells all.
    pub fn tell_all(&self, message: &Message) {
        self.0.wait().iter().for_each(|(_, link)| link.tell(message.clone()));
    }

    /// Tells all but one.
    fn tell_others(&self, process: usize, message: &Message) {
        self.0.wait().iter().filter(|(other, _)| *other != process).for_each(|(_, link)| link.tell(message.clone()));
    }

    /// Says the last word to all that there are, and waits until it is out, not for long.
    pub fn end(&self, message: &Message) {
        let links = self.0.get().into_iter().flatten();
        let farewells: Vec<_> = links.map(|(_, link)| link.end(message.clone())).collect();
        farewells.into_iter().for_each(crate::cluster::Farewell::wait);
    }
}

/// What the others tell process 0 about.
pub struct Desk {
    /// Asked for epochs.
    pub hint: Hint,
    /// Of definitions.
    pub gate: Gate,
    /// Of all workers.
    pub deadlines: Vec<Deadlines>,
    /// Takes state.
    pub checkpoint: Option<CheckpointHandle>,
}

impl Desk {
    fn take(&self, process: usize, message: Message, peers: &Peers) {
        match message {
            Message::Ring => self.hint.ring(),
            Message::Deadlines { worker, next, is_behind } => {
                if let Some(deadlines) = self.deadlines.get(worker) {
                    deadlines.players(Some(next));
                    deadlines.behind(is_behind);
                }
            }
            Message::Passed(epoch) => {
                self.gate.pass_elsewhere(epoch);
                peers.tell_others(process, &Message::Passed(epoch));
                self.hint.ring();
            }
            message @ Message::Section { .. } => {
                if let (Some(checkpoint), Some(section)) = (&self.checkpoint, message.into_section()) {
                    checkpoint.section(section);
                }
            }
            // Told to the others, and by none of them.
            _ => {}
        }
    }
}

/// Process 0's end of the link to `process`. Before `desk` is set, the other one has nothing to tell but its end.
pub fn to_follower(
    (hosts, process): (&Hosts, usize),
    (halt, peers): (&Halt, &Peers),
    desk: &Arc<OnceLock<Desk>>,
) -> Ends<impl FnMut() -> Vec<Message> + use<>, impl FnMut(Message) + use<>, impl FnOnce(String) + use<>> {
    let name = hosts.name(process);
    let news = {
        let desk = desk.clone();
        let (mut told, mut named) = (None, None);
        move || {
            let checkpoint = desk.get().and_then(|desk| desk.checkpoint.as_ref());
            let now = checkpoint.map(progress);
            let news = now.filter(|_| now != told).map(Message::Checkpoints);
            told = now;
            let manifest = checkpoint.and_then(CheckpointHandle::manifest).filter(|name| named.as_ref() != Some(name));
            named = manifest.clone().or(named.take());
            news.into_iter().chain(manifest.map(Message::Manifest)).collect()
        }
    };
    let hear = {
        let (halt, peers, desk, name) = (halt.clone(), peers.clone(), desk.clone(), name.clone());
        move |message| match message {
            Message::Stop => {
                tracing::info!("{name} was asked to stop: all processes do");
                halt.ask();
            }
            Message::Failed(why) => halt.fail(format!("{name} has failed: {why}")),
            message => {
                if let Some(desk) = desk.get() {
                    desk.take(process, message, &peers);
                }
            }
        }
    };
    let halt = halt.clone();
    Ends { process, silence: SILENCE, news, hear, lose: move |why| halt.fail(format!("lost {name}: {why}")) }
}
