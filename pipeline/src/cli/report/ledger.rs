//! `questline report ledger`

use std::fmt::Write;
use std::path::PathBuf;

use datasets::time::Date;
use serde_json::json;

use crate::cli::{self, ConfigArgs, Failure, Format};
use crate::report::files::{self, Written};
use crate::report::ledger::{self, Account, Balance, Books, Day, Movement, POINTS};

#[derive(Debug, clap::Args)]
pub(super) struct Ledger {
    #[command(flatten)]
    config: ConfigArgs,
    /// The folder for the files. Those of a day that is over never change: what is there already is compared.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The first day; by default the first on which something was booked.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = cli::day)]
    from: Option<Date>,
    /// The last day; by default the last of which the lake has everything.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = cli::day)]
    to: Option<Date>,
    /// How to tell what was booked.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Ledger {
    pub(super) fn run(self) -> Result<(), Failure> {
        super::check_range(self.from, self.to)?;
        let config = self.config.load_with_lake("`report ledger` sums the rows of [lake]")?;
        let Books { mut days, complete } = ledger::read(&config)?;
        if let (Some(to), Some(complete)) = (self.to, complete)
            && to > complete
        {
            return Err(Failure::Failed(format!(
                "the lake does not have all of {to} yet: days are complete up to {complete}"
            )));
        }
        days.retain(|day| self.from.is_none_or(|from| from <= day.date) && self.to.is_none_or(|to| day.date <= to));
        let written = files::write(&self.out, &days)?;
        match self.format {
            Format::Json => println!(
                "{}",
                json!({"days": days, "complete": complete, "files": {"new": written.new, "same": written.same}})
            ),
            Format::Text => {
                print!("{}", as_text(&days));
                let Written { new, same } = written;
                println!("{new} new files in {}, {same} were there and are the same", self.out.display());
                if let Some(complete) = complete {
                    println!("days are complete up to {complete}");
                }
            }
        }
        Ok(())
    }
}

fn as_text(days: &[Day]) -> String {
    if days.is_empty() {
        return "no points and no bonus costs were booked on a day that is complete\n".to_owned();
    }
    let mut text = format!(
        "{:<12}{:>16}{:>14}{:>14}{:>14}{:>14}{:>16}\n",
        "points", "opening", "granted", "redeemed", "expired", "revoked", "closing"
    );
    let mut line = |said: String| writeln!(text, "{said}").expect("a text takes all lines");
    for day in days {
        let liability = |balance: &&Balance| balance.account == Account::PointsLiability;
        let Some(Balance { opening, closing, .. }) = day.balances.iter().find(liability) else { continue };
        let [granted, redeemed, expired, revoked] =
            [Movement::Granted, Movement::Redeemed, Movement::Expired, Movement::Revoked].map(|movement| {
                let entries = day.entries.iter().filter(|entry| entry.posting.movement == movement);
                let signed = entries.map(|entry| match entry.posting.credit {
                    Account::PointsLiability => entry.amount,
                    _ => -entry.amount,
                });
                signed.sum::<datasets::Money>().to_string()
            });
        line(format!(
            "{:<12}{:>16}{granted:>14}{redeemed:>14}{expired:>14}{revoked:>14}{:>16}",
            day.date.to_string(),
            opening.to_string(),
            closing.to_string()
        ));
    }
    line(format!("\n{:<12}{:>6}{:>16}{:>16}{:>16}", "bonuses", "", "cost so far", "booked", "so far"));
    for day in days {
        for Balance { unit, opening, debit, credit, closing, .. } in
            day.balances.iter().filter(|balance| balance.account == Account::BonusExpense && balance.unit != POINTS)
        {
            line(format!(
                "{:<12}{unit:>6}{:>16}{:>16}{:>16}",
                day.date.to_string(),
                opening.to_string(),
                (*debit - *credit).to_string(),
                closing.to_string()
            ));
        }
    }
    text
}
