//! Jackpots and chargebacks.

use super::*;
use crate::testing::random_script_with_money;

#[test]
fn a_crash_changes_nothing_of_jackpots_and_chargebacks() {
    let mut lives = 0;
    for seed in 0..100 {
        let mut rng = Rng(60_000 + seed);
        let script = random_script_with_money(&mut rng, 140);
        let script = arrived(&mut rng, script);
        let longest = rng.pick(&[1, 4, 12]);
        let log = epochs(cut(&mut rng, &script, longest), Vec::new());
        let ledger = if rng.one_in(3) { rules().ledger } else { short(&mut rng) };
        let attribution = rng.pick(&[Attribution::Transaction, Attribution::Settlement]);
        let ledger = LedgerRules { attribution, ..ledger };
        let cold = rng.one_in(2).then(|| ColdRules {
            after_hours: rng.pick(&[-1_000_000, 5, 48]),
            every_hours: 7,
            least_rows: 1,
        });
        let reporting = rng.pick(&[Reporting::EveryEpoch, Reporting::Interval(90 * 60_000_000)]);
        let setting = Setting { ledger, cold, ..Setting::new(reporting) };
        lives += compare(&mut rng, &log, &setting, &format!("seed {seed} with {cold:?}"));
    }
    assert!(lives > 200, "only {lives} lives went on from what was written");
}
