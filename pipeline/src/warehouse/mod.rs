//! `questline warehouse ddl`: the statements by which a warehouse reads the lake.
//!
//! Tables and columns are those of the layouts that write the files, so what is printed is what is there.

mod duckdb;
mod snowflake;

use arrow_schema::{DataType, SchemaRef};
use datasets::schema;
use sinks::cut::Table;
use sinks::lake::LakeReader;

use crate::config::LakeConfig;
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
    table: Table,
    /// The folder's day: `{partition}=2026-06-01`.
    partition: &'static str,
    schema: SchemaRef,
}

impl Described {
    fn of(table: Table) -> Self {
        let (partition, schema) = match table {
            Table::Events => parts(&schema::events()),
            Table::Dispositions => parts(&schema::dispositions()),
            Table::Activity => parts(&schema::activity()),
            Table::Completions => parts(&schema::completions()),
            Table::DeadLetters => parts(&schema::dead_letters()),
            Table::MissionDefinitions => parts(&schema::mission_definitions()),
            Table::Epochs => parts(&schema::epochs()),
            Table::Audit => parts(&schema::audit()),
            Table::Points => parts(&schema::points()),
            Table::Tiers => parts(&schema::tiers()),
        };
        Described { table, partition, schema }
    }

    /// What the table is called in a warehouse: every revision of a row is not the row.
    fn name(&self) -> &'static str {
        if self.table == Table::Activity { "activity_revisions" } else { self.table.name() }
    }

    fn folder(&self) -> &'static str {
        self.table.name()
    }

    /// Names and types of its columns.
    fn columns(&self) -> impl Iterator<Item = (&str, &DataType)> {
        self.schema.fields().iter().map(|field| (field.name().as_str(), field.data_type()))
    }
}

fn parts<S>(layout: &schema::Layout<S>) -> (&'static str, SchemaRef) {
    (layout.partition, layout.schema().clone())
}

fn tables() -> impl Iterator<Item = Described> {
    Table::ALL.into_iter().map(Described::of)
}

/// The statements, for a lake of the pipeline of this name.
///
/// # Errors
/// A lake that the warehouse cannot read, or that DuckDB's statements have to look into and cannot.
pub fn ddl(pipeline: &str, lake: &LakeConfig, target: Target) -> Result<String, String> {
    match target {
        Target::Snowflake(load) => snowflake::ddl(pipeline, &lake.url, load),
        Target::Duckdb => {
            let reader = LakeReader::open(&lake_config(lake)).map_err(|error| crate::chain(&error))?;
            Ok(duckdb::ddl(pipeline, lake, &|table| !reader.objects(table).is_empty()))
        }
    }
}

/// Views over the tables, in the SQL that both warehouses have. `quote` writes a column's name.
fn views(quote: fn(&str) -> String) -> [(&'static str, &'static str, String); 3] {
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
    ]
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
