//! One object under construction: rows in, Parquet bytes in memory out.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use datasets::schema::{Builder, Layout};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use serde::{Deserialize, Serialize};

use super::row_hash::row_hash;
use crate::SinkError;
use crate::cut::{Cut, Table};

/// Rows collected before they go to Parquet, whose byte limits act between batches only.
const BATCH_ROWS: usize = 4096;
/// A low guess of a row's Parquet bytes, for rows not encoded yet.
const MIN_ROW_BYTES: usize = 16;
/// Row groups of a size that warehouses scan in parallel.
const ROW_GROUP_BYTES: usize = 64 << 20;
/// Columns whose values hardly repeat: a dictionary would be built and thrown away.
const UNIQUE: [&str; 18] = [
    "ingest_time",
    "ingest_time_us",
    "transaction_id",
    "event_id",
    "offset",
    "event_time",
    "event_time_us",
    "reference_id",
    "payload",
    "completion_id",
    "trigger_offset",
    "trigger_transaction_id",
    "source_transaction_id",
    "raw",
    "raw_base64",
    "detail",
    "definition",
    "bindings",
];
/// Columns whose least and greatest values skip no file.
const UNORDERED: [&str; 8] =
    ["transaction_id", "event_id", "reference_id", "payload", "completion_id", "raw", "raw_base64", "definition"];

/// Version of the footer's own metadata.
const FORMAT: &str = "1";

/// What an object says about itself: enough to know whether it is the one that was to be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Footer {
    pub(crate) cut: Cut,
    pub(crate) rows: u64,
    pub(crate) row_hash: u64,
}

impl Footer {
    fn key_values(&self) -> [KeyValue; 4] {
        let cut = serde_json::to_string(&self.cut).expect("a cut has string keys only");
        let pair = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
        [
            pair("questline.format", FORMAT.to_owned()),
            pair("questline.cut", cut),
            pair("questline.rows", self.rows.to_string()),
            pair("questline.row_hash", format!("{:016x}", self.row_hash)),
        ]
    }

    /// Reads what [`Footer::key_values`] wrote; `None` if it is not all there.
    pub(crate) fn parse(pairs: &[KeyValue]) -> Option<Self> {
        let value = |key: &str| pairs.iter().find(|pair| pair.key == key)?.value.as_deref();
        if value("questline.format")? != FORMAT {
            return None;
        }
        Some(Footer {
            cut: serde_json::from_str(value("questline.cut")?).ok()?,
            rows: value("questline.rows")?.parse().ok()?,
            row_hash: u64::from_str_radix(value("questline.row_hash")?, 16).ok()?,
        })
    }
}

/// A finished object, ready to be put.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    /// Name under the lake's root.
    pub(crate) name: String,
    pub(crate) bytes: Bytes,
    pub(crate) footer: Footer,
}

/// An object that still takes rows.
pub(super) struct OpenFile<S> {
    builder: Builder<S>,
    writer: ArrowWriter<Vec<u8>>,
    rows: u64,
    row_hash: u64,
}

impl<S> OpenFile<S> {
    pub(super) fn new(layout: &Arc<Layout<S>>) -> Result<Self, SinkError> {
        let writer = ArrowWriter::try_new(Vec::new(), layout.schema().clone(), Some(properties())).map_err(encoding)?;
        Ok(OpenFile { builder: Builder::new(layout.clone()), writer, rows: 0, row_hash: 0 })
    }

    /// Adds the rows of `source` in `range`.
    pub(super) fn append(&mut self, source: &S, range: Range<usize>) -> Result<(), SinkError> {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + BATCH_ROWS - self.builder.len());
            self.builder.append(source, start..end);
            if self.builder.len() == BATCH_ROWS {
                self.encode()?;
            }
            start = end;
        }
        Ok(())
    }

    fn encode(&mut self) -> Result<(), SinkError> {
        let batch = self.builder.finish();
        self.rows += u64::try_from(batch.num_rows()).expect("a batch's rows fit in 64 bits");
        self.row_hash = self.row_hash.wrapping_add(row_hash(&batch));
        self.writer.write(&batch).map_err(encoding)
    }

    /// Bytes that the object would have if it were finished now, about.
    pub(super) fn size(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size() + self.builder.len() * MIN_ROW_BYTES
    }

    /// Ends the object.
    pub(super) fn finish(mut self, name: String, cut: &Cut) -> Result<Object, SinkError> {
        self.encode()?;
        let footer = Footer { cut: cut.clone(), rows: self.rows, row_hash: self.row_hash };
        for pair in footer.key_values() {
            self.writer.append_key_value_metadata(pair);
        }
        let bytes = self.writer.into_inner().map_err(encoding)?;
        Ok(Object { name, bytes: bytes.into(), footer })
    }
}

/// The rows of `batch` as one Parquet file, which is not part of a lake.
///
/// # Errors
/// What the encoder refuses.
pub fn parquet(batch: &RecordBatch) -> Result<Vec<u8>, SinkError> {
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties())).map_err(encoding)?;
    writer.write(batch).map_err(encoding)?;
    writer.into_inner().map_err(encoding)
}

/// Cheap to write: compaction sorts, filters and compresses better later.
fn properties() -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).expect("1 is a level of zstd")))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_coerce_types(true);
    for column in UNIQUE {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(column), false);
    }
    // Nobody looks for a range of these; comparing long texts for one costs as much as hashing them.
    for column in UNORDERED {
        properties = properties.set_column_statistics_enabled(ColumnPath::from(column), EnabledStatistics::None);
    }
    properties.build()
}

fn encoding(error: ParquetError) -> SinkError {
    SinkError::Rejected("lake: encoding Parquet".to_owned(), error.into())
}

/// The layouts' names are those of [`Table`]: one of them names folders, the other objects.
pub(super) fn layout_of<S>(table: Table, layout: Layout<S>) -> Arc<Layout<S>> {
    assert_eq!(table.name(), layout.table, "a table and its layout have one name");
    Arc::new(layout)
}
