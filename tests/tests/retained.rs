//! Events that are retained whole, on real servers: a mission of the second life counts what the first one read, and takes it from another of its
//! group (DOMAIN §4, `count_from`, `exclusive_group`).

use questline_tests::kafka::{Producer, read_all};
use questline_tests::oracle::Sent;
use questline_tests::oracle::number::show_instant;
use questline_tests::play::{Play, recent};
use questline_tests::process::questline_with;
use questline_tests::scenario::Scenario;
use questline_tests::stack::{Stack, wait_for};
use serde_json::{Value, json};

const RETAINED: (&str, &str) = ("QUESTLINE__MISSIONS__RETAINED", "30d");

/// A mission of an exclusive group that counts bets of one game since `start`.
fn mission(id: &str, start: i64, priority: u32, target: &str) -> (String, String) {
    let text = json!({"mission_id": id, "version": 1, "name": id, "status": "active", "start": show_instant(start),
        "exclusive_group": "x", "priority": priority, "count_from": "window_start",
        "stages": [{"on": ["bet_placed"], "where": "game_id == 'x-retained'", "measure": {"kind": "count"}, "target": target}]});
    (id.to_owned(), text.to_string())
}

/// A bet of the first partition, at `ingest`.
fn bet(player: &str, id: &str, ingest: i64) -> Sent {
    let value = json!({"event_name": "bet_placed", "player_id": player, "transaction_id": id, "amount": "1.00",
        "currency": "EUR", "game_id": "x-retained", "game_type": "slots", "timestamp": show_instant(ingest)});
    Sent { partition: 0, offset: 0, ingest, key: player.to_owned(), value: value.to_string().into_bytes() }
}

/// Completions and revocations of the missions that are asked about: what, whose, which, by what.
fn told(scenario: &Scenario) -> Vec<[String; 5]> {
    let rows = read_all(&scenario.stack.brokers, &scenario.topic("completions"));
    let rows = rows.iter().map(|message| serde_json::from_str::<Value>(&message.value).expect("messages are JSON"));
    let of = |row: &Value, pointer: &str| row.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let fields = ["/type", "/player_id", "/mission_id", "/trigger/kind", "/trigger/transaction_id"];
    let mut told: Vec<_> =
        rows.filter(|row| row.get("mission_id").is_some()).map(|row| fields.map(|field| of(&row, field))).collect();
    told.sort();
    told
}

#[test]
fn a_mission_of_the_second_life_counts_what_the_first_one_read() {
    let Some(stack) = Stack::from_env() else { return };
    let mut play = Play::new(recent(40_000, 29));
    let (start, end) = (play.sent[0].ingest, play.sent.iter().map(|record| record.ingest).max().expect("records"));
    play.missions = vec![mission("low", start, 1, "2")];
    let first = [bet("x-two", "t1", start), bet("x-two", "t2", start), bet("x-one", "o1", start)];
    let last = [bet("x-one", "o2", end), bet("x-one", "o3", end)];
    let count = first.len();
    play.sent = first.into_iter().chain(std::mem::take(&mut play.sent)).chain(last).collect();
    let of_first = play.sent.iter_mut().filter(|record| record.partition == 0);
    of_first.zip(0..).for_each(|(record, offset)| record.offset = offset);
    let scenario = Scenario::new(stack, "retained", play);

    let mut run = scenario.run_with(2, &[RETAINED]);
    scenario.feed(count);
    scenario.await_caught_up(&mut run);
    // There are no more epochs than records of them: a checkpoint of later ones holds these bets.
    let known = scenario.watch().end(&scenario.topic("progress"), 0);
    wait_for("a checkpoint", || {
        run.assert_running();
        scenario.feed(if scenario.left() > 5_000 { 100 } else { 0 });
        let begins = |line: &str| line.split_once(" first=")?.1.split_whitespace().next()?.parse::<i64>().ok();
        let log = run.log();
        let mut placed = log.lines().filter(|line| line.contains("checkpoint in place")).filter_map(begins);
        placed.any(|first| first > known).then_some(())
    });
    run.kill();
    let completed = |player: &str, mission: &str, kind: &str, id: &str| {
        ["mission_completed", player, mission, kind, id].map(str::to_owned)
    };
    assert_eq!(told(&scenario), [completed("x-two", "low", "event", "t2")]);

    let mut run = scenario.run_with(4, &[RETAINED]);
    let (id, text) = mission("high", start, 2, "2");
    let producer = Producer::new(&scenario.stack.brokers);
    producer.send(&scenario.topic("missions"), 0, &id, text.as_bytes(), end / 1_000);
    producer.flush();
    let of_definition = [
        completed("x-two", "high", "definition_change", ""),
        completed("x-two", "low", "event", "t2"),
        ["mission_revoked", "x-two", "low", "definition_change", ""].map(str::to_owned),
    ];
    wait_for("what the definition completes", || {
        run.assert_running();
        (told(&scenario).len() == of_definition.len()).then_some(())
    });
    assert_eq!(told(&scenario), of_definition);
    scenario.feed(usize::MAX);
    scenario.await_caught_up(&mut run);
    assert!(run.log().contains("checkpoint read"), "{}", run.log());
    run.terminate();
    // The bet of the first life was high's as well.
    let mut all = of_definition.to_vec();
    all.push(completed("x-one", "high", "event", "o2"));
    all.sort();
    assert_eq!(told(&scenario), all);

    let config = scenario.config();
    let config = config.to_str().expect("temporary paths are UTF-8");
    let (code, said, wrong) = questline_with(&[RETAINED], ["verify", "--config", config, "--complete"]);
    assert_eq!(code, 0, "{said}{wrong}");
}
