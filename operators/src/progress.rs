//! A player's progress in one occurrence of a mission: contributions in order, folded to an answer.
//!
//! The answer is a left fold over the contributions in [`Order`]: one that comes in order continues
//! the fold in O(1), one out of order or taken back folds anew. So it depends on the set of
//! contributions alone, never on the order in which they arrived.

use datasets::mission::{Measure, Mission, OnReversal};
use datasets::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use crate::definitions::MissionHistory;
use crate::ledger::Order;

/// What one event adds to one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// One occurrence of a mission for one player.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// End of a recurring window. A one-off window ends with its mission, which an edit can move.
    recurring_end: Option<Timestamp>,
    contributions: Vec<Contribution>,
    /// The fold over all contributions, judged by the targets of version `judge`.
    fold: Fold,
    judge: usize,
    announced: Option<Announced>,
}

/// The completion as last announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// Counts completions, from 1.
    pub revision: u32,
    /// It stands; otherwise its revocation was announced.
    pub live: bool,
    /// As it is known now, which may be later or earlier than when it was announced.
    pub completed_at: Timestamp,
    /// An edit completed it, at the edit's own time; no correction of events moves that.
    pub by_definition: bool,
    /// The version whose targets it met.
    pub version: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Fold {
    stage: usize,
    /// When the stage before was reached: only strictly later events count.
    since: Option<Timestamp>,
    progress: Money,
    /// The run that is going on; its longest is `progress`.
    run: Money,
    completed: Option<Timestamp>,
}

/// What to announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Completed, else revoked.
    pub completed: bool,
    /// Of the completion that stands or is taken back.
    pub revision: u32,
    /// Event time at which the target was reached.
    pub completed_at: Timestamp,
    /// Of the last stage, now.
    pub progress: Money,
    /// The version that decided.
    pub version: usize,
}

/// Why progress is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An event, which may also correct.
    Event,
    /// A new version took effect at this instant.
    Definition(Timestamp),
}

impl Progress {
    /// Nothing yet, in a recurring window that ends at `recurring_end`, or in the only one.
    pub fn new(recurring_end: Option<Timestamp>, judge: usize) -> Self {
        Progress { recurring_end, contributions: Vec::new(), fold: Fold::default(), judge, announced: None }
    }

    /// It is of the only window of its mission.
    pub fn is_once(&self) -> bool {
        self.recurring_end.is_none()
    }

    /// End of the window; `None` never ends.
    pub fn window_end(&self, history: &MissionHistory) -> Option<Timestamp> {
        history.window_end(self.recurring_end)
    }

    /// The last ingest time at which an event may move this (DOMAIN §3, `lateness`); `None`: any.
    pub fn moves_until(&self, history: &MissionHistory) -> Option<Timestamp> {
        history.moves_until(self.recurring_end)
    }

    /// Adds a contribution at its place. One that a late correction could not take back is replaced.
    pub fn insert(&mut self, contribution: Contribution, history: &MissionHistory) {
        let key = (contribution.order, contribution.stage);
        let index = self.contributions.partition_point(|other| (other.order, other.stage) < key);
        match self.contributions.get_mut(index) {
            None => {
                self.fold.step(&contribution, &history.version(self.judge).mission);
                self.contributions.push(contribution);
                return;
            }
            Some(known) if (known.order, known.stage) == key => *known = contribution,
            Some(_) => self.contributions.insert(index, contribution),
        }
        self.fold_anew(self.judge, history);
    }

    /// Takes back or restores what the event of `order` contributed. Answers whether there was anything.
    pub fn set_live(&mut self, order: Order, live: bool, history: &MissionHistory) -> bool {
        let range = self.of(order);
        let mut changed = false;
        for contribution in &mut self.contributions[range] {
            changed |= contribution.live != live;
            contribution.live = live;
        }
        if changed {
            self.fold_anew(self.judge, history);
        }
        changed
    }

    /// Drops what the event of `order` contributed. Answers whether there was anything.
    pub fn remove(&mut self, order: Order, history: &MissionHistory) -> bool {
        let range = self.of(order);
        let found = !range.is_empty();
        if found {
            self.contributions.drain(range);
            self.fold_anew(self.judge, history);
        }
        found
    }

    /// The event of `order` contributed.
    pub fn contains(&self, order: Order) -> bool {
        !self.of(order).is_empty()
    }

    fn of(&self, order: Order) -> std::ops::Range<usize> {
        let start = self.contributions.partition_point(|other| other.order < order);
        let end = self.contributions.partition_point(|other| other.order <= order);
        start..end
    }

    /// What has to be announced now, if anything. Announces it: the next call answers for what comes after.
    pub fn announce(&mut self, cause: Cause, history: &MissionHistory) -> Option<Announcement> {
        self.judge(history);
        let newest = &history.version(history.newest()).mission;
        match (self.fold.completed, self.announced) {
            (Some(completed), Some(announced)) if announced.live => {
                // It stands. `completed_at` may have moved; the next message will tell.
                let completed_at = if announced.by_definition { announced.completed_at } else { completed };
                self.announced = Some(Announced { completed_at, version: self.judge, ..announced });
                None
            }
            (Some(completed), previous) => {
                let (completed_at, by_definition) = match cause {
                    Cause::Event => (completed, false),
                    Cause::Definition(at) => (at, true),
                };
                let revision = previous.map_or(1, |previous| previous.revision + 1);
                let version = self.judge;
                self.announced = Some(Announced { revision, live: true, completed_at, by_definition, version });
                Some(self.announcement(true, revision, completed_at, history))
            }
            (None, Some(announced))
                if announced.live && cause == Cause::Event && newest.on_reversal == OnReversal::Revoke =>
            {
                self.announced = Some(Announced { live: false, ..announced });
                Some(self.announcement(false, announced.revision, announced.completed_at, history))
            }
            (None, _) => None,
        }
    }

    /// Judges by the newest version's targets; a completion that stands keeps those it met as well,
    /// so an edit never takes one back ("who has completed stays completed").
    fn judge(&mut self, history: &MissionHistory) {
        let standing = self.announced.filter(|announced| announced.live);
        let first = standing.map_or(history.newest(), |announced| announced.version);
        self.fold_by(first, history);
        if self.fold.completed.is_none() {
            self.fold_by(history.newest(), history);
        }
    }

    fn fold_by(&mut self, version: usize, history: &MissionHistory) {
        if self.judge != version {
            self.fold_anew(version, history);
        }
    }

    fn fold_anew(&mut self, version: usize, history: &MissionHistory) {
        self.judge = version;
        self.fold = Fold::default();
        let mission = &history.version(version).mission;
        for contribution in &self.contributions {
            self.fold.step(contribution, mission);
        }
    }

    fn announcement(&self, completed: bool, revision: u32, at: Timestamp, history: &MissionHistory) -> Announcement {
        Announcement { completed, revision, completed_at: at, progress: self.last_stage(history), version: self.judge }
    }

    /// The completion that was last announced, with all corrections since.
    pub fn announced(&self) -> Option<Announced> {
        self.announced
    }

    /// Progress in the last stage, which is what messages tell; zero until it begins.
    pub fn last_stage(&self, history: &MissionHistory) -> Money {
        let last = history.version(self.judge).mission.stages.len() - 1;
        if self.fold.stage == last { self.fold.progress } else { Money::ZERO }
    }
}

impl Fold {
    fn step(&mut self, contribution: &Contribution, mission: &Mission) {
        let Some(stage) = mission.stages.get(self.stage) else { return };
        let in_time = self.since.is_none_or(|since| contribution.order.0 > since);
        if !contribution.live || usize::from(contribution.stage) != self.stage || !in_time {
            return;
        }
        match stage.measure {
            Measure::Count | Measure::Sum { .. } => self.progress += contribution.value,
            Measure::Run => {
                self.run = if contribution.qualifies { self.run + contribution.value } else { Money::ZERO };
                self.progress = self.progress.max(self.run);
            }
        }
        if self.progress < stage.target || self.completed.is_some() {
            return;
        }
        if self.stage + 1 == mission.stages.len() {
            self.completed = Some(contribution.order.0);
        } else {
            *self = Fold { stage: self.stage + 1, since: Some(contribution.order.0), ..Fold::default() };
        }
    }
}
