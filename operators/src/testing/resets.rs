//! Missions that start anew at a second opt-in (DOMAIN §4), for the recomputation of gates: what repeats, carries over, or
//! counts different values.

use super::gates::{BETS, Gate, Measure, OPEN, RESET, Spec, Stage};

const GAMES: Stage = Stage { on: &["bet_placed", "bet_settled"], measure: Measure::Games, target: 2 };
const AMOUNTS: Stage = Stage { on: &["bet_placed", "win"], measure: Measure::Amounts, target: 2 };
const SUM: Stage = Stage { on: &["bet_placed", "bet_settled"], measure: Measure::Sum, target: 8 };

/// Values, laps and edits.
pub(crate) const RESETTING: [Spec; 6] = [
    Spec { id: "k-games", window: 0, gates: &[(-240, RESET)], stages: &[GAMES, AMOUNTS], repeat: None },
    Spec { id: "l-amounts", window: 7, gates: &[(-240, RESET)], stages: &[AMOUNTS], repeat: None },
    Spec { id: "m-laps", window: 7, gates: &[(-240, RESET)], stages: &[BETS], repeat: Some((2, false)) },
    Spec { id: "n-carry", window: 0, gates: &[(-240, RESET)], stages: &[SUM], repeat: Some((4, true)) },
    Spec {
        id: "o-laps-of-values",
        window: 0,
        gates: &[(-240, RESET)],
        stages: &[AMOUNTS, GAMES],
        repeat: Some((3, false)),
    },
    Spec {
        id: "p-edited-values",
        window: 0,
        gates: &[(-240, OPEN), (24 * 8, RESET), (24 * 16, Gate { segments: &["vip"], ..RESET })],
        stages: &[AMOUNTS],
        repeat: Some((5, false)),
    },
];
