//! Missions that completions of others unlock (DOMAIN §4, `requires`), for the recomputation of gates.

use super::gates::{Again, BETS, Gate, Measure, OPEN, Spec, Stage};

const fn after(requires: &'static [&'static str]) -> Gate {
    Gate { requires, ..OPEN }
}

const SETTLED: Stage = Stage { on: &["bet_settled", "win"], measure: Measure::Count, target: 2 };
const DEPOSIT: Stage = Stage { on: &["deposit"], measure: Measure::Count, target: 1 };

/// Chains, several that are required, missions that are defined later than what asks for them, or never.
pub(crate) const UNLOCKING: [Spec; 12] = [
    Spec { id: "a-first", window: 0, gates: &[(-240, OPEN)], stages: &[DEPOSIT], repeat: None },
    Spec { id: "b-days", window: 1, gates: &[(-240, OPEN)], stages: &[BETS], repeat: None },
    Spec {
        id: "c-second",
        window: 7,
        gates: &[(-240, after(&["a-first"]))],
        stages: &[Stage { on: &["bet_placed"], measure: Measure::Sum, target: 10 }],
        repeat: None,
    },
    Spec {
        id: "d-third",
        window: 0,
        gates: &[(-240, after(&["c-second"]))],
        stages: &[Stage { target: 1, ..BETS }, Stage { target: 2, ..SETTLED }],
        repeat: None,
    },
    Spec { id: "e-both", window: 7, gates: &[(-240, after(&["a-first", "b-days"]))], stages: &[SETTLED], repeat: None },
    Spec {
        id: "f-run",
        window: 0,
        gates: &[(-240, after(&["b-days"]))],
        stages: &[Stage { on: &["bet_settled"], measure: Measure::Run, target: 2 }],
        repeat: None,
    },
    Spec {
        id: "g-edited",
        window: 7,
        gates: &[(-240, OPEN), (24 * 8, after(&["b-days"])), (24 * 16, after(&["a-first", "d-third"]))],
        stages: &[Stage { on: &["bet_placed", "win"], measure: Measure::Sum, target: 12 }],
        repeat: None,
    },
    // It comes before the mission that it asks for, in ids and in time.
    Spec {
        id: "h-early",
        window: 1,
        gates: &[(-240, after(&["z-late"]))],
        stages: &[Stage { target: 1, ..BETS }],
        repeat: None,
    },
    Spec { id: "i-never", window: 1, gates: &[(-240, after(&["a-first", "nobody"]))], stages: &[BETS], repeat: None },
    Spec {
        id: "b-reset",
        window: 7,
        gates: &[(-240, Gate { opt_in: Some(Again::Reset), ..after(&["a-opt-in"]) })],
        stages: &[BETS],
        repeat: None,
    },
    Spec {
        id: "a-opt-in",
        window: 1,
        gates: &[(-240, Gate { opt_in: Some(Again::Resume), ..OPEN })],
        stages: &[Stage { target: 1, ..BETS }],
        repeat: None,
    },
    // Nobody opts in to it before it is there: that would be refused.
    Spec {
        id: "z-late",
        window: 7,
        gates: &[(-240, Gate { segments: &["vip"], ..OPEN }), (24 * 3, OPEN)],
        stages: &[BETS],
        repeat: None,
    },
];
