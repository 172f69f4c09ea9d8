//! The configuration: a TOML file, environment variables over it, secrets from files.
//!
//! [`Config::load`] reports every mistake at once, each with its place, its key and what to do.
//! `docs/pipeline.example.toml` shows every key.

mod check;
mod document;
mod entities;
mod errors;
mod ngr;
mod overrides;
mod path;
mod rules;
mod settings;
mod suggest;
mod tiers;
mod values;

#[cfg(test)]
mod tests;

pub use entities::{CustomersConfig, EntitiesConfig, TransactionsConfig};
pub use errors::{ConfigError, ConfigErrors, Place};
pub use ngr::{AddedBack, Clamp, NgrBase, NgrConfig, NgrPer};
pub use settings::{
    ActivityConfig, Attribution, Basis, CheckpointConfig, Config, DeadLettersConfig, DefaultsConfig, Downgrade,
    IdentityConfig, KafkaConfig, LakeConfig, LedgerConfig, LimitsConfig, MissingOffsets, MissionsConfig, Period,
    PipelineConfig, PointsConfig, S3Config, SourceConfig, TierConfig, TierKept, TopicsConfig,
};
pub use values::{Duration, FixedAmount, Percent, Properties, Secret, Threshold, Zone};

use std::path::Path;

use self::document::Document;
use self::errors::Problems;
use self::path::KeyPath;

impl Config {
    /// Reads the file at `path`, sets the variables of `environment` that begin with `QUESTLINE__`
    /// over it (`std::env::vars()` in the program), and checks everything.
    pub fn load(path: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Result<Config, ConfigErrors> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|why| {
            let mut problems = Problems::default();
            problems.add(KeyPath::default(), Place::Nowhere, format!("cannot be read: {why}"));
            problems.into_errors(&file)
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, &file, folder, environment)
    }

    /// The same for a text. Errors call it `file`; paths of secrets are relative to `folder`.
    pub fn parse(
        text: &str,
        file: &str,
        folder: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, ConfigErrors> {
        let mut problems = Problems::default();
        let variables: Vec<(String, String)> = environment.into_iter().collect();
        let mut document = Document::parse(text, &mut problems);
        if !problems.is_empty() {
            return Err(problems.into_errors(file));
        }
        overrides::environment(&mut document, &variables, &mut problems);
        overrides::secrets(&mut document, folder, &mut problems);
        let config: Option<Config> = document.deserialize(&mut problems);
        let config = config.map(|config| config.with_default_source(&document));
        if let Some(config) = &config {
            check::check(config, &document, &mut problems);
        }
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(problems.into_errors(file)),
        }
    }

    fn with_default_source(mut self, document: &Document<'_>) -> Self {
        if !document.has(&KeyPath::of("source")) {
            let events = "events".to_owned();
            self.sources = vec![SourceConfig { name: events.clone(), topics: vec![events], ..SourceConfig::default() }];
        }
        self
    }
}
