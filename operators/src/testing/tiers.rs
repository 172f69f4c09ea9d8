//! Tiers, recomputed from facts (DOMAIN §4, "Tiers").

use std::collections::{BTreeMap, BTreeSet};

use datasets::mission::Mission;
use datasets::{Coordinates, Money, Timestamp};

use super::script::{DAY, PLAYERS, at};
use super::{Fact, Input, LedgerOracle, rules};
use crate::players::Rules;
use crate::tiers::Tier;

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
    /// At the end of a period of so many days, or of the one behind it.
    PeriodEnd {
        days: i64,
        outlasts_next: bool,
    },
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

const fn automatic(tier: TierSpec) -> TierSpec {
    TierSpec { downgrade: Downgrade::Automatic, ..tier }
}

const fn for_period(tier: TierSpec, days: i64, outlasts_next: bool) -> TierSpec {
    TierSpec { downgrade: Downgrade::PeriodEnd { days, outlasts_next }, ..tier }
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

/// Some of them are lost by corrections.
pub(crate) const MIXED: [TierSpec; 6] =
    [KEPT[0], automatic(KEPT[1]), KEPT[2], automatic(KEPT[3]), automatic(KEPT[4]), automatic(KEPT[5])];

/// All of them are.
pub(crate) const LOST: [TierSpec; 4] = [automatic(KEPT[0]), automatic(KEPT[1]), automatic(KEPT[2]), automatic(KEPT[5])];

/// Of days and weeks, with some that have no periods.
pub(crate) const PERIODS: [TierSpec; 6] = [
    for_period(KEPT[0], 7, true),
    for_period(tier("Daily", &["bet_settled", "win"], Measure::Count, 2), 1, false),
    for_period(tier("Silver", STAKES, Measure::Sum, 15), 7, false),
    automatic(KEPT[3]),
    for_period(tier("Winner", GAINS, Measure::Max, 20), 7, true),
    for_period(tier("Day of gold", STAKES, Measure::Sum, 20), 1, true),
];

/// The settings of tests, with these tiers.
pub(crate) fn tiered(specs: &[TierSpec]) -> Rules {
    Rules { tiers: specs.iter().map(TierSpec::tier).collect(), ..rules() }
}

/// A period that begins at `start`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Period {
    start: Timestamp,
    end: Timestamp,
}

/// Of what has no periods.
const ALL_TIME: Period = Period { start: Timestamp::MIN, end: Timestamp::MAX };

/// How long behind its end a period can be moved: what missions have where they say nothing.
const LATENESS: i64 = 7 * DAY;

impl TierSpec {
    /// As the pipeline makes it from its configuration.
    fn tier(&self) -> Tier {
        let TierSpec { name, on, threshold, .. } = self;
        let (condition, measure) = match self.measure {
            Measure::Count => ("", r#""kind":"count""#),
            Measure::Sum => ("", r#""kind":"sum","field":"amount""#),
            Measure::SumOfSlots => (r#""where":"game_type == 'slots'","#, r#""kind":"sum","field":"amount""#),
            Measure::Max => ("", r#""kind":"max","field":"amount""#),
        };
        let (on_reversal, every, outlasts_next) = match self.downgrade {
            Downgrade::Never => ("keep", "once", false),
            Downgrade::Automatic => ("revoke", "once", false),
            Downgrade::PeriodEnd { days: 1, outlasts_next } => ("keep", "day", outlasts_next),
            Downgrade::PeriodEnd { outlasts_next, .. } => ("keep", "week", outlasts_next),
        };
        let text = format!(
            r#"{{"mission_id":"{name}","version":1,"status":"active","on_reversal":"{on_reversal}","window":{{"every":"{every}"}},
                "stages":[{{"on":{on:?},{condition}"measure":{{{measure}}},"target":"{threshold}"}}]}}"#
        );
        Tier { mission: Mission::parse(name, &text, &rules().missions).unwrap(), outlasts_next }
    }

    fn period(&self, time: Timestamp) -> Period {
        let Downgrade::PeriodEnd { days, .. } = self.downgrade else { return ALL_TIME };
        // Scripts begin on a Monday.
        let length = days * DAY;
        let start = at(0).plus_micros(time.micros_since(at(0)).div_euclid(length) * length);
        Period { start, end: start.plus_micros(length) }
    }

    /// From when on the tier is lost that was reached in a period.
    fn kept_until(&self, period: Period) -> Timestamp {
        match self.downgrade {
            Downgrade::PeriodEnd { days, outlasts_next: true } => period.end.plus_micros(days * DAY),
            Downgrade::PeriodEnd { .. } => period.end,
            Downgrade::Never | Downgrade::Automatic => Timestamp::MAX,
        }
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

    /// When the threshold is reached, by facts in the order of event time.
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

/// What sticks of one player: what was reached and is kept, and what was told.
#[derive(Default)]
struct PlayerTiers {
    /// Tiers, by their places, and the periods in which they are reached.
    reached: BTreeSet<(usize, Period)>,
    /// Which the player has, and until when.
    held: BTreeMap<usize, Timestamp>,
    revision: u64,
}

impl PlayerTiers {
    fn tier(&self) -> Option<usize> {
        self.held.keys().next_back().copied()
    }
}

/// Facts by what was read in time for a period, in the order of event time.
struct FactsInTime<'a> {
    ledger: &'a LedgerOracle,
    read: &'a [Input],
    /// By the last ingest time that was in time.
    known: BTreeMap<Timestamp, Vec<Fact>>,
}

impl FactsInTime<'_> {
    fn of(&mut self, period: Period) -> &[Fact] {
        let newest = self.read.iter().map(|input| input.ingest_time).max().unwrap();
        let until = if period == ALL_TIME { newest } else { newest.min(period.end.plus_micros(LATENESS)) };
        self.known.entry(until).or_insert_with(|| {
            let read: BTreeSet<Coordinates> = self.read.iter().map(|input| input.at).collect();
            let mut facts = self.ledger.facts(&|input| read.contains(&input.at) && input.ingest_time <= until);
            facts.sort_by_key(|fact| (fact.time, fact.input.at));
            facts
        })
    }
}

/// Remembers what sticks of tiers; all else is found anew at every event.
pub(crate) struct TierOracle<'a> {
    specs: &'a [TierSpec],
    players: BTreeMap<&'static str, PlayerTiers>,
    read: Vec<Input>,
    /// Of the last epoch: what the clock does, then in the order of events.
    pub told: Vec<TierTold>,
}

impl<'a> TierOracle<'a> {
    pub(crate) fn new(specs: &'a [TierSpec]) -> Self {
        let players = PLAYERS.iter().map(|player| (*player, PlayerTiers::default())).collect();
        TierOracle { specs, players, read: Vec::new(), told: Vec::new() }
    }

    /// Takes an epoch that `ledger` has taken: one event after the other, in the order of event time.
    pub(crate) fn epoch(&mut self, inputs: &[Input], now: Timestamp, ledger: &LedgerOracle) {
        self.told.clear();
        let mut events: Vec<&Input> = inputs.iter().filter(|input| ledger.has_accepted(input)).collect();
        events.sort_by_key(|input| input.order());
        for event in events {
            self.read.push(event.clone());
            self.event(event, now, ledger);
        }
        PLAYERS.iter().for_each(|player| self.expire(player, now));
    }

    /// Ends what is over when the clock reads `now`, instant by instant.
    fn expire(&mut self, player: &'static str, now: Timestamp) {
        let over: BTreeSet<Timestamp> =
            self.players[player].held.values().copied().filter(|until| *until <= now).collect();
        for until in over {
            let tiers = self.players.get_mut(player).unwrap();
            let before = tiers.tier();
            tiers.held.retain(|_, known| *known > until);
            self.tell(player, before, until);
        }
    }

    fn event(&mut self, event: &Input, now: Timestamp, ledger: &LedgerOracle) {
        let mut facts = FactsInTime { ledger, read: &self.read, known: BTreeMap::new() };
        let tiers = self.players.get_mut(event.player).unwrap();
        // Tiers that this event gives, until when and since when; and those that it takes.
        let (mut risen, mut lost) = (Vec::new(), Vec::new());
        for (place, spec) in self.specs.iter().enumerate() {
            let periods: BTreeSet<Period> = self.read.iter().map(|input| spec.period(input.event_time)).collect();
            for period in periods {
                let facts = facts.of(period).iter();
                let facts = facts.filter(|fact| fact.input.player == event.player && spec.period(fact.time) == period);
                match spec.reached(&facts.collect::<Vec<_>>()) {
                    Some(time) if tiers.reached.insert((place, period)) => {
                        risen.push((place, spec.kept_until(period), time));
                    }
                    None if spec.downgrade == Downgrade::Automatic && tiers.reached.remove(&(place, period)) => {
                        lost.push(place);
                    }
                    _ => {}
                }
            }
        }
        if risen.is_empty() && lost.is_empty() {
            return;
        }
        // What was over when the event came is told before it.
        let came = event.ingest_time.min(now);
        self.expire(event.player, came);
        let tiers = self.players.get_mut(event.player).unwrap();
        let before = tiers.tier();
        tiers.held.retain(|place, _| !lost.contains(place));
        let mut since = BTreeMap::new();
        for (place, until, time) in risen.into_iter().filter(|(_, until, _)| came < *until) {
            let known = tiers.held.get(&place).copied();
            tiers.held.insert(place, known.map_or(until, |known| known.max(until)));
            if known.is_none() {
                since.insert(place, time);
            }
        }
        let since = tiers.tier().and_then(|tier| since.get(&tier)).copied();
        self.tell(event.player, before, since.unwrap_or(event.event_time));
    }

    fn tell(&mut self, player: &str, before: Option<usize>, changed_at: Timestamp) {
        let tiers = self.players.get_mut(player).unwrap();
        let tier = tiers.tier();
        if tier != before {
            tiers.revision += 1;
            let name = |place: usize| self.specs[place].name.to_owned();
            self.told.push((player.to_owned(), tiers.revision, tier.map(name), before.map(name), changed_at));
        }
    }

    /// The name of each player's tier.
    pub(crate) fn tiers(&self) -> Vec<(&'static str, &'static str)> {
        let players = self.players.iter();
        players.filter_map(|(player, tiers)| Some((*player, self.specs[tiers.tier()?].name))).collect()
    }
}
