//! Where values of a [`Slab`](crate::slab::Slab) are, by a part of the hash of their keys.
//!
//! An entry takes 8 bytes: the keys themselves are with the values. Who looks for one says whether what is at a place is it; most of what is
//! not there is known by the part of the hash alone.

use hashbrown::HashTable;

/// Places by the short hash of their keys. A key is here once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index(HashTable<Slot>);

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Enough to move in the table without looking at the key.
    hash: u32,
    place: u32,
}

impl Index {
    /// The place with a key of this `hash` that `is_it`.
    pub(crate) fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let is_it = |slot: &Slot| slot.hash == hash && is_it(slot.place);
        self.0.find(long(hash), is_it).map(|slot| slot.place)
    }

    /// A new key's place.
    pub(crate) fn insert(&mut self, hash: u32, place: u32) {
        self.0.insert_unique(long(hash), Slot { hash, place }, |slot| long(slot.hash));
    }

    /// Takes out the place with a key of this `hash` that `is_it`.
    pub(crate) fn remove(&mut self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let entry = self.0.find_entry(long(hash), |slot| slot.hash == hash && is_it(slot.place)).ok()?;
        Some(entry.remove().0.place)
    }

    /// Values are at other places now.
    pub(crate) fn move_all(&mut self, moved: impl Fn(u32) -> u32) {
        self.0.iter_mut().for_each(|slot| slot.place = moved(slot.place));
    }

    /// So many are about to come, if these are the first.
    pub(crate) fn make_room(&mut self, count: usize) {
        if self.0.is_empty() {
            self.0.reserve(count, |slot| long(slot.hash));
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// What is kept of the hash of a player or of a customer's row: those of one key group have the lowest bits in common.
pub(crate) fn short_hash(hash: u64) -> u32 {
    let [_, _, a, b, c, d, ..] = hash.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The table looks at the lowest bits and at the highest.
fn long(short: u32) -> u64 {
    u64::from(short) << 32 | u64::from(short)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::collections::btree_map::Entry;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_takes_8_bytes() {
        assert_eq!(size_of::<Slot>(), 8);
    }

    proptest! {
        /// Keys of which many have the same hash.
        #[test]
        fn is_a_map_of_keys(steps in prop::collection::vec((0..40_u32, any::<bool>()), 0..200), by in 0..9_u32) {
            let (mut index, mut known, mut keys) = (Index::default(), BTreeMap::new(), Vec::new());
            for (key, is_removal) in steps {
                let hash = key % 7;
                let is_it = |place: u32| keys[usize::try_from(place).unwrap()] == key;
                prop_assert_eq!(index.find(hash, is_it), known.get(&key).copied());
                if is_removal {
                    prop_assert_eq!(index.remove(hash, is_it), known.remove(&key));
                } else if let Entry::Vacant(vacant) = known.entry(key) {
                    let place = u32::try_from(keys.len()).unwrap();
                    index.insert(hash, *vacant.insert(place));
                    keys.push(key);
                }
                prop_assert_eq!(index.len(), known.len());
            }
            index.move_all(|place| place + by);
            for (key, place) in known {
                let is_it = |moved: u32| keys[usize::try_from(moved - by).unwrap()] == key;
                prop_assert_eq!(index.find(key % 7, is_it), Some(place + by));
            }
        }
    }
}
