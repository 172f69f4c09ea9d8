//! Everything that leaves Questline, self-contained: topic names instead of ids, text instead of
//! spans. The field names, as JSON and as columns, are a contract (DOMAIN §6): changes are additive.

mod attribution;
mod entities;
mod loyalty;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::rates::RateChanges;
use crate::time::Date;
use crate::{Coordinates, Money, Reason, Timestamp, Topics};

pub use attribution::{Cohort, MissionGgrKey, MissionGgrReport, MissionGgrRow, Period};
pub use entities::{
    CustomerRow, Entity, EntityRows, FEED_DIGITS, FEED_LETTERS, GamingActivityRow, ReviewReason, ReviewRow,
    TransactionRow, TransactionType, key_of,
};
pub use loyalty::{PointsKind, PointsReason, PointsRow, TierKind, TierRow};

/// [`Coordinates`] with the topic's name, for those who read outputs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

impl Place {
    /// Names the topic of `at`. The index in the envelope is left out: it is the record's place.
    pub fn new(topics: &Topics, at: Coordinates) -> Self {
        Place { topic: topics.name(at.topic).clone(), partition: at.partition, offset: at.offset }
    }
}

/// What caused a completion or its correction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// An event, or a change of the definition.
    pub kind: TriggerKind,
    /// The event's transaction; absent on definition changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
    /// The record.
    #[serde(flatten)]
    pub place: Place,
}

/// See [`Trigger::kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerKind {
    /// An event of the player.
    Event,
    /// A new version of the mission, such as a lower target.
    DefinitionChange,
}

/// A completion or its revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompletionKind {
    /// The target was reached.
    MissionCompleted,
    /// A correction took it back.
    MissionRevoked,
}

/// What the player earns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewardRow {
    /// Such as `points` or `free_bet`; CRM gives it its meaning.
    #[serde(rename = "type")]
    pub kind: String,
    /// How much or which.
    pub value: String,
}

impl RewardRow {
    /// The `type` of a reward that the points ledger books.
    pub const POINTS: &str = "points";

    /// The points that the player earns; `None` for a reward of another type.
    pub fn points(&self) -> Option<Money> {
        if self.kind != Self::POINTS {
            return None;
        }
        self.value.parse().ok().filter(|points| *points > Money::ZERO)
    }
}

/// One message of the topic `completions` (DOMAIN §6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletionRow {
    /// Completed or revoked.
    #[serde(rename = "type")]
    pub kind: CompletionKind,
    /// Stable over (pipeline, player, mission, window, occurrence).
    pub completion_id: String,
    /// Counts the completions under one id, those that were suppressed too; a revocation carries that of the completion
    /// it takes back.
    pub revision: u32,
    /// The player; the message's key.
    pub player_id: String,
    /// The mission.
    pub mission_id: String,
    /// The definition's version that decided.
    pub mission_version: i64,
    /// Counts completions inside a window, from 1.
    pub occurrence: u32,
    /// First instant of the window.
    pub window_start: Timestamp,
    /// End of the window: exclusive when recurring, inclusive when `once`; null without an end.
    pub window_end: Option<Timestamp>,
    /// Event time at which the target was reached, in order of event time.
    pub completed_at: Timestamp,
    /// The pipeline's clock when it left.
    pub emitted_at: Timestamp,
    /// Revocations only: the transaction that took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reversed_by: Option<String>,
    /// What caused this message.
    pub trigger: Trigger,
    /// Of the last stage, at this message.
    pub progress: Money,
    /// Of the last stage.
    pub target: Money,
    /// What the player earns; null on missions without a reward.
    pub reward: Option<RewardRow>,
    /// Channels on which CRM may tell the player: those of the reward that the player has not refused.
    pub channels: Vec<String>,
}

/// Why a completion may not be told (DOMAIN §4, "RG").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restriction {
    /// The player has excluded itself.
    SelfExcluded,
    /// The player cools off.
    CooledOff,
    /// The player has consented to none of the reward's channels.
    NoConsent,
}

impl Restriction {
    /// The name in outputs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Restriction::SelfExcluded => "self_excluded",
            Restriction::CooledOff => "cooled_off",
            Restriction::NoConsent => "no_consent",
        }
    }
}

/// What became of a completion that may not be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditKind {
    /// It never leaves.
    Suppressed,
    /// It leaves when it may.
    Deferred,
}

/// One message of the topic `audit`: a completion that did not leave, and why. What it has in common with
/// [`CompletionRow`] is what that would have said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// Suppressed or deferred.
    #[serde(rename = "type")]
    pub kind: AuditKind,
    /// Why it may not be told. Of several reasons the first in the order of [`Restriction`].
    pub reason: Restriction,
    /// When the exclusion ends by itself; null where only another event ends it.
    pub until: Option<Timestamp>,
    /// Stable over (pipeline, player, mission, window, occurrence).
    pub completion_id: String,
    /// Counts the completions under one id, those that never left too.
    pub revision: u32,
    /// The player; the message's key.
    pub player_id: String,
    /// The mission.
    pub mission_id: String,
    /// The definition's version that decided.
    pub mission_version: i64,
    /// Counts completions inside a window, from 1.
    pub occurrence: u32,
    /// First instant of the window.
    pub window_start: Timestamp,
    /// End of the window: exclusive when recurring, inclusive when `once`; null without an end.
    pub window_end: Option<Timestamp>,
    /// Event time at which the target was reached, in order of event time.
    pub completed_at: Timestamp,
    /// The pipeline's clock when it would have left.
    pub emitted_at: Timestamp,
    /// What caused it.
    pub trigger: Trigger,
    /// Of the last stage.
    pub progress: Money,
    /// Of the last stage.
    pub target: Money,
    /// What the player would have earned; null on missions without a reward.
    pub reward: Option<RewardRow>,
    /// All channels of the reward.
    pub channels: Vec<String>,
}

/// The key of a row of daily gaming activity (DOMAIN §5).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActivityKey {
    /// Reporting day.
    pub date: Date,
    /// The player.
    pub customer_id: Arc<str>,
    /// The kind of game.
    pub game_type: Arc<str>,
    /// Never merged with another one.
    pub currency: Arc<str>,
}

/// The key of a message of the topic `activity`: `date|customer|game_type|currency`, see [`key_of`].
pub fn activity_key(ActivityKey { date, customer_id, game_type, currency }: &ActivityKey) -> String {
    key_of([&*date.to_string(), customer_id, game_type, currency])
}

/// One revision of a row of the topic and table `activity` (DOMAIN §5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityRow {
    /// Date, customer, game type, currency.
    #[serde(flatten)]
    pub key: ActivityKey,
    /// Bets, those of amount 0 included.
    pub bets_count: i64,
    /// Stakes, by the configured basis.
    pub total_bets: Money,
    /// Wins and payouts, by the configured basis.
    pub wins: Money,
    /// `total_bets - wins`.
    pub ggr: Money,
    /// GGR after the configured waterfall, rounded to the currency's minor unit.
    pub ngr: Money,
    /// Bonus money staked.
    pub bonus_bets: Money,
    /// Bonus-only winnings.
    pub bonus_wins: Money,
    /// 0 in basis cash; bonus stake minus bonus-only winnings in gross.
    pub bonus_cost: Money,
    /// What jackpots get of the stakes.
    pub jackpot_contribution: Money,
    /// What jackpots paid of the winnings.
    pub jackpot_wins: Money,
    /// Payments that were charged back. Left out where there are none, as it was before there were any.
    #[serde(default, skip_serializing_if = "is_none")]
    pub chargebacks: Money,
    /// Counts the emitted revisions of this row, from 1.
    pub revision: u64,
    /// The pipeline's clock when it left.
    pub updated_at: Timestamp,
}

/// There is nothing of it.
fn is_none(amount: &Money) -> bool {
    amount.is_zero()
}

/// One refused input (DOMAIN §2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterRow {
    /// Why.
    pub reason: Reason,
    /// The same for people: field, value, limit.
    pub detail: String,
    /// The record.
    #[serde(flatten)]
    pub place: Place,
    /// Place in the envelope; 0 without one.
    pub index: u32,
    /// The record's timestamp.
    pub ingest_time: Timestamp,
    /// The player, when known.
    pub player_id: Option<String>,
    /// The original text, redacted as mapped; absent for bytes that do not parse, unless allowed.
    pub raw: Option<String>,
    /// Bytes that are no UTF-8, when allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_base64: Option<String>,
    /// `raw` was cut to fit the broker's limit.
    pub truncated: bool,
}

/// What became of an event that did not simply count (DOMAIN §6, table `dispositions`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DispositionKind {
    /// Same key, same content.
    Duplicate,
    /// A reversal of what was reversed.
    AlreadyReversed,
    /// Beyond the lateness of a mission that it would have moved.
    Late,
    /// Same key, other content.
    Conflict,
    /// A reversal whose transaction never came, or had left the ledger.
    Orphan,
    /// Waits for something: a reversal for its transaction, an amount for a rate.
    Held,
}

/// A row of the lake table `dispositions`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DispositionRow {
    /// The record.
    #[serde(flatten)]
    pub place: Place,
    /// Place in the envelope.
    pub index: u32,
    /// What became of it.
    pub disposition: DispositionKind,
    /// The record's timestamp.
    pub ingest_time: Timestamp,
    /// The player.
    pub player_id: String,
    /// The transaction.
    pub transaction_id: String,
}

/// A row of the lake table `mission_definitions`: every definition record, good or bad.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefinitionRow {
    /// The record.
    #[serde(flatten)]
    pub place: Place,
    /// The record's timestamp: when the version takes effect.
    pub ingest_time: Timestamp,
    /// The record's key.
    pub mission_id: String,
    /// The definition's own version, when it has one.
    pub version: Option<i64>,
    /// It was valid and took effect.
    pub accepted: bool,
    /// The text; null is a tombstone.
    pub definition: Option<String>,
}

/// How far an epoch read one partition: offsets below `upper` are in this epoch or an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Binding {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Next offset to read.
    pub upper: i64,
}

/// Counters of the `summary.json` of a replay, and of the log lines of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Events read; an undecodable record is one.
    pub read: u64,
    /// Decoded, and neither duplicate, conflict, already reversed nor an unmatched reversal.
    pub accepted: u64,
    /// Same key, same content.
    pub duplicates: u64,
    /// Events beyond the lateness of a mission that they would have moved.
    pub late: u64,
    /// Reversals of what was reversed.
    pub already_reversed: u64,
    /// Reversals that wait for their transaction now.
    pub orphan_reversals_waiting: i64,
    /// Amounts that wait for a rate now.
    pub fx_missing_waiting: i64,
    /// Refused inputs by reason.
    pub dead_letters: BTreeMap<Reason, u64>,
    /// `mission_completed` messages.
    pub completed: u64,
    /// `mission_revoked` messages.
    pub revoked: u64,
    /// Completions that may not be told and never leave.
    pub suppressed: u64,
    /// Completions that wait until they may be told.
    #[serde(default)]
    pub deferred_waiting: i64,
}

impl Counters {
    /// Adds the counts of another part of the input.
    pub fn add(&mut self, other: &Counters) {
        self.read += other.read;
        self.accepted += other.accepted;
        self.duplicates += other.duplicates;
        self.late += other.late;
        self.already_reversed += other.already_reversed;
        self.orphan_reversals_waiting += other.orphan_reversals_waiting;
        self.fx_missing_waiting += other.fx_missing_waiting;
        for (reason, count) in &other.dead_letters {
            *self.dead_letters.entry(*reason).or_default() += count;
        }
        self.completed += other.completed;
        self.revoked += other.revoked;
        self.suppressed += other.suppressed;
        self.deferred_waiting += other.deferred_waiting;
    }
}

/// Everything that one epoch put out, each kind in its canonical order, so that equal epochs are
/// equal bytes on any number of workers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochOutputs {
    /// The epoch.
    pub epoch: crate::Epoch,
    /// The recorded reading of the clock.
    pub now: Timestamp,
    /// The wall's when the epoch was opened, by which activity reports.
    #[serde(default)]
    pub wall: Timestamp,
    /// The highest ingest time so far.
    pub newest: Timestamp,
    /// Partitions whose upper moved, sorted.
    pub bindings: Vec<Binding>,
    /// Completions and revocations in the order in which their causes apply.
    pub completions: Vec<CompletionRow>,
    /// Completions that did not leave, in the same order.
    #[serde(default)]
    pub audit: Vec<AuditRow>,
    /// Lines of points ledgers by player, then number.
    #[serde(default)]
    pub points: Vec<PointsRow>,
    /// Changes of tiers by player, then revision.
    #[serde(default)]
    pub tiers: Vec<TierRow>,
    /// Rows of activity by key.
    pub activity: Vec<ActivityRow>,
    /// Rows for the operator's feed, where it is configured.
    #[serde(default)]
    pub entities: EntityRows,
    /// Dead letters by coordinates.
    pub dead_letters: Vec<DeadLetterRow>,
    /// Dispositions by coordinates.
    pub dispositions: Vec<DispositionRow>,
    /// Definition records in the order in which they apply.
    pub definitions: Vec<DefinitionRow>,
    /// What this epoch adds to the counters.
    pub counters: Counters,
    /// What it changed of the rates that are known, for checkpoints. Whoever reads an epoch again hears of it again.
    #[serde(skip)]
    pub rates: RateChanges,
}

impl EpochOutputs {
    /// There is something that a consumer waits for.
    pub fn has_messages(&self) -> bool {
        !(self.completions.is_empty()
            && self.audit.is_empty()
            && self.points.is_empty()
            && self.tiers.is_empty()
            && self.activity.is_empty()
            && self.entities.is_empty()
            && self.dead_letters.is_empty())
    }
}
