//! Watches a running pipeline from its own thread: finds partitions, tells the rate, hands on how far it came, and
//! sees failures of the lake.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use datasets::rows::{Counters, EpochOutputs};
use sinks::lake::LakeHandle;

use super::assign::Discovery;
use super::offsets::Offsets;
use super::trimming::Trimming;
use crate::engine::Halt;
use crate::source::Position;

const LOOK_EVERY: Duration = Duration::from_secs(10);
const TELL_EVERY: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_millis(200);

/// Takes a partition that was found, with the worker that is to read it.
pub type HandOut = dyn FnMut(usize, Position) + Send;

/// The thread that watches.
pub struct Monitor(JoinHandle<()>);

impl Monitor {
    /// Watches until `committed` is closed.
    ///
    /// # Errors
    /// Threads that cannot be started.
    pub fn start(
        committed: Receiver<Arc<[Arc<EpochOutputs>]>>,
        lake: Option<LakeHandle>,
        halt: Halt,
        (discovery, hand_out): (Discovery, Box<HandOut>),
        trimming: Option<Trimming>,
    ) -> std::io::Result<Self> {
        let offsets = Offsets::start(discovery.cluster.clone())?;
        let watch = Watch { lake, halt, discovery, hand_out, offsets, trimming, counters: Counters::default() };
        std::thread::Builder::new().name("monitor".to_owned()).spawn(move || watch.run(&committed)).map(Monitor)
    }

    /// Waits for the thread.
    pub fn join(self) {
        // It only watches: its panic is on the log already.
        let _ = self.0.join();
    }
}

struct Watch {
    lake: Option<LakeHandle>,
    halt: Halt,
    discovery: Discovery,
    hand_out: Box<HandOut>,
    offsets: Offsets,
    trimming: Option<Trimming>,
    counters: Counters,
}

impl Watch {
    fn run(mut self, committed: &Receiver<Arc<[Arc<EpochOutputs>]>>) {
        let mut looked: Option<Instant> = None;
        let (mut told, mut before) = (Instant::now(), 0);
        loop {
            if looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
                looked = Some(Instant::now());
                if let Err(error) = self.discovery.look(&mut *self.hand_out) {
                    tracing::warn!(error = crate::chain(&error), "cannot look for partitions");
                }
            }
            match committed.recv_timeout(PATIENCE) {
                Ok(batch) => batch.iter().for_each(|outputs| self.count(outputs)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if let Some(trimming) = &mut self.trimming {
                trimming.look();
            }
            if let Some(error) = self.lake.as_ref().and_then(LakeHandle::error) {
                self.halt.fail(crate::chain(&error));
            }
            if told.elapsed() >= TELL_EVERY && self.counters.read > before {
                let rate = (self.counters.read - before) * 1000 / millis(told.elapsed());
                self.tell("running", Some(rate));
                (told, before) = (Instant::now(), self.counters.read);
            }
        }
        self.tell("stopped", None);
    }

    fn count(&mut self, outputs: &EpochOutputs) {
        self.counters.add(&outputs.counters);
        self.offsets.moved(&outputs.bindings);
    }

    fn tell(&self, state: &str, rate: Option<u64>) {
        let refused: u64 = self.counters.dead_letters.values().sum();
        let Counters { read, accepted, duplicates, completed, revoked, .. } = &self.counters;
        tracing::info!(read, rate, accepted, duplicates, refused, completed, revoked, "{state}");
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
