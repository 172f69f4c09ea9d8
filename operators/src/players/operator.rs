//! The timely shell around [`Players`].

use std::collections::BTreeMap;
use std::sync::Arc;

use datasets::rates::RateRecord;
use datasets::{Epoch, EventBatch, Timestamp, Topics};
use differential_dataflow::VecCollection;
use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::frontier::MutableAntichain;

use super::{Players, Rules};
use crate::changes::{Changes, Posting};
use crate::deadline::Deadlines;
use crate::definitions::DefinitionRecord;
use crate::snapshot::State;

/// An epoch's reading of the clock. Every worker gets one for every epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Never less than in the epoch before.
    pub now: Timestamp,
    /// The wall's, which `now` is behind while a backlog is read. Activity reports by it: nobody waits for more
    /// revisions of a row because they are made faster. In a replay of files it is `now`.
    pub wall: Timestamp,
    /// The highest ingest time so far. Memory is given back by it, not by `now`, which may be far ahead
    /// of a backlog.
    pub newest: Timestamp,
    /// The input has ended: whatever waits to be reported is reported.
    pub is_last: bool,
}

/// What an epoch gathers until it closes.
#[derive(Default)]
struct Open {
    batches: Vec<Arc<EventBatch>>,
    definitions: Vec<DefinitionRecord>,
    rates: Vec<RateRecord>,
}

/// Missions, identity and reversal by player: the postings for daily activity, and all other changes.
///
/// Events go to the worker that their batch names; definitions, rates and clock must be broadcast.
pub fn players<'s>(
    events: StreamVec<'s, Epoch, Arc<EventBatch>>,
    (definitions, rates): (StreamVec<'s, Epoch, DefinitionRecord>, StreamVec<'s, Epoch, RateRecord>),
    clock: StreamVec<'s, Epoch, Clock>,
    (rules, topics): (Rules, Arc<Topics>),
    deadlines: Deadlines,
    state: State,
) -> (VecCollection<'s, Epoch, Posting>, StreamVec<'s, Epoch, Changes>) {
    let scope = events.scope();
    let (worker, workers) = (scope.index(), scope.peers());
    let mut core = Players::new(rules, topics, worker == 0);
    core.restore(&state.restored);

    let mut builder = OperatorBuilder::new("Players".to_owned(), scope);
    let by_owner = Exchange::new(|batch: &Arc<EventBatch>| u64::try_from(batch.worker).expect("a worker's index"));
    let mut events = builder.new_input(events, by_owner);
    let mut definitions = builder.new_input(definitions, Pipeline);
    let mut rates = builder.new_input(rates, Pipeline);
    let mut clock = builder.new_input(clock, Pipeline);
    let (postings_output, postings) = builder.new_output::<Vec<(Posting, Epoch, isize)>>();
    let (changes_output, changes) = builder.new_output::<Vec<Changes>>();
    let mut postings_output = OutputBuilder::from(postings_output);
    let mut changes_output = OutputBuilder::from(changes_output);

    builder.build(move |_capabilities| {
        let mut open: BTreeMap<Epoch, Open> = BTreeMap::new();
        let mut clocks = BTreeMap::new();
        move |frontiers| {
            events.for_each(|capability, batches| {
                open.entry(*capability.time()).or_default().batches.append(batches);
            });
            definitions.for_each(|capability, records| {
                open.entry(*capability.time()).or_default().definitions.append(records);
            });
            rates.for_each(|capability, records| {
                open.entry(*capability.time()).or_default().rates.append(records);
            });
            clock.for_each(|capability, readings| {
                for clock in readings.drain(..) {
                    clocks.insert(*capability.time(), (capability.retain(0), capability.retain(1), clock));
                }
            });
            let mut postings_output = postings_output.activate();
            let mut changes_output = changes_output.activate();
            while let Some(entry) = clocks.first_entry() {
                let epoch = *entry.key();
                if !is_closed(frontiers, epoch) {
                    break;
                }
                let (for_postings, for_changes, clock) = entry.remove();
                let Open { batches, mut definitions, mut rates } = open.remove(&epoch).unwrap_or_default();
                core.wake(epoch);
                let mut changes = core.close_share(clock, (&mut definitions, &mut rates), &batches);
                let updates = changes.postings.drain(..).map(|(posting, diff)| (posting, epoch, diff));
                postings_output.session(&for_postings).give_iterator(updates);
                changes_output.session(&for_changes).give(changes);
                state.write(epoch, (worker, workers), |group, terms| core.write(group, epoch, terms));
                deadlines.players(core.next_deadline());
            }
        }
    });
    (VecCollection::new(postings), changes)
}

/// No input can bring anything more of `epoch`.
pub(crate) fn is_closed(frontiers: &[MutableAntichain<Epoch>], epoch: Epoch) -> bool {
    !frontiers.iter().any(|frontier| frontier.less_equal(&epoch))
}
