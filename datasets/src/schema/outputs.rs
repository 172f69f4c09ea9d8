//! The tables of what an epoch put out. Their rows are held in the epoch's [`EpochOutputs`].

use super::events::utc_day;
use super::{Column, Layout};
use crate::Epoch;
use crate::rows::{
    AuditKind, CompletionKind, DispositionKind, EpochOutputs, PointsReason, RewardRow, Trigger, TriggerKind,
};

type Col = Column<EpochOutputs>;

/// Layout of `activity`: revisions of the daily rows, partitioned by their own day (DOMAIN §5).
pub fn activity() -> Layout<EpochOutputs> {
    let columns = vec![
        Col::date("date", |out, row| Some(out.activity[row].key.date)).required(),
        Col::text("customer_id", |out, row| Some(&out.activity[row].key.customer_id)),
        Col::text("game_type", |out, row| Some(&out.activity[row].key.game_type)),
        Col::text("currency", |out, row| Some(&out.activity[row].key.currency)),
        Col::int("bets_count", |out, row| Some(out.activity[row].bets_count)).required(),
        Col::money("total_bets", |out, row| Some(out.activity[row].total_bets)).required(),
        Col::money("wins", |out, row| Some(out.activity[row].wins)).required(),
        Col::money("ggr", |out, row| Some(out.activity[row].ggr)).required(),
        Col::money("ngr", |out, row| Some(out.activity[row].ngr)).required(),
        Col::money("bonus_bets", |out, row| Some(out.activity[row].bonus_bets)).required(),
        Col::money("bonus_wins", |out, row| Some(out.activity[row].bonus_wins)).required(),
        Col::money("bonus_cost", |out, row| Some(out.activity[row].bonus_cost)).required(),
        Col::money("jackpot_contribution", |out, row| Some(out.activity[row].jackpot_contribution)).required(),
        Col::money("jackpot_wins", |out, row| Some(out.activity[row].jackpot_wins)).required(),
        Col::int("revision", |out, row| Some(signed(out.activity[row].revision))).required(),
        Col::time("updated_at", |out, row| Some(out.activity[row].updated_at)).required(),
        epoch(),
        // NULL for none, so that a row without them is the row that it was before there were any.
        Col::money("chargebacks", |out, row| Some(out.activity[row].chargebacks).filter(|sum| !sum.is_zero())).since(2),
    ];
    let day = |out: &EpochOutputs, row: usize| out.activity[row].key.date.days();
    Layout::new("activity", "activity_date", |out| out.activity.len(), day, columns)
}

/// Layout of `completions`: completions and revocations, partitioned by the UTC day of emission.
pub fn completions() -> Layout<EpochOutputs> {
    fn reward(out: &EpochOutputs, row: usize) -> Option<&RewardRow> {
        out.completions[row].reward.as_ref()
    }
    let columns = vec![
        Col::text("type", |out, row| Some(completion_kind(out.completions[row].kind))),
        Col::text("completion_id", |out, row| Some(&out.completions[row].completion_id)),
        Col::int("revision", |out, row| Some(i64::from(out.completions[row].revision))).required(),
        Col::text("player_id", |out, row| Some(&out.completions[row].player_id)),
        Col::text("mission_id", |out, row| Some(&out.completions[row].mission_id)),
        Col::int("mission_version", |out, row| Some(out.completions[row].mission_version)).required(),
        Col::int("occurrence", |out, row| Some(i64::from(out.completions[row].occurrence))).required(),
        Col::time("window_start", |out, row| Some(out.completions[row].window_start)).required(),
        Col::time("window_end", |out, row| out.completions[row].window_end),
        Col::time("completed_at", |out, row| Some(out.completions[row].completed_at)).required(),
        Col::time("emitted_at", |out, row| Some(out.completions[row].emitted_at)).required(),
        Col::text("reversed_by", |out, row| out.completions[row].reversed_by.as_deref()),
        Col::text("trigger_kind", |out, row| Some(trigger_kind(out.completions[row].trigger.kind))),
        Col::text("trigger_transaction_id", |out, row| out.completions[row].trigger.transaction_id.as_deref()),
        Col::text("trigger_topic", |out, row| Some(&out.completions[row].trigger.place.topic)),
        Col::int("trigger_partition", |out, row| Some(out.completions[row].trigger.place.partition.into())).required(),
        Col::int("trigger_offset", |out, row| Some(out.completions[row].trigger.place.offset)).required(),
        Col::money("progress", |out, row| Some(out.completions[row].progress)).required(),
        Col::money("target", |out, row| Some(out.completions[row].target)).required(),
        Col::text("reward_type", |out, row| reward(out, row).map(|reward| reward.kind.as_str())),
        Col::text("reward_value", |out, row| reward(out, row).map(|reward| reward.value.as_str())),
        Col::texts("channels", |out, row| &out.completions[row].channels),
        epoch(),
    ];
    let day = |out: &EpochOutputs, row: usize| utc_day(out.completions[row].emitted_at);
    Layout::new("completions", "emitted_dt", |out| out.completions.len(), day, columns)
}

/// Layout of `audit`: completions that did not leave, partitioned by the UTC day on which they would have.
pub fn audit() -> Layout<EpochOutputs> {
    fn reward(out: &EpochOutputs, row: usize) -> Option<&RewardRow> {
        out.audit[row].reward.as_ref()
    }
    let columns = vec![
        Col::text("type", |out, row| Some(audit_kind(out.audit[row].kind))),
        Col::text("reason", |out, row| Some(out.audit[row].reason.as_str())),
        Col::time("until", |out, row| out.audit[row].until),
        Col::text("completion_id", |out, row| Some(&out.audit[row].completion_id)),
        Col::int("revision", |out, row| Some(i64::from(out.audit[row].revision))).required(),
        Col::text("player_id", |out, row| Some(&out.audit[row].player_id)),
        Col::text("mission_id", |out, row| Some(&out.audit[row].mission_id)),
        Col::int("mission_version", |out, row| Some(out.audit[row].mission_version)).required(),
        Col::int("occurrence", |out, row| Some(i64::from(out.audit[row].occurrence))).required(),
        Col::time("window_start", |out, row| Some(out.audit[row].window_start)).required(),
        Col::time("window_end", |out, row| out.audit[row].window_end),
        Col::time("completed_at", |out, row| Some(out.audit[row].completed_at)).required(),
        Col::time("emitted_at", |out, row| Some(out.audit[row].emitted_at)).required(),
        Col::text("trigger_kind", |out, row| Some(trigger_kind(out.audit[row].trigger.kind))),
        Col::text("trigger_transaction_id", |out, row| out.audit[row].trigger.transaction_id.as_deref()),
        Col::text("trigger_topic", |out, row| Some(&out.audit[row].trigger.place.topic)),
        Col::int("trigger_partition", |out, row| Some(out.audit[row].trigger.place.partition.into())).required(),
        Col::int("trigger_offset", |out, row| Some(out.audit[row].trigger.place.offset)).required(),
        Col::money("progress", |out, row| Some(out.audit[row].progress)).required(),
        Col::money("target", |out, row| Some(out.audit[row].target)).required(),
        Col::text("reward_type", |out, row| reward(out, row).map(|reward| reward.kind.as_str())),
        Col::text("reward_value", |out, row| reward(out, row).map(|reward| reward.value.as_str())),
        Col::texts("channels", |out, row| &out.audit[row].channels),
        epoch(),
    ];
    let day = |out: &EpochOutputs, row: usize| utc_day(out.audit[row].emitted_at);
    Layout::new("audit", "emitted_dt", |out| out.audit.len(), day, columns)
}

/// Layout of `points`: lines of points ledgers, partitioned by the UTC day of emission.
pub fn points() -> Layout<EpochOutputs> {
    fn trigger(out: &EpochOutputs, row: usize) -> Option<&Trigger> {
        out.points[row].trigger.as_ref()
    }
    let columns = vec![
        Col::text("type", |_, _| Some("points_changed")),
        Col::text("player_id", |out, row| Some(&out.points[row].player_id)),
        Col::int("line", |out, row| Some(signed(out.points[row].line))).required(),
        Col::money("delta", |out, row| Some(out.points[row].delta)).required(),
        Col::money("balance", |out, row| Some(out.points[row].balance)).required(),
        Col::text("reason", |out, row| Some(points_reason(out.points[row].reason))),
        Col::text("reference", |out, row| Some(&out.points[row].reference)),
        Col::time("changed_at", |out, row| Some(out.points[row].changed_at)).required(),
        Col::time("expires_at", |out, row| out.points[row].expires_at),
        Col::time("emitted_at", |out, row| Some(out.points[row].emitted_at)).required(),
        Col::text("trigger_kind", |out, row| trigger(out, row).map(|trigger| trigger_kind(trigger.kind))),
        Col::text("trigger_transaction_id", |out, row| trigger(out, row)?.transaction_id.as_deref()),
        Col::text("trigger_topic", |out, row| Some(&trigger(out, row)?.place.topic)),
        Col::int("trigger_partition", |out, row| Some(trigger(out, row)?.place.partition.into())),
        Col::int("trigger_offset", |out, row| Some(trigger(out, row)?.place.offset)),
        epoch(),
    ];
    let day = |out: &EpochOutputs, row: usize| utc_day(out.points[row].emitted_at);
    Layout::new("points", "emitted_dt", |out| out.points.len(), day, columns)
}

/// Layout of `tiers`: changes of players' tiers, partitioned by the UTC day of emission.
pub fn tiers() -> Layout<EpochOutputs> {
    fn trigger(out: &EpochOutputs, row: usize) -> Option<&Trigger> {
        out.tiers[row].trigger.as_ref()
    }
    let columns = vec![
        Col::text("type", |_, _| Some("tier_changed")),
        Col::text("player_id", |out, row| Some(&out.tiers[row].player_id)),
        Col::int("revision", |out, row| Some(signed(out.tiers[row].revision))).required(),
        Col::text("tier", |out, row| out.tiers[row].tier.as_deref()),
        Col::text("previous", |out, row| out.tiers[row].previous.as_deref()),
        Col::time("changed_at", |out, row| Some(out.tiers[row].changed_at)).required(),
        Col::time("emitted_at", |out, row| Some(out.tiers[row].emitted_at)).required(),
        Col::text("trigger_kind", |out, row| trigger(out, row).map(|trigger| trigger_kind(trigger.kind))),
        Col::text("trigger_transaction_id", |out, row| trigger(out, row)?.transaction_id.as_deref()),
        Col::text("trigger_topic", |out, row| Some(&trigger(out, row)?.place.topic)),
        Col::int("trigger_partition", |out, row| Some(trigger(out, row)?.place.partition.into())),
        Col::int("trigger_offset", |out, row| Some(trigger(out, row)?.place.offset)),
        epoch(),
    ];
    let day = |out: &EpochOutputs, row: usize| utc_day(out.tiers[row].emitted_at);
    Layout::new("tiers", "emitted_dt", |out| out.tiers.len(), day, columns)
}

/// Layout of `dead_letters`, partitioned by the UTC day of ingestion.
pub fn dead_letters() -> Layout<EpochOutputs> {
    let columns = vec![
        Col::text("reason", |out, row| Some(out.dead_letters[row].reason.as_str())),
        Col::text("detail", |out, row| Some(&out.dead_letters[row].detail)),
        Col::text("topic", |out, row| Some(&out.dead_letters[row].place.topic)),
        Col::int("partition", |out, row| Some(out.dead_letters[row].place.partition.into())).required(),
        Col::int("offset", |out, row| Some(out.dead_letters[row].place.offset)).required(),
        Col::int("record_index", |out, row| Some(out.dead_letters[row].index.into())).required(),
        Col::time("ingest_time", |out, row| Some(out.dead_letters[row].ingest_time)).required(),
        Col::text("player_id", |out, row| out.dead_letters[row].player_id.as_deref()),
        Col::text("raw", |out, row| out.dead_letters[row].raw.as_deref()),
        Col::text("raw_base64", |out, row| out.dead_letters[row].raw_base64.as_deref()),
        Col::bool("truncated", |out, row| Some(out.dead_letters[row].truncated)).required(),
        epoch(),
    ];
    let day = |out: &EpochOutputs, row: usize| utc_day(out.dead_letters[row].ingest_time);
    Layout::new("dead_letters", "ingest_dt", |out| out.dead_letters.len(), day, columns)
}

/// Layout of `dispositions`: what became of events that did not simply count.
pub fn dispositions() -> Layout<EpochOutputs> {
    let columns = vec![
        Col::text("topic", |out, row| Some(&out.dispositions[row].place.topic)),
        Col::int("partition", |out, row| Some(out.dispositions[row].place.partition.into())).required(),
        Col::int("offset", |out, row| Some(out.dispositions[row].place.offset)).required(),
        Col::int("record_index", |out, row| Some(out.dispositions[row].index.into())).required(),
        Col::text("disposition", |out, row| Some(disposition(out.dispositions[row].disposition))),
        Col::time("ingest_time", |out, row| Some(out.dispositions[row].ingest_time)).required(),
        Col::text("player_id", |out, row| Some(&out.dispositions[row].player_id)),
        Col::text("transaction_id", |out, row| Some(&out.dispositions[row].transaction_id)),
        epoch(),
    ];
    let day = |out: &EpochOutputs, row: usize| utc_day(out.dispositions[row].ingest_time);
    Layout::new("dispositions", "ingest_dt", |out| out.dispositions.len(), day, columns)
}

/// Layout of `mission_definitions`: every definition record, good or bad.
pub fn mission_definitions() -> Layout<EpochOutputs> {
    let columns = vec![
        Col::text("topic", |out, row| Some(&out.definitions[row].place.topic)),
        Col::int("partition", |out, row| Some(out.definitions[row].place.partition.into())).required(),
        Col::int("offset", |out, row| Some(out.definitions[row].place.offset)).required(),
        Col::time("ingest_time", |out, row| Some(out.definitions[row].ingest_time)).required(),
        Col::text("mission_id", |out, row| Some(&out.definitions[row].mission_id)),
        Col::int("version", |out, row| out.definitions[row].version),
        Col::bool("accepted", |out, row| Some(out.definitions[row].accepted)).required(),
        Col::text("definition", |out, row| out.definitions[row].definition.as_deref()),
        epoch(),
    ];
    let day = |out: &EpochOutputs, row: usize| utc_day(out.definitions[row].ingest_time);
    Layout::new("mission_definitions", "ingest_dt", |out| out.definitions.len(), day, columns)
}

/// Layout of `epochs`: the log that sticky decisions follow, one row per epoch, kept for auditors.
pub fn epochs() -> Layout<EpochOutputs> {
    let columns = vec![
        epoch(),
        Col::time("now", |out, _| Some(out.now)).required(),
        Col::time("wall", |out, _| Some(out.wall)),
        Col::json("bindings", |out, _| json(&out.bindings)),
        Col::json("counters", |out, _| json(&out.counters)),
    ];
    Layout::new("epochs", "epoch_dt", |_| 1, |out, _| utc_day(out.now), columns)
}

pub(super) fn epoch() -> Col {
    Col::int("epoch", |out, _| Some(signed(out.epoch))).required()
}

/// A count as the signed integer that every warehouse has.
pub(super) fn signed(count: Epoch) -> i64 {
    i64::try_from(count).expect("epochs and revisions count from 0 and stay below 2^63")
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("rows have string keys and no failing serializer")
}

fn completion_kind(kind: CompletionKind) -> &'static str {
    match kind {
        CompletionKind::MissionCompleted => "mission_completed",
        CompletionKind::MissionRevoked => "mission_revoked",
    }
}

fn audit_kind(kind: AuditKind) -> &'static str {
    match kind {
        AuditKind::Suppressed => "suppressed",
        AuditKind::Deferred => "deferred",
    }
}

fn points_reason(reason: PointsReason) -> &'static str {
    match reason {
        PointsReason::Earn => "earn",
        PointsReason::Spend => "spend",
        PointsReason::Expire => "expire",
        PointsReason::Revoke => "revoke",
    }
}

fn trigger_kind(kind: TriggerKind) -> &'static str {
    match kind {
        TriggerKind::Event => "event",
        TriggerKind::DefinitionChange => "definition_change",
    }
}

fn disposition(kind: DispositionKind) -> &'static str {
    match kind {
        DispositionKind::Duplicate => "duplicate",
        DispositionKind::AlreadyReversed => "already_reversed",
        DispositionKind::Late => "late",
        DispositionKind::Conflict => "conflict",
        DispositionKind::Orphan => "orphan",
        DispositionKind::Held => "held",
    }
}
