//! Holds events back until every definition that was there at the start has been read.

use std::sync::{Arc, Mutex};

use datasets::Epoch;

/// Counts partitions of definitions that must be read to their end before events are. Shared by all workers of a
/// process; those of others are told.
#[derive(Clone)]
pub struct Gate {
    state: Arc<Mutex<State>>,
    tell: Arc<dyn Fn(Epoch) + Send + Sync>,
}

struct State {
    left: i64,
    /// The last epoch that read one of them. A worker that still reads an earlier one, as several are under way at
    /// once, must not read events for it: its definitions would come after them.
    since: Epoch,
}

impl Gate {
    /// Stays shut until `partitions` have passed. `tell` hears of each that was read here, for other processes.
    pub fn new(partitions: i64, tell: Arc<dyn Fn(Epoch) + Send + Sync>) -> Self {
        Gate { state: Arc::new(Mutex::new(State { left: partitions, since: 0 })), tell }
    }

    /// A partition's last definition was read in `epoch`.
    pub fn pass(&self, epoch: Epoch) {
        self.pass_elsewhere(epoch);
        (self.tell)(epoch);
    }

    /// Another process has read one.
    pub fn pass_elsewhere(&self, epoch: Epoch) {
        let mut state = self.state.lock().expect("no panic while counting");
        state.left -= 1;
        state.since = state.since.max(epoch);
    }

    /// Events may be read in `epoch`: an epoch's definitions apply before its events.
    pub fn is_open(&self, epoch: Epoch) -> bool {
        let state = self.state.lock().expect("no panic while counting");
        state.left <= 0 && state.since <= epoch
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn opens_with_the_last_partition_and_from_its_epoch_on() {
        let told = Arc::new(AtomicU64::new(0));
        let hears = told.clone();
        let gate = Gate::new(
            2,
            Arc::new(move |epoch| {
                hears.fetch_add(epoch, Ordering::Relaxed);
            }),
        );
        gate.pass(7);
        assert!(!gate.is_open(9));
        gate.pass_elsewhere(5);
        assert!(!gate.is_open(6), "a slower worker's epoch would apply before the definitions of epoch 7");
        assert!(gate.is_open(7));
        assert_eq!(told.load(Ordering::Relaxed), 7, "what was read elsewhere is known there");
    }

    #[test]
    fn without_definitions_it_is_open() {
        assert!(Gate::new(0, Arc::new(|_| ())).is_open(0));
    }
}
