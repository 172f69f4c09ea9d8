//! The binary under test.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::stack::wait_for;

/// The `questline` binary: that of `QUESTLINE_BIN`, or the one that was built beside this test.
///
/// # Panics
/// When it was not built.
pub fn binary() -> PathBuf {
    let built = || {
        let test = std::env::current_exe().expect("a test knows its own path");
        test.parent().and_then(Path::parent).expect("tests lie in deps").join("questline")
    };
    let path = std::env::var_os("QUESTLINE_BIN").map_or_else(built, PathBuf::from);
    assert!(path.exists(), "{} is missing: cargo build --profile ci --bins", path.display());
    path
}

/// A helper of `scripts/bench`, run to its end: the figures that it prints.
///
/// # Panics
/// When it was not built, or fails.
pub fn bench_helper<'a>(arguments: impl IntoIterator<Item = &'a str>) -> serde_json::Value {
    let path = binary().with_file_name("examples").join("bench");
    assert!(path.exists(), "{} is missing: cargo build --profile ci --examples", path.display());
    let output = Command::new(path).args(arguments).stdin(Stdio::null()).output().expect("it can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a helper prints JSON")
}

/// Python with duckdb and pyarrow, which read a lake as others would.
pub struct Python(OsString);

impl Python {
    /// That of `QUESTLINE_PYTHON`; without one it says that the test is skipped.
    pub fn from_env() -> Option<Self> {
        let python = std::env::var_os("QUESTLINE_PYTHON");
        if python.is_none() {
            eprintln!("skipped: needs Python with duckdb and pyarrow: scripts/test sets it up");
        }
        python.map(Python)
    }

    /// What `program` prints, as JSON, when it is given `input` to read and `argument`.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, program: &str, argument: &Path, input: &str) -> serde_json::Value {
        let mut given = tempfile::tempfile().expect("a temporary file");
        given.write_all(input.as_bytes()).and_then(|()| given.rewind()).expect("a temporary file takes it");
        let mut python = Command::new(&self.0);
        let output = python.args(["-c", program]).arg(argument).stdin(given).output().expect("it can be started");
        assert!(output.status.success(), "{}\n{input}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("it prints JSON")
    }
}

/// The page at `path`, with its head; `None` while nobody listens.
pub fn page(address: impl ToSocketAddrs, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: questline\r\nConnection: close\r\n\r\n").ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    Some(page)
}

/// Writes a configuration to `folder` that names a source, and neither Kafka nor a lake.
pub fn without_servers(folder: &Path) -> PathBuf {
    let config = folder.join("pipeline.toml");
    let text = "[pipeline]\nname = \"acme\"\n[[source]]\nname = \"pam\"\ntopics = [\"events\"]\n";
    std::fs::write(&config, text).unwrap();
    config
}

/// Variables of the environment.
pub type Variables<'a> = &'a [(&'a str, &'a str)];

/// Runs `questline` to its end: exit code, standard output, standard error.
pub fn questline<'a>(arguments: impl IntoIterator<Item = &'a str>) -> (i32, String, String) {
    questline_with(&[], arguments)
}

/// The same with `variables`.
pub fn questline_with<'a>(
    variables: Variables<'_>,
    arguments: impl IntoIterator<Item = &'a str>,
) -> (i32, String, String) {
    let output = Command::new(binary())
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("it can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("no signal ends it"), text(&output.stdout), text(&output.stderr))
}

/// A running `questline`; killed when dropped.
pub struct Questline {
    child: Child,
    log: PathBuf,
}

impl Questline {
    /// Starts `questline` with `arguments` and `variables`; both of its outputs go to `log`.
    pub fn start<'a>(arguments: impl IntoIterator<Item = &'a str>, variables: Variables<'_>, log: &Path) -> Self {
        let out = File::create(log).expect("a temporary file can be created");
        let child = Command::new(binary())
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a file can be shared"))
            .stderr(out)
            .spawn()
            .expect("the binary can be started");
        Questline { child, log: log.to_owned() }
    }

    /// CPU time of all its threads so far, in microseconds, as Linux counts it: in hundredths of a second.
    pub fn cpu_micros(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let (_, behind_name) = stat.rsplit_once(')').expect("the name of the program is in brackets");
        let ticks =
            behind_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number"));
        ticks.sum::<u64>() * 10_000
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).expect("the log is there")).into_owned()
    }

    /// It is still running.
    ///
    /// # Panics
    /// With its log, when it has ended by itself.
    pub fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().expect("our own child") {
            panic!("questline ended: {status}\n{}", self.log());
        }
    }

    /// It has ended, in whatever way.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_some()
    }

    /// SIGKILL: it has no time for anything.
    pub fn kill(mut self) {
        self.assert_running();
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// SIGTERM, and how long the end took.
    ///
    /// # Panics
    /// When it does not end, or not with exit code 0.
    pub fn terminate(mut self) -> Duration {
        let asked = Instant::now();
        let status = self.stop();
        assert!(status.success(), "{status}\n{}", self.log());
        asked.elapsed()
    }

    /// SIGTERM, and what it ends with.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&mut self) -> ExitStatus {
        self.assert_running();
        let kill = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
        assert!(kill.expect("a shell").success());
        self.wait()
    }

    /// Waits until it ends by itself with exit code 1, and returns the line that says why: behind it, there may be one of a
    /// thread that was not done yet.
    ///
    /// # Panics
    /// When it ends in another way.
    pub fn wait_for_error(mut self) -> String {
        let status = self.wait();
        let log = self.log();
        assert_eq!(status.code(), Some(1), "{status}\n{log}");
        let why = log.lines().rfind(|line| line.starts_with("error: "));
        why.unwrap_or_else(|| panic!("it does not say why\n{log}")).to_owned()
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let log = self.log.clone();
        wait_for(&format!("the end of questline, log in {}", log.display()), || {
            self.child.try_wait().expect("our own child")
        })
    }
}

impl Drop for Questline {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the log of questline ends with:\n{}", lines[lines.len().saturating_sub(30)..].join("\n"));
        }
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
