//! The files of `questline report ledger`: a journal and the balances of each day, as CSV and as Parquet.

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use datasets::Money;
use datasets::schema::{Builder, Column, Layout};

use super::ledger::{Balance, Day, Entry};
use crate::history::cell::rows;

/// What was done with the files of some days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// New ones.
    pub new: usize,
    /// There before, and the same.
    pub same: usize,
}

/// Writes the files of each day to `folder`: `journal-2026-06-01.csv`, `balances-2026-06-01.csv`, and the same as `.parquet`.
///
/// # Errors
/// A file that cannot be written, or is there with other contents: the books of a day that is over do not change.
pub fn write(folder: &Path, days: &[Day]) -> Result<Written, String> {
    let said = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    std::fs::create_dir_all(folder).map_err(|error| said(folder, error))?;
    let (journal, balances) = (Arc::new(journal()), Arc::new(balances()));
    let mut written = Written::default();
    for day in days {
        for (batch, name) in [(batch(&journal, day), "journal"), (batch(&balances, day), "balances")] {
            let path = |kind: &str| folder.join(format!("{name}-{}.{kind}", day.date));
            let text = csv(&batch);
            match std::fs::read(path("csv")) {
                Ok(known) if known == text.as_bytes() && path("parquet").exists() => written.same += 2,
                Ok(known) if known != text.as_bytes() => {
                    return Err(format!(
                        "{}: is there and differs from the books, although its day was over. Another pipeline, lake, or activity.zone wrote it, or rows of that day reached the lake late. Move it away to write it and its Parquet anew",
                        path("csv").display()
                    ));
                }
                // Parquet's bytes may differ from release to release, so it is known by the CSV that was written behind it.
                _ => {
                    let bytes = sinks::lake::parquet(&batch).map_err(|error| crate::chain(&error))?;
                    put(&path("parquet"), &bytes).map_err(|error| said(&path("parquet"), error))?;
                    put(&path("csv"), text.as_bytes()).map_err(|error| said(&path("csv"), error))?;
                    written.new += 2;
                }
            }
        }
    }
    Ok(written)
}

/// All of a file or nothing is seen under its name.
pub(super) fn put(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, bytes)?;
    std::fs::rename(&new, path)
}

/// Two lines for each entry: what is debited, then what is credited.
fn journal() -> Layout<Day> {
    fn entry(day: &Day, line: usize) -> &Entry {
        &day.entries[line / 2]
    }
    fn is_debited(line: usize) -> bool {
        line.is_multiple_of(2)
    }
    fn side(day: &Day, line: usize, is_debit: bool) -> Money {
        if is_debited(line) == is_debit { entry(day, line).amount } else { Money::ZERO }
    }
    let columns = vec![
        Column::date("booked_on", |day: &Day, _| Some(day.date)).required(),
        Column::int("entry", |_, line| i64::try_from(line / 2 + 1).ok()).required(),
        Column::text("movement", |day, line| Some(entry(day, line).posting.movement.name())),
        Column::text("account", |day, line| {
            let posting = &entry(day, line).posting;
            Some(if is_debited(line) { posting.debit } else { posting.credit }.name())
        }),
        Column::text("unit", |day, line| Some(&entry(day, line).posting.unit)),
        Column::money("debit", |day, line| Some(side(day, line, true))).required(),
        Column::money("credit", |day, line| Some(side(day, line, false))).required(),
        Column::date("activity_date", |day, line| entry(day, line).posting.activity_date),
        Column::int("source_rows", |day, line| i64::try_from(entry(day, line).rows).ok()).required(),
    ];
    Layout::new("journal", "booked_on", |day| 2 * day.entries.len(), |day, _| day.date.days(), columns)
}

fn balances() -> Layout<Day> {
    fn balance(day: &Day, line: usize) -> &Balance {
        &day.balances[line]
    }
    let columns = vec![
        Column::date("date", |day: &Day, _| Some(day.date)).required(),
        Column::text("account", |day, line| Some(balance(day, line).account.name())),
        Column::text("unit", |day, line| Some(&balance(day, line).unit)),
        Column::money("opening", |day, line| Some(balance(day, line).opening)).required(),
        Column::money("debit", |day, line| Some(balance(day, line).debit)).required(),
        Column::money("credit", |day, line| Some(balance(day, line).credit)).required(),
        Column::money("closing", |day, line| Some(balance(day, line).closing)).required(),
    ];
    Layout::new("balances", "date", |day| day.balances.len(), |day, _| day.date.days(), columns)
}

fn batch(layout: &Arc<Layout<Day>>, day: &Day) -> RecordBatch {
    let mut builder = Builder::new(layout.clone());
    builder.append(day, 0..(layout.len)(day));
    builder.finish()
}

/// With a line of names (RFC 4180, lines ending in a line feed).
pub(super) fn csv(batch: &RecordBatch) -> String {
    let names: Vec<&str> = batch.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
    let mut text = names.join(",") + "\n";
    for row in rows(std::slice::from_ref(batch)) {
        let cells = names.iter().map(|name| row.cell(name).map_or_else(String::new, |cell| quoted(&cell.to_string())));
        text.push_str(&cells.collect::<Vec<_>>().join(","));
        text.push('\n');
    }
    text
}

fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
