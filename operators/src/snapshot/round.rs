//! Which values a section holds beside those that have changed, and which pieces that makes superfluous.
//!
//! Writing goes round in all tables of a part at once: when a share of the time round has passed, that share of each table is
//! written. Of the pieces, those are needed that were written since the same share had passed the time before. Why:
//! 1. Tables do not shrink while a process lives, so a chunk is passed in each time round, and never at a greater share than before.
//! 2. So what had passed before such a piece has passed again since, and whatever changed later was written later.
//! 3. What an earlier life has written is read from the newest piece to the oldest, into tables that only grow meanwhile: nothing that a
//!    piece or those before it alone brought lies in chunks that were full before it was read. Then the tables are turned round, and these
//!    chunks are the last: once all others are passed, what the piece brought has been written again.

use std::collections::VecDeque;
use std::ops::Range;

use crate::slab::CHUNK;

/// At least one in so many chunks is written each time, changed or not: so many sections make a time round at most.
const SLOWEST: usize = 64;
/// For each value that has changed so many others are written: what a start reads is all state once, and of what changed meanwhile `1 / n` of
/// the state. More of them make a start read less, and a round write more.
const OTHERS: usize = 4;

/// A section that goes so far round is cut into pieces, so that little of it stays only because the rest is needed.
const PIECES: usize = 16;
/// A piece goes through so many chunks at least: small ones are not worth their place in an index.
const SMALLEST: usize = 8;

/// All of a table.
const WHOLE: usize = 1 << 32;

/// How far writing has come in the chunks of a part's tables.
#[derive(Clone, Debug)]
pub(crate) struct Round<const TABLES: usize> {
    next: [usize; TABLES],
    /// The share of the tables that has passed this time round, of [`WHOLE`].
    passed: usize,
    /// The pieces that are needed, oldest first, each with the share that had passed behind it.
    needed: VecDeque<usize>,
    /// How many of them are of the time before.
    before: usize,
}

/// What a section is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Turn<const TABLES: usize> {
    /// For each piece these chunks, changed or not; for the last one what has changed elsewhere, too.
    pub pieces: Vec<[Range<usize>; TABLES]>,
    /// It is the first of a time round.
    pub is_first: bool,
    /// So many pieces before it are needed with it.
    pub needs: usize,
}

impl<const TABLES: usize> Default for Round<TABLES> {
    fn default() -> Self {
        Round { next: [0; TABLES], passed: 0, needed: VecDeque::new(), before: 0 }
    }
}

impl<const TABLES: usize> Round<TABLES> {
    /// Goes on from pieces that were read, the newest first, into tables that were turned round then: how many chunks were full before each of
    /// them was read, and how many there are now. So what is only in old pieces is written again first, and a piece is needed until its
    /// part of the tables has passed, with all behind it.
    pub fn resume(full: &[[usize; TABLES]], all: [usize; TABLES]) -> Self {
        // The least share at which all chunks but the last `full` are passed: see `pass`.
        let share = |(full, all): (usize, usize)| match all.saturating_sub(full) {
            0 => 0,
            size => (size - 1) * WHOLE / all + 1,
        };
        let shares = full.iter().rev().map(|full| full.iter().copied().zip(all).map(share).max().unwrap_or(0));
        Round { needed: shares.collect(), ..Round::default() }
    }

    /// The chunks that are written next, of tables of `sizes` in chunks, when so many values have `changed`: what is written follows
    /// what changes.
    pub fn next(&mut self, sizes: [usize; TABLES], changed: usize) -> Turn<TABLES> {
        let is_first = self.passed == 0;
        if is_first {
            (self.next, self.before) = ([0; TABLES], self.needed.len());
        }
        let total: usize = sizes.iter().sum();
        let count = (changed * OTHERS).div_ceil(CHUNK).max(total.div_ceil(SLOWEST)).max(1);
        let share = if total == 0 { WHOLE } else { (count.min(total) * WHOLE).div_ceil(total) };
        let (begin, end) = (self.passed, WHOLE.min(self.passed + share));
        let cuts = ((end - begin) * PIECES).div_ceil(WHOLE).min(count.min(total) / SMALLEST).max(1);
        let behind: Vec<usize> = (1..=cuts).map(|cut| begin + (end - begin) * cut / cuts).collect();
        let pieces = behind.iter().map(|passed| self.pass(*passed, sizes)).collect();
        self.passed = end;
        while self.before > 0 && self.needed.front().is_some_and(|share| *share <= self.passed) {
            self.needed.pop_front();
            self.before -= 1;
        }
        let needs = self.needed.len();
        self.needed.extend(behind);
        if self.passed == WHOLE {
            self.passed = 0;
        }
        Turn { pieces, is_first, needs }
    }

    /// The chunks that pass until this share has: a chunk with the first part of the share that falls to it. So what is alone in its
    /// table passes first, and no piece has to stay for it until a time round ends.
    fn pass(&mut self, share: usize, sizes: [usize; TABLES]) -> [Range<usize>; TABLES] {
        std::array::from_fn(|table| {
            let begin = self.next[table];
            self.next[table] = (sizes[table] * share).div_ceil(WHOLE).max(begin);
            begin..self.next[table]
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::slab::Slab;
    use crate::testing::{Rng, seeds};

    /// Two tables, of which values are put, changed and taken out again, and what was written of them.
    #[derive(Default)]
    struct Part {
        tables: [Slab<(u64, u64)>; 2],
        places: [BTreeMap<u64, u32>; 2],
        round: Round<2>,
        /// By piece and table.
        pieces: Vec<[Vec<(u64, u64)>; 2]>,
    }

    impl Part {
        fn put(&mut self, table: usize, key: u64, version: u64) {
            let (values, places) = (&mut self.tables[table], &mut self.places[table]);
            match places.get(&key) {
                Some(place) => values.get_mut(*place).unwrap().1 = version,
                None => drop(places.insert(key, values.insert((key, version)))),
            }
        }

        fn remove(&mut self, table: usize, key: u64) {
            if let Some(place) = self.places[table].remove(&key) {
                self.tables[table].remove(place);
            }
        }

        fn sizes(&self) -> [usize; 2] {
            [self.tables[0].chunks(), self.tables[1].chunks()]
        }

        fn write(&mut self) {
            let changed = self.tables.iter().map(Slab::changed).sum();
            let Turn { pieces, needs, .. } = self.round.next(self.sizes(), changed);
            self.pieces.drain(..self.pieces.len().checked_sub(needs).expect("it needs what is there"));
            let last = pieces.len() - 1;
            let [a, b] = &mut self.tables;
            for (place, [first, second]) in pieces.into_iter().enumerate() {
                let is_last = place == last;
                let taken = |values: &mut dyn Iterator<Item = (&mut (u64, u64), bool)>| {
                    values.map(|(value, _)| *value).collect()
                };
                self.pieces.push([taken(&mut a.take(first, is_last)), taken(&mut b.take(second, is_last))]);
            }
            assert_eq!(self.tables.iter().map(Slab::changed).sum::<usize>(), 0);
        }

        /// What the pieces say.
        fn read(&self) -> Part {
            let (mut part, mut full) = (Part::default(), Vec::new());
            for piece in self.pieces.iter().rev() {
                full.push(part.tables.each_ref().map(Slab::full_chunks));
                for (table, (key, version)) in
                    (0..).zip(piece).flat_map(|(table, all)| all.iter().map(move |one| (table, *one)))
                {
                    if !part.places[table].contains_key(&key) {
                        part.put(table, key, version);
                    }
                }
            }
            for (values, places) in part.tables.iter_mut().zip(&mut part.places) {
                let turned = values.turn_round();
                places.values_mut().for_each(|place| *place = turned(*place));
            }
            Part { round: Round::resume(&full, part.sizes()), pieces: self.pieces.clone(), ..part }
        }

        fn values(&self, table: usize) -> BTreeMap<u64, u64> {
            self.tables[table].iter().copied().collect()
        }

        fn len(&self) -> usize {
            self.places.iter().map(BTreeMap::len).sum()
        }

        fn written(&self) -> usize {
            self.pieces.iter().flatten().map(Vec::len).sum()
        }
    }

    #[test]
    fn what_is_needed_is_the_whole_part_and_little_more() {
        for seed in seeds(60) {
            let mut rng = Rng(seed);
            let many = rng.pick(&[50, 3_000]);
            let in_each = rng.pick(&[0, 1, many / 100, many / 20, many]);
            let (may_die, may_grow) = (rng.one_in(2), rng.one_in(2));
            // The second table has a third of the values, or one.
            let every = rng.pick(&[3, many]);
            let (mut part, mut version, mut most) = (Part::default(), 0, 0.0_f64);
            for key in 0..many {
                part.put(usize::from(key % every == 0), key, 0);
            }
            for turn in 0..150 {
                for _ in 0..in_each {
                    version += 1;
                    let (table, new) = (usize::from(every == 3 && rng.one_in(3)), many + version);
                    let key = if may_grow && rng.one_in(4) {
                        new
                    } else {
                        rng.below(i64::try_from(many).unwrap()).unsigned_abs()
                    };
                    part.put(table, key, version);
                    if rng.one_in(5) {
                        part.remove(1 - table, key);
                    }
                }
                part.write();
                let mut read = part.read();
                for table in 0..2 {
                    let found = read.values(table);
                    // What was taken out may still be there: it is not for pieces to say.
                    assert!(
                        part.values(table).iter().all(|(key, version)| found.get(key) == Some(version)),
                        "seed {seed}, turn {turn}"
                    );
                }
                if may_die && rng.one_in(20) {
                    for table in 0..2 {
                        let known = read.places[table].keys().copied();
                        let gone: Vec<u64> = known.filter(|key| !part.places[table].contains_key(key)).collect();
                        gone.into_iter().for_each(|key| read.remove(table, key));
                    }
                    part = read;
                }
                let share = |of: usize| f64::from(u32::try_from(of).unwrap());
                most = most.max(share(part.written()) / share(part.len()));
            }
            // Few values are in few chunks, of which one more or less makes a difference.
            if many > 1_000 {
                assert!(most < 1.6, "seed {seed}: a start reads {most} times the state, {in_each} change");
            }
        }
    }

    #[test]
    fn a_time_round_takes_every_chunk_once() {
        let mut round = Round::default();
        let mut written = [vec![], vec![], vec![]];
        for turn in 0..4 {
            let Turn { pieces, is_first, needs } = round.next([7, 0, 3], 32);
            let [chunks] = pieces.try_into().unwrap();
            assert_eq!((is_first, needs), (turn == 0 || turn == 3, [0, 1, 2, 2][turn]));
            if turn < 3 {
                written.iter_mut().zip(chunks).for_each(|(written, range)| written.extend(range));
            }
        }
        assert_eq!(written, [(0..7).collect(), vec![], (0..3).collect::<Vec<_>>()]);
    }

    #[test]
    fn without_changes_it_goes_on_slowly() {
        let mut round = Round::default();
        let turn = |chunks, is_first, needs| Turn { pieces: vec![chunks], is_first, needs };
        assert_eq!(round.next([1024, 0], 0), turn([0..16, 0..0], true, 0));
        assert_eq!(round.next([1024, 0], 1), turn([16..32, 0..0], false, 1));
        assert_eq!(Round::default().next([0, 0], 0), turn([0..0, 0..0], true, 0));
    }
}
