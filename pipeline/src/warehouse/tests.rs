//! What is printed: every table and column, and options that there are.

use super::*;
use crate::config::LakeConfig;

const URL: &str = "s3://bucket/it's/";

/// Amounts are reported in GBP, by days of Malta.
fn config() -> Config {
    let text = "[pipeline]\nname = \"acme\"\n[defaults]\ncurrency = \"GBP\"\n[activity]\nzone = \"Europe/Malta\"\n";
    Config::parse(text, "pipeline.toml", std::path::Path::new(""), []).unwrap()
}

fn printed(load: Load) -> String {
    snowflake::ddl(&config(), URL, load).unwrap()
}

/// Options and words with a value, as Snowflake's documentation spells them: a parser lets misspelt ones pass.
const OPTIONS: [&str; 40] = [
    "TYPE",
    "STORAGE_PROVIDER",
    "ENABLED",
    "STORAGE_AWS_ROLE_ARN",
    "STORAGE_ALLOWED_LOCATIONS",
    "USE_VECTORIZED_SCANNER",
    "USE_LOGICAL_TYPE",
    "BINARY_AS_TEXT",
    "REPLACE_INVALID_CHARACTERS",
    "URL",
    "STORAGE_INTEGRATION",
    "FILE_FORMAT",
    "FORMAT_NAME",
    "ENABLE_SCHEMA_EVOLUTION",
    "MATCH_BY_COLUMN_NAME",
    "INCLUDE_METADATA",
    "SRC_FILE",
    "AUTO_INGEST",
    "LOCATION",
    "AUTO_REFRESH",
    // Of views, and of the name of a folder.
    "e.\"TOPIC\"",
    "d.\"TOPIC\"",
    "d.\"PARTITION\"",
    "d.\"OFFSET\"",
    "d.\"RECORD_INDEX\"",
    "\"TYPE\"",
    "a.\"CURRENCY\"",
    "u.\"CURRENCY\"",
    "u.\"DATE\"",
    "r.\"BASE\"",
    "r.\"EVENT_NAME\"",
    "r.\"QUOTE\"",
    "in_time",
    "a.\"DATE\"",
    "v.\"ENTITY\"",
    "v.\"KEY\"",
    "v.\"DATE\"",
    "v.\"CUSTOMER_ID\"",
    "v.\"GAME_TYPE\"",
    "v.\"CURRENCY\"",
];

#[test]
fn options_are_those_that_there_are() {
    for load in [Load::Copy, Load::Pipe, Load::External] {
        let sql = printed(load);
        let statements = sql.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n");
        for (before, _) in statements.match_indices(" = ").map(|(place, _)| statements.split_at(place)) {
            let word = before.rsplit([' ', '\n', '(']).next().unwrap();
            assert!(OPTIONS.contains(&word) || word.ends_with(')') || word.is_empty(), "{word:?} of {load:?}");
        }
    }
}

#[test]
fn every_column_of_every_table_is_there() {
    for load in [Load::Copy, Load::Pipe, Load::External] {
        let sql = printed(load);
        for table in tables() {
            let begin = sql.find(&format!("IF NOT EXISTS {} (", table.name())).unwrap();
            let statement = sql[begin..].split(';').next().unwrap();
            for (name, kind) in table.columns() {
                assert!(statement.contains(&format!("  \"{}\" ", name.to_uppercase())), "{name} {kind} in {statement}");
            }
        }
    }
    assert_eq!(printed(Load::Copy).matches("COPY INTO").count(), tables().count());
    assert_eq!(printed(Load::Pipe).matches("CREATE PIPE").count(), tables().count());
    assert!(!printed(Load::External).contains("COPY INTO"));
}

/// A table of an earlier release is there, and `CREATE … IF NOT EXISTS` leaves it as it is.
#[test]
fn columns_of_later_versions_are_added_to_tables_that_are_there() {
    for (load, value) in [(Load::Copy, ""), (Load::Pipe, ""), (Load::External, " AS (VALUE:{}::NUMBER(38, 8))")] {
        let sql = printed(load);
        for (table, name) in
            [("events", "jackpot_contribution"), ("events", "jackpot_win"), ("activity_revisions", "chargebacks")]
        {
            let (column, value) = (name.to_uppercase(), value.replace("{}", name));
            let wanted = format!("ALTER TABLE {table} ADD COLUMN IF NOT EXISTS \"{column}\" NUMBER(38, 8){value};\n");
            let (made, altered) = (sql.find(&format!("EXISTS {table} (")).unwrap(), sql.find(&wanted));
            assert!(altered.is_some_and(|altered| altered > made), "{wanted} in {sql}");
        }
        assert_eq!(sql.matches("ALTER TABLE").count(), 3);
    }
}

#[test]
fn a_place_is_quoted_and_must_be_in_reach() {
    assert!(printed(Load::Copy).contains("URL = 's3://bucket/it''s/' "));
    let error = snowflake::ddl(&config(), "file:///lake", Load::Copy).unwrap_err();
    assert!(error.contains("file:///lake"), "{error}");
}

#[test]
fn duckdb_reads_what_has_files() {
    let lake = LakeConfig { url: "s3://bucket/root".to_owned(), ..LakeConfig::default() };
    let sql = duckdb::ddl(&config(), &lake, &|folder| folder == "events");
    assert!(
        sql.contains("'s3://bucket/root/events/*/*.parquet'") && sql.contains("PROVIDER credential_chain"),
        "{sql}"
    );
    assert_eq!(sql.matches("read_parquet").count(), 1);
    assert_eq!(sql.matches("It has no file yet").count(), tables().count() - 1);
}
