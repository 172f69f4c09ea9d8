//! Completing a mission again inside a window (DOMAIN §4).

use super::json::{Errors, Place};
use super::{MissionDefaults, Periods, Stage, Window};
use crate::Timestamp;
use crate::time::Every;

/// How often a mission can be completed, and what is left over each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// Completions that count in each of `per`; above 0.
    pub limit: u32,
    /// Where the limit begins anew.
    pub per: Per,
    /// What exceeds the target counts for the next completion.
    pub carry: bool,
}

/// What a limit is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Per {
    /// Each window of the mission.
    Window,
    /// Each day, week or month of the window's zone, by the event that completes. It may be longer than a window.
    Period(Periods),
}

/// The most that a limit may be: each completion is remembered while it can be moved.
const MOST: i64 = 10_000;

const PERIODS: [(&str, Option<Every>); 4] =
    [("window", None), ("day", Some(Every::Day)), ("week", Some(Every::Week)), ("month", Some(Every::Month))];

impl Repeat {
    /// Once in each window: what a mission does that says nothing else.
    pub const ONCE: Repeat = Repeat { limit: 1, per: Per::Window, carry: false };

    /// Where the limit that counts at `at` begins and ends; `None`: with the window.
    pub fn period(&self, at: Timestamp) -> Option<(Timestamp, Timestamp)> {
        match &self.per {
            Per::Window => None,
            Per::Period(periods) => Some(periods.at(at)),
        }
    }

    /// Until when a completion in a window of `window` that ends at `end` takes part in what completes in other windows: the end of
    /// the last window that has a part of a period that it has a part of.
    pub(super) fn reaches(&self, window: &Window, end: Timestamp) -> Timestamp {
        let (Per::Period(periods), Window::Every { every, zone, .. }) = (&self.per, window) else { return end };
        let of_period = periods.at(end.plus_micros(-1)).1;
        crate::time::window(*every, zone, of_period.plus_micros(-1)).1.max(end)
    }
}

/// Reads `repeat`. The zone of `defaults` is that of the mission's window.
pub(super) fn repeat(place: &Place<'_>, defaults: &MissionDefaults, errors: &mut Errors) -> Option<Repeat> {
    let mut members = place.members(errors)?;
    let limit = members.require("limit", errors).and_then(|place| {
        let limit = place.integer(errors)?;
        let known = u32::try_from(limit).ok().filter(|_| (1..=MOST).contains(&limit));
        known.or_else(|| errors.fail(&place.path, format!("must be from 1 to {MOST}, not {limit}")))
    });
    let per = members.take("per").map_or(Some(None), |place| place.choice(&PERIODS, errors));
    let carry = members.take("carry").map_or(Some(false), |place| place.flag(errors));
    members.finish(errors);
    let per = per?.map_or(Per::Window, |every| {
        let MissionDefaults { zone, zone_name, .. } = defaults.clone();
        Per::Period(Periods { every, zone, zone_name })
    });
    Some(Repeat { limit: limit?, per, carry: carry? })
}

/// Reports an excess that is none of the next completion's measure.
pub(super) fn check_carry(repeat: &Repeat, stages: &[Stage], errors: &mut Errors) {
    if repeat.carry && !matches!(stages, [stage] if stage.measure.adds()) {
        let message = "only a mission of one stage that is a count or a sum has something to carry over";
        errors.add("/repeat/carry", message);
    }
}
