//! Which workers are where.

use std::ops::Range;

/// This process among those of its cluster. Each has as many workers as the others; they are numbered through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Team {
    /// The number of this process.
    pub process: usize,
    /// How many processes there are.
    pub processes: usize,
    /// Workers of each.
    pub threads: usize,
}

impl Team {
    /// One process.
    pub fn alone(threads: usize) -> Self {
        Team { process: 0, processes: 1, threads }
    }

    /// Workers of all processes.
    pub fn workers(&self) -> usize {
        self.processes * self.threads
    }

    /// The workers of this process.
    pub fn here(&self) -> Range<usize> {
        self.of(self.process)
    }

    /// The workers of a process.
    pub fn of(&self, process: usize) -> Range<usize> {
        process * self.threads..(process + 1) * self.threads
    }
}
