//! When the clock alone has to move the dataflow.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use datasets::Timestamp;

/// One worker's next deadlines, shared with whoever opens epochs. A hint only: what an epoch does
/// depends on its recorded clock, never on when it was opened.
#[derive(Clone, Debug)]
pub struct Deadlines(Arc<[AtomicI64; 2]>);

impl Default for Deadlines {
    fn default() -> Self {
        Deadlines(Arc::new([AtomicI64::new(i64::MAX), AtomicI64::new(i64::MAX)]))
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

    /// The earliest of all.
    pub fn next(&self) -> Timestamp {
        let earliest = self.0.iter().map(|at| at.load(Ordering::Relaxed)).min();
        Timestamp::from_micros(earliest.unwrap_or(i64::MAX))
    }

    fn set(&self, which: usize, at: Option<Timestamp>) {
        self.0[which].store(at.unwrap_or(Timestamp::MAX).micros(), Ordering::Relaxed);
    }
}
