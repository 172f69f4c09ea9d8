//! When operators write their state, and how far each has gone round in it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datasets::hash::KeyGroup;
use datasets::rates::RateBook;
use datasets::state::{Keeper, Kept, Section};
use datasets::{Epoch, Timestamp};
use serde::Deserialize;

use crate::definitions::DefinitionRecord;
use crate::ledger::ColdRules;
use crate::slab::CHUNK;

/// Changes with every change of what sections hold. Older ones are read; a newer one cannot be.
/// Format 3 adds a form of contributions with long values, laps of missions that repeat, and timelines of players.
/// Format 4 adds restrictions, points and unlocks of players.
/// Format 5 adds amounts that wait for a rate, slips of bets whose stakes are booked with their settlements, and tiers of players.
/// Format 6 adds which events missions of a group contest, and events that are retained.
pub const FORMAT: u32 = 6;

/// Takes one worker's sections, and says when they are due. An operator does not read a clock, and need not:
/// state is the same whenever it is written.
pub trait Archive {
    /// Key groups whose state is written as it is after `epoch`; all of a worker's operators get the same answer,
    /// so that nothing which one has sent to the other is between two sections.
    fn due(&mut self, epoch: Epoch) -> Range<u16>;

    /// Takes a section.
    fn keep(&mut self, section: Section);

    /// What may go cold, where there is a place for it.
    fn cold(&self) -> Option<ColdRules> {
        None
    }
}

/// What a worker's operators begin with, and where they write it again.
#[derive(Clone, Default)]
pub struct State {
    /// Takes sections; absent where nothing is kept.
    pub archive: Option<Rc<RefCell<dyn Archive>>>,
    /// What an earlier run has written.
    pub restored: Rc<Restored>,
}

/// What is known before the first epoch that is closed.
#[derive(Default)]
pub struct Restored {
    /// Definitions with their epochs, as they were applied.
    pub definitions: Vec<(Epoch, DefinitionRecord)>,
    /// The last reading of the wall's clock.
    pub wall: Option<Timestamp>,
    /// The least of the clock and the highest ingest time.
    pub oldest_to_come: Option<Timestamp>,
    /// Rates of exchange.
    pub rates: RateBook,
    /// The worker's parts.
    pub parts: Vec<(Keeper, KeyGroup, Kept)>,
    /// How many more threads than the worker's own read them.
    pub helpers: usize,
}

impl Restored {
    /// Reads the parts of one operator, with the epochs that they know. Key groups have nothing in common, so threads
    /// read them side by side; what a thread's parts may share is its `L`.
    pub(crate) fn read<L: Default, T: Send>(
        &self,
        keeper: Keeper,
        read: impl Fn(&mut L, &Kept) -> T + Sync,
    ) -> BTreeMap<KeyGroup, (Epoch, T)> {
        let parts: Vec<_> = self.parts.iter().filter(|part| part.0 == keeper).collect();
        let next = AtomicUsize::new(0);
        let read_some = || {
            let (mut shared, mut done) = (L::default(), Vec::new());
            while let Some((_, group, kept)) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                done.push((*group, (kept.epoch, read(&mut shared, kept))));
            }
            done
        };
        std::thread::scope(|scope| {
            let helpers: Vec<_> = (0..self.helpers).map(|_| scope.spawn(read_some)).collect();
            let mut done: BTreeMap<_, _> = read_some().into_iter().collect();
            for helper in helpers {
                done.extend(helper.join().expect(READABLE));
            }
            done
        })
    }
}

/// Why [`Restored::parts`] can always be read.
pub(crate) const READABLE: &str = "whoever reads a checkpoint looks at its format and checksums";

/// Reads the next value of a section off its front. A struct is written as its fields, one behind the other.
pub(crate) fn next<'a, T: Deserialize<'a>>(rest: &mut &'a [u8]) -> T {
    let (value, behind) = postcard::take_from_bytes(rest).expect(READABLE);
    *rest = behind;
    value
}

/// Reads the values of a list, which need not all be in memory at once. Nothing is left of the list when the iterator has ended.
pub(crate) fn list<'a, T: Deserialize<'a>>(rest: &mut &'a [u8]) -> impl ExactSizeIterator<Item = T> {
    let len: usize = next(rest);
    (0..len).map(|_| next(rest))
}

impl State {
    /// Writes the groups that are due after `epoch`.
    pub(crate) fn write(
        &self,
        epoch: Epoch,
        (worker, workers): (usize, usize),
        mut write: impl FnMut(KeyGroup, Option<ColdRules>) -> Option<Section>,
    ) {
        let Some(archive) = &self.archive else { return };
        let due = archive.borrow_mut().due(epoch);
        let cold = archive.borrow().cold();
        for group in due.map(KeyGroup).filter(|group| group.worker(workers) == worker) {
            if let Some(section) = write(group, cold) {
                archive.borrow_mut().keep(section);
            }
        }
    }
}

/// At least one in so many chunks is written each time, changed or not: so long does a cycle last at most.
const SLOWEST: usize = 64;
/// For each value that has changed so many others are written. A start reads two cycles at most, so all state twice, and what changed
/// meanwhile: with `n` others for each, a cycle has `1 / n` of the state in changes. More of them make a start read less, and a round write more.
const OTHERS: usize = 4;

/// How far writing has come in the chunks of a part's tables, one table behind the other.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Round {
    table: usize,
    chunk: usize,
}

impl Round {
    /// The chunks that are written next, of tables of `sizes` in chunks, when so many values have `changed`: what is written follows
    /// what changes. Answers whether a cycle begins.
    pub(crate) fn next<const TABLES: usize>(
        &mut self,
        sizes: [usize; TABLES],
        changed: usize,
    ) -> ([Range<usize>; TABLES], bool) {
        let begins_cycle = self.table == 0 && self.chunk == 0;
        let total: usize = sizes.iter().sum();
        let mut left = (changed * OTHERS).div_ceil(CHUNK).max(total.div_ceil(SLOWEST)).max(1);
        let mut ranges = [const { 0..0 }; TABLES];
        while left > 0 && self.table < TABLES {
            let end = sizes[self.table].min(self.chunk + left);
            ranges[self.table] = self.chunk..end;
            left -= end - self.chunk;
            self.chunk = end;
            if end == sizes[self.table] {
                *self = Round { table: self.table + 1, chunk: 0 };
            }
        }
        // What has no chunks does not make the cycle longer.
        while self.table < TABLES && sizes[self.table] == 0 {
            self.table += 1;
        }
        if self.table == TABLES {
            *self = Round::default();
        }
        (ranges, begins_cycle)
    }
}

#[cfg(test)]
mod crashes;
#[cfg(test)]
mod tests {
    use super::*;

    /// Lets everything go cold, and keeps nothing.
    struct Nowhere(Vec<Section>);

    impl Archive for Nowhere {
        fn due(&mut self, _: Epoch) -> Range<u16> {
            3..6
        }

        fn keep(&mut self, section: Section) {
            self.0.push(section);
        }

        fn cold(&self) -> Option<ColdRules> {
            Some(ColdRules { after_hours: 5, every_hours: 6 })
        }
    }

    #[test]
    fn a_worker_writes_its_groups_by_the_rules_of_the_archive() {
        let nowhere = Rc::new(RefCell::new(Nowhere(Vec::new())));
        let state = State { archive: Some(nowhere.clone()), restored: Rc::default() };
        let mut asked = Vec::new();
        state.write(8, (1, 2), |group, cold| {
            asked.push((group.0, cold.unwrap().after_hours));
            let part = datasets::state::Part { keeper: Keeper::Players, group };
            Some(Section { part, epoch: 8, begins_cycle: true, bytes: Vec::new(), cold: None })
        });
        assert_eq!(asked, [(3, 5), (5, 5)]);
        assert_eq!(nowhere.borrow().0.len(), 2);
    }

    #[test]
    fn a_cycle_writes_every_chunk_once() {
        let mut round = Round::default();
        let mut written = [vec![], vec![], vec![]];
        for turn in 0.. {
            let (ranges, begins_cycle) = round.next([7, 0, 3], 32);
            assert_eq!(begins_cycle, turn == 0 || turn == 3);
            if turn == 3 {
                break;
            }
            written.iter_mut().zip(ranges).for_each(|(written, range)| written.extend(range));
        }
        assert_eq!(written, [(0..7).collect(), vec![], (0..3).collect::<Vec<_>>()]);
    }

    #[test]
    fn without_changes_it_goes_on_slowly() {
        let mut round = Round::default();
        assert_eq!(round.next([1000, 0], 0), ([0..16, 0..0], true));
        assert_eq!(round.next([1000, 0], 1), ([16..32, 0..0], false));
        assert_eq!(Round::default().next([0, 0], 0), ([0..0, 0..0], true));
    }
}
