//! `questline validate`

use std::path::PathBuf;

use serde_json::json;

use super::{ConfigArgs, Failure, Format};
use crate::missions::{notes, read_definitions};

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
            let (errors, (definitions, notes)) = match &found {
                Ok(found) => (Vec::new(), found.clone()),
                Err(Failure::Invalid(errors)) => (errors.clone(), (0, Vec::new())),
                Err(Failure::Failed(error)) => (vec![error.clone()], (0, Vec::new())),
            };
            let valid = found.is_ok();
            println!("{}", json!({"valid": valid, "definitions": definitions, "errors": errors, "notes": notes}));
            // They have been said.
            return found.map(drop).map_err(|_| Failure::Invalid(Vec::new()));
        }
        let (definitions, notes) = found?;
        println!("{}: valid", self.config.config.display());
        if let Some(path) = &self.missions {
            println!("{}: {definitions} valid definitions", path.display());
        }
        notes.iter().for_each(|note| println!("{note}"));
        Ok(())
    }

    /// How many definitions there are, and notes about these and the configuration.
    fn check(&self) -> Result<(usize, Vec<String>), Failure> {
        let config = self.config.load()?;
        let of_config = config.notes();
        let Some(path) = &self.missions else { return Ok((0, of_config)) };
        let defaults = config.mission_defaults();
        let definitions = read_definitions(path, &defaults).map_err(Failure::Invalid)?;
        Ok((definitions.len(), [of_config, notes(&definitions, &defaults)].concat()))
    }
}
