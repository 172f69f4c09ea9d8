//! Trims the log of epochs below what checkpoints need.

use crossbeam_channel::{Receiver, Sender, unbounded};
use datasets::Epoch;
use sinks::checkpoint::CheckpointHandle;
use sinks::kafka::{CommitterConfig, trim_log};

/// Trims on a thread of its own, which waits for brokers that are away and never keeps a process from ending.
pub struct Trimming {
    checkpoint: CheckpointHandle,
    asked: Epoch,
    needed: Sender<Epoch>,
}

impl Trimming {
    /// Until it is dropped.
    ///
    /// # Errors
    /// A thread that cannot be started.
    pub fn start(config: CommitterConfig, checkpoint: CheckpointHandle) -> std::io::Result<Self> {
        let (needed, epochs) = unbounded();
        std::thread::Builder::new().name("trimming".to_owned()).spawn(move || trim(&config, &epochs))?;
        Ok(Trimming { checkpoint, asked: 0, needed })
    }

    /// Looks whether there is something to trim.
    pub fn look(&mut self) {
        let needed = self.checkpoint.log_needed_from();
        if needed > self.asked {
            self.asked = needed;
            // The thread ends only after this.
            let _ = self.needed.send(needed);
        }
    }
}

fn trim(config: &CommitterConfig, epochs: &Receiver<Epoch>) {
    let mut is_first = true;
    while let Ok(epoch) = epochs.recv() {
        let epoch = epochs.try_iter().last().unwrap_or(epoch);
        match trim_log(config, epoch) {
            Ok(()) if std::mem::take(&mut is_first) => tracing::info!(
                epoch,
                "the log of epochs is trimmed from now on: a start under other rules cannot follow it from its beginning \
                 any more (checkpoint.keep_log = true keeps it)"
            ),
            Ok(()) => tracing::debug!(epoch, "the log of epochs begins here now"),
            // The next checkpoint asks for more.
            Err(error) => tracing::warn!(error = crate::chain(&error), "the log of epochs is not trimmed for now"),
        }
    }
}
