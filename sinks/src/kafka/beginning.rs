//! Whether a log may begin: only where nothing was sent yet.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::connection::SharedContext;
use super::recovery::reader;
use super::{CommitterConfig, topics};
use crate::SinkError;

/// Refuses to begin a log where outputs hold what an earlier one has sent: the progress topic was
/// emptied or created anew, and a start from nothing would send all of it once more. Dead letters do
/// not tell: pipelines may share their topic.
pub(super) fn check(config: &CommitterConfig) -> Result<(), SinkError> {
    let reader = reader(&config.connection, &config.pipeline, "read_committed")?;
    for topic in [&config.topics.completions, &config.topics.activity] {
        if holds_records(config, &reader, topic)? {
            let progress = &config.topics.progress;
            return Err(SinkError::Conflict(format!(
                "the topic {topic} holds records, but the progress topic {progress} holds none that tells of them: it was \
                 emptied or created anew, or another pipeline writes to {topic}. A start from nothing would send everything \
                 again. Restore {progress}, or start anew under another pipeline name, with output topics and a lake of its own"
            )));
        }
    }
    Ok(())
}

/// Something in `topic` was committed and is still there. Offsets alone do not tell: markers of transactions
/// take some too, and so does what was aborted.
fn holds_records(
    config: &CommitterConfig,
    reader: &BaseConsumer<SharedContext>,
    topic: &str,
) -> Result<bool, SinkError> {
    let connection = &config.connection;
    let unreadable =
        |error: KafkaError| SinkError::Rejected(format!("cannot look into the topic {topic}"), error.into());
    let found =
        connection.retry("read the metadata of output topics", |timeout| topics::partitions(reader, topic, timeout))?;
    let mut unread = found.unwrap_or(0);
    let mut assignment = TopicPartitionList::new();
    for partition in (0..).take(unread) {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).map_err(unreadable)?;
    }
    reader.assign(&assignment).map_err(unreadable)?;
    let mut silence = Instant::now();
    while unread > 0 {
        match reader.poll(Duration::from_millis(100)) {
            Some(Ok(_)) => return Ok(true),
            Some(Err(KafkaError::PartitionEOF(_))) => {
                unread -= 1;
                silence = Instant::now();
            }
            // The client reconnects by itself, and says so.
            Some(Err(_)) | None if silence.elapsed() < connection.startup_timeout => {}
            Some(Err(error)) => return Err(unreadable(error)),
            None => return Err(unreadable(KafkaError::NoMessageReceived)),
        }
    }
    Ok(false)
}
