//! Mission definitions over time: which version was in force when (DOMAIN §4).

mod classes;
mod edits;
mod gated;
mod groups;
mod tiers;
mod unlocking;

use std::cell::Cell;
use std::sync::Arc;

use datasets::mission::{DefinitionError, Mission, MissionDefaults, StageIndex, Status, Window};
use datasets::{Coordinates, Event, Timestamp};
use hashbrown::HashMap;

use serde::{Deserialize, Serialize};

use classes::Classes;
pub use classes::{Class, ClassId, Generation, User};
pub(crate) use gated::GRACE;
use groups::Groups;
use unlocking::Unlocking;

/// Of a definition that this release would take.
const REFUSED_BEFORE: &str = "was refused by the release that read it first; send it again";

/// A record of the missions topic, as read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefinitionRecord {
    /// Where it came from.
    pub at: Coordinates,
    /// When it takes effect: the record's timestamp.
    pub ingest_time: Timestamp,
    /// The record's key: the mission's id.
    pub key: String,
    /// The definition; `None` is a tombstone.
    pub text: Option<String>,
    /// It was refused when it was read first, by a release that may have understood less. What epochs of the log did must
    /// not change: missions would get other numbers than the state was written with.
    pub was_refused: bool,
}

/// A mission's number in this worker: missions are numbered in the order of their first definition,
/// which the epoch log fixes, so every worker counts the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MissionSlot(pub u32);

/// One version of a mission.
#[derive(Clone, Debug)]
pub struct VersionInForce {
    /// From this event time on, until the next version's.
    pub from: Timestamp,
    /// The record.
    pub at: Coordinates,
    /// The definition.
    pub mission: Mission,
    /// A tombstone ended it.
    pub archived: bool,
    /// The window that was asked for last: events come in runs, and calendars are slow.
    recent: Cell<Option<(Timestamp, Timestamp)>>,
    /// The class of each stage; none while the version is not active.
    classes: Vec<ClassId>,
    /// From which generation of each stage's class on it is known that the version is superseded.
    superseded: Vec<Generation>,
}

impl VersionInForce {
    fn new((from, at): (Timestamp, Coordinates), mission: Mission) -> Self {
        VersionInForce {
            from,
            at,
            mission,
            archived: false,
            recent: Cell::new(None),
            classes: Vec::new(),
            superseded: Vec::new(),
        }
    }

    /// Events of its time count.
    pub fn is_active(&self) -> bool {
        !self.archived && self.mission.status == Status::Active
    }
}

/// All versions of one mission, oldest first. There is at least one.
#[derive(Clone, Debug)]
pub struct MissionHistory(Vec<VersionInForce>);

impl MissionHistory {
    /// A contribution at `time` to the class of a stage, made in `generation` of that class, counts for
    /// `version`: the version was in force at its time, by what was known when it came.
    pub fn counts(&self, version: usize, stage: u8, generation: Generation, time: Timestamp) -> bool {
        let next = self.superseded_by(version, stage, generation);
        self.0[version].from <= time && next.is_none_or(|next| time < next.from)
    }

    /// The next version, if it was known in `generation` of the class of a stage.
    fn superseded_by(&self, version: usize, stage: u8, generation: Generation) -> Option<&VersionInForce> {
        let since = self.0[version].superseded.get(usize::from(stage));
        self.0.get(version + 1).filter(|_| since.is_some_and(|since| generation >= *since))
    }

    /// Times that [`window_at`](Self::window_at) may put into the window that starts at `window`, by the shape that
    /// `version` gives to windows: half-open, without an end where there is only one window. `None`: no times.
    pub fn times_of(&self, version: usize, window: Timestamp) -> Option<(Timestamp, Option<Timestamp>)> {
        match &self.0[version].mission.window {
            // It keeps the start it had first, which an edit may have moved since.
            Window::Once => (self.version(0).mission.start == window).then_some((Timestamp::MIN, None)),
            Window::Every { every, zone, .. } => {
                let recent = &self.0[version].recent;
                let (start, end) = recent.get().filter(|(start, _)| *start == window).unwrap_or_else(|| {
                    let times = datasets::time::window(*every, zone, window);
                    recent.set(Some(times));
                    times
                });
                (start == window).then_some((start, Some(end)))
            }
        }
    }

    /// All that any version ever does is to add to one sum, up to a target, whatever is added.
    pub fn is_one_sum(&self) -> bool {
        let is_one = |mission: &Mission| matches!(&mission.stages[..], [stage] if stage.measure.adds());
        let is_one_sum = |mission: &Mission| mission.repeat.is_none() && is_one(mission);
        !self.is_gated() && self.0.iter().all(|version| is_one_sum(&version.mission))
    }

    /// A version can be completed again in a window.
    pub fn repeats(&self) -> bool {
        self.0.iter().any(|version| version.mission.repeat.is_some())
    }

    /// A version has only one window.
    pub fn has_once(&self) -> bool {
        self.0.iter().any(|version| version.mission.window == Window::Once)
    }

    /// Where a contribution at `time` in `generation` belongs, as [`counts`](Self::counts) and
    /// [`window_at`](Self::window_at) tell. Narrows `bounds` to times around it with the same answer.
    pub fn place(
        &self,
        (version, stage): (usize, u8),
        generation: Generation,
        time: Timestamp,
        bounds: &mut Bounds,
    ) -> Option<(Timestamp, Option<Timestamp>)> {
        let judge = &self.0[version];
        bounds.cut(time, judge.from);
        bounds.cut(time, judge.mission.start);
        judge.mission.end.into_iter().for_each(|end| bounds.cut(time, end.plus_micros(1)));
        let next = self.superseded_by(version, stage, generation);
        next.into_iter().for_each(|next| bounds.cut(time, next.from));
        if !self.counts(version, stage, generation, time) {
            return None;
        }
        let (window, end) = self.window_at(version, time)?;
        if let Some(end) = end {
            bounds.cut(time, window);
            bounds.cut(time, end);
        }
        Some((window, end))
    }

    /// The class of the first version's first stage, if that version was active.
    pub fn first_class(&self) -> Option<ClassId> {
        self.0[0].classes.first().copied()
    }

    /// The classes of all stages of all active versions, as (version, stage, class).
    pub fn classes(&self) -> impl Iterator<Item = (usize, u8, ClassId)> {
        let versions = self.0.iter().enumerate();
        versions
            .flat_map(|(version, judge)| (0..).zip(&judge.classes).map(move |(stage, class)| (version, stage, *class)))
    }

    /// A version by its number.
    pub fn version(&self, index: usize) -> &VersionInForce {
        &self.0[index]
    }

    /// The newest version's number.
    pub fn newest(&self) -> usize {
        self.0.len() - 1
    }

    /// Where progress of an event of `time` is kept, judged by `version`: the start of its window, and the
    /// end of a recurring one. `None` outside of the mission.
    ///
    /// The only window of a one-off mission keeps the start it had first: an edit of the start keeps
    /// progress, and completes nobody twice.
    pub fn window_at(&self, version: usize, time: Timestamp) -> Option<(Timestamp, Option<Timestamp>)> {
        let in_force = self.version(version);
        let mission = &in_force.mission;
        if let Some((start, end)) = in_force.recent.get()
            && start <= time
            && time < end
            && mission.covers(time)
        {
            return Some((start, Some(end)));
        }
        let (start, end) = mission.window_at(time)?;
        if mission.window == Window::Once {
            return Some((self.version(0).mission.start, None));
        }
        in_force.recent.set(end.map(|end| (start, end)));
        Some((start, end))
    }

    /// End of a window: its own if it recurs, else the mission's as edited last; `None` never ends.
    pub fn window_end(&self, recurring_end: Option<Timestamp>) -> Option<Timestamp> {
        recurring_end.or(self.version(self.newest()).mission.end)
    }

    /// The last ingest time at which an event may move a window, by the newest version's `lateness`; `None`: any.
    pub fn moves_until(&self, recurring_end: Option<Timestamp>) -> Option<Timestamp> {
        let lateness = self.version(self.newest()).mission.lateness_micros;
        self.window_end(recurring_end).map(|end| end.plus_micros(lateness))
    }

    /// The last ingest time at which an event may have moved a window by any version so far; `None`: any. Never earlier
    /// than it was, so what is kept until then does not depend on when one looked. Where windows share a limit, until none of
    /// those that an earlier one decides can move.
    pub fn kept_until(&self, recurring_end: Option<Timestamp>) -> Option<Timestamp> {
        let until = self.0.iter().map(|version| {
            let end = recurring_end.map(|end| version.mission.reaches(end)).or(version.mission.end)?;
            Some(end.plus_micros(version.mission.lateness_micros))
        });
        until.max_by_key(|until| until.unwrap_or(Timestamp::MAX)).flatten()
    }

    /// The same of the windows that start at `window`, whichever ends versions give them.
    pub fn kept_until_of(&self, window: Timestamp) -> Option<Timestamp> {
        let times = (0..self.0.len()).filter_map(|version| self.times_of(version, window));
        let until = times.map(|(_, end)| self.kept_until(end));
        until.max_by_key(|until| until.unwrap_or(Timestamp::MAX)).flatten()
    }
}

/// Times `from..to` with one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The first.
    pub from: Timestamp,
    /// The first beyond.
    pub to: Timestamp,
}

impl Bounds {
    /// All times but the very last.
    pub const ALL: Bounds = Bounds { from: Timestamp::MIN, to: Timestamp::MAX };

    /// The answer holds for `time`.
    pub fn contain(&self, time: Timestamp) -> bool {
        self.from <= time && time < self.to
    }

    /// The answer for `time` may change at `edge`.
    fn cut(&mut self, time: Timestamp, edge: Timestamp) {
        if time < edge {
            self.to = self.to.min(edge);
        } else {
            self.from = self.from.max(edge);
        }
    }
}

/// What a definition record did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// A new version; `retargeted` when targets, stages or what repeats differ from the version that counted before, or
    /// what else decides about progress that is there.
    Version {
        /// The mission.
        slot: MissionSlot,
        /// Progress has to be judged anew.
        retargeted: bool,
        /// It is active for the first time, and counts events from before its own time.
        counts_earlier: bool,
        /// Missions whose completions unlock something from now on, and did not before.
        required: Vec<MissionSlot>,
    },
    /// A tombstone, or nothing to end.
    Ended,
    /// Nothing changed; every error.
    Refused(Vec<DefinitionError>),
}

/// Every mission with its history, and the index that finds those an event may move.
#[derive(Debug)]
pub struct Definitions {
    defaults: MissionDefaults,
    slots: HashMap<Arc<str>, MissionSlot, foldhash::fast::FixedState>,
    histories: Vec<MissionHistory>,
    gated: Vec<MissionSlot>,
    unlocking: Unlocking,
    groups: Groups,
    /// The first missions are tiers.
    tiers: u32,
    classes: Classes,
    /// Over the classes of all versions, since a late event is judged by the version of its time.
    index: StageIndex<ClassId>,
    is_indexed: bool,
    /// Counts changes: what was worked out from definitions holds for one revision.
    revision: u64,
}

impl Definitions {
    /// No missions yet.
    pub fn new(defaults: MissionDefaults) -> Self {
        let index = StageIndex::new(std::iter::empty());
        let classes = Classes::default();
        Definitions {
            defaults,
            slots: HashMap::default(),
            histories: Vec::new(),
            gated: Vec::new(),
            unlocking: Unlocking::default(),
            groups: Groups::default(),
            tiers: 0,
            classes,
            index,
            is_indexed: true,
            revision: 0,
        }
    }

    /// Brings the index up to date: once for all the definitions of an epoch.
    pub fn index(&mut self) {
        if self.is_indexed {
            return;
        }
        let classes = self.classes.iter();
        let stages = classes.map(|(id, class)| (id, class.eligibility.as_ref(), &class.stage));
        self.index = StageIndex::with_eligibility(stages);
        self.classes.close();
        self.is_indexed = true;
    }

    /// Replaces the contents of `found` by the classes that may take `event`.
    pub fn candidates(&self, event: &Event<'_>, found: &mut Vec<ClassId>) {
        debug_assert!(self.is_indexed, "definitions are indexed before events apply");
        self.index.candidates(event, found);
    }

    /// Of the definitions as they are.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// A class.
    pub fn class(&self, id: ClassId) -> &Class {
        self.classes.get(id)
    }

    /// There is or was a mission of this id.
    pub fn is_known(&self, mission_id: &str) -> bool {
        self.slots.contains_key(mission_id)
    }

    /// The mission of this id.
    pub fn slot(&self, mission_id: &str) -> Option<MissionSlot> {
        self.slots.get(mission_id).copied()
    }

    /// The mission's id, or the tier's name.
    pub fn mission_id(&self, slot: MissionSlot) -> &str {
        &self.history(slot).version(0).mission.mission_id
    }

    /// Applies one record.
    pub fn apply(&mut self, record: &DefinitionRecord) -> Applied {
        self.is_indexed = false;
        self.revision += 1;
        let slot = self.slots.get(record.key.as_str()).copied();
        let Some(text) = &record.text else {
            if let Some(slot) = slot {
                let newest = self.history(slot).0.last().expect("a history has a version").clone();
                self.push(slot, VersionInForce { from: record.ingest_time, at: record.at, archived: true, ..newest });
            }
            return Applied::Ended;
        };
        let mission = match Mission::parse(&record.key, text, &self.defaults) {
            Ok(mission) => mission,
            Err(errors) => return Applied::Refused(errors),
        };
        let mut errors = slot.map(|slot| edits::errors(self.history(slot), &mission)).unwrap_or_default();
        errors.extend(self.cycle(&mission));
        let is_first = mission.status == Status::Active
            && slot.is_none_or(|slot| !self.history(slot).0.iter().any(VersionInForce::is_active));
        let from = if is_first { mission.counts_from(record.ingest_time) } else { record.ingest_time };
        errors.extend(self.not_retained(from, record.ingest_time));
        if !errors.is_empty() {
            return Applied::Refused(errors);
        }
        if record.was_refused {
            let message = REFUSED_BEFORE.to_owned();
            return Applied::Refused(vec![DefinitionError { path: String::new(), message }]);
        }
        let counts_earlier = from < record.ingest_time;
        let version = VersionInForce::new((from, record.at), mission);
        match slot {
            Some(slot) => {
                // A pause in between judges nobody.
                let previous = self.history(slot).0.iter().rfind(|version| version.is_active());
                let targets = |mission: &Mission| mission.stages.iter().map(|stage| stage.target).collect::<Vec<_>>();
                let is_other =
                    |known: &Mission, new: &Mission| targets(known) != targets(new) || known.repeat != new.repeat;
                let retargeted = previous.is_some_and(|known| is_other(&known.mission, &version.mission));
                // Which control events come in time is judged again.
                let bounds = |history: &MissionHistory| {
                    let newest = &history.version(history.newest()).mission;
                    (newest.end, newest.lateness_micros)
                };
                let before = bounds(self.history(slot));
                let required = self.push(slot, version);
                let history = self.history(slot);
                let retargeted = retargeted || history.is_gated() && bounds(history) != before;
                Applied::Version { slot, retargeted, counts_earlier, required }
            }
            None => {
                let slot = MissionSlot(u32::try_from(self.histories.len()).expect("fewer than 2^32 missions"));
                self.slots.insert(version.mission.mission_id.clone(), slot);
                self.histories.push(MissionHistory(Vec::new()));
                let required = self.push(slot, version);
                Applied::Version { slot, retargeted: false, counts_earlier, required }
            }
        }
    }

    /// Record timestamps may run backwards; versions take effect in the order of their records. Answers the missions that are
    /// required from now on, and were not before.
    fn push(&mut self, slot: MissionSlot, mut version: VersionInForce) -> Vec<MissionSlot> {
        let history = &mut self.histories[index(slot)].0;
        let history_was_active = history.iter().any(VersionInForce::is_active);
        if let Some(last) = history.last_mut() {
            // The first active one may count from before drafts.
            if history_was_active || !version.is_active() {
                version.from = version.from.max(last.from);
            }
            last.superseded = last.classes.iter().map(|class| self.classes.supersede(*class)).collect();
        }
        version.classes.clear();
        if version.is_active() {
            let (mission, number) = (&version.mission, history.len());
            let users = (0..).map(|stage| User { slot, version: number, stage });
            let stages = users.zip(&mission.stages);
            version.classes = stages.map(|(user, stage)| self.classes.use_by(user, mission, stage)).collect();
        }
        let is_gated = !version.mission.gate.is_open();
        let active = Some(&version.mission).filter(|_| version.is_active());
        self.groups.push(slot, active);
        let required = self.unlocking.push(slot, active);
        history.push(version);
        if is_gated && !self.gated.contains(&slot) {
            self.gated.push(slot);
        }
        required.iter().filter_map(|id| self.slot(id)).collect()
    }

    /// What is wrong with a definition that counts from then on, and takes effect at `activation`.
    fn not_retained(&self, from: Timestamp, activation: Timestamp) -> Option<DefinitionError> {
        let retained = self.defaults.retained_micros;
        (activation.micros_since(from) > retained).then(|| DefinitionError {
            path: "/count_from".to_owned(),
            message: format!(
                "'window_start' is {from}, and events are retained for {} days: set missions.retained, or define the mission \
                 nearer to the start of its window",
                retained / 86_400_000_000
            ),
        })
    }

    /// How long events are retained, in microseconds.
    pub fn retained_micros(&self) -> i64 {
        self.defaults.retained_micros
    }

    /// The versions of a mission.
    pub fn history(&self, slot: MissionSlot) -> &MissionHistory {
        &self.histories[index(slot)]
    }

    /// All missions.
    pub fn iter(&self) -> impl Iterator<Item = (MissionSlot, &MissionHistory)> {
        (0..).map(MissionSlot).zip(&self.histories)
    }
}

fn index(slot: MissionSlot) -> usize {
    usize::try_from(slot.0).expect("usize holds a u32")
}

#[cfg(test)]
mod tests;
