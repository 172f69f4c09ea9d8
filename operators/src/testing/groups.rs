//! Missions of exclusive groups (DOMAIN §4, `exclusive_group`), for the recomputation of gates.

use super::gates::{BETS, Gate, Measure, OPEN, Spec, Stage};

const fn first(priority: i64) -> Gate {
    Gate { group: Some(("first", priority)), ..OPEN }
}

const fn second(priority: i64) -> Gate {
    Gate { group: Some(("second", priority)), ..OPEN }
}

const ONE: Stage = Stage { target: 1, ..BETS };

/// Overlapping events, windows and priorities, some of which change.
pub(crate) const GROUPED: [Spec; 10] = [
    Spec { id: "a-bets", window: 1, gates: &[(-240, first(0))], stages: &[BETS], repeat: None },
    Spec {
        id: "b-most",
        window: 7,
        gates: &[(-240, first(-1))],
        stages: &[Stage { on: &["bet_placed", "bet_settled", "win"], measure: Measure::Sum, target: 15 }],
        repeat: None,
    },
    Spec {
        id: "c-quest",
        window: 0,
        gates: &[(-240, first(-1)), (24 * 10, first(5)), (24 * 20, OPEN)],
        stages: &[Stage { on: &["deposit"], measure: Measure::Count, target: 1 }, Stage { on: &["win"], ..BETS }],
        repeat: None,
    },
    Spec {
        id: "d-run",
        window: 0,
        gates: &[(-240, first(7))],
        stages: &[Stage { on: &["bet_settled"], measure: Measure::Run, target: 2 }],
        repeat: None,
    },
    Spec { id: "e-alone", window: 1, gates: &[(-240, OPEN)], stages: &[ONE], repeat: None },
    Spec { id: "f-tie", window: 1, gates: &[(-240, second(3))], stages: &[ONE], repeat: None },
    Spec {
        id: "g-tie",
        window: 7,
        gates: &[(-240, second(3))],
        stages: &[Stage { on: &["bet_placed", "win"], ..BETS }],
        repeat: None,
    },
    Spec {
        id: "h-later",
        window: 1,
        gates: &[(24 * 6, second(9))],
        stages: &[Stage { on: &["win"], ..ONE }],
        repeat: None,
    },
    Spec {
        id: "i-moves",
        window: 7,
        gates: &[(-240, second(4)), (24 * 5, first(8)), (24 * 9, OPEN), (24 * 15, second(2))],
        stages: &[Stage { on: &["bet_placed", "adjustment"], measure: Measure::Sum, target: 12 }],
        repeat: None,
    },
    Spec {
        id: "j-behind",
        window: 7,
        gates: &[(-240, second(-3))],
        // Left to it are deposits, which are rare.
        stages: &[Stage { on: &["bet_placed", "win", "deposit"], ..ONE }],
        repeat: None,
    },
];
