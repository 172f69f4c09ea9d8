//! `questline warehouse ddl`: the statements by which a warehouse reads the lake.
//!
//! Tables and columns are those of the layouts that write the files, so what is printed is what is there.

mod duckdb;
mod snowflake;

use arrow_schema::{DataType, Field, SchemaRef};
use datasets::schema;
use sinks::cut::Table;
use sinks::lake::{LakeReader, NumberedTable, ReadError};

use crate::config::Config;
use crate::plan::lake_config;

pub use snowflake::Load;

/// A warehouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// DuckDB, over the files where they are.
    Duckdb,
    /// Snowflake, on S3.
    Snowflake(Load),
}

/// A table of the lake.
struct Described {
    folder: &'static str,
    /// What its folders are named by: `{partition}=2026-06-01`.
    partition: &'static str,
    /// A day, or a number.
    partition_type: DataType,
    schema: SchemaRef,
    /// Columns that a table made for files of the first version does not have.
    added: Vec<Field>,
}

impl Described {
    fn of(table: Table) -> Self {
        match table {
            Table::Events => by_day(&schema::events()),
            Table::Dispositions => by_day(&schema::dispositions()),
            Table::Activity => by_day(&schema::activity()),
            Table::Completions => by_day(&schema::completions()),
            Table::DeadLetters => by_day(&schema::dead_letters()),
            Table::MissionDefinitions => by_day(&schema::mission_definitions()),
            Table::Epochs => by_day(&schema::epochs()),
            Table::Audit => by_day(&schema::audit()),
            Table::Points => by_day(&schema::points()),
            Table::Tiers => by_day(&schema::tiers()),
            Table::Transactions => by_day(&schema::transactions()),
            Table::Customers => by_day(&schema::customers()),
            Table::Reviews => by_day(&schema::reviews()),
        }
    }

    /// The table that `questline report missions --publish` appends to.
    fn mission_ggr() -> Self {
        Described { partition_type: DataType::Int64, ..by_day(&schema::mission_ggr()) }
    }

    /// What the table is called in a warehouse: every revision of a row is not the row.
    fn name(&self) -> &'static str {
        match self.folder {
            "activity" => "activity_revisions",
            "transactions" => "transaction_revisions",
            "customers" => "customer_revisions",
            "mission_ggr" => "mission_ggr_revisions",
            folder => folder,
        }
    }

    /// Names and types of its columns.
    fn columns(&self) -> impl Iterator<Item = (&str, &DataType)> {
        self.schema.fields().iter().map(|field| (field.name().as_str(), field.data_type()))
    }
}

fn by_day<S>(layout: &schema::Layout<S>) -> Described {
    let (folder, partition, schema) = (layout.table, layout.partition, layout.schema().clone());
    Described { folder, partition, partition_type: DataType::Date32, schema, added: layout.added() }
}

fn tables() -> impl Iterator<Item = Described> {
    Table::ALL.into_iter().map(Described::of).chain([Described::mission_ggr()])
}

/// The statements for the lake of a pipeline.
///
/// # Errors
/// A pipeline without a lake, a lake that the warehouse cannot read, or that DuckDB's statements have to look into and cannot.
pub fn ddl(config: &Config, target: Target) -> Result<String, String> {
    let lake = config.lake.as_ref().ok_or("[lake] is missing: the warehouse reads it")?;
    match target {
        Target::Snowflake(load) => snowflake::ddl(config, &lake.url, load),
        Target::Duckdb => {
            let failed = |error: ReadError| crate::chain(&error);
            let reader = LakeReader::open(&lake_config(lake)).map_err(failed)?;
            let Described { folder, partition, .. } = Described::mission_ggr();
            let reports = NumberedTable::open(&lake_config(lake), folder, partition).map_err(failed)?;
            let mut written: Vec<&str> =
                Table::ALL.into_iter().filter(|table| !reader.objects(*table).is_empty()).map(Table::name).collect();
            written.extend((!reports.is_empty()).then_some(folder));
            Ok(duckdb::ddl(config, lake, &|folder| written.contains(&folder)))
        }
    }
}

/// What the SQL of a warehouse has of its own.
struct Dialect {
    /// Writes a column's name.
    quote: fn(&str) -> String,
    /// The first instant behind a day: of the column of this name, in this zone.
    day_end: fn(&str, &str) -> String,
}

/// A view: its name, what it is, and what it selects.
type View = (&'static str, &'static str, String);

/// Views over the tables, in the SQL that both warehouses have.
fn views(config: &Config, dialect: &Dialect) -> [View; 8] {
    let quote = dialect.quote;
    let list = |names: &[&str]| names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ");
    let place = ["topic", "partition", "offset", "record_index"];
    let same = place.map(|name| format!("d.{0} = e.{0}", quote(name))).join(" AND ");
    [
        (
            "activity",
            "The last revision of every row of daily activity. Rows that netted to zero are there, as zeros.",
            format!(
                "SELECT * FROM activity_revisions\n\
                 QUALIFY ROW_NUMBER() OVER (PARTITION BY {} ORDER BY {} DESC) = 1",
                list(&["date", "customer_id", "game_type", "currency"]),
                quote("revision")
            ),
        ),
        (
            "events_accepted",
            "Events that count: without duplicates, conflicts, and reversals that took nothing back.",
            format!(
                "SELECT e.* FROM events AS e WHERE NOT EXISTS (\n  SELECT 1 FROM dispositions AS d\n  WHERE {same}\n    \
                 AND d.{} NOT IN ('late', 'held')\n)",
                quote("disposition")
            ),
        ),
        (
            "completions_standing",
            "Completions that nothing has revoked.",
            format!(
                "SELECT * FROM completions\n\
                 QUALIFY ROW_NUMBER() OVER (PARTITION BY {} ORDER BY {} DESC, {kind} DESC) = 1\n  \
                 AND {kind} = 'mission_completed'",
                quote("completion_id"),
                quote("revision"),
                kind = quote("type")
            ),
        ),
        (
            "mission_ggr",
            "The last revision of every row of the report on missions. Rows that nothing stands for any more are there, as zeros.",
            format!(
                "SELECT * FROM mission_ggr_revisions\n\
                 QUALIFY ROW_NUMBER() OVER (PARTITION BY {} ORDER BY {} DESC) = 1",
                list(&["mission_id", "window_start_us", "segment", "currency", "cohort", "period"]),
                quote("revision")
            ),
        ),
        converted(config, dialect),
        gaming_activity(dialect),
        entity(dialect, ("transactions", "transaction_revisions"), "Transactions as they stand.", "transaction_id"),
        entity(dialect, ("customers", "customer_revisions"), "What is known of customers.", "customer_id"),
    ]
}

/// An entity of an operator's feed: the last row of each key that nothing was withheld of since.
fn entity(
    Dialect { quote, .. }: &Dialect,
    (name, revisions): (&'static str, &'static str),
    what: &'static str,
    key: &str,
) -> View {
    let [key, epoch, entity, review_key, withheld] = [key, "epoch", "entity", "key", "withheld"].map(quote);
    let sql = format!(
        "WITH rows_of_keys AS (\n  SELECT * FROM {revisions}\n  \
         QUALIFY ROW_NUMBER() OVER (PARTITION BY {key} ORDER BY {epoch} DESC) = 1\n)\n\
         SELECT r.* FROM rows_of_keys AS r WHERE NOT EXISTS (\n  SELECT 1 FROM reviews AS v\n  \
         WHERE v.{entity} = {} AND v.{withheld} AND v.{review_key} = r.{key} AND v.{epoch} > r.{epoch}\n)",
        text(name)
    );
    (name, what, sql)
}

/// Daily activity as an operator's feed has it: less the rows that need more than 15 digits.
fn gaming_activity(Dialect { quote, .. }: &Dialect) -> View {
    let columns = [
        "date",
        "customer_id",
        "game_type",
        "currency",
        "bets_count",
        "total_bets",
        "wins",
        "ggr",
        "ngr",
        "revision",
        "updated_at",
    ];
    let columns = columns.map(|name| format!("a.{}", quote(name))).join(", ");
    let same = ["date", "customer_id", "game_type", "currency"].map(|name| format!("v.{0} = a.{0}", quote(name)));
    let [epoch, entity, withheld] = ["epoch", "entity", "withheld"].map(quote);
    let sql = format!(
        "SELECT {columns}\nFROM activity AS a WHERE NOT EXISTS (\n  SELECT 1 FROM reviews AS v\n  \
         WHERE v.{entity} = 'gaming_activity' AND v.{withheld} AND {}\n    AND v.{epoch} >= a.{epoch}\n)",
        same.join(" AND ")
    );
    let what = "Daily activity for an operator's feed: without rows that need more than 15 significant digits. Only where [entities] \
                is configured are these known.";
    ("gaming_activity", what, sql)
}

/// Activity beside its amounts in the default currency. A day that is over keeps its rate: what arrives later, or holds from later on,
/// is not looked at, but where there was none at all.
fn converted(config: &Config, Dialect { quote, day_end }: &Dialect) -> View {
    let currency = text(&config.defaults.currency);
    let [date, code, time, ingest, rate, base] =
        ["date", "currency", "event_time", "ingest_time", "exchange_rate", "base"].map(quote);
    let day_end = day_end(&date, config.activity.zone.name());
    let amounts = ["total_bets", "wins", "ggr", "ngr", "bonus_cost"].map(|amount| {
        format!(
            "  CAST(ROUND(a.{} * CASE WHEN a.{code} = {currency} THEN 1 ELSE u.rate END, 8) AS DECIMAL(38, 8)) AS {}",
            quote(amount),
            quote(&format!("reporting_{amount}"))
        )
    });
    // Of two of one time the later record holds, as it does for missions.
    let place = ["topic", "partition", "offset", "record_index"];
    let newest = [["held_from".to_owned()].as_slice(), &place.map(quote)].concat();
    let newest: Vec<String> = newest.iter().map(|by| format!("CASE WHEN in_time = 1 THEN {by} END DESC")).collect();
    let sql = format!(
        "WITH days AS (\n  SELECT DISTINCT {date}, {code}, {day_end} AS day_end FROM activity WHERE {code} <> {currency}\n),\n\
         offered AS (\n  SELECT d.{date}, d.{code}, r.{rate} AS rate, r.{time} AS held_from, r.{ingest} AS arrived, {place},\n    \
         CASE WHEN r.{time} < d.day_end AND r.{ingest} < d.day_end THEN 1 ELSE 0 END AS in_time\n  \
         FROM days AS d JOIN events_accepted AS r ON r.{base} = d.{code}\n  WHERE r.{name} = 'rate' AND r.{quoted} = {currency}\n),\n\
         used AS (\n  SELECT * FROM offered\n  QUALIFY ROW_NUMBER() OVER (PARTITION BY {date}, {code} ORDER BY in_time DESC,\n    \
         {newest},\n    arrived, {places}) = 1\n)\n\
         SELECT a.*,\n  {currency} AS {reporting},\n  CASE WHEN a.{code} = {currency} THEN 1 ELSE u.rate END AS {rate_used},\n  u.held_from AS {rate_time},\n{amounts}\n\
         FROM activity AS a LEFT JOIN used AS u ON u.{date} = a.{date} AND u.{code} = a.{code}",
        place = place.map(|name| format!("r.{}", quote(name))).join(", "),
        places = place.map(quote).join(", "),
        newest = newest.join(", "),
        name = quote("event_name"),
        quoted = quote("quote"),
        reporting = quote("reporting_currency"),
        rate_used = quote("rate"),
        rate_time = quote("rate_time"),
        amounts = amounts.join(",\n"),
    );
    (
        "activity_reporting",
        "Activity with its amounts in the default currency: by the newest rate that was known when the day ended, else by the first to arrive. NULL while there is none.",
        sql,
    )
}

/// A text as SQL has it.
fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The root with one slash behind it.
fn root(url: &str) -> String {
    format!("{}/", url.trim_end_matches('/'))
}

#[cfg(test)]
mod tests;
