//! The lake's output tables beside what is recomputed, cut by cut.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use arrow_array::RecordBatch;
use datasets::rows::{ActivityKey, ActivityRow, EpochOutputs};
use datasets::schema::{self, Builder, Layout};
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
    /// Cuts that were not judged yet, with their objects.
    cuts: VecDeque<(Cut, Vec<LakeObject>)>,
    recomputed: Recomputed,
    comparison: Comparison,
}

/// Rows since the last cut.
enum Recomputed {
    /// Every row.
    All { builder: Builder<EpochOutputs>, len: fn(&EpochOutputs) -> usize, batches: Vec<RecordBatch> },
    /// The last revision of each row of activity.
    Last { builder: Builder<EpochOutputs>, rows: HashMap<ActivityKey, (Epoch, ActivityRow)> },
}

/// The tables that follow from events and definitions.
///
/// # Errors
/// Objects that hold the same epochs twice.
pub(super) fn tables(lake: &Arc<LakeReader>) -> Result<Vec<TableCheck>, String> {
    let place: &[&str] = &["topic", "partition", "offset", "record_index", "disposition"];
    let letter: &[&str] = &["topic", "partition", "offset", "record_index", "reason"];
    let activity = Builder::new(Arc::new(schema::activity()));
    let activity = Recomputed::Last { builder: activity, rows: HashMap::new() };
    let derived = |key| Rules { key, is_derived: |_| true };
    Ok(vec![
        TableCheck::new(
            lake,
            Table::Completions,
            derived(&["completion_id", "revision", "type"]),
            all(schema::completions()),
        )?,
        TableCheck::new(lake, Table::Activity, derived(&["date", "customer_id", "game_type", "currency"]), activity)?,
        TableCheck::new(lake, Table::Dispositions, derived(place), all(schema::dispositions()))?,
        TableCheck::new(
            lake,
            Table::MissionDefinitions,
            derived(&["topic", "partition", "offset"]),
            all(schema::mission_definitions()),
        )?,
        TableCheck::new(
            lake,
            Table::DeadLetters,
            Rules { key: letter, is_derived: follows_decoding },
            all(schema::dead_letters()),
        )?,
    ])
}

/// A record that did not become an event is refused for a reason that only its text tells. Whether a
/// `bad_control_event` is one cannot be seen, so of these only the recomputed ones are judged.
fn follows_decoding(letter: &Row<'_>) -> bool {
    let reason = letter.text("reason");
    super::input::AFTER_DECODING.iter().any(|after: &Reason| after.as_str() == reason)
}

fn all(layout: Layout<EpochOutputs>) -> Recomputed {
    let len = layout.len;
    Recomputed::All { builder: Builder::new(Arc::new(layout)), len, batches: Vec::new() }
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
    fn new(lake: &Arc<LakeReader>, table: Table, rules: Rules, recomputed: Recomputed) -> Result<Self, String> {
        let cuts = cuts(lake, table)?;
        let comparison = Comparison::new(format!("lake {}", table.name()));
        Ok(TableCheck { rules, lake: lake.clone(), cuts, recomputed, comparison })
    }

    /// Takes the next epoch, and judges the cut that it completes.
    ///
    /// # Errors
    /// Objects that cannot be read.
    pub fn take(&mut self, outputs: &EpochOutputs) -> Result<(), String> {
        if self.cuts.front().is_some_and(|(cut, _)| cut.first == outputs.epoch) {
            // Later epochs are in the lake, so what was recomputed before this cut should have been.
            self.judge(&[])?;
        }
        self.recomputed.take(outputs);
        if let Some((_, objects)) = self.cuts.pop_front_if(|(cut, _)| cut.last <= outputs.epoch) {
            self.judge(&objects)?;
        }
        Ok(())
    }

    fn judge(&mut self, objects: &[LakeObject]) -> Result<(), String> {
        let recomputed = self.recomputed.finish();
        let emitted = read(&self.lake, objects)?;
        compare(self.rules, &recomputed, &emitted, &mut self.comparison);
        Ok(())
    }

    /// Counts what cannot be judged, behind the last epoch that was recomputed.
    ///
    /// # Errors
    /// Objects that cannot be read.
    pub fn finish(mut self, upper: Epoch) -> Result<Comparison, String> {
        if self.cuts.front().is_some_and(|(cut, _)| cut.first >= upper) {
            self.judge(&[])?;
        }
        let unwritten = self.recomputed.finish();
        self.comparison.unwritten = count(unwritten.iter().map(RecordBatch::num_rows).sum());
        for (_, objects) in std::mem::take(&mut self.cuts) {
            let rows = read(&self.lake, &objects)?;
            self.comparison.newer += count(rows.iter().map(RecordBatch::num_rows).sum());
        }
        Ok(self.comparison)
    }
}

fn read(lake: &LakeReader, objects: &[LakeObject]) -> Result<Vec<RecordBatch>, String> {
    let mut batches = Vec::new();
    for object in objects {
        for batch in lake.rows(object).map_err(|error| crate::chain(&error))? {
            batches.push(batch.map_err(|error| crate::chain(&error))?);
        }
    }
    Ok(batches)
}

impl Recomputed {
    fn take(&mut self, outputs: &EpochOutputs) {
        match self {
            Recomputed::All { builder, len, batches } => {
                builder.append(outputs, 0..len(outputs));
                if builder.len() >= BATCH_ROWS {
                    batches.push(builder.finish());
                }
            }
            Recomputed::Last { rows, .. } => {
                for row in &outputs.activity {
                    rows.insert(row.key.clone(), (outputs.epoch, row.clone()));
                }
            }
        }
    }

    /// The rows so far; none are left.
    fn finish(&mut self) -> Vec<RecordBatch> {
        match self {
            Recomputed::All { builder, batches, .. } => {
                let mut batches = std::mem::take(batches);
                batches.push(builder.finish());
                batches
            }
            Recomputed::Last { builder, rows } => {
                let mut batches = Vec::new();
                for (epoch, row) in std::mem::take(rows).into_values() {
                    let page = EpochOutputs { epoch, activity: vec![row], ..EpochOutputs::default() };
                    builder.append(&page, 0..1);
                    if builder.len() >= BATCH_ROWS {
                        batches.push(builder.finish());
                    }
                }
                batches.push(builder.finish());
                batches
            }
        }
    }
}

/// The log's counters of an epoch beside the recomputed ones. What decoding refused is known by its number
/// alone: as many records were read beyond the events of the lake as letters went out beyond the recomputed ones.
pub(super) fn compare_counters(
    epoch: Epoch,
    emitted: &datasets::rows::Counters,
    recomputed: &datasets::rows::Counters,
    into: &mut Comparison,
) {
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
