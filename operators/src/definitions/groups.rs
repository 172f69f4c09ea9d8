//! Exclusive groups: who shares events with whom (DOMAIN §4, `exclusive_group`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datasets::mission::Mission;

use super::{Definitions, MissionSlot};

/// Missions by the groups that an active version of theirs is or was in.
#[derive(Debug, Default)]
pub(super) struct Groups(BTreeMap<Arc<str>, BTreeSet<MissionSlot>>);

impl Groups {
    /// A mission has a new version.
    pub(super) fn push(&mut self, slot: MissionSlot, active: Option<&Mission>) {
        if let Some(group) = active.and_then(|mission| mission.exclusive_group.clone()) {
            self.0.entry(group).or_default().insert(slot);
        }
    }
}

impl Definitions {
    /// There is or was a mission in an exclusive group.
    pub fn has_groups(&self) -> bool {
        !self.groups.0.is_empty()
    }

    /// Missions that an event may have been contested with: others of its groups, of any version.
    pub fn rivals(&self, slot: MissionSlot) -> BTreeSet<MissionSlot> {
        let groups = self.groups.0.values().filter(|members| members.contains(&slot));
        groups.flatten().copied().filter(|member| *member != slot).collect()
    }
}
