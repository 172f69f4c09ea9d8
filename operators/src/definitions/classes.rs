//! Classes: what stages of missions have in common.
//!
//! Stages that take the same events for the same value need each event looked at once, and its
//! contribution kept once, however many missions they belong to.

use datasets::Event;
use datasets::condition::Condition;
use datasets::mission::{EventKind, Measure, Mission, Stage};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::MissionSlot;

/// A class's number in this worker: classes are numbered as missions are, so every worker counts the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClassId(pub u32);

/// Counts the times at which a version that uses a class was superseded: a contribution that came before is
/// judged by what was in force then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation(pub u32);

/// A stage of a version of a mission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The mission.
    pub slot: MissionSlot,
    /// The version's number in its history.
    pub version: usize,
    /// The stage's number.
    pub stage: u8,
}

/// One class and who uses it.
#[derive(Debug)]
pub struct Class {
    /// Of the mission.
    pub eligibility: Option<Condition>,
    /// Whether contributions count depends on the player's gates as well, which each user has for itself: see
    /// [`Definition::is_gated`](datasets::mission::Definition::is_gated).
    pub is_gated: bool,
    /// The only mission that uses it, where that is in a group: what enters for one enters for nobody else.
    pub exclusive: Option<MissionSlot>,
    /// Of any user: targets do not matter here.
    pub stage: Stage,
    /// In the order of missions, then versions.
    pub users: Vec<User>,
    /// Of contributions that come now.
    pub generation: Generation,
}

impl Class {
    /// Whether `event` qualifies, or else breaks a run; `None` if it does neither.
    pub fn takes(&self, event: &Event<'_>) -> Option<bool> {
        if self.eligibility.as_ref().is_some_and(|condition| !condition.matches(event)) {
            return None;
        }
        let qualifies = self.stage.accepts(event);
        (qualifies || self.stage.breaks_run(event)).then_some(qualifies)
    }
}

/// What makes a class: everything of a stage but its target.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Rule {
    eligibility: Option<Condition>,
    /// What can only add to sums shares no class with what depends on more.
    is_gated: bool,
    exclusive: Option<MissionSlot>,
    on: Vec<EventKind>,
    condition: Option<Condition>,
    measure: Measure,
}

/// All classes.
#[derive(Debug, Default)]
pub(super) struct Classes {
    all: Vec<Class>,
    /// Those begun since the last epoch with definitions. Only they take further users: an older one has
    /// contributions from before the user's time.
    recent: HashMap<Rule, ClassId>,
}

impl Classes {
    /// The class of `stage`, used by `user` from now on.
    pub(super) fn use_by(&mut self, user: User, mission: &Mission, stage: &Stage) -> ClassId {
        let Stage { on, condition, measure, target: _ } = stage.clone();
        let is_gated = mission.is_gated();
        let exclusive = mission.exclusive_group.as_ref().map(|_| user.slot);
        let eligibility = mission.eligibility.clone();
        let rule = Rule { eligibility: eligibility.clone(), is_gated, exclusive, on, condition, measure };
        let id = *self.recent.entry(rule).or_insert_with(|| {
            let id = ClassId(u32::try_from(self.all.len()).expect("fewer than 2^32 classes"));
            let (stage, generation) = (stage.clone(), Generation::default());
            self.all.push(Class { eligibility, is_gated, exclusive, stage, users: Vec::new(), generation });
            id
        });
        let users = &mut self.all[id.index()].users;
        let place = users.partition_point(|other| (other.slot, other.version) <= (user.slot, user.version));
        users.insert(place, user);
        id
    }

    /// One of the users is superseded. Answers the first generation that knows.
    pub(super) fn supersede(&mut self, id: ClassId) -> Generation {
        let generation = &mut self.all[id.index()].generation;
        generation.0 += 1;
        *generation
    }

    /// Events come: classes begun until now take no further users.
    pub(super) fn close(&mut self) {
        self.recent.clear();
    }

    pub(super) fn get(&self, id: ClassId) -> &Class {
        &self.all[id.index()]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ClassId, &Class)> {
        (0..).map(ClassId).zip(&self.all)
    }
}

impl ClassId {
    /// Its place in a table of all classes.
    pub fn index(self) -> usize {
        usize::try_from(self.0).expect("usize holds a u32")
    }
}
