//! Tables that reports append to.

use super::outputs::signed;
use super::{Column, Layout};
use crate::rows::{MissionGgrReport, MissionGgrRow};

/// Layout of `mission_ggr`: revisions of the rows of `questline report missions`, partitioned by the number of the report.
/// A report is one object, so whoever reads the table sees all of it or nothing.
pub fn mission_ggr() -> Layout<MissionGgrReport> {
    type Col = Column<MissionGgrReport>;
    fn of(report: &MissionGgrReport, row: usize) -> &MissionGgrRow {
        &report.rows[row].0
    }
    let columns = vec![
        Col::text("mission_id", |report, row| Some(&of(report, row).key.mission_id)),
        Col::time("window_start", |report, row| Some(of(report, row).key.window_start)).required(),
        Col::time("window_end", |report, row| of(report, row).window_end),
        Col::text("segment", |report, row| of(report, row).key.segment.as_deref()),
        Col::text("cohort", |report, row| Some(of(report, row).key.cohort.name())),
        Col::text("period", |report, row| Some(of(report, row).key.period.name())),
        Col::text("currency", |report, row| Some(&of(report, row).key.currency)),
        Col::date("first_day", |report, row| Some(of(report, row).first_day)).required(),
        Col::int("days", |report, row| Some(of(report, row).days)).required(),
        Col::int("days_complete", |report, row| Some(of(report, row).days_complete)).required(),
        Col::int("customers", |report, row| Some(of(report, row).customers)).required(),
        Col::int("players", |report, row| Some(of(report, row).players)).required(),
        Col::int("bets_count", |report, row| Some(of(report, row).bets_count)).required(),
        Col::money("total_bets", |report, row| Some(of(report, row).total_bets)).required(),
        Col::money("wins", |report, row| Some(of(report, row).wins)).required(),
        Col::money("ggr", |report, row| Some(of(report, row).ggr)).required(),
        Col::money("ngr", |report, row| Some(of(report, row).ngr)).required(),
        Col::int("revision", |report, row| Some(signed(report.rows[row].1))).required(),
        Col::time("as_of", |report, _| Some(report.as_of)).required(),
    ];
    Layout::new("mission_ggr", "report", |report| report.rows.len(), |_, _| 0, columns)
}
