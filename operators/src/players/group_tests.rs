//! Exclusive groups against recomputation: after every epoch, in any cutting, in any order of arrival.

use super::gate_tests::{EVENTS, assert_any_order_gives_the_same_facts, compare};
use crate::testing::{GATED, GROUPED, Rng, cut, gated_definitions, random_script, seeds};

#[test]
fn agrees_with_recomputation_after_every_epoch() {
    let (mut completed, mut revoked) = (0, 0);
    for seed in seeds(40) {
        let mut rng = Rng(40_000 + seed);
        let script = random_script(&mut rng, EVENTS);
        let run = compare(&GROUPED, &cut(&mut rng, &script, 12), 60, &format!("seed {seed}"));
        let of_groups = |id: &&str| !["e-alone"].contains(id);
        completed += run.messages.iter().map(|message| &*message.mission_id).filter(of_groups).count();
        revoked += run.counters.revoked;
    }
    assert!(completed > 200 && revoked > 13, "{completed} completed in groups, {revoked} revoked");
}

#[test]
fn agrees_with_recomputation_when_events_come_too_late() {
    for seed in seeds(12) {
        let mut rng = Rng(41_000 + seed);
        let script = random_script(&mut rng, EVENTS);
        let run = compare(&GROUPED, &cut(&mut rng, &script, 1), 1, &format!("seed {seed}"));
        assert!(run.counters.late > 0, "seed {seed} has nothing late");
    }
}

#[test]
fn any_cutting_and_any_order_of_arrival_give_the_same_facts() {
    let told = assert_any_order_gives_the_same_facts(42_000, &GATED, &gated_definitions(&GROUPED, 60));
    let missing = GROUPED.iter().filter(|spec| told.iter().all(|(told, _)| *told != spec.id()));
    assert_eq!(missing.map(|spec| spec.id()).collect::<Vec<_>>(), [""; 0]);
}
