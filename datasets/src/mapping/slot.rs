//! The places of a payload that a mapping can fill.

use super::json::Value;
use crate::{EventName, TextField};

macro_rules! slots {
    ($($slot:ident = $name:literal,)*) => {
        /// A canonical field, or an alias of one that is tried when the field itself is absent.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(usize)]
        pub(super) enum Slot {
            $($slot,)*
        }

        impl Slot {
            /// Every slot with its name in payloads.
            pub const ALL: &'static [(Slot, &'static str)] = &[$((Slot::$slot, $name),)*];

            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name in payloads and in configuration.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Slot::$slot => $name,)*
                }
            }
        }
    };
}

slots! {
    EventName = "event_name",
    EventId = "event_id",
    PlayerId = "player_id",
    TransactionId = "transaction_id",
    Timestamp = "timestamp",
    Amount = "amount",
    BonusAmount = "bonus_amount",
    JackpotContribution = "jackpot_contribution",
    JackpotWin = "jackpot_win",
    Currency = "currency",
    ExchangeRate = "exchange_rate",
    GameType = "game_type",
    GameId = "game_id",
    MarketType = "market_type",
    Sport = "sport",
    Odds = "odds",
    ReferenceId = "reference_id",
    ReferenceFamily = "reference_family",
    Status = "status",
    SchemaVersion = "schema_version",
    Channel = "channel",
    MissionId = "mission_id",
    Segment = "segment",
    Until = "until",
    Granted = "granted",
    Base = "base",
    Quote = "quote",
    // Aliases.
    UserId = "user_id",
    CustomerId = "customer_id",
    Ts = "ts",
    EventTimestamp = "event_timestamp",
    BetAmount = "bet_amount",
    WinAmount = "win_amount",
    Stake = "stake",
    Payout = "payout",
    DepositAmount = "deposit_amount",
}

impl Slot {
    /// The index into the values found.
    pub fn index(self) -> usize {
        #[expect(clippy::as_conversions, reason = "the discriminant of a repr(usize) enum")]
        let index = self as usize;
        index
    }

    /// The names that mean the same when the field itself is absent, the preferred one first.
    pub const fn aliases(self) -> &'static [Slot] {
        match self {
            Slot::PlayerId => &[Slot::UserId, Slot::CustomerId],
            Slot::Timestamp => &[Slot::Ts, Slot::EventTimestamp],
            Slot::Amount => amount_aliases(EventName::BetPlaced),
            _ => &[],
        }
    }

    /// Where no place is configured, it is looked for under its own name. Payloads may have had names of jackpots, as amounts, totals or
    /// truth values, before they meant anything: these mean something only where the mapping says so.
    pub const fn is_found_by_name(self) -> bool {
        !matches!(self, Slot::JackpotContribution | Slot::JackpotWin)
    }

    /// An envelope may say it once for all of its items: who, what, when, where, in which currency.
    /// Money and ids are never inherited, or one total would count once an item.
    pub const INHERITED: [Slot; 9] = [
        Slot::EventName,
        Slot::PlayerId,
        Slot::Timestamp,
        Slot::Currency,
        Slot::ExchangeRate,
        Slot::GameType,
        Slot::GameId,
        Slot::SchemaVersion,
        Slot::Channel,
    ];

    /// The texts that any event may carry, in the order in which they are checked.
    pub const DESCRIPTIVE: [(Slot, TextField); 9] = [
        (Slot::GameType, TextField::GameType),
        (Slot::GameId, TextField::GameId),
        (Slot::MarketType, TextField::MarketType),
        (Slot::Sport, TextField::Sport),
        (Slot::ReferenceId, TextField::ReferenceId),
        (Slot::Status, TextField::Status),
        (Slot::SchemaVersion, TextField::SchemaVersion),
        (Slot::Channel, TextField::Channel),
        (Slot::EventId, TextField::EventId),
    ];

    /// The texts that mean something on control events and reversals only.
    pub const CONTROL: [(Slot, TextField); 5] = [
        (Slot::ReferenceFamily, TextField::ReferenceFamily),
        (Slot::MissionId, TextField::MissionId),
        (Slot::Segment, TextField::Segment),
        (Slot::Base, TextField::Base),
        (Slot::Quote, TextField::Quote),
    ];
}

/// The aliases of `amount`. A settlement may carry its stake beside the payout, and a win the bet
/// that won: what the event itself moved goes first.
pub(super) const fn amount_aliases(name: EventName) -> &'static [Slot] {
    use Slot::{BetAmount, DepositAmount, Payout, Stake, WinAmount};
    match name {
        EventName::Win | EventName::BetSettled => &[WinAmount, Payout, BetAmount, Stake, DepositAmount],
        EventName::Deposit | EventName::Withdrawal => &[DepositAmount, BetAmount, Stake, WinAmount, Payout],
        _ => &[BetAmount, Stake, WinAmount, Payout, DepositAmount],
    }
}

/// The values of one payload, by slot.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    values: [Value<'a>; Slot::COUNT],
    /// One bit for each slot that has a value.
    set: u64,
    /// The payload holds something that is redacted.
    pub redacted: bool,
}

impl<'a> Found<'a> {
    /// Nothing found yet.
    pub const fn new() -> Self {
        Found { values: [Value::ABSENT; Slot::COUNT], set: 0, redacted: false }
    }

    /// The value of a slot.
    #[inline]
    pub fn get(&self, slot: Slot) -> Value<'a> {
        self.values[slot.index()]
    }

    /// Sets the value of a slot; `null` and empty texts count as absent.
    #[inline]
    pub fn set(&mut self, slot: Slot, value: Value<'a>) {
        let bit = 1 << slot.index();
        if value.is_absent() {
            self.values[slot.index()] = Value::ABSENT;
            self.set &= !bit;
        } else {
            self.values[slot.index()] = value;
            self.set |= bit;
        }
    }

    /// The slot has a value.
    #[inline]
    pub fn has(&self, slot: Slot) -> bool {
        self.set & 1 << slot.index() != 0
    }

    /// The slot that has the value of `field`: its own, or else that of an alias.
    pub fn place(&self, field: Slot, aliases: &[Slot]) -> Slot {
        if self.has(field) {
            return field;
        }
        aliases.iter().copied().find(|alias| self.has(*alias)).unwrap_or(field)
    }

    /// Takes what an envelope says for all of its items and this one does not say itself.
    pub fn inherit(&mut self, envelope: &Found<'a>) {
        for field in Slot::INHERITED {
            if !self.has(self.place(field, field.aliases())) {
                let place = envelope.place(field, field.aliases());
                self.set(place, envelope.get(place));
            }
        }
    }
}
