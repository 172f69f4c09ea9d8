//! Where a record came from, in the order that decides ties.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A topic as a small number. Ids follow the topics' names in byte order, so comparing
/// ids compares names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicId(pub u16);

/// A configured `[[source]]`, in the order of its name. Part of a transaction's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceId(pub u16);

/// One event's place in the input. The derived order, (topic, partition, offset, index), is the
/// order in which identity is settled (DOMAIN §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Coordinates {
    /// Topic.
    pub topic: TopicId,
    /// Partition of the topic.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Place in the record's envelope; 0 without one.
    pub index: u32,
}

/// [`Coordinates`] in one word, which orders as they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PackedCoordinates(u64);

impl PackedCoordinates {
    const INDEX_BITS: u32 = 8;
    const OFFSET_BITS: u32 = 36;
    const PARTITION_BITS: u32 = 14;
    const TOPIC_BITS: u32 = 6;

    /// `None` from 64 topics, 16,384 partitions, 2^36 offsets or 256 events of an envelope on.
    pub fn pack(at: Coordinates) -> Option<Self> {
        let fits = |value: u64, bits: u32| (value >> bits == 0).then_some(value);
        let topic = fits(u64::from(at.topic.0), Self::TOPIC_BITS)?;
        let partition = fits(u64::try_from(at.partition).ok()?, Self::PARTITION_BITS)?;
        let offset = fits(u64::try_from(at.offset).ok()?, Self::OFFSET_BITS)?;
        let index = fits(u64::from(at.index), Self::INDEX_BITS)?;
        let topic_and_partition = topic << Self::PARTITION_BITS | partition;
        Some(PackedCoordinates((topic_and_partition << Self::OFFSET_BITS | offset) << Self::INDEX_BITS | index))
    }

    /// The coordinates.
    pub fn unpack(self) -> Coordinates {
        fn narrow<T: TryFrom<i64>>(part: i64) -> T {
            T::try_from(part).unwrap_or_else(|_| unreachable!("masked to fewer bits than the type has"))
        }
        let part = |shift: u32, bits: u32| {
            let masked = self.0 >> shift & ((1 << bits) - 1);
            i64::try_from(masked).unwrap_or_else(|_| unreachable!("masked to fewer bits than the type has"))
        };
        Coordinates {
            index: narrow(part(0, Self::INDEX_BITS)),
            offset: part(Self::INDEX_BITS, Self::OFFSET_BITS),
            partition: narrow(part(Self::INDEX_BITS + Self::OFFSET_BITS, Self::PARTITION_BITS)),
            topic: TopicId(narrow(part(Self::INDEX_BITS + Self::OFFSET_BITS + Self::PARTITION_BITS, Self::TOPIC_BITS))),
        }
    }
}

/// The topics that a pipeline reads, sorted by name.
#[derive(Clone, Debug, Default)]
pub struct Topics(Vec<Arc<str>>);

impl Topics {
    /// Sorts and deduplicates `names`.
    pub fn new(names: impl IntoIterator<Item = impl Into<Arc<str>>>) -> Self {
        let mut names: Vec<Arc<str>> = names.into_iter().map(Into::into).collect();
        names.sort_unstable();
        names.dedup();
        Topics(names)
    }

    /// How many topics.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// No topic.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All ids, in the order of their names.
    pub fn ids(&self) -> impl Iterator<Item = TopicId> + use<> {
        (0..=u16::MAX).map(TopicId).take(self.0.len())
    }

    /// The id of `name`, if it is one of ours.
    pub fn id(&self, name: &str) -> Option<TopicId> {
        let index = self.0.binary_search_by(|known| known.as_ref().cmp(name)).ok()?;
        u16::try_from(index).ok().map(TopicId)
    }

    /// The name behind `id`. Panics on an id from another table.
    pub fn name(&self, id: TopicId) -> &Arc<str> {
        &self.0[usize::from(id.0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_coordinates_order_as_coordinates_do() {
        let mut all = Vec::new();
        for topic in [0, 1, 63] {
            for partition in [0, 1, (1 << 14) - 1] {
                for offset in [0, 7, (1 << 36) - 1] {
                    for index in [0, 1, 255] {
                        all.push(Coordinates { topic: TopicId(topic), partition, offset, index });
                    }
                }
            }
        }
        let packed: Vec<PackedCoordinates> = all.iter().map(|at| PackedCoordinates::pack(*at).unwrap()).collect();
        assert!(packed.is_sorted() && all.is_sorted());
        assert_eq!(packed.iter().map(|packed| packed.unpack()).collect::<Vec<_>>(), all);

        let least = all[0];
        assert_eq!(PackedCoordinates::pack(Coordinates { topic: TopicId(64), ..least }), None);
        assert_eq!(PackedCoordinates::pack(Coordinates { partition: 1 << 14, ..least }), None);
        assert_eq!(PackedCoordinates::pack(Coordinates { partition: -1, ..least }), None);
        assert_eq!(PackedCoordinates::pack(Coordinates { offset: 1 << 36, ..least }), None);
        assert_eq!(PackedCoordinates::pack(Coordinates { offset: -1, ..least }), None);
        assert_eq!(PackedCoordinates::pack(Coordinates { index: 256, ..least }), None);
    }

    #[test]
    fn ids_follow_names() {
        let topics = Topics::new(["wallet", "bets", "bets"]);
        assert_eq!(topics.id("bets"), Some(TopicId(0)));
        assert_eq!(topics.id("wallet"), Some(TopicId(1)));
        assert_eq!(topics.id("other"), None);
        assert_eq!(topics.name(TopicId(1)).as_ref(), "wallet");
    }
}
