//! The lake with an epoch log: nothing is put before its cut is recorded, and whatever dies when,
//! each event is there once.

use std::sync::{Arc, Mutex};

use crossbeam_channel::{Receiver, unbounded};
use datasets::Epoch;
use datasets::rows::EpochOutputs;
use object_store::{ObjectStore, ObjectStoreExt};
use proptest::prelude::*;

use super::support::*;
use crate::SinkError;
use crate::cut::{Cut, Table};
use crate::lake::{CutLimits, CutLog, Lake, LakeHandle, LakeStart};

const WORKERS: usize = 2;

/// The epoch log, as a committer writes it.
#[derive(Clone, Debug, Default)]
struct Log {
    cuts: Vec<Cut>,
    committed: Epoch,
}

/// A lake and the cuts that it decides.
fn start(store: &Arc<dyn ObjectStore>, limits: CutLimits, log: &Log) -> (LakeHandle, Receiver<Cut>) {
    let (decided, cuts) = unbounded();
    let start = LakeStart {
        workers: WORKERS,
        lanes: 2,
        names: names(),
        resume: log.cuts.clone(),
        durable_below: 0,
        durable: Vec::new(),
        replay_upper: log.committed,
        log: CutLog::Recorded(Box::new(move |cut| decided.send(cut).unwrap_or_default())),
    };
    (Lake::start_at(place(store), &config(limits), start).unwrap(), cuts)
}

fn deliver(lake: &LakeHandle, epoch: Epoch) {
    for worker in 0..WORKERS {
        let batch = history(worker, epoch);
        if !batch.is_empty() {
            lake.history(worker, epoch, batch);
        }
        lake.history_upper(worker, epoch + 1);
    }
    lake.sealed(Arc::new(EpochOutputs { epoch, now: clock(epoch), ..EpochOutputs::default() }));
}

/// Ends a run in good order: what is decided is recorded.
fn finish(lake: &LakeHandle, cuts: &Receiver<Cut>, log: &Mutex<Log>) {
    std::thread::scope(|scope| {
        let finished = scope.spawn(|| lake.finish());
        while !finished.is_finished() {
            for cut in cuts.try_iter() {
                log.lock().unwrap().cuts.push(cut.clone());
                lake.cut_recorded(&[cut]);
            }
            std::thread::yield_now();
        }
        finished.join().unwrap().unwrap();
    });
}

fn stored_offsets(store: &Arc<dyn ObjectStore>) -> Vec<i64> {
    let mut offsets: Vec<i64> = table(store, "events").iter().flat_map(|read| ints(&read.rows, "offset")).collect();
    offsets.sort_unstable();
    offsets
}

#[test]
fn nothing_is_put_before_its_cut_is_recorded() {
    let store = memory();
    let log = Mutex::new(Log::default());
    let (lake, cuts) = start(&store, aged(20), &log.lock().unwrap());
    deliver(&lake, 0);
    deliver(&lake, 1);
    // 20 minutes after the first row.
    deliver(&lake, 2);
    let [events, epochs] = [cuts.recv().unwrap(), cuts.recv().unwrap()];
    // Lane 0 has its first event in epoch 1, so it is younger.
    assert_eq!((events.table, events.lane, events.first, events.last), (Table::Events, 1, 0, 2));
    assert_eq!((epochs.table, epochs.lane, epochs.first, epochs.last), (Table::Epochs, 0, 0, 2));
    assert!(read(&store).is_empty());
    let waiting = lake.bytes_in_flight();
    lake.cut_recorded(std::slice::from_ref(&events));
    while lake.bytes_in_flight() == waiting {
        std::thread::yield_now();
    }
    assert!(read(&store).iter().all(|read| read.footer.cut == events));
    assert_eq!(stored_offsets(&store).len(), 1 + 2 + 3);
    lake.cut_recorded(&[epochs]);
    deliver(&lake, 3);
    finish(&lake, &cuts, &log);
    assert_eq!(stored_offsets(&store), offsets(WORKERS, 0..4));
}

#[test]
fn the_oldest_open_row_tells_when_an_epoch_is_due() {
    let store = memory();
    let log = Mutex::new(Log::default());
    let (lake, cuts) = start(&store, aged(60), &log.lock().unwrap());
    assert_eq!(lake.oldest_open(), None);
    deliver(&lake, 3);
    while lake.oldest_open().is_none() {
        std::thread::yield_now();
    }
    assert_eq!(lake.oldest_open(), Some(clock(3)));
    finish(&lake, &cuts, &log);
    assert_eq!((lake.oldest_open(), lake.bytes_in_flight()), (None, 0));
    assert_eq!(stored_offsets(&store), offsets(WORKERS, 3..4));
}

#[test]
fn a_replay_writes_only_what_is_missing() {
    let store = memory();
    let log = Mutex::new(Log::default());
    let (lake, cuts) = start(&store, aged(1_000), &log.lock().unwrap());
    (0..9).for_each(|epoch| deliver(&lake, epoch));
    finish(&lake, &cuts, &log);
    let log = Log { committed: 9, ..log.into_inner().unwrap() };
    let before = read(&store);
    let events: Vec<_> = before.iter().filter(|read| read.name.contains("/events/")).collect();
    assert_eq!(events.len(), 4, "two lanes on two dates");

    wait(store.delete(&events[1].name.clone().into())).unwrap();
    let (lake, cuts) = start(&store, aged(0), &log);
    (0..9).for_each(|epoch| deliver(&lake, epoch));
    let again = lake.finish().unwrap();
    assert!(cuts.try_recv().is_err(), "a replay decides nothing");
    assert_eq!(again.tables[&Table::Events].objects, 1);
    assert_eq!(again.tables.len(), 1);
    let after = read(&store);
    let described =
        |reads: &[Read]| reads.iter().map(|read| (read.name.clone(), read.footer.clone())).collect::<Vec<_>>();
    assert_eq!(described(&before), described(&after));
}

#[test]
fn a_replay_that_ends_inside_a_cut_leaves_it_to_the_next() {
    let store = memory();
    let log = Mutex::new(Log::default());
    let (lake, cuts) = start(&store, aged(1_000), &log.lock().unwrap());
    (0..6).for_each(|epoch| deliver(&lake, epoch));
    finish(&lake, &cuts, &log);
    let log = Log { committed: 6, ..log.into_inner().unwrap() };
    let other = memory();
    let (lake, cuts) = start(&other, aged(0), &log);
    (0..3).for_each(|epoch| deliver(&lake, epoch));
    assert!(lake.finish().unwrap().tables.is_empty());
    assert!(cuts.try_recv().is_err());
    assert!(read(&other).is_empty());
}

#[test]
fn an_object_that_the_log_knows_nothing_of_stops_a_start() {
    let store = memory();
    let log = Mutex::new(Log::default());
    let (lake, cuts) = start(&store, aged(20), &log.lock().unwrap());
    (0..3).for_each(|epoch| deliver(&lake, epoch));
    finish(&lake, &cuts, &log);
    let resuming = |resume| {
        let log = CutLog::Recorded(Box::new(|_| ()));
        let start = LakeStart {
            workers: 1,
            lanes: 2,
            names: names(),
            resume,
            durable_below: 0,
            durable: Vec::new(),
            replay_upper: 3,
            log,
        };
        Lake::start_at(place(&store), &config(aged(20)), start).map(drop)
    };
    let recorded = log.lock().unwrap().cuts.clone();
    assert!(resuming(recorded.clone()).is_ok());
    for lost in [Vec::new(), recorded[1..].to_vec()] {
        let refused = resuming(lost);
        assert!(
            matches!(&refused, Err(SinkError::Conflict(said)) if said.contains("recorded no such cut")),
            "{refused:?}"
        );
    }
}

#[test]
fn a_cut_ahead_of_its_epochs_is_refused() {
    let cut = Cut { table: Table::Events, lane: 0, first: 0, last: 5, schema_version: 1 };
    let start = |lanes: u16, replay_upper| {
        let start = LakeStart {
            workers: 1,
            lanes,
            names: names(),
            resume: vec![cut.clone()],
            durable_below: 0,
            durable: Vec::new(),
            replay_upper,
            log: CutLog::Listing,
        };
        Lake::start_at(place(&memory()), &config(aged(1)), start).map(drop)
    };
    assert!(start(1, 6).is_ok());
    assert!(matches!(start(1, 5), Err(SinkError::Conflict(_))));
    assert!(matches!(start(0, 6), Err(SinkError::Conflict(_))));
}

/// One life of the process: how many epochs it closes, after which of them the committer commits,
/// and whether it dies before it can tell the lake.
type Life = (u64, Vec<bool>, bool);

fn lives() -> impl Strategy<Value = Vec<Life>> {
    let life = (0_u64..8, proptest::collection::vec(any::<bool>(), 8), any::<bool>());
    proptest::collection::vec(life, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn each_event_is_stored_once_whatever_dies_when(lives in lives(), minutes in 0_u64..60) {
        let store = memory();
        let mut log = Log::default();
        for (epochs, commits, dies_untold) in lives {
            let (lake, cuts) = start(&store, aged(minutes), &log);
            (0..log.committed).for_each(|epoch| deliver(&lake, epoch));
            for epoch in log.committed..log.committed + epochs {
                deliver(&lake, epoch);
                if commits[usize::try_from(epoch).unwrap() % commits.len()] {
                    // Cuts may be decided a little later; then another record names them.
                    let named: Vec<Cut> = cuts.try_iter().collect();
                    assert!(named.iter().all(|cut| cut.last <= epoch));
                    log.cuts.extend(named.iter().cloned());
                    log.committed = epoch + 1;
                    if dies_untold {
                        break;
                    }
                    lake.cut_recorded(&named);
                }
            }
        }
        let (lake, cuts) = start(&store, aged(minutes), &log);
        let last = log.committed + 3;
        (0..last).for_each(|epoch| deliver(&lake, epoch));
        finish(&lake, &cuts, &Mutex::new(log));
        prop_assert_eq!(stored_offsets(&store), offsets(WORKERS, 0..last));
        let epochs: Vec<i64> = table(&store, "epochs").iter().flat_map(|read| ints(&read.rows, "epoch")).collect();
        prop_assert_eq!(epochs.len(), usize::try_from(last).unwrap());
    }
}
