//! The stateful core on one thread, without a broker or files: what an event costs at each stage.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use datasets::generator::{Generated, Generator, GeneratorConfig, missions};
use datasets::mapping::Record;
use datasets::{Coordinates, EventBatch, Timestamp, TopicId};
use operators::activity::DailyActivity;
use operators::decode::{Chunk, Decoder};
use operators::definitions::DefinitionRecord;
use operators::players::{Clock, Players};
use pipeline::config::Config;
use pipeline::plan::{Purpose, prepare};
use serde_json::json;

use crate::Outcome;

/// See the module.
#[derive(Args)]
pub struct Core {
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    #[arg(long, default_value_t = 200_000)]
    players: u32,
    #[arg(long, default_value_t = 100)]
    missions: u32,
    /// So many more missions, of mixed conditions that no event meets.
    #[arg(long, default_value_t = 0)]
    unmatched: u32,
    /// Seconds that the events cover; as many reports of activity as there are reporting intervals in them.
    #[arg(long, default_value_t = 100)]
    span: u32,
    /// Records of an epoch.
    #[arg(long, default_value_t = 8192)]
    epoch: usize,
}

/// Records of one epoch, in memory.
struct Records<'a>(&'a [Generated], TopicId, i64);

impl Chunk for Records<'_> {
    fn for_each(&self, each: &mut dyn FnMut(&Record<'_>)) {
        for (record, offset) in self.0.iter().zip(self.2..) {
            each(&Record {
                topic: self.1,
                partition: 0,
                offset,
                timestamp: Some(record.timestamp),
                key: Some(record.key.as_bytes()),
                headers: &(),
                value: Some(&record.value),
            });
        }
    }
}

impl Core {
    /// Runs all epochs and says what they cost.
    pub fn run(&self) -> Outcome {
        let generator = GeneratorConfig {
            events: self.events,
            players: self.players,
            missions: self.missions,
            span_micros: i64::from(self.span) * 1_000_000,
            seed: 1,
            ..GeneratorConfig::default()
        };
        let records: Vec<Generated> = Generator::new(&generator)?.collect();
        let config = Config::parse("[pipeline]\nname = \"core\"\n", "core.toml", Path::new(""), [])
            .map_err(|errors| errors.to_string())?;
        let prepared = prepare(&config, 1, Purpose::Run)?;
        let plan = prepared.plan;
        let mut decoder = Decoder::new(plan.decode.clone());
        let mut players = Players::new(plan.players, plan.decode.topics, true);
        let mut activity = DailyActivity::new(plan.activity, plan.reporting);
        let mut definitions = definitions(&generator, prepared.missions);
        definitions.extend(unmatched(self.unmatched, &definitions));
        let defined = definitions.len();
        let begun = Instant::now();
        let start = records.first().map_or_else(Timestamp::default, |record| record.timestamp);
        players.close(Clock { now: start, wall: start, newest: start, is_last: false }, &mut definitions, &[]);
        let define = begun.elapsed();
        let [mut decode, mut close, mut update, mut report] = [Duration::ZERO; 4];
        let (mut rows, mut completions) = (0, 0);
        for (number, epoch) in records.chunks(self.epoch).enumerate() {
            let begun = Instant::now();
            let first = i64::try_from(number * self.epoch)?;
            decoder.decode(&Records(epoch, prepared.first, first));
            let (batches, _, read) = decoder.take();
            decode += begun.elapsed();

            let begun = Instant::now();
            let now = read.newest.unwrap_or_default();
            let clock = Clock { now, wall: now, newest: now, is_last: false };
            let batches: Vec<Arc<EventBatch>> = batches;
            let changes = players.close(clock, &mut Vec::new(), &batches);
            completions += changes.completions.len();
            close += begun.elapsed();

            let begun = Instant::now();
            let postings: Vec<_> = changes.postings.into_iter().map(|(posting, diff)| (posting, (), diff)).collect();
            activity.update(&postings);
            update += begun.elapsed();

            let begun = Instant::now();
            rows += activity.report(&clock).rows.len();
            report += begun.elapsed();
        }
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).map(|nanos| nanos / self.events.max(1)).ok();
        Ok(json!({
            "events": records.len(),
            "missions": defined,
            "completions": completions,
            "rows": rows,
            "definitions_ms": define.as_secs_f64() * 1e3,
            "nanos_per_event": {
                "decode": nanos(decode),
                "players": nanos(close),
                "activity": nanos(update),
                "report": nanos(report),
                "all": nanos(decode + close + update + report),
            },
        }))
    }
}

/// `count` definitions like `known` ones, each with a condition that generated play does not meet: by turns a title, a sport,
/// a list of types of game, a stake, a text of the payload, and another event.
fn unmatched(count: u32, known: &[DefinitionRecord]) -> Vec<DefinitionRecord> {
    let record = |number: u32| {
        let (on, condition) = match number % 6 {
            0 => ("bet_placed", format!("game_id == 'title-of-another-day-{number}'")),
            1 => ("bet_placed", format!("game_type == 'sportsbook' && sport == 'sport-{number}' && odds >= 1.8")),
            2 => ("bet_placed", format!("game_type in ['bingo-{number}', 'keno-{number}'] && amount >= 5")),
            3 => ("bet_placed", format!("currency == 'EUR' && amount >= {}", 1_000_000 + number)),
            4 => ("win", format!("campaign == 'campaign-{number}' && win_amount > 0")),
            _ => ("tournament_entered", format!("tournament == 'cup-{number}'")),
        };
        let last = known.last().expect("generated play has missions");
        let mission_id = format!("unmatched-{number:05}");
        let text = json!({
            "mission_id": mission_id, "version": 1, "name": mission_id, "status": "active",
            "start": "2026-06-01T00:00:00Z", "window": {"every": "day", "zone": "UTC"},
            "stages": [{"on": [on], "where": condition, "measure": {"kind": "count"}, "target": "3"}],
            "reward": {"type": "points", "value": "50"},
        });
        let at = Coordinates { offset: last.at.offset + 1 + i64::from(number), ..last.at };
        DefinitionRecord { at, key: mission_id, text: Some(text.to_string()), ..last.clone() }
    };
    (0..count).map(record).collect()
}

/// The definitions of generated play, at the beginning of `topic`.
pub(super) fn definitions(generator: &GeneratorConfig, topic: TopicId) -> Vec<DefinitionRecord> {
    let record = |(offset, (key, text)): (i64, (String, String))| DefinitionRecord {
        was_refused: false,
        at: Coordinates { topic, partition: 0, offset, index: 0 },
        ingest_time: Timestamp::from_micros(0),
        key,
        text: Some(text),
    };
    (0..).zip(missions(generator)).map(record).collect()
}
