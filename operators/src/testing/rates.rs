//! Missions over money of several currencies, recomputed from facts and from the order in which rates came (DOMAIN §4).

use std::collections::BTreeMap;

use datasets::{Coordinates, Money, Timestamp};

use super::script::{DAY, END, PLAYERS, at, random_input, random_script_of, window_of};
use super::{Fact, Input, LedgerOracle, Occurrence, Rng, Standing, record};
use crate::definitions::DefinitionRecord;

#[derive(Clone, Copy)]
enum Measure {
    Sum,
    /// Slots weigh a half, nothing else weighs anything; without bonus money.
    Weighted,
    Max,
}

struct Stage {
    on: &'static [&'static str],
    measure: Measure,
    currency: &'static str,
    target: i64,
}

struct Spec {
    id: &'static str,
    /// Days; 0 is the only window.
    window: i64,
    stages: &'static [Stage],
}

const BETS: &[&str] = &["bet_placed", "adjustment"];

const SPECS: [Spec; 5] = [
    Spec {
        id: "a-euros",
        window: 7,
        stages: &[Stage { on: BETS, measure: Measure::Sum, currency: "EUR", target: 15 }],
    },
    Spec {
        id: "b-pounds",
        window: 0,
        stages: &[Stage { on: &["bet_placed", "win"], measure: Measure::Sum, currency: "GBP", target: 40 }],
    },
    Spec {
        id: "c-quest",
        window: 0,
        stages: &[
            Stage { on: BETS, measure: Measure::Sum, currency: "EUR", target: 12 },
            Stage { on: &["win"], measure: Measure::Max, currency: "GBP", target: 8 },
        ],
    },
    Spec {
        id: "d-weighted",
        window: 1,
        stages: &[Stage { on: &["bet_placed"], measure: Measure::Weighted, currency: "EUR", target: 3 }],
    },
    Spec { id: "e-max", window: 7, stages: &[Stage { on: BETS, measure: Measure::Max, currency: "EUR", target: 15 }] },
];

const PAIRS: [&str; 5] = ["USD/EUR", "USD/GBP", "EUR/GBP", "GBP/EUR", "EUR/USD"];

/// The same missions as definitions, which are sent again some time later: what waited then is of a version of the past.
pub(crate) fn rated_definitions(lateness_days: i64) -> Vec<DefinitionRecord> {
    let versions =
        [(1, -240), (2, 24 * 10)].into_iter().flat_map(|version| SPECS.iter().map(move |spec| (version, spec)));
    let records = versions.zip(0..).map(|(((version, hours), spec), offset)| {
        let text = format!(
            r#"{{"mission_id":"{}","version":{version},"status":"active","start":"{}","end":"{}",
                "lateness":"P{lateness_days}D","window":{{"every":"{}"}},"stages":[{}]}}"#,
            spec.id,
            at(-240),
            at(END),
            BTreeMap::from([(0, "once"), (1, "day"), (7, "week")])[&spec.window],
            spec.stages.iter().map(Stage::json).collect::<Vec<_>>().join(","),
        );
        record(spec.id, Some(text), hours, offset)
    });
    records.collect()
}

/// A script like [`random_script`](super::random_script), some of it in other currencies, with few rates.
pub(crate) fn random_script_with_rates(rng: &mut Rng, len: usize) -> Vec<Input> {
    // Some pairs never have one.
    let pairs = PAIRS.map(|pair| rng.below(4) > 0 && !pair.is_empty());
    let from = rng.below(24 * 25);
    random_script_of(rng, len, |rng, script, hours| {
        if hours >= from && rng.one_in(12) {
            let pair = PAIRS[rng.index(PAIRS.len())];
            if pairs[PAIRS.iter().position(|known| *known == pair).unwrap()] {
                return random_rate(rng, pair, hours);
            }
        }
        let input = random_input(rng, script, hours);
        // What moves is converted again where it moves to.
        let is_single = ["bet_placed", "win", "adjustment"].contains(&input.name);
        let is_known = script.iter().any(|known| known.key() == input.key());
        match is_single && !is_known {
            true => Input { currency: rng.pick(&["EUR", "EUR", "USD", "GBP"]), ..input },
            false if input.currency != "EUR" => Input { rate: input.rate.or("0.5".parse().ok()), ..input },
            false => input,
        }
    })
}

fn random_rate(rng: &mut Rng, pair: &'static str, hours: i64) -> Input {
    let occurred = hours - rng.pick(&[0, 0, 1, 2, 24, 60, 200]);
    let id = format!("x{}", rng.below(40));
    let rate = rng.pick(&["0.5", "0.9", "1.1", "0.33333333", "2"]).parse().ok();
    Input { player: "", about: Some(pair), rate, ..Input::new("rate", &id, occurred, "") }
}

/// An event, and a currency that it is to be in.
type Wanted = (Coordinates, &'static str);

/// Remembers which rate an event was converted by: that alone depends on the order in which epochs come.
#[derive(Default)]
pub(crate) struct RateOracle {
    lateness_days: i64,
    /// Rates in the order in which they were taken, with their epochs.
    rates: Vec<Input>,
    /// The events that were accepted, in the same order.
    events: Vec<Input>,
    /// By which rate, and when that was ingested if the event had waited for it.
    used: BTreeMap<Wanted, (Money, Option<Timestamp>)>,
}

impl RateOracle {
    /// Nothing has come.
    pub(crate) fn new(lateness_days: i64) -> Self {
        RateOracle { lateness_days, ..RateOracle::default() }
    }

    /// Takes an epoch that `ledger` has taken.
    pub(crate) fn epoch(&mut self, inputs: &[Input], ledger: &LedgerOracle) {
        let mut new: Vec<&Input> = inputs.iter().filter(|input| ledger.has_accepted(input)).collect();
        new.sort_by_key(|input| input.at);
        let old = self.events.len();
        for input in new {
            if input.name == "rate" { &mut self.rates } else { &mut self.events }.push(input.clone());
        }
        for (number, event) in self.events.iter().enumerate().filter(|(_, event)| event.rate.is_none()) {
            for quote in ["EUR", "GBP"] {
                let found = self.find(event, quote);
                if let (None, Some(rate)) = (self.used.get(&(event.at, quote)), found) {
                    let since = (number < old).then_some(rate.ingest_time);
                    self.used.insert((event.at, quote), (rate.rate.unwrap(), since));
                }
            }
        }
    }

    fn find(&self, event: &Input, quote: &str) -> Option<&Input> {
        let pair = format!("{}/{quote}", event.currency);
        let of_pair = || self.rates.iter().filter(|rate| rate.about == Some(pair.as_str()));
        let before = of_pair().filter(|rate| rate.event_time <= event.event_time);
        before.max_by_key(|rate| rate.order()).or_else(|| of_pair().next())
    }

    /// The amount in `quote`, and when what made it known was ingested; nothing while it waits.
    fn convert(&self, input: &Input, amount: Money, quote: &'static str) -> Option<(Money, Timestamp)> {
        let (rate, since) = match (input.currency == quote, input.rate) {
            (true, _) => return Some((amount, input.ingest_time)),
            (false, Some(rate)) => (rate, None),
            (false, None) => *self.used.get(&(input.at, quote))?,
        };
        Some((amount.checked_mul(rate).unwrap(), since.unwrap_or(input.ingest_time)))
    }

    /// How many events wait, while nothing is late or forgotten.
    pub(crate) fn waiting(&self, ledger: &LedgerOracle) -> i64 {
        let facts = ledger.facts(&|_| true);
        let waits = |fact: &&Fact| {
            SPECS.iter().filter(|spec| spec.window(fact.time).is_some()).flat_map(|spec| spec.stages).any(|stage| {
                let amount = stage.amount(&fact.input);
                amount.is_some_and(|amount| self.convert(&fact.input, amount, stage.currency).is_none())
            })
        };
        i64::try_from(facts.iter().filter(waits).count()).unwrap()
    }

    /// Every occurrence that has progress or was completed.
    pub(crate) fn standings(&self, ledger: &LedgerOracle, read: &[Input]) -> BTreeMap<Occurrence, Standing> {
        let mut standings = BTreeMap::new();
        for spec in &SPECS {
            let mut windows: Vec<(Timestamp, Timestamp)> =
                read.iter().filter_map(|input| spec.window(input.event_time)).collect();
            windows.sort();
            windows.dedup();
            for window in windows {
                let until = window.1.plus_micros(self.lateness_days * DAY);
                let mut facts = ledger.facts(&|input| input.ingest_time <= until);
                facts.sort_by_key(|fact| (fact.time, fact.input.at));
                for player in PLAYERS {
                    let of_player = facts.iter().filter(|fact| fact.input.player == player);
                    let facts: Vec<&Fact> = of_player.filter(|fact| spec.window(fact.time) == Some(window)).collect();
                    let standing = spec.fold(&facts, self, until);
                    if standing != Standing::default() {
                        standings.insert((player.to_owned(), spec.id.to_owned(), window.0), standing);
                    }
                }
            }
        }
        standings
    }
}

impl Stage {
    fn json(&self) -> String {
        let Stage { on, currency, target, .. } = self;
        let measure = match self.measure {
            Measure::Sum => r#""kind":"sum","field":"amount""#,
            Measure::Weighted => {
                r#""kind":"sum","field":"amount","real_money_only":true,"weights":{"game_type":{"slots":"0.5"}}"#
            }
            Measure::Max => r#""kind":"max","field":"amount""#,
        };
        format!(r#"{{"on":{on:?},"measure":{{{measure},"currency":"{currency}"}},"target":"{target}"}}"#)
    }

    /// What there is to convert, of an event that the stage looks at.
    fn amount(&self, input: &Input) -> Option<Money> {
        let amount = input.amount?;
        let is_win = input.name == "win" && amount == Money::ZERO;
        if !self.on.contains(&input.name) || is_win {
            return None;
        }
        match self.measure {
            Measure::Sum | Measure::Max => Some(amount),
            Measure::Weighted => (input.game_type == "slots").then(|| amount - input.bonus),
        }
    }
}

impl Spec {
    fn window(&self, time: Timestamp) -> Option<(Timestamp, Timestamp)> {
        window_of(self.window, time)
    }

    fn fold(&self, facts: &[&Fact], rates: &RateOracle, until: Timestamp) -> Standing {
        let mut after = Timestamp::MIN;
        for (number, stage) in self.stages.iter().enumerate() {
            let (mut total, mut reached) = (Money::ZERO, None);
            for fact in facts.iter().filter(|fact| fact.time > after) {
                let Some(amount) = stage.amount(&fact.input) else { continue };
                let converted = rates.convert(&fact.input, amount, stage.currency);
                let Some((value, _)) = converted.filter(|(_, since)| *since <= until) else { continue };
                match stage.measure {
                    Measure::Sum => total += value,
                    Measure::Weighted => total += value.checked_mul("0.5".parse().unwrap()).unwrap(),
                    Measure::Max => total = total.max(value),
                }
                if total >= Money::from_units(stage.target) && reached.is_none() {
                    reached = Some(fact.time);
                }
            }
            if number + 1 == self.stages.len() {
                return Standing { completed_at: reached.into_iter().collect(), progress: total };
            }
            match reached {
                Some(time) => after = time,
                None => return Standing::default(),
            }
        }
        Standing::default()
    }
}
