//! The lake table `mission_ggr`: revisions of the report's rows, and its files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use datasets::rows::{Cohort, MissionGgrKey, MissionGgrReport, MissionGgrRow, Period};
use datasets::schema::{self, Builder};
use datasets::time::Date;
use datasets::{Money, Timestamp};
use sinks::SinkError;
use sinks::lake::NumberedTable;

use super::Report;
use crate::config::LakeConfig;
use crate::history::cell::{Cell, Row, rows};
use crate::plan::lake_config;
use crate::report::files::{csv, put};

/// Last revisions by key.
type Last = BTreeMap<MissionGgrKey, (MissionGgrRow, u64)>;

/// What a report added to the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Rows that are new or changed.
    pub rows: usize,
    /// The object with them; none where nothing changed.
    pub object: Option<String>,
}

/// Appends what changed of a report on everything to the lake's table: new rows, changed ones, and of those that nothing stands
/// for any more a row of zeros.
///
/// # Errors
/// A lake that cannot be read or written; another report that was written meanwhile.
pub fn publish(lake: &LakeConfig, report: &Report) -> Result<Published, String> {
    let layout = Arc::new(schema::mission_ggr());
    let failed = |error: &dyn std::error::Error| crate::chain(error);
    let table = NumberedTable::open(&lake_config(lake), layout.table, layout.partition);
    let mut table = table.map_err(|error| failed(&error))?;
    let (mut last, mut known_to) = (Last::new(), Timestamp::MIN);
    table.read(|batch| known_to = known_to.max(take(batch, &mut last))).map_err(|error| failed(&error))?;
    if known_to > report.as_of {
        return Err(format!(
            "the table has a report on everything up to {known_to}, and this one goes to {}: run this again",
            report.as_of
        ));
    }
    let rows = changed(&last, &report.rows);
    if rows.is_empty() {
        return Ok(Published { rows: 0, object: None });
    }
    let count = rows.len();
    let batch = batch(MissionGgrReport { as_of: report.as_of, rows });
    let object = table.append(&batch).map_err(|error| match error {
        SinkError::Conflict(_) => format!("{}: another report was written meanwhile: run this again", failed(&error)),
        error => failed(&error),
    })?;
    Ok(Published { rows: count, object: Some(object) })
}

/// Writes the report as `mission_ggr.csv` and `mission_ggr.parquet`, in place of those that are there. All rows are of revision 1.
///
/// # Errors
/// A file that cannot be written.
pub fn write_files(folder: &Path, report: &Report) -> Result<(), String> {
    let said = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    std::fs::create_dir_all(folder).map_err(|error| said(folder, error))?;
    let rows = report.rows.iter().map(|row| (row.clone(), 1)).collect();
    let batch = batch(MissionGgrReport { as_of: report.as_of, rows });
    let parquet = sinks::lake::parquet(&batch).map_err(|error| crate::chain(&error))?;
    for (name, bytes) in [("mission_ggr.parquet", parquet), ("mission_ggr.csv", csv(&batch).into_bytes())] {
        let path = folder.join(name);
        put(&path, &bytes).map_err(|error| said(&path, error))?;
    }
    Ok(())
}

fn batch(report: MissionGgrReport) -> RecordBatch {
    let layout = Arc::new(schema::mission_ggr());
    let count = (layout.len)(&report);
    let mut builder = Builder::new(layout);
    builder.append(&report, 0..count);
    builder.finish()
}

/// What differs from the last revisions, with the next ones.
pub(super) fn changed(last: &Last, rows: &[MissionGgrRow]) -> Vec<(MissionGgrRow, u64)> {
    let keys: BTreeSet<&MissionGgrKey> = rows.iter().map(|row| &row.key).collect();
    let standing = rows.iter().filter_map(|row| match last.get(&row.key) {
        None => Some((row.clone(), 1)),
        Some((known, revision)) => (known != row).then(|| (row.clone(), revision + 1)),
    });
    let gone = last.values().filter(|(known, _)| !keys.contains(&known.key) && !known.is_withdrawn());
    standing.chain(gone.map(|(known, revision)| (known.withdrawn(), revision + 1))).collect()
}

/// Takes the rows of a report. Answers how far it goes.
pub(super) fn take(batch: &RecordBatch, last: &mut Last) -> Timestamp {
    let mut as_of = Timestamp::MIN;
    for row in rows(std::slice::from_ref(batch)) {
        as_of = as_of.max(row.time("as_of").unwrap_or(Timestamp::MIN));
        let Some((known, revision)) = read(row) else { continue };
        if last.get(&known.key).is_none_or(|(_, before)| *before < revision) {
            last.insert(known.key.clone(), (known, revision));
        }
    }
    as_of
}

/// A row of the table; `None` if a later release has written what this one cannot know.
fn read(row: Row<'_>) -> Option<(MissionGgrRow, u64)> {
    let named = |column: &str| row.text(column);
    let money = |column: &str| if let Some(Cell::Money(money)) = row.cell(column) { money } else { Money::ZERO };
    let date = |column: &str| -> Option<Date> {
        if let Some(Cell::Date(date)) = row.cell(column) { Some(date) } else { None }
    };
    let time = |column: &str| -> Option<Timestamp> { row.time(column) };
    let key = MissionGgrKey {
        mission_id: named("mission_id").into(),
        window_start: time("window_start")?,
        segment: Some(named("segment")).filter(|name| !name.is_empty()).map(Into::into),
        currency: named("currency").into(),
        cohort: Cohort::ALL.into_iter().find(|cohort| cohort.name() == named("cohort"))?,
        period: Period::ALL.into_iter().find(|period| period.name() == named("period"))?,
    };
    let read = MissionGgrRow {
        key,
        window_end: time("window_end"),
        first_day: date("first_day")?,
        days: row.int("days")?,
        days_complete: row.int("days_complete")?,
        customers: row.int("customers")?,
        players: row.int("players")?,
        bets_count: row.int("bets_count")?,
        total_bets: money("total_bets"),
        wins: money("wins"),
        ggr: money("ggr"),
        ngr: money("ngr"),
    };
    Some((read, row.int("revision").and_then(|revision| u64::try_from(revision).ok())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(mission: &str, ggr: &str) -> MissionGgrRow {
        let ggr: Money = ggr.parse().unwrap();
        MissionGgrRow {
            key: MissionGgrKey {
                mission_id: mission.into(),
                window_start: Timestamp::default(),
                segment: Some("vip".into()),
                currency: "EUR".into(),
                cohort: Cohort::Others,
                period: Period::After,
            },
            window_end: None,
            first_day: Date::from_days(20_605),
            days: 7,
            days_complete: 3,
            customers: 2,
            players: 1,
            bets_count: 1,
            total_bets: ggr,
            wins: Money::ZERO,
            ggr,
            ngr: ggr,
        }
    }

    /// Puts what `rows` change behind what is known, as a lake would read it back.
    fn step(last: &mut Last, rows: &[MissionGgrRow]) -> Vec<(String, String, u64)> {
        let rows = changed(last, rows);
        let told = rows.iter().map(|(row, revision)| (row.key.mission_id.to_string(), row.ggr.to_string(), *revision));
        let told = told.collect();
        take(&batch(MissionGgrReport { as_of: Timestamp::default(), rows }), last);
        told
    }

    #[test]
    fn only_what_changed_is_written_and_what_is_gone_becomes_zeros_once() {
        let mut last = Last::new();
        let told = |mission: &str, ggr: &str, revision| (mission.to_owned(), ggr.to_owned(), revision);
        let (a, b) = (row("a", "10"), row("b", "-0.00000001"));
        assert_eq!(step(&mut last, &[a.clone(), b.clone()]), [told("a", "10.00", 1), told("b", "-0.00000001", 1)]);
        assert_eq!(step(&mut last, &[a.clone(), b.clone()]), []);
        assert_eq!(step(&mut last, &[row("a", "12"), b]), [told("a", "12.00", 2)]);
        assert_eq!(step(&mut last, &[row("a", "12")]), [told("b", "0.00", 2)]);
        assert_eq!(step(&mut last, &[row("a", "12")]), []);
        assert_eq!(step(&mut last, &[row("a", "12"), row("b", "1")]), [told("b", "1.00", 3)]);
    }
}
