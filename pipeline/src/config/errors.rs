//! Everything wrong with a configuration, one line each.

use std::fmt;

use super::path::KeyPath;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the configuration file; both count from 1.
    Line {
        /// Line.
        line: usize,
        /// Column, in characters.
        column: usize,
    },
    /// By an environment variable, or in a file that a `…_file` key names.
    Outside(String),
    /// Nowhere: it is missing.
    Nowhere,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The configuration file.
    pub file: String,
    /// Where.
    pub place: Place,
    /// The key, such as `activity.ngr[1].percent`; empty for the file itself.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// `pipeline.toml:12:9: activity.basis: …`
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Line { line, column } => write!(f, "{}:{line}:{column}: ", self.file)?,
            Place::Outside(origin) => write!(f, "{origin}: ")?,
            Place::Nowhere => write!(f, "{}: ", self.file)?,
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Every mistake that was found, at least one, in the order of the file. Prints one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.0.iter().enumerate() {
            let newline = if number == 0 { "" } else { "\n" };
            write!(f, "{newline}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Mistakes as they are found. Of a key that is reported once, nothing more is said: what follows
/// from one mistake is no second one.
#[derive(Default)]
pub(super) struct Problems(Vec<(KeyPath, Place, String)>);

impl Problems {
    pub(super) fn add(&mut self, path: KeyPath, place: Place, message: impl Into<String>) {
        if !self.0.iter().any(|(known, _, _)| known.overlaps(&path)) {
            self.0.push((path, place, message.into()));
        }
    }

    /// The file as a whole cannot be read beyond this.
    pub(super) fn add_syntax(&mut self, place: Place, message: String) {
        self.0.push((KeyPath::default(), place, message));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of the file: lines first, then what is outside or missing, as it was found.
    pub(super) fn into_errors(self, file: &str) -> ConfigErrors {
        let mut errors: Vec<ConfigError> = self
            .0
            .into_iter()
            .map(|(path, place, message)| ConfigError { file: file.to_owned(), place, key: path.to_string(), message })
            .collect();
        errors.sort_by_key(|error| match error.place {
            Place::Line { line, column } => (line, column),
            Place::Outside(_) | Place::Nowhere => (usize::MAX, usize::MAX),
        });
        ConfigErrors(errors)
    }
}
