//! Missions behind gates, recomputed from facts (DOMAIN §4, opt-in, segments and `requires`).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use datasets::{Money, Timestamp};

use super::missions::euros;
use super::script::{DAY, END, PLAYERS, at, random_input, random_script_of, window_of};
use super::values::amount_of_its_currency;
use super::{Fact, Input, LedgerOracle, Occurrence, Rng, Standing, record};
use crate::definitions::DefinitionRecord;

#[derive(Clone, Copy)]
pub(super) enum Again {
    Resume,
    Reset,
}

#[derive(Clone, Copy)]
pub(super) struct Gate {
    pub(super) opt_in: Option<Again>,
    pub(super) segments: &'static [&'static str],
    pub(super) all: bool,
    pub(super) requires: &'static [&'static str],
    /// With the priority.
    pub(super) group: Option<(&'static str, i64)>,
}

#[derive(Clone, Copy)]
pub(super) enum Measure {
    Count,
    Sum,
    /// Of amounts above 3.
    Run,
    /// Of transactions' game types and amounts.
    Games,
    Amounts,
}

pub(super) struct Stage {
    pub(super) on: &'static [&'static str],
    pub(super) measure: Measure,
    pub(super) target: i64,
}

#[derive(Clone, Copy)]
pub(crate) struct Spec {
    pub(super) id: &'static str,
    /// Days; 0 is the only window.
    pub(super) window: i64,
    /// From these hours on.
    pub(super) gates: &'static [(i64, Gate)],
    pub(super) stages: &'static [Stage],
    /// How often in a window, and whether the excess is carried over.
    pub(super) repeat: Option<(usize, bool)>,
}

pub(super) const OPEN: Gate = Gate { opt_in: None, segments: &[], all: false, requires: &[], group: None };
const OPT_IN: Gate = Gate { opt_in: Some(Again::Resume), ..OPEN };
pub(super) const RESET: Gate = Gate { opt_in: Some(Again::Reset), ..OPEN };
const VIP: Gate = Gate { segments: &["vip"], ..OPEN };
pub(super) const BETS: Stage = Stage { on: &["bet_placed"], measure: Measure::Count, target: 2 };

pub(crate) const GATED: [Spec; 10] = [
    Spec { id: "a-opt-in", window: 1, gates: &[(-240, OPT_IN)], stages: &[BETS], repeat: None },
    Spec {
        id: "b-reset",
        window: 7,
        gates: &[(-240, RESET)],
        stages: &[Stage { on: &["bet_placed", "adjustment"], measure: Measure::Sum, target: 15 }],
        repeat: None,
    },
    Spec {
        id: "c-any",
        window: 7,
        gates: &[(-240, Gate { segments: &["vip", "gold"], ..OPEN })],
        stages: &[Stage { on: &["bet_placed", "bet_settled"], measure: Measure::Count, target: 4 }],
        repeat: None,
    },
    Spec {
        id: "d-all",
        window: 0,
        gates: &[(-240, Gate { segments: &["vip", "gold"], all: true, ..OPEN })],
        stages: &[
            Stage { on: &["deposit"], measure: Measure::Count, target: 1 },
            Stage { on: &["bet_placed"], measure: Measure::Sum, target: 12 },
        ],
        repeat: None,
    },
    Spec {
        id: "e-run",
        window: 0,
        gates: &[(-240, Gate { segments: &["vip"], ..RESET })],
        stages: &[Stage { on: &["bet_settled"], measure: Measure::Run, target: 2 }],
        repeat: None,
    },
    Spec {
        id: "f-quest",
        window: 0,
        gates: &[(-240, RESET)],
        stages: &[BETS, Stage { on: &["bet_placed"], measure: Measure::Count, target: 3 }],
        repeat: None,
    },
    Spec { id: "g-open", window: 1, gates: &[(-240, OPEN)], stages: &[BETS], repeat: None },
    // The same class as the first.
    Spec { id: "h-vip", window: 1, gates: &[(-240, VIP)], stages: &[Stage { target: 3, ..BETS }], repeat: None },
    Spec {
        id: "i-edited",
        window: 7,
        gates: &[(-240, OPEN), (24 * 8, RESET), (24 * 16, Gate { segments: &["vip"], ..RESET })],
        stages: &[Stage { on: &["bet_placed", "win"], measure: Measure::Sum, target: 20 }],
        repeat: None,
    },
    Spec {
        id: "j-controls",
        window: 7,
        gates: &[(-240, OPT_IN)],
        stages: &[Stage { on: &["segment_entered", "opted_in", "opted_out"], measure: Measure::Count, target: 2 }],
        repeat: None,
    },
];

/// The same missions as their definitions, in the order in which they take effect.
pub(crate) fn gated_definitions(specs: &[Spec], lateness_days: i64) -> Vec<DefinitionRecord> {
    let versions = specs.iter().flat_map(|spec| spec.gates.iter().map(move |gate| (spec, gate)));
    let records = versions.zip(0..).map(|((spec, (hours, gate)), offset)| {
        let text = format!(
            r#"{{"mission_id":"{}","version":{},"status":"active","start":"{}","end":"{}","lateness":"P{lateness_days}D",
                "window":{{"every":"{}"}},{},{}"stages":[{}]}}"#,
            spec.id,
            offset + 1,
            at(-240),
            at(END),
            BTreeMap::from([(0, "once"), (1, "day"), (7, "week")])[&spec.window],
            gate.json(),
            spec.repeat.map_or_else(String::new, |(limit, carry)| format!(
                r#""repeat":{{"limit":{limit},"carry":{carry}}},"#
            )),
            spec.stages.iter().map(Stage::json).collect::<Vec<_>>().join(","),
        );
        record(spec.id, Some(text), *hours, offset)
    });
    let mut records: Vec<DefinitionRecord> = records.collect();
    records.sort_by_key(|record| record.ingest_time);
    records
}

impl Gate {
    fn json(&self) -> String {
        let opt_in = match self.opt_in {
            None => "false",
            Some(Again::Resume) => "true",
            Some(Again::Reset) => r#"{"again":"reset"}"#,
        };
        let names = format!("{:?}", self.segments);
        let segments = if self.all { format!(r#"{{"all":{names}}}"#) } else { names };
        let (group, priority) =
            self.group.map_or(("null".to_owned(), 0), |(group, priority)| (format!("{group:?}"), priority));
        format!(
            r#""eligibility":{{"opt_in":{opt_in},"segments":{segments},"requires":{:?}}},"exclusive_group":{group},"priority":{priority}"#,
            self.requires
        )
    }
}

impl Stage {
    fn json(&self) -> String {
        let (measure, condition) = match self.measure {
            Measure::Count => (r#"{"kind":"count"}"#, ""),
            Measure::Sum => (r#"{"kind":"sum","field":"amount"}"#, ""),
            Measure::Run => (r#"{"kind":"run"}"#, r#""where":"amount > 3","#),
            Measure::Games => (r#"{"kind":"distinct","field":"game_type"}"#, ""),
            Measure::Amounts => (r#"{"kind":"distinct","field":"amount"}"#, ""),
        };
        format!(r#"{{"on":{:?},{condition}"measure":{measure},"target":"{}"}}"#, self.on, self.target)
    }

    /// It adds something, if only nothing: an amount that waits for a rate does not.
    fn takes(&self, input: &Input) -> bool {
        let waits = matches!(self.measure, Measure::Sum) && input.currency != "EUR" && input.rate.is_none();
        self.looks_at(input) && !waits
    }

    fn looks_at(&self, input: &Input) -> bool {
        self.on.contains(&input.name) && !(input.name == "win" && input.amount == Some(Money::ZERO))
    }
}

/// A script like [`random_script`](super::random_script), a third of it control events.
pub(crate) fn random_script_with_controls(rng: &mut Rng, len: usize, specs: &[Spec]) -> Vec<Input> {
    random_script_of(rng, len, |rng, script, hours| {
        if rng.one_in(3) { random_control(rng, hours, specs) } else { random_input(rng, script, hours) }
    })
}

fn random_control(rng: &mut Rng, hours: i64, specs: &[Spec]) -> Input {
    let occurred = hours - rng.pick(&[0, 0, 1, 2, 6, 24, 60, 200]);
    let (name, about) = match rng.below(5) {
        0..2 => (rng.pick(&["opted_in", "opted_out"]), specs[rng.index(specs.len())].id),
        // Most often those that are asked for.
        2 => {
            let asks = |spec: &&Spec| spec.gates[0].1.opt_in.is_some() && spec.gates[0].1.segments.is_empty();
            let mut asking: Vec<&Spec> = specs.iter().filter(asks).take(3).collect();
            if asking.is_empty() {
                asking.push(&specs[0]);
            }
            let name = rng.pick(&["opted_in", "opted_out"]);
            (name, asking[rng.index(asking.len())].id)
        }
        _ => (rng.pick(&["segment_entered", "segment_left"]), rng.pick(&["vip", "vip", "gold", "x"])),
    };
    let id = format!("c{}", rng.below(200));
    Input { player: rng.pick(&PLAYERS), about: Some(about), ..Input::new(name, &id, occurred, "") }
}

/// Folds facts to standings, each time from the beginning.
pub(crate) struct GateOracle<'a> {
    pub specs: &'a [Spec],
    pub lateness_days: i64,
}

impl GateOracle<'_> {
    /// Every occurrence that has progress or was completed.
    pub(crate) fn standings(&self, ledger: &LedgerOracle, read: &[Input]) -> BTreeMap<Occurrence, Standing> {
        let mut standings = BTreeMap::new();
        let circular = self.specs.iter().map(|spec| spec.id).filter(|id| self.is_circular(id)).collect();
        let facts = Facts { ledger, read, circular, known: RefCell::default(), unlocked: RefCell::default() };
        for spec in self.specs {
            for window in spec.windows(read) {
                for player in PLAYERS {
                    let standing = self.standing(spec, player, window, (Timestamp::MAX, Timestamp::MAX), &facts);
                    if standing != Standing::default() {
                        standings.insert((player.to_owned(), spec.id.to_owned(), window.0), standing);
                    }
                }
            }
        }
        standings
    }

    /// By what happened before an instant, was ingested in time for the window, and until then.
    fn standing(
        &self,
        spec: &Spec,
        player: &'static str,
        window: (Timestamp, Timestamp),
        (until, before): (Timestamp, Timestamp),
        facts: &Facts<'_>,
    ) -> Standing {
        let until = self.until(window, until);
        let all = facts.until(until);
        let known: Vec<&Fact> = all.get(player).into_iter().flatten().filter(|fact| fact.time < before).collect();
        let is_here = |fact: &Fact| spec.window(fact.time) == Some(window);
        let here = |fact: &&Fact| !is_here(fact) || !self.goes_elsewhere(spec, (player, until), fact, facts);
        let here: Vec<&Fact> = known.into_iter().filter(here).collect();
        spec.fold(&here, window, |id, time| self.is_completed_before(id, player, (until, time), facts))
    }

    /// A window knows what is ingested until then.
    fn until(&self, window: (Timestamp, Timestamp), until: Timestamp) -> Timestamp {
        window.1.plus_micros(self.lateness_days * DAY).min(until)
    }

    /// It qualifies for another mission of the group as well, which goes before and whose gate is open, as far as both windows know.
    fn goes_elsewhere(
        &self,
        spec: &Spec,
        (player, until): (&'static str, Timestamp),
        fact: &Fact,
        facts: &Facts<'_>,
    ) -> bool {
        let Some((group, priority)) = spec.qualifies(fact) else { return false };
        let goes_before = |other: &&Spec| {
            let is_more =
                |(of, rank): (&str, i64)| of == group && (rank > priority || rank == priority && other.id < spec.id);
            other.qualifies(fact).is_some_and(is_more)
        };
        self.specs.iter().filter(goes_before).any(|other| {
            let until = self.until(other.window(fact.time).expect("it qualifies"), until);
            let all = facts.until(until);
            let known: Vec<&Fact> = all.get(player).into_iter().flatten().collect();
            let (_, gate) = other.gates.iter().rfind(|(hours, _)| at(*hours) <= fact.time).expect("it qualifies");
            let completed = |id: &&'static str| self.is_completed_before(id, player, (until, fact.time), facts);
            gate.terms(other.id, &known, fact.time).is_some() && gate.requires.iter().all(completed)
        })
    }

    /// A completion of a mission has been in force since before an instant, by what was ingested until then.
    fn is_completed_before(
        &self,
        id: &'static str,
        player: &'static str,
        (until, time): (Timestamp, Timestamp),
        facts: &Facts<'_>,
    ) -> bool {
        // Whether it is may follow from what it unlocks, but from what is earlier alone.
        let before = if facts.circular.contains(id) { time } else { Timestamp::MAX };
        let asked = (id, player, until.min(facts.newest()), before);
        let known = facts.unlocked.borrow().get(&asked).copied();
        let since = known.unwrap_or_else(|| {
            let spec = self.specs.iter().find(|spec| spec.id == id);
            let windows = spec
                .into_iter()
                .flat_map(|spec| spec.windows(facts.read).into_iter().map(move |window| (spec, window)));
            let windows = windows.filter(|(_, (start, _))| *start < before);
            let completed = windows
                .flat_map(|(spec, window)| self.standing(spec, player, window, (until, before), facts).completed_at);
            let since = completed.min();
            facts.unlocked.borrow_mut().insert(asked, since);
            since
        });
        since.is_some_and(|since| since < time)
    }

    /// Whether a mission is completed may depend on what it unlocks.
    fn is_circular(&self, id: &'static str) -> bool {
        let group = |gate: &Gate| gate.group.map(|(group, _)| group);
        let asks = |spec: &Spec, found: &BTreeSet<&'static str>| {
            let groups: BTreeSet<_> = spec.gates.iter().filter_map(|(_, gate)| group(gate)).collect();
            let is_rival = |other: &&Spec| {
                other.gates.iter().any(|(_, gate)| group(gate).is_some_and(|group| groups.contains(group)))
            };
            let rivals =
                self.specs.iter().filter(is_rival).chain(self.specs.iter().filter(|other| other.id == spec.id));
            let mut required = rivals.flat_map(|other| other.gates).flat_map(|(_, gate)| gate.requires);
            required.any(|id| found.contains(id))
        };
        let mut found = BTreeSet::from([id]);
        loop {
            let next = self.specs.iter().filter(|spec| asks(spec, &found)).map(|spec| spec.id);
            let next: BTreeSet<_> = next.filter(|id| !found.contains(id)).collect();
            if next.is_empty() {
                let own = self.specs.iter().find(|spec| spec.id == id);
                return own.is_some_and(|own| asks(own, &found));
            }
            found.extend(next);
        }
    }
}

type ByPlayer = BTreeMap<&'static str, Vec<Fact>>;
/// A mission, a player, the last ingest time, and the first instant of what does not matter.
type Asked = (&'static str, &'static str, Timestamp, Timestamp);

/// What is asked for again and again.
struct Facts<'a> {
    ledger: &'a LedgerOracle,
    read: &'a [Input],
    /// Missions.
    circular: BTreeSet<&'static str>,
    /// By the last ingest time, then player; in order.
    known: RefCell<BTreeMap<Timestamp, Rc<ByPlayer>>>,
    unlocked: RefCell<BTreeMap<Asked, Option<Timestamp>>>,
}

impl Facts<'_> {
    fn newest(&self) -> Timestamp {
        self.read.iter().map(|input| input.ingest_time).max().unwrap_or(Timestamp::MIN)
    }

    /// By what was ingested until then.
    fn until(&self, until: Timestamp) -> Rc<ByPlayer> {
        let until = until.min(self.newest());
        let known = || {
            let mut facts = self.ledger.facts(&|input| input.ingest_time <= until);
            facts.sort_by_key(|fact| (fact.time, fact.input.at));
            let mut players = ByPlayer::new();
            facts.into_iter().for_each(|fact| players.entry(fact.input.player).or_default().push(fact));
            players.into()
        };
        self.known.borrow_mut().entry(until).or_insert_with(known).clone()
    }
}

impl Spec {
    /// The mission's.
    pub(crate) fn id(&self) -> &'static str {
        self.id
    }

    /// Those that anything may belong to.
    fn windows(&self, read: &[Input]) -> BTreeSet<(Timestamp, Timestamp)> {
        read.iter().filter_map(|input| self.window(input.event_time)).collect()
    }

    fn window(&self, time: Timestamp) -> Option<(Timestamp, Timestamp)> {
        window_of(self.window, time)
    }

    /// The group that the version of its time is in, if a fact qualifies for any stage.
    fn qualifies(&self, fact: &Fact) -> Option<(&'static str, i64)> {
        let (_, gate) = self.gates.iter().rfind(|(hours, _)| at(*hours) <= fact.time)?;
        let accepts = |stage: &Stage| {
            let breaks = matches!(stage.measure, Measure::Run) && fact.input.amount <= Some(Money::from_units(3));
            stage.looks_at(&fact.input) && !breaks
        };
        self.window(fact.time)?;
        gate.group.filter(|_| self.stages.iter().any(accepts))
    }

    fn fold(
        &self,
        facts: &[&Fact],
        window: (Timestamp, Timestamp),
        completed_before: impl Fn(&'static str, Timestamp) -> bool,
    ) -> Standing {
        let (mut stage, mut after, mut total, mut run) = (0, Timestamp::MIN, Money::ZERO, 0);
        let (mut completed_at, mut term, mut values) = (Vec::new(), None, BTreeSet::new());
        let (limit, carry) = self.repeat.unwrap_or((1, false));
        for fact in facts.iter().filter(|fact| self.window(fact.time) == Some(window)) {
            let Some((_, gate)) = self.gates.iter().rfind(|(hours, _)| at(*hours) <= fact.time) else { continue };
            if !gate.requires.iter().all(|id| completed_before(id, fact.time)) {
                continue;
            }
            let of_stages = self.stages.iter().any(|stage| stage.takes(&fact.input));
            let Some(passed) = gate.terms(self.id, facts, fact.time).filter(|_| of_stages) else { continue };
            // All versions that ask for an opt-in say the same of a further one.
            let newest = self.gates.last().expect("there is one").1;
            let is_anew = matches!(newest.opt_in, Some(Again::Reset)) && passed > 1;
            let is_done = self.repeat.is_none() && !completed_at.is_empty();
            if is_anew && !is_done && term.is_some_and(|term| term != passed) {
                (stage, after, total, run) = (0, Timestamp::MIN, Money::ZERO, 0);
                values.clear();
            }
            term = Some(passed);
            let Stage { measure, target, .. } = &self.stages[stage];
            if !self.stages[stage].takes(&fact.input) || fact.time <= after {
                continue;
            }
            match measure {
                Measure::Count => total += Money::ONE,
                Measure::Sum => total += euros(&fact.input, false),
                Measure::Run => {
                    run = if fact.input.amount > Some(Money::from_units(3)) { run + 1 } else { 0 };
                    total = total.max(Money::from_units(run));
                }
                Measure::Games | Measure::Amounts => {
                    let is_games = matches!(measure, Measure::Games);
                    let game = is_games.then(|| fact.input.game_type.to_owned());
                    values.extend(game.or_else(|| amount_of_its_currency(&fact.input)));
                    total = Money::from_units(i64::try_from(values.len()).unwrap());
                }
            }
            if total < Money::from_units(*target) || is_done {
                continue;
            }
            if stage + 1 < self.stages.len() {
                (stage, after, total, run) = (stage + 1, fact.time, Money::ZERO, 0);
                values.clear();
                continue;
            }
            if self.repeat.is_none() {
                completed_at.push(fact.time);
                continue;
            }
            while total >= Money::from_units(*target) {
                if completed_at.len() < limit {
                    completed_at.push(fact.time);
                }
                total = if carry { total - Money::from_units(*target) } else { Money::ZERO };
            }
            (stage, after, run) = (0, Timestamp::MIN, 0);
            values.clear();
        }
        let progress = if stage + 1 == self.stages.len() { total } else { Money::ZERO };
        Standing { completed_at, progress }
    }
}

impl Gate {
    /// What happens at `time` passes: how often the player has opted in by then, without being in already; 0 where
    /// nobody asks.
    fn terms(&self, mission: &str, facts: &[&Fact], time: Timestamp) -> Option<u32> {
        // (is in, how often it came in)
        let state = |names: [&str; 2], about: &str| {
            let about_it = facts.iter().filter(|fact| fact.time <= time && fact.input.about == Some(about));
            about_it.fold((false, 0), |(is_in, times), fact| match fact.input.name {
                name if name == names[0] => (true, times + u32::from(!is_in)),
                name if name == names[1] => (false, times),
                _ => (is_in, times),
            })
        };
        let mut segments = self.segments.iter().map(|name| state(["segment_entered", "segment_left"], name).0);
        let has_segments = match self.segments {
            [] => true,
            _ if self.all => segments.all(|is_in| is_in),
            _ => segments.any(|is_in| is_in),
        };
        let (is_in, times) = match self.opt_in {
            None => (true, 0),
            Some(_) => state(["opted_in", "opted_out"], mission),
        };
        (has_segments && is_in).then_some(times)
    }
}
