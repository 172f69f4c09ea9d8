//! How soon a change of a definition has its effect: missions of two bets, of which a player has one, are edited to ask for one. That
//! completes the player at once, and what is measured is from the sending of the edit until a read_committed consumer has the completion.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;

use crate::Outcome;
use crate::latency::{Bet, Sender, Times, Watch, quantiles, wall};
use crate::reader::bounds;

/// How long the last completions may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the key of a player begins with who has one bet of two.
const EDITED: &str = "edited_";

#[derive(clap::Args)]
pub struct Edits {
    /// Where bets go.
    #[arg(long, value_name = "TOPIC")]
    topic: String,
    /// Where definitions go.
    #[arg(long, value_name = "TOPIC")]
    missions_topic: String,
    /// Where completions come from.
    #[arg(long, value_name = "TOPIC")]
    completions: String,
    /// How many edits.
    #[arg(long, value_name = "N", default_value_t = 100)]
    edits: u32,
    /// Before the first: the missions and their bets have been read by then.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    warm_up: u32,
    /// In which they are spread evenly.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u32,
}

impl Edits {
    pub fn run(self, brokers: &str) -> Outcome {
        let (_, ends) = bounds(brokers, &self.topic)?;
        let definitions: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", brokers).set("linger.ms", "0").create()?;
        let define = |edit: u32, version: u32, target: u32| -> Result<(), Box<dyn std::error::Error>> {
            let (key, text) = (mission(edit), definition(edit, version, target));
            definitions
                .send(BaseRecord::to(&self.missions_topic).key(&key).payload(&text))
                .map_err(|(error, _)| error)?;
            Ok(definitions.flush(PATIENCE)?)
        };
        for edit in 0..self.edits {
            define(edit, 1, 2)?;
        }
        let sender = Sender::new(brokers, &self.topic, ends.len())?;
        for edit in 0..self.edits {
            let (key, at) = (format!("{EDITED}{edit}_{}", wall()), wall());
            sender.bet(u64::from(edit), &Bet { player: &key, game: &mission(edit), at })?;
        }
        sender.flush(PATIENCE)?;

        let started = Instant::now() + Duration::from_secs(u64::from(self.warm_up));
        let seconds = Duration::from_secs(u64::from(self.seconds));
        let (brokers, topic) = (brokers.to_owned(), self.completions.clone());
        let watch = Watch { brokers, topic, prefix: EDITED, awaited: u64::from(self.edits) };
        let reading = thread::Builder::new()
            .name("edited".to_owned())
            .spawn(move || watch.run(started + seconds + PATIENCE).map_err(|error| error.to_string()))?;
        let mut sent = Times::new();
        for edit in 0..self.edits {
            thread::sleep((started + seconds * edit / self.edits).saturating_duration_since(Instant::now()));
            sent.insert(u64::from(edit), wall());
            define(edit, 2, 1)?;
        }
        let seen = reading.join().map_err(|_| "the reading thread panicked")??;
        let mut all: Vec<i128> = sent.iter().filter_map(|(edit, at)| Some(seen.get(edit)? - at)).collect();
        all.sort_unstable();
        Ok(json!({"edits": self.edits, "lost": sent.len() - all.len(), "from_sent_ms": quantiles(&all)}))
    }
}

fn mission(edit: u32) -> String {
    format!("edited-{edit}")
}

fn definition(edit: u32, version: u32, target: u32) -> String {
    let id = mission(edit);
    let definition = json!({
        "mission_id": id,
        "version": version,
        "name": "Edited to be completed",
        "status": "active",
        "start": "2026-01-01T00:00:00Z",
        "end": "2100-01-01T00:00:00Z",
        "stages": [{
            "on": ["bet_placed"],
            "where": format!("game_id == '{id}'"),
            "measure": {"kind": "count"},
            "target": target.to_string(),
        }],
        "reward": {"type": "points", "value": "1", "channels": ["push"]},
    });
    definition.to_string()
}
