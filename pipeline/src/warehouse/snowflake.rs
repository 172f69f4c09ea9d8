//! Snowflake: an integration, a stage, tables with what loads them, and views.

use std::fmt::Write;

use arrow_schema::{DataType, Field};

use super::{Described, Dialect, root, tables, text, views};
use crate::config::Config;

/// How rows come into Snowflake. `COPY` and a pipe remember what they loaded each by itself, so a table has one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// `COPY INTO`, run by whoever schedules it.
    Copy,
    /// Snowpipe, by the bucket's notifications.
    Pipe,
    /// External tables: nothing is loaded.
    External,
}

/// The statements.
pub(super) fn ddl(config: &Config, url: &str, load: Load) -> Result<String, String> {
    let root = root(url);
    if !root.starts_with("s3://") {
        return Err(format!("lake.url: {url:?} is out of Snowflake's reach: it reads s3://bucket/root"));
    }
    let mut sql = format!("-- The lake of pipeline {}, at {root}, for Snowflake.\n", config.pipeline.name);
    sql.push_str(&stage(&root));
    for table in tables() {
        sql.push('\n');
        sql.push_str(&match load {
            Load::Copy => format!("{}{}", loaded(&table), copy(&table)),
            Load::Pipe => {
                format!(
                    "{}CREATE PIPE IF NOT EXISTS {}_pipe AUTO_INGEST = TRUE AS\n{}",
                    loaded(&table),
                    table.name(),
                    copy(&table)
                )
            }
            Load::External => external(&table),
        });
    }
    for (name, what, selected) in views(config, &Dialect { quote, day_end }) {
        write!(sql, "\n-- {what}\nCREATE OR REPLACE VIEW {name} AS\n{selected};\n").expect("a text takes everything");
    }
    Ok(sql)
}

fn stage(root: &str) -> String {
    let root = text(root);
    format!(
        "\n-- Put in the ARN of a role that may read the bucket, then let it trust what DESC INTEGRATION questline_s3 shows.\n\
         CREATE STORAGE INTEGRATION IF NOT EXISTS questline_s3\n  TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'S3' ENABLED = TRUE\n  \
         STORAGE_AWS_ROLE_ARN = 'arn:aws:iam::ACCOUNT:role/ROLE'\n  STORAGE_ALLOWED_LOCATIONS = ({root});\n\n\
         CREATE FILE FORMAT IF NOT EXISTS questline_parquet\n  TYPE = PARQUET USE_VECTORIZED_SCANNER = TRUE USE_LOGICAL_TYPE = TRUE\n  \
         BINARY_AS_TEXT = FALSE REPLACE_INVALID_CHARACTERS = TRUE;\n\n\
         CREATE STAGE IF NOT EXISTS questline_lake\n  URL = {root} STORAGE_INTEGRATION = questline_s3\n  \
         FILE_FORMAT = (FORMAT_NAME = 'questline_parquet');\n"
    )
}

fn loaded(table: &Described) -> String {
    let columns = table.columns().map(|(name, kind)| format!("  {}", loaded_column(name, kind)));
    let columns = columns.chain(["  \"SRC_FILE\" VARCHAR".to_owned()]).collect::<Vec<_>>().join(",\n");
    let added = added(table, loaded_column);
    format!("CREATE TABLE IF NOT EXISTS {} (\n{columns}\n) ENABLE_SCHEMA_EVOLUTION = TRUE;\n{added}", table.name())
}

fn copy(table: &Described) -> String {
    format!(
        "COPY INTO {} FROM @questline_lake/{}/\n  FILE_FORMAT = (FORMAT_NAME = 'questline_parquet')\n  \
         MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE\n  INCLUDE_METADATA = (SRC_FILE = METADATA$FILENAME);\n",
        table.name(),
        table.folder
    )
}

/// What a table that is there from an earlier version lacks. One that is loaded takes most columns by itself, with the types that the
/// first file suggests.
fn added(table: &Described, column: fn(&str, &DataType) -> String) -> String {
    let add = |field: &Field| {
        format!("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {};\n", table.name(), column(field.name(), field.data_type()))
    };
    table.added.iter().map(add).collect()
}

fn loaded_column(name: &str, kind: &DataType) -> String {
    format!("{} {}", quote(name), type_of(kind))
}

/// Instants come from their whole microseconds, the one form that every way of reading has alike.
fn external_column(name: &str, kind: &DataType) -> String {
    let value = match kind {
        DataType::Timestamp(..) => format!("TO_TIMESTAMP_NTZ(VALUE:{name}_us::NUMBER(38, 0), 6)"),
        kind => format!("VALUE:{name}::{}", type_of(kind)),
    };
    format!("{} {} AS ({value})", quote(name), type_of(kind))
}

fn external(table: &Described) -> String {
    let columns = table.columns().map(|(name, kind)| format!("  {}", external_column(name, kind)));
    let (partition, kind) = (table.partition, type_of(&table.partition_type));
    let of_folder = format!(
        "  {} {kind} AS (SPLIT_PART(SPLIT_PART(METADATA$FILENAME, '{partition}=', 2), '/', 1)::{kind})",
        quote(partition)
    );
    let columns = columns.chain([of_folder]).collect::<Vec<_>>().join(",\n");
    format!(
        "CREATE EXTERNAL TABLE IF NOT EXISTS {} (\n{columns}\n) PARTITION BY ({})\n  LOCATION = @questline_lake/{}/ \
         AUTO_REFRESH = FALSE\n  FILE_FORMAT = (FORMAT_NAME = 'questline_parquet');\n{}",
        table.name(),
        quote(partition),
        table.folder,
        added(table, external_column)
    )
}

fn type_of(kind: &DataType) -> &'static str {
    match kind {
        DataType::Int64 => "NUMBER(38, 0)",
        DataType::Boolean => "BOOLEAN",
        DataType::Decimal128(..) => "NUMBER(38, 8)",
        DataType::Timestamp(..) => "TIMESTAMP_NTZ(6)",
        DataType::Date32 => "DATE",
        DataType::List(_) => "ARRAY",
        _ => "VARCHAR",
    }
}

/// In capitals a quoted name is the same as one without quotes, and never a word of the language.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.to_uppercase())
}

/// Instants are kept in UTC and without a zone.
fn day_end(date: &str, zone: &str) -> String {
    format!("CONVERT_TIMEZONE({}, 'UTC', DATEADD(DAY, 1, {date})::TIMESTAMP_NTZ)", text(zone))
}
