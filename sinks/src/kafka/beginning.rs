//! Whether a log may begin: only where nothing was sent yet.

use super::CommitterConfig;
use super::broker::Cluster;
use crate::SinkError;

/// Refuses to begin a log where outputs hold what an earlier one has sent: the progress topic was
/// emptied or created anew, and a start from nothing would send all of it once more. Dead letters do
/// not tell: pipelines may share their topic.
pub(super) fn check(cluster: &impl Cluster, config: &CommitterConfig) -> Result<(), SinkError> {
    for topic in [&config.topics.completions, &config.topics.activity] {
        if cluster.holds_records(topic)? {
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
