//! What those who took part in a mission brought in, beside those who did not.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::time::Date;
use crate::{Money, Timestamp};

/// Customers of a population that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cohort {
    /// At least one event of theirs counts for the mission in the window.
    Participants,
    /// The rest.
    Others,
}

impl Cohort {
    /// Both.
    pub const ALL: [Cohort; 2] = [Cohort::Participants, Cohort::Others];

    /// As files write it.
    pub fn name(self) -> &'static str {
        match self {
            Cohort::Participants => "participants",
            Cohort::Others => "others",
        }
    }
}

/// Days beside a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// As many days ahead of those of the window.
    Before,
    /// The reporting days that overlap the window.
    During,
    /// As many days behind them.
    After,
}

impl Period {
    /// All three, in order.
    pub const ALL: [Period; 3] = [Period::Before, Period::During, Period::After];

    /// As files write it.
    pub fn name(self) -> &'static str {
        match self {
            Period::Before => "before",
            Period::During => "during",
            Period::After => "after",
        }
    }
}

/// What is told of one cohort in one period: a row is known by its first six fields.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MissionGgrKey {
    /// The mission.
    pub mission_id: Arc<str>,
    /// First instant of the window.
    pub window_start: Timestamp,
    /// The segment whose members are compared; of several that are all needed their names, joined by ` & `. Null: all customers.
    pub segment: Option<Arc<str>>,
    /// Amounts of different ones are never merged.
    pub currency: Arc<str>,
    /// Whose.
    pub cohort: Cohort,
    /// When.
    pub period: Period,
}

/// A row of the table `mission_ggr`: sums of daily activity over the days of a period that are complete.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MissionGgrRow {
    /// Which row it is.
    #[serde(flatten)]
    pub key: MissionGgrKey,
    /// End of the window: exclusive when recurring, inclusive when `once`; null without an end.
    pub window_end: Option<Timestamp>,
    /// The period's first reporting day.
    pub first_day: Date,
    /// How many days the period has.
    pub days: i64,
    /// How many of them are complete. What is summed up is of these days only.
    pub days_complete: i64,
    /// How many customers the cohort has.
    pub customers: i64,
    /// How many of them have activity in this currency and period.
    pub players: i64,
    /// Bets.
    pub bets_count: i64,
    /// Stakes, by the configured basis.
    pub total_bets: Money,
    /// Winnings, by the configured basis.
    pub wins: Money,
    /// Gross gaming revenue.
    pub ggr: Money,
    /// Net gaming revenue, as the rows of activity have it.
    pub ngr: Money,
}

impl MissionGgrRow {
    /// What is left of a row that nothing stands for any more.
    #[must_use]
    pub fn withdrawn(&self) -> Self {
        MissionGgrRow {
            key: self.key.clone(),
            window_end: self.window_end,
            first_day: self.first_day,
            days: 0,
            days_complete: 0,
            customers: 0,
            players: 0,
            bets_count: 0,
            total_bets: Money::ZERO,
            wins: Money::ZERO,
            ggr: Money::ZERO,
            ngr: Money::ZERO,
        }
    }

    /// Nothing stands for it any more.
    pub fn is_withdrawn(&self) -> bool {
        self.days == 0 && *self == self.withdrawn()
    }
}

/// What one report adds to the table `mission_ggr`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MissionGgrReport {
    /// The recorded clock up to which the lake was read.
    pub as_of: Timestamp,
    /// Rows that changed, with their revisions, which count from 1.
    pub rows: Vec<(MissionGgrRow, u64)>,
}
