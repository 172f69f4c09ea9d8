//! `questline verify`

use std::fmt::Write;

use serde_json::json;

use super::show::{Progress, thousands};
use super::{ConfigArgs, Failure, Format};
use crate::verify::{Comparison, Proof, Verdict};

#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    #[command(flatten)]
    config: ConfigArgs,
    /// Worker threads; the configuration's by default. The result does not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Judge the lake alone, although the configuration has brokers.
    #[arg(long)]
    lake_only: bool,
    /// Fail too when something is on its way and not judged: of a pipeline that was stopped, nothing is.
    #[arg(long)]
    complete: bool,
    /// How to tell what was found.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Verify {
    pub(super) fn run(self) -> Result<(), Failure> {
        super::log("warn");
        let config = self.config.load_with_lake("`verify` recomputes from the history in [lake]")?;
        let workers = self.workers.map_or(config.pipeline.workers, usize::from);
        let proof = Proof::open(config, self.lake_only)?;
        let progress = Progress::epochs(proof.epochs());
        let verdict = proof.run(workers, progress.advance());
        progress.finish();
        let verdict = verdict?;
        match self.format {
            Format::Json => println!("{}", as_json(&verdict)),
            Format::Text => print!("{}", as_text(&verdict, verdict.is_equal())),
        }
        let differing = verdict.compared.iter().filter(|comparison| comparison.differences > 0);
        let differing: Vec<&str> = differing.map(|comparison| comparison.what.as_str()).collect();
        match differing.as_slice() {
            [] if self.complete && !verdict.is_complete() => {
                Err(Failure::Failed("not complete: something in the lake or the topics was not judged".to_owned()))
            }
            [] => Ok(()),
            names => Err(Failure::Failed(format!("not as recomputed: {}", names.join(", ")))),
        }
    }
}

fn as_json(verdict: &Verdict) -> serde_json::Value {
    let mut object = json!(verdict);
    object["equal"] = json!(verdict.is_equal());
    object["complete"] = json!(verdict.is_complete());
    object
}

/// A table, what was not recomputed, and `equal` or the first differences.
pub(super) fn as_text(verdict: &Verdict, is_equal: bool) -> String {
    let mut text = format!("{:<26}{:>12}  result\n", "compared", "records");
    for comparison in &verdict.compared {
        let Comparison { what, records, .. } = comparison;
        line(&mut text, &format!("{what:<26}{:>12}  {}", thousands(*records), result(comparison)));
    }
    let Verdict { epochs, epochs_in_lake, events, until, .. } = verdict;
    let (shown, events) = (thousands(*epochs), thousands(*events));
    line(&mut text, &format!("recomputed from {events} events of {shown} epochs, to {until} by the recorded clock"));
    if let left @ 1.. = epochs_in_lake.saturating_sub(*epochs) {
        let left = thousands(left);
        line(&mut text, &format!("{left} later epochs are not judged: what they read is not all in the lake yet"));
    }
    if is_equal {
        line(&mut text, "equal");
    }
    for Comparison { what, first, .. } in &verdict.compared {
        if let Some(first) = first {
            line(&mut text, &format!("first difference in {what}: {first}"));
        }
    }
    text
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a text takes all lines");
}

fn result(comparison: &Comparison) -> String {
    let Comparison { differences, newer, unwritten, expired, undecoded, .. } = *comparison;
    let mut result = match differences {
        0 => "equal".to_owned(),
        1 => "1 difference".to_owned(),
        many => format!("{} differences", thousands(many)),
    };
    let notes = [
        (newer, "newer than the lake"),
        (unwritten, "not in a file yet"),
        (expired, "older than the topic"),
        (undecoded, "refused before they were events"),
    ];
    for (number, what) in notes.into_iter().filter(|(number, _)| *number > 0) {
        result.push_str(&format!("; not judged: {} {what}", thousands(number)));
    }
    result
}
