//! Rows between processes, for `#[serde(with = "datasets::wire")]` on a list of them, alone or each behind the place that
//! orders it. Their JSON is a contract that flattens a record's place and leaves out what is absent, which a format
//! without names cannot read again; and its times end with the year 9999. So here is each row once more, field by field.
//! Nothing is encoded inside a process, so this costs only what crosses.

use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::rows::{
    ActivityKey, ActivityRow, AuditKind, AuditRow, CompletionKind, CompletionRow, DeadLetterRow, DefinitionRow,
    DispositionKind, DispositionRow, Place, PointsKind, PointsReason, PointsRow, Restriction, RewardRow, TierKind,
    TierRow, Trigger, TriggerKind,
};
use crate::{Money, Reason, Timestamp};

/// What crosses in a form of its own.
pub trait Crossing: Sized {
    /// Writes it.
    ///
    /// # Errors
    /// Those of `serializer`.
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// Those of `deserializer`.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// Writes `rows`.
///
/// # Errors
/// Those of `serializer`.
pub fn serialize<T: Crossing, S: Serializer>(rows: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    let mut sequence = serializer.serialize_seq(Some(rows.len()))?;
    rows.iter().try_for_each(|row| sequence.serialize_element(&Writing(row)))?;
    sequence.end()
}

/// Reads what [`serialize`] wrote.
///
/// # Errors
/// Those of `deserializer`.
pub fn deserialize<'de, T: Crossing, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let rows = Vec::<ReadRow<T>>::deserialize(deserializer)?;
    Ok(rows.into_iter().map(|ReadRow(row)| row).collect())
}

struct Writing<'a, T>(&'a T);

impl<T: Crossing> Serialize for Writing<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

struct ReadRow<T>(T);

impl<'de, T: Crossing> Deserialize<'de> for ReadRow<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(ReadRow)
    }
}

impl<K: Serialize + for<'a> Deserialize<'a>, T: Crossing> Crossing for (K, T) {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.0, Writing(&self.1)).serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (place, ReadRow(row)) = <(K, ReadRow<T>)>::deserialize(deserializer)?;
        Ok((place, row))
    }
}

/// Each field of `$row` by itself, in this order.
macro_rules! by_fields {
    ($row:ident as $name:literal through $fields:ident { $($(#[$with:meta])? $field:ident: $type:ty,)* }) => {
        #[derive(Serialize, Deserialize)]
        #[serde(remote = $name)]
        struct $fields { $($(#[$with])? $field: $type,)* }

        impl Crossing for $row {
            fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $fields::serialize(self, serializer)
            }

            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $fields::deserialize(deserializer)
            }
        }
    };
}

by_fields! { Trigger as "Trigger" through TriggerFields {
    kind: TriggerKind,
    transaction_id: Option<String>,
    place: Place,
} }

by_fields! { CompletionRow as "CompletionRow" through CompletionFields {
    kind: CompletionKind,
    completion_id: String,
    revision: u32,
    player_id: String,
    mission_id: String,
    mission_version: i64,
    occurrence: u32,
    window_start: Timestamp,
    window_end: Option<Timestamp>,
    completed_at: Timestamp,
    emitted_at: Timestamp,
    reversed_by: Option<String>,
    #[serde(with = "TriggerFields")] trigger: Trigger,
    progress: Money,
    target: Money,
    reward: Option<RewardRow>,
    channels: Vec<String>,
} }

by_fields! { AuditRow as "AuditRow" through AuditFields {
    kind: AuditKind,
    reason: Restriction,
    until: Option<Timestamp>,
    completion_id: String,
    revision: u32,
    player_id: String,
    mission_id: String,
    mission_version: i64,
    occurrence: u32,
    window_start: Timestamp,
    window_end: Option<Timestamp>,
    completed_at: Timestamp,
    emitted_at: Timestamp,
    #[serde(with = "TriggerFields")] trigger: Trigger,
    progress: Money,
    target: Money,
    reward: Option<RewardRow>,
    channels: Vec<String>,
} }

by_fields! { PointsRow as "PointsRow" through PointsFields {
    kind: PointsKind,
    player_id: String,
    line: u64,
    delta: Money,
    balance: Money,
    reason: PointsReason,
    reference: String,
    changed_at: Timestamp,
    expires_at: Option<Timestamp>,
    emitted_at: Timestamp,
    #[serde(with = "optional_trigger")] trigger: Option<Trigger>,
} }

by_fields! { TierRow as "TierRow" through TierFields {
    kind: TierKind,
    player_id: String,
    revision: u64,
    tier: Option<String>,
    previous: Option<String>,
    changed_at: Timestamp,
    emitted_at: Timestamp,
    #[serde(with = "optional_trigger")] trigger: Option<Trigger>,
} }

/// A trigger that may be absent.
mod optional_trigger {
    use super::{Deserialize, Deserializer, ReadRow, Serialize, Serializer, Trigger, Writing};

    pub fn serialize<S: Serializer>(trigger: &Option<Trigger>, serializer: S) -> Result<S::Ok, S::Error> {
        trigger.as_ref().map(Writing).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Trigger>, D::Error> {
        let trigger: Option<ReadRow<Trigger>> = Option::deserialize(deserializer)?;
        Ok(trigger.map(|ReadRow(trigger)| trigger))
    }
}

by_fields! { ActivityRow as "ActivityRow" through ActivityFields {
    key: ActivityKey,
    bets_count: i64,
    total_bets: Money,
    wins: Money,
    ggr: Money,
    ngr: Money,
    bonus_bets: Money,
    bonus_wins: Money,
    bonus_cost: Money,
    jackpot_contribution: Money,
    jackpot_wins: Money,
    chargebacks: Money,
    revision: u64,
    updated_at: Timestamp,
} }

by_fields! { DeadLetterRow as "DeadLetterRow" through DeadLetterFields {
    reason: Reason,
    detail: String,
    place: Place,
    index: u32,
    ingest_time: Timestamp,
    player_id: Option<String>,
    raw: Option<String>,
    raw_base64: Option<String>,
    truncated: bool,
} }

by_fields! { DispositionRow as "DispositionRow" through DispositionFields {
    place: Place,
    index: u32,
    disposition: DispositionKind,
    ingest_time: Timestamp,
    player_id: String,
    transaction_id: String,
} }

by_fields! { DefinitionRow as "DefinitionRow" through DefinitionFields {
    place: Place,
    ingest_time: Timestamp,
    mission_id: String,
    version: Option<i64>,
    accepted: bool,
    definition: Option<String>,
} }
