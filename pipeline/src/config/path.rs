//! Keys of the configuration as people write them: `activity.ngr[1].percent`.

use std::fmt;

/// A place in the tables of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl KeyPath {
    /// From a text such as `kafka.topics.progress`, `amount.scale` or `redact[1]`.
    pub(super) fn of(dotted: &str) -> Self {
        KeyPath::default().join(dotted)
    }

    pub(super) fn key(&self, key: impl Into<String>) -> Self {
        self.then(Step::Key(key.into()))
    }

    /// Another key of the same table.
    pub(super) fn sibling(&self, key: impl Into<String>) -> Self {
        let parents = self.0.len().saturating_sub(1);
        KeyPath(self.0[..parents].to_vec()).key(key)
    }

    pub(super) fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    /// This place and the dotted one inside of it.
    pub(super) fn join(&self, dotted: &str) -> Self {
        dotted.split('.').fold(self.clone(), |path, part| {
            match part.strip_suffix(']').and_then(|at| at.split_once('[')) {
                Some((key, index)) => match index.parse() {
                    Ok(index) => path.key(key).index(index),
                    Err(_) => path.key(part),
                },
                None => path.key(part),
            }
        })
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// One is the other or lies inside of it.
    pub(super) fn overlaps(&self, other: &KeyPath) -> bool {
        self.0.iter().zip(&other.0).all(|(own, other)| own == other)
    }

    fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        KeyPath(steps)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    let dot = if place == 0 { "" } else { "." };
                    let is_bare = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
                    if is_bare && !key.is_empty() { write!(f, "{dot}{key}")? } else { write!(f, "{dot}{key:?}")? }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_print_as_they_are_written() {
        for text in ["identity.retention", "source[0].mapping.redact[1]", "kafka"] {
            assert_eq!(KeyPath::of(text).to_string(), text);
        }
        assert_eq!(
            KeyPath::of("kafka.properties").key("sasl.password").to_string(),
            "kafka.properties.\"sasl.password\""
        );
    }

    #[test]
    fn a_table_overlaps_what_is_in_it() {
        assert!(KeyPath::of("source[0]").overlaps(&KeyPath::of("source[0].name")));
        assert!(KeyPath::of("source[0].name").overlaps(&KeyPath::of("source")));
        assert!(!KeyPath::of("source[0].name").overlaps(&KeyPath::of("source[1].name")));
    }
}
