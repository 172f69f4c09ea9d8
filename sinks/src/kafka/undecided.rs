//! Notices transactions that the brokers have left undecided.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use super::client::reader;
use super::connection::{SharedContext, serve_events};
use super::{CommitterConfig, topics};
use crate::SinkError;

/// One question to the brokers waits this long for its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A partition in which whoever reads committed records does not get on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecided {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// The last stable offset: where the first transaction begins that is neither committed nor aborted.
    pub stable: i64,
    /// The end of the partition.
    pub end: i64,
}

/// Watches the output topics. The brokers decide a transaction within its timeout, so one that is open for twice as
/// long stays open: they have lost its markers, or another program keeps it open.
pub struct DecisionWatch {
    topics: Vec<String>,
    after: Duration,
    uncommitted: BaseConsumer<SharedContext>,
    committed: BaseConsumer<SharedContext>,
    /// By topic and partition: the stable offset below its end, since when it has not moved, and whether that was told.
    waiting: BTreeMap<(String, i32), (i64, Instant, bool)>,
}

impl DecisionWatch {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// [`SinkError::Rejected`] when the client refuses its properties.
    pub fn new(config: &CommitterConfig) -> Result<Self, SinkError> {
        let reader = |isolation| reader(&config.connection, &config.pipeline, isolation);
        Ok(DecisionWatch {
            topics: config.topics.all().map(str::to_owned).collect(),
            after: config.transaction_timeout * 2,
            uncommitted: reader("read_uncommitted")?,
            committed: reader("read_committed")?,
            waiting: BTreeMap::new(),
        })
    }

    /// Looks at every partition, and answers those that have not moved for twice the transaction timeout, each once.
    ///
    /// # Errors
    /// Brokers that do not answer.
    pub fn look(&mut self) -> Result<Vec<Undecided>, KafkaError> {
        let found = self.find();
        serve_events(&self.uncommitted);
        serve_events(&self.committed);
        Ok(self.judge(found?, Instant::now()))
    }

    /// Partitions whose stable offset is below their end.
    fn find(&self) -> Result<Vec<Undecided>, KafkaError> {
        let mut found = Vec::new();
        for topic in &self.topics {
            let partitions = topics::partitions(&self.uncommitted, topic, PATIENCE)?.unwrap_or(0);
            for partition in (0..).take(partitions) {
                // The end first: what is decided by then is below it.
                let (_, end) = self.uncommitted.fetch_watermarks(topic, partition, PATIENCE)?;
                let (_, stable) = self.committed.fetch_watermarks(topic, partition, PATIENCE)?;
                if stable < end {
                    found.push(Undecided { topic: topic.clone(), partition, stable, end });
                }
            }
        }
        Ok(found)
    }

    fn judge(&mut self, found: Vec<Undecided>, now: Instant) -> Vec<Undecided> {
        let mut before = std::mem::take(&mut self.waiting);
        let mut overdue = Vec::new();
        for one in found {
            let key = (one.topic.clone(), one.partition);
            let same = before.remove(&key).filter(|(stable, ..)| *stable == one.stable);
            let (_, since, was_told) = same.unwrap_or((one.stable, now, false));
            let is_due = now.duration_since(since) >= self.after;
            self.waiting.insert(key, (one.stable, since, was_told || is_due));
            if is_due && !was_told {
                overdue.push(one);
            }
        }
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::Connection;

    #[test]
    fn what_does_not_move_for_twice_the_timeout_is_told_once() {
        let mut config = CommitterConfig::new(Connection::new("127.0.0.1:1"), "acme", "run");
        config.transaction_timeout = Duration::from_secs(60);
        let mut watch = DecisionWatch::new(&config).unwrap();
        let at = |stable, end| Undecided { topic: "activity".into(), partition: 1, stable, end };
        let begin = Instant::now();
        let mut look = |found: &[Undecided], seconds| watch.judge(found.to_vec(), begin + Duration::from_secs(seconds));
        assert_eq!(look(&[at(5, 9)], 0), []);
        assert_eq!(look(&[at(7, 12)], 100), [], "it has moved");
        assert_eq!(look(&[at(7, 20)], 219), []);
        assert_eq!(look(&[at(7, 30)], 220), [at(7, 30)]);
        assert_eq!(look(&[at(7, 40)], 400), [], "told already");
        assert_eq!(look(&[], 430), []);
        assert_eq!(look(&[at(7, 50)], 460), [], "it was decided in between");
        assert_eq!(look(&[at(7, 50)], 580), [at(7, 50)]);
    }
}
