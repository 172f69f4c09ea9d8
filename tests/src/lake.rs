//! The lake's Parquet, read back.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use futures::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;

use crate::oracle::number::show_day;
use crate::stack::Stack;

/// A lake in the bucket, or in a folder.
pub struct LakeReader {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    runtime: tokio::runtime::Runtime,
}

/// One row of a table.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    batch: &'a RecordBatch,
    row: usize,
}

impl LakeReader {
    /// The lake under `prefix`.
    pub fn new(stack: &Stack, prefix: &str) -> Self {
        let builder = AmazonS3Builder::from_env().with_endpoint(&stack.s3_endpoint).with_bucket_name(&stack.bucket);
        Self::of(Arc::new(builder.with_allow_http(true).build().unwrap()), prefix)
    }

    /// The lake in a folder.
    pub fn in_folder(folder: &std::path::Path) -> Self {
        Self::of(Arc::new(LocalFileSystem::new_with_prefix(folder).unwrap()), "")
    }

    fn of(store: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LakeReader { store, prefix: prefix.to_owned(), runtime }
    }

    /// Gives every row of `table` to `each`, object by object; answers how many objects there are.
    pub fn read(&self, table: &str, mut each: impl FnMut(Row<'_>)) -> usize {
        let objects = self.objects(table);
        for object in &objects {
            let read = async { self.store.get(object).await?.bytes().await };
            let bytes = self.runtime.block_on(read).unwrap();
            for batch in ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap() {
                let batch = batch.unwrap();
                (0..batch.num_rows()).for_each(|row| each(Row { batch: &batch, row }));
            }
        }
        objects.len()
    }

    /// The objects of `table`, in the order of their cuts.
    pub fn objects(&self, table: &str) -> Vec<Path> {
        let prefix = Path::from(format!("{}/{table}", self.prefix));
        let objects = self.runtime.block_on(self.store.list(Some(&prefix)).try_collect::<Vec<_>>()).unwrap();
        let mut paths: Vec<Path> = objects.into_iter().map(|object| object.location).collect();
        paths.sort_by_key(|path| path.filename().map(str::to_owned));
        paths
    }

    /// The first and last epochs of the cuts of `table`, in their order.
    pub fn cuts(&self, table: &str) -> Vec<(u64, u64)> {
        let mut cuts: Vec<(u64, u64)> = self.objects(table).iter().map(epochs).collect();
        cuts.dedup();
        cuts
    }

    /// Calls `during` while an object is away.
    pub fn without(&self, path: &Path, during: impl FnOnce()) {
        let read = async { self.store.get(path).await?.bytes().await };
        let bytes = self.runtime.block_on(read).unwrap();
        self.runtime.block_on(self.store.delete(path)).unwrap();
        during();
        self.put(path, bytes);
    }

    /// Replaces the first object of `table` whose rows `alter` changes, under the same name and with the same footer.
    /// Returns the object as it was, for [`Self::put`].
    ///
    /// # Panics
    /// When it changes none.
    pub fn tamper(
        &self,
        table: &str,
        mut alter: impl FnMut(&RecordBatch) -> Option<RecordBatch>,
    ) -> (Path, PutPayload) {
        for object in &self.objects(table) {
            let read = async { self.store.get(object).await?.bytes().await };
            let bytes = self.runtime.block_on(read).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap().with_batch_size(1 << 20);
            let pairs = reader.metadata().file_metadata().key_value_metadata().cloned();
            let batches: Vec<RecordBatch> = reader.build().unwrap().collect::<Result<_, _>>().unwrap();
            let Some(altered) = batches.first().and_then(&mut alter) else { continue };
            let mut writer = ArrowWriter::try_new(Vec::new(), altered.schema(), None).unwrap();
            writer.write(&altered).unwrap();
            batches[1..].iter().for_each(|batch| writer.write(batch).unwrap());
            let ours = |pair: &KeyValue| pair.key.starts_with("questline.");
            pairs.unwrap().into_iter().filter(ours).for_each(|pair| writer.append_key_value_metadata(pair));
            self.put(object, writer.into_inner().unwrap());
            return (object.clone(), bytes.into());
        }
        panic!("no object of {table} was altered");
    }

    /// Puts an object, in the place of the one that is there.
    pub fn put(&self, path: &Path, bytes: impl Into<PutPayload>) {
        self.runtime.block_on(self.store.put(path, bytes.into())).unwrap();
    }
}

/// The first and last epoch of an object, by its name.
pub fn epochs(object: &Path) -> (u64, u64) {
    let mut parts = object.filename().and_then(|name| name.strip_suffix(".parquet")).unwrap().rsplit('-');
    let mut epoch = || parts.next().and_then(|digits| digits.parse().ok()).unwrap();
    let last = epoch();
    (epoch(), last)
}

impl<'a> Row<'a> {
    fn column(self, name: &str) -> Option<&'a dyn Array> {
        let column = self.batch.column_by_name(name).unwrap_or_else(|| panic!("there is no column {name}"));
        (!column.is_null(self.row)).then(|| column.as_ref())
    }

    /// A text; NULL is `None`.
    pub fn text(self, name: &str) -> Option<&'a str> {
        self.column(name).map(|column| column.as_string::<i32>().value(self.row))
    }

    /// A whole number.
    pub fn int(self, name: &str) -> i64 {
        self.column(name).expect(name).as_primitive::<Int64Type>().value(self.row)
    }

    /// An amount, in 10^-8.
    pub fn units(self, name: &str) -> Option<i128> {
        self.column(name).map(|column| column.as_primitive::<Decimal128Type>().value(self.row))
    }

    /// A yes or no.
    pub fn flag(self, name: &str) -> bool {
        self.column(name).expect(name).as_boolean().value(self.row)
    }

    /// An instant in µs, from the column that every warehouse reads alike.
    pub fn instant(self, name: &str) -> Option<i64> {
        let column = self.column(&format!("{name}_us"));
        assert_eq!(column.is_none(), self.column(name).is_none(), "{name}");
        column.map(|column| column.as_primitive::<Int64Type>().value(self.row))
    }

    /// A date such as `2026-06-01`.
    pub fn day(self, name: &str) -> String {
        let days = self.column(name).expect(name).as_primitive::<Date32Type>().value(self.row);
        show_day(days.into())
    }

    /// A list of texts.
    pub fn texts(self, name: &str) -> Vec<String> {
        let list = self.column(name).expect(name).as_list::<i32>().value(self.row);
        list.as_string::<i32>().iter().map(|text| text.expect("no NULL in a list").to_owned()).collect()
    }
}
