//! The rules one by one; then against recomputation, after every epoch, in any cutting, in any order of arrival.

use datasets::Money;
use datasets::rows::{EntityRows, ReviewReason, TransactionRow};

use crate::testing::{
    Arrival, Feed, Input, LedgerOracle, Rng, Run, arrived, cut, entity_rules, random_script_with_entities, rules, seeds,
};

const EVENTS: usize = 160;

/// What each epoch puts out; every input is one.
fn told(inputs: &[Input]) -> Vec<EntityRows> {
    let mut run = Run::with(entity_rules(rules().ledger), Vec::new());
    let told = (0..).zip(inputs).map(|(offset, input)| {
        let mut input = input.clone();
        input.at.offset = offset;
        let now = input.ingest_time;
        run.step(&Arrival { inputs: vec![input], now, newest: now }).entities
    });
    told.collect()
}

/// Statuses and times, in hours, of the rows that were sent.
fn statuses(told: &[EntityRows]) -> Vec<(String, i64)> {
    let hours = |row: &TransactionRow| row.transaction_date.micros_since(crate::testing::at(0)) / 3_600_000_000;
    let rows = told.iter().flat_map(|rows| &rows.transactions);
    rows.map(|row| (row.status.clone(), hours(row))).collect()
}

fn reviews(told: &[EntityRows]) -> Vec<(&str, ReviewReason, bool)> {
    let reviews = told.iter().flat_map(|rows| &rows.reviews);
    reviews.map(|review| (review.field.as_str(), review.reason, review.withheld)).collect()
}

#[test]
fn a_status_sends_the_transaction_again() {
    let deposit = |hours, status| Input::new("deposit", "t1", hours, "20").status(status);
    let all = [deposit(1, "requested"), deposit(3, "approved"), deposit(5, "settled"), deposit(7, "reversed")];
    let expected = [("requested", 1), ("approved", 3), ("settled", 3), ("reversed", 7)];
    let expected = expected.map(|(status, hours)| (status.to_owned(), hours));
    let sent = told(&all);
    assert_eq!(statuses(&sent), expected);
    let ids: Vec<&str> = sent.iter().flat_map(|rows| &rows.transactions).map(|row| &*row.transaction_id).collect();
    assert_eq!(ids, ["s|deposit|p|t1"; 4]);
    // What comes behind what is newer sends nothing, but for the time since which the money counts.
    let [requested, approved, settled, reversed] = all;
    let sent = told(&[settled.clone(), requested, approved.clone(), reversed, approved]);
    let expected = [("settled", 5), ("settled", 3), ("reversed", 7)];
    assert_eq!(statuses(&sent), expected.map(|(status, hours)| (status.to_owned(), hours)));
}

#[test]
fn a_reversal_is_a_status_and_its_own_reversal_takes_it_back() {
    let sent = told(&[
        Input::new("bonus_granted", "b1", 1, "5"),
        Input::reversal("r1", "b1", "bonus", 2),
        Input::reversal("r2", "b1", "bonus", 3),
        Input::reversal("r3", "r1", "reversal", 4),
        Input::new("adjustment", "a1", 5, "-3"),
    ]);
    let expected = [("completed", 1), ("reversed", 1), ("completed", 1), ("completed", 5)];
    assert_eq!(statuses(&sent), expected.map(|(status, hours)| (status.to_owned(), hours)));
    assert_eq!(sent[4].transactions[0].amount_currency, -Money::from_units(3));
    assert!(reviews(&sent).is_empty());
}

#[test]
fn a_reversal_that_came_first_is_in_the_first_row() {
    let sent = told(&[Input::reversal("r1", "b1", "", 2), Input::new("bonus_granted", "b1", 3, "5")]);
    assert_eq!(statuses(&sent), [("reversed".to_owned(), 3)]);
}

#[test]
fn an_id_that_is_used_again_stays_the_first_ones() {
    // Six days are remembered.
    let again = Input::new("bonus_granted", "b1", 24 * 8, "7");
    let sent = told(&[
        Input::new("bonus_granted", "b1", 1, "5"),
        again.clone(),
        // The newest that was there.
        Input::reversal("r1", "b1", "bonus", 24 * 9),
    ]);
    assert_eq!(statuses(&sent), [("completed".to_owned(), 1)]);
    let expected = ("transaction_id", ReviewReason::DuplicateId, false);
    assert_eq!(reviews(&sent), [expected, expected]);
    // A duplicate and a conflict are no transaction.
    let sent = told(&[again.clone(), again.clone(), Input { amount: Some(Money::ONE), ..again }]);
    assert_eq!((statuses(&sent).len(), reviews(&sent).len()), (1, 0));
}

#[test]
fn what_breaks_a_limit_is_reviewed_and_never_silent() {
    let adjustment = |id: &str, amount: &str| Input::new("adjustment", id, 1, amount);
    let long: &'static str =
        Box::leak(format!(r#"{{"note":"{}","amount_usd":"x"}}"#, "é".repeat(501)).into_boxed_str());
    let fits: &'static str = Box::leak(format!(r#"{{"note":"{}","subtype":7}}"#, "é".repeat(500)).into_boxed_str());
    let sent = told(&[
        adjustment("a1", "1234567890123.45"),
        adjustment("a2", "12345678901234.56"),
        adjustment("a3", "0.001"),
        Input { currency: "BTC", ..adjustment("a4", "1") },
        Input::new("jackpot", "j1", 1, ""),
        Input { payload: long, ..adjustment("a5", "1") },
        Input { payload: fits, currency: "USD", ..adjustment("a6", "1.10") },
        Input { payload: r#"{"amount_usd":"1234567890.1234567"}"#, ..adjustment("a7", "1") },
    ]);
    use ReviewReason::{DecimalsExceeded, MissingField, PrecisionExceeded, TooLong, UnknownCurrency, WrongType};
    let expected = [
        ("amount_currency", PrecisionExceeded, true),
        ("amount_currency", DecimalsExceeded, true),
        ("currency", UnknownCurrency, true),
        ("amount_currency", MissingField, true),
        ("note", TooLong, false),
        ("amount_usd", WrongType, false),
        ("amount_usd", PrecisionExceeded, false),
    ];
    assert_eq!(reviews(&sent), expected);
    let rows: Vec<&TransactionRow> = sent.iter().flat_map(|rows| &rows.transactions).collect();
    let ids: Vec<&str> = rows.iter().map(|row| &*row.source_transaction_id).collect();
    assert_eq!(ids, ["a1", "a5", "a6", "a7"]);
    assert_eq!((&rows[1].note, rows[1].amount_usd, rows[3].amount_usd), (&None, None, None));
    assert_eq!(rows[2].note.as_ref().map(|note| note.chars().count()), Some(500));
    assert_eq!((rows[2].transaction_subtype.as_deref(), rows[2].amount_usd), (Some("7"), Some("1.1".parse().unwrap())));
}

#[test]
fn of_each_field_of_a_customer_the_newest_holds() {
    let registration = |hours, payload| Input { payload, ..Input::new("registration", "g", hours, "") };
    let kyc = |id: &str, hours, payload| Input { payload, ..Input::new("kyc", id, hours, "").status("done") };
    let sent = told(&[
        kyc("k1", 5, r#"{"country_code":"mt","campaign_id":"late"}"#),
        registration(1, r#"{"affiliate_id":"a1","campaign_id":"early","email":"x@example.com","lang_id":"tlh"}"#),
        kyc("k2", 3, r#"{"country_code":"DE"}"#),
        kyc("k3", 9, r#"{"kyc_status_id":"42","country_code":"UK"}"#),
    ]);
    use ReviewReason::{MissingField, UnknownCountry, UnknownLanguage};
    let missing = [("affiliate_id", MissingField, true), ("signup_date", MissingField, true)];
    assert_eq!(reviews(&sent[..1]), missing);
    assert!(sent[0].customers.is_empty() && sent[2].customers.is_empty(), "nothing has changed");
    let row = &sent[1].customers[0];
    assert_eq!((row.affiliate_id.as_str(), row.campaign_id.as_deref()), ("a1", Some("late")));
    assert_eq!((row.country_code.as_deref(), &row.lang_id, &row.email), (Some("MT"), &None, &None));
    let hours =
        [row.signup_date, row.last_modified_date].map(|at| at.micros_since(crate::testing::at(0)) / 3_600_000_000);
    assert_eq!((hours, row.kyc_status_id.as_deref()), ([1, 5], Some("done")));
    assert_eq!(reviews(&sent[1..3]), [("lang_id", UnknownLanguage, false)]);
    let row = &sent[3].customers[0];
    assert_eq!((row.kyc_status_id.as_deref(), &row.country_code), (Some("42"), &None));
    assert_eq!(
        reviews(&sent[3..]),
        [("country_code", UnknownCountry, false)],
        "what was known to be wrong is not told again"
    );
}

#[test]
fn agrees_with_recomputation() {
    let mut reviews = std::collections::BTreeMap::new();
    for seed in seeds(200) {
        let mut rng = Rng(77_000 + seed);
        let script = random_script_with_entities(&mut rng, EVENTS);
        let script = arrived(&mut rng, script);
        let longest = rng.pick(&[1, 5, 30]);
        let rules = entity_rules(rules().ledger);
        let mut oracle = LedgerOracle::new(rules.ledger.clone());
        let (mut run, mut feed) = (Run::with(rules, Vec::new()), Feed::default());
        for arrival in cut(&mut rng, &script, longest) {
            feed.take(run.step(&arrival).entities);
            oracle.epoch(&arrival.inputs, arrival.now);
            assert_eq!(feed.transactions, oracle.transaction_rows(), "seed {seed}");
            assert_eq!(feed.customers, oracle.customer_rows(), "seed {seed}");
        }
        for (reason, count) in feed.reviews {
            *reviews.entry(reason).or_insert(0) += count;
        }
    }
    use ReviewReason::{DecimalsExceeded, DuplicateId, MissingField, PrecisionExceeded, UnknownCountry};
    for reason in [DecimalsExceeded, DuplicateId, MissingField, PrecisionExceeded, UnknownCountry] {
        assert!(reviews.get(&reason).is_some_and(|count| *count > 50), "{reason:?}: {reviews:?}");
    }
}

#[test]
fn without_the_section_nothing_is_told_and_nothing_is_kept() {
    let mut rng = Rng(5);
    let script = random_script_with_entities(&mut rng, EVENTS);
    let mut run = Run::with(rules(), Vec::new());
    for arrival in cut(&mut rng, &script, 9) {
        assert!(run.step(&arrival).entities.is_empty());
    }
    let players = (0..1024).map(|group| run.players.group(datasets::hash::KeyGroup(group)));
    assert!(players.flat_map(|group| group.customers()).next().is_none());
}
