//! The stateful core on one thread, without a broker or files: what an event costs at each stage.

mod bets;

use std::path::Path;
use std::time::{Duration, Instant};

use datasets::generator::{Generated, Generator, GeneratorConfig, missions};
use datasets::mapping::Record;
use datasets::{Coordinates, Timestamp, TopicId};
use operators::activity::DailyActivity;
use operators::decode::{Chunk, Decoder};
use operators::definitions::DefinitionRecord;
use operators::players::{Clock, Players};
use serde_json::json;

pub use self::bets::Bets;
use crate::config::Config;
use crate::plan::{Purpose, prepare};

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Generated events.
    pub events: u64,
    /// Players who may turn up.
    pub players: u32,
    /// Missions that the events meet.
    pub missions: u32,
    /// So many more, of mixed conditions that no event meets.
    pub unmatched: u32,
    /// Seconds that the events cover; as many reports of activity as there are reporting intervals in them.
    pub span: u32,
    /// So many of the players have state already, by bets of the same day, which are not measured.
    pub known: u32,
    /// Bets of each of them.
    pub bets: u32,
}

/// What it cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Events decoded and settled.
    pub events: u64,
    /// Missions in force.
    pub missions: usize,
    /// Completions that came of them.
    pub completions: usize,
    /// Rows of activity reported, revisions included.
    pub rows: usize,
    /// Putting the missions in force.
    pub define: Duration,
    /// From payloads to events.
    pub decode: Duration,
    /// Identity and missions.
    pub players: Duration,
    /// Daily activity.
    pub activity: Duration,
    /// Reports of it.
    pub report: Duration,
    /// After all that, another target for a mission that nobody has progress in: how long it takes to find that out.
    pub edit: Duration,
    /// Memory that the players took who were known before, in bytes; `None` where the system does not tell.
    pub known_bytes: Option<u64>,
}

impl Figures {
    /// All stages that an event goes through.
    pub fn all(&self) -> Duration {
        self.decode + self.players + self.activity + self.report
    }

    /// Nanoseconds of `stage` for one event.
    pub fn nanos(&self, stage: Duration) -> u64 {
        u64::try_from(stage.as_nanos() / u128::from(self.events.max(1))).unwrap_or(u64::MAX)
    }
}

/// Records of an epoch.
pub const EPOCH: usize = 8192;

/// Versions of the mission that is edited.
const EDITS: u32 = 6;

/// Records of one epoch, in memory.
struct Records<'a> {
    records: &'a [Generated],
    topic: TopicId,
    first: u64,
}

impl Chunk for Records<'_> {
    fn for_each(&self, each: &mut dyn FnMut(&Record<'_>)) {
        for (record, offset) in self.records.iter().zip(self.first..) {
            each(&Record {
                topic: self.topic,
                partition: 0,
                offset: i64::try_from(offset).unwrap_or(i64::MAX),
                timestamp: Some(record.timestamp),
                key: Some(record.key.as_bytes()),
                headers: &(),
                value: Some(&record.value),
            });
        }
    }
}

/// Generates play, and then takes it through decoding, identity, missions and activity, epoch by epoch.
///
/// # Errors
/// A workload that cannot be generated.
pub fn core(workload: &Workload) -> Result<Figures, String> {
    let generator = GeneratorConfig {
        events: workload.events,
        players: workload.players,
        missions: workload.missions,
        span_micros: i64::from(workload.span) * 1_000_000,
        seed: 1,
        ..GeneratorConfig::default()
    };
    let records: Vec<Generated> = Generator::new(&generator).map_err(|error| error.to_string())?.collect();
    let start = records.first().map_or_else(Timestamp::default, |record| record.timestamp);
    let mut core = Core::new(missions(&generator).into_iter().chain(unmatched(workload.unmatched)), start)?;
    core.get_to_know(workload, start);
    for epoch in records.chunks(EPOCH) {
        core.play(epoch);
    }
    core.edit();
    Ok(core.figures)
}

/// The stateful operators of one worker, and what they cost so far.
pub struct Core {
    decoder: Decoder,
    players: Players,
    activity: DailyActivity,
    topic: TopicId,
    missions: TopicId,
    /// Of the next record.
    offset: u64,
    /// Of the last epoch.
    now: Timestamp,
    /// What it cost so far.
    pub figures: Figures,
}

impl Core {
    /// Without players, and these definitions in force.
    ///
    /// # Errors
    /// What is wrong with the plan.
    pub fn new(definitions: impl IntoIterator<Item = (String, String)>, start: Timestamp) -> Result<Self, String> {
        let config = Config::parse("[pipeline]\nname = \"bench\"\n", "bench.toml", Path::new(""), [])
            .map_err(|errors| errors.to_string())?;
        let prepared = prepare(&config, 1, Purpose::Run)?;
        let plan = prepared.plan;
        let mut core = Core {
            decoder: Decoder::new(plan.decode.clone()),
            players: Players::new(plan.players, plan.decode.topics, true),
            activity: DailyActivity::new(plan.activity, plan.reporting),
            topic: prepared.first,
            missions: prepared.missions,
            offset: 0,
            now: start,
            figures: Figures::default(),
        };
        let mut definitions = definition_records(definitions, prepared.missions);
        core.figures.missions = definitions.len();
        let begun = Instant::now();
        let clock = Clock { now: start, wall: start, newest: start, is_last: false };
        core.players.close(clock, &mut definitions, &[]);
        core.figures.define = begun.elapsed();
        Ok(core)
    }

    /// One epoch of generated play.
    pub fn play(&mut self, records: &[Generated]) {
        let (topic, first) = (self.topic, self.offset);
        self.epoch(&Records { records, topic, first }, records.len());
    }

    /// One epoch of `count` records.
    fn epoch(&mut self, records: &dyn Chunk, count: usize) {
        let Core { decoder, players, activity, figures, .. } = self;
        let begun = Instant::now();
        decoder.decode(records);
        let (batches, _, read) = decoder.take();
        figures.decode += begun.elapsed();

        let begun = Instant::now();
        let now = read.newest.unwrap_or_default();
        self.now = now;
        let clock = Clock { now, wall: now, newest: now, is_last: false };
        let changes = players.close(clock, &mut Vec::new(), &batches);
        figures.completions += changes.completions.len();
        figures.players += begun.elapsed();

        let begun = Instant::now();
        let postings: Vec<_> = changes.postings.into_iter().map(|(posting, diff)| (posting, (), diff)).collect();
        activity.update(&postings);
        figures.activity += begun.elapsed();

        let begun = Instant::now();
        figures.rows += activity.report(&clock).rows.len();
        figures.report += begun.elapsed();
        figures.events += read.counters.read;
        self.offset += u64::try_from(count).unwrap_or(0);
    }

    /// A mission that nobody has progress in gets other targets, one after the other. The median counts.
    fn edit(&mut self) {
        let clock = Clock { now: self.now, wall: self.now, newest: self.now, is_last: false };
        let mut times: Vec<Duration> = (0..EDITS)
            .map(|version| {
                let edited = unmatched(1).map(|(_, text)| {
                    let id = "edited";
                    let mut text: serde_json::Value = serde_json::from_str(&text).expect("it was written as JSON");
                    (text["mission_id"], text["version"]) = (json!(id), json!(version + 1));
                    text["stages"][0]["target"] = json!((version + 1).to_string());
                    (id.to_owned(), text.to_string())
                });
                let mut definitions = definition_records(edited, self.missions);
                let begun = Instant::now();
                self.players.close(clock, &mut definitions, &[]);
                begun.elapsed()
            })
            .skip(1) // Which is its first version.
            .collect();
        times.sort_unstable();
        self.figures.edit = times[times.len() / 2];
    }

    /// The bets of the players who are known. Of what they cost only the memory is told.
    fn get_to_know(&mut self, workload: &Workload, at: Timestamp) {
        let (before, nothing_yet) = (resident_bytes(), self.figures);
        for _ in 0..workload.bets {
            let mut numbers = 0..u64::from(workload.known);
            loop {
                let players: Vec<u64> = numbers.by_ref().take(EPOCH).collect();
                if players.is_empty() {
                    break;
                }
                let count = players.len();
                self.epoch(&Bets { topic: self.topic, players, first: self.offset, at }, count);
            }
        }
        let grown = resident_bytes().zip(before).map(|(after, before)| after.saturating_sub(before));
        self.figures = Figures { known_bytes: grown, ..nothing_yet };
    }
}

/// Memory that the process has, where Linux tells.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(resident.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

/// `count` definitions, each with a condition that generated play does not meet: by turns a title, a sport, a list of types of
/// game, a stake, a text of the payload, and another event. By id.
fn unmatched(count: u32) -> impl Iterator<Item = (String, String)> {
    (0..count).map(|number| {
        let (on, condition) = match number % 6 {
            0 => ("bet_placed", format!("game_id == 'title-of-another-day-{number}'")),
            1 => ("bet_placed", format!("game_type == 'sportsbook' && sport == 'sport-{number}' && odds >= 1.8")),
            2 => ("bet_placed", format!("game_type in ['bingo-{number}', 'keno-{number}'] && amount >= 5")),
            3 => ("bet_placed", format!("currency == 'EUR' && amount >= {}", 1_000_000 + number)),
            4 => ("win", format!("campaign == 'campaign-{number}' && win_amount > 0")),
            _ => ("tournament_entered", format!("tournament == 'cup-{number}'")),
        };
        let mission_id = format!("unmatched-{number:05}");
        let text = json!({
            "mission_id": mission_id, "version": 1, "name": mission_id, "status": "active",
            "start": "2026-06-01T00:00:00Z", "window": {"every": "day", "zone": "UTC"},
            "stages": [{"on": [on], "where": condition, "measure": {"kind": "count"}, "target": "3"}],
            "reward": {"type": "points", "value": "50"},
        });
        (mission_id, text.to_string())
    })
}

/// The definitions of generated play, at the beginning of `topic`.
pub fn definitions(generator: &GeneratorConfig, topic: TopicId) -> Vec<DefinitionRecord> {
    definition_records(missions(generator), topic)
}

fn definition_records(
    definitions: impl IntoIterator<Item = (String, String)>,
    topic: TopicId,
) -> Vec<DefinitionRecord> {
    let record = |(offset, (key, text)): (i64, (String, String))| DefinitionRecord {
        was_refused: false,
        at: Coordinates { topic, partition: 0, offset, index: 0 },
        ingest_time: Timestamp::from_micros(0),
        key,
        text: Some(text),
    };
    (0..).zip(definitions).map(record).collect()
}
