//! Rates of exchange against recomputation: after every epoch, in any cutting, in any order of arrival.

use datasets::rates::RateBook;

use super::tests::completed;
use crate::testing::{
    Arrival, LedgerOracle, RateOracle, Rng, Run, cut, interleave, random_script_with_rates, rated_definitions, rules,
};

const EVENTS: usize = 140;

/// Runs `arrivals` and compares with the recomputation after each. Answers how many events were released.
fn compare(arrivals: &[Arrival], lateness_days: i64, name: &str) -> (Run, i64) {
    let mut rules = rules();
    // What expires depends on the order of arrival.
    rules.ledger.ledger_retention *= 10;
    let mut ledger = LedgerOracle::new(rules.ledger.clone());
    let mut run = Run::with(rules, rated_definitions(lateness_days));
    let mut rates = RateOracle::new(lateness_days);
    let (mut followed, mut released) = (RateBook::default(), 0);
    for (epoch, arrival) in arrivals.iter().enumerate() {
        let before = run.counters.fx_missing_waiting;
        let changes = run.step(arrival);
        released += (before - run.counters.fx_missing_waiting).max(0);
        followed.follow(&changes.rates);
        assert_eq!(followed, *run.players.rates(), "rates of {name}, epoch {epoch}");
        ledger.epoch(&arrival.inputs, arrival.now);
        rates.epoch(&arrival.inputs, &ledger);
        let expected = rates.standings(&ledger, &run.read);
        assert_eq!(run.live(), completed(&expected), "live completions of {name}, epoch {epoch}");
        for (occurrence, standing) in run.standings() {
            assert_eq!(Some(&standing), expected.get(&occurrence), "{occurrence:?} of {name}, epoch {epoch}");
        }
        if lateness_days == 60 {
            assert_eq!(run.counters.fx_missing_waiting, rates.waiting(&ledger), "waiting in {name}, epoch {epoch}");
        }
        assert_eq!(run.counters.duplicates, ledger.duplicates, "duplicates of {name}, epoch {epoch}");
    }
    (run, released)
}

#[test]
fn agrees_with_recomputation_after_every_epoch() {
    let (mut completed, mut revoked, mut all) = (0, 0, 0);
    for seed in 0..60 {
        let mut rng = Rng(30_000 + seed);
        let script = random_script_with_rates(&mut rng, EVENTS);
        let longest = rng.pick(&[1, 12, 40]);
        let (run, released) = compare(&cut(&mut rng, &script, longest), 60, &format!("seed {seed}"));
        (completed, revoked, all) =
            (completed + run.counters.completed, revoked + run.counters.revoked, all + released);
    }
    assert!(completed > 300 && revoked > 30 && all > 150, "{completed} completed, {revoked} revoked, {all} released");
}

#[test]
fn agrees_with_recomputation_in_any_order_of_arrival() {
    let mut all = 0;
    for seed in 0..40 {
        let mut rng = Rng(31_070 + seed);
        let script = random_script_with_rates(&mut rng, EVENTS);
        let arrived = interleave(&mut rng, &script);
        all += compare(&cut(&mut rng, &arrived, 12), 60, &format!("seed {seed}")).1;
    }
    assert!(all > 100, "{all} released");
}

#[test]
fn agrees_with_recomputation_when_rates_come_too_late() {
    let mut all = 0;
    for seed in 0..40 {
        let mut rng = Rng(32_000 + seed);
        let script = random_script_with_rates(&mut rng, EVENTS);
        let (run, released) = compare(&cut(&mut rng, &script, 1), 1, &format!("seed {seed}"));
        assert!(run.counters.late > 0, "seed {seed} has nothing late");
        all += released;
    }
    assert!(all > 80, "{all} released or forgotten");
}
