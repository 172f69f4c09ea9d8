//! How soon a completion is visible to a read_committed consumer, under steady play.
//!
//! Every so many events one is a probe: a bet of a player who plays nothing else, which completes a mission
//! at once. Events leave on a schedule that does not wait for anything, and a probe's latency counts
//! from its place in the schedule: a stall of producer or broker is part of it, never an excuse
//! (coordinated omission).

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use datasets::Timestamp;
use datasets::generator::{Generated, Generator, GeneratorConfig};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::json;

use crate::Outcome;
use crate::prepare::PROBED_GAME;
use crate::reader::{From, TopicReader, bounds};

/// By which the reader stands at the end of its topic when the first probe is sent.
const HEAD_START: Duration = Duration::from_secs(2);

/// How long the last completions may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a probe's key begins with.
const PROBE: &str = "probe_";

#[derive(clap::Args)]
pub struct Latency {
    /// Where the play goes. Its records carry the broker's time (`message.timestamp.type=LogAppendTime`).
    #[arg(long, value_name = "TOPIC")]
    topic: String,
    /// Where completions come from.
    #[arg(long, value_name = "TOPIC")]
    completions: String,
    /// Events per second.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    rate: u32,
    /// How long is measured.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u32,
    /// Before it: play that is not measured.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    warm_up: u32,
    /// One event in so many is a probe.
    #[arg(long, value_name = "N", default_value_t = 100)]
    probe_every: u64,
    /// Players of the play around the probes.
    #[arg(long, value_name = "P", default_value_t = 200_000)]
    players: u32,
}

/// Nanoseconds since the epoch of Unix, by probe.
pub type Times = HashMap<u64, i128>;

/// Nanoseconds by which an event may be sent early.
const TICK: i128 = 1_000_000;

impl Latency {
    pub fn run(self, brokers: &str) -> Outcome {
        let (_, ends) = bounds(brokers, &self.topic)?;
        let sender = Sender::new(brokers, &self.topic, ends.len())?;
        let (topic, awaited) = (self.completions.clone(), self.probes());
        let watch = Watch { brokers: brokers.to_owned(), topic, prefix: PROBE, awaited };
        let duration = Duration::from_secs(u64::from(self.warm_up + self.seconds));
        let reading = thread::Builder::new().name("probe".to_owned()).spawn(move || {
            watch.run(Instant::now() + HEAD_START + duration + PATIENCE).map_err(|error| error.to_string())
        })?;
        thread::sleep(HEAD_START);
        let (scheduled, late) = self.play(&sender)?;
        sender.flush(PATIENCE)?;
        let seen = reading.join().map_err(|_| "the reading thread panicked")??;
        // Not before: what it reads would take the cores that are measured.
        let appended = appended(TopicReader::open_at(brokers, &self.topic, &ends)?, scheduled.len())?;

        let first = u64::from(self.warm_up) * u64::from(self.rate) / self.probe_every;
        let since = |from: &Times| {
            let measured = from.iter().filter(|(probe, _)| **probe >= first);
            let mut all: Vec<i128> = measured.filter_map(|(probe, at)| Some(seen.get(probe)? - at)).collect();
            all.sort_unstable();
            quantiles(&all)
        };
        Ok(json!({
            "rate": self.rate,
            "seconds": self.seconds,
            "probes": self.probes() - first,
            "lost": scheduled.keys().filter(|probe| !seen.contains_key(probe)).count(),
            "sent_late_ms": millis(late),
            "from_schedule_ms": since(&scheduled),
            "from_append_ms": since(&appended),
        }))
    }

    fn events(&self) -> u64 {
        u64::from(self.rate) * u64::from(self.warm_up + self.seconds)
    }

    fn probes(&self) -> u64 {
        self.events() / self.probe_every
    }

    /// Sends on schedule. Returns the schedule of the probes, and by how many nanoseconds it was
    /// missed at worst.
    fn play(&self, sender: &Sender) -> Result<(Times, i128), Box<dyn std::error::Error>> {
        let start = Timestamp::from_micros(i64::try_from(wall() / 1000)?);
        let config = GeneratorConfig {
            events: self.events(),
            players: self.players,
            missions: 0,
            start: Timestamp::from_millis(start.millis()),
            span_micros: i64::from(self.warm_up + self.seconds) * 1_000_000,
            partitions: sender.partitions,
            ..GeneratorConfig::default()
        };
        let mut play = Generator::new(&config)?;
        let (mut scheduled, mut late) = (Times::new(), 0);
        let started = wall();
        for number in 0..self.events() {
            let due = started + i128::from(number) * 1_000_000_000 / i128::from(self.rate);
            // Once a millisecond: a sleep for each event would take the cores that are measured.
            let ahead = due - wall();
            if ahead > TICK {
                thread::sleep(Duration::from_nanos(u64::try_from(ahead)?));
            }
            late = late.max(wall() - due);
            if number % self.probe_every == self.probe_every - 1 {
                let probe = number / self.probe_every;
                scheduled.insert(probe, due);
                let player = format!("{PROBE}{probe}_{due}");
                sender.bet(probe, &Bet { player: &player, game: PROBED_GAME, at: due })?;
            } else if let Some(Generated { partition, key, value, .. }) = play.next() {
                sender.send(partition, &key, &value)?;
            }
        }
        Ok((scheduled, late))
    }
}

/// Waits for completions, as CRM would.
pub struct Watch {
    pub brokers: String,
    pub topic: String,
    /// What the keys of players begin with who are waited for; their numbers follow.
    pub prefix: &'static str,
    /// How many.
    pub awaited: u64,
}

impl Watch {
    /// The time at which each one's completion was seen, by number.
    pub fn run(self, deadline: Instant) -> Result<Times, Box<dyn std::error::Error>> {
        let mut reader = TopicReader::open(&self.brokers, &self.topic, From::End)?;
        let mut seen = Times::new();
        while seen.len() < usize::try_from(self.awaited)? && Instant::now() < deadline {
            let chunk = reader.poll(10_000)?;
            let now = wall();
            for number in chunk.records().filter_map(|record| number(record.key()?, self.prefix)) {
                seen.entry(number).or_insert(now);
            }
        }
        Ok(seen)
    }
}

/// When the broker appended the probes, in its whole milliseconds: read back when all is over.
fn appended(mut events: TopicReader, probes: usize) -> Result<Times, Box<dyn std::error::Error>> {
    let mut appended = Times::new();
    let mut heard = Instant::now();
    while appended.len() < probes {
        let chunk = events.poll(10_000)?;
        for record in chunk.records() {
            // There are millions between them.
            heard = Instant::now();
            let probe = record.key().and_then(|key| number(key, PROBE));
            if let (Some(probe), Some(at)) = (probe, record.timestamp()) {
                appended.insert(probe, i128::from(at.micros()) * 1000);
            }
        }
        if heard.elapsed() > PATIENCE {
            let found = appended.len();
            return Err(format!("{found} of {probes} probes are in the topic").into());
        }
    }
    Ok(appended)
}

/// Sends play.
pub struct Sender {
    producer: ThreadedProducer<DefaultProducerContext>,
    topic: String,
    partitions: u32,
}

impl Sender {
    pub fn new(brokers: &str, topic: &str, partitions: usize) -> Result<Self, Box<dyn std::error::Error>> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("linger.ms", "5")
            .set("compression.type", "lz4")
            .set("enable.idempotence", "true")
            .create()?;
        Ok(Sender { producer, topic: topic.to_owned(), partitions: u32::try_from(partitions)? })
    }

    fn send(&self, partition: i32, key: &str, value: &[u8]) -> Result<(), KafkaError> {
        let mut message = BaseRecord::to(&self.topic).partition(partition).key(key).payload(value);
        loop {
            match self.producer.send(message) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    thread::sleep(Duration::from_millis(1));
                    message = back;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// A bet of a player who plays nothing else.
    pub fn bet(&self, number: u64, Bet { player, game, at }: &Bet<'_>) -> Result<(), Box<dyn std::error::Error>> {
        let value = json!({
            "player_id": player,
            "event_id": player,
            "event_name": "bet_placed",
            "bet_amount": 1,
            "currency": "EUR",
            "game_type": "slots",
            "game_id": game,
            "timestamp": Timestamp::from_micros(i64::try_from(at / 1000)?),
            "transaction_id": player,
        });
        let partition = i32::try_from(number % u64::from(self.partitions))?;
        Ok(self.send(partition, player, value.to_string().as_bytes())?)
    }

    /// All that was sent is acknowledged.
    pub fn flush(&self, patience: Duration) -> Result<(), KafkaError> {
        self.producer.flush(patience)
    }
}

/// See [`Sender::bet`].
pub struct Bet<'a> {
    pub player: &'a str,
    pub game: &'a str,
    /// Nanoseconds since the epoch of Unix.
    pub at: i128,
}

/// The number in the key of a player who is waited for.
fn number(key: &[u8], prefix: &str) -> Option<u64> {
    std::str::from_utf8(key).ok()?.strip_prefix(prefix)?.split('_').next()?.parse().ok()
}

/// Nanoseconds since the epoch of Unix. The broker's clock is this one.
pub fn wall() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).unwrap_or(i128::MAX)
}

fn millis(nanos: i128) -> f64 {
    let micros = i32::try_from(nanos / 1000).unwrap_or(i32::MAX);
    f64::from(micros) / 1000.0
}

/// Of sorted nanoseconds, in milliseconds.
pub fn quantiles(sorted: &[i128]) -> serde_json::Value {
    let at = |per_mille: usize| sorted.get((sorted.len() * per_mille / 1000).min(sorted.len().saturating_sub(1)));
    let of = |per_mille| at(per_mille).map(|nanos| millis(*nanos));
    json!({"count": sorted.len(), "p50": of(500), "p90": of(900), "p99": of(990), "p999": of(999), "max": of(1000)})
}
