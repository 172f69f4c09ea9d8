//! When each key group is written.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use datasets::Epoch;
use datasets::hash::{KEY_GROUPS, KeyGroup};
use datasets::state::Section;
use operators::snapshot::{Archive, Terms};

use super::Archiving;

/// What a worker writes behind one epoch, about, so that none waits long for it: a few milliseconds.
const BYTES_PER_EPOCH: usize = 1 << 20;

/// The same of one group by the operator that has most, where all of it is new: there is another operator, most of the bytes are of
/// players whose memory is far, and a piece is written whole.
const BYTES_AT_ONCE: usize = BYTES_PER_EPOCH / 4;

/// Gives one worker's key groups their turns: each once in a round, evenly over the interval, and a round after the
/// other. Nothing before the log has been followed to its end.
pub(super) struct Turns {
    archiving: Archiving,
    /// Rounds that this worker has done.
    rounds: u64,
    /// The next group of this round.
    next: u16,
    /// Most groups behind one epoch, as large as groups have been lately.
    at_once: u16,
    /// What was written behind the last epoch.
    written: usize,
    began: Instant,
    /// By epoch: both operators of the worker ask, and get the same answer.
    answered: BTreeMap<Epoch, Range<u16>>,
}

impl Turns {
    pub(super) fn new(archiving: Archiving) -> Self {
        let (began, answered) = (Instant::now(), BTreeMap::new());
        Turns { archiving, rounds: 0, next: 0, at_once: 1, written: 0, began, answered }
    }

    fn decide(&mut self, epoch: Epoch) -> Range<u16> {
        let told = self.archiving.shelf.progress();
        if epoch < self.archiving.free_from || told.rounds < self.rounds || told.has_ended {
            self.began = Instant::now();
            return 0..0;
        }
        let written = std::mem::take(&mut self.written);
        self.at_once = if written > BYTES_PER_EPOCH { self.at_once / 2 } else { self.at_once * 2 };
        self.at_once = self.at_once.clamp(1, KEY_GROUPS);
        let elapsed = self.began.elapsed().as_secs_f64() / self.archiving.interval.as_secs_f64().max(f64::MIN_POSITIVE);
        let elapsed = if told.is_heavy { 1.0 } else { elapsed };
        let due = (1..=self.at_once)
            .map(|more| self.next + more)
            .take_while(|group| *group <= KEY_GROUPS && f64::from(*group) <= elapsed * f64::from(KEY_GROUPS));
        let first = self.next;
        self.next = due.last().unwrap_or(first);
        let range = first..self.next;
        if self.next == KEY_GROUPS {
            (self.rounds, self.next) = (self.rounds + 1, 0);
        }
        range
    }
}

impl Archive for Turns {
    fn due(&mut self, epoch: Epoch) -> Range<u16> {
        if let Some(answered) = self.answered.remove(&epoch) {
            return answered;
        }
        let due = self.decide(epoch);
        self.answered.insert(epoch, due.clone());
        due
    }

    fn put_off(&mut self, epoch: Epoch, group: KeyGroup) {
        // Behind an epoch the first operator writes before the second one can: nobody knows yet what is due.
        self.answered.get_mut(&epoch).expect("it was asked for, once").end = group.0;
        // Behind the last group the round was taken for done.
        self.rounds -= u64::from(self.next == 0);
        self.next = group.0;
        // What is written of it counts when it is whole; until then it is more than one epoch takes.
        self.written += BYTES_PER_EPOCH + 1;
    }

    fn keep(&mut self, section: Section) {
        self.written += section.bytes() + section.cold.as_ref().map_or(0, |cold| cold.bytes.len());
        self.archiving.shelf.section(section);
    }

    fn terms(&self) -> Terms {
        Terms { cold: self.archiving.cold, bytes_at_once: BYTES_AT_ONCE }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::super::shelf::{AfarShelf, Shelf};
    use super::*;
    use crate::run::peers::Peers;

    #[test]
    fn a_group_that_is_put_off_has_its_turn_in_the_same_round() {
        let shelf = Shelf::Afar(AfarShelf::new(Peers::none()));
        let mut turns = Turns::new(Archiving { shelf, interval: Duration::ZERO, free_from: 3, cold: None });
        let (mut visited, mut put_off) = (Vec::new(), BTreeSet::new());
        for epoch in 0..u64::from(10 * KEY_GROUPS) {
            let due = turns.due(epoch);
            assert!(epoch >= 3 || due.is_empty(), "before the log's end nothing is due");
            // Some groups once, wherever in the range they are, and the last one of all.
            let late = due.clone().find(|group| (group % 7 == 3 || group + 1 == KEY_GROUPS) && put_off.insert(*group));
            if let Some(group) = late {
                turns.put_off(epoch, KeyGroup(group));
            }
            // The other operator.
            let same = turns.due(epoch);
            assert_eq!(same, due.start..late.unwrap_or(due.end));
            visited.extend(same);
        }
        assert_eq!(visited, (0..KEY_GROUPS).collect::<Vec<_>>(), "the round is not in place, so no other one begins");
        assert!(put_off.len() > 100);
    }
}
