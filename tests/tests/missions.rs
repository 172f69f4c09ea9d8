//! `questline missions`: what definitions would do, and the topic that they are on.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use questline_tests::kafka::{Producer, create_topic};
use questline_tests::process::questline;
use questline_tests::stack::{Stack, unique};
use serde_json::{Value, json};

fn definition(id: &str, version: i64, target: &str) -> Value {
    json!({"mission_id": id, "version": version, "start": "2026-06-01T00:00:00Z", "status": "active",
        "window": {"every": "week"}, "reward": {"type": "points", "value": "500"},
        "stages": [{"on": ["bet_placed"], "where": "game_type == 'slots'",
            "measure": {"kind": "sum", "field": "amount"}, "target": target}]})
}

/// A first week in which p1 reaches 100 by 60 + 50, of which 60 are reversed, + 50, and p2 has 99.99; a second in which
/// p1 has 60.
fn records() -> Vec<Value> {
    let record = |topic: &str, key: &str, offset: i64, time: &str, value: Value| json!({"topic": topic, "partition": 0, "offset": offset, "timestamp": time, "key": key, "value": value});
    let bet = |offset: i64, player: &str, id: &str, time: &str, amount: &str| {
        let value = json!({"event_name": "bet_placed", "player_id": player, "transaction_id": id, "timestamp": time,
            "amount": amount, "game_type": "slots"});
        record("events", player, offset, time, value)
    };
    let start = "2026-06-01T00:00:00Z";
    let reversal = json!({"event_name": "reversal", "player_id": "p1", "transaction_id": "r1", "reference_id": "t1",
        "timestamp": "2026-06-02T11:05:00Z"});
    vec![
        record("missions", "slots-100", 0, start, definition("slots-100", 1, "100.00")),
        record("missions", "slots-10", 1, start, definition("slots-10", 1, "10.00")),
        bet(0, "p1", "t1", "2026-06-02T10:00:00Z", "60.00"),
        bet(1, "p2", "u1", "2026-06-02T10:30:00Z", "99.99"),
        bet(2, "p1", "t2", "2026-06-02T11:00:00Z", "50.00"),
        record("events", "p1", 3, "2026-06-02T11:05:00Z", reversal),
        bet(4, "p1", "t3", "2026-06-02T13:00:00Z", "50.00"),
        bet(5, "p1", "t4", "2026-06-09T10:00:00Z", "60.00"),
    ]
}

fn write(path: &Path, lines: &[Value]) -> String {
    std::fs::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A configuration with a lake.
fn config(folder: &Path, more: &str) -> String {
    let lake = folder.join("lake");
    let text = format!(
        "[pipeline]\nname = \"acme\"\n[[source]]\nname = \"pam\"\ntopics = [\"events\"]\n[lake]\nurl = \"file://{}\"\n{more}",
        lake.display()
    );
    let path = folder.join("pipeline.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn ok(arguments: &[&str]) -> String {
    let (code, out, error) = questline(arguments.iter().copied());
    assert_eq!(code, 0, "{arguments:?}: {error}");
    out
}

#[test]
fn what_definitions_would_do_is_told_from_a_file_and_from_the_lake() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), "");
    let events = write(&folder.path().join("events.jsonl"), &records());
    let out = folder.path().join("out");
    ok(&["replay", "--config", &config, "--input", &events, "--out", out.to_str().unwrap(), "--epoch-records", "2"]);
    let won = |player: &str, week: &str, at: &str| json!({"player_id": player, "window_start": week, "occurrence": 1, "completed_at": at});
    let (first, second) = ("2026-06-01T00:00:00Z", "2026-06-08T00:00:00Z");
    let of_p1 = won("p1", first, "2026-06-02T13:00:00Z");

    let check = |target: &str, expected: Value| {
        let file = write(&folder.path().join("new.jsonl"), &[definition("slots-100", 2, target)]);
        for input in [&["--input", &events][..], &[]] {
            let asked = [&["missions", "diff", &file, "--config", &config, "--format", "json"], input].concat();
            let answer: Value = serde_json::from_str(&ok(&asked)).unwrap();
            assert_eq!(answer["missions"], json!([expected]), "target {target}, {input:?}");
            assert_eq!((&answer["events"], &answer["until"]), (&json!(6), &json!("2026-06-09T10:00:00Z")));
        }
    };
    let points = |before: &str, after: &str| json!([{"type": "points", "before": before, "after": after}]);
    // 50 + 50 of the first week reach 55 with the second 50 only; at 60 it was reached before the reversal, which took that back.
    check(
        "55",
        json!({"mission_id": "slots-100", "before": 1, "after": 3, "lost": [], "rewards": points("500.00", "1500.00"),
            "gained": [won("p1", second, "2026-06-09T10:00:00Z"), won("p2", first, "2026-06-02T10:30:00Z")]}),
    );
    check(
        "100.01",
        json!({"mission_id": "slots-100", "before": 1, "after": 0, "gained": [], "lost": [of_p1],
            "rewards": points("500.00", "0.00")}),
    );
    check(
        "100",
        json!({"mission_id": "slots-100", "before": 1, "after": 1, "gained": [], "lost": [],
            "rewards": points("500.00", "500.00")}),
    );

    let new = definition("slots-200", 1, "99.99");
    let file = write(&folder.path().join("new.jsonl"), &[new]);
    let text = ok(&["missions", "diff", &file, "--config", &config, "--input", &events]);
    let expected = "slots-200: 0 completions, 2 with this definition\n\
        \x20 newly    p1, window from 2026-06-01T00:00:00Z, occurrence 1, at 2026-06-02T13:00:00Z\n\
        \x20 newly    p2, window from 2026-06-01T00:00:00Z, occurrence 1, at 2026-06-02T10:30:00Z\n\
        \x20 rewards  points: 0.00, then 1000.00\n\
        as if it had been so from the first of 6 events on, to 2026-06-09T10:00:00Z\n";
    assert_eq!(text, expected);
}

#[test]
fn wrong_definitions_are_named_and_nothing_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), "");
    let good = definition("a", 1, "10");
    let file = write(&folder.path().join("good.jsonl"), &[good.clone(), definition("b", 1, "10")]);
    assert!(ok(&["missions", "validate", &file]).ends_with("2 valid definitions\n"));
    let mut pounds = definition("c", 1, "10");
    pounds["stages"][0]["measure"]["currency"] = json!("GBP");
    let noted = write(&folder.path().join("noted.jsonl"), &[good.clone(), pounds]);
    let notes: Vec<String> = ok(&["missions", "validate", &noted]).lines().skip(1).map(str::to_owned).collect();
    assert!(
        matches!(&notes[..], [note] if note.starts_with("c: note: an amount in another currency than GBP")),
        "{notes:?}"
    );
    let bad = write(&folder.path().join("bad.jsonl"), &[good.clone(), definition("b", 1, "-1"), good]);
    for command in [&["missions", "validate", &bad][..], &["missions", "diff", &bad, "--config", &config]] {
        let (code, out, error) = questline(command.iter().copied());
        assert_eq!((code, out.as_str()), (2, ""), "{error}");
        assert!(error.contains(":2: b: /stages/0/target"), "{error}");
        assert!(error.contains(":3: a: is defined above already"), "{error}");
    }
    let requires = |id: &str, others: &[&str]| {
        let mut text = definition(id, 1, "10");
        text["eligibility"] = json!({"requires": others});
        text
    };
    let cycle = write(&folder.path().join("cycle.jsonl"), &[requires("a", &["x", "b"]), requires("b", &["a"])]);
    let (code, out, error) = questline(["missions", "validate", &cycle]);
    assert_eq!((code, out.as_str()), (2, ""), "{error}");
    let closes = "a: /eligibility/requires: closes a cycle, in which nobody could begin: a requires b requires a";
    assert!(error.contains(closes), "{error}");
    let (code, _, error) = questline(["missions", "apply", &file, "--config", &config]);
    assert_eq!(code, 2);
    assert!(error.contains("kafka: is missing"), "{error}");
    let (code, _, error) = questline(["missions", "diff", &file, "--config", &config, "--input", "nowhere.jsonl"]);
    assert_eq!(code, 2);
    assert!(error.contains("nowhere.jsonl"), "{error}");
}

#[test]
fn definitions_are_applied_once_and_listed() {
    let Some(stack) = Stack::from_env() else { return };
    let folder = tempfile::tempdir().unwrap();
    let topic = unique("definitions");
    let more = format!("[kafka]\nbrokers = \"{}\"\n[missions]\ntopic = \"{topic}\"\n", stack.brokers);
    let config = config(folder.path(), &more);
    let file = write(&folder.path().join("new.jsonl"), &[definition("b", 1, "10"), definition("a", 4, "20")]);
    let (code, _, error) = questline(["missions", "apply", &file, "--config", &config]);
    assert_eq!(code, 1);
    assert!(error.contains(&format!("topic {topic} does not exist")), "{error}");

    create_topic(&stack.brokers, &topic, 3, "compact");
    let applied = ok(&["missions", "apply", &file, "--config", &config]);
    assert!(applied.starts_with("b: version 1 applied, new (partition "), "{applied}");
    let again = ok(&["missions", "apply", &file, "--config", &config]);
    assert_eq!(again, "b: version 1 is in force already\na: version 4 is in force already\n");
    let edit = write(&folder.path().join("edit.jsonl"), &[definition("a", 5, "30")]);
    assert!(ok(&["missions", "apply", &edit, "--config", &config]).starts_with("a: version 5 applied, was version 4"));

    let mut unlocked_b = definition("b", 2, "10");
    unlocked_b["eligibility"] = json!({"requires": ["d", "a"]});
    let unlocked = write(&folder.path().join("unlocked.jsonl"), &[unlocked_b]);
    assert!(ok(&["missions", "apply", &unlocked, "--config", &config]).starts_with("b: version 2 applied"));
    let mut cycle = definition("a", 6, "30");
    cycle["eligibility"] = json!({"requires": ["b"]});
    let cycle = write(&folder.path().join("cycle.jsonl"), &[cycle]);
    let (code, _, error) = questline(["missions", "apply", &cycle, "--config", &config]);
    assert_eq!(code, 1);
    assert!(error.contains("a requires b requires a"), "{error}");

    // Others write to the topic too.
    let producer = Producer::new(&stack.brokers);
    producer.send(&topic, 0, "c", b"{\"mission_id\":\"c\"}", 1_780_000_000_000);
    producer.flush();
    let listed: Value =
        serde_json::from_str(&ok(&["missions", "list", "--config", &config, "--format", "json"])).unwrap();
    let ids: Vec<&str> = listed.as_array().unwrap().iter().map(|one| one["mission_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    let text: Value = serde_json::from_str(listed[0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(text, definition("a", 5, "30"));
    assert_eq!(listed[1]["errors"], json!([]));
    assert_ne!(listed[2]["errors"], json!([]));
    let text = ok(&["missions", "list", "--config", &config]);
    let line =
        |id: &str| text.lines().find(|line| line.starts_with(id)).unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(line("a ")[..3], ["a", "5", "active"]);
    assert_eq!(line("c ")[2], "refused");
}
