//! Rows with jackpots, chargebacks and a waterfall, against recomputation: after every epoch, in either basis and attribution.

use std::collections::BTreeMap;

use datasets::Money;
use datasets::rows::ActivityRow;

use super::*;
use crate::ledger::Attribution;
use crate::testing::{
    LedgerOracle, Rng, Run, arrived, cut, random_script_with_money, rules, seeds, sums, sums_of_postings,
};

const BET_FEE: Money = Money::from_raw(10_000_000);
const ROW_FEE: Money = Money::from_raw(5_000_000);

fn waterfall() -> Vec<Deduction> {
    let fixed = |amount, per| Deduction::Fixed { amount, currency: "EUR".into(), per };
    vec![
        Deduction::AmountOf(Base::JackpotContribution),
        Deduction::AddBack(Base::JackpotWins),
        Deduction::AmountOf(Base::Chargebacks),
        fixed(BET_FEE, Per::Bet),
        fixed(ROW_FEE, Per::Row),
    ]
}

/// NGR by that waterfall, spelled out.
fn ngr(totals: &Totals, currency: &str) -> Money {
    let cash_ggr = totals.stakes - totals.bonus_bets - totals.winnings + totals.bonus_wins;
    let mut ngr = cash_ggr - totals.jackpot_contribution + totals.jackpot_wins - totals.chargebacks;
    if currency == "EUR" {
        (0..totals.bets_count).for_each(|_| ngr -= BET_FEE);
        if totals.bets_count > 0 || totals.stakes > Money::ZERO || totals.winnings > Money::ZERO {
            ngr -= ROW_FEE;
        }
    }
    ngr.round_to(2)
}

/// What does not depend on the basis: bets, jackpot columns, chargebacks, NGR.
type Columns = (i64, Money, Money, Money, Money);

/// The last revision of every row. Checks that revisions count on from 1 and that GGR is what it says.
fn last(rows: &[ActivityRow]) -> BTreeMap<(i64, String, String, String), (u64, Columns)> {
    let mut last = BTreeMap::new();
    for row in rows {
        let key = &row.key;
        let day = i64::from(key.date.days());
        let key = (day, key.customer_id.to_string(), key.game_type.to_string(), key.currency.to_string());
        let columns = (row.bets_count, row.jackpot_contribution, row.jackpot_wins, row.chargebacks, row.ngr);
        let before = last.insert(key, (row.revision, columns)).map_or(0, |(revision, _)| revision);
        assert_eq!(row.revision, before + 1);
        assert_eq!(row.ggr, row.total_bets - row.wins);
    }
    last
}

#[test]
fn agrees_with_recomputation_after_every_epoch() {
    let (mut charged, mut paid, mut zeros) = (0, 0, 0);
    for seed in seeds(40) {
        let mut rng = Rng(50_000 + seed);
        let attribution = rng.pick(&[Attribution::Transaction, Attribution::Settlement]);
        let script = random_script_with_money(&mut rng, 140);
        let script = arrived(&mut rng, script);
        let longest = rng.pick(&[1, 12]);
        let mut rules = rules();
        rules.ledger.attribution = attribution;
        let mut runs = [Basis::Cash, Basis::Gross].map(|basis| {
            let mut run = Run::with(rules.clone(), Vec::new());
            run.activity = DailyActivity::new(ActivityRules { basis, waterfall: waterfall() }, Reporting::EveryEpoch);
            run
        });
        let mut ledger = LedgerOracle::new(rules.ledger.clone());
        for (epoch, arrival) in cut(&mut rng, &script, longest).iter().enumerate() {
            ledger.epoch(&arrival.inputs, arrival.now);
            let facts = match attribution {
                Attribution::Transaction => ledger.facts(&|_| true),
                Attribution::Settlement => ledger.booked_by_settlement(),
            };
            let expected = sums(&facts);
            for run in &mut runs {
                run.step(arrival);
                assert_eq!(sums_of_postings(&run.postings), expected, "postings of seed {seed}, epoch {epoch}");
                for (key, (_, columns)) in last(&run.rows) {
                    let totals = expected.get(&key).copied().unwrap_or_default();
                    zeros += u64::from(totals == Totals::default());
                    let Totals { bets_count, jackpot_contribution, jackpot_wins, chargebacks, .. } = totals;
                    let ngr = ngr(&totals, &key.3);
                    let expected = (bets_count, jackpot_contribution, jackpot_wins, chargebacks, ngr);
                    assert_eq!(columns, expected, "{key:?} of seed {seed}, epoch {epoch}");
                }
            }
            assert_eq!(last(&runs[0].rows), last(&runs[1].rows), "bases of seed {seed}, epoch {epoch}");
        }
        charged += runs[0].rows.iter().filter(|row| !row.chargebacks.is_zero()).count();
        paid += runs[0].rows.iter().filter(|row| !row.jackpot_wins.is_zero()).count();
    }
    assert!(
        charged > 50 && paid > 50 && zeros > 50,
        "{charged} rows with chargebacks, {paid} with wins, {zeros} zeros"
    );
}
