//! One transactional id: begin, send, wait for every acknowledgement, commit.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::util::Timeout;

use super::connection::{Connection, SharedContext};
use crate::SinkError;

/// A message on its way, borrowed from the writer's buffers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub topic: &'a str,
    pub key: Option<&'a [u8]>,
    pub payload: &'a [u8],
}

/// How long the thread of reports waits at a time. `poll` wakes up for every report, but spins
/// through the last millisecond of its wait: rdkafka's own thread waits 100 ms, so that eight
/// producers take 8 % of a core for nothing.
const REPORTS_WAIT: Duration = Duration::from_secs(1);

/// How long a process that must end anyway asks for the reason.
const TAKEN_OVER_WAIT: Duration = Duration::from_secs(5);

/// A producer under one transactional id. Its own thread sleeps on librdkafka's queue and takes
/// delivery reports the moment they arrive; whoever commits sleeps until the last one is in.
pub(super) struct TransactionalProducer {
    id: String,
    producer: Arc<BaseProducer<Deliveries>>,
}

impl TransactionalProducer {
    pub fn create(connection: &Connection, config: &ClientConfig, id: String) -> Result<Self, KafkaError> {
        let mut config = config.clone();
        config.set("transactional.id", &id);
        let context = Deliveries::new(connection.context());
        let producer: Arc<BaseProducer<Deliveries>> = Arc::new(config.create_with_context(context)?);
        let reported = Arc::downgrade(&producer);
        // Ends within one wait after the producer is dropped; nobody has to wait for that.
        let take_reports = move || {
            while let Some(producer) = reported.upgrade() {
                producer.poll(REPORTS_WAIT);
            }
        };
        let reports = thread::Builder::new().name("reports".to_owned()).spawn(take_reports);
        reports.map_err(|error| KafkaError::ClientCreation(format!("cannot start a thread: {error}")))?;
        Ok(TransactionalProducer { id, producer })
    }

    /// Takes the id over: whoever held it can commit no more, and its open transaction is aborted.
    pub fn fence(&self, timeout: Duration) -> Result<(), KafkaError> {
        self.producer.init_transactions(timeout)
    }

    pub fn begin(&self) -> Result<(), SinkError> {
        self.deliveries().reset();
        self.producer.begin_transaction().map_err(|error| self.refused("begin", error))
    }

    /// Hands a message over without waiting for its acknowledgement, unless the queue is full.
    pub fn send(&self, message: Message<'_>) -> Result<(), SinkError> {
        let mut record = BaseRecord::<[u8], [u8]>::to(message.topic).payload(message.payload);
        record.key = message.key;
        self.deliveries().expect_one();
        loop {
            let Err((error, returned)) = self.producer.send(record) else { return Ok(()) };
            match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => {
                    self.deliveries().wait_for_some(Duration::from_millis(10));
                    record = returned;
                }
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    self.deliveries().settle_one(None);
                    let (topic, size) = (message.topic, message.payload.len());
                    return Err(SinkError::Conflict(format!(
                        "a message of {size} bytes does not fit into topic {topic}: raise its max.message.bytes"
                    )));
                }
                _ => {
                    self.deliveries().settle_one(None);
                    return Err(self.refused("write to", error));
                }
            }
        }
    }

    /// Waits until every message is acknowledged.
    pub fn settle(&self) -> Result<(), SinkError> {
        if let Some(error) = self.deliveries().wait_for_all() {
            return Err(self.refused("write to", error));
        }
        // The last report has been taken; librdkafka counts its messages until the report is freed,
        // a few microseconds later. A commit before that sleeps for 100 ms in the client library.
        let mut turns = 0_u32;
        while self.producer.in_flight_count() > 0 {
            turns += 1;
            if turns < 100 { thread::yield_now() } else { thread::sleep(Duration::from_micros(50)) }
        }
        Ok(())
    }

    /// Commits what was acknowledged. Repeated while the broker asks for it; after any other error
    /// nobody knows here whether it took effect, so it is not repeated, and the caller must end.
    pub fn commit(&self) -> Result<(), SinkError> {
        let mut pause = Duration::from_millis(1);
        let mut said = Instant::now();
        loop {
            let error = match self.producer.commit_transaction(Timeout::Never) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let what = format!("cannot commit the transaction {}", self.id);
            if self.is_fenced(&error) {
                return Err(SinkError::Fenced(what, error.into()));
            }
            if !matches!(&error, KafkaError::Transaction(error) if error.is_retriable()) {
                return Err(match self.taken_over() {
                    Some(fenced) => SinkError::Fenced(what, fenced.into()),
                    None => SinkError::Indeterminate(what, error.into()),
                });
            }
            if said.elapsed() > Duration::from_secs(5) {
                said = Instant::now();
                tracing::warn!(id = self.id, %error, "kafka: still committing");
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// Whether the id belongs to another process by now, asked after a commit without a known outcome.
    /// A broker that is fencing this id at the moment of the commit answers with any error
    /// (`TransactionCoordinator.endTransaction` of Kafka 4.1 throws on a pending `PrepareEpochFence`), and
    /// the operator should read the cause, not the symptom.
    ///
    /// The question is an abort. It changes no outcome: the broker refuses it once the commit has taken
    /// effect, and otherwise does what the next start would do.
    fn taken_over(&self) -> Option<KafkaError> {
        let deadline = Instant::now() + TAKEN_OVER_WAIT;
        loop {
            match self.producer.abort_transaction(TAKEN_OVER_WAIT) {
                Ok(()) => return None,
                Err(error) if self.is_fenced(&error) => return Some(error),
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {}
                Err(_) => return None,
            }
        }
    }

    /// Gives up a transaction whose commit was not attempted. Returns `cause`, unless the broker does
    /// not confirm: then what was sent stays pending until the next start.
    pub fn abort(&self, cause: SinkError) -> SinkError {
        if matches!(cause, SinkError::Fenced(..)) {
            return cause; // The new owner has aborted it.
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match self.producer.abort_transaction(Duration::from_secs(10)) {
                Ok(()) => {
                    self.deliveries().wait_for_all();
                    return cause;
                }
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {}
                Err(error) if self.is_fenced(&error) => {
                    return SinkError::Fenced(format!("cannot abort the transaction {}", self.id), error.into());
                }
                Err(error) => {
                    let what = format!("cannot abort the transaction {} ({error}) after an error", self.id);
                    return SinkError::Indeterminate(what, cause.into());
                }
            }
        }
    }

    /// An error before the commit was attempted.
    fn refused(&self, doing: &str, error: KafkaError) -> SinkError {
        let error = self.reason(error);
        let what = format!("cannot {doing} the transaction {}", self.id);
        if self.is_fenced(&error) {
            SinkError::Fenced(what, error.into())
        } else if is_forgotten(&error) {
            // Not registered anew here: another instance may have come and gone meanwhile, and only a start reads
            // what it has committed.
            let why = "the brokers have forgotten it, because nothing was committed under it for longer than their \
                       transactional.id.expiration.ms; a new start registers it again";
            SinkError::Rejected(format!("{what}: {why}"), error.into())
        } else {
            SinkError::Rejected(what, error.into())
        }
    }

    /// Once a transaction has failed, the client drops its messages, which tells nothing; it keeps the reason, and
    /// answers with it to whoever wants to begin in the midst of a transaction.
    fn reason(&self, error: KafkaError) -> KafkaError {
        use RDKafkaErrorCode as Code;
        if !matches!(error.rdkafka_error_code(), Some(Code::PurgeQueue | Code::PurgeInflight)) {
            return error;
        }
        match self.producer.begin_transaction() {
            Err(reason) if reason.rdkafka_error_code() != Some(Code::State) => reason,
            _ => error,
        }
    }

    /// Once a client has met a fatal error, every later one is a consequence of it.
    fn is_fenced(&self, error: &KafkaError) -> bool {
        use RDKafkaErrorCode as Code;
        let is_fence = |code| matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch);
        error.rdkafka_error_code().is_some_and(is_fence)
            || self.producer.client().fatal_error().is_some_and(|(code, _)| is_fence(code))
    }

    fn deliveries(&self) -> &Deliveries {
        self.producer.client().context()
    }
}

/// The broker does not know the id, or not as this client registered it.
fn is_forgotten(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(error.rdkafka_error_code(), Some(Code::InvalidProducerIdMapping | Code::UnknownProducerId))
}

/// Counts what is not acknowledged yet and keeps the first failure.
struct Deliveries {
    shared: SharedContext,
    state: Mutex<Outstanding>,
    changed: Condvar,
}

#[derive(Default)]
struct Outstanding {
    messages: usize,
    failure: Option<KafkaError>,
    /// Somebody waits for room in the queue.
    wants_room: bool,
}

impl Deliveries {
    fn new(shared: SharedContext) -> Self {
        Deliveries { shared, state: Mutex::default(), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, Outstanding> {
        // Each update is one assignment: a panic elsewhere leaves nothing half-done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reset(&self) {
        *self.state() = Outstanding::default();
    }

    /// Called before the message is handed over: its report may come before `send` returns.
    fn expect_one(&self) {
        self.state().messages += 1;
    }

    fn settle_one(&self, failure: Option<KafkaError>) {
        let mut state = self.state();
        state.messages = state.messages.saturating_sub(1);
        if state.failure.is_none() {
            state.failure = failure;
        }
        if state.messages == 0 || state.wants_room {
            self.changed.notify_all();
        }
    }

    fn wait_for_some(&self, at_most: Duration) {
        let mut state = self.state();
        state.wants_room = true;
        let (mut state, _) = self.changed.wait_timeout(state, at_most).unwrap_or_else(PoisonError::into_inner);
        state.wants_room = false;
    }

    /// Every message is reported in the end, if only as timed out.
    fn wait_for_all(&self) -> Option<KafkaError> {
        let state = self.state();
        let mut state =
            self.changed.wait_while(state, |state| state.messages > 0).unwrap_or_else(PoisonError::into_inner);
        state.failure.take()
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.shared.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.shared.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.settle_one(result.as_ref().err().map(|(error, _)| error.clone()));
    }
}
