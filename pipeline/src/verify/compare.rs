//! Compares the rows of a table with recomputed ones, in full.

use std::collections::HashMap;

use arrow_array::RecordBatch;

use super::report::{Comparison, Fault};
use crate::history::cell::{Row, rows, shown};

/// What identifies a row, and which emitted rows can be judged.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    /// Columns that tell rows of one cut apart.
    pub key: &'static [&'static str],
    /// A row that was emitted and not recomputed is wrong.
    pub is_derived: fn(&Row<'_>) -> bool,
}

/// Compares what was `emitted` with what was `recomputed` for the same epochs. Rows of one key are
/// compared in their order.
pub(super) fn compare(rules: Rules, recomputed: &[RecordBatch], emitted: &[RecordBatch], into: &mut Comparison) {
    let mut by_key: HashMap<String, Pair<'_>> = HashMap::new();
    for row in rows(recomputed) {
        by_key.entry(key(rules, row)).or_default().recomputed.push(row);
    }
    for row in rows(emitted) {
        by_key.entry(key(rules, row)).or_default().emitted.push(row);
    }
    for (key, Pair { recomputed, emitted }) in by_key {
        let epoch = recomputed.first().or(emitted.first()).and_then(|row| row.epoch());
        if recomputed.is_empty() && !emitted.iter().any(|row| (rules.is_derived)(row)) {
            into.undecoded += count(emitted.len());
            continue;
        }
        into.records += count(emitted.len());
        if recomputed.is_empty() {
            into.differ(epoch, key, Fault::Unexpected);
        } else if emitted.len() < recomputed.len() {
            into.differ(epoch, key, Fault::Missing);
        } else if emitted.len() > recomputed.len() {
            into.differ(epoch, key, Fault::Doubled { times: count(emitted.len()) });
        } else if let Some(fault) = recomputed.iter().zip(&emitted).find_map(|(a, b)| difference(*a, *b)) {
            into.differ(epoch, key, fault);
        }
    }
}

/// Rows of one key.
#[derive(Default)]
struct Pair<'a> {
    recomputed: Vec<Row<'a>>,
    emitted: Vec<Row<'a>>,
}

/// The first column in which two rows differ. A column that was added after the emitted row was written is
/// not compared.
fn difference(recomputed: Row<'_>, emitted: Row<'_>) -> Option<Fault> {
    let columns = recomputed.columns().filter(|column| emitted.has(column));
    let differing = columns.into_iter().find(|column| recomputed.cell(column) != emitted.cell(column))?;
    Some(Fault::Differs {
        column: differing.to_owned(),
        emitted: shown(emitted.cell(differing)),
        recomputed: shown(recomputed.cell(differing)),
    })
}

fn key(rules: Rules, row: Row<'_>) -> String {
    let parts: Vec<String> = rules.key.iter().map(|column| format!("{column} {}", shown(row.cell(column)))).collect();
    parts.join(", ")
}

/// A number of rows.
pub(super) fn count(rows: usize) -> u64 {
    u64::try_from(rows).expect("a count fits in 64 bits")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datasets::rows::{ActivityKey, ActivityRow, EpochOutputs};
    use datasets::schema::{self, Builder};
    use datasets::time::Date;
    use datasets::{Epoch, Money, Timestamp};

    use super::*;

    const RULES: Rules = Rules { key: &["customer_id", "currency"], is_derived: |_| true };

    fn row(customer: &str, stake: i64, revision: u64) -> ActivityRow {
        let key = ActivityKey {
            date: Date::from_days(20_605),
            customer_id: customer.into(),
            game_type: "slots".into(),
            currency: "EUR".into(),
        };
        let stake = Money::from_units(stake);
        ActivityRow {
            key,
            bets_count: 1,
            total_bets: stake,
            wins: Money::ZERO,
            ggr: stake,
            ngr: stake,
            bonus_bets: Money::ZERO,
            bonus_wins: Money::ZERO,
            bonus_cost: Money::ZERO,
            jackpot_contribution: Money::ZERO,
            jackpot_wins: Money::ZERO,
            chargebacks: Money::ZERO,
            revision,
            updated_at: Timestamp::from_millis(5),
        }
    }

    fn batch(epoch: Epoch, rows: Vec<ActivityRow>) -> Vec<RecordBatch> {
        let mut builder = Builder::new(Arc::new(schema::activity()));
        let len = rows.len();
        builder.append(&EpochOutputs { epoch, activity: rows, ..EpochOutputs::default() }, 0..len);
        vec![builder.finish()]
    }

    fn judged(recomputed: Vec<ActivityRow>, emitted: Vec<ActivityRow>) -> Comparison {
        let mut comparison = Comparison::new("t");
        compare(RULES, &batch(3, recomputed), &batch(3, emitted), &mut comparison);
        comparison
    }

    fn first(comparison: &Comparison) -> String {
        comparison.first.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    #[test]
    fn equal_rows_in_any_order_are_equal() {
        let comparison = judged(vec![row("a", 1, 1), row("b", 2, 4)], vec![row("b", 2, 4), row("a", 1, 1)]);
        assert_eq!((comparison.records, comparison.differences, comparison.first), (2, 0, None));
    }

    #[test]
    fn the_first_column_that_differs_is_named_with_both_values() {
        let comparison = judged(vec![row("a", 1, 1), row("b", 2, 4)], vec![row("a", 1, 1), row("b", 3, 4)]);
        assert_eq!((comparison.records, comparison.differences), (2, 1));
        assert_eq!(
            first(&comparison),
            "customer_id b, currency EUR, epoch 3: total_bets was emitted as 3.00, and is recomputed as 2.00"
        );
        let comparison = judged(vec![row("a", 1, 1)], vec![row("a", 1, 2)]);
        assert!(first(&comparison).contains("revision was emitted as 2, and is recomputed as 1"));
    }

    #[test]
    fn an_epoch_that_differs_is_a_difference() {
        let mut comparison = Comparison::new("t");
        compare(RULES, &batch(3, vec![row("a", 1, 1)]), &batch(4, vec![row("a", 1, 1)]), &mut comparison);
        assert!(first(&comparison).contains("epoch was emitted as 4, and is recomputed as 3"), "{comparison:?}");
    }

    #[test]
    fn missing_unexpected_and_doubled_rows_are_told_apart() {
        let comparison = judged(vec![row("a", 1, 1), row("b", 2, 1)], vec![row("a", 1, 1)]);
        assert_eq!((comparison.records, comparison.differences), (1, 1));
        assert_eq!(first(&comparison), "customer_id b, currency EUR, epoch 3: was recomputed, and is missing");

        let comparison = judged(vec![row("a", 1, 1)], vec![row("a", 1, 1), row("c", 1, 1)]);
        assert_eq!(first(&comparison), "customer_id c, currency EUR, epoch 3: was emitted, and is not recomputed");

        let comparison = judged(vec![row("a", 1, 1)], vec![row("a", 1, 1), row("a", 1, 1)]);
        assert_eq!((comparison.records, comparison.differences), (2, 1));
        assert_eq!(first(&comparison), "customer_id a, currency EUR, epoch 3: is there 2 times");
    }

    #[test]
    fn the_difference_of_the_least_key_is_kept() {
        let all = ["d", "b", "c", "a"].map(|customer| row(customer, 1, 1));
        let comparison = judged(all.to_vec(), Vec::new());
        assert_eq!(comparison.differences, 4);
        assert!(first(&comparison).starts_with("customer_id a,"));
    }

    #[test]
    fn what_does_not_follow_from_events_is_counted_and_not_judged() {
        let rules = Rules { is_derived: |row| row.text("customer_id") != "x", ..RULES };
        let mut comparison = Comparison::new("t");
        compare(rules, &[], &batch(3, vec![row("x", 1, 1)]), &mut comparison);
        assert_eq!((comparison.records, comparison.differences, comparison.undecoded), (0, 0, 1));
    }
}
