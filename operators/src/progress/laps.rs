//! Completing again: the fold of a mission that repeats, lap by lap.
//!
//! A lap is the way to one more completion. The next one begins behind what completed it, in [`Order`], with what exceeds
//! the target where that carries over. Laps depend on what counts in their window alone; which of them are completions, as far
//! as the limit goes, is told over all windows ([`Laps::award`]).

use datasets::mission::{Mission, OnReversal, Repeat};
use datasets::{Money, Timestamp};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::fold::{Fold, Shift, Values};
use super::{Announced, Announcement, Cause, Counted, Sequence};
use crate::definitions::MissionHistory;
use crate::ledger::Order;

/// The laps of one window, and what was told of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Laps {
    /// Of the lap under way.
    #[serde(with = "whole")]
    fold: Fold,
    /// What completed the lap before.
    begun: Option<Order>,
    /// Laps that were completed, as many as can be completions by the limit.
    reached: Vec<Lap>,
    /// By occurrence, from the first.
    announced: Vec<Announced>,
    /// Nothing has changed since it was told.
    #[serde(skip)]
    is_told: bool,
}

/// A fold with all of its parts.
mod whole {
    use serde::{Deserializer, Serializer};

    use super::*;

    pub(super) fn serialize<S: Serializer>(fold: &Fold, serializer: S) -> Result<S::Ok, S::Error> {
        (fold, fold.until).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Fold, D::Error> {
        let (fold, until) = <(Fold, Option<Timestamp>)>::deserialize(deserializer)?;
        Ok(Fold { until, ..fold })
    }
}

/// A lap that was completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Lap {
    at: Order,
    progress: Money,
    /// The completion that it was when it was told last, from 1; 0: none.
    occurrence: u32,
}

/// Completions that limits have counted, by the times of the events that completed, sorted.
#[derive(Debug, Default)]
pub struct Limits(Vec<Timestamp>);

impl Limits {
    /// Counts a completion.
    fn count(&mut self, time: Timestamp) {
        // Nearly all come in order.
        let place = self.0.partition_point(|other| *other <= time);
        self.0.insert(place, time);
    }

    /// One more completion at `time` is within the limit; `of_window` have been in its window.
    fn allow(&self, repeat: &Repeat, time: Timestamp, of_window: usize) -> bool {
        let count = match repeat.period(time) {
            None => of_window,
            Some((start, end)) => {
                let before = |bound: Timestamp| self.0.partition_point(|other| *other < bound);
                before(end) - before(start)
            }
        };
        count < limit(repeat)
    }
}

fn limit(repeat: &Repeat) -> usize {
    usize::try_from(repeat.limit).expect("usize holds a u32")
}

fn repeat(mission: &Mission) -> &Repeat {
    mission.repeat.as_ref().unwrap_or(&Repeat::ONCE)
}

impl Laps {
    /// Of an occurrence that was completed at most once until now.
    pub(super) fn of_one(announced: Option<Announced>, completed: Option<Order>, progress: Money) -> Self {
        let occurrence = u32::from(announced.is_some());
        let lap = completed.map(|at| Lap { at, progress, occurrence });
        Laps { reached: lap.into_iter().collect(), announced: announced.into_iter().collect(), ..Laps::default() }
    }

    /// The version whose targets a completion met that stands as the lap of this number.
    fn standing(&self, number: usize) -> Option<usize> {
        let index = usize::try_from(self.reached.get(number)?.occurrence).ok()?.checked_sub(1)?;
        self.announced.get(index).filter(|announced| announced.live).map(|announced| announced.version)
    }

    /// Folds all of `sequence` by the newest targets. A completion that stands keeps those it met as well, so an edit never
    /// takes one back.
    pub(super) fn fold(&mut self, history: &MissionHistory, sequence: &[Counted]) {
        let newest = &history.version(history.newest()).mission;
        let standing = |number| self.standing(number).map(|version| &history.version(version).mission);
        let mut next = Laps::over(sequence, newest, standing);
        for (lap, known) in next.reached.iter_mut().zip(&self.reached) {
            lap.occurrence = known.occurrence;
        }
        next.is_told = self.is_told && next.reached == self.reached;
        next.announced = std::mem::take(&mut self.announced);
        *self = next;
    }

    /// The laps of all of `sequence`, by the targets of `newest`; of a lap that is `standing` by its number, by those first.
    pub(super) fn over<'m>(
        sequence: &[Counted],
        newest: &'m Mission,
        standing: impl Fn(usize) -> Option<&'m Mission>,
    ) -> Laps {
        let (mut next, mut rest) = (Laps::default(), sequence);
        loop {
            let standing = standing(next.reached.len());
            let judges = standing.into_iter().chain([newest]);
            let done = judges.into_iter().find_map(|judge| {
                let (taken, fold) = next.fold.until_completed(rest, judge, next.begun)?;
                Some((taken, fold, judge))
            });
            let Some((taken, fold, judge)) = done else { break };
            next.finish(fold, judge, newest, standing);
            rest = &rest[taken..];
        }
        next.fold = next.fold.over(rest, newest, next.begun);
        next
    }

    /// What completed the lap before, the stage under way, and the progress in it.
    pub(super) fn position(&self) -> (Option<Order>, usize, Money) {
        (self.begun, self.fold.stage, self.fold.progress)
    }

    /// What comes behind all others is the next step. Answers `false`, and changes nothing, if that takes folding again.
    pub(super) fn shift(
        &mut self,
        counted: &Counted,
        shift: Shift,
        mission: &Mission,
        sequence: &dyn Sequence,
    ) -> bool {
        if shift == Shift::CountsNoMore || self.fold.last.is_some_and(|last| counted.order <= last) {
            return false;
        }
        if !self.fold.take_next(counted, mission, self.begun, sequence) {
            return false;
        }
        while self.fold.completed.is_some() {
            self.is_told = false;
            self.finish(self.fold, mission, mission, None);
            self.fold.complete_by_carry(mission, self.begun);
        }
        true
    }

    /// A lap is completed in `fold`, by the targets of `judge`. Begins the next one. One that is beyond the limit in any case,
    /// of the `newest` version and of that which a `standing` completion met, is not kept.
    fn finish(&mut self, fold: Fold, judge: &Mission, newest: &Mission, standing: Option<&Mission>) {
        let at = fold.completed.expect("the lap is completed");
        let fits = standing.into_iter().chain([newest]).map(repeat).any(|repeat| {
            let period = repeat.period(at.0);
            let is_in = |time: Timestamp| period.is_none_or(|(start, end)| start <= time && time < end);
            self.reached.iter().filter(|lap| is_in(lap.at.0)).count() < limit(repeat)
        });
        if fits {
            self.reached.push(Lap { at, progress: fold.progress, occurrence: 0 });
        }
        let target = judge.stages.last().expect("a mission has a stage").target;
        let excess = if repeat(newest).carry { fold.progress - target } else { Money::ZERO };
        // What one event completes beyond the limit need not be gone through: the targets are equal by then.
        let excess = if fits { excess } else { Money::from_raw(excess.raw() % target.raw()) };
        // A period takes part in one streak only.
        let until = fold.until.filter(|_| newest.stages.len() == 1);
        self.begun = Some(at);
        self.fold = Fold { progress: excess, until, last: fold.last, ..Fold::default() };
    }

    /// Which laps are completions by the limits, and what has to be said of it in this window.
    pub(super) fn award(
        &mut self,
        cause: Cause,
        history: &MissionHistory,
        limits: &mut Limits,
    ) -> SmallVec<[(u32, Announcement); 2]> {
        let newest = &history.version(history.newest()).mission;
        let keeps = newest.on_reversal == OnReversal::Keep;
        let mut told = SmallVec::new();
        let mut count = 0;
        for lap in &mut self.reached {
            lap.occurrence = 0;
            let known = self.announced.get(count).copied();
            let live = known.filter(|known| known.live);
            let rules = live.iter().map(|live| repeat(&history.version(live.version).mission)).chain([repeat(newest)]);
            let is_kept = keeps && live.is_some();
            if !is_kept && !rules.into_iter().any(|repeat| limits.allow(repeat, lap.at.0, count)) {
                continue;
            }
            if !is_kept {
                limits.count(lap.at.0);
            }
            count += 1;
            lap.occurrence = u32::try_from(count).expect("limits are below 2^32");
            let version = live.map_or(history.newest(), |live| live.version);
            if let Some(live) = live {
                // It stands. `completed_at` may have moved; the next message will tell.
                let completed_at = if live.by_definition { live.completed_at } else { lap.at.0 };
                self.announced[count - 1] = Announced { completed_at, ..live };
                continue;
            }
            let (completed_at, by_definition) = match cause {
                Cause::Event => (lap.at.0, false),
                Cause::Definition(at) => (at, true),
            };
            let revision = known.map_or(1, |known| known.revision + 1);
            let announced = Announced { revision, live: true, completed_at, by_definition, version };
            if known.is_some() {
                self.announced[count - 1] = announced;
            } else {
                self.announced.push(announced);
            }
            let announcement =
                Announcement { completed: true, revision, completed_at, progress: lap.progress, version };
            told.push((lap.occurrence, announcement));
        }
        let left = self.progress_in(newest.stages.len() - 1);
        let may_revoke = cause == Cause::Event && !keeps;
        let over = self.announced.iter_mut().enumerate().skip(count).filter(|(_, known)| known.live && may_revoke);
        for (index, known) in over {
            known.live = false;
            let occurrence = u32::try_from(index + 1).expect("limits are below 2^32");
            let progress = if index == count { left } else { Money::ZERO };
            let Announced { revision, completed_at, .. } = *known;
            let version = history.newest();
            told.push((occurrence, Announcement { completed: false, revision, completed_at, progress, version }));
        }
        self.is_told = true;
        told
    }

    /// Fails unless laps are those of the whole sequence.
    #[cfg(test)]
    pub(super) fn assert_folded(&self, history: &MissionHistory, sequence: &[Counted]) {
        let known = |laps: &Laps| {
            let reached: Vec<_> = laps.reached.iter().map(|lap| (lap.at, lap.progress)).collect();
            (Fold { last: None, has_negative: false, ..laps.fold }, laps.begun, reached)
        };
        let mut again = self.clone();
        again.fold(history, sequence);
        assert_eq!(known(self), known(&again), "shifted as if folded");
    }

    /// Progress of the lap under way in a stage, if it is the one under way.
    pub(super) fn progress_in(&self, stage: usize) -> Money {
        if self.fold.stage == stage { self.fold.progress } else { Money::ZERO }
    }

    /// Counts what stands whatever becomes of its lap.
    pub(super) fn stand(&self, limits: &mut Limits) {
        let live = self.announced.iter().filter(|announced| announced.live);
        live.for_each(|announced| limits.count(announced.completed_at));
    }

    /// The least `completed_at` of the completions that stand; of one that an edit brought, not before the end of its lap.
    pub(super) fn in_force_since(&self) -> Option<Timestamp> {
        let standing = (1..).zip(&self.announced).filter(|(_, announced)| announced.live);
        let since = standing.map(|(occurrence, announced)| {
            let lap = self.reached.iter().find(|lap| announced.by_definition && lap.occurrence == occurrence);
            lap.map_or(Timestamp::MIN, |lap| lap.at.0).max(announced.completed_at)
        });
        since.min()
    }

    /// What was told last, with all corrections since, by occurrence.
    #[cfg(test)]
    pub(super) fn announced(&self) -> &[Announced] {
        &self.announced
    }

    /// Nothing has changed since it was told.
    pub(super) fn is_told(&self) -> bool {
        self.is_told
    }
}

impl Fold {
    /// Takes what comes until all stages are reached. Answers how many that took, and the fold; `None`: they are not.
    fn until_completed(
        mut self,
        sequence: &[Counted],
        mission: &Mission,
        begun: Option<Order>,
    ) -> Option<(usize, Fold)> {
        self.complete_by_carry(mission, begun);
        let mut values = Values::default();
        let mut taken = 0;
        while self.completed.is_none() {
            let counted = sequence.get(taken)?;
            self.take(counted, mission, begun, &mut values);
            taken += 1;
        }
        Some((taken, self))
    }

    /// What is carried over may be enough by itself.
    fn complete_by_carry(&mut self, mission: &Mission, begun: Option<Order>) {
        let is_enough = matches!(&mission.stages[..], [stage] if self.progress >= stage.target);
        self.completed = begun.filter(|_| is_enough);
    }
}
