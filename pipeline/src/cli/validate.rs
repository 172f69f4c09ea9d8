//! `questline validate`

use std::path::{Path, PathBuf};

use datasets::mission::Mission;
use serde_json::json;

use super::{ConfigArgs, Failure, Format};

#[derive(Debug, clap::Args)]
pub(super) struct Validate {
    #[command(flatten)]
    config: ConfigArgs,
    /// Mission definitions: one JSON object, an array of them, or one on each line.
    #[arg(long, value_name = "FILE")]
    missions: Option<PathBuf>,
    /// How to tell what was found.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Validate {
    pub(super) fn run(self) -> Result<(), Failure> {
        let found = self.check();
        if self.format == Format::Json {
            let (errors, definitions) = match &found {
                Ok(definitions) => (Vec::new(), *definitions),
                Err(Failure::Invalid(errors)) => (errors.clone(), 0),
                Err(Failure::Failed(error)) => (vec![error.clone()], 0),
            };
            println!("{}", json!({"valid": found.is_ok(), "definitions": definitions, "errors": errors}));
            // They have been said.
            return found.map(drop).map_err(|_| Failure::Invalid(Vec::new()));
        }
        let definitions = found?;
        println!("{}: valid", self.config.config.display());
        if let Some(path) = &self.missions {
            println!("{}: {definitions} valid definitions", path.display());
        }
        Ok(())
    }

    /// How many definitions there are.
    fn check(&self) -> Result<usize, Failure> {
        let config = self.config.load()?;
        let Some(path) = &self.missions else { return Ok(0) };
        let defaults = crate::plan::mission_defaults(&config);
        let mut errors = Vec::new();
        let definitions = definitions(path).map_err(|error| Failure::Invalid(vec![error]))?;
        for Definition { place, text } in &definitions {
            let key = mission_id(text).unwrap_or_default();
            if let Err(wrong) = Mission::parse(&key, text, &defaults) {
                errors.extend(wrong.iter().map(|error| format!("{place}: {key}: {error}")));
            }
        }
        if errors.is_empty() { Ok(definitions.len()) } else { Err(Failure::Invalid(errors)) }
    }
}

/// A definition's text and where it is.
struct Definition {
    place: String,
    text: String,
}

fn definitions(path: &Path) -> Result<Vec<Definition>, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    if let Ok(many) = serde_json::from_str::<Vec<Box<serde_json::value::RawValue>>>(&text) {
        let places = (1..).map(|number| format!("{shown}: definition {number}"));
        let texts = many.iter().map(|raw| raw.get().to_owned());
        return Ok(places.zip(texts).map(|(place, text)| Definition { place, text }).collect());
    }
    if serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text).is_ok() {
        return Ok(vec![Definition { place: shown.to_string(), text }]);
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let one =
        |(index, line): (usize, &str)| Definition { place: format!("{shown}:{}", index + 1), text: line.to_owned() };
    Ok(lines.map(one).collect())
}

fn mission_id(text: &str) -> Option<String> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    Some(object.get("mission_id")?.as_str()?.to_owned())
}
