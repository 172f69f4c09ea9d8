//! `questline warehouse`

use super::{ConfigArgs, Failure};
use crate::warehouse::{self, Load};

#[derive(Debug, clap::Args)]
pub(super) struct Warehouse {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Prints the statements by which a warehouse reads the lake: tables, what loads them, and views.
    Ddl(DdlArgs),
}

#[derive(Debug, clap::Args)]
struct DdlArgs {
    /// The warehouse.
    #[arg(long, value_enum)]
    target: Target,
    #[command(flatten)]
    config: ConfigArgs,
    /// How rows come into Snowflake; one way for all tables, since each remembers what it loaded by itself.
    #[arg(long, value_enum, default_value_t = LoadBy::Copy)]
    load: LoadBy,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Target {
    /// On S3: integration, stage, file format, tables and views.
    Snowflake,
    /// Views over the files. Looks into the lake for which tables have any.
    Duckdb,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LoadBy {
    /// COPY INTO, that you run.
    Copy,
    /// Snowpipe, by the bucket's notifications.
    Pipe,
    /// External tables: nothing is loaded.
    External,
}

impl Warehouse {
    pub(super) fn run(self) -> Result<(), Failure> {
        super::log("warn");
        let Command::Ddl(DdlArgs { target, config, load }) = self.command;
        let config = config.load_with_lake("the warehouse reads it")?;
        let target = match target {
            Target::Duckdb => warehouse::Target::Duckdb,
            Target::Snowflake => warehouse::Target::Snowflake(match load {
                LoadBy::Copy => Load::Copy,
                LoadBy::Pipe => Load::Pipe,
                LoadBy::External => Load::External,
            }),
        };
        let sql = warehouse::ddl(&config, target).map_err(|error| match target {
            warehouse::Target::Duckdb => Failure::Failed(error),
            warehouse::Target::Snowflake(_) => Failure::Invalid(vec![error]),
        })?;
        print!("{sql}");
        Ok(())
    }
}
