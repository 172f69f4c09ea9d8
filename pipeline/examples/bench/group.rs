//! When a consumer group had committed everything, for programs other than Questline.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::json;

use crate::Outcome;
use crate::reader::bounds;

/// Between two looks: rare, since it shares the machine with what it watches.
const PAUSE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub struct Group {
    /// The group's name.
    #[arg(long)]
    group: String,
    /// What it reads.
    #[arg(long, value_name = "TOPIC", default_value = "events")]
    topic: String,
    /// How long it may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u64,
}

impl Group {
    /// The time until the group's offsets are at the ends that `topic` had, from the first commit that is seen to read events. What
    /// that one has is left out.
    pub fn run(self, brokers: &str) -> Outcome {
        let (starts, ends) = bounds(brokers, &self.topic)?;
        let group: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", brokers).set("group.id", &self.group).create()?;
        let all: i64 = starts.iter().zip(&ends).map(|(start, end)| end.offset - start.offset).sum();
        let began = Instant::now();
        let mut first = None;
        let (mut done, mut commits, mut failed) = (0, 0_u64, None);
        while began.elapsed() < Duration::from_secs(self.patience) {
            let mut asked = TopicPartitionList::new();
            for end in &ends {
                asked.add_partition(&self.topic, end.partition);
            }
            let committed = match group.committed_offsets(asked, PATIENCE) {
                Ok(committed) => committed,
                // The group's coordinator is not there yet, or not known: there is nothing of it either.
                Err(error) => {
                    failed = Some(error);
                    thread::sleep(PAUSE);
                    continue;
                }
            };
            let read = |(start, end): (&pipeline::source::Position, &pipeline::source::Position)| match committed
                .find_partition(&self.topic, end.partition)
                .map(|found| found.offset())
            {
                Some(Offset::Offset(offset)) => offset.min(end.offset) - start.offset,
                _ => 0,
            };
            let now: i64 = starts.iter().zip(&ends).map(read).sum();
            commits += u64::from(now > done);
            done = now;
            if done > 0 && first.is_none() {
                first = Some((Instant::now(), done));
            }
            if let Some((from, before)) = first.filter(|_| done == all) {
                let seconds = from.elapsed().as_secs_f64();
                return Ok(json!({"events": all - before, "commits_seen": commits, "seconds": seconds}));
            }
            thread::sleep(PAUSE);
        }
        let failed = failed.map(|error| format!("; last error: {error}")).unwrap_or_default();
        Err(format!("{done} of {all} records committed within {} s{failed}", self.patience).into())
    }
}
