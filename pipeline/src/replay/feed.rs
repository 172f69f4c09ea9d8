//! Divides a replay's lines into epochs, and each epoch's lines among the workers.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use datasets::mapping::Record;
use datasets::{Epoch, Timestamp, TopicId, Topics};
use operators::decode::Chunk;

use super::input::Input;
use super::line::Lines;
use crate::engine::{Halt, Wake};
use crate::epochs::{Pace, Pacer, Tick};
use crate::reading::{Reading, Source};

/// The lines of one epoch, one after the other.
#[derive(Default)]
struct Block {
    text: Vec<u8>,
    /// Each line's number and end.
    lines: Vec<(i64, usize)>,
}

/// One worker's lines of one epoch.
struct Part {
    block: Arc<Block>,
    range: std::ops::Range<usize>,
    names: Arc<Names>,
}

/// How lines are read as records.
pub struct Names {
    /// The topics of sources, definitions and clock.
    pub topics: Arc<Topics>,
    /// Where a bare payload belongs.
    pub bare: TopicId,
    /// The missions topic.
    pub missions: Option<TopicId>,
    /// Where the lines are from.
    pub input: Input,
    /// Where the first line that cannot be read is reported.
    pub halt: Halt,
}

/// Blocks that the reader may be ahead of the workers.
const AHEAD: usize = 4;

/// Epochs that may be open at once.
const IN_FLIGHT: u64 = 8;

/// The ends that the workers hold.
pub struct Feed {
    parts: Vec<Receiver<Part>>,
    blocks: Receiver<()>,
    names: Arc<Names>,
}

/// Calls `each` with the lines of one epoch after the other, until it answers false.
fn blocks(
    input: &Input,
    epoch_records: usize,
    advance: impl Fn(u64) + Clone + 'static,
    mut each: impl FnMut(Block) -> bool,
) -> Result<(), String> {
    let mut block = Block::default();
    input.lines(advance, |number, line| {
        block.text.extend_from_slice(line);
        block.lines.push((number, block.text.len()));
        block.lines.len() < epoch_records || each(std::mem::take(&mut block))
    })?;
    if !block.lines.is_empty() {
        each(block);
    }
    Ok(())
}

/// Calls `each` with the records of one epoch after the other, all of them one part, until it answers false. A line that
/// cannot be read halts.
///
/// # Errors
/// A file that cannot be read to its end.
pub(crate) fn chunks(
    names: &Arc<Names>,
    epoch_records: usize,
    advance: impl Fn(u64) + Clone + 'static,
    mut each: impl FnMut(&dyn Chunk) -> bool,
) -> Result<(), String> {
    blocks(&names.input, epoch_records, advance, |block| {
        let range = 0..block.lines.len();
        each(&Part { block: Arc::new(block), range, names: names.clone() })
    })
}

/// How many epochs have been put out.
#[derive(Clone, Default)]
pub struct Published(Arc<AtomicU64>);

impl Published {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

impl Feed {
    /// Starts reading the input on a thread of its own, `epoch_records` lines an epoch.
    pub fn start(
        (workers, epoch_records): (usize, usize),
        names: Names,
        wake: Wake,
        advance: impl Fn(u64) + Clone + Send + 'static,
    ) -> Feed {
        let (senders, parts): (Vec<_>, Vec<_>) = (0..workers).map(|_| bounded(AHEAD)).unzip();
        let (ready, blocks) = bounded(AHEAD);
        let names = Arc::new(names);
        let reader = Reader { senders, ready, names: names.clone(), wake };
        std::thread::Builder::new()
            .name("replay-input".to_owned())
            .spawn(move || reader.read(epoch_records, advance))
            .expect("a thread can be started");
        Feed { parts, blocks, names }
    }

    /// The source of worker `index`.
    pub fn source(&self, index: usize) -> Box<dyn Source> {
        Box::new(PartSource { parts: self.parts[index].clone() })
    }

    /// The pacer of the first worker. `flush` adds a last epoch, in which everything is reported.
    pub fn pacer(&self, published: Published, flush: bool) -> Box<dyn Pacer> {
        let halt = self.names.halt.clone();
        Box::new(BlockPacer { blocks: self.blocks.clone(), published, halt, flush })
    }
}

/// Holds the sending ends: dropped when the input has ended.
struct Reader {
    senders: Vec<Sender<Part>>,
    ready: Sender<()>,
    names: Arc<Names>,
    wake: Wake,
}

impl Reader {
    fn read(self, epoch_records: usize, advance: impl Fn(u64) + Clone + 'static) {
        let read = blocks(&self.names.input, epoch_records, advance, |block| self.send(block));
        if let Err(message) = read {
            self.names.halt.fail(message);
        }
        let wake = self.wake.clone();
        drop(self);
        wake.all();
    }

    /// Answers false when the workers are gone.
    fn send(&self, block: Block) -> bool {
        let block = Arc::new(block);
        let (lines, workers) = (block.lines.len(), self.senders.len());
        for (worker, sender) in self.senders.iter().enumerate() {
            let range = lines * worker / workers..lines * (worker + 1) / workers;
            let part = Part { block: block.clone(), range, names: self.names.clone() };
            if sender.send(part).is_err() {
                return false;
            }
        }
        // Every worker has its part before any can hear of the epoch.
        let sent = self.ready.send(()).is_ok();
        self.wake.all();
        sent
    }
}

struct PartSource {
    parts: Receiver<Part>,
}

impl Source for PartSource {
    fn read(&mut self, _: Epoch, tick: &Tick) -> Reading {
        if tick.is_last {
            return Reading { is_complete: true, ..Reading::default() };
        }
        let part = self.parts.recv().expect("an epoch opens after its parts were sent");
        Reading { chunks: vec![Rc::new(part)], is_complete: true, ..Reading::default() }
    }
}

struct BlockPacer {
    blocks: Receiver<()>,
    published: Published,
    halt: Halt,
    flush: bool,
}

impl Pacer for BlockPacer {
    fn next(&mut self, epoch: Epoch) -> Pace {
        if self.halt.is_asked() {
            return Pace::End;
        }
        if epoch.saturating_sub(self.published.0.load(Ordering::Acquire)) >= IN_FLIGHT {
            return Pace::Wait;
        }
        let tick = Tick { opened: Timestamp::MIN, recorded: None, is_last: false };
        match self.blocks.try_recv() {
            Ok(()) => Pace::Open(tick),
            Err(TryRecvError::Empty) => Pace::Wait,
            Err(TryRecvError::Disconnected) if std::mem::take(&mut self.flush) => {
                Pace::Open(Tick { is_last: true, ..tick })
            }
            Err(TryRecvError::Disconnected) => Pace::End,
        }
    }
}

impl Chunk for Part {
    fn for_each(&self, each: &mut dyn FnMut(&Record<'_>)) {
        let Names { topics, bare, missions, input, halt } = &*self.names;
        let lines = Lines { topics, bare: *bare, missions: *missions };
        let start = |line: usize| line.checked_sub(1).map_or(0, |before| self.block.lines[before].1);
        for line in self.range.clone() {
            let (number, end) = self.block.lines[line];
            if let Err(message) = lines.record(number, &self.block.text[start(line)..end], each) {
                halt.fail(format!("{}: {message}", input.place(number)));
                return;
            }
        }
    }
}
