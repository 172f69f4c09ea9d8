//! Groups whose missions have gates, against recomputation: after every epoch, in any cutting, in any order of arrival.

use std::collections::BTreeSet;

use datasets::Timestamp;
use datasets::rows::{CompletionKind, CompletionRow};

use super::gate_tests::{EVENTS, assert_any_order_gives_the_same_facts, close, compare};
use crate::testing::{
    CONTESTED, Input, Rng, Run, at, cut, gated_definitions, random_script_with_controls, record, seeds,
};

#[test]
fn agrees_with_recomputation_after_every_epoch() {
    let (mut told, mut revoked) = (BTreeSet::new(), 0);
    for seed in seeds(20) {
        let mut rng = Rng(70_000 + seed);
        let script = random_script_with_controls(&mut rng, EVENTS, &CONTESTED);
        let run = compare(&CONTESTED, &cut(&mut rng, &script, 12), 60, &format!("seed {seed}"));
        told.extend(run.messages.iter().map(|message| message.mission_id.clone()));
        revoked += run.counters.revoked;
    }
    let ids: BTreeSet<String> = CONTESTED.iter().map(|spec| spec.id().to_owned()).collect();
    assert!(told == ids && revoked > 15, "{told:?}, {revoked} revoked");
}

#[test]
fn agrees_with_recomputation_when_causes_come_too_late() {
    for seed in seeds(6) {
        let mut rng = Rng(71_000 + seed);
        let script = random_script_with_controls(&mut rng, EVENTS, &CONTESTED);
        let run = compare(&CONTESTED, &cut(&mut rng, &script, 12), 1, &format!("seed {seed}"));
        assert!(run.counters.late > 0, "seed {seed} has nothing late");
    }
}

#[test]
fn any_cutting_and_any_order_of_arrival_give_the_same_facts() {
    assert_any_order_gives_the_same_facts(72_000, &CONTESTED, &gated_definitions(&CONTESTED, 60));
}

fn text(id: &str, priority: u32, requires: &[&str], target: u32) -> String {
    format!(
        r#"{{"mission_id":"{id}","version":1,"status":"active","start":"{}","exclusive_group":"ladder","priority":{priority},
            "eligibility":{{"requires":{requires:?}}},
            "stages":[{{"on":["bet_placed"],"measure":{{"kind":"count"}},"target":{target}}}]}}"#,
        at(-240),
    )
}

/// Three missions, of which each takes the bets from the one before when that is completed.
fn ladder(targets: [u32; 3]) -> Run {
    let rungs = [("a", &[][..]), ("b", &["a"]), ("c", &["b"])];
    let records = rungs.iter().zip(targets).zip(0_i64..).map(|(((id, requires), target), offset)| {
        let text = text(id, 1 + u32::try_from(offset).unwrap(), requires, target);
        record(id, Some(text), -240, offset)
    });
    let mut run = Run::new(Vec::new());
    run.close(records.collect(), &[], (at(-240), at(-240)));
    run
}

fn bet(id: &str, hours: i64) -> Input {
    Input::new("bet_placed", id, hours, "5")
}

fn told(run: &Run) -> Vec<(&str, bool, i64)> {
    let hours = |time: Timestamp| time.micros_since(at(0)) / 3_600_000_000;
    let completed = |row: &CompletionRow| row.kind == CompletionKind::MissionCompleted;
    run.messages.iter().map(|row| (row.mission_id.as_str(), completed(row), hours(row.completed_at))).collect()
}

#[test]
fn each_takes_the_bets_from_the_one_before() {
    let mut run = ladder([2, 2, 1]);
    close(&mut run, 9, (1..=6).map(|hour| bet(&format!("b{hour}"), hour)).collect());
    assert_eq!(told(&run), [("a", true, 2), ("b", true, 4), ("c", true, 5)]);
}

/// What is taken back of one falls to it again from what the next one had: so nothing is told of the first, however often it was judged.
#[test]
fn what_comes_to_rest_where_it_was_is_not_told() {
    let mut run = ladder([2, 2, 1]);
    close(&mut run, 9, (1..=4).map(|hour| bet(&format!("b{hour}"), hour)).collect());
    close(&mut run, 10, vec![Input::reversal("r", "b1", "bet", 10)]);
    assert_eq!(told(&run)[2..], [("b", false, 4)], "a is completed by the bets of 2 and 3 now, b has that of 4");
    close(&mut run, 11, vec![bet("late", 1)]);
    assert_eq!(told(&run)[3..], [("b", true, 4)], "a again by those of 1 and 2");
}

/// A bet in the past moves everything down by one: one message for what is completed more.
#[test]
fn what_comes_late_moves_along_the_ladder() {
    let mut run = ladder([2, 2, 1]);
    close(&mut run, 9, (1..=4).map(|hour| bet(&format!("b{hour}"), hour)).collect());
    close(&mut run, 10, vec![bet("late", 0)]);
    assert_eq!(told(&run)[2..], [("c", true, 4)], "a by 0 and 1, b by 2 and 3");
}

/// An edit completes at its own time, and unlocks what is later than both.
#[test]
fn a_lowered_target_gives_what_is_later_to_the_next() {
    let mut run = ladder([5, 2, 1]);
    close(&mut run, 9, (1..=4).map(|hour| bet(&format!("b{hour}"), hour)).collect());
    run.close(vec![record("a", Some(text("a", 1, &[], 2)), 3, 10)], &[], (at(9), at(9)));
    assert_eq!(told(&run), [("a", true, 3)]);
    close(&mut run, 10, vec![bet("b5", 5)]);
    assert_eq!(told(&run)[1..], [("b", true, 5)], "with that of 4, which a has lost");
}

/// Who is kept when a class forgets: nothing is contested any more when the windows are closed.
#[test]
fn contests_end_with_the_windows() {
    let mut run = Run::new(Vec::new());
    let day = |id: &str, priority: u32, gate: &str| {
        let text = text(id, priority, &[], 2).replace(r#""requires":[]"#, gate);
        let text = text.replace(r#""status""#, r#""window":{"every":"day"},"lateness":"P2D","status""#);
        record(id, Some(text), -24, i64::from(priority))
    };
    run.close(vec![day("low", 1, ""), day("high", 2, r#""opt_in":true"#)], &[], (at(-24), at(-24)));
    for hour in 0..24 {
        close(&mut run, hour, vec![bet(&format!("b{hour}"), hour)]);
    }
    let contested = |run: &Run| {
        let players = run.players.groups.iter().flat_map(|group| group.players.iter());
        let timelines = players.into_iter().filter_map(|(_, player)| player.timeline.as_deref());
        timelines.filter(|timeline| !timeline.contests.is_empty()).count()
    };
    assert_eq!((contested(&run), told(&run)), (1, vec![("low", true, 1)]));
    close(&mut run, 30, vec![Input { about: Some("high"), ..Input::new("opted_in", "i", 0, "") }]);
    assert_eq!(told(&run)[1..], [("high", true, 1), ("low", false, 1)], "they never were those of the other");
    close(&mut run, 96, vec![]);
    assert_eq!(contested(&run), 1);
    close(&mut run, 98, vec![]);
    assert_eq!(contested(&run), 0);
}
