//! `questline generate`

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use datasets::Timestamp;
use datasets::generator::{GenerateError, GeneratorConfig, JsonLines, RecordSink, TopicNames, generate};

use super::Failure;
use super::show::{Progress, thousands};
use crate::kafka_feed::KafkaFeed;

#[derive(Debug, clap::Args)]
pub(super) struct Generate {
    /// Events, whatever they are: duplicates and malformed ones are among them.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    events: u64,
    /// Players who may turn up.
    #[arg(long, value_name = "P", default_value_t = 10_000)]
    players: u32,
    /// Mission definitions, written before the play.
    #[arg(long, value_name = "M", default_value_t = 20)]
    missions: u32,
    /// Equal arguments give equal bytes.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// The first ingest time; by default the first of June 2026.
    #[arg(long, value_name = "TIME")]
    start: Option<Timestamp>,
    /// Seconds from the first ingest time to the last.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    span: u32,
    /// `kafka`, a file of JSON lines for `questline replay`, or - for standard output.
    #[arg(long, value_name = "TO", default_value = "-")]
    to: String,
    /// With `--to kafka`: the brokers.
    #[arg(long, value_name = "HOST:PORT", env = "QUESTLINE_BROKERS", required_if_eq("to", "kafka"))]
    brokers: Option<String>,
    /// The topic of events.
    #[arg(long, value_name = "TOPIC", default_value = "events")]
    topic: String,
    /// The topic of mission definitions.
    #[arg(long, value_name = "TOPIC", default_value = "missions")]
    missions_topic: String,
    /// Partitions of the topic of events; with `--to kafka`, of the topic that is created if it is missing.
    #[arg(long, value_name = "N", default_value_t = 1)]
    partitions: u32,
}

impl Generate {
    pub(super) fn run(self) -> Result<(), Failure> {
        super::log("warn");
        let defaults = GeneratorConfig::default();
        let config = GeneratorConfig {
            events: self.events,
            players: self.players,
            missions: self.missions,
            seed: self.seed,
            start: self.start.unwrap_or(defaults.start),
            span_micros: i64::from(self.span) * 1_000_000,
            partitions: self.partitions,
            ..defaults
        };
        match (self.to.as_str(), &self.brokers) {
            ("kafka", Some(brokers)) => {
                let mut kafka = KafkaFeed::connect(brokers, &self.topic, &self.missions_topic, self.partitions)?;
                self.feed(&config, &mut kafka)?;
                kafka.finish().map_err(Failure::Failed)
            }
            ("-", _) => self.to_lines(&config, io::stdout().lock()),
            (path, _) => {
                let about = |error: io::Error| Failure::Invalid(vec![format!("{path}: {error}")]);
                let file = File::create(PathBuf::from(path)).map_err(about)?;
                self.to_lines(&config, file)
            }
        }
    }

    fn to_lines(&self, config: &GeneratorConfig, writer: impl Write) -> Result<(), Failure> {
        let mut lines = JsonLines::new(BufWriter::with_capacity(1 << 20, writer));
        let written = self.feed(config, &mut lines);
        let finished = lines.finish().map(drop).map_err(|error| Failure::Failed(format!("{}: {error}", self.to)));
        match written.and(finished) {
            // Whoever reads our output has had enough, such as `head`.
            Err(Failure::Failed(message)) if self.to == "-" && message.contains("Broken pipe") => Ok(()),
            result => result,
        }
    }

    fn feed<S: RecordSink>(&self, config: &GeneratorConfig, sink: &mut S) -> Result<(), Failure>
    where
        S::Error: std::error::Error + 'static,
    {
        let progress = Progress::events(config.events);
        let topics = TopicNames { events: &self.topic, missions: &self.missions_topic };
        let done = generate(config, topics, sink, progress.position());
        progress.finish();
        let tally = done.map_err(|error| match error {
            GenerateError::Config(error) => Failure::Invalid(vec![error.to_string()]),
            GenerateError::Sink(_) => Failure::Failed(crate::chain(&error)),
        })?;
        eprintln!(
            "{} events: {} to be accepted, {} duplicates, {} refused",
            thousands(tally.events),
            thousands(tally.accepted()),
            thousands(tally.duplicates),
            thousands(tally.refused())
        );
        Ok(())
    }
}
