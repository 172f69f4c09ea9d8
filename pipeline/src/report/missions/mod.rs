//! `questline report missions`: what participants of missions brought in beside the others, before, during and after each
//! window.
//!
//! ```text
//! lake: epochs, events, definitions ── the core of the players operator ── participations, segments, customers ─┐
//! lake: activity ── last revisions ─────────────────────────────────────────────────────────────────────────────┼─ mission_ggr
//! definitions ── windows with their days ───────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Participations are those of the rules themselves, so that whoever is told apart here is told apart by what `explain`
//! shows. Activity is the lake's: what was reported, with every correction. Only days of which the lake has everything are
//! summed up.

mod compare;
mod dataflow;
mod gather;
pub mod table;
#[cfg(test)]
mod tests;
mod windows;

use std::sync::{Mutex, PoisonError};

use datasets::rows::{ActivityKey, MissionGgrRow};
use datasets::time::Date;
use datasets::{Epoch, Money, Timestamp};
use operators::attribution::{Figures, Window};
use serde::Serialize;
use sinks::cut::Table;
use sinks::lake::LakeReader;
use timely::worker::Worker;

use crate::config::Config;
use crate::history::cell::{Cell, Row, each_row};
use crate::history::complete::reported_until;
use crate::history::log::LakeHistory;
use crate::plan::prepare;
pub use compare::{Comparison, Side, change, comparisons};
use dataflow::{Activity, Attributing, Sources};
use gather::Gathered;
use windows::Calendar;

/// What is asked; everything by default.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Only this mission.
    pub mission: Option<String>,
    /// Only windows that have days from this one on.
    pub from: Option<Date>,
    /// Only windows that have days up to this one.
    pub to: Option<Date>,
}

/// What the lake says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The recorded clock up to which history was read.
    pub as_of: Timestamp,
    /// The first and the last day of which the lake has everything; null if there is none.
    pub complete: Option<(Date, Date)>,
    /// In the order of their keys.
    pub rows: Vec<MissionGgrRow>,
}

/// The lake of a checked configuration, to be reported on once or again and again.
pub struct Reporter {
    config: Config,
    question: Question,
    history: LakeHistory,
    gathered: Gathered,
}

impl Reporter {
    /// Lists the lake.
    ///
    /// # Errors
    /// What cannot be reached or read, for people.
    pub fn open(config: &Config, question: Question) -> Result<Self, String> {
        let history = LakeHistory::open(config, "`report missions` reads what is in it")?;
        let gathered = Gathered::new(prepare(config, 1, history.purpose())?);
        Ok(Reporter { config: config.clone(), question, history, gathered })
    }

    /// Epochs of the lake's log that were not read yet.
    pub fn epochs(&self) -> Epoch {
        self.history.epochs().saturating_sub(self.gathered.epochs)
    }

    /// Reports once. `advance` is told of epochs that were read.
    ///
    /// # Errors
    /// What cannot be read; a mission that the lake does not know.
    pub fn report(self, advance: impl Fn(u64) + Send + 'static) -> Result<Report, String> {
        // A worker's closure is shared by all threads, of which there is one.
        let own = Mutex::new((self, advance));
        timely::execute_directly(move |worker| {
            let (mut reporter, advance) = own.into_inner().unwrap_or_else(PoisonError::into_inner);
            let mut attributing = Attributing::new(worker);
            reporter.round(worker, &mut attributing, &advance)
        })
    }

    fn round(
        &mut self,
        worker: &mut Worker,
        attributing: &mut Attributing,
        advance: &dyn Fn(u64),
    ) -> Result<Report, String> {
        while let Some(input) = self.history.inputs.next()? {
            self.gathered.take(&input)?;
            advance(1);
        }
        let Some(began) = self.gathered.began else {
            return Err("what the first epoch read is not all in the lake yet".to_owned());
        };
        let zone = self.config.activity.zone.time_zone();
        let calendar =
            Calendar::new(zone, began, reported_until(&self.config, self.history.settled, &self.gathered.read));
        let windows = self.gathered.windows(&calendar);
        if let Some(asked) = &self.question.mission
            && !windows.iter().any(|window| *window.key.mission_id == **asked)
        {
            return Err(format!("the lake has no window of a mission {asked:?} that took effect"));
        }
        let sources = Sources {
            windows: windows.into_iter().filter(|window| self.question.asks_for(window)).collect(),
            participations: self.gathered.participations.clone(),
            memberships: self.gathered.memberships(),
            customers: self.gathered.customers(zone),
            activity: last_revisions(&self.history.lake)?,
        };
        let rows = attributing.round(worker, sources);
        Ok(Report { as_of: self.gathered.now, complete: calendar.bounds(), rows })
    }
}

impl Question {
    fn asks_for(&self, window: &Window) -> bool {
        let [_, during, _] = window.periods;
        self.mission.as_deref().is_none_or(|mission| *window.key.mission_id == *mission)
            && self.from.is_none_or(|from| from.days() < during.all.to)
            && self.to.is_none_or(|to| during.all.from <= to.days())
    }
}

/// Rows of daily activity as they were reported last.
fn last_revisions(lake: &LakeReader) -> Result<Activity, String> {
    let mut last = Activity::new();
    each_row(
        lake,
        Table::Activity,
        |_| true,
        |row| {
            let Some(Cell::Date(date)) = row.cell("date") else { return };
            let [customer_id, game_type, currency] =
                ["customer_id", "game_type", "currency"].map(|name| row.text(name).into());
            let revision = row.int("revision").and_then(|revision| u64::try_from(revision).ok()).unwrap_or_default();
            let figures = figures(row);
            let known =
                last.entry(ActivityKey { date, customer_id, game_type, currency }).or_insert((revision, figures));
            if known.0 <= revision {
                *known = (revision, figures);
            }
        },
    )?;
    Ok(last)
}

fn figures(row: Row<'_>) -> Figures {
    let money = |column: &str| if let Some(Cell::Money(money)) = row.cell(column) { money } else { Money::ZERO };
    Figures {
        bets_count: row.int("bets_count").unwrap_or_default(),
        total_bets: money("total_bets"),
        wins: money("wins"),
        ggr: money("ggr"),
        ngr: money("ngr"),
    }
}
