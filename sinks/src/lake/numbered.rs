//! Tables that reports append to, beside those that are cut from epochs.
//!
//! A report is one object, put as a whole under a number that no other report has: whoever reads the table sees all of
//! a report or nothing of it, and of two who write at the same time one is told so.

use std::time::Duration;

use arrow_array::RecordBatch;
use datasets::schema::SCHEMA_VERSION;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::LakeConfig;
use super::encode::parquet;
use super::handle::runtime;
use super::reader::{ReadError, not_open, unreadable};
use super::store::Place;
use crate::SinkError;

/// A table of numbered reports.
pub struct NumberedTable {
    place: Place,
    table: &'static str,
    partition: &'static str,
    /// Names under the root, in the order of their numbers.
    objects: Vec<(u64, String)>,
    patience: Duration,
    runtime: tokio::runtime::Runtime,
}

impl NumberedTable {
    /// Lists the reports of `table`, whose folders are `{partition}={number}`.
    ///
    /// # Errors
    /// A store that is not usable, or not reachable within `config.start_timeout`; a report of a newer version, whose number would be
    /// given once more.
    pub fn open(config: &LakeConfig, table: &'static str, partition: &'static str) -> Result<Self, ReadError> {
        let place = Place::open(config).map_err(not_open)?;
        let (runtime, patience) = (runtime().map_err(not_open)?, config.start_timeout);
        let mut opened = NumberedTable { place, table, partition, objects: Vec::new(), patience, runtime };
        let names = opened.runtime.block_on(opened.place.names(&[table], patience)).map_err(not_open)?;
        for name in names {
            let Some((version, number)) = opened.version_and_number(&name) else { continue };
            if version > SCHEMA_VERSION {
                let said = format!("{name} has schema {version}, and this version reads up to {SCHEMA_VERSION}");
                return Err(ReadError::Altered(said));
            }
            opened.objects.push((number, name));
        }
        opened.objects.sort();
        Ok(opened)
    }

    /// There is no report.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Gives the rows of all reports to `each`, in the order of their numbers.
    ///
    /// # Errors
    /// What cannot be fetched, or is no Parquet.
    pub fn read(&self, mut each: impl FnMut(&RecordBatch)) -> Result<(), ReadError> {
        for (_, name) in &self.objects {
            let bytes = self.runtime.block_on(self.place.get(name, self.patience));
            let bytes = bytes.map_err(|error| unreadable(name, error.into()))?;
            let failed = |error: parquet::errors::ParquetError| unreadable(name, error.into());
            for batch in
                ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(|builder| builder.build()).map_err(failed)?
            {
                each(&batch.map_err(|error| unreadable(name, error.into()))?);
            }
        }
        Ok(())
    }

    /// Puts the next report. Answers its name.
    ///
    /// # Errors
    /// [`SinkError::Conflict`] if somebody else has put one since this was opened.
    pub fn append(&mut self, batch: &RecordBatch) -> Result<String, SinkError> {
        let number = self.objects.last().map_or(0, |(last, _)| last + 1);
        let name = self.name(SCHEMA_VERSION, number);
        let bytes = parquet(batch)?.into();
        self.runtime.block_on(self.place.put_new(&name, bytes))?;
        self.objects.push((number, name.clone()));
        Ok(name)
    }

    fn name(&self, version: u16, number: u64) -> String {
        let NumberedTable { table, partition, .. } = self;
        format!("{table}/{partition}={number:012}/{table}-v{version}-{number:012}.parquet")
    }

    /// The schema and the number of a report of ours, whichever version put it.
    fn version_and_number(&self, name: &str) -> Option<(u16, u64)> {
        let (rest, number) = name.strip_suffix(".parquet")?.rsplit_once('-')?;
        let (version, number) = (rest.rsplit_once("-v")?.1.parse().ok()?, number.parse().ok()?);
        (self.name(version, number) == name).then_some((version, number))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_array::{ArrayRef, Int64Array};

    use super::*;

    fn batch(values: &[i64]) -> RecordBatch {
        let values: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
        RecordBatch::try_from_iter([("n", values)]).unwrap()
    }

    fn open(folder: &tempfile::TempDir) -> NumberedTable {
        let config = LakeConfig::new(format!("file://{}", folder.path().display()));
        NumberedTable::open(&config, "sums", "report").unwrap()
    }

    #[test]
    fn reports_are_numbered_and_read_in_order_and_of_two_at_once_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (mut first, mut other) = (open(&folder), open(&folder));
        assert!(first.is_empty());
        assert_eq!(first.append(&batch(&[1, 2])).unwrap(), "sums/report=000000000000/sums-v2-000000000000.parquet");
        assert!(matches!(other.append(&batch(&[3])), Err(SinkError::Conflict(_))));
        first.append(&batch(&[4])).unwrap();
        let foreign = folder.path().join("sums/report=000000000000/other.parquet");
        std::fs::write(foreign, "what somebody else put there").unwrap();
        let again = open(&folder);
        let mut found = Vec::new();
        again.read(|batch| found.extend(batch.column(0).as_primitive::<Int64Type>().values().to_vec())).unwrap();
        assert_eq!((found, again.is_empty()), (vec![1, 2, 4], false));
    }

    #[test]
    fn reports_of_older_versions_count_and_those_of_newer_ones_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = open(&folder);
        table.append(&batch(&[1])).unwrap();
        let path =
            |version: &str| folder.path().join(format!("sums/report=000000000000/sums-{version}-000000000000.parquet"));
        std::fs::rename(path("v2"), path("v1")).unwrap();
        let mut table = open(&folder);
        assert_eq!(table.append(&batch(&[2])).unwrap(), "sums/report=000000000001/sums-v2-000000000001.parquet");
        let mut found = Vec::new();
        open(&folder)
            .read(|batch| found.extend(batch.column(0).as_primitive::<Int64Type>().values().to_vec()))
            .unwrap();
        assert_eq!(found, [1, 2]);
        std::fs::rename(path("v1"), path("v3")).unwrap();
        let config = LakeConfig::new(format!("file://{}", folder.path().display()));
        let refused = NumberedTable::open(&config, "sums", "report").err().unwrap();
        assert!(refused.to_string().contains("has schema 3, and this version reads up to 2"), "{refused}");
    }
}
