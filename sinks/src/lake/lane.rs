//! One lane of a table: its plan of cuts and its open files, one per date.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use datasets::rows::{ActivityKey, ActivityRow, EpochOutputs};
use datasets::schema::Layout;
use datasets::{Epoch, Timestamp};
use hashbrown::HashMap;

use super::encode::{Object, OpenFile};
use super::name::object_name;
use super::plan::Plan;
use crate::SinkError;
use crate::cut::Cut;

/// Names of objects that a replay finds in place.
pub(super) type Present = HashSet<String>;

/// What the decision about cuts needs of a lane, whatever its rows are.
pub(super) trait AnyLane {
    fn plan(&mut self) -> &mut Plan;
    /// Parquet bytes in open files, about.
    fn size(&self) -> usize;
    /// The oldest open row's epoch, and its clock.
    fn opened(&self) -> Option<(Epoch, Timestamp)>;
    /// Ends the open files as the objects of `cut`.
    fn close(&mut self, cut: &Cut) -> Result<Vec<Object>, SinkError>;
}

/// A lane that writes every row.
pub(super) struct Lane<S> {
    layout: Arc<Layout<S>>,
    plan: Plan,
    open: BTreeMap<i32, OpenFile<S>>,
    opened: Option<(Epoch, Timestamp)>,
}

impl<S> Lane<S> {
    pub(super) fn new(layout: Arc<Layout<S>>, plan: Plan) -> Self {
        Lane { layout, plan, open: BTreeMap::new(), opened: None }
    }

    /// Takes the rows of a whole epoch, or a part of them, except those whose object is in place.
    pub(super) fn take(
        &mut self,
        epoch: Epoch,
        now: Timestamp,
        source: &S,
        present: &Present,
    ) -> Result<(), SinkError> {
        if self.plan.is_durable(epoch) {
            return Ok(());
        }
        let mut rows = 0..(self.layout.len)(source);
        while let Some((day, run)) = self.next_run(source, &mut rows) {
            if !self.is_present(epoch, day, present) {
                self.append((epoch, now), day, source, run)?;
            }
        }
        Ok(())
    }

    /// The next rows that share a day, taken off the front of `rows`.
    fn next_run(&self, source: &S, rows: &mut Range<usize>) -> Option<(i32, Range<usize>)> {
        let start = rows.start;
        let day = (self.layout.day)(source, rows.next()?);
        while rows.start < rows.end && (self.layout.day)(source, rows.start) == day {
            rows.start += 1;
        }
        Some((day, start..rows.start))
    }

    fn is_present(&self, epoch: Epoch, day: i32, present: &Present) -> bool {
        let recorded = self.plan.recorded(epoch);
        recorded.is_some_and(|cut| present.contains(&object_name(cut, self.layout.partition, day)))
    }

    fn append(&mut self, at: (Epoch, Timestamp), day: i32, source: &S, rows: Range<usize>) -> Result<(), SinkError> {
        self.opened.get_or_insert(at);
        let file = match self.open.entry(day) {
            std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::btree_map::Entry::Vacant(vacant) => vacant.insert(OpenFile::new(&self.layout)?),
        };
        file.append(source, rows)
    }
}

impl<S> AnyLane for Lane<S> {
    fn plan(&mut self) -> &mut Plan {
        &mut self.plan
    }

    fn size(&self) -> usize {
        self.open.values().map(OpenFile::size).sum()
    }

    fn opened(&self) -> Option<(Epoch, Timestamp)> {
        self.opened
    }

    fn close(&mut self, cut: &Cut) -> Result<Vec<Object>, SinkError> {
        self.opened = None;
        let files = std::mem::take(&mut self.open).into_iter();
        files.map(|(day, file)| file.finish(object_name(cut, self.layout.partition, day), cut)).collect()
    }
}

/// The lane of `activity`. A row changes with nearly every event of its player; a cut holds the
/// last revision of each, so rows wait here until the cut is decided.
pub(super) struct ActivityLane {
    lane: Lane<EpochOutputs>,
    latest: HashMap<ActivityKey, (Epoch, ActivityRow), foldhash::fast::FixedState>,
    bytes: usize,
    opened: Option<(Epoch, Timestamp)>,
}

impl ActivityLane {
    pub(super) fn new(lane: Lane<EpochOutputs>) -> Self {
        ActivityLane { lane, latest: HashMap::default(), bytes: 0, opened: None }
    }

    /// Takes the rows of a whole epoch, except those whose object is in place.
    pub(super) fn take(&mut self, out: &EpochOutputs, present: &Present) {
        if self.lane.plan.is_durable(out.epoch) {
            return;
        }
        for row in &out.activity {
            if self.lane.is_present(out.epoch, row.key.date.days(), present) {
                continue;
            }
            self.opened.get_or_insert((out.epoch, out.now));
            match self.latest.get_mut(&row.key) {
                Some(latest) => (latest.0, latest.1) = (out.epoch, row.clone()),
                None => {
                    self.latest.insert(row.key.clone(), (out.epoch, row.clone()));
                    self.bytes += size_of::<(ActivityKey, Epoch, ActivityRow)>() + row.key.customer_id.len();
                }
            }
        }
    }
}

impl AnyLane for ActivityLane {
    fn plan(&mut self) -> &mut Plan {
        &mut self.lane.plan
    }

    /// Bytes in memory, which are more than those of Parquet: rows that wait are not encoded yet.
    fn size(&self) -> usize {
        self.bytes
    }

    fn opened(&self) -> Option<(Epoch, Timestamp)> {
        self.opened
    }

    fn close(&mut self, cut: &Cut) -> Result<Vec<Object>, SinkError> {
        (self.bytes, self.opened) = (0, None);
        let mut page = EpochOutputs::default();
        let mut latest: Vec<(Epoch, ActivityRow)> = std::mem::take(&mut self.latest).into_values().collect();
        latest.sort_unstable_by(|(_, a), (_, b)| a.key.cmp(&b.key));
        for (epoch, row) in latest {
            let day = row.key.date.days();
            (page.epoch, page.activity) = (epoch, vec![row]);
            self.lane.append((epoch, page.now), day, &page, 0..1)?;
        }
        self.lane.close(cut)
    }
}
