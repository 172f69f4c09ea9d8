//! DuckDB: views over the files.

use std::fmt::Write;

use arrow_schema::DataType;

use super::{Described, Dialect, root, tables, text, views};
use crate::config::{Config, LakeConfig};

/// The statements. A table that has no file yet has no folder, which DuckDB takes for a mistake: its view is empty.
pub(super) fn ddl(config: &Config, lake: &LakeConfig, has_files: &dyn Fn(&str) -> bool) -> String {
    let root = root(&lake.url);
    let mut sql = format!("-- The lake of pipeline {}, at {root}, for DuckDB.\n", config.pipeline.name);
    if root.starts_with("s3://") {
        sql.push_str(&secret(lake, &root));
    }
    // A path is what DuckDB knows a file by.
    let base = root.strip_prefix("file://").unwrap_or(&root);
    for table in tables() {
        let selected = if has_files(table.folder) {
            let files = text(&format!("{base}{}/*/*.parquet", table.folder));
            let Described { partition, partition_type, .. } = &table;
            format!(
                "SELECT * FROM read_parquet({files},\n  hive_partitioning = true, hive_types = {{{}: {}}}, union_by_name = \
                 true)",
                text(partition),
                type_of(partition_type)
            )
        } else {
            empty(&table)
        };
        view(&mut sql, table.name(), &selected);
    }
    for (name, what, selected) in views(config, &Dialect { quote, day_end }) {
        write!(sql, "\n-- {what}").expect("a text takes everything");
        view(&mut sql, name, &selected);
    }
    sql
}

fn view(sql: &mut String, name: &str, selected: &str) {
    write!(sql, "\nCREATE OR REPLACE VIEW {name} AS\n{selected};\n").expect("a text takes everything");
}

/// Where the lake is, and who may read it: whoever runs this, by the environment or a role.
fn secret(lake: &LakeConfig, root: &str) -> String {
    let mut sql = format!(
        "\nINSTALL httpfs;\nLOAD httpfs;\nCREATE OR REPLACE SECRET questline (\n  TYPE s3, PROVIDER credential_chain, SCOPE {}",
        text(root)
    );
    if let Some(region) = &lake.s3.region {
        write!(sql, ", REGION {}", text(region)).expect("a text takes everything");
    }
    if let Some(endpoint) = &lake.s3.endpoint {
        let (is_plain, host) = match endpoint.split_once("://") {
            Some((scheme, host)) => (scheme == "http", host),
            None => (false, endpoint.as_str()),
        };
        let host = text(host.trim_end_matches('/'));
        write!(sql, ",\n  ENDPOINT {host}, URL_STYLE 'path', USE_SSL {}", !is_plain).expect("a text takes everything");
    }
    sql.push_str("\n);\n");
    sql
}

/// No rows, with the columns that files will have.
fn empty(table: &Described) -> String {
    let partition = (table.partition, &table.partition_type);
    let columns =
        table.columns().chain([partition]).map(|(name, kind)| format!("NULL::{} AS {}", type_of(kind), quote(name)));
    format!(
        "-- It has no file yet: print this again when it has.\nSELECT {}\nWHERE false",
        columns.collect::<Vec<_>>().join(",\n  ")
    )
}

fn type_of(kind: &DataType) -> &'static str {
    match kind {
        DataType::Int64 => "BIGINT",
        DataType::Boolean => "BOOLEAN",
        DataType::Decimal128(..) => "DECIMAL(38, 8)",
        DataType::Timestamp(..) => "TIMESTAMPTZ",
        DataType::Date32 => "DATE",
        DataType::List(_) => "VARCHAR[]",
        _ => "VARCHAR",
    }
}

fn quote(name: &str) -> String {
    format!("\"{name}\"")
}

fn day_end(date: &str, zone: &str) -> String {
    format!("timezone({}, ({date} + 1)::TIMESTAMP)", text(zone))
}
