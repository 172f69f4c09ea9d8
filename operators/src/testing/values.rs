//! Missions that count different values, for recomputation from facts (DOMAIN §4).

use super::missions::{Measure, Spec, Stage, Window, all, always, over};
use super::{Input, record};
use crate::definitions::DefinitionRecord;

pub(super) const VALUES: [Spec; 4] = [
    Spec {
        id: "u-amounts",
        window: Window::Week,
        is_active: always,
        stages: &[Stage {
            on: &["bet_placed", "win", "bet_settled"],
            accepts: all,
            measure: Measure::Distinct { of: amount_of_its_currency },
            target: 4,
        }],
    },
    Spec {
        id: "v-amounts-twin",
        window: Window::Week,
        is_active: always,
        stages: &[Stage {
            on: &["bet_placed", "win", "bet_settled"],
            accepts: all,
            measure: Measure::Distinct { of: amount_of_its_currency },
            target: 2,
        }],
    },
    Spec {
        id: "w-statuses",
        window: Window::Once,
        is_active: always,
        stages: &[Stage {
            on: &["deposit", "withdrawal"],
            accepts: all,
            measure: Measure::Distinct { of: |input| input.status.map(str::to_owned) },
            target: 2,
        }],
    },
    Spec {
        id: "x-values-quest",
        window: Window::Once,
        is_active: always,
        stages: &[
            Stage {
                on: &["bet_placed"],
                accepts: all,
                measure: Measure::Distinct { of: |input| Some(input.game_type.to_owned()) },
                target: 2,
            },
            Stage {
                on: &["bet_placed"],
                accepts: |input, _| over(input, 1),
                measure: Measure::Distinct { of: |input| Some(input.id.clone()) },
                target: 3,
            },
        ],
    },
];

pub(super) fn amount_of_its_currency(input: &Input) -> Option<String> {
    Some(format!("{} {}", input.amount?, input.currency))
}

/// Their definitions, on offsets of their own.
pub(super) fn definitions(definition: impl Fn(&str, &str) -> String) -> Vec<DefinitionRecord> {
    const WEEK: &str = r#""window":{"every":"week"}"#;
    const ONCE: &str = r#""window":{"every":"once"}"#;
    let stage = |on: &str, field: &str, target: i64| {
        let measure = format!(r#""measure":{{"kind":"distinct","field":"{field}"}}"#);
        format!(r#"{{"on":[{on}],{measure},"target":"{target}"}}"#)
    };
    let money = r#""bet_placed","win","bet_settled""#;
    let over_one = stage(r#""bet_placed""#, "transaction_id", 3);
    let over_one = over_one.replace(r#""measure""#, r#""where":"amount > 1","measure""#);
    let all = [
        ("u-amounts", WEEK, vec![stage(money, "amount", 4)]),
        ("v-amounts-twin", WEEK, vec![stage(money, "amount", 2)]),
        ("w-statuses", ONCE, vec![stage(r#""deposit","withdrawal""#, "status", 2)]),
        ("x-values-quest", ONCE, vec![stage(r#""bet_placed""#, "game_type", 2), over_one]),
    ];
    let records = all.into_iter().zip(200..).map(|((id, window, stages), offset)| {
        let rest = format!(r#"{window},"stages":[{}]"#, stages.join(","));
        record(id, Some(definition(id, &rest)), -240, offset)
    });
    records.collect()
}
