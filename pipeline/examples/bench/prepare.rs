//! Topics for live play, and the missions that are read before it.

use std::time::Duration;

use datasets::generator::{GeneratorConfig, missions};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::{Value, json};

use crate::Outcome;
use crate::topics::{create, plain};

const PATIENCE: Duration = Duration::from_secs(30);

/// The game that the probes' mission waits for.
pub const PROBED_GAME: &str = "latency_probe";

#[derive(clap::Args)]
pub struct Prepare {
    /// Where the play will go.
    #[arg(long, value_name = "TOPIC")]
    topic: String,
    /// Where the definitions go.
    #[arg(long, value_name = "TOPIC")]
    missions_topic: String,
    /// Where completions will come from.
    #[arg(long, value_name = "TOPIC")]
    completions: String,
    /// Of each topic but the one of definitions.
    #[arg(long, value_name = "N", default_value_t = 4)]
    partitions: i32,
    /// Missions of the generated play, beside the one of the probes.
    #[arg(long, value_name = "N", default_value_t = 100)]
    missions: u32,
}

impl Prepare {
    pub fn run(self, brokers: &str) -> Outcome {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers);
        let topics = [
            // The broker stamps what it appends: that is where latency begins.
            plain(&self.topic, self.partitions).set("message.timestamp.type", "LogAppendTime"),
            plain(&self.missions_topic, 1).set("cleanup.policy", "compact"),
            plain(&self.completions, self.partitions),
        ];
        create(&config, &topics)?;
        let producer: ThreadedProducer<DefaultProducerContext> = config.set("enable.idempotence", "true").create()?;
        let mut definitions = missions(&GeneratorConfig { missions: self.missions, ..GeneratorConfig::default() });
        definitions.push(probed_mission());
        for (mission_id, definition) in &definitions {
            let record = BaseRecord::to(&self.missions_topic).key(mission_id).payload(definition);
            producer.send(record).map_err(|(error, _)| error)?;
        }
        producer.flush(PATIENCE)?;
        Ok(json!({"missions": definitions.len()}))
    }
}

/// Completed by one bet, once a day and player.
fn probed_mission() -> (String, String) {
    let id = "latency-probe".to_owned();
    let definition: Value = json!({
        "mission_id": id,
        "version": 1,
        "name": "Completed at once",
        "status": "active",
        "start": "2026-01-01T00:00:00Z",
        "end": "2100-01-01T00:00:00Z",
        "window": {"every": "day", "zone": "UTC"},
        "stages": [{
            "on": ["bet_placed"],
            "where": format!("game_id == '{PROBED_GAME}'"),
            "measure": {"kind": "count"},
            "target": "1",
        }],
        "reward": {"type": "points", "value": "1", "channels": ["push"]},
        "on_reversal": "revoke",
    });
    (id, definition.to_string())
}
