//! Against recomputation: after every epoch, in any cutting, in any order of arrival.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use datasets::Money;

use super::occurrences::OccurrenceKey;
use super::*;
use crate::definitions::DefinitionRecord;
use crate::testing::{
    Arrival, Input, LedgerOracle, MissionOracle, Occurrence, Rng, Run, Standing, at, batch, cut, definitions,
    interleave, random_script, record, rules, seeds, sums, sums_of_postings, value_rows,
};

impl Players {
    /// Where the players of `group` stand.
    pub(crate) fn standings(&self, group: &Group) -> Vec<(Occurrence, Standing)> {
        let mut standings = Vec::new();
        for (id, player) in group.players.all() {
            let mut player = player.into_owned();
            player.settle(&self.definitions);
            for (OccurrenceKey { slot, window, .. }, progress) in player.occurrences.iter() {
                let announced = progress.all_announced().into_iter().filter(|announced| announced.live);
                let standing = Standing {
                    completed_at: announced.map(|announced| announced.completed_at).collect(),
                    progress: progress.last_stage(self.definitions.history(slot)),
                };
                let mission = self.definitions.mission_id(slot).to_owned();
                standings.push(((id.to_string(), mission, window), standing));
            }
        }
        standings
    }
}

impl Players {
    /// Contributions that are in tallies.
    fn tallied(&self) -> u32 {
        let players = self.groups.iter().flat_map(|group| group.players.iter());
        players.flat_map(|(_, player)| player.tracks.iter()).map(|track| track.tally.count()).sum()
    }
}

const EVENTS: usize = 140;

/// Fails with what differs, and nothing else.
pub(super) fn assert_same<K: Ord + Clone + Debug, V: PartialEq + Debug>(
    left: &BTreeMap<K, V>,
    right: &BTreeMap<K, V>,
    what: &dyn Fn() -> String,
) {
    let keys: BTreeSet<&K> = left.keys().chain(right.keys()).collect();
    let differ: Vec<_> = keys.into_iter().filter(|key| left.get(*key) != right.get(*key)).collect();
    let differ: Vec<_> = differ.into_iter().map(|key| (key, left.get(key), right.get(key))).collect();
    assert!(differ.is_empty(), "{}: {differ:?}", what());
}

pub(super) fn completed(standings: &BTreeMap<Occurrence, Standing>) -> Vec<Occurrence> {
    let completed = standings.iter();
    completed.flat_map(|(occurrence, standing)| standing.completed_at.iter().map(|_| occurrence.clone())).collect()
}

/// Runs `arrivals` and compares with the recomputation after each.
fn compare(arrivals: &[Arrival], lateness_days: i64, name: &str) -> Run {
    let mut run = Run::new(definitions(lateness_days));
    let mut ledger = LedgerOracle::new(rules().ledger);
    let missions = MissionOracle { lateness_days };
    for (epoch, arrival) in arrivals.iter().enumerate() {
        run.step(arrival);
        ledger.epoch(&arrival.inputs, arrival.now);
        let facts = ledger.facts(&|_| true);
        let what = || format!("postings of {name}, epoch {epoch}");
        assert_same(&sums_of_postings(&run.postings), &sums(&facts), &what);
        let expected = missions.standings(&ledger, &run.read);
        assert_eq!(run.live(), completed(&expected), "live completions of {name}, epoch {epoch}");
        for (occurrence, standing) in run.standings() {
            assert_eq!(Some(&standing), expected.get(&occurrence), "{occurrence:?} of {name}, epoch {epoch}");
        }
    }
    assert_eq!(run.counters.duplicates, ledger.duplicates, "{name}");
    let conflicts = run.counters.dead_letters.get(&datasets::Reason::IdempotencyConflict);
    assert_eq!(conflicts.copied().unwrap_or(0), ledger.conflicts, "{name}");
    run
}

#[test]
fn agrees_with_recomputation_after_every_epoch() {
    let mut again = BTreeSet::new();
    for seed in seeds(75) {
        let mut rng = Rng(seed);
        let script = random_script(&mut rng, EVENTS);
        let arrivals = cut(&mut rng, &script, 12);
        let run = compare(&arrivals, 60, &format!("seed {seed}"));
        again.extend(
            run.messages.into_iter().filter(|message| message.occurrence > 1).map(|message| message.mission_id),
        );
    }
    assert_eq!(again.len(), 8, "each mission that repeats does: {again:?}");
}

#[test]
fn agrees_with_recomputation_when_events_come_too_late() {
    for seed in seeds(30) {
        let mut rng = Rng(1_000 + seed);
        let script = random_script(&mut rng, EVENTS);
        // One by one: a late reversal that claims to be older than its bet would else come first.
        let arrivals = cut(&mut rng, &script, 1);
        let run = compare(&arrivals, 1, &format!("seed {seed}"));
        assert!(run.counters.late > 0, "seed {seed} has nothing late");
    }
}

#[test]
fn any_cutting_and_any_order_of_arrival_give_the_same_facts() {
    for seed in 0..60 {
        let mut rng = Rng(2_000 + seed);
        let script = random_script(&mut rng, EVENTS);
        let facts = |arrivals: &[Arrival], name: &str| {
            // `expired_reference` is said at once, of what is known by then: a decision that sticks.
            let mut rules = rules();
            rules.ledger.ledger_retention *= 10;
            // Nothing is late: a window is moved by what is ingested in its time, and a reversal that is late for
            // it can hide one that is not, so beyond the lateness the order of arrival counts.
            let mut run = Run::with(rules, definitions(60));
            arrivals.iter().for_each(|arrival| {
                run.step(arrival);
            });
            let counted = (run.counters.accepted, run.counters.duplicates, run.counters.already_reversed);
            assert!(counted.0 > 0 && run.counters.late == 0, "{name}");
            (run.live(), run.standings(), value_rows(&run.rows))
        };
        let straight = cut(&mut rng, &script, 1);
        let expected = facts(&straight, "straight");
        for variant in 0..6 {
            let name = format!("seed {seed}, variant {variant}");
            let arrived = if variant == 0 { script.clone() } else { interleave(&mut rng, &script) };
            let longest = rng.pick(&[1, 5, 40, 1_000]);
            let arrivals = cut(&mut rng, &arrived, longest);
            let (live, standings, rows) = facts(&arrivals, &name);
            assert_same(&rows, &expected.2, &|| name.clone());
            assert_same(&standings, &expected.1, &|| name.clone());
            assert_eq!(live, expected.0, "{name}");
        }
    }
}

/// Runs epochs of (definitions, inputs) and answers the run.
fn epochs(parts: Vec<(Vec<DefinitionRecord>, Vec<Input>)>) -> Run {
    let mut run = Run::new(Vec::new());
    for ((definitions, mut inputs), offset) in parts.into_iter().zip(0..) {
        inputs.iter_mut().for_each(|input| input.at.offset = offset);
        let clock = inputs.iter().map(|input| input.ingest_time).max().unwrap_or(at(0));
        run.close(definitions, &batch(&inputs), (clock, clock));
    }
    run
}

fn defined(rest: &str, hours: i64) -> DefinitionRecord {
    let text = format!(
        r#"{{"mission_id":"m","version":1,"name":"m","status":"active","start":"{}","lateness":"P60D",{rest}}}"#,
        at(-240)
    );
    record("m", Some(text), hours, hours + 1000)
}

fn progress_of(run: &Run) -> Vec<Money> {
    run.standings().into_values().map(|standing| standing.progress).collect()
}

#[test]
fn an_edit_of_the_window_keeps_what_the_same_start_holds() {
    let bets = r#""stages":[{"on":["bet_placed"],"measure":{"kind":"count"},"target":"3"}]"#;
    let day = defined(&format!(r#""window":{{"every":"day","zone":"UTC"}},{bets}"#), -240);
    let week = defined(&format!(r#""window":{{"every":"week","zone":"UTC"}},{bets}"#), 48);
    let bet = |id: &str, hours| vec![Input::new("bet_placed", id, hours, "1")];
    let run = epochs(vec![
        (vec![day], bet("a", 1)),
        (vec![week], bet("b", 73)),
        (vec![], bet("c", 74)),
        (vec![], bet("d", 75)),
    ]);
    assert_eq!(run.live().len(), 1);
    assert_eq!(run.messages[0].completed_at, at(74));
    assert_eq!(progress_of(&run), [Money::from_units(4)]);
}

#[test]
fn what_enters_again_after_an_edit_counts_once() {
    let sum = |target| {
        format!(r#""stages":[{{"on":["deposit"],"measure":{{"kind":"sum","field":"amount"}},"target":"{target}"}}]"#)
    };
    let reversal = |id, of, family, hours| vec![Input::reversal(id, of, family, hours)];
    // Read before the edit, though it counts after it.
    let deposit = Input { ingest_time: at(0), ..Input::new("deposit", "t", 2, "60").status("approved") };
    let run = epochs(vec![
        (vec![defined(&sum(130), -240)], vec![deposit]),
        (vec![defined(&sum(120), 1)], reversal("r1", "t", "deposit", 3)),
        (vec![], reversal("r2", "r1", "reversal", 4)),
        (vec![defined(&sum(115), 5)], vec![]),
    ]);
    assert_eq!(progress_of(&run), [Money::from_units(60)]);
    assert_eq!(run.messages, []);
}

/// Bets at these hours, each in an epoch of its own.
fn bets_at(hours: std::ops::RangeInclusive<i64>) -> Vec<(Vec<DefinitionRecord>, Vec<Input>)> {
    const IDS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let bet = |hour: i64| vec![Input::new("bet_placed", IDS[usize::try_from(hour).unwrap()], hour, "1")];
    hours.map(|hour| (vec![], bet(hour))).collect()
}

fn counting(target: u32, hours: i64) -> DefinitionRecord {
    let stages = r#""stages":[{"on":["bet_placed"],"measure":{"kind":"count"}"#;
    defined(&format!(r#"{stages},"target":"{target}"}}]"#), hours)
}

#[test]
fn what_only_adds_is_added_to_a_tally() {
    let mut parts = vec![(vec![counting(9, -240)], vec![])];
    parts.extend(bets_at(1..=4));
    let run = epochs(parts);
    // The first began the occurrence.
    assert_eq!(run.players.tallied(), 3);
    assert_eq!(progress_of(&run), [Money::from_units(4)]);
    assert_eq!(run.messages, []);
}

#[test]
fn a_tally_stays_below_every_target() {
    let mut parts = vec![(vec![counting(4, -240)], vec![])];
    parts.extend(bets_at(1..=6));
    let run = epochs(parts);
    assert_eq!(run.messages.iter().map(|message| message.completed_at).collect::<Vec<_>>(), [at(4)]);
    assert_eq!(progress_of(&run), [Money::from_units(6)]);
}

#[test]
fn a_lower_target_finds_what_a_tally_holds() {
    let mut parts = vec![(vec![counting(9, -240)], vec![])];
    parts.extend(bets_at(1..=4));
    parts.push((vec![counting(3, 5)], vec![]));
    parts.extend(bets_at(6..=7));
    let run = epochs(parts);
    assert_eq!(run.messages.iter().map(|message| message.completed_at).collect::<Vec<_>>(), [at(5)]);
    assert_eq!(progress_of(&run), [Money::from_units(6)]);
}

#[test]
fn a_correction_finds_what_a_tally_holds() {
    let mut parts = vec![(vec![counting(5, -240)], vec![])];
    parts.extend(bets_at(1..=4));
    parts.push((vec![], vec![Input::reversal("r", "b", "bet", 5)]));
    parts.extend(bets_at(6..=9));
    // What decided lies behind it: an earlier bet moves the completion.
    parts.push((vec![], vec![Input { ingest_time: at(10), ..Input::new("bet_placed", "x", 2, "1") }]));
    parts.push((vec![], vec![Input::reversal("s", "x", "bet", 11)]));
    parts.push((vec![], vec![Input::reversal("t", "c", "bet", 11), Input::reversal("u", "d", "bet", 11)]));
    parts.push((vec![], vec![Input::reversal("v", "e", "bet", 11)]));
    let run = epochs(parts);
    let told: Vec<_> = run.messages.iter().map(|message| (message.kind, message.completed_at)).collect();
    use datasets::rows::CompletionKind::{MissionCompleted, MissionRevoked};
    // Two of the six that were left move it to the fifth of those, then the fourth is not enough.
    assert_eq!(told, [(MissionCompleted, at(7)), (MissionRevoked, at(9))]);
    assert_eq!(progress_of(&run), [Money::from_units(4)]);
}

#[test]
fn a_tally_of_an_older_version_knows_what_a_newer_one_decided() {
    let stages = r#""stages":[{"on":["bet_placed"],"measure":{"kind":"sum","field":"amount"},"target":"4"}]"#;
    let late = |id: &str, hours, amount| {
        (vec![], vec![Input { ingest_time: at(9), ..Input::new("bet_placed", id, hours, amount) }])
    };
    let mut parts = vec![(vec![defined(stages, -240)], vec![])];
    parts.extend(bets_at(1..=2));
    parts.push((vec![defined(stages, 6)], vec![]));
    parts.extend(bets_at(7..=8));
    // Nothing moves the completion at 8, so that there is a tally again; then one moves it to 7, and one to 5.
    parts.extend([late("x", 3, "0"), late("y", 4, "1"), late("z", 5, "1")]);
    let run = epochs(parts);
    let completed: Vec<_> = run.standings().into_values().map(|standing| standing.completed_at).collect();
    assert_eq!(completed, [[at(5)]]);
    assert_eq!(progress_of(&run), [Money::from_units(6)]);
}

#[test]
fn an_earlier_stage_reached_earlier_is_seen_behind_a_correction() {
    let stages = r#""stages":[{"on":["bet_placed"],"measure":{"kind":"count"},"target":"1"},
        {"on":["adjustment"],"measure":{"kind":"count"},"target":"1"}]"#;
    let run = epochs(vec![
        (vec![defined(stages, -240)], vec![Input::new("adjustment", "d", 2, "1")]),
        (vec![], vec![Input::new("bet_placed", "e", 3, "1")]),
        (vec![], vec![Input::new("adjustment", "x", 4, "1")]),
        (vec![], vec![Input::reversal("r", "x", "adjustment", 5)]),
        (vec![], vec![Input { ingest_time: at(6), ..Input::new("bet_placed", "y", 1, "1") }]),
    ]);
    let told: Vec<_> = run.messages.iter().map(|message| (message.revision, message.completed_at)).collect();
    assert_eq!(told, [(1, at(4)), (1, at(4)), (2, at(2))]);
}

/// Counts bets, completing again.
fn repeating(target: u32, limit: u32, hours: i64) -> DefinitionRecord {
    let stages = r#""stages":[{"on":["bet_placed"],"measure":{"kind":"count"}"#;
    defined(&format!(r#""repeat":{{"limit":{limit}}},{stages},"target":"{target}"}}]"#), hours)
}

fn told(run: &Run) -> Vec<(bool, u32, u32)> {
    use datasets::rows::CompletionKind::MissionCompleted;
    run.messages
        .iter()
        .map(|message| (message.kind == MissionCompleted, message.occurrence, message.revision))
        .collect()
}

#[test]
fn an_edit_keeps_every_completion_that_stands() {
    let reverse = |id, of, hours| (vec![], vec![Input::reversal(id, of, "bet", hours)]);
    let mut parts = vec![(vec![repeating(1, 3, -240)], vec![])];
    parts.extend(bets_at(1..=3));
    // By the new version one completion of two bets: the three that stand keep their own limit and target.
    parts.push((vec![repeating(2, 1, 4)], vec![]));
    parts.extend(bets_at(5..=5));
    // Four bets are left, then three, two and one.
    parts.extend([reverse("r", "b", 6), reverse("s", "c", 7), reverse("t", "d", 8)]);
    let run = epochs(parts.clone());
    let completed = [(true, 1, 1), (true, 2, 1), (true, 3, 1)];
    assert_eq!(told(&run), [&completed[..], &[(false, 3, 1), (false, 2, 1)]].concat());
    // What was revoked is completed again by the new version's rules: never.
    parts.extend(bets_at(9..=11));
    assert_eq!(told(&epochs(parts)).len(), 5);
}

#[test]
fn a_raised_limit_completes_at_once_what_was_reached() {
    let mut parts = vec![(vec![counting(2, -240)], vec![])];
    parts.extend(bets_at(1..=7));
    parts.push((vec![repeating(2, 2, 8)], vec![]));
    parts.push((vec![repeating(2, 9, 9)], vec![]));
    let run = epochs(parts);
    assert_eq!(told(&run), [(true, 1, 1), (true, 2, 1), (true, 3, 1)]);
    let times: Vec<_> = run.messages.iter().map(|message| message.completed_at).collect();
    assert_eq!(times, [at(2), at(8), at(9)]);
    let mut ids: Vec<_> = run.messages.iter().map(|message| &message.completion_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "each occurrence has an id of its own");
}

/// A day is forgotten only when no other day of its month can move: the limit is of the month.
#[test]
fn windows_that_share_a_limit_are_kept_together() {
    let stages = r#""stages":[{"on":["bet_placed"],"measure":{"kind":"count"},"target":"1"}]"#;
    let daily = format!(
        r#"{{"mission_id":"m","version":1,"status":"active","start":"{}","lateness":"P1D","window":{{"every":"day"}},
            "repeat":{{"limit":2,"per":"month"}},{stages}}}"#,
        at(-240)
    );
    let days = |days: i64| 24 * days;
    let bet = |id: &str, day: i64| (vec![], vec![Input::new("bet_placed", id, days(day), "1")]);
    let run = epochs(vec![
        (vec![record("m", Some(daily), -240, 0)], vec![]),
        bet("a", 1),
        bet("b", 10),
        bet("c", 20),
        bet("d", 30),
        // Days of which the day before is long past.
        bet("e", 33),
        bet("f", 34),
    ]);
    let times: Vec<_> = run.messages.iter().map(|message| message.completed_at).collect();
    assert_eq!(times, [at(days(1)), at(days(10)), at(days(30)), at(days(33))]);
}
