//! `questline checkpoint`

use serde_json::json;
use sinks::checkpoint::{CheckpointConfig, Found, Manifest, Problem, find, recover};

use super::{ConfigArgs, Failure, Format};
use crate::config::Config;

#[derive(Debug, clap::Args)]
pub(super) struct CheckpointArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Lists the checkpoints that there are, the newest first.
    List(Common),
    /// Reads every checkpoint whole, and says what a start would do. Changes nothing.
    Verify(Common),
}

#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    config: ConfigArgs,
    /// How to tell what was found.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// A manifest, or what is wrong with it.
struct Listed {
    name: String,
    manifest: Result<Manifest, Problem>,
}

impl CheckpointArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        super::log("warn");
        match self.command {
            Command::List(common) => common.list(),
            Command::Verify(common) => common.verify(),
        }
    }
}

impl Common {
    fn open(&self) -> Result<(Config, CheckpointConfig, Found), Failure> {
        let config = self.config.load()?;
        let Some(checkpoints) = crate::run::checkpoint_config(&config, "none") else {
            let shown = self.config.config.display();
            let message = format!("{shown}: checkpoint.url: is missing, and there is no [lake] to keep checkpoints in");
            return Err(Failure::Invalid(vec![message]));
        };
        let found = find(&checkpoints).map_err(|error| Failure::Failed(crate::chain(&error)))?;
        Ok((config, checkpoints, found))
    }

    fn list(&self) -> Result<(), Failure> {
        let (_, checkpoints, found) = self.open()?;
        let listed = listed(&checkpoints, &found);
        match self.format {
            Format::Text if listed.is_empty() => println!("no checkpoint in {}", checkpoints.url),
            Format::Text => listed.iter().for_each(|one| println!("{}", line(one))),
            Format::Json => println!("{}", json!({ "checkpoints": listed.iter().map(object).collect::<Vec<_>>() })),
        }
        Ok(())
    }

    fn verify(&self) -> Result<(), Failure> {
        let (config, checkpoints, found) = self.open()?;
        let mut damaged = Vec::new();
        for Listed { name, manifest } in listed(&checkpoints, &found) {
            if let Err(why) = manifest.and_then(|manifest| found.load(manifest)?.unpack()) {
                damaged.push(format!("{name}: {why}"));
            }
        }
        let whole = found.manifests().len() - damaged.len();
        let next = next_start(&config, &checkpoints, &found).map_err(Failure::Failed)?;
        match self.format {
            Format::Text => {
                println!("{whole} of {} checkpoints in {} are whole", found.manifests().len(), checkpoints.url);
                println!("{next}");
            }
            Format::Json => println!("{}", json!({ "whole": whole, "damaged": damaged, "start": next })),
        }
        if damaged.is_empty() { Ok(()) } else { Err(Failure::Failed(damaged.join("\nerror: "))) }
    }
}

fn listed(config: &CheckpointConfig, found: &Found) -> Vec<Listed> {
    let names = found.manifests().iter();
    names.map(|name| Listed { name: name.clone(), manifest: found.manifest(config, name) }).collect()
}

fn line(Listed { name, manifest }: &Listed) -> String {
    match manifest {
        Err(why) => format!("{name}  {why}"),
        Ok(manifest) => format!(
            "{name}  a start follows the log from epoch {}, all parts know their epochs up to {}, clock {}; {} segments, {}",
            manifest.first,
            manifest.reached,
            manifest.before.now,
            manifest.segments.len(),
            indicatif::HumanBytes(bytes(manifest)),
        ),
    }
}

fn object(Listed { name, manifest }: &Listed) -> serde_json::Value {
    match manifest {
        Err(why) => json!({ "name": name, "error": why.to_string() }),
        Ok(manifest) => json!({
            "name": name,
            "first": manifest.first,
            "reached": manifest.reached,
            "now": manifest.before.now,
            "segments": manifest.segments.len(),
            "bytes": bytes(manifest),
        }),
    }
}

fn bytes(manifest: &Manifest) -> u64 {
    let cold = manifest.cold.iter().map(|cold| cold.bytes);
    manifest.segments.iter().map(|segment| segment.bytes).chain(cold).sum()
}

/// What a start would do now.
fn next_start(config: &Config, checkpoints: &CheckpointConfig, found: &Found) -> Result<String, String> {
    let Some(kafka) = &config.kafka else {
        return Ok("without [kafka] there is no log to hold them against".to_owned());
    };
    let log = sinks::kafka::read_log(&crate::run::committer_config(config, kafka, "none"));
    let log = log.map_err(|error| crate::chain(&error))?;
    let recovered = recover(checkpoints, found, &log).map_err(|error| crate::chain(&error))?;
    let upper = log.upper;
    Ok(match recovered {
        Some(recovered) => {
            let Manifest { seq, first, .. } = recovered.manifest;
            format!("a start would go on from checkpoint {seq} and follow epochs {first} to {upper} of the log")
        }
        None => format!("a start would follow the log from its beginning: epochs 0 to {upper}"),
    })
}
