//! When operators write their state, and how it is read again.

mod round;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Mutex;

use datasets::hash::KeyGroup;
use datasets::rates::RateBook;
use datasets::state::{Keeper, Kept, Section, Unpacker};
use datasets::{Epoch, Timestamp};
use serde::Deserialize;

use crate::definitions::DefinitionRecord;

pub use crate::cold::ColdRules;
pub(crate) use round::{Round, Turn};

/// Changes with every change of what sections hold. Older ones are read; a newer one cannot be.
/// Format 3 adds a form of contributions with long values, laps of missions that repeat, and timelines of players.
/// Format 4 adds restrictions, points and unlocks of players.
/// Format 5 adds amounts that wait for a rate, slips of bets whose stakes are booked with their settlements, and tiers of players.
/// Format 6 cuts sections into pieces and says of each section how many pieces before it are needed; and adds which events missions of a
/// group contest, and events that are retained.
/// Format 7 adds what is known of customers, and single transactions that are kept whole.
/// Format 8 says of each player how long what it says is, when something of it can be forgotten and what it unlocked.
/// Format 9 adds jackpots of transactions and of rows of activity, and chargebacks; what has none of them is as in format 8.
/// Format 10 lets rows of activity go cold, so that a part of them may be in runs; sections are as in format 9.
pub const FORMAT: u32 = 10;

/// Takes one worker's sections, and says when they are due. An operator does not read a clock, and need not:
/// state is the same whenever it is written.
pub trait Archive {
    /// Key groups whose state is written as it is after `epoch`; all of a worker's operators get the same answer,
    /// so that nothing which one has sent to the other is between two sections.
    fn due(&mut self, epoch: Epoch) -> Range<u16>;

    /// A group of [`due`](Self::due) is [`Visited::Unfinished`] behind `epoch`: it and those behind it are not due then, for none
    /// of the worker's operators, but behind a later epoch.
    fn put_off(&mut self, epoch: Epoch, group: KeyGroup);

    /// Takes a section.
    fn keep(&mut self, section: Section);

    /// By what is written.
    fn terms(&self) -> Terms;
}

/// By what an operator writes.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// What may go cold, where there is a place for it.
    pub cold: Option<ColdRules>,
    /// Of one group about so much is written behind one epoch, so that the worker is soon back; more than nothing.
    pub bytes_at_once: usize,
}

/// What came of a group's turn.
#[derive(Debug)]
pub enum Visited {
    /// Nothing: what an earlier life has written of it knows more than this one yet.
    Asleep,
    /// A part of its section; the rest is written when it has its turn again.
    Unfinished,
    /// Its section.
    Section(Section),
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
    /// The worker's parts. Each is taken out when it is read, so that the memory of what is read makes room for what comes of it.
    pub parts: RefCell<Vec<(Keeper, KeyGroup, Kept)>>,
    /// How many more threads than the worker's own read them.
    pub helpers: usize,
}

impl Restored {
    /// Reads the parts of one operator, with the epochs that they know. Key groups have nothing in common, so threads
    /// read them side by side; what a thread's parts may share is its `L`.
    pub(crate) fn read<L: Default, T: Send>(
        &self,
        keeper: Keeper,
        read: impl Fn(&mut L, &mut Unpacker, Kept) -> T + Sync,
    ) -> BTreeMap<KeyGroup, (Epoch, T)> {
        let parts: Vec<_> = self.parts.borrow_mut().extract_if(.., |part| part.0 == keeper).collect();
        let parts = Mutex::new(parts.into_iter());
        let next = || parts.lock().expect("whoever panics ends the process").next();
        let read_some = || {
            let (mut shared, mut unpacker, mut done) = (L::default(), Unpacker::new().expect(MEMORY), Vec::new());
            while let Some((_, group, kept)) = next() {
                done.push((group, (kept.epoch, read(&mut shared, &mut unpacker, kept))));
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

const MEMORY: &str = "there is memory for a decompressor";

/// Why [`Restored::parts`] can always be read.
pub(crate) const READABLE: &str = "whoever reads a checkpoint looks at its format and checksums";

/// Why state can always be written.
pub(crate) const WRITABLE: &str = "state has only types that postcard writes";

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
    /// Writes the groups that are due after `epoch`, by `write`.
    pub(crate) fn write(
        &self,
        epoch: Epoch,
        (worker, workers): (usize, usize),
        mut write: impl FnMut(KeyGroup, Terms) -> Visited,
    ) {
        let Some(archive) = &self.archive else { return };
        let mut archive = archive.borrow_mut();
        let (due, terms) = (archive.due(epoch), archive.terms());
        for group in due.map(KeyGroup).filter(|group| group.worker(workers) == worker) {
            match write(group, terms) {
                Visited::Asleep => {}
                Visited::Section(section) => archive.keep(section),
                Visited::Unfinished => return archive.put_off(epoch, group),
            }
        }
    }
}

#[cfg(test)]
mod crashes;
#[cfg(test)]
mod tests {
    use super::*;

    /// Lets everything go cold, and keeps nothing.
    #[derive(Default)]
    struct Nowhere {
        kept: Vec<Section>,
        put_off: Vec<(Epoch, u16)>,
    }

    impl Archive for Nowhere {
        fn due(&mut self, _: Epoch) -> Range<u16> {
            3..10
        }

        fn put_off(&mut self, epoch: Epoch, group: KeyGroup) {
            self.put_off.push((epoch, group.0));
        }

        fn keep(&mut self, section: Section) {
            self.kept.push(section);
        }

        fn terms(&self) -> Terms {
            Terms { cold: Some(ColdRules { after_hours: 5, every_hours: 6, least_rows: 1 }), bytes_at_once: 7 }
        }
    }

    #[test]
    fn a_worker_writes_its_groups_by_the_rules_of_the_archive() {
        let nowhere = Rc::new(RefCell::new(Nowhere::default()));
        let state = State { archive: Some(nowhere.clone()), restored: Rc::default() };
        let mut asked = Vec::new();
        state.write(8, (1, 2), |group, terms| {
            asked.push((group.0, terms.cold.unwrap().after_hours, terms.bytes_at_once));
            let part = datasets::state::Part { keeper: Keeper::Players, group };
            match group.0 {
                3 => Visited::Asleep,
                5 => Visited::Section(Section { part, epoch: 8, needs: 0, pieces: Vec::new(), cold: None }),
                _ => Visited::Unfinished,
            }
        });
        // Of those of the worker none behind the one that has to go on.
        assert_eq!(asked, [(3, 5, 7), (5, 5, 7), (7, 5, 7)]);
        assert_eq!((nowhere.borrow().kept.len(), &nowhere.borrow().put_off[..]), (1, &[(8, 7)][..]));
    }
}
