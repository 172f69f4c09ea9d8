//! Daily activity, recomputed from facts (DOMAIN §5).

use std::collections::BTreeMap;

use datasets::Money;
use datasets::rows::ActivityRow;

use super::Fact;
use crate::activity::Totals;
use crate::changes::Posting;
use crate::ledger::Side;

/// (day since 1970, customer, game type, currency).
pub(crate) type RowKey = (i64, String, String, String);

/// The sums of every row that has any.
pub(crate) fn sums(facts: &[Fact]) -> BTreeMap<RowKey, Totals> {
    let mut rows: BTreeMap<RowKey, Totals> = BTreeMap::new();
    for Fact { input, time } in facts {
        if !["bet_placed", "bet_settled", "win", "chargeback"].contains(&input.name) {
            continue;
        }
        let day = time.micros().div_euclid(86_400_000_000);
        let key = (day, input.player.to_owned(), input.game_type.to_owned(), input.currency.to_owned());
        let totals = rows.entry(key).or_default();
        let amount = input.amount.unwrap();
        if input.name == "bet_placed" {
            totals.bets_count += 1;
            totals.stakes += amount;
            totals.bonus_bets += input.bonus;
            totals.jackpot_contribution += input.jackpot;
        } else if input.name == "chargeback" {
            totals.chargebacks += amount;
        } else {
            totals.winnings += amount;
            totals.bonus_wins += input.bonus;
            totals.jackpot_wins += input.jackpot;
        }
    }
    rows.retain(|_, totals| *totals != Totals::default());
    rows
}

/// The same out of postings.
pub(crate) fn sums_of_postings(postings: &BTreeMap<Posting, isize>) -> BTreeMap<RowKey, Totals> {
    let mut rows: BTreeMap<RowKey, Totals> = BTreeMap::new();
    for (posting, count) in postings {
        let key = posting.key.activity();
        let day = i64::from(key.date.days());
        let key = (day, key.customer_id.to_string(), key.game_type.to_string(), key.currency.to_string());
        let totals = rows.entry(key).or_default();
        for _ in 0..*count {
            let jackpot = posting.side.jackpot();
            if posting.side == Side::Chargeback {
                totals.chargebacks += posting.amount;
            } else if posting.side.is_bet() {
                totals.bets_count += 1;
                totals.stakes += posting.amount;
                totals.bonus_bets += posting.bonus;
                totals.jackpot_contribution += jackpot;
            } else {
                totals.winnings += posting.amount;
                totals.bonus_wins += posting.bonus;
                totals.jackpot_wins += jackpot;
            }
        }
    }
    rows.retain(|_, totals| *totals != Totals::default());
    rows
}

/// (bets, stakes, winnings) in basis cash of the last revision of every row, rows of zeros left out.
pub(crate) fn value_rows<'a>(rows: impl IntoIterator<Item = &'a ActivityRow>) -> BTreeMap<RowKey, (i64, Money, Money)> {
    let mut last = BTreeMap::new();
    for row in rows {
        let key = &row.key;
        let day = i64::from(key.date.days());
        let key = (day, key.customer_id.to_string(), key.game_type.to_string(), key.currency.to_string());
        last.insert(key, (row.bets_count, row.total_bets, row.wins));
    }
    last.retain(|_, values| *values != (0, Money::ZERO, Money::ZERO));
    last
}
