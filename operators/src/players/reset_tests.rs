//! Missions that start anew at a second opt-in against recomputation: after every epoch, in any cutting, in any order of arrival.

use std::collections::BTreeSet;

use super::gate_tests::{EVENTS, assert_any_order_gives_the_same_facts, compare};
use crate::testing::{RESETTING, Rng, arrived, cut, gated_definitions, random_script_with_controls};

#[test]
fn agrees_with_recomputation_after_every_epoch() {
    let (mut revoked, mut again) = (0, BTreeSet::new());
    let mut told = BTreeSet::new();
    for seed in 0..100 {
        let mut rng = Rng(60_000 + seed);
        let script = random_script_with_controls(&mut rng, EVENTS, &RESETTING);
        let script = arrived(&mut rng, script);
        let longest = rng.pick(&[1, 12]);
        let run = compare(&RESETTING, &cut(&mut rng, &script, longest), 60, &format!("seed {seed}"));
        revoked += run.counters.revoked;
        told.extend(run.messages.iter().map(|message| message.mission_id.clone()));
        let further = run.messages.iter().filter(|message| message.occurrence > 1);
        again.extend(further.map(|message| message.mission_id.clone()));
    }
    let ids: BTreeSet<String> = RESETTING.iter().map(|spec| spec.id().to_owned()).collect();
    assert!(told == ids && again.len() >= 3 && revoked > 30, "{told:?}, {again:?} again, {revoked} revoked");
}

#[test]
fn agrees_with_recomputation_when_events_come_too_late() {
    let mut late = 0;
    for seed in 0..60 {
        let mut rng = Rng(61_000 + seed);
        let script = random_script_with_controls(&mut rng, EVENTS, &RESETTING);
        late += compare(&RESETTING, &cut(&mut rng, &script, 1), 1, &format!("seed {seed}")).counters.late;
    }
    assert!(late > 100, "{late} late");
}

#[test]
fn any_cutting_and_any_order_of_arrival_give_the_same_facts() {
    assert_any_order_gives_the_same_facts(62_000, &RESETTING, &gated_definitions(&RESETTING, 60));
}
