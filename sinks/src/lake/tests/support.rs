//! Stores, events and readers for the lake's tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch};
use datasets::schema::EventNames;
use datasets::{
    Coordinates, Epoch, EventBatch, EventName, EventRow, Money, SourceId, TextField, Timestamp, TopicId, Topics,
};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaData;

use crate::lake::encode::Footer;
use crate::lake::row_hash::row_hash;
use crate::lake::{CutLimits, LakeConfig, Place};

/// An object read back.
pub(super) struct Read {
    pub(super) name: String,
    pub(super) rows: RecordBatch,
    pub(super) footer: Footer,
    pub(super) metadata: Arc<ParquetMetaData>,
}

pub(super) fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

pub(super) fn place(store: &Arc<dyn ObjectStore>) -> Place {
    Place::new(store.clone(), "lake/root")
}

pub(super) fn config(limits: CutLimits) -> LakeConfig {
    LakeConfig { limits, ..LakeConfig::new("memory") }
}

/// Cuts by age alone, in minutes of the recorded clock.
pub(super) fn aged(minutes: u64) -> CutLimits {
    CutLimits { max_file_age: std::time::Duration::from_secs(minutes * 60), ..CutLimits::default() }
}

pub(super) fn names() -> Arc<EventNames> {
    Arc::new(EventNames { topics: Topics::new(["events"]), sources: vec!["pam".into()], chargebacks: Vec::new() })
}

pub(super) fn wait<F: Future>(future: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(future)
}

/// Every object of a store by name, checked against its own footer.
pub(super) fn read(store: &Arc<dyn ObjectStore>) -> Vec<Read> {
    let objects = wait(async {
        let mut objects = BTreeMap::new();
        let mut list = store.list(None);
        while let Some(object) = list.try_next().await.unwrap() {
            let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
            objects.insert(object.location.to_string(), bytes);
        }
        objects
    });
    let read = |(name, bytes)| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().with_batch_size(1 << 20);
        let metadata = reader.metadata().clone();
        let footer = Footer::parse(metadata.file_metadata().key_value_metadata().unwrap()).unwrap();
        let mut batches: Vec<RecordBatch> = reader.build().unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(batches.len(), 1, "a test's file fits a batch and is not empty");
        let rows = batches.remove(0);
        assert_eq!(footer.rows, u64::try_from(rows.num_rows()).unwrap(), "{name}");
        assert_eq!(footer.row_hash, row_hash(&rows), "{name}");
        Read { name, rows, footer, metadata }
    };
    objects.into_iter().map(read).collect()
}

/// Objects of one table.
pub(super) fn table(store: &Arc<dyn ObjectStore>, name: &str) -> Vec<Read> {
    let mut objects = read(store);
    objects.retain(|read| read.name.contains(&format!("/{name}/")) || read.name.starts_with(&format!("{name}/")));
    objects
}

pub(super) fn ints(rows: &RecordBatch, column: &str) -> Vec<i64> {
    rows.column_by_name(column).unwrap().as_primitive::<Int64Type>().values().to_vec()
}

pub(super) fn texts(rows: &RecordBatch, column: &str) -> Vec<Option<String>> {
    rows.column_by_name(column).unwrap().as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

/// A column's place of NULLs.
pub(super) fn nulls(rows: &RecordBatch, column: &str) -> Vec<bool> {
    let column = rows.column_by_name(column).unwrap();
    (0..column.len()).map(|row| column.is_null(row)).collect()
}

/// Half an hour before midnight, and ten minutes an epoch.
pub(super) fn clock(epoch: Epoch) -> Timestamp {
    Timestamp::from_millis(1_780_356_600_000 + i64::try_from(epoch).unwrap() * 600_000)
}

/// The events that `worker` reads in `epoch` into its own lane: none to three, with offsets that say both.
pub(super) fn history(worker: usize, epoch: Epoch) -> Arc<EventBatch> {
    let worker_id = i64::try_from(worker).unwrap();
    let mut batch = EventBatch::new(worker, u16::try_from(worker).unwrap());
    for offset in 0..(i64::try_from(epoch).unwrap() + worker_id) % 4 {
        event(&mut batch, worker_id * 1_000_000 + i64::try_from(epoch).unwrap() * 10 + offset, clock(epoch));
    }
    Arc::new(batch)
}

/// What [`history`] gives for all of these, as sorted offsets.
pub(super) fn offsets(workers: usize, epochs: std::ops::Range<Epoch>) -> Vec<i64> {
    let batches = epochs.flat_map(|epoch| (0..workers).map(move |worker| history(worker, epoch)));
    let mut offsets: Vec<i64> =
        batches.flat_map(|batch| batch.iter().map(|event| event.at.offset).collect::<Vec<_>>()).collect();
    offsets.sort_unstable();
    offsets
}

pub(super) fn event(batch: &mut EventBatch, offset: i64, ingest_time: Timestamp) {
    let at = Coordinates { topic: TopicId(0), partition: 3, offset, index: 1 };
    let mut row = EventRow::new(at, SourceId(0), ingest_time.plus_micros(-1_500_001), ingest_time);
    row.name = EventName::BetPlaced;
    row.amount = Some("9007199254740993.00000001".parse().unwrap());
    row.bonus_amount = Money::ZERO;
    let transaction = format!("t{offset}");
    let texts = [
        (TextField::EventName, "bet_placed"),
        (TextField::PlayerId, "p1"),
        (TextField::TransactionId, transaction.as_str()),
        (TextField::Currency, "EUR"),
        (TextField::Status, ""),
    ];
    batch.push(&row, texts, "{\"bet_amount\":25.50,\"ö\":1}");
}
