//! Tiers, each as the mission that it is judged by.

use datasets::mission::{Mission, MissionDefaults};
use datasets::{Coordinates, Timestamp, TopicId};

use super::{Definitions, MissionHistory, MissionSlot, VersionInForce};
use crate::tiers::TierNumber;

/// No record defines a tier.
const NOWHERE: Coordinates = Coordinates { topic: TopicId(0), partition: 0, offset: 0, index: 0 };

impl Definitions {
    /// No missions yet but `tiers`, which are judged as missions are. Nobody can name them: no edit, gate or requirement is
    /// about them. They count from the beginning of time, and share nothing with missions that are defined later.
    pub fn with_tiers<'a>(defaults: MissionDefaults, tiers: impl IntoIterator<Item = &'a Mission>) -> Self {
        let mut definitions = Self::new(defaults);
        for tier in tiers {
            let slot = MissionSlot(definitions.tiers);
            let version = VersionInForce::new((Timestamp::MIN, NOWHERE), tier.clone());
            definitions.histories.push(MissionHistory(Vec::new()));
            definitions.push(slot, version);
            definitions.tiers += 1;
            definitions.is_indexed = false;
        }
        definitions.index();
        definitions
    }

    /// The tier that is judged as this mission.
    pub fn tier(&self, slot: MissionSlot) -> Option<TierNumber> {
        (slot.0 < self.tiers).then_some(TierNumber(slot.0))
    }
}
