mod measures;

use super::*;
use crate::condition::testing::TestEvent;
use crate::{EventName, Money, TextField};

/// The example of DOMAIN §4 without what this version does not support.
const EXAMPLE: &str = r#"{"mission_id":"weekly-virtual-100","version":3,"name":"Bet 100 on virtual sports this week",
 "status":"active","start":"2026-06-01T00:00:00Z","end":"2026-06-30T23:59:59Z",
 "window":{"every":"week","zone":"Europe/Malta"},
 "eligibility":{"where":"country == 'GB'","segments":[],"opt_in":false,"requires":[]},
 "stages":[{"on":["bet_placed"],"where":"game_type == 'virtual_sports' && bet_amount > 1",
            "measure":{"kind":"sum","field":"amount","currency":"GBP"},"target":"100.00"}],
 "reward":{"type":"points","value":"500","channels":["push","email"]},
 "on_reversal":"revoke","count_from":"activation","lateness":"P7D","exclusive_group":null,"priority":0}"#;

fn defaults() -> MissionDefaults {
    MissionDefaults::utc("EUR", Currencies::with_extra(["BTC".to_owned()]))
}

fn parse(text: &str) -> Result<Mission, Vec<String>> {
    let key = if text.contains("weekly-virtual-100") { "weekly-virtual-100" } else { "m" };
    Mission::parse(key, text, &defaults()).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

/// A small definition with further members, which may replace its own.
fn small(members: &str) -> String {
    let own = [
        ("mission_id", r#""m""#),
        ("version", "1"),
        ("status", r#""active""#),
        ("stages", r#"[{"on":["login"],"measure":{"kind":"count"},"target":1}]"#),
    ];
    let kept = own.iter().filter(|(name, _)| !members.contains(&format!("\"{name}\"")));
    let kept: Vec<String> = kept.map(|(name, json)| format!("\"{name}\":{json}")).collect();
    format!("{{{}{}{members}}}", kept.join(","), if members.is_empty() { "" } else { "," })
}

fn stage(json: &str) -> Result<Stage, Vec<String>> {
    parse(&small(&format!(r#""stages":[{json}]"#))).map(|mission| mission.stages[0].clone())
}

/// A stage that sums, with further members of its measure.
fn sum(members: &str) -> Result<Measure, Vec<String>> {
    stage(&format!(r#"{{"on":["bet_placed"],"measure":{{"kind":"sum",{members}}},"target":1}}"#))
        .map(|stage| stage.measure)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

#[test]
fn the_example_of_the_domain() {
    let mission = parse(EXAMPLE).unwrap();
    assert_eq!(&*mission.mission_id, "weekly-virtual-100");
    assert_eq!((mission.version, mission.status), (3, Status::Active));
    assert_eq!(mission.name, "Bet 100 on virtual sports this week");
    assert_eq!((mission.start, mission.end), (at("2026-06-01T00:00:00Z"), Some(at("2026-06-30T23:59:59Z"))));
    let Window::Every { every, zone_name, .. } = &mission.window else { panic!("recurring") };
    assert_eq!((*every, zone_name.as_str()), (Every::Week, "Europe/Malta"));
    assert_eq!(mission.eligibility.as_ref().unwrap().text(), "country == 'GB'");
    let [stage] = mission.stages.as_slice() else { panic!("one stage") };
    assert_eq!(stage.on, [EventKind::Known(EventName::BetPlaced)]);
    let gbp = Some("GBP".into());
    assert_eq!(
        stage.measure,
        Measure::Sum { field: Quantity::Amount, currency: gbp, real_money_only: false, weights: None }
    );
    assert_eq!(stage.target, money("100"));
    assert_eq!(mission.reward, Some(RewardRow { kind: "points".to_owned(), value: "500".to_owned() }));
    assert_eq!(mission.channels, ["push", "email"]);
    assert_eq!(mission.on_reversal, OnReversal::Revoke);
    assert_eq!(mission.lateness_micros, 7 * 86_400_000_000);
    assert_eq!(mission, parse(EXAMPLE).unwrap());
}

#[test]
fn what_is_absent_has_a_default() {
    let mission = parse(&small("")).unwrap();
    assert_eq!((mission.start, mission.end), (Timestamp::default(), None));
    assert_eq!((mission.name.as_str(), &mission.window), ("m", &Window::Once));
    assert_eq!((mission.on_reversal, mission.lateness_micros), (OnReversal::Revoke, 7 * 86_400_000_000));
    assert_eq!(mission.on_suppression, OnSuppression::Drop);
    assert_eq!(parse(&small(r#""on_suppression":"defer""#)).unwrap().on_suppression, OnSuppression::Defer);
    assert!(mission.reward.is_none() && mission.channels.is_empty() && mission.eligibility.is_none());
    assert_eq!(mission.window_at(at("1999-01-01T00:00:00Z")), Some((Timestamp::default(), None)));
    let with_nulls = r#""name":null,"start":null,"end":null,"window":null,"eligibility":null,"repeat":null,
        "reward":null,"on_reversal":null,"on_suppression":null,"count_from":null,"lateness":null,"exclusive_group":null,"priority":null"#;
    assert_eq!(parse(&small(with_nulls)), Ok(mission));
}

#[test]
fn every_error_is_named_at_once() {
    let text = r#"{"mission_id":"other","version":0,"status":"activ","start":"2026-06-02T00:00:00Z",
        "end":"2026-06-01T00:00:00Z","window":{"every":"year","zone":"Mars/Olympus","zome":"UTC"},
        "eligibility":{"where":"amount > 'x' || size(y) == 1","opt_in":1},"lateness":"P1M","priority":1.5,
        "stages":[{"on":[],"measure":{"kind":"sum","field":"game_type","currency":"EURO"},"target":"-1"},
                  {"on":["login",7],"wher":"true","measure":{"kind":"count"},"target":1.5}],
        "on_reversal":"undo","on_suppression":"later","repeat":{"limt":3},"color":"red","color":"blue"}"#;
    assert_eq!(
        parse(text).unwrap_err(),
        [
            "/color: is given twice",
            "/mission_id: 'other' must equal the record's key, which is 'm'",
            "/version: must be at least 1, not 0",
            "/status: 'activ' is not known, did you mean 'active'?",
            "/end: must be after the start, 2026-06-02T00:00:00Z",
            "/window/every: 'year' is not known; known are once, day, week, month",
            "/window/zone: 'Mars/Olympus' is no IANA time zone such as Europe/Malta",
            "/window/zome: is not a known field, did you mean 'zone'?",
            "/eligibility/where: `amount` is a number and the literal is a text, which cannot be compared: numbers \
             are written without quotes (line 1, column 8)",
            "/eligibility/where: the function `size` is not supported in conditions: supported are == != < <= > >=, \
             && || !, in […], has(x), startsWith, endsWith, contains, matches and timestamp(\"…\") (line 1, column 21)",
            r#"/eligibility/opt_in: must be true, false or an object such as {"again": "reset"}"#,
            "/stages/0/on: must name at least one event",
            "/stages/0/measure/field: 'game_type' is a text and cannot be summed",
            "/stages/0/measure/currency: 'EURO' is neither in ISO 4217 nor in the configured currencies",
            "/stages/0/target: must be above 0",
            "/stages/1/on/1: must be a text, not a number",
            "/stages/1/target: must be a whole number: it counts events",
            "/stages/1/wher: is not a known field, did you mean 'where'?",
            "/repeat/limit: is required",
            "/repeat/limt: is not a known field, did you mean 'limit'?",
            "/on_reversal: 'undo' is not known; known are revoke, keep",
            "/on_suppression: 'later' is not known; known are drop, defer",
            "/lateness: years and months differ in length: use weeks, days or hours",
            "/priority: 1.5 is no whole number of 64 bits",
            "/color: is not a known field; known are mission_id, version, name, status, start, end, window, \
             eligibility, stages, repeat, reward, on_reversal, on_suppression, lateness, exclusive_group, priority, \
             count_from",
        ]
    );
    assert_eq!(
        parse("{}").unwrap_err(),
        ["/mission_id: is required", "/version: is required", "/status: is required", "/stages: is required"]
    );
    assert_eq!(
        parse(&small(r#""stages":[{}]"#)).unwrap_err(),
        ["/stages/0/on: is required", "/stages/0/measure: is required", "/stages/0/target: is required"]
    );
}

#[test]
fn what_is_no_definition_is_refused() {
    assert!(parse("{").unwrap_err()[0].starts_with("/: is not JSON: EOF while parsing"));
    assert_eq!(parse("[]").unwrap_err(), ["/: must be an object, not an array"]);
    assert_eq!(parse("null").unwrap_err(), ["/: must be an object, not null"]);
    for (members, error) in [
        (r#""version":"3""#, "/version: must be a whole number, not a text"),
        (r#""version":99999999999999999999"#, "/version: 99999999999999999999 is no whole number of 64 bits"),
        (r#""status":true"#, "/status: must be a text, not a bool"),
        (r#""name":"""#, "/name: must not be empty"),
        (r#""stages":[]"#, "/stages: must have at least one stage"),
        (r#""stages":{}"#, "/stages: must be an array, not an object"),
        (r#""start":"yesterday""#, "/start: 'yesterday' is no RFC 3339 time such as 2026-06-01T00:00:00Z"),
        (
            r#""end":"2026-06-01T00:00:00""#,
            "/end: '2026-06-01T00:00:00' is no RFC 3339 time such as 2026-06-01T00:00:00Z",
        ),
        (r#""lateness":"7 days""#, "/lateness: '7 days' is no ISO 8601 duration such as P7D or PT36H"),
        (r#""lateness":"-P1D""#, "/lateness: '-P1D' is no ISO 8601 duration such as P7D or PT36H"),
        (r#""reward":{"type":"points"}"#, "/reward/value: is required"),
        (
            r#""reward":{"type":"points","value":5,"channels":["sms","sms"]}"#,
            "/reward/channels/1: 'sms' is given twice",
        ),
        (r#""a/b":1,"name":"n""#, "/a~1b: is not a known field; known are "),
    ] {
        let errors = parse(&small(members)).unwrap_err();
        assert!(errors.len() == 1 && errors[0].starts_with(error), "{members}: {errors:?}");
    }
    let long = "x".repeat(501);
    assert_eq!(parse(&small(&format!(r#""name":"{long}""#))).unwrap_err(), ["/name: must have at most 500 characters"]);
}

#[test]
fn a_mission_is_in_one_group() {
    let group = |members: &str| parse(&small(members)).map(|mission| mission.exclusive_group.clone());
    assert_eq!(group(""), Ok(None));
    assert_eq!(group(r#""exclusive_group":null"#), Ok(None));
    assert_eq!(
        group(r#""exclusive_group":"welcome","eligibility":{"where":"amount > 1"}"#),
        Ok(Some("welcome".into()))
    );
    assert_eq!(group(r#""exclusive_group":"""#).unwrap_err(), ["/exclusive_group: must not be empty"]);
    assert_eq!(group(r#""exclusive_group":["a"]"#).unwrap_err(), ["/exclusive_group: must be a text, not an array"]);
    for gate in [r#""opt_in":true"#, r#""segments":["vip"]"#, r#""requires":["first-deposit"]"#] {
        let members = format!(r#""exclusive_group":"welcome","eligibility":{{{gate}}}"#);
        assert_eq!(group(&members), Ok(Some("welcome".into())), "{gate}");
    }
}

#[test]
fn window_start_needs_events_that_are_retained() {
    let count_from = |value: &str| {
        let text = small(&format!(r#""count_from":"{value}""#));
        let retaining = MissionDefaults { retained_micros: 1, ..defaults() };
        let shown = |errors: Vec<DefinitionError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
        Mission::parse("m", &text, &retaining).map(|mission| mission.count_from).map_err(shown)
    };
    assert_eq!(parse(&small("")).unwrap().count_from, CountFrom::Activation);
    assert_eq!(parse(&small(r#""count_from":"activation""#)).unwrap().count_from, CountFrom::Activation);
    let refused = "/count_from: 'window_start' counts events from before the activation, and none are retained: set \
                   missions.retained, such as \"8d\" for windows of a week, or define the mission before its window begins";
    assert_eq!(parse(&small(r#""count_from":"window_start""#)).unwrap_err(), [refused]);
    assert_eq!(count_from("window_start"), Ok(CountFrom::WindowStart));
    assert_eq!(
        count_from("window").unwrap_err(),
        ["/count_from: 'window' is not known; known are activation, window_start"]
    );
}

#[test]
fn what_counts_from_the_start_of_its_window_begins_there() {
    let from = |members: &str, activation: &str| {
        let text = small(&format!(r#""count_from":"window_start",{members}"#));
        let retaining = MissionDefaults { retained_micros: 1, ..defaults() };
        let mission = Mission::parse("m", &text, &retaining).unwrap();
        mission.counts_from(activation.parse().unwrap()).to_string()
    };
    let week = r#""window":{"every":"week","zone":"Europe/Malta"}"#;
    assert_eq!(from(week, "2026-06-04T10:00:00Z"), "2026-05-31T22:00:00Z");
    // The mission begins within the week, or is not there yet, or no more.
    let begun = format!(r#"{week},"start":"2026-06-02T00:00:00Z","end":"2026-06-20T00:00:00Z""#);
    assert_eq!(from(&begun, "2026-06-04T10:00:00Z"), "2026-06-02T00:00:00Z");
    assert_eq!(from(&begun, "2026-06-10T10:00:00Z"), "2026-06-07T22:00:00Z");
    assert_eq!(from(&begun, "2026-06-01T10:00:00Z"), "2026-06-01T10:00:00Z");
    assert_eq!(from(&begun, "2026-06-21T10:00:00Z"), "2026-06-21T10:00:00Z");
    assert_eq!(from(r#""start":"2026-06-02T00:00:00Z""#, "2026-06-04T10:00:00Z"), "2026-06-02T00:00:00Z");
}

#[test]
fn everything_can_start_anew() {
    let reset = r#""eligibility":{"opt_in":{"again":"reset"}}"#;
    let repeat = format!(r#"{reset},"repeat":{{"limit":2}}"#);
    let distinct = small(reset).replace(r#""kind":"count""#, r#""kind":"distinct","field":"game_id""#);
    assert!([small(reset), small(&repeat), distinct].iter().all(|text| parse(text).unwrap().gate.resets()));
}

#[test]
fn completing_again_has_a_limit() {
    let repeat = |members: &str| parse(&small(members)).map(|mission| mission.repeat.clone().expect("it repeats"));
    let plain = repeat(r#""repeat":{"limit":3}"#).unwrap();
    assert_eq!(plain, Repeat { limit: 3, per: Per::Window, carry: false });
    assert_eq!(repeat(r#""repeat":{"limit":3,"per":"window","carry":false}"#), Ok(plain));
    let malta = r#""window":{"every":"day","zone":"Europe/Malta"},"repeat":{"limit":2,"per":"week","carry":true}"#;
    let Repeat { limit: 2, per: Per::Period(periods), carry: true } = repeat(malta).unwrap() else { panic!("{malta}") };
    assert_eq!((periods.every, &*periods.zone_name), (Every::Week, "Europe/Malta"));
    for (members, error) in [
        ("{}", "/limit: is required"),
        (r#"{"limit":0}"#, "/limit: must be from 1 to 10000, not 0"),
        (r#"{"limit":10001}"#, "/limit: must be from 1 to 10000, not 10001"),
        (r#"{"limit":-4294967295}"#, "/limit: must be from 1 to 10000, not -4294967295"),
        (r#"{"limit":1,"per":"year"}"#, "/per: 'year' is not known; known are window, day, week, month"),
        (r#"{"limit":1,"carry":1}"#, "/carry: must be true or false, not a number"),
        ("3", ": must be an object, not a number"),
    ] {
        assert_eq!(repeat(&format!(r#""repeat":{members}"#)).unwrap_err(), [format!("/repeat{error}")]);
    }
    let run = r#""stages":[{"on":["login"],"measure":{"kind":"run"},"target":2}],"repeat":{"limit":2,"carry":true}"#;
    let carry = "/repeat/carry: only a mission of one stage that is a count or a sum has something to carry over";
    assert_eq!(repeat(run).unwrap_err(), [carry]);
}

/// A window is needed for as long as a window can move whose limit it shares.
#[test]
fn completions_reach_as_far_as_their_limit() {
    for (every, per, end, reaches) in [
        ("day", "window", "2026-06-04T00:00:00Z", "2026-06-04T00:00:00Z"),
        ("day", "week", "2026-06-04T00:00:00Z", "2026-06-08T00:00:00Z"),
        ("day", "week", "2026-06-08T00:00:00Z", "2026-06-08T00:00:00Z"),
        ("day", "month", "2026-06-08T00:00:00Z", "2026-07-01T00:00:00Z"),
        ("week", "day", "2026-06-08T00:00:00Z", "2026-06-08T00:00:00Z"),
        // June ends within the week to 6 July; that one ends within July, which ends within the week to 3 August.
        ("week", "month", "2026-06-29T00:00:00Z", "2026-07-06T00:00:00Z"),
        ("week", "month", "2026-07-06T00:00:00Z", "2026-08-03T00:00:00Z"),
        // The last week of June ends on 5 July, so in the window of July.
        ("month", "week", "2026-07-01T00:00:00Z", "2026-08-01T00:00:00Z"),
    ] {
        let window = format!(r#""window":{{"every":"{every}"}},"repeat":{{"limit":3,"per":"{per}"}}"#);
        assert_eq!(parse(&small(&window)).unwrap().reaches(at(end)), at(reaches), "{every} {per} {end}");
    }
}

#[test]
fn targets_are_exact_and_above_zero() {
    let target = |measure: &str, target: &str| {
        let stage = stage(&format!(r#"{{"on":["bet_placed"],"measure":{measure},"target":{target}}}"#));
        stage.map(|stage| stage.target.to_string()).map_err(|errors| errors[0].clone())
    };
    let sum = r#"{"kind":"sum","field":"amount"}"#;
    assert_eq!(target(sum, "0.1"), Ok("0.10".to_owned()));
    assert_eq!(target(sum, "\"0.10\""), Ok("0.10".to_owned()));
    assert_eq!(target(sum, "9007199254740993.00000001"), Ok("9007199254740993.00000001".to_owned()));
    assert_eq!(target(r#"{"kind":"run"}"#, "\"3.00\""), Ok("3.00".to_owned()));
    for (digits, error) in [
        ("0", "must be above 0"),
        ("-1", "must be above 0"),
        ("1e-9", "'1e-9' is no amount: more than 8 decimal places or 22 whole digits"),
        ("\"ten\"", "'ten' is no amount: not a decimal number"),
        ("true", "must be a text or a number, not a bool"),
    ] {
        assert_eq!(target(sum, digits), Err(format!("/stages/0/target: {error}")));
    }
    let whole = Err("/stages/0/target: must be a whole number: it counts events".to_owned());
    assert_eq!(target(r#"{"kind":"run"}"#, "2.5"), whole);
}

#[test]
fn stages_look_at_their_events_alone() {
    let wins = stage(
        r#"{"on":["bet_won","quiz_done"],"where":"amount > 5 || has(score)","measure":{"kind":"run"},"target":2}"#,
    );
    let wins = wins.unwrap();
    assert_eq!(wins.on, [EventKind::Known(EventName::Win), EventKind::Custom("quiz_done".into())]);
    let verdict = |event: TestEvent| event.see(|event| (wins.accepts(event), wins.breaks_run(event)));
    assert_eq!(verdict(TestEvent::new("win").amount("6")), (true, false));
    assert_eq!(verdict(TestEvent::new("win").amount("5")), (false, true));
    assert_eq!(verdict(TestEvent::new("win").amount("0")), (false, false), "a win of 0 is no win");
    assert_eq!(verdict(TestEvent::new("bet_placed").amount("6")), (false, false));
    assert_eq!(verdict(TestEvent::new("quiz_done").payload(r#"{"score":1}"#)), (true, false));
    assert_eq!(verdict(TestEvent::new("quiz_done")), (false, true));
    assert_eq!(verdict(TestEvent::new("quiz_left").payload(r#"{"score":1}"#)), (false, false));

    let bets = stage(r#"{"on":["bet_placed"],"measure":{"kind":"count"},"target":2}"#).unwrap();
    assert!(TestEvent::new("bet_placed").amount("0").see(|event| bets.accepts(event)), "a free round is a bet");
    for (on, error) in [
        (r#"["reversal"]"#, "/on: a reversal takes back what it names: it does not count by itself"),
        (r#"["rate"]"#, "/on: a rate belongs to no player"),
        (r#"["win","bet_won"]"#, "/on: 'bet_won' is given twice"),
        (r#"["win","win"]"#, "/on/1: 'win' is given twice"),
        (r#"[""]"#, "/on/0: must not be empty"),
    ] {
        let errors = stage(&format!(r#"{{"on":{on},"measure":{{"kind":"count"}},"target":1}}"#)).unwrap_err();
        assert_eq!(errors[0], format!("/stages/0{error}"));
    }
}

#[test]
fn contributions_are_exact() {
    let contribution = |members: &str| {
        let measure = sum(members).unwrap();
        let event = TestEvent::new("bet_placed").amount("25.50").odds("2.45");
        let event = event.with(|row| row.bonus_amount = money("5.25"));
        let event = event.payload(r#"{"coins":{"won":0.1,"lost":"0.20"},"rtp":0.1234567890123,"vip":true}"#);
        event.see(|event| measure.contribution(event)).map(|amount| amount.to_string())
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(contribution(r#""field":"amount""#), some("25.50"));
    assert_eq!(contribution(r#""field":"amount","real_money_only":true"#), some("20.25"));
    assert_eq!(contribution(r#""field":"bonus_amount""#), some("5.25"));
    assert_eq!(contribution(r#""field":"odds""#), some("2.45"));
    assert_eq!(contribution(r#""field":"coins.won""#), some("0.10"));
    assert_eq!(contribution(r#""field":"attributes.coins.lost""#), some("0.20"));
    for absent in ["rtp", "vip", "coins.found"] {
        assert_eq!(contribution(&format!(r#""field":"{absent}""#)), None);
    }
    assert_eq!(TestEvent::new("login").see(|event| Measure::Count.contribution(event)), Some(Money::ONE));
}

#[test]
fn windows_have_natural_bounds_inside_a_closed_mission() {
    let mission = parse(EXAMPLE).unwrap();
    let window = |time: &str| {
        let window = mission.window_at(at(time));
        window.map(|(start, end)| (start.to_string(), end.unwrap().to_string()))
    };
    let week = |start: &str, end: &str| Some((format!("2026-{start}T22:00:00Z"), format!("2026-{end}T22:00:00Z")));
    // 1 June 2026 is a Monday; Malta is two hours ahead of UTC.
    assert_eq!(window("2026-06-01T00:00:00Z"), week("05-31", "06-07"));
    assert_eq!(window("2026-06-07T21:59:59.999999Z"), week("05-31", "06-07"));
    assert_eq!(window("2026-06-07T22:00:00Z"), week("06-07", "06-14"));
    assert_eq!(window("2026-06-30T23:59:59Z"), week("06-28", "07-05"));
    assert_eq!(window("2026-05-31T23:59:59.999999Z"), None);
    assert_eq!(window("2026-06-30T23:59:59.000001Z"), None);

    let once = parse(&small(r#""start":"2026-06-01T00:00:00Z","end":"2026-06-02T02:00:00+02:00""#)).unwrap();
    let bounds = Some((at("2026-06-01T00:00:00Z"), Some(at("2026-06-02T00:00:00Z"))));
    assert_eq!(once.window_at(at("2026-06-01T00:00:00Z")), bounds);
    assert_eq!(once.window_at(at("2026-06-02T00:00:00Z")), bounds);
    assert_eq!(once.window_at(at("2026-06-02T00:00:00.000001Z")), None);
}

#[test]
fn lateness_is_of_fixed_length() {
    let lateness = |text: &str| {
        parse(&small(&format!(r#""lateness":"{text}""#))).map(|mission| mission.lateness_micros / 1_000_000)
    };
    assert_eq!(lateness("P7D"), Ok(604_800));
    assert_eq!(lateness("P1W"), Ok(604_800));
    assert_eq!(lateness("PT36H"), Ok(129_600));
    assert_eq!(lateness("P1DT30M1S"), Ok(88_201));
    assert_eq!(lateness("PT0S"), Ok(0));
    assert!(lateness("P1Y").is_err() && lateness("P-1D").is_err());
}

#[test]
fn eligibility_is_about_the_event() {
    let mission = parse(EXAMPLE).unwrap();
    let eligible = |json: &str| TestEvent::new("bet_placed").payload(json).see(|event| mission.is_eligible(event));
    assert!(eligible(r#"{"country":"GB"}"#));
    assert!(!eligible(r#"{"country":"MT"}"#) && !eligible("{}"));
    let bet = TestEvent::new("bet_placed").text(TextField::GameType, "virtual_sports").amount("1.01");
    assert!(bet.see(|event| mission.stages[0].accepts(event)));
}

#[test]
fn opt_in_and_segments_gate_a_mission() {
    let gate =
        |members: &str| parse(&small(&format!(r#""eligibility":{{{members}}}"#))).map(|mission| mission.gate.clone());
    let none = Gate::default();
    assert!(none.is_open() && !none.resets());
    for members in ["", r#""opt_in":false"#, r#""opt_in":null,"segments":[]"#] {
        assert_eq!(gate(members), Ok(none.clone()), "{members}");
    }
    let resumed = Gate { opt_in: Some(Again::Resume), ..none.clone() };
    for members in [r#""opt_in":true"#, r#""opt_in":{}"#, r#""opt_in":{"again":"resume"}"#] {
        assert_eq!(gate(members), Ok(resumed.clone()), "{members}");
    }
    let reset = gate(r#""opt_in":{"again":"reset"}"#).unwrap();
    assert!(!reset.is_open() && reset.resets() && !resumed.resets());
    let segments =
        |all| Gate { segments: Some(Segments { names: vec!["vip".into(), "gold".into()], all }), ..none.clone() };
    assert_eq!(gate(r#""segments":["vip","gold"]"#), Ok(segments(false)));
    assert_eq!(gate(r#""segments":{"any":["vip","gold"]}"#), Ok(segments(false)));
    let all = gate(r#""segments":{"all":["vip","gold"]}"#).unwrap();
    assert!(all == segments(true) && all.asks_for("gold") && !all.asks_for("Gold"));
    assert_eq!(
        gate(r#""segments":{"all":"vip"}"#).unwrap_err(),
        ["/eligibility/segments/all: must be an array, not a text"]
    );
}
