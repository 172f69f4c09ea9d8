//! Mission definitions as the people see them who write them: files of them, what a change would do, and the topic.

mod diff;
mod topic;

use std::collections::BTreeSet;
use std::path::Path;

use datasets::mission::{Mission, MissionDefaults};

pub use diff::{Cost, Difference, History, MissionDifference, Won, diff};
pub use topic::{Applied, Current, apply, list};

/// A valid definition from a file.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Its `mission_id`, the key of its record.
    pub mission_id: String,
    /// As it stands in the file.
    pub text: String,
    /// Compiled.
    pub mission: Mission,
}

/// Reads a file of definitions: one JSON object, an array of them, or one on each line.
///
/// # Errors
/// A file that cannot be read, and all that is wrong with its definitions, each with its place. Two definitions of one
/// mission are wrong: which of them is the newer one cannot be seen.
pub fn read_definitions(path: &Path, defaults: &MissionDefaults) -> Result<Vec<Definition>, Vec<String>> {
    let (mut definitions, mut errors) = (Vec::<Definition>::new(), Vec::new());
    for Text { place, text } in texts(path).map_err(|error| vec![error])? {
        let mission_id = mission_id(&text).unwrap_or_default();
        match Mission::parse(&mission_id, &text, defaults) {
            Ok(_) if definitions.iter().any(|known| known.mission_id == mission_id) => {
                errors.push(format!("{place}: {mission_id}: is defined above already"));
            }
            Ok(mission) => definitions.push(Definition { mission_id, text, mission }),
            Err(wrong) => errors.extend(wrong.iter().map(|error| format!("{place}: {mission_id}: {error}"))),
        }
    }
    errors.extend(check_cycles(&definitions, |_| None).err().map(|error| format!("{}: {error}", path.display())));
    if errors.is_empty() { Ok(definitions) } else { Err(errors) }
}

/// Finds the first definition by which missions would require each other, together with those that are `known` otherwise.
fn check_cycles(definitions: &[Definition], known: impl Fn(&str) -> Option<Mission>) -> Result<(), String> {
    let of_file = |id: &str| definitions.iter().find(|one| one.mission_id == id).map(|one| one.mission.clone());
    let requires = |id: &str| of_file(id).or_else(|| known(id)).map(|mission| mission.gate.requires.clone());
    let errors = definitions.iter().filter_map(|one| {
        let error = one.mission.cycle(|id| requires(id).unwrap_or_default())?;
        Some(format!("{}: {error}", one.mission_id))
    });
    errors.take(1).try_for_each(Err)
}

/// What is no error, but may not be meant: a mission in another currency than the pipeline's needs rates.
pub fn notes(definitions: &[Definition], defaults: &MissionDefaults) -> Vec<String> {
    let notes = definitions.iter().flat_map(|Definition { mission_id, mission, .. }| {
        let currencies = mission.stages.iter().filter_map(|stage| stage.measure.currency());
        let others: BTreeSet<&str> = currencies.filter(|currency| *currency != &*defaults.currency).collect();
        others.into_iter().map(move |currency| {
            format!(
                "{mission_id}: note: an amount in another currency than {currency} counts by its own exchange_rate or by a \
                 `rate` event to {currency}, and waits for one until then"
            )
        })
    });
    notes.collect()
}

/// A definition's text and where it is.
struct Text {
    place: String,
    text: String,
}

fn texts(path: &Path) -> Result<Vec<Text>, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    if let Ok(many) = serde_json::from_str::<Vec<Box<serde_json::value::RawValue>>>(&text) {
        let places = (1..).map(|number| format!("{shown}: definition {number}"));
        let texts = many.iter().map(|raw| raw.get().to_owned());
        return Ok(places.zip(texts).map(|(place, text)| Text { place, text }).collect());
    }
    if serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text).is_ok() {
        return Ok(vec![Text { place: shown.to_string(), text }]);
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let one = |(index, line): (usize, &str)| Text { place: format!("{shown}:{}", index + 1), text: line.to_owned() };
    Ok(lines.map(one).collect())
}

fn mission_id(text: &str) -> Option<String> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    Some(object.get("mission_id")?.as_str()?.to_owned())
}
