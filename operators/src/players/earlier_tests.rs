//! Missions that count from the start of their window, against recomputation: after every epoch, in any cutting, in any order of arrival.

use std::collections::BTreeSet;

use datasets::rows::{CompletionKind, CompletionRow};

use super::gate_tests::compare_known;
use super::tests::assert_same;
use crate::definitions::DefinitionRecord;
use crate::players::Rules;
use crate::testing::{
    Arrival, EARLIER, GATED, Input, Rng, Run, Spec, as_if_earlier, at, batch, contested_earlier, cut,
    earlier_definitions, earlier_definitions_with_drafts, interleave, random_script_with_controls, record, rules,
    seeds,
};

const EVENTS: usize = 140;

/// All events of a script are retained.
fn retaining() -> Rules {
    let mut rules = rules();
    rules.missions.retained_micros = 90 * 86_400_000_000;
    rules
}

/// Compares with the recomputation as if all missions of `specs`, which `definitions` are about, had been there.
fn compare(specs: &[Spec], definitions: Vec<DefinitionRecord>, arrivals: &[Arrival], name: &str) -> Run {
    let (as_if, activated) = as_if_earlier(specs);
    // A definition arrives before the first event of its time.
    compare_known(Run::with(retaining(), definitions), (&as_if, 60), arrivals, name, |run, id| {
        let latest = run.read.iter().map(|input| input.event_time).max();
        activated.iter().any(|(known, from)| *known == id && Some(*from) <= latest)
    })
}

#[test]
fn agrees_with_recomputation_after_every_epoch() {
    let (mut told, mut at_once) = (BTreeSet::new(), 0);
    for seed in seeds(40) {
        let mut rng = Rng(80_000 + seed);
        let script = random_script_with_controls(&mut rng, EVENTS, &GATED[..1]);
        let definitions = earlier_definitions(&EARLIER, 60);
        let run = compare(&EARLIER, definitions, &cut(&mut rng, &script, 12), &format!("seed {seed}"));
        told.extend(run.messages.iter().map(|message| message.mission_id.clone()));
        at_once += run.messages.iter().filter(|message| message.trigger.transaction_id.is_none()).count();
    }
    assert!(told.len() == 9 && at_once > 20, "{told:?}, {at_once} completed by the definition");
}

/// In groups what came before has counted for others, and is taken from them.
#[test]
fn agrees_with_recomputation_where_others_of_the_group_have_counted_what_came_before() {
    let specs = contested_earlier();
    let (mut told, mut lost) = (BTreeSet::new(), 0);
    for seed in seeds(40) {
        let mut rng = Rng(82_000 + seed);
        let script = random_script_with_controls(&mut rng, EVENTS, &specs);
        let definitions = earlier_definitions_with_drafts(&specs, 60);
        let run = compare(&specs, definitions, &cut(&mut rng, &script, 12), &format!("seed {seed}"));
        told.extend(run.messages.iter().map(|message| message.mission_id.clone()));
        let is_lost =
            |row: &&CompletionRow| row.kind == CompletionKind::MissionRevoked && row.trigger.transaction_id.is_none();
        lost += run.messages.iter().filter(is_lost).count();
    }
    assert!(told.len() == specs.len() && lost > 3, "{told:?}, {lost} revoked by a definition");
}

#[test]
fn any_cutting_and_any_order_of_arrival_give_the_same_facts() {
    assert_same_facts_in_any_order(81_000, &earlier_definitions(&EARLIER, 60), &GATED[..1]);
}

#[test]
fn in_groups_any_cutting_and_any_order_of_arrival_give_the_same_facts() {
    let specs = contested_earlier();
    assert_same_facts_in_any_order(83_000, &earlier_definitions_with_drafts(&specs, 60), &specs);
}

fn assert_same_facts_in_any_order(first_seed: u64, definitions: &[DefinitionRecord], controlled: &[Spec]) {
    for seed in 0..40 {
        let mut rng = Rng(first_seed + seed);
        let script = random_script_with_controls(&mut rng, EVENTS, controlled);
        let facts = |arrivals: &[Arrival]| {
            let mut rules = retaining();
            rules.ledger.ledger_retention *= 10;
            let mut run = Run::with(rules, definitions.to_vec());
            arrivals.iter().for_each(|arrival| drop(run.step(arrival)));
            (run.live(), run.standings())
        };
        let expected = facts(&cut(&mut rng, &script, 1));
        for variant in 0..6 {
            let name = format!("seed {seed}, variant {variant}");
            let arrived = if variant == 0 { script.clone() } else { interleave(&mut rng, &script) };
            let longest = rng.pick(&[1, 5, 40, 1_000]);
            let (live, standings) = facts(&cut(&mut rng, &arrived, longest));
            assert_same(&standings, &expected.1, &|| name.clone());
            assert_eq!(live, expected.0, "{name}");
        }
    }
}

fn weekly(id: &str) -> String {
    let stage = r#"{"on":["bet_placed"],"measure":{"kind":"count"},"target":"2"}"#;
    format!(
        r#"{{"mission_id":"{id}","version":1,"status":"active","window":{{"every":"week"}},"count_from":"window_start","stages":[{stage}]}}"#
    )
}

/// Closes an epoch of these inputs at an hour.
fn close(run: &mut Run, hours: i64, mut inputs: Vec<Input>) {
    for (input, offset) in inputs.iter_mut().zip(hours * 100..) {
        (input.at.offset, input.ingest_time) = (offset, at(hours));
    }
    run.close(Vec::new(), &batch(&inputs), (at(hours), at(hours)));
}

#[test]
fn events_are_retained_for_their_time_and_no_longer() {
    let mut rules = rules();
    rules.missions.retained_micros = 2 * 86_400_000_000;
    let mut run = Run::with(rules, Vec::new());
    for day in 0..8 {
        let hours = day * 24;
        close(&mut run, hours, vec![Input::new("bet_placed", &format!("b{day}"), hours, "1")]);
        let players = run.players.groups.iter().flat_map(|group| group.players.iter());
        let kept: Vec<_> = players.into_iter().filter_map(|(_, player)| player.retained.as_deref()).collect();
        let events: usize = kept.iter().map(|retained| retained.len()).sum();
        assert!((1..=4).contains(&events), "day {day}: {events} events");
    }
    close(&mut run, 24 * 14, vec![]);
    let mut players = run.players.groups.iter().flat_map(|group| group.players.iter());
    assert!(players.all(|(_, player)| player.retained.is_none()));
}

#[test]
fn a_window_that_began_before_what_is_retained_is_refused() {
    let mut rules = rules();
    rules.missions.retained_micros = 2 * 86_400_000_000;
    let mut run = Run::with(rules, Vec::new());
    // The script's first day is a Monday.
    let refused = |run: &mut Run, id: &str, hours: i64| {
        let changes = run.close(vec![record(id, Some(weekly(id)), hours, hours)], &[], (at(hours), at(hours)));
        changes.dead_letters.len()
    };
    assert_eq!([47, 48, 49].map(|hours| refused(&mut run, &format!("m{hours}"), hours)), [0, 0, 1]);
}

/// Missions of one epoch share what they ask the same for, also with one that counts from its activation.
#[test]
fn those_that_share_a_class_count_once() {
    let mut run = Run::with(retaining(), Vec::new());
    close(&mut run, 1, vec![Input::new("bet_placed", "a", 1, "1"), Input::new("bet_placed", "b", 2, "1")]);
    let later = weekly("late").replace("window_start", "activation");
    let records = [("one", weekly("one")), ("two", weekly("two")), ("late", later)];
    let records = records.into_iter().zip(0..).map(|((id, text), offset)| record(id, Some(text), 5, offset));
    run.close(records.collect(), &[], (at(5), at(5)));
    let told: Vec<_> =
        run.messages.iter().map(|row| (&*row.mission_id, row.completed_at, row.trigger.place.offset)).collect();
    assert_eq!(told, [("one", at(2), 0), ("two", at(2), 1)]);
    close(&mut run, 6, vec![Input::reversal("r", "a", "bet", 6), Input::new("bet_placed", "c", 6, "1")]);
    let told: Vec<_> = run.messages.iter().map(|row| (&*row.mission_id, row.revision)).collect();
    assert_eq!(told[2..], [("one", 1), ("two", 1), ("one", 2), ("two", 2)], "revoked, then completed again");
    close(&mut run, 7, vec![Input::new("bet_placed", "d", 7, "1")]);
    assert_eq!(run.messages.last().map(|row| (&*row.mission_id, row.completed_at)), Some(("late", at(7))));
}

/// A mission that is edited to be completed loses what it is made of in the same epoch: it is told completed before it is told revoked.
#[test]
fn what_is_lost_to_a_mission_of_the_same_epoch_is_told_behind_what_an_edit_did() {
    let of_group = |id: &str, version: u32, priority: u32, target: u32| {
        let text = weekly(id)
            .replace(r#""version":1"#, &format!(r#""version":{version},"exclusive_group":"g","priority":{priority}"#));
        text.replace(r#""target":"2""#, &format!(r#""target":"{target}""#))
    };
    let mut run = Run::with(retaining(), Vec::new());
    run.close(vec![record("x", Some(of_group("x", 1, 1, 9)), 0, 0)], &[], (at(0), at(0)));
    close(
        &mut run,
        3,
        ["a", "b", "c"].into_iter().zip(1..).map(|(id, hour)| Input::new("bet_placed", id, hour, "1")).collect(),
    );
    let records =
        vec![record("n", Some(of_group("n", 1, 2, 3)), 5, 9), record("x", Some(of_group("x", 2, 1, 2)), 5, 10)];
    run.close(records, &[], (at(5), at(5)));
    let told: Vec<_> = run.messages.iter().map(|row| (&*row.mission_id, row.kind, row.trigger.place.offset)).collect();
    let (completed, revoked) = (CompletionKind::MissionCompleted, CompletionKind::MissionRevoked);
    assert_eq!(told, [("x", completed, 10), ("n", completed, 9), ("x", revoked, 9)]);
}
