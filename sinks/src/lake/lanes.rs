//! All tables: rows go to their lanes, lanes go to cuts.

use std::sync::Arc;

use datasets::rows::EpochOutputs;
use datasets::schema::{self, EventNames, EventPage, Layout};
use datasets::{Epoch, Timestamp};

use super::CutLimits;
use super::assembly::WholeEpoch;
use super::encode::{Object, layout_of};
use super::lane::{ActivityLane, AnyLane, Lane, Present};
use super::plan::Plan;
use crate::SinkError;
use crate::checkpoint::LaneState;
use crate::cut::{Cut, Table};

/// A cut and its objects.
pub(crate) struct CutFiles {
    pub(crate) cut: Cut,
    /// The first epoch that it has rows of.
    pub(super) rows_from: Epoch,
    pub(crate) objects: Vec<Object>,
}

impl CutFiles {
    pub(super) fn bytes(&self) -> usize {
        self.objects.iter().map(|object| object.bytes.len()).sum()
    }
}

/// What is known from before, see [`super::LakeStart`].
pub(super) struct Resume<'a> {
    pub(super) cuts: &'a [Cut],
    pub(super) durable_below: Epoch,
    pub(super) durable: &'a [LaneState],
    pub(super) replay_upper: Epoch,
}

/// The lanes of every table.
pub(super) struct Lanes {
    names: Arc<EventNames>,
    events: Vec<Lane<EventPage>>,
    activity: ActivityLane,
    /// The other tables in the order of [`Table::ALL`], so that `epochs` is last.
    outputs: Vec<Lane<EpochOutputs>>,
    present: Present,
    replay_upper: Epoch,
    /// The last epoch that read something. Others are there to fire timers, whose rows are in tables of their own, or
    /// to record cuts.
    last_reading: Option<Epoch>,
}

impl Lanes {
    pub(super) fn new(
        lanes: u16,
        names: Arc<EventNames>,
        resume: &Resume<'_>,
        present: Present,
    ) -> Result<Self, SinkError> {
        let plan = |table, lane| {
            let known = resume.durable.iter().find(|known| (known.table, known.lane) == (table, lane));
            let below = resume.durable_below;
            let durable = known.map_or((below, below), |known| (known.covered, known.rows_from));
            Plan::new((table, lane), resume.cuts, durable, resume.replay_upper)
        };
        let output = |table: Table, layout: Layout<EpochOutputs>| -> Result<_, SinkError> {
            Ok(Lane::new(layout_of(table, layout), plan(table, 0)?))
        };
        if let Some(cut) = resume.cuts.iter().find(|cut| cut.table == Table::Events && cut.lane >= lanes) {
            let said =
                format!("{cut:?} was cut with more than the {lanes} lanes given; the number is fixed at creation");
            return Err(SinkError::Conflict(format!("lake: {said}")));
        }
        let events = layout_of(Table::Events, schema::events());
        let events = (0..lanes).map(|lane| Ok(Lane::new(events.clone(), plan(Table::Events, lane)?)));
        Ok(Lanes {
            names,
            events: events.collect::<Result<_, SinkError>>()?,
            activity: ActivityLane::new(output(Table::Activity, schema::activity())?),
            outputs: vec![
                output(Table::Dispositions, schema::dispositions())?,
                output(Table::Completions, schema::completions())?,
                output(Table::Audit, schema::audit())?,
                output(Table::Points, schema::points())?,
                output(Table::Tiers, schema::tiers())?,
                output(Table::Transactions, schema::transactions())?,
                output(Table::Customers, schema::customers())?,
                output(Table::Reviews, schema::reviews())?,
                output(Table::DeadLetters, schema::dead_letters())?,
                output(Table::MissionDefinitions, schema::mission_definitions())?,
                output(Table::Epochs, schema::epochs())?,
            ],
            present,
            replay_upper: resume.replay_upper,
            last_reading: None,
        })
    }

    fn all(&mut self) -> impl Iterator<Item = &mut dyn AnyLane> {
        let events = self.events.iter_mut().map(|lane| -> &mut dyn AnyLane { lane });
        let activity: &mut dyn AnyLane = &mut self.activity;
        let outputs = self.outputs.iter_mut().map(|lane| -> &mut dyn AnyLane { lane });
        events.chain([activity]).chain(outputs)
    }

    /// Takes an epoch. Returns the recorded cuts that it completes, without those that are in place.
    pub(super) fn take(&mut self, whole: &WholeEpoch) -> Result<Vec<CutFiles>, SinkError> {
        let (epoch, now) = (whole.outputs.epoch, whole.outputs.now);
        if !whole.outputs.bindings.is_empty() {
            self.last_reading = Some(epoch);
        }
        for batch in &whole.history {
            let lane = self.events.get_mut(usize::from(batch.lane)).ok_or_else(|| {
                SinkError::Conflict(format!("lake: history of lane {}, which does not exist", batch.lane))
            })?;
            let page = EventPage { epoch, batch: batch.clone(), names: self.names.clone() };
            lane.take(epoch, now, &page, &self.present)?;
        }
        self.activity.take(&whole.outputs, &self.present);
        for lane in &mut self.outputs {
            lane.take(epoch, now, &whole.outputs, &self.present)?;
        }
        let mut files = Vec::new();
        for lane in self.all() {
            if let Some(cut) = lane.plan().complete(epoch) {
                files.push(close(lane, cut)?);
            }
        }
        files.retain(|files| !files.objects.is_empty());
        Ok(files)
    }

    /// New cuts up to `epoch`: of each lane that is due by itself. None during a replay.
    pub(super) fn cut_due(
        &mut self,
        epoch: Epoch,
        now: Timestamp,
        limits: &CutLimits,
    ) -> Result<Vec<CutFiles>, SinkError> {
        self.cut_where(epoch, |lane| is_due(lane, now, limits))
    }

    /// A lane is due.
    pub(super) fn is_any_due(&mut self, now: Timestamp, limits: &CutLimits) -> bool {
        self.all().any(|lane| is_due(lane, now, limits))
    }

    /// New cuts up to `epoch` of every lane with open rows. None during a replay.
    pub(super) fn cut_open(&mut self, epoch: Epoch) -> Result<Vec<CutFiles>, SinkError> {
        self.cut_where(epoch, |lane| lane.opened().is_some())
    }

    /// One cut up to `epoch` across all lanes, empty ones too, so that all go on from one epoch.
    pub(super) fn cut_across(&mut self, epoch: Epoch) -> Result<Vec<CutFiles>, SinkError> {
        let mut files = self.cut_where(epoch, |_| true)?;
        files.retain(|files| !files.objects.is_empty());
        Ok(files)
    }

    fn cut_where(&mut self, epoch: Epoch, chosen: impl Fn(&dyn AnyLane) -> bool) -> Result<Vec<CutFiles>, SinkError> {
        let mut files = Vec::new();
        if epoch + 1 < self.replay_upper {
            return Ok(files);
        }
        for lane in self.all() {
            if !chosen(lane) {
                continue;
            }
            if let Some(cut) = lane.plan().decide(epoch) {
                files.push(close(lane, cut)?);
            }
        }
        Ok(files)
    }

    /// The clock at the oldest row in an open file that an epoch has to be opened for when it is old enough.
    ///
    /// Every epoch has a row in table `epochs`, also one that only cuts, or records cuts: epochs for such rows would
    /// go on for ever. They wait for a row of an epoch that read something.
    pub(super) fn oldest_open(&mut self) -> Option<Timestamp> {
        let last_reading = self.last_reading;
        let is_worth_it = |table: Table, from: Epoch| table != Table::Epochs || last_reading >= Some(from);
        let open = self.all().filter_map(|lane| Some((lane.plan().of().0, lane.opened()?)));
        open.filter(|(table, (from, _))| is_worth_it(*table, *from)).map(|(_, (_, opened))| opened).min()
    }

    /// How far each lane is durable but for the cuts that are decided, when epochs below `upper` were taken.
    pub(super) fn states(&mut self, upper: Epoch) -> impl Iterator<Item = LaneState> {
        self.all().map(move |lane| {
            let (table, number) = lane.plan().of();
            let rows_from = lane.opened().map_or(upper.max(lane.plan().rows_from()), |(epoch, _)| epoch);
            LaneState { table, lane: number, covered: lane.plan().next(), rows_from }
        })
    }
}

fn close(lane: &mut dyn AnyLane, cut: Cut) -> Result<CutFiles, SinkError> {
    let rows_from = lane.opened().map_or(cut.last + 1, |(epoch, _)| epoch);
    let objects = lane.close(&cut)?;
    Ok(CutFiles { cut, rows_from, objects })
}

fn is_due(lane: &dyn AnyLane, now: Timestamp, limits: &CutLimits) -> bool {
    let max_age = i64::try_from(limits.max_file_age.as_micros()).unwrap_or(i64::MAX);
    lane.opened().is_some_and(|(_, opened)| now.micros_since(opened) >= max_age || lane.size() >= limits.max_file_bytes)
}
