//! Whole topics from their beginning, with the pipeline's own consumer.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use datasets::Topics;
use pipeline::source::{Chunk, ConsumerConfig, KafkaCluster, KafkaConsumer, Position, SourceError};
use sinks::kafka::Connection;

/// A thread that missed its wake-up looks again after this time.
const PATIENCE: Duration = Duration::from_millis(100);

/// The partitions of one topic, read by the thread that opened it.
pub struct TopicReader {
    consumer: KafkaConsumer,
    /// First offsets.
    pub starts: Vec<Position>,
    /// Ends, when it was opened.
    pub ends: Vec<Position>,
}

/// Where reading begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// With the first record.
    Beginning,
    /// Behind the last record.
    End,
}

impl TopicReader {
    /// Assigns every partition of `topic`.
    pub fn open(brokers: &str, topic: &str, from: From) -> Result<Self, SourceError> {
        let (starts, ends) = bounds(brokers, topic)?;
        let mut reader = TopicReader::open_at(brokers, topic, if from == From::Beginning { &starts } else { &ends })?;
        (reader.starts, reader.ends) = (starts, ends);
        Ok(reader)
    }

    /// Assigns partitions of `topic` at these offsets, which count as starts and ends.
    pub fn open_at(brokers: &str, topic: &str, positions: &[Position]) -> Result<Self, SourceError> {
        let reading = thread::current();
        let wake = Arc::new(move || reading.unpark());
        let topics = Topics::new([topic]);
        let mut consumer = KafkaConsumer::new(&Connection::new(brokers), &ConsumerConfig::new("bench"), &topics, wake)?;
        consumer.assign(positions)?;
        Ok(TopicReader { consumer, starts: positions.to_vec(), ends: positions.to_vec() })
    }

    /// What is there; sleeps once when nothing is.
    pub fn poll(&mut self, max: usize) -> Result<Chunk, SourceError> {
        let chunk = self.consumer.poll(max)?;
        if chunk.records().len() > 0 {
            return Ok(chunk);
        }
        thread::park_timeout(PATIENCE);
        self.consumer.poll(max)
    }

    /// Records between the first offsets and the ends, where no transaction wrote.
    pub fn records(&self) -> i64 {
        self.starts.iter().zip(&self.ends).map(|(start, end)| end.offset - start.offset).sum()
    }
}

/// The first and the next offset of every partition.
pub fn bounds(brokers: &str, topic: &str) -> Result<(Vec<Position>, Vec<Position>), SourceError> {
    let cluster = KafkaCluster::connect(&Connection::new(brokers), &ConsumerConfig::new("bench"))?;
    let id = Topics::new([topic]).id(topic).expect("the only one");
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for partition in cluster.partitions(topic)? {
        let (low, high) = cluster.watermarks(topic, partition)?;
        starts.push(Position { topic: id, partition, offset: low });
        ends.push(Position { topic: id, partition, offset: high });
    }
    Ok((starts, ends))
}
