//! A start that goes on from a checkpoint, on real servers: what comes out is what would have come out.

use questline_tests::compare;
use questline_tests::kafka::read_all;
use questline_tests::oracle::Sent;
use questline_tests::oracle::number::show_instant;
use questline_tests::play::{Play, recent};
use questline_tests::process::{Questline, questline};
use questline_tests::scenario::Scenario;
use questline_tests::stack::{Stack, wait_for};
use serde_json::{Value, json};

/// The number behind `name=` in each line of `log` that has `what`.
fn told(log: &str, what: &str, name: &str) -> Vec<u64> {
    let number = |line: &str| {
        let (_, rest) = line.split_once(&format!(" {name}="))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    log.lines().filter(|line| line.contains(what)).filter_map(number).collect()
}

/// Feeds until the run has put a checkpoint from which a start follows epochs beyond `first`, and leaves at least
/// `rest` records. Answers where it begins.
fn feed_until_checkpoint(scenario: &Scenario, run: &mut Questline, first: u64, rest: usize) -> u64 {
    wait_for("checkpoints", || {
        run.assert_running();
        if scenario.left() > rest {
            scenario.feed(100);
        }
        told(&run.log(), "checkpoint in place", "first").last().copied().filter(|next| *next > first)
    })
}

#[test]
fn a_start_goes_on_from_the_last_checkpoint() {
    let Some(stack) = Stack::from_env() else { return };
    let scenario = Scenario::new(stack, "checkpoint", Play::new(recent(150_000, 21)));
    let oracle = scenario.play.oracle();
    let mut first = 0;
    for (life, workers) in [1, 2, 4, 1].into_iter().enumerate() {
        let mut run = scenario.run(workers);
        let rest = scenario.left() / 5 * (4 - life);
        let next = feed_until_checkpoint(&scenario, &mut run, first, rest);
        let read = told(&run.log(), "checkpoint read", "first");
        // Another one may have come between the last look and the kill.
        assert!(if life > 0 { read[0] >= first } else { read.is_empty() }, "life {life}: {read:?}, not {first}");
        first = next;
        run.kill();
    }
    let mut run = scenario.run(2);
    scenario.feed(usize::MAX);
    scenario.await_outputs(&mut run, &oracle);
    let log = run.log();
    run.terminate();
    println!("{}", compare::everything(&scenario, &oracle));
    let config = scenario.config();
    let config = config.to_str().expect("temporary paths are UTF-8");
    let (code, said, wrong) = questline(["verify", "--config", config, "--complete"]);
    assert_eq!(code, 0, "{said}{wrong}");
    let (code, said, wrong) = questline(["checkpoint", "verify", "--config", config]);
    assert_eq!(code, 0, "{said}{wrong}");
    println!("{said}");
    let of_last = |name| told(&log, "checkpoint read", name);
    println!("the last start followed epochs {:?} to {:?}", of_last("first"), of_last("upper"));
    assert!(of_last("first")[0] >= first, "{log}");
}

/// A record of the first partition, at `ingest`.
fn sent(key: &str, ingest: i64, mut value: Value) -> Sent {
    value["timestamp"] = show_instant(ingest).into();
    Sent { partition: 0, offset: 0, ingest, key: key.to_owned(), value: value.to_string().into_bytes() }
}

/// A rate of the first life converts a bet of the second, and what waited in the first is released by a rate of the second.
#[test]
fn a_start_from_a_checkpoint_knows_rates_and_what_waits_for_them() {
    let Some(stack) = Stack::from_env() else { return };
    let mut play = Play::new(recent(40_000, 23));
    let mission = json!({"mission_id": "x-pounds", "version": 1, "name": "x", "status": "active",
        "stages": [{"on": ["bet_placed"], "where": "game_id == 'x-pounds'",
                    "measure": {"kind": "sum", "field": "amount", "currency": "GBP"}, "target": "100"}]});
    play.missions = vec![("x-pounds".to_owned(), mission.to_string())];
    let rate = |base: &str| json!({"event_name": "rate", "event_id": base, "base": base, "quote": "GBP", "exchange_rate": "0.5"});
    let bet = |player: &str, id: &str, amount: &str, currency: &str| {
        json!({"event_name": "bet_placed", "player_id": player, "transaction_id": id, "amount": amount,
            "currency": currency, "game_id": "x-pounds", "game_type": "slots"})
    };
    let (start, end) = (play.sent[0].ingest, play.sent.iter().map(|record| record.ingest).max().unwrap());
    let first = [
        sent("", start, rate("USD")),
        sent("x-held", start, bet("x-held", "h1", "200.00", "SEK")),
        sent("x-sum", start, bet("x-sum", "s1", "199.98", "USD")),
    ];
    let last = [sent("x-sum", end, bet("x-sum", "s2", "0.02", "USD")), sent("", end, rate("SEK"))];
    let count = first.len();
    play.sent = first.into_iter().chain(std::mem::take(&mut play.sent)).chain(last).collect();
    let of_first = play.sent.iter_mut().filter(|record| record.partition == 0);
    of_first.zip(0..).for_each(|(record, offset)| record.offset = offset);
    let scenario = Scenario::new(stack, "rates", play);

    let mut run = scenario.run(2);
    scenario.feed(count);
    scenario.await_caught_up(&mut run);
    // There are no more epochs than records of them.
    let known = u64::try_from(scenario.watch().end(&scenario.topic("progress"), 0)).unwrap();
    feed_until_checkpoint(&scenario, &mut run, known, 5_000);
    run.kill();
    let mut run = scenario.run(4);
    scenario.feed(usize::MAX);
    scenario.await_caught_up(&mut run);
    let begun = told(&run.log(), "checkpoint read", "first");
    run.terminate();
    assert!(begun[0] > known, "{begun:?}, not behind {known}");

    let mut completions = read_all(&scenario.stack.brokers, &scenario.topic("completions"));
    completions.retain(|message| message.value.contains("\"completion_id\""));
    let mut completed: Vec<[String; 4]> = completions
        .iter()
        .map(|message| {
            let row: Value = serde_json::from_str(&message.value).unwrap();
            let of = |pointer: &str| row.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            ["/type", "/player_id", "/trigger/transaction_id", "/progress"].map(of)
        })
        .collect();
    completed.sort();
    let expected = [["mission_completed", "x-held", "h1", "100.00"], ["mission_completed", "x-sum", "s2", "100.00"]];
    assert_eq!(completed, expected);
    let config = scenario.config();
    let config = config.to_str().expect("temporary paths are UTF-8");
    let (code, said, wrong) = questline(["verify", "--config", config]);
    assert_eq!(code, 0, "{said}{wrong}");
}
