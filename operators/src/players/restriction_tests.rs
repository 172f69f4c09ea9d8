//! What leaves and what does not, against recomputation after every epoch.

use std::collections::BTreeMap;

use datasets::rows::{AuditKind, CompletionKind, CompletionRow};

use super::*;
use crate::changes::Position;
use crate::testing::{
    Input, RestrictionOracle, Rng, Run, batch, cut, interleave, random_script_with_restrictions,
    restricted_definitions, restricts,
};

const EVENTS: usize = 160;

impl Players {
    /// What is kept of completions that never leave is kept for occurrences that can still move.
    fn assert_nothing_forgotten_is_kept(&self) {
        for (_, player) in self.groups.iter().flat_map(|group| group.players.iter()) {
            let suppressed = player.restrictions.iter().flat_map(|restrictions| restrictions.suppressed());
            suppressed.for_each(|key| assert!(player.occurrences.get(key).is_some(), "{key:?} is forgotten"));
        }
    }
}

fn in_order<R>(mut rows: Vec<(Position, R)>) -> Vec<R> {
    rows.sort_by(|(a, _), (b, _)| a.cmp(b));
    rows.into_iter().map(|(_, row)| row).collect()
}

#[test]
fn agrees_with_recomputation_after_every_epoch() {
    let mut kinds: BTreeMap<(AuditKind, datasets::rows::Restriction), u64> = BTreeMap::new();
    let (mut released, mut silent, mut never_told, mut revoked) = (0, 0, 0, 0);
    for seed in 0..150 {
        let mut rng = Rng(40_000 + seed);
        let script = random_script_with_restrictions(&mut rng, EVENTS);
        let script = if rng.one_in(3) { interleave(&mut rng, &script) } else { script };
        let lateness_days = rng.pick(&[1, 60]);
        let longest = rng.pick(&[1, 4, 12]);
        let (mut run, mut free) = (Run::new(Vec::new()), Run::new(Vec::new()));
        let mut oracle = RestrictionOracle::default();
        let mut live: BTreeMap<String, bool> = BTreeMap::new();
        for (epoch, arrival) in cut(&mut rng, &script, longest).iter().enumerate() {
            let name = || format!("seed {seed}, epoch {epoch}");
            let definitions = if epoch == 0 { restricted_definitions(lateness_days) } else { Vec::new() };
            let clocks = (arrival.now, arrival.newest);
            let others: Vec<Input> = arrival.inputs.iter().filter(|input| !restricts(input)).cloned().collect();
            let changes = run.close(definitions.clone(), &batch(&arrival.inputs), clocks);
            let told = in_order(free.close(definitions, &batch(&others), clocks).completions);
            let (leaves, kept) = oracle.epoch(&arrival.inputs, arrival.now, told);
            let found: Vec<CompletionRow> = in_order(changes.completions);
            assert_eq!(found, leaves, "{}", name());
            let audit = in_order(changes.audit);
            let found: Vec<_> = audit.iter().map(|row| (row.kind, row.reason, row.until)).collect();
            assert_eq!(found, kept.iter().map(|(kind, reason, until, _)| (*kind, *reason, *until)).collect::<Vec<_>>());
            for (row, (.., would_be)) in audit.iter().zip(&kept) {
                let id =
                    |row: &CompletionRow| (row.completion_id.clone(), row.revision, row.completed_at, row.emitted_at);
                assert_eq!((row.completion_id.clone(), row.revision, row.completed_at, row.emitted_at), id(would_be));
                assert_eq!((&row.channels, &row.trigger), (&would_be.channels, &would_be.trigger));
                *kinds.entry((row.kind, row.reason)).or_default() += 1;
            }
            // Whoever pays and takes back by messages pays each completion at most once.
            for row in &leaves {
                let is_live = row.kind == CompletionKind::MissionCompleted;
                assert_ne!(live.insert(row.completion_id.clone(), is_live).unwrap_or(false), is_live, "{}", name());
                released += u64::from(is_live && row.emitted_at > row.completed_at && epoch > 0 && kept.is_empty());
            }
            run.players.assert_nothing_forgotten_is_kept();
        }
        let Run { counters, .. } = &run;
        let told = |run: &Run| (run.counters.completed + run.counters.suppressed, run.counters.revoked);
        assert!(told(&run).0 <= told(&free).0 && told(&run).1 <= told(&free).1, "seed {seed}");
        silent += free.counters.revoked - counters.revoked;
        revoked += counters.revoked;
        never_told += oracle.never_told();
    }
    println!("{kinds:?}; {released} released, {silent} silent, {revoked} revoked, {never_told} never told");
    assert!(kinds.len() == 6 && kinds.values().all(|count| *count > 50), "{kinds:?}");
    assert!(
        silent > 50 && revoked > 100 && never_told > 100 && released > 100,
        "{silent} {revoked} {never_told} {released}"
    );
}
