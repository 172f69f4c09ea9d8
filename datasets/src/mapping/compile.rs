//! From a configured mapping to one that reads payloads.

use hashbrown::HashMap;
use jiff::tz::TimeZone;

use super::check::MAX_CHARACTERS;
use super::config::{AmountPlace, ConfigError, MappingConfig, TimePlace};
use super::instant;
use super::names::{Habit, Names, Pointer};
use super::slot::Slot;
use crate::currency::Currencies;
use crate::{Money, SourceId, time};

/// What decoding needs to know beyond the mapping.
#[derive(Clone, Debug)]
pub struct DecodeRules {
    /// The currency of an event that names none.
    pub default_currency: String,
    /// The codes that may be used.
    pub currencies: Currencies,
    /// How far an event's time may be ahead of its own ingest time, in microseconds.
    pub max_future_micros: i64,
    /// Dead letters may carry what does not parse and so cannot be redacted.
    pub raw_dead_letters: bool,
}

/// Reads the payloads of one source.
#[derive(Clone, Debug)]
pub struct Mapper {
    pub(super) source: SourceId,
    pub(super) rules: DecodeRules,
    /// Where an envelope has its items.
    pub(super) records: Option<Pointer>,
    /// The payload's names: fields and what is redacted.
    pub(super) names: Names,
    /// How the records so far had them.
    pub(super) habit: Habit,
    /// Only what is redacted.
    pub(super) hidden: Names,
    pub(super) redacts: bool,
    /// Fields that are not in the payload.
    pub(super) outside: Vec<(Slot, Outside)>,
    pub(super) places: Places,
    pub(super) scales: Scales,
    /// The zone of timestamps without an offset.
    pub(super) zone: Option<TimeZone>,
    pub(super) until_zone: Option<TimeZone>,
    pub(super) event_names: HashMap<String, String, foldhash::fast::RandomState>,
    pub(super) books_chargebacks: bool,
}

/// A place outside of the payload.
#[derive(Clone, Debug)]
pub(super) enum Outside {
    Header(String),
    Key,
    Constant(String),
}

/// Powers of ten that minor units are divided by.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scales {
    pub amount: u32,
    pub bonus_amount: u32,
    pub jackpot_contribution: u32,
    pub jackpot_win: u32,
    pub exchange_rate: u32,
    pub odds: u32,
}

/// The places of all slots, for people.
#[derive(Clone, Debug)]
pub(super) struct Places {
    described: Vec<String>,
    hidden: Vec<bool>,
    /// The field has the place that configuration gives, and no aliases.
    mapped: Vec<bool>,
}

impl Places {
    /// The place as configuration writes it.
    pub fn describe(&self, slot: Slot) -> &str {
        &self.described[slot.index()]
    }

    /// The value there is redacted and must not be shown.
    pub fn is_hidden(&self, slot: Slot) -> bool {
        self.hidden[slot.index()]
    }

    /// Every place in which a field is looked for.
    pub fn all(&self, field: Slot) -> String {
        let aliases = if self.mapped[field.index()] { &[] } else { field.aliases() };
        let places: Vec<&str> = std::iter::once(&field).chain(aliases).map(|slot| self.describe(*slot)).collect();
        places.join(", ")
    }
}

const MAX_SCALE: u32 = 18;

impl Mapper {
    /// Checks a mapping and prepares it. Reports every mistake in it.
    pub fn compile(source: SourceId, config: &MappingConfig, rules: DecodeRules) -> Result<Mapper, Vec<ConfigError>> {
        let mut compiler = Compiler::new();
        let records = config.records.as_ref().and_then(|text| compiler.pointer("records", text));
        let hidden = compiler.redactions(&config.redact);
        for (slot, place) in configured_places(config) {
            compiler.field(slot, place);
        }
        let zone = compiler.zone("timestamp.zone", config.timestamp.as_ref());
        let until_zone = compiler.zone("until.zone", config.until.as_ref()).or_else(|| zone.clone());
        let scales = Scales {
            amount: compiler.scale("amount.scale", config.amount.as_ref()),
            bonus_amount: compiler.scale("bonus_amount.scale", config.bonus_amount.as_ref()),
            jackpot_contribution: compiler.scale("jackpot_contribution.scale", config.jackpot_contribution.as_ref()),
            jackpot_win: compiler.scale("jackpot_win.scale", config.jackpot_win.as_ref()),
            exchange_rate: compiler.scale("exchange_rate.scale", config.exchange_rate.as_ref()),
            odds: compiler.scale("odds.scale", config.odds.as_ref()),
        };
        compiler.check_event_names(config);
        compiler.check_constants(&rules, zone.as_ref());
        if !compiler.errors.is_empty() {
            return Err(compiler.errors);
        }
        Ok(Mapper {
            source,
            rules,
            records,
            names: compiler.names,
            habit: Habit::default(),
            hidden,
            redacts: !config.redact.is_empty(),
            outside: compiler.outside,
            places: compiler.places,
            scales,
            zone,
            until_zone,
            event_names: config.event_names.clone().into_iter().collect(),
            books_chargebacks: config.books_chargebacks(),
        })
    }
}

/// Every field with the place that configuration gives it, if any.
fn configured_places(config: &MappingConfig) -> [(Slot, Option<&str>); 27] {
    [
        (Slot::EventName, config.event_name.as_deref()),
        (Slot::EventId, config.event_id.as_deref()),
        (Slot::PlayerId, config.player_id.as_deref()),
        (Slot::TransactionId, config.transaction_id.as_deref()),
        (Slot::Timestamp, config.timestamp.as_ref().map(TimePlace::path)),
        (Slot::Amount, config.amount.as_ref().map(AmountPlace::path)),
        (Slot::BonusAmount, config.bonus_amount.as_ref().map(AmountPlace::path)),
        (Slot::JackpotContribution, config.jackpot_contribution.as_ref().map(AmountPlace::path)),
        (Slot::JackpotWin, config.jackpot_win.as_ref().map(AmountPlace::path)),
        (Slot::Currency, config.currency.as_deref()),
        (Slot::ExchangeRate, config.exchange_rate.as_ref().map(AmountPlace::path)),
        (Slot::GameType, config.game_type.as_deref()),
        (Slot::GameId, config.game_id.as_deref()),
        (Slot::MarketType, config.market_type.as_deref()),
        (Slot::Sport, config.sport.as_deref()),
        (Slot::Odds, config.odds.as_ref().map(AmountPlace::path)),
        (Slot::ReferenceId, config.reference_id.as_deref()),
        (Slot::ReferenceFamily, config.reference_family.as_deref()),
        (Slot::Status, config.status.as_deref()),
        (Slot::SchemaVersion, config.schema_version.as_deref()),
        (Slot::Channel, config.channel.as_deref()),
        (Slot::MissionId, config.mission_id.as_deref()),
        (Slot::Segment, config.segment.as_deref()),
        (Slot::Until, config.until.as_ref().map(TimePlace::path)),
        (Slot::Granted, config.granted.as_deref()),
        (Slot::Base, config.base.as_deref()),
        (Slot::Quote, config.quote.as_deref()),
    ]
}

struct Compiler {
    names: Names,
    outside: Vec<(Slot, Outside)>,
    places: Places,
    redacted: Vec<Pointer>,
    errors: Vec<ConfigError>,
}

impl Compiler {
    fn new() -> Self {
        let places = Places {
            described: Slot::ALL.iter().map(|(_, name)| format!("/{name}")).collect(),
            hidden: vec![false; Slot::COUNT],
            mapped: vec![false; Slot::COUNT],
        };
        Compiler { names: Names::new(), outside: Vec::new(), places, redacted: Vec::new(), errors: Vec::new() }
    }

    fn error(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.errors.push(ConfigError { path: path.into(), message: message.into() });
    }

    fn pointer(&mut self, path: &str, text: &str) -> Option<Pointer> {
        Pointer::parse(text).map_err(|message| self.error(path, message)).ok()
    }

    fn redactions(&mut self, texts: &[String]) -> Names {
        let mut hidden = Names::new();
        for (index, text) in texts.iter().enumerate() {
            let path = format!("redact[{index}]");
            match self.pointer(&path, text) {
                Some(pointer) if pointer.0.is_empty() => {
                    self.error(path, "the whole event cannot be redacted: name the fields, such as \"/email\"");
                }
                Some(pointer) => {
                    self.names.redact(&pointer);
                    hidden.redact(&pointer);
                    self.redacted.push(pointer);
                }
                None => {}
            }
        }
        hidden
    }

    fn field(&mut self, slot: Slot, place: Option<&str>) {
        let Some(place) = place else {
            if !slot.is_found_by_name() {
                return;
            }
            for slot in std::iter::once(&slot).chain(slot.aliases()) {
                self.lead(Pointer(vec![slot.name().to_owned()]), *slot);
            }
            return;
        };
        place.clone_into(&mut self.places.described[slot.index()]);
        self.places.mapped[slot.index()] = true;
        if place == "key" {
            self.outside.push((slot, Outside::Key));
        } else if let Some(name) = place.strip_prefix("header:") {
            if name.is_empty() {
                self.error(slot.name(), "\"header:\" needs the header's name, such as \"header:type\"");
            }
            self.outside.push((slot, Outside::Header(name.to_owned())));
        } else if let Some(constant) = place.strip_prefix('=') {
            if constant.is_empty() {
                self.error(slot.name(), "an empty constant is the same as an absent field: write \"=value\"");
            }
            self.outside.push((slot, Outside::Constant(constant.to_owned())));
        } else if !place.starts_with('/') {
            let message = format!(
                "\"{place}\" is no place: write a JSON Pointer such as \"/{place}\", \"header:NAME\", \"key\" or \"=constant\""
            );
            self.error(slot.name(), message);
        } else if let Some(pointer) = self.pointer(slot.name(), place) {
            self.lead(pointer, slot);
        }
    }

    fn lead(&mut self, pointer: Pointer, slot: Slot) {
        self.places.hidden[slot.index()] = self.redacted.iter().any(|redacted| redacted.contains(&pointer));
        self.names.lead(&pointer, slot);
    }

    fn zone(&mut self, path: &str, place: Option<&TimePlace>) -> Option<TimeZone> {
        let name = place?.zone.as_ref()?;
        let known = time::zone(name);
        known.map_err(|_| self.error(path, format!("\"{name}\" is no IANA zone, such as \"Europe/Malta\""))).ok()
    }

    fn scale(&mut self, path: &str, place: Option<&AmountPlace>) -> u32 {
        let scale = place.map_or(0, |place| place.scale);
        if scale > MAX_SCALE {
            self.error(path, format!("a scale of {scale} is too large: at most {MAX_SCALE}"));
        }
        scale
    }

    fn check_event_names(&mut self, config: &MappingConfig) {
        for (from, to) in &config.event_names {
            if from.is_empty() || to.is_empty() {
                self.error(format!("event_names.{from}"), "an event name is not empty");
            } else if to.chars().count() > MAX_CHARACTERS {
                self.error(format!("event_names.{from}"), "an event name has at most 500 characters");
            }
        }
    }

    /// A constant that no event could pass with is a mistake of the mapping, not of every event.
    fn check_constants(&mut self, rules: &DecodeRules, zone: Option<&TimeZone>) {
        let constants: Vec<(Slot, String)> = self
            .outside
            .iter()
            .filter_map(|(slot, place)| match place {
                Outside::Constant(text) if !text.is_empty() => Some((*slot, text.clone())),
                _ => None,
            })
            .collect();
        for (slot, text) in constants {
            let wanted = match slot {
                Slot::Currency | Slot::Base | Slot::Quote if !rules.currencies.contains(&text) => {
                    "neither an ISO 4217 code nor one of defaults.currencies"
                }
                Slot::Amount
                | Slot::BonusAmount
                | Slot::JackpotContribution
                | Slot::JackpotWin
                | Slot::ExchangeRate
                | Slot::Odds
                    if text.parse::<Money>().is_err() =>
                {
                    "not a decimal number"
                }
                Slot::Timestamp | Slot::Until if instant::parse(&text, zone).is_err() => "not a timestamp",
                Slot::Granted if !matches!(text.as_str(), "true" | "false") => "neither true nor false",
                _ => continue,
            };
            self.error(slot.name(), format!("the constant \"{text}\" is {wanted}"));
        }
    }
}

impl AmountPlace {
    fn path(&self) -> &str {
        &self.path
    }
}

impl TimePlace {
    fn path(&self) -> &str {
        &self.path
    }
}
