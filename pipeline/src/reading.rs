//! Sources as operators: they read when an epoch is opened, and hold it open until they have read
//! what it is bound to.

use std::collections::VecDeque;
use std::rc::Rc;

use datasets::rows::Binding;
use datasets::{Epoch, Timestamp};
use operators::decode::Chunk;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::scheduling::Activator;

use crate::epochs::{Report, Tick};

/// Reads one worker's share of the input.
pub trait Source {
    /// Reads for `epoch`, which `tick` opened. Never blocks. Called again for one epoch until it answers
    /// `is_complete`, then for the next.
    fn read(&mut self, epoch: Epoch, tick: &Tick) -> Reading;
}

/// What a source read.
#[derive(Default)]
pub struct Reading {
    /// Records, in chunks.
    pub chunks: Vec<Rc<dyn Chunk>>,
    /// The epoch has all that it is bound to.
    pub is_complete: bool,
    /// Partitions whose upper moved, told with the reading that completes the epoch.
    pub bindings: Vec<Binding>,
    /// See [`Report::behind`].
    pub behind: Option<Timestamp>,
}

/// Stands for a source that could not be made: it completes no epoch.
pub struct Nothing;

impl Source for Nothing {
    fn read(&mut self, _: Epoch, _: &Tick) -> Reading {
        Reading::default()
    }
}

/// The streams that reading makes.
pub struct Records<'s> {
    /// What was read.
    pub records: StreamVec<'s, Epoch, Rc<dyn Chunk>>,
    /// How far.
    pub bindings: StreamVec<'s, Epoch, Vec<Binding>>,
    /// One an epoch and worker.
    pub reports: StreamVec<'s, Epoch, Report>,
    /// Asks the source again, when it had not read all that an epoch is bound to.
    pub activator: Activator,
}

/// Reads this worker's share of every epoch.
pub fn read<'s>(ticks: StreamVec<'s, Epoch, Tick>, mut from: Box<dyn Source>) -> Records<'s> {
    let scope = ticks.scope();
    let mut builder = OperatorBuilder::new("Read".to_owned(), scope);
    let activator = scope.activator_for(builder.operator_info().address);
    let mut ticks = builder.new_input(ticks, Pipeline);
    let (records_output, records) = builder.new_output::<Vec<Rc<dyn Chunk>>>();
    let (bindings_output, bindings) = builder.new_output::<Vec<Vec<Binding>>>();
    let (reports_output, reports) = builder.new_output::<Vec<Report>>();
    let mut records_output = OutputBuilder::from(records_output);
    let mut bindings_output = OutputBuilder::from(bindings_output);
    let mut reports_output = OutputBuilder::from(reports_output);

    builder.build(move |_capabilities| {
        let mut open = VecDeque::new();
        move |_frontiers| {
            ticks.for_each(|capability, batch| {
                for tick in batch.drain(..) {
                    open.push_back(([capability.retain(0), capability.retain(1), capability.retain(2)], tick));
                }
            });
            let mut records_output = records_output.activate();
            let mut bindings_output = bindings_output.activate();
            let mut reports_output = reports_output.activate();
            while let Some(([for_records, for_bindings, for_reports], tick)) = open.front() {
                let Reading { chunks, is_complete, bindings, behind } = from.read(*for_records.time(), tick);
                records_output.session(for_records).give_iterator(chunks.into_iter());
                if !is_complete {
                    break;
                }
                if !bindings.is_empty() {
                    bindings_output.session(for_bindings).give(bindings);
                }
                let report = Report {
                    opened: Some(tick.opened),
                    recorded: tick.recorded.as_ref().map(|recorded| recorded.now),
                    behind,
                    newest: None,
                    is_last: tick.is_last,
                };
                reports_output.session(for_reports).give(report);
                open.pop_front();
            }
        }
    });
    Records { records, bindings, reports, activator }
}
