//! Records that are refused for what they are, one defect each.

use crate::Reason;

/// Every refusal that a record alone can show (DOMAIN §2).
pub(super) const DEFECTS: [Reason; 10] = [
    Reason::NotJson,
    Reason::InvalidUtf8,
    Reason::WrongType,
    Reason::MissingField,
    Reason::BadTimestamp,
    Reason::FutureTimestamp,
    Reason::UnknownCurrency,
    Reason::NegativeAmount,
    Reason::AmountOutOfRange,
    Reason::TooLong,
];

/// Spoils the payload of a casino bet, so that it is refused with `reason`. What stands in the event rather than in
/// its text (a time in the future) is spoilt before it is written.
pub(super) fn spoil(payload: &mut Vec<u8>, reason: Reason) {
    match reason {
        Reason::NotJson => payload.truncate(payload.len() / 2),
        // A byte that no UTF-8 text contains, at the end of the last string.
        Reason::InvalidUtf8 => payload.insert(payload.len() - 2, 0xff),
        Reason::WrongType => replace(payload, "bet_amount", "true"),
        Reason::MissingField => replace(payload, "bet_amount", "null"),
        Reason::BadTimestamp => replace(payload, "timestamp", "\"2026-13-45T25:61:00Z\""),
        Reason::UnknownCurrency => replace(payload, "currency", "\"ZZZ\""),
        Reason::NegativeAmount => replace(payload, "bet_amount", "-5.00"),
        Reason::AmountOutOfRange => replace(payload, "bet_amount", "0.123456789"),
        Reason::TooLong => replace(payload, "game_id", &format!("\"{}\"", "x".repeat(501))),
        _ => {}
    }
}

/// Replaces the value of `key` by `value`. No value of a generated payload contains a comma or a brace.
fn replace(payload: &mut Vec<u8>, key: &str, value: &str) {
    let key = format!("\"{key}\":");
    let found = payload.windows(key.len()).position(|window| window == key.as_bytes());
    let start = found.expect("a bet has every key that is replaced") + key.len();
    let end = payload[start..].iter().position(|byte| matches!(byte, b',' | b'}')).expect("an object ends");
    payload.splice(start..start + end, value.bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoilt(reason: Reason) -> Vec<u8> {
        let mut payload =
            br#"{"bet_amount":1.00,"currency":"EUR","game_id":"x","timestamp":"2026-06-01T00:00:00Z","c":"w"}"#
                .to_vec();
        spoil(&mut payload, reason);
        payload
    }

    #[test]
    fn each_defect_is_the_only_one() {
        for reason in DEFECTS {
            let payload = spoilt(reason);
            let is_utf8 = std::str::from_utf8(&payload).is_ok();
            assert_eq!(is_utf8, reason != Reason::InvalidUtf8, "{reason}");
            let is_json = serde_json::from_slice::<serde_json::Value>(&payload).is_ok();
            assert_eq!(is_json, is_utf8 && reason != Reason::NotJson, "{reason}");
        }
        let value = |reason| serde_json::from_slice::<serde_json::Value>(&spoilt(reason)).unwrap();
        assert_eq!(value(Reason::WrongType)["bet_amount"], true);
        assert_eq!(value(Reason::MissingField)["bet_amount"], serde_json::Value::Null);
        assert_eq!(value(Reason::UnknownCurrency)["currency"], "ZZZ");
        assert_eq!(value(Reason::TooLong)["game_id"].as_str().unwrap().len(), 501);
        assert_eq!(value(Reason::NegativeAmount)["timestamp"], "2026-06-01T00:00:00Z");
    }
}
