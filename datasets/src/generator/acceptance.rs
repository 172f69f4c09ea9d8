//! Generated records and definitions against the parts of a pipeline that judge them.

use super::*;
use crate::currency::Currencies;
use crate::mapping::{DecodeRules, DecodeSink, Mapper, MappingConfig, Record, Refusal};
use crate::mission::{Mission, MissionDefaults};
use crate::{EventBatch, SourceId, TopicId};

#[derive(Default)]
struct Decoded {
    batch: EventBatch,
    refusals: Vec<Refusal>,
}

impl DecodeSink for Decoded {
    fn batch(&mut self, _player_hash: u64) -> &mut EventBatch {
        &mut self.batch
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.refusals.push(refusal);
    }
}

#[test]
fn records_need_no_mapping_and_are_refused_as_stated() {
    let rules = DecodeRules {
        default_currency: "EUR".to_owned(),
        currencies: Currencies::default(),
        max_future_micros: 300 * SECOND,
        raw_dead_letters: false,
    };
    let mut mapper = Mapper::compile(SourceId(0), &MappingConfig::default(), rules).unwrap();
    let shares = Shares { malformed: 100_000, ..Shares::default() };
    let config = GeneratorConfig { events: 20_000, shares, ..GeneratorConfig::default() };
    for (offset, generated) in (0..).zip(Generator::new(&config).unwrap()) {
        let mut decoded = Decoded::default();
        let record = Record {
            topic: TopicId(0),
            partition: generated.partition,
            offset,
            timestamp: Some(generated.timestamp),
            key: Some(generated.key.as_bytes()),
            headers: &(),
            value: Some(&generated.value),
        };
        mapper.decode(&record, &mut decoded);
        let reasons: Vec<Reason> = decoded.refusals.iter().map(|refusal| refusal.reason).collect();
        let text = String::from_utf8_lossy(&generated.value);
        assert_eq!(reasons, Vec::from_iter(generated.defect), "{text}");
        assert_eq!(decoded.batch.len(), usize::from(generated.defect.is_none()), "{text}");
        if let Some(event) = decoded.batch.iter().next() {
            assert_eq!(event.player_id(), generated.key);
            assert_ne!(event.name, EventName::Custom, "{text}");
        }
    }
}

#[test]
fn definitions_are_valid() {
    for currency in ["EUR", "SEK"] {
        let config =
            GeneratorConfig { missions: 200, currencies: vec![(1, currency.to_owned())], ..GeneratorConfig::default() };
        let defaults = MissionDefaults::utc("EUR", Currencies::default());
        for (id, definition) in missions(&config) {
            let errors = Mission::parse(&id, &definition, &defaults).err();
            assert_eq!(errors, None, "{definition}");
        }
    }
}
