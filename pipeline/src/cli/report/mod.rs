//! `questline report`

mod ledger;
mod missions;

use datasets::time::Date;

use super::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct Report {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// What is owed in points and what bonuses cost, day by day in double entry, as CSV and Parquet for an ERP's batch.
    Ledger(ledger::Ledger),
    /// GGR and NGR of those who took part in missions, beside those of the others: before, during and after each window.
    Missions(missions::Missions),
}

impl Report {
    pub(super) fn run(self) -> Result<(), Failure> {
        super::log("warn");
        match self.command {
            Command::Ledger(command) => command.run(),
            Command::Missions(command) => command.run(),
        }
    }
}

/// Days of a range are in order.
fn check_range(from: Option<Date>, to: Option<Date>) -> Result<(), Failure> {
    match (from, to) {
        (Some(from), Some(to)) if from > to => {
            Err(Failure::Invalid(vec![format!("--from {from} is behind --to {to}")]))
        }
        _ => Ok(()),
    }
}
