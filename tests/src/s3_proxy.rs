//! A proxy in front of an S3 server whose requests and answers get lost, by a seeded schedule.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::dice::Dice;
use crate::proxy::Listener;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Refused with this status; the server never sees it.
    Refused(u16),
    /// The connection is closed; the server never sees it.
    RequestLost,
    /// It takes effect, and the connection is closed.
    AnswerLost,
    /// It takes effect, and the answer is this status.
    AnswerReplaced(u16),
    /// It takes effect, and there is no answer until the client gives up.
    Silent,
    /// It takes effect, and the answer comes drop by drop.
    Slow,
    /// It takes effect, and the connection is closed in the middle of the answer.
    AnswerCut,
}

/// Faults of puts.
pub const OF_PUTS: [Fault; 9] = [
    Fault::Refused(500),
    Fault::Refused(503),
    Fault::Refused(409),
    Fault::RequestLost,
    Fault::AnswerLost,
    Fault::AnswerReplaced(500),
    Fault::AnswerReplaced(503),
    Fault::Silent,
    Fault::Slow,
];

/// Faults of everything else.
pub const OF_READS: [Fault; 6] =
    [Fault::Refused(500), Fault::Refused(503), Fault::RequestLost, Fault::Silent, Fault::Slow, Fault::AnswerCut];

/// See the module.
pub struct S3Proxy {
    listener: Listener,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    plan: Mutex<Plan>,
}

struct Plan {
    dice: Dice,
    /// Of a hundred requests, so many meet a fault.
    percent: u64,
    /// Listings say that there is nothing.
    hides_objects: bool,
    /// How often puts, and others, met each.
    met: BTreeMap<(bool, Fault), u32>,
}

struct Request {
    method: String,
    target: String,
    head: String,
    body: Vec<u8>,
}

impl S3Proxy {
    /// In front of `endpoint`, `http://host:port`.
    pub fn start(endpoint: &str, seed: u64, percent: u64) -> Self {
        let plan = Plan { dice: Dice(seed), percent, hides_objects: false, met: BTreeMap::new() };
        let upstream = endpoint.strip_prefix("http://").expect("plain HTTP").to_owned();
        let shared = Arc::new(Shared { upstream, plan: Mutex::new(plan) });
        let serving = shared.clone();
        // A connection that ends is what clients must live with.
        let listener = Listener::start(move |client| drop(serving.serve(&client)));
        S3Proxy { listener, shared }
    }

    /// What clients connect to.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.listener.address())
    }

    /// From now on, listings say that there is nothing.
    pub fn hide_objects(&self) {
        self.shared.plan.lock().unwrap().hides_objects = true;
    }

    /// How often puts met each fault.
    pub fn met_by_puts(&self) -> BTreeMap<Fault, u32> {
        let plan = self.shared.plan.lock().unwrap();
        plan.met.iter().filter(|((is_put, _), _)| *is_put).map(|((_, fault), times)| (*fault, *times)).collect()
    }

    /// How often other requests met a fault.
    pub fn met_by_reads(&self) -> u32 {
        let plan = self.shared.plan.lock().unwrap();
        plan.met.iter().filter(|((is_put, _), _)| !*is_put).map(|(_, times)| times).sum()
    }
}

impl Shared {
    /// One request; the client makes another connection for the next.
    fn serve(&self, mut client: &TcpStream) -> Result<()> {
        let request = Request::read(client)?;
        match self.fault_of(&request) {
            None => client.write_all(&self.answer_to(&request)?),
            Some(Fault::Refused(status)) => client.write_all(&plain(status, "")),
            Some(Fault::RequestLost) => Ok(()),
            Some(Fault::AnswerLost) => self.answer_to(&request).map(drop),
            Some(Fault::AnswerReplaced(status)) => {
                self.answer_to(&request)?;
                client.write_all(&plain(status, ""))
            }
            Some(Fault::Silent) => {
                self.answer_to(&request)?;
                // Until the client closes the connection.
                client.read(&mut [0]).map(drop)
            }
            Some(Fault::Slow) => {
                let answer = self.answer_to(&request)?;
                let drop_size = answer.len().div_ceil(10).max(1);
                answer.chunks(drop_size).try_for_each(|bytes| {
                    std::thread::sleep(Duration::from_millis(20));
                    client.write_all(bytes)
                })
            }
            Some(Fault::AnswerCut) => {
                let answer = self.answer_to(&request)?;
                client.write_all(&answer[..answer.len() * 2 / 3])
            }
        }
    }

    fn fault_of(&self, request: &Request) -> Option<Fault> {
        let mut plan = self.plan.lock().unwrap();
        if plan.dice.between(1, 100) > plan.percent {
            return None;
        }
        let is_put = request.method == "PUT";
        // All in turn: none is left out by chance.
        let faults: &[Fault] = if is_put { &OF_PUTS } else { &OF_READS };
        let met: u32 = plan.met.iter().filter(|((of_put, _), _)| *of_put == is_put).map(|(_, times)| times).sum();
        let fault = faults[usize::try_from(met).expect("a few") % faults.len()];
        *plan.met.entry((is_put, fault)).or_default() += 1;
        Some(fault)
    }

    fn answer_to(&self, request: &Request) -> Result<Vec<u8>> {
        if request.target.contains("list-type=2") && self.plan.lock().unwrap().hides_objects {
            let nothing = "<ListBucketResult><Name>lake</Name><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys>\
                           <IsTruncated>false</IsTruncated></ListBucketResult>";
            return Ok(plain(200, nothing));
        }
        let mut server = TcpStream::connect(&self.upstream)?;
        server.write_all(request.head.as_bytes())?;
        server.write_all(&request.body)?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

impl Request {
    /// Its head asks the server to close the connection after the answer.
    fn read(client: &TcpStream) -> Result<Self> {
        let mut reader = BufReader::new(client);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (mut head, mut length) = (line, 0);
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let (name, value) = header.split_once(':').unwrap_or((header.trim_end(), ""));
            match name.to_ascii_lowercase().as_str() {
                "" => break,
                "connection" => continue,
                "content-length" => length = value.trim().parse().expect("a length"),
                "transfer-encoding" | "expect" => panic!("a request with {header}"),
                _ => {}
            }
            head.push_str(&header);
        }
        let _ = write!(head, "connection: close\r\n\r\n");
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        Ok(Request { method, target, head, body })
    }
}

fn plain(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} Said\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
        .into_bytes()
}
