//! `questline demo`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use datasets::Money;
use datasets::generator::{GeneratorConfig, Tally};
use operators::rollup::{GameDay, Takings};

use super::Failure;
use super::show::{Progress, thousands};
use crate::config::Config;
use crate::replay::input::{Book, Input};
use crate::replay::{Outcome, Replay};

/// Width of the longest bar.
const BAR: i128 = 40;

#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// Events to generate.
    #[arg(long, value_name = "N", default_value_t = 500_000)]
    events: u64,
    /// Players who may turn up.
    #[arg(long, value_name = "P", default_value_t = 50_000)]
    players: u32,
    /// Missions.
    #[arg(long, value_name = "M", default_value_t = 20)]
    missions: u32,
    /// Equal arguments give equal play.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Worker threads.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: u16,
    /// The folder for everything that the demo writes. What an earlier demo wrote there is removed.
    #[arg(long, value_name = "DIR", default_value = "questline-demo")]
    out: PathBuf,
}

impl Demo {
    pub(super) fn run(self) -> Result<(), Failure> {
        super::log("warn");
        let folder = prepare_folder(&self.out)?;
        let play = GeneratorConfig {
            events: self.events,
            players: self.players,
            missions: self.missions,
            seed: self.seed,
            ..GeneratorConfig::default()
        };
        println!(
            "Questline: a day of play, {} events by up to {} players.",
            thousands(self.events),
            thousands(self.players.into())
        );
        let book = Book::default();
        let replay = Replay {
            config: configuration(&folder)?,
            input: Input::Play(Box::new(play), book.clone()),
            out: folder.join("out"),
            workers: usize::from(self.workers),
            epoch_records: 10_000,
        };
        let progress = Progress::events(self.events);
        let started = Instant::now();
        let outcome = replay.run(progress.advance());
        progress.finish();
        let outcome = outcome?;
        let seconds = started.elapsed().as_secs_f64();
        report(&outcome, seconds);
        println!();
        let tally = book
            .lock()
            .expect("no panic while generating")
            .take()
            .ok_or_else(|| "the play was not generated to its end".to_owned())?;
        compare(&outcome, &tally)?;
        point(&self.out);
        Ok(())
    }
}

/// A folder of our own: only one that is empty, or that an earlier demo made, is used.
fn prepare_folder(out: &Path) -> Result<PathBuf, Failure> {
    let about = |error: std::io::Error| Failure::Invalid(vec![format!("{}: {error}", out.display())]);
    let marker = out.join(".questline-demo");
    let is_ours = marker.exists();
    let is_free = !out.exists() || out.read_dir().map_err(about)?.next().is_none();
    if !is_ours && !is_free {
        let message = format!("{}: the folder is not empty: give another one with --out", out.display());
        return Err(Failure::Invalid(vec![message]));
    }
    if is_ours {
        for part in ["out", "lake"] {
            match std::fs::remove_dir_all(out.join(part)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(about(error)),
                _ => {}
            }
        }
    }
    std::fs::create_dir_all(out).map_err(about)?;
    std::fs::write(&marker, "made by questline demo, which may remove what is beside this file\n").map_err(about)?;
    out.canonicalize().map_err(about)
}

fn configuration(folder: &Path) -> Result<Config, Failure> {
    let mut config = Config::parse("[pipeline]\nname = \"demo\"\n", "the demo's configuration", folder, [])
        .map_err(|errors| Failure::Failed(errors.to_string()))?;
    config.lake = Some(crate::config::LakeConfig {
        url: format!("file://{}", folder.join("lake").display()),
        max_file_age: crate::config::Duration::days(2),
        ..Default::default()
    });
    Ok(config)
}

fn report(outcome: &Outcome, seconds: f64) {
    let counters = &outcome.counters;
    let refused: u64 = counters.dead_letters.values().sum();
    let whole = counters.read.to_string().parse::<f64>().unwrap_or(0.0);
    println!();
    println!(
        "  events read          {:>12}   in {seconds:.1} s: {:.2} M events/s",
        thousands(counters.read),
        whole / seconds / 1e6
    );
    println!("  accepted             {:>12}", thousands(counters.accepted));
    println!("  duplicates dropped   {:>12}", thousands(counters.duplicates));
    println!("  refused              {:>12}   see out/dead_letters.jsonl", thousands(refused));
    println!("  missions completed   {:>12}   see out/completions.jsonl", thousands(counters.completed));
    println!("  and revoked          {:>12}   after a reversal", thousands(counters.revoked));
    println!();
    for (currency, takings) in by_currency(&outcome.takings) {
        println!("  GGR by game type, {currency}");
        let largest = takings.values().map(|ggr| ggr.raw().abs()).max().unwrap_or(0).max(1);
        for (game_type, ggr) in takings {
            let width = usize::try_from(ggr.raw().abs() * BAR / largest).unwrap_or(0);
            let bar = if ggr.is_negative() { "-" } else { "#" }.repeat(width);
            println!("    {game_type:<16} {:>16} {bar}", ggr.to_string());
        }
    }
}

fn by_currency(takings: &BTreeMap<GameDay, Takings>) -> BTreeMap<Arc<str>, BTreeMap<Arc<str>, Money>> {
    let mut all: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Money>> = BTreeMap::new();
    for (day, takings) in takings {
        *all.entry(day.currency.clone()).or_default().entry(day.game_type.clone()).or_default() += takings.ggr();
    }
    all
}

/// The pipeline's totals must be those of the generator's own book.
fn compare(outcome: &Outcome, tally: &Tally) -> Result<(), Failure> {
    let counters = &outcome.counters;
    let counts = [
        ("events", tally.events, counters.read),
        ("accepted events", tally.accepted(), counters.accepted),
        ("duplicates", tally.duplicates, counters.duplicates),
        ("refused events", tally.refused(), counters.dead_letters.values().sum()),
    ];
    let mut wrong: Vec<String> = counts
        .iter()
        .filter(|(_, generated, found)| generated != found)
        .map(|(what, generated, found)| format!("{what}: generated {generated}, found {found}"))
        .collect();
    let generated = tally.activity.iter().map(|(key, totals)| {
        ((key.date, key.game_type.as_str(), key.currency.as_str()), (totals.bets_count, totals.total_bets, totals.wins))
    });
    let generated: BTreeMap<_, _> =
        generated.filter(|(_, (bets, total, wins))| *bets > 0 || !total.is_zero() || !wins.is_zero()).collect();
    let found = outcome.takings.iter().map(|(day, takings)| {
        let bets = u64::try_from(takings.bets_count).unwrap_or(u64::MAX);
        ((day.date, &*day.game_type, &*day.currency), (bets, takings.total_bets, takings.wins))
    });
    let found: BTreeMap<_, _> =
        found.filter(|(_, (bets, total, wins))| *bets > 0 || !total.is_zero() || !wins.is_zero()).collect();
    let days = generated.keys().chain(found.keys()).collect::<std::collections::BTreeSet<_>>();
    for day in days.into_iter().filter(|day| generated.get(*day) != found.get(*day)) {
        wrong.push(format!(
            "{} {} {}: generated {:?}, found {:?}",
            day.0,
            day.1,
            day.2,
            generated.get(day),
            found.get(day)
        ));
    }
    if !wrong.is_empty() {
        return Err(Failure::Failed(format!(
            "the totals differ from the generator's own book:\n  {}",
            wrong.join("\n  ")
        )));
    }
    println!("  Every total equals the generator's own book, to the cent.");
    Ok(())
}

fn point(out: &Path) {
    let out = out.display();
    println!();
    println!("  Outputs      {out}/out");
    println!("  Lake         {out}/lake, Parquet by table and date");
    println!("  Ask it       duckdb -c \"SELECT game_type, currency, sum(ggr) AS ggr FROM (");
    println!("                 SELECT * FROM read_parquet('{out}/lake/activity/*/*.parquet')");
    println!(
        "                 QUALIFY row_number() OVER (PARTITION BY date, customer_id, game_type, currency ORDER BY revision DESC) = 1"
    );
    println!("               ) GROUP BY ALL ORDER BY ALL\"");
}
