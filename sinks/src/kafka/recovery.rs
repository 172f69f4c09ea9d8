//! Reads the progress topic from its beginning to its committed end.

use std::time::{Duration, Instant};

use datasets::{Epoch, Timestamp};
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::connection::{SharedContext, serve_events};
use super::progress::{Chain, Decoder, ProgressRecord};
use super::{CommitterConfig, Connection};
use crate::SinkError;
use crate::cut::Cut;

/// What was committed before this process: the whole log of epochs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredLog {
    /// One record per epoch, from epoch 0 on.
    pub records: Vec<ProgressRecord>,
    /// The first epoch that is not committed.
    pub upper: Epoch,
    /// The last reading of the clock; `None` before the first epoch.
    pub now: Option<Timestamp>,
    /// The hash chain up to the last record.
    pub chain: Chain,
    /// Every cut of the lake, in the order in which they were recorded.
    pub cuts: Vec<Cut>,
}

impl RecoveredLog {
    fn of(pipeline: &str, records: Vec<ProgressRecord>) -> Self {
        let last = records.last();
        RecoveredLog {
            upper: last.map_or(0, |last| last.epoch + 1),
            now: last.map(|last| last.now),
            chain: last.map_or(Chain::start(pipeline), |last| last.chain),
            cuts: records.iter().flat_map(|record| record.cuts.iter().cloned()).collect(),
            records,
        }
    }
}

/// A consumer for one purpose: metadata, ends, or reading the log.
pub(super) fn reader(
    connection: &Connection,
    group_id: &str,
    isolation: &str,
) -> Result<BaseConsumer<SharedContext>, SinkError> {
    let tuning = [("fetch.wait.max.ms", "10"), ("fetch.queue.backoff.ms", "1")];
    let required = [
        ("group.id", group_id),
        ("isolation.level", isolation),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("enable.partition.eof", "true"),
        ("auto.offset.reset", "error"),
        ("allow.auto.create.topics", "false"),
        ("check.crcs", "true"),
    ];
    connection
        .client(&tuning, &required)
        .create_with_context(connection.context())
        .map_err(|error| SinkError::Rejected("cannot set up a Kafka consumer".into(), Box::new(error)))
}

/// Reads the log. Every transactional id must have been fenced before: only then is what lies
/// below the end decided, and does nothing more come to be committed by another process.
pub(super) fn read(config: &CommitterConfig) -> Result<RecoveredLog, SinkError> {
    let (connection, topic) = (&config.connection, &config.topics.progress);
    let end = {
        let uncommitted = reader(connection, &config.pipeline, "read_uncommitted")?;
        let (low, high) = watermarks(connection, &uncommitted, topic)?;
        if low > 0 && low == high {
            return Err(emptied(topic, "it holds nothing"));
        }
        high
    };
    let committed = reader(connection, &config.pipeline, "read_committed")?;
    let start = await_stable(connection, &committed, topic, end)?;

    // From here on the stable offset is at or beyond `end`, and an end of partition is only reported
    // at the stable offset: the first one is at or beyond `end` too. (Records do not tell: what an
    // aborted transaction left, and every commit marker, takes offsets that no record has.)
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(topic, 0, Offset::Offset(start))
        .and_then(|()| committed.assign(&assignment))
        .map_err(|error| unreadable(topic, error))?;
    let mut decoder = Decoder::new(&config.pipeline);
    let mut records = Vec::new();
    let mut silence = Instant::now();
    loop {
        match committed.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                silence = Instant::now();
                let at = message.offset();
                let record = decoder.read(message.payload().unwrap_or_default());
                match record {
                    Ok(record) => records.extend(record),
                    Err(error) if records.is_empty() && start > 0 => {
                        return Err(emptied(topic, &format!("it begins at offset {start} with: {error}")));
                    }
                    Err(error) => return Err(SinkError::Conflict(format!("{topic}, offset {at}: {error}"))),
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => break,
            Some(Err(error)) if is_lasting(&error) => return Err(unreadable(topic, error)),
            // The client reconnects by itself, and says so.
            Some(Err(_)) | None if silence.elapsed() < connection.startup_timeout => {}
            Some(Err(error)) => return Err(unreadable(topic, error)),
            None => return Err(unreadable(topic, KafkaError::NoMessageReceived)),
        }
    }
    decoder.end().map_err(|error| SinkError::Conflict(format!("{topic}: {error}")))?;
    if records.is_empty() && start > 0 {
        return Err(emptied(topic, "it holds no committed record"));
    }
    Ok(RecoveredLog::of(&config.pipeline, records))
}

/// Reads the log without taking anything over: for looking at it. A pipeline that runs meanwhile goes on.
///
/// # Errors
/// [`SinkError::Rejected`] when brokers cannot be reached within the startup timeout or refuse;
/// [`SinkError::Conflict`] when the progress topic is not a log of this pipeline from its beginning.
pub fn read_log(config: &CommitterConfig) -> Result<RecoveredLog, SinkError> {
    read(config)
}

/// Waits until everything below `end` is committed or aborted, and returns the first offset.
fn await_stable(
    connection: &Connection,
    committed: &BaseConsumer<SharedContext>,
    topic: &str,
    end: i64,
) -> Result<i64, SinkError> {
    let deadline = Instant::now() + connection.startup_timeout;
    loop {
        // A read_committed client is told the last stable offset as the end.
        let (start, stable) = watermarks(connection, committed, topic)?;
        if stable >= end {
            return Ok(start);
        }
        if Instant::now() >= deadline {
            return Err(SinkError::Conflict(format!(
                "the progress topic {topic} ends at offset {end}, but a transaction that is none of this pipeline's \
                 has been open at offset {stable} for {:?}",
                connection.startup_timeout
            )));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn watermarks(
    connection: &Connection,
    consumer: &BaseConsumer<SharedContext>,
    topic: &str,
) -> Result<(i64, i64), SinkError> {
    let ends = connection.retry(&format!("read the ends of topic {topic}"), |timeout| {
        consumer.fetch_watermarks(topic, 0, timeout).inspect_err(|_| serve_events(consumer))
    })?;
    Ok(ends)
}

fn is_lasting(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || matches!(
            error.rdkafka_error_code(),
            Some(
                Code::AutoOffsetReset
                    | Code::OffsetOutOfRange
                    | Code::BadMessage
                    | Code::BadCompression
                    | Code::TopicAuthorizationFailed
                    | Code::GroupAuthorizationFailed
                    | Code::UnknownTopicOrPartition
                    | Code::LogTruncation
            )
        )
}

fn emptied(topic: &str, how: &str) -> SinkError {
    SinkError::Conflict(format!(
        "the beginning of the progress topic {topic} was removed ({how}): without it the pipeline's state cannot be \
         recovered. Restore the topic, or start anew under another pipeline name"
    ))
}

fn unreadable(topic: &str, error: KafkaError) -> SinkError {
    SinkError::Rejected(format!("cannot read the progress topic {topic}"), error.into())
}
