//! Generated play to Kafka.

use std::time::Duration;

use datasets::generator::{Generated, RecordSink};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

/// How long the broker may take to acknowledge everything at the end.
const PATIENCE: Duration = Duration::from_secs(120);

/// Produces generated records, each with its own ingest time.
pub struct KafkaFeed {
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl KafkaFeed {
    /// Connects, and creates the topics that do not exist.
    ///
    /// # Errors
    /// What went wrong, for people.
    pub fn connect(brokers: &str, events: &str, missions: &str, partitions: u32) -> Result<Self, String> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers);
        create_topics(&config, events, missions, partitions)
            .map_err(|error| format!("cannot create topics at {brokers}: {error}"))?;
        config
            .set("linger.ms", "5")
            .set("batch.size", "1000000")
            .set("compression.type", "lz4")
            .set("enable.idempotence", "true")
            .set("queue.buffering.max.messages", "500000");
        let producer = config.create().map_err(|error| format!("cannot produce to {brokers}: {error}"))?;
        Ok(KafkaFeed { producer })
    }

    /// Waits until the broker has everything.
    ///
    /// # Errors
    /// What was not acknowledged.
    pub fn finish(self) -> Result<(), String> {
        self.producer.flush(PATIENCE).map_err(|error| format!("not everything was acknowledged: {error}"))
    }
}

fn create_topics(config: &ClientConfig, events: &str, missions: &str, partitions: u32) -> Result<(), KafkaError> {
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
    let topics = [
        NewTopic::new(events, partitions, TopicReplication::Fixed(-1)).set("retention.ms", "-1"),
        NewTopic::new(missions, 1, TopicReplication::Fixed(-1)).set("cleanup.policy", "compact"),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| KafkaError::AdminOpCreation(error.to_string()))?;
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
    for created in runtime.block_on(admin.create_topics(&topics, &options))? {
        match created {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, error)) => return Err(KafkaError::AdminOp(error)),
        }
    }
    Ok(())
}

impl RecordSink for KafkaFeed {
    type Error = KafkaError;

    fn send(&mut self, topic: &str, record: Generated) -> Result<(), KafkaError> {
        let Generated { partition, key, timestamp, value, .. } = record;
        let mut message =
            BaseRecord::to(topic).partition(partition).key(&key).payload(&value).timestamp(timestamp.millis());
        loop {
            match self.producer.send(message) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    // The producer's own thread makes room.
                    std::thread::yield_now();
                    message = back;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }
}
