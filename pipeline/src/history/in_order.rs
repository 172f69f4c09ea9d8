//! Tables of the lake, read epoch by epoch.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use datasets::{Epoch, Reason};
use sinks::cut::{Cut, Table};
use sinks::lake::{LakeObject, LakeReader, Rows};

use super::cell::Row;

/// Why an event, a reversal or a definition is refused after it was decoded. (A `bad_control_event` may be
/// refused before or after.)
pub(crate) const AFTER_DECODING: [Reason; 4] =
    [Reason::IdempotencyConflict, Reason::OrphanReversal, Reason::ExpiredReference, Reason::InvalidDefinition];

/// The objects of a table by cut, in the order of epochs.
///
/// # Errors
/// Objects of one lane that hold the same epochs twice.
pub(crate) fn cuts(lake: &LakeReader, table: Table) -> Result<VecDeque<(Cut, Vec<LakeObject>)>, String> {
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

/// The rows of a table by epoch, of all its lanes and days.
pub(crate) struct InOrder {
    lake: Arc<LakeReader>,
    table: Table,
    cuts: VecDeque<(Cut, Vec<LakeObject>)>,
    open: Vec<Open>,
    /// Rows of earlier epochs are passed over.
    from: Epoch,
    /// Epochs from here on are in none of the cuts that were opened.
    pub reached: Epoch,
    /// Epochs from here on are in none of its cuts.
    pub upper: Epoch,
}

/// An object of which rows are left. They are in the order of epochs.
struct Open {
    rows: Rows,
    from: Epoch,
    head: Option<RecordBatch>,
}

impl InOrder {
    /// Begins with epoch `from`.
    ///
    /// # Errors
    /// Objects of one lane that hold the same epochs twice.
    pub fn new(lake: &Arc<LakeReader>, table: Table, from: Epoch) -> Result<Self, String> {
        let (mut cuts, upper) = (cuts(lake, table)?, upper(lake, table));
        cuts.retain(|(cut, _)| cut.last >= from);
        Ok(InOrder { lake: lake.clone(), table, cuts, open: Vec::new(), from, reached: 0, upper })
    }

    /// The rows of `epoch`. Every epoch is asked for, in order.
    ///
    /// # Errors
    /// What cannot be read, or is not in the order of epochs.
    pub fn take(&mut self, epoch: Epoch) -> Result<Vec<RecordBatch>, String> {
        while let Some((cut, objects)) = self.cuts.pop_front_if(|(cut, _)| cut.first <= epoch) {
            self.reached = self.reached.max(cut.last + 1);
            for object in objects {
                let rows = self.lake.rows(&object).map_err(|error| crate::chain(&error))?;
                self.open.push(Open { rows: rows.checked(), from: self.from, head: None });
            }
        }
        let mut taken = Vec::new();
        let mut left = Vec::new();
        for mut open in std::mem::take(&mut self.open) {
            if open.take(epoch, &mut taken).map_err(|error| format!("{}: {error}", self.table.name()))? {
                left.push(open);
            }
        }
        self.open = left;
        Ok(taken)
    }
}

impl Open {
    /// Moves the rows of `epoch` to `taken`. Answers whether there are more.
    fn take(&mut self, epoch: Epoch, taken: &mut Vec<RecordBatch>) -> Result<bool, String> {
        let (from, asked) = (signed(self.from), signed(epoch));
        while let Some(head) = self.next_batch()? {
            let epochs = head.column_by_name("epoch").and_then(|column| column.as_primitive_opt::<Int64Type>());
            let epochs = epochs.ok_or("an object has no column epoch")?.values();
            let first = epochs.partition_point(|found| *found < from);
            if epochs.get(first).is_some_and(|first| *first < asked) || !epochs.is_sorted() {
                return Err(format!("rows of an object are not in the order of epochs at epoch {epoch}"));
            }
            let end = epochs.partition_point(|found| *found <= asked);
            if end > first {
                taken.push(head.slice(first, end - first));
            }
            if end < head.num_rows() {
                self.head = Some(head.slice(end, head.num_rows() - end));
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, String> {
        match self.head.take() {
            Some(head) => Ok(Some(head)),
            None => self.rows.next().transpose().map_err(|error| crate::chain(&error)),
        }
    }
}

/// The epochs of a table: those below the end of its last cut.
pub(crate) fn upper(lake: &LakeReader, table: Table) -> Epoch {
    lake.objects(table).iter().map(|object| object.cut.last + 1).max().unwrap_or(0)
}

fn signed(epoch: Epoch) -> i64 {
    i64::try_from(epoch).expect("epochs are below 2^63")
}

/// A column of JSON.
///
/// # Errors
/// A text that is none, or of something else.
pub(crate) fn json<T: serde::de::DeserializeOwned>(row: Row<'_>, column: &str, epoch: Epoch) -> Result<T, String> {
    serde_json::from_str(row.text(column)).map_err(|error| format!("lake: {column} of epoch {epoch}: {error}"))
}
