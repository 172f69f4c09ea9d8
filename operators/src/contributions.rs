//! What a player's events contributed to one occurrence of a mission, in order.
//!
//! One takes 24 bytes while it fits [`Packed`], which all play of this world does; the first that does
//! not turns its occurrence's whole sequence into the wide form. Both forms mean the same.

use std::ops::Range;

use datasets::{Money, PackedCoordinates, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ledger::Order;

/// What one event adds to one stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contribution {
    /// When it counts, then the coordinates of the deciding record.
    pub order: Order,
    /// The stage it is for.
    pub stage: u8,
    /// It qualifies; an event of a `run` that does not resets the run.
    pub qualifies: bool,
    /// Nobody has taken it back.
    pub live: bool,
    /// What it adds.
    pub value: Money,
}

impl Contribution {
    fn key(&self) -> (Order, u8) {
        (self.order, self.stage)
    }
}

/// Contributions sorted by (order, stage), each key once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contributions(Form);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Form {
    Packed(Vec<Packed>),
    Wide(Vec<Contribution>),
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
            Form::Wide(all) => all.len(),
        }
    }

    /// The one at `index`. Panics beyond the end.
    pub fn get(&self, index: usize) -> Contribution {
        match &self.0 {
            Form::Packed(all) => all[index].unpack(),
            Form::Wide(all) => all[index],
        }
    }

    /// Where `contribution` is, or else where it belongs.
    pub fn position(&self, contribution: &Contribution) -> Result<usize, usize> {
        let key = contribution.key();
        // Most come in order.
        let len = self.len();
        if len == 0 || self.get(len - 1).key() < key {
            return Err(len);
        }
        let index = self.first(|other| other.key() >= key);
        if index < len && self.get(index).key() == key { Ok(index) } else { Err(index) }
    }

    /// Those of the event of `order`.
    pub fn of(&self, order: Order) -> Range<usize> {
        self.first(|other| other.order >= order)..self.first(|other| other.order > order)
    }

    /// Adds `contribution` at the place that [`position`](Self::position) told.
    pub fn insert(&mut self, index: usize, contribution: Contribution) {
        let Form::Packed(all) = &mut self.0 else { return self.wide().insert(index, contribution) };
        match Packed::pack(&contribution) {
            Some(packed) => all.insert(index, packed),
            None => self.wide().insert(index, contribution),
        }
    }

    /// Puts `contribution` in the place of one with its key.
    pub fn replace(&mut self, index: usize, contribution: Contribution) {
        let Form::Packed(all) = &mut self.0 else {
            self.wide()[index] = contribution;
            return;
        };
        match Packed::pack(&contribution) {
            Some(packed) => all[index] = packed,
            None => self.wide()[index] = contribution,
        }
    }

    /// Drops those in `range`.
    pub fn remove(&mut self, range: Range<usize>) {
        match &mut self.0 {
            Form::Packed(all) => drop(all.drain(range)),
            Form::Wide(all) => drop(all.drain(range)),
        }
    }

    fn wide(&mut self) -> &mut Vec<Contribution> {
        if let Form::Packed(all) = &self.0 {
            self.0 = Form::Wide(all.iter().map(Packed::unpack).collect());
        }
        match &mut self.0 {
            Form::Wide(all) => all,
            Form::Packed(_) => unreachable!("just widened"),
        }
    }

    /// Index of the first that `is_beyond`, which none before it is.
    fn first(&self, is_beyond: impl Fn(Contribution) -> bool) -> usize {
        match &self.0 {
            Form::Packed(all) => all.partition_point(|other| !is_beyond(other.unpack())),
            Form::Wide(all) => all.partition_point(|other| !is_beyond(*other)),
        }
    }
}

/// A contribution in three words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Packed {
    time: Timestamp,
    at: PackedCoordinates,
    /// 56 bits of value, 6 of stage, `qualifies`, `live`.
    rest: i64,
}

const STAGES: u8 = 1 << 6;
const VALUES: std::ops::Range<i128> = -(1 << 55)..1 << 55;

impl Packed {
    /// `None` when a part needs more bits than there are.
    fn pack(contribution: &Contribution) -> Option<Self> {
        let Contribution { order: (time, at), stage, qualifies, live, value } = *contribution;
        if stage >= STAGES || !VALUES.contains(&value.raw()) {
            return None;
        }
        let value = i64::try_from(value.raw()).ok()?;
        let rest = value << 8 | i64::from(stage) << 2 | i64::from(qualifies) << 1 | i64::from(live);
        Some(Packed { time, at: PackedCoordinates::pack(at)?, rest })
    }

    fn unpack(&self) -> Contribution {
        let stage = self.rest >> 2 & i64::from(STAGES - 1);
        Contribution {
            order: (self.time, self.at.unpack()),
            stage: u8::try_from(stage).expect("masked to 6 bits"),
            qualifies: self.rest & 2 != 0,
            live: self.rest & 1 != 0,
            value: Money::from_raw(i128::from(self.rest >> 8)),
        }
    }
}

#[cfg(test)]
mod tests {
    use datasets::{Coordinates, TopicId};
    use proptest::prelude::*;

    use super::*;

    fn contribution(time: i64, at: (u16, i32, i64, u32), stage: u8, value: i128) -> Contribution {
        let (topic, partition, offset, index) = at;
        let at = Coordinates { topic: TopicId(topic), partition, offset, index };
        let order = (Timestamp::from_micros(time), at);
        Contribution { order, stage, qualifies: time % 2 == 0, live: value % 2 == 0, value: Money::from_raw(value) }
    }

    #[test]
    fn one_takes_24_bytes() {
        assert_eq!(size_of::<Packed>(), 24);
    }

    proptest! {
        /// Values at and beyond every bound of the packed form.
        #[test]
        fn both_forms_hold_the_same(
            parts in prop::collection::vec(
                (
                    0..6_i64,
                    prop_oneof![Just(0_u16), Just(63), Just(64)],
                    prop_oneof![Just(0_i32), Just((1 << 14) - 1), Just(1 << 14)],
                    prop_oneof![0..4_i64, Just((1 << 36) - 1), Just(1 << 36)],
                    prop_oneof![0..2_u32, Just(255), Just(256)],
                    prop_oneof![0..2_u8, Just(63), Just(64)],
                    prop_oneof![
                        -3..4_i128,
                        Just((1 << 55) - 1), Just(1 << 55), Just(-(1 << 55)), Just(-(1 << 55) - 1), Just(1 << 70),
                    ],
                ),
                0..40,
            )
        ) {
            let mut known = std::collections::BTreeMap::new();
            let mut contributions = Contributions::default();
            for (time, topic, partition, offset, index, stage, value) in parts {
                let one = contribution(time, (topic, partition, offset, index), stage, value);
                match contributions.position(&one) {
                    Ok(index) => contributions.replace(index, one),
                    Err(index) => contributions.insert(index, one),
                }
                known.insert(one.key(), one);
                let held: Vec<_> = (0..contributions.len()).map(|index| contributions.get(index)).collect();
                prop_assert_eq!(&held, &known.values().copied().collect::<Vec<_>>());
                let of = contributions.of(one.order);
                let same = known.values().filter(|other| other.order == one.order).count();
                prop_assert_eq!(of.len(), same);
                prop_assert!(held[of].iter().all(|other| other.order == one.order));
            }
            let last = known.keys().next_back().map(|(order, _)| *order);
            if let Some(order) = last {
                contributions.remove(contributions.of(order));
                known.retain(|(other, _), _| *other != order);
                prop_assert_eq!(contributions.len(), known.len());
            }
        }
    }
}
