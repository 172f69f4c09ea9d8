//! Missions of exclusive groups (DOMAIN §4, `exclusive_group`), for the recomputation of gates.

use super::gates::{Again, BETS, Gate, Measure, OPEN, Spec, Stage};

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

/// Of a group, with this priority.
const fn of(group: &'static str, priority: i64, gate: Gate) -> Gate {
    Gate { group: Some((group, priority)), ..gate }
}

const fn after(requires: &'static [&'static str]) -> Gate {
    Gate { requires, ..OPEN }
}

const fn opt_in(again: Again) -> Gate {
    Gate { opt_in: Some(again), ..OPEN }
}

const fn segment(segments: &'static [&'static str]) -> Gate {
    Gate { segments, ..OPEN }
}

const SETTLED: Stage = Stage { on: &["bet_settled"], ..BETS };

/// Groups whose missions have gates: those that players are in for, those that completions unlock, also of one another.
pub(crate) const CONTESTED: [Spec; 12] = [
    // Each takes the bets from the one before, as soon as that is completed.
    Spec { id: "a-bronze", window: 7, gates: &[(-240, of("ladder", 1, OPEN))], stages: &[BETS], repeat: None },
    Spec {
        id: "b-silver",
        window: 7,
        gates: &[(-240, of("ladder", 2, after(&["a-bronze"])))],
        stages: &[Stage { on: &["bet_placed", "win"], ..BETS }],
        repeat: Some((3, false)),
    },
    Spec {
        id: "c-gold",
        window: 0,
        gates: &[(-240, of("ladder", 3, after(&["b-silver"])))],
        stages: &[Stage { on: &["bet_placed", "bet_settled"], measure: Measure::Sum, target: 10 }],
        repeat: None,
    },
    Spec { id: "d-vip", window: 1, gates: &[(-240, of("first", 5, segment(&["vip"])))], stages: &[BETS], repeat: None },
    Spec {
        id: "e-opted",
        window: 7,
        gates: &[(-240, of("first", 4, opt_in(Again::Resume)))],
        stages: &[Stage { on: &["bet_placed", "bet_settled"], measure: Measure::Sum, target: 8 }],
        repeat: None,
    },
    Spec { id: "f-all", window: 7, gates: &[(-240, of("first", 0, OPEN))], stages: &[BETS], repeat: None },
    Spec {
        id: "g-reset",
        window: 7,
        gates: &[(-240, of("first", -1, opt_in(Again::Reset)))],
        stages: &[Stage { on: &["bet_placed", "win", "deposit"], ..BETS }],
        repeat: None,
    },
    Spec {
        id: "h-run",
        window: 0,
        gates: &[(-240, of("second", 1, segment(&["gold", "vip"])))],
        stages: &[Stage { on: &["bet_settled"], measure: Measure::Run, target: 2 }],
        repeat: None,
    },
    Spec {
        id: "i-settled",
        window: 1,
        gates: &[(-240, of("second", 0, OPEN))],
        stages: &[SETTLED],
        repeat: Some((2, true)),
    },
    Spec {
        id: "j-moves",
        window: 7,
        gates: &[
            (-240, of("second", 3, opt_in(Again::Resume))),
            (24 * 6, of("first", 9, OPEN)),
            (24 * 12, of("second", -1, segment(&["vip"]))),
            (24 * 18, of("second", 5, after(&["f-all"]))),
        ],
        stages: &[Stage { on: &["bet_settled", "bet_placed"], measure: Measure::Sum, target: 12 }],
        repeat: None,
    },
    Spec {
        id: "k-outside",
        window: 0,
        gates: &[(-240, OPEN)],
        stages: &[Stage { on: &["deposit"], ..ONE }],
        repeat: None,
    },
    Spec {
        id: "l-after",
        window: 1,
        gates: &[(-240, of("first", 7, after(&["k-outside"])))],
        stages: &[Stage { on: &["bet_placed", "win"], measure: Measure::Sum, target: 15 }],
        repeat: None,
    },
];
