//! What an event of generated play costs the lake, from a batch of decoded events to Parquet in an object: `cargo bench -p sinks`.
//!
//! It is the processor's time of the whole process that is measured while a cut is made: the lake's thread waits
//! between messages, and the store, which is in memory here, has a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use datasets::currency::Currencies;
use datasets::generator::{Generator, GeneratorConfig};
use datasets::mapping::{DecodeRules, DecodeSink, Mapper, MappingConfig, Record, Refusal};
use datasets::rows::{Binding, EpochOutputs};
use datasets::schema::EventNames;
use datasets::{EventBatch, SourceId, TopicId, Topics};
use object_store::memory::InMemory;
use rustix::time::{ClockId, clock_gettime};
use sinks::EpochWriter;
use sinks::lake::{LakeConfig, LakeTotals, LakeWriter, Place};

/// Records of an epoch of a backlog.
const EPOCH: usize = 8192;
/// Epochs of a cut.
const EPOCHS: usize = 32;

/// Epochs of play, decoded.
struct Play {
    events: u64,
    names: Arc<EventNames>,
    batches: Vec<Arc<EventBatch>>,
    outputs: Vec<Arc<EpochOutputs>>,
}

struct Decoded(EventBatch);

impl DecodeSink for Decoded {
    fn batch(&mut self, _player_hash: u64) -> &mut EventBatch {
        &mut self.0
    }

    fn refuse(&mut self, _refusal: Refusal) {}
}

impl Play {
    /// Ten thousand events a second.
    fn new() -> Self {
        let config = GeneratorConfig {
            events: 1 << 32,
            players: 200_000,
            span_micros: (1 << 32) * 100,
            ..GeneratorConfig::default()
        };
        let rules = DecodeRules {
            default_currency: "EUR".to_owned(),
            currencies: Currencies::default(),
            max_future_micros: 300_000_000,
            raw_dead_letters: false,
        };
        let mut mapper = Mapper::compile(SourceId(0), &MappingConfig::default(), rules).expect("the default is sound");
        let mut events = Generator::new(&config).expect("the configuration is sound").zip(0..);
        let names =
            EventNames { topics: Topics::new(["events"]), sources: vec!["pam".into()], chargebacks: Vec::new() };
        let mut play = Play { events: 0, names: Arc::new(names), batches: Vec::new(), outputs: Vec::new() };
        for epoch in 0..EPOCHS {
            let mut decoded = Decoded(EventBatch::new(0, 0));
            let (mut now, mut upper) = (config.start, 0);
            for (generated, offset) in events.by_ref().take(EPOCH) {
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
                (now, upper) = (generated.timestamp, offset + 1);
            }
            play.events += u64::try_from(decoded.0.len()).expect("an epoch is not that large");
            play.batches.push(Arc::new(decoded.0));
            play.outputs.push(Arc::new(EpochOutputs {
                epoch: u64::try_from(epoch).expect("epochs are not that many"),
                now,
                newest: now,
                bindings: vec![Binding { topic: "events".into(), partition: 0, upper }],
                ..EpochOutputs::default()
            }));
        }
        play
    }

    /// Makes one cut of it all, and answers what it cost.
    fn cut(&self) -> (Duration, LakeTotals) {
        let config = LakeConfig::new("memory");
        let place = Place::new(Arc::new(InMemory::new()), "lake");
        let began = processor_time();
        let mut lake = LakeWriter::open_at(place, &config, 1, 1, self.names.clone()).expect("memory is a store");
        for (batch, outputs) in self.batches.iter().zip(&self.outputs) {
            lake.handle().history(0, outputs.epoch, batch.clone());
            lake.handle().history_upper(0, outputs.epoch + 1);
            lake.commit(std::slice::from_ref(outputs)).expect("the lake takes epochs");
        }
        let totals = lake.finish().expect("memory takes objects");
        (processor_time() - began, totals)
    }
}

/// What this process has had of the processors.
fn processor_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().expect("time does not run backwards")
}

fn lake(criterion: &mut Criterion) {
    let play = Play::new();
    let (_, totals) = play.cut();
    let bytes: u64 = totals.tables.values().map(|table| table.bytes).sum();
    println!("{} events, {bytes} bytes of Parquet: {} an event", play.events, bytes / play.events);
    let mut group = criterion.benchmark_group("lake");
    group.throughput(Throughput::Elements(play.events)).sample_size(20);
    group.bench_function("events", |bencher| bencher.iter_custom(|cuts| (0..cuts).map(|_| play.cut().0).sum()));
    group.finish();
}

criterion_group!(benches, lake);
criterion_main!(benches);
