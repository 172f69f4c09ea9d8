//! The timely shell around [`DailyActivity`].

use std::collections::BTreeMap;

use datasets::Epoch;
use datasets::rows::ActivityRow;
use differential_dataflow::VecCollection;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Operator;

use super::{ActivityRules, DailyActivity, Reporting};
use crate::changes::Posting;
use crate::deadline::Deadlines;
use crate::players::Clock;

/// Rows of daily activity. A row's new revision is asserted in the epoch that retracts the old one.
pub fn daily_activity<'s>(
    postings: VecCollection<'s, Epoch, Posting>,
    clock: StreamVec<'s, Epoch, Clock>,
    rules: ActivityRules,
    reporting: Reporting,
    deadlines: Deadlines,
) -> VecCollection<'s, Epoch, ActivityRow> {
    let mut activity = DailyActivity::new(rules, reporting);
    let mut pending: BTreeMap<Epoch, Vec<(Posting, isize)>> = BTreeMap::new();
    let mut clocks = BTreeMap::new();
    let rows = postings.inner.binary_frontier(clock, Pipeline, Pipeline, "DailyActivity", move |_, _| {
        move |(postings, postings_frontier), (clock, clock_frontier), output| {
            postings.for_each(|_, updates| {
                for (posting, epoch, diff) in updates.drain(..) {
                    pending.entry(epoch).or_default().push((posting, diff));
                }
            });
            clock.for_each(|capability, readings| {
                for clock in readings.drain(..) {
                    clocks.insert(*capability.time(), (capability.retain(0), clock));
                }
            });
            while let Some(entry) = clocks.first_entry() {
                let epoch = *entry.key();
                if postings_frontier.less_equal(&epoch) || clock_frontier.less_equal(&epoch) {
                    break;
                }
                let (capability, Clock { now, is_last, .. }) = entry.remove();
                for (posting, diff) in pending.remove(&epoch).unwrap_or_default() {
                    activity.update(&posting, diff);
                }
                let mut session = output.session(&capability);
                for restatement in activity.report(now, is_last) {
                    if let Some(before) = restatement.before {
                        session.give((before, epoch, -1));
                    }
                    session.give((restatement.after, epoch, 1));
                }
                deadlines.activity(activity.next_report());
            }
        }
    });
    VecCollection::new(rows)
}
