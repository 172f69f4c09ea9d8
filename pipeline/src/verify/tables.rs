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

use super::cell::Row;
use super::compare::{Rules, compare, count};
use super::report::{Comparison, Fault};

/// Recomputed rows become a batch at this many, so that no column of texts outgrows its type.
const BATCH_ROWS: usize = 65_536;

/// A table, as far as it was recomputed.
pub(super) struct TableCheck {
    rules: Rules,
    lake: Arc<LakeReader>,
    under_way: usize,
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
    open: BTreeMap<i32, (Builder<EpochOutputs>, Vec<RecordBatch>)>,
}

/// The tables that follow from events and definitions. Of each, the last `under_way` cuts may lack files.
///
/// # Errors
/// Objects that hold the same epochs twice.
pub(super) fn tables(lake: &Arc<LakeReader>, under_way: usize) -> Result<Vec<TableCheck>, String> {
    let check = |table, layout, key, is_derived| -> Result<TableCheck, String> {
        Ok(TableCheck {
            rules: Rules { key, is_derived },
            lake: lake.clone(),
            under_way,
            cuts: cuts(lake, table)?,
            days: Days { layout: Arc::new(layout), open: BTreeMap::new() },
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
    ])
}

/// A record that did not become an event is refused for a reason that only its text tells. Whether a
/// `bad_control_event` is one cannot be seen, so of these only the recomputed ones are judged.
fn follows_decoding(letter: &Row<'_>) -> bool {
    let reason = letter.text("reason");
    super::input::AFTER_DECODING.iter().any(|after: &Reason| after.as_str() == reason)
}

/// The objects of a table by cut, in the order of epochs.
///
/// # Errors
/// Objects of one lane that hold the same epochs twice.
pub(super) fn cuts(lake: &LakeReader, table: Table) -> Result<VecDeque<(Cut, Vec<LakeObject>)>, String> {
    let mut cuts: BTreeMap<(u16, Epoch, Epoch), (Cut, Vec<LakeObject>)> = BTreeMap::new();
    for object in lake.objects(table) {
        let cut = &object.cut;
        let (_, objects) = cuts.entry((cut.lane, cut.first, cut.last)).or_insert_with(|| (cut.clone(), Vec::new()));
        objects.push(object.clone());
    }
    let mut cuts: VecDeque<(Cut, Vec<LakeObject>)> = cuts.into_values().collect();
    for pair in cuts.make_contiguous().windows(2) {
        let [(a, first), (b, second)] = pair else { continue };
        if a.lane == b.lane && b.first <= a.last {
            return Err(format!("lake: {} and {} hold the same epochs", first[0].name, second[0].name));
        }
    }
    cuts.make_contiguous().sort_by_key(|(cut, _)| cut.first);
    Ok(cuts)
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

    /// Compares the rows since the last cut with those of `objects`, day by day. The last cuts are put at the same
    /// time, each of them object by object: what is there of them need not be all.
    fn judge(&mut self, objects: &[LakeObject]) -> Result<(), String> {
        let may_lack = self.cuts.len() < self.under_way;
        let mut emitted: BTreeMap<&str, Vec<RecordBatch>> = BTreeMap::new();
        for object in objects {
            emitted.entry(object.day()).or_default().extend(read(&self.lake, object)?);
        }
        for (day, recomputed) in self.finish_days() {
            match emitted.remove(day.as_str()) {
                None if may_lack => self.comparison.unwritten += number(&recomputed),
                emitted => {
                    let emitted = emitted.unwrap_or_default();
                    compare(self.rules, &recomputed, &emitted, &mut self.comparison);
                }
            }
        }
        emitted.values().for_each(|emitted| compare(self.rules, &[], emitted, &mut self.comparison));
        Ok(())
    }

    /// The rows since the last cut, by day; none are left.
    fn finish_days(&mut self) -> Vec<(String, Vec<RecordBatch>)> {
        for (epoch, row) in self.last.iter_mut().flat_map(std::mem::take).map(|(_, last)| last) {
            self.days.append(&EpochOutputs { epoch, activity: vec![row], ..EpochOutputs::default() });
        }
        self.days.finish()
    }

    /// Judges what is left and counts what cannot be judged, given that epochs below `upper` were recomputed.
    ///
    /// # Errors
    /// Objects that cannot be read.
    pub fn finish(mut self, upper: Epoch) -> Result<Comparison, String> {
        if self.cuts.front().is_none_or(|(cut, _)| cut.first >= upper) {
            self.judge(&[])?;
        }
        let unwritten: u64 = self.finish_days().iter().map(|(_, rows)| number(rows)).sum();
        self.comparison.unwritten += unwritten;
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
            let day = (self.layout.day)(outputs, row);
            let new = || (Builder::new(self.layout.clone()), Vec::new());
            let (builder, batches) = self.open.entry(day).or_insert_with(new);
            builder.append(outputs, row..row + 1);
            if builder.len() >= BATCH_ROWS {
                batches.push(builder.finish());
            }
        }
    }

    fn finish(&mut self) -> Vec<(String, Vec<RecordBatch>)> {
        let days = std::mem::take(&mut self.open).into_iter();
        let finish = |(day, (mut builder, mut batches)): (i32, (Builder<EpochOutputs>, Vec<RecordBatch>))| {
            batches.push(builder.finish());
            (Date::from_days(day).to_string(), batches)
        };
        days.map(finish).collect()
    }
}

/// The log's counters of an epoch beside the recomputed ones. What decoding refused is known by its number
/// alone: as many records were read beyond the events of the lake as letters went out beyond the recomputed ones.
pub(super) fn compare_counters(epoch: Epoch, emitted: &Counters, recomputed: &Counters, into: &mut Comparison) {
    into.records += 1;
    let mut expected = recomputed.clone();
    for (reason, letters) in &emitted.dead_letters {
        let after = expected.dead_letters.get(reason).copied().unwrap_or_default();
        if *letters > after && !super::input::AFTER_DECODING.contains(reason) {
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
