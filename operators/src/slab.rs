//! Values that stay where they are put, found by a number.
//!
//! Memory grows by chunks: no value is ever copied to make room for others, as in a vector or a hash table,
//! and the memory of what is removed is used again.

/// Values of a chunk.
const CHUNK: usize = 32;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Vec<Option<T>>>,
    /// Places whose values were removed.
    vacant: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { chunks: Vec::new(), vacant: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Puts a value somewhere and tells where.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(place) = self.vacant.pop() {
            let (chunk, index) = parts(place);
            self.chunks[chunk][index] = Some(value);
            return place;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let chunk = self.chunks.last_mut().expect("there is room");
        chunk.push(Some(value));
        u32::try_from(before + chunk.len() - 1).expect("fewer than 2^32 values in one slab")
    }

    /// The value at `place`.
    pub(crate) fn get(&self, place: u32) -> Option<&T> {
        let (chunk, index) = parts(place);
        self.chunks.get(chunk)?.get(index)?.as_ref()
    }

    /// The value at `place`.
    pub(crate) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        let (chunk, index) = parts(place);
        self.chunks.get_mut(chunk)?.get_mut(index)?.as_mut()
    }

    /// All values.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flatten().flatten()
    }

    /// All values.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten().flatten()
    }

    /// All values.
    pub(crate) fn into_values(self) -> impl Iterator<Item = T> {
        self.chunks.into_iter().flatten().flatten()
    }

    /// Takes out the value at `place`, which another one may get.
    pub(crate) fn remove(&mut self, place: u32) -> Option<T> {
        let (chunk, index) = parts(place);
        let value = self.chunks.get_mut(chunk)?.get_mut(index)?.take();
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
        fn is_a_map_that_chooses_its_keys(steps in prop::collection::vec(prop_oneof![Just(None), (0..200_u32).prop_map(Some)], 0..300)) {
            let (mut slab, mut known) = (Slab::default(), std::collections::BTreeMap::new());
            for (value, step) in (0..).zip(steps) {
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
