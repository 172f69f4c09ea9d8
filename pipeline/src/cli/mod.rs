//! The command line (INTERFACE, "Commands").

mod bench;
mod checkpoint;
mod dead_letters;
mod demo;
mod explain;
mod generate;
mod missions;
mod reconcile;
mod replay;
mod report;
mod run;
mod show;
mod validate;
mod verify;
mod warehouse;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::config::{Config, KafkaConfig};

/// Stream processing for gaming operators: missions, daily activity and GGR, exactly once.
#[derive(Debug, Parser)]
#[command(name = "questline", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Generates a day of play, runs the pipeline on it, and says where to look. Needs no server.
    Demo(demo::Demo),
    /// Runs the pipeline: events from Kafka, completions to Kafka, history to the lake.
    Run(run::Run),
    /// Runs the same pipeline on a file, without a broker.
    Replay(replay::ReplayArgs),
    /// Looks at the checkpoints of a pipeline.
    Checkpoint(checkpoint::CheckpointArgs),
    /// Checks a configuration, and mission definitions with it.
    Validate(validate::Validate),
    /// Proves what was put out: recomputes it from the lake's history and compares.
    Verify(verify::Verify),
    /// Balances the books: what was read, what it comes to by day, what the lake has, and your own totals.
    Reconcile(reconcile::Reconcile),
    /// Reports from the lake: the books of points and bonuses, and what missions brought in.
    Report(report::Report),
    /// Checks mission definitions, puts them in force, shows those that are, and tells what others would do.
    Missions(missions::Missions),
    /// Tells which events a completion came from, or what a player lacks for one.
    Explain(explain::Explain),
    /// Shows what was refused, and gives it in again.
    DeadLetters(dead_letters::DeadLettersArgs),
    /// Prints what a warehouse needs to read the lake.
    Warehouse(warehouse::Warehouse),
    /// Generates play: to a file, to standard output, or to Kafka.
    Generate(generate::Generate),
    /// Measures what an event costs on this machine, stage by stage, without a server.
    Bench(bench::Bench),
}

/// Why a command ended without success.
enum Failure {
    /// Usage or invalid input: every error, each with its place and what to do. Exit 2.
    Invalid(Vec<String>),
    /// Failed while running. Exit 1.
    Failed(String),
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Failure::Failed(message)
    }
}

/// For people or for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Lines for people.
    Text,
    /// One JSON object on standard output.
    Json,
}

/// Where a configuration is.
#[derive(Debug, clap::Args)]
struct ConfigArgs {
    /// The pipeline's configuration, such as docs/pipeline.example.toml.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl ConfigArgs {
    fn load(&self) -> Result<Config, Failure> {
        Config::load(&self.config, std::env::vars())
            .map_err(|errors| Failure::Invalid(errors.0.iter().map(ToString::to_string).collect()))
    }

    /// The same, with a lake; `why` one is needed.
    fn load_with_lake(&self, why: &str) -> Result<Config, Failure> {
        let config = self.load()?;
        if config.lake.is_none() {
            let message = format!("{}: lake: is missing: {why}", self.config.display());
            return Err(Failure::Invalid(vec![message]));
        }
        Ok(config)
    }
}

/// The same, with the name that most have.
#[derive(Debug, clap::Args)]
struct DefaultConfig {
    /// The pipeline's configuration.
    #[arg(long, value_name = "FILE", default_value = "pipeline.toml")]
    config: PathBuf,
}

impl DefaultConfig {
    fn load(self) -> Result<Config, Failure> {
        ConfigArgs { config: self.config }.load()
    }

    /// The same, with brokers; `why` they are needed.
    fn load_with_kafka(self, why: &str) -> Result<(Config, KafkaConfig), Failure> {
        let shown = self.config.display().to_string();
        let config = self.load()?;
        match config.kafka.clone() {
            Some(kafka) => Ok((config, kafka)),
            None => Err(Failure::Invalid(vec![format!("{shown}: kafka: is missing: {why}")])),
        }
    }
}

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Demo(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Replay(command) => command.run(),
        Command::Checkpoint(command) => command.run(),
        Command::Validate(command) => command.run(),
        Command::Verify(command) => command.run(),
        Command::Reconcile(command) => command.run(),
        Command::Report(command) => command.run(),
        Command::Missions(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::DeadLetters(command) => command.run(),
        Command::Warehouse(command) => command.run(),
        Command::Generate(command) => command.run(),
        Command::Bench(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(message)) => {
            eprintln!("error: {message}");
            ExitCode::from(1)
        }
        Err(Failure::Invalid(errors)) => {
            errors.iter().for_each(|error| eprintln!("error: {error}"));
            ExitCode::from(2)
        }
    }
}

/// A day such as 2026-06-01.
fn day(text: &str) -> Result<datasets::time::Date, String> {
    serde_json::from_value(text.into()).map_err(|_| "write a day as 2026-06-01".to_owned())
}

/// A span of time such as `1h`, above 0.
fn span(text: &str) -> Result<std::time::Duration, String> {
    let span: crate::config::Duration = text.parse()?;
    if span.micros() > 0 { Ok(span.into()) } else { Err("must be above 0".to_owned()) }
}

/// Calls `each` for every SIGTERM and SIGINT from now on, on a thread of its own, with the signal's number.
fn on_signals(mut each: impl FnMut(i32) + Send + 'static) -> Result<(), Failure> {
    let signals = Signals::new([SIGTERM, SIGINT]);
    let mut signals = signals.map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")))?;
    let listening = std::thread::Builder::new().name("signals".to_owned());
    let listening = listening.spawn(move || signals.forever().for_each(&mut each));
    listening.map(drop).map_err(|error| Failure::Failed(format!("cannot start a thread: {error}")))
}

/// Logs to standard error; `RUST_LOG` says how much.
fn log(default: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(is_terminal).with_writer(std::io::stderr).init();
}
