//! Shows the brokers' tools how far the pipeline has committed, by the offsets of its consumer group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use datasets::rows::Binding;

use crate::source::KafkaCluster;

/// Told at most so often.
const EVERY: Duration = Duration::from_secs(1);

/// Publishes on a thread of its own, which waits for brokers that are away and never keeps a process from ending.
pub struct Offsets(Sender<Vec<Binding>>);

impl Offsets {
    /// Until it is dropped.
    ///
    /// # Errors
    /// A thread that cannot be started.
    pub fn start(cluster: Arc<KafkaCluster>) -> std::io::Result<Self> {
        let (moved, uppers) = unbounded();
        std::thread::Builder::new().name("offsets".to_owned()).spawn(move || publish(&cluster, &uppers))?;
        Ok(Offsets(moved))
    }

    /// These partitions have moved.
    pub fn moved(&self, bindings: Vec<Binding>) {
        if !bindings.is_empty() {
            // The thread ends only after this.
            let _ = self.0.send(bindings);
        }
    }
}

/// One after the other, so that an earlier one never gets there later; what did not get there is told again, since it
/// need not move again.
fn publish(cluster: &KafkaCluster, moved: &Receiver<Vec<Binding>>) {
    let mut uppers: BTreeMap<(Arc<str>, i32), Binding> = BTreeMap::new();
    let mut next = Instant::now();
    loop {
        let waited =
            if uppers.is_empty() { moved.recv().map_err(RecvTimeoutError::from) } else { moved.recv_deadline(next) };
        match waited {
            Ok(bindings) => {
                for binding in bindings {
                    uppers.insert((binding.topic.clone(), binding.partition), binding);
                }
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
        match cluster.publish_offsets(uppers.values()) {
            Ok(()) => uppers.clear(),
            Err(error) => tracing::debug!(%error, "kafka: offsets of the consumer group not published"),
        }
        next = Instant::now() + EVERY;
    }
}
