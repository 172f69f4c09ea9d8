//! What a lake without input asks for: nothing.

use std::sync::Arc;

use datasets::Epoch;
use datasets::rows::{Binding, EpochOutputs};

use super::support::{aged, clock, names};
use crate::cut::Table;
use crate::lake::assembly::WholeEpoch;
use crate::lake::lane::Present;
use crate::lake::lanes::{Lanes, Resume};

/// Takes an epoch that has read a record, or nothing.
fn take(lanes: &mut Lanes, epoch: Epoch, has_read: bool) {
    let binding = Binding { topic: "events".into(), partition: 0, upper: 1 };
    let bindings = has_read.then_some(binding).into_iter().collect();
    let outputs = EpochOutputs { epoch, now: clock(epoch), bindings, ..EpochOutputs::default() };
    lanes.take(&WholeEpoch { outputs: Arc::new(outputs), history: Vec::new() }).unwrap();
}

#[test]
fn rows_of_epochs_that_only_cut_or_record_cuts_ask_for_no_epoch() {
    let resume = Resume { cuts: &[], durable_below: 0, durable: &[], replay_upper: 0 };
    let mut lanes = Lanes::new(1, names(), &resume, Present::default()).unwrap();
    let limits = aged(20);
    assert_eq!(lanes.oldest_open(), None);
    take(&mut lanes, 0, true);
    assert_eq!(lanes.oldest_open(), Some(clock(0)));
    // Twenty minutes later one is opened, to cut.
    take(&mut lanes, 2, false);
    let cuts = lanes.cut_due(2, clock(2), &limits).unwrap();
    let cuts: Vec<_> = cuts.iter().map(|files| (files.cut.table, files.cut.last)).collect();
    assert_eq!(cuts, [(Table::Epochs, 2)]);
    // Another one, to record that.
    take(&mut lanes, 3, false);
    assert_eq!(lanes.oldest_open(), None);
    assert!(lanes.cut_due(3, clock(3), &limits).unwrap().is_empty());
    // Its row is as old as it is, as soon as there is a reason.
    take(&mut lanes, 9, true);
    assert_eq!(lanes.oldest_open(), Some(clock(3)));
    assert_eq!(lanes.cut_due(9, clock(9), &limits).unwrap().len(), 1);
    assert_eq!(lanes.oldest_open(), None);
}
