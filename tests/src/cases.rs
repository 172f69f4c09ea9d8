//! Golden cases: `cases/<name>/{pipeline.toml, events.jsonl, args, expected/…}`, derived by hand from
//! the rules. An expected line says what a field must be; fields that it leaves out are free.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use pipeline::config::Config;
use pipeline::replay::Replay;
use pipeline::replay::input::Input;
use serde_json::Value;

use crate::arrival::{self, Facts};
use crate::dice::Dice;

/// A case on disk.
pub struct Case {
    /// The folder's name.
    pub name: String,
    folder: PathBuf,
}

/// Every case, by name.
pub fn all() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let entries = fs::read_dir(&folder).expect("the cases are beside the tests");
    let folders = entries.map(|entry| entry.expect("a folder can be listed").path()).filter(|path| path.is_dir());
    let mut cases: Vec<Case> = folders
        .map(|folder| Case {
            name: folder.file_name().expect("a listed folder has a name").to_string_lossy().into_owned(),
            folder,
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

impl Case {
    /// Replays the case into `out` on `workers` threads.
    ///
    /// # Errors
    /// Why the replay failed.
    pub fn replay(&self, out: &Path, workers: usize) -> Result<(), String> {
        self.replay_with([], out, workers).map(drop)
    }

    /// The same, with variables of the environment that override settings. Answers the settings.
    ///
    /// # Errors
    /// Why the replay failed.
    pub fn replay_with<const N: usize>(
        &self,
        variables: [(&str, &str); N],
        out: &Path,
        workers: usize,
    ) -> Result<Config, String> {
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config =
            Config::load(&self.folder.join("pipeline.toml"), variables).map_err(|errors| errors.to_string())?;
        let input = Input::open(&self.folder.join("events.jsonl"))?;
        let epoch_records = self.epoch_records();
        let replay = Replay { config: config.clone(), input, out: out.to_owned(), workers, epoch_records };
        replay.run(|_| ()).map(|_| config)
    }

    /// What the outputs come to when the events arrive in another order, an epoch each; as they stand without `dice`.
    ///
    /// # Errors
    /// Why the replay failed.
    pub fn facts(&self, dice: Option<&mut Dice>) -> Result<Facts, String> {
        let config = Config::load(&self.folder.join("pipeline.toml"), []).map_err(|errors| errors.to_string())?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (given, out) = (folder.path().join("events.jsonl"), folder.path().join("out"));
        let events = fs::read_to_string(self.folder.join("events.jsonl")).map_err(|error| error.to_string())?;
        let events = match dice {
            Some(dice) => arrival::in_another_order(&events, &config.missions.topic, dice),
            None => events,
        };
        fs::write(&given, events).map_err(|error| error.to_string())?;
        let input = Input::open(&given)?;
        Replay { config, input, out: out.clone(), workers: 1, epoch_records: 1 }.run(|_| ())?;
        Ok(arrival::facts(&out))
    }

    /// Why the facts of this case follow from the order of arrival, if they do.
    pub fn follows_arrival(&self) -> Option<String> {
        fs::read_to_string(self.folder.join("follows-arrival.txt")).ok()
    }

    fn epoch_records(&self) -> usize {
        let args = fs::read_to_string(self.folder.join("args")).unwrap_or_default();
        let words: Vec<&str> = args.split_whitespace().collect();
        match words.as_slice() {
            [] => 10_000,
            ["--epoch-records", number] => number.parse().expect("args gives a number"),
            other => panic!("{}: args {other:?} are not known to this test", self.name),
        }
    }

    /// What is wrong with the outputs in `out`; empty when they are as expected.
    pub fn differences(&self, out: &Path) -> String {
        let mut wrong = String::new();
        let expected = self.folder.join("expected");
        let entries = fs::read_dir(&expected).unwrap_or_else(|error| panic!("{}: {error}", expected.display()));
        for entry in entries {
            let path = entry.expect("a folder can be listed").path();
            let name = path.file_name().expect("a listed file has a name").to_string_lossy().into_owned();
            let found = fs::read_to_string(out.join(&name)).unwrap_or_default();
            let expected = fs::read_to_string(&path).expect("an expected file can be read");
            let is_lines = name.ends_with(".jsonl");
            compare(&name, &documents(&expected, is_lines), &documents(&found, is_lines), &mut wrong);
        }
        for secret in fs::read_to_string(self.folder.join("never.txt")).unwrap_or_default().lines() {
            for entry in fs::read_dir(out).expect("outputs can be listed") {
                let path = entry.expect("a folder can be listed").path();
                if fs::read_to_string(&path).unwrap_or_default().contains(secret) {
                    let _ = writeln!(wrong, "  {} holds {secret:?}", path.display());
                }
            }
        }
        wrong
    }
}

fn documents(text: &str, is_lines: bool) -> Vec<Value> {
    let parse = |text: &str| serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    if is_lines { text.lines().map(parse).collect() } else { vec![parse(text)] }
}

fn compare(name: &str, expected: &[Value], found: &[Value], wrong: &mut String) {
    if expected.len() != found.len() {
        let _ = writeln!(wrong, "  {name}: expected {} lines, found {}:", expected.len(), found.len());
        for line in found {
            let _ = writeln!(wrong, "    {line}");
        }
        return;
    }
    for (number, (expected, found)) in expected.iter().zip(found).enumerate() {
        if !agrees(expected, found) {
            let _ = writeln!(wrong, "  {name}:{}\n    expected {expected}\n    found    {found}", number + 1);
        }
    }
}

/// Every field that `expected` has is the same in `found`.
fn agrees(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => expected
            .iter()
            .all(|(key, value)| found.get(key).map_or(value.is_null() || *value == 0, |found| agrees(value, found))),
        _ => expected == found,
    }
}

/// All output files of a replay as one text.
pub fn contents(out: &Path) -> String {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(out).expect("outputs").map(|entry| entry.expect("file").path()).collect();
    paths.sort();
    let mut all = String::new();
    for path in paths {
        let text = fs::read_to_string(&path).expect("outputs are text");
        let _ = writeln!(all, "== {}\n{text}", path.file_name().expect("a file").to_string_lossy());
    }
    all
}
