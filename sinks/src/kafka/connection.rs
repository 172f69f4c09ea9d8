//! How every Kafka client of the pipeline is set up, and what is said while brokers are not there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::SinkError;

/// While something keeps failing, it is said once in this time.
const REMINDER: Duration = Duration::from_secs(5);

/// Brokers, how to reach them, and how long to try at start. Clones share what is known about the
/// brokers' health, so that ten clients complain like one.
#[derive(Clone, Debug)]
pub struct Connection {
    /// `host:port`, comma-separated.
    pub brokers: String,
    /// Any property of librdkafka: SASL, TLS, buffer sizes. They win over our tuning, and lose
    /// against what correctness needs.
    pub properties: BTreeMap<String, String>,
    /// How long a start may wait for the brokers before it gives up.
    pub startup_timeout: Duration,
    health: Arc<Health>,
}

impl Connection {
    /// No further properties, and a minute to start.
    pub fn new(brokers: impl Into<String>) -> Self {
        Connection {
            brokers: brokers.into(),
            properties: BTreeMap::new(),
            startup_timeout: Duration::from_secs(60),
            health: Arc::new(Health::default()),
        }
    }

    /// A client's configuration: `tuning`, overridden by the user's properties, overridden by
    /// `required`.
    pub fn client(&self, tuning: &[(&str, &str)], required: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        // A broker that is back is found within a second, not within ten.
        for (key, value) in
            [("socket.nagle.disable", "true"), ("reconnect.backoff.max.ms", "1000")].iter().chain(tuning)
        {
            config.set(*key, *value);
        }
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        for (key, value) in required {
            config.set(*key, *value);
        }
        config
    }

    /// The context that every client gets: it hands librdkafka's log to ours.
    pub fn context(&self) -> SharedContext {
        SharedContext { brokers: self.brokers.as_str().into(), health: Arc::clone(&self.health) }
    }

    /// Tries `attempt` until it succeeds, fails for good, or [`Connection::startup_timeout`] is over.
    /// An attempt is told how long it may take. `what` completes the sentence "cannot …".
    pub fn retry<T>(
        &self,
        what: &str,
        mut attempt: impl FnMut(Duration) -> Result<T, KafkaError>,
    ) -> Result<T, Unreachable> {
        let deadline = Instant::now() + self.startup_timeout;
        let mut pause = Duration::from_millis(50);
        let mut reminder = Instant::now() + REMINDER.min(self.startup_timeout / 4);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let error = match attempt(left.clamp(Duration::from_millis(100), REMINDER)) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if !is_transient(&error) {
                return Err(Unreachable { message: format!("cannot {what} at {}", self.brokers), source: error });
            }
            let now = Instant::now();
            if now >= deadline {
                let waited = self.startup_timeout;
                let cause =
                    self.health.last_error().map_or_else(|| error.to_string(), |last| format!("{error} ({last})"));
                let message = format!("cannot {what} at {} within {waited:?}: {cause}", self.brokers);
                return Err(Unreachable { message, source: error });
            }
            if now >= reminder {
                reminder = now + REMINDER;
                let last = self.health.last_error();
                tracing::warn!(brokers = %self.brokers, %error, last, "kafka: still trying to {what}");
            }
            std::thread::sleep(pause.min(deadline - now));
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }
}

/// The brokers did not answer in time, or refused for good.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Unreachable {
    message: String,
    source: KafkaError,
}

impl From<Unreachable> for SinkError {
    fn from(error: Unreachable) -> Self {
        SinkError::Rejected(error.message, error.source.into())
    }
}

/// Serves a consumer's events that are no messages: its log, which tells why a request failed, and its
/// errors, both to [`SharedContext`]. To be called where nobody polls the consumer.
pub fn serve_events(consumer: &BaseConsumer<SharedContext>) {
    // A poll without waiting serves one event and does not tell whether there was one. What is beyond
    // this many is left for the next time.
    for _ in 0..64 {
        drop(consumer.poll(Duration::ZERO));
    }
}

/// It may work later without anybody's doing.
fn is_transient(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    if let KafkaError::Transaction(error) = error {
        return error.is_retriable();
    }
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::Resolve
                | Code::OperationTimedOut
                | Code::TimedOutQueue
                | Code::MessageTimedOut
                | Code::RequestTimedOut
                | Code::WaitingForCoordinator
                | Code::WaitCache
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::BrokerNotAvailable
                | Code::ReplicaNotAvailable
                | Code::NetworkException
                | Code::CoordinatorLoadInProgress
                | Code::CoordinatorNotAvailable
                | Code::NotCoordinator
                | Code::NotController
                | Code::ConcurrentTransactions
                // A topic that was created a moment ago.
                | Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
        )
    )
}

/// What the clients last heard of the brokers.
#[derive(Debug, Default)]
struct Health(Mutex<Heard>);

#[derive(Debug, Default)]
struct Heard {
    error: Option<String>,
    said: Option<Instant>,
}

impl Health {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        // Nothing under this lock can leave it half-done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_error(&self) -> Option<String> {
        self.heard().error.clone()
    }

    /// Remembers `error`; true when it is time to say so.
    fn note(&self, error: &str) -> bool {
        let mut heard = self.heard();
        heard.error = Some(error.to_owned());
        let due = heard.said.is_none_or(|said| said.elapsed() >= REMINDER);
        if due {
            heard.said = Some(Instant::now());
        }
        due
    }
}

/// The context of every client: it hands librdkafka's log and errors to `tracing`, with what repeats
/// while brokers are away cut down to one line in five seconds.
#[derive(Clone, Debug)]
pub struct SharedContext {
    brokers: Arc<str>,
    health: Arc<Health>,
}

impl ClientContext for SharedContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel as Level;
        match level {
            // Said by `error` too, at its pace.
            _ if matches!(facility, "FAIL" | "ERROR") => {
                self.health.heard().error = Some(message.to_owned());
                tracing::debug!(facility, "librdkafka: {message}");
            }
            Level::Emerg | Level::Alert | Level::Critical | Level::Error => {
                tracing::error!(facility, "librdkafka: {message}");
            }
            Level::Warning => tracing::warn!(facility, "librdkafka: {message}"),
            Level::Notice | Level::Info => tracing::info!(facility, "librdkafka: {message}"),
            Level::Debug => tracing::debug!(facility, "librdkafka: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // That all are down follows from the one before, which says why; an end of a partition is no error.
        let code = error.rdkafka_error_code();
        if matches!(code, Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::PartitionEOF)) {
            return;
        }
        if self.health.note(reason) {
            tracing::warn!(brokers = %self.brokers, "kafka: {reason}");
        }
    }
}

impl ConsumerContext for SharedContext {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn required_properties_win_over_the_users_and_those_over_tuning() {
        let mut connection = Connection::new("broker:9092");
        connection.properties.insert("linger.ms".into(), "7".into());
        connection.properties.insert("acks".into(), "1".into());
        let config = connection.client(&[("linger.ms", "0"), ("retry.backoff.ms", "1")], &[("acks", "all")]);
        assert_eq!(config.get("linger.ms"), Some("7"));
        assert_eq!(config.get("retry.backoff.ms"), Some("1"));
        assert_eq!(config.get("acks"), Some("all"));
        assert_eq!(config.get("bootstrap.servers"), Some("broker:9092"));
    }

    #[test]
    fn retry_ends_with_success_a_lasting_error_or_the_timeout() {
        let mut connection = Connection::new("broker:9092");
        connection.startup_timeout = Duration::from_millis(200);
        let absent = || KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerTransportFailure);

        let mut attempts = 0;
        let done = connection.retry("read", |_| {
            attempts += 1;
            if attempts < 3 { Err(absent()) } else { Ok(attempts) }
        });
        assert_eq!(done.unwrap(), 3);

        let denied = || KafkaError::MetadataFetch(RDKafkaErrorCode::TopicAuthorizationFailed);
        let mut attempts = 0;
        let error = connection.retry::<()>("read", |_| {
            attempts += 1;
            Err(denied())
        });
        assert_eq!(error.unwrap_err().to_string(), "cannot read at broker:9092");
        assert_eq!(attempts, 1);

        let error = connection.retry::<()>("read", |_| Err(absent())).unwrap_err().to_string();
        assert!(error.starts_with("cannot read at broker:9092 within 200ms: "), "{error}");
        assert!(error.contains("BrokerTransportFailure"), "{error}");
    }
}
