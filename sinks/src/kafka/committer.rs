//! [`KafkaCommitter`]: closed epochs in, transactions out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datasets::rows::{Entity, EntityRows, EpochOutputs, activity_key};
use datasets::{Epoch, Timestamp};

use super::broker::{Answer, Cluster, Message, Transactional};
use super::client::Client;
use super::messages::{EntityTopics, OutputTopics, fitting, write_json};
use super::producer::TransactionalProducer;
use super::progress::{Chain, encode};
use super::recovery::{self, RecoveredLog};
use super::{CommitterConfig, TRANSACTIONAL_IDS, beginning, transaction};
use crate::cut::Cut;
use crate::epoch_writer::{EpochWriter, SinkError};
use crate::failpoint::{Failpoint, pass};

/// Commits closed epochs, each with its record in the log of epochs. There is one in a pipeline,
/// whatever the number of workers, and it has one thread to itself: a commit blocks.
pub struct KafkaCommitter<P = TransactionalProducer> {
    topics: OutputTopics,
    run_id: String,
    /// Bytes of a message's key and value together.
    message_limit: usize,
    producers: Vec<P>,
    /// The producer of the next transaction.
    next: usize,
    position: Position,
    /// The outcome of a commit is unknown: only a new start finds out.
    lost: bool,
}

/// Where the log of epochs stands.
#[derive(Clone, Copy)]
struct Position {
    upper: Epoch,
    now: Option<Timestamp>,
    chain: Chain,
}

/// Creates what topics are missing, fences every earlier process of this pipeline, and reads what
/// they have committed.
///
/// # Errors
/// [`SinkError::Rejected`] when brokers cannot be reached within the startup timeout or refuse;
/// [`SinkError::Conflict`] when the progress topic is not a log of this pipeline from its beginning, or is empty
/// while the output topics are not.
pub fn open(config: &CommitterConfig) -> Result<(KafkaCommitter, RecoveredLog), SinkError> {
    open_on(&Client::new(config)?, config)
}

/// The same on any cluster.
pub(crate) fn open_on<C: Cluster>(
    cluster: &C,
    config: &CommitterConfig,
) -> Result<(KafkaCommitter<C::Producer>, RecoveredLog), SinkError> {
    let started = Instant::now();
    let max_batch = cluster.ensure_topics()?;
    let ids = (0..TRANSACTIONAL_IDS).map(|index| format!("{}-{index}", config.pipeline)).collect();
    let producers = cluster.take_over(ids, max_batch)?;
    let fenced = started.elapsed();
    let log = recovery::read(cluster, config)?;
    if log.upper == 0 {
        beginning::check(cluster, config)?;
    }
    tracing::info!(
        pipeline = config.pipeline,
        upper = log.upper,
        fenced_ms = millis(fenced),
        read_ms = millis(started.elapsed() - fenced),
        "kafka: log of epochs recovered"
    );
    let committer = KafkaCommitter {
        topics: config.topics.clone(),
        run_id: config.run_id.clone(),
        message_limit: max_batch - batch_overhead(max_batch),
        producers,
        next: 0, // See the third fact of the module.
        position: Position { upper: log.upper, now: log.now, chain: log.chain },
        lost: false,
    };
    Ok((committer, log))
}

/// What a batch of one message takes beside its key and value, at most: headers, and what
/// compression adds to bytes that do not compress. Twice, since the client wants its own share.
pub(super) fn batch_overhead(max_batch: usize) -> usize {
    (1024 + max_batch / 100).min(max_batch / 2)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl<P: Transactional> KafkaCommitter<P> {
    /// Commits `epochs`, which are consecutive, in one transaction. `cuts` go into the record of the
    /// last one. Epochs below [`EpochWriter::resume_upper`] are ignored. Answers the log's hash chain after each of
    /// the others.
    ///
    /// # Errors
    /// See [`SinkError`]; after [`SinkError::Indeterminate`] and [`SinkError::Fenced`] this committer
    /// commits nothing more.
    pub fn commit_with(
        &mut self,
        epochs: &[Arc<EpochOutputs>],
        cuts: Vec<Cut>,
    ) -> Result<Vec<(Epoch, Chain)>, SinkError> {
        if self.lost {
            let cause = "an earlier commit had no known outcome";
            return Err(SinkError::Indeterminate("cannot commit".into(), cause.into()));
        }
        let fresh = &epochs[epochs.partition_point(|outputs| outputs.epoch < self.position.upper)..];
        let Some(last) = fresh.last() else {
            let lost_cuts = || SinkError::Conflict(format!("no epoch is left to record {} cuts in", cuts.len()));
            return if cuts.is_empty() { Ok(Vec::new()) } else { Err(lost_cuts()) };
        };
        self.position.check(fresh)?;
        tracing::debug!(first = self.position.upper, last = last.epoch, "kafka: committing");

        let producer = &self.producers[self.next];
        let records_cuts = !cuts.is_empty();
        producer.begin().map_err(|failure| transaction::refused(producer, "begin", failure))?;
        pass(Failpoint::BeforeProduce);
        if records_cuts {
            pass(Failpoint::BeforeCutRecord);
        }
        let sent = self.send(producer, fresh, cuts).inspect(|_| pass(Failpoint::AfterProduce));
        let settled = |chains| match producer.settle() {
            Ok(()) => Ok(chains),
            Err(failure) => Err(transaction::refused(producer, "write to", failure)),
        };
        let committed = match sent.and_then(settled) {
            Ok(chains) => {
                pass(Failpoint::BeforeCommit);
                transaction::commit(producer).map(|()| chains)
            }
            Err(error) => Err(transaction::abort(producer, error)),
        };
        // Also after a failure: an id whose markers are still being written is slow to begin again.
        self.next = (self.next + 1) % TRANSACTIONAL_IDS;
        self.lost = matches!(committed, Err(SinkError::Indeterminate(..) | SinkError::Fenced(..)));
        let chains = committed?;
        let chain = chains.last().map_or(self.position.chain, |(_, chain)| *chain);
        self.position = Position { upper: last.epoch + 1, now: Some(last.now), chain };
        pass(Failpoint::AfterCommit);
        if records_cuts {
            pass(Failpoint::AfterCutRecord);
        }
        Ok(chains)
    }

    /// The first epoch that is not committed.
    pub(crate) fn upper(&self) -> Epoch {
        self.position.upper
    }

    /// Sends everything and returns the chain after each record.
    fn send(
        &self,
        producer: &P,
        epochs: &[Arc<EpochOutputs>],
        mut cuts: Vec<Cut>,
    ) -> Result<Vec<(Epoch, Chain)>, SinkError> {
        let mut chain = self.position.chain;
        let mut chains = Vec::with_capacity(epochs.len());
        for (index, outputs) in epochs.iter().enumerate() {
            self.send_rows(producer, outputs)?;
            let is_last = index + 1 == epochs.len();
            let cuts = if is_last { std::mem::take(&mut cuts) } else { Vec::new() };
            let record = encode(&self.run_id, outputs, cuts, chain);
            chain = record.chain;
            chains.push((outputs.epoch, chain));
            let key = outputs.epoch.to_string();
            for payload in record.messages(self.message_limit - key.len()) {
                let topic = &self.topics.progress;
                hand_over(producer, Message { topic, key: Some(key.as_bytes()), payload: Some(&payload) })?;
            }
        }
        Ok(chains)
    }

    fn send_rows(&self, producer: &P, outputs: &EpochOutputs) -> Result<(), SinkError> {
        let mut payload = Vec::new();
        for row in &outputs.completions {
            write_json(&mut payload, row);
            let key = Some(row.player_id.as_bytes());
            hand_over(producer, Message { topic: &self.topics.completions, key, payload: Some(&payload) })?;
        }
        for row in &outputs.audit {
            write_json(&mut payload, row);
            let key = Some(row.player_id.as_bytes());
            hand_over(producer, Message { topic: &self.topics.audit, key, payload: Some(&payload) })?;
        }
        // Behind the completions that earn them, for the same player on the same partition.
        for row in &outputs.points {
            write_json(&mut payload, row);
            let key = Some(row.player_id.as_bytes());
            hand_over(producer, Message { topic: &self.topics.completions, key, payload: Some(&payload) })?;
        }
        for row in &outputs.tiers {
            write_json(&mut payload, row);
            let key = Some(row.player_id.as_bytes());
            hand_over(producer, Message { topic: &self.topics.completions, key, payload: Some(&payload) })?;
        }
        for row in &outputs.activity {
            write_json(&mut payload, row);
            let key = activity_key(&row.key);
            hand_over(
                producer,
                Message { topic: &self.topics.activity, key: Some(key.as_bytes()), payload: Some(&payload) },
            )?;
        }
        for row in &outputs.dead_letters {
            let cut = fitting(row, self.message_limit);
            let row = cut.as_ref().unwrap_or(row);
            write_json(&mut payload, row);
            let key = row.player_id.as_ref().map(String::as_bytes);
            hand_over(producer, Message { topic: &self.topics.dead_letters, key, payload: Some(&payload) })?;
        }
        match &self.topics.entities {
            Some(topics) => send_entities(producer, &outputs.entities, topics),
            None => Ok(()),
        }
    }
}

/// In an epoch a key has a row, or is withheld, or neither: so the last message of a key is what stands.
fn send_entities(producer: &impl Transactional, rows: &EntityRows, topics: &EntityTopics) -> Result<(), SinkError> {
    let mut payload = Vec::new();
    for row in &rows.gaming_activity {
        write_json(&mut payload, row);
        let (topic, key) = (&*topics.gaming_activity, row.key());
        hand_over(producer, Message { topic, key: Some(key.as_bytes()), payload: Some(&payload) })?;
    }
    for row in &rows.transactions {
        write_json(&mut payload, row);
        let (topic, key) = (&*topics.transactions, row.transaction_id.as_bytes());
        hand_over(producer, Message { topic, key: Some(key), payload: Some(&payload) })?;
    }
    for row in &rows.customers {
        write_json(&mut payload, row);
        let (topic, key) = (&*topics.customers, row.customer_id.as_bytes());
        hand_over(producer, Message { topic, key: Some(key), payload: Some(&payload) })?;
    }
    for row in &rows.reviews {
        write_json(&mut payload, row);
        let (topic, key) = (&*topics.reviews, row.customer_id.as_bytes());
        hand_over(producer, Message { topic, key: Some(key), payload: Some(&payload) })?;
    }
    // What had been sent of a row before is no longer true. One tombstone for all that is wrong with it.
    let withheld = rows.reviews.iter().filter(|review| review.withheld);
    let withheld: BTreeSet<(Entity, &str)> = withheld.map(|review| (review.entity, &*review.key)).collect();
    for (entity, key) in withheld {
        hand_over(producer, Message { topic: topics.of(entity), key: Some(key.as_bytes()), payload: None })?;
    }
    Ok(())
}

fn hand_over(producer: &impl Transactional, message: Message<'_>) -> Result<(), SinkError> {
    producer.send(message).map_err(|failure| match failure.answer {
        Answer::TooLarge => {
            let (topic, size) = (message.topic, message.payload.map_or(0, <[u8]>::len));
            SinkError::Conflict(format!(
                "a message of {size} bytes does not fit into topic {topic}: raise its max.message.bytes"
            ))
        }
        _ => transaction::refused(producer, "write to", failure),
    })
}

impl Position {
    /// `epochs` continue the log.
    fn check(self, epochs: &[Arc<EpochOutputs>]) -> Result<(), SinkError> {
        let mut now = self.now;
        for (outputs, expected) in epochs.iter().zip(self.upper..) {
            let epoch = outputs.epoch;
            if epoch != expected {
                return Err(SinkError::Conflict(format!("epoch {epoch} was handed over, where {expected} is next")));
            }
            if now.is_some_and(|now| outputs.now < now) {
                return Err(SinkError::Conflict(format!("the clock runs backwards in epoch {epoch}")));
            }
            now = Some(outputs.now);
        }
        Ok(())
    }
}

impl<P: Transactional + Send> EpochWriter for KafkaCommitter<P> {
    fn resume_upper(&mut self) -> Result<Epoch, SinkError> {
        Ok(self.position.upper)
    }

    fn commit(&mut self, epochs: &[Arc<EpochOutputs>]) -> Result<(), SinkError> {
        self.commit_with(epochs, Vec::new()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(list: &[(Epoch, i64)]) -> Vec<Arc<EpochOutputs>> {
        list.iter()
            .map(|&(epoch, millis)| {
                Arc::new(EpochOutputs { epoch, now: Timestamp::from_millis(millis), ..EpochOutputs::default() })
            })
            .collect()
    }

    #[test]
    fn epochs_must_continue_the_log() {
        let position = Position { upper: 5, now: Some(Timestamp::from_millis(100)), chain: Chain(0) };
        assert!(position.check(&epochs(&[(5, 100), (6, 100), (7, 101)])).is_ok());
        let error = |list| position.check(&epochs(list)).unwrap_err().to_string();
        assert_eq!(error(&[(6, 100)]), "epoch 6 was handed over, where 5 is next");
        assert_eq!(error(&[(5, 100), (7, 100)]), "epoch 7 was handed over, where 6 is next");
        assert_eq!(error(&[(5, 99)]), "the clock runs backwards in epoch 5");
    }
}
