//! Tiers as the missions that they are judged by, and what is wrong with them.

use std::collections::BTreeMap;

use datasets::mission::{DefinitionError, Mission, MissionDefaults};
use serde_json::{Value, json};

use super::settings::{Config, Downgrade, TierConfig};

impl Config {
    /// Each tier, in the order of the file. None fails in a configuration that was loaded.
    pub fn tier_missions(&self) -> Vec<Result<Mission, Vec<TierError>>> {
        let defaults = self.mission_defaults();
        let mut names = BTreeMap::new();
        let mut tiers: Vec<Result<Mission, Vec<TierError>>> = Vec::new();
        for (index, config) in self.tiers.iter().enumerate() {
            let first = *names.entry(config.name.as_str()).or_insert(index);
            let tier = match (config.name.as_str(), first) {
                ("", _) => Err(vec![TierError::new("name", "is missing: messages call the tier by it")]),
                (name, first) if first < index => {
                    Err(vec![TierError::new("name", format!("{name:?} is the name of tier[{first}] too"))])
                }
                _ => mission(config, &defaults).and_then(|tier| above(tier, &tiers)),
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

/// The mission of one tier: its measure is the only stage.
fn mission(tier: &TierConfig, defaults: &MissionDefaults) -> Result<Mission, Vec<TierError>> {
    let on_reversal = match tier.downgrade {
        Downgrade::Never => "keep",
        Downgrade::Automatic => "revoke",
        Downgrade::PeriodEnd => {
            let message = "\"period_end\" is not supported in this version: use never or automatic";
            return Err(vec![TierError::new("downgrade", message)]);
        }
    };
    let Some(threshold) = &tier.threshold else {
        return Err(vec![TierError::new("threshold", "is missing: say how much of the measure a player needs")]);
    };
    let mut measure = tier.measure.clone();
    let mut stage = json!({ "target": threshold.0 });
    for beside in ["on", "where"] {
        if let Some(value) = measure.remove(beside) {
            stage[beside] = value;
        }
    }
    stage["measure"] = Value::Object(measure);
    let definition = json!({
        "mission_id": tier.name,
        "version": 1,
        "status": "active",
        "stages": [stage],
        "on_reversal": on_reversal,
    });
    Mission::parse(&tier.name, &definition.to_string(), defaults)
        .map_err(|errors| errors.into_iter().map(TierError::from).collect())
}

/// `tier`, if a player who reaches it need not have one of those before that measure the same.
fn above(tier: Mission, before: &[Result<Mission, Vec<TierError>>]) -> Result<Mission, Vec<TierError>> {
    let what = |tier: &Mission| {
        let stage = &tier.stages[0];
        (stage.on.clone(), stage.condition.clone(), stage.measure.clone(), tier.window.clone())
    };
    let higher = before.iter().flatten().find(|before| {
        what(before) == what(&tier)
            && before.on_reversal == tier.on_reversal
            && before.stages[0].target >= tier.stages[0].target
    });
    match higher {
        Some(higher) => {
            let message = format!(
                "is not above that of {:?}, which comes before and measures the same: list tiers from the lowest to the highest",
                higher.name
            );
            Err(vec![TierError::new("threshold", message)])
        }
        None => Ok(tier),
    }
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
