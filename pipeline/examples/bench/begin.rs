//! What a start does with the state that [`State`](crate::state::State) has left in a file, in a process of its own: its memory is that of
//! nothing else.

use std::fs::File;
use std::io::{BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use datasets::cold::{ColdBytes, ColdRun, ReadAt};
use datasets::hash::KeyGroup;
use datasets::rates::RateBook;
use datasets::state::{Keeper, Kept, Packed, Part};
use operators::snapshot::Restored;
use pipeline::bench::resident_bytes;
use serde_json::{Value, json};

use crate::Outcome;
use crate::cold::Disk;
use crate::state::{Core, Prepared};

/// See the module.
#[derive(Args)]
pub struct Begin {
    /// What was stored.
    stored: PathBuf,
    /// Missions that were defined.
    #[arg(long)]
    missions: u32,
    /// Threads that read it.
    #[arg(long)]
    threads: usize,
}

impl Begin {
    /// Reads the file, then the state. Only the second is measured: the first is storage.
    pub fn run(&self) -> Outcome {
        let prepared = Prepared::new(self.missions)?;
        let resident_bytes = || resident_bytes().ok_or("Linux alone tells what memory a process has");
        let before = resident_bytes()?;
        let state = Restored {
            rates: RateBook::default(),
            definitions: prepared.definitions.iter().map(|record| (0, record.clone())).collect(),
            wall: None,
            oldest_to_come: None,
            parts: read(&self.stored)?.into(),
            helpers: self.threads.saturating_sub(1),
        };
        let begun = Instant::now();
        let mut core = Core::new(&prepared.plan);
        core.restore(&state);
        let seconds = begun.elapsed().as_secs_f64();
        Ok(json!({ "seconds": seconds, "resident_bytes": resident_bytes()?.saturating_sub(before) }))
    }
}

/// The figures of another process that begins with what is stored at `path`.
pub fn elsewhere(path: &Path, missions: u32, threads: usize) -> Outcome {
    let (missions, threads) = (missions.to_string(), threads.to_string());
    let arguments = ["begin", "--missions", &missions, "--threads", &threads];
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.args(arguments).arg(path).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("a start ended with {}", output.status).into());
    }
    let figures: Value = serde_json::from_slice(&output.stdout)?;
    Ok(figures)
}

/// What a piece and a run begin with.
const PIECE: usize = 0;
const RUN: usize = 1;

/// Writes a piece behind its part's number and two lengths, before and after compression.
pub fn write(to: &mut impl Write, part: Part, len: usize, piece: &Packed) -> std::io::Result<()> {
    write_bytes(to, [PIECE, part.index(), len], piece.stored())
}

/// Writes a run behind its part's number and the lengths of its head and of all.
pub fn write_run(to: &mut impl Write, part: Part, run: &ColdRun) -> std::io::Result<()> {
    write_bytes(to, [RUN, part.index(), run.head], &run.bytes.read(0..run.bytes.len())?)
}

fn write_bytes(to: &mut impl Write, [kind, part, number]: [usize; 3], bytes: &[u8]) -> std::io::Result<()> {
    for number in [kind, part, number, bytes.len()] {
        to.write_all(&u64::try_from(number).expect("u64 holds a usize").to_le_bytes())?;
    }
    to.write_all(bytes)
}

fn read(path: &Path) -> std::io::Result<Vec<(Keeper, KeyGroup, Kept)>> {
    let mut file = BufReader::new(File::open(path)?);
    let runs: Arc<dyn ReadAt> = Arc::new(Disk(File::open(path)?));
    let mut parts: Vec<(Keeper, KeyGroup, Kept)> = Vec::new();
    while let Some(kind) = number(&mut file)? {
        let mut next = || number(&mut file)?.ok_or(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
        let (part, len, stored) = (next()?, next()?, next()?);
        let Part { keeper, group } = Part::of(part).ok_or(std::io::ErrorKind::InvalidData)?;
        if parts.last().is_none_or(|(last, of, _)| (*last, *of) != (keeper, group)) {
            parts.push((keeper, group, Kept { epoch: 0, pieces: Vec::new(), cold: Vec::new() }));
        }
        let (.., kept) = parts.last_mut().expect("there is one now");
        if kind == PIECE {
            let mut bytes = vec![0; stored];
            file.read_exact(&mut bytes)?;
            kept.pieces.push(Packed::of(bytes, len));
        } else {
            let bytes = Arc::new(ColdBytes::of_file(runs.clone(), file.stream_position()?, stored));
            kept.cold.push(ColdRun { bytes, head: len, until: None });
            file.seek_relative(i64::try_from(stored).map_err(std::io::Error::other)?)?;
        }
    }
    Ok(parts)
}

/// The next number, unless the file ends here.
fn number(file: &mut impl Read) -> std::io::Result<Option<usize>> {
    let mut bytes = [0; 8];
    match file.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(usize::try_from(u64::from_le_bytes(bytes)).map_err(std::io::Error::other)?)),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}
