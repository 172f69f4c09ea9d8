//! Tiers as the missions that they are judged by, and what is wrong with them.

use std::collections::BTreeMap;

use datasets::EventName;
use datasets::mission::{DefinitionError, EventKind, Measure, Mission, MissionDefaults, OnReversal, Window};
use datasets::time::Every;
use operators::tiers::Tier;
use serde_json::{Value, json};

use super::settings::{Config, Downgrade, Period, TierConfig, TierKept};
use super::values::Zone;

impl Config {
    /// Each tier, in the order of the file. None fails in a configuration that was loaded.
    pub fn checked_tiers(&self) -> Vec<Result<Tier, Vec<TierError>>> {
        let defaults = self.mission_defaults();
        let mut names = BTreeMap::new();
        let mut tiers: Vec<Result<Tier, Vec<TierError>>> = Vec::new();
        for (index, config) in self.tiers.iter().enumerate() {
            let first = *names.entry(config.name.as_str()).or_insert(index);
            let name = match (config.name.as_str(), first) {
                ("", _) => Some(TierError::new("name", "is missing: messages call the tier by it")),
                (name, first) if first < index => {
                    Some(TierError::new("name", format!("{name:?} is the name of tier[{first}] too")))
                }
                _ => None,
            };
            let rest = tier(config, &defaults).and_then(|tier| above(tier, &tiers));
            tiers.push(match (name, rest) {
                (None, rest) => rest,
                (Some(name), rest) => Err([name].into_iter().chain(rest.err().into_iter().flatten()).collect()),
            });
        }
        tiers
    }
}

/// What is wrong with a tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierError {
    /// A key of the tier, such as `measure.field`.
    pub key: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl TierError {
    fn new(key: &str, message: impl Into<String>) -> Self {
        TierError { key: key.to_owned(), message: message.into() }
    }
}

/// One tier: its measure is the only stage of the mission that it is judged by.
fn tier(tier: &TierConfig, defaults: &MissionDefaults) -> Result<Tier, Vec<TierError>> {
    let has_periods = tier.downgrade == Downgrade::PeriodEnd;
    let of_periods = [("period", tier.period.is_some()), ("zone", tier.zone.is_some()), ("kept", tier.kept.is_some())];
    let misplaced = of_periods.into_iter().filter(|(_, is_given)| *is_given && !has_periods);
    let mut errors: Vec<TierError> =
        misplaced.map(|(key, _)| TierError::new(key, "belongs to downgrade = \"period_end\": remove it")).collect();
    if tier.threshold.is_none() {
        errors.push(TierError::new("threshold", "is missing: say how much of the measure a player needs"));
    }
    let floats = tier.measure.iter().flat_map(|(name, value)| floats_in(&format!("measure.{name}"), value));
    let floats: Vec<String> = floats.collect();
    let inexact = "is a floating-point number, which is not exact: write it as a text";
    errors.extend(floats.iter().map(|key| TierError::new(key, inexact)));
    let mut measure = tier.measure.clone();
    // Without a threshold the rest is looked at all the same.
    let mut stage = json!({ "target": tier.threshold.as_ref().map_or("1", |threshold| &*threshold.0) });
    for beside in ["on", "where"] {
        if let Some(value) = measure.remove(beside) {
            stage[beside] = value;
        }
    }
    stage["measure"] = Value::Object(measure);
    let every = match tier.period.unwrap_or_default() {
        _ if !has_periods => "once",
        Period::Day => "day",
        Period::Week => "week",
        Period::Month => "month",
    };
    // A missing name is said elsewhere.
    let name = if tier.name.is_empty() { "tier" } else { &tier.name };
    let definition = json!({
        "mission_id": name,
        "version": 1,
        "status": "active",
        "window": { "every": every, "zone": tier.zone.as_ref().map_or(&*defaults.zone_name, Zone::name) },
        "stages": [stage],
        // What was reached in a period is kept to its end.
        "on_reversal": if tier.downgrade == Downgrade::Automatic { "revoke" } else { "keep" },
    });
    match Mission::parse(name, &definition.to_string(), defaults) {
        Ok(mission) if errors.is_empty() => {
            return Ok(Tier { mission, outlasts_next: tier.kept == Some(TierKept::NextPeriod) });
        }
        Ok(_) => {}
        Err(wrong) => {
            // What has been said of a place is enough.
            let wrong = wrong.into_iter().map(TierError::from);
            errors.extend(wrong.filter(|error| !floats.contains(&error.key)));
        }
    }
    Err(errors)
}

/// The paths of numbers in `value` that went through a float.
fn floats_in(path: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Number(number) => number.is_f64().then(|| path.to_owned()).into_iter().collect(),
        Value::Object(members) => {
            members.iter().flat_map(|(name, value)| floats_in(&format!("{path}.{name}"), value)).collect()
        }
        Value::Array(items) => items.iter().flat_map(|value| floats_in(path, value)).collect(),
        _ => Vec::new(),
    }
}

/// `tier`, if each of those `before` it can be a player's highest: not where whoever reaches that has this one too, for as long.
fn above(tier: Tier, before: &[Result<Tier, Vec<TierError>>]) -> Result<Tier, Vec<TierError>> {
    let Some(hidden) = before.iter().flatten().find(|before| hides(&tier, before)) else { return Ok(tier) };
    let message = format!(
        "is not above that of {:?}, which comes before and measures the same: list tiers from the lowest to the highest",
        hidden.mission.name
    );
    Err(vec![TierError::new("threshold", message)])
}

/// Whoever has `lower` has `higher` as well.
fn hides(higher: &Tier, lower: &Tier) -> bool {
    let [above, below] = [higher, lower].map(|tier| &tier.mission.stages[0]);
    let of_both = |kind: &EventKind| above.on.contains(kind) && below.on.contains(kind);
    let is_same = above.condition == below.condition
        && above.measure == below.measure
        && above.on.iter().chain(&below.on).all(of_both);
    // What is lost by a correction leaves the other one standing, if that is not.
    let is_kept = higher.mission.on_reversal == OnReversal::Keep || lower.mission.on_reversal == OnReversal::Revoke;
    is_same && is_kept && above.target <= below.target && is_within(lower, higher)
}

/// What counts for `inner` counts for `outer` at the same time, in a period that ends no earlier.
fn is_within(inner: &Tier, outer: &Tier) -> bool {
    let [within, around] = [inner, outer].map(|tier| &tier.mission.window);
    let is_longer = match (within, around) {
        _ if within == around => return outer.outlasts_next || !inner.outlasts_next,
        (_, Window::Once) => true,
        (Window::Every { every, zone_name, .. }, Window::Every { every: other, zone_name: other_zone, .. }) => {
            // A week may be in two months.
            let is_part = matches!((every, other), (Every::Day, Every::Week | Every::Month));
            is_part && zone_name == other_zone && (outer.outlasts_next || !inner.outlasts_next)
        }
        (Window::Once, _) => false,
    };
    // Amounts below zero, from before the shorter period, can leave less in the longer one.
    let stage = &inner.mission.stages[0];
    let only_grows = !matches!(stage.measure, Measure::Sum { .. }) || stage.on.iter().all(is_never_negative);
    is_longer && only_grows
}

/// Amounts of such events are refused below zero (DOMAIN §2).
fn is_never_negative(kind: &EventKind) -> bool {
    let never = [
        EventName::BetPlaced,
        EventName::BetSettled,
        EventName::Win,
        EventName::Deposit,
        EventName::Withdrawal,
        EventName::BonusGranted,
    ];
    matches!(kind, EventKind::Known(name) if never.contains(name))
}

/// A place in the definition is one in the tier.
impl From<DefinitionError> for TierError {
    fn from(DefinitionError { path, message }: DefinitionError) -> Self {
        let key = match path.strip_prefix("/stages/0/").unwrap_or(&path) {
            "target" => "threshold".to_owned(),
            "on" => "measure.on".to_owned(),
            "where" => "measure.where".to_owned(),
            "/mission_id" => "name".to_owned(),
            inner => inner.trim_start_matches('/').replace('/', "."),
        };
        // Its windows are the periods of the tier.
        let message = message.replace("a window of this mission", "a period of this tier");
        TierError { key, message }
    }
}
