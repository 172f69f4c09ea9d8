//! Figures of books that are balanced again and again, in the form that Prometheus reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use datasets::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::Account;
use crate::exporter::{Page, seconds};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: String,
}

type Seconds = Gauge<f64, AtomicU64>;

/// The figures, and where they are kept.
pub struct Metrics {
    registry: Registry,
    rounds: Family<Outcome, Counter>,
    differing: Family<Kind, Gauge>,
    last_equal: Seconds,
    until: Seconds,
    duration: Seconds,
    complete_until: Seconds,
    overdue_days: Gauge,
    has_judged: AtomicBool,
}

impl Metrics {
    /// Nothing has been judged yet.
    pub fn new(pipeline: &str) -> Arc<Self> {
        let labels = [("pipeline".into(), pipeline.to_owned().into())];
        let mut registry = Registry::with_prefix_and_labels("questline_reconcile", labels.into_iter());
        let (rounds, differing) = (Family::<Outcome, Counter>::default(), Family::default());
        for outcome in ["equal", "differs", "failed"] {
            drop(rounds.get_or_create(&Outcome { outcome }));
        }
        registry.register("rounds", "Rounds by what they came to", rounds.clone());
        let told = "What differed in the last round that judged, by kind: keys, days, partitions, records";
        registry.register("differing_keys", told, differing.clone());
        let overdue_days = Gauge::default();
        let told = "Reporting days that were not complete in the lake by 06:00 UTC behind their end, and are not yet";
        registry.register("overdue_days", told, overdue_days.clone());
        let mut register = |name, told| {
            let seconds = Seconds::default();
            registry.register_with_unit(name, told, Unit::Seconds, seconds.clone());
            seconds
        };
        let last_equal = register("last_equal", "When the last round ended that found everything equal, since 1970");
        let until = register("until", "The recorded clock up to which the last round judged, since 1970");
        let duration = register("duration", "How long the last round took that judged");
        let complete_until =
            register("complete_until", "The recorded clock up to which the lake has all rows of activity, since 1970");
        let has_judged = AtomicBool::new(false);
        Arc::new(Metrics {
            registry,
            rounds,
            differing,
            last_equal,
            until,
            duration,
            complete_until,
            overdue_days,
            has_judged,
        })
    }

    /// A round judged, from `began` to `ended`.
    pub fn judged(&self, account: &Account, began: Timestamp, ended: Timestamp) {
        let outcome = if account.is_equal() { "equal" } else { "differs" };
        self.rounds.get_or_create(&Outcome { outcome }).inc();
        for (kind, differing) in account.differing() {
            let differing = i64::try_from(differing).unwrap_or(i64::MAX);
            self.differing.get_or_create(&Kind { kind: kind.to_owned() }).set(differing);
        }
        if account.is_equal() {
            self.last_equal.set(seconds(ended.micros()));
        }
        self.until.set(seconds(account.verdict.until.micros()));
        self.complete_until.set(seconds(account.days.until.micros()));
        self.overdue_days.set(account.days.overdue.into());
        self.duration.set(seconds(ended.micros_since(began).max(0)));
        self.has_judged.store(true, Ordering::Relaxed);
    }

    /// A round could not judge.
    pub fn failed(&self) {
        self.rounds.get_or_create(&Outcome { outcome: "failed" }).inc();
    }
}

impl Page for Metrics {
    /// A round has judged.
    fn is_ready(&self) -> bool {
        self.has_judged.load(Ordering::Relaxed)
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }
}
