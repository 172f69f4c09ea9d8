//! `questline dead-letters`: what was refused is listed and shown, and counts when it is given in again.
#![allow(clippy::unwrap_used)]

use questline_tests::kafka::{Producer, create_topic, read_all};
use questline_tests::process::{Questline, questline, without_servers};
use questline_tests::stack::{Stack, unique, wait_for};
use serde_json::Value;

/// A pipeline without a lake.
struct Pipeline {
    stack: Stack,
    name: String,
    folder: tempfile::TempDir,
    config: String,
}

impl Pipeline {
    fn new(stack: Stack) -> Self {
        let name = unique("letters");
        let folder = tempfile::tempdir().unwrap();
        let brokers = &stack.brokers;
        let text = format!(
            "[pipeline]\nname = \"{name}\"\nreporting_interval = \"200ms\"\n[kafka]\nbrokers = \"{brokers}\"\n\
             [kafka.topics]\ncompletions = \"{name}-completions\"\nactivity = \"{name}-activity\"\n\
             audit = \"{name}-audit\"\n             dead_letters = \"{name}-dead-letters\"\n[[source]]\nname = \"pam\"\ntopics = [\"{name}-events\"]\n\
             [source.mapping]\nredact = [\"/email\"]\n[missions]\ntopic = \"{name}-missions\"\n"
        );
        let path = folder.path().join("pipeline.toml");
        std::fs::write(&path, text).unwrap();
        create_topic(brokers, &format!("{name}-events"), 2, "delete");
        create_topic(brokers, &format!("{name}-missions"), 1, "compact");
        let config = path.to_str().unwrap().to_owned();
        Pipeline { stack, name, folder, config }
    }

    fn topic(&self, of: &str) -> String {
        format!("{}-{of}", self.name)
    }

    fn ask(&self, command: &str, more: &[&str]) -> (i32, String, String) {
        questline(["dead-letters", command, "--config", &self.config].into_iter().chain(more.iter().copied()))
    }

    fn json(&self, command: &str, more: &[&str]) -> Value {
        let (code, out, said) = self.ask(command, &[more, &["--format", "json"]].concat());
        assert_eq!(code, 0, "{command} {more:?}: {said}");
        serde_json::from_str(&out).unwrap()
    }

    fn run(&self) -> Questline {
        Questline::start(["run", "--config", &self.config], &[], &self.folder.path().join("run.log"))
    }

    /// How often `reason` is on the topic.
    fn letters(&self, reason: &str) -> usize {
        let all = read_all(&self.stack.brokers, &self.topic("dead-letters"));
        all.iter().filter(|message| message.value.contains(&format!("\"reason\":\"{reason}\""))).count()
    }
}

fn bet(id: &str, currency: &str) -> String {
    format!(
        r#"{{"event_name":"bet_placed","player_id":"p1","transaction_id":"{id}","timestamp":"2026-06-01T10:00:00Z","amount":"7.50","currency":"{currency}","game_type":"slots","email":"a@b.c"}}"#
    )
}

/// 2026-06-01T10:00:01Z
const SENT: i64 = 1_780_308_001_000;

#[test]
fn letters_are_listed_shown_and_given_in_again() {
    let Some(stack) = Stack::from_env() else { return };
    let pipeline = Pipeline::new(stack);
    let brokers = &pipeline.stack.brokers;
    let producer = Producer::new(brokers);
    let events = pipeline.topic("events");
    producer.send(&events, 1, "p1", bet("t1", "EUR").as_bytes(), SENT);
    producer.send(&events, 1, "p1", bet("t2", "XQQ").as_bytes(), SENT);
    producer.send(&events, 0, "p2", b"{\"event_name\":", SENT);
    producer.flush();
    let mut run = pipeline.run();
    wait_for("two letters", || {
        run.assert_running();
        (pipeline.letters("unknown_currency") == 1 && pipeline.letters("not_json") == 1).then_some(())
    });

    let all = pipeline.json("list", &[]);
    assert_eq!(all.as_array().unwrap().len(), 2, "{all}");
    let listed = pipeline.json("list", &["--reason", "unknown_currency", "--date", "2026-06-01"]);
    let letter = &listed[0];
    let id = letter["id"].as_str().unwrap();
    assert_eq!(
        (listed.as_array().unwrap().len(), &letter["offset"], &letter["partition"]),
        (1, &1.into(), &1.into()),
        "{listed}"
    );
    assert_eq!(pipeline.json("list", &["--date", "2026-06-02"]), Value::Array(Vec::new()));
    let (code, text, _) = pipeline.ask("list", &[]);
    assert!(code == 0 && text.contains(id) && text.contains("not_json") && text.contains("2 dead letters"), "{text}");

    // Redacted, as it is on the topic.
    let (code, text, _) = pipeline.ask("show", &[id]);
    assert!(code == 0 && text.contains("XQQ") && text.contains(&format!("{events}-1, offset 1")), "{text}");
    assert!(!text.contains("a@b.c"), "{text}");
    assert_eq!(pipeline.json("show", &[id])["raw"], letter["raw"]);
    let (code, _, said) = pipeline.ask("show", &["0:4711"]);
    assert!(code == 1 && said.contains("there is no dead letter 0:4711"), "{said}");

    // As it was it is refused again; the record is the one that was sent, not the redacted text.
    let planned = pipeline.json("replay", &["--reason", "unknown_currency", "--dry-run"]);
    assert_eq!((&planned["sent"], planned["records"].as_array().unwrap().len()), (&false.into(), 1), "{planned}");
    assert_eq!(read_all(brokers, &events).len(), 3);
    let (_, text, _) = pipeline.ask("replay", &[id, "--dry-run"]);
    assert!(text.ends_with("\n1 record would be sent again\n"), "{text}");
    let sent = pipeline.json("replay", &["--reason", "unknown_currency"]);
    assert_eq!((&sent["records"][0]["id"], &sent["records"][0]["partition"]), (&id.into(), &1.into()), "{sent}");
    wait_for("the letter again", || {
        run.assert_running();
        (pipeline.letters("unknown_currency") == 2).then_some(())
    });
    let messages = read_all(brokers, &events);
    let again = messages.iter().filter(|message| message.partition == 1).nth(2).unwrap();
    assert_eq!((again.value.as_str(), again.key.as_deref()), (bet("t2", "XQQ").as_str(), Some("p1")));

    // Mended, it counts.
    let mended = pipeline.folder.path().join("mended.json");
    std::fs::write(&mended, bet("t2", "EUR")).unwrap();
    let (code, text, said) = pipeline.ask("replay", &[id, "--value", mended.to_str().unwrap()]);
    assert!(code == 0 && text.contains(&format!("{id}: {events}-1, offset 3")), "{text}{said}");
    wait_for("the row with both bets", || {
        run.assert_running();
        let rows = read_all(brokers, &pipeline.topic("activity"));
        rows.iter().any(|row| row.value.contains("\"total_bets\":\"15.00\"")).then_some(())
    });
    run.terminate();
}

#[test]
fn usage_is_told_with_exit_2() {
    let folder = tempfile::tempdir().unwrap();
    let config = without_servers(folder.path());
    let config = config.to_str().unwrap();
    let ask = |more: &[&str]| {
        let (code, _, said) =
            questline(["dead-letters"].into_iter().chain(more.iter().copied()).chain(["--config", config]));
        (code, said)
    };
    for (arguments, expected) in [
        (&["list"][..], "kafka: is missing"),
        (&["list", "--reason", "bad_luck"], "idempotency_conflict"),
        (&["show", "4711"], "partition:offset"),
        (&["replay"], "<IDS>"),
        (&["replay", "0:1", "0:2", "--value", "/dev/null"], "exactly one"),
        (&["replay", "0:1", "--reason", "not_json"], "--reason"),
    ] {
        let (code, said) = ask(arguments);
        assert!(code == 2 && said.contains(expected), "{arguments:?}: {code} {said}");
    }
}
