//! `questline run`

use super::{ConfigArgs, Failure, on_signals};
use crate::cluster::Hosts;
use crate::engine::{Halt, Wake};
use crate::run::Member;

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigArgs,
    /// Worker threads; the configuration's by default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Which one of several processes this is, from 0 on; with --hosts.
    #[arg(long, value_name = "I", requires = "hosts")]
    process: Option<usize>,
    /// Where all processes of the pipeline are, in order: a file with one host:port a line, or a list with commas.
    #[arg(long, value_name = "FILE", requires = "process")]
    hosts: Option<String>,
}

impl Run {
    pub(super) fn run(self) -> Result<(), Failure> {
        super::log("info");
        sinks::failpoint::arm().map_err(|error| Failure::Invalid(vec![error]))?;
        let member = self.member()?;
        let config = self.config.load()?;
        if config.kafka.is_none() {
            let shown = self.config.config.display();
            let message = format!("{shown}: kafka: is missing: `run` needs [kafka] with brokers; `replay` reads files");
            return Err(Failure::Invalid(vec![message]));
        }
        let workers = self.workers.map_or(config.pipeline.workers, usize::from);
        let wake = Wake::default();
        let halt = Halt::new(wake.clone());
        stop_on_signals(halt.clone())?;
        crate::run::run(&config, workers, member, (wake, halt)).map_err(Failure::Failed)
    }

    fn member(&self) -> Result<Option<Member>, Failure> {
        let Some((process, argument)) = self.process.zip(self.hosts.as_ref()) else { return Ok(None) };
        let hosts = Hosts::read(argument).map_err(Failure::Invalid)?;
        if process >= hosts.count() {
            let last = hosts.count() - 1;
            let message = format!("--process {process}: --hosts {argument} names the processes 0 to {last}");
            return Err(Failure::Invalid(vec![message]));
        }
        Ok(Some(Member { hosts, process }))
    }
}

/// The first signal asks for a graceful end; a second one ends the process at once.
fn stop_on_signals(halt: Halt) -> Result<(), Failure> {
    on_signals(move |signal| {
        if halt.is_asked() {
            std::process::exit(128 + signal);
        }
        tracing::info!("stopping: what was read is committed, the lake is cut");
        halt.ask();
    })
}
