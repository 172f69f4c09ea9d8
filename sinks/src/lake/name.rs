//! Names of objects: everything that identifies a cut's object is in its name.

use datasets::time::Date;

use crate::cut::{Cut, Table};

impl Table {
    /// Every table; `epochs` is last because without a log its objects mark what is complete.
    pub const ALL: [Table; 13] = [
        Table::Events,
        Table::Dispositions,
        Table::Activity,
        Table::Completions,
        Table::Audit,
        Table::Points,
        Table::Tiers,
        Table::Transactions,
        Table::Customers,
        Table::Reviews,
        Table::DeadLetters,
        Table::MissionDefinitions,
        Table::Epochs,
    ];

    /// Name of the table and of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Table::Events => "events",
            Table::Dispositions => "dispositions",
            Table::Activity => "activity",
            Table::Completions => "completions",
            Table::Audit => "audit",
            Table::Points => "points",
            Table::Tiers => "tiers",
            Table::Transactions => "transactions",
            Table::Customers => "customers",
            Table::Reviews => "reviews",
            Table::DeadLetters => "dead_letters",
            Table::MissionDefinitions => "mission_definitions",
            Table::Epochs => "epochs",
        }
    }
}

/// Name, under the lake's root, of the object with `cut`'s rows of one day:
/// `events/ingest_dt=2026-06-01/events-v1-00-000000000000-000000000041.parquet`.
pub(super) fn object_name(cut: &Cut, partition: &str, day: i32) -> String {
    let Cut { lane, first, last, schema_version, .. } = cut;
    let (table, date) = (cut.table.name(), Date::from_days(day));
    format!("{table}/{partition}={date}/{table}-v{schema_version}-{lane:02}-{first:012}-{last:012}.parquet")
}

/// The cut that an object belongs to, by its name; `None` for objects that are not ours.
pub(crate) fn cut_of(name: &str) -> Option<Cut> {
    let (folder, rest) = name.split_once('/')?;
    let table = Table::ALL.into_iter().find(|table| table.name() == folder)?;
    let (_, file) = rest.split_once('/')?;
    let fields = file.strip_suffix(".parquet")?.strip_prefix(folder)?.strip_prefix("-v")?;
    let mut fields = fields.split('-');
    let cut = Cut {
        table,
        schema_version: fields.next()?.parse().ok()?,
        lane: fields.next()?.parse().ok()?,
        first: fields.next()?.parse().ok()?,
        last: fields.next()?.parse().ok()?,
    };
    fields.next().is_none().then_some(cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_cut() {
        for table in Table::ALL {
            let cut = Cut { table, lane: 3, first: 7, last: 1_234_567_890_123, schema_version: 1 };
            assert_eq!(cut_of(&object_name(&cut, "ingest_dt", 20_605)), Some(cut));
        }
        let cut = Cut { table: Table::DeadLetters, lane: 0, first: 0, last: 41, schema_version: 1 };
        assert_eq!(
            object_name(&cut, "ingest_dt", 20_605),
            "dead_letters/ingest_dt=2026-06-01/dead_letters-v1-00-000000000000-000000000041.parquet"
        );
    }

    #[test]
    fn other_objects_are_not_ours() {
        for name in [
            "events",
            "events/x.parquet",
            "events/d=1/events-v1-00-1.parquet",
            "other/d=1/other-v1-0-0-1.parquet",
            "events/d=1/events-v1-00-0-1-2.parquet",
            "events/d=1/compacted.parquet",
        ] {
            assert_eq!(cut_of(name), None, "{name}");
        }
    }
}
