//! Tells when consumers of what is committed do not get on, though the pipeline does.

use std::convert::Infallible;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use sinks::kafka::{CommitterConfig, DecisionWatch, Undecided};

/// Looks on a thread of its own, which waits for brokers that are away and never keeps a process from ending. Ends
/// after this is dropped.
pub struct Decisions {
    _open: Sender<Infallible>,
}

impl Decisions {
    /// Looks twice in a transaction's timeout.
    ///
    /// # Errors
    /// A client that cannot be set up, a thread that cannot be started.
    pub fn start(config: &CommitterConfig) -> Result<Self, String> {
        let every = config.transaction_timeout / 2;
        let watch = DecisionWatch::new(config).map_err(|error| crate::chain(&error))?;
        let (open, closed) = bounded(0);
        let thread = std::thread::Builder::new().name("decisions".to_owned());
        thread.spawn(move || look(watch, every, &closed)).map_err(|error| error.to_string())?;
        Ok(Decisions { _open: open })
    }
}

fn look(mut watch: DecisionWatch, every: Duration, closed: &Receiver<Infallible>) {
    while let Err(RecvTimeoutError::Timeout) = closed.recv_timeout(every) {
        match watch.look() {
            Ok(undecided) => undecided.iter().for_each(tell),
            Err(error) => tracing::debug!(%error, "kafka: whether everything is decided could not be asked"),
        }
    }
}

fn tell(Undecided { topic, partition, stable, end }: &Undecided) {
    tracing::warn!(
        topic,
        partition,
        stable,
        end,
        "kafka: consumers of committed records do not get on here: the brokers have left a transaction undecided for longer \
         than it may be open (docs/operations.md: Undecided transactions)"
    );
}
