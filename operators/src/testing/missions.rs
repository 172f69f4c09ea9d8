//! Missions, recomputed from facts (DOMAIN §3, §4).

use std::collections::{BTreeMap, BTreeSet};

use datasets::{Money, Timestamp};
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::repeats::{self, REPEATS};
use super::script::{DAY, at};
use super::values::{self, VALUES};
use super::{Fact, Input, LedgerOracle, record};
use crate::definitions::DefinitionRecord;

/// Where a player stands in one occurrence of a mission.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// More than one where it repeats.
    pub completed_at: Vec<Timestamp>,
    /// Of the last stage.
    pub progress: Money,
}

/// (player, mission, start of the window).
pub(crate) type Occurrence = (String, String, Timestamp);

#[derive(Clone, Copy)]
pub(super) enum Window {
    Once,
    Day,
    Week,
}

#[derive(Clone, Copy)]
pub(super) enum Measure {
    Count,
    Sum {
        real_money_only: bool,
    },
    /// By game type; anything else weighs `others`.
    Weighted {
        real_money_only: bool,
        weights: &'static [(&'static str, &'static str)],
        others: &'static str,
    },
    Run,
    Max,
    DayStreak {
        zone: &'static str,
    },
    WeekStreak {
        zone: &'static str,
    },
    /// Of what this makes of an input, if it has it.
    Distinct {
        of: fn(&Input) -> Option<String>,
    },
}

pub(super) struct Stage {
    pub(super) on: &'static [&'static str],
    pub(super) accepts: fn(&Input, Timestamp) -> bool,
    pub(super) measure: Measure,
    pub(super) target: i64,
}

pub(super) struct Spec {
    pub(super) id: &'static str,
    pub(super) window: Window,
    /// When it counts.
    pub(super) is_active: fn(Timestamp) -> bool,
    pub(super) stages: &'static [Stage],
}

pub(super) const MALTA: &str = "Europe/Malta";
const END: i64 = 24 * 25;

pub(super) fn always(_: Timestamp) -> bool {
    true
}

pub(super) fn all(_: &Input, _: Timestamp) -> bool {
    true
}

pub(super) fn over(input: &Input, amount: i64) -> bool {
    input.amount.is_some_and(|known| known > Money::from_units(amount))
}

const SPECS: [Spec; 20] = [
    Spec {
        id: "a-day",
        window: Window::Day,
        is_active: always,
        stages: &[Stage { on: &["bet_placed"], accepts: all, measure: Measure::Count, target: 2 }],
    },
    Spec {
        id: "b-week",
        window: Window::Week,
        is_active: always,
        stages: &[Stage {
            on: &["bet_placed"],
            accepts: |input, _| input.game_type == "slots",
            measure: Measure::Sum { real_money_only: false },
            target: 15,
        }],
    },
    Spec {
        id: "c-stages",
        window: Window::Once,
        is_active: always,
        stages: &[
            Stage { on: &["deposit"], accepts: all, measure: Measure::Count, target: 1 },
            Stage { on: &["bet_placed"], accepts: all, measure: Measure::Sum { real_money_only: false }, target: 12 },
            Stage { on: &["win"], accepts: |input, _| over(input, 2), measure: Measure::Count, target: 1 },
        ],
    },
    Spec {
        id: "d-run",
        window: Window::Week,
        is_active: always,
        stages: &[Stage { on: &["bet_settled"], accepts: |input, _| over(input, 3), measure: Measure::Run, target: 2 }],
    },
    Spec {
        id: "e-settled",
        window: Window::Once,
        is_active: always,
        stages: &[Stage {
            on: &["bet_settled"],
            accepts: all,
            measure: Measure::Sum { real_money_only: true },
            target: 30,
        }],
    },
    Spec {
        id: "f-paused",
        window: Window::Day,
        is_active: |time| (time < at(24 * 8) || at(24 * 12) <= time) && time < at(24 * 22),
        stages: &[Stage {
            on: &["login", "bet_placed", "withdrawal"],
            accepts: |input, time| time < at(24 * 12) || input.game_type == "slots",
            measure: Measure::Count,
            target: 2,
        }],
    },
    Spec {
        id: "g-net",
        window: Window::Once,
        is_active: always,
        stages: &[Stage {
            on: &["bet_placed", "adjustment"],
            accepts: all,
            measure: Measure::Sum { real_money_only: false },
            target: 25,
        }],
    },
    // From here on they ask what others ask, and share with them.
    Spec {
        id: "h-twin",
        window: Window::Week,
        is_active: always,
        stages: &[Stage { on: &["bet_placed"], accepts: all, measure: Measure::Count, target: 5 }],
    },
    Spec {
        id: "i-again",
        window: Window::Once,
        is_active: always,
        stages: &[
            Stage { on: &["bet_placed"], accepts: all, measure: Measure::Count, target: 2 },
            Stage { on: &["bet_placed"], accepts: all, measure: Measure::Count, target: 3 },
        ],
    },
    Spec {
        id: "j-paused-twin",
        window: Window::Day,
        is_active: |time| time < at(24 * 9) || at(24 * 13) <= time,
        stages: &[Stage { on: &["bet_placed"], accepts: all, measure: Measure::Count, target: 2 }],
    },
    Spec {
        id: "k-run-twin",
        window: Window::Week,
        is_active: always,
        stages: &[Stage { on: &["bet_settled"], accepts: |input, _| over(input, 3), measure: Measure::Run, target: 3 }],
    },
    Spec {
        id: "l-max",
        window: Window::Week,
        is_active: always,
        stages: &[Stage { on: &["bet_placed", "adjustment"], accepts: all, measure: Measure::Max, target: 10 }],
    },
    Spec {
        id: "m-max-quest",
        window: Window::Once,
        is_active: always,
        stages: &[
            Stage { on: &["bet_settled"], accepts: all, measure: Measure::Max, target: 5 },
            Stage { on: &["bet_placed"], accepts: all, measure: Measure::Count, target: 2 },
            Stage { on: &["bet_settled", "win"], accepts: all, measure: Measure::Max, target: 10 },
        ],
    },
    Spec {
        id: "n-slots-weigh-half",
        window: Window::Once,
        is_active: always,
        stages: &[Stage {
            on: &["bet_placed", "adjustment"],
            accepts: all,
            measure: Measure::Weighted { real_money_only: false, weights: &[("slots", "0.5")], others: "0" },
            target: 15,
        }],
    },
    Spec {
        id: "o-others-weigh-a-third",
        window: Window::Week,
        is_active: always,
        stages: &[Stage {
            on: &["bet_placed", "bet_settled"],
            accepts: all,
            measure: Measure::Weighted { real_money_only: true, weights: &[("slots", "1")], others: "0.33333333" },
            target: 14,
        }],
    },
    Spec {
        id: "p-max-twin",
        window: Window::Week,
        is_active: always,
        stages: &[Stage { on: &["bet_placed", "adjustment"], accepts: all, measure: Measure::Max, target: 20 }],
    },
    Spec {
        id: "q-days",
        window: Window::Once,
        is_active: always,
        stages: &[Stage {
            on: &["bet_placed", "win", "bet_settled"],
            accepts: all,
            measure: Measure::DayStreak { zone: MALTA },
            target: 4,
        }],
    },
    Spec {
        id: "r-days-a-week",
        window: Window::Week,
        is_active: always,
        stages: &[Stage {
            on: &["bet_placed", "login"],
            accepts: |input, _| input.game_type == "slots",
            measure: Measure::DayStreak { zone: "UTC" },
            target: 2,
        }],
    },
    Spec {
        id: "s-weeks",
        window: Window::Once,
        is_active: always,
        stages: &[Stage {
            on: &["deposit", "withdrawal", "win"],
            accepts: all,
            measure: Measure::WeekStreak { zone: MALTA },
            target: 3,
        }],
    },
    Spec {
        id: "t-streak-quest",
        window: Window::Once,
        is_active: always,
        stages: &[
            Stage { on: &["bet_placed"], accepts: all, measure: Measure::DayStreak { zone: "UTC" }, target: 2 },
            Stage { on: &["bet_settled"], accepts: all, measure: Measure::DayStreak { zone: "UTC" }, target: 2 },
            Stage { on: &["bet_settled"], accepts: all, measure: Measure::Count, target: 2 },
        ],
    },
];

/// The same missions as their definitions, in the order in which they take effect.
pub(crate) fn definitions(lateness_days: i64) -> Vec<DefinitionRecord> {
    let mut all = second_definitions(lateness_days);
    let definition = |id: &str, rest: &str| definition(id, lateness_days, rest);
    all.extend(values::definitions(definition));
    all.extend(repeats::definitions(definition));
    all.sort_by_key(|record| record.ingest_time);
    all
}

/// Those that releases with state of format 2 knew.
pub(crate) fn second_definitions(lateness_days: i64) -> Vec<DefinitionRecord> {
    let mut all = first_definitions(lateness_days);
    all.extend(later_definitions(lateness_days));
    all
}

fn definition(id: &str, lateness_days: i64, rest: &str) -> String {
    format!(
        r#"{{"mission_id":"{id}","version":1,"name":"{id}","status":"active","start":"{}","end":"{}",
            "lateness":"P{lateness_days}D","reward":{{"type":"points","value":"1"}},{rest}}}"#,
        at(-240),
        at(END)
    )
}

/// Of the measures that came after the first release, on offsets of their own.
fn later_definitions(lateness_days: i64) -> impl Iterator<Item = DefinitionRecord> {
    const WEEK: &str = r#""window":{"every":"week"}"#;
    const ONCE: &str = r#""window":{"every":"once"}"#;
    const MALTESE: &str = r#""window":{"every":"once","zone":"Europe/Malta"}"#;
    let stage = |on: &str, measure: &str, target: i64| {
        format!(r#"{{"on":[{on}],"measure":{{{measure}}},"target":"{target}"}}"#)
    };
    let (count, days) = (r#""kind":"count""#, r#""kind":"streak","every":"day""#);
    let slots = stage(r#""bet_placed","login""#, days, 2);
    let slots = slots.replace(r#""measure""#, r#""where":"game_type == 'slots'","measure""#);
    let max = r#""kind":"max","field":"amount""#;
    let (bets, settled) = (r#""bet_placed""#, r#""bet_settled""#);
    let (changes, wins) = (r#""bet_placed","adjustment""#, r#""bet_settled","win""#);
    let half = r#""kind":"sum","field":"amount","weights":{"game_type":{"slots":"0.5"}}"#;
    let third = r#""kind":"sum","field":"amount","real_money_only":true,
        "weights":{"game_type":{"*":"0.33333333","slots":1}}"#;
    let all = [
        ("l-max", WEEK, vec![stage(changes, max, 10)]),
        ("m-max-quest", ONCE, vec![stage(settled, max, 5), stage(bets, count, 2), stage(wins, max, 10)]),
        ("n-slots-weigh-half", ONCE, vec![stage(changes, half, 15)]),
        ("o-others-weigh-a-third", WEEK, vec![stage(r#""bet_placed","bet_settled""#, third, 14)]),
        ("p-max-twin", WEEK, vec![stage(changes, max, 20)]),
        ("q-days", MALTESE, vec![stage(r#""bet_placed","win","bet_settled""#, r#""kind":"streak""#, 4)]),
        ("r-days-a-week", WEEK, vec![slots]),
        ("s-weeks", MALTESE, vec![stage(r#""deposit","withdrawal","win""#, r#""kind":"streak","every":"week""#, 3)]),
        ("t-streak-quest", ONCE, vec![stage(bets, days, 2), stage(settled, days, 2), stage(settled, count, 2)]),
    ];
    all.into_iter().zip(100..).map(move |((id, window, stages), offset)| {
        let rest = format!(r#"{window},"stages":[{}]"#, stages.join(","));
        record(id, Some(definition(id, lateness_days, &rest)), -240, offset)
    })
}

/// Those that the first release knew, which a checkpoint of it goes with.
pub(crate) fn first_definitions(lateness_days: i64) -> Vec<DefinitionRecord> {
    let text = |id: &str, rest: &str| definition(id, lateness_days, rest);
    let day = format!(r#""window":{{"every":"day","zone":"{MALTA}"}}"#);
    let week = r#""window":{"every":"week"}"#;
    let paused = |status: &str, on: &str| {
        let rest = format!(r#"{day},"stages":[{{{on}"measure":{{"kind":"count"}},"target":"2"}}]"#);
        Some(text("f-paused", &rest).replace(r#""status":"active""#, &format!(r#""status":"{status}""#)))
    };
    let sum = r#""measure":{"kind":"sum","field":"amount"}"#;
    let every = r#""on":["login","bet_placed","withdrawal"],"#;
    let slots = r#""on":["login","bet_placed","withdrawal"],"where":"game_type == 'slots'","#;
    let bets = |target| format!(r#"{{"on":["bet_placed"],"measure":{{"kind":"count"}},"target":"{target}"}}"#);
    let twin = |status: &str| {
        let text = text("j-paused-twin", &format!(r#"{day},"stages":[{}]"#, bets(2)));
        Some(text.replace(r#""status":"active""#, &format!(r#""status":"{status}""#)))
    };
    let first = [
        ("a-day", format!(r#"{day},"stages":[{{"on":["bet_placed"],"measure":{{"kind":"count"}},"target":"2"}}]"#)),
        (
            "b-week",
            format!(r#"{week},"stages":[{{"on":["bet_placed"],"where":"game_type == 'slots'",{sum},"target":"15"}}]"#),
        ),
        (
            "c-stages",
            format!(
                r#""stages":[{{"on":["deposit"],"measure":{{"kind":"count"}},"target":"1"}},
                    {{"on":["bet_placed"],{sum},"target":"12"}},
                    {{"on":["win"],"where":"amount > 2","measure":{{"kind":"count"}},"target":"1"}}]"#
            ),
        ),
        (
            "d-run",
            format!(
                r#"{week},"stages":[{{"on":["bet_settled"],"where":"amount > 3","measure":{{"kind":"run"}},"target":"2"}}]"#
            ),
        ),
        (
            "e-settled",
            r#""stages":[{"on":["bet_settled"],"measure":{"kind":"sum","field":"amount","real_money_only":true},
                "target":"30"}]"#
                .to_owned(),
        ),
        ("g-net", format!(r#""stages":[{{"on":["bet_placed","adjustment"],{sum},"target":"25"}}]"#)),
        ("h-twin", format!(r#"{week},"stages":[{}]"#, bets(5))),
        ("i-again", format!(r#""stages":[{},{}]"#, bets(2), bets(3))),
        (
            "k-run-twin",
            format!(
                r#"{week},"stages":[{{"on":["bet_settled"],"where":"amount > 3","measure":{{"kind":"run"}},"target":"3"}}]"#
            ),
        ),
    ];
    let first = first.into_iter().map(|(id, rest)| (id, Some(text(id, &rest)), -240));
    let later = [
        ("f-paused", paused("active", every), -240),
        ("j-paused-twin", twin("active"), -240),
        ("f-paused", paused("paused", every), 24 * 8),
        ("j-paused-twin", twin("paused"), 24 * 9),
        ("f-paused", paused("active", slots), 24 * 12),
        ("j-paused-twin", twin("active"), 24 * 13),
        ("f-paused", None, 24 * 22),
    ];
    first.chain(later).zip(0..).map(|((id, text, hours), offset)| record(id, text, hours, offset)).collect()
}

/// Folds facts to standings, each time from the beginning.
pub(crate) struct MissionOracle {
    pub lateness_days: i64,
}

impl MissionOracle {
    /// Every occurrence that has progress or was completed.
    pub(crate) fn standings(&self, ledger: &LedgerOracle, read: &[Input]) -> BTreeMap<Occurrence, Standing> {
        let newest = read.iter().map(|input| input.ingest_time).max();
        let mut facts_until: BTreeMap<Timestamp, Vec<Fact>> = BTreeMap::new();
        let mut standings = BTreeMap::new();
        let repeats = REPEATS.iter().map(|repeat| (&repeat.spec, Some(repeat)));
        for (spec, repeat) in SPECS.iter().chain(&VALUES).map(|spec| (spec, None)).chain(repeats) {
            let windows: BTreeMap<Timestamp, Timestamp> =
                read.iter().filter_map(|input| spec.window(input.event_time)).collect();
            let mut by_player: BTreeMap<String, Vec<(Timestamp, Vec<Fact>)>> = BTreeMap::new();
            for (start, end) in windows {
                // What came later than this moves the window no more.
                let until = end.plus_micros(self.lateness_days * DAY).min(newest.unwrap());
                let facts =
                    facts_until.entry(until).or_insert_with(|| ledger.facts(&|input| input.ingest_time <= until));
                for fact in facts.iter().filter(|fact| spec.window(fact.time) == Some((start, end))) {
                    let windows = by_player.entry(fact.input.player.to_owned()).or_default();
                    if windows.last().is_none_or(|(window, _)| *window != start) {
                        windows.push((start, Vec::new()));
                    }
                    windows.last_mut().unwrap().1.push(fact.clone());
                }
            }
            for (player, windows) in &by_player {
                let windows = windows.iter().map(|(start, facts)| (*start, facts.iter().collect()));
                let of_player = match repeat {
                    Some(repeat) => repeat.standings(windows.collect()),
                    None => windows.map(|(start, facts)| (start, spec.fold(facts))).collect(),
                };
                for (start, standing) in of_player.into_iter().filter(|(_, standing)| *standing != Standing::default())
                {
                    standings.insert((player.clone(), spec.id.to_owned(), start), standing);
                }
            }
        }
        standings
    }
}

impl Spec {
    fn window(&self, time: Timestamp) -> Option<(Timestamp, Timestamp)> {
        if time < at(-240) || time > at(END) {
            return None;
        }
        let days = |name: &str, back: fn(jiff::civil::Date) -> i8, length: i64| {
            let zone = TimeZone::get(name).unwrap();
            let instant = jiff::Timestamp::from_microsecond(time.micros()).unwrap().to_zoned(zone);
            let start = instant.date().checked_sub(jiff::Span::new().days(back(instant.date()))).unwrap();
            let midnight = |date: jiff::civil::Date| {
                date.to_zoned(instant.time_zone().clone()).unwrap().start_of_day().unwrap().timestamp().into()
            };
            (midnight(start), midnight(start.checked_add(jiff::Span::new().days(length)).unwrap()))
        };
        Some(match self.window {
            Window::Once => (at(-240), at(END)),
            Window::Day => days(MALTA, |_| 0, 1),
            Window::Week => days("UTC", |date| date.weekday().to_monday_zero_offset(), 7),
        })
    }

    pub(super) fn fold(&self, mut facts: Vec<&Fact>) -> Standing {
        facts.sort_by_key(|fact| (fact.time, fact.input.at));
        facts.retain(|fact| (self.is_active)(fact.time));
        let mut after = Timestamp::MIN;
        for (number, stage) in self.stages.iter().enumerate() {
            let seen = facts.iter().filter(|fact| fact.time > after && stage.looks_at(&fact.input));
            let (mut total, mut run, mut reached, mut dates) = (Money::ZERO, 0, None, BTreeSet::new());
            let mut values = BTreeSet::new();
            for fact in seen {
                let qualifies = (stage.accepts)(&fact.input, fact.time);
                match stage.measure {
                    Measure::Run => {
                        run = if qualifies { run + 1 } else { 0 };
                        total = total.max(Money::from_units(run));
                    }
                    _ if !qualifies => {}
                    Measure::Count => total += Money::ONE,
                    Measure::Sum { real_money_only } => total += euros(&fact.input, real_money_only),
                    Measure::Weighted { real_money_only, weights, others } => {
                        let known = weights.iter().find(|(game_type, _)| *game_type == fact.input.game_type);
                        let weight: Money = known.map_or(others, |(_, weight)| weight).parse().unwrap();
                        total += euros(&fact.input, real_money_only).checked_mul(weight).unwrap();
                    }
                    Measure::DayStreak { zone } => {
                        dates.insert(date(fact.time, zone));
                        total = longest(&dates, 1);
                    }
                    Measure::WeekStreak { zone } => {
                        let date = date(fact.time, zone);
                        dates.insert(date - jiff::Span::new().days(date.weekday().to_monday_zero_offset()));
                        total = longest(&dates, 7);
                    }
                    Measure::Distinct { of } => {
                        values.extend(of(&fact.input));
                        total = Money::from_units(i64::try_from(values.len()).unwrap());
                    }
                    Measure::Max => total = total.max(euros(&fact.input, false)),
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

impl Stage {
    /// A win of 0 is not a win for missions.
    fn looks_at(&self, input: &Input) -> bool {
        self.on.contains(&input.name) && !(input.name == "win" && input.amount == Some(Money::ZERO))
    }
}

pub(super) fn date(time: Timestamp, zone: &str) -> Date {
    let instant = jiff::Timestamp::from_microsecond(time.micros()).unwrap();
    instant.to_zoned(TimeZone::get(zone).unwrap()).date()
}

/// The most of `dates` that are each `days` behind the one before.
fn longest(dates: &BTreeSet<Date>, days: i64) -> Money {
    let next = |date: &Date| *date + jiff::Span::new().days(days);
    let from = |first: &Date| std::iter::successors(Some(*first), |date| Some(next(date)));
    let run = |first: &Date| from(first).take_while(|date| dates.contains(date)).count();
    Money::from_units(i64::try_from(dates.iter().map(run).max().unwrap_or(0)).unwrap())
}

/// The amount in EUR; nothing without a rate.
pub(super) fn euros(input: &Input, real_money_only: bool) -> Money {
    let amount = input.amount.unwrap() - if real_money_only { input.bonus } else { Money::ZERO };
    match (input.currency, input.rate) {
        ("EUR", _) => amount,
        (_, Some(rate)) => amount.checked_mul(rate).unwrap(),
        _ => Money::ZERO,
    }
}
