//! `questline missions`

use std::path::{Path, PathBuf};

use datasets::currency::Currencies;
use datasets::mission::MissionDefaults;
use serde_json::json;

use super::show::{Progress, thousands};
use super::{ConfigArgs, DefaultConfig, Failure, Format};
use crate::missions::{Applied, Cost, Current, Definition, Difference, History, MissionDifference, Won};
use crate::missions::{apply, diff, list, notes, read_definitions};
use crate::replay::input::Input;

/// Players that are named for people; `--format json` names all.
const SHOWN: usize = 10;

#[derive(Debug, clap::Args)]
pub(super) struct Missions {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Checks definitions; names everything that is wrong with them.
    Validate(ValidateArgs),
    /// Puts definitions on the missions topic, where they take effect at once.
    Apply(ApplyArgs),
    /// Shows what is on the missions topic.
    List(ListArgs),
    /// Tells what definitions would do, from history: who would complete, who would not, what rewards cost. Changes nothing.
    Diff(DiffArgs),
}

#[derive(Debug, clap::Args)]
struct ValidateArgs {
    /// Definitions: one JSON object, an array of them, or one on each line.
    file: PathBuf,
    /// The pipeline's configuration, for its default currency, currencies and zone: EUR, ISO 4217 and UTC without it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct ApplyArgs {
    /// Definitions: one JSON object, an array of them, or one on each line. One that is wrong keeps all of them back.
    file: PathBuf,
    #[command(flatten)]
    config: DefaultConfig,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    config: DefaultConfig,
    /// How to tell.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct DiffArgs {
    /// Definitions: one JSON object, an array of them, or one on each line.
    file: PathBuf,
    /// Events, as `replay` reads them: a file (.jsonl, also .gz or .zst), a folder, or - for standard input.
    /// Without it: the history in the lake.
    #[arg(long, value_name = "EVENTS")]
    input: Option<PathBuf>,
    #[command(flatten)]
    config: DefaultConfig,
    /// How to tell.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Missions {
    pub(super) fn run(self) -> Result<(), Failure> {
        super::log("warn");
        match self.command {
            Command::Validate(arguments) => arguments.run(),
            Command::Apply(arguments) => arguments.run(),
            Command::List(arguments) => arguments.run(),
            Command::Diff(arguments) => arguments.run(),
        }
    }
}

fn definitions(path: &Path, defaults: &MissionDefaults) -> Result<Vec<Definition>, Failure> {
    read_definitions(path, defaults).map_err(Failure::Invalid)
}

impl ValidateArgs {
    fn run(self) -> Result<(), Failure> {
        let defaults = match self.config {
            Some(config) => ConfigArgs { config }.load()?.mission_defaults(),
            // Whatever a configuration may allow.
            None => MissionDefaults { retained_micros: i64::MAX, ..MissionDefaults::utc("EUR", Currencies::default()) },
        };
        let definitions = definitions(&self.file, &defaults)?;
        println!("{}: {} valid definitions", self.file.display(), definitions.len());
        notes(&definitions, &defaults).iter().for_each(|note| println!("{note}"));
        Ok(())
    }
}

impl ApplyArgs {
    fn run(self) -> Result<(), Failure> {
        let (config, kafka) = self.config.load_with_kafka("the missions topic is there")?;
        let definitions = definitions(&self.file, &config.mission_defaults())?;
        for Applied { mission_id, version, before, place } in apply(&config, &kafka, &definitions)? {
            let before = before.map_or_else(|| "new".to_owned(), |before| format!("was version {before}"));
            match place {
                Some((partition, offset)) => {
                    println!(
                        "{mission_id}: version {version} applied, {before} (partition {partition} offset {offset})"
                    );
                }
                None => println!("{mission_id}: version {version} is in force already"),
            }
        }
        Ok(())
    }
}

impl ListArgs {
    fn run(self) -> Result<(), Failure> {
        let (config, kafka) = self.config.load_with_kafka("the missions topic is there")?;
        let missions = list(&config, &kafka)?;
        if self.format == Format::Json {
            println!("{}", json!(missions));
            return Ok(());
        }
        println!("{:<32} {:>7}  {:<9} {:<22}", "mission", "version", "status", "since");
        for Current { mission_id, since, text, errors, .. } in missions {
            let since = since.map_or_else(String::new, |since| since.to_string());
            let definition: Option<serde_json::Value> =
                text.as_deref().and_then(|text| serde_json::from_str(text).ok());
            let member = |name: &str| match definition.as_ref().map(|definition| &definition[name]) {
                Some(serde_json::Value::String(text)) => text.clone(),
                Some(serde_json::Value::Null) | None => "-".to_owned(),
                Some(other) => other.to_string(),
            };
            let status = match (&text, errors.is_empty()) {
                (None, _) => "archived".to_owned(),
                (Some(_), true) => member("status"),
                (Some(_), false) => "refused".to_owned(),
            };
            println!("{mission_id:<32} {:>7}  {status:<9} {since:<22}", member("version"));
            errors.iter().for_each(|error| println!("    {error}"));
        }
        Ok(())
    }
}

impl DiffArgs {
    fn run(self) -> Result<(), Failure> {
        let config = self.config.load()?;
        let definitions = definitions(&self.file, &config.mission_defaults())?;
        let history = match &self.input {
            Some(path) => {
                History::of_input(&config, Input::open(path).map_err(|error| Failure::Invalid(vec![error]))?)?
            }
            None => History::of_lake(&config)?,
        };
        let progress = match history.epochs() {
            Some(epochs) => Progress::epochs(epochs),
            None => Progress::bytes(history.bytes()),
        };
        let difference = diff(history, &definitions, progress.advance());
        progress.finish();
        let difference = difference?;
        match self.format {
            Format::Json => println!("{}", json!(difference)),
            Format::Text => print(&difference),
        }
        Ok(())
    }
}

fn print(difference: &Difference) {
    let Difference { missions, events, until } = difference;
    for MissionDifference { mission_id, before, after, gained, lost, rewards } in missions {
        println!("{mission_id}: {before} completions, {after} with this definition");
        for (what, who) in [("newly", gained), ("no more", lost)] {
            who.iter().take(SHOWN).for_each(|won| println!("  {what:<8} {}", shown(won)));
            if let more @ 1.. = who.len().saturating_sub(SHOWN) {
                println!("  {what:<8} … and {more} more, all of them with --format json");
            }
        }
        for Cost { kind, before, after } in rewards {
            let value =
                |value: &Option<_>| value.map_or("not a number".to_owned(), |value: datasets::Money| value.to_string());
            println!("  rewards  {kind}: {}, then {}", value(before), value(after));
        }
    }
    println!("as if it had been so from the first of {} events on, to {until}", thousands(*events));
}

fn shown(won: &Won) -> String {
    let Won { player_id, window_start, occurrence, completed_at } = won;
    format!("{player_id}, window from {window_start}, occurrence {occurrence}, at {completed_at}")
}
