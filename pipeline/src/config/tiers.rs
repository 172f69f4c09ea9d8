//! Tiers as the missions that they are judged by, and what is wrong with them.

use std::collections::BTreeMap;

use datasets::mission::{DefinitionError, Mission, MissionDefaults};
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
            let tier = match (config.name.as_str(), first) {
                ("", _) => Err(vec![TierError::new("name", "is missing: messages call the tier by it")]),
                (name, first) if first < index => {
                    Err(vec![TierError::new("name", format!("{name:?} is the name of tier[{first}] too"))])
                }
                _ => tier(config, &defaults).and_then(|tier| above(tier, &tiers)),
            };
            tiers.push(tier);
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
    let misplaced: Vec<TierError> =
        misplaced.map(|(key, _)| TierError::new(key, "belongs to downgrade = \"period_end\": remove it")).collect();
    if !misplaced.is_empty() {
        return Err(misplaced);
    }
    let Some(threshold) = &tier.threshold else {
        return Err(vec![TierError::new("threshold", "is missing: say how much of the measure a player needs")]);
    };
    let float = tier.measure.iter().find_map(|(name, value)| float_in(&format!("measure.{name}"), value));
    if let Some(key) = float {
        return Err(vec![TierError::new(&key, "is a floating-point number, which is not exact: write it as a text")]);
    }
    let mut measure = tier.measure.clone();
    let mut stage = json!({ "target": threshold.0 });
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
    let definition = json!({
        "mission_id": tier.name,
        "version": 1,
        "status": "active",
        "window": { "every": every, "zone": tier.zone.as_ref().map_or(&*defaults.zone_name, Zone::name) },
        "stages": [stage],
        // What was reached in a period is kept to its end.
        "on_reversal": if tier.downgrade == Downgrade::Automatic { "revoke" } else { "keep" },
    });
    let mission = Mission::parse(&tier.name, &definition.to_string(), defaults)
        .map_err(|errors| errors.into_iter().map(TierError::from).collect::<Vec<_>>())?;
    Ok(Tier { mission, outlasts_next: tier.kept == Some(TierKept::NextPeriod) })
}

/// The path of a number in `value` that went through a float.
fn float_in(path: &str, value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => number.is_f64().then(|| path.to_owned()),
        Value::Object(members) => members.iter().find_map(|(name, value)| float_in(&format!("{path}.{name}"), value)),
        Value::Array(items) => items.iter().find_map(|value| float_in(path, value)),
        _ => None,
    }
}

/// `tier`, if a player can have one of those before it that measure the same, and not this one.
fn above(tier: Tier, before: &[Result<Tier, Vec<TierError>>]) -> Result<Tier, Vec<TierError>> {
    let kind = |Tier { mission, outlasts_next }: &Tier| {
        let stage = &mission.stages[0];
        let what = (stage.on.clone(), stage.condition.clone(), stage.measure.clone());
        (what, mission.window.clone(), mission.on_reversal, *outlasts_next)
    };
    let target = |tier: &Tier| tier.mission.stages[0].target;
    let alike = before.iter().flatten().filter(|before| kind(before) == kind(&tier));
    let Some(higher) = alike.into_iter().find(|before| target(before) >= target(&tier)) else { return Ok(tier) };
    let message = format!(
        "is not above that of {:?}, which comes before and measures the same: list tiers from the lowest to the highest",
        higher.mission.name
    );
    Err(vec![TierError::new("threshold", message)])
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
        TierError { key, message }
    }
}
