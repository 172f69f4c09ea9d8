//! Exclusive groups: an event counts for one mission of each (DOMAIN §4, `exclusive_group`).
//!
//! Which one depends on the event and on the definitions in force at its time alone: not on progress, not on what came before, not on
//! when it came. So it is decided when the event enters, and whoever does not get it never hears of it. Missions of groups have classes
//! of their own for that.

use std::cmp::Reverse;

use datasets::{Event, Timestamp};
use smallvec::SmallVec;

use super::Players;
use super::facts;
use crate::definitions::{Bounds, ClassId, Definitions, MissionSlot};

/// A mission of a group that an event qualifies for. The greatest of a group gets it.
struct Rival<'a> {
    group: &'a str,
    rank: (i64, Reverse<&'a str>),
    slot: MissionSlot,
}

/// Leaves out of `candidates`, which may take `event` at `time`, the classes of missions that another one of their group goes before.
pub(super) fn exclude(candidates: &mut Vec<ClassId>, event: &Event<'_>, time: Timestamp, definitions: &Definitions) {
    let rivals = rivals(candidates, event, time, definitions);
    if rivals.len() < 2 {
        return;
    }
    let loses = |rival: &Rival<'_>| rivals.iter().any(|other| other.group == rival.group && other.rank > rival.rank);
    let losers: SmallVec<[MissionSlot; 4]> =
        rivals.iter().filter(|rival| loses(rival)).map(|rival| rival.slot).collect();
    candidates.retain(|class| !definitions.class(*class).exclusive.is_some_and(|slot| losers.contains(&slot)));
}

/// Missions of groups that `event` qualifies for: by a stage that takes it for something, in force and with a window at its time.
fn rivals<'a>(
    candidates: &[ClassId],
    event: &Event<'_>,
    time: Timestamp,
    definitions: &'a Definitions,
) -> SmallVec<[Rival<'a>; 4]> {
    let mut rivals: SmallVec<[Rival<'a>; 4]> = SmallVec::new();
    for id in candidates {
        let class = definitions.class(*id);
        let Some(slot) = class.exclusive.filter(|slot| rivals.iter().all(|known| known.slot != *slot)) else {
            continue;
        };
        let history = definitions.history(slot);
        let in_force = class.users.iter().find(|user| {
            let (version, generation) = ((user.version, user.stage), class.generation);
            history.place(version, generation, time, &mut Bounds::ALL.clone()).is_some()
        });
        let Some(mission) = in_force.map(|user| &history.version(user.version).mission) else { continue };
        let qualifies = class.takes(event) == Some(true) && facts::measured(event, &class.stage.measure).is_some();
        if let Some(group) = mission.exclusive_group.as_deref().filter(|_| qualifies) {
            rivals.push(Rival { group, rank: (mission.priority, Reverse(&*mission.mission_id)), slot });
        }
    }
    rivals
}

impl Players {
    /// The mission that gets `event` instead of this one, which it would count for as well, by the definitions as they are.
    pub fn preferred(&self, event: &Event<'_>, mission_id: &str) -> Option<&str> {
        let mut candidates = Vec::new();
        self.definitions.candidates(event, &mut candidates);
        let rivals = rivals(&candidates, event, event.event_time, &self.definitions);
        let own = rivals.iter().find(|rival| rival.rank.1.0 == mission_id)?;
        let best = rivals.iter().filter(|rival| rival.group == own.group).max_by_key(|rival| rival.rank)?;
        (best.slot != own.slot).then_some(best.rank.1.0)
    }
}
