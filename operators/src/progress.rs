//! A player's progress in one occurrence of a mission: contributions in order, folded to an answer.
//!
//! The answer is a left fold over the contributions that count, in [`Order`], so it depends on their set
//! alone, never on the order in which they arrived. Where addition tells, the fold is shifted: by what
//! comes in order, and by what comes out of order or is taken back behind what reached the stage or
//! completed. Everything else folds the [`Sequence`] anew.

mod fold;
mod laps;
mod trace;

use datasets::mission::OnReversal;
use datasets::{Money, Timestamp};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::contributions::Contribution;
use crate::definitions::MissionHistory;
use crate::ledger::Order;
use fold::FoldState;
use laps::Laps;

pub use fold::Shift;
pub use laps::Limits;
pub use trace::{Step, trace};

/// A live contribution to a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// When it counts, then the coordinates of the deciding record.
    pub order: Order,
    /// The stage it is for.
    pub stage: u8,
    /// It qualifies; an event of a `run` that does not resets the run.
    pub qualifies: bool,
    /// What it adds; the quantity itself where the largest counts, the name of a value where different ones do.
    pub value: Money,
    /// Since when the player has been opted in again; since ever if it is the first time, or need not be.
    pub since: Timestamp,
}

impl Counted {
    /// `contribution`, for this stage, of a player that has been opted in again `since` then.
    pub fn new(contribution: &Contribution, stage: u8, since: Timestamp) -> Self {
        let Contribution { order, qualifies, value, live: _ } = *contribution;
        Counted { order, stage, qualifies, value, since }
    }
}

/// What counts for an occurrence.
pub trait Sequence {
    /// The live contributions, sorted by (order, stage); with a bound, those after it.
    fn after(&self, bound: Option<Order>) -> SmallVec<[Counted; 4]>;

    /// One of the live contributions is `wanted`. Asks for the newest first: what comes in runs is found soon.
    fn any(&self, wanted: &mut dyn FnMut(&Counted) -> bool) -> bool;
}

/// One occurrence of a mission for one player.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// End of a recurring window. A one-off window ends with its mission, which an edit can move.
    recurring_end: Timestamp,
    /// The fold over all contributions, judged by the targets of version `judge`.
    fold: FoldState,
    judge: u32,
    announced: Option<Box<Announced>>,
}

/// Stands for the end of a window that does not recur.
const NEVER: Timestamp = Timestamp::MIN;

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
    /// Nothing yet, in a recurring window that ends at `recurring_end`, or in the only one; judged by the
    /// version `judge`.
    pub fn new(recurring_end: Option<Timestamp>, judge: usize) -> Self {
        let judge = u32::try_from(judge).expect("fewer than 2^32 versions");
        Progress { recurring_end: recurring_end.unwrap_or(NEVER), fold: FoldState::default(), judge, announced: None }
    }

    /// End of a recurring window.
    pub fn recurring_end(&self) -> Option<Timestamp> {
        (self.recurring_end != NEVER).then_some(self.recurring_end)
    }

    /// It is of the only window of its mission.
    pub fn is_once(&self) -> bool {
        self.recurring_end().is_none()
    }

    /// End of the window; `None` never ends.
    pub fn window_end(&self, history: &MissionHistory) -> Option<Timestamp> {
        history.window_end(self.recurring_end())
    }

    /// A contribution counts from now on, or no more. `sequence` has it already, or no more.
    pub fn shift(&mut self, counted: &Counted, shift: Shift, history: &MissionHistory, sequence: &dyn Sequence) {
        let mission = &history.version(self.judged_by()).mission;
        let is_current = !history.repeats() || self.has_laps(history);
        if !is_current || !self.fold.shift(counted, shift, mission, sequence) {
            self.fold_again(counted.order, history, sequence);
        }
        #[cfg(test)]
        self.assert_folded(history, sequence);
    }

    /// Adds the value of one more live contribution to the first stage, if `version` judges, adds there, and stays
    /// under its `target`: then there is nothing else to do, and nothing to announce. Else does nothing.
    #[inline]
    pub fn add(&mut self, value: Money, version: usize, target: Money) -> bool {
        self.announced.is_none() && self.judged_by() == version && self.fold.add(value, target)
    }

    /// How far the sum of a mission's only stage may grow by contributions that come later than an instant, none
    /// of them negative, with nothing else to do: all together they have to stay below. `None`: not at all.
    pub fn room(&self, history: &MissionHistory) -> Option<(i64, Timestamp)> {
        match (self.fold.completed(), &self.announced) {
            _ if history.repeats() => None,
            (None, None) if self.judged_by() == history.newest() => {
                let target = history.version(self.judged_by()).mission.stages.first()?.target;
                self.fold.room(target).map(|room| (room, Timestamp::MIN))
            }
            (Some((completed, _)), Some(_)) if self.is_settled(history) => Some((i64::MAX, completed)),
            _ => None,
        }
    }

    /// Adds contributions that came within the [`room`](Self::room): their sum, and the last one's place in the order.
    pub fn add_all(&mut self, sum: i64, last: Order) {
        self.fold.add_all(sum, last);
    }

    /// Fails unless the fold is that of the whole sequence.
    #[cfg(test)]
    pub(crate) fn assert_folded(&self, history: &MissionHistory, sequence: &dyn Sequence) {
        match &self.fold {
            FoldState::Laps(laps) if self.has_laps(history) => laps.assert_folded(history, &sequence.after(None)),
            FoldState::Laps(_) => {}
            _ => self.fold.assert_folded(&history.version(self.judged_by()).mission, sequence),
        }
    }

    /// What counts may have changed anywhere, though no contribution did.
    pub fn fold_anew(&mut self, history: &MissionHistory, sequence: &dyn Sequence) {
        if history.repeats() {
            self.fold_laps(history, sequence);
        } else {
            self.fold = FoldState::of(&sequence.after(None), &history.version(self.judged_by()).mission);
        }
    }

    /// Contributions of `order` changed, or later ones as well.
    pub fn fold_again(&mut self, order: Order, history: &MissionHistory, sequence: &dyn Sequence) {
        if history.repeats() {
            self.fold_laps(history, sequence);
        } else {
            self.fold.fold_again(order, &history.version(self.judged_by()).mission, sequence);
        }
    }

    fn fold_laps(&mut self, history: &MissionHistory, sequence: &dyn Sequence) {
        self.laps(history).fold(history, &sequence.after(None));
        self.judge = u32::try_from(history.newest()).expect("fewer than 2^32 versions");
    }

    /// It is folded lap by lap, by the newest version.
    fn has_laps(&self, history: &MissionHistory) -> bool {
        matches!(self.fold, FoldState::Laps(_)) && self.judged_by() == history.newest()
    }

    /// Its laps, of a mission that repeats. What was folded before the mission did is one lap, until it is judged.
    fn laps(&mut self, history: &MissionHistory) -> &mut Laps {
        if !matches!(self.fold, FoldState::Laps(_)) {
            let (completed, announced) = (self.fold.completed(), self.announced.take());
            self.fold =
                FoldState::Laps(Box::new(Laps::of_one(announced.map(|one| *one), completed, self.last_stage(history))));
        }
        match &mut self.fold {
            FoldState::Laps(laps) => laps,
            _ => unreachable!("it has just been made"),
        }
    }

    /// Judges the laps of a mission that repeats by the newest version.
    pub fn judge_laps(&mut self, history: &MissionHistory, sequence: &dyn Sequence) {
        if !self.has_laps(history) {
            self.fold_laps(history, sequence);
        }
    }

    /// Adds to `limits` what stands in this window whatever becomes of its laps.
    pub fn stand(&mut self, history: &MissionHistory, limits: &mut Limits) {
        if history.version(history.newest()).mission.on_reversal == OnReversal::Keep {
            self.laps(history).stand(limits);
        }
    }

    /// What has to be announced of this window of a mission that repeats, with the occurrences. Announces it, as
    /// [`announce`](Self::announce) does. `limits` know the windows before.
    pub fn award(
        &mut self,
        cause: Cause,
        history: &MissionHistory,
        limits: &mut Limits,
    ) -> SmallVec<[(u32, Announcement); 2]> {
        self.laps(history).award(cause, history, limits)
    }

    /// The version whose targets decide.
    pub fn judged_by(&self) -> usize {
        usize::try_from(self.judge).expect("usize holds a u32")
    }

    /// Nothing has to be announced: [`announce`](Self::announce) would change nothing. May be false in doubt.
    pub fn is_settled(&self, history: &MissionHistory) -> bool {
        if let FoldState::Laps(laps) = &self.fold {
            return laps.is_told() && self.has_laps(history);
        }
        match (self.fold.completed(), &self.announced) {
            _ if history.repeats() => false,
            (None, None) => self.judged_by() == history.newest(),
            (Some((completed, _)), Some(announced)) => {
                announced.live
                    && self.judged_by() == announced.version
                    && (announced.by_definition || announced.completed_at == completed)
            }
            _ => false,
        }
    }

    /// What has to be announced now, if anything. Announces it: the next call answers for what comes after.
    pub fn announce(
        &mut self,
        cause: Cause,
        history: &MissionHistory,
        sequence: &dyn Sequence,
    ) -> Option<Announcement> {
        self.judge(history, sequence);
        let newest = &history.version(history.newest()).mission;
        let version = self.judged_by();
        match (self.fold.completed().map(|(time, _)| time), self.announced()) {
            (Some(completed), Some(announced)) if announced.live => {
                // It stands. `completed_at` may have moved; the next message will tell.
                let completed_at = if announced.by_definition { announced.completed_at } else { completed };
                self.announced = Some(Box::new(Announced { completed_at, version, ..announced }));
                None
            }
            (Some(completed), previous) => {
                let (completed_at, by_definition) = match cause {
                    Cause::Event => (completed, false),
                    Cause::Definition(at) => (at, true),
                };
                let revision = previous.map_or(1, |previous| previous.revision + 1);
                let announced = Announced { revision, live: true, completed_at, by_definition, version };
                self.announced = Some(Box::new(announced));
                Some(self.announcement(true, revision, completed_at, history))
            }
            (None, Some(announced))
                if announced.live && cause == Cause::Event && newest.on_reversal == OnReversal::Revoke =>
            {
                self.announced = Some(Box::new(Announced { live: false, ..announced }));
                Some(self.announcement(false, announced.revision, announced.completed_at, history))
            }
            (None, _) => None,
        }
    }

    /// Judges by the newest version's targets; a completion that stands keeps those it met as well,
    /// so an edit never takes one back ("who has completed stays completed").
    fn judge(&mut self, history: &MissionHistory, sequence: &dyn Sequence) {
        let standing = self.announced().filter(|announced| announced.live);
        let first = standing.map_or(history.newest(), |announced| announced.version);
        self.fold_by(first, history, sequence);
        if self.fold.completed().is_none() {
            self.fold_by(history.newest(), history, sequence);
        }
    }

    fn fold_by(&mut self, version: usize, history: &MissionHistory, sequence: &dyn Sequence) {
        if self.judged_by() != version {
            self.judge = u32::try_from(version).expect("fewer than 2^32 versions");
            self.fold = FoldState::of(&sequence.after(None), &history.version(version).mission);
        }
    }

    fn announcement(&self, completed: bool, revision: u32, at: Timestamp, history: &MissionHistory) -> Announcement {
        let version = self.judged_by();
        Announcement { completed, revision, completed_at: at, progress: self.last_stage(history), version }
    }

    /// All completions that were announced last, by occurrence, with all corrections since.
    #[cfg(test)]
    pub(crate) fn all_announced(&self) -> Vec<Announced> {
        match &self.fold {
            FoldState::Laps(laps) => laps.announced().to_vec(),
            _ => self.announced().into_iter().collect(),
        }
    }

    /// The completion that was last announced, with all corrections since, of what is completed once.
    pub fn announced(&self) -> Option<Announced> {
        self.announced.as_deref().copied()
    }

    /// The least `completed_at` of the completions that stand, with all corrections since. One that an edit brought is not in force
    /// before what reaches its target.
    pub fn in_force_since(&self) -> Option<Timestamp> {
        match &self.fold {
            FoldState::Laps(laps) => laps.in_force_since(),
            _ => {
                let standing = self.announced.as_ref().filter(|announced| announced.live)?;
                let reached = self.fold.completed().map_or(Timestamp::MIN, |(time, _)| time);
                Some(standing.completed_at.max(reached))
            }
        }
    }

    /// Progress in the last stage, which is what messages tell; zero until it begins.
    pub fn last_stage(&self, history: &MissionHistory) -> Money {
        self.fold.progress_in(history.version(self.judged_by()).mission.stages.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_takes_40_bytes() {
        assert_eq!(size_of::<Progress>(), 40);
    }
}
