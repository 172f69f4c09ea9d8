//! How the processes of a cluster find each other.
//!
//! ```text
//! process i ── Control: who it is ──► process 0      Welcome, once all are there; or Refused, with the reason
//! process i ── Data: the run ───────► process j < i  timely's own connection from here on
//! ```
//! Each listens at its own address before it says who it is, so whoever is welcome finds all others. The run is a name
//! that process 0 gives anew each time: what is left of an earlier one connects to nobody.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, SendError, Sender, unbounded};
use serde::{Deserialize, Serialize};
use socket2::{SockRef, TcpKeepalive};

use super::frame::{self, GREETING, MAGIC};
use super::{Hosts, Identity};
use crate::engine::Halt;

/// How often who waits looks whether it still should.
const LOOK: Duration = Duration::from_millis(100);
/// How often it says for whom it waits.
const TELL: Duration = Duration::from_secs(5);
/// How long one attempt to connect, and one greeting, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a process introduces itself on a connection.
#[derive(Debug, Serialize, Deserialize)]
enum Greeting {
    /// To process 0, for all that is not data.
    Control { process: usize, identity: Identity },
    /// For timely.
    Data { process: usize, run: String },
}

/// What process 0 answers.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    /// All are there.
    Welcome {
        run: String,
    },
    Refused(String),
}

/// The connections of one process.
pub struct Joined {
    /// What process 0 calls this run.
    pub run: String,
    /// Timely's, by process; none to itself.
    pub data: Vec<Option<TcpStream>>,
    /// By process: of process 0 to each other one, of each other one to process 0.
    pub control: Vec<Option<TcpStream>>,
}

/// How this process comes to its connections.
pub struct Joining<'a> {
    /// Where all are.
    pub hosts: &'a Hosts,
    /// Which one this is.
    pub process: usize,
    /// What all must be.
    pub identity: Identity,
    /// How long to wait for the others.
    pub patience: Duration,
    /// Ends the wait.
    pub halt: &'a Halt,
}

impl Joining<'_> {
    /// Waits for all others. None when an end was asked for before they were there. `run` is the name that process 0
    /// gives.
    ///
    /// # Errors
    /// An address that cannot be listened at; a process that does not come; a refusal.
    pub fn join(&self, run: &str) -> Result<Option<Joined>, String> {
        let own = self.hosts.of(self.process);
        let listener = TcpListener::bind(own)
            .map_err(|why| format!("cannot listen at {own}, which --hosts gives to process {}: {why}", self.process))?;
        let arrivals = welcome(listener)?;
        let joined = if self.process == 0 { self.gather(&arrivals, run)? } else { self.report()? };
        let Some((run, control)) = joined else { return Ok(None) };
        let data = self.connect(&arrivals, &run)?;
        Ok(data.map(|data| Joined { run, data, control }))
    }

    /// Process 0: waits until each other one has said who it is.
    fn gather(&self, arrivals: &Receiver<Arrival>, run: &str) -> Result<Option<(String, Streams)>, String> {
        let mut streams: Streams = (0..self.hosts.count()).map(|_| None).collect();
        let mut refused = String::new();
        let mut wait = Wait::new(self.patience);
        loop {
            // One that has ended since may come again.
            streams.iter_mut().for_each(|stream| drop(stream.take_if(|stream| is_gone(stream))));
            let missing: Vec<usize> = (1..streams.len()).filter(|process| streams[*process].is_none()).collect();
            if missing.is_empty() {
                break;
            }
            if self.halt.is_asked() {
                return Ok(None);
            }
            if wait.is_over(&|| self.names(&missing)) {
                return Err(format!("gave up waiting for {} after {:?}{refused}", self.names(&missing), self.patience));
            }
            let Some((greeting, mut stream)) = next(arrivals) else { continue };
            let Greeting::Control { process, identity } = greeting else { continue };
            let why = match streams.get(process) {
                Some(_) if process == 0 => Some("this is process 0, and so am I: --process must differ".to_owned()),
                None => Some(format!("there is no process {process} in --hosts of process 0")),
                Some(Some(_)) => Some(format!("there is a process {process} already: --process must differ")),
                Some(None) => self.identity.difference(&identity),
            };
            match why {
                Some(why) => {
                    tracing::warn!(process, why, "a process was refused");
                    refused = format!("; the last process {process} that came was refused: {why}");
                    // It may be gone; then it does not matter.
                    let _ = answer(&mut stream, &Answer::Refused(why));
                }
                None => {
                    tracing::info!(process, at = self.hosts.of(process), "a process has come");
                    streams[process] = Some(stream);
                }
            }
        }
        for (process, stream) in streams.iter_mut().enumerate() {
            let Some(stream) = stream else { continue };
            answer(stream, &Answer::Welcome { run: run.to_owned() })
                .map_err(|why| format!("lost {}: {why}", self.hosts.name(process)))?;
        }
        Ok(Some((run.to_owned(), streams)))
    }

    /// The others: tell process 0 who they are and wait for its answer.
    fn report(&self) -> Result<Option<(String, Streams)>, String> {
        let leader = self.hosts.name(0);
        let mut wait = Wait::new(self.patience);
        let mut stream = loop {
            match dial(self.hosts.of(0)) {
                Ok(stream) => break stream,
                Err(_) if self.halt.is_asked() => return Ok(None),
                Err(why) if wait.is_over(&|| leader.clone()) => {
                    return Err(format!("cannot reach {leader} within {:?}: {why}", self.patience));
                }
                Err(_) => std::thread::sleep(LOOK),
            }
        };
        let greeting = Greeting::Control { process: self.process, identity: self.identity.clone() };
        let lost = |why: std::io::Error| format!("{leader} has ended before all processes were there: {why}");
        greet(&mut stream, &greeting).map_err(lost)?;
        // As long as process 0 waits: it knows for whom.
        stream.set_read_timeout(Some(LOOK)).map_err(lost)?;
        while stream.peek(&mut [0]).is_err_and(|error| is_timeout(&error)) {
            if self.halt.is_asked() {
                return Ok(None);
            }
        }
        stream.set_read_timeout(Some(PATIENCE)).map_err(lost)?;
        match frame::read(&mut stream, GREETING).map_err(lost)? {
            Answer::Refused(why) => Err(format!("{leader} has refused this process: {why}")),
            Answer::Welcome { run } => {
                let mut streams: Streams = (0..self.hosts.count()).map(|_| None).collect();
                streams[0] = Some(stream);
                Ok(Some((run, streams)))
            }
        }
    }

    /// Timely's connections: to those of lower numbers, from those of higher ones.
    fn connect(&self, arrivals: &Receiver<Arrival>, run: &str) -> Result<Option<Streams>, String> {
        let mut streams: Streams = (0..self.hosts.count()).map(|_| None).collect();
        for (process, slot) in streams.iter_mut().enumerate().take(self.process) {
            let greeting = Greeting::Data { process: self.process, run: run.to_owned() };
            let stream = dial(self.hosts.of(process)).and_then(|mut stream| {
                greet(&mut stream, &greeting)?;
                stream.set_write_timeout(None)?;
                Ok(stream)
            });
            *slot = Some(stream.map_err(|why| format!("cannot reach {}: {why}", self.hosts.name(process)))?);
        }
        let mut wait = Wait::new(self.patience);
        loop {
            let missing = (self.process + 1..streams.len()).filter(|process| streams[*process].is_none());
            let missing: Vec<usize> = missing.collect();
            if missing.is_empty() {
                return Ok(Some(streams));
            }
            if self.halt.is_asked() {
                return Ok(None);
            }
            if wait.is_over(&|| self.names(&missing)) {
                return Err(format!("{} did not connect within {:?}", self.names(&missing), self.patience));
            }
            if let Some((Greeting::Data { process, run: of }, stream)) = next(arrivals)
                && of == run
                && missing.contains(&process)
            {
                stream.set_read_timeout(None).map_err(|why| why.to_string())?;
                streams[process] = Some(stream);
            }
        }
    }

    fn names(&self, processes: &[usize]) -> String {
        processes.iter().map(|process| self.hosts.name(*process)).collect::<Vec<_>>().join(", ")
    }
}

type Streams = Vec<Option<TcpStream>>;
type Arrival = (Greeting, TcpStream);

/// A wait that says now and then for whom.
struct Wait {
    until: Instant,
    told: Instant,
}

impl Wait {
    fn new(patience: Duration) -> Self {
        Wait { until: Instant::now() + patience, told: Instant::now() }
    }

    fn is_over(&mut self, whom: &dyn Fn() -> String) -> bool {
        if self.told.elapsed() >= TELL {
            self.told = Instant::now();
            tracing::info!("waiting for {}", whom());
        }
        Instant::now() >= self.until
    }
}

/// Takes whoever connects, for as long as the process lives: who is not awaited any more learns it by the end of the
/// connection.
fn welcome(listener: TcpListener) -> Result<Receiver<Arrival>, String> {
    let (sender, arrivals) = unbounded();
    let accept = move || {
        for stream in listener.incoming().flatten() {
            let sender = sender.clone();
            // A thread each: one that says nothing keeps nobody waiting.
            let hearing = std::thread::Builder::new().name("greeting".to_owned()).spawn(move || hear(stream, &sender));
            if let Err(error) = hearing {
                tracing::warn!(%error, "cannot hear who connects");
            }
        }
    };
    let spawned = std::thread::Builder::new().name("accept".to_owned()).spawn(accept);
    spawned.map(|_| arrivals).map_err(|error| format!("cannot start a thread: {error}"))
}

fn hear(mut stream: TcpStream, arrivals: &Sender<Arrival>) {
    let mut magic = [0; MAGIC.len()];
    let heard = prepare(&stream)
        .and_then(|()| std::io::Read::read_exact(&mut stream, &mut magic))
        .and_then(|()| if magic == *MAGIC { frame::read(&mut stream, GREETING) } else { Err(stranger()) });
    match heard {
        Ok(greeting) => {
            // Nobody waits any more.
            if let Err(SendError((Greeting::Control { .. }, mut stream))) = arrivals.send((greeting, stream)) {
                let _ = answer(&mut stream, &Answer::Refused("all processes are there already".to_owned()));
            }
        }
        Err(error) => tracing::debug!(%error, "someone connected who is no process of a cluster"),
    }
}

fn stranger() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, "no greeting")
}

fn next(arrivals: &Receiver<Arrival>) -> Option<Arrival> {
    match arrivals.recv_timeout(LOOK) {
        Ok(arrival) => Some(arrival),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => {
            std::thread::sleep(LOOK);
            None
        }
    }
}

fn dial(address: &str) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()?.collect::<Vec<SocketAddr>>() {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    // Whoever waits for the others must notice that the machine at the other end has gone.
    let keepalive = TcpKeepalive::new().with_time(PATIENCE).with_interval(Duration::from_secs(1)).with_retries(5);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}

fn greet(stream: &mut TcpStream, greeting: &Greeting) -> std::io::Result<()> {
    prepare(stream)?;
    stream.write_all(MAGIC)?;
    frame::write(stream, greeting)?;
    stream.set_read_timeout(None)
}

fn answer(stream: &mut TcpStream, answer: &Answer) -> std::io::Result<()> {
    frame::write(stream, answer)
}

/// The other side has closed it. Nothing is said on it before the answer.
fn is_gone(stream: &TcpStream) -> bool {
    let look = || {
        stream.set_nonblocking(true)?;
        let seen = stream.peek(&mut [0]);
        stream.set_nonblocking(false)?;
        seen
    };
    !look().is_err_and(|error| is_timeout(&error))
}

fn is_timeout(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::engine::Wake;

    /// Addresses that nobody listens at.
    fn hosts(count: usize) -> Hosts {
        let free: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<String> = free.iter().map(|free| free.local_addr().unwrap().to_string()).collect();
        Hosts::read(&addresses.join(",")).unwrap()
    }

    fn join(hosts: &Hosts, process: usize, workers: usize, patience: u64) -> Result<Option<Joined>, String> {
        let identity = Identity::of(&Config::default(), hosts.count(), workers);
        let halt = Halt::new(Wake::default());
        let patience = Duration::from_secs(patience);
        Joining { hosts, process, identity, patience, halt: &halt }.join("a run")
    }

    #[test]
    fn all_find_each_other_in_any_order() {
        let hosts = hosts(4);
        let joined: Vec<Joined> = std::thread::scope(|scope| {
            let join = |process| {
                let hosts = &hosts;
                scope.spawn(move || join(hosts, process, 2, 20).unwrap().unwrap())
            };
            let joining: Vec<_> = [2, 1, 3, 0].map(join).into_iter().collect();
            let mut joined: Vec<Joined> = joining.into_iter().map(|one| one.join().unwrap()).collect();
            joined.swap(0, 3);
            joined.swap(2, 3);
            joined
        });
        for (process, one) in joined.iter().enumerate() {
            assert_eq!(one.run, "a run");
            for (other, stream) in one.data.iter().enumerate() {
                assert_eq!(stream.is_none(), other == process);
                let Some(stream) = stream else { continue };
                let back = joined[other].data[process].as_ref().unwrap();
                assert_eq!(stream.local_addr().unwrap(), back.peer_addr().unwrap());
            }
        }
    }

    #[test]
    fn one_that_differs_is_refused_and_another_may_come() {
        let (hosts, other) = (hosts(2), hosts(1));
        std::thread::scope(|scope| {
            let leader = scope.spawn(|| join(&hosts, 0, 2, 20));
            let refused = join(&hosts, 1, 3, 20).err().unwrap();
            assert!(refused.contains("has refused this process: another number of workers"), "{refused}");
            // At another address: the first one still listens.
            let elsewhere = Hosts::read(&format!("{},{}", hosts.of(0), other.of(0))).unwrap();
            assert!(join(&elsewhere, 1, 2, 20).unwrap().is_some());
            assert!(leader.join().unwrap().unwrap().is_some());
        });
    }

    #[test]
    fn who_waits_in_vain_says_for_whom() {
        let alone = hosts(2);
        let leader = join(&alone, 0, 1, 1).err().unwrap();
        assert!(leader.contains(&format!("gave up waiting for process 1 ({})", alone.of(1))), "{leader}");
        let other = join(&hosts(2), 1, 1, 1).err().unwrap();
        assert!(other.contains("cannot reach process 0"), "{other}");
    }
}
