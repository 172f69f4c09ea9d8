//! Daily gaming activity: one row per (date, customer, game type, currency), restated (DOMAIN §5).
//!
//! - Input: postings of players that this worker owns. A reversal is a retraction.
//! - Output: the rows that differ from what was last emitted, when their key group reports, and what that
//!   changes in the takings.
//! - State: the sums of every row, and those last emitted of it.
//! - A row that nets to zero stays, as a row of zeros with the next revision.

mod cold;
mod customers;
mod key;
mod ngr;
mod operator;
mod row;
mod rows;
mod snapshot;

use datasets::Timestamp;
use datasets::hash::KEY_GROUPS;
use datasets::rows::ActivityRow;
use differential_dataflow::difference::Semigroup;
use smallvec::SmallVec;

use crate::changes::Posting;
use crate::players::Clock;
use crate::rollup::{GameDay, Takings};
use rows::Rows;

#[cfg(test)]
pub(crate) use cold::answers as cold_answers;
pub use key::RowKey;
pub use ngr::{ActivityRules, Base, Basis, Deduction, Per, Totals};
pub use operator::{Activity, daily_activity};

/// Postings whose rows are looked up at once.
const BLOCK: usize = 64;

/// When rows are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reporting {
    /// At the end of every epoch.
    EveryEpoch,
    /// Each key group once in so many microseconds of the wall's recorded clock, at its own phase.
    Interval(i64),
}

/// The rows of the key groups that one worker owns.
pub struct DailyActivity {
    rules: ActivityRules,
    reporting: Reporting,
    groups: Vec<Rows>,
    /// The wall's clock up to which rows were reported.
    reported: Option<Timestamp>,
    restored: snapshot::Restored,
}

/// Rows that changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restatements {
    /// Their new revisions, in no order.
    pub rows: Vec<ActivityRow>,
    /// What the new revisions add to the takings beyond the old ones.
    pub takings: Vec<(GameDay, Takings)>,
}

impl DailyActivity {
    /// No rows yet.
    pub fn new(rules: ActivityRules, reporting: Reporting) -> Self {
        let groups = (0..KEY_GROUPS).map(|_| Rows::default()).collect();
        DailyActivity { rules, reporting, groups, reported: None, restored: snapshot::Restored::default() }
    }

    /// Adds postings, or takes them back with a negative difference.
    pub fn update<T>(&mut self, updates: &[(Posting, T, isize)]) {
        for block in updates.chunks(BLOCK) {
            // Looked up side by side, so that no lookup waits for the one before.
            let places: SmallVec<[Option<u32>; BLOCK]> =
                block.iter().map(|(posting, ..)| self.groups[posting.group.index()].look_up(&posting.key)).collect();
            for ((posting, _, diff), place) in block.iter().zip(places) {
                self.groups[posting.group.index()].add(posting, *diff, place);
            }
        }
    }

    /// Restates the touched rows of the groups that report by `clock`, or of all at the end of the input.
    pub fn report(&mut self, clock: &Clock) -> Restatements {
        let Clock { now, wall, is_last, .. } = *clock;
        let since = self.reported.replace(wall);
        let due = self.reporting.due(since, wall);
        let mut restatements = Restatements::default();
        for (index, group) in self.groups.iter_mut().enumerate() {
            if !group.touched.is_empty() && (is_last || due(index)) {
                group.restate(&self.rules, now, &mut restatements);
            }
        }
        restatements
    }

    /// The earliest reading of the wall's clock at which a touched row is reported.
    pub fn next_report(&self) -> Option<Timestamp> {
        let (Reporting::Interval(interval), Some(reported)) = (self.reporting, self.reported) else { return None };
        let touched = self.groups.iter().enumerate().filter(|(_, group)| !group.touched.is_empty());
        touched.map(|(index, _)| next_phase(index, interval, reported)).min()
    }
}

impl Reporting {
    /// Which groups report in `(since, wall]`.
    fn due(self, since: Option<Timestamp>, wall: Timestamp) -> impl Fn(usize) -> bool {
        move |group| match (self, since) {
            (Reporting::EveryEpoch, _) => true,
            (Reporting::Interval(_), None) => false,
            (Reporting::Interval(interval), Some(since)) => next_phase(group, interval, since) <= wall,
        }
    }
}

/// Parts of an interval in which groups report. More of them would spread the work better, but each part that falls
/// into an epoch of its own adds all partitions of the topic to that epoch's transaction.
const PHASES: i64 = 64;

/// The first instant after `since` at which `group` reports: at a phase of the interval.
fn next_phase(group: usize, interval: i64, since: Timestamp) -> Timestamp {
    let group = i64::try_from(group).expect("a key group's number");
    let phase = interval / PHASES * (group % PHASES);
    let whole = (since.micros() - phase).div_euclid(interval) + 1;
    Timestamp::from_micros(whole * interval + phase)
}

impl Restatements {
    fn add_takings(&mut self, key: &RowKey, more: Takings) {
        // There are tens of games and hardly more than one day at a time.
        let known = self.takings.iter_mut().find(|(day, _)| key.is_of(day));
        match known {
            Some((_, takings)) => takings.plus_equals(&more),
            None => self.takings.push((key.game_day(), more)),
        }
    }
}

impl ActivityRules {
    /// What a revision with these `totals` adds to the takings, behind one with those that were `emitted`.
    fn takings(&self, totals: &Totals, emitted: &Totals, is_first: bool) -> Takings {
        let (total_bets, wins) = self.bets_and_wins(totals);
        let (bets_before, wins_before) = self.bets_and_wins(emitted);
        Takings {
            customers: i64::from(is_first),
            bets_count: totals.bets_count - emitted.bets_count,
            total_bets: total_bets - bets_before,
            wins: wins - wins_before,
        }
    }

    /// A revision of the row of `key`.
    fn restated(&self, key: &RowKey, totals: &Totals, revision: u64, now: Timestamp) -> ActivityRow {
        let (total_bets, wins) = self.bets_and_wins(totals);
        let key = key.activity();
        let ngr = self.ngr(totals, &key.currency);
        ActivityRow {
            key,
            bets_count: totals.bets_count,
            total_bets,
            wins,
            ggr: total_bets - wins,
            ngr,
            bonus_bets: totals.bonus_bets,
            bonus_wins: totals.bonus_wins,
            bonus_cost: self.bonus_cost(totals),
            jackpot_contribution: totals.jackpot_contribution,
            jackpot_wins: totals.jackpot_wins,
            chargebacks: totals.chargebacks,
            revision,
            updated_at: now,
        }
    }
}

#[cfg(test)]
mod tests;
