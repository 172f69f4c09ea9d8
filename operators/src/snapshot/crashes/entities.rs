//! The same of an operator's feed.

use super::{compare, epochs, short};
use crate::activity::Reporting;
use crate::snapshot::ColdRules;
use crate::testing::{Rng, Setting, arrived, cut, random_script_with_entities, rules};

#[test]
fn a_crash_changes_nothing_of_entities() {
    let mut lives = 0;
    for seed in 0..150 {
        let mut rng = Rng(17_000 + seed);
        let script = random_script_with_entities(&mut rng, 140);
        let script = arrived(&mut rng, script);
        let longest = rng.pick(&[1, 4, 12]);
        let log = epochs(cut(&mut rng, &script, longest), Vec::new());
        let ledger = if rng.one_in(3) { rules().ledger } else { short(&mut rng) };
        let cold = rng.one_in(2).then(|| ColdRules {
            after_hours: rng.pick(&[-1_000_000, 5, 48]),
            every_hours: 7,
            least_rows: 1,
        });
        let setting = Setting { ledger, cold, has_feed: true, ..Setting::new(Reporting::EveryEpoch) };
        lives += compare(&mut rng, &log, &setting, &format!("seed {seed} with {cold:?}"));
    }
    assert!(lives > 300, "only {lives} lives went on from what was written");
}
