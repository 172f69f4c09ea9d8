//! The servers that `scripts/stack` starts, as the environment names them.

use std::path::Path;
use std::process::Command;
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
    let mut wait = Wait::begin();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        wait.on(|| what.to_owned());
    }
}

/// A wait that has an end.
pub struct Wait(Instant);

impl Wait {
    /// From now on, [`PATIENCE`] long.
    pub fn begin() -> Self {
        Wait(Instant::now() + PATIENCE)
    }

    /// Before the question is asked again.
    ///
    /// # Panics
    /// When the wait is over, with what it was for.
    pub fn on(&mut self, what: impl FnOnce() -> String) {
        assert!(Instant::now() < self.0, "waited {PATIENCE:?} in vain for {}", what());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A broker of its own, which may be killed; ended when dropped. S3 is that of all.
pub struct OwnBroker {
    /// Its address, with the S3 server of all.
    pub stack: Stack,
    folder: tempfile::TempDir,
}

impl OwnBroker {
    /// A broker with further `settings`, `key=value`, beside the servers of `stack`.
    pub fn start(stack: Stack, settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut arguments = vec!["up", "--no-s3", "--kafka-heap", "512m"];
        arguments.extend(settings.iter().flat_map(|setting| ["--kafka-set", setting]));
        let said = scripts_stack(folder.path(), &arguments);
        let brokers = said.lines().find_map(|line| line.strip_prefix("export QUESTLINE_BROKERS='")?.strip_suffix('\''));
        let stack = Stack { brokers: brokers.expect("it says where the broker is").to_owned(), ..stack };
        OwnBroker { stack, folder }
    }

    /// Ends the broker at once.
    pub fn kill(&self) {
        scripts_stack(self.folder.path(), &["kafka-kill"]);
    }

    /// Starts it again, and waits until it answers.
    pub fn restart(&self) {
        scripts_stack(self.folder.path(), &["kafka-start"]);
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        scripts_stack(self.folder.path(), &["down"]);
    }
}

fn scripts_stack(folder: &Path, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/stack");
    let patience = PATIENCE.as_secs().to_string();
    let done = Command::new(script)
        .args(arguments)
        .args(["--patience", &patience])
        .arg("--dir")
        .arg(folder.join("stack"))
        .output();
    let done = done.expect("scripts/stack can be started");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("it writes UTF-8")
}
