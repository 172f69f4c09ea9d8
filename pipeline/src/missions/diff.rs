//! What definitions would do: the same history with them and without.
//!
//! History goes through two cores of the players operator side by side. One gets the definitions as they were; the
//! other gets those of the file in place of all versions of their missions, from the beginning on. What is live at the end
//! is compared. So the answer is "if it had been so all the time", which is what a change is judged by before it is
//! made; the change itself takes effect when it is applied, and never takes back what stands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datasets::rows::{CompletionKind, CompletionRow};
use datasets::{Coordinates, Epoch, EventBatch, Money, Timestamp};
use operators::changes::Changes;
use operators::decode::Decoder;
use operators::definitions::DefinitionRecord;
use operators::players::{Clock, Players};
use serde::Serialize;

use super::Definition;
use crate::config::Config;
use crate::engine::{Halt, Wake};
use crate::history::log::LakeHistory;
use crate::plan::{Prepared, Purpose, prepare};
use crate::replay::feed::{Names, chunks};
use crate::replay::input::Input;

/// Lines of a file that are settled together.
const EPOCH_RECORDS: usize = 10_000;

/// What is counted again.
pub struct History {
    prepared: Prepared,
    from: From,
}

enum From {
    Lake(Box<LakeHistory>),
    File(Input),
}

/// What definitions would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The missions of the file, and others whose completions differ, by id.
    pub missions: Vec<MissionDifference>,
    /// Events that were counted.
    pub events: u64,
    /// Up to this reading of the clock.
    pub until: Timestamp,
}

/// What they would do to one mission.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MissionDifference {
    /// The mission.
    pub mission_id: String,
    /// Completions that stand now.
    pub before: usize,
    /// Those that would.
    pub after: usize,
    /// Who would newly complete.
    pub gained: Vec<Won>,
    /// Who would not any more.
    pub lost: Vec<Won>,
    /// Rewards now and then, by their type.
    pub rewards: Vec<Cost>,
}

/// A completion.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Won {
    /// The player.
    pub player_id: String,
    /// First instant of the window.
    pub window_start: Timestamp,
    /// Counts completions inside the window, from 1.
    pub occurrence: u32,
    /// When it was, or would be, reached.
    pub completed_at: Timestamp,
}

/// What rewards of one type come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// The reward's type, such as `points`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The sum of values now; null where a value is no number.
    pub before: Option<Money>,
    /// The sum that it would be.
    pub after: Option<Money>,
}

impl History {
    /// The lake of a checked configuration.
    ///
    /// # Errors
    /// What cannot be reached or read, for people.
    pub fn of_lake(config: &Config) -> Result<Self, String> {
        let history = LakeHistory::open(config, "without --input, `diff` counts its history again")?;
        let prepared = prepare(config, 1, history.purpose())?;
        Ok(History { prepared, from: From::Lake(Box::new(history)) })
    }

    /// A file, a folder or standard input, as `replay` reads them.
    ///
    /// # Errors
    /// What a mapping has wrong.
    pub fn of_input(config: &Config, input: Input) -> Result<Self, String> {
        Ok(History { prepared: prepare(config, 1, Purpose::Replay)?, from: From::File(input) })
    }

    /// Epochs of a lake.
    pub fn epochs(&self) -> Option<Epoch> {
        if let From::Lake(history) = &self.from { Some(history.epochs()) } else { None }
    }

    /// Bytes of a file, where they are known.
    pub fn bytes(&self) -> Option<u64> {
        if let From::File(input) = &self.from { input.size() } else { None }
    }
}

/// Counts `history` again, as it was and with `definitions`. `advance` is told of epochs of a lake, or of bytes of a file.
///
/// # Errors
/// What cannot be read, for people.
pub fn diff(
    history: History,
    definitions: &[Definition],
    advance: impl Fn(u64) + Clone + 'static,
) -> Result<Difference, String> {
    let History { prepared, from } = history;
    let mut both = Both::new(&prepared, definitions);
    let newest = prepared.plan.begin.newest;
    match from {
        From::Lake(history) => both.count_lake(*history, &prepared, newest, advance)?,
        From::File(input) => both.count_file(input, &prepared, newest, advance)?,
    }
    Ok(both.finish(definitions))
}

/// The two courses of events.
struct Both {
    now: Course,
    then: Course,
    /// What the second gets in its first epoch, and for which missions.
    replacing: Vec<DefinitionRecord>,
    replaced: BTreeSet<String>,
    events: u64,
    until: Timestamp,
}

/// What completes with some definitions.
struct Course {
    players: Players,
    live: BTreeMap<String, CompletionRow>,
}

impl Both {
    fn new(prepared: &Prepared, definitions: &[Definition]) -> Self {
        let course = || Course {
            players: Players::new(prepared.plan.players.clone(), prepared.plan.decode.topics.clone(), false),
            live: BTreeMap::new(),
        };
        // Ahead of every record there is, in the order of the file.
        let first = -i64::try_from(definitions.len()).expect("a file has fewer than 2^63 definitions");
        let replacing = (first..).zip(definitions).map(|(offset, definition)| DefinitionRecord {
            at: Coordinates { topic: prepared.missions, partition: 0, offset, index: 0 },
            ingest_time: Timestamp::default(),
            key: definition.mission_id.clone(),
            text: Some(definition.text.clone()),
            was_refused: false,
        });
        Both {
            now: course(),
            then: course(),
            replacing: replacing.collect(),
            replaced: definitions.iter().map(|definition| definition.mission_id.clone()).collect(),
            events: 0,
            until: Timestamp::MIN,
        }
    }

    fn count_lake(
        &mut self,
        mut history: LakeHistory,
        prepared: &Prepared,
        mut newest: Timestamp,
        advance: impl Fn(u64),
    ) -> Result<(), String> {
        while let Some(input) = history.inputs.next()? {
            let clock = input.clock(&mut newest);
            let definitions = input.definitions(prepared.missions)?;
            let batch = Arc::new(input.batch(None, &prepared.names)?);
            self.close(clock, definitions, &[batch]);
            advance(1);
        }
        Ok(())
    }

    fn count_file(
        &mut self,
        input: Input,
        prepared: &Prepared,
        mut newest: Timestamp,
        advance: impl Fn(u64) + Clone + 'static,
    ) -> Result<(), String> {
        let halt = Halt::new(Wake::default());
        let topics = prepared.plan.decode.topics.clone();
        let names =
            Names { topics, bare: prepared.first, missions: Some(prepared.missions), input, halt: halt.clone() };
        let mut decoder = Decoder::new(prepared.plan.decode.clone());
        chunks(&Arc::new(names), EPOCH_RECORDS, advance, |chunk| {
            decoder.decode(chunk);
            let (batches, definitions, read) = decoder.take();
            newest = newest.max(read.newest.unwrap_or(newest));
            self.close(Clock { now: newest, wall: newest, newest, is_last: false }, definitions, &batches);
            !halt.is_asked()
        })?;
        halt.failure().map_or(Ok(()), Err)
    }

    fn close(&mut self, clock: Clock, mut definitions: Vec<DefinitionRecord>, batches: &[Arc<EventBatch>]) {
        let kept = definitions.iter().filter(|record| !self.replaced.contains(&record.key)).cloned();
        let mut replaced: Vec<_> = std::mem::take(&mut self.replacing).into_iter().chain(kept).collect();
        self.now.take(clock, &mut definitions, batches);
        self.then.take(clock, &mut replaced, batches);
        self.events += batches.iter().map(|batch| u64::try_from(batch.len()).unwrap_or(u64::MAX)).sum::<u64>();
        self.until = clock.now;
    }

    fn finish(self, definitions: &[Definition]) -> Difference {
        let Both { now, then, events, until, .. } = self;
        let (before, after) = (now.by_mission(), then.by_mission());
        let of_file = definitions.iter().map(|definition| definition.mission_id.as_str());
        let differing = before.keys().chain(after.keys()).copied().filter(|id| ids(&before, id) != ids(&after, id));
        let missions: BTreeSet<&str> = of_file.chain(differing).collect();
        let missions = missions.into_iter().map(|mission| {
            let (before, after) = (completions(&before, mission), completions(&after, mission));
            MissionDifference {
                mission_id: mission.to_owned(),
                before: before.len(),
                after: after.len(),
                gained: only_in(&after, &before),
                lost: only_in(&before, &after),
                rewards: costs(&before, &after),
            }
        });
        Difference { missions: missions.collect(), events, until }
    }
}

impl Course {
    fn take(&mut self, clock: Clock, definitions: &mut [DefinitionRecord], batches: &[Arc<EventBatch>]) {
        let Changes { completions, .. } = self.players.close(clock, definitions, batches);
        for (_, row) in completions {
            match row.kind {
                CompletionKind::MissionCompleted => drop(self.live.insert(row.completion_id.clone(), row)),
                CompletionKind::MissionRevoked => drop(self.live.remove(&row.completion_id)),
            }
        }
    }

    fn by_mission(&self) -> ByMission<'_> {
        let mut missions = ByMission::new();
        for (id, row) in &self.live {
            missions.entry(&row.mission_id).or_default().insert(id, row);
        }
        missions
    }
}

/// Live completions by their ids, by mission.
type ByMission<'a> = BTreeMap<&'a str, Completions<'a>>;
type Completions<'a> = BTreeMap<&'a str, &'a CompletionRow>;

fn completions<'a>(all: &ByMission<'a>, mission: &str) -> Completions<'a> {
    all.get(mission).cloned().unwrap_or_default()
}

fn ids<'a>(all: &ByMission<'a>, mission: &str) -> BTreeSet<&'a str> {
    all.get(mission).into_iter().flat_map(|completions| completions.keys().copied()).collect()
}

/// Completions of `these` that `those` do not have.
fn only_in(these: &Completions<'_>, those: &Completions<'_>) -> Vec<Won> {
    let only = these.iter().filter(|(id, _)| !those.contains_key(*id)).map(|(_, row)| Won {
        player_id: row.player_id.clone(),
        window_start: row.window_start,
        occurrence: row.occurrence,
        completed_at: row.completed_at,
    });
    let mut only: Vec<Won> = only.collect();
    only.sort_unstable();
    only
}

fn costs(before: &Completions<'_>, after: &Completions<'_>) -> Vec<Cost> {
    let (before, after) = (sums(before), sums(after));
    let kinds: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    let costs = kinds.into_iter().map(|kind| {
        let [before, after] = [&before, &after].map(|sums| sums.get(kind).copied().unwrap_or(Some(Money::ZERO)));
        Cost { kind: kind.to_owned(), before, after }
    });
    costs.collect()
}

/// Values by type; `None` where one is no number.
fn sums<'a>(completions: &Completions<'a>) -> BTreeMap<&'a str, Option<Money>> {
    let mut sums = BTreeMap::new();
    for reward in completions.values().filter_map(|row| row.reward.as_ref()) {
        let sum = sums.entry(reward.kind.as_str()).or_insert(Some(Money::ZERO));
        *sum = sum.zip(reward.value.parse::<Money>().ok()).map(|(sum, value)| sum + value);
    }
    sums
}
