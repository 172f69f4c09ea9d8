//! `questline replay`

use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;

use super::show::{Progress, thousands};
use super::{ConfigArgs, Failure, Format};
use crate::replay::Replay;
use crate::replay::input::Input;

#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// A file of JSON lines (.jsonl, also .gz or .zst), a folder of them, or - for standard input.
    #[arg(long, value_name = "EVENTS")]
    input: PathBuf,
    /// The folder for the outputs; files of an earlier replay in it are overwritten.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Lines of one epoch.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    epoch_records: u64,
    /// Worker threads; the configuration's by default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// How to tell what was done.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl ReplayArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        super::log("warn");
        let config = self.config.load()?;
        let input = Input::open(&self.input).map_err(|error| Failure::Invalid(vec![error]))?;
        let workers = self.workers.map_or(config.pipeline.workers, usize::from);
        let epoch_records = usize::try_from(self.epoch_records).unwrap_or(usize::MAX);
        let progress = Progress::bytes(input.size());
        let started = Instant::now();
        let advance = progress.advance();
        let outcome = Replay { config, input, out: self.out.clone(), workers, epoch_records }.run(advance);
        progress.finish();
        let counters = outcome?.counters;
        let seconds = started.elapsed().as_secs_f64();
        if self.format == Format::Json {
            println!("{}", json!({"counters": counters, "seconds": seconds, "out": self.out}));
            return Ok(());
        }
        let refused: u64 = counters.dead_letters.values().sum();
        println!(
            "{} events read, {} accepted, {} refused",
            thousands(counters.read),
            thousands(counters.accepted),
            thousands(refused)
        );
        println!("{} missions completed, {} revoked", thousands(counters.completed), thousands(counters.revoked));
        println!("in {seconds:.1} s; outputs in {}", self.out.display());
        Ok(())
    }
}
