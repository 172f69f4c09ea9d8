//! From the values of a payload to a canonical event, or the reason why it is none.
//!
//! The checks have a fixed order, so that an event with several faults is always refused for the
//! same one: event name, timestamp, player, ids, amounts, currency, rate and odds, descriptive
//! texts, and last what the event's own kind asks for.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use smallvec::SmallVec;

use super::compile::Mapper;
use super::instant;
use super::json::{Kind, Value};
use super::slot::{Found, Slot, amount_aliases};
use crate::{EventName, Family, Money, MoneyError, Reason, TextField, Timestamp};

/// Mapped texts may be this long, in characters.
pub(super) const MAX_CHARACTERS: usize = 500;

/// Why an event is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub reason: Reason,
    pub detail: String,
}

/// A canonical event, borrowed from its payload.
pub(super) struct Checked<'a> {
    pub name: EventName,
    pub event_time: Timestamp,
    /// Empty on a `rate` without one.
    pub player_id: Cow<'a, str>,
    pub amount: Option<Money>,
    pub bonus_amount: Money,
    pub jackpot: Money,
    pub exchange_rate: Option<Money>,
    pub odds: Option<Money>,
    pub until: Option<Timestamp>,
    pub granted: Option<bool>,
    /// Every other text that is present.
    pub texts: SmallVec<[(TextField, Cow<'a, str>); 16]>,
}

/// The amounts of an event.
struct Amounts {
    amount: Option<Money>,
    bonus_amount: Money,
    jackpot: Money,
}

/// The values of one payload, read by the rules of one mapping.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a, 'f> {
    pub mapper: &'a Mapper,
    pub found: &'f Found<'a>,
}

type Checks<T> = Result<T, Refused>;

impl<'a> Reader<'a, '_> {
    /// Checks everything. `ingest_time` is absent if the event is ingested at its own time.
    pub fn check(&self, ingest_time: Option<Timestamp>) -> Checks<Checked<'a>> {
        let event_name = self.event_name()?;
        let name = EventName::of_source(&event_name, self.mapper.books_chargebacks);
        let event_time = self.event_time(ingest_time)?;
        let player_id = match self.player_id()? {
            Some(player_id) => player_id,
            None if name == EventName::Rate => Cow::Borrowed(""),
            None => return Err(self.missing(Slot::PlayerId, "")),
        };
        let mut texts = SmallVec::new();
        let event_id = self.text(Slot::EventId)?;
        match self.text(Slot::TransactionId)? {
            Some(id) => texts.push((TextField::TransactionId, id)),
            None if event_id.is_some() => {}
            None => return Err(self.missing(Slot::TransactionId, ", and there is no event_id instead")),
        }
        let Amounts { amount, bonus_amount, jackpot } = self.amounts(name, &event_name)?;
        let currency = self.currency(Slot::Currency)?;
        texts.push((TextField::Currency, currency.unwrap_or(Cow::Borrowed(&self.mapper.rules.default_currency))));
        let exchange_rate = self.exchange_rate()?;
        let odds = self.number(Slot::Odds, self.mapper.scales.odds)?;
        for (slot, field) in Slot::DESCRIPTIVE {
            if self.found.has(slot)
                && let Some(text) = self.text(slot)?
            {
                texts.push((field, text));
            }
        }
        if matches!(name.family(), Family::Bet | Family::Settlement | Family::Win) && !self.found.has(Slot::GameType) {
            let game_type = if self.found.has(Slot::Sport) { "sportsbook" } else { "unknown" };
            texts.push((TextField::GameType, Cow::Borrowed(game_type)));
        }
        let mut checked = Checked {
            name,
            event_time,
            player_id,
            amount,
            bonus_amount,
            jackpot,
            exchange_rate,
            odds,
            until: None,
            granted: None,
            texts,
        };
        self.control(&mut checked)?;
        checked.texts.push((TextField::EventName, event_name));
        Ok(checked)
    }

    /// The source's name for the event, translated.
    fn event_name(&self) -> Checks<Cow<'a, str>> {
        let name = self.text(Slot::EventName)?.ok_or_else(|| self.missing(Slot::EventName, ""))?;
        let translated = match self.mapper.event_names.get(name.as_ref()) {
            Some(canonical) => Cow::Borrowed(canonical.as_str()),
            None => name,
        };
        Ok(if translated == "bet_won" { Cow::Borrowed("win") } else { translated })
    }

    fn event_time(&self, ingest_time: Option<Timestamp>) -> Checks<Timestamp> {
        let slot = self.found.place(Slot::Timestamp, Slot::Timestamp.aliases());
        let time = self.instant(slot, self.mapper.zone.as_ref())?.ok_or_else(|| self.missing(Slot::Timestamp, ""))?;
        let limit = self.mapper.rules.max_future_micros;
        match ingest_time {
            Some(ingest_time) if time > ingest_time.plus_micros(limit) => {
                let limit = Money::from_raw(i128::from(limit) * 100);
                let problem = format!("is {time}, more than {limit} s ahead of the record's own {ingest_time}");
                Err(self.refused(Reason::FutureTimestamp, slot, &problem))
            }
            _ => Ok(time),
        }
    }

    /// The event's time, when it can be read, whatever else is wrong with the event.
    pub fn readable_time(&self) -> Option<Timestamp> {
        self.event_time(None).ok()
    }

    /// The player, if there is one.
    pub fn player_id(&self) -> Checks<Option<Cow<'a, str>>> {
        self.text(self.found.place(Slot::PlayerId, Slot::PlayerId.aliases()))
    }

    fn amounts(&self, name: EventName, event_name: &str) -> Checks<Amounts> {
        let scales = self.mapper.scales;
        let slot = self.found.place(Slot::Amount, amount_aliases(name));
        let amount = self.number(slot, scales.amount)?;
        if amount.is_none() && name.is_money() {
            return Err(self.missing(Slot::Amount, &format!(": every {event_name} needs one")));
        }
        let bonus_amount = self.number(Slot::BonusAmount, scales.bonus_amount)?.unwrap_or(Money::ZERO);
        let (jackpot_slot, jackpot) = self.jackpot(name)?;
        // A correction may take either way; all other money is moved one way, which its name says.
        if name.is_money() && name != EventName::Adjustment {
            let parts = [(Slot::BonusAmount, bonus_amount), (jackpot_slot, jackpot)];
            for (slot, money) in [(slot, amount.unwrap_or(Money::ZERO))].into_iter().chain(parts) {
                if money.is_negative() {
                    let problem = format!("is {}, but a {event_name} is never below 0", self.shown(slot));
                    return Err(self.refused(Reason::NegativeAmount, slot, &problem));
                }
            }
            if let Some((slot, _)) = parts.into_iter().find(|(_, part)| amount.is_some_and(|amount| *part > amount)) {
                let problem = format!("is {}, more than the amount that it is a part of", self.shown(slot));
                return Err(self.refused(Reason::AmountOutOfRange, slot, &problem));
            }
        }
        Ok(Amounts { amount, bonus_amount, jackpot })
    }

    /// A jackpot's part, and where it is. On events that have none the names are the source's own attributes.
    fn jackpot(&self, name: EventName) -> Checks<(Slot, Money)> {
        let scales = self.mapper.scales;
        let (slot, scale) = match name {
            EventName::BetPlaced => (Slot::JackpotContribution, scales.jackpot_contribution),
            EventName::Win | EventName::BetSettled => (Slot::JackpotWin, scales.jackpot_win),
            _ => return Ok((Slot::JackpotWin, Money::ZERO)),
        };
        Ok((slot, self.number(slot, scale)?.unwrap_or(Money::ZERO)))
    }

    fn currency(&self, slot: Slot) -> Checks<Option<Cow<'a, str>>> {
        let rules = &self.mapper.rules;
        match self.text(slot)? {
            Some(code) if code != rules.default_currency && !rules.currencies.contains(&code) => {
                let problem = format!("is {}, neither ISO 4217 nor a configured code", self.shown(slot));
                Err(self.refused(Reason::UnknownCurrency, slot, &problem))
            }
            code => Ok(code),
        }
    }

    fn exchange_rate(&self) -> Checks<Option<Money>> {
        let slot = Slot::ExchangeRate;
        match self.number(slot, self.mapper.scales.exchange_rate)? {
            Some(rate) if rate <= Money::ZERO => {
                let problem = format!("is {}, but a rate is above 0", self.shown(slot));
                Err(self.refused(Reason::BadControlEvent, slot, &problem))
            }
            rate => Ok(rate),
        }
    }

    /// What control events carry. One of responsible gambling that lacks what it needs, or has it in no form that it can be read
    /// in, controls nothing.
    fn control(&self, checked: &mut Checked<'a>) -> Checks<()> {
        let is_restriction =
            matches!(checked.name, EventName::SelfExcluded | EventName::CooledOff | EventName::ConsentChanged);
        self.control_fields(checked).map_err(|refused| match refused.reason {
            Reason::MissingField | Reason::WrongType | Reason::BadTimestamp if is_restriction => {
                Refused { reason: Reason::BadControlEvent, ..refused }
            }
            _ => refused,
        })
    }

    /// The fields of control events. On any other event these names are the source's own attributes:
    /// taken where they happen to fit, and of any type where they do not.
    fn control_fields(&self, checked: &mut Checked<'a>) -> Checks<()> {
        let required: &[Slot] = match checked.name {
            EventName::Reversal => &[Slot::ReferenceId],
            EventName::OptedIn | EventName::OptedOut => &[Slot::MissionId],
            EventName::SegmentEntered | EventName::SegmentLeft => &[Slot::Segment],
            EventName::ConsentChanged => &[Slot::Channel, Slot::Granted],
            EventName::Rate => &[Slot::Base, Slot::Quote, Slot::ExchangeRate],
            _ => &[],
        };
        if let Some(slot) = required.iter().find(|slot| !self.found.has(**slot)) {
            return Err(self.missing(*slot, ""));
        }
        for (slot, field) in Slot::CONTROL {
            if !self.found.has(slot) {
                continue;
            }
            match self.text(slot) {
                Ok(text) => checked.texts.extend(text.map(|text| (field, text))),
                Err(refused) if needs(checked.name, slot) => return Err(refused),
                Err(_) => {}
            }
        }
        if checked.name == EventName::Reversal {
            self.reference_family()?;
        }
        if checked.name == EventName::Rate {
            self.currency(Slot::Base)?;
            self.currency(Slot::Quote)?;
        }
        checked.granted = self.unless_foreign(checked.name, Slot::Granted, self.granted())?;
        let until = self.instant(Slot::Until, self.mapper.until_zone.as_ref());
        checked.until = self.unless_foreign(checked.name, Slot::Until, until)?;
        Ok(())
    }

    fn unless_foreign<T>(&self, name: EventName, slot: Slot, value: Checks<Option<T>>) -> Checks<Option<T>> {
        if needs(name, slot) { value } else { Ok(value.unwrap_or(None)) }
    }

    fn reference_family(&self) -> Checks<()> {
        let slot = Slot::ReferenceFamily;
        match self.text(slot)? {
            Some(family) if Family::named(&family).is_none() => {
                let known = Family::REVERSIBLE.map(|(name, _)| name).join(", ");
                let problem = format!("is {}, none of {known}", self.shown(slot));
                Err(self.refused(Reason::BadControlEvent, slot, &problem))
            }
            _ => Ok(()),
        }
    }

    fn granted(&self) -> Checks<Option<bool>> {
        let value = self.found.get(Slot::Granted);
        match (value.kind, value.text().as_deref().unwrap_or(value.raw)) {
            (Kind::Absent, _) => Ok(None),
            (Kind::Bool | Kind::String | Kind::Plain, "true") => Ok(Some(true)),
            (Kind::Bool | Kind::String | Kind::Plain, "false") => Ok(Some(false)),
            _ => Err(self.wrong_type(Slot::Granted, "true or false")),
        }
    }

    /// A text, or a whole number by its digits.
    #[inline]
    fn text(&self, slot: Slot) -> Checks<Option<Cow<'a, str>>> {
        let value = self.found.get(slot);
        let text = match value.kind {
            Kind::Absent => return Ok(None),
            Kind::Number if slot == Slot::SchemaVersion || is_whole(value.raw) => Cow::Borrowed(value.raw),
            _ => value.text().ok_or_else(|| self.wrong_type(slot, "a text or a whole number"))?,
        };
        self.check_length(slot, &text)?;
        Ok(Some(text))
    }

    fn number(&self, slot: Slot, scale: u32) -> Checks<Option<Money>> {
        let value = self.found.get(slot);
        let digits = match value.kind {
            Kind::Absent => return Ok(None),
            Kind::Number => Cow::Borrowed(value.raw),
            _ => value.text().ok_or_else(|| self.wrong_type(slot, "a number"))?,
        };
        self.check_length(slot, &digits)?;
        match Money::parse_scaled(&digits, scale) {
            Ok(money) => Ok(Some(money)),
            Err(MoneyError::Malformed) => Err(self.wrong_type(slot, "a decimal number")),
            Err(error @ MoneyError::OutOfRange) => {
                let problem = format!("is {}: {error}", self.shown(slot));
                Err(self.refused(Reason::AmountOutOfRange, slot, &problem))
            }
        }
    }

    fn instant(&self, slot: Slot, zone: Option<&TimeZone>) -> Checks<Option<Timestamp>> {
        let value = self.found.get(slot);
        let parsed = match value.kind {
            Kind::Absent => return Ok(None),
            Kind::Number => instant::parse_epoch(value.raw),
            _ => {
                let text = value.text().ok_or_else(|| self.wrong_type(slot, "a timestamp"))?;
                self.check_length(slot, &text)?;
                instant::parse(&text, zone)
            }
        };
        parsed.map(Some).map_err(|instant::BadTimestamp(problem)| {
            self.refused(Reason::BadTimestamp, slot, &format!("is {}, which {problem}", self.shown(slot)))
        })
    }

    #[inline]
    fn check_length(&self, slot: Slot, text: &str) -> Checks<()> {
        // A character has at least one byte, so only a long text needs counting.
        if text.len() <= MAX_CHARACTERS {
            return Ok(());
        }
        let characters = text.chars().count();
        if characters <= MAX_CHARACTERS {
            return Ok(());
        }
        let problem = format!("has {characters} characters: at most {MAX_CHARACTERS}");
        Err(self.refused(Reason::TooLong, slot, &problem))
    }

    #[cold]
    fn refused(&self, reason: Reason, slot: Slot, problem: &str) -> Refused {
        let places = &self.mapper.places;
        Refused { reason, detail: format!("{} ({}) {problem}", slot.name(), places.describe(slot)) }
    }

    #[cold]
    fn missing(&self, field: Slot, why: &str) -> Refused {
        let places = self.mapper.places.all(field);
        Refused { reason: Reason::MissingField, detail: format!("{} ({places}) is absent{why}", field.name()) }
    }

    #[cold]
    fn wrong_type(&self, slot: Slot, wanted: &str) -> Refused {
        self.refused(Reason::WrongType, slot, &format!("is {}, not {wanted}", self.shown(slot)))
    }

    /// A value for people: short, and never a redacted one.
    #[cold]
    fn shown(&self, slot: Slot) -> String {
        let value = self.found.get(slot);
        let scalar = !matches!(value.kind, Kind::Array | Kind::Object);
        if !scalar || self.mapper.places.is_hidden(slot) { value.kind_name().to_owned() } else { shorten(value) }
    }
}

/// The field belongs to events of this name.
fn needs(name: EventName, slot: Slot) -> bool {
    match slot {
        Slot::ReferenceFamily => name == EventName::Reversal,
        Slot::MissionId => matches!(name, EventName::OptedIn | EventName::OptedOut),
        Slot::Segment => matches!(name, EventName::SegmentEntered | EventName::SegmentLeft),
        Slot::Base | Slot::Quote => name == EventName::Rate,
        Slot::Granted => name == EventName::ConsentChanged,
        Slot::Until => matches!(name, EventName::SelfExcluded | EventName::CooledOff),
        _ => true,
    }
}

/// Digits only: an id such as `1e3` or `1.0` has no one way to write it.
fn is_whole(number: &str) -> bool {
    number.strip_prefix('-').unwrap_or(number).bytes().all(|byte| byte.is_ascii_digit())
}

fn shorten(value: Value<'_>) -> String {
    const SHOWN: usize = 40;
    let text = value.text().unwrap_or(Cow::Borrowed(value.raw));
    let quote = if matches!(value.kind, Kind::Number | Kind::Bool) { "" } else { "\"" };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{quote}{}…{quote}", &text[..end]),
        None => format!("{quote}{text}{quote}"),
    }
}
