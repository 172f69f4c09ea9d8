//! When a pipeline had committed everything, by the log that it commits.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use pipeline::source::SourceError;
use serde_json::json;
use sinks::kafka::Decoder;

use crate::Outcome;
use crate::reader::{From, TopicReader};

/// Between two looks: rare, since it shares the machine with what it watches.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(clap::Args)]
pub struct Commits {
    /// The pipeline's name.
    #[arg(long)]
    pipeline: String,
    /// What it reads.
    #[arg(long, value_name = "TOPIC", default_value = "events")]
    topic: String,
    /// How long it may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u64,
}

impl Commits {
    /// The time from the first record of the log, which the pipeline writes before it reads any event,
    /// to the one with which everything that `topic` held is committed.
    pub fn run(self, brokers: &str) -> Outcome {
        let events = TopicReader::open(brokers, &self.topic, From::End)?;
        let mut missing: BTreeMap<i32, i64> =
            events.ends.iter().map(|end| (end.partition, end.offset)).filter(|(_, end)| *end > 0).collect();
        let deadline = Instant::now() + Duration::from_secs(self.patience);
        let mut log = self.open_log(brokers, deadline)?;
        let mut decoder = Decoder::new(&self.pipeline);
        let (mut first, mut epochs, mut reading_epochs) = (None, 0_u64, 0_u64);
        while Instant::now() < deadline {
            let chunk = log.poll(10_000)?;
            for record in chunk.records() {
                let at = record.timestamp().ok_or("a progress record without a timestamp")?;
                let first = *first.get_or_insert(at);
                let Some(progress) = decoder.read(record.value().unwrap_or_default())? else { continue };
                epochs += 1;
                reading_epochs += u64::from(progress.epoch == 0 || !progress.bindings.is_empty());
                for binding in progress.bindings.iter().filter(|binding| *binding.topic == *self.topic) {
                    if missing.get(&binding.partition).is_some_and(|end| *end <= binding.upper) {
                        missing.remove(&binding.partition);
                    }
                }
                if missing.is_empty() {
                    let millis = at.millis() - first.millis();
                    let seconds = Duration::from_millis(u64::try_from(millis)?).as_secs_f64();
                    return Ok(json!({
                        "events": events.records(),
                        "epochs": epochs,
                        "reading_epochs": reading_epochs,
                        "seconds": seconds,
                    }));
                }
            }
            thread::sleep(PAUSE);
        }
        Err(format!("not committed within {} s: {missing:?}", self.patience).into())
    }

    fn open_log(&self, brokers: &str, deadline: Instant) -> Result<TopicReader, SourceError> {
        let topic = format!("{}-progress", self.pipeline);
        loop {
            match TopicReader::open(brokers, &topic, From::Beginning) {
                Err(SourceError::NoTopic(_)) if Instant::now() < deadline => thread::sleep(PAUSE),
                opened => return opened,
            }
        }
    }
}
