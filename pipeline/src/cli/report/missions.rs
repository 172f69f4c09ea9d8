//! `questline report missions`

use std::fmt::Write;
use std::path::PathBuf;

use datasets::Money;
use datasets::rows::Period;
use datasets::time::Date;
use serde_json::json;

use crate::cli::show::{Progress, thousands};
use crate::cli::{self, ConfigArgs, Failure, Format};
use crate::report::missions::table::{self, Published};
use crate::report::missions::{Comparison, Question, Report, Reporter, Side, change, comparisons};

#[derive(Debug, clap::Args)]
pub(super) struct Missions {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only this mission.
    #[arg(long, value_name = "ID")]
    mission: Option<String>,
    /// Only windows with days from this reporting day on.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = cli::day)]
    from: Option<Date>,
    /// Only windows with days up to this reporting day.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = cli::day)]
    to: Option<Date>,
    /// A folder for mission_ggr.csv and mission_ggr.parquet, which take the place of those that are there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Append what changed to the lake's table mission_ggr; of all missions and windows only.
    #[arg(long, conflicts_with_all = ["mission", "from", "to"])]
    publish: bool,
    /// How to tell it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Missions {
    pub(super) fn run(self) -> Result<(), Failure> {
        super::check_range(self.from, self.to)?;
        let config = self.config.load_with_lake("`report missions` reads the history and activity in [lake]")?;
        let question = Question { mission: self.mission.clone(), from: self.from, to: self.to };
        let reporter = Reporter::open(&config, question)?;
        let progress = Progress::epochs(reporter.epochs());
        let report = reporter.report(progress.advance());
        progress.finish();
        let report = report?;
        if let Some(folder) = &self.out {
            table::write_files(folder, &report)?;
        }
        let published = match config.lake.as_ref().filter(|_| self.publish) {
            Some(lake) => Some(table::publish(lake, &report)?),
            None => None,
        };
        match self.format {
            Format::Json => println!("{}", as_json(&report, published.as_ref())),
            Format::Text => print!("{}", as_text(&report, published.as_ref())),
        }
        Ok(())
    }
}

fn as_json(report: &Report, published: Option<&Published>) -> serde_json::Value {
    let published = published.map(|Published { rows, object }| json!({"rows": rows, "object": object}));
    let mut told = json!(report);
    told["comparisons"] = json!(comparisons(&report.rows));
    told["published"] = json!(published);
    told
}

fn as_text(report: &Report, published: Option<&Published>) -> String {
    let mut text = String::new();
    let mut line = |line: &str| writeln!(text, "{}", line.trim_end()).expect("a text takes all lines");
    let compared = comparisons(&report.rows);
    for comparison in &compared {
        block(comparison, &mut line);
    }
    if compared.is_empty() {
        line("nobody has played near a window, on a day that is complete");
    }
    match report.complete {
        Some((first, last)) => line(&format!(
            "amounts are by customer and complete day, of days that are complete: {first} to {last}; as of {}",
            report.as_of
        )),
        None => line(&format!("no day is complete yet; as of {}", report.as_of)),
    }
    if let Some(Published { rows, object }) = published {
        let rows = thousands(u64::try_from(*rows).unwrap_or(u64::MAX));
        match object {
            Some(object) => line(&format!("{rows} rows are new or changed: {object}")),
            None => line("nothing has changed since the last report in the lake"),
        }
    }
    text
}

/// One population of a window.
fn block(comparison: &Comparison, line: &mut impl FnMut(&str)) {
    let Comparison { mission_id, window_start, window_end, segment, currency, days, days_complete, .. } = comparison;
    let end = window_end.map_or_else(|| "no end".to_owned(), |end| end.to_string());
    let segment = segment.as_deref().map_or_else(|| "all customers".to_owned(), |name| format!("segment {name}"));
    line(&format!("{mission_id}, {window_start} to {end}, {segment}, {currency}"));
    let of_days = Period::ALL.iter().zip(days.iter().zip(days_complete));
    let of_days = of_days.map(|(period, (days, complete))| match complete == days {
        true => format!("{} {days}", period.name()),
        false => format!("{} {days} ({complete} complete)", period.name()),
    });
    line(&format!("  days: {}", of_days.collect::<Vec<_>>().join(", ")));
    let heads = ["before", "during", "after", "change"].map(|head| format!("{head:>13}")).concat();
    line(&format!("  {:<14}{:>10}{:>10}   ggr{heads}   ngr{heads}", "", "customers", "played"));
    for (name, side) in [("participants", &comparison.participants), ("others", &comparison.others)] {
        let customers = thousands(side.customers.unsigned_abs());
        let [_, played, _] = side.players.map(|players| thousands(players.unsigned_abs()));
        let amounts = |of: &[Option<Money>; 3]| of.iter().map(|one| cell(*one)).collect::<String>() + &cell(change(of));
        let (ggr, ngr) = (amounts(&side.ggr), amounts(&side.ngr));
        line(&format!("  {name:<14}{customers:>10}{played:>10}      {ggr}      {ngr}"));
    }
    let rise = |read: fn(&Side) -> &[Option<Money>; 3]| cell(comparison.rise(read));
    let (ggr, ngr) = (rise(|side| &side.ggr), rise(|side| &side.ngr));
    line(&format!("  {:<34}      {:39}{ggr}      {:39}{ngr}", "more than the others'", "", ""));
    line("");
}

/// To 4 places, in 13 columns.
fn cell(amount: Option<Money>) -> String {
    let shown = amount.map_or_else(|| "-".to_owned(), |amount| amount.round_to(4).to_string());
    format!("{shown:>13}")
}
