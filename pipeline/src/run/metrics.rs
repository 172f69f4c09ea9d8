//! Figures of a running pipeline, in the form that Prometheus reads.
//!
//! They tell of this process since its start: a recording rule over `rate` does not see restarts, and epochs that were
//! committed by an earlier run and are only followed count in none of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use datasets::rows::Counters;
use datasets::{Epoch, Timestamp};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use sinks::checkpoint::CheckpointHandle;
use sinks::lake::LakeHandle;

use super::stages::{Closed, STAGES};
use crate::exporter::{Page, seconds};

/// Seconds. Close together where a promise of milliseconds is kept or broken.
const BUCKETS: [f64; 20] = [
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 5.0, 30.0,
    120.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Partition {
    topic: String,
    partition: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stage {
    stage: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

/// The figures, and where they are kept.
pub struct Metrics {
    registry: Registry,
    figures: Figures,
    /// Epochs below were committed by an earlier run.
    free_from: Epoch,
    is_ready: AtomicBool,
}

struct Figures {
    events_read: Counter,
    events: Family<Outcome, Counter>,
    dead_letters: Family<Refused, Counter>,
    completions: Family<Outcome, Counter>,
    epochs: Counter,
    transactions: Counter,
    latency: Family<Stage, Histogram>,
    offsets: Family<Partition, Gauge>,
    last_commit: Seconds,
    behind: Seconds,
    lake_in_flight: Gauge,
    lake_oldest_row: Seconds,
    checkpoints: Gauge,
    checkpoint_waiting: Gauge,
}

impl Figures {
    fn registered(registry: &mut Registry) -> Self {
        let figures = Figures {
            events_read: Counter::default(),
            events: Family::default(),
            dead_letters: Family::default(),
            completions: Family::default(),
            epochs: Counter::default(),
            transactions: Counter::default(),
            latency: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            offsets: Family::default(),
            last_commit: Seconds::default(),
            behind: Seconds::default(),
            lake_in_flight: Gauge::default(),
            lake_oldest_row: Seconds::default(),
            checkpoints: Gauge::default(),
            checkpoint_waiting: Gauge::default(),
        };
        let Figures { events_read, events, dead_letters, completions, epochs, transactions, .. } = &figures;
        registry.register("events_read", "Events read; an input that does not decode is one", events_read.clone());
        registry.register("events", "Events by what became of them; late ones are accepted too", events.clone());
        registry.register("dead_letters", "Refused inputs", dead_letters.clone());
        registry.register("completions", "Messages of completions by kind", completions.clone());
        registry.register("epochs", "Epochs committed", epochs.clone());
        registry.register("transactions", "Transactions committed to Kafka", transactions.clone());
        let Figures { latency, offsets, last_commit, behind, .. } = &figures;
        let told = "From the arrival of an epoch's newest record at its broker until its outputs are visible, whole and by stage";
        registry.register_with_unit("latency", told, Unit::Seconds, latency.clone());
        registry.register("offset", "The next offset of a partition that is not committed yet", offsets.clone());
        let told = "When the last transaction was committed, since 1970";
        registry.register_with_unit("last_commit", told, Unit::Seconds, last_commit.clone());
        let told =
            "By how much the clock of the last epoch was behind the wall's when it was committed: the age of a backlog";
        registry.register_with_unit("behind", told, Unit::Seconds, behind.clone());
        let Figures { lake_in_flight, lake_oldest_row, checkpoints, checkpoint_waiting, .. } = &figures;
        let told = "Memory of what is on its way into the lake";
        registry.register_with_unit("lake_in_flight", told, Unit::Bytes, lake_in_flight.clone());
        let told = "Age of the oldest row that is in no file of the lake yet";
        registry.register_with_unit("lake_oldest_row", told, Unit::Seconds, lake_oldest_row.clone());
        registry.register("checkpoints", "Checkpoints begun", checkpoints.clone());
        let told = "Memory of what waits to be put into a checkpoint";
        registry.register_with_unit("checkpoint_waiting", told, Unit::Bytes, checkpoint_waiting.clone());
        figures
    }
}

impl Metrics {
    /// All at nothing. `free_from` is the first epoch that no earlier run has committed.
    pub fn new(pipeline: &str, free_from: Epoch) -> Arc<Self> {
        let labels = [("pipeline".into(), pipeline.to_owned().into())];
        let mut registry = Registry::with_prefix_and_labels("questline", labels.into_iter());
        registry.register("build", "What runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let figures = Figures::registered(&mut registry);
        Arc::new(Metrics { registry, figures, free_from, is_ready: AtomicBool::new(false) })
    }

    /// These epochs were committed, in a transaction that began and ended then.
    pub fn add(&self, epochs: &[Closed], began: Timestamp, ended: Timestamp) {
        let mut new = epochs.iter().filter(|closed| closed.outputs.epoch >= self.free_from).peekable();
        if new.peek().is_some() {
            self.figures.transactions.inc();
            self.figures.last_commit.set(seconds(ended.micros()));
        }
        for closed in new {
            self.figures.epochs.inc();
            self.count(&closed.outputs.counters);
            for bound in &closed.outputs.bindings {
                let label = Partition { topic: bound.topic.to_string(), partition: bound.partition };
                self.figures.offsets.get_or_create(&label).set(bound.upper);
            }
            self.figures.behind.set(seconds(ended.micros_since(closed.outputs.now).max(0)));
            if let Some(times) = closed.times(began, ended) {
                let [first, .., last] = times;
                self.observe("all", first, last);
                STAGES.iter().zip(times.windows(2)).for_each(|(stage, ends)| self.observe(stage, ends[0], ends[1]));
            }
        }
    }

    fn observe(&self, stage: &'static str, from: Timestamp, to: Timestamp) {
        self.figures.latency.get_or_create(&Stage { stage }).observe(seconds(to.micros_since(from).max(0)));
    }

    fn count(&self, counters: &Counters) {
        let Counters { read, accepted, duplicates, late, already_reversed, dead_letters, .. } = counters;
        self.figures.events_read.inc_by(*read);
        let outcomes =
            [("accepted", accepted), ("duplicate", duplicates), ("late", late), ("already_reversed", already_reversed)];
        for (outcome, count) in outcomes {
            self.figures.events.get_or_create(&Outcome { outcome }).inc_by(*count);
        }
        for (reason, count) in dead_letters {
            self.figures.dead_letters.get_or_create(&Refused { reason: reason.as_str() }).inc_by(*count);
        }
        let Counters { completed, revoked, suppressed, .. } = counters;
        for (outcome, count) in [("completed", completed), ("revoked", revoked), ("suppressed", suppressed)] {
            self.figures.completions.get_or_create(&Outcome { outcome }).inc_by(*count);
        }
    }

    /// What is under way at `now`, and whether the log of earlier runs has been followed to its end.
    pub fn look(
        &self,
        now: Timestamp,
        is_ready: bool,
        lake: Option<&LakeHandle>,
        checkpoint: Option<&CheckpointHandle>,
    ) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.is_ready.store(is_ready, Ordering::Relaxed);
        if let Some(lake) = lake {
            self.figures.lake_in_flight.set(number(lake.bytes_in_flight()));
            let age = lake.oldest_open().map_or(0, |oldest| now.micros_since(oldest).max(0));
            self.figures.lake_oldest_row.set(seconds(age));
        }
        if let Some(checkpoint) = checkpoint {
            self.figures.checkpoints.set(i64::try_from(checkpoint.rounds()).unwrap_or(i64::MAX));
            self.figures.checkpoint_waiting.set(number(checkpoint.bytes_waiting()));
        }
    }
}

impl Page for Metrics {
    /// The log of earlier runs has been followed to its end.
    fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::net::{SocketAddr, TcpStream};

    use datasets::rows::{Binding, Counters, EpochOutputs};

    use super::*;
    use crate::exporter::serve;

    fn ask(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: questline\r\nConnection: close\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }

    #[test]
    fn what_is_committed_is_told_and_what_an_earlier_run_committed_is_not() {
        let metrics = Metrics::new("acme", 7);
        let address = serve(SocketAddr::from(([127, 0, 0, 1], 0)), metrics.clone()).expect("a free port");
        let epoch = |epoch, read| {
            let bindings = vec![Binding { topic: "events".into(), partition: 2, upper: 40 + i64::from(read) }];
            let counters = Counters { read: u64::from(read), completed: 1, ..Counters::default() };
            let now = Timestamp::from_millis(1_000);
            Closed::now(Arc::new(EpochOutputs { epoch, now, bindings, counters, ..EpochOutputs::default() }))
        };
        let millis = Timestamp::from_millis;
        metrics.add(&[epoch(5, 100_u8), epoch(6, 100)], millis(0), millis(1));
        metrics.add(&[epoch(6, 100), epoch(7, 3), epoch(8, 4)], millis(2_000), millis(3_500));
        let told = ask(address, "/metrics");
        assert!(told.starts_with("HTTP/1.1 200 OK\r\n"), "{told}");
        for line in [
            "questline_events_read_total{pipeline=\"acme\"} 7",
            "questline_completions_total{pipeline=\"acme\",outcome=\"completed\"} 2",
            "questline_epochs_total{pipeline=\"acme\"} 2",
            "questline_transactions_total{pipeline=\"acme\"} 1",
            "questline_offset{pipeline=\"acme\",topic=\"events\",partition=\"2\"} 44",
            "questline_behind_seconds{pipeline=\"acme\"} 2.5",
            "questline_last_commit_seconds{pipeline=\"acme\"} 3.5",
            "# EOF",
        ] {
            assert!(told.lines().any(|told| told == line), "{line} is not in\n{told}");
        }
        assert!(ask(address, "/ready").starts_with("HTTP/1.1 503 "));
        metrics.look(millis(4_000), true, None, None);
        assert!(ask(address, "/ready").starts_with("HTTP/1.1 200 "));
        assert!(ask(address, "/nothing").starts_with("HTTP/1.1 404 "));
        let taken = serve(address, metrics).expect_err("somebody listens there");
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }
}
