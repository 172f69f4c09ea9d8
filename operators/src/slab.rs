//! Values that stay where they are put, found by a number.
//!
//! Memory grows by chunks: no value is ever copied to make room for others, as in a vector or a hash table,
//! and the memory of what is removed is used again.

/// Values of a chunk.
pub(crate) const CHUNK: usize = 32;
/// The same, for places.
const PLACES: u32 = 32;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    /// Places whose values were removed.
    vacant: Vec<u32>,
    /// Chunks with values that may have changed; some are here more than once, and some have none any more.
    changed: Vec<u32>,
    /// How many values may have changed.
    changes: usize,
}

#[derive(Clone, Debug)]
struct Chunk<T> {
    values: Vec<Option<T>>,
    /// Which of them may have changed since they were written, a bit each.
    changed: u32,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { chunks: Vec::new(), vacant: Vec::new(), changed: Vec::new(), changes: 0 }
    }
}

impl<T> Slab<T> {
    /// Puts a value somewhere and tells where.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(place) = self.vacant.pop() {
            let (chunk, index) = parts(place);
            self.chunks[chunk].values[index] = Some(value);
            self.mark(chunk, index);
            return place;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.values.len() == CHUNK) {
            self.chunks.push(Chunk { values: Vec::with_capacity(CHUNK), changed: 0 });
        }
        let last = self.chunks.len() - 1;
        let values = &mut self.chunks[last].values;
        values.push(Some(value));
        let index = values.len() - 1;
        self.mark(last, index);
        u32::try_from(last * CHUNK + index).expect("fewer than 2^32 values in one slab")
    }

    /// The value at `index` of `chunk` may have changed.
    fn mark(&mut self, chunk: usize, index: usize) {
        let changed = &mut self.chunks[chunk].changed;
        if *changed == 0 {
            self.changed.push(u32::try_from(chunk).expect("fewer chunks than values"));
        }
        self.changes += usize::from(*changed & 1 << index == 0);
        *changed |= 1 << index;
    }

    /// No value counts as changed.
    pub(crate) fn settle(&mut self) {
        self.changed.clear();
        self.changes = 0;
        self.chunks.iter_mut().for_each(|chunk| chunk.changed = 0);
    }

    /// How many chunks have no room for one more, of those that nothing was removed from.
    pub(crate) fn full_chunks(&self) -> usize {
        debug_assert!(self.vacant.is_empty(), "what comes later may lie in an earlier chunk");
        self.chunks.len() - usize::from(self.chunks.last().is_some_and(|last| last.values.len() < CHUNK))
    }

    /// Turns the order of the chunks round, so that what was put first is taken last. No value counts as changed then. Answers where
    /// the value at a place is now.
    pub(crate) fn turn_round(&mut self) -> impl Fn(u32) -> u32 + use<T> {
        let len = u32::try_from(self.chunks.len()).expect("fewer chunks than values");
        let turned = move |place: u32| (len - 1 - place / PLACES) * PLACES + place % PLACES;
        debug_assert!(self.vacant.is_empty(), "nothing was removed yet");
        // The last chunk has another one behind it now: its room is found as that of values which were removed.
        if let Some(last) = self.chunks.last_mut() {
            let first = u32::try_from(last.values.len()).expect("32 at most");
            last.values.resize_with(CHUNK, || None);
            self.vacant.extend(first..PLACES);
        }
        self.chunks.reverse();
        self.settle();
        turned
    }

    /// How many values may have changed since they were last taken.
    pub(crate) fn changed(&self) -> usize {
        self.changes
    }

    /// How many chunks there are.
    pub(crate) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// All values of the `chunks`; and those that may have changed since they were last taken, if `with_changed`. Each with whether it may
    /// have. None of them counts as changed any more.
    pub(crate) fn take(
        &mut self,
        chunks: std::ops::Range<usize>,
        with_changed: bool,
    ) -> impl Iterator<Item = (&mut T, bool)> {
        let mut taken: Vec<usize> = chunks.clone().collect();
        if with_changed {
            let changed = self.changed.drain(..).map(|chunk| usize::try_from(chunk).expect("usize holds a u32"));
            taken.extend(changed.filter(|chunk| !chunks.contains(chunk)));
            taken.sort_unstable();
            taken.dedup();
        }
        let (mut behind, mut passed, changes) = (&mut self.chunks[..], 0, &mut self.changes);
        taken.into_iter().flat_map(move |number| {
            let (chunk, rest) = std::mem::take(&mut behind)[number - passed..].split_first_mut().expect("there is one");
            (behind, passed) = (rest, number + 1);
            let changed = std::mem::take(&mut chunk.changed);
            *changes -= usize::try_from(changed.count_ones()).expect("32 at most");
            let wanted = if chunks.contains(&number) { u32::MAX } else { changed };
            let values = chunk.values.iter_mut().enumerate().filter(move |(index, _)| wanted & 1 << index != 0);
            values.filter_map(move |(index, value)| Some((value.as_mut()?, changed & 1 << index != 0)))
        })
    }

    /// The value at `place`.
    pub(crate) fn get(&self, place: u32) -> Option<&T> {
        let (chunk, index) = parts(place);
        self.chunks.get(chunk)?.values.get(index)?.as_ref()
    }

    /// The value at `place`, which counts as changed.
    pub(crate) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        let (chunk, index) = parts(place);
        self.chunks.get(chunk)?.values.get(index)?.as_ref()?;
        self.mark(chunk, index);
        self.chunks[chunk].values[index].as_mut()
    }

    /// The values that are `wanted`, with their places. They count as changed. `fetch` is shown those of a chunk before it is asked of any.
    pub(crate) fn iter_mut_where(
        &mut self,
        fetch: impl Fn(&[Option<T>]),
        wanted: impl Fn(&T) -> bool,
    ) -> impl Iterator<Item = (u32, &mut T)> {
        let is_wanted = move |value: &Option<T>| value.as_ref().is_some_and(&wanted);
        let (changed, changes) = (&mut self.changed, &mut self.changes);
        (0..).zip(&mut self.chunks).flat_map(move |(number, Chunk { values, changed: marks })| {
            fetch(values);
            let mut found = 0;
            for (index, value) in values.iter().enumerate() {
                found |= u32::from(is_wanted(value)) << index;
            }
            if *marks == 0 && found != 0 {
                changed.push(number);
            }
            *changes += usize::try_from((found & !*marks).count_ones()).expect("32 at most");
            *marks |= found;
            let found = (number * PLACES..).zip(values).filter(move |(place, _)| found & 1 << (place % PLACES) != 0);
            found.filter_map(|(place, value)| Some((place, value.as_mut()?)))
        })
    }

    /// All values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| &chunk.values).flatten()
    }

    /// All values with their places.
    pub(crate) fn places(&self) -> impl Iterator<Item = (u32, &T)> {
        let places = (0..).step_by(CHUNK).zip(&self.chunks).flat_map(|(first, chunk)| (first..).zip(&chunk.values));
        places.filter_map(|(place, value)| Some((place, value.as_ref()?)))
    }

    /// The values that have not changed since they were last taken, with their places.
    pub(crate) fn unchanged(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).step_by(CHUNK).zip(&self.chunks).flat_map(|(first, chunk)| {
            let values = (first..).zip(&chunk.values).enumerate();
            let unchanged = values.filter(|(index, _)| chunk.changed & 1 << index == 0);
            unchanged.filter_map(|(_, (place, value))| Some((place, value.as_ref()?)))
        })
    }

    /// All values, none of which says anything else than before when this is done.
    pub(crate) fn iter_mut_unchanged(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flat_map(|chunk| &mut chunk.values).flatten()
    }

    /// Takes out the value at `place`, which another one may get.
    pub(crate) fn remove(&mut self, place: u32) -> Option<T> {
        let (chunk, index) = parts(place);
        let value = self.chunks.get_mut(chunk)?.values.get_mut(index)?.take();
        if value.is_some() {
            self.vacant.push(place);
        }
        value
    }
}

fn parts(place: u32) -> (usize, usize) {
    let place = usize::try_from(place).expect("usize holds a u32");
    (place / CHUNK, place % CHUNK)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_a_map_that_chooses_its_keys(
            first in 0..150_u32,
            steps in prop::collection::vec(prop_oneof![Just(None), (0..200_u32).prop_map(Some)], 0..300),
        ) {
            let (mut slab, mut known) = (Slab::default(), std::collections::BTreeMap::new());
            known.extend((0..first).map(|value| (slab.insert(value), value)));
            let turned = slab.turn_round();
            known = known.into_iter().map(|(place, value)| (turned(place), value)).collect();
            for (value, step) in (first..).zip(steps) {
                match step {
                    None => {
                        let place = slab.insert(value);
                        prop_assert_eq!(known.insert(place, value), None);
                    }
                    Some(place) => prop_assert_eq!(slab.remove(place), known.remove(&place)),
                }
                prop_assert!((0..200).all(|place| slab.get(place) == known.get(&place)));
            }
        }
    }
}
