//! The customers of one key group's rows.
//!
//! There are as many rows as days that a customer played on, and games. So the text of an id is kept once, one behind the other in the same
//! memory, and a row says where it is in 4 bytes. Who has no row in memory any more is left out when rows go cold.

use datasets::hash::player_hash;

use crate::index::{Index, short_hash};
use crate::snapshot::{WRITABLE, next};

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Customers {
    /// Where each begins in `ids`.
    index: Index,
    /// Each behind its length.
    ids: Vec<u8>,
}

/// A customer of this key group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Customer(u32);

impl Customers {
    /// The customer of `id`, who is known from now on.
    pub(super) fn enter(&mut self, id: &str) -> Customer {
        let hash = short_hash(player_hash(id));
        if let Some(start) = self.index.find(hash, |start| self.is(Customer(start), id)) {
            return Customer(start);
        }
        let start = u32::try_from(self.ids.len()).expect("the ids of a key group have less than 4 GiB");
        let written = postcard::to_allocvec(id).expect(WRITABLE);
        if self.ids.capacity() - self.ids.len() < written.len() {
            self.ids.reserve_exact(self.ids.len() / 4 + written.len());
        }
        self.ids.extend_from_slice(&written);
        self.index.insert(hash, start);
        Customer(start)
    }

    /// `customer` has this id.
    pub(super) fn is(&self, customer: Customer, id: &str) -> bool {
        // A text is written as its bytes are.
        let own: &[u8] = next(&mut self.behind(customer));
        own == id.as_bytes()
    }

    /// The id of `customer`.
    pub(super) fn id(&self, customer: Customer) -> &str {
        next(&mut self.behind(customer))
    }

    fn behind(&self, Customer(start): Customer) -> &[u8] {
        &self.ids[usize::try_from(start).expect("usize holds a u32")..]
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// So many are about to come, if these are the first.
    pub(super) fn make_room(&mut self, count: usize) {
        self.index.make_room(count);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_is_entered_once_and_keeps_its_id(ids in prop::collection::vec("[ab€]{0,5}|x{120,140}", 0..60)) {
            let (mut customers, mut known) = (Customers::default(), BTreeMap::new());
            for id in &ids {
                let customer = customers.enter(id);
                prop_assert_eq!(*known.entry(id).or_insert(customer), customer);
            }
            for (id, customer) in &known {
                prop_assert_eq!(customers.id(*customer), id.as_str());
                prop_assert!(known.iter().all(|(other, one)| customers.is(*one, id) == (other == id)));
            }
        }
    }
}
