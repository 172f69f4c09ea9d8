//! Checkpoints on a disk: what is found again, what is passed over, what is removed.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datasets::rows::{Binding, EpochOutputs};
use datasets::state::{Kept, PARTS, Packed, Part, Section, Unpacker};
use datasets::{Epoch, Timestamp};
use tempfile::TempDir;

use super::*;
use crate::SinkError;
use crate::cut::Table;
use crate::kafka::{Chain, ProgressRecord, RecoveredLog};
use rounds::Rounds;

mod cold;

fn config(folder: &Path) -> CheckpointConfig {
    CheckpointConfig {
        url: format!("file://{}", folder.display()),
        s3: S3Options::default(),
        interval: Duration::from_secs(1),
        start_timeout: Duration::from_secs(1),
        pipeline: "test".to_owned(),
        run_id: "run".to_owned(),
        state_format: 2,
        rules: "rules".to_owned(),
        cold: None,
    }
}

fn chain(epoch: Epoch) -> Chain {
    Chain(u128::from(epoch) + 77)
}

fn outputs(epoch: Epoch) -> Arc<EpochOutputs> {
    let now = Timestamp::from_micros(i64::try_from(epoch).unwrap() * 1_000_000);
    let upper = i64::try_from(epoch).unwrap() * 10;
    let bindings = vec![Binding { topic: "events".into(), partition: 0, upper }];
    let wall = now.plus_micros(5_000_000);
    Arc::new(EpochOutputs { epoch, now, wall, newest: now, bindings, ..EpochOutputs::default() })
}

/// A log of epochs below `upper`.
fn log(upper: Epoch) -> RecoveredLog {
    let record = |epoch| ProgressRecord {
        format: 2,
        run_id: "run".to_owned(),
        epoch,
        now: outputs(epoch).now,
        wall: outputs(epoch).wall,
        bindings: outputs(epoch).bindings.clone(),
        cuts: Vec::new(),
        definitions: Vec::new(),
        chain: chain(epoch),
    };
    let records: Vec<ProgressRecord> = (0..upper).map(record).collect();
    let now = records.last().map(|last| last.now);
    RecoveredLog { first: 0, records, upper, now, chain: chain(upper.saturating_sub(1)), cuts: Vec::new() }
}

/// The sections of round `round`: parts of odd number an epoch later than the others. Each has two pieces, and needs the second
/// one of the round before.
fn sections(round: u64) -> impl Iterator<Item = Section> {
    (0..PARTS).map(move |part| {
        let epoch = round * 10 + u64::try_from(part % 2).unwrap();
        let pieces = ["first", "second"].map(|which| format!("{which} of part {part}, round {round}").into_bytes());
        Section {
            part: Part::of(part).unwrap(),
            epoch,
            needs: usize::from(round > 0),
            pieces: pieces.to_vec(),
            cold: None,
        }
    })
}

/// Epochs `round * 10 ..= round * 10 + 9` happen, with a round of sections in them.
fn run_round(handle: &CheckpointHandle, round: u64) {
    let epochs = round * 10..(round + 1) * 10;
    sections(round).for_each(|section| handle.section(section));
    epochs.clone().for_each(|epoch| handle.published(outputs(epoch)));
    let before = handle.rounds();
    handle.committed(epochs.map(|epoch| (epoch, chain(epoch))).collect(), 0);
    let deadline = Instant::now() + Duration::from_secs(30);
    while handle.rounds() == before {
        assert!(Instant::now() < deadline, "round {round} is not put");
        std::thread::yield_now();
    }
}

/// Rounds `rounds` on what is in `folder`, as a run that begins with `log`.
fn run(folder: &Path, log: &RecoveredLog, rounds: std::ops::Range<u64>) -> Option<Manifest> {
    let config = config(folder);
    let found = find(&config).unwrap();
    let recovered = recover(&config, &found, log).unwrap();
    let (checkpoints, handle) = Checkpoints::start(&config, found, recovered.as_ref(), None).unwrap();
    rounds.for_each(|round| run_round(&handle, round));
    drop(handle);
    checkpoints.join();
    recovered.map(|recovered| recovered.manifest)
}

fn texts(kept: &Kept) -> Vec<String> {
    let mut unpacker = Unpacker::new().unwrap();
    let text = |piece| String::from_utf8(unpacker.unpack(piece).unwrap().to_vec()).unwrap();
    kept.pieces.iter().map(text).collect()
}

fn recovered(folder: &Path, log: &RecoveredLog) -> Option<Recovered> {
    let config = config(folder);
    recover(&config, &find(&config).unwrap(), log).unwrap()
}

fn names(folder: &Path, of: &str) -> Vec<String> {
    let files = std::fs::read_dir(folder.join(of)).unwrap();
    let mut names: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_start_finds_what_was_written_last() {
    let folder = TempDir::new().unwrap();
    assert_eq!(run(folder.path(), &log(0), 0..4), None);
    let Recovered { manifest, parts, outputs: kept, .. } = recovered(folder.path(), &log(40)).unwrap();
    assert_eq!((manifest.first, manifest.reached), (31, 31));
    assert_eq!((manifest.before.now, manifest.before.wall()), (outputs(30).now, outputs(30).wall));
    assert_eq!(manifest.before.uppers, outputs(30).bindings);
    assert!(recovered(folder.path(), &log(40)).unwrap().unpack().is_ok());
    for (part, kept) in &parts {
        let text = |which, round: u64| format!("{which} of part {}, round {round}", part.index());
        assert_eq!(texts(kept), [text("second", 2), text("first", 3), text("second", 3)]);
        assert_eq!(kept.epoch, 30 + u64::try_from(part.index() % 2).unwrap());
    }
    assert!(kept.is_empty(), "without a lake nobody asks for outputs");

    // Another run goes on from there.
    let manifest = run(folder.path(), &log(40), 4..6).unwrap();
    assert_eq!(manifest.seq, 3);
    let Recovered { manifest, parts, .. } = recovered(folder.path(), &log(60)).unwrap();
    assert_eq!((manifest.seq, manifest.first), (5, 51));
    assert!(parts.iter().all(|(_, kept)| texts(kept).len() == 3 && texts(kept)[2].ends_with("round 5")));
}

#[test]
fn what_is_no_compressed_piece_is_told() {
    let folder = TempDir::new().unwrap();
    run(folder.path(), &log(0), 0..1);
    let mut recovered = recovered(folder.path(), &log(10)).unwrap();
    recovered.parts[9].1.pieces[1] = Packed::of(b"something else".to_vec(), 4);
    let why = recovered.unpack().unwrap_err().to_string();
    assert!(why.starts_with(&format!("a piece of {:?} cannot", Part::of(9).unwrap())), "{why}");
}

#[test]
fn objects_that_nobody_needs_are_removed() {
    let folder = TempDir::new().unwrap();
    run(folder.path(), &log(0), 0..9);
    assert_eq!(names(folder.path(), "manifest").len(), 2);
    // The last manifest needs rounds 7 and 8, the one before 6 and 7.
    let segments = names(folder.path(), "segment");
    assert_eq!(segments.first().unwrap(), "0000000000000006-run");
    assert_eq!(segments.len(), 3);
}

#[test]
fn what_is_damaged_or_missing_is_passed_over() {
    let folder = TempDir::new().unwrap();
    run(folder.path(), &log(0), 0..4);
    let last = folder.path().join("segment").join(names(folder.path(), "segment").pop().unwrap());
    let mut bytes = std::fs::read(&last).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&last, bytes).unwrap();
    assert_eq!(recovered(folder.path(), &log(40)).unwrap().manifest.seq, 2);
    std::fs::remove_file(&last).unwrap();
    assert_eq!(recovered(folder.path(), &log(40)).unwrap().manifest.seq, 2);
    std::fs::remove_dir_all(folder.path().join("segment")).unwrap();
    assert!(recovered(folder.path(), &log(40)).is_none());
}

#[test]
fn what_belongs_to_another_log_is_passed_over() {
    let folder = TempDir::new().unwrap();
    run(folder.path(), &log(0), 0..4);
    // An instance that was fenced may have put what was never committed.
    assert_eq!(recovered(folder.path(), &log(31)).unwrap().manifest.seq, 2);
    let mut other = log(40);
    other.records[31].chain = Chain(1);
    assert_eq!(recovered(folder.path(), &other).unwrap().manifest.seq, 2);
    let ours = config(folder.path());
    let config = CheckpointConfig { rules: "other".to_owned(), ..ours.clone() };
    assert!(recover(&config, &find(&config).unwrap(), &log(40)).unwrap().is_none());
    let mut trimmed = log(40);
    let error = |log: &RecoveredLog, config: &CheckpointConfig| {
        recover(config, &find(config).unwrap(), log).err().map(|error| error.to_string())
    };
    // The last checkpoint is followed from epoch 32 on, and known by the chain of epoch 31.
    trimmed.records.drain(..31);
    trimmed.first = 31;
    assert_eq!(error(&trimmed, &ours), None, "the last checkpoint needs nothing older");
    let refused = error(&trimmed, &config).unwrap();
    assert!(refused.contains("begins with epoch 31") && refused.contains("other rules"), "{refused}");
    trimmed.records.drain(..1);
    trimmed.first = 32;
    let refused = error(&trimmed, &ours).unwrap();
    assert!(refused.contains("needs epoch 31, which the log of epochs does not have any more"), "{refused}");
    let config = CheckpointConfig { pipeline: "other".to_owned(), ..ours };
    let error = recover(&config, &find(&config).unwrap(), &log(40)).err().unwrap();
    assert!(matches!(&error, SinkError::Conflict(why) if why.contains("belong to the pipeline \"test\"")), "{error}");
}

#[test]
fn a_newer_format_is_refused_and_an_older_one_is_read() {
    let folder = TempDir::new().unwrap();
    run(folder.path(), &log(0), 0..2);
    let read_by = |state_format| {
        let config = CheckpointConfig { state_format, ..config(folder.path()) };
        let found = find(&config).unwrap();
        found.manifest(&config, &found.manifests()[0]).map(drop).map_err(|why| why.to_string())
    };
    assert_eq!(read_by(1).unwrap_err(), "it has format 1.2, and this version reads 2.1");
    assert_eq!((read_by(2), read_by(3)), (Ok(()), Ok(())));

    let path = folder.path().join("manifest").join(names(folder.path(), "manifest").last().unwrap());
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for (format, read) in [(1, Ok(())), (2, Ok(())), (3, Err("it has format 3.2, and this version reads 2.2"))] {
        json["format"] = format.into();
        std::fs::write(&path, json.to_string()).unwrap();
        assert_eq!(read_by(2), read.map_err(str::to_owned), "{format}");
    }
}

#[test]
fn nothing_is_sealed_before_it_is_published_and_committed() {
    let folder = TempDir::new().unwrap();
    let mut rounds = Rounds::new(&config(folder.path()), None, 0);
    let mut all: Vec<Section> = sections(0).collect();
    let last = all.pop().unwrap();
    all.into_iter().for_each(|section| rounds.section(section));
    rounds.published(outputs(0));
    rounds.committed(&[(0, chain(0)), (1, chain(1))]);
    assert!(rounds.seal(Vec::new()).unwrap().is_none(), "a part is missing");
    rounds.section(last);
    assert!(rounds.seal(Vec::new()).unwrap().is_none(), "epoch 1 is not published");
    rounds.published(outputs(1));
    assert!(rounds.seal(Vec::new()).unwrap().is_some());

    let mut rounds = Rounds::new(&config(folder.path()), None, 0);
    sections(0).for_each(|section| rounds.section(section));
    rounds.published(outputs(0));
    rounds.published(outputs(1));
    rounds.committed(&[(0, chain(0))]);
    assert!(rounds.seal(Vec::new()).unwrap().is_none(), "epoch 1 is not committed");
}

#[test]
fn outputs_are_kept_as_long_as_the_lake_may_ask_for_them() {
    let folder = TempDir::new().unwrap();
    let mut rounds = Rounds::new(&config(folder.path()), None, 0);
    (0..40).for_each(|epoch| assert!(rounds.published(outputs(epoch))));
    let lane = |rows_from| LaneState { table: Table::Events, lane: 0, covered: 3, rows_from };
    let of_ten = rounds.forget_outputs(&[lane(10), lane(20)]);
    assert!(of_ten > 0);
    assert_eq!(rounds.forget_outputs(&[lane(10)]), 0);
    assert_eq!(rounds.forget_outputs(&[]), 3 * of_ten, "without a lake nobody asks");
}

/// A store that can never take anything.
#[test]
fn without_a_store_the_thread_ends_and_nobody_waits() {
    let folder = TempDir::new().unwrap();
    let config = config(folder.path());
    let (checkpoints, handle) = Checkpoints::start(&config, find(&config).unwrap(), None, None).unwrap();
    // A name that is taken by other bytes.
    let segments = folder.path().join("segment");
    std::fs::create_dir_all(&segments).unwrap();
    std::fs::write(segments.join("0000000000000000-run"), "other").unwrap();
    sections(0).for_each(|section| handle.section(section));
    (0..10).for_each(|epoch| handle.published(outputs(epoch)));
    handle.committed((0..10).map(|epoch| (epoch, chain(epoch))).collect(), 0);
    checkpoints.join();
    assert!(handle.has_ended());
    (10..20).for_each(|epoch| handle.published(outputs(epoch)));
    assert_eq!((handle.rounds(), handle.bytes(), handle.bytes_waiting()), (0, 0, 0));
}

#[test]
fn a_start_begins_with_the_oldest_row_that_the_lake_holds() {
    let folder = TempDir::new().unwrap();
    let mut rounds = Rounds::new(&config(folder.path()), None, 0);
    let mut last = None;
    for round in 0..4 {
        sections(round).for_each(|section| rounds.section(section));
        for epoch in round * 10..(round + 1) * 10 {
            assert!(rounds.published(outputs(epoch)), "it waits for a segment");
        }
        rounds.committed(&(round * 10..(round + 1) * 10).map(|epoch| (epoch, chain(epoch))).collect::<Vec<_>>());
        let lane = |lane, covered, rows_from| LaneState { table: Table::Events, lane, covered, rows_from };
        let sealed = rounds.seal(vec![lane(0, 3, 8 + round), lane(1, 4, 99), lane(2, 50, 99)]).unwrap().unwrap();
        last = Some(sealed.manifest);
    }
    let last = last.unwrap();
    // Epochs from 32 on may be bound otherwise by another run, unless a cut that is recorded covers them.
    assert_eq!(last.lanes.iter().map(|lane| lane.rows_from).collect::<Vec<_>>(), [11, 32, 50]);
    assert_eq!((last.first, last.reached), (11, 31));
    assert_eq!(last.before.uppers, outputs(10).bindings);
    // What epochs from 11 on put out is in the segments of rounds 1 to 3, and parts need those from round 2 on.
    assert_eq!(last.segments.iter().map(|segment| segment.seq).collect::<Vec<_>>(), [1, 2, 3]);
}
