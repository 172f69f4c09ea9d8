//! JSON lines for replays: one file per output, in order of emission (INTERFACE "replay").
//!
//! The files are the outputs of one replay and are written from its beginning: a new writer
//! overwrites those of an earlier one, and its `resume_upper` is 0. Equal epochs give equal bytes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datasets::Epoch;
use datasets::rows::{Counters, EpochOutputs};
use serde::Serialize;

use crate::{EpochWriter, SinkError};

/// Written at the end of a replay: its absence tells that a replay did not get there.
const SUMMARY: &str = "summary.json";

/// Writes the outputs of a replay to a folder.
pub struct FilesWriter {
    folder: PathBuf,
    completions: Lines,
    audit: Lines,
    points: Lines,
    tiers: Lines,
    activity: Lines,
    gaming_activity: Lines,
    transactions: Lines,
    customers: Lines,
    reviews: Lines,
    dead_letters: Lines,
    counters: Counters,
    next: Epoch,
}

impl FilesWriter {
    /// Creates `folder` and its files. Files of an earlier replay in it are overwritten, others are left alone.
    ///
    /// # Errors
    /// [`SinkError::Rejected`] if the folder or a file cannot be created.
    pub fn create(folder: impl Into<PathBuf>) -> Result<Self, SinkError> {
        let folder = folder.into();
        std::fs::create_dir_all(&folder).map_err(|error| not_created(&folder, error))?;
        let summary = folder.join(SUMMARY);
        if summary.exists() {
            std::fs::remove_file(&summary).map_err(|error| not_created(&summary, error))?;
        }
        Ok(FilesWriter {
            completions: Lines::create(folder.join("completions.jsonl"))?,
            audit: Lines::create(folder.join("audit.jsonl"))?,
            points: Lines::create(folder.join("points.jsonl"))?,
            tiers: Lines::create(folder.join("tiers.jsonl"))?,
            activity: Lines::create(folder.join("activity.jsonl"))?,
            gaming_activity: Lines::create(folder.join("gaming_activity.jsonl"))?,
            transactions: Lines::create(folder.join("transactions.jsonl"))?,
            customers: Lines::create(folder.join("customers.jsonl"))?,
            reviews: Lines::create(folder.join("reviews.jsonl"))?,
            dead_letters: Lines::create(folder.join("dead_letters.jsonl"))?,
            counters: Counters::default(),
            next: 0,
            folder,
        })
    }

    /// Writes what is buffered, and `summary.json`. Returns the summed counters.
    ///
    /// # Errors
    /// [`SinkError::Indeterminate`] if a file cannot be written.
    pub fn finish(mut self) -> Result<Counters, SinkError> {
        self.completions.flush()?;
        self.audit.flush()?;
        self.points.flush()?;
        self.tiers.flush()?;
        self.activity.flush()?;
        self.gaming_activity.flush()?;
        self.transactions.flush()?;
        self.customers.flush()?;
        self.reviews.flush()?;
        self.dead_letters.flush()?;
        let path = self.folder.join(SUMMARY);
        let mut summary =
            serde_json::to_vec_pretty(&self.counters).map_err(|error| not_written(&path, error.into()))?;
        summary.push(b'\n');
        std::fs::write(&path, summary).map_err(|error| not_written(&path, error))?;
        Ok(self.counters)
    }
}

impl EpochWriter for FilesWriter {
    fn resume_upper(&mut self) -> Result<Epoch, SinkError> {
        Ok(self.next)
    }

    fn commit(&mut self, epochs: &[Arc<EpochOutputs>]) -> Result<(), SinkError> {
        for outputs in epochs {
            if outputs.epoch < self.next {
                continue;
            }
            self.completions.write(&outputs.completions)?;
            self.audit.write(&outputs.audit)?;
            self.points.write(&outputs.points)?;
            self.tiers.write(&outputs.tiers)?;
            self.activity.write(&outputs.activity)?;
            self.gaming_activity.write(&outputs.entities.gaming_activity)?;
            self.transactions.write(&outputs.entities.transactions)?;
            self.customers.write(&outputs.entities.customers)?;
            self.reviews.write(&outputs.entities.reviews)?;
            self.dead_letters.write(&outputs.dead_letters)?;
            self.counters.add(&outputs.counters);
            self.next = outputs.epoch + 1;
        }
        Ok(())
    }
}

/// A file of one JSON object a line.
struct Lines {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Lines {
    fn create(path: PathBuf) -> Result<Self, SinkError> {
        let file = File::create(&path).map_err(|error| not_created(&path, error))?;
        Ok(Lines { path, file: BufWriter::with_capacity(1 << 16, file) })
    }

    fn write<R: Serialize>(&mut self, rows: &[R]) -> Result<(), SinkError> {
        for row in rows {
            let written = serde_json::to_writer(&mut self.file, row).map_err(std::io::Error::from);
            let ended = written.and_then(|()| self.file.write_all(b"\n"));
            ended.map_err(|error| not_written(&self.path, error))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.file.flush().map_err(|error| not_written(&self.path, error))
    }
}

fn not_created(path: &Path, error: std::io::Error) -> SinkError {
    SinkError::Rejected(format!("creating {}", path.display()), error.into())
}

fn not_written(path: &Path, error: std::io::Error) -> SinkError {
    SinkError::Indeterminate(format!("writing {}", path.display()), error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{self, Harness, Seen};

    struct InFolder(tempfile::TempDir);

    impl Harness for InFolder {
        type Writer = FilesWriter;
        /// A replay starts over, so what an earlier writer wrote is gone.
        const KEEPS: bool = false;

        fn open(&mut self) -> FilesWriter {
            FilesWriter::create(self.0.path().join("out")).unwrap()
        }

        fn finish(&mut self, writer: FilesWriter) {
            writer.finish().unwrap();
        }

        fn seen(&mut self) -> Seen {
            let rows = |name: &str| std::fs::read_to_string(self.0.path().join("out").join(name)).unwrap();
            let mut seen = Seen::default();
            for line in rows("completions.jsonl").lines() {
                seen.completions.push(contract::completion(&serde_json::from_str(line).unwrap()));
            }
            for line in rows("audit.jsonl").lines() {
                seen.audit.push(contract::audit(&serde_json::from_str(line).unwrap()));
            }
            for line in rows("points.jsonl").lines() {
                seen.points.push(contract::points(&serde_json::from_str(line).unwrap()));
            }
            for line in rows("tiers.jsonl").lines() {
                seen.tiers.push(contract::tier(&serde_json::from_str(line).unwrap()));
            }
            for line in rows("activity.jsonl").lines() {
                seen.activity.push(contract::activity(&serde_json::from_str(line).unwrap()));
            }
            for line in rows("transactions.jsonl").lines() {
                seen.transactions.push(contract::transaction(&serde_json::from_str(line).unwrap()));
            }
            for line in rows("customers.jsonl").lines() {
                seen.customers.push(contract::customer(&serde_json::from_str(line).unwrap()));
            }
            for line in rows("reviews.jsonl").lines() {
                seen.reviews.push(contract::review(&serde_json::from_str(line).unwrap()));
            }
            for line in rows("dead_letters.jsonl").lines() {
                seen.dead_letters.push(contract::dead_letter(&serde_json::from_str(line).unwrap()));
            }
            seen
        }
    }

    #[test]
    fn keeps_the_contract() {
        contract::check(|| InFolder(tempfile::tempdir().unwrap()));
    }

    #[test]
    fn a_replay_overwrites_the_last_one() {
        let folder = tempfile::tempdir().unwrap();
        let write = |epochs: &[Arc<EpochOutputs>]| {
            let mut writer = FilesWriter::create(folder.path()).unwrap();
            writer.commit(epochs).unwrap();
            writer.finish().unwrap();
            let names = ["completions.jsonl", "audit.jsonl", "dead_letters.jsonl", "tiers.jsonl", SUMMARY];
            names.map(|name| std::fs::read_to_string(folder.path().join(name)).unwrap())
        };
        let first = write(&contract::script(0..3));
        write(&contract::script(0..9));
        assert_eq!(write(&contract::script(0..3)), first);
        assert_eq!(first[3].lines().count(), 3);
        assert!(first[4].starts_with("{\n  \"read\": "), "{}", first[4]);
        // Until a replay has ended, no summary of an earlier one passes for its own.
        drop(FilesWriter::create(folder.path()).unwrap());
        assert!(!folder.path().join(SUMMARY).exists());
    }

    #[test]
    fn a_folder_that_cannot_be_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(FilesWriter::create(file.path()), Err(SinkError::Rejected(_, _))));
    }
}
