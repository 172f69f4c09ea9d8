//! The servers that `scripts/stack` starts, as the environment names them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long anything may take that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A Kafka broker and an S3 server.
#[derive(Clone, Debug)]
pub struct Stack {
    /// `host:port`
    pub brokers: String,
    /// `http://host:port`
    pub s3_endpoint: String,
    /// A bucket that exists.
    pub bucket: String,
}

impl Stack {
    /// The servers of `scripts/test`; without them the test says so and passes.
    pub fn from_env() -> Option<Self> {
        let variable = |name| std::env::var(name).ok();
        let stack = variable("QUESTLINE_BROKERS").zip(variable("QUESTLINE_S3_ENDPOINT"));
        let Some((brokers, s3_endpoint)) = stack else {
            eprintln!("skipped: needs servers: scripts/test starts them");
            return None;
        };
        let bucket = variable("QUESTLINE_S3_BUCKET").unwrap_or_else(|| "lake".to_owned());
        Some(Stack { brokers, s3_endpoint, bucket })
    }
}

/// A name that no other test uses, nor any earlier run of this one.
pub fn unique(label: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970").as_millis();
    format!("e2e-{label}-{since}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Asks until there is an answer.
///
/// # Panics
/// When there is none in time.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
