//! The timely shell around [`DailyActivity`].

use std::collections::BTreeMap;

use datasets::Epoch;
use datasets::rows::ActivityRow;
use differential_dataflow::VecCollection;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::{ActivityRules, DailyActivity, Reporting, Restatements};
use crate::changes::Posting;
use crate::deadline::Deadlines;
use crate::players::{Clock, is_closed};
use crate::rollup::{GameDay, Takings};
use crate::snapshot::State;

/// Postings as they arrive.
type Updates = Vec<(Posting, Epoch, isize)>;

/// What daily activity puts out.
pub struct Activity<'s> {
    /// The rows of an epoch that changed: the revisions that take the place of those before.
    pub rows: StreamVec<'s, Epoch, Vec<ActivityRow>>,
    /// How many customers have a row of a day and game, and the sums of those rows, as differences.
    pub takings: VecCollection<'s, Epoch, GameDay, Takings>,
}

/// Rows of daily activity.
pub fn daily_activity<'s>(
    postings: VecCollection<'s, Epoch, Posting>,
    clock: StreamVec<'s, Epoch, Clock>,
    rules: ActivityRules,
    reporting: Reporting,
    deadlines: Deadlines,
    state: State,
) -> Activity<'s> {
    let scope = clock.scope();
    let (worker, workers) = (scope.index(), scope.peers());
    let mut activity = DailyActivity::new(rules, reporting);
    activity.restore(&state.restored);
    let mut builder = OperatorBuilder::new("DailyActivity".to_owned(), scope);
    let mut postings = builder.new_input(postings.inner, Pipeline);
    let mut clock = builder.new_input(clock, Pipeline);
    let (rows_output, rows) = builder.new_output::<Vec<Vec<ActivityRow>>>();
    let (takings_output, takings) = builder.new_output::<Vec<(GameDay, Epoch, Takings)>>();
    let mut rows_output = OutputBuilder::from(rows_output);
    let mut takings_output = OutputBuilder::from(takings_output);

    builder.build(move |_capabilities| {
        let mut pending: BTreeMap<Epoch, Vec<Updates>> = BTreeMap::new();
        let mut clocks = BTreeMap::new();
        move |frontiers| {
            postings.for_each(|capability, updates| {
                pending.entry(*capability.time()).or_default().push(std::mem::take(updates));
            });
            clock.for_each(|capability, readings| {
                for clock in readings.drain(..) {
                    clocks.insert(*capability.time(), (capability.retain(0), capability.retain(1), clock));
                }
            });
            let mut rows_output = rows_output.activate();
            let mut takings_output = takings_output.activate();
            while let Some(entry) = clocks.first_entry() {
                let epoch = *entry.key();
                if !is_closed(frontiers, epoch) {
                    break;
                }
                let (for_rows, for_takings, clock) = entry.remove();
                activity.wake(epoch);
                for updates in pending.remove(&epoch).unwrap_or_default() {
                    activity.update(&updates);
                }
                let Restatements { rows, takings } = activity.report(&clock);
                if !rows.is_empty() {
                    let takings = takings.into_iter().map(|(day, takings)| (day, epoch, takings));
                    takings_output.session(&for_takings).give_iterator(takings);
                    rows_output.session(&for_rows).give(rows);
                }
                deadlines.activity(activity.next_report());
                state.write(epoch, (worker, workers), |group, terms| {
                    activity.write(group, epoch, terms.cold, clock.now.min(clock.newest))
                });
            }
        }
    });
    Activity { rows, takings: VecCollection::new(takings) }
}
