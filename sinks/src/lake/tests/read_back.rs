//! What a reader finds of what a writer wrote.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use datasets::rows::EpochOutputs;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;

use super::support::*;
use crate::EpochWriter;
use crate::cut::Table;
use crate::lake::{LakeReader, LakeWriter, ReadError};

/// A lake of so many epochs, cut twice.
fn lake(epochs: u64) -> Arc<dyn ObjectStore> {
    let store = memory();
    for last in [epochs / 2, epochs] {
        let mut writer = LakeWriter::open_at(place(&store), &config(aged(60)), 1, 1, names()).unwrap();
        for epoch in writer.resume_upper().unwrap()..last {
            writer.handle().history(0, epoch, history(0, epoch));
            writer.handle().history_upper(0, epoch + 1);
            writer.commit(&[Arc::new(EpochOutputs { epoch, now: clock(epoch), ..EpochOutputs::default() })]).unwrap();
        }
        writer.finish().unwrap();
    }
    store
}

fn reader(store: &Arc<dyn ObjectStore>) -> LakeReader {
    LakeReader::open_at(place(store), Duration::ZERO).unwrap()
}

#[test]
fn every_row_is_read_in_the_order_of_cuts() {
    let store = lake(8);
    let reader = reader(&store);
    let objects = reader.objects(Table::Events);
    assert!(objects.len() > 1 && objects.is_sorted_by_key(|object| object.cut.first), "{objects:?}");
    let read = objects.iter().flat_map(|object| reader.rows(object).unwrap().checked());
    let read: Vec<RecordBatch> = read.collect::<Result<_, _>>().unwrap();
    let found: Vec<i64> = read.iter().flat_map(|batch| ints(batch, "offset")).collect();
    assert_eq!(found, offsets(1, 0..8));
    assert!(reader.objects(Table::Activity).is_empty());
}

#[test]
fn an_object_under_the_name_of_another_cut_is_found_out() {
    let store = lake(4);
    let before = reader(&store);
    let [first, second, ..] = before.objects(Table::Epochs) else { panic!("{:?}", before.objects(Table::Epochs)) };
    let path = |name: &str| object_store::path::Path::from(format!("lake/root/{name}"));
    wait(async {
        let bytes = store.get(&path(&second.name)).await.unwrap().bytes().await.unwrap();
        store.put(&path(&first.name), bytes.into()).await.unwrap();
    });
    let Err(error) = before.rows(first) else { panic!("it has another cut's footer") };
    assert!(matches!(error, ReadError::Altered(_)), "{error}");
    assert!(before.rows(second).unwrap().checked().all(|batch| batch.is_ok()));
}

#[test]
fn rows_that_their_footer_was_not_written_for_are_found_out() {
    let store = lake(4);
    let reader = reader(&store);
    let object = &reader.objects(Table::Events)[0];
    let rows: Vec<RecordBatch> = reader.rows(object).unwrap().collect::<Result<_, _>>().unwrap();
    let pairs = read(&store).into_iter().find(|read| read.name.ends_with(&object.name)).unwrap();
    let pairs = pairs.metadata.file_metadata().key_value_metadata().unwrap().clone();
    let mut writer = ArrowWriter::try_new(Vec::new(), rows[0].schema(), None).unwrap();
    // The first row is there twice.
    writer.write(&rows[0].slice(0, 1)).unwrap();
    writer.write(&rows[0]).unwrap();
    let ours = pairs.into_iter().filter(|pair| pair.key.starts_with("questline."));
    ours.for_each(|pair| writer.append_key_value_metadata(pair));
    let bytes = writer.into_inner().unwrap();
    let path = object_store::path::Path::from(format!("lake/root/{}", object.name));
    wait(store.put(&path, bytes.into())).unwrap();
    let read: Result<Vec<RecordBatch>, ReadError> = reader.rows(object).unwrap().checked().collect();
    assert!(matches!(read, Err(ReadError::Altered(_))), "{read:?}");
    assert!(reader.rows(object).unwrap().all(|batch| batch.is_ok()), "unless nobody asks");
}

#[test]
fn a_lake_that_is_not_there_is_said_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("typo");
    let config = crate::lake::LakeConfig::new(format!("file://{}", missing.display()));
    let Err(error) = LakeReader::open(&config) else { panic!("there is no such folder") };
    assert!(matches!(error, ReadError::Unreadable(..)), "{error}");
    assert!(!missing.exists());
}
