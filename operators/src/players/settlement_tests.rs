//! Stakes on the day of their settlement, against recomputation: after every epoch, in any cutting, in any order.

use std::collections::BTreeMap;

use datasets::Money;
use datasets::rows::ActivityRow;

use super::tests::assert_same;
use super::*;
use crate::ledger::Attribution;
use crate::testing::{
    Arrival, Input, LedgerOracle, Rng, Run, arrived, at, batch, cut, interleave, random_script_with_settlements, rules,
    sums, sums_of_postings, value_rows,
};

fn by_settlement() -> Rules {
    let mut rules = rules();
    rules.ledger.attribution = Attribution::Settlement;
    rules
}

/// Runs `arrivals` and compares with the recomputation after each. Answers how many stakes were ever booked.
fn compare(arrivals: &[Arrival], rules: &Rules, name: &str) -> i64 {
    let mut run = Run::with(rules.clone(), Vec::new());
    let mut ledger = LedgerOracle::new(rules.ledger.clone());
    for (epoch, arrival) in arrivals.iter().enumerate() {
        run.step(arrival);
        ledger.epoch(&arrival.inputs, arrival.now);
        let what = || format!("postings of {name}, epoch {epoch}");
        assert_same(&sums_of_postings(&run.postings), &sums(&ledger.booked_by_settlement()), &what);
    }
    run.rows.iter().map(|row| row.bets_count).sum()
}

#[test]
fn agrees_with_recomputation_after_every_epoch() {
    let mut settled = 0;
    for seed in 0..60 {
        let mut rng = Rng(30_000 + seed);
        let script = random_script_with_settlements(&mut rng, 160);
        let script = arrived(&mut rng, script);
        let longest = rng.pick(&[1, 12]);
        settled += compare(&cut(&mut rng, &script, longest), &by_settlement(), &format!("seed {seed}"));
    }
    assert!(settled > 400, "only {settled} stakes were booked");
}

#[test]
fn any_cutting_and_any_order_of_arrival_give_the_same_rows() {
    for seed in 0..60 {
        let mut rng = Rng(31_000 + seed);
        let script = random_script_with_settlements(&mut rng, 160);
        let rows = |arrivals: &[Arrival]| {
            // `expired_reference` is said at once, of what is known by then: a decision that sticks.
            let mut rules = by_settlement();
            rules.ledger.ledger_retention *= 10;
            let mut run = Run::with(rules, Vec::new());
            arrivals.iter().for_each(|arrival| drop(run.step(arrival)));
            value_rows(&run.rows)
        };
        let expected = rows(&cut(&mut rng, &script, 1));
        for variant in 0..6 {
            let arrived = interleave(&mut rng, &script);
            let longest = rng.pick(&[1, 5, 40, 1_000]);
            assert_same(&rows(&cut(&mut rng, &arrived, longest)), &expected, &|| format!("seed {seed}, {variant}"));
        }
    }
}

/// Each input in an epoch of its own, ingested when it happens.
fn rows(inputs: Vec<Input>) -> Vec<ActivityRow> {
    let mut run = Run::with(by_settlement(), Vec::new());
    for (mut input, offset) in inputs.into_iter().zip(0..) {
        input.at.offset = offset;
        let clock = input.ingest_time;
        run.close(Vec::new(), &batch(&[input]), (clock, clock));
    }
    run.rows
}

/// (day of June, bets, stakes, winnings) of the last revision of each row, zeros too.
fn last(rows: &[ActivityRow]) -> Vec<(i32, i64, String, String)> {
    let first = at(0).micros() / 86_400_000_000;
    let mut last = BTreeMap::new();
    for row in rows {
        let day = row.key.date.days() - i32::try_from(first).unwrap() + 1;
        last.insert(day, (row.bets_count, row.total_bets.to_string(), row.wins.to_string()));
    }
    last.into_iter().map(|(day, (count, bets, wins))| (day, count, bets, wins)).collect()
}

fn settlement(id: &str, bet: &str, hours: i64, amount: &str) -> Input {
    Input { reference: Some(bet.to_owned()), ..Input::new("bet_settled", id, hours, amount) }
}

/// A settlement that names another bet when it is sent again moves the stakes of both.
#[test]
fn a_settlement_that_names_another_bet() {
    let inputs = vec![
        Input::new("bet_placed", "a", 1, "1"),
        Input::new("bet_placed", "b", 2, "2"),
        settlement("s", "a", 25, "5"),
        settlement("s", "b", 50, "5"),
    ];
    let rows = rows(inputs);
    assert_eq!(rows.iter().map(|row| row.total_bets).collect::<Vec<_>>(), [Money::ONE, Money::from_units(2)]);
    assert_eq!(last(&rows), [(2, 1, "2.00".to_owned(), "5.00".to_owned())]);
}

/// An id that is used again once its identity is forgotten: each settlement settles the bet of its time.
#[test]
fn an_id_that_is_used_again() {
    let day = 24;
    let rows = rows(vec![
        Input::new("bet_placed", "a", 0, "1"),
        Input::new("bet_placed", "a", 8 * day, "2"),
        settlement("s", "a", 9 * day, "0"),
        // Ingested before the second bet was.
        Input { ingest_time: at(day), ..settlement("t", "a", 3 * day, "0") },
    ]);
    let none = || "0.00".to_owned();
    assert_eq!(last(&rows), [(4, 1, "1.00".to_owned(), none()), (10, 1, "2.00".to_owned(), none())]);
}

/// The ledger's retention bounds how late a settlement finds its bet: here 18 days.
#[test]
fn a_settlement_behind_the_retention_of_the_ledger() {
    let day = 24;
    let none = || "0.00".to_owned();
    let at_day = |days: i64| rows(vec![Input::new("bet_placed", "a", 0, "1"), settlement("s", "a", days * day, "3")]);
    assert_eq!(last(&at_day(18)), [(19, 1, "1.00".to_owned(), "3.00".to_owned())]);
    assert_eq!(last(&at_day(19)), [(20, 0, none(), "3.00".to_owned())]);
}

/// What is settled can be forgotten, and is then forgotten whole.
#[test]
fn slips_are_forgotten() {
    let mut run = Run::with(by_settlement(), Vec::new());
    let mut bet = Input::new("bet_placed", "a", 0, "1");
    for (hours, offset) in [(0, 0), (24 * 40, 1), (24 * 80, 2)] {
        (bet.id, bet.ingest_time, bet.event_time, bet.at.offset) =
            (format!("a{offset}"), at(hours), at(hours), 2 * offset);
        let mut settled = settlement(&format!("s{offset}"), &bet.id, hours, "3");
        settled.at.offset = 2 * offset + 1;
        run.close(Vec::new(), &batch(&[bet.clone(), settled]), (at(hours), at(hours)));
    }
    let slips: usize = run.players.groups.iter().map(|group| group.ledger.slips()).sum();
    assert_eq!(slips, 1, "twice the retention is 36 days");
}
