//! `questline verify`: what was emitted, beside what the lake's raw history comes to.
//!
//! ```text
//! lake: epochs, events, definitions ── the same dataflow ── epochs recomputed ──┬── lake: output tables, cut by cut
//!                                      (no decoding)                            └── topics: completions, audit, activity
//! ```
//!
//! Table `events` has every field of an event, so it enters where decoding would have put it out. The recorded clock
//! opens each epoch. So everything from the event on is computed again; mapping is not.

mod compare;
mod feed;
mod part;
mod report;
mod tables;
#[cfg(test)]
mod tests;
mod topics;

use std::sync::Arc;

use datasets::rows::EpochOutputs;
use datasets::{Epoch, Timestamp};
use operators::activity::Reporting;
use sinks::lake::LakeReader;

use crate::config::Config;
use crate::engine::{self, Halt, Wake};
use crate::epochs::ClockSource;
use crate::history::log::{LakeHistory, Settled};
use crate::plan::{Prepared, Purpose, prepare};
use feed::{Compared, Feed, Recomputed, Replayed};
pub use report::{Comparison, Difference, Fault, Verdict};
use tables::{TableCheck, compare_counters, tables};
use topics::TopicCheck;

/// A lake, and the topics beside it, ready to be compared.
pub struct Proof {
    config: Config,
    history: LakeHistory,
    topics: Option<TopicCheck>,
}

impl Proof {
    /// Lists the lake of a checked configuration and, where it has brokers and not only the lake is wanted, reaches them.
    ///
    /// # Errors
    /// What cannot be reached, for people.
    pub fn open(config: Config, lake_only: bool) -> Result<Self, String> {
        let history = LakeHistory::open(&config, "the proof recomputes from its history")?;
        let kafka = config.kafka.as_ref().filter(|_| !lake_only);
        let topics = kafka.map(|kafka| TopicCheck::connect(&config, kafka)).transpose();
        let topics = topics.map_err(|error| format!("{error}; --lake-only leaves the topics out"))?;
        Ok(Proof { config, history, topics })
    }

    /// Epochs of the lake's log.
    pub fn epochs(&self) -> Epoch {
        self.history.epochs()
    }

    /// How much of the lake must be there.
    pub(crate) fn settled(&self) -> Settled {
        self.history.settled
    }

    /// The lake.
    pub(crate) fn lake(&self) -> Arc<LakeReader> {
        self.history.lake.clone()
    }

    /// Recomputes on `workers` threads and compares. `advance` is told of epochs compared.
    ///
    /// # Errors
    /// What cannot be read, for people.
    pub fn run(self, workers: usize, advance: impl Fn(u64) + Send + 'static) -> Result<Verdict, String> {
        self.observed(workers, advance, |_| ())
    }

    /// The same; `observe` is given every recomputed epoch, in order.
    ///
    /// # Errors
    /// What cannot be read, for people.
    pub(crate) fn observed(
        self,
        workers: usize,
        advance: impl Fn(u64) + Send + 'static,
        mut observe: impl FnMut(&EpochOutputs) + Send + 'static,
    ) -> Result<Verdict, String> {
        let epochs_in_lake = self.epochs();
        let Proof { config, history, topics } = self;
        let prepared = prepared(&config, workers, history.purpose())?;
        let LakeHistory { lake, inputs, settled, is_replay } = history;
        let flushes = is_replay && matches!(prepared.plan.reporting, Reporting::Interval(_));
        let replayed = is_replay.then(|| Replayed { flushed: flushes.then(|| epochs_in_lake.saturating_sub(1)) });
        let wake = Wake::default();
        let halt = Halt::new(wake.clone());
        let compared = Compared::default();
        let feed =
            Feed::start((inputs, replayed), (&prepared, workers), compared.clone(), (wake.clone(), halt.clone()));
        let (feed, recomputed) = feed.map_err(|error| format!("cannot start a thread: {error}"))?;
        let comparing = Comparing {
            tables: tables(&lake, settled)?,
            topics,
            log: Comparison::new("lake epochs"),
            epochs: 0,
            events: 0,
            until: Timestamp::MIN,
        };
        let comparing = std::thread::Builder::new().name("verify-compare".to_owned()).spawn({
            let (wake, halt) = (wake.clone(), halt.clone());
            move || {
                let done = || {
                    compared.add();
                    wake.all();
                    advance(1);
                };
                comparing.run(&recomputed, &mut observe, done).inspect_err(|error| halt.fail(error.clone()))
            }
        });
        let comparing = comparing.map_err(|error| format!("cannot start a thread: {error}"))?;
        engine::run(workers, &prepared.plan, &halt, move |worker| feed.edges(worker))?;
        let judged = comparing.join().map_err(|_| "the thread that compares panicked".to_owned())?;
        if let Some(failure) = halt.failure() {
            return Err(failure);
        }
        judged?.finish(epochs_in_lake)
    }
}

/// The plan by which the lake was written, along its recorded clock.
fn prepared(config: &Config, workers: usize, purpose: Purpose) -> Result<Prepared, String> {
    let mut prepared = prepare(config, workers, purpose)?;
    prepared.plan.clock = ClockSource::Wall;
    Ok(prepared)
}

/// Compares epoch by epoch.
struct Comparing {
    tables: Vec<TableCheck>,
    topics: Option<TopicCheck>,
    log: Comparison,
    epochs: Epoch,
    events: u64,
    until: Timestamp,
}

impl Comparing {
    fn run(
        mut self,
        recomputed: &Recomputed,
        observe: &mut impl FnMut(&EpochOutputs),
        done: impl Fn(),
    ) -> Result<Self, String> {
        while let Ok(outputs) = recomputed.outputs.recv() {
            let logged = recomputed.logged.recv().map_err(|_| "the log of epochs broke off".to_owned())?;
            compare_counters(outputs.epoch, &logged, &outputs.counters, &mut self.log);
            self.tables.iter_mut().try_for_each(|table| table.take(&outputs))?;
            if let Some(topics) = &mut self.topics {
                topics.take(&outputs);
            }
            observe(&outputs);
            self.epochs = outputs.epoch + 1;
            self.events += outputs.counters.read;
            self.until = outputs.now;
            done();
        }
        Ok(self)
    }

    fn finish(self, epochs_in_lake: Epoch) -> Result<Verdict, String> {
        let Comparing { tables, topics, log, epochs, events, until } = self;
        if epochs == 0 {
            return Err("nothing can be judged: what the first epoch read is not all in the lake yet".to_owned());
        }
        let mut compared = vec![log];
        for table in tables {
            compared.push(table.finish(epochs)?);
        }
        compared.extend(topics.map(|topics| topics.finish(until)).transpose()?.into_iter().flatten());
        Ok(Verdict { epochs, epochs_in_lake, events, until, compared })
    }
}
