//! `questline run`

use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{ConfigArgs, Failure};
use crate::engine::{Halt, Wake};

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigArgs,
    /// Worker threads; the configuration's by default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
}

impl Run {
    pub(super) fn run(self) -> Result<(), Failure> {
        super::log("info");
        sinks::failpoint::arm().map_err(|error| Failure::Invalid(vec![error]))?;
        let config = self.config.load()?;
        if config.kafka.is_none() {
            let shown = self.config.config.display();
            let message = format!("{shown}: kafka: is missing: `run` needs [kafka] with brokers; `replay` reads files");
            return Err(Failure::Invalid(vec![message]));
        }
        let workers = self.workers.map_or(config.pipeline.workers, usize::from);
        let wake = Wake::default();
        let halt = Halt::new(wake.clone());
        stop_on_signal(halt.clone())?;
        crate::run::run(&config, workers, (wake, halt)).map_err(Failure::Failed)
    }
}

/// The first SIGTERM or SIGINT asks for a graceful end; a second one ends the process at once.
fn stop_on_signal(halt: Halt) -> Result<(), Failure> {
    let signals = Signals::new([SIGTERM, SIGINT]);
    let mut signals = signals.map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")))?;
    let listen = move || {
        for signal in signals.forever() {
            if halt.is_asked() {
                std::process::exit(128 + signal);
            }
            tracing::info!("stopping: what was read is committed, the lake is cut");
            halt.ask();
        }
    };
    let listening = thread::Builder::new().name("signals".to_owned()).spawn(listen);
    listening.map(drop).map_err(|error| Failure::Failed(format!("cannot start a thread: {error}")))
}
