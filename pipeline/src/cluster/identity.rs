//! What the processes of a cluster must have in common.

use datasets::hash::fingerprint;
use serde::{Deserialize, Serialize};

use crate::config::{Config, PipelineConfig};

/// What a process is, as far as the others depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    build: String,
    pipeline: String,
    processes: usize,
    workers: usize,
    /// The sections of the configuration, each with a fingerprint of its settings. Secrets are not in it.
    settings: Vec<(String, u128)>,
}

impl Identity {
    /// Of this process: one of `processes` with `workers` each.
    pub fn of(config: &Config, processes: usize, workers: usize) -> Self {
        let Config { kafka, sources, missions, defaults, ledger, identity, activity, lake, .. } = config;
        let Config { points, tiers, entities, checkpoint, dead_letters, limits, .. } = config;
        // The number of workers is compared as it is, wherever it came from.
        let pipeline = PipelineConfig { workers, ..config.pipeline.clone() };
        let sections = [
            ("pipeline", format!("{pipeline:?}")),
            ("kafka", format!("{kafka:?}")),
            ("source", format!("{sources:?}")),
            ("missions", format!("{missions:?}")),
            ("defaults", format!("{defaults:?}")),
            ("ledger", format!("{ledger:?}")),
            ("identity", format!("{identity:?}")),
            ("activity", format!("{activity:?}")),
            ("points", format!("{points:?}")),
            ("tier", format!("{tiers:?}")),
            ("entities", format!("{entities:?}")),
            ("lake", format!("{lake:?}")),
            ("checkpoint", format!("{checkpoint:?}")),
            ("dead_letters", format!("{dead_letters:?}")),
            ("limits", format!("{limits:?}")),
        ];
        let settings =
            sections.into_iter().map(|(name, text)| (name.to_owned(), fingerprint(text.as_bytes()))).collect();
        Identity { build: build(), pipeline: config.pipeline.name.clone(), processes, workers, settings }
    }

    /// What `other` has that does not go with this, for people; `None` if all does.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let Identity { build, pipeline, processes, workers, settings } = self;
        let differs = |what: &str, here: &dyn std::fmt::Display, there: &dyn std::fmt::Display| {
            Some(format!("{what}: process 0 has {here}, and it has {there}"))
        };
        if *build != other.build {
            return differs("another program", build, &other.build);
        }
        if *pipeline != other.pipeline {
            return differs("another pipeline", pipeline, &other.pipeline);
        }
        if *processes != other.processes {
            return differs("another number of processes in --hosts", processes, &other.processes);
        }
        if *workers != other.workers {
            return differs("another number of workers", workers, &other.workers);
        }
        let same = |name: &String, value| other.settings.iter().any(|(there, set)| there == name && *set == value);
        let differing = settings.iter().filter(|(name, value)| !same(name, *value));
        let differing: Vec<String> = differing.map(|(name, _)| format!("[{name}]")).collect();
        let is_same = differing.is_empty() && settings.len() == other.settings.len();
        (!is_same).then(|| format!("another configuration in {}: give all processes the same", differing.join(", ")))
    }
}

/// The version, and a fingerprint of the program: what crosses has no form that outlives a build.
fn build() -> String {
    let program = std::env::current_exe().and_then(std::fs::read);
    let fingerprint = program.map_or(0, |program| fingerprint(&program));
    format!("{} (build {:08x})", env!("CARGO_PKG_VERSION"), fingerprint >> 96)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_is_named() {
        let config = Config::default();
        let same = Identity::of(&config, 2, 4);
        assert_eq!(same.difference(&Identity::of(&config, 2, 4)), None);
        let mut other = config.clone();
        other.pipeline.workers = 17;
        assert_eq!(same.difference(&Identity::of(&other, 2, 4)), None, "the workers are those of the command line");
        other.limits.epochs_in_flight += 1;
        other.ledger.retention = crate::config::Duration::days(1);
        let of = |other| same.difference(&other).unwrap();
        assert!(of(Identity::of(&other, 2, 4)).starts_with("another configuration in [ledger], [limits]"));
        assert!(of(Identity::of(&config, 3, 4)).contains("--hosts: process 0 has 2, and it has 3"));
        assert!(of(Identity::of(&config, 2, 1)).contains("another number of workers"));
        other.pipeline.name = "other".to_owned();
        assert!(of(Identity::of(&other, 2, 4)).contains("another pipeline"));
        assert!(of(Identity { build: "0.0.1".to_owned(), ..same.clone() }).contains("another program"));
    }
}
