//! The fixed-size part of an event: as it is given to a batch, and as the batch keeps it.

use serde::{Deserialize, Serialize};

use super::{EventName, TextField};
use crate::{Coordinates, Identity, Money, SourceId, Timestamp};

/// What an event says beside its texts.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// Where it came from.
    pub at: Coordinates,
    /// Which `[[source]]` it came through.
    pub source: SourceId,
    /// What happened.
    pub name: EventName,
    /// When it happened, by the payload.
    pub event_time: Timestamp,
    /// When the broker took it: the record's timestamp.
    pub ingest_time: Timestamp,
    /// Stake, win, payout …; absent on events without money.
    pub amount: Option<Money>,
    /// The part of `amount` that was bonus money.
    pub bonus_amount: Money,
    /// The part of `amount` that a jackpot gets of a bet, or has paid of a win or settlement; 0 on all other events.
    pub jackpot: Money,
    /// 1 unit of the event's currency = this many of the mission's.
    pub exchange_rate: Option<Money>,
    /// Decimal odds.
    pub odds: Option<Money>,
    /// End of an exclusion.
    pub until: Option<Timestamp>,
    /// `consent_changed`: given or withdrawn.
    pub granted: Option<bool>,
}

impl EventRow {
    /// A row with every optional field absent.
    pub fn new(at: Coordinates, source: SourceId, event_time: Timestamp, ingest_time: Timestamp) -> Self {
        EventRow {
            at,
            source,
            name: EventName::Custom,
            event_time,
            ingest_time,
            amount: None,
            bonus_amount: Money::ZERO,
            jackpot: Money::ZERO,
            exchange_rate: None,
            odds: None,
            until: None,
            granted: None,
        }
    }
}

/// A piece of an event's text, from where that begins. Nothing is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    pub(super) start: u16,
    pub(super) len: u16,
}

/// An event in its batch: what is looked at for every event, in few cache lines. Its texts are pieces of the
/// batch's, what few events have lies beside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Where it came from.
    pub at: Coordinates,
    /// When it happened, by the payload.
    pub event_time: Timestamp,
    /// When the broker took it: the record's timestamp.
    pub ingest_time: Timestamp,
    /// [`player_hash`](crate::hash::player_hash) of the player.
    pub player_hash: u64,
    /// Fingerprint of the content, see [`Event::is_same_content`](super::Event::is_same_content).
    pub content: u64,
    /// The key that decides whether it was here before (DOMAIN §2).
    pub identity: Identity,
    amount: i64,
    bonus_amount: i64,
    pub(super) text: Text,
    /// Place of what few events have.
    pub(super) rare: Option<std::num::NonZeroU32>,
    /// Which `[[source]]` it came through.
    pub source: SourceId,
    /// What happened.
    pub name: EventName,
    has_amount: bool,
}

/// Where an event's text is: the fields that are no piece of the payload, then the payload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Text {
    /// In the batch's text.
    pub(super) start: u32,
    pub(super) payload_len: u32,
    pub(super) payload_start: u16,
    pub(super) fields: [Span; TextField::COUNT],
}

/// What few events have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rare {
    amounts: Amounts,
    pub(super) exchange_rate: Option<Money>,
    pub(super) odds: Option<Money>,
    pub(super) until: Option<Timestamp>,
    pub(super) granted: Option<bool>,
}

/// Amounts that have no room in the row. State holds events, and what was written before there were jackpots is read as the first two:
/// those are written as an `Option` is, and never renumbered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Amounts {
    #[default]
    None,
    /// Amount and bonus amount, beyond 64 bits.
    Wide(Option<Money>, Money),
    Jackpot(Money),
    /// Amount, bonus amount, and the jackpot's part.
    WideJackpot(Option<Money>, Money, Money),
}

impl Amounts {
    fn of((amount, bonus_amount): (Option<Money>, Money), jackpot: Money) -> Self {
        let is_wide = narrow(amount.unwrap_or_default()).and(narrow(bonus_amount)).is_none();
        match (is_wide, jackpot.is_zero()) {
            (false, true) => Amounts::None,
            (true, true) => Amounts::Wide(amount, bonus_amount),
            (false, false) => Amounts::Jackpot(jackpot),
            (true, false) => Amounts::WideJackpot(amount, bonus_amount, jackpot),
        }
    }

    fn wide(self) -> Option<(Option<Money>, Money)> {
        match self {
            Amounts::Wide(amount, bonus_amount) | Amounts::WideJackpot(amount, bonus_amount, _) => {
                Some((amount, bonus_amount))
            }
            Amounts::None | Amounts::Jackpot(_) => None,
        }
    }
}

impl Rare {
    /// What `row` has of it.
    pub(super) fn of(row: &EventRow) -> Self {
        let EventRow { exchange_rate, odds, until, granted, amount, bonus_amount, jackpot, .. } = *row;
        let amounts = Amounts::of((amount, bonus_amount), jackpot);
        Rare { amounts, exchange_rate, odds, until, granted }
    }

    pub(super) fn jackpot(&self) -> Money {
        match self.amounts {
            Amounts::Jackpot(jackpot) | Amounts::WideJackpot(_, _, jackpot) => jackpot,
            Amounts::None | Amounts::Wide(..) => Money::ZERO,
        }
    }
}

impl Row {
    /// `row` as a batch keeps it, but for its hashes.
    pub(super) fn new(row: &EventRow, text: Text, rare: Option<std::num::NonZeroU32>) -> Self {
        Row {
            at: row.at,
            event_time: row.event_time,
            ingest_time: row.ingest_time,
            player_hash: 0,
            content: 0,
            identity: Identity::default(),
            amount: narrow(row.amount.unwrap_or_default()).unwrap_or_default(),
            bonus_amount: narrow(row.bonus_amount).unwrap_or_default(),
            text,
            rare,
            source: row.source,
            name: row.name,
            has_amount: row.amount.is_some(),
        }
    }

    pub(super) fn amount(&self, rare: Option<&Rare>) -> Option<Money> {
        match rare.and_then(|rare| rare.amounts.wide()) {
            Some((amount, _)) => amount,
            None => self.has_amount.then(|| Money::from_raw(i128::from(self.amount))),
        }
    }

    pub(super) fn bonus_amount(&self, rare: Option<&Rare>) -> Money {
        match rare.and_then(|rare| rare.amounts.wide()) {
            Some((_, bonus_amount)) => bonus_amount,
            None => Money::from_raw(i128::from(self.bonus_amount)),
        }
    }
}

fn narrow(money: Money) -> Option<i64> {
    i64::try_from(money.raw()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_before_there_were_jackpots() {
        let (amount, bonus) = (Some(Money::from_units(7)), Money::from_units(3));
        let written = |amounts: Amounts| postcard::to_allocvec(&amounts).unwrap();
        let before = |amounts: Option<(Option<Money>, Money)>| postcard::to_allocvec(&amounts).unwrap();
        assert_eq!(written(Amounts::None), before(None));
        assert_eq!(written(Amounts::Wide(amount, bonus)), before(Some((amount, bonus))));
        assert_eq!(written(Amounts::Wide(None, bonus)), before(Some((None, bonus))));
    }

    #[test]
    fn one_takes_three_cache_lines() {
        assert!(size_of::<Row>() <= 192, "{}", size_of::<Row>());
    }
}
