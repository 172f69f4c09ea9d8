//! What events contributed, in order.
//!
//! One takes 24 bytes while it fits [`Packed`], which all play of this world does, or 32 where values are names of 126
//! bits; the first that does not fit turns its whole sequence into a wider form. All forms mean the same.

use datasets::{Money, PackedCoordinates, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ledger::Order;
use crate::room::make_room;

/// What one event adds to the stages of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contribution {
    /// When it counts, then the coordinates of the deciding record.
    pub order: Order,
    /// It qualifies; an event of a `run` that does not resets the run.
    pub qualifies: bool,
    /// Nobody has taken it back.
    pub live: bool,
    /// What it adds, or the quantity itself where the largest counts; where different values count, the value's name
    /// ([`value_hash`](datasets::hash::value_hash)), which nobody adds.
    pub value: Money,
}

/// Contributions sorted by [`Order`], which each has for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contributions(Form);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Form {
    Packed(Vec<Packed<i64>>),
    Wide(Vec<Contribution>),
    /// Since format 3.
    Long(Vec<Packed<i128>>),
}

impl Default for Contributions {
    fn default() -> Self {
        Contributions(Form::Packed(Vec::new()))
    }
}

impl Contributions {
    /// How many.
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Packed(all) => all.len(),
            Form::Long(all) => all.len(),
            Form::Wide(all) => all.len(),
        }
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The one at `index`. Panics beyond the end.
    pub fn get(&self, index: usize) -> Contribution {
        match &self.0 {
            Form::Packed(all) => all[index].unpack(),
            Form::Long(all) => all[index].unpack(),
            Form::Wide(all) => all[index],
        }
    }

    /// The last one's place in the order.
    pub fn last(&self) -> Option<Order> {
        self.len().checked_sub(1).map(|index| self.get(index).order)
    }

    /// The last one's time.
    #[inline]
    pub fn newest(&self) -> Option<Timestamp> {
        match &self.0 {
            Form::Packed(all) => all.last().map(|last| last.time),
            Form::Long(all) => all.last().map(|last| last.time),
            Form::Wide(all) => all.last().map(|last| last.order.0),
        }
    }

    /// The one of the event of `order`.
    pub fn find(&self, order: Order) -> Option<Contribution> {
        self.position(order).ok().map(|index| self.get(index))
    }

    /// Those in `times`, in order; with a bound, those after it.
    pub fn between(
        &self,
        (from, to): (Timestamp, Option<Timestamp>),
        after: Option<Order>,
    ) -> impl DoubleEndedIterator<Item = Contribution> {
        let start = self.first(|other| other.order.0 >= from && after.is_none_or(|after| other.order > after));
        let end = to.map_or(self.len(), |to| self.first(|other| other.order.0 >= to));
        (start..end).map(|index| self.get(index))
    }

    /// Adds `contribution`, or puts it in the place of the one of its event.
    pub fn put(&mut self, contribution: Contribution) {
        let position = self.position(contribution.order);
        if let Form::Packed(all) = &mut self.0 {
            match Packed::<i64>::pack(&contribution) {
                Some(packed) => return put(all, position, packed),
                None => self.lengthen(),
            }
        }
        if let Form::Long(all) = &mut self.0 {
            match Packed::<i128>::pack(&contribution) {
                Some(packed) => return put(all, position, packed),
                None => self.0 = Form::Wide(self.iter().collect()),
            }
        }
        if let Form::Wide(all) = &mut self.0 {
            put(all, position, contribution);
        }
    }

    /// Drops those before `time`.
    pub fn drop_before(&mut self, time: Timestamp) {
        let end = self.first(|other| other.order.0 >= time);
        match &mut self.0 {
            Form::Packed(all) => drop(all.drain(..end)),
            Form::Long(all) => drop(all.drain(..end)),
            Form::Wide(all) => drop(all.drain(..end)),
        }
    }

    /// Where the one of `order` is, or else where it belongs.
    fn position(&self, order: Order) -> Result<usize, usize> {
        // Most come in order.
        let len = self.len();
        if len == 0 || self.get(len - 1).order < order {
            return Err(len);
        }
        let index = self.first(|other| other.order >= order);
        if self.get(index).order == order { Ok(index) } else { Err(index) }
    }

    fn iter(&self) -> impl Iterator<Item = Contribution> {
        (0..self.len()).map(|index| self.get(index))
    }

    fn lengthen(&mut self) {
        let long = self.iter().map(|one| Packed::<i128>::pack(&one).expect("it fits fewer bits"));
        self.0 = Form::Long(long.collect());
    }

    /// Index of the first that `is_beyond`, which none before it is.
    fn first(&self, is_beyond: impl Fn(Contribution) -> bool) -> usize {
        match &self.0 {
            Form::Packed(all) => all.partition_point(|other| !is_beyond(other.unpack())),
            Form::Long(all) => all.partition_point(|other| !is_beyond(other.unpack())),
            Form::Wide(all) => all.partition_point(|other| !is_beyond(*other)),
        }
    }
}

fn put<T>(all: &mut Vec<T>, position: Result<usize, usize>, one: T) {
    match position {
        Ok(index) => all[index] = one,
        Err(index) => {
            make_room(all, 2);
            all.insert(index, one);
        }
    }
}

/// A contribution in three words, or four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Packed<R> {
    time: Timestamp,
    at: PackedCoordinates,
    /// The value in all but two bits, then `qualifies`, `live`.
    rest: R,
}

impl Packed<i64> {
    /// `None` when a part needs more bits than there are.
    fn pack(contribution: &Contribution) -> Option<Self> {
        let Packed { time, at, rest } = Packed::<i128>::pack(contribution)?;
        Some(Packed { time, at, rest: i64::try_from(rest).ok()? })
    }

    fn unpack(&self) -> Contribution {
        let Packed { time, at, rest } = *self;
        Packed { time, at, rest: i128::from(rest) }.unpack()
    }
}

impl Packed<i128> {
    /// `None` when a part needs more bits than there are.
    fn pack(contribution: &Contribution) -> Option<Self> {
        let Contribution { order: (time, at), qualifies, live, value } = *contribution;
        let shifted = value.raw() << 2;
        let rest = shifted | i128::from(qualifies) << 1 | i128::from(live);
        (shifted >> 2 == value.raw()).then_some(Packed { time, at: PackedCoordinates::pack(at)?, rest })
    }

    fn unpack(&self) -> Contribution {
        Contribution {
            order: (self.time, self.at.unpack()),
            qualifies: self.rest & 2 != 0,
            live: self.rest & 1 != 0,
            value: Money::from_raw(self.rest >> 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use datasets::{Coordinates, TopicId};
    use proptest::prelude::*;

    use super::*;

    fn contribution(time: i64, at: (u16, i32, i64, u32), value: i128) -> Contribution {
        let (topic, partition, offset, index) = at;
        let at = Coordinates { topic: TopicId(topic), partition, offset, index };
        let order = (Timestamp::from_micros(time), at);
        Contribution { order, qualifies: time % 2 == 0, live: value % 2 == 0, value: Money::from_raw(value) }
    }

    #[test]
    fn one_takes_24_bytes_or_32() {
        assert_eq!(size_of::<Packed<i64>>(), 24);
        assert_eq!(size_of::<Packed<i128>>(), 32);
    }

    proptest! {
        /// Values at and beyond every bound of the packed forms.
        #[test]
        fn all_forms_hold_the_same(
            parts in prop::collection::vec(
                (
                    0..6_i64,
                    prop_oneof![Just(0_u16), Just(63), Just(64)],
                    prop_oneof![Just(0_i32), Just((1 << 14) - 1), Just(1 << 14)],
                    prop_oneof![0..4_i64, Just((1 << 36) - 1), Just(1 << 36)],
                    prop_oneof![0..2_u32, Just(255), Just(256)],
                    prop_oneof![
                        -3..4_i128,
                        Just((1 << 61) - 1), Just(1 << 61), Just(-(1 << 61)), Just(-(1 << 61) - 1), Just(1 << 70),
                        Just((1 << 125) - 1), Just(1 << 125), Just(-(1 << 125)), Just(-(1 << 125) - 1),
                    ],
                ),
                0..40,
            )
        ) {
            let mut known = std::collections::BTreeMap::new();
            let mut contributions = Contributions::default();
            for (time, topic, partition, offset, index, value) in parts {
                let one = contribution(time, (topic, partition, offset, index), value);
                contributions.put(one);
                known.insert(one.order, one);
                let held: Vec<_> = (0..contributions.len()).map(|index| contributions.get(index)).collect();
                prop_assert_eq!(&held, &known.values().copied().collect::<Vec<_>>());
                prop_assert_eq!(contributions.find(one.order), Some(one));
                let (from, to) = (Timestamp::from_micros(1), Timestamp::from_micros(4));
                for after in [None, Some(one.order)] {
                    let between: Vec<_> = contributions.between((from, Some(to)), after).collect();
                    let inside = |one: &&Contribution| from <= one.order.0 && one.order.0 < to;
                    let expected = known.values().filter(inside).filter(|one| after.is_none_or(|after| one.order > after));
                    prop_assert_eq!(between, expected.copied().collect::<Vec<_>>());
                }
            }
            let bound = Timestamp::from_micros(3);
            contributions.drop_before(bound);
            known.retain(|(time, _), _| *time >= bound);
            prop_assert_eq!(contributions.len(), known.len());
        }
    }
}
