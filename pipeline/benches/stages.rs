//! What an epoch of generated play costs in each stage, on one thread: `cargo bench -p pipeline`.
//!
//! The play goes on from one measurement to the next, so that state is as large and as cold as it is in a running
//! pipeline. `scripts/bench` measures the whole of it.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use datasets::generator::{Generated, Generator, GeneratorConfig, missions};
use pipeline::bench::{Core, EPOCH, Figures};

/// Epochs before the first that is measured: most of the players have turned up then.
const WARM_UP: usize = 60;

/// What a stage has cost.
type Stage = fn(&Figures) -> Duration;

struct Play {
    core: Core,
    events: Generator,
}

impl Play {
    /// Ten thousand events a second, without an end.
    fn new(count: u32) -> Self {
        let config = GeneratorConfig {
            events: 1 << 32,
            players: 200_000,
            missions: count,
            span_micros: (1 << 32) * 100,
            ..GeneratorConfig::default()
        };
        let core = Core::new(missions(&config), config.start).expect("a bare configuration has a plan");
        let mut play = Play { core, events: Generator::new(&config).expect("the configuration is sound") };
        play.epochs(WARM_UP);
        play
    }

    fn epochs(&mut self, count: usize) {
        for _ in 0..count {
            let records: Vec<Generated> = self.events.by_ref().take(EPOCH).collect();
            self.core.play(&records);
        }
    }

    /// What so many more epochs cost in one stage.
    fn cost(&mut self, epochs: u64, stage: Stage) -> Duration {
        let before = stage(&self.core.figures);
        self.epochs(usize::try_from(epochs).unwrap_or(usize::MAX));
        stage(&self.core.figures) - before
    }
}

fn stages(criterion: &mut Criterion) {
    const STAGES: [(&str, Stage); 5] = [
        ("decode", |figures| figures.decode),
        ("identity and missions", |figures| figures.players),
        ("daily activity", |figures| figures.activity),
        ("reports", |figures| figures.report),
        ("all", Figures::all),
    ];
    for count in [10, 100] {
        let mut play = Play::new(count);
        let mut group = criterion.benchmark_group(format!("{count} missions"));
        group
            .throughput(Throughput::Elements(u64::try_from(EPOCH).expect("an epoch is not that large")))
            .sample_size(20);
        for (name, stage) in STAGES {
            group.bench_function(name, |bencher| bencher.iter_custom(|epochs| play.cost(epochs, stage)));
        }
        group.finish();
    }
}

criterion_group!(benches, stages);
criterion_main!(benches);
