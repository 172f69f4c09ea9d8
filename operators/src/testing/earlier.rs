//! Missions that count from the start of the window in which they are activated (DOMAIN §4, `count_from`), for the recomputation of gates.

use datasets::Timestamp;

use super::gates::{BETS, Gate, Measure, OPEN, Spec, Stage, gated_definitions};
use super::groups::CONTESTED;
use super::script::{at, record, window_of};
use crate::definitions::DefinitionRecord;

const fn segment(segments: &'static [&'static str]) -> Gate {
    Gate { segments, ..OPEN }
}

const fn after(requires: &'static [&'static str]) -> Gate {
    Gate { requires, ..OPEN }
}

const DEPOSIT: Stage = Stage { on: &["deposit"], measure: Measure::Count, target: 1 };

/// Of all measures and gates, some with edits. Each gate's hours are the activation, or the edit.
pub(crate) const EARLIER: [Spec; 9] = [
    Spec { id: "a-first", window: 0, gates: &[(-240, OPEN)], stages: &[DEPOSIT], repeat: None },
    Spec { id: "b-week", window: 7, gates: &[(24 * 4 + 3, OPEN)], stages: &[BETS], repeat: None },
    Spec {
        id: "c-day",
        window: 1,
        gates: &[(24 * 6 + 13, OPEN)],
        stages: &[Stage { target: 1, ..BETS }],
        repeat: None,
    },
    Spec {
        id: "d-sum",
        window: 7,
        gates: &[(24 * 10 + 7, segment(&["vip"]))],
        stages: &[Stage { on: &["bet_placed", "adjustment", "win"], measure: Measure::Sum, target: 15 }],
        repeat: None,
    },
    Spec {
        id: "e-run",
        window: 7,
        gates: &[(24 * 11 + 1, OPEN), (24 * 12, segment(&["gold", "vip"]))],
        stages: &[Stage { on: &["bet_settled"], measure: Measure::Run, target: 2 }],
        repeat: None,
    },
    Spec {
        id: "f-quest",
        window: 0,
        gates: &[(24 * 9 + 5, OPEN)],
        stages: &[DEPOSIT, Stage { on: &["bet_placed"], measure: Measure::Sum, target: 12 }],
        repeat: None,
    },
    Spec { id: "g-after", window: 0, gates: &[(24 * 13, after(&["a-first"]))], stages: &[BETS], repeat: None },
    Spec {
        id: "h-values",
        window: 7,
        gates: &[(24 * 17 + 2, OPEN)],
        stages: &[Stage { on: &["bet_placed", "bet_settled"], measure: Measure::Amounts, target: 3 }],
        repeat: Some((2, false)),
    },
    Spec {
        id: "j-controls",
        window: 7,
        gates: &[(24 * 5 + 9, OPEN)],
        stages: &[Stage { on: &["segment_entered", "segment_left"], measure: Measure::Count, target: 2 }],
        repeat: None,
    },
];

/// Missions of groups, each activated in the midst of things, in no order of priority: with when the first ones of the same specs are.
pub(crate) fn contested_earlier() -> [Spec; CONTESTED.len()] {
    let activated = [-240, 99, 221, 157, 77, -240, 247, 121, -240, 49, 270, 30];
    let mut specs = CONTESTED;
    for (spec, hours) in specs.iter_mut().zip(activated) {
        let mut gates = spec.gates.to_vec();
        gates[0].0 = hours;
        spec.gates = gates.leak();
    }
    specs
}

/// The definitions, each at its activation.
pub(crate) fn earlier_definitions(specs: &[Spec], lateness_days: i64) -> Vec<DefinitionRecord> {
    let definitions = gated_definitions(specs, lateness_days).into_iter().map(|record| {
        let text = record.text.map(|text| text.replace(r#""status""#, r#""count_from":"window_start","status""#));
        DefinitionRecord { text, ..record }
    });
    definitions.collect()
}

/// The same with drafts from the beginning: players can opt in to these.
pub(crate) fn earlier_definitions_with_drafts(specs: &[Spec], lateness_days: i64) -> Vec<DefinitionRecord> {
    let later = |spec: &&Spec| spec.gates[0].0 > -240;
    let drafts: Vec<Spec> = specs.iter().filter(later).map(|spec| Spec { gates: &spec.gates[..1], ..*spec }).collect();
    let drafts = gated_definitions(&drafts, lateness_days).into_iter().zip(-100..).map(|(definition, offset)| {
        let text = definition.text.map(|text| text.replace("active", "draft"));
        record(&definition.key, text, -240, offset)
    });
    drafts.chain(earlier_definitions(specs, lateness_days)).collect()
}

/// The same missions as they are to count: as if each had been there since the start of its window. With when each was activated.
pub(crate) fn as_if_earlier(specs: &[Spec]) -> (Vec<Spec>, Vec<(&'static str, Timestamp)>) {
    let as_if = |spec: &Spec| {
        let mut gates = spec.gates.to_vec();
        let (start, _) = window_of(spec.window, at(gates[0].0)).expect("it is activated within a window");
        gates[0].0 = start.micros_since(at(0)) / 3_600_000_000;
        Spec { gates: gates.leak(), ..*spec }
    };
    let activated = specs.iter().map(|spec| (spec.id, at(spec.gates[0].0)));
    (specs.iter().map(as_if).collect(), activated.collect())
}
