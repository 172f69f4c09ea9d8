//! `questline report missions`: cases worked out by hand from DOMAIN §4 and §5, replayed into a lake and reported from it.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use questline_tests::process::{Python, questline};
use serde_json::{Value, json};

/// A folder with a configuration, and a lake into which records were replayed.
struct Case(tempfile::TempDir);

impl Case {
    fn new(more: &str, records: &[Value]) -> Self {
        let case = Case(tempfile::tempdir().unwrap());
        let text = format!(
            "[pipeline]\nname = \"acme\"\n[[source]]\nname = \"pam\"\ntopics = [\"events\"]\n[lake]\nurl = \"file://{}\"\n{more}",
            case.path("lake").display()
        );
        std::fs::write(case.path("pipeline.toml"), text).unwrap();
        case.replay(records);
        case
    }

    /// Replays into the lake, from which everything goes but its reports: as if it had grown by what is new.
    fn replay(&self, records: &[Value]) {
        for table in std::fs::read_dir(self.path("lake")).into_iter().flatten().map(Result::unwrap) {
            if table.file_name() != "mission_ggr" {
                std::fs::remove_dir_all(table.path()).unwrap();
            }
        }
        let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
        std::fs::write(self.path("events.jsonl"), lines).unwrap();
        let [input, out] = ["events.jsonl", "out"].map(|name| shown(&self.path(name)));
        let arguments = ["replay", "--input", &input, "--out", &out, "--epoch-records", "1"];
        let (code, _, said) = self.questline(&arguments);
        assert_eq!(code, 0, "{said}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn questline(&self, arguments: &[&str]) -> (i32, String, String) {
        let config = shown(&self.path("pipeline.toml"));
        questline(arguments.iter().copied().chain(["--config", &config]))
    }

    fn report(&self, more: &[&str]) -> Value {
        let (code, out, said) = self.questline(&[&["report", "missions", "--format", "json"], more].concat());
        assert_eq!(code, 0, "{said}");
        serde_json::from_str(&out).unwrap()
    }

    /// The rows of a report, a line each.
    fn rows(&self, more: &[&str]) -> Vec<String> {
        self.report(more)["rows"].as_array().unwrap().iter().map(line).collect()
    }
}

fn shown(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// `segment currency cohort period from first_day, complete of days: players of customers, bets, total bets - wins = GGR, NGR`
fn line(row: &Value) -> String {
    let text = |name: &str| row[name].as_str().unwrap_or("*").to_owned();
    let number = |name: &str| row[name].as_i64().unwrap();
    format!(
        "{} {} {} {} {}, {} of {}: {} of {}, {}, {} - {} = {}, {}",
        text("segment"),
        text("currency"),
        text("cohort"),
        text("period"),
        &text("first_day")[5..],
        number("days_complete"),
        number("days"),
        number("players"),
        number("customers"),
        number("bets_count"),
        text("total_bets"),
        text("wins"),
        text("ggr"),
        text("ngr"),
    )
}

fn record(topic: &str, time: &str, key: &str, value: Value) -> Value {
    json!({"topic": topic, "timestamp": time, "key": key, "value": value})
}

/// An active mission that counts bets on slots, with what else its definition says. It takes effect at `time`.
fn mission(id: &str, time: &str, more: &Value) -> Value {
    let mut definition = json!({"mission_id": id, "version": 1, "status": "active",
        "stages": [{"on": ["bet_placed"], "where": "game_type == 'slots'", "measure": {"kind": "count"}, "target": 2}]});
    definition.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    record("missions", time, id, definition)
}

/// A mission of two days, the 3rd and 4th of June: so the 1st and 2nd are before it, the 5th and 6th behind it.
fn two_days(eligibility: &Value) -> Value {
    let more = json!({"start": "2026-06-03T00:00:00Z", "end": "2026-06-04T23:59:59Z", "eligibility": eligibility});
    mission("m", "2026-06-01T00:00:00Z", &more)
}

fn event(name: &str, player: &str, id: &str, time: &str, more: &Value) -> Value {
    let mut value = json!({"event_name": name, "player_id": player, "transaction_id": id, "timestamp": time});
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    record("events", time, player, value)
}

fn bet(player: &str, id: &str, time: &str, amount: &str) -> Value {
    event("bet_placed", player, id, time, &json!({"amount": amount, "game_type": "slots"}))
}

fn win(player: &str, id: &str, time: &str, amount: &str) -> Value {
    event("win", player, id, time, &json!({"amount": amount, "game_type": "slots"}))
}

fn segment(name: &str, player: &str, segment: &str, time: &str) -> Value {
    event(name, player, &format!("{name}-{segment}-{time}"), time, &json!({"segment": segment}))
}

/// The day before is over: with this the lake has everything of it.
fn end(time: &str) -> Value {
    event("login", "clock", time, time, &json!({}))
}

/// In cash p1 stakes 10 before, 15 and 5 of bonus money during, and wins 8 the day after; p2 plays what does not count.
///
/// NGR is by customer, day and game: less 20 % of cash GGR if that is above 0, and in gross less the bonus first.
/// p1: before 10 - 2 = 8; the 3rd 15 - 3 = 12, in gross 20 - 5 - 3 = 12; the 4th -8 without tax; after 4 - 0.80.
/// p2: before 6 - 1.20, during 10 - 2. The login of the 7th is of a customer who came too late.
#[test]
fn participants_and_others_in_cash_and_gross() {
    const NGR: &str = "[[activity.ngr]]\nname = \"bonus\"\namount_of = \"bonus_cost\"\n[[activity.ngr]]\nname = \"tax\"\npercent = \"20\"\nof = \"ggr\"\n";
    let other = |id: &str, time: &str, amount: &str| {
        event("bet_placed", "p2", id, time, &json!({"amount": amount, "game_type": "blackjack"}))
    };
    let bonus = json!({"amount": "20.00", "bonus_amount": "5.00", "game_type": "slots"});
    let records = [
        two_days(&json!({})),
        bet("p1", "a1", "2026-06-01T10:00:00Z", "10.00"),
        other("b1", "2026-06-02T10:00:00Z", "6.00"),
        event("bet_placed", "p1", "a2", "2026-06-03T10:00:00Z", &bonus),
        win("p1", "a3", "2026-06-04T10:00:00Z", "8.00"),
        other("b2", "2026-06-04T11:00:00Z", "10.00"),
        bet("p1", "a4", "2026-06-05T10:00:00Z", "4.00"),
        end("2026-06-07T00:00:00Z"),
    ];
    for (basis, during) in [("cash", "15.00 - 8.00 = 7.00"), ("gross", "20.00 - 8.00 = 12.00")] {
        let case = Case::new(&format!("[activity]\nbasis = \"{basis}\"\n{NGR}"), &records);
        let expected = [
            "* EUR participants before 06-01, 2 of 2: 1 of 1, 1, 10.00 - 0.00 = 10.00, 8.00".to_owned(),
            format!("* EUR participants during 06-03, 2 of 2: 1 of 1, 1, {during}, 4.00"),
            "* EUR participants after 06-05, 2 of 2: 1 of 1, 1, 4.00 - 0.00 = 4.00, 3.20".to_owned(),
            "* EUR others before 06-01, 2 of 2: 1 of 1, 1, 6.00 - 0.00 = 6.00, 4.80".to_owned(),
            "* EUR others during 06-03, 2 of 2: 1 of 1, 1, 10.00 - 0.00 = 10.00, 8.00".to_owned(),
            "* EUR others after 06-05, 2 of 2: 0 of 1, 0, 0.00 - 0.00 = 0.00, 0.00".to_owned(),
        ];
        assert_eq!(case.rows(&[]), expected, "{basis}");
        let (code, text, said) = case.questline(&["report", "missions"]);
        assert_eq!(code, 0, "{said}");
        // By customer and day: p1's NGR fell from 4 to 2, p2's rose from 2.40 to 4: 3.60 less than the others'.
        for told in
            ["m, 2026-06-03T00:00:00Z to 2026-06-04T23:59:59Z, all customers, EUR", "-3.60", "2026-06-01 to 2026-06-06"]
        {
            assert!(text.contains(told), "{told} is not in\n{text}");
        }
    }
}

/// NGR is that of the rows, with every kind of step: less what jackpots get, more what a pool paid, less chargebacks, and 0.50 of each row that was played on.
/// p1: before 10 - 0.10 - 0.50; the 3rd 20 - 0.20 - 0.50 = 19.30, the 4th -50 + 40 - 0.50 = -10.50; after 4 - 0.50. p2: before 6 - 0.50; after only a chargeback
/// of 7, which is no play: nobody of the others has played then.
#[test]
fn jackpots_and_chargebacks_are_in_ngr_and_a_chargeback_is_no_play() {
    const RULES: &str = "[source.mapping]\njackpot_contribution = \"/jackpot/fee\"\njackpot_win = \"/jackpot/paid\"\n\
        [source.mapping.event_names]\nchargeback = \"chargeback\"\n\
        [[activity.ngr]]\nname = \"contribution\"\namount_of = \"jackpot_contribution\"\n\
        [[activity.ngr]]\nname = \"pool\"\nadd_back = \"jackpot_wins\"\n\
        [[activity.ngr]]\nname = \"chargebacks\"\namount_of = \"chargebacks\"\n\
        [[activity.ngr]]\nname = \"row\"\nfixed = \"0.50\"\ncurrency = \"EUR\"\nper = \"row\"\n";
    let slots = |name: &str, id: &str, time: &str, amount: &str, jackpot: Value| {
        event(name, "p1", id, time, &json!({"amount": amount, "game_type": "slots", "jackpot": jackpot}))
    };
    let records = [
        two_days(&json!({})),
        slots("bet_placed", "a1", "2026-06-01T10:00:00Z", "10.00", json!({"fee": "0.10"})),
        event("bet_placed", "p2", "b1", "2026-06-02T10:00:00Z", &json!({"amount": "6.00", "game_type": "blackjack"})),
        slots("bet_placed", "a2", "2026-06-03T10:00:00Z", "20.00", json!({"fee": "0.20"})),
        slots("win", "a3", "2026-06-04T10:00:00Z", "50.00", json!({"paid": "40.00"})),
        bet("p1", "a4", "2026-06-05T10:00:00Z", "4.00"),
        event("chargeback", "p2", "c1", "2026-06-05T11:00:00Z", &json!({"amount": "7.00"})),
        end("2026-06-07T00:00:00Z"),
    ];
    let case = Case::new(RULES, &records);
    let expected = [
        "* EUR participants before 06-01, 2 of 2: 1 of 1, 1, 10.00 - 0.00 = 10.00, 9.40",
        "* EUR participants during 06-03, 2 of 2: 1 of 1, 1, 20.00 - 50.00 = -30.00, 8.80",
        "* EUR participants after 06-05, 2 of 2: 1 of 1, 1, 4.00 - 0.00 = 4.00, 3.50",
        "* EUR others before 06-01, 2 of 2: 1 of 1, 1, 6.00 - 0.00 = 6.00, 5.50",
        "* EUR others during 06-03, 2 of 2: 0 of 1, 0, 0.00 - 0.00 = 0.00, 0.00",
        "* EUR others after 06-05, 2 of 2: 0 of 1, 0, 0.00 - 0.00 = 0.00, -7.00",
    ];
    assert_eq!(case.rows(&[]), expected);
}

/// Segments are compared each by itself: b is in both. c plays and is in no segment; d enters gold when the window is over, e leaves vip as it
/// begins; f is a member who does not play what counts; g has left by what is told later.
#[test]
fn segments_are_compared_each_by_itself() {
    let start = "2026-06-01T06:00:00Z";
    let records = [
        two_days(&json!({"segments": ["vip", "gold"]})),
        segment("segment_entered", "a", "vip", start),
        segment("segment_entered", "b", "vip", start),
        segment("segment_entered", "b", "gold", start),
        segment("segment_entered", "e", "vip", start),
        segment("segment_entered", "f", "vip", start),
        segment("segment_entered", "g", "vip", start),
        segment("segment_left", "e", "vip", "2026-06-03T00:00:00Z"),
        bet("a", "a1", "2026-06-03T10:00:00Z", "1.00"),
        bet("b", "b1", "2026-06-03T10:00:01Z", "2.00"),
        bet("c", "c1", "2026-06-03T10:00:02Z", "4.00"),
        bet("d", "d1", "2026-06-03T10:00:03Z", "8.00"),
        bet("e", "e1", "2026-06-03T10:00:04Z", "16.00"),
        win("f", "f1", "2026-06-03T10:00:05Z", "32.00"),
        bet("g", "g1", "2026-06-04T10:00:00Z", "64.00"),
        segment("segment_entered", "d", "gold", "2026-06-05T00:00:00Z"),
        // Late, and in time for the mission.
        record(
            "events",
            "2026-06-05T09:00:00Z",
            "g",
            json!({"event_name": "segment_left", "player_id": "g", "transaction_id": "gone", "segment": "vip", "timestamp": "2026-06-02T12:00:00Z"}),
        ),
        end("2026-06-07T00:00:00Z"),
    ];
    let case = Case::new("", &records);
    let told: Vec<String> = case.rows(&[]).into_iter().filter(|row| row.contains(" during ")).collect();
    let expected = [
        "gold EUR participants during 06-03, 2 of 2: 1 of 1, 1, 2.00 - 0.00 = 2.00, 2.00",
        "gold EUR others during 06-03, 2 of 2: 0 of 0, 0, 0.00 - 0.00 = 0.00, 0.00",
        "vip EUR participants during 06-03, 2 of 2: 2 of 2, 2, 3.00 - 0.00 = 3.00, 3.00",
        "vip EUR others during 06-03, 2 of 2: 1 of 1, 0, 0.00 - 32.00 = -32.00, -32.00",
    ];
    assert_eq!(told, expected);

    // Where both are needed, their common members are compared.
    let mut both = records.to_vec();
    both[0] = two_days(&json!({"segments": {"all": ["vip", "gold"]}}));
    let told: Vec<String> = Case::new("", &both).rows(&[]);
    assert!(told.iter().all(|row| row.starts_with("vip & gold EUR")), "{told:?}");
    assert!(told[1].ends_with("1 of 1, 1, 2.00 - 0.00 = 2.00, 2.00") && told[4].contains("0 of 0"), "{told:?}");
}

/// A report goes into the lake; then p1's only bet is reversed, which restates its day and revokes the participation. The
/// next report has what changed, one revision on.
#[test]
fn a_reversal_restates_what_was_published() {
    let mut records = vec![
        two_days(&json!({})),
        bet("p1", "a1", "2026-06-03T10:00:00Z", "10.00"),
        bet("p2", "b1", "2026-06-03T11:00:00Z", "7.00"),
        bet("p2", "b2", "2026-06-01T11:00:00Z", "1.00"),
        end("2026-06-07T00:00:00Z"),
    ];
    // In the order of ingestion.
    records.swap(1, 3);
    let case = Case::new("", &records);
    let during = |rows: Vec<String>| rows.into_iter().filter(|row| row.contains(" during ")).collect::<Vec<_>>();
    let first = during(case.rows(&["--publish"]));
    assert_eq!(
        first,
        [
            "* EUR participants during 06-03, 2 of 2: 2 of 2, 2, 17.00 - 0.00 = 17.00, 17.00",
            "* EUR others during 06-03, 2 of 2: 0 of 0, 0, 0.00 - 0.00 = 0.00, 0.00",
        ]
    );
    let again = case.report(&["--publish"]);
    assert_eq!(again["published"], json!({"rows": 0, "object": null}));

    let reversal = json!({"reference_id": "a1"});
    records.push(event("reversal", "p1", "r1", "2026-06-07T01:00:00Z", &reversal));
    case.replay(&records);
    let second = case.report(&["--publish"]);
    let rows: Vec<String> = second["rows"].as_array().unwrap().iter().map(line).collect();
    let expected = [
        "* EUR participants during 06-03, 2 of 2: 1 of 1, 1, 7.00 - 0.00 = 7.00, 7.00",
        "* EUR others during 06-03, 2 of 2: 0 of 1, 0, 0.00 - 0.00 = 0.00, 0.00",
    ];
    assert_eq!(during(rows), expected);
    // The participants' rows have fewer customers, the others' more: all six.
    let object = "mission_ggr/report=000000000001/mission_ggr-v2-000000000001.parquet";
    assert_eq!(second["published"], json!({"rows": 6, "object": object}));
    assert!(case.path("lake").join(object).exists());

    let Some(python) = Python::from_env() else { return };
    let (code, ddl, said) = case.questline(&["warehouse", "ddl", "--target", "duckdb"]);
    assert_eq!(code, 0, "{said}");
    let found = python.run(LATEST, Path::new("."), &ddl);
    let latest = json!(["others during 0.00000000 1 2", "participants during 7.00000000 1 2"]);
    assert_eq!(found, json!({"rows": 12, "during": latest, "reports": "BIGINT"}));
}

/// Who only bets does not take part in a mission whose first stage is a deposit: nothing counts for a stage before the one before it is reached.
#[test]
fn who_has_nothing_of_the_first_stage_is_one_of_the_others() {
    let stage = |on: &str, target: u32| json!({"on": [on], "measure": {"kind": "count"}, "target": target});
    let stages = json!({"start": "2026-06-03T00:00:00Z", "end": "2026-06-04T23:59:59Z", "stages": [stage("deposit", 1), stage("bet_placed", 2)]});
    let case = Case::new(
        "",
        &[
            mission("m", "2026-06-01T00:00:00Z", &stages),
            event("deposit", "p1", "d1", "2026-06-03T09:00:00Z", &json!({"amount": "50"})),
            bet("p1", "b1", "2026-06-03T10:00:00Z", "10"),
            bet("p2", "b2", "2026-06-03T11:00:00Z", "20"),
            bet("p2", "b3", "2026-06-03T12:00:00Z", "1"),
            end("2026-06-08T00:00:00Z"),
        ],
    );
    let expected = [
        "* EUR participants during 06-03, 2 of 2: 1 of 1, 1, 10.00 - 0.00 = 10.00, 10.00",
        "* EUR others during 06-03, 2 of 2: 1 of 1, 2, 21.00 - 0.00 = 21.00, 21.00",
    ];
    let during: Vec<_> = case.rows(&[]).into_iter().filter(|row| row.contains(" during ")).collect();
    assert_eq!(during, expected);
}

/// What the views say.
const LATEST: &str = r#"
import json, sys
import duckdb
db = duckdb.connect()
db.execute(sys.stdin.read())
during = db.sql("SELECT cohort, period, ggr::VARCHAR, customers, revision FROM mission_ggr WHERE period = 'during' ORDER BY cohort").fetchall()
print(json.dumps({
    "rows": db.sql("SELECT count(*) FROM mission_ggr_revisions").fetchall()[0][0],
    "during": [" ".join(str(cell) for cell in row) for row in during],
    "reports": db.sql("SELECT data_type FROM duckdb_columns() WHERE table_name = 'mission_ggr_revisions' AND column_name = 'report'").fetchall()[0][0],
}))
"#;

/// Reporting days of Malta, where the 29th of March has 23 hours, from 23:00 to 22:00 in UTC. A mission a day there has
/// the day itself; one a day in UTC overlaps two of them.
#[test]
fn a_day_of_23_hours_and_a_window_of_another_zone() {
    let daily = |id: &str, zone: &str| {
        let bounds = json!({"start": "2026-03-29T00:00:00Z", "end": "2026-03-29T21:59:59Z"});
        let mut more = json!({"window": {"every": "day", "zone": zone}});
        more.as_object_mut().unwrap().extend(bounds.as_object().unwrap().clone());
        mission(id, "2026-03-26T23:00:00Z", &more)
    };
    let records = [
        daily("local", "Europe/Malta"),
        daily("utc", "UTC"),
        // The 28th in Malta has ended; this is the 29th there, and before the mission's start.
        bet("p1", "a1", "2026-03-28T23:00:00Z", "1.00"),
        bet("p1", "a2", "2026-03-29T21:59:59Z", "2.00"),
        // The 30th in Malta.
        bet("p1", "a3", "2026-03-29T22:00:00Z", "4.00"),
        bet("p2", "b1", "2026-03-28T22:59:59Z", "8.00"),
        end("2026-03-31T22:00:00Z"),
    ];
    let mut ordered = records.to_vec();
    ordered.swap(2, 5);
    ordered[3..6].sort_by_key(|record| record["timestamp"].as_str().unwrap().to_owned());
    let case = Case::new("[activity]\nzone = \"Europe/Malta\"\n", &ordered);
    let local = case.rows(&["--mission", "local"]);
    let expected = [
        "* EUR participants before 03-28, 1 of 1: 0 of 1, 0, 0.00 - 0.00 = 0.00, 0.00",
        "* EUR participants during 03-29, 1 of 1: 1 of 1, 2, 3.00 - 0.00 = 3.00, 3.00",
        "* EUR participants after 03-30, 1 of 1: 1 of 1, 1, 4.00 - 0.00 = 4.00, 4.00",
        "* EUR others before 03-28, 1 of 1: 1 of 1, 1, 8.00 - 0.00 = 8.00, 8.00",
        "* EUR others during 03-29, 1 of 1: 0 of 1, 0, 0.00 - 0.00 = 0.00, 0.00",
        "* EUR others after 03-30, 1 of 1: 0 of 1, 0, 0.00 - 0.00 = 0.00, 0.00",
    ];
    assert_eq!(local, expected);
    // In UTC the mission counts from 00:00 to 21:59:59 of the 29th, which is 02:00 to 23:59:59 of the 29th in Malta: one day as well.
    assert_eq!(case.rows(&["--mission", "utc"]), expected);
    let told = case.report(&[]);
    assert_eq!(told["complete"], json!(["2026-03-27", "2026-03-31"]));
}

/// A week in Kolkata is from Sunday 18:30 to Sunday 18:30 in UTC: eight reporting days of UTC overlap it. It runs, so that its
/// last days and all behind it are not complete. Amounts of two currencies are never merged, and who has opted in by the time of a bet takes part.
#[test]
fn a_running_week_of_another_zone_in_two_currencies_with_opt_in() {
    let more = json!({"window": {"every": "week", "zone": "Asia/Kolkata"}, "start": "2026-06-07T18:30:00Z",
        "eligibility": {"opt_in": true}});
    let in_gbp = |player: &str, id: &str, time: &str, amount: &str| {
        event("bet_placed", player, id, time, &json!({"amount": amount, "game_type": "slots", "currency": "GBP"}))
    };
    let opted = |name: &str, player: &str, time: &str| {
        event(name, player, &format!("{name}-{player}"), time, &json!({"mission_id": "m"}))
    };
    let records = [
        mission("m", "2026-06-01T00:00:00Z", &more),
        bet("p1", "a0", "2026-06-02T10:00:00Z", "5.00"),
        opted("opted_in", "p1", "2026-06-08T08:00:00Z"),
        opted("opted_in", "p3", "2026-06-08T08:00:00Z"),
        opted("opted_out", "p3", "2026-06-08T09:00:00Z"),
        bet("p1", "a1", "2026-06-08T10:00:00Z", "1.00"),
        in_gbp("p1", "a2", "2026-06-08T11:00:00Z", "2.00"),
        // Never opted in; opted out by then.
        bet("p2", "b1", "2026-06-08T12:00:00Z", "4.00"),
        in_gbp("p3", "c1", "2026-06-08T13:00:00Z", "8.00"),
        // A day that is not complete.
        bet("p1", "a3", "2026-06-10T10:00:00Z", "16.00"),
    ];
    let case = Case::new("", &records);
    let expected = [
        "* EUR participants before 05-30, 6 of 8: 1 of 1, 1, 5.00 - 0.00 = 5.00, 5.00",
        "* EUR participants during 06-07, 3 of 8: 1 of 1, 1, 1.00 - 0.00 = 1.00, 1.00",
        "* EUR participants after 06-15, 0 of 8: 0 of 1, 0, 0.00 - 0.00 = 0.00, 0.00",
        "* EUR others before 05-30, 6 of 8: 0 of 2, 0, 0.00 - 0.00 = 0.00, 0.00",
        "* EUR others during 06-07, 3 of 8: 1 of 2, 1, 4.00 - 0.00 = 4.00, 4.00",
        "* EUR others after 06-15, 0 of 8: 0 of 2, 0, 0.00 - 0.00 = 0.00, 0.00",
        "* GBP participants before 05-30, 6 of 8: 0 of 1, 0, 0.00 - 0.00 = 0.00, 0.00",
        "* GBP participants during 06-07, 3 of 8: 1 of 1, 1, 2.00 - 0.00 = 2.00, 2.00",
        "* GBP participants after 06-15, 0 of 8: 0 of 1, 0, 0.00 - 0.00 = 0.00, 0.00",
        "* GBP others before 05-30, 6 of 8: 0 of 2, 0, 0.00 - 0.00 = 0.00, 0.00",
        "* GBP others during 06-07, 3 of 8: 1 of 2, 1, 8.00 - 0.00 = 8.00, 8.00",
        "* GBP others after 06-15, 0 of 8: 0 of 2, 0, 0.00 - 0.00 = 0.00, 0.00",
    ];
    assert_eq!(case.rows(&[]), expected);
    let compared = &case.report(&[])["comparisons"][0];
    // 5 over 6 days, 1 over 3 days; nothing is known of days behind it.
    let ggr = json!(["0.83333333", "0.33333333", null]);
    assert_eq!((&compared["participants"]["ggr"], &compared["others"]["players"]), (&ggr, &json!([0, 1, 0])));
    let (code, text, _) = case.questline(&["report", "missions"]);
    assert!(code == 0 && text.contains("during 8 (3 complete), after 8 (0 complete)"), "{text}");
}

/// An amount that waits for its rate counts when the rate comes, which is no event of its player; and a definition that counts what was
/// there before makes participants of those who played then.
#[test]
fn rates_and_definitions_make_participants() {
    let sum = |id: &str, time: &str, count_from: &str| {
        let stages = json!([{"on": ["bet_placed"], "measure": {"kind": "sum", "field": "amount", "currency": "EUR"}, "target": "100"}]);
        let more = json!({"start": "2026-06-03T00:00:00Z", "end": "2026-06-03T23:59:59Z", "stages": stages, "count_from": count_from});
        mission(id, time, &more)
    };
    let usd = json!({"amount": "3.00", "game_type": "slots", "currency": "USD"});
    let rate = json!({"event_name": "rate", "event_id": "x", "base": "USD", "quote": "EUR", "exchange_rate": "0.9",
        "timestamp": "2026-06-03T12:00:00Z"});
    let records = [
        sum("early", "2026-06-01T00:00:00Z", "activation"),
        event("bet_placed", "p1", "a1", "2026-06-03T10:00:00Z", &usd),
        record("events", "2026-06-03T12:00:00Z", "x", rate),
        bet("p2", "b1", "2026-06-03T13:00:00Z", "1.00"),
        sum("late", "2026-06-03T14:00:00Z", "window_start"),
        end("2026-06-05T00:00:00Z"),
    ];
    let case = Case::new("[missions]\nretained = \"2d\"\n", &records);
    for mission in ["early", "late"] {
        let rows = case.rows(&["--mission", mission]);
        let during: Vec<&String> = rows.iter().filter(|row| row.contains(" participants during ")).collect();
        let expected = [
            "* EUR participants during 06-03, 1 of 1: 1 of 2, 1, 1.00 - 0.00 = 1.00, 1.00",
            "* USD participants during 06-03, 1 of 1: 1 of 2, 1, 3.00 - 0.00 = 3.00, 3.00",
        ];
        assert_eq!(during, expected, "{mission}");
    }
}

#[test]
fn usage_and_files() {
    let records = [two_days(&json!({})), bet("p1", "a1", "2026-06-03T10:00:00Z", "10.00"), end("2026-06-07T00:00:00Z")];
    let case = Case::new("", &records);
    let refused = |more: &[&str]| {
        let (code, _, said) = case.questline(&[&["report", "missions"], more].concat());
        (code, said)
    };
    assert!(refused(&["--publish", "--mission", "m"]).0 == 2);
    let (code, said) = refused(&["--from", "2026-06-04", "--to", "2026-06-03"]);
    assert!(code == 2 && said.contains("is behind --to"), "{said}");
    let (code, said) = refused(&["--mission", "n"]);
    assert!(code == 1 && said.contains("no window of a mission \"n\""), "{said}");
    assert!(case.rows(&["--to", "2026-06-02"]).is_empty());
    assert_eq!(case.rows(&["--from", "2026-06-04", "--to", "2026-06-04"]).len(), 6);

    let out = shown(&case.path("files"));
    case.report(&["--out", &out]);
    let csv = std::fs::read_to_string(case.path("files/mission_ggr.csv")).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 7);
    assert!(lines[0].starts_with("mission_id,window_start,window_start_us,window_end,window_end_us,segment,cohort,period,currency,first_day,days,"), "{csv}");
    assert!(lines[2].contains("participants,during,EUR,2026-06-03,2,2,1,1,1,10.00,0.00,10.00,10.00,1,"), "{csv}");
    assert!(case.path("files/mission_ggr.parquet").exists());
}
