//! `questline dead-letters`: what was refused, and giving it in again.
//!
//! A letter's name is where it is on its topic: `partition:offset`. It stays as long as the topic keeps the message.
//! What is given in again is the record itself, from the topic that it was refused from, since a letter has neither
//! its key nor its headers, and its text is redacted. It goes to the same partition, where its key belongs.

mod fetch;
mod replay;

use std::fmt;
use std::str::FromStr;

use datasets::Reason;
use datasets::rows::DeadLetterRow;
use datasets::time::Date;
use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};
use sinks::kafka::Connection;

use crate::config::{Config, KafkaConfig};
use crate::source::{ConsumerConfig, KafkaCluster, Record, read_whole_topic};
use fetch::Fetcher;
pub use replay::{Planned, Replayed};

/// The name of a letter: its place on the topic of dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LetterId {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

impl FromStr for LetterId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} names no dead letter: write partition:offset, as `dead-letters list` does");
        let (partition, offset) = text.split_once(':').ok_or_else(wrong)?;
        let partition: i32 = partition.parse().map_err(|_| wrong())?;
        let offset: i64 = offset.parse().map_err(|_| wrong())?;
        if partition < 0 || offset < 0 { Err(wrong()) } else { Ok(LetterId { partition, offset }) }
    }
}

impl Serialize for LetterId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A message of the topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Letter {
    /// Its name.
    pub id: LetterId,
    /// What it says.
    #[serde(flatten)]
    pub row: DeadLetterRow,
}

/// Which letters.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Any of these; all without one.
    pub reasons: Vec<Reason>,
    /// The UTC day on which the record was ingested.
    pub date: Option<Date>,
}

impl Filter {
    fn takes(&self, row: &DeadLetterRow) -> bool {
        let is_of_reason = self.reasons.is_empty() || self.reasons.contains(&row.reason);
        is_of_reason && self.date.is_none_or(|date| row.ingest_time.date(&TimeZone::UTC) == date)
    }
}

/// The topic of dead letters of a pipeline, within reach.
pub struct DeadLetters<'a> {
    config: &'a Config,
    connection: Connection,
    topic: String,
    cluster: KafkaCluster,
}

impl<'a> DeadLetters<'a> {
    /// Reaches the brokers.
    ///
    /// # Errors
    /// Brokers that do not answer within the startup timeout.
    pub fn connect(config: &'a Config, kafka: &KafkaConfig) -> Result<Self, String> {
        let connection = crate::run::connection(kafka);
        let cluster = KafkaCluster::connect(&connection, &ConsumerConfig::new(&config.pipeline.name));
        let cluster = cluster.map_err(|error| crate::chain(&error))?;
        Ok(DeadLetters { config, connection, topic: kafka.topics.dead_letters.clone(), cluster })
    }

    /// The letters that `filter` takes, in the order of ingestion.
    ///
    /// # Errors
    /// A topic that cannot be read, or holds something else.
    pub fn list(&self, filter: &Filter) -> Result<Vec<Letter>, String> {
        let mut letters = Vec::new();
        read_whole_topic(&self.connection, (&self.config.pipeline.name, &self.topic), &self.cluster, |record| {
            let letter = self.letter(record)?;
            letters.extend(Some(letter).filter(|letter| filter.takes(&letter.row)));
            Ok(())
        })?;
        letters.sort_by_key(|letter| (letter.row.ingest_time, letter.id));
        Ok(letters)
    }

    /// The letter of this name.
    ///
    /// # Errors
    /// One that is not there, or not any more.
    pub fn show(&self, id: LetterId) -> Result<Letter, String> {
        let mut fetcher = self.fetcher();
        let letter = fetcher.fetch(&self.topic, (id.partition, id.offset), |record| self.letter(record))?;
        letter.unwrap_or_else(|| Err(format!("there is no dead letter {id} on {}, or not any more", self.topic)))
    }

    fn letter(&self, record: &Record<'_>) -> Result<Letter, String> {
        let id = LetterId { partition: record.partition(), offset: record.offset() };
        let row = serde_json::from_slice(record.value().unwrap_or_default());
        let row = row.map_err(|error| format!("{} {id} is no dead letter: {error}", self.topic))?;
        Ok(Letter { id, row })
    }

    fn fetcher(&self) -> Fetcher<'_> {
        Fetcher::new(&self.connection, &self.config.pipeline.name, &self.cluster)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_named_by_its_place() {
        let id: LetterId = "3:4711".parse().unwrap();
        assert_eq!((id.partition, id.offset, id.to_string().as_str()), (3, 4711, "3:4711"));
        for wrong in ["", "3", "3:", ":1", "a:1", "-1:1", "1:-1", "1:2:3"] {
            let error = wrong.parse::<LetterId>().unwrap_err();
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
        }
    }
}
