//! `questline bench`

use std::fmt::Write;
use std::time::Duration;

use serde_json::json;

use super::show::thousands;
use super::{Failure, Format};
use crate::bench::{Figures, Workload, core};

/// On one thread and in memory: what a worker does, without reading from Kafka, committing, and writing the lake.
#[derive(Debug, clap::Args)]
pub(super) struct Bench {
    /// Events of generated play, held in memory: about 0.5 KB each.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    events: u64,
    /// Players who may turn up.
    #[arg(long, value_name = "P", default_value_t = 200_000)]
    players: u32,
    /// Missions that the events meet.
    #[arg(long, value_name = "M", default_value_t = 100)]
    missions: u32,
    /// So many more missions, of mixed conditions that no event meets.
    #[arg(long, value_name = "M", default_value_t = 0)]
    unmatched: u32,
    /// Seconds that the events cover: changed rows of activity are reported every ten of them.
    #[arg(long, value_name = "SECONDS", default_value_t = 100)]
    span: u32,
    /// Players who have state before the first event that is measured; their memory is told.
    #[arg(long, value_name = "P", default_value_t = 0)]
    known: u32,
    /// Bets that each of them placed that day.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "known", value_parser = clap::value_parser!(u32).range(1..))]
    bets: u32,
    /// How the figures look.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Bench {
    pub(super) fn run(self) -> Result<(), Failure> {
        super::log("warn");
        let Bench { events, players, missions, unmatched, span, known, bets, format } = self;
        let figures = core(&Workload { events, players, missions, unmatched, span, known, bets });
        let figures = figures.map_err(|error| Failure::Invalid(vec![error]))?;
        match format {
            Format::Text => print!("{}", as_text(&figures, players, known)),
            Format::Json => println!("{}", as_json(&figures)),
        }
        Ok(())
    }
}

fn stages(figures: &Figures) -> [(&'static str, &'static str, Duration); 5] {
    [
        ("decode", "payloads to events", figures.decode),
        ("players", "identity and missions", figures.players),
        ("activity", "daily activity", figures.activity),
        ("report", "reports of activity", figures.report),
        ("all", "all", figures.all()),
    ]
}

fn as_text(figures: &Figures, players: u32, known: u32) -> String {
    let Figures { events, missions, completions, rows, define, edit, .. } = figures;
    let count = |count: usize| thousands(u64::try_from(count).unwrap_or(u64::MAX));
    let mut text = format!(
        "{} events of {} players beside {} missions, on one thread, in memory\n\n{:<24}{:>14}{:>16}\n",
        thousands(*events),
        thousands(u64::from(players)),
        count(*missions),
        "stage",
        "ns per event",
        "events/s"
    );
    for (_, stage, time) in stages(figures) {
        let nanos = figures.nanos(time);
        let rate = 1_000_000_000_u64.checked_div(nanos).map_or_else(|| "-".to_owned(), thousands);
        writeln!(text, "{stage:<24}{:>14}{rate:>16}", thousands(nanos)).expect("a text takes all lines");
    }
    if let Some(bytes) = figures.known_bytes.and_then(|bytes| bytes.checked_div(u64::from(known))) {
        let known = thousands(u64::from(known));
        writeln!(text, "\n{known} players known before, of {bytes} bytes each").expect("a text takes all lines");
    }
    let [completions, rows] = [*completions, *rows].map(count);
    let said = format!(
        "{completions} completions, {rows} rows of activity; missions in force after {define:.1?}, one edited in {edit:.1?}"
    );
    text + "\n" + &said + "\n"
}

fn as_json(figures: &Figures) -> serde_json::Value {
    let Figures { events, missions, completions, rows, define, edit, .. } = figures;
    let nanos = stages(figures).map(|(name, _, time)| (name.to_owned(), json!(figures.nanos(time))));
    json!({
        "events": events,
        "missions": missions,
        "completions": completions,
        "rows": rows,
        "definitions_ms": define.as_secs_f64() * 1e3,
        "edit_ms": edit.as_secs_f64() * 1e3,
        "known_bytes": figures.known_bytes,
        "nanos_per_event": serde_json::Map::from_iter(nanos),
    })
}
