//! Jackpots and chargebacks in scripts.

use datasets::Money;

use super::script::random_script_of;
use super::settlements::settling_input;
use super::{Input, Rng};

/// As [`random_script_with_settlements`](super::random_script_with_settlements), with parts of jackpots, and chargebacks.
pub(crate) fn random_script_with_money(rng: &mut Rng, len: usize) -> Vec<Input> {
    random_script_of(rng, len, |rng, script, hours| with_money(settling_input(rng, script, hours)))
}

/// The same for equal inputs, so that duplicates stay duplicates.
fn with_money(input: Input) -> Input {
    let amount = input.amount.unwrap_or_default();
    let part = |of: i128| Money::from_raw(amount.raw() / of);
    let is_large = input.player == "r" && input.id == "t8";
    match input.name {
        // A part that no plain transaction has room for.
        "bet_placed" | "win" | "bet_settled" if is_large => {
            let (amount, jackpot) = (Some(Money::from_units(5_000_000)), Money::from_units(3_000_000));
            Input { amount, jackpot, ..input }
        }
        "bet_placed" => Input { jackpot: part(100), ..input },
        "win" | "bet_settled" if input.game_type == "slots" => Input { jackpot: part(2), ..input },
        "adjustment" => {
            let amount = input.amount.map(|amount| if amount.is_negative() { -amount } else { amount });
            Input { name: "chargeback", amount, ..input }
        }
        "reversal" if input.family == Some("deposit") => Input { family: Some("chargeback"), ..input },
        _ => input,
    }
}
