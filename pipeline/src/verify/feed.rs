//! Gives the dataflow the epochs of a lake: the same events, with the same clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, unbounded};
use datasets::rows::{Counters, EpochOutputs};
use datasets::schema::EventNames;
use datasets::{Epoch, Timestamp, TopicId};
use operators::deadline::Deadlines;
use operators::snapshot::State;

use super::part::Part;
use crate::dataflow::Edges;
use crate::engine::{Halt, Wake};
use crate::epochs::{Pace, Pacer, Recorded, Tick};
use crate::history::log::{EpochInput, Inputs};
use crate::plan::Prepared;
use crate::reading::{Reading, Source};

/// Epochs that the reader may be ahead of the workers.
const AHEAD: usize = 4;

/// Epochs that may be open at once.
const IN_FLIGHT: u64 = 8;

/// The ends that the workers hold.
pub(super) struct Feed {
    parts: Vec<Receiver<Part>>,
    opened: Receiver<Opened>,
    compared: Compared,
    publish: Sender<Arc<EpochOutputs>>,
    halt: Halt,
}

/// What there is to compare with, in the order of epochs.
pub(super) struct Recomputed {
    /// Closed epochs.
    pub outputs: Receiver<Arc<EpochOutputs>>,
    /// Their counters in the log.
    pub logged: Receiver<Counters>,
}

/// How many epochs have been compared.
#[derive(Clone, Default)]
pub(super) struct Compared(Arc<AtomicU64>);

impl Compared {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// An epoch of which every worker has its part.
struct Opened {
    now: Timestamp,
    wall: Timestamp,
    is_last: bool,
}

/// What a replay does otherwise than a run.
#[derive(Clone, Copy)]
pub(super) struct Replayed {
    /// The epoch in which everything waiting was reported.
    pub flushed: Option<Epoch>,
}

impl Feed {
    /// Starts reading the lake on a thread of its own.
    pub fn start(
        (inputs, replayed): (Inputs, Option<Replayed>),
        (prepared, workers): (&Prepared, usize),
        compared: Compared,
        (wake, halt): (Wake, Halt),
    ) -> std::io::Result<(Self, Recomputed)> {
        let (senders, parts): (Vec<_>, Vec<_>) = (0..workers).map(|_| bounded(AHEAD)).unzip();
        let (open, opened) = bounded(AHEAD);
        let (publish, outputs) = unbounded();
        let (log, logged) = unbounded();
        let (names, missions) = (prepared.names.clone(), prepared.missions);
        let reader = Reader { inputs, replayed, names, missions, senders, open, log, wake, halt: halt.clone() };
        std::thread::Builder::new().name("verify-input".to_owned()).spawn(move || reader.read())?;
        Ok((Feed { parts, opened, compared, publish, halt }, Recomputed { outputs, logged }))
    }

    /// The edges of worker `index`.
    pub fn edges(&self, index: usize) -> Edges {
        let (opened, compared, halt) = (self.opened.clone(), self.compared.clone(), self.halt.clone());
        let publish = self.publish.clone();
        Edges {
            pacer: (index == 0).then(|| -> Box<dyn Pacer> { Box::new(LakePacer { opened, compared, halt }) }),
            source: Box::new(LakeSource(self.parts[index].clone())),
            history: crate::history::history(index, None),
            publish: Box::new(move |outputs| {
                // Who compares has said why it is gone.
                let _ = publish.send(outputs);
            }),
            takings: Box::new(|_, _, _| ()),
            state: State::default(),
            deadlines: Deadlines::default(),
        }
    }
}

/// Holds the sending ends: dropped when the lake has been read.
struct Reader {
    inputs: Inputs,
    replayed: Option<Replayed>,
    names: Arc<EventNames>,
    missions: TopicId,
    senders: Vec<Sender<Part>>,
    open: Sender<Opened>,
    log: Sender<Counters>,
    wake: Wake,
    halt: Halt,
}

impl Reader {
    fn read(mut self) {
        loop {
            let is_taken = match self.inputs.next() {
                Ok(input) => input.is_some_and(|input| self.send(input)),
                Err(message) => {
                    self.halt.fail(message);
                    false
                }
            };
            if !is_taken {
                break;
            }
        }
        let wake = self.wake.clone();
        drop(self);
        wake.all();
    }

    /// Answers false when the workers are gone.
    fn send(&self, mut input: EpochInput) -> bool {
        let (now, wall, epoch) = (input.now, input.wall, input.epoch);
        // The clock of a replay is the highest ingest time, that of clock records included.
        input.newest = if self.replayed.is_some() { Some(now) } else { input.newest };
        let is_last = self.replayed.is_some_and(|replayed| replayed.flushed == Some(epoch));
        if self.log.send(input.counters.clone()).is_err() {
            return false;
        }
        let (input, parts) = (Arc::new(input), self.senders.len());
        for (part, sender) in self.senders.iter().enumerate() {
            let (input, names, halt) = (input.clone(), self.names.clone(), self.halt.clone());
            if sender.send(Part { input, names, missions: self.missions, part: (part, parts), halt }).is_err() {
                return false;
            }
        }
        // Every worker has its part before any can hear of the epoch.
        let sent = self.open.send(Opened { now, wall, is_last }).is_ok();
        self.wake.all();
        sent
    }
}

struct LakeSource(Receiver<Part>);

impl Source for LakeSource {
    fn read(&mut self, _: Epoch, _: &Tick) -> Reading {
        let part = self.0.recv().expect("an epoch opens after its parts were sent");
        Reading { chunks: vec![std::rc::Rc::new(part)], is_complete: true, ..Reading::default() }
    }
}

struct LakePacer {
    opened: Receiver<Opened>,
    compared: Compared,
    halt: Halt,
}

impl Pacer for LakePacer {
    fn next(&mut self, epoch: Epoch) -> Pace {
        if self.halt.is_asked() {
            return Pace::End;
        }
        if epoch.saturating_sub(self.compared.0.load(Ordering::Acquire)) >= IN_FLIGHT {
            return Pace::Wait;
        }
        match self.opened.try_recv() {
            Ok(Opened { now, wall, is_last }) => {
                let recorded = Some(Arc::new(Recorded { now, ..Recorded::default() }));
                Pace::Open(Tick { opened: wall, recorded, is_last })
            }
            Err(TryRecvError::Empty) => Pace::Wait,
            Err(TryRecvError::Disconnected) => Pace::End,
        }
    }
}
