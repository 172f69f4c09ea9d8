//! Where the time of an epoch goes between its records' arrival at the brokers and their outputs' visibility.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datasets::Timestamp;
use datasets::rows::EpochOutputs;
use hdrhistogram::Histogram;

use super::pacer::wall_time;

/// An epoch that the dataflow has put out, and when.
#[derive(Clone)]
pub struct Closed {
    /// What it put out.
    pub outputs: Arc<EpochOutputs>,
    at: Timestamp,
}

impl Closed {
    /// Now.
    pub fn now(outputs: Arc<EpochOutputs>) -> Self {
        Closed { outputs, at: wall_time() }
    }

    /// The instants between which its stages lie, if it has messages and read something: what only a timer makes it put out waited
    /// for no record. In a transaction that began and ended then.
    pub fn times(&self, began: Timestamp, ended: Timestamp) -> Option<[Timestamp; 5]> {
        let Closed { outputs, at } = self;
        (outputs.has_messages() && outputs.counters.read > 0).then(|| [outputs.newest, outputs.wall, *at, began, ended])
    }
}

/// What an epoch goes through.
///
/// `source`: the newest record's ingest until the epoch was opened. `compute`: until the dataflow put it out, reading
/// included. `queue`: until its transaction began. `commit`: until it was committed.
pub const STAGES: [&str; 4] = ["source", "compute", "queue", "commit"];

/// Times of epochs with messages, by stage.
pub struct Stages([(&'static str, Histogram<u64>); 4]);

/// What is longer counts as this: a backlog's age says nothing about stages.
const LONGEST: Duration = Duration::from_secs(600);

impl Default for Stages {
    fn default() -> Self {
        let longest = u64::try_from(LONGEST.as_micros()).expect("ten minutes");
        // Two digits: nobody acts on a hundredth of a latency.
        let empty = || Histogram::new_with_max(longest, 2).expect("bounds that a histogram can have");
        Stages(STAGES.map(|name| (name, empty())))
    }
}

impl Stages {
    /// One transaction that began and ended then, with these epochs.
    pub fn add(&mut self, epochs: &[Closed], began: Timestamp, ended: Timestamp) {
        epochs.iter().filter_map(|closed| closed.times(began, ended)).for_each(|times| self.record(times));
    }

    fn record(&mut self, times: [Timestamp; 5]) {
        for ((_, histogram), stage) in self.0.iter_mut().zip(times.windows(2)) {
            // A record may come after its epoch was opened, and clocks may be set.
            histogram.saturating_record(u64::try_from(stage[1].micros_since(stage[0])).unwrap_or(0));
        }
    }

    /// Nothing was added.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|(_, histogram)| histogram.is_empty())
    }
}

/// Medians and 99th percentiles in milliseconds.
impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, histogram)) in self.0.iter().enumerate() {
            let millis = |quantile| Duration::from_micros(histogram.value_at_quantile(quantile)).as_secs_f64() * 1000.0;
            let separator = if place == 0 { "" } else { ", " };
            write!(f, "{separator}{name} {:.1}/{:.1}", millis(0.5), millis(0.99))?;
        }
        f.write_str(" ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(times: [i64; 5]) -> Stages {
        let mut stages = Stages::default();
        stages.record(times.map(Timestamp::from_millis));
        stages
    }

    #[test]
    fn each_begins_where_the_one_before_ends() {
        let told = stages([0, 1, 3, 6, 10]).to_string();
        assert_eq!(told, "source 1.0/1.0, compute 2.0/2.0, queue 3.0/3.0, commit 4.0/4.0 ms");
    }

    #[test]
    fn an_old_backlog_and_a_clock_that_was_set_back_are_bounded() {
        let told = stages([-86_400_000, 10, 5, 4, 3]).to_string();
        assert!(told.starts_with("source 6"), "{told}");
        assert!(told.ends_with("compute 0.0/0.0, queue 0.0/0.0, commit 0.0/0.0 ms"), "{told}");
    }

    #[test]
    fn what_nobody_waits_for_does_not_count() {
        let mut stages = Stages::default();
        let now = Timestamp::from_millis(1);
        stages.add(&[Closed::now(Arc::default())], now, now);
        assert!(stages.is_empty());
    }
}
