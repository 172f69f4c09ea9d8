//! What the protocol asks of Kafka: little, so that the simulation's broker answers the same calls as the
//! client library. What is decided from the answers is not here, but where the protocol is
//! (committer, transaction, recovery, beginning).

use std::ops::Range;
use std::time::Duration;

use crate::SinkError;
use crate::epoch_writer::BoxError;

/// A message on its way, borrowed from the writer's buffers.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub topic: &'a str,
    pub key: Option<&'a [u8]>,
    /// Absent: the key has no message any more.
    pub payload: Option<&'a [u8]>,
}

/// Why a call did not succeed.
#[derive(Debug)]
pub struct Failure {
    pub answer: Answer,
    pub cause: BoxError,
}

/// What can be told from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The transactional id belongs to another process by now.
    Fenced,
    /// The broker asks for the same call once more.
    Again,
    /// The message is larger than its topic allows.
    TooLarge,
    /// The brokers do not know the transactional id any more.
    Forgotten,
    /// Anything else. Of a commit: nobody knows whether it took effect.
    Other,
}

/// One transactional id, taken over by this process.
pub trait Transactional {
    /// The id.
    fn id(&self) -> &str;
    fn begin(&self) -> Result<(), Failure>;
    /// Hands a message over without waiting for its acknowledgement.
    fn send(&self, message: Message<'_>) -> Result<(), Failure>;
    /// Waits until every message is acknowledged.
    fn settle(&self) -> Result<(), Failure>;
    /// Asks once, for as long as an answer takes.
    fn commit(&self) -> Result<(), Failure>;
    /// Asks once.
    fn abort(&self, timeout: Duration) -> Result<(), Failure>;
    /// Waits before the next attempt.
    fn pause(&self, pause: Duration);
}

/// What a reader is told of a topic's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// The end of what was written.
    Uncommitted,
    /// The last stable offset: everything below it is committed or aborted.
    Committed,
}

/// Takes a message that was read: its offset and payload.
pub type Each<'a> = &'a mut dyn FnMut(i64, &[u8]) -> Result<(), SinkError>;

/// The brokers, as one start sees them. Calls are repeated inside, as long as a start may take.
pub trait Cluster {
    /// What [`Cluster::take_over`] gives.
    type Producer: Transactional;

    /// Creates missing topics and returns the size in bytes of the largest batch that all of them take.
    fn ensure_topics(&self) -> Result<usize, SinkError>;
    /// Takes these transactional ids over: whoever held them can commit no more, and what they had open is aborted.
    fn take_over(&self, ids: Vec<String>, max_batch: usize) -> Result<Vec<Self::Producer>, SinkError>;
    /// The first offset of the progress topic, and its end.
    fn offsets(&self, isolation: Isolation) -> Result<Range<i64>, SinkError>;
    /// Reads what is committed in the progress topic from offset `start` to the stable offset, and returns when it
    /// has come there.
    fn read_committed(&self, start: i64, each: Each<'_>) -> Result<(), SinkError>;
    /// Removes what lies below `offset` in the progress topic.
    fn remove_below(&self, offset: i64) -> Result<(), SinkError>;
    /// Something in `topic` was committed and is still there.
    fn holds_records(&self, topic: &str) -> Result<bool, SinkError>;
    /// Waits before the next attempt.
    fn pause(&self, pause: Duration);
}
