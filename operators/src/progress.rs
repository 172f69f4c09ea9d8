//! A player's progress in one occurrence of a mission: contributions in order, folded to an answer.
//!
//! The answer is a left fold over the contributions in [`Order`], so it depends on the set of
//! contributions alone, never on the order in which they arrived. What comes in order continues the
//! fold; so does what comes out of order, or is taken back, after the contribution that reached the
//! stage or completed, as far as addition can tell. Everything else folds anew, from where the stage began.

use datasets::mission::{Measure, Mission, OnReversal};
use datasets::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use crate::contributions::{Contribution, Contributions};
use crate::definitions::MissionHistory;
use crate::ledger::Order;

/// One occurrence of a mission for one player.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// End of a recurring window. A one-off window ends with its mission, which an edit can move.
    recurring_end: Option<Timestamp>,
    contributions: Contributions,
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
    /// How many contributions lie before this stage: up to the one that reached the stage before.
    entered: usize,
    progress: Money,
    /// The run that is going on; its longest is `progress`.
    run: Money,
    /// An amount below zero has counted in this stage.
    has_negative: bool,
    completed: Option<Completed>,
}

/// The contribution that reached the last target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Completed {
    at: Timestamp,
    /// How many contributions lie up to it.
    upper: usize,
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
        Progress { recurring_end, contributions: Contributions::default(), fold: Fold::default(), judge, announced: None }
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
        let mission = &history.version(self.judge).mission;
        match self.contributions.position(&contribution) {
            Err(index) if index == self.contributions.len() => {
                self.fold.step(index, &contribution, mission);
                self.contributions.insert(index, contribution);
            }
            Err(index) => {
                self.contributions.insert(index, contribution);
                let shift = if contribution.live { Shift::Counts } else { Shift::None };
                if !self.fold.shift(index, &contribution, shift, mission) {
                    self.fold_from(index, mission);
                }
            }
            Ok(index) => {
                self.contributions.replace(index, contribution);
                self.fold_from(index, mission);
            }
        }
    }

    /// Takes back or restores what the event of `order` contributed. Answers whether there was anything.
    pub fn set_live(&mut self, order: Order, live: bool, history: &MissionHistory) -> bool {
        let mission = &history.version(self.judge).mission;
        let shift = if live { Shift::Counts } else { Shift::CountsNoMore };
        let range = self.contributions.of(order);
        let (mut changed, mut is_told) = (false, true);
        for index in range.clone() {
            let contribution = self.contributions.get(index);
            if contribution.live != live {
                changed = true;
                self.contributions.replace(index, Contribution { live, ..contribution });
                is_told = is_told && self.fold.shift(index, &contribution, shift, mission);
            }
        }
        if !is_told {
            self.fold_from(range.start, mission);
        }
        changed
    }

    /// Drops what the event of `order` contributed. Answers whether there was anything.
    pub fn remove(&mut self, order: Order, history: &MissionHistory) -> bool {
        let range = self.contributions.of(order);
        let start = range.start;
        if range.is_empty() {
            return false;
        }
        let mission = &history.version(self.judge).mission;
        let is_told = range.clone().all(|index| {
            let contribution = self.contributions.get(index);
            let shift = if contribution.live { Shift::CountsNoMore } else { Shift::None };
            self.fold.shift(index, &contribution, shift, mission)
        });
        self.contributions.remove(range);
        if !is_told {
            self.fold_from(start, mission);
        }
        true
    }

    /// The event of `order` contributed.
    pub fn contains(&self, order: Order) -> bool {
        !self.contributions.of(order).is_empty()
    }

    /// Nothing has to be announced: [`announce`](Self::announce) would change nothing. May be false in doubt.
    pub fn is_settled(&self, history: &MissionHistory) -> bool {
        match (self.fold.completed, self.announced) {
            (None, None) => self.judge == history.newest(),
            (Some(completed), Some(announced)) => {
                announced.live
                    && self.judge == announced.version
                    && (announced.by_definition || announced.completed_at == completed.at)
            }
            _ => false,
        }
    }

    /// What has to be announced now, if anything. Announces it: the next call answers for what comes after.
    pub fn announce(&mut self, cause: Cause, history: &MissionHistory) -> Option<Announcement> {
        self.judge(history);
        let newest = &history.version(history.newest()).mission;
        match (self.fold.completed, self.announced) {
            (Some(completed), Some(announced)) if announced.live => {
                // It stands. `completed_at` may have moved; the next message will tell.
                let completed_at = if announced.by_definition { announced.completed_at } else { completed.at };
                self.announced = Some(Announced { completed_at, version: self.judge, ..announced });
                None
            }
            (Some(completed), previous) => {
                let (completed_at, by_definition) = match cause {
                    Cause::Event => (completed.at, false),
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
        self.fold_rest(&history.version(version).mission);
    }

    /// Folds anew after a change at `index`. What reached the present stage is only in doubt if it does
    /// not lie before the change.
    fn fold_from(&mut self, index: usize, mission: &Mission) {
        let Fold { stage, since, entered, .. } = self.fold;
        self.fold =
            if index >= entered { Fold { stage, since, entered, ..Fold::default() } } else { Fold::default() };
        self.fold_rest(mission);
    }

    fn fold_rest(&mut self, mission: &Mission) {
        for index in self.fold.entered..self.contributions.len() {
            self.fold.step(index, &self.contributions.get(index), mission);
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

/// What becomes of a contribution that the fold has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shift {
    /// It counts from now on.
    Counts,
    /// It did until now.
    CountsNoMore,
    /// It does not, but takes a place, or gave it up.
    None,
}

impl Fold {
    /// Contributions below this index have decided where the fold stands.
    fn decided(&self) -> usize {
        self.completed.map_or(self.entered, |completed| completed.upper)
    }

    /// Takes the contribution at `index`, all before having been taken.
    fn step(&mut self, index: usize, contribution: &Contribution, mission: &Mission) {
        let Some(stage) = mission.stages.get(self.stage) else { return };
        if !contribution.live || !self.looks_at(contribution) {
            return;
        }
        self.has_negative |= contribution.value < Money::ZERO;
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
        let (at, upper) = (contribution.order.0, index + 1);
        if self.stage + 1 == mission.stages.len() {
            self.completed = Some(Completed { at, upper });
        } else {
            *self = Fold { stage: self.stage + 1, since: Some(at), entered: upper, ..Fold::default() };
        }
    }

    /// Brings the fold up to date with a change at `index`, below its end. Answers `false`, and changes
    /// nothing, if that takes folding anew.
    ///
    /// Behind what decided, the measures that add are told by their sum alone: a completion stands whatever
    /// comes after it; and without one, as long as no amount is below zero, no sum of the first few
    /// exceeds that of all, which stays below the target.
    fn shift(&mut self, index: usize, contribution: &Contribution, shift: Shift, mission: &Mission) -> bool {
        let Some(stage) = mission.stages.get(self.stage).filter(|_| index >= self.decided()) else { return false };
        if shift == Shift::None || !self.looks_at(contribution) {
            return true;
        }
        if stage.measure == Measure::Run {
            return false;
        }
        let progress = match shift {
            Shift::Counts => self.progress + contribution.value,
            Shift::CountsNoMore => self.progress - contribution.value,
            Shift::None => self.progress,
        };
        let has_negative = self.has_negative || contribution.value < Money::ZERO;
        if self.completed.is_none() && (has_negative || progress >= stage.target) {
            return false;
        }
        self.progress = progress;
        self.has_negative = has_negative;
        true
    }

    fn looks_at(&self, contribution: &Contribution) -> bool {
        usize::from(contribution.stage) == self.stage
            && self.since.is_none_or(|since| contribution.order.0 > since)
    }
}
