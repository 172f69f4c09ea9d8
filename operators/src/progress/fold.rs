//! The left fold over what counts for an occurrence.

use std::collections::BTreeSet;

use datasets::mission::{Measure, Mission, Periods, Stage};
use datasets::{Money, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::laps::Laps;
use super::{Counted, Sequence};
use crate::ledger::Order;

/// What becomes of a contribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// It counts from now on.
    Counts,
    /// It did until now.
    CountsNoMore,
}

/// Where the fold stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FoldState {
    /// Under way in a first stage that adds, with this sum ([`Money::raw`]), and no amount below zero: all
    /// that most occurrences ever are. In which order it was added does not matter. Or in a first stage that counts
    /// different values, with how many there are. Or zero, in a first stage of another measure that nothing has made any
    /// progress in.
    Sum(i64),
    /// Everything else that is completed once.
    Fold(Box<Fold>),
    /// Of a mission that a version lets repeat.
    Laps(Box<Laps>),
}

/// The fold in full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fold {
    pub(super) stage: usize,
    /// What reached the stage before: only what is strictly later in time counts.
    pub(super) entered: Option<Order>,
    pub(super) progress: Money,
    /// The run or streak that is going on; the longest is `progress`.
    pub(super) run: Money,
    /// Where the last period of a streak ends.
    #[serde(skip)]
    pub(super) until: Option<Timestamp>,
    /// An amount below zero has been added in this stage.
    pub(super) has_negative: bool,
    /// What reached the last target.
    pub(super) completed: Option<Order>,
    /// The last that was taken.
    pub(super) last: Option<Order>,
}

/// Values by stage: what came before a stage was entered is not looked at, so it is none of its values.
pub(super) type Values = BTreeSet<(u8, Money)>;

/// A fold as it is written. The first two are those of the first release.
#[derive(Serialize, Deserialize)]
enum Written<F, L> {
    Sum(i64),
    Fold(F),
    /// In a streak, with [`Fold::until`].
    Streak(F, Timestamp),
    /// Since format 3.
    Laps(L),
}

impl Serialize for FoldState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = match self {
            FoldState::Sum(sum) => Written::Sum(*sum),
            FoldState::Fold(fold) => match fold.until {
                None => Written::Fold(&**fold),
                Some(until) => Written::Streak(&**fold, until),
            },
            FoldState::Laps(laps) => Written::Laps(&**laps),
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FoldState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Written::<Box<Fold>, Box<Laps>>::deserialize(deserializer)? {
            Written::Sum(sum) => FoldState::Sum(sum),
            Written::Fold(fold) => FoldState::Fold(fold),
            Written::Laps(laps) => FoldState::Laps(laps),
            Written::Streak(fold, until) => FoldState::Fold(Box::new(Fold { until: Some(until), ..*fold })),
        })
    }
}

impl Default for FoldState {
    fn default() -> Self {
        FoldState::Sum(0)
    }
}

impl FoldState {
    /// The fold over all of `sequence`.
    pub(super) fn of(sequence: &[Counted], mission: &Mission) -> Self {
        Self::from(Fold::default().over(sequence, mission, None), mission)
    }

    fn from(fold: Fold, mission: &Mission) -> Self {
        let Fold { stage, entered, progress, run, until: _, has_negative, completed, last } = fold;
        let is_under_way = stage == 0 && entered.is_none() && completed.is_none() && !has_negative;
        let only_grows = mission.stages.first().is_some_and(|stage| only_grows(&stage.measure));
        // To start anew, one has to know what came last.
        let is_plain = last.is_none() || !mission.gate.resets();
        let is_sum = is_under_way && is_plain && (only_grows || progress.is_zero() && run.is_zero());
        match i64::try_from(progress.raw()) {
            Ok(sum) if is_sum => FoldState::Sum(sum),
            _ => FoldState::Fold(Box::new(fold)),
        }
    }

    /// What reached the last target, of what is completed once.
    pub(super) fn completed(&self) -> Option<Order> {
        match self {
            FoldState::Fold(fold) => fold.completed,
            FoldState::Sum(_) | FoldState::Laps(_) => None,
        }
    }

    /// Progress in a stage, if it is the one under way.
    pub(super) fn progress_in(&self, stage: usize) -> Money {
        match self {
            FoldState::Sum(sum) if stage == 0 => Money::from_raw(i128::from(*sum)),
            FoldState::Fold(fold) if fold.stage == stage => fold.progress,
            FoldState::Laps(laps) => laps.progress_in(stage),
            _ => Money::ZERO,
        }
    }

    /// See [`Progress::add`](super::Progress::add).
    #[inline]
    pub(super) fn add(&mut self, value: Money, target: Money) -> bool {
        let FoldState::Sum(sum) = self else { return false };
        let next = i128::from(*sum) + value.raw();
        let fits = i64::try_from(next).ok().filter(|_| !value.is_negative() && next < target.raw());
        *sum = fits.unwrap_or(*sum);
        fits.is_some()
    }

    /// How much a sum may grow before it reaches `target`; `None`: it is none.
    pub(super) fn room(&self, target: Money) -> Option<i64> {
        let FoldState::Sum(sum) = self else { return None };
        let left = target.raw() - i128::from(*sum);
        Some(i64::try_from(left).unwrap_or(i64::MAX).min(i64::MAX - sum))
    }

    /// See [`Progress::add_all`](super::Progress::add_all).
    pub(super) fn add_all(&mut self, sum: i64, last: Order) {
        match self {
            FoldState::Sum(known) => *known += sum,
            FoldState::Fold(fold) => {
                fold.progress += Money::from_raw(i128::from(sum));
                fold.last = fold.last.max(Some(last));
            }
            FoldState::Laps(_) => unreachable!("what repeats has no tally"),
        }
    }

    /// Brings the fold up to date with one change, which `sequence` shows already. Answers `false`, and changes nothing, if
    /// that takes folding again.
    pub(super) fn shift(
        &mut self,
        counted: &Counted,
        shift: Shift,
        mission: &Mission,
        sequence: &dyn Sequence,
    ) -> bool {
        match self {
            FoldState::Sum(sum) => match shift_sum(*sum, counted, shift, mission, sequence) {
                Some(next) => {
                    *sum = next;
                    true
                }
                None => false,
            },
            FoldState::Fold(fold) => fold.shift(counted, shift, mission, sequence),
            FoldState::Laps(laps) => laps.shift(counted, shift, mission, sequence),
        }
    }

    /// Folds again after a change at `order`. What reached the present stage is only in doubt if it does not
    /// lie before the change.
    pub(super) fn fold_again(&mut self, order: Order, mission: &Mission, sequence: &dyn Sequence) {
        let start = match self {
            FoldState::Fold(fold) if fold.entered.is_some_and(|entered| order > entered) => {
                let Fold { stage, entered, .. } = **fold;
                Fold { stage, entered, last: entered, ..Fold::default() }
            }
            _ => Fold::default(),
        };
        *self = Self::from(start.over(&sequence.after(start.entered), mission, None), mission);
    }

    /// The stage under way, the progress in it, and whether the last target was reached.
    pub(super) fn position(&self) -> (usize, Money, bool) {
        match self {
            FoldState::Sum(sum) => (0, Money::from_raw(i128::from(*sum)), false),
            FoldState::Fold(fold) => (fold.stage, fold.progress, fold.completed.is_some()),
            FoldState::Laps(_) => unreachable!("laps tell their own position"),
        }
    }

    #[cfg(test)]
    pub(super) fn assert_folded(&self, mission: &Mission, sequence: &dyn Sequence) {
        let known = |state: &FoldState| match state {
            FoldState::Sum(sum) => Fold { progress: Money::from_raw(i128::from(*sum)), ..Fold::default() },
            FoldState::Fold(fold) => Fold { last: None, has_negative: false, ..**fold },
            FoldState::Laps(_) => unreachable!("compared by themselves"),
        };
        assert_eq!(known(self), known(&FoldState::of(&sequence.after(None), mission)), "shifted as if folded");
    }
}

/// Without amounts below zero, no progress by the first few is above that by all.
fn only_grows(measure: &Measure) -> bool {
    measure.adds() || matches!(measure, Measure::Distinct(_))
}

/// The sum after a change, while it stays below the first target: no part of a sum without amounts below
/// zero exceeds the whole.
fn shift_sum(sum: i64, counted: &Counted, shift: Shift, mission: &Mission, sequence: &dyn Sequence) -> Option<i64> {
    let stage = mission.stages.first().filter(|_| !mission.gate.resets())?;
    if counted.stage != 0 {
        return Some(sum);
    }
    let value = match stage.measure {
        // There is no run yet that it could break.
        Measure::Run if !counted.qualifies => return Some(sum),
        Measure::Max { .. } if counted.value <= Money::ZERO => return Some(sum),
        Measure::Run | Measure::Max { .. } | Measure::Streak(_) => return None,
        Measure::Count | Measure::Sum { .. } if counted.value < Money::ZERO => return None,
        Measure::Count | Measure::Sum { .. } => counted.value,
        Measure::Distinct(_) if has_twin(counted, sequence, |_| true) => return Some(sum),
        Measure::Distinct(_) => Money::ONE,
    };
    let value = i64::try_from(value.raw()).ok()?;
    let next = match shift {
        Shift::Counts => sum.checked_add(value)?,
        Shift::CountsNoMore => sum.checked_sub(value)?,
    };
    (i128::from(next) < stage.target.raw()).then_some(next)
}

/// An amount below zero is added: the sum of the first few may exceed that of all.
fn has_negative(measure: &Measure, counted: &Counted) -> bool {
    measure.adds() && counted.value < Money::ZERO
}

/// Another contribution of those that `are_looked_at` has the value of `counted`, for the same stage.
fn has_twin(counted: &Counted, sequence: &dyn Sequence, are_looked_at: impl Fn(&Counted) -> bool) -> bool {
    let Counted { order, stage, value, .. } = *counted;
    sequence
        .any(&mut |other| other.value == value && other.stage == stage && other.order != order && are_looked_at(other))
}

impl Fold {
    /// Takes all of `sequence`, in a lap that begins behind what completed the one before.
    pub(super) fn over(mut self, sequence: &[Counted], mission: &Mission, begun: Option<Order>) -> Self {
        let mut values = Values::default();
        for counted in sequence {
            self.take(counted, mission, begun, &mut values);
        }
        self
    }

    /// Takes the next contribution. `values` are those of the ones before, since it started anew.
    pub(super) fn take(&mut self, counted: &Counted, mission: &Mission, begun: Option<Order>, values: &mut Values) {
        if self.starts_anew(counted, mission) {
            *self = Fold::anew(mission, begun);
            values.clear();
        }
        self.step(counted, mission, |_| values.insert((counted.stage, counted.value)));
    }

    /// Takes the next contribution. Where values count once, it must be told whether this one `is_new` in the stage.
    fn step(&mut self, counted: &Counted, mission: &Mission, is_new: impl FnOnce(&Fold) -> bool) {
        self.last = Some(counted.order);
        let Some(stage) = mission.stages.get(self.stage).filter(|_| self.looks_at(counted)) else { return };
        self.has_negative |= has_negative(&stage.measure, counted);
        match &stage.measure {
            Measure::Count | Measure::Sum { .. } => self.progress += counted.value,
            Measure::Run => {
                self.run = if counted.qualifies { self.run + counted.value } else { Money::ZERO };
                self.progress = self.progress.max(self.run);
            }
            Measure::Max { .. } => self.progress = self.progress.max(counted.value),
            Measure::Streak(periods) => self.extend_streak(periods, counted.order.0),
            Measure::Distinct(_) if is_new(self) => self.progress += Money::ONE,
            Measure::Distinct(_) => {}
        }
        if self.progress < stage.target || self.completed.is_some() {
            return;
        }
        let order = Some(counted.order);
        if self.stage + 1 == mission.stages.len() {
            self.completed = order;
        } else {
            *self = Fold { stage: self.stage + 1, entered: order, last: order, ..Fold::default() };
        }
    }

    /// Takes what comes behind all others; in a lap that begins behind `begun`, if others came before. Answers `false`, and
    /// changes nothing, if that takes folding again: who starts anew has no values from before, and they are not told
    /// apart by what is here.
    pub(super) fn take_next(
        &mut self,
        counted: &Counted,
        mission: &Mission,
        begun: Option<Order>,
        sequence: &dyn Sequence,
    ) -> bool {
        let has_values = || mission.stages.iter().any(|stage| matches!(stage.measure, Measure::Distinct(_)));
        if mission.gate.resets() && has_values() {
            return false;
        }
        if self.starts_anew(counted, mission) {
            *self = Fold::anew(mission, begun);
        }
        let is_in_lap = |other: &Counted| begun.is_none_or(|begun| other.order > begun);
        let is_new = |fold: &Fold| !has_twin(counted, sequence, |other| is_in_lap(other) && fold.looks_at(other));
        self.step(counted, mission, is_new);
        true
    }

    /// The beginning, without what a lap before has left over; but a period that took part in a streak of that takes part in
    /// no other.
    fn anew(mission: &Mission, begun: Option<Order>) -> Self {
        let until = match (&mission.stages[..], begun) {
            ([Stage { measure: Measure::Streak(periods), .. }], Some((time, _))) => Some(periods.at(time).1),
            _ => None,
        };
        Fold { until, ..Fold::default() }
    }

    /// The player opted in again between what came last and this. A completion stands.
    fn starts_anew(&self, counted: &Counted, mission: &Mission) -> bool {
        let is_behind = self.last.is_some_and(|(last, _)| last < counted.since);
        is_behind && mission.gate.resets() && self.completed.is_none()
    }

    /// Something qualifies at `time`, and nothing did later.
    fn extend_streak(&mut self, periods: &Periods, time: Timestamp) {
        if self.until.is_some_and(|until| time < until) {
            return;
        }
        let (start, end) = periods.at(time);
        self.run = if self.until == Some(start) { self.run + Money::ONE } else { Money::ONE };
        self.until = Some(end);
        self.progress = self.progress.max(self.run);
    }

    /// See [`FoldState::shift`]. What comes last is the next step. Behind what decided, the measures that add
    /// are told by their sum alone: a completion stands whatever comes after it; and without one, as long as
    /// no amount is below zero, no sum of the first few exceeds that of all, which stays below the target. The same is
    /// true of the largest, amounts below zero or not, and of how many values differ.
    fn shift(&mut self, counted: &Counted, shift: Shift, mission: &Mission, sequence: &dyn Sequence) -> bool {
        if shift == Shift::Counts && self.last.is_none_or(|last| counted.order > last) {
            return self.take_next(counted, mission, None, sequence);
        }
        if mission.gate.resets() {
            return false;
        }
        let is_new = |fold: &Fold| !has_twin(counted, sequence, |other| fold.looks_at(other));
        let decided = self.completed.or(self.entered);
        let is_behind = decided.is_none_or(|decided| counted.order > decided);
        let Some(stage) = mission.stages.get(self.stage).filter(|_| is_behind) else { return false };
        if !self.looks_at(counted) {
            return true;
        }
        let progress = match (&stage.measure, shift) {
            // One more in the last period, which is there already.
            (Measure::Streak(periods), Shift::Counts) if self.until == Some(periods.at(counted.order.0).1) => {
                self.progress
            }
            (Measure::Run | Measure::Streak(_), _) => return false,
            (Measure::Count | Measure::Sum { .. }, Shift::Counts) => self.progress + counted.value,
            (Measure::Count | Measure::Sum { .. }, Shift::CountsNoMore) => self.progress - counted.value,
            (Measure::Max { .. }, Shift::Counts) => self.progress.max(counted.value),
            (Measure::Max { .. }, Shift::CountsNoMore) if counted.value < self.progress => self.progress,
            (Measure::Distinct(_), _) if !is_new(self) => self.progress,
            (Measure::Distinct(_), Shift::Counts) => self.progress + Money::ONE,
            (Measure::Distinct(_), Shift::CountsNoMore) => self.progress - Money::ONE,
            // Another one may be as large, or none.
            (Measure::Max { .. }, Shift::CountsNoMore) => return false,
        };
        let has_negative = self.has_negative || has_negative(&stage.measure, counted);
        if self.completed.is_none() && (has_negative || progress >= stage.target) {
            return false;
        }
        self.progress = progress;
        self.has_negative = has_negative;
        true
    }

    fn looks_at(&self, counted: &Counted) -> bool {
        let in_time = self.entered.is_none_or(|(entered, _)| counted.order.0 > entered);
        usize::from(counted.stage) == self.stage && in_time
    }
}
