//! Tiers, recomputed from facts (DOMAIN §4, "Tiers").

use std::collections::BTreeSet;

use datasets::mission::Mission;
use datasets::{Money, Timestamp};

use super::script::PLAYERS;
use super::{Fact, Input, LedgerOracle, rules};
use crate::players::Rules;

#[derive(Clone, Copy)]
enum Measure {
    Count,
    Sum,
    /// Of slots alone.
    SumOfSlots,
    Max,
}

/// When a tier is lost again.
#[derive(Clone, Copy, PartialEq)]
enum Downgrade {
    Never,
    Automatic,
}

/// A tier as it is configured.
#[derive(Clone, Copy)]
pub(crate) struct TierSpec {
    name: &'static str,
    on: &'static [&'static str],
    measure: Measure,
    threshold: i64,
    downgrade: Downgrade,
}

const fn tier(name: &'static str, on: &'static [&'static str], measure: Measure, threshold: i64) -> TierSpec {
    TierSpec { name, on, measure, threshold, downgrade: Downgrade::Never }
}

const STAKES: &[&str] = &["bet_placed", "adjustment"];
const GAINS: &[&str] = &["win", "bet_settled", "deposit"];

/// Three of one measure, and others between and above them.
pub(crate) const KEPT: [TierSpec; 6] = [
    tier("Bronze", STAKES, Measure::Sum, 8),
    tier("Silver", STAKES, Measure::Sum, 40),
    tier("Regular", &["login", "bet_settled"], Measure::Count, 4),
    tier("Gold", STAKES, Measure::Sum, 70),
    tier("High roller", GAINS, Measure::Max, 20),
    tier("Platinum", GAINS, Measure::SumOfSlots, 60),
];

const fn automatic(tier: TierSpec) -> TierSpec {
    TierSpec { downgrade: Downgrade::Automatic, ..tier }
}

/// Some of them are lost by corrections.
pub(crate) const MIXED: [TierSpec; 6] =
    [KEPT[0], automatic(KEPT[1]), KEPT[2], automatic(KEPT[3]), automatic(KEPT[4]), automatic(KEPT[5])];

/// All of them are.
pub(crate) const LOST: [TierSpec; 4] = [automatic(KEPT[0]), automatic(KEPT[1]), automatic(KEPT[2]), automatic(KEPT[5])];

/// The settings of tests, with these tiers.
pub(crate) fn tiered(specs: &[TierSpec]) -> Rules {
    Rules { tiers: specs.iter().map(TierSpec::mission).collect(), ..rules() }
}

impl TierSpec {
    /// As the pipeline makes it from its configuration.
    fn mission(&self) -> Mission {
        let TierSpec { name, on, threshold, .. } = self;
        let (condition, measure) = match self.measure {
            Measure::Count => ("", r#""kind":"count""#),
            Measure::Sum => ("", r#""kind":"sum","field":"amount""#),
            Measure::SumOfSlots => (r#""where":"game_type == 'slots'","#, r#""kind":"sum","field":"amount""#),
            Measure::Max => ("", r#""kind":"max","field":"amount""#),
        };
        let on_reversal = match self.downgrade {
            Downgrade::Never => "keep",
            Downgrade::Automatic => "revoke",
        };
        let text = format!(
            r#"{{"mission_id":"{name}","version":1,"status":"active","on_reversal":"{on_reversal}",
                "stages":[{{"on":{on:?},{condition}"measure":{{{measure}}},"target":"{threshold}"}}]}}"#
        );
        Mission::parse(name, &text, &rules().missions).unwrap()
    }

    /// What a fact is to the measure; nothing where it is none of it. What no rate is known of waits.
    fn value(&self, fact: &Fact) -> Option<Money> {
        let input = &fact.input;
        let amount = input.amount.unwrap_or_default();
        if !self.on.contains(&input.name) || input.name == "win" && amount == Money::ZERO {
            return None;
        }
        let in_euros = || match (input.currency, input.rate) {
            ("EUR", _) => Some(amount),
            (_, rate) => Some(amount.checked_mul(rate?).unwrap()),
        };
        match self.measure {
            Measure::Count => Some(Money::ONE),
            Measure::Sum | Measure::Max => in_euros(),
            Measure::SumOfSlots if input.game_type == "slots" => in_euros(),
            Measure::SumOfSlots => None,
        }
    }

    /// When the threshold is reached, by the facts of a player in the order of event time.
    fn reached(&self, facts: &[&Fact]) -> Option<Timestamp> {
        let mut total = Money::ZERO;
        for fact in facts {
            let Some(value) = self.value(fact) else { continue };
            total = match self.measure {
                Measure::Max => total.max(value),
                _ => total + value,
            };
            if total >= Money::from_units(self.threshold) {
                return Some(fact.time);
            }
        }
        None
    }
}

/// A change of tier: player, number of the change, tier, the one before, since when.
pub(crate) type TierTold = (String, u64, Option<String>, Option<String>, Timestamp);

/// Remembers which tiers players have by what sticks, and what they were told; all else is found anew at every event.
pub(crate) struct TierOracle<'a> {
    specs: &'a [TierSpec],
    /// By player, the places of tiers.
    held: Vec<BTreeSet<usize>>,
    revisions: Vec<u64>,
    read: BTreeSet<datasets::Coordinates>,
    /// In the order of events.
    pub told: Vec<TierTold>,
}

impl<'a> TierOracle<'a> {
    pub(crate) fn new(specs: &'a [TierSpec]) -> Self {
        let (held, revisions) = (vec![BTreeSet::new(); PLAYERS.len()], vec![0; PLAYERS.len()]);
        TierOracle { specs, held, revisions, read: BTreeSet::new(), told: Vec::new() }
    }

    /// Takes an epoch that `ledger` has taken: one event after the other, in the order of event time.
    pub(crate) fn epoch(&mut self, inputs: &[Input], ledger: &LedgerOracle) {
        let mut events: Vec<&Input> = inputs.iter().filter(|input| ledger.has_accepted(input)).collect();
        events.sort_by_key(|input| input.order());
        for event in events {
            self.read.insert(event.at);
            let mut facts = ledger.facts(&|input| self.read.contains(&input.at));
            facts.sort_by_key(|fact| (fact.time, fact.input.at));
            let player = PLAYERS.iter().position(|player| *player == event.player).unwrap();
            let facts: Vec<&Fact> = facts.iter().filter(|fact| fact.input.player == event.player).collect();
            self.player(player, event, &facts);
        }
    }

    fn player(&mut self, player: usize, event: &Input, facts: &[&Fact]) {
        let before = self.held[player].clone();
        let reached: Vec<Option<Timestamp>> = self.specs.iter().map(|spec| spec.reached(facts)).collect();
        for (place, spec) in self.specs.iter().enumerate() {
            match (reached[place], spec.downgrade) {
                (Some(_), _) => self.held[player].insert(place),
                (None, Downgrade::Never) => false,
                (None, Downgrade::Automatic) => self.held[player].remove(&place),
            };
        }
        let (previous, tier) = (before.last(), self.held[player].last());
        if tier == previous {
            return;
        }
        let rose = tier.filter(|tier| !before.contains(tier)).and_then(|tier| reached[*tier]);
        let name = |place: &usize| self.specs[*place].name.to_owned();
        self.revisions[player] += 1;
        let (tier, previous) = (tier.map(name), previous.map(name));
        let changed_at = rose.unwrap_or(event.event_time);
        self.told.push((event.player.to_owned(), self.revisions[player], tier, previous, changed_at));
    }

    /// The name of each player's tier.
    pub(crate) fn tiers(&self) -> Vec<(&'static str, &'static str)> {
        let players = PLAYERS.iter().zip(&self.held);
        players.filter_map(|(player, held)| Some((*player, self.specs[*held.last()?].name))).collect()
    }
}
