//! `questline explain`: the events behind a completion, with what was taken back, and what is missing for one.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use pipeline::config::Config;
use pipeline::explain::{Explainer, Question};
use pipeline::replay::Replay;
use pipeline::replay::input::Input;
use questline_tests::cases;
use questline_tests::explained::lines;
use questline_tests::process::questline;
use serde_json::{Value, json};

const DEFINITION: &str = r#"{"mission_id":"slots-100","version":3,"start":"2026-06-01T00:00:00Z","status":"active",
    "window":{"every":"week"},"stages":[{"on":["bet_placed"],"where":"game_type == 'slots'",
    "measure":{"kind":"sum","field":"amount"},"target":"100.00"}]}"#;

/// A week of one player, and of another one.
fn records() -> Vec<Value> {
    let event = |name: &str, player: &str, id: &str, time: &str, rest: Value| {
        let mut value = json!({"event_name": name, "player_id": player, "transaction_id": id, "timestamp": time});
        value.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        value
    };
    let bet = |player: &str, id: &str, time: &str, amount: &str, game: &str| {
        event("bet_placed", player, id, time, json!({"amount": amount, "game_type": game}))
    };
    let events = [
        bet("p1", "t1", "2026-06-02T10:00:00Z", "60.00", "slots"),
        bet("p2", "u1", "2026-06-02T10:30:00Z", "99.99", "slots"),
        bet("p1", "t2", "2026-06-02T11:00:00Z", "50.00", "slots"),
        event("reversal", "p1", "r1", "2026-06-02T11:05:00Z", json!({"reference_id": "t1"})),
        bet("p1", "t3", "2026-06-02T12:00:00Z", "30.00", "blackjack"),
        bet("p1", "t2", "2026-06-02T11:00:00Z", "50.00", "slots"),
        bet("p1", "t4", "2026-06-02T13:00:00Z", "50.00", "slots"),
        event("login", "p1", "l1", "2026-06-02T14:00:00Z", json!({})),
        bet("p1", "t5", "2026-06-09T10:00:00Z", "60.00", "slots"),
    ];
    let definition: Value = serde_json::from_str(DEFINITION).unwrap();
    let start = "2026-06-01T00:00:00Z";
    let mission = json!({"topic": "missions", "partition": 0, "offset": 0, "timestamp": start, "key": "slots-100",
        "value": definition});
    let events = (0..).zip(events).map(|(offset, value)| {
        let time = if offset == 5 { json!("2026-06-02T12:30:00Z") } else { value["timestamp"].clone() };
        json!({"topic": "events", "partition": 0, "offset": offset, "timestamp": time, "value": value})
    });
    std::iter::once(mission).chain(events).collect()
}

/// Replays [`records`], so many an epoch, and answers the path of the configuration.
fn replayed(folder: &Path, epoch_records: usize) -> String {
    replayed_of(folder, &records(), epoch_records)
}

fn replayed_of(folder: &Path, records: &[Value], epoch_records: usize) -> String {
    replayed_with(folder, records, epoch_records, "")
}

/// The same with more of a configuration.
fn replayed_with(folder: &Path, records: &[Value], epoch_records: usize, more: &str) -> String {
    let (input, path) = (folder.join("events.jsonl"), folder.join("pipeline.toml"));
    let text: String = records.iter().map(|record| format!("{record}\n")).collect();
    std::fs::write(&input, text).unwrap();
    let lake = folder.join("lake");
    let text = format!(
        "[pipeline]\nname = \"acme\"\n[[source]]\nname = \"pam\"\ntopics = [\"events\"]\n[lake]\nurl = \"file://{}\"\n{more}",
        lake.display()
    );
    std::fs::write(&path, text).unwrap();
    let config = Config::load(&path, []).unwrap();
    let input = Input::open(&input).unwrap();
    Replay { config, input, out: folder.join("out"), workers: 1, epoch_records }.run(|_| ()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn asked(arguments: &[&str]) -> Value {
    let (code, out, error) = questline([&["explain"], arguments, &["--format", "json"]].concat());
    assert_eq!(code, 0, "{error}");
    serde_json::from_str(&out).unwrap()
}

/// 60 + 50 reach 100; the reversal of 60 leaves 50, so it is revoked; another 50 reach it again, at 13:00.
#[test]
fn a_completion_is_told_with_its_events_and_corrections() {
    let folder = tempfile::tempdir().unwrap();
    let config = replayed(folder.path(), 1);
    let id = lines(&folder.path().join("out/completions.jsonl"))[0]["completion_id"].as_str().unwrap().to_owned();
    let answer = asked(&[&id, "--config", &config]);
    assert_eq!(answer["standing"], "completed");
    let told =
        answer["messages"].as_array().unwrap().iter().map(|one| (one["type"].as_str(), one["revision"].as_i64()));
    let (completed, revoked) = (Some("mission_completed"), Some("mission_revoked"));
    assert_eq!(told.collect::<Vec<_>>(), [(completed, Some(1)), (revoked, Some(1)), (completed, Some(2))]);
    assert_eq!(answer["definition"]["version"], 3);
    assert_eq!(answer["definition"]["offset"], 0);
    assert_eq!(answer["definition"]["text"]["mission_id"], "slots-100");
    let stage = json!([{"number": 1, "target": "100.00", "progress": "100.00", "missing": "0.00",
        "reached_at": "2026-06-02T13:00:00Z"}]);
    assert_eq!(answer["stages"], stage);
    let events = answer["events"].as_array().unwrap().iter().map(|one| {
        let text = |name: &str| one[name].as_str().unwrap_or("-").to_owned();
        (
            text("transaction_id"),
            one["offset"].as_i64().unwrap(),
            text("contribution"),
            text("progress"),
            text("taken_back_by"),
        )
    });
    let line = |id: &str, offset: i64, adds: &str, makes: &str, by: &str| {
        (id.to_owned(), offset, adds.to_owned(), makes.to_owned(), by.to_owned())
    };
    let expected = [
        line("t1", 0, "60.00", "-", "r1"),
        line("t2", 2, "50.00", "50.00", "-"),
        line("t4", 6, "50.00", "100.00", "-"),
    ];
    assert_eq!(events.collect::<Vec<_>>(), expected);
    let passed = answer["passed"].as_array().unwrap().iter().map(|one| (one["offset"].as_i64(), one["why"].as_str()));
    let expected = [(Some(5), Some("a duplicate")), (Some(4), Some("it does not qualify for stage 1"))];
    assert_eq!(passed.collect::<Vec<_>>(), expected);

    let (code, text, _) = questline(["explain", &id, "--config", &config]);
    assert_eq!(code, 0);
    for line in [
        "standing   completed",
        "stage 1 of 1: target 100.00, reached at 2026-06-02T13:00:00Z",
        "  2026-06-02T10:00:00Z  events/0@0  bet_placed t1 60.00 EUR  60.00 taken back by r1",
        "  2026-06-02T13:00:00Z  events/0@6  bet_placed t4 50.00 EUR  50.00 makes 100.00, the target",
        "  2026-06-02T12:00:00Z  events/0@4  bet_placed t3 30.00 EUR  it does not qualify for stage 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
    }
}

#[test]
fn a_rate_is_told_with_what_it_converts() {
    let bet = |id: &str, time: &str, amount: &str, currency: &str| {
        json!({"event_name": "bet_placed", "player_id": "p1", "transaction_id": id, "timestamp": time, "amount": amount,
            "currency": currency, "game_type": "slots"})
    };
    let mut own = bet("t2", "2026-06-02T12:00:00Z", "20.00", "USD");
    own["exchange_rate"] = json!("0.9");
    let rate = json!({"event_name": "rate", "event_id": "x1", "timestamp": "2026-06-02T11:00:00Z", "base": "USD",
        "quote": "EUR", "exchange_rate": "0.8"});
    let events = [
        bet("t1", "2026-06-02T10:00:00Z", "100.00", "USD"),
        rate,
        own,
        bet("t3", "2026-06-02T13:00:00Z", "30.00", "SEK"),
        bet("t4", "2026-06-02T14:00:00Z", "1.00", "EUR"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let records: Vec<Value> = records().into_iter().take(1).chain(events).collect();
    let config = replayed_of(folder.path(), &records, 1);
    let of = ["--player", "p1", "--mission", "slots-100", "--config", &config];
    let answer = asked(&of);
    let told = answer["events"].as_array().unwrap().iter().map(|one| {
        ["transaction_id", "exchange_rate", "contribution", "progress"].map(|name| one[name].as_str().unwrap_or("-"))
    });
    let expected = [["t1", "0.80", "80.00", "80.00"], ["t2", "0.90", "18.00", "98.00"], ["t4", "-", "1.00", "99.00"]];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    let passed = answer["passed"].as_array().unwrap().iter();
    let passed = passed.map(|one| (one["transaction_id"].as_str(), one["why"].as_str()));
    assert_eq!(passed.collect::<Vec<_>>(), [(Some("t3"), Some("it waits for a rate"))]);
    let (code, text, _) = questline([&["explain"], &of[..]].concat());
    let line = "  2026-06-02T10:00:00Z  events/0@1  bet_placed t1 100.00 USD  x 0.80: 80.00 makes 80.00";
    assert!(code == 0 && text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
    let (code, _, error) = questline(["explain", "--player", "p9", "--mission", "slots-100", "--config", &config]);
    assert!(code != 0 && error.contains("the lake has no event of player"), "{error}");
}

/// What one epoch both counts and takes back was never seen to count.
#[test]
fn how_epochs_are_cut_does_not_change_what_counts() {
    let folder = tempfile::tempdir().unwrap();
    let config = replayed(folder.path(), 10_000);
    let id = lines(&folder.path().join("out/completions.jsonl"))[0]["completion_id"].as_str().unwrap().to_owned();
    let answer = asked(&[&id, "--config", &config]);
    let counts: Vec<_> =
        answer["events"].as_array().unwrap().iter().map(|one| one["transaction_id"].as_str()).collect();
    assert_eq!(counts, [Some("t2"), Some("t4")]);
    let passed = answer["passed"].as_array().unwrap().iter().map(|one| one["why"].as_str().unwrap());
    assert_eq!(passed.collect::<Vec<_>>(), ["taken back by r1", "a duplicate", "it does not qualify for stage 1"]);
}

#[test]
fn what_a_player_lacks_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let config = replayed(folder.path(), 3);
    let of = |player| ["--player", player, "--mission", "slots-100", "--config", config.as_str()];
    // The last window by default.
    let answer = asked(&of("p1"));
    assert_eq!((&answer["standing"], &answer["window_start"]), (&json!("open"), &json!("2026-06-08T00:00:00Z")));
    assert_eq!(answer["stages"][0]["missing"], "40.00");
    assert_eq!(answer["completion_id"], Value::Null);
    let answer = asked(&[&of("p1")[..], &["--at", "2026-06-05T00:00:00Z"]].concat());
    assert_eq!((&answer["standing"], &answer["window_start"]), (&json!("completed"), &json!("2026-06-01T00:00:00Z")));
    let answer = asked(&of("p2"));
    assert_eq!((&answer["standing"], &answer["stages"][0]["missing"]), (&json!("open"), &json!("0.01")));
    let answer = asked(&[&of("p2")[..], &["--at", "2026-06-20T00:00:00Z"]].concat());
    assert_eq!((&answer["events"], &answer["stages"][0]["missing"]), (&json!([]), &json!("100.00")));
}

/// Replays a golden case into a lake in `folder`.
fn replayed_case(name: &str, folder: &Path) -> Config {
    let case = cases::all().into_iter().find(|case| case.name == name).unwrap();
    let (url, out) = (format!("file://{}", folder.join("lake").display()), folder.join("out"));
    case.replay_with([("QUESTLINE__LAKE__URL", &url)], &out, 1).unwrap()
}

#[test]
fn which_missions_are_missing_that_are_required_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let config = replayed_case("mission-requires", folder.path());
    let answer = |player: &str| {
        let question = Question::Progress { player: player.to_owned(), mission: "then".to_owned(), at: None };
        Explainer::open(&config).unwrap().answer(&question, |_| ()).unwrap()
    };
    let passed = |player: &str| {
        let passed = answer(player).passed.into_iter().map(|one| (one.event.transaction_id, one.why));
        passed.collect::<Vec<_>>()
    };
    let early = "first-deposit is required, and completed at 2026-06-01T11:00:00Z: only what is later counts";
    assert_eq!(passed("p1"), [("a1".to_owned(), early.to_owned())]);
    let never = || "first-deposit is required, and not completed".to_owned();
    assert_eq!(passed("p2"), [("b1".to_owned(), never()), ("b2".to_owned(), never())]);
    assert_eq!((passed("p3"), answer("p3").events.len(), answer("p2").events.len()), (vec![], 2, 0));
}

#[test]
fn what_did_not_count_for_want_of_an_opt_in_is_told_with_that() {
    let folder = tempfile::tempdir().unwrap();
    let config = replayed_case("mission-opt-in", folder.path());
    let answer = |player: &str| {
        let question = Question::Progress { player: player.to_owned(), mission: "m".to_owned(), at: None };
        Explainer::open(&config).unwrap().answer(&question, |_| ()).unwrap()
    };
    for (player, counted, passed) in [("p1", 3, ["a0", "a3", "a4"].as_slice()), ("p2", 0, &["b0", "b1", "b2", "b3"])] {
        let answer = answer(player);
        assert_eq!(answer.events.len(), counted, "{player}");
        let ids: Vec<&str> = answer.passed.iter().map(|one| one.event.transaction_id.as_str()).collect();
        assert_eq!(ids, passed, "{player}");
        assert!(answer.passed.iter().all(|one| one.why == "the player was not opted in then"), "{answer:?}");
    }
}

#[test]
fn what_cannot_be_explained_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let config = replayed(folder.path(), 100);
    let failed = |arguments: &[&str], code: i32, said: &str| {
        let (found, out, error) = questline([&["explain", "--config", &config], arguments].concat());
        assert_eq!((found, out.as_str()), (code, ""), "{error}");
        assert!(error.contains(said), "{said:?} is not in {error}");
    };
    failed(&["5e1f"], 1, "tables completions and audit have no completion \"5e1f\"");
    failed(&["--player", "nobody", "--mission", "slots-100"], 1, "no event of player \"nobody\"");
    failed(&["--player", "p1", "--mission", "none"], 1, "no definition of mission \"none\"");
    failed(&["--player", "p1", "--mission", "slots-100", "--at", "2020-01-01T00:00:00Z"], 1, "has no window then");
    failed(&[], 2, "COMPLETION_ID");
    failed(&["--player", "p1"], 2, "--mission");
    failed(&["5e1f", "--player", "p1", "--mission", "x"], 2, "cannot be used with");
    failed(&["--player", "p1", "--mission", "x", "--at", "noon"], 2, "--at");
    let without = folder.path().join("without.toml");
    std::fs::write(&without, "[pipeline]\nname = \"acme\"\n[[source]]\nname = \"pam\"\ntopics = [\"events\"]\n")
        .unwrap();
    let (code, _, error) = questline(["explain", "x", "--config", without.to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(error.contains("lake: is missing"), "{error}");
}

/// Three bets make Gold, two make Silver; one of the three is reversed.
#[test]
fn a_tier_is_told_with_its_changes_events_and_threshold() {
    let folder = tempfile::tempdir().unwrap();
    let tier = |name: &str, threshold: u32| {
        format!(
            "[[tier]]\nname = \"{name}\"\nmeasure = {{ kind = \"count\", on = [\"bet_placed\"] }}\nthreshold = {threshold}\ndowngrade = \"automatic\"\n"
        )
    };
    let bet = |id: &str, hour: u32| {
        let time = format!("2026-06-02T{hour}:00:00Z");
        json!({"event_name": "bet_placed", "player_id": "p1", "transaction_id": id, "timestamp": time, "amount": "5"})
    };
    let reversal = json!({"event_name": "reversal", "player_id": "p1", "transaction_id": "r1", "timestamp": "2026-06-02T13:00:00Z",
        "reference_id": "t2"});
    let events = (0..).zip([bet("t1", 10), bet("t2", 11), bet("t3", 12), reversal]).map(|(offset, value)| {
        json!({"topic": "events", "partition": 0, "offset": offset, "timestamp": value["timestamp"], "value": value})
    });
    let config = replayed_with(folder.path(), &events.collect::<Vec<_>>(), 1, &(tier("Silver", 2) + &tier("Gold", 3)));
    let answer = asked(&["--player", "p1", "--tier", "Gold", "--config", &config]);
    assert_eq!((&answer["mission_id"], &answer["standing"]), (&json!("Gold"), &json!("revoked")));
    let changes = answer["tier"]["changes"].as_array().unwrap().iter();
    let changes = changes.map(|row| json!([row["revision"], row["previous"], row["tier"], row["changed_at"]]));
    let expected = [
        json!([1, null, "Silver", "2026-06-02T11:00:00Z"]),
        json!([2, "Silver", "Gold", "2026-06-02T12:00:00Z"]),
        json!([3, "Gold", "Silver", "2026-06-02T13:00:00Z"]),
    ];
    assert_eq!(changes.collect::<Vec<_>>(), expected);
    assert_eq!(answer["tier"]["held"], false);
    assert_eq!(
        answer["stages"],
        json!([{"number": 1, "target": "3.00", "progress": "2.00", "missing": "1.00", "reached_at": null}])
    );
    let events = answer["events"].as_array().unwrap().iter();
    let events = events.map(|one| json!([one["transaction_id"], one["progress"], one["taken_back_by"]]));
    let expected = [json!(["t1", "1.00", null]), json!(["t2", null, "r1"]), json!(["t3", "2.00", null])];
    assert_eq!(events.collect::<Vec<_>>(), expected);
    assert_eq!(
        (&answer["definition"]["text"]["threshold"], &answer["definition"]["topic"]),
        (&json!("3"), &json!(null))
    );
    let silver = asked(&["--player", "p1", "--tier", "Silver", "--config", &config]);
    assert_eq!((&silver["standing"], &silver["tier"]["held"]), (&json!("completed"), &json!(true)));

    let (code, text, _) = questline(["explain", "--player", "p1", "--tier", "Gold", "--config", &config]);
    assert_eq!(code, 0);
    for line in ["tier       Gold", "standing   lost", "revision 3 from Gold to Silver at 2026-06-02T13:00:00Z"] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let (code, _, error) = questline(["explain", "--player", "p1", "--tier", "Platinum", "--config", &config]);
    assert!(code == 1 && error.contains("no tier \"Platinum\"; it has Silver, Gold"), "{error}");
    let (code, text, error) = questline(["reconcile", "--config", &config]);
    assert!(code == 0 && text.contains("2026-06-02  Gold"), "{text}{error}");
}
