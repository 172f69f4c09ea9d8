//! One line of a replay's input (INTERFACE, `replay`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use datasets::mapping::Record;
use datasets::{Timestamp, TopicId, Topics};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The topic whose records only move the clock.
pub const CLOCK: &str = "$clock";

/// What a line may be read as.
pub struct Lines<'t> {
    /// The topics of sources, definitions and clock.
    pub topics: &'t Topics,
    /// Where a bare payload belongs: the first topic of the first source.
    pub bare: TopicId,
    /// The missions topic: a definition without a key has its mission's id as key.
    pub missions: Option<TopicId>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    topic: Option<Cow<'a, str>>,
    partition: Option<i32>,
    offset: Option<i64>,
    #[serde(borrow)]
    timestamp: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// `null` is a tombstone, absent is not.
    #[serde(default, borrow, deserialize_with = "present")]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    value_base64: Option<Cow<'a, str>>,
}

fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Lines<'_> {
    /// Hands the record on line `number` (from 0) to `take`.
    ///
    /// # Errors
    /// What is wrong with the line, for people. A payload that is wrong is not: that is for its decoder.
    pub fn record(&self, number: i64, text: &[u8], take: &mut dyn FnMut(&Record<'_>)) -> Result<(), String> {
        let line = match serde_json::from_slice::<Line<'_>>(text) {
            Ok(line) if line.topic.is_some() || line.value.is_some() || line.value_base64.is_some() => line,
            _ => {
                take(&Record {
                    topic: self.bare,
                    partition: 0,
                    offset: number,
                    timestamp: None,
                    key: None,
                    headers: &(),
                    value: Some(text),
                });
                return Ok(());
            }
        };
        let topic = match &line.topic {
            None => self.bare,
            Some(name) => self.topics.id(name).ok_or_else(|| format!("no source reads the topic {name:?}"))?,
        };
        let timestamp = line.timestamp.as_deref().map(str::parse::<Timestamp>).transpose();
        let timestamp = timestamp.map_err(|error| format!("\"timestamp\": {error}"))?;
        let value = line.payload()?;
        let mission = (line.key.is_none() && Some(topic) == self.missions).then(|| mission_id(value.as_deref()));
        let key = line.key.as_deref().or(mission.as_deref()).map(str::as_bytes);
        let headers: Vec<(&str, &str)> = line.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        take(&Record {
            topic,
            partition: line.partition.unwrap_or(0),
            offset: line.offset.unwrap_or(number),
            timestamp,
            key,
            headers: &headers,
            value: value.as_deref(),
        });
        Ok(())
    }
}

impl Line<'_> {
    /// The value's bytes: of a string its text, of anything else its JSON.
    fn payload(&self) -> Result<Option<Cow<'_, [u8]>>, String> {
        if let Some(encoded) = &self.value_base64 {
            let bytes = BASE64_STANDARD.decode(encoded.as_bytes());
            return bytes.map(|bytes| Some(Cow::Owned(bytes))).map_err(|error| format!("\"value_base64\": {error}"));
        }
        Ok(match self.value.map(RawValue::get) {
            None | Some("null") => None,
            Some(text) if text.starts_with('"') => {
                let text: String = serde_json::from_str(text).map_err(|error| format!("\"value\": {error}"))?;
                Some(Cow::Owned(text.into_bytes()))
            }
            Some(text) => Some(Cow::Borrowed(text.as_bytes())),
        })
    }
}

fn mission_id(definition: Option<&[u8]>) -> String {
    #[derive(Deserialize)]
    struct Named {
        mission_id: String,
    }
    let named = definition.and_then(|text| serde_json::from_slice::<Named>(text).ok());
    named.map(|named| named.mission_id).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (topic, partition, offset, timestamp, key, header `type`, value) as text.
    fn read(text: &str) -> Result<String, String> {
        let topics = Topics::new([CLOCK, "events", "missions"]);
        let (bare, missions) = (topics.id("events").expect("known"), topics.id("missions"));
        let mut seen = String::new();
        Lines { topics: &topics, bare, missions }.record(17, text.as_bytes(), &mut |record| {
            let shown = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            seen = format!(
                "{} {} {} {:?} {:?} {:?} {:?}",
                topics.name(record.topic),
                record.partition,
                record.offset,
                record.timestamp.map(|at| at.to_string()),
                shown(record.key),
                shown(record.headers.last("type")),
                shown(record.value)
            );
        })?;
        Ok(seen)
    }

    #[test]
    fn a_whole_record() {
        let line = r#"{"topic":"events","partition":3,"offset":9,"timestamp":"2026-06-01T10:00:00Z","key":"p","headers":{"type":"T"},"value":{"a":1}}"#;
        let expected = r#"events 3 9 Some("2026-06-01T10:00:00Z") Some("p") Some("T") Some("{\"a\":1}")"#;
        assert_eq!(read(line).as_deref(), Ok(expected));
    }

    #[test]
    fn what_may_be_absent() {
        assert_eq!(read(r#"{"value":"{broken"}"#).as_deref(), Ok(r#"events 0 17 None None None Some("{broken")"#));
        assert_eq!(read(r#"{"topic":"events","value":null}"#).as_deref(), Ok("events 0 17 None None None None"));
        assert_eq!(read(r#"{"value_base64":"/w=="}"#).map(|seen| seen.ends_with("Some(\"\u{fffd}\")")), Ok(true));
        let definition = r#"{"topic":"missions","value":{"mission_id":"m"}}"#;
        assert_eq!(read(definition).map(|seen| seen.contains(r#"None Some("m") None"#)), Ok(true));
    }

    #[test]
    fn anything_else_is_a_bare_payload() {
        for line in [r#"{"player_id":"p","timestamp":"x"}"#, "{", "[1]", r#"{"timestamp":5}"#] {
            assert_eq!(read(line), Ok(format!("events 0 17 None None None Some({line:?})")), "{line}");
        }
    }

    #[test]
    fn a_wrong_line_is_named() {
        for line in [
            r#"{"topic":"other","value":{}}"#,
            r#"{"topic":"events","timestamp":"noon","value":{}}"#,
            r#"{"topic":"events","value_base64":"*"}"#,
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
