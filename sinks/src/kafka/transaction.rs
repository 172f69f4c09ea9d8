//! The end of a transaction: when to ask again, and when not to.

use std::time::{Duration, Instant};

use super::broker::{Answer, Failure, Transactional};
use crate::SinkError;

/// How long a process that must end anyway asks for the reason.
const TAKEN_OVER_WAIT: Duration = Duration::from_secs(5);

/// Commits what was acknowledged. Repeated while the broker asks for it; after any other error
/// nobody knows here whether it took effect, so it is not repeated, and the caller must end.
pub(super) fn commit(producer: &impl Transactional) -> Result<(), SinkError> {
    let mut pause = Duration::from_millis(1);
    let mut said = Instant::now();
    loop {
        let Failure { answer, cause } = match producer.commit() {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let what = || format!("cannot commit the transaction {}", producer.id());
        match answer {
            Answer::Fenced => return Err(SinkError::Fenced(what(), cause)),
            Answer::Again => {}
            Answer::TooLarge | Answer::Forgotten | Answer::Other => {
                return Err(match taken_over(producer) {
                    Some(fenced) => SinkError::Fenced(what(), fenced.cause),
                    None => SinkError::Indeterminate(what(), cause),
                });
            }
        }
        if said.elapsed() > Duration::from_secs(5) {
            said = Instant::now();
            tracing::warn!(id = producer.id(), error = %cause, "kafka: still committing");
        }
        producer.pause(pause);
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
fn taken_over(producer: &impl Transactional) -> Option<Failure> {
    let deadline = Instant::now() + TAKEN_OVER_WAIT;
    loop {
        match producer.abort(TAKEN_OVER_WAIT) {
            Err(failure) if failure.answer == Answer::Fenced => return Some(failure),
            Err(failure) if failure.answer == Answer::Again && Instant::now() < deadline => {}
            Ok(()) | Err(_) => return None,
        }
    }
}

/// Gives up a transaction whose commit was not attempted. Returns `cause`, unless the broker does
/// not confirm: then what was sent stays pending until the next start.
pub(super) fn abort(producer: &impl Transactional, cause: SinkError) -> SinkError {
    if matches!(cause, SinkError::Fenced(..)) {
        return cause; // The new owner has aborted it.
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let Err(failure) = producer.abort(Duration::from_secs(10)) else { return cause };
        let id = producer.id();
        match failure.answer {
            Answer::Again if Instant::now() < deadline => {}
            Answer::Fenced => return SinkError::Fenced(format!("cannot abort the transaction {id}"), failure.cause),
            _ => {
                let what = format!("cannot abort the transaction {id} ({}) after an error", failure.cause);
                return SinkError::Indeterminate(what, cause.into());
            }
        }
    }
}

/// An error before the commit was attempted.
pub(super) fn refused(producer: &impl Transactional, doing: &str, Failure { answer, cause }: Failure) -> SinkError {
    let what = format!("cannot {doing} the transaction {}", producer.id());
    match answer {
        Answer::Fenced => SinkError::Fenced(what, cause),
        // Not registered anew here: another instance may have come and gone meanwhile, and only a start reads what it
        // has committed.
        Answer::Forgotten => SinkError::Rejected(
            format!(
                "{what}: the brokers have forgotten it, because nothing was committed under it for longer than their \
                 transactional.id.expiration.ms; a new start registers it again"
            ),
            cause,
        ),
        Answer::Again | Answer::TooLarge | Answer::Other => SinkError::Rejected(what, cause),
    }
}
