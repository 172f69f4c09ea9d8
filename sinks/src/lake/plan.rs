//! Which cut a lane's epochs belong to: recorded ones first, then new ones, without gaps.

use std::collections::VecDeque;

use datasets::Epoch;
use datasets::schema::SCHEMA_VERSION;

use crate::SinkError;
use crate::cut::{Cut, Table};

/// The cuts of one lane, past and next.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) table: Table,
    pub(super) lane: u16,
    /// Rows of epochs below this are in objects, or there are none.
    rows_from: Epoch,
    /// Recorded cuts that the replay has not passed yet.
    recorded: VecDeque<Cut>,
    /// First epoch of the next new cut.
    next: Epoch,
}

impl Plan {
    /// Takes this lane's cuts out of `resume`. All of epochs below `covered` are in place; the next begins there, and
    /// has no rows below `rows_from`.
    ///
    /// # Errors
    /// [`SinkError::Conflict`] if they leave a gap, overlap, reach into epochs that were never
    /// committed, or have a schema that this version does not know: each would lose or double rows.
    pub(super) fn new(
        (table, lane): (Table, u16),
        resume: &[Cut],
        (covered, rows_from): (Epoch, Epoch),
        replay_upper: Epoch,
    ) -> Result<Self, SinkError> {
        let ours = |cut: &&Cut| (cut.table, cut.lane) == (table, lane) && cut.last >= covered;
        let mut recorded: Vec<Cut> = resume.iter().filter(ours).cloned().collect();
        recorded.sort_unstable();
        // What no epoch has rows for may have had a cut that was recorded where the log does not begin any more.
        let mut next =
            recorded.first().filter(|cut| (covered..=rows_from).contains(&cut.first)).map_or(covered, |cut| cut.first);
        for cut in &recorded {
            let fault = if cut.first != next {
                format!("it should begin at epoch {next}")
            } else if cut.last < cut.first {
                "it ends before it begins".to_owned()
            } else if cut.last >= replay_upper {
                format!("epochs from {replay_upper} on were never committed")
            } else if cut.schema_version > SCHEMA_VERSION {
                format!("this version writes schema {SCHEMA_VERSION}")
            } else {
                next = cut.last + 1;
                continue;
            };
            return Err(SinkError::Conflict(format!("the log's {cut:?} cannot be followed: {fault}")));
        }
        Ok(Plan { table, lane, rows_from, recorded: recorded.into(), next })
    }

    /// Rows of `epoch` are in objects already, by what the start says.
    pub(super) fn is_durable(&self, epoch: Epoch) -> bool {
        epoch < self.rows_from
    }

    /// The table and lane.
    pub(super) fn of(&self) -> (Table, u16) {
        (self.table, self.lane)
    }

    /// Rows of epochs below this are in objects, or there are none.
    pub(super) fn rows_from(&self) -> Epoch {
        self.rows_from
    }

    /// Where the next cut begins, a recorded one or a new one.
    pub(super) fn next(&self) -> Epoch {
        self.recorded.front().map_or(self.next, |cut| cut.first)
    }

    /// The recorded cut that holds `epoch`.
    pub(super) fn recorded(&self, epoch: Epoch) -> Option<&Cut> {
        self.recorded.front().filter(|cut| cut.first <= epoch && epoch <= cut.last)
    }

    /// The recorded cut that is complete after `epoch`, at most once each.
    pub(super) fn complete(&mut self, epoch: Epoch) -> Option<Cut> {
        self.recorded.pop_front_if(|cut| cut.last <= epoch)
    }

    /// A new cut up to `last`, or `None` while the replay is still inside recorded ones.
    pub(super) fn decide(&mut self, last: Epoch) -> Option<Cut> {
        if !self.recorded.is_empty() || last < self.next {
            return None;
        }
        let first = std::mem::replace(&mut self.next, last + 1);
        Some(Cut { table: self.table, lane: self.lane, first, last, schema_version: SCHEMA_VERSION })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(first: Epoch, last: Epoch) -> Cut {
        Cut { table: Table::Events, lane: 0, first, last, schema_version: SCHEMA_VERSION }
    }

    fn plan(resume: &[Cut], durable_below: Epoch, replay_upper: Epoch) -> Result<Plan, SinkError> {
        Plan::new((Table::Events, 0), resume, (durable_below, durable_below), replay_upper)
    }

    #[test]
    fn recorded_cuts_come_first() {
        let mut plan = plan(&[cut(3, 5), cut(0, 2)], 0, 10).unwrap();
        assert_eq!(plan.recorded(2), Some(&cut(0, 2)));
        assert_eq!(plan.decide(1), None);
        assert_eq!(plan.complete(1), None);
        assert_eq!(plan.complete(2), Some(cut(0, 2)));
        assert_eq!(plan.complete(2), None);
        assert_eq!(plan.recorded(3), Some(&cut(3, 5)));
        assert_eq!(plan.complete(5), Some(cut(3, 5)));
        assert_eq!(plan.recorded(6), None);
        assert_eq!(plan.decide(5), None);
        assert_eq!(plan.decide(12), Some(cut(6, 12)));
        assert_eq!(plan.decide(13), Some(cut(13, 13)));
    }

    #[test]
    fn a_lane_takes_its_own_cuts() {
        let other = Cut { lane: 1, ..cut(0, 9) };
        let mut plan = plan(&[other, Cut { table: Table::Epochs, ..cut(0, 9) }], 0, 10).unwrap();
        assert_eq!(plan.recorded(0), None);
        assert_eq!(plan.decide(9), Some(cut(0, 9)));
    }

    #[test]
    fn a_log_that_cannot_be_followed_is_refused() {
        for (resume, durable_below) in [
            (vec![cut(0, 2), cut(4, 5)], 0),
            (vec![cut(0, 2), cut(2, 5)], 0),
            (vec![cut(1, 2)], 0),
            (vec![cut(0, 2)], 1),
            (vec![cut(0, 10)], 0),
            (vec![Cut { schema_version: 9, ..cut(0, 2) }], 0),
        ] {
            assert!(matches!(plan(&resume, durable_below, 10), Err(SinkError::Conflict(_))), "{resume:?}");
        }
        assert_eq!(plan(&[cut(0, 2)], 3, 10).unwrap().decide(4), Some(cut(3, 4)));
    }

    #[test]
    fn cuts_may_begin_where_rows_begin() {
        let plan = |first| Plan::new((Table::Events, 0), &[cut(first, 9)], (3, 7), 10);
        for first in 3..=7 {
            assert_eq!(plan(first).unwrap().next(), first);
        }
        // Rows of epoch 7 are in no object.
        assert!(matches!(plan(8), Err(SinkError::Conflict(_))));
        assert!(matches!(plan(2), Err(SinkError::Conflict(_))));
    }
}
