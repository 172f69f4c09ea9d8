//! Of the rows of one key group: what goes cold, when, and what becomes of it; and the format of runs.

use datasets::Money;
use datasets::cold::ColdBytes;
use datasets::rows::ActivityRow;

use super::super::{ActivityRules, Restatements};
use super::*;
use crate::changes::Posting;
use crate::ledger::Side;
use crate::testing::Rng;

/// What the first release with cold rows has written of [`sample`].
const VERSION_1: &str = "src/activity/cold/version_1.run";

/// As in a pipeline, with a turn each hour.
const HOURLY: ColdRules = ColdRules { after_hours: 48, every_hours: 1, least_rows: 1 };

#[derive(Default)]
struct Book(Rows);

impl Book {
    /// A bet of so many euros.
    fn bet(&mut self, customer: &str, day: i32, euros: i64) {
        let posting = Posting {
            group: KeyGroup(0),
            key: key(customer, day),
            side: Side::Bet,
            amount: Money::from_raw(i128::from(euros) * Money::ONE.raw()),
            bonus: Money::ZERO,
        };
        self.0.add(&posting, 1, None);
    }

    fn report(&mut self) -> Vec<ActivityRow> {
        let mut restatements = Restatements::default();
        self.0.restate(&ActivityRules::default(), Timestamp::default(), &mut restatements);
        restatements.rows
    }

    /// What changed is in a section.
    fn write(&mut self) {
        self.0.rows.take(0..0, true).for_each(drop);
    }

    /// The turn at so many hours after the beginning of day 0.
    fn turn(&mut self, hours: i64) -> Option<ColdRun> {
        self.0.freeze(KeyGroup(0), Some(HOURLY), Timestamp::from_micros(hours * HOUR))
    }

    fn in_memory(&self) -> usize {
        self.0.rows.iter().count()
    }
}

fn key(customer: &str, day: i32) -> RowKey {
    RowKey::of(customer.into(), Arc::new(Market::new("slots", "EUR")), Date::from_days(day))
}

/// Revisions, and how many bets each counts.
fn told(rows: &[ActivityRow]) -> Vec<(u64, i64)> {
    rows.iter().map(|row| (row.revision, row.bets_count)).collect()
}

#[test]
fn goes_cold_two_days_after_its_day_and_counts_on_when_it_comes_back() {
    let mut book = Book::default();
    book.bet("p", 0, 5);
    assert_eq!(told(&book.report()), [(1, 1)]);
    book.write();
    assert!(book.turn(71).is_none(), "day 0 is over since 47 hours");
    let run = book.turn(72).unwrap();
    assert_eq!((run.until, book.in_memory()), (None, 0));
    book.bet("p", 0, 2);
    let rows = book.report();
    assert_eq!(told(&rows), [(2, 2)]);
    assert_eq!(rows[0].total_bets, Money::from_raw(7 * Money::ONE.raw()));
    book.write();
    assert!(book.turn(73).is_some());
    assert_eq!((book.in_memory(), book.0.cold.runs.len()), (0, 2));
    book.bet("p", 0, 1);
    assert_eq!(told(&book.report()), [(3, 3)], "of two copies the newer");
}

#[test]
fn what_waits_for_its_report_or_is_in_no_section_as_it_is_stays() {
    let mut book = Book::default();
    book.bet("p", 0, 5);
    book.write();
    assert!(book.turn(100).is_none(), "it waits");
    book.report();
    assert!(book.turn(101).is_none(), "it has another revision");
    book.write();
    book.bet("q", 3, 5);
    book.report();
    book.write();
    assert!(book.turn(102).is_some());
    assert_eq!(book.in_memory(), 1, "day 3 is not over since two days");
    assert!(
        book.0.freeze(KeyGroup(0), None, Timestamp::from_micros(1_000 * HOUR)).is_none(),
        "there is no place for it"
    );
}

#[test]
fn a_turn_comes_once_and_takes_only_so_many() {
    let mut book = Book::default();
    for number in 0..FULL + 10 {
        book.bet(&format!("p{number}"), 0, 1);
    }
    book.report();
    book.write();
    assert!(book.turn(72).is_some());
    assert_eq!(book.in_memory(), 10);
    assert!(book.turn(72).is_some(), "the rest, at its next section");
    book.bet("late", 0, 1);
    book.report();
    book.write();
    assert!(book.turn(72).is_none());
    assert!(book.turn(73).is_some());
    assert_eq!(book.0.cold.find(&key("p3", 0)).unwrap().revision, 1);
    assert!(book.0.cold.find(&key("p3", 1)).is_none());
}

#[test]
fn few_rows_wait_for_more() {
    let mut book = Book::default();
    let few = ColdRules { least_rows: 3, ..HOURLY };
    for day in 0..3 {
        book.bet("p", day, 1);
        book.report();
        book.write();
        let hours = i64::from(day) * 24 + 72;
        let run = book.0.freeze(KeyGroup(0), Some(few), Timestamp::from_micros(hours * HOUR));
        assert_eq!(run.is_some(), day == 2);
    }
    assert_eq!(book.in_memory(), 0);
}

#[test]
fn groups_have_four_times_of_the_day() {
    let turns = |group: u16| {
        let mut book = Book::default();
        let daily = ColdRules { every_hours: 24, ..HOURLY };
        let mut turns = Vec::new();
        for hours in 0..240 {
            book.bet(&format!("p{hours}"), -100, 1);
            book.report();
            book.write();
            let run = book.0.freeze(KeyGroup(group), Some(daily), Timestamp::from_micros(hours * HOUR));
            turns.extend(run.map(|_| hours));
        }
        turns
    };
    for (group, first) in [(0, 24), (1, 6), (2, 12), (3, 18), (1_023, 18)] {
        // The first turn of a life is at once.
        assert_eq!(turns(group)[..4], [0, first, first + 24, first + 48], "{group}");
    }
}

#[test]
fn customers_without_a_row_in_memory_are_left_out() {
    let mut book = Book::default();
    for customer in ["gone", "stays", "gone too"] {
        book.bet(customer, 0, 1);
    }
    book.report();
    book.write();
    book.bet("stays", 0, 1);
    assert!(book.turn(72).is_some());
    assert_eq!(book.0.customers.len(), 1);
    assert!(book.0.find(&key("stays", 0)).is_some());
    book.bet("gone", 3, 1);
    assert_eq!(book.report().len(), 2);
    assert!(book.0.find(&key("gone", 3)).is_some() && book.0.find(&key("gone", 0)).is_none());
}

#[test]
fn what_a_start_finds_in_a_piece_and_in_a_run_is_not_written_again() {
    let written = || {
        let mut book = Book::default();
        book.bet("p", 0, 5);
        book.report();
        book.write();
        book
    };
    let run = written().turn(72).unwrap();
    let mut book = written();
    book.0.cold = Cold::restore(&[run]);
    assert!(book.turn(72).is_none());
    assert_eq!((book.in_memory(), book.0.cold.runs.len()), (0, 1));
    book.bet("p", 0, 1);
    assert_eq!(told(&book.report()), [(2, 2)]);
}

#[test]
fn of_copies_the_newest_is_found_after_a_start() {
    let mut book = Book::default();
    let runs = (1..300).map(|revision| {
        book.bet("p", 0, 1);
        book.bet(&format!("other {revision}"), 0, 1);
        book.report();
        book.write();
        book.turn(72 + revision).unwrap()
    });
    let runs: Vec<ColdRun> = runs.collect();
    let found = Cold::restore(&runs).find(&key("p", 0)).unwrap();
    assert_eq!((found.revision, found.totals.bets_count), (299, 299), "more runs than tags");
}

/// Rows with sums at every bound.
fn sample() -> Vec<ColdRow> {
    let mut rng = Rng(5);
    let markets = [("slots", "EUR"), ("table", "EUR"), ("slots", "BTC")];
    let markets = markets.map(|(game, currency)| Arc::new(Market::new(game, currency)));
    let mut rows: Vec<ColdRow> = (0..300)
        .map(|number| {
            let mut money =
                || Money::from_raw(rng.pick(&[0, 0, 1, -1, 250_000_000, i128::from(i64::MIN), Money::LIMIT]));
            let totals = Totals {
                bets_count: 3 * number - 1,
                stakes: money(),
                winnings: money(),
                bonus_bets: money(),
                bonus_wins: money(),
                jackpot_contribution: money(),
                jackpot_wins: money(),
                chargebacks: money(),
            };
            let totals = if number % 2 == 0 { whole(parts(totals).0, More::default()) } else { totals };
            let market = rng.pick(&[0_usize, 1, 2]);
            let market = markets[market].clone();
            let (customer_id, date): (Arc<str>, _) = (format!("p€{number}").into(), Date::from_days(20_000));
            let hash = short(key::hash(player_hash(&customer_id), &market, date));
            ColdRow { hash, date, market, customer_id, totals, revision: rng.pick(&[1, 2, u64::MAX]) }
        })
        .collect();
    rows.sort_unstable_by_key(Record::hash);
    rows
}

fn all(cold: &ColdRun) -> Vec<ColdRow> {
    let (run, hashes) = Run::open(cold).unwrap();
    let rows: Vec<ColdRow> = (0..run.blocks()).flat_map(|number| run.block(number).unwrap()).collect();
    assert_eq!(hashes, rows.iter().map(Record::hash).collect::<Vec<_>>());
    rows
}

#[test]
fn version_1_is_what_is_written() {
    let rows = sample();
    let (written, _) = cold::encode(&rows, i64::MAX, None);
    assert_eq!(all(&written), rows);
    let bytes = written.bytes.read(0..written.bytes.len()).unwrap();
    if std::env::var_os("QUESTLINE_WRITE_FORMAT").is_some_and(|wanted| wanted == "rows_1") {
        std::fs::write(VERSION_1, &bytes).unwrap();
    }
    let known = std::fs::read(VERSION_1).unwrap();
    assert!(known == bytes, "what is written has changed: count VERSION on, and keep reading this");
    let bytes = Arc::new(ColdBytes::new(known));
    assert_eq!(all(&ColdRun { bytes, ..written }), rows);
}

#[test]
fn a_row_takes_less_than_forty_bytes() {
    let mut book = Book::default();
    for number in 0..2_000 {
        book.bet(&format!("player-{number:06}"), 0, 5);
    }
    book.report();
    book.write();
    let run = book.turn(72).unwrap();
    assert!(run.bytes.len() < 40 * 2_000, "{} bytes", run.bytes.len());
}
