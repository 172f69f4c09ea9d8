//! `questline explain`: which events a completion came from, by which definition, with every correction.
//!
//! The lake's history of one player goes through the core of the players operator again, epoch by epoch along the
//! recorded clock, as `verify` does with the history of all. After each epoch the player's account is looked at, so
//! that what was taken back, and what is forgotten since, is told too.

mod passed;
mod story;
mod versions;

use std::sync::Arc;

use datasets::rows::{AuditKind, AuditRow, CompletionKind, CompletionRow, Place, TierRow};
use datasets::{Epoch, Money, Timestamp};
use operators::players::Players;
use operators::tiers::TierNumber;
use serde::Serialize;
use sinks::cut::Table;

use crate::config::Config;
use crate::history::cell::rows;
use crate::history::log::LakeHistory;
use crate::plan::{Prepared, prepare};
pub use passed::Passed;
use story::Story;
use versions::Versions;

/// What is to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A completion, by its id.
    Completion(String),
    /// How far a player is in the window of a mission that an instant falls into; without one, in the last window.
    Progress {
        /// The player.
        player: String,
        /// The mission.
        mission: String,
        /// An instant in the window.
        at: Option<Timestamp>,
    },
    /// The same of a tier and its periods.
    Tier {
        /// The player.
        player: String,
        /// The tier's name.
        tier: String,
        /// An instant in the period.
        at: Option<Timestamp>,
    },
}

/// The answer. Instants are UTC, amounts exact.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The player.
    pub player_id: String,
    /// The mission, or the tier.
    pub mission_id: String,
    /// What was told of the player's tier, where one is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<ToldOfTier>,
    /// The completion, if there ever was one.
    pub completion_id: Option<String>,
    /// Whether it stands.
    pub standing: Standing,
    /// First instant of the window.
    pub window_start: Timestamp,
    /// End of the window: exclusive when recurring, inclusive when `once`; null without an end.
    pub window_end: Option<Timestamp>,
    /// The definition by which progress is judged.
    pub definition: JudgedBy,
    /// Stage by stage.
    pub stages: Vec<Stage>,
    /// The messages that left, in their order.
    pub messages: Vec<CompletionRow>,
    /// The completions that did not leave, and why, in their order.
    pub audit: Vec<AuditRow>,
    /// Events that count, or did for some time, in the order of event time.
    pub events: Vec<Contributed>,
    /// Events of the kinds that the mission looks at which never counted in this window.
    pub passed: Vec<Passed>,
    /// Up to this reading of the recorded clock.
    pub until: Timestamp,
    /// Epochs that were read again.
    pub epochs: Epoch,
}

/// What was told of a player's tier, and what is so now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToldOfTier {
    /// All changes, to whichever tier, in their order.
    pub changes: Vec<TierRow>,
    /// The player has the tier that is asked for, or a higher one beside it.
    pub held: bool,
    /// The first instant at which it is lost if nothing happens; null: never, or it is not held.
    pub held_until: Option<Timestamp>,
}

/// What became of a mission for a player.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The completion stands.
    Completed,
    /// It stands, and was never told.
    Suppressed,
    /// It stands, and is told when it may be.
    Deferred,
    /// It was revoked, and stays so.
    Revoked,
    /// The target was not reached.
    Open,
}

/// A version of a mission.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JudgedBy {
    /// As its definition says.
    pub version: i64,
    /// The definition's record; a tier has none.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// When it took effect; a tier was always there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_force_from: Option<Timestamp>,
    /// The definition as it was sent; of a tier, as it is configured.
    pub text: serde_json::Value,
}

/// How far a stage is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// From 1.
    pub number: usize,
    /// What is to be reached.
    pub target: Money,
    /// What has been; absent where the stage was reached and another one is under way.
    pub progress: Option<Money>,
    /// What is missing; zero where it was reached.
    pub missing: Money,
    /// The event time at which it was reached.
    pub reached_at: Option<Timestamp>,
}

/// An event that counts, or did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contributed {
    /// The event.
    #[serde(flatten)]
    pub event: EventLine,
    /// The stage it is for, from 1.
    pub stage: usize,
    /// What it adds, or the quantity itself where the largest counts; an event that resets a run adds nothing.
    pub contribution: Money,
    /// What the amount was multiplied by to be in the mission's currency; absent where it is already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange_rate: Option<Money>,
    /// It changed the progress; an event of a stage that is not under way at its time does not.
    pub moved: bool,
    /// It reached its stage's target.
    pub reached: bool,
    /// Progress in its stage after it.
    pub progress: Option<Money>,
    /// What took it back; it does not count any more.
    pub taken_back_by: Option<String>,
}

/// An event, as far as people need it to find it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventLine {
    /// The record.
    #[serde(flatten)]
    pub place: Place,
    /// Place in the envelope.
    pub index: u32,
    /// What happened.
    pub event_name: String,
    /// The transaction.
    pub transaction_id: String,
    /// When it happened.
    pub event_time: Timestamp,
    /// When the broker took it.
    pub ingest_time: Timestamp,
    /// Its amount.
    pub amount: Option<Money>,
    /// Of the amount.
    pub currency: String,
}

/// A lake, ready to be asked.
pub struct Explainer {
    config: Config,
    prepared: Prepared,
    history: LakeHistory,
}

impl Explainer {
    /// Lists the lake of a checked configuration.
    ///
    /// # Errors
    /// What cannot be reached or read, for people.
    pub fn open(config: &Config) -> Result<Self, String> {
        let history = LakeHistory::open(config, "explanations come from its history")?;
        let prepared = prepare(config, 1, history.purpose())?;
        Ok(Explainer { config: config.clone(), prepared, history })
    }

    /// Epochs of the lake's log.
    pub fn epochs(&self) -> Epoch {
        self.history.epochs()
    }

    /// Answers. `advance` is told of epochs that were read.
    ///
    /// # Errors
    /// What cannot be read; a completion, a player or a mission that the lake does not know.
    pub fn answer(mut self, question: &Question, advance: impl Fn(u64)) -> Result<Explanation, String> {
        let (player, mission) = match question {
            Question::Completion(id) => self.whose(id)?,
            Question::Progress { player, mission, .. } => (player.clone(), mission.clone()),
            Question::Tier { player, tier, .. } => (player.clone(), tier.clone()),
        };
        let tier = match question {
            Question::Tier { tier, .. } => Some(self.tier(tier)?),
            _ => None,
        };
        let Prepared { plan, names, missions, .. } = self.prepared;
        let topics = plan.decode.topics.clone();
        let mut players = Players::new(plan.players.clone(), topics.clone(), true);
        let number = tier.as_ref().map(|(number, _)| *number);
        let mut story = Story::new((player.clone(), mission.clone()), topics, plan.players.missions);
        if let Some((_, versions)) = tier {
            story.ask_for_tier(versions);
        }
        let mut newest = plan.begin.newest;
        let mut epochs = 0;
        while let Some(input) = self.history.inputs.next()? {
            let mut definitions = input.definitions(missions)?;
            let clock = input.clock(&mut newest);
            let batch = Arc::new(input.batch(Some(&player), &names)?);
            let changes = players.close(clock, &mut definitions, std::slice::from_ref(&batch));
            // What was deferred can leave by the clock alone.
            if !batch.is_empty() || !definitions.is_empty() || !changes.completions.is_empty() {
                let accounts = match number {
                    Some(number) => players.tier_accounts(&player, number),
                    None => players.accounts(&player, &mission),
                };
                story.take(&batch, definitions, &changes, (accounts, players.rates()));
                if number.is_none() {
                    story.required = players.required(&player, &mission);
                }
            }
            if let Some(number) = number {
                story.take_tiers(&changes, players.tier_held_until(&player, number));
            }
            story.until = input.now;
            epochs = input.epoch + 1;
            advance(1);
        }
        story.finish(question, epochs, &players)
    }

    /// The tier of this name, with what the configuration says of it.
    fn tier(&self, name: &str) -> Result<(TierNumber, Versions), String> {
        let place = self.config.tiers.iter().position(|tier| tier.name == name);
        let known = place.and_then(|place| Some((place, self.prepared.plan.players.tiers.get(place)?)));
        let Some((place, tier)) = known else {
            let names: Vec<&str> = self.config.tiers.iter().map(|tier| &*tier.name).collect();
            return Err(format!("the configuration has no tier {name:?}; it has {}", names.join(", ")));
        };
        let number = TierNumber(u32::try_from(place).expect("fewer than 2^32 tiers"));
        let text = self.config.tiers[place].as_json().to_string();
        Ok((number, Versions::of_tier(tier.mission.clone(), text)))
    }

    /// The player and the mission of a completion.
    fn whose(&self, id: &str) -> Result<(String, String), String> {
        let lake = &self.history.lake;
        for object in lake.objects(Table::Completions).iter().chain(lake.objects(Table::Audit)) {
            for batch in lake.rows(object).map_err(|error| crate::chain(&error))? {
                let batch = batch.map_err(|error| crate::chain(&error))?;
                let found = rows(std::slice::from_ref(&batch)).find(|row| row.text("completion_id") == id);
                if let Some(row) = found {
                    return Ok((row.text("player_id").to_owned(), row.text("mission_id").to_owned()));
                }
            }
        }
        Err(format!(
            "the lake's tables completions and audit have no completion {id:?}: a new one is there after lake.max_file_age at the latest"
        ))
    }
}

impl Standing {
    /// After what left of a completion and what did not, and how it is `kept_back` if it stands and never left.
    fn after(messages: &[CompletionRow], audit: &[AuditRow], kept_back: Option<AuditKind>) -> Self {
        let told = messages.last();
        // What was deferred leaves with the revision that it had.
        let is_silent = audit.last().is_some_and(|row| told.is_none_or(|told| told.revision < row.revision));
        match (is_silent, kept_back, told.map(|told| told.kind)) {
            (true, Some(AuditKind::Suppressed), _) => Standing::Suppressed,
            (true, Some(AuditKind::Deferred), _) => Standing::Deferred,
            (true, None, _) | (false, _, Some(CompletionKind::MissionRevoked)) => Standing::Revoked,
            (false, _, Some(CompletionKind::MissionCompleted)) => Standing::Completed,
            (false, _, None) => Standing::Open,
        }
    }
}
