//! The missions topic: what is on it, and putting definitions there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use datasets::Timestamp;
use datasets::mission::Mission;
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use serde::Serialize;

use super::Definition;
use crate::config::{Config, KafkaConfig};
use crate::source::{ConsumerConfig, KafkaCluster, read_whole_topic};

/// How long the brokers may take to acknowledge.
const PATIENCE: Duration = Duration::from_secs(60);

/// The last record of a mission on the topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Current {
    /// The record's key.
    pub mission_id: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// The record's timestamp: since when it is in force.
    pub since: Option<Timestamp>,
    /// The definition; absent: a tombstone.
    pub text: Option<String>,
    /// What is wrong with it: then the version before it is in force, if there was one.
    pub errors: Vec<String>,
}

/// What became of a definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// The mission.
    pub mission_id: String,
    /// The definition's version.
    pub version: i64,
    /// The version that was on the topic.
    pub before: Option<i64>,
    /// Where it is now, as (partition, offset); absent: the topic had the same definition already.
    pub place: Option<(i32, i64)>,
}

/// The last record of every mission, by id.
///
/// # Errors
/// Brokers or a topic that cannot be reached, for people.
pub fn list(config: &Config, kafka: &KafkaConfig) -> Result<Vec<Current>, String> {
    let connection = crate::run::connection(kafka);
    let (group, topic) = (config.pipeline.name.as_str(), config.missions.topic.as_str());
    let cluster = KafkaCluster::connect(&connection, &ConsumerConfig::new(group));
    let cluster = cluster.map_err(|error| crate::chain(&error))?;
    let defaults = config.mission_defaults();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut last: BTreeMap<String, Current> = BTreeMap::new();
    read_whole_topic(&connection, (group, topic), &cluster, |record| {
        let mission_id = record.key().map(text).unwrap_or_default();
        let (partition, offset, since) = (record.partition(), record.offset(), record.timestamp());
        let text = record.value().map(text);
        let parsed = text.as_deref().map(|text| Mission::parse(&mission_id, text, &defaults));
        let errors = parsed.and_then(Result::err).unwrap_or_default();
        let errors = errors.iter().map(ToString::to_string).collect();
        last.insert(mission_id.clone(), Current { mission_id, partition, offset, since, text, errors });
        Ok(())
    })?;
    Ok(last.into_values().collect())
}

/// Puts definitions on the topic, but for those that are there already, and waits until the brokers have them.
///
/// # Errors
/// Brokers or a topic that cannot be reached, what was not acknowledged; and definitions that would close a cycle with those on
/// the topic: then none is sent.
pub fn apply(config: &Config, kafka: &KafkaConfig, definitions: &[Definition]) -> Result<Vec<Applied>, String> {
    let all = list(config, kafka)?;
    let defaults = config.mission_defaults();
    let on_topic =
        all.iter().filter_map(|known| Mission::parse(&known.mission_id, known.text.as_deref()?, &defaults).ok());
    let on_topic: BTreeMap<_, _> = on_topic.map(|mission| (mission.mission_id.clone(), mission)).collect();
    super::check_cycles(definitions, |id| on_topic.get(id).cloned())?;
    let known = |id: &str| all.iter().find(|current| current.mission_id == id).and_then(|known| known.text.as_deref());
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    let is_there = |one: &Definition| known(&one.mission_id).is_some_and(|text| parse(text) == parse(&one.text));
    let to_send: Vec<&Definition> = definitions.iter().filter(|one| !is_there(one)).collect();
    let places = send(kafka, &config.missions.topic, &to_send)?;
    let applied = definitions.iter().map(|one| Applied {
        mission_id: one.mission_id.clone(),
        version: one.mission.version,
        before: known(&one.mission_id).and_then(|text| parse(text)?.get("version")?.as_i64()),
        place: places.get(&one.mission_id).copied(),
    });
    Ok(applied.collect())
}

/// Where each definition is, by its mission.
fn send(kafka: &KafkaConfig, topic: &str, definitions: &[&Definition]) -> Result<BTreeMap<String, (i32, i64)>, String> {
    let connection = crate::run::connection(kafka);
    // Records of one mission must meet in one partition, whoever writes them: as Kafka's own clients do it.
    let required = [("enable.idempotence", "true"), ("acks", "all"), ("partitioner", "murmur2_random")];
    let deliveries = Arc::new(Mutex::new(Deliveries::default()));
    let context = Delivering(deliveries.clone());
    let producer: ThreadedProducer<Delivering> = connection
        .client(&[], &required)
        .create_with_context(context)
        .map_err(|error| format!("cannot produce to {}: {error}", connection.brokers))?;
    for definition in definitions {
        let record = BaseRecord::to(topic).key(&definition.mission_id).payload(&definition.text);
        producer.send(record).map_err(|(error, _)| format!("cannot produce to {topic}: {error}"))?;
    }
    producer.flush(PATIENCE).map_err(|error| format!("{topic}: not acknowledged within {PATIENCE:?}: {error}"))?;
    drop(producer);
    let Deliveries { places, failed } = std::mem::take(&mut *deliveries.lock().expect("no panic while delivering"));
    match failed {
        None => Ok(places),
        Some((mission, error)) => {
            Err(format!("{topic}: {mission} was not taken: {error}; {} of {} were", places.len(), definitions.len()))
        }
    }
}

/// What the brokers said.
#[derive(Default)]
struct Deliveries {
    places: BTreeMap<String, (i32, i64)>,
    /// The first that was not taken.
    failed: Option<(String, KafkaError)>,
}

#[derive(Clone)]
struct Delivering(Arc<Mutex<Deliveries>>);

impl ClientContext for Delivering {}

impl ProducerContext for Delivering {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut deliveries = self.0.lock().expect("no panic while delivering");
        let (Ok(message) | Err((_, message))) = result;
        let mission = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
        match result {
            Ok(message) => drop(deliveries.places.insert(mission, (message.partition(), message.offset()))),
            Err((error, _)) => drop(deliveries.failed.get_or_insert((mission, error.clone()))),
        }
    }
}
