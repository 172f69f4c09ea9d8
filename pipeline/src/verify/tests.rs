//! Lakes that lack files, and where their end is taken to be.

use std::path::Path;
use std::sync::Arc;

use datasets::rows::{Binding, Counters, DispositionKind, DispositionRow, EpochOutputs, Place};
use datasets::schema::EventNames;
use datasets::{Epoch, EventBatch, EventRow, TextField, Timestamp, TopicId, Topics};
use sinks::EpochWriter;
use sinks::lake::{LakeConfig, LakeReader, LakeWriter};

use super::report::{Comparison, Fault};
use super::tables::tables;
use crate::history::log::{Inputs, Settled};

/// Epochs of the lake, each a cut of its own: four of them are settled.
const EPOCHS: Epoch = 8;

/// Between two epochs, and the age of files.
const SECOND: i64 = 1_000_000;

fn outputs(epoch: Epoch) -> EpochOutputs {
    let place = Place { topic: "events".into(), partition: 0, offset: i64::try_from(epoch).unwrap() };
    let row = DispositionRow {
        place,
        index: 0,
        disposition: DispositionKind::Duplicate,
        ingest_time: Timestamp::from_millis(1),
        player_id: "p".into(),
        transaction_id: "t".into(),
    };
    EpochOutputs {
        epoch,
        now: Timestamp::from_micros(i64::try_from(epoch).unwrap() * SECOND),
        bindings: vec![Binding { topic: "missions".into(), partition: 0, upper: 3 }],
        dispositions: vec![row],
        counters: Counters { read: 1, ..Counters::default() },
        ..EpochOutputs::default()
    }
}

fn event(epoch: Epoch) -> Arc<EventBatch> {
    let at = datasets::Coordinates { topic: TopicId(0), partition: 0, offset: i64::try_from(epoch).unwrap(), index: 0 };
    let row = EventRow::new(at, datasets::SourceId(0), Timestamp::from_millis(1), Timestamp::from_millis(1));
    let mut batch = EventBatch::new(0, 0);
    batch.push(&row, [(TextField::PlayerId, "p")], "{}");
    Arc::new(batch)
}

/// A lake of [`EPOCHS`], without the files of these tables and epochs.
fn lake(without: &[(&str, Epoch)]) -> (tempfile::TempDir, Arc<LakeReader>) {
    let folder = tempfile::tempdir().unwrap();
    let config = LakeConfig::new(format!("file://{}", folder.path().display()));
    let names =
        Arc::new(EventNames { topics: Topics::new(["events"]), sources: vec!["pam".into()], chargebacks: Vec::new() });
    for epoch in 0..EPOCHS {
        let mut writer = LakeWriter::open(&config, 1, 1, names.clone()).unwrap();
        writer.handle().history(0, epoch, event(epoch));
        writer.handle().history_upper(0, epoch + 1);
        writer.commit(&[Arc::new(outputs(epoch))]).unwrap();
        writer.finish().unwrap();
    }
    for (table, epoch) in without {
        let (_, day) = [("epochs", "epoch_dt"), ("events", "ingest_dt"), ("dispositions", "ingest_dt")]
            .into_iter()
            .find(|(name, _)| name == table)
            .unwrap();
        let name = format!("{table}/{day}=1970-01-01/{table}-v2-00-{epoch:012}-{epoch:012}.parquet");
        std::fs::remove_file(Path::new(folder.path()).join(name)).unwrap();
    }
    let reader = LakeReader::open(&config).unwrap();
    (folder, Arc::new(reader))
}

/// Table `dispositions` beside what epochs below `upper` come to.
fn dispositions(without: &[(&str, Epoch)], upper: Epoch) -> Comparison {
    let (_folder, lake) = lake(without);
    let mut table = tables(&lake, Settled::of(&lake, SECOND).unwrap()).unwrap().swap_remove(2);
    (0..upper).for_each(|epoch| table.take(&outputs(epoch)).unwrap());
    table.finish(upper).unwrap()
}

#[test]
fn a_hole_is_a_difference_once_four_cuts_of_the_log_begin_after_it() {
    let whole = dispositions(&[], EPOCHS);
    assert_eq!((whole.records, whole.differences, whole.unwritten), (8, 0, 0));
    for epoch in 0..EPOCHS {
        let lacking = dispositions(&[("dispositions", epoch)], EPOCHS);
        let expected = if epoch < 4 { (7, 1, 0) } else { (7, 0, 1) };
        assert_eq!((lacking.records, lacking.differences, lacking.unwritten), expected, "epoch {epoch}");
        let first = lacking.first.map(|first| (first.epoch, first.fault));
        assert_eq!(first, (epoch < 4).then_some((Some(epoch), Fault::Missing)));
    }
    let all: Vec<(&str, Epoch)> = (0..EPOCHS).map(|epoch| ("dispositions", epoch)).collect();
    let none = dispositions(&all, EPOCHS);
    assert_eq!((none.records, none.differences, none.unwritten), (0, 4, 4));
}

#[test]
fn files_are_due_by_their_age() {
    let (_folder, lake) = lake(&[]);
    let lacks = |age: i64| {
        let settled = Settled::of(&lake, age).unwrap();
        (0..EPOCHS).find(|epoch| !settled.has(outputs(*epoch).now))
    };
    assert_eq!(lacks(SECOND), Some(4));
    assert_eq!(lacks(3 * SECOND), Some(2));
    assert_eq!(lacks(i64::MAX), Some(0));
}

#[test]
fn rows_beyond_what_was_recomputed_are_counted() {
    let newer = dispositions(&[], 6);
    assert_eq!((newer.records, newer.differences, newer.newer), (6, 0, 2));
}

/// How many epochs have all that they read, and what is wrong with the next one.
fn readable(without: &[(&str, Epoch)]) -> (Epoch, Option<String>) {
    let (_folder, lake) = lake(without);
    let mut inputs = Inputs::new(&lake, Settled::of(&lake, SECOND).unwrap(), "missions".into()).unwrap();
    let mut epochs = 0;
    loop {
        match inputs.next() {
            Ok(Some(input)) => {
                assert_eq!(input.epoch, epochs);
                epochs += 1;
            }
            Ok(None) => return (epochs, None),
            Err(message) => return (epochs, Some(message)),
        }
    }
}

#[test]
fn the_input_ends_before_the_first_epoch_whose_events_may_still_be_put() {
    assert_eq!(readable(&[]), (8, None));
    assert_eq!(readable(&[("events", 7)]), (7, None));
    assert_eq!(readable(&[("events", 5)]), (5, None));
    // Too long ago: the counters will tell.
    assert_eq!(readable(&[("events", 2)]), (8, None));
}

#[test]
fn a_log_ends_at_a_hole_or_is_none() {
    // Without its last cut, or one of the last four, the log has four cuts less to settle.
    assert_eq!(readable(&[("epochs", 7)]), (7, None));
    assert_eq!(readable(&[("epochs", 5)]), (5, None));
    let (epochs, error) = readable(&[("epochs", 1)]);
    assert_eq!((epochs, error), (1, Some("lake: table epochs has no row of epoch 1".to_owned())));
}
