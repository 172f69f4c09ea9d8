//! Missions that repeat, recomputed from facts (DOMAIN §4).

use datasets::{Money, Timestamp};
use jiff::civil::Date;

use super::missions::{MALTA, Measure, Spec, Stage, Standing, Window, all, always, date, over};
use super::values::amount_of_its_currency;
use super::{Fact, record};
use crate::definitions::DefinitionRecord;

/// What a limit is of.
#[derive(Clone, Copy)]
enum Per {
    Window,
    Day,
    Week,
    Month,
}

pub(super) struct Repeat {
    pub(super) spec: Spec,
    limit: usize,
    per: Per,
    /// Of periods.
    zone: &'static str,
    carry: bool,
}

const fn one(on: &'static [&'static str], measure: Measure, target: i64) -> Stage {
    Stage { on, accepts: all, measure, target }
}

const fn spec(id: &'static str, window: Window, stages: &'static [Stage]) -> Spec {
    Spec { id, window, is_active: always, stages }
}

pub(super) const REPEATS: [Repeat; 8] = [
    Repeat {
        spec: spec(
            "ya-carry",
            Window::Week,
            &[one(&["bet_placed", "adjustment"], Measure::Sum { real_money_only: false }, 7)],
        ),
        limit: 2,
        per: Per::Day,
        zone: "UTC",
        carry: true,
    },
    Repeat {
        spec: spec(
            "yb-lapse",
            Window::Once,
            &[one(&["bet_placed", "adjustment"], Measure::Sum { real_money_only: false }, 7)],
        ),
        limit: 5,
        per: Per::Window,
        zone: "UTC",
        carry: false,
    },
    // Days share the limit of a week, weeks that of a month.
    Repeat {
        spec: spec("yc-days", Window::Day, &[one(&["bet_placed"], Measure::Count, 1)]),
        limit: 3,
        per: Per::Week,
        zone: MALTA,
        carry: false,
    },
    Repeat {
        spec: spec("yd-weeks", Window::Week, &[one(&["bet_placed", "win"], Measure::Count, 2)]),
        limit: 4,
        per: Per::Month,
        zone: "UTC",
        carry: false,
    },
    Repeat {
        spec: spec(
            "ye-quest",
            Window::Once,
            &[one(&["deposit"], Measure::Count, 1), one(&["bet_placed"], Measure::Count, 2)],
        ),
        limit: 1,
        per: Per::Week,
        zone: "UTC",
        carry: false,
    },
    Repeat {
        spec: spec(
            "yf-streak",
            Window::Once,
            &[one(&["bet_placed", "win", "bet_settled"], Measure::DayStreak { zone: "UTC" }, 2)],
        ),
        limit: 9,
        per: Per::Window,
        zone: "UTC",
        carry: false,
    },
    Repeat {
        spec: spec(
            "yg-values",
            Window::Once,
            &[one(&["bet_placed", "win"], Measure::Distinct { of: amount_of_its_currency }, 2)],
        ),
        limit: 2,
        per: Per::Month,
        zone: "UTC",
        carry: false,
    },
    Repeat {
        spec: spec(
            "yh-run",
            Window::Day,
            &[Stage { on: &["bet_settled"], accepts: |input, _| over(input, 3), measure: Measure::Run, target: 1 }],
        ),
        limit: 2,
        per: Per::Month,
        zone: MALTA,
        carry: false,
    },
];

impl Repeat {
    /// The same as a definition, behind its other members.
    fn rest(&self) -> String {
        let window = match self.spec.window {
            Window::Once => r#""window":{"every":"once"}"#.to_owned(),
            Window::Day => format!(r#""window":{{"every":"day","zone":"{MALTA}"}}"#),
            Window::Week => r#""window":{"every":"week"}"#.to_owned(),
        };
        let stages = self.spec.stages.iter().map(|stage| {
            let measure = match stage.measure {
                Measure::Sum { .. } => r#""kind":"sum","field":"amount""#,
                Measure::DayStreak { .. } => r#""kind":"streak""#,
                Measure::Distinct { .. } => r#""kind":"distinct","field":"amount""#,
                Measure::Run => r#""kind":"run""#,
                _ => r#""kind":"count""#,
            };
            let condition = if matches!(stage.measure, Measure::Run) { r#""where":"amount > 3","# } else { "" };
            let on = format!("{:?}", stage.on);
            format!(r#"{{"on":{on},{condition}"measure":{{{measure}}},"target":"{}"}}"#, stage.target)
        });
        let per = match self.per {
            Per::Window => "window",
            Per::Day => "day",
            Per::Week => "week",
            Per::Month => "month",
        };
        let repeat = format!(r#"{{"limit":{},"per":"{per}","carry":{}}}"#, self.limit, self.carry);
        format!(r#"{window},"repeat":{repeat},"stages":[{}]"#, stages.collect::<Vec<_>>().join(","))
    }

    /// The laps of one window from its facts, and the progress of the lap under way.
    fn laps(&self, mut facts: Vec<&Fact>) -> (Vec<Timestamp>, Money) {
        facts.sort_by_key(|fact| (fact.time, fact.input.at));
        let (mut laps, mut carried) = (Vec::new(), Money::ZERO);
        let target = Money::from_units(self.spec.stages[0].target);
        loop {
            let fold = |facts: &[&Fact]| self.spec.fold(facts.to_vec());
            // The fewest facts that complete; one alone may, several times.
            let completes = |facts: &[&Fact]| match self.carry {
                true => fold(facts).progress + carried >= target,
                false => !fold(facts).completed_at.is_empty(),
            };
            let first = usize::from(!self.carry);
            let Some(count) = (first..=facts.len()).find(|count| completes(&facts[..*count])) else {
                return (laps, fold(&facts).progress + carried);
            };
            let progress = fold(&facts[..count]).progress;
            laps.push(count.checked_sub(1).map_or_else(|| *laps.last().unwrap(), |last| facts[last].time));
            if self.carry {
                carried += progress - target;
            }
            facts.drain(..count);
            if let Measure::DayStreak { zone } = self.spec.stages[0].measure {
                let day = date(*laps.last().unwrap(), zone);
                facts.retain(|fact| date(fact.time, zone) > day);
            }
        }
    }

    fn period(&self, window: Timestamp, time: Timestamp) -> (Timestamp, Date) {
        let date = date(time, self.zone);
        let none = Timestamp::MIN;
        match self.per {
            Per::Window => (window, Date::ZERO),
            Per::Day => (none, date),
            Per::Week => (none, date - jiff::Span::new().days(date.weekday().to_monday_zero_offset())),
            Per::Month => (none, date.first_of_month()),
        }
    }

    /// Standings of a player in windows, which are in order, by their facts.
    pub(super) fn standings(&self, windows: Vec<(Timestamp, Vec<&Fact>)>) -> Vec<(Timestamp, Standing)> {
        let mut counted = Vec::new();
        let standings = windows.into_iter().map(|(window, facts)| {
            let (mut completed_at, (laps, progress)) = (Vec::new(), self.laps(facts));
            for time in laps {
                let period = self.period(window, time);
                if counted.iter().filter(|other| **other == period).count() < self.limit {
                    counted.push(period);
                    completed_at.push(time);
                }
            }
            (window, Standing { completed_at, progress })
        });
        standings.collect()
    }
}

/// Their definitions, on offsets of their own.
pub(super) fn definitions(definition: impl Fn(&str, &str) -> String) -> Vec<DefinitionRecord> {
    let records = REPEATS.iter().zip(300..).map(|(repeat, offset)| {
        let id = repeat.spec.id;
        record(id, Some(definition(id, &repeat.rest())), -240, offset)
    });
    records.collect()
}
