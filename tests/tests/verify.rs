//! `questline verify`: says equal of what a pipeline wrote, and names what was tampered with.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type};
use arrow_array::{Array, ArrayRef, Decimal128Array, RecordBatch};
use pipeline::config::Config;
use pipeline::replay::Replay;
use pipeline::replay::input::{Book, Input};
use pipeline::verify::{Comparison, Proof, Verdict};
use questline_tests::cases;
use questline_tests::kafka::{Producer, read_all};
use questline_tests::play::{Play, recent};
use questline_tests::process::questline;
use questline_tests::scenario::Scenario;
use questline_tests::stack::{Stack, wait_for};
use serde_json::Value;

/// A rule that a golden case derives by hand holds again when it is recomputed from its own lake: nothing
/// of an event is lost on the way through table `events`.
#[test]
fn every_golden_case_is_recomputed_from_its_lake() {
    let (mut judged, mut wrong) = (0, String::new());
    for case in cases::all() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}", folder.path().join("lake").display());
        let config = case.replay_with([("QUESTLINE__LAKE__URL", &url)], &folder.path().join("out"), 2).unwrap();
        for workers in [1, 3] {
            let proof = Proof::open(config.clone(), true).and_then(|proof| proof.run(workers, |_| ()));
            let verdict = proof.unwrap_or_else(|error| panic!("{}: {error}", case.name));
            if !verdict.is_equal() || verdict.epochs != verdict.epochs_in_lake {
                wrong.push_str(&format!("{}, {workers} workers: {verdict:#?}\n", case.name));
            }
            assert!(verdict.compared.iter().all(|comparison| comparison.unwritten + comparison.newer == 0));
            judged += verdict.compared.iter().map(|comparison| comparison.records).sum::<u64>();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    println!("{judged} records judged");
}

/// A lake that generated play was replayed into, in several cuts.
struct Replayed {
    folder: tempfile::TempDir,
    config: Config,
}

impl Replayed {
    fn new(reporting: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipeline.toml");
        let lake = folder.path().join("lake");
        let text = format!(
            "[pipeline]\nname = \"acme\"\n{reporting}\n[[source]]\nname = \"pam\"\ntopics = [\"events\"]\n\
             [lake]\nurl = \"file://{}\"\nmax_file_age = \"2h\"\n",
            lake.display()
        );
        std::fs::write(&path, text).unwrap();
        let config = Config::load(&path, []).unwrap();
        let input = Input::Play(Box::new(recent(20_000, 22)), Book::default());
        let out = folder.path().join("out");
        let replay = Replay { config: config.clone(), input, out, workers: 2, epoch_records: 300 };
        replay.run(|_| ()).unwrap();
        Replayed { folder, config }
    }

    fn verify(&self) -> Result<Verdict, String> {
        Proof::open(self.config.clone(), true)?.run(2, |_| ())
    }

    /// The files of a table, in the order of cuts.
    fn files(&self, table: &str) -> Vec<PathBuf> {
        let days = std::fs::read_dir(self.folder.path().join("lake").join(table)).unwrap();
        let days = days.map(|day| day.unwrap().path());
        let mut files: Vec<PathBuf> =
            days.flat_map(|day| std::fs::read_dir(day).unwrap().map(|file| file.unwrap().path())).collect();
        files.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
        assert!(files.len() > 4, "{files:?}");
        files
    }

    /// The files of its last cut, one for each day.
    fn last(&self, table: &str) -> Vec<PathBuf> {
        let mut files = self.files(table);
        let last = files.last().and_then(|path| path.file_name()).map(ToOwned::to_owned);
        files.retain(|path| path.file_name() == last.as_deref());
        files
    }

    /// What `verify` says while files are away.
    fn without(&self, files: &[PathBuf]) -> Result<Verdict, String> {
        let aside = |path: &PathBuf| path.with_extension("aside");
        files.iter().for_each(|path| std::fs::rename(path, aside(path)).unwrap());
        let verdict = self.verify();
        files.iter().for_each(|path| std::fs::rename(aside(path), path).unwrap());
        verdict
    }
}

/// A comparison that differs, the only one, and its first difference.
fn only(verdict: &Verdict) -> (&str, String) {
    let mut differing = verdict.compared.iter().filter(|comparison| comparison.differences > 0);
    let only = differing.next().unwrap_or_else(|| panic!("nothing differs: {verdict:#?}"));
    assert!(differing.next().is_none(), "{verdict:#?}");
    (&only.what, only.first.as_ref().unwrap().to_string())
}

#[test]
fn files_that_are_missing_in_the_middle_are_found_and_those_at_the_end_are_not_judged() {
    let lake = Replayed::new("");
    let whole = lake.verify().unwrap();
    assert!(whole.is_equal() && whole.epochs == whole.epochs_in_lake, "{whole:#?}");
    let named = |verdict: &Verdict, what: &str| -> Comparison {
        verdict.compared.iter().find(|comparison| comparison.what == what).unwrap().clone()
    };

    for table in ["completions", "activity", "dispositions"] {
        let files = lake.files(table);
        let what = format!("lake {table}");
        let verdict = lake.without(&files[2..3]).unwrap();
        let (differing, first) = only(&verdict);
        assert!(differing == what && first.ends_with("was recomputed, and is missing"), "{differing}: {first}");

        // Nothing tells a file that is gone from one that was not put yet; but what is not judged is told.
        let verdict = lake.without(&lake.last(table)).unwrap();
        let left = named(&verdict, &what);
        assert!(verdict.is_equal() && left.unwritten > 0, "{verdict:#?}");
        assert_eq!(left.records + left.unwritten, named(&whole, &what).records, "{table}");
    }

    let files = lake.files("events");
    let verdict = lake.without(&files[2..3]).unwrap();
    let log = named(&verdict, "lake epochs");
    let first = log.first.unwrap().to_string();
    assert!(first.contains("counters, epoch ") && first.contains("accepted was emitted as"), "{first}");

    let verdict = lake.without(&lake.last("events")).unwrap();
    assert!(verdict.is_equal() && verdict.epochs > 0, "{verdict:#?}");
    assert!(verdict.epochs < verdict.epochs_in_lake && named(&verdict, "lake activity").newer > 0, "{verdict:#?}");

    let files = lake.files("epochs");
    let error = lake.without(&files[2..3]).unwrap_err();
    assert!(error.contains("table epochs has no row of epoch"), "{error}");

    let events = &lake.files("events")[2];
    let twice = events.with_file_name("events-v1-00-000000000000-000000000001.parquet");
    std::fs::copy(events, &twice).unwrap();
    let error = lake.verify().unwrap_err();
    assert!(error.contains("hold the same epochs"), "{error}");
    std::fs::remove_file(twice).unwrap();
    assert_eq!(lake.verify().unwrap(), whole);
}

#[test]
fn a_replay_that_reports_by_the_clock_is_proved_to_its_last_report() {
    let lake = Replayed::new("reporting_interval = \"1h\"");
    let verdict = lake.verify().unwrap();
    assert!(verdict.is_equal(), "{verdict:#?}");
    assert!(verdict.compared.iter().all(|comparison| comparison.unwritten == 0), "{verdict:#?}");
}

/// What `verify` says of a scenario, as a program reads it: exit code, object, standard error.
fn verify(scenario: &Scenario, more: &[&str]) -> (i32, Value, String) {
    let config = scenario.config();
    let arguments = ["verify", "--config", config.to_str().unwrap(), "--format", "json"];
    let (code, out, said) = questline(arguments.into_iter().chain(more.iter().copied()));
    (code, serde_json::from_str(&out).unwrap_or(Value::Null), said)
}

/// What was compared under this name.
fn compared<'a>(verdict: &'a Value, what: &str) -> &'a Value {
    let compared = verdict["compared"].as_array().unwrap_or_else(|| panic!("{verdict}"));
    compared.iter().find(|comparison| comparison["what"] == what).unwrap_or_else(|| panic!("no {what}: {verdict}"))
}

fn number(verdict: &Value, what: &str, which: &str) -> u64 {
    compared(verdict, what)[which].as_u64().unwrap()
}

/// Everything is equal and judged, and as much as the topics and the lake hold.
fn assert_proved(scenario: &Scenario, verdict: &Value) {
    assert_eq!(verdict["equal"], true, "{verdict}");
    assert_eq!(verdict["epochs"], verdict["epochs_in_lake"]);
    for comparison in verdict["compared"].as_array().unwrap() {
        for left in ["newer", "unwritten", "expired"] {
            assert_eq!(comparison[left], 0, "{comparison}");
        }
    }
    let lake = scenario.lake();
    for table in ["completions", "activity", "dispositions", "mission_definitions", "epochs"] {
        let mut rows = 0;
        lake.read(table, |_| rows += 1);
        assert_eq!(number(verdict, &format!("lake {table}"), "records"), rows, "{table}");
    }
    let mut events = 0;
    lake.read("events", |_| events += 1);
    assert_eq!(verdict["events"].as_u64(), Some(events));
    let messages = |of: &str| read_all(&scenario.stack.brokers, &scenario.topic(of));
    let completions = messages("completions").len();
    assert_eq!(number(verdict, "topic completions", "records"), u64::try_from(completions).unwrap());
    let keys: std::collections::BTreeSet<_> = messages("activity").into_iter().map(|message| message.key).collect();
    assert_eq!(number(verdict, "topic activity", "records"), u64::try_from(keys.len()).unwrap());
    assert!(number(verdict, "topic completions", "records") > 0 && events > 0);
}

#[test]
fn a_pipeline_is_proved_while_it_runs_and_tampering_is_named() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "verify", Play::new(recent(60_000, 21)));
    scenario.feed(20_000);
    let run = scenario.run(2);
    wait_for("the first events to be committed", || scenario.is_caught_up().then_some(()));
    scenario.feed(20_000);
    run.kill();
    let mut run = scenario.run(1);
    scenario.feed(usize::MAX);

    // While it runs, the topics are ahead of the lake, and the lake's tables of each other.
    let running = wait_for("a lake that the topics are ahead of", || {
        run.assert_running();
        let (code, verdict, said) = verify(&scenario, &[]);
        // Until the first files are there.
        if verdict.is_null() {
            assert!(said.contains("nothing was cut yet") || said.contains("nothing can be judged"), "{said}");
            return None;
        }
        assert_eq!((code, &verdict["equal"]), (0, &Value::Bool(true)), "{verdict} {said}");
        Some(verdict)
    });
    let oracle = scenario.play.oracle();
    scenario.await_outputs(&mut run, &oracle);
    run.terminate();

    let (code, verdict, said) = verify(&scenario, &["--workers", "2"]);
    assert_eq!(code, 0, "{verdict} {said}");
    assert_proved(&scenario, &verdict);
    assert_eq!(verify(&scenario, &["--workers", "1"]).1, verdict);
    println!("running: {running}\nstopped: {verdict}");

    the_topic_doubled(&scenario);
    the_lake_altered(&scenario);
}

/// One completion is there once more than it was decided.
fn the_topic_doubled(scenario: &Scenario) {
    let topic = scenario.topic("completions");
    let message = read_all(&scenario.stack.brokers, &topic).swap_remove(3);
    let producer = Producer::new(&scenario.stack.brokers);
    producer.send(&topic, message.partition, message.key.as_deref().unwrap(), message.value.as_bytes(), 0);
    producer.flush();
    let (code, verdict, said) = verify(scenario, &[]);
    assert_eq!((code, &verdict["equal"]), (1, &Value::Bool(false)), "{verdict}");
    assert!(said.ends_with("error: not as recomputed: topic completions\n"), "{said}");
    let first = &compared(&verdict, "topic completions")["first"];
    let row: Value = serde_json::from_str(&message.value).unwrap();
    assert!(first["key"].as_str().unwrap().contains(row["completion_id"].as_str().unwrap()), "{first}");
    assert_eq!((&first["fault"], &first["times"]), (&Value::from("doubled"), &Value::from(2)), "{first}");
    assert_eq!(verify(scenario, &["--lake-only"]).0, 0);
}

/// One row of activity shows a cent more than was played.
fn the_lake_altered(scenario: &Scenario) {
    let altered = RefCell::new(None);
    scenario.lake().tamper("activity", |batch| {
        let ggr = batch.schema().index_of("ggr").unwrap();
        let amounts = batch.column(ggr).as_primitive::<Decimal128Type>();
        let mut values = amounts.values().to_vec();
        values[0] += 1_000_000;
        *altered.borrow_mut() = Some((
            batch.column_by_name("customer_id").unwrap().as_string::<i32>().value(0).to_owned(),
            batch.column_by_name("epoch").unwrap().as_primitive::<Int64Type>().value(0),
        ));
        let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
        columns[ggr] = Arc::new(Decimal128Array::from(values).with_data_type(amounts.data_type().clone()));
        Some(RecordBatch::try_new(batch.schema(), columns).unwrap())
    });
    let (customer, epoch) = altered.into_inner().unwrap();
    let (code, verdict, said) = verify(scenario, &["--lake-only"]);
    assert_eq!(code, 1, "{verdict}");
    assert!(said.ends_with("error: not as recomputed: lake activity\n"), "{said}");
    assert_eq!(number(&verdict, "lake activity", "differences"), 1);
    let first = &compared(&verdict, "lake activity")["first"];
    assert!(first["key"].as_str().unwrap().contains(&format!("customer_id {customer},")), "{first}");
    assert_eq!((&first["column"], &first["epoch"]), (&Value::from("ggr"), &Value::from(epoch)), "{first}");
    let units = |which: &str| first[which].as_str().unwrap().replace('.', "").parse::<i64>().unwrap();
    assert_eq!(units("emitted"), units("recomputed") + 1, "{first}");

    // For people, the same row is named.
    let config = scenario.config();
    let (_, out, _) = questline(["verify", "--config", config.to_str().unwrap(), "--lake-only"]);
    let named = out.lines().find(|line| line.starts_with("first difference in lake activity: ")).unwrap_or_default();
    assert!(named.contains(&customer) && named.contains("ggr was emitted as"), "{out}");
}

#[test]
fn usage_is_told_with_exit_2() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("pipeline.toml");
    std::fs::write(&config, "[pipeline]\nname = \"acme\"\n[[source]]\nname = \"pam\"\ntopics = [\"events\"]\n")
        .unwrap();
    let (code, _, said) = questline(["verify", "--config", config.to_str().unwrap()]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("lake: is missing"), "{said}");
    let lake = format!("[lake]\nurl = \"file://{}\"\n", folder.path().join("none").display());
    std::fs::write(&config, std::fs::read_to_string(&config).unwrap() + &lake).unwrap();
    let (code, _, said) = questline(["verify", "--config", config.to_str().unwrap()]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("there is no such folder"), "{said}");
}
