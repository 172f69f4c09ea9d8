//! A fold told step by step, for people.

use datasets::Money;
use datasets::mission::Mission;

use super::Counted;
use super::fold::FoldState;
use super::laps::Laps;

/// What one contribution did to the progress of an occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// It changed something: it was in the stage under way, and took it further or reset it.
    pub moved: bool,
    /// It reached the target of its stage.
    pub reached: bool,
    /// It ended a lap of a mission that repeats.
    pub ended: bool,
    /// The progress in its stage after it, which may be that of the next lap; absent where the next stage has begun.
    pub progress: Option<Money>,
}

/// What each contribution of `sequence` did, in order, judged by the targets of `mission`.
///
/// Each is the fold over all up to it, so that what is told is what the fold does, whatever the measure.
pub fn trace(sequence: &[Counted], mission: &Mission) -> Vec<Step> {
    let position = |sequence: &[Counted]| match mission.repeat {
        None => (None, FoldState::of(sequence, mission).position()),
        Some(_) => {
            let (begun, stage, progress) = Laps::over(sequence, mission, |_| None).position();
            (begun, (stage, progress, false))
        }
    };
    let mut before = position(&[]);
    let steps = (1..=sequence.len()).map(|taken| {
        let after = position(&sequence[..taken]);
        let (begun, (stage, progress, completed)) = after;
        let is_in_stage = usize::from(sequence[taken - 1].stage) == stage;
        let ended = begun != before.0;
        let reached = ended || stage > before.1.0 || completed && !before.1.2;
        // To start anew can lead where one was.
        let is_anew = taken > 1 && mission.gate.resets() && sequence[taken - 2].order.0 < sequence[taken - 1].since;
        let moved = std::mem::replace(&mut before, after) != after || is_anew && is_in_stage && !completed;
        Step { moved, reached, ended, progress: is_in_stage.then_some(progress) }
    });
    steps.collect()
}
