//! The canonical event (DOMAIN §2), stored in batches.
//!
//! A batch keeps the text of all its events in one buffer, so decoding an event allocates nothing
//! of its own and a batch crosses to another worker, or to the lake's writer, as one value.

mod batch;
mod row;

use serde::{Deserialize, Serialize};

use crate::hash::KeyGroup;
use crate::{Money, Timestamp};

pub use batch::{BatchPool, EventBatch};
pub use row::{EventRow, Row};

/// What happened. Any name that is not known is [`EventName::Custom`]: it counts in missions and
/// stays in history, its text is [`Event::event_name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the variants are the names of DOMAIN §2")]
pub enum EventName {
    BetPlaced,
    BetSettled,
    Win,
    Reversal,
    Deposit,
    Withdrawal,
    BonusGranted,
    Adjustment,
    Login,
    Registration,
    Kyc,
    SelfExcluded,
    CooledOff,
    ExclusionLifted,
    ConsentChanged,
    OptedIn,
    OptedOut,
    SegmentEntered,
    SegmentLeft,
    Rate,
    Custom,
    PointsSpent,
    Chargeback,
}

impl EventName {
    /// Every known name with its text, but for [`CHARGEBACK`](Self::CHARGEBACK).
    pub const KNOWN: [(&'static str, EventName); 21] = [
        ("bet_placed", EventName::BetPlaced),
        ("bet_settled", EventName::BetSettled),
        ("win", EventName::Win),
        ("reversal", EventName::Reversal),
        ("deposit", EventName::Deposit),
        ("withdrawal", EventName::Withdrawal),
        ("bonus_granted", EventName::BonusGranted),
        ("adjustment", EventName::Adjustment),
        ("login", EventName::Login),
        ("registration", EventName::Registration),
        ("kyc", EventName::Kyc),
        ("self_excluded", EventName::SelfExcluded),
        ("cooled_off", EventName::CooledOff),
        ("exclusion_lifted", EventName::ExclusionLifted),
        ("consent_changed", EventName::ConsentChanged),
        ("opted_in", EventName::OptedIn),
        ("opted_out", EventName::OptedOut),
        ("segment_entered", EventName::SegmentEntered),
        ("segment_left", EventName::SegmentLeft),
        ("rate", EventName::Rate),
        ("points_spent", EventName::PointsSpent),
    ];

    /// What [`EventName::Chargeback`] is called.
    pub const CHARGEBACK: &str = "chargeback";

    /// The known name of an event that is called `text`. A chargeback is known where its source `books_chargebacks`, since it was a custom event before there
    /// were any; no name of DOMAIN §2 is made of it without a word of the operator.
    pub fn of_source(text: &str, books_chargebacks: bool) -> Self {
        if books_chargebacks && text == Self::CHARGEBACK { EventName::Chargeback } else { Self::of(text) }
    }

    /// The known name of `text` that it has in every source, else [`EventName::Custom`].
    pub fn of(text: &str) -> Self {
        Self::KNOWN.iter().find(|(name, _)| *name == text).map_or(EventName::Custom, |(_, name)| *name)
    }

    /// The identity family, for the names that share one with no other kind of event.
    pub fn family(self) -> Family {
        match self {
            EventName::BetPlaced => Family::Bet,
            EventName::BetSettled => Family::Settlement,
            EventName::Win => Family::Win,
            EventName::Deposit => Family::Deposit,
            EventName::Withdrawal => Family::Withdrawal,
            EventName::BonusGranted => Family::Bonus,
            EventName::Adjustment => Family::Adjustment,
            EventName::Reversal => Family::Reversal,
            EventName::PointsSpent => Family::PointsSpent,
            EventName::Chargeback => Family::Chargeback,
            _ => Family::Other,
        }
    }

    /// An `amount` is required. (A reversal takes the amount of what it reverses.)
    pub fn is_money(self) -> bool {
        !matches!(self.family(), Family::Reversal | Family::Other)
    }
}

/// The part of a transaction's identity that keeps a bet, its settlement and a deposit with one
/// id apart (DOMAIN §2, "Identity").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the variants are the families of DOMAIN §2")]
pub enum Family {
    Bet,
    Win,
    Settlement,
    Deposit,
    Withdrawal,
    Bonus,
    Adjustment,
    Reversal,
    /// Each other event name is a family of its own: the event's name tells them apart.
    Other,
    PointsSpent,
    Chargeback,
}

impl Family {
    /// The families that a reversal can name, in the order in which one without `reference_family` looks for its
    /// transaction.
    pub const REVERSIBLE: [(&'static str, Family); 10] = [
        ("bet", Family::Bet),
        ("win", Family::Win),
        ("settlement", Family::Settlement),
        ("deposit", Family::Deposit),
        ("withdrawal", Family::Withdrawal),
        ("bonus", Family::Bonus),
        ("adjustment", Family::Adjustment),
        ("reversal", Family::Reversal),
        ("points_spent", Family::PointsSpent),
        ("chargeback", Family::Chargeback),
    ];

    /// The family with this name, as written in `reference_family` and in configuration.
    pub fn named(text: &str) -> Option<Self> {
        Self::REVERSIBLE.iter().find(|(name, _)| *name == text).map(|(_, family)| *family)
    }
}

/// The text fields of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the variants are the fields of DOMAIN §2")]
#[repr(usize)]
pub enum TextField {
    EventName,
    PlayerId,
    TransactionId,
    EventId,
    Currency,
    GameType,
    GameId,
    MarketType,
    Sport,
    ReferenceId,
    ReferenceFamily,
    Status,
    SchemaVersion,
    Channel,
    MissionId,
    Segment,
    Base,
    Quote,
    /// The event's own JSON object after redaction: history keeps it, conditions look into it.
    Payload,
}

impl TextField {
    /// How many there are, the payload apart.
    pub const COUNT: usize = 18;

    /// The mapped fields that decide whether two events under one key are the same
    /// (DOMAIN §2: not `event_id`, not unknown attributes).
    const CONTENT: [TextField; 16] = [
        TextField::EventName,
        TextField::Currency,
        TextField::GameType,
        TextField::GameId,
        TextField::MarketType,
        TextField::Sport,
        TextField::ReferenceId,
        TextField::ReferenceFamily,
        TextField::Status,
        TextField::SchemaVersion,
        TextField::Channel,
        TextField::MissionId,
        TextField::Segment,
        TextField::Base,
        TextField::Quote,
        TextField::PlayerId,
    ];

    /// Its place among the fields; the payload's is behind them.
    fn index(self) -> usize {
        #[expect(clippy::as_conversions, reason = "the discriminant of a repr(usize) enum")]
        let index = self as usize;
        index
    }
}

/// One canonical event, borrowed from its batch. What every event has are the fields of [`Row`].
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    row: &'a Row,
    batch: &'a EventBatch,
}

impl std::ops::Deref for Event<'_> {
    type Target = Row;

    fn deref(&self) -> &Row {
        self.row
    }
}

impl<'a> Event<'a> {
    /// A text field, if present.
    pub fn text(&self, field: TextField) -> Option<&'a str> {
        self.batch.text_of(self.row, field)
    }

    /// Stake, win, payout …; absent on events without money.
    pub fn amount(&self) -> Option<Money> {
        self.row.amount(self.batch.rare(self.row))
    }

    /// The part of the amount that was bonus money.
    pub fn bonus_amount(&self) -> Money {
        self.row.bonus_amount(self.batch.rare(self.row))
    }

    /// The part of a bet's amount that goes to a jackpot, of a win's or settlement's that one paid; else 0.
    pub fn jackpot(&self) -> Money {
        self.batch.rare(self.row).map_or(Money::ZERO, |rare| rare.jackpot())
    }

    /// The part of a bet's amount that goes to a jackpot.
    pub fn jackpot_contribution(&self) -> Option<Money> {
        Some(self.jackpot()).filter(|jackpot| self.name == EventName::BetPlaced && !jackpot.is_zero())
    }

    /// The part of a win's or settlement's amount that a jackpot paid.
    pub fn jackpot_win(&self) -> Option<Money> {
        Some(self.jackpot()).filter(|jackpot| self.name != EventName::BetPlaced && !jackpot.is_zero())
    }

    /// 1 unit of the event's currency = this many of the mission's.
    pub fn exchange_rate(&self) -> Option<Money> {
        self.batch.rare(self.row)?.exchange_rate
    }

    /// Decimal odds.
    pub fn odds(&self) -> Option<Money> {
        self.batch.rare(self.row)?.odds
    }

    /// End of an exclusion.
    pub fn until(&self) -> Option<Timestamp> {
        self.batch.rare(self.row)?.until
    }

    /// `consent_changed`: given or withdrawn.
    pub fn granted(&self) -> Option<bool> {
        self.batch.rare(self.row)?.granted
    }

    fn required(&self, field: TextField) -> &'a str {
        self.text(field).unwrap_or("")
    }

    /// The event's name as text, custom ones included.
    pub fn event_name(&self) -> &'a str {
        self.required(TextField::EventName)
    }

    /// The player; empty on a `rate` only.
    pub fn player_id(&self) -> &'a str {
        self.required(TextField::PlayerId)
    }

    /// The key group of the player.
    pub fn key_group(&self) -> KeyGroup {
        KeyGroup::of(self.player_hash)
    }

    /// The transaction's id, or the event's own where it carries none: one of the two is required.
    pub fn transaction_id(&self) -> &'a str {
        self.text(TextField::TransactionId).unwrap_or_else(|| self.required(TextField::EventId))
    }

    /// ISO 4217 code or a configured extra one; present after decoding.
    pub fn currency(&self) -> &'a str {
        self.required(TextField::Currency)
    }

    /// The kind of game; present after decoding on bets, settlements and wins.
    pub fn game_type(&self) -> &'a str {
        self.required(TextField::GameType)
    }

    /// The event's own JSON object.
    pub fn payload(&self) -> &'a str {
        self.required(TextField::Payload)
    }

    /// A batch of this event alone, for what has to outlive its batch.
    pub fn to_batch(&self) -> EventBatch {
        self.batch.only(self.row)
    }

    /// The same mapped content as `other`: together with the same key, a duplicate.
    pub fn is_same_content(&self, other: &Event<'_>) -> bool {
        self.content == other.content
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Coordinates, SourceId, TopicId};

    fn event(batch: &mut EventBatch, fields: &[(TextField, &str)], amount: &str) {
        let at = Coordinates { topic: TopicId(0), partition: 0, offset: 7, index: 0 };
        let mut row = EventRow::new(at, SourceId(0), Timestamp::from_micros(1), Timestamp::from_micros(2));
        row.amount = amount.parse().ok();
        batch.push(&row, fields.iter().copied(), "");
    }

    #[test]
    fn content_is_the_mapped_fields() {
        let mut batch = EventBatch::new(0, 0);
        event(&mut batch, &[(TextField::PlayerId, "p"), (TextField::EventId, "e1")], "1.00");
        event(&mut batch, &[(TextField::EventId, "e2"), (TextField::PlayerId, "p")], "1");
        event(&mut batch, &[(TextField::PlayerId, "p")], "1.01");
        event(&mut batch, &[(TextField::PlayerId, "p"), (TextField::Sport, "x")], "1");
        event(&mut batch, &[(TextField::PlayerId, "p"), (TextField::MarketType, "x")], "1");
        let events: Vec<_> = batch.iter().collect();
        assert!(events[0].is_same_content(&events[1]));
        assert!(!events[0].is_same_content(&events[2]));
        assert!(!events[0].is_same_content(&events[3]));
        assert!(!events[3].is_same_content(&events[4]));
    }

    #[test]
    fn a_transaction_without_id_is_its_event() {
        let mut batch = EventBatch::new(0, 0);
        event(&mut batch, &[(TextField::EventId, "e1")], "1");
        event(&mut batch, &[(TextField::EventId, "e1"), (TextField::TransactionId, "t1")], "1");
        assert_eq!(batch.get(0).transaction_id(), "e1");
        assert_eq!(batch.get(1).transaction_id(), "t1");
        assert_eq!(batch.get(1).text(TextField::Sport), None);
    }

    #[test]
    fn known_names_have_their_families() {
        for (text, name) in EventName::KNOWN {
            assert_eq!(EventName::of(text), name);
        }
        assert_eq!(EventName::of("spin"), EventName::Custom);
        assert_eq!(EventName::of("bet_settled").family(), Family::Settlement);
        assert!(EventName::Deposit.is_money() && !EventName::Reversal.is_money() && !EventName::Login.is_money());
    }
}
