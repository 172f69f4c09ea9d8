//! Opt-ins and segments against recomputation: after every epoch, in any cutting, in any order of arrival.

use datasets::Money;
use datasets::hash::KEY_GROUPS;
use datasets::rows::CompletionKind;

use super::tests::{assert_same, completed};
use super::*;
use crate::definitions::DefinitionRecord;
use crate::testing::{
    Arrival, GATED, GateOracle, Input, LedgerOracle, Rng, Run, Spec, at, batch, cut, gated_definitions, interleave,
    random_script_with_controls, record, rules, seeds,
};

pub(super) const EVENTS: usize = 140;

/// Runs `arrivals` and compares with the recomputation after each.
pub(super) fn compare(specs: &'static [Spec], arrivals: &[Arrival], lateness_days: i64, name: &str) -> Run {
    let run = Run::new(gated_definitions(specs, lateness_days));
    compare_known(run, (specs, lateness_days), arrivals, name, |_, _| true)
}

/// The same of a `run` whose definitions come by and by: what was read tells whether a mission `is_known`.
pub(super) fn compare_known(
    mut run: Run,
    (specs, lateness_days): (&[Spec], i64),
    arrivals: &[Arrival],
    name: &str,
    is_known: impl Fn(&Run, &str) -> bool,
) -> Run {
    let mut ledger = LedgerOracle::new(rules().ledger);
    for (epoch, arrival) in arrivals.iter().enumerate() {
        run.step(arrival);
        ledger.epoch(&arrival.inputs, arrival.now);
        let known: Vec<Spec> = specs.iter().filter(|spec| is_known(&run, spec.id())).copied().collect();
        let expected = GateOracle { specs: &known, lateness_days }.standings(&ledger, &run.read);
        assert_eq!(run.live(), completed(&expected), "live completions of {name}, epoch {epoch}");
        for (occurrence, standing) in run.standings() {
            assert_eq!(Some(&standing), expected.get(&occurrence), "{occurrence:?} of {name}, epoch {epoch}");
        }
    }
    run
}

#[test]
fn agrees_with_recomputation_after_every_epoch() {
    let (mut completed, mut revoked) = (0, 0);
    for seed in seeds(60) {
        let mut rng = Rng(20_000 + seed);
        let script = random_script_with_controls(&mut rng, EVENTS, &GATED);
        let run = compare(&GATED, &cut(&mut rng, &script, 12), 60, &format!("seed {seed}"));
        completed += run.counters.completed;
        revoked += run.messages.iter().filter(|message| is_revoked_by_control(&run, message)).count();
    }
    assert!(completed > 400 && revoked >= 5, "{completed} completed, {revoked} revoked by control events");
}

fn is_revoked_by_control(run: &Run, message: &datasets::rows::CompletionRow) -> bool {
    let id = message.trigger.transaction_id.as_deref();
    message.kind == CompletionKind::MissionRevoked
        && run.read.iter().any(|input| Some(input.id.as_str()) == id && input.about.is_some())
}

#[test]
fn agrees_with_recomputation_when_events_come_too_late() {
    for seed in seeds(35) {
        let mut rng = Rng(21_000 + seed);
        let script = random_script_with_controls(&mut rng, EVENTS, &GATED);
        let run = compare(&GATED, &cut(&mut rng, &script, 1), 1, &format!("seed {seed}"));
        assert!(run.counters.late > 0, "seed {seed} has nothing late");
    }
}

#[test]
fn any_cutting_and_any_order_of_arrival_give_the_same_facts() {
    assert_any_order_gives_the_same_facts(22_000, &GATED, &gated_definitions(&GATED, 60));
}

/// What repeats or counts different values, behind gates: nobody else recomputes both, but each fold is compared with
/// that of its whole sequence after every event.
#[test]
fn gates_of_what_repeats_and_of_different_values_do_not_depend_on_the_order() {
    let mission = |id: &str, window: &str, eligibility: &str, rest: &str| {
        let text = format!(
            r#"{{"mission_id":"{id}","version":1,"status":"active","start":"{}","lateness":"P60D",
                "window":{{"every":"{window}"}},"eligibility":{eligibility},{rest}}}"#,
            at(-240),
        );
        (id.to_owned(), text)
    };
    let bets = |measure: &str, target: &str| {
        format!(r#""stages":[{{"on":["bet_placed","bet_settled"],"measure":{measure},"target":"{target}"}}]"#)
    };
    let (count, sum) = (r#"{"kind":"count"}"#, r#"{"kind":"sum","field":"amount"}"#);
    let (opt_in, vip) = (r#"{"opt_in":true}"#, r#"{"segments":["vip"]}"#);
    let values = |field: &str| format!(r#"{{"kind":"distinct","field":"{field}"}}"#);
    let again =
        |limit: u32, per: &str, carry: bool| format!(r#","repeat":{{"limit":{limit},"per":"{per}","carry":{carry}}}"#);
    let missions = [
        mission("a-opt-in", "week", opt_in, &(bets(count, "1") + &again(3, "day", false))),
        mission("b-reset", "day", opt_in, &(bets(sum, "4") + &again(3, "week", true))),
        mission("c-any", "once", r#"{"segments":["vip","gold"]}"#, &bets(&values("transaction_id"), "3")),
        mission("h-vip", "week", vip, &(bets(&values("game_type"), "2") + &again(2, "window", false))),
        mission("j-controls", "once", r#"{"opt_in":true,"segments":["gold"]}"#, &bets(&values("amount"), "2")),
    ];
    let definitions = missions.into_iter().zip(0..).map(|((id, text), offset)| record(&id, Some(text), -240, offset));
    let told = assert_any_order_gives_the_same_facts(23_000, &GATED, &definitions.collect::<Vec<_>>());
    let of = |mission: &str| told.iter().filter(|(id, _)| id == mission).count();
    assert!(["a-opt-in", "b-reset", "c-any", "h-vip", "j-controls"].map(of).iter().all(|count| *count > 4), "{told:?}");
    let again: std::collections::BTreeSet<_> =
        told.iter().filter(|(_, occurrence)| *occurrence > 1).map(|(id, _)| id).collect();
    assert!(again.len() >= 2, "{again:?}");
}

/// Answers the missions and occurrences that were told in straight order. Scripts have control events for `specs`.
pub(super) fn assert_any_order_gives_the_same_facts(
    seeds: u64,
    specs: &[Spec],
    definitions: &[DefinitionRecord],
) -> Vec<(String, u32)> {
    let mut told = Vec::new();
    for seed in 0..60 {
        let mut rng = Rng(seeds + seed);
        let script = random_script_with_controls(&mut rng, EVENTS, specs);
        let mut facts = |arrivals: &[Arrival], is_straight: bool| {
            let mut rules = rules();
            rules.ledger.ledger_retention *= 10;
            let mut run = Run::with(rules, definitions.to_vec());
            arrivals.iter().for_each(|arrival| {
                run.step(arrival);
            });
            if is_straight {
                told.extend(run.messages.iter().map(|message| (message.mission_id.clone(), message.occurrence)));
            }
            (run.live(), run.standings())
        };
        let expected = facts(&cut(&mut rng, &script, 1), true);
        for variant in 0..6 {
            let name = format!("seed {seed}, variant {variant}");
            let arrived = if variant == 0 { script.clone() } else { interleave(&mut rng, &script) };
            let longest = rng.pick(&[1, 5, 40, 1_000]);
            let (live, standings) = facts(&cut(&mut rng, &arrived, longest), false);
            assert_same(&standings, &expected.1, &|| name.clone());
            assert_eq!(live, expected.0, "{name}");
        }
    }
    told
}

impl Players {
    /// (occurrences, tracks, closings): what is kept of all players.
    fn kept(&self) -> (usize, usize, usize) {
        let players = || (0..KEY_GROUPS).flat_map(|group| self.groups[usize::from(group)].players.iter());
        let occurrences = players().map(|(_, player)| player.occurrences.iter().count()).sum();
        let tracks = players().map(|(_, player)| player.tracks.iter().count()).sum();
        (occurrences, tracks, self.closings.len())
    }

    fn timeline(&self, player: &str) -> Option<&Timeline> {
        let players = self.groups.iter().flat_map(|group| group.players.iter());
        players.into_iter().find(|(id, _)| &***id == player).and_then(|(_, known)| known.timeline.as_deref())
    }
}

/// Closes an epoch of these inputs at an hour.
pub(super) fn close(run: &mut Run, hours: i64, mut inputs: Vec<Input>) {
    for (input, offset) in inputs.iter_mut().zip(hours * 100..) {
        (input.at.offset, input.ingest_time) = (offset, at(hours));
    }
    run.close(Vec::new(), &batch(&inputs), (at(hours), at(hours)));
}

fn begun(eligibility: &str) -> Run {
    let mut run = Run::new(Vec::new());
    let text = |id: &str, target: u32| {
        format!(
            r#"{{"mission_id":"{id}","version":1,"status":"active","window":{{"every":"day"}},"lateness":"P2D","eligibility":{eligibility},
                "stages":[{{"on":["bet_placed"],"measure":{{"kind":"count"}},"target":"{target}"}}]}}"#
        )
    };
    let missions =
        (0..50).map(|number| record(&format!("m{number}"), Some(text(&format!("m{number}"), 2)), -24, number));
    run.close(missions.collect(), &[], (at(-24), at(-24)));
    run
}

fn control(name: &'static str, about: &'static str, id: &str, hours: i64) -> Input {
    Input { about: Some(about), ..Input::new(name, id, hours, "") }
}

#[test]
fn who_is_not_in_costs_its_contributions_once_until_they_can_count_no_more() {
    let mut run = begun(r#"{"opt_in":true}"#);
    for hour in 0..24 {
        close(&mut run, hour, vec![Input::new("bet_placed", &format!("b{hour}"), hour, "1")]);
    }
    assert_eq!(run.players.kept(), (0, 1, 1), "one track for fifty missions, and no progress");
    // One opt-in of one mission begins one occurrence.
    close(&mut run, 30, vec![control("opted_in", "m7", "i", 20)]);
    assert_eq!(run.players.kept(), (1, 1, 1), "both end in one hour");
    assert_eq!(run.messages.len(), 1);
    // The day ends at 24, is moved until 72, and a day of grace later nobody needs it.
    close(&mut run, 96, vec![]);
    assert_eq!(run.players.kept(), (1, 1, 1));
    close(&mut run, 98, vec![]);
    assert_eq!(run.players.kept(), (0, 0, 0));
}

#[test]
fn days_of_a_class_are_forgotten_one_after_the_other() {
    let mut run = begun(r#"{"segments":["vip"]}"#);
    for day in 0..20 {
        close(&mut run, day * 24, vec![Input::new("bet_placed", &format!("b{day}"), day * 24, "1")]);
        assert_eq!(run.players.kept(), (0, 1, 1), "day {day}");
        let (_, player) = run.players.groups.iter().flat_map(|group| group.players.iter()).next().unwrap();
        let track = player.tracks.iter().next().unwrap();
        assert!(track.times_from(Timestamp::MIN).count() <= 5, "day {day}");
    }
    close(&mut run, 24 * 30, vec![]);
    assert_eq!(run.players.kept(), (0, 0, 0));
}

#[test]
fn a_timeline_stays_small() {
    let mut run = begun(r#"{"segments":["vip"]}"#);
    let size = |run: &Run| run.players.timeline("p").map(|known| postcard::to_allocvec(known).unwrap().len());
    let mut sizes = Vec::new();
    for day in 0..40 {
        let inputs = ["vip", "gold"].map(|name| control("segment_entered", name, &format!("{name}{day}"), day * 24));
        close(&mut run, day * 24, inputs.to_vec());
        sizes.push(size(&run).unwrap());
    }
    assert!(sizes[30..].iter().all(|known| *known < 300), "{sizes:?}");
    close(
        &mut run,
        24 * 41,
        vec![Input::new("bet_placed", "a", 24 * 41, "1"), Input::new("bet_placed", "b", 24 * 41, "1")],
    );
    assert_eq!(run.messages.len(), 50, "it is still in");
    for (day, name) in (42..50).flat_map(|day| [(day, "vip"), (day, "gold")]) {
        close(&mut run, day * 24, vec![control("segment_left", name, &format!("{name}{day}"), day * 24 - 60 * 24)]);
        close(&mut run, day * 24 + 1, vec![control("segment_left", name, &format!("{name}-{day}"), day * 24)]);
    }
    assert!(size(&run).unwrap() < 300);
}

#[test]
fn what_came_too_late_stays_out_whatever_is_edited() {
    let text = |lateness: &str| {
        let stage = r#"{"on":["bet_placed"],"measure":{"kind":"count"},"target":"2"}"#;
        let text = format!(
            r#"{{"mission_id":"m","version":1,"status":"active","window":{{"every":"day"}},"lateness":"{lateness}",
                "eligibility":{{"opt_in":true}},"stages":[{stage}]}}"#
        );
        Some(text)
    };
    let mut run = Run::new(Vec::new());
    run.close(vec![record("m", text("PT1H"), -24, 0)], &[], (at(-24), at(-24)));
    let bets = ["a", "b", "c"].map(|id| Input::new("bet_placed", id, 5, "1"));
    close(&mut run, 1, vec![control("opted_in", "m", "i", 1)]);
    close(&mut run, 5, bets.to_vec());
    close(&mut run, 30, vec![control("opted_out", "m", "u", 2)]);
    let progress = |run: &Run| run.standings().into_values().map(|standing| standing.progress).collect::<Vec<_>>();
    assert_eq!((progress(&run), run.counters.late), (vec![Money::from_units(3)], 1));
    run.close(vec![record("m", text("P2D"), 31, 1)], &[], (at(31), at(31)));
    assert_eq!(progress(&run), [Money::from_units(3)]);
    // The next one comes in time, by the new lateness.
    close(&mut run, 32, vec![control("opted_out", "m", "v", 3)]);
    assert_eq!((run.standings().len(), run.live().len(), run.counters.late), (0, 0, 1));
}
