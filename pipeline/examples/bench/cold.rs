//! What transactions and rows of activity cost that are not in memory: days of bets, one after the other, then new ones, resent ones and
//! reversals of the first day. One thread, no storage but a file for what goes cold.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use datasets::cold::ReadAt;
use datasets::hash::{KEY_GROUPS, KeyGroup};
use datasets::mapping::Record;
use datasets::state::Section;
use datasets::{Timestamp, TopicId};
use operators::activity::DailyActivity;
use operators::decode::{Chunk, Decoder};
use operators::players::{Clock, Players};
use operators::snapshot::{ColdRules, Terms, Visited};
use pipeline::bench::resident_bytes;
use pipeline::config::Config;
use pipeline::plan::{Purpose, prepare};
use serde_json::json;

use crate::Outcome;

/// See the module.
#[derive(Args)]
pub struct Cold {
    /// Bets of a day.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    #[arg(long, default_value_t = 8)]
    days: u64,
    #[arg(long, default_value_t = 20_000)]
    players: u64,
    /// Everything stays in memory.
    #[arg(long)]
    hot: bool,
    /// Of resent bets and of reversals.
    #[arg(long, default_value_t = 100_000)]
    asked: u64,
}

/// Records of an epoch.
const EPOCH: u64 = 8192;
const START_MICROS: i64 = 1_780_400_000_000_000;
const DAY_MICROS: u64 = 86_400_000_000;

#[derive(Clone, Copy)]
enum Kind {
    Bet,
    Reversal,
}

/// Events of some numbers.
struct Events {
    topic: TopicId,
    kind: Kind,
    /// Of bets.
    numbers: Vec<u64>,
    /// Bets of a day.
    of_a_day: u64,
    players: u64,
    offset: i64,
    time: Timestamp,
}

impl Chunk for Events {
    fn for_each(&self, each: &mut dyn FnMut(&Record<'_>)) {
        for (number, offset) in self.numbers.iter().zip(self.offset..) {
            let key = format!("player_{}", number % self.players);
            let placed = i64::try_from(number * (DAY_MICROS / self.of_a_day)).expect("some days");
            let placed = Timestamp::from_micros(START_MICROS).plus_micros(placed);
            let value = match self.kind {
                Kind::Bet => format!(
                    r#"{{"event_name":"bet_placed","player_id":"{key}","transaction_id":"bet-{number}","amount":"2.50","currency":"EUR","game_type":"slots","timestamp":"{placed}"}}"#
                ),
                Kind::Reversal => format!(
                    r#"{{"event_name":"reversal","player_id":"{key}","transaction_id":"back-{number}","reference_id":"bet-{number}","timestamp":"{}"}}"#,
                    self.time
                ),
            };
            each(&Record {
                topic: self.topic,
                partition: 0,
                offset,
                timestamp: Some(self.time),
                key: Some(key.as_bytes()),
                headers: &(),
                value: Some(value.as_bytes()),
            });
        }
    }
}

/// A file of runs.
#[derive(Debug)]
pub struct Disk(pub File);

impl ReadAt for Disk {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn place(&self) -> String {
        "the file of the bench".to_owned()
    }

    fn set_aside(&self) {}
}

struct Core {
    players: Players,
    activity: DailyActivity,
    decoder: Decoder,
    topic: TopicId,
    of_a_day: u64,
    of_players: u64,
    now: Timestamp,
    offset: i64,
    accepted: u64,
    epoch: u64,
}

impl Core {
    /// Events of these bets at `micros` after the start; answers what the players operator and activity took.
    fn play(&mut self, kind: Kind, numbers: &[u64], micros: u64) -> Result<Duration, Box<dyn std::error::Error>> {
        let time = Timestamp::from_micros(START_MICROS + i64::try_from(micros)?);
        let Core { topic, of_a_day, of_players: players, offset, .. } = *self;
        self.decoder.decode(&Events { topic, kind, numbers: numbers.to_vec(), of_a_day, players, offset, time });
        self.offset += i64::try_from(numbers.len())?;
        self.epoch += 1;
        self.now = time;
        let batches = self.decoder.take().0;
        // Rows are reported with every epoch.
        let clock = Clock { now: time, wall: time, newest: time, is_last: true };
        let begun = Instant::now();
        let changes = self.players.close(clock, &mut Vec::new(), &batches);
        let postings: Vec<_> = changes.postings.into_iter().map(|(posting, diff)| (posting, (), diff)).collect();
        self.activity.update(&postings);
        self.activity.report(&clock);
        let took = begun.elapsed();
        self.accepted += changes.counters.accepted;
        Ok(took)
    }

    /// A round of writing. Answers how long it took at once, at most, and the bytes that went to `disk`.
    fn write(&mut self, rules: ColdRules, disk: &mut File) -> Result<(Duration, usize), Box<dyn std::error::Error>> {
        let terms = Terms { cold: Some(rules), bytes_at_once: usize::MAX };
        let mut longest = Duration::ZERO;
        let mut written = 0;
        for group in (0..KEY_GROUPS).map(KeyGroup) {
            let begun = Instant::now();
            let players = self.players.write(group, self.epoch, terms);
            let activity = self.activity.write(group, self.epoch, terms.cold, self.now);
            longest = longest.max(begun.elapsed());
            for visited in [players, activity] {
                let Visited::Section(Section { cold: Some(cold), .. }) = visited else { continue };
                let offset = disk.metadata()?.len();
                disk.write_all(&cold.bytes.read(0..cold.bytes.len())?)?;
                cold.bytes.move_to(Arc::new(Disk(disk.try_clone()?)), offset);
                written += cold.bytes.len();
            }
        }
        Ok((longest, written))
    }
}

impl Cold {
    /// Plays the days and says what they cost.
    pub fn run(&self) -> Outcome {
        let config = Config::parse("[pipeline]\nname = \"cold\"\n", "cold.toml", Path::new(""), [])
            .map_err(|errors| errors.to_string())?;
        let prepared = prepare(&config, 1, Purpose::Run)?;
        let plan = prepared.plan;
        let mut core = Core {
            decoder: Decoder::new(plan.decode.clone()),
            players: Players::new(plan.players, plan.decode.topics, true),
            activity: DailyActivity::new(plan.activity, plan.reporting),
            topic: prepared.first,
            of_a_day: self.events,
            now: Timestamp::from_micros(START_MICROS),
            of_players: self.players,
            offset: 0,
            accepted: 0,
            epoch: 0,
        };
        let path = std::env::temp_dir().join(format!("questline-bench-cold-{}", std::process::id()));
        let mut disk = File::options().read(true).append(true).create_new(true).open(&path)?;
        // Nobody else needs its name.
        std::fs::remove_file(&path)?;
        let per_event = |time: Duration, events: u64| u64::try_from(time.as_nanos()).map(|nanos| nanos / events.max(1));
        let mut days = Vec::new();
        let (mut before, mut written) = (resident_bytes().ok_or("Linux alone tells what memory a process has")?, 0);
        for day in 0..self.days {
            let mut took = Duration::ZERO;
            let numbers: Vec<u64> = (day * self.events..(day + 1) * self.events).collect();
            for (number, epoch) in (0..).zip(numbers.chunks(usize::try_from(EPOCH)?)) {
                let micros = day * DAY_MICROS + number * EPOCH * DAY_MICROS / self.events;
                took += core.play(Kind::Bet, epoch, micros)?;
            }
            // Enough turns for what is left of other hours.
            let mut longest = Duration::ZERO;
            for _ in 0..if self.hot { 0 } else { 2 } {
                let (long, bytes) = core.write(ColdRules::default(), &mut disk)?;
                longest = longest.max(long);
                written += bytes;
            }
            let now = resident_bytes().ok_or("Linux alone tells what memory a process has")?;
            days.push(json!({
                "nanos_per_event": per_event(took, self.events)?,
                "resident_growth_per_event": (now - now.min(before)) / self.events.max(1),
                "longest_group_ms": longest.as_secs_f64() * 1e3,
            }));
            before = now;
        }
        let end = self.days * DAY_MICROS;
        let ask = |core: &mut Core, kind, first: u64, step: u64| -> Result<(u64, u64), Box<dyn std::error::Error>> {
            let before = core.accepted;
            let numbers: Vec<u64> = (0..self.asked).map(|number| first + number * step).collect();
            let mut took = Duration::ZERO;
            for epoch in numbers.chunks(usize::try_from(EPOCH)?) {
                took += core.play(kind, epoch, end)?;
            }
            Ok((per_event(took, self.asked)?, core.accepted - before))
        };
        let step = (self.events / self.asked.max(1)).max(1);
        let fresh = ask(&mut core, Kind::Bet, self.days * self.events, 1)?;
        let resent = ask(&mut core, Kind::Bet, self.events * self.days.saturating_sub(5), step)?;
        let reversed = ask(&mut core, Kind::Reversal, 0, step)?;
        let outcome = |(nanos, accepted): (u64, u64)| json!({ "nanos_per_event": nanos, "accepted": accepted });
        Ok(json!({
            "events_of_a_day": self.events,
            "days": days,
            "bytes_on_disk": written,
            "new": outcome(fresh),
            "resent": outcome(resent),
            "reversals": outcome(reversed),
        }))
    }
}
