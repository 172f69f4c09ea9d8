//! What was recomputed, as far as the lake has files of it; and what those files have.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use datasets::rows::{ActivityKey, ActivityRow, CompletionKind, EpochOutputs};
use datasets::time::Date;
use datasets::{Epoch, Money, Timestamp};
use sinks::cut::Table;
use sinks::lake::LakeReader;

use super::{Rows, Sums, ends};
use crate::history::cell::{Cell, each_row};
use crate::history::complete::Read;

const DAY: i64 = 86_400_000_000;

/// The books of all tables.
#[derive(Default)]
pub(super) struct Book {
    pub rows: Page<HashMap<ActivityKey, (u64, Sums)>>,
    pub completions: Page<BTreeMap<Date, (u64, u64)>>,
    pub tiers: Page<TierChanges>,
    /// Of every epoch; what it read first is not known here.
    pub read: Vec<Read>,
}

/// Changes of tiers, by day and the tier that a player has then.
pub(super) type TierChanges = BTreeMap<(Date, Option<String>), u64>;

/// A book of one table. What is behind the last cut is in no file, so that it is `pending`.
#[derive(Default)]
pub(super) struct Page<T> {
    ends: BTreeSet<Epoch>,
    pub pending: T,
    pub settled: T,
    /// Cuts that end below this are what `settled` is beside.
    pub judged: Epoch,
}

impl<T> Page<T> {
    /// `epoch` has been taken: a cut that ends with it, or ended before, is to hold what is pending.
    fn has_ended(&mut self, epoch: Epoch) -> bool {
        let mut has_ended = false;
        while self.ends.first().is_some_and(|end| *end <= epoch) {
            self.ends.pop_first();
            has_ended = true;
        }
        if has_ended {
            self.judged = epoch + 1;
        }
        has_ended
    }
}

impl Book {
    pub fn new(lake: &LakeReader) -> Self {
        let mut book = Book::default();
        book.rows.ends = ends(lake, Table::Activity);
        book.completions.ends = ends(lake, Table::Completions);
        book.tiers.ends = ends(lake, Table::Tiers);
        book
    }

    /// Takes the next epoch.
    pub fn take(&mut self, outputs: &EpochOutputs) {
        self.read.push(Read { now: outputs.now, wall: outputs.wall, first: None });
        for row in &outputs.activity {
            self.rows.pending.insert(row.key.clone(), (row.revision, sums(row)));
        }
        for row in &outputs.completions {
            let is_completed = row.kind == CompletionKind::MissionCompleted;
            count(self.completions.pending.entry(utc_day(row.emitted_at)).or_default(), is_completed);
        }
        for row in &outputs.tiers {
            *self.tiers.pending.entry((utc_day(row.emitted_at), row.tier.clone())).or_default() += 1;
        }
        if self.rows.has_ended(outputs.epoch) {
            self.rows.settled.extend(self.rows.pending.drain());
        }
        if self.completions.has_ended(outputs.epoch) {
            for (date, (completed, revoked)) in std::mem::take(&mut self.completions.pending) {
                let settled = self.completions.settled.entry(date).or_default();
                *settled = (settled.0 + completed, settled.1 + revoked);
            }
        }
        if self.tiers.has_ended(outputs.epoch) {
            for (key, changes) in std::mem::take(&mut self.tiers.pending) {
                *self.tiers.settled.entry(key).or_default() += changes;
            }
        }
    }
}

fn sums(row: &ActivityRow) -> Sums {
    let ActivityRow { bets_count, total_bets, wins, ggr, ngr, .. } = *row;
    let ActivityRow { jackpot_contribution, jackpot_wins, chargebacks, .. } = *row;
    Sums { bets_count, total_bets, wins, ggr, ngr, jackpot_contribution, jackpot_wins, chargebacks }
}

fn count((completed, revoked): &mut (u64, u64), is_completed: bool) {
    *(if is_completed { completed } else { revoked }) += 1;
}

pub(super) fn utc_day(at: Timestamp) -> Date {
    Date::from_days(i32::try_from(at.micros().div_euclid(DAY)).unwrap_or(i32::MAX))
}

/// The last revisions of the cuts that end below `judged`.
pub(super) fn lake_rows(lake: &LakeReader, judged: Epoch) -> Result<Rows, String> {
    let mut last = Rows::new();
    each_row(
        lake,
        Table::Activity,
        |object| object.cut.last < judged,
        |row| {
            let money = |column: &str| match row.cell(column) {
                Some(Cell::Money(money)) => money,
                _ => Money::ZERO,
            };
            let Some(Cell::Date(date)) = row.cell("date") else { return };
            let [customer_id, game_type, currency] =
                ["customer_id", "game_type", "currency"].map(|name| row.text(name).into());
            let revision = row.int("revision").and_then(|revision| u64::try_from(revision).ok()).unwrap_or_default();
            let sums = Sums {
                bets_count: row.int("bets_count").unwrap_or_default(),
                total_bets: money("total_bets"),
                wins: money("wins"),
                ggr: money("ggr"),
                ngr: money("ngr"),
                jackpot_contribution: money("jackpot_contribution"),
                jackpot_wins: money("jackpot_wins"),
                chargebacks: money("chargebacks"),
            };
            let known = last.entry(ActivityKey { date, customer_id, game_type, currency }).or_insert((revision, sums));
            if known.0 <= revision {
                *known = (revision, sums);
            }
        },
    )?;
    Ok(last)
}

/// Completions and revocations of the cuts that end below `judged`, by day.
pub(super) fn lake_completions(lake: &LakeReader, judged: Epoch) -> Result<BTreeMap<Date, (u64, u64)>, String> {
    let mut days: BTreeMap<Date, (u64, u64)> = BTreeMap::new();
    each_row(
        lake,
        Table::Completions,
        |object| object.cut.last < judged,
        |row| {
            let day = utc_day(row.time("emitted_at").unwrap_or_default());
            count(days.entry(day).or_default(), row.text("type") == "mission_completed");
        },
    )?;
    Ok(days)
}

/// Changes of tiers of the cuts that end below `judged`.
pub(super) fn lake_tiers(lake: &LakeReader, judged: Epoch) -> Result<TierChanges, String> {
    let mut changes = TierChanges::new();
    each_row(
        lake,
        Table::Tiers,
        |object| object.cut.last < judged,
        |row| {
            let tier = Some(row.text("tier")).filter(|tier| !tier.is_empty()).map(str::to_owned);
            *changes.entry((utc_day(row.time("emitted_at").unwrap_or_default()), tier)).or_default() += 1;
        },
    )?;
    Ok(changes)
}
