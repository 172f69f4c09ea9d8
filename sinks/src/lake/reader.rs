//! A lake read back: its objects by table and cut, and their rows.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use arrow_array::RecordBatch;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::LakeConfig;
use super::encode::Footer;
use super::handle::runtime;
use super::name::cut_of;
use super::row_hash::row_hash;
use super::store::Place;
use crate::SinkError;
use crate::cut::{Cut, Table};
use crate::epoch_writer::BoxError;

/// Why a lake cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store, or what it holds, cannot be read.
    #[error("{0}")]
    Unreadable(String, #[source] BoxError),
    /// An object is not what its own footer says.
    #[error("lake: {0}")]
    Altered(String),
}

/// An object of a lake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LakeObject {
    /// The cut that its name says it belongs to.
    pub cut: Cut,
    /// Its name under the lake's root.
    pub name: String,
}

impl LakeObject {
    /// The day of its rows, such as `2026-06-01`.
    pub fn day(&self) -> &str {
        let folder = self.name.split('/').nth(1);
        folder.and_then(|folder| folder.split_once('=')).map_or("", |(_, day)| day)
    }
}

/// What was in a lake when it was opened. Objects are immutable, so rows may be read at leisure.
pub struct LakeReader {
    place: Place,
    objects: BTreeMap<Table, Vec<LakeObject>>,
    patience: Duration,
    runtime: tokio::runtime::Runtime,
}

impl LakeReader {
    /// Lists the lake that `config` names.
    ///
    /// # Errors
    /// A store that is not usable, or not reachable within `config.start_timeout`.
    pub fn open(config: &LakeConfig) -> Result<Self, ReadError> {
        if let Some(path) = config.url.strip_prefix("file://").filter(|path| !Path::new(path).is_dir()) {
            return Err(ReadError::Unreadable(format!("lake: reading {path}"), "there is no such folder".into()));
        }
        Self::open_at(Place::open(config).map_err(not_open)?, config.start_timeout)
    }

    /// The same at a place that is open.
    ///
    /// # Errors
    /// As [`LakeReader::open`].
    pub fn open_at(place: Place, patience: Duration) -> Result<Self, ReadError> {
        let runtime = runtime().map_err(not_open)?;
        let mut objects: BTreeMap<Table, Vec<LakeObject>> = BTreeMap::new();
        for name in runtime.block_on(place.list(patience)).map_err(not_open)? {
            if let Some(cut) = cut_of(&name) {
                objects.entry(cut.table).or_default().push(LakeObject { cut, name });
            }
        }
        objects.values_mut().for_each(|objects| objects.sort_unstable());
        Ok(LakeReader { place, objects, patience, runtime })
    }

    /// The objects of `table`, those of a lane in the order of their cuts.
    pub fn objects(&self, table: Table) -> &[LakeObject] {
        self.objects.get(&table).map_or(&[], Vec::as_slice)
    }

    /// The rows of an object, which is fetched as a whole.
    ///
    /// # Errors
    /// It cannot be fetched, or is no Parquet of ours.
    pub fn rows(&self, object: &LakeObject) -> Result<Rows, ReadError> {
        let bytes = self.runtime.block_on(self.place.get(&object.name, self.patience));
        let bytes = bytes.map_err(|error| unreadable(&object.name, error.into()))?;
        let unreadable = |error: parquet::errors::ParquetError| unreadable(&object.name, error.into());
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(unreadable)?;
        let pairs = builder.metadata().file_metadata().key_value_metadata();
        let footer = pairs.and_then(|pairs| Footer::parse(pairs)).filter(|footer| footer.cut == object.cut);
        let footer = footer.ok_or_else(|| {
            ReadError::Altered(format!("the footer of {} is not that of the cut it is named after", object.name))
        })?;
        let batches = builder.build().map_err(unreadable)?;
        Ok(Rows { name: object.name.clone(), batches, left: None, footer })
    }
}

/// Batches of an object's rows, in the order in which they were written.
pub struct Rows {
    name: String,
    batches: ParquetRecordBatchReader,
    footer: Footer,
    /// Rows and hash that the footer promises beyond what was read; `None` if nobody asked.
    left: Option<(u64, u64)>,
}

impl Rows {
    /// The same, with an error at the end if the rows are not those that the footer was written for.
    #[must_use]
    pub fn checked(self) -> Self {
        Rows { left: Some((self.footer.rows, self.footer.row_hash)), ..self }
    }

    fn count(&mut self, batch: &RecordBatch) {
        if let Some((rows, hash)) = &mut self.left {
            *rows = rows.wrapping_sub(u64::try_from(batch.num_rows()).expect("a batch's rows fit in 64 bits"));
            *hash = hash.wrapping_sub(row_hash(batch));
        }
    }
}

impl Iterator for Rows {
    type Item = Result<RecordBatch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.batches.next() {
            Some(Ok(batch)) => {
                self.count(&batch);
                Some(Ok(batch))
            }
            Some(Err(error)) => Some(Err(unreadable(&self.name, error.into()))),
            None => {
                self.left.take().filter(|left| *left != (0, 0))?;
                let said = format!("the rows of {} are not those that its footer was written for", self.name);
                Some(Err(ReadError::Altered(said)))
            }
        }
    }
}

pub(super) fn unreadable(name: &str, cause: BoxError) -> ReadError {
    ReadError::Unreadable(format!("lake: reading {name}"), cause)
}

/// Nothing is written here, which is all that the kinds of [`SinkError`] tell apart.
pub(super) fn not_open(error: SinkError) -> ReadError {
    match error {
        SinkError::Rejected(what, cause) | SinkError::Indeterminate(what, cause) | SinkError::Fenced(what, cause) => {
            ReadError::Unreadable(what, cause)
        }
        SinkError::Conflict(what) => ReadError::Altered(what),
    }
}
