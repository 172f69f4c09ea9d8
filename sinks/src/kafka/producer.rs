//! One transactional id in librdkafka: begin, send, wait for every acknowledgement, commit.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::util::Timeout;

use super::broker::{Answer, Failure, Message, Transactional};
use super::connection::{Connection, SharedContext};

/// How long the thread of reports waits at a time. `poll` wakes up for every report, but spins
/// through the last millisecond of its wait: rdkafka's own thread waits 100 ms, so that eight
/// producers take 8 % of a core for nothing, and 0.8 % with a second.
const REPORTS_WAIT: Duration = Duration::from_secs(10);

/// A producer under one transactional id. Its own thread sleeps on librdkafka's queue and takes
/// delivery reports the moment they arrive; whoever commits sleeps until the last one is in.
pub struct TransactionalProducer {
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

    fn failure(&self, error: KafkaError) -> Failure {
        let answer = if self.is_fenced(&error) {
            Answer::Fenced
        } else if matches!(&error, KafkaError::Transaction(error) if error.is_retriable()) {
            Answer::Again
        } else if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) {
            Answer::TooLarge
        } else if is_forgotten(&error) {
            Answer::Forgotten
        } else {
            Answer::Other
        };
        Failure { answer, cause: error.into() }
    }

    /// Before a commit. Once a transaction has failed, the client drops its messages and takes no more, which tells
    /// nothing; it keeps the reason, and answers with it to whoever wants to begin in the midst of a transaction.
    fn early_failure(&self, error: KafkaError) -> Failure {
        use RDKafkaErrorCode as Code;
        if matches!(error.rdkafka_error_code(), Some(Code::PurgeQueue | Code::PurgeInflight | Code::State)) {
            match self.producer.begin_transaction() {
                Err(reason) if reason.rdkafka_error_code() != Some(Code::State) => return self.failure(reason),
                _ => {}
            }
        }
        self.failure(error)
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

impl Transactional for TransactionalProducer {
    fn id(&self) -> &str {
        &self.id
    }

    fn begin(&self) -> Result<(), Failure> {
        self.deliveries().reset();
        self.producer.begin_transaction().map_err(|error| self.early_failure(error))
    }

    /// Waits only while the queue is full.
    fn send(&self, message: Message<'_>) -> Result<(), Failure> {
        let mut record = BaseRecord::<[u8], [u8]>::to(message.topic);
        (record.key, record.payload) = (message.key, message.payload);
        self.deliveries().expect_one();
        loop {
            let Err((error, returned)) = self.producer.send(record) else { return Ok(()) };
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                self.deliveries().settle_one(None);
                return Err(self.early_failure(error));
            }
            self.deliveries().wait_for_some(Duration::from_millis(10));
            record = returned;
        }
    }

    fn settle(&self) -> Result<(), Failure> {
        if let Some(error) = self.deliveries().wait_for_all() {
            return Err(self.early_failure(error));
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

    fn commit(&self) -> Result<(), Failure> {
        self.producer.commit_transaction(Timeout::Never).map_err(|error| self.failure(error))
    }

    fn abort(&self, timeout: Duration) -> Result<(), Failure> {
        self.producer.abort_transaction(timeout).map_err(|error| self.failure(error))?;
        self.deliveries().wait_for_all();
        Ok(())
    }

    fn pause(&self, pause: Duration) {
        thread::sleep(pause);
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
