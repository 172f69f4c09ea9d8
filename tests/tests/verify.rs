//! `questline verify`: says equal of what a pipeline wrote, and names what was tampered with.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type};
use arrow_array::{Array, ArrayRef, Decimal128Array, RecordBatch};
use pipeline::config::Config;
use pipeline::replay::Replay;
use pipeline::replay::input::{Book, Input};
use pipeline::verify::{Proof, Verdict};
use questline_tests::kafka::{Producer, read_all};
use questline_tests::lake::epochs;
use questline_tests::play::{Play, recent};
use questline_tests::process::{questline, without_servers};
use questline_tests::scenario::{Scenario, tiers};
use questline_tests::stack::{Stack, wait_for};
use questline_tests::{cases, explained};
use serde_json::Value;

/// A rule that a golden case derives by hand holds again when it is recomputed from its own lake: nothing
/// of an event is lost on the way through table `events`. And every completion is explained from there.
#[test]
fn every_golden_case_is_recomputed_and_explained_from_its_lake() {
    let (mut judged, mut wrong) = (0, String::new());
    let (mut explained, mut added_up) = (0, 0);
    for case in cases::all() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}", folder.path().join("lake").display());
        let config = case.replay_with([("QUESTLINE__LAKE__URL", &url)], &folder.path().join("out"), 2).unwrap();
        for workers in [1, 3] {
            let proof = Proof::open(config.clone(), true).and_then(|proof| proof.run(workers, |_| ()));
            let verdict = proof.unwrap_or_else(|error| panic!("{}: {error}", case.name));
            if !verdict.is_equal() || !verdict.is_complete() {
                wrong.push_str(&format!("{}, {workers} workers: {verdict:#?}\n", case.name));
            }
            judged += verdict.compared.iter().map(|comparison| comparison.records).sum::<u64>();
        }
        let told = explained::check(&config, &folder.path().join("out"), &case.name);
        (explained, added_up) = (explained + told.0, added_up + told.1);
    }
    assert!(wrong.is_empty(), "{wrong}");
    println!("{judged} records judged; {explained} completions explained, {added_up} of them added up");
    assert!(explained > 100 && added_up > 50);
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
             [lake]\nurl = \"file://{}\"\nmax_file_age = \"2h\"\n[entities]\n{}",
            lake.display(),
            tiers()
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
fn a_replays_lake_is_whole_or_differs() {
    let lake = Replayed::new("");
    let whole = lake.verify().unwrap();
    assert!(whole.is_equal() && whole.is_complete(), "{whole:#?}");

    for table in ["completions", "points", "tiers", "activity", "transactions", "dispositions"] {
        let files = lake.files(table);
        for missing in [&files[2..3], &files[files.len() - 1..]] {
            let verdict = lake.without(missing).unwrap();
            let (differing, first) = only(&verdict);
            assert_eq!(differing, format!("lake {table}"));
            assert!(first.ends_with("was recomputed, and is missing"), "{first}");
        }
    }

    let events = lake.files("events");
    for missing in [&events[2..3], &events[events.len() - 1..]] {
        let verdict = lake.without(missing).unwrap();
        let log = verdict.compared.iter().find(|comparison| comparison.what == "lake epochs").unwrap();
        let first = log.first.as_ref().unwrap().to_string();
        assert!(first.contains("counters, epoch ") && first.contains("accepted was emitted as"), "{first}");
    }

    let error = lake.without(&lake.files("epochs")[2..3]).unwrap_err();
    assert!(error.contains("table epochs has no row of epoch"), "{error}");

    let twice = events[2].with_file_name("events-v2-00-000000000000-000000000001.parquet");
    std::fs::copy(&events[2], &twice).unwrap();
    let error = lake.verify().unwrap_err();
    assert!(error.contains("hold the same epochs"), "{error}");
    std::fs::remove_file(twice).unwrap();

    let path = lake.folder.path().join("pipeline.toml");
    let other = std::fs::read_to_string(&path).unwrap().replace("\"events\"", "\"bets\"");
    std::fs::write(&path, other).unwrap();
    let error = Proof::open(Config::load(&path, []).unwrap(), true).unwrap().run(2, |_| ()).unwrap_err();
    assert!(error.contains("no source reads topic \"events\""), "{error}");
}

#[test]
fn a_replay_that_reports_by_the_clock_is_proved_to_its_last_report() {
    let lake = Replayed::new("reporting_interval = \"1h\"");
    let verdict = lake.verify().unwrap();
    assert!(verdict.is_equal(), "{verdict:#?}");
    assert!(verdict.is_complete(), "{verdict:#?}");
}

/// What `verify` says of a scenario, as a program reads it: exit code, object, standard error.
fn verify(scenario: &Scenario, more: &[&str]) -> (i32, Value, String) {
    let config = scenario.config();
    let arguments = ["verify", "--config", config.to_str().unwrap(), "--format", "json"];
    let (code, out, said) = questline(arguments.into_iter().chain(more.iter().copied()));
    (code, serde_json::from_str(&out).unwrap_or(Value::Null), said)
}

/// What is equal so far; none before the first files are there.
fn judged(scenario: &Scenario) -> Option<Value> {
    let (code, verdict, said) = verify(scenario, &[]);
    if verdict.is_null() {
        assert!(said.contains("nothing was cut yet") || said.contains("nothing can be judged"), "{said}");
        return None;
    }
    assert_eq!((code, &verdict["equal"]), (0, &Value::Bool(true)), "{verdict} {said}");
    Some(verdict)
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
    assert_eq!(verdict["complete"], true, "{verdict}");
    let lake = scenario.lake();
    for table in [
        "completions",
        "audit",
        "points",
        "tiers",
        "activity",
        "transactions",
        "dispositions",
        "mission_definitions",
        "epochs",
    ] {
        let mut rows = 0;
        lake.read(table, |_| rows += 1);
        assert_eq!(number(verdict, &format!("lake {table}"), "records"), rows, "{table}");
    }
    let mut events = 0;
    lake.read("events", |_| events += 1);
    assert_eq!(verdict["events"].as_u64(), Some(events));
    let messages = |of: &str| read_all(&scenario.stack.brokers, &scenario.topic(of));
    for topic in ["completions", "audit"] {
        let told = u64::try_from(messages(topic).len()).unwrap();
        assert!(told > 0, "nothing on the topic {topic}");
        assert_eq!(number(verdict, &format!("topic {topic}"), "records"), told);
    }
    for topic in ["activity", "gaming-activity", "transactions"] {
        let keys: std::collections::BTreeSet<_> = messages(topic).into_iter().map(|message| message.key).collect();
        assert_eq!(number(verdict, &format!("topic {topic}"), "records"), u64::try_from(keys.len()).unwrap());
    }
    assert!(events > 0);
}

#[test]
fn a_pipeline_is_proved_while_it_runs_and_tampering_is_named() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "verify", Play::new(recent(60_000, 21)).with_restrictions());
    let mut told = Vec::new();
    for workers in [2, 1, 4] {
        scenario.feed(10_000);
        let run = scenario.run(workers);
        wait_for("the events so far to be committed", || scenario.is_caught_up().then_some(()));
        scenario.feed(5_000);
        run.kill();
        // What a process leaves that had no time to put its files ends differently in every table.
        told.push(judged(&scenario).map(|verdict| (verdict["epochs"].clone(), verdict["epochs_in_lake"].clone())));
    }
    println!("epochs judged, and in the lake, after each kill: {told:?}");
    let mut run = scenario.run(1);
    wait_for("more cuts than may be under way", || {
        run.assert_running();
        if scenario.is_caught_up() && scenario.left() > 5_000 {
            scenario.feed(100);
        }
        (["completions", "epochs"].iter().all(|table| scenario.lake().cuts(table).len() > 6)).then_some(())
    });
    scenario.feed(usize::MAX);

    // While it runs, the topics are ahead of the lake, and the lake's tables of each other.
    let running = wait_for("a lake that the topics are ahead of", || {
        run.assert_running();
        judged(&scenario)
    });
    let oracle = scenario.play.oracle();
    scenario.await_outputs(&mut run, &oracle);
    run.terminate();

    let (code, verdict, said) = verify(&scenario, &["--workers", "2", "--complete"]);
    assert_eq!(code, 0, "{verdict} {said}");
    assert_proved(&scenario, &verdict);
    assert_eq!(verify(&scenario, &["--workers", "1"]).1, verdict);
    println!("running: {running}\nstopped: {verdict}");

    files_taken_away(&scenario);
    the_topic_doubled(&scenario);
    the_lake_altered(&scenario);
}

/// A file that is missing may be on its way, until four cuts of the log begin after it was due: then it is a difference.
fn files_taken_away(scenario: &Scenario) {
    let lake = scenario.lake();
    let log = lake.cuts("epochs");
    let (began, _) = log[log.len() - 4];
    let mut clocks = Vec::new();
    lake.read("epochs", |row| clocks.push((u64::try_from(row.int("epoch")).unwrap(), row.instant("now").unwrap())));
    clocks.sort_unstable();
    // `lake.max_file_age` is a second.
    let until = clocks.iter().find(|(epoch, _)| *epoch == began).unwrap().1 - 1_000_000;
    let settled = clocks.iter().filter(|(_, now)| *now <= until).map(|(epoch, _)| epoch + 1).max().unwrap_or(0);
    let objects = lake.objects("completions");
    for object in [&objects[0], &objects[objects.len() - 1]] {
        lake.without(object, || {
            let (code, verdict, said) = verify(scenario, &["--lake-only"]);
            let completions = compared(&verdict, "lake completions");
            let unwritten = number(&verdict, "lake completions", "unwritten");
            let (begins, ends) = epochs(object);
            if ends < settled {
                assert_eq!((code, &completions["first"]["fault"]), (1, &"missing".into()), "{verdict}");
            } else if begins >= settled {
                assert_eq!((code, unwritten > 0, &verdict["complete"]), (0, true, &false.into()), "{verdict} {said}");
                let (code, _, said) = verify(scenario, &["--lake-only", "--complete"]);
                assert!(code == 1 && said.contains("not complete"), "{said}");
            }
        });
    }
    let objects = lake.objects("events");
    for object in [&objects[0], &objects[objects.len() - 1]] {
        lake.without(object, || {
            let (code, verdict, said) = verify(scenario, &[]);
            let (begins, ends) = epochs(object);
            if ends < settled {
                let log = &compared(&verdict, "lake epochs")["first"];
                assert_eq!((code, &log["key"], &log["column"]), (1, &"counters".into(), &"accepted".into()), "{log}");
            } else if begins >= settled {
                assert_eq!((code, &verdict["equal"]), (0, &true.into()), "{verdict} {said}");
                assert!(verdict["epochs"].as_u64() < verdict["epochs_in_lake"].as_u64(), "{verdict}");
            }
        });
    }
}

/// One completion is there once more than it was decided.
fn the_topic_doubled(scenario: &Scenario) {
    let topic = scenario.topic("completions");
    let mut messages = read_all(&scenario.stack.brokers, &topic);
    messages.retain(|message| message.value.contains("\"completion_id\""));
    let message = messages.swap_remove(3);
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
    let config = without_servers(folder.path());
    let (code, _, said) = questline(["verify", "--config", config.to_str().unwrap()]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("lake: is missing"), "{said}");
    let lake = format!("[lake]\nurl = \"file://{}\"\n", folder.path().join("none").display());
    std::fs::write(&config, std::fs::read_to_string(&config).unwrap() + &lake).unwrap();
    let (code, _, said) = questline(["verify", "--config", config.to_str().unwrap()]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("there is no such folder"), "{said}");
}
