//! A process of a cluster: it joins the others, leads or follows, and ends with them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};

use super::peers::{Peers, to_follower};
use super::{Part, follow, lead, run_id};
use crate::cluster::{Hosts, Identity, Joined, Joining, Link, Message, Team};
use crate::config::Config;
use crate::engine::{Halt, Wake};

/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// Where this process is among others.
#[derive(Clone, Debug)]
pub struct Member {
    /// Where all are.
    pub hosts: Hosts,
    /// Which one this is.
    pub process: usize,
}

/// Runs until the end of all. When something fails here or elsewhere this returns at once, and the process has to end:
/// what waits for a process that is gone waits for ever.
///
/// # Errors
/// What failed first, here or elsewhere, for people.
pub fn together(config: &Config, threads: usize, member: Member, (wake, halt): (Wake, Halt)) -> Result<(), String> {
    let peers = Peers::default();
    let is_leader = member.process == 0;
    let (done, ended) = bounded(1);
    let part = {
        let (config, peers, halt) = (config.clone(), peers.clone(), halt.clone());
        move || drop(done.send(take_part(&config, threads, &member, &peers, (wake, halt))))
    };
    let running = std::thread::Builder::new().name("run".to_owned()).spawn(part);
    running.map_err(|error| format!("cannot start a thread: {error}"))?;
    let result = loop {
        match ended.recv_timeout(LOOK) {
            // What was heard first is the reason of all that came of it.
            Ok(result) => break result.map_err(|why| halt.failure().unwrap_or(why)),
            Err(RecvTimeoutError::Timeout) => {
                if let Some(failure) = halt.failure() {
                    break Err(failure);
                }
            }
            Err(RecvTimeoutError::Disconnected) => break Err("the thread that runs the pipeline panicked".to_owned()),
        }
    };
    match &result {
        Err(why) => peers.end(&Message::Failed(why.clone())),
        Ok(()) if is_leader => peers.end(&Message::Done),
        Ok(()) => {}
    }
    result
}

fn take_part(
    config: &Config,
    threads: usize,
    Member { hosts, process }: &Member,
    peers: &Peers,
    (wake, halt): (Wake, Halt),
) -> Result<(), String> {
    let kafka = config.kafka.as_ref().ok_or("[kafka] is missing")?;
    let team = Team { process: *process, processes: hosts.count(), threads };
    let run = run_id();
    let identity = Identity::of(config, team.processes, threads);
    let patience = kafka.startup_timeout.into();
    let joining = Joining { hosts, process: *process, identity, patience, halt: &halt };
    let Some(joined) = joining.join(&run)? else { return Ok(()) };
    if *process > 0 {
        return follow::follow(config, (team, hosts), joined, peers, (wake, halt));
    }
    let Joined { data, control, .. } = joined;
    let desk = Arc::new(OnceLock::new());
    let mut links = Vec::new();
    for (other, stream) in control.into_iter().enumerate() {
        let Some(stream) = stream else { continue };
        let link = Link::start(stream, to_follower((hosts, other), (&halt, peers), &desk));
        links.push((other, link.map_err(|why| format!("lost {}: {why}", hosts.name(other)))?));
    }
    peers.set(links);
    tracing::info!(processes = team.processes, workers = team.workers(), "all processes are there");
    lead(config, Part { team, data, peers: peers.clone(), desk, run }, (wake, halt))
}
