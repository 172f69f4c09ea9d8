//! Epochs: who opens them, and what clock they carry.
//!
//! The first worker opens epoch k by broadcasting a [`Tick`]; every worker reads its share and
//! reports how far it came; the reports fix the epoch's clock, which is broadcast again. Everything
//! that is not determined is decided here and recorded, so that a replay along the record repeats it.

use std::sync::Arc;

use datasets::rows::{Binding, DefinitionRow};
use datasets::{Epoch, Timestamp};
use operators::players::Clock;
use serde::{Deserialize, Serialize};
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Operator;
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::{Scope, StreamVec};
use timely::scheduling::Activator;

use crate::dataflow::Begin;

/// Opens an epoch: read what is there, or exactly what was read before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// The wall's clock when the epoch was opened, the first time.
    pub opened: Timestamp,
    /// What to read, from the log.
    pub recorded: Option<Arc<Recorded>>,
    /// The input has ended: everything is to be reported.
    pub is_last: bool,
}

/// What an epoch of the log read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The reading of the clock.
    pub now: Timestamp,
    /// Partitions whose upper moved.
    pub bindings: Vec<Binding>,
    /// Definition records, which their topic may have compacted away.
    #[serde(with = "datasets::wire")]
    pub definitions: Vec<DefinitionRow>,
}

/// Decides when an epoch opens. Lives on the first worker.
pub trait Pacer {
    /// The next epoch may be opened now, or not yet, or never again.
    fn next(&mut self, epoch: Epoch) -> Pace;
}

/// See [`Pacer::next`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Open it.
    Open(Tick),
    /// Ask again when something has changed.
    Wait,
    /// The input has ended.
    End,
}

/// A worker's report on what it read in an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// See [`Tick::opened`].
    pub opened: Option<Timestamp>,
    /// The epoch follows the log, and this was its clock.
    pub recorded: Option<Timestamp>,
    /// The least last-read ingest time among partitions that are not at their end.
    pub behind: Option<Timestamp>,
    /// The highest ingest time read.
    pub newest: Option<Timestamp>,
    /// See [`Tick::is_last`].
    pub is_last: bool,
}

/// Where the clock comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockSource {
    /// Wall time once caught up; until then what the slowest partition has reached, so that timers do
    /// not run ahead of the backlog.
    Wall,
    /// The highest ingest time so far, for replays of files.
    Input,
}

/// Ticks, one an epoch from `first` on, on every worker. The activator asks the pacer again.
pub fn ticks<'s>(
    scope: Scope<'s, Epoch>,
    pacer: Option<Box<dyn Pacer>>,
    first: Epoch,
) -> (StreamVec<'s, Epoch, Tick>, Activator) {
    let mut activator = None;
    let opened = source(scope, "OpenEpochs", |capability, info| {
        activator = Some(scope.activator_for(info.address.clone()));
        let again = scope.activator_for(info.address);
        let mut state = pacer.map(|pacer| (capability.delayed(&first), pacer));
        move |output| {
            let Some((capability, pacer)) = &mut state else { return };
            let epoch = *capability.time();
            match pacer.next(epoch) {
                Pace::Open(tick) => {
                    output.session(&*capability).give(tick);
                    capability.downgrade(&(epoch + 1));
                    again.activate();
                }
                Pace::Wait => {}
                Pace::End => state = None,
            }
        }
    });
    (opened.broadcast(), activator.expect("the operator was just built"))
}

/// The clock of every epoch, on every worker.
pub fn clock<'s>(
    reports: StreamVec<'s, Epoch, Report>,
    from: ClockSource,
    begin: Begin,
) -> StreamVec<'s, Epoch, Clock> {
    let Begin { mut now, mut wall, mut newest, .. } = begin;
    let mut open = std::collections::BTreeMap::new();
    let to_first = Exchange::new(|_: &Report| 0);
    let clock = reports.unary_frontier(to_first, "Clock", move |_, _| {
        move |(reports, frontier), output| {
            reports.for_each(|capability, batch| {
                let epoch = *capability.time();
                let (_, merged) = open.entry(epoch).or_insert_with(|| (capability.retain(0), Report::default()));
                batch.drain(..).for_each(|report| merged.merge(report));
            });
            while let Some(entry) = open.first_entry()
                && !frontier.less_equal(entry.key())
            {
                let (capability, report) = entry.remove();
                // Never backwards, whatever the inputs say.
                now = now.max(report.reading(from).unwrap_or(now));
                newest = newest.max(report.newest.unwrap_or(newest));
                wall = match from {
                    ClockSource::Wall => wall.max(report.opened.unwrap_or(wall)),
                    ClockSource::Input => now,
                };
                output.session(&capability).give(Clock { now, wall, newest, is_last: report.is_last });
            }
        }
    });
    clock.broadcast()
}

impl Report {
    fn merge(&mut self, other: Report) {
        self.opened = self.opened.max(other.opened);
        self.recorded = self.recorded.max(other.recorded);
        self.is_last |= other.is_last;
        self.newest = self.newest.max(other.newest);
        self.behind = match (self.behind, other.behind) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }

    fn reading(&self, from: ClockSource) -> Option<Timestamp> {
        match from {
            ClockSource::Input => self.newest,
            ClockSource::Wall => self.recorded.or(self.behind).or(self.opened),
        }
    }
}
