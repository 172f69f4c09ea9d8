//! Why an input was refused (DOMAIN §2, "Refused").

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// Why an input became a dead letter. The names are a contract with those who read them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &[Reason] = &[$(Reason::$variant,)*];

            /// The name in outputs.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Reason::$variant => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// The record is not a JSON object.
    NotJson = "not_json",
    /// The record is not UTF-8.
    InvalidUtf8 = "invalid_utf8",
    /// A mapped field has another JSON type than it needs.
    WrongType = "wrong_type",
    /// A required field is absent, null or empty.
    MissingField = "missing_field",
    /// The timestamp has none of the accepted forms.
    BadTimestamp = "bad_timestamp",
    /// The event is further ahead of its own ingest time than `max_future`.
    FutureTimestamp = "future_timestamp",
    /// Neither ISO 4217 nor a configured extra code.
    UnknownCurrency = "unknown_currency",
    /// A bet, win, settlement, deposit, withdrawal or bonus below zero.
    NegativeAmount = "negative_amount",
    /// More than eight decimal places, or too large to be summed exactly.
    AmountOutOfRange = "amount_out_of_range",
    /// A mapped string of over 500 characters.
    TooLong = "too_long",
    /// A control event that controls nothing known.
    BadControlEvent = "bad_control_event",
    /// A known transaction id with other content.
    IdempotencyConflict = "idempotency_conflict",
    /// A reversal whose transaction did not come within `orphan_wait`.
    OrphanReversal = "orphan_reversal",
    /// A reversal of a transaction older than the ledger.
    ExpiredReference = "expired_reference",
    /// A mission definition with errors.
    InvalidDefinition = "invalid_definition",
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
