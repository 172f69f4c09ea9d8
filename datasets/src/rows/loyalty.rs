//! What players have beside missions: points and tiers (DOMAIN §4).

use serde::{Deserialize, Serialize};

use super::Trigger;
use crate::{Money, Timestamp};

/// What moved a player's points (DOMAIN §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointsReason {
    /// A completion whose reward is points.
    Earn,
    /// A `points_spent` event.
    Spend,
    /// Their time was over. Above 0: a correction, they were spent in time or are not there to expire.
    Expire,
    /// What was earned or spent is taken back.
    Revoke,
}

/// The `type` of a line of the points ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointsKind {
    /// The only one.
    #[default]
    PointsChanged,
}

/// A line of a player's points ledger: a message of the topic `completions` and a row of the table `points`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointsRow {
    /// Always the same.
    #[serde(rename = "type")]
    pub kind: PointsKind,
    /// The player; the message's key.
    pub player_id: String,
    /// Counts the player's lines, from 1.
    pub line: u64,
    /// What is added; below 0, taken.
    pub delta: Money,
    /// The sum of all lines up to this one.
    pub balance: Money,
    /// Why.
    pub reason: PointsReason,
    /// The completion's id, or the transaction of the `points_spent` event.
    pub reference: String,
    /// Event time of what moved the points; of an expiry, when it was due.
    pub changed_at: Timestamp,
    /// When earned points expire; null on other lines, and where points do not expire.
    pub expires_at: Option<Timestamp>,
    /// The pipeline's clock when it left.
    pub emitted_at: Timestamp,
    /// What caused it; null if the clock did.
    pub trigger: Option<Trigger>,
}

/// The `type` of a change of tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TierKind {
    /// The only one.
    #[default]
    TierChanged,
}

/// A change of a player's tier: a message of the topic `completions` and a row of the table `tiers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierRow {
    /// Always the same.
    #[serde(rename = "type")]
    pub kind: TierKind,
    /// The player; the message's key.
    pub player_id: String,
    /// Counts the changes of the player's tier, from 1.
    pub revision: u64,
    /// The tier from now on; null: none.
    pub tier: Option<String>,
    /// The one before; null: none.
    pub previous: Option<String>,
    /// Event time at which the threshold was reached, in order of event time. Of a fall, that of the event that took
    /// progress away.
    pub changed_at: Timestamp,
    /// The pipeline's clock when it left.
    pub emitted_at: Timestamp,
    /// What caused it; null if the clock did.
    pub trigger: Option<Trigger>,
}
