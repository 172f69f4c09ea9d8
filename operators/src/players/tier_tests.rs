//! Tiers beside their recomputation, at every epoch.

use std::collections::BTreeMap;

use datasets::rows::TierRow;

use crate::testing::{
    Arrival, Input, KEPT, LOST, LedgerOracle, MIXED, PERIODS, Rng, Run, TierOracle, TierSpec, TierTold, arrived, cut,
    definitions, interleave, random_script, seeds, tiered,
};

const EVENTS: usize = 140;

fn told(row: &TierRow) -> TierTold {
    let TierRow { player_id, revision, tier, previous, changed_at, .. } = row.clone();
    (player_id, revision, tier, previous, changed_at)
}

/// Runs `arrivals` and compares with the recomputation after each. Answers what was told.
fn compare(arrivals: &[Arrival], specs: &[TierSpec], name: &str) -> Vec<TierTold> {
    let mut run = Run::with(tiered(specs), definitions(60));
    let mut ledger = LedgerOracle::new(tiered(specs).ledger);
    let mut oracle = TierOracle::new(specs);
    let mut all = Vec::new();
    let mut last = BTreeMap::new();
    for (epoch, arrival) in arrivals.iter().enumerate() {
        let changes = run.step(arrival);
        ledger.epoch(&arrival.inputs, arrival.now);
        oracle.epoch(&arrival.inputs, arrival.now, &ledger);
        let mut expected = oracle.told.clone();
        expected.sort();
        let mut found: Vec<TierTold> = changes.tiers.iter().map(told).collect();
        found.sort();
        assert_eq!(found, expected, "{name}, epoch {epoch}");
        for row in &changes.tiers {
            assert_eq!(row.emitted_at, arrival.now, "{name}, epoch {epoch}");
            let is_timed = row.trigger.is_none();
            assert!(!is_timed || row.changed_at <= arrival.now, "{name}, epoch {epoch}");
            let known = last.insert(row.player_id.clone(), row.tier.clone()).flatten();
            assert_eq!(known, row.previous, "{name}, epoch {epoch}");
        }
        let tiers: Vec<(&str, &str)> =
            last.iter().filter_map(|(player, tier)| Some((player.as_str(), tier.as_deref()?))).collect();
        assert_eq!(tiers, oracle.tiers(), "{name}, epoch {epoch}");
        all.extend(found);
    }
    all
}

fn random(seed: u64) -> (Rng, Vec<Input>) {
    let mut rng = Rng(seed);
    let script = random_script(&mut rng, EVENTS);
    let script = arrived(&mut rng, script);
    (rng, script)
}

#[test]
fn agrees_with_recomputation_after_every_epoch() {
    let mut changes = 0;
    for seed in seeds(100) {
        let (mut rng, arrived) = random(60_000 + seed);
        let specs: &[TierSpec] = [&KEPT[..], &MIXED, &LOST][rng.index(3)];
        let longest = rng.pick(&[1, 1, 4, 12]);
        let arrivals = cut(&mut rng, &arrived, longest);
        changes += compare(&arrivals, specs, &format!("seed {seed}")).len();
    }
    assert!(changes > 600, "only {changes} changes of tiers");
}

/// One by one: a late reversal that claims to be older than its bet would else come first.
#[test]
fn agrees_with_recomputation_of_periods_after_every_epoch() {
    let (mut changes, mut falls) = (0, 0);
    for seed in seeds(40) {
        let (mut rng, arrived) = random(63_000 + seed);
        let arrivals = cut(&mut rng, &arrived, 1);
        let told = compare(&arrivals, &PERIODS, &format!("seed {seed}"));
        changes += told.len();
        falls += told.iter().filter(|(_, _, tier, ..)| tier.is_none()).count();
    }
    assert!(changes > 400 && falls > 50, "only {changes} changes of tiers, {falls} to none");
}

/// Where events come in the order in which they happened, all that is told of periods is the same in any cutting.
#[test]
fn play_in_order_tells_the_same_of_periods_in_any_cutting() {
    let mut changes = 0;
    for seed in 0..40 {
        let mut rng = Rng(64_000 + seed);
        let mut script = random_script(&mut rng, EVENTS);
        script.sort_by_key(|input| (input.event_time, input.at));
        for (input, offset) in script.iter_mut().zip(0..) {
            (input.ingest_time, input.at.partition, input.at.offset) = (input.event_time, 0, offset);
        }
        let mut told_in = |longest| {
            let mut run = Run::with(tiered(&PERIODS), Vec::new());
            let arrivals = cut(&mut rng, &script, longest);
            let mut all: Vec<TierTold> =
                arrivals.iter().flat_map(|arrival| run.step(arrival).tiers).map(|row| told(&row)).collect();
            all.sort();
            all
        };
        let expected = told_in(1);
        changes += expected.len();
        for longest in [2, 7, 40, 1_000] {
            assert_eq!(told_in(longest), expected, "seed {seed}, {longest} events an epoch");
        }
    }
    assert!(changes > 400, "only {changes} changes of tiers");
}

/// Nothing of tiers that are lost again sticks, so neither the order of arrival nor the cutting of epochs counts.
#[test]
fn any_cutting_and_any_order_of_arrival_give_the_same_tiers() {
    for seed in 0..40 {
        let mut rng = Rng(62_000 + seed);
        let script = random_script(&mut rng, EVENTS);
        let tiers = |arrivals: &[Arrival]| {
            let mut rules = tiered(&LOST);
            // `expired_reference` is said at once, of what is known by then: a decision that sticks.
            rules.ledger.ledger_retention *= 10;
            let mut run = Run::with(rules, Vec::new());
            let mut last = BTreeMap::new();
            for row in arrivals.iter().flat_map(|arrival| run.step(arrival).tiers) {
                last.insert(row.player_id, row.tier);
            }
            last.retain(|_, tier| tier.is_some());
            last
        };
        let expected = tiers(&cut(&mut rng, &script, 1));
        for variant in 0..6 {
            let arrived = if variant == 0 { script.clone() } else { interleave(&mut rng, &script) };
            let longest = rng.pick(&[1, 5, 40, 1_000]);
            let found = tiers(&cut(&mut rng, &arrived, longest));
            assert_eq!(found, expected, "seed {seed}, variant {variant}");
        }
    }
}

/// What is known of missions is the same beside tiers as without them.
#[test]
fn tiers_are_no_missions() {
    for seed in 0..20 {
        let (mut rng, arrived) = random(61_000 + seed);
        let arrivals = cut(&mut rng, &arrived, 6);
        let run = |specs: &[TierSpec]| {
            let mut run = Run::with(tiered(specs), definitions(60));
            arrivals.iter().for_each(|arrival| drop(run.step(arrival)));
            // An amount waits for its rate, of whichever it is.
            run.counters.fx_missing_waiting = 0;
            (run.messages, run.counters, run.rows)
        };
        assert!(run(&KEPT) == run(&[]), "seed {seed}");
    }
}
