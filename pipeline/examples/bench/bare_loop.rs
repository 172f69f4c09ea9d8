//! What any consumer has to do at least: take every record, and parse its payload.

use std::borrow::Cow;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use serde_json::json;

use crate::Outcome;
use crate::reader::{From, TopicReader};

/// Records of one batch.
const BATCH: usize = 10_000;

#[derive(clap::Args)]
pub struct BareLoop {
    /// What is read, from its beginning to its end of now.
    #[arg(long, value_name = "TOPIC", default_value = "events")]
    topic: String,
}

/// A text that is copied only where it holds escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The fields of an event that a consumer would want.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    player_id: Text<'a>,
    #[serde(borrow)]
    event_name: Text<'a>,
    #[serde(borrow)]
    timestamp: Text<'a>,
    #[serde(borrow)]
    event_id: Option<Text<'a>>,
    #[serde(borrow)]
    transaction_id: Option<Text<'a>>,
    #[serde(borrow)]
    reference_id: Option<Text<'a>>,
    #[serde(borrow)]
    currency: Option<Text<'a>>,
    #[serde(borrow)]
    game_type: Option<Text<'a>>,
    #[serde(borrow)]
    game_id: Option<Text<'a>>,
    #[serde(alias = "bet_amount", alias = "win_amount", alias = "payout", alias = "deposit_amount")]
    amount: Option<f64>,
}

impl Event<'_> {
    /// Bytes of its texts: every field is looked at, so that none is optimised away.
    fn bytes(&self) -> usize {
        let optional =
            [&self.event_id, &self.transaction_id, &self.reference_id, &self.currency, &self.game_type, &self.game_id];
        let required = [&self.player_id, &self.event_name, &self.timestamp];
        required.into_iter().chain(optional.into_iter().flatten()).map(|text| text.0.len()).sum()
    }
}

impl BareLoop {
    pub fn run(self, brokers: &str) -> Outcome {
        let started = Instant::now();
        let mut reader = TopicReader::open(brokers, &self.topic, From::Beginning)?;
        let records = reader.records();
        let opened = Instant::now();
        let (mut read, mut unparsed, mut bytes, mut amount) = (0_i64, 0_u64, 0_usize, 0.0);
        while read < records {
            let chunk = reader.poll(BATCH)?;
            for record in chunk.records() {
                read += 1;
                match sonic_rs::from_slice::<Event<'_>>(record.value().unwrap_or_default()) {
                    Ok(event) => {
                        bytes += event.bytes();
                        amount += event.amount.unwrap_or(0.0);
                    }
                    Err(_) => unparsed += 1,
                }
            }
        }
        let seconds = opened.elapsed().as_secs_f64();
        Ok(json!({
            "events": read,
            "unparsed": unparsed,
            "text_bytes": bytes,
            "amount": amount,
            "seconds": seconds,
            "cpu_micros": cpu_micros(),
            "connect_seconds": (opened - started).as_secs_f64(),
        }))
    }
}

/// CPU time of all threads of this process, in microseconds.
fn cpu_micros() -> i64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec * 1_000_000 + used.tv_nsec / 1000
}
