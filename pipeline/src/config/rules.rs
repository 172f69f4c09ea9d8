//! What the configuration says of decoding and of missions; the rest of it is checked with this.

use std::collections::BTreeSet;

use datasets::SourceId;
use datasets::currency::Currencies;
use datasets::mapping::{ConfigError, DecodeRules, Mapper};
use datasets::mission::MissionDefaults;

use super::settings::Config;

impl Config {
    /// ISO 4217 and the configured codes.
    pub fn currencies(&self) -> Currencies {
        Currencies::with_extra(self.defaults.currencies.iter().cloned())
    }

    /// The id of each source, in the order of the file. Ids follow the names.
    pub fn source_ids(&self) -> Vec<SourceId> {
        let names: BTreeSet<&str> = self.sources.iter().map(|source| source.name.as_str()).collect();
        let id = |name: &str| u16::try_from(names.range(..name).count()).expect("fewer than 65,536 sources");
        self.sources.iter().map(|source| SourceId(id(&source.name))).collect()
    }

    /// What a mission or tier may leave out.
    pub fn mission_defaults(&self) -> MissionDefaults {
        MissionDefaults {
            currency: self.defaults.currency.as_str().into(),
            currencies: self.currencies(),
            zone: self.defaults.zone.time_zone().clone(),
            zone_name: self.defaults.zone.name().into(),
            retained_micros: self.missions.retained.micros(),
        }
    }

    /// What decoding needs beyond the mapping.
    pub fn decode_rules(&self) -> DecodeRules {
        DecodeRules {
            default_currency: self.defaults.currency.clone(),
            currencies: self.currencies(),
            max_future_micros: self.identity.max_future.micros(),
            raw_dead_letters: self.dead_letters.raw,
        }
    }

    /// The mapping of each source, in the order of the file. None fails in a configuration that was loaded.
    pub fn mappers(&self) -> Vec<Result<Mapper, Vec<ConfigError>>> {
        let sources = self.sources.iter().zip(self.source_ids());
        sources.map(|(source, id)| Mapper::compile(id, &source.mapping, self.decode_rules())).collect()
    }
}
