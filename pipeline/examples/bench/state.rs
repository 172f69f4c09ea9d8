//! What it costs to write the state and to read it again: one bet of each player, then some more of a few, without
//! storage. One thread writes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use datasets::cold::ColdRun;
use datasets::generator::GeneratorConfig;
use datasets::hash::{KEY_GROUPS, KeyGroup};
use datasets::state::{Packed, Packer, Part, Section};
use datasets::{Epoch, EventBatch, Timestamp, TopicId};
use operators::activity::DailyActivity;
use operators::decode::Decoder;
use operators::definitions::DefinitionRecord;
use operators::players::{Clock, Players};
use operators::snapshot::{ColdRules, Restored, Terms, Visited};
use pipeline::bench::{Bets, resident_bytes};
use pipeline::config::Config;
use pipeline::dataflow::Plan;
use pipeline::plan::{Purpose, prepare};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::{Outcome, begin};

/// See the module.
#[derive(Args)]
pub struct State {
    #[arg(long, default_value_t = 1_000_000)]
    players: u64,
    /// One in so many players changes between two checkpoints.
    #[arg(long, default_value_t = 100)]
    one_in: u64,
    /// Checkpoints of changes before the state is read again, each of other players.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// So many days pass behind that without an event, and what goes cold then is in a file.
    #[arg(long, default_value_t = 0)]
    idle_days: i64,
    #[arg(long, default_value_t = 20)]
    missions: u32,
    /// How much of a group is written behind one epoch. A pipeline's way is the default.
    #[arg(long, default_value_t = 1 << 18)]
    bytes_at_once: usize,
    /// Threads that read it again.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

/// Records of an epoch.
const EPOCH: u64 = 8192;
const START_MICROS: i64 = 1_780_400_000_000_000;
const DAY_MICROS: i64 = 86_400_000_000;
/// Checkpoints until all that was written before something went cold is superfluous: a time round without changes.
const IDLE_ROUNDS: usize = 66;

/// What both a run and a start begin with.
pub struct Prepared {
    pub plan: Plan,
    pub definitions: Vec<DefinitionRecord>,
    first: TopicId,
}

impl Prepared {
    /// Of a pipeline without a broker, with so many missions.
    pub fn new(missions: u32) -> Result<Self, Box<dyn std::error::Error>> {
        let config = Config::parse("[pipeline]\nname = \"state\"\n", "state.toml", Path::new(""), [])
            .map_err(|errors| errors.to_string())?;
        let prepared = prepare(&config, 1, Purpose::Run)?;
        let generator = GeneratorConfig { missions, ..GeneratorConfig::default() };
        let definitions = pipeline::bench::definitions(&generator, prepared.missions);
        Ok(Prepared { plan: prepared.plan, definitions, first: prepared.first })
    }
}

/// The stateful operators, one behind the other.
pub struct Core {
    players: Players,
    activity: DailyActivity,
    now: Timestamp,
}

impl Core {
    /// No state yet.
    pub fn new(plan: &Plan) -> Self {
        Core {
            players: Players::new(plan.players.clone(), plan.decode.topics.clone(), true),
            activity: DailyActivity::new(plan.activity.clone(), plan.reporting),
            now: Timestamp::from_micros(START_MICROS),
        }
    }

    fn close(&mut self, batches: &[Arc<EventBatch>], definitions: &mut Vec<DefinitionRecord>) {
        let now = self.now;
        let clock = Clock { now, wall: now, newest: now, is_last: true };
        let changes = self.players.close(clock, definitions, batches);
        definitions.clear();
        let postings: Vec<_> = changes.postings.into_iter().map(|(posting, diff)| (posting, (), diff)).collect();
        self.activity.update(&postings);
        self.activity.report(&clock);
    }

    /// Reads `state`, as a start does.
    pub fn restore(&mut self, state: &Restored) {
        self.players.restore(state);
        self.activity.restore(state);
        self.players.wake(u64::MAX);
        self.activity.wake(u64::MAX);
    }

    /// Writes every group, as one round does.
    fn write(&mut self, epoch: Epoch, terms: Terms) -> Round {
        let section = |visited| match visited {
            Visited::Section(section) => Some(section),
            Visited::Asleep | Visited::Unfinished => None,
        };
        let mut round = Round::default();
        for group in (0..KEY_GROUPS).map(KeyGroup) {
            loop {
                let begun = Instant::now();
                let players = self.players.write(group, epoch, terms);
                let is_whole = matches!(players, Visited::Section(_));
                let activity = is_whole.then(|| self.activity.write(group, epoch, terms.cold, self.now));
                round.pauses.push(begun.elapsed());
                round.sections.extend([Some(players), activity].into_iter().flatten().filter_map(section));
                if is_whole {
                    break;
                }
            }
        }
        round
    }
}

#[derive(Default)]
struct Round {
    sections: Vec<Section>,
    /// How long the worker was away each time: once for a group, or more often.
    pauses: Vec<Duration>,
}

impl Round {
    fn figures(&self) -> Result<serde_json::Value, Box<dyn std::error::Error>> {
        let bytes: usize = self.sections.iter().map(|section| section.bytes()).sum();
        let mut packer = Packer::new()?;
        let pieces = self.sections.iter().flat_map(|section| &section.pieces);
        let packed = pieces.map(|piece| packer.pack(piece).map(|packed| packed.stored().len()));
        let mut pauses = self.pauses.clone();
        pauses.sort_unstable();
        let longest_of = |percent: usize| pauses[(pauses.len() - 1) * percent / 100].as_secs_f64() * 1e3;
        Ok(json!({
            "bytes": bytes,
            "bytes_stored": packed.sum::<Result<usize, _>>()?,
            "seconds": pauses.iter().sum::<Duration>().as_secs_f64(),
            "pauses": pauses.len(),
            "group_ms": { "p50": longest_of(50), "p99": longest_of(99), "max": longest_of(100) },
        }))
    }
}

/// What a start needs of what was written, as it lies in storage, by part.
#[derive(Default)]
struct Parts(BTreeMap<usize, Stored>);

/// Pieces with their lengths before compression, and runs.
#[derive(Default)]
struct Stored {
    pieces: Vec<(usize, Packed)>,
    runs: Vec<ColdRun>,
}

impl Parts {
    fn take(&mut self, round: Round) -> std::io::Result<()> {
        let mut packer = Packer::new()?;
        for section in round.sections {
            let Stored { pieces, runs } = self.0.entry(section.part.index()).or_default();
            runs.extend(section.cold);
            pieces.drain(..pieces.len() - section.needs);
            for piece in section.pieces {
                pieces.push((piece.len(), packer.pack(&piece)?));
            }
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.0.values().flat_map(|part| &part.pieces).map(|(len, _)| len).sum()
    }

    fn bytes_stored(&self) -> usize {
        self.0.values().flat_map(|part| &part.pieces).map(|(_, packed)| packed.stored().len()).sum()
    }

    fn bytes_cold(&self) -> usize {
        self.0.values().flat_map(|part| &part.runs).map(|run| run.bytes.len()).sum()
    }

    /// Leaves them for a start.
    fn store(&self, file: &File) -> std::io::Result<()> {
        let mut file = BufWriter::new(file);
        for (part, Stored { pieces, runs }) in &self.0 {
            let part = Part::of(*part).expect("it has the number of a part");
            pieces.iter().try_for_each(|(len, piece)| begin::write(&mut file, part, *len, piece))?;
            runs.iter().try_for_each(|run| begin::write_run(&mut file, part, run))?;
        }
        file.flush()
    }
}

impl State {
    /// Writes all state, then what changed, and reads both again.
    pub fn run(&self) -> Outcome {
        let prepared = Prepared::new(self.missions)?;
        let mut decoder = Decoder::new(prepared.plan.decode.clone());
        let mut core = Core::new(&prepared.plan);
        let mut to_come = prepared.definitions.clone();
        let (mut epoch, mut offset): (Epoch, u64) = (0, 0);
        let mut play = |core: &mut Core, players: &mut dyn Iterator<Item = u64>| {
            loop {
                let players: Vec<u64> = players.take(usize::try_from(EPOCH).unwrap_or(1)).collect();
                if players.is_empty() {
                    return epoch;
                }
                let count = u64::try_from(players.len()).unwrap_or(0);
                decoder.decode(&Bets {
                    topic: prepared.first,
                    players,
                    first: offset,
                    at: Timestamp::from_micros(START_MICROS),
                });
                offset += count;
                core.close(&decoder.take().0, &mut to_come);
                epoch += 1;
            }
        };
        let resident_bytes = || resident_bytes().ok_or("Linux alone tells what memory a process has");
        let before = resident_bytes()?;
        let written = play(&mut core, &mut (0..self.players)).saturating_sub(1);
        let resident = resident_bytes()?.saturating_sub(before);
        let mut parts = Parts::default();
        let hot = Terms { cold: None, bytes_at_once: self.bytes_at_once };
        let first = core.write(written, hot);
        let all = first.figures()?;
        parts.take(first)?;
        let (step, mut changes, mut needed) = (usize::try_from(self.one_in)?, Value::Null, Vec::new());
        for round in 0..self.rounds {
            let begin = u64::try_from(round)? % self.one_in;
            let written = play(&mut core, &mut (begin..self.players).step_by(step)).saturating_sub(1);
            let some = core.write(written, hot);
            if round == 0 {
                changes = some.figures()?;
            }
            parts.take(some)?;
            needed.push(parts.bytes());
        }

        let mut cooling = Value::Null;
        if self.idle_days > 0 {
            core.now = core.now.plus_micros(self.idle_days * DAY_MICROS);
            core.close(&[], &mut Vec::new());
            let terms = Terms { cold: Some(ColdRules::default()), ..hot };
            let first = core.write(written, terms);
            cooling = first.figures()?;
            parts.take(first)?;
            for _ in 1..IDLE_ROUNDS {
                parts.take(core.write(written, terms))?;
            }
            needed.push(parts.bytes());
        }
        drop(core);
        let stored = NamedTempFile::new()?;
        parts.store(stored.as_file())?;
        let (bytes_stored, bytes_cold) = (parts.bytes_stored(), parts.bytes_cold());
        drop(parts);
        let start = begin::elsewhere(stored.path(), self.missions, self.threads)?;
        Ok(json!({
            "players": self.players,
            "missions": self.missions,
            "threads": self.threads,
            "resident_bytes": resident,
            "all": all,
            "changes": changes,
            "rounds": self.rounds,
            "needed_bytes": needed,
            "read_bytes": needed.last(),
            "read_bytes_stored": bytes_stored,
            "idle_days": self.idle_days,
            "cooling": cooling,
            "cold_bytes": bytes_cold,
            "restore_seconds": start["seconds"],
            "restored_resident_bytes": start["resident_bytes"],
        }))
    }
}
