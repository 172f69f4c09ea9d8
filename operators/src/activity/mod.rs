//! Daily gaming activity: one row per (date, customer, game type, currency), restated (DOMAIN §5).
//!
//! - Input: postings of players that this worker owns. A reversal is a retraction.
//! - Output: the rows that differ from what was last emitted, when their key group reports.
//! - State: the sums of every row, and what was last emitted of it.
//! - A row that nets to zero stays, as a row of zeros with the next revision.

mod ngr;
mod operator;

use datasets::hash::KEY_GROUPS;
use datasets::rows::{ActivityKey, ActivityRow};
use datasets::{Money, Timestamp};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::changes::Posting;

pub use ngr::{ActivityRules, Base, Basis, Deduction, Totals};
pub use operator::daily_activity;

/// When rows are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reporting {
    /// At the end of every epoch.
    EveryEpoch,
    /// Each key group once in so many microseconds of the recorded clock, at its own phase.
    Interval(i64),
}

/// The rows of the key groups that one worker owns.
pub struct DailyActivity {
    rules: ActivityRules,
    reporting: Reporting,
    groups: Vec<Rows>,
    /// The clock up to which rows were reported.
    reported: Option<Timestamp>,
}

/// The rows of one key group; encodes by itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Rows {
    rows: HashMap<ActivityKey, Row, foldhash::fast::FixedState>,
    /// Rows that a posting touched since their last report.
    touched: Vec<ActivityKey>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Row {
    totals: Totals,
    is_touched: bool,
    emitted: Option<Emitted>,
}

/// A revision that was emitted: all that its columns are made of.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Emitted {
    totals: Totals,
    revision: u64,
    updated_at: Timestamp,
}

/// A row that changed: what was last emitted, and what is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restatement {
    /// The revision before, if any.
    pub before: Option<ActivityRow>,
    /// The row from now on.
    pub after: ActivityRow,
}

impl DailyActivity {
    /// No rows yet.
    pub fn new(rules: ActivityRules, reporting: Reporting) -> Self {
        let groups = (0..KEY_GROUPS).map(|_| Rows::default()).collect();
        DailyActivity { rules, reporting, groups, reported: None }
    }

    /// Adds a posting, or takes it back with a negative `diff`.
    pub fn update(&mut self, posting: &Posting, diff: isize) {
        let Rows { rows, touched } = &mut self.groups[posting.group.index()];
        let row = match rows.get_mut(&posting.key) {
            Some(row) => row,
            None => rows.entry(posting.key.clone()).or_default(),
        };
        let count = i64::try_from(diff).expect("a posting is asserted a few times at most");
        let times = |money: Money| Money::from_raw(money.raw() * i128::from(count));
        if posting.is_bet {
            row.totals.bets_count += count;
            row.totals.stakes += times(posting.amount);
            row.totals.bonus_bets += times(posting.bonus);
        } else {
            row.totals.winnings += times(posting.amount);
            row.totals.bonus_wins += times(posting.bonus);
        }
        if !row.is_touched {
            row.is_touched = true;
            touched.push(posting.key.clone());
        }
    }

    /// Restates the touched rows of the groups that report by `now`, or of all at the end of the input, in
    /// the order of their keys.
    pub fn report(&mut self, now: Timestamp, is_last: bool) -> Vec<Restatement> {
        let since = self.reported.replace(now);
        let due = self.reporting.due(since, now);
        let mut restatements = Vec::new();
        for (index, group) in self.groups.iter_mut().enumerate() {
            if !group.touched.is_empty() && (is_last || due(index)) {
                group.restate(&self.rules, now, &mut restatements);
            }
        }
        restatements.sort_by(|a, b| a.after.key.cmp(&b.after.key));
        restatements
    }

    /// The earliest clock reading at which a touched row is reported.
    pub fn next_report(&self) -> Option<Timestamp> {
        let (Reporting::Interval(interval), Some(reported)) = (self.reporting, self.reported) else { return None };
        let touched = self.groups.iter().enumerate().filter(|(_, group)| !group.touched.is_empty());
        touched.map(|(index, _)| next_phase(index, interval, reported)).min()
    }
}

impl Reporting {
    /// Which groups report in `(since, now]`.
    fn due(self, since: Option<Timestamp>, now: Timestamp) -> impl Fn(usize) -> bool {
        move |group| match (self, since) {
            (Reporting::EveryEpoch, _) => true,
            (Reporting::Interval(_), None) => false,
            (Reporting::Interval(interval), Some(since)) => next_phase(group, interval, since) <= now,
        }
    }
}

/// The first instant after `since` at which `group` reports: at phase group/1024 of the interval.
fn next_phase(group: usize, interval: i64, since: Timestamp) -> Timestamp {
    let group = i64::try_from(group).expect("a key group's number");
    let phase = interval / i64::from(KEY_GROUPS) * group;
    let whole = (since.micros() - phase).div_euclid(interval) + 1;
    Timestamp::from_micros(whole * interval + phase)
}

impl Rows {
    fn restate(&mut self, rules: &ActivityRules, now: Timestamp, restatements: &mut Vec<Restatement>) {
        for key in self.touched.drain(..) {
            let row = self.rows.get_mut(&key).expect("a touched row exists");
            row.is_touched = false;
            let before = row.emitted.map(|emitted| emitted.row(key.clone(), rules));
            let revision = before.as_ref().map_or(0, |before| before.revision) + 1;
            let emitted = Emitted { totals: row.totals, revision, updated_at: now };
            let after = emitted.row(key, rules);
            if before.as_ref().is_some_and(|before| before.same_values(&after)) {
                continue;
            }
            row.emitted = Some(emitted);
            restatements.push(Restatement { before, after });
        }
    }
}

impl Emitted {
    fn row(&self, key: ActivityKey, rules: &ActivityRules) -> ActivityRow {
        let Emitted { totals, revision, updated_at } = self;
        let (total_bets, wins) = rules.bets_and_wins(totals);
        let ngr = rules.ngr(totals, &key.currency);
        ActivityRow {
            key,
            bets_count: totals.bets_count,
            total_bets,
            wins,
            ggr: total_bets - wins,
            ngr,
            bonus_bets: totals.bonus_bets,
            bonus_wins: totals.bonus_wins,
            bonus_cost: rules.bonus_cost(totals),
            jackpot_contribution: Money::ZERO,
            jackpot_wins: Money::ZERO,
            revision: *revision,
            updated_at: *updated_at,
        }
    }
}

#[cfg(test)]
mod tests;
