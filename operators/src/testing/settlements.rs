//! Stakes on the day of their settlement, recomputed from facts (DOMAIN §5).

use datasets::Family;

use super::script::{random_input, random_script_of};
use super::{Fact, Input, LedgerOracle, Rng};

impl LedgerOracle {
    /// Every fact at the time at which daily activity books it; bets that are not settled are left out.
    pub(crate) fn booked_by_settlement(&self) -> Vec<Fact> {
        let facts = self.facts(&|_| true);
        let is_settlement = |fact: &&Fact| ["win", "bet_settled"].contains(&fact.input.name);
        let booked = facts.iter().filter_map(|fact| {
            if fact.input.name != "bet_placed" {
                return Some(fact.clone());
            }
            let bet = self.transaction_of(&fact.input);
            let settlements = facts.iter().filter(is_settlement).filter(|one| self.settled_by(one) == Some(bet));
            let time = settlements.map(|settlement| settlement.time).min()?;
            Some(Fact { time, ..fact.clone() })
        });
        booked.collect()
    }

    fn transaction_of(&self, input: &Input) -> usize {
        let has = |versions: &Vec<Input>| versions.iter().any(|version| version.at == input.at);
        self.transactions.iter().position(has).unwrap()
    }

    /// The bet that `settlement` names: of several that had the id the newest that was there, else the first to come, of
    /// those that the ledger keeps for it.
    fn settled_by(&self, settlement: &Fact) -> Option<usize> {
        let Input { player, reference, id, .. } = &settlement.input;
        let named = reference.as_ref().unwrap_or(id);
        let since = self.transactions[self.transaction_of(&settlement.input)][0].ingest_time;
        let age = |bet: usize| since.micros_since(self.transactions[bet][0].ingest_time);
        let bets: Vec<usize> = (0..self.transactions.len())
            .filter(|index| self.transactions[*index][0].key() == (Family::Bet, "", *player, named.as_str()))
            .filter(|bet| age(*bet).abs() <= self.rules.ledger_retention)
            .collect();
        bets.iter().copied().rfind(|bet| age(*bet) >= 0).or(bets.first().copied())
    }
}

/// As [`random_script`](super::random_script), with wins and settlements that name bets, again and otherwise.
pub(crate) fn random_script_with_settlements(rng: &mut Rng, len: usize) -> Vec<Input> {
    random_script_of(rng, len, settling_input)
}

pub(super) fn settling_input(rng: &mut Rng, script: &[Input], hours: i64) -> Input {
    let input = random_input(rng, script, hours);
    let settles = ["win", "bet_settled"].contains(&input.name);
    if settles && input.reference.is_none() && rng.one_in(2) {
        let reference = Some(format!("t{}", rng.below(9)));
        return Input { id: format!("s{}", rng.below(12)), reference, ..input };
    }
    input
}
