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
    fn ids_follow_names() {
        let topics = Topics::new(["wallet", "bets", "bets"]);
        assert_eq!(topics.id("bets"), Some(TopicId(0)));
        assert_eq!(topics.id("wallet"), Some(TopicId(1)));
        assert_eq!(topics.id("other"), None);
        assert_eq!(topics.name(TopicId(1)).as_ref(), "wallet");
    }
}
