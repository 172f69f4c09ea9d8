//! Where generated records go: a replay file, or a broker behind the same trait.

use std::io::{self, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Generated, Generator, GeneratorConfig, GeneratorError, Tally, missions};
use crate::{Reason, Timestamp};

/// Takes records in order.
pub trait RecordSink {
    /// Why a record could not be taken.
    type Error;

    /// Takes the next record of `topic`.
    fn send(&mut self, topic: &str, record: Generated) -> Result<(), Self::Error>;
}

/// The topics that are fed.
#[derive(Clone, Copy, Debug)]
pub struct TopicNames<'a> {
    /// Play.
    pub events: &'a str,
    /// Mission definitions.
    pub missions: &'a str,
}

/// Why generating stopped.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError<E> {
    /// Nothing was generated: change the configuration.
    #[error(transparent)]
    Config(#[from] GeneratorError),
    /// The sink refused a record; those before it were taken.
    #[error("a generated record could not be written")]
    Sink(#[source] E),
}

/// Progress is reported once in so many events.
const PROGRESS_EVERY: u64 = 10_000;

/// Sends the mission definitions, then the play, and returns the generator's book. `progress` hears
/// from time to time how many events are out.
pub fn generate<S: RecordSink>(
    config: &GeneratorConfig,
    topics: TopicNames<'_>,
    sink: &mut S,
    mut progress: impl FnMut(u64),
) -> Result<Tally, GenerateError<S::Error>> {
    let mut generator = Generator::new(config)?;
    for (mission_id, definition) in missions(config) {
        let value = definition.into_bytes();
        let timestamp = Timestamp::from_millis(config.start.millis());
        let record = Generated { partition: 0, key: mission_id, timestamp, value, defect: None };
        sink.send(topics.missions, record).map_err(GenerateError::Sink)?;
    }
    for (done, record) in (1..).zip(&mut generator) {
        sink.send(topics.events, record).map_err(GenerateError::Sink)?;
        if done % PROGRESS_EVERY == 0 || done == config.events {
            progress(done);
        }
    }
    Ok(generator.tally())
}

/// Writes the lines that `questline replay` reads (INTERFACE, "replay").
pub struct JsonLines<W> {
    writer: W,
    /// Next offsets by topic and partition.
    offsets: Vec<(String, Vec<i64>)>,
}

/// One line.
#[derive(Serialize)]
struct Line<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: Timestamp,
    key: &'a str,
    #[serde(flatten)]
    value: LineValue<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum LineValue<'a> {
    #[serde(rename = "value")]
    Json(&'a RawValue),
    #[serde(rename = "value")]
    Text(&'a str),
    ValueBase64(String),
}

impl<W: Write> JsonLines<W> {
    /// Lines to `writer`, which should be buffered.
    pub fn new(writer: W) -> Self {
        JsonLines { writer, offsets: Vec::new() }
    }

    /// Flushes and hands the writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.writer.flush()?;
        Ok(self.writer)
    }

    fn next_offset(&mut self, topic: &str, partition: i32) -> i64 {
        let known = self.offsets.iter().position(|(name, _)| name == topic);
        let index = known.unwrap_or_else(|| {
            self.offsets.push((topic.to_owned(), Vec::new()));
            self.offsets.len() - 1
        });
        let next = &mut self.offsets[index].1;
        let partition = usize::try_from(partition).expect("partitions count from 0");
        if next.len() <= partition {
            next.resize(partition + 1, 0);
        }
        next[partition] += 1;
        next[partition] - 1
    }
}

impl<W: Write> RecordSink for JsonLines<W> {
    type Error = io::Error;

    fn send(&mut self, topic: &str, record: Generated) -> io::Result<()> {
        let value = match std::str::from_utf8(&record.value) {
            Err(_) => LineValue::ValueBase64(BASE64_STANDARD.encode(&record.value)),
            Ok(text) if record.defect == Some(Reason::NotJson) => LineValue::Text(text),
            Ok(text) => LineValue::Json(serde_json::from_str(text)?),
        };
        let offset = self.next_offset(topic, record.partition);
        let Generated { partition, key, timestamp, .. } = &record;
        let line = Line { topic, partition: *partition, offset, timestamp: *timestamp, key, value };
        serde_json::to_writer(&mut self.writer, &line)?;
        self.writer.write_all(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::Shares;
    use super::*;

    fn lines(config: &GeneratorConfig) -> (Vec<Value>, Tally) {
        let mut sink = JsonLines::new(Vec::new());
        let mut heard = Vec::new();
        let topics = TopicNames { events: "events", missions: "missions" };
        let tally = generate(config, topics, &mut sink, |done| heard.push(done)).unwrap();
        assert_eq!(heard.last(), Some(&config.events));
        let text = String::from_utf8(sink.finish().unwrap()).unwrap();
        (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), tally)
    }

    #[test]
    fn a_replay_file_has_definitions_first_and_offsets_without_gaps() {
        let shares = Shares { malformed: 20_000, ..Shares::default() };
        let config =
            GeneratorConfig { events: 12_345, missions: 3, partitions: 3, shares, ..GeneratorConfig::default() };
        let (lines, tally) = lines(&config);
        assert_eq!(lines.len(), 12_348);
        assert!(
            lines[..3].iter().all(|line| line["topic"] == "missions" && line["value"]["mission_id"] == line["key"])
        );
        let mut next = [0; 3];
        let (mut raw, mut base64) = (0, 0);
        for line in &lines[3..] {
            let partition = usize::try_from(line["partition"].as_u64().unwrap()).unwrap();
            assert_eq!(line["offset"], next[partition]);
            next[partition] += 1;
            raw += u64::from(line["value"].is_string());
            base64 += u64::from(line["value_base64"].is_string());
        }
        assert!(next.iter().all(|upper| *upper > 3000), "{next:?}");
        assert_eq!(Some(&raw), tally.dead_letters.get(&Reason::NotJson));
        assert_eq!(Some(&base64), tally.dead_letters.get(&Reason::InvalidUtf8));
    }

    #[test]
    fn a_line_is_what_replay_reads() {
        let mut sink = JsonLines::new(Vec::new());
        let record = |value: &[u8], defect| Generated {
            partition: 1,
            key: "p1".to_owned(),
            timestamp: Timestamp::from_millis(1_780_272_000_004),
            value: value.to_vec(),
            defect,
        };
        sink.send("events", record(b"{\"odds\":2.50}", None)).unwrap();
        sink.send("events", record(b"{\"odds", Some(Reason::NotJson))).unwrap();
        sink.send("events", record(b"\xff", Some(Reason::InvalidUtf8))).unwrap();
        assert_eq!(
            String::from_utf8(sink.finish().unwrap()).unwrap(),
            r#"{"topic":"events","partition":1,"offset":0,"timestamp":"2026-06-01T00:00:00.004Z","key":"p1","value":{"odds":2.50}}
{"topic":"events","partition":1,"offset":1,"timestamp":"2026-06-01T00:00:00.004Z","key":"p1","value":"{\"odds"}
{"topic":"events","partition":1,"offset":2,"timestamp":"2026-06-01T00:00:00.004Z","key":"p1","value_base64":"/w=="}
"#
        );
    }

    #[test]
    fn failures_say_where() {
        struct Full;
        impl RecordSink for Full {
            type Error = &'static str;
            fn send(&mut self, topic: &str, _: Generated) -> Result<(), &'static str> {
                if topic == "missions" { Ok(()) } else { Err("full") }
            }
        }
        let topics = TopicNames { events: "events", missions: "missions" };
        let failed = generate(&GeneratorConfig::default(), topics, &mut Full, |_| {});
        assert!(matches!(failed, Err(GenerateError::Sink("full"))));
        let nobody = GeneratorConfig { players: 0, ..GeneratorConfig::default() };
        let failed = generate(&nobody, topics, &mut Full, |_| {});
        assert!(matches!(failed, Err(GenerateError::Config(GeneratorError::NoPlayers))));
    }
}
