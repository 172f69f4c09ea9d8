//! State that is written as it goes, and read again after a crash, is the state.

mod entities;
mod formats;
mod money;

use datasets::Timestamp;
use datasets::hash::{KeyGroup, player_hash};

use crate::activity::{Reporting, cold_answers as cold_rows};
use crate::definitions::DefinitionRecord;
use crate::ledger::{Attribution, LedgerRules, cold_answers};
use crate::snapshot::ColdRules;
use crate::testing::{
    Archived, Arrival, CONTESTED, Cluster, EARLIER, EpochInput, GATED, GROUPED, MIXED, Out, PERIODS, RESETTING, Rng,
    Setting, Spec, TierSpec, UNLOCKING, arrived, at, contested_earlier, cut, definitions, earlier_definitions,
    earlier_definitions_with_drafts, gated_definitions, groups, random_script, random_script_of_many,
    random_script_with_controls, random_script_with_rates, random_script_with_restrictions,
    random_script_with_settlements, rated_definitions, record, restricted_definitions, rules, seeds,
};

/// `arrivals` as epochs, with each definition before the first event of its time.
fn epochs(arrivals: Vec<Arrival>, mut waiting: Vec<DefinitionRecord>) -> Vec<EpochInput> {
    waiting.sort_by_key(|record| record.ingest_time);
    let epochs = arrivals.into_iter().map(|mut arrival| {
        // The clock of a pipeline begins in 1970.
        arrival.now = arrival.now.max(Timestamp::default());
        let latest = arrival.inputs.iter().map(|input| input.event_time).max();
        let due = waiting.iter().take_while(|record| Some(record.ingest_time) <= latest).count();
        EpochInput { definitions: waiting.drain(..due).collect(), arrival }
    });
    epochs.collect()
}

/// A mission whose end and lateness are edited back and forth, so that what is kept of it is nearly forgotten.
fn edits(rng: &mut Rng) -> Vec<DefinitionRecord> {
    let versions = (0..6).map(|version: i64| {
        let hours = version * 100 + rng.below(60);
        let end = match rng.below(3) {
            0 => String::new(),
            _ => format!(r#""end":"{}","#, at(hours + rng.below(48))),
        };
        let lateness = rng.below(3);
        let target = rng.pick(&["3", "5"]);
        let text = format!(
            r#"{{"mission_id":"z-edited","version":{version},"name":"z","status":"active","start":"{}",{end}"lateness":"P{lateness}D",
                "stages":[{{"on":["bet_placed"],"measure":{{"kind":"count"}},"target":"{target}"}}]}}"#,
            at(-240)
        );
        record("z-edited", Some(text), hours, 5_000 + version)
    });
    versions.collect()
}

/// What `log` puts out when nothing happens to it.
fn straight(log: &[EpochInput], setting: &Setting) -> Vec<Out> {
    let hot = Setting { cold: None, ..setting.clone() };
    let mut cluster = Cluster::restore(1, &Archived::new(), &[], &hot);
    log.iter().map(|epoch| cluster.close(epoch)).collect()
}

/// Runs `log` with crashes, and compares what every epoch puts out that no restored state knows. Answers how
/// many lives went on from what was written.
fn compare(rng: &mut Rng, log: &[EpochInput], setting: &Setting, name: &str) -> usize {
    let expected = straight(log, setting);
    let mut archived = Archived::new();
    let mut lives = 0;
    let mut reached = 0;
    while reached < log.len() {
        let workers = rng.pick(&[1, 2, 4]);
        let mut cluster = Cluster::restore(workers, &archived, log, setting);
        lives += usize::from(cluster.next() > 0);
        let known = archived.values().map(|written| written.epoch).max();
        let known = known.filter(|_| cluster.next() > 0);
        // Some of what was written is lost with the life that wrote it: it was in no manifest.
        let lost = rng.one_in(3);
        let before = archived.clone();
        loop {
            let Some(number) = usize::try_from(cluster.next()).ok().filter(|next| *next < log.len()) else {
                reached = log.len();
                break;
            };
            let out = cluster.close(&log[number]);
            if known.is_none_or(|known| u64::try_from(number).unwrap() > known) {
                out.assert_is(&expected[number], &format!("epoch {number} of {name}"));
            }
            reached = reached.max(number + 1);
            // Nothing is written before the log has been followed to its end.
            let is_new = number + 1 == reached;
            for group in groups().into_iter().filter(|_| is_new) {
                if rng.one_in(3) {
                    cluster.write(group, &mut archived);
                }
            }
            if is_new && rng.one_in(12) {
                break;
            }
        }
        if lost {
            archived = before;
        }
    }
    lives
}

#[test]
fn a_crash_changes_nothing_of_gates() {
    assert_a_crash_changes_nothing_of(&GATED, 9_000);
}

#[test]
fn a_crash_changes_nothing_of_what_is_unlocked() {
    assert_a_crash_changes_nothing_of(&UNLOCKING, 11_000);
}

#[test]
fn a_crash_changes_nothing_of_what_starts_anew() {
    assert_a_crash_changes_nothing_of(&RESETTING, 13_000);
}

#[test]
fn a_crash_changes_nothing_of_groups() {
    assert_a_crash_changes_nothing_of(&GROUPED, 12_000);
}

#[test]
fn a_crash_changes_nothing_of_what_is_contested() {
    assert_a_crash_changes_nothing_of(&CONTESTED, 15_000);
}

#[test]
fn a_crash_changes_nothing_of_what_is_retained() {
    let definitions = |lateness_days| earlier_definitions(&EARLIER, lateness_days);
    assert_a_crash_changes_nothing(&GATED[..1], 16_000, definitions, RETAINED_DAYS);
    let specs = contested_earlier();
    let definitions = |lateness_days| earlier_definitions_with_drafts(&specs, lateness_days);
    assert_a_crash_changes_nothing(&specs, 17_000, definitions, RETAINED_DAYS);
}

/// What is not retained for long enough is refused.
const RETAINED_DAYS: &[i64] = &[3, 8, 40];

fn assert_a_crash_changes_nothing_of(specs: &[Spec], seeds: u64) {
    assert_a_crash_changes_nothing(specs, seeds, |lateness_days| gated_definitions(specs, lateness_days), &[0]);
}

fn assert_a_crash_changes_nothing(
    controlled: &[Spec],
    seeds: u64,
    definitions: impl Fn(i64) -> Vec<DefinitionRecord>,
    retained_days: &[i64],
) {
    let mut lives = 0;
    for seed in 0..100 {
        let mut rng = Rng(seeds + seed);
        let script = random_script_with_controls(&mut rng, 140, controlled);
        let script = arrived(&mut rng, script);
        let longest = rng.pick(&[1, 4, 12]);
        let lateness_days = rng.pick(&[1, 60]);
        let log = epochs(cut(&mut rng, &script, longest), definitions(lateness_days));
        let retained_micros = rng.pick(retained_days) * 86_400_000_000;
        let setting = Setting { retained_micros, ..Setting::new(Reporting::EveryEpoch) };
        lives += compare(&mut rng, &log, &setting, &format!("seed {seed}"));
    }
    assert!(lives > 200, "only {lives} lives went on from what was written");
}

#[test]
fn a_crash_changes_nothing_of_restrictions() {
    let mut lives = 0;
    for seed in 0..100 {
        let mut rng = Rng(11_000 + seed);
        let script = random_script_with_restrictions(&mut rng, 140);
        let script = arrived(&mut rng, script);
        let longest = rng.pick(&[1, 4, 12]);
        let lateness_days = rng.pick(&[1, 60]);
        let log = epochs(cut(&mut rng, &script, longest), restricted_definitions(lateness_days));
        lives += compare(&mut rng, &log, &Setting::new(Reporting::EveryEpoch), &format!("seed {seed}"));
    }
    assert!(lives > 200, "only {lives} lives went on from what was written");
}

#[test]
fn a_crash_changes_nothing_of_tiers() {
    let mut lives = 0;
    for seed in 0..150 {
        let mut rng = Rng(14_000 + seed);
        let script = random_script(&mut rng, 140);
        let script = arrived(&mut rng, script);
        let longest = rng.pick(&[1, 4, 12]);
        let log = epochs(cut(&mut rng, &script, longest), definitions(rng.pick(&[1, 60])));
        let tiers: &'static [TierSpec] = rng.pick(&[&MIXED[..], &PERIODS, &PERIODS]);
        let setting = Setting { tiers, ..Setting::new(Reporting::EveryEpoch) };
        lives += compare(&mut rng, &log, &setting, &format!("seed {seed}"));
    }
    assert!(lives > 200, "only {lives} lives went on from what was written");
}

#[test]
fn a_crash_changes_nothing_of_what_waits_for_a_rate() {
    let mut lives = 0;
    for seed in 0..100 {
        let mut rng = Rng(9_500 + seed);
        let script = random_script_with_rates(&mut rng, 140);
        let script = arrived(&mut rng, script);
        let longest = rng.pick(&[1, 4, 12]);
        let log = epochs(cut(&mut rng, &script, longest), rated_definitions(rng.pick(&[1, 60])));
        let ledger = if rng.one_in(2) { rules().ledger } else { short(&mut rng) };
        let setting = Setting { ledger, ..Setting::new(Reporting::EveryEpoch) };
        lives += compare(&mut rng, &log, &setting, &format!("seed {seed}"));
    }
    assert!(lives > 200, "only {lives} lives went on from what was written");
}

#[test]
fn a_crash_changes_nothing() {
    let mut lives = 0;
    for seed in 0..150 {
        let mut rng = Rng(7_000 + seed);
        let script = random_script(&mut rng, 140);
        let script = arrived(&mut rng, script);
        let longest = rng.pick(&[1, 4, 12]);
        let lateness_days = rng.pick(&[1, 60]);
        let missions = definitions(lateness_days).into_iter().chain(edits(&mut rng)).collect();
        let log = epochs(cut(&mut rng, &script, longest), missions);
        let reporting = rng.pick(&[Reporting::EveryEpoch, Reporting::Interval(90 * 60_000_000)]);
        lives += compare(&mut rng, &log, &Setting::new(reporting), &format!("seed {seed}"));
    }
    assert!(lives > 300, "only {lives} lives went on from what was written");
}

/// Groups of so many transactions that sections are cut, and restarts within a time round.
#[test]
fn a_crash_changes_nothing_of_large_groups() {
    let mut rng = Rng(5);
    let script = random_script_of_many(&mut rng, 9_000);
    let log = epochs(cut(&mut rng, &script, 60), definitions(60));
    let day = 86_400_000_000;
    let forgetting = LedgerRules { identity_retention: 4 * day, ledger_retention: 10 * day, ..rules().ledger };
    let cold = Some(ColdRules { after_hours: 24, every_hours: 7, least_rows: 1 });
    for (ledger, bytes_at_once, cold) in [
        (rules().ledger, usize::MAX, None),
        (forgetting.clone(), 1, None),
        (rules().ledger, 4_000, cold),
        (forgetting, 1, cold),
    ] {
        let setting = Setting { ledger, bytes_at_once, cold, ..Setting::new(Reporting::EveryEpoch) };
        let (restarts, cut, unfinished) = restart_again_and_again(&log, &setting);
        assert!(cut > 5 && restarts > 6, "{cut} sections were cut, {restarts} lives");
        assert_eq!(unfinished > 20, bytes_at_once < usize::MAX, "{unfinished} turns went on later");
    }
}

/// One group with a hundred players, so that what restarts read lies in other places than where it was.
#[test]
fn a_crash_changes_nothing_of_a_group_of_many() {
    let mut rng = Rng(6);
    let group = KeyGroup::of(player_hash("p"));
    let names = (0..).map(|number| format!("p{number}")).filter(|name| KeyGroup::of(player_hash(name)) == group);
    let names: Vec<&'static str> = names.take(100).map(|name| &*name.leak()).collect();
    let mut script = random_script_of_many(&mut rng, 4_000);
    for input in &mut script {
        // Who names a transaction is its player.
        let id = input.reference.as_ref().unwrap_or(&input.id);
        input.player = names[usize::try_from(player_hash(id) % 100).unwrap()];
    }
    let log = epochs(cut(&mut rng, &script, 40), definitions(60));
    let day = 86_400_000_000;
    let settled = LedgerRules { attribution: Attribution::Settlement, ..rules().ledger };
    let forgetting = LedgerRules { identity_retention: 4 * day, ledger_retention: 10 * day, ..settled.clone() };
    for (ledger, bytes_at_once, tiers) in [(settled, usize::MAX, &[][..]), (forgetting, 1, &PERIODS)] {
        let reporting = Reporting::Interval(90 * 60_000_000);
        let setting = Setting { ledger, bytes_at_once, tiers, ..Setting::new(reporting) };
        let (restarts, ..) = restart_again_and_again(&log, &setting);
        assert!(restarts > 6, "{restarts} lives");
    }
}

/// Lives of a seventh of `log` each, written now for a long time not and now behind every epoch, put out what one life does. Answers how
/// many there were, how many sections of theirs were cut, and how many were not written at once.
fn restart_again_and_again(log: &[EpochInput], setting: &Setting) -> (usize, usize, usize) {
    let expected = straight(log, setting);
    let (mut archived, mut cut, mut unfinished) = (Archived::new(), 0, 0);
    let (mut restarts, mut reached) = (0, 0);
    while reached < log.len() {
        let mut cluster = Cluster::restore([1, 4, 2][restarts % 3], &archived, log, setting);
        restarts += 1;
        let begin = usize::try_from(cluster.next()).unwrap();
        let end = log.len().min(reached + log.len() / 7);
        for (number, epoch) in log.iter().enumerate().take(end).skip(begin) {
            let out = cluster.close(epoch);
            if number < reached {
                continue;
            }
            out.assert_is(&expected[number], &format!("epoch {number}"));
            if number % 40 < 15 || number % 40 == 39 {
                groups().into_iter().for_each(|group| cluster.write(group, &mut archived));
                cut += archived.values().filter(|written| written.cuts).count();
            }
        }
        reached = end;
        unfinished += cluster.unfinished;
    }
    (restarts, cut, unfinished)
}

/// Times within which a script of a month forgets, and uses ids again.
fn short(rng: &mut Rng) -> LedgerRules {
    let day = 86_400_000_000;
    LedgerRules {
        identity_retention: rng.pick(&[0, day / 2, 4 * day]),
        ledger_retention: rng.pick(&[day, 5 * day]),
        ..rules().ledger
    }
}

#[test]
fn a_crash_changes_nothing_of_stakes_that_are_settled() {
    let mut lives = 0;
    for seed in 0..200 {
        let mut rng = Rng(40_000 + seed);
        let script = random_script_with_settlements(&mut rng, 140);
        let script = arrived(&mut rng, script);
        let longest = rng.pick(&[1, 4, 12]);
        let log = epochs(cut(&mut rng, &script, longest), Vec::new());
        let ledger = if rng.one_in(3) { rules().ledger } else { short(&mut rng) };
        let ledger = LedgerRules { attribution: Attribution::Settlement, ..ledger };
        let cold = rng.one_in(2).then(|| ColdRules {
            after_hours: rng.pick(&[-1_000_000, 5, 48]),
            every_hours: 7,
            least_rows: 1,
        });
        let setting = Setting { ledger, cold, ..Setting::new(Reporting::EveryEpoch) };
        lives += compare(&mut rng, &log, &setting, &format!("seed {seed} with {cold:?}"));
    }
    assert!(lives > 400, "only {lives} lives went on from what was written");
}

#[test]
fn what_is_cold_changes_nothing() {
    let (mut lives, before, rows_before) = (0, cold_answers(), cold_rows());
    for seed in seeds(160) {
        let mut rng = Rng(90_000 + seed);
        let script = random_script(&mut rng, 140);
        let script = arrived(&mut rng, script);
        let missions = definitions(rng.pick(&[1, 60])).into_iter().chain(edits(&mut rng)).collect();
        let longest = rng.pick(&[1, 4, 12]);
        let log = epochs(cut(&mut rng, &script, longest), missions);
        // From everything at once, the newest too, to the usual.
        let cold = [(-1_000_000, 1), (0, 1), (5, 7), (24, 24), (48, 24)];
        let (after_hours, every_hours) = rng.pick(&cold);
        let ledger = if rng.one_in(3) { rules().ledger } else { short(&mut rng) };
        let cold = Some(ColdRules { after_hours, every_hours, least_rows: 1 });
        let setting = Setting { ledger, cold, ..Setting::new(Reporting::EveryEpoch) };
        lives += compare(&mut rng, &log, &setting, &format!("seed {seed} with {cold:?}"));
    }
    assert!(lives > 320, "only {lives} lives went on from what was written");
    let answers = cold_answers() - before;
    assert!(answers > 800, "only {answers} answers came from cold transactions");
    let rows = cold_rows() - rows_before;
    assert!(rows > 800, "only {rows} rows came back");
}

#[test]
fn groups_have_one_player_each() {
    let mut all: Vec<KeyGroup> = groups();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), groups().len(), "tests write them one by one");
}
