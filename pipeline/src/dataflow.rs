//! The whole pipeline, top to bottom.

use std::sync::Arc;

use datasets::rows::EpochOutputs;
use datasets::{Epoch, EventBatch, Timestamp, Topics};
use operators::activity::{ActivityRules, Reporting, daily_activity};
use operators::deadline::Deadlines;
use operators::decode::{DecodeRules, decode};
use operators::outputs::{Part, outputs};
use operators::players::{Rules, players};
use operators::rollup::{GameDay, Takings, takings_by_game_type};
use operators::snapshot::State;
use serde::{Deserialize, Serialize};
use timely::dataflow::channels::pact::{Exchange, ParallelizationContract, Pipeline};
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::{Broadcast, Map};
use timely::dataflow::operators::{Concatenate, Inspect};
use timely::dataflow::{Scope, StreamVec};
use timely::scheduling::Activator;

use crate::epochs::{ClockSource, Pacer, Report, clock, ticks};
use crate::reading::{Source, read};

/// What the pipeline computes by: settings, without any I/O.
#[derive(Clone)]
pub struct Plan {
    /// Topics, mappings, lanes.
    pub decode: DecodeRules,
    /// Identity, missions.
    pub players: Rules,
    /// Basis and waterfall.
    pub activity: ActivityRules,
    /// When activity reports.
    pub reporting: Reporting,
    /// Where the clock comes from.
    pub clock: ClockSource,
    /// Where it all begins.
    pub begin: Begin,
    /// Workers that take the raw history, the first ones: all of them, or those of the process that writes the lake.
    pub keepers: usize,
}

/// The first epoch, and the clock before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The first epoch that is opened.
    pub first: Epoch,
    /// The last reading of the clock.
    pub now: Timestamp,
    /// The last of the wall's.
    pub wall: Timestamp,
    /// The highest ingest time.
    pub newest: Timestamp,
}

/// One worker's connections to the world.
pub struct Edges {
    /// Opens epochs; on the first worker only.
    pub pacer: Option<Box<dyn Pacer>>,
    /// Reads this worker's share.
    pub source: Box<dyn Source>,
    /// Takes this worker's share of the raw history.
    pub history: Box<dyn History>,
    /// Takes closed epochs, in order; called on the first worker only.
    pub publish: Box<dyn FnMut(Arc<EpochOutputs>)>,
    /// Takes changes of the takings by game type.
    pub takings: Box<ShowTakings>,
    /// Tells when the clock alone has to move the dataflow.
    pub deadlines: Deadlines,
    /// What operators begin with, and where they write it.
    pub state: State,
}

/// Hears of an update of the takings by game type.
pub type ShowTakings = dyn FnMut(&GameDay, &Takings, isize);

/// Takes raw history: each epoch's events once, then word that the epoch is complete.
pub trait History {
    /// Events of `epoch`.
    fn events(&mut self, epoch: Epoch, batch: &Arc<EventBatch>);
    /// All events of epochs below `upper` have been given.
    fn upper(&mut self, upper: Epoch);
}

/// Wakes the operators that wait for the world.
pub struct Wakers {
    /// Asks the pacer whether an epoch may be opened.
    pub epochs: Activator,
    /// Asks the source for the rest of what an epoch is bound to.
    pub source: Activator,
}

/// Builds the dataflow on this worker.
pub fn build(scope: Scope<'_, Epoch>, plan: Plan, edges: Edges) -> Wakers {
    let topics: Arc<Topics> = plan.decode.topics.clone();

    // Sources. The timestamp is the epoch; event time stays in the data.
    let (ticks, wake_epochs) = ticks(scope, edges.pacer, plan.begin.first);
    let records = read(ticks, edges.source);
    let decoded = decode(records.records, plan.decode);
    let newest = decoded.read.clone().map(|read| Report { newest: read.newest, ..Report::default() });
    let clock = clock(scope.concatenate([records.reports, newest]), plan.clock, plan.begin);

    // Views.
    let of_all = (decoded.definitions.broadcast(), decoded.rates.broadcast());
    let has_feed = plan.players.entities.is_some();
    let rules = (plan.players, topics);
    let (deadlines, state) = (edges.deadlines, edges.state);
    let (postings, changes) =
        players(decoded.events.clone(), of_all, clock.clone(), rules, deadlines.clone(), state.clone());
    let activity = daily_activity(postings, clock.clone(), plan.activity, plan.reporting, deadlines, state);
    let takings = takings_by_game_type(activity.takings);

    // Sinks.
    keep_history(decoded.events, edges.history, plan.keepers);
    let mut show = edges.takings;
    takings.inner.inspect(move |((day, takings), _, diff)| show(day, takings, *diff));
    let is_first = scope.index() == 0;
    let parts = [
        clock.flat_map(move |clock| is_first.then_some(Part::Clock(clock))),
        records.bindings.map(Part::Bindings),
        decoded.read.map(Part::Read),
        changes.map(|changes| Part::Changes(Box::new(changes))),
        activity.rows.map(Part::Activity),
    ];
    outputs(scope.concatenate(parts), has_feed, edges.publish);
    Wakers { epochs: wake_epochs, source: records.activator }
}

/// Every worker gives its history to the one of `keepers` that has its number, going round: to itself, if it is one.
fn keep_history(events: StreamVec<'_, Epoch, Arc<EventBatch>>, history: Box<dyn History>, keepers: usize) {
    let (worker, workers) = (events.scope().index(), events.scope().peers());
    if keepers == workers {
        return keep_history_of(events, Pipeline, history);
    }
    let keeper = u64::try_from(worker % keepers).expect("a worker's index");
    keep_history_of(events, Exchange::new(move |_: &Arc<EventBatch>| keeper), history);
}

fn keep_history_of<P>(events: StreamVec<'_, Epoch, Arc<EventBatch>>, pact: P, mut history: Box<dyn History>)
where
    P: ParallelizationContract<Epoch, Vec<Arc<EventBatch>>>,
{
    let mut told = 0;
    events.sink(pact, "History", move |(events, frontier)| {
        events.for_each(|capability, batches| {
            batches.iter().for_each(|batch| history.events(*capability.time(), batch));
        });
        let upper = frontier.frontier().first().copied().unwrap_or(Epoch::MAX);
        if upper > told {
            told = upper;
            history.upper(upper);
        }
    });
}
