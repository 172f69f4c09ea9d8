//! `questline dead-letters`

use std::path::PathBuf;

use datasets::Reason;
use datasets::time::Date;
use serde_json::json;

use super::show::thousands;
use super::{DefaultConfig, Failure, Format};
use crate::dead_letters::{DeadLetters, Filter, Letter, LetterId, Planned, Replayed};

/// Why brokers are needed.
const WHY: &str = "the topic of dead letters is there";

#[derive(Debug, clap::Args)]
pub(super) struct DeadLettersArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Lists dead letters in the order of ingestion, each by its name: partition:offset on the topic of dead letters.
    List(ListArgs),
    /// Shows one with what was sent: redacted, and cut where the broker's limit cut it.
    Show(ShowArgs),
    /// Sends refused records again, as they were or with another value, to the partition in which they were. They are ingested anew.
    Replay(ReplayArgs),
}

#[derive(Debug, clap::Args)]
struct FilterArgs {
    /// Only letters of this reason; several are allowed.
    #[arg(long, value_name = "REASON", value_parser = reason)]
    reason: Vec<Reason>,
    /// Only records that were ingested on this UTC day.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = super::day)]
    date: Option<Date>,
}

impl FilterArgs {
    fn filter(self) -> Filter {
        Filter { reasons: self.reason, date: self.date }
    }
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    config: DefaultConfig,
    /// How to tell.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The letter, as partition:offset.
    id: LetterId,
    #[command(flatten)]
    config: DefaultConfig,
    /// How to tell.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct ReplayArgs {
    /// The letters, as partition:offset; or all that --reason and --date take.
    #[arg(required_unless_present = "reason", conflicts_with_all = ["reason", "date"])]
    ids: Vec<LetterId>,
    #[command(flatten)]
    filter: FilterArgs,
    /// The value to send instead, for one letter; its key and headers stay.
    #[arg(long, value_name = "FILE", requires = "ids", conflicts_with = "reason")]
    value: Option<PathBuf>,
    /// Tell what would be sent, and send nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    config: DefaultConfig,
    /// How to tell.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

fn reason(text: &str) -> Result<Reason, String> {
    let names = || Reason::ALL.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().join(", ");
    Reason::ALL.iter().copied().find(|reason| reason.as_str() == text).ok_or_else(|| format!("use one of {}", names()))
}

/// How many there are of a thing, in words.
fn counted(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", thousands(u64::try_from(number).unwrap_or(u64::MAX)))
}

impl DeadLettersArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        super::log("warn");
        match self.command {
            Command::List(arguments) => arguments.run(),
            Command::Show(arguments) => arguments.run(),
            Command::Replay(arguments) => arguments.run(),
        }
    }
}

impl ListArgs {
    fn run(self) -> Result<(), Failure> {
        let (config, kafka) = self.config.load_with_kafka(WHY)?;
        let letters = DeadLetters::connect(&config, &kafka)?.list(&self.filter.filter())?;
        if self.format == Format::Json {
            println!("{}", json!(letters));
            return Ok(());
        }
        println!("{:<12} {:<28} {:<22} record", "letter", "ingested", "reason");
        for Letter { id, row } in &letters {
            let place = format!("{}-{}, offset {}", row.place.topic, row.place.partition, row.place.offset);
            let item = if row.index > 0 { format!(", item {}", row.index) } else { String::new() };
            let (id, ingested) = (id.to_string(), row.ingest_time.to_string());
            println!("{id:<12} {ingested:<28} {:<22} {place}{item}: {}", row.reason.as_str(), row.detail);
        }
        println!("{}", counted(letters.len(), "dead letter"));
        Ok(())
    }
}

impl ShowArgs {
    fn run(self) -> Result<(), Failure> {
        let (config, kafka) = self.config.load_with_kafka(WHY)?;
        let letter = DeadLetters::connect(&config, &kafka)?.show(self.id)?;
        if self.format == Format::Json {
            println!("{}", json!(letter));
            return Ok(());
        }
        let Letter { id, row } = letter;
        println!("letter      {id}");
        println!("reason      {}: {}", row.reason, row.detail);
        println!(
            "record      {}-{}, offset {}, item {}",
            row.place.topic, row.place.partition, row.place.offset, row.index
        );
        println!("ingested    {}", row.ingest_time);
        println!("player      {}", row.player_id.as_deref().unwrap_or("-"));
        let note = if row.truncated { " (cut to the broker's limit)" } else { "" };
        match (row.raw, row.raw_base64) {
            (Some(raw), _) => println!("value{note}\n{raw}"),
            (None, Some(raw)) => println!("value, base64{note}\n{raw}"),
            (None, None) => println!("value       withheld: it did not parse, so it could not be redacted"),
        }
        Ok(())
    }
}

impl ReplayArgs {
    fn run(self) -> Result<(), Failure> {
        let ReplayArgs { ids, filter, value, dry_run, config, format } = self;
        if value.is_some() && ids.len() != 1 {
            return Err(Failure::Invalid(vec!["--value is of one letter: name exactly one".to_owned()]));
        }
        let read = |path: PathBuf| std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()));
        let value = value.map(read).transpose().map_err(|error| Failure::Invalid(vec![error]))?;
        let (config, kafka) = config.load_with_kafka(WHY)?;
        let letters = DeadLetters::connect(&config, &kafka)?;
        let named = match ids.as_slice() {
            [] => letters.list(&filter.filter())?,
            ids => ids.iter().map(|id| letters.show(*id)).collect::<Result<Vec<_>, _>>()?,
        };
        let planned =
            letters.plan(&named, value.as_deref()).map_err(|errors| Failure::Failed(errors.join("\nerror: ")))?;
        let told = |planned: &Planned| {
            let Planned { id, topic, partition, .. } = planned;
            Replayed { id: *id, topic: topic.clone(), partition: *partition, offset: None }
        };
        let replayed = if dry_run { planned.iter().map(told).collect() } else { letters.replay(&planned)? };
        if format == Format::Json {
            println!("{}", json!({"sent": !dry_run, "records": replayed}));
            return Ok(());
        }
        for Replayed { id, topic, partition, offset } in &replayed {
            let offset = offset.map_or_else(String::new, |offset| format!(", offset {offset}"));
            println!("{id}: {topic}-{partition}{offset}");
        }
        println!(
            "{} {}",
            counted(replayed.len(), "record"),
            if dry_run { "would be sent again" } else { "sent again" }
        );
        Ok(())
    }
}
