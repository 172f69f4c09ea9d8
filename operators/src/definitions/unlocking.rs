//! Missions that completions of others unlock (DOMAIN §4, `requires`): who asks for whom, and in which order they are judged.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datasets::mission::{DefinitionError, Mission};

use super::{Definitions, MissionHistory, MissionSlot, index};

/// Who asks for whom.
#[derive(Debug, Default)]
pub(super) struct Unlocking {
    /// By the id that is asked for, which nobody may have defined yet: missions of which an active version asks.
    by: BTreeMap<Arc<str>, Vec<MissionSlot>>,
    /// By slot; worked out when somebody asks.
    order: OnceCell<Vec<Turn>>,
}

/// When a mission is judged.
#[derive(Debug, Default)]
struct Turn {
    /// Behind all of a smaller one that it depends on.
    rank: u32,
    /// How many missions depend on each other, itself included: 0, as without groups, where none does.
    circle: usize,
    /// What depends on its completions.
    moves: Vec<MissionSlot>,
}

impl Unlocking {
    /// A mission has a new version. Answers the ids that nobody asked for before.
    pub(super) fn push(&mut self, slot: MissionSlot, active: Option<&Mission>) -> Vec<Arc<str>> {
        self.order = OnceCell::new();
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

    /// Missions whose events may be others after a completion of this one: those that it unlocks, and those that they share events
    /// with, since an event counts for one of them only.
    pub fn moved_by(&self, slot: MissionSlot) -> &[MissionSlot] {
        self.turn(slot).map_or(&[], |turn| &turn.moves)
    }

    /// Missions in the order in which they are judged: those that others depend on first. Equal where it does not matter, and of those
    /// that depend on each other.
    pub fn rank(&self, slot: MissionSlot) -> u32 {
        self.turn(slot).map_or(0, |turn| turn.rank)
    }

    /// How many missions depend on each other, of which this is one: one of a group unlocks what takes events from it. 0: none does.
    pub fn circle(&self, slot: MissionSlot) -> usize {
        self.turn(slot).map_or(0, |turn| turn.circle)
    }

    fn turn(&self, slot: MissionSlot) -> Option<&Turn> {
        if self.unlocking.by.is_empty() {
            return None;
        }
        self.unlocking.order.get_or_init(|| self.order()).get(index(slot))
    }

    /// What is wrong with a definition that would close a cycle.
    pub(super) fn cycle(&self, mission: &Mission) -> Option<DefinitionError> {
        mission.cycle(|id| {
            let history = self.slot(id).map(|slot| self.history(slot));
            history.into_iter().flat_map(MissionHistory::required).cloned().collect()
        })
    }

    /// Each has a rank of one more than the highest that it depends on. Those that depend on each other have one rank together.
    fn order(&self) -> Vec<Turn> {
        let mut turns: Vec<Turn> =
            self.iter().map(|(slot, _)| Turn { moves: self.moves(slot), ..Turn::default() }).collect();
        for circle in circles(&turns) {
            let is_circle = circle.len() > 1 || turns[index(circle[0])].moves.contains(&circle[0]);
            for slot in &circle {
                turns[index(*slot)].circle = if is_circle { circle.len() } else { 0 };
            }
            // They come in order, so nobody raises it any more.
            let rank = circle.iter().map(|slot| turns[index(*slot)].rank).max().unwrap_or(0);
            for slot in &circle {
                turns[index(*slot)].rank = rank;
                for next in turns[index(*slot)].moves.clone() {
                    let other = !circle.contains(&next);
                    let known = &mut turns[index(next)].rank;
                    *known = (*known).max(rank + u32::from(other));
                }
            }
        }
        turns
    }

    fn moves(&self, slot: MissionSlot) -> Vec<MissionSlot> {
        let unlocked = self.unlocked_by(slot).iter().copied();
        let moves: BTreeSet<_> = unlocked.flat_map(|next| self.rivals(next).into_iter().chain([next])).collect();
        moves.into_iter().collect()
    }
}

/// Missions that depend on each other together, each by itself where none does; those that others depend on first (Kosaraju: in the
/// order in which a search from end to end leaves them last, whoever leads to one is found from it backwards).
fn circles(turns: &[Turn]) -> Vec<Vec<MissionSlot>> {
    let slots = || (0..).map(MissionSlot).take(turns.len());
    let mut back: Vec<Vec<MissionSlot>> = vec![Vec::new(); turns.len()];
    for (slot, turn) in slots().zip(turns) {
        turn.moves.iter().for_each(|next| back[index(*next)].push(slot));
    }
    let mut seen = vec![false; turns.len()];
    let left: Vec<MissionSlot> =
        slots().flat_map(|slot| search(slot, |slot| &turns[index(slot)].moves, &mut seen)).collect();
    seen.fill(false);
    let circles = left.into_iter().rev().map(|slot| search(slot, |slot| &back[index(slot)], &mut seen));
    circles.filter(|circle| !circle.is_empty()).collect()
}

/// Those that can be reached from `from` and were not `seen`, each behind all that can be reached from it.
fn search<'a>(
    from: MissionSlot,
    next: impl Fn(MissionSlot) -> &'a Vec<MissionSlot>,
    seen: &mut [bool],
) -> Vec<MissionSlot> {
    let (mut left, mut path) = (Vec::new(), Vec::new());
    if !std::mem::replace(&mut seen[index(from)], true) {
        path.push((from, 0));
    }
    while let Some((slot, taken)) = path.last_mut() {
        match next(*slot).get(*taken).copied() {
            Some(other) => {
                *taken += 1;
                if !std::mem::replace(&mut seen[index(other)], true) {
                    path.push((other, 0));
                }
            }
            None => {
                left.push(*slot);
                path.pop();
            }
        }
    }
    left
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
