//! `questline reconcile`

mod rounds;
mod text;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use datasets::time::Date;
use serde_json::json;

use super::show::Progress;
use super::{ConfigArgs, Failure, Format};
use crate::config::Config;
use crate::reconcile::{Account, Question, read_totals, reconcile};
use crate::run::wall_time;
use crate::verify::Proof;

#[derive(Debug, clap::Args)]
pub(super) struct Reconcile {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only this day: the reporting day of activity, the UTC day of emission and of ingestion.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = super::day)]
    date: Option<Date>,
    /// The operator's own totals: CSV with a line of names, or a JSON object on each line. Columns: date, game_type,
    /// currency, and of bets_count, total_bets, wins, ggr, ngr, jackpot_contribution, jackpot_wins, chargebacks those to compare;
    /// with customer_id one row's.
    #[arg(long, value_name = "FILE")]
    totals: Option<PathBuf>,
    /// Worker threads; the configuration's by default. The result does not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Judge the lake alone, although the configuration has brokers.
    #[arg(long)]
    lake_only: bool,
    /// Check the days that are over again and again, so long after each round, such as 1h, until Ctrl-C or SIGTERM: a line
    /// for each round, and the account when it begins to differ.
    #[arg(long, value_name = "SPAN", value_parser = super::span, conflicts_with = "date")]
    every: Option<Duration>,
    /// Address and port at which the rounds are told by HTTP: /metrics for Prometheus, /ready once one has judged.
    #[arg(long, value_name = "ADDR", requires = "every")]
    listen: Option<SocketAddr>,
    /// How to tell what was found.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Reconcile {
    pub(super) fn run(self) -> Result<(), Failure> {
        super::log(if self.every.is_some() { "info" } else { "warn" });
        let config = self.config.load_with_lake("`reconcile` recomputes from the history in [lake]")?;
        // What is wrong with totals is told before anything is read; later rounds read them anew.
        self.question()?;
        match self.every {
            Some(every) => self.run_rounds(config, every),
            None => self.run_once(&config),
        }
    }

    fn run_once(&self, config: &Config) -> Result<(), Failure> {
        let account = self.account(config)?;
        match self.format {
            Format::Json => println!("{}", as_json(&account)),
            Format::Text => print!("{}", text::as_text(&account)),
        }
        judged(&account)
    }

    fn question(&self) -> Result<Question, Failure> {
        let totals = self.totals.as_deref().map(read_totals).transpose().map_err(Failure::Invalid)?;
        let only_closed = self.every.is_some();
        Ok(Question { date: self.date, only_closed, totals: totals.unwrap_or_default(), at: wall_time() })
    }

    /// Balances the books as they are now.
    fn account(&self, config: &Config) -> Result<Account, Failure> {
        let question = self.question()?;
        let workers = self.workers.map_or(config.pipeline.workers, usize::from);
        let proof = Proof::open(config.clone(), self.lake_only)?;
        let progress = Progress::epochs(proof.epochs());
        let account = reconcile((config, proof), &question, workers, progress.advance());
        progress.finish();
        Ok(account?)
    }
}

/// Fails if anything differs.
fn judged(account: &Account) -> Result<(), Failure> {
    if account.is_equal() { Ok(()) } else { Err(Failure::Failed("the books differ".to_owned())) }
}

fn as_json(account: &Account) -> serde_json::Value {
    let mut object = json!(account);
    object["equal"] = json!(account.is_equal());
    object
}
