//! The lake's output tables beside what is recomputed, cut by cut.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use arrow_array::RecordBatch;
use datasets::rows::{ActivityKey, ActivityRow, Counters, EpochOutputs};
use datasets::schema::{self, Builder, Layout};
use datasets::time::Date;
use datasets::{Epoch, Reason};
use sinks::cut::{Cut, Table};
use sinks::lake::{LakeObject, LakeReader};

use super::compare::{Rules, compare, count};
use super::report::{Comparison, Fault};
use crate::history::cell::Row;
use crate::history::in_order::{AFTER_DECODING, cuts};
use crate::history::log::Settled;

/// Recomputed rows become a batch at this many, so that no column of texts outgrows its type.
const BATCH_ROWS: usize = 65_536;

/// A table, as far as it was recomputed.
pub(super) struct TableCheck {
    rules: Rules,
    lake: Arc<LakeReader>,
    /// Cuts that were not judged yet, with their objects.
    cuts: VecDeque<(Cut, Vec<LakeObject>)>,
    days: Days,
    /// In place of every row, the last revision of each row of activity.
    last: Option<HashMap<ActivityKey, (Epoch, ActivityRow)>>,
    comparison: Comparison,
}

/// Rows since the last cut, by the day of the object that they belong to.
struct Days {
    layout: Arc<Layout<EpochOutputs>>,
    settled: Settled,
    open: BTreeMap<i32, Day>,
}

#[derive(Default)]
struct Day {
    settled: Growing,
    unsettled: Growing,
}

#[derive(Default)]
struct Growing {
    builder: Option<Builder<EpochOutputs>>,
    batches: Vec<RecordBatch>,
}

/// The tables that follow from events and definitions. Rows that are not `settled` may be in no file yet.
///
/// # Errors
/// Objects that hold the same epochs twice.
pub(super) fn tables(lake: &Arc<LakeReader>, settled: Settled) -> Result<Vec<TableCheck>, String> {
    let check = |table, layout, key, is_derived| -> Result<TableCheck, String> {
        Ok(TableCheck {
            rules: Rules { key, is_derived },
            lake: lake.clone(),
            cuts: cuts(lake, table)?,
            days: Days { layout: Arc::new(layout), settled, open: BTreeMap::new() },
            last: (table == Table::Activity).then(HashMap::new),
            comparison: Comparison::new(format!("lake {}", table.name())),
        })
    };
    let every: fn(&Row<'_>) -> bool = |_| true;
    let activity: &[&str] = &["date", "customer_id", "game_type", "currency"];
    let disposition: &[&str] = &["topic", "partition", "offset", "record_index", "disposition"];
    let letter: &[&str] = &["topic", "partition", "offset", "record_index", "reason"];
    Ok(vec![
        check(Table::Completions, schema::completions(), &["completion_id", "revision", "type"], every)?,
        check(Table::Activity, schema::activity(), activity, every)?,
        check(Table::Dispositions, schema::dispositions(), disposition, every)?,
        check(Table::MissionDefinitions, schema::mission_definitions(), &["topic", "partition", "offset"], every)?,
        check(Table::DeadLetters, schema::dead_letters(), letter, follows_decoding)?,
        check(Table::Audit, schema::audit(), &["completion_id", "revision", "type"], every)?,
        check(Table::Points, schema::points(), &["player_id", "line"], every)?,
        check(Table::Tiers, schema::tiers(), &["player_id", "revision"], every)?,
        check(Table::Transactions, schema::transactions(), &["transaction_id", "epoch"], every)?,
        check(Table::Customers, schema::customers(), &["customer_id", "epoch"], every)?,
        check(Table::Reviews, schema::reviews(), &["entity", "key", "field", "reason", "epoch"], every)?,
    ])
}

/// A record that did not become an event is refused for a reason that only its text tells. Whether a
/// `bad_control_event` is one cannot be seen, so of these only the recomputed ones are judged.
fn follows_decoding(letter: &Row<'_>) -> bool {
    let reason = letter.text("reason");
    AFTER_DECODING.iter().any(|after: &Reason| after.as_str() == reason)
}

impl TableCheck {
    /// Takes the next epoch, and judges the cut that it completes.
    ///
    /// # Errors
    /// Objects that cannot be read.
    pub fn take(&mut self, outputs: &EpochOutputs) -> Result<(), String> {
        if self.cuts.front().is_some_and(|(cut, _)| cut.first == outputs.epoch) {
            // A later cut is in the lake, so what was recomputed before it should have been.
            self.judge(&[])?;
        }
        match &mut self.last {
            None => self.days.append(outputs),
            Some(last) => {
                let rows = outputs.activity.iter().cloned();
                last.extend(rows.map(|row| (row.key.clone(), (outputs.epoch, row))));
            }
        }
        if let Some((_, objects)) = self.cuts.pop_front_if(|(cut, _)| cut.last <= outputs.epoch) {
            self.judge(&objects)?;
        }
        Ok(())
    }

    /// Compares the rows since the last cut with those of `objects`, day by day: a cut is put object by object, so what
    /// is there of it need not be all.
    fn judge(&mut self, objects: &[LakeObject]) -> Result<(), String> {
        let mut emitted: BTreeMap<&str, Vec<RecordBatch>> = BTreeMap::new();
        for object in objects {
            emitted.entry(object.day()).or_default().extend(read(&self.lake, object)?);
        }
        self.take_last();
        for (day, Day { mut settled, mut unsettled }) in std::mem::take(&mut self.days.open) {
            let mut recomputed = settled.finish();
            let emitted = emitted.remove(Date::from_days(day).to_string().as_str());
            match &emitted {
                Some(_) => recomputed.extend(unsettled.finish()),
                None => self.comparison.unwritten += number(&unsettled.finish()),
            }
            compare(self.rules, &recomputed, &emitted.unwrap_or_default(), &mut self.comparison);
        }
        emitted.values().for_each(|emitted| compare(self.rules, &[], emitted, &mut self.comparison));
        Ok(())
    }

    fn take_last(&mut self) {
        for (epoch, row) in self.last.iter_mut().flat_map(std::mem::take).map(|(_, last)| last) {
            let now = row.updated_at;
            self.days.append(&EpochOutputs { epoch, now, activity: vec![row], ..EpochOutputs::default() });
        }
    }

    /// Judges what is left and counts what cannot be judged, given that epochs below `upper` were recomputed.
    ///
    /// # Errors
    /// Objects that cannot be read.
    pub fn finish(mut self, upper: Epoch) -> Result<Comparison, String> {
        if self.cuts.front().is_none_or(|(cut, _)| cut.first >= upper) {
            self.judge(&[])?;
        }
        self.take_last();
        for mut day in std::mem::take(&mut self.days.open).into_values() {
            self.comparison.unwritten += number(&day.settled.finish()) + number(&day.unsettled.finish());
        }
        for object in self.cuts.iter().flat_map(|(_, objects)| objects) {
            self.comparison.newer += number(&read(&self.lake, object)?);
        }
        Ok(self.comparison)
    }
}

fn read(lake: &LakeReader, object: &LakeObject) -> Result<Vec<RecordBatch>, String> {
    let batches = lake.rows(object).and_then(Iterator::collect);
    batches.map_err(|error| crate::chain(&error))
}

fn number(batches: &[RecordBatch]) -> u64 {
    count(batches.iter().map(RecordBatch::num_rows).sum())
}

impl Days {
    fn append(&mut self, outputs: &EpochOutputs) {
        for row in 0..(self.layout.len)(outputs) {
            let day = self.open.entry((self.layout.day)(outputs, row)).or_default();
            let rows = if self.settled.has(outputs.now) { &mut day.settled } else { &mut day.unsettled };
            let builder = rows.builder.get_or_insert_with(|| Builder::new(self.layout.clone()));
            builder.append(outputs, row..row + 1);
            if builder.len() >= BATCH_ROWS {
                rows.batches.push(builder.finish());
            }
        }
    }
}

impl Growing {
    fn finish(&mut self) -> Vec<RecordBatch> {
        let last = self.builder.take().map(|mut builder| builder.finish());
        std::mem::take(&mut self.batches).into_iter().chain(last).collect()
    }
}

/// The log's counters of an epoch beside the recomputed ones. What decoding refused is known by its number
/// alone: as many records were read beyond the events of the lake as letters went out beyond the recomputed ones.
pub(super) fn compare_counters(epoch: Epoch, emitted: &Counters, recomputed: &Counters, into: &mut Comparison) {
    into.records += 1;
    let mut expected = recomputed.clone();
    for (reason, letters) in &emitted.dead_letters {
        let after = expected.dead_letters.get(reason).copied().unwrap_or_default();
        if *letters > after && !AFTER_DECODING.contains(reason) {
            expected.read += letters - after;
            expected.dead_letters.insert(*reason, *letters);
        }
    }
    let (emitted, expected) = (serde_json::to_value(emitted), serde_json::to_value(&expected));
    let (Ok(emitted), Ok(expected)) = (emitted, expected) else { unreachable!("counters have text keys") };
    if let Some((column, emitted, recomputed)) = super::topics::first_difference(&emitted, &expected) {
        into.differ(Some(epoch), "counters", Fault::Differs { column, emitted, recomputed });
    }
}
