//! Missions that completions of others unlock (DOMAIN §4, `requires`): who asks for whom, and in which order they are judged.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use datasets::mission::{DefinitionError, Mission};

use super::{Definitions, MissionHistory, MissionSlot, index};

/// Who asks for whom.
#[derive(Debug, Default)]
pub(super) struct Unlocking {
    /// By the id that is asked for, which nobody may have defined yet: missions of which an active version asks.
    by: BTreeMap<Arc<str>, Vec<MissionSlot>>,
    /// By slot; worked out when somebody asks.
    ranks: OnceCell<Vec<u32>>,
}

impl Unlocking {
    /// A mission has a new version. Answers the ids that nobody asked for before.
    pub(super) fn push(&mut self, slot: MissionSlot, active: Option<&Mission>) -> Vec<Arc<str>> {
        self.ranks = OnceCell::new();
        let mut new = Vec::new();
        for id in active.iter().flat_map(|mission| &mission.gate.requires) {
            let asking = self.by.entry(id.clone()).or_default();
            if asking.is_empty() {
                new.push(id.clone());
            }
            if !asking.contains(&slot) {
                asking.push(slot);
            }
        }
        new
    }
}

impl MissionHistory {
    /// What active versions require, and the newest one, whatever its status: it can become active as it is.
    fn required(&self) -> impl Iterator<Item = &Arc<str>> {
        let asking = (0..).zip(&self.0).filter(|(number, version)| version.is_active() || *number == self.newest());
        asking.flat_map(|(_, version)| &version.mission.gate.requires)
    }
}

impl Definitions {
    /// Missions that a completion of this one may unlock.
    pub fn unlocked_by(&self, slot: MissionSlot) -> &[MissionSlot] {
        // A mission may have a tier's name as its id, and is what is required by it.
        if self.unlocking.by.is_empty() || self.tier(slot).is_some() {
            return &[];
        }
        self.unlocking.by.get(self.mission_id(slot)).map_or(&[], Vec::as_slice)
    }

    /// A mission may be unlocked by completions of this one.
    pub fn is_required(&self, slot: MissionSlot) -> bool {
        !self.unlocked_by(slot).is_empty()
    }

    /// Missions in the order in which they are judged: those that unlock others first. Equal where it does not matter.
    pub fn rank(&self, slot: MissionSlot) -> u32 {
        if self.unlocking.by.is_empty() {
            return 0;
        }
        self.unlocking.ranks.get_or_init(|| self.ranks())[index(slot)]
    }

    /// What is wrong with a definition that would close a cycle.
    pub(super) fn cycle(&self, mission: &Mission) -> Option<DefinitionError> {
        mission.cycle(|id| {
            let history = self.slot(id).map(|slot| self.history(slot));
            history.into_iter().flat_map(MissionHistory::required).cloned().collect()
        })
    }

    /// One more than the highest of those that a mission requires. There are no cycles, so each is ready some time.
    fn ranks(&self) -> Vec<u32> {
        let mut ranks = vec![0; self.histories.len()];
        let mut waits_for = vec![0_usize; self.histories.len()];
        for slot in self.iter().flat_map(|(slot, _)| self.unlocked_by(slot)) {
            waits_for[index(*slot)] += 1;
        }
        let mut ready: Vec<MissionSlot> =
            self.iter().map(|(slot, _)| slot).filter(|slot| waits_for[index(*slot)] == 0).collect();
        while let Some(slot) = ready.pop() {
            for next in self.unlocked_by(slot) {
                ranks[index(*next)] = ranks[index(*next)].max(ranks[index(slot)] + 1);
                waits_for[index(*next)] -= 1;
                if waits_for[index(*next)] == 0 {
                    ready.push(*next);
                }
            }
        }
        ranks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::Applied;
    use crate::testing::{record, rules};

    fn apply(definitions: &mut Definitions, id: &str, status: &str, requires: &[&str]) -> Applied {
        let text = format!(
            r#"{{"mission_id":"{id}","version":1,"status":"{status}","eligibility":{{"requires":{requires:?}}},
                "stages":[{{"on":["login"],"measure":{{"kind":"count"}},"target":1}}]}}"#
        );
        definitions.apply(&record(id, Some(text), 0, 0))
    }

    fn refused(applied: &Applied) -> Option<&str> {
        match applied {
            Applied::Refused(errors) => Some(&errors[0].message),
            _ => None,
        }
    }

    #[test]
    fn the_one_that_closes_a_cycle_is_refused() {
        let mut all = Definitions::new(rules().missions);
        // What it asks for may come later.
        assert_eq!(refused(&apply(&mut all, "b", "active", &["a"])), None);
        assert_eq!(refused(&apply(&mut all, "c", "active", &["b"])), None);
        let cycle = apply(&mut all, "a", "active", &["c"]);
        let message = "closes a cycle, in which nobody could begin: a requires c requires b requires a";
        assert_eq!((refused(&cycle), all.is_known("a")), (Some(message), false));
        assert_eq!(refused(&apply(&mut all, "a", "draft", &["x"])), None);
        assert!(refused(&apply(&mut all, "x", "active", &["c"])).is_some(), "as a is, it can become active");
        assert_eq!(refused(&apply(&mut all, "a", "active", &[])), None);
        assert_eq!(refused(&apply(&mut all, "x", "active", &["c"])), None, "a never was active with x");
        assert!(refused(&apply(&mut all, "a", "active", &["x"])).is_some());
        assert_eq!(all.history(all.slot("a").unwrap()).newest(), 1, "what was refused changes nothing");
        // A version that was active judges events of its time for ever.
        assert_eq!(refused(&apply(&mut all, "c", "active", &[])), None);
        assert!(refused(&apply(&mut all, "b", "active", &["x"])).is_some());
    }

    #[test]
    fn ranks_follow_what_is_required() {
        let mut all = Definitions::new(rules().missions);
        apply(&mut all, "d", "active", &["c", "b"]);
        apply(&mut all, "c", "active", &["b", "unknown"]);
        apply(&mut all, "e", "draft", &["d"]);
        let ranks = |all: &Definitions| all.iter().map(|(slot, _)| all.rank(slot)).collect::<Vec<_>>();
        assert_eq!(ranks(&all), [1, 0, 0], "what is not known comes first");
        let newly = apply(&mut all, "b", "active", &["a"]);
        assert!(matches!(newly, Applied::Version { ref required, .. } if required.is_empty()), "{newly:?}");
        assert_eq!(ranks(&all), [2, 1, 0, 0]);
        apply(&mut all, "a", "active", &[]);
        assert_eq!(ranks(&all), [3, 2, 0, 1, 0]);
        let [d, c, e, b, a] = [0, 1, 2, 3, 4].map(MissionSlot);
        assert_eq!((all.unlocked_by(b), all.unlocked_by(c), all.unlocked_by(d)), (&[d, c][..], &[d][..], &[][..]));
        assert!(all.is_required(a) && !all.is_required(e));
        let newly = apply(&mut all, "e", "active", &["d", "b"]);
        assert!(matches!(newly, Applied::Version { ref required, .. } if *required == [d]), "{newly:?}");
        assert_eq!(ranks(&all), [3, 2, 4, 1, 0]);
    }
}
