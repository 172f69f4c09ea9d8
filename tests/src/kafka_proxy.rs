//! A proxy in front of a broker that knows enough of Kafka's protocol to meddle with commits of transactions, and of
//! offsets.
//!
//! Clients that begin with its address stay with it: it puts its own port into the answers that name brokers.

use std::collections::HashMap;
use std::io::{Read, Result, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};

use crate::proxy::Listener;
use crate::stack::PATIENCE;

const METADATA: i16 = 3;
const OFFSET_COMMIT: i16 = 8;
const FIND_COORDINATOR: i16 = 10;
const END_TXN: i16 = 26;
const UNKNOWN_SERVER_ERROR: i16 = -1;

/// What becomes of the broker's answers to commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is closed instead.
    Lost,
    /// They say `UNKNOWN_SERVER_ERROR`.
    Unknown,
}

/// See the module.
pub struct KafkaProxy {
    listener: Listener,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    upstream: String,
    port: OnceLock<u16>,
    plan: Mutex<Plan>,
    changed: Condvar,
}

#[derive(Default)]
struct Plan {
    /// What happens to so many answers.
    faults: Option<(Fault, u32)>,
    /// So many commits of offsets fail.
    offsets_refused: u32,
    /// Commits are kept back.
    is_holding: bool,
    /// They will be, once the last fault was met.
    holds_after_faults: bool,
    held: u32,
}

/// A request whose answer is under way.
#[derive(Clone, Copy)]
struct Asked {
    api: i16,
    version: i16,
    /// It is a commit, and faults were called for when it was asked.
    may_fail: bool,
    is_refused: bool,
}

impl KafkaProxy {
    /// In front of the broker at `upstream`.
    pub fn start(upstream: &str) -> Self {
        let shared = Arc::new(Shared { upstream: upstream.to_owned(), ..Shared::default() });
        let serving = shared.clone();
        let listener = Listener::start(move |client| serving.clone().serve(client));
        shared.port.set(listener.address().port()).expect("set once");
        KafkaProxy { listener, shared }
    }

    /// What clients connect to.
    pub fn address(&self) -> String {
        self.listener.address().to_string()
    }

    /// So many answers meet `fault`, of those that decide about a commit which is asked for from now on.
    pub fn fail(&self, fault: Fault, times: u32) {
        self.shared.plan().faults = Some((fault, times));
    }

    /// The next commit gets through and its answer is lost; from then on commits are kept back, the same one's
    /// repetition too.
    pub fn lose_and_hold(&self) {
        let mut plan = self.shared.plan();
        plan.faults = Some((Fault::Lost, 1));
        plan.holds_after_faults = true;
    }

    /// How many answers are still to meet their fault.
    pub fn faults_left(&self) -> u32 {
        self.shared.plan().faults.map_or(0, |(_, left)| left)
    }

    /// From now on, so many commits of offsets go to another group, and their answers say `UNKNOWN_SERVER_ERROR`.
    pub fn refuse_offsets(&self, times: u32) {
        self.shared.plan().offsets_refused = times;
    }

    /// How many commits of offsets are still to be refused.
    pub fn refusals_left(&self) -> u32 {
        self.shared.plan().offsets_refused
    }

    /// From now on, commits do not get through.
    pub fn hold(&self) {
        self.shared.plan().is_holding = true;
    }

    /// Waits until a commit is held.
    pub fn await_held(&self) {
        let plan = self.shared.plan();
        let waited = self.shared.changed.wait_timeout_while(plan, PATIENCE, |plan| plan.held == 0).unwrap();
        assert!(!waited.1.timed_out(), "no commit came");
    }

    /// Lets commits through again.
    pub fn release(&self) {
        self.shared.plan().is_holding = false;
        self.shared.changed.notify_all();
    }
}

impl Drop for KafkaProxy {
    fn drop(&mut self) {
        self.release();
    }
}

impl Shared {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap()
    }

    fn serve(self: Arc<Self>, client: TcpStream) {
        let Ok(broker) = TcpStream::connect(&self.upstream) else {
            // Said at once: the listener holds on to the connection, so that letting go of it would not close it.
            let _ = client.shutdown(Shutdown::Both);
            return;
        };
        let _ = client.set_nodelay(true).and_then(|()| broker.set_nodelay(true));
        let asked = Arc::new(Mutex::new(HashMap::new()));
        let (Ok(to_client), Ok(from_broker)) = (client.try_clone(), broker.try_clone()) else { return };
        let answering = {
            let (shared, asked) = (self.clone(), asked.clone());
            std::thread::spawn(move || shared.answers(from_broker, to_client, &asked))
        };
        // Either end: then both are closed, and the other thread ends too.
        let _ = self.requests(&client, &broker, &asked);
        let _ = (client.shutdown(Shutdown::Both), broker.shutdown(Shutdown::Both));
        let _ = answering.join();
    }

    fn requests(
        &self,
        mut client: &TcpStream,
        mut broker: &TcpStream,
        asked: &Mutex<HashMap<i32, Asked>>,
    ) -> Result<()> {
        loop {
            let mut frame = read_frame(&mut client)?;
            let mut fields = Fields { bytes: &frame, at: 4 };
            let (api, version, correlation) = (fields.i16(), fields.i16(), fields.i32());
            let is_commit = api == END_TXN && is_commit(&mut fields, version);
            if is_commit {
                self.hold_back();
            }
            let may_fail = is_commit && self.faults_are_left();
            let is_refused = api == OFFSET_COMMIT && self.refuses_offsets();
            if is_refused {
                let group = last_of_group(&mut fields, version);
                frame[group] ^= 1;
            }
            asked.lock().unwrap().insert(correlation, Asked { api, version, may_fail, is_refused });
            broker.write_all(&frame)?;
        }
    }

    fn hold_back(&self) {
        let mut plan = self.plan();
        if plan.is_holding {
            plan.held += 1;
            self.changed.notify_all();
            let mut plan = self.changed.wait_while(plan, |plan| plan.is_holding).unwrap();
            plan.held -= 1;
        }
    }

    fn answers(&self, mut broker: TcpStream, mut client: TcpStream, asked: &Mutex<HashMap<i32, Asked>>) {
        while let Ok(mut frame) = read_frame(&mut broker) {
            let correlation = Fields { bytes: &frame, at: 4 }.i32();
            let asked = asked.lock().unwrap().remove(&correlation).expect("answers follow requests");
            if !self.meddle(asked, &mut frame) || client.write_all(&frame).is_err() {
                break;
            }
        }
        let _ = (client.shutdown(Shutdown::Both), broker.shutdown(Shutdown::Both));
    }

    /// Whether the answer goes on to the client.
    fn meddle(&self, Asked { api, version, may_fail, is_refused }: Asked, frame: &mut [u8]) -> bool {
        match api {
            METADATA | FIND_COORDINATOR => {
                let port = i32::from(*self.port.get().expect("set at the start")).to_be_bytes();
                let places =
                    if api == METADATA { broker_ports(frame, version) } else { coordinator_port(frame, version) };
                places.into_iter().for_each(|at| frame[at..at + 4].copy_from_slice(&port));
            }
            // The error is behind size, correlation id and throttle time.
            END_TXN if may_fail && !is_asked_again(frame[12..14].try_into().expect("two bytes")) => {
                match self.next_fault() {
                    Some(Fault::Lost) => return false,
                    Some(Fault::Unknown) => frame[12..14].copy_from_slice(&UNKNOWN_SERVER_ERROR.to_be_bytes()),
                    None => {}
                }
            }
            OFFSET_COMMIT if is_refused => {
                let code = UNKNOWN_SERVER_ERROR.to_be_bytes();
                offset_errors(frame, version).into_iter().for_each(|at| frame[at..at + 2].copy_from_slice(&code));
            }
            _ => {}
        }
        true
    }

    fn refuses_offsets(&self) -> bool {
        let mut plan = self.plan();
        let refuses = plan.offsets_refused > 0;
        plan.offsets_refused -= u32::from(refuses);
        refuses
    }

    fn faults_are_left(&self) -> bool {
        self.plan().faults.is_some_and(|(_, left)| left > 0)
    }

    fn next_fault(&self) -> Option<Fault> {
        let mut plan = self.plan();
        let (fault, left) = plan.faults.as_mut().filter(|(_, left)| *left > 0)?;
        *left -= 1;
        let (fault, is_last) = (*fault, *left == 0);
        plan.is_holding |= is_last && std::mem::take(&mut plan.holds_after_faults);
        Some(fault)
    }
}

/// An error upon which a client asks the same again, since nothing has happened: a load in progress, no coordinator, another one, or the transaction before.
fn is_asked_again(error: [u8; 2]) -> bool {
    matches!(i16::from_be_bytes(error), 14..=16 | 51)
}

/// Size and all.
fn read_frame(stream: &mut impl Read) -> Result<Vec<u8>> {
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let length = usize::try_from(i32::from_be_bytes(size)).expect("frames have a length");
    let mut frame = vec![0; 4 + length];
    frame[..4].copy_from_slice(&size);
    stream.read_exact(&mut frame[4..])?;
    Ok(frame)
}

/// An `EndTxn` request, behind its correlation id.
fn is_commit(fields: &mut Fields<'_>, version: i16) -> bool {
    assert!(version <= 2, "EndTxn {version} has another layout");
    fields.text(); // the client's id
    fields.text(); // the transaction's
    fields.at += 8 + 2;
    fields.u8() == 1
}

/// Where a `Metadata` answer has the ports of brokers.
fn broker_ports(frame: &[u8], version: i16) -> Vec<usize> {
    let is_compact = version >= 9;
    let mut fields = Fields { bytes: frame, at: 8 };
    fields.at += usize::from(is_compact) + if version >= 3 { 4 } else { 0 };
    let brokers = fields.count(is_compact);
    let ports = (0..brokers).map(|_| {
        fields.at += 4;
        fields.text_of(is_compact);
        let port = fields.at;
        fields.at += 4;
        if version >= 1 {
            fields.text_of(is_compact);
        }
        fields.at += usize::from(is_compact);
        port
    });
    ports.collect()
}

/// Where an `OffsetCommit` request, behind its correlation id, has the last byte of the group's name.
fn last_of_group(fields: &mut Fields<'_>, version: i16) -> usize {
    let is_compact = version >= 8;
    fields.text(); // the client's id
    fields.at += usize::from(is_compact);
    fields.text_of(is_compact);
    fields.at - 1
}

/// Where an `OffsetCommit` answer has its error codes.
fn offset_errors(frame: &[u8], version: i16) -> Vec<usize> {
    let is_compact = version >= 8;
    let mut fields = Fields { bytes: frame, at: 8 };
    fields.at += usize::from(is_compact) + if version >= 3 { 4 } else { 0 };
    let mut errors = Vec::new();
    for _ in 0..fields.count(is_compact) {
        fields.text_of(is_compact);
        for _ in 0..fields.count(is_compact) {
            fields.at += 4;
            errors.push(fields.at);
            fields.at += 2 + usize::from(is_compact);
        }
        fields.at += usize::from(is_compact);
    }
    errors
}

/// Where a `FindCoordinator` answer has the port.
fn coordinator_port(frame: &[u8], version: i16) -> Vec<usize> {
    assert!(version <= 2, "FindCoordinator {version} has another layout");
    let mut fields = Fields { bytes: frame, at: 8 };
    fields.at += if version >= 1 { 4 } else { 0 } + 2;
    if version >= 1 {
        fields.text();
    }
    fields.at += 4;
    fields.text();
    vec![fields.at]
}

/// Reads a frame's fields one after the other.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        self.at += N;
        self.bytes[self.at - N..self.at].try_into().expect("as many as asked for")
    }

    fn u8(&mut self) -> u8 {
        u8::from_be_bytes(self.take())
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take())
    }

    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take())
    }

    fn varint(&mut self) -> usize {
        let byte = usize::from(self.u8());
        if byte < 128 { byte } else { byte - 128 + (self.varint() << 7) }
    }

    /// How many elements follow.
    fn count(&mut self, is_compact: bool) -> usize {
        if is_compact { self.varint() - 1 } else { usize::try_from(self.i32()).expect("a number") }
    }

    /// Passes a text, which may be null.
    fn text(&mut self) {
        self.at += usize::try_from(self.i16()).unwrap_or(0);
    }

    fn text_of(&mut self, is_compact: bool) {
        if is_compact {
            self.at += self.varint().saturating_sub(1);
        } else {
            self.text();
        }
    }
}
