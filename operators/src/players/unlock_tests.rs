//! Missions that others unlock, against recomputation: after every epoch, in any cutting, in any order of arrival.

use datasets::rows::{CompletionKind, CompletionRow};

use super::gate_tests::{EVENTS, assert_any_order_gives_the_same_facts, close, compare};
use super::*;
use crate::testing::{
    Input, Rng, Run, UNLOCKING, at, cut, gated_definitions, random_script_with_controls, record, seeds,
};

#[test]
fn agrees_with_recomputation_after_every_epoch() {
    let (mut completed, mut locked) = (0, 0);
    for seed in seeds(40) {
        let mut rng = Rng(30_000 + seed);
        let script = random_script_with_controls(&mut rng, EVENTS, &UNLOCKING);
        let run = compare(&UNLOCKING, &cut(&mut rng, &script, 12), 60, &format!("seed {seed}"));
        let unlocked =
            |message: &&CompletionRow| ["c-second", "d-third", "e-both", "f-run"].contains(&&*message.mission_id);
        let told: Vec<_> = run.messages.iter().filter(unlocked).collect();
        completed += told.iter().filter(|message| message.kind == CompletionKind::MissionCompleted).count();
        locked += told.iter().filter(|message| message.kind == CompletionKind::MissionRevoked).count();
    }
    assert!(completed > 50 && locked > 6, "{completed} unlocked and completed, {locked} revoked");
}

#[test]
fn agrees_with_recomputation_when_causes_come_too_late() {
    for seed in seeds(10) {
        let mut rng = Rng(31_000 + seed);
        let script = random_script_with_controls(&mut rng, EVENTS, &UNLOCKING);
        let run = compare(&UNLOCKING, &cut(&mut rng, &script, 1), 1, &format!("seed {seed}"));
        assert!(run.counters.late > 0, "seed {seed} has nothing late");
    }
}

#[test]
fn any_cutting_and_any_order_of_arrival_give_the_same_facts() {
    let told = assert_any_order_gives_the_same_facts(32_000, &UNLOCKING, &gated_definitions(&UNLOCKING, 60));
    assert!(["c-second", "d-third", "e-both", "h-early"].iter().all(|id| told.iter().any(|(told, _)| told == id)));
}

fn text(id: &str, window: &str, requires: &[&str], rest: &str) -> String {
    format!(
        r#"{{"mission_id":"{id}","version":1,"status":"active","start":"{}","lateness":"P60D","window":{{"every":"{window}"}},
            "eligibility":{{"requires":{requires:?}}},{rest}}}"#,
        at(-240),
    )
}

fn bets(measure: &str, target: u32) -> String {
    format!(r#""stages":[{{"on":["bet_placed"],"measure":{{{measure}}},"target":{target}}}]"#)
}

const COUNT: &str = r#""kind":"count""#;

/// What repeats, counts different values or runs of days, and keeps what was reversed.
#[test]
fn unlocks_of_all_measures_do_not_depend_on_the_order() {
    let again = |limit: u32, per: &str| format!(r#","repeat":{{"limit":{limit},"per":"{per}"}}"#);
    let missions = [
        ("a-again", text("a-again", "week", &[], &(bets(COUNT, 2) + &again(3, "day")))),
        ("b-values", text("b-values", "once", &["a-again"], &bets(r#""kind":"distinct","field":"amount""#, 2))),
        ("c-streak", text("c-streak", "week", &["b-values"], &bets(r#""kind":"streak""#, 2))),
        (
            "d-again",
            text("d-again", "day", &["a-again"], &(bets(r#""kind":"sum","field":"amount""#, 4) + &again(2, "week"))),
        ),
        ("e-last", text("e-last", "once", &["d-again", "c-streak"], &bets(r#""kind":"max","field":"amount""#, 5))),
    ];
    let definitions = missions.into_iter().zip(0..).map(|((id, text), offset)| record(id, Some(text), -240, offset));
    let told = assert_any_order_gives_the_same_facts(33_000, &UNLOCKING, &definitions.collect::<Vec<_>>());
    let of = |mission: &str| told.iter().filter(|(id, _)| id == mission).count();
    assert!(
        ["a-again", "b-values", "c-streak", "d-again", "e-last"].map(of).iter().all(|count| *count > 4),
        "{told:?}"
    );
}

fn bet(id: &str, hours: i64) -> Input {
    Input::new("bet_placed", id, hours, "5")
}

fn deposit(id: &str, hours: i64) -> Input {
    Input::new("deposit", id, hours, "5")
}

fn define(run: &mut Run, hours: i64, definitions: &[(&str, String)]) {
    let records = definitions.iter().zip(hours * 100..);
    let records = records.map(|((id, text), offset)| record(id, Some(text.clone()), hours, offset)).collect();
    run.close(records, &[], (at(hours), at(hours)));
}

fn told(run: &Run) -> Vec<(&str, bool, i64)> {
    let hours = |time: Timestamp| time.micros_since(at(0)) / 3_600_000_000;
    let completed = |row: &CompletionRow| row.kind == CompletionKind::MissionCompleted;
    run.messages.iter().map(|row| (row.mission_id.as_str(), completed(row), hours(row.completed_at))).collect()
}

const FIRST: &str = r#""stages":[{"on":["deposit"],"measure":{"kind":"count"},"target":1}]"#;

/// Completed, closed and forgotten before anybody asked for it.
#[test]
fn what_was_completed_long_ago_unlocks_what_is_defined_today() {
    let mut run = Run::new(Vec::new());
    let short = |id: &str| text(id, "day", &[], FIRST).replace("P60D", "P1D");
    define(&mut run, -240, &[("first", short("first")), ("other", short("other"))]);
    close(&mut run, 1, vec![deposit("d", 1), deposit("e", 30)]);
    close(&mut run, 24 * 10, vec![]);
    assert_eq!(run.standings().len(), 0, "forgotten");
    define(&mut run, 241, &[("then", text("then", "once", &["first", "other"], &bets(COUNT, 1)))]);
    close(&mut run, 242, vec![bet("b", 242)]);
    assert_eq!(told(&run)[4..], [("then", true, 242)]);
    assert_eq!(told(&run).len(), 5);
}

#[test]
fn what_is_required_and_completed_unlocks_what_is_defined_later() {
    let mut run = Run::new(Vec::new());
    define(&mut run, -240, &[("first", text("first", "once", &[], FIRST))]);
    close(&mut run, 1, vec![deposit("d", 1)]);
    define(&mut run, 5, &[("then", text("then", "once", &["first"], &bets(COUNT, 1)))]);
    close(&mut run, 6, vec![bet("b", 6)]);
    close(&mut run, 7, vec![Input::reversal("r", "d", "deposit", 7)]);
    assert_eq!(told(&run), [("first", true, 1), ("then", true, 6), ("first", false, 1), ("then", false, 6)]);
}

/// An edit that completes unlocks what happens after it, though it had come before the edit was read.
#[test]
fn a_lowered_target_unlocks() {
    let mut run = Run::new(Vec::new());
    let first = |target| text("first", "once", &[], &bets(COUNT, target));
    let then = text("then", "once", &["first"], r#""stages":[{"on":["login"],"measure":{"kind":"count"},"target":1}]"#);
    define(&mut run, -240, &[("first", first(2)), ("then", then)]);
    close(&mut run, 9, vec![bet("b", 1), Input::new("login", "l1", 5, ""), Input::new("login", "l2", 8, "")]);
    assert_eq!(told(&run), []);
    define(&mut run, 7, &[("first", first(1))]);
    assert_eq!(told(&run), [("first", true, 7), ("then", true, 8)]);
    let triggers: Vec<_> = run.messages.iter().map(|message| message.trigger.clone()).collect();
    assert_eq!(triggers[0], triggers[1]);
}

#[test]
fn who_has_not_completed_costs_contributions_only_until_they_can_count_no_more() {
    let mut run = Run::new(Vec::new());
    let then = |id: &str| text(id, "day", &["first"], &bets(COUNT, 2)).replace("P60D", "P2D");
    define(
        &mut run,
        -240,
        &[("first", text("first", "once", &[], FIRST)), ("then", then("then")), ("too", then("too"))],
    );
    for day in 0..20 {
        close(&mut run, day * 24, vec![bet(&format!("b{day}"), day * 24)]);
        let (_, player) = run.players.groups.iter().flat_map(|group| group.players.iter()).next().unwrap();
        assert_eq!(player.occurrences.iter().count(), 0);
        let kept: usize = player.tracks.iter().map(|track| track.times_from(Timestamp::MIN).count()).sum();
        assert!(kept <= 5 && player.timeline.is_none(), "day {day}");
    }
}
