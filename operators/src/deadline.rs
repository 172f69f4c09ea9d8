//! When the clock alone has to move the dataflow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use datasets::Timestamp;

/// One worker's next deadlines, shared with whoever opens epochs. A hint only: what an epoch does
/// depends on its recorded clock, never on when it was opened.
#[derive(Clone, Debug)]
pub struct Deadlines(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    next: [AtomicI64; 2],
    is_behind: AtomicBool,
}

impl Default for Deadlines {
    fn default() -> Self {
        let next = [AtomicI64::new(i64::MAX), AtomicI64::new(i64::MAX)];
        Deadlines(Arc::new(Shared { next, is_behind: AtomicBool::new(false) }))
    }
}

impl Deadlines {
    /// The next timer of the players operator.
    pub fn players(&self, at: Option<Timestamp>) {
        self.set(0, at);
    }

    /// The next report of daily activity.
    pub fn activity(&self, at: Option<Timestamp>) {
        self.set(1, at);
    }

    /// The clock follows the input until it has been read to its end: no deadline is due before.
    pub fn behind(&self, is_behind: bool) {
        self.0.is_behind.store(is_behind, Ordering::Relaxed);
    }

    /// The worker has not read its input to the end.
    pub fn is_behind(&self) -> bool {
        self.0.is_behind.load(Ordering::Relaxed)
    }

    /// The earliest of all.
    pub fn next(&self) -> Timestamp {
        let earliest = self.0.next.iter().map(|at| at.load(Ordering::Relaxed)).min();
        Timestamp::from_micros(earliest.unwrap_or(i64::MAX))
    }

    fn set(&self, which: usize, at: Option<Timestamp>) {
        self.0.next[which].store(at.unwrap_or(Timestamp::MAX).micros(), Ordering::Relaxed);
    }
}
