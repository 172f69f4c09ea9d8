//! What happens later: open sessions, settlements, resends. Memory follows what is outstanding.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::Timestamp;

/// The span is divided into this many buckets; only the present one is kept in order.
const BUCKETS: i64 = 4096;

/// A queue by due time; equal times leave in the order in which they came.
pub(super) struct Calendar<T> {
    start: i64,
    width: i64,
    /// Due in an opened bucket.
    near: BinaryHeap<Reverse<Due>>,
    /// Due in a bucket that is not open yet, one list a bucket.
    far: Vec<Vec<Due>>,
    /// Buckets below are open.
    open: usize,
    tasks: Vec<Option<T>>,
    free: Vec<usize>,
    scheduled: u64,
}

/// Due time in microseconds, then order of arrival, then the slot of the task.
type Due = (i64, u64, usize);

impl<T> Calendar<T> {
    /// For times within `span_micros` from `start`.
    pub(super) fn new(start: Timestamp, span_micros: i64) -> Self {
        Calendar {
            start: start.micros(),
            width: span_micros / BUCKETS + 1,
            near: BinaryHeap::new(),
            far: (0..BUCKETS).map(|_| Vec::new()).collect(),
            open: 0,
            tasks: Vec::new(),
            free: Vec::new(),
            scheduled: 0,
        }
    }

    /// Keeps `task` until `at`. One that is due after the span is dropped: it would never come.
    pub(super) fn schedule(&mut self, at: Timestamp, task: T) {
        let bucket = self.bucket(at);
        if bucket >= self.far.len() {
            return;
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.tasks.push(None);
                self.tasks.len() - 1
            }
        };
        self.tasks[slot] = Some(task);
        let due = (at.micros(), self.scheduled, slot);
        self.scheduled += 1;
        if bucket < self.open {
            self.near.push(Reverse(due));
        } else {
            self.far[bucket].push(due);
        }
    }

    /// The earliest task that is due by `now`. `now` never goes back.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<T> {
        let present = self.bucket(now).min(self.far.len() - 1);
        while self.open <= present {
            self.near.extend(std::mem::take(&mut self.far[self.open]).into_iter().map(Reverse));
            self.open += 1;
        }
        let Reverse((at, _, slot)) = *self.near.peek()?;
        if at > now.micros() {
            return None;
        }
        self.near.pop();
        self.free.push(slot);
        self.tasks[slot].take()
    }

    fn bucket(&self, at: Timestamp) -> usize {
        let bucket = at.micros().saturating_sub(self.start).max(0) / self.width;
        usize::try_from(bucket).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn tasks_leave_by_due_time_then_by_arrival() {
        let mut calendar = Calendar::new(at(1_000_000), 10_000_000);
        for (due, task) in [(5_000_000, "c"), (2_000_000, "a"), (5_000_000, "d"), (2_000_001, "b"), (99_000_000, "no")]
        {
            calendar.schedule(at(due), task);
        }
        assert_eq!(calendar.take_due(at(1_999_999)), None);
        assert_eq!(calendar.take_due(at(2_000_000)), Some("a"));
        assert_eq!(calendar.take_due(at(2_000_000)), None);
        calendar.schedule(at(1_000_000), "overdue");
        assert_eq!(calendar.take_due(at(11_000_000)), Some("overdue"));
        let rest: Vec<_> = std::iter::from_fn(|| calendar.take_due(at(200_000_000))).collect();
        assert_eq!(rest, ["b", "c", "d"]);
    }

    #[test]
    fn slots_are_used_again() {
        let mut calendar = Calendar::new(at(0), 1_000_000);
        for now in 0..10_000 {
            calendar.schedule(at(now), now);
            assert_eq!(calendar.take_due(at(now)), Some(now));
        }
        assert_eq!(calendar.tasks.len(), 1);
    }
}
