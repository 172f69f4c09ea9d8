//! What measures may ask for, and what events add to them.

use super::*;

#[test]
fn different_values_count_once_each() {
    let distinct = |members: &str| {
        let json = format!(r#"{{"on":["bet_placed"],"measure":{{"kind":"distinct"{members}}},"target":"2"}}"#);
        stage(&json).map(|stage| stage.measure)
    };
    for (members, error) in [
        ("", "field: is required"),
        (r#","field":"event_time""#, "field: 'event_time' is a time: days and weeks are counted by a streak"),
        (r#","field":"until""#, "field: 'until' is a time: days and weeks are counted by a streak"),
        (r#","field":"user_id""#, "field: 'user_id' is the same in all events of a player"),
        (r#","field":"a..b""#, "field: 'a..b' is no field"),
        (r#","field":7"#, "field: must be a text, not a number"),
        (r#","field":"odds","currency":"EUR""#, "currency: is not a known field; known are kind, field"),
    ] {
        assert_eq!(distinct(members).unwrap_err(), [format!("/stages/0/measure/{error}")]);
    }
    let half = stage(r#"{"on":["login"],"measure":{"kind":"distinct","field":"x"},"target":2.5}"#).unwrap_err();
    assert_eq!(half, ["/stages/0/target: must be a whole number: it counts values"]);

    let of = |field: &str, event: TestEvent| {
        let measure = distinct(&format!(r#","field":"{field}""#)).unwrap();
        event.see(|event| measure.contribution(event))
    };
    let bet = || TestEvent::new("bet_placed");
    let payload = |json: &str| of("x.y", bet().payload(&format!(r#"{{"x":{{"y":{json}}}}}"#)));
    let same = [["2.5", "2.50"], ["1e2", "100"], ["-0", "0.0"], [r#""A""#, r#""\u0041""#], ["true", " true"]];
    for [one, other] in same {
        assert!(payload(one).is_some(), "{one}");
        assert_eq!(payload(one), payload(other), "{one} {other}");
    }
    let different = [
        "2.5",
        r#""2.5""#,
        "0.000000001",
        "0.000000002",
        "1e400",
        "0",
        "1",
        "true",
        r#""true""#,
        "false",
        r#""a""#,
        r#""A""#,
    ];
    let names: std::collections::BTreeSet<_> = different.map(payload).into_iter().collect();
    assert_eq!(names.len(), different.len());
    for absent in ["null", r#""""#, "{}", "[1]", "1e99999999999999999999"] {
        assert_eq!(payload(absent), None, "{absent}");
    }
    assert_eq!(of("x.y", bet().payload("{}")), None);

    let game = |id: &str| of("game_id", bet().text(TextField::GameId, id));
    assert_eq!((game("1"), of("game_id", bet())), (game("1"), None));
    assert_ne!(game("1"), game("01"));
    let stake = |digits: &str, currency: &str| of("stake", bet().amount(digits).text(TextField::Currency, currency));
    assert_eq!(stake("10.0", "EUR"), stake("10", "EUR"));
    assert_ne!(stake("10", "EUR"), stake("10", "USD"));
    assert_eq!(of("amount", bet()), None);
}

/// State holds names of values: they are the same for ever. This one is from BLAKE3's Python package.
#[test]
fn names_of_values_do_not_change() {
    assert_eq!(crate::hash::value_hash(b"tslots"), -4659796867318953830131706118905318800);
    let bound = 1_i128 << (crate::hash::VALUE_BITS - 1);
    for value in 0..1_000_u32 {
        let name = crate::hash::value_hash(&value.to_le_bytes());
        assert!(-bound <= name && name < bound);
    }
}

#[test]
fn sums_are_of_numbers() {
    let eur = || Some("EUR".into());
    let of = |field, currency| Ok(Measure::Sum { field, currency, real_money_only: false, weights: None });
    assert_eq!(sum(r#""field":"amount""#), of(Quantity::Amount, eur()));
    assert_eq!(sum(r#""field":"stake","currency":"BTC""#), of(Quantity::Amount, Some("BTC".into())));
    assert_eq!(sum(r#""field":"bonus_amount""#), of(Quantity::BonusAmount, eur()));
    assert_eq!(sum(r#""field":"odds""#), of(Quantity::Odds, None));
    assert!(matches!(
        sum(r#""field":"coins.won""#),
        Ok(Measure::Sum { field: Quantity::Attribute(_), currency: None, .. })
    ));
    assert!(matches!(
        sum(r#""field":"amount","real_money_only":true"#),
        Ok(Measure::Sum { real_money_only: true, .. })
    ));
    for (members, error) in [
        (r#""real_money_only":false"#, "field: is required"),
        (r#""field":"exchange_rate""#, "field: 'exchange_rate' is a rate and cannot be summed"),
        (r#""field":"user_id""#, "field: 'user_id' is a text and cannot be summed"),
        (r#""field":"timestamp""#, "field: 'timestamp' is a time and cannot be summed"),
        (r#""field":"granted""#, "field: 'granted' is a bool and cannot be summed"),
        (r#""field":"a..b""#, "field: 'a..b' is no field"),
        (r#""field":"odds","real_money_only":true"#, "real_money_only: only the field amount has a part"),
        (r#""field":"bonus_amount","real_money_only":true"#, "real_money_only: only the field amount has a part"),
        (r#""field":"odds","currency":"EUR""#, "currency: only amount and bonus_amount are in a currency"),
        (r#""field":"amount","every":"day""#, "every: is not a known field"),
    ] {
        let errors = sum(members).unwrap_err();
        assert!(errors.len() == 1 && errors[0].starts_with(&format!("/stages/0/measure/{error}")), "{errors:?}");
    }
    let errors = stage(r#"{"on":["login"],"measure":{"kind":"count","field":"amount"},"target":1}"#).unwrap_err();
    assert_eq!(errors, ["/stages/0/measure/field: is not a known field; known are kind"]);
}

#[test]
fn weights_go_by_a_text() {
    let weights = |weights: &str| match sum(&format!(r#""field":"amount","weights":{weights}"#)) {
        Ok(Measure::Sum { weights, .. }) => Ok(weights.expect("weights")),
        Ok(other) => panic!("{other:?}"),
        Err(errors) => Err(errors),
    };
    let weight_of = |of: &Weights, event: TestEvent| event.see(|event| of.of(event)).to_string();
    let by_type = weights(r#"{"game_type":{"slots":"1","blackjack":0.1}}"#).unwrap();
    let of_type =
        |game_type: &str| weight_of(&by_type, TestEvent::new("bet_placed").text(TextField::GameType, game_type));
    assert_eq!([of_type("slots"), of_type("blackjack"), of_type("bingo")], ["1.00", "0.10", "0.00"]);
    assert_eq!(weight_of(&by_type, TestEvent::new("bet_placed")), "0.00");

    let by_place = weights(r#"{"table.room":{"vip":"2","*":"0.5","closed":0}}"#).unwrap();
    let of_payload = |payload: &str| weight_of(&by_place, TestEvent::new("bet_placed").payload(payload));
    assert_eq!(of_payload(r#"{"table":{"room":"vip"}}"#), "2.00");
    assert_eq!(of_payload(r#"{"table":{"room":"closed"}}"#), "0.00");
    assert_eq!([of_payload(r#"{"table":{"room":"open"}}"#), of_payload("{}")], ["0.50", "0.50"]);

    for (text, error) in [
        ("[]", ": must be an object, not an array"),
        ("{}", r#": must name one field, such as {"game_type": {"slots": "1"}}"#),
        (r#"{"game_type":{"a":1},"sport":{"b":1}}"#, r#": must name one field, such as {"game_type": {"slots": "1"}}"#),
        (r#"{"odds":{"2.0":1}}"#, "/odds: 'odds' is no text: weights go by a text such as game_type"),
        (
            r#"{"source":{"pam":1}}"#,
            "/source: `source` does not decide what counts (use `attributes.source` for a \
            payload's own field)",
        ),
        (r#"{"game_type":"slots"}"#, "/game_type: must be an object, not a text"),
        (r#"{"game_type":{}}"#, "/game_type: must have a weight above 0: nothing would count"),
        (r#"{"game_type":{"slots":0,"*":"0.00"}}"#, "/game_type: must have a weight above 0: nothing would count"),
        (r#"{"game_type":{"slots":-1}}"#, "/game_type/slots: must not be below 0"),
        (r#"{"game_type":{"a/b":true}}"#, "/game_type/a~1b: must be a text or a number, not a bool"),
        (r#"{"game_type":{"slots":1,"slots":2}}"#, "/game_type/slots: is given twice"),
    ] {
        assert_eq!(weights(text).unwrap_err(), [format!("/stages/0/measure/weights{error}")], "{text}");
    }
}

#[test]
fn the_largest_is_of_numbers() {
    let max = |members: &str| {
        let json = format!(r#"{{"on":["bet_settled"],"measure":{{"kind":"max"{members}}},"target":"2.5"}}"#);
        stage(&json).map(|stage| stage.measure)
    };
    assert_eq!(max(r#","field":"odds""#), Ok(Measure::Max { field: Quantity::Odds, currency: None }));
    let eur = Measure::Max { field: Quantity::Amount, currency: Some("EUR".into()) };
    assert_eq!(max(r#","field":"payout""#), Ok(eur));
    let gbp = Measure::Max { field: Quantity::BonusAmount, currency: Some("GBP".into()) };
    assert_eq!(max(r#","field":"bonus_amount","currency":"GBP""#), Ok(gbp));
    for (members, error) in [
        ("", "field: is required"),
        (r#","field":"sport""#, "field: 'sport' is a text and cannot be compared by size"),
        (r#","field":"until""#, "field: 'until' is a time and cannot be compared by size"),
        (r#","field":"odds","currency":"GBP""#, "currency: only amount and bonus_amount are in a currency"),
        (
            r#","field":"amount","currency":"XXY""#,
            "currency: 'XXY' is neither in ISO 4217 nor in the configured currencies",
        ),
        (
            r#","field":"amount","real_money_only":true"#,
            "real_money_only: is not a known field; known are kind, field, currency",
        ),
    ] {
        assert_eq!(max(members).unwrap_err(), [format!("/stages/0/measure/{error}")]);
    }
}

#[test]
fn streaks_go_by_the_windows_calendar() {
    let streak = |mission: &str, measure: &str, target: &str| -> Result<(Every, String), Vec<String>> {
        let stages =
            format!(r#""stages":[{{"on":["login"],"measure":{{"kind":"streak"{measure}}},"target":{target}}}]"#);
        match parse(&small(&format!("{mission}{stages}")))?.stages[0].measure.clone() {
            Measure::Streak(Periods { every, zone_name, .. }) => Ok((every, zone_name.to_string())),
            other => panic!("{other:?}"),
        }
    };
    let (day, week) = (Every::Day, Every::Week);
    assert_eq!(streak("", "", "3"), Ok((day, "UTC".to_owned())));
    let malta = r#""window":{"zone":"Europe/Malta"},"#;
    assert_eq!(streak(malta, r#","every":"week""#, "500"), Ok((week, "Europe/Malta".to_owned())));
    let monthly = r#""window":{"every":"month","zone":"Asia/Kolkata"},"#;
    assert_eq!(streak(monthly, r#","every":"day""#, "31"), Ok((day, "Asia/Kolkata".to_owned())));

    for (measure, error) in [
        (r#","every":"month""#, "measure/every: 'month' is not known; known are day, week"),
        (r#","field":"game_id""#, "measure/field: is not a known field; known are kind, every"),
    ] {
        assert_eq!(streak("", measure, "3").unwrap_err(), [format!("/stages/0/{error}")]);
    }
    let halves = |measure| streak("", measure, "2.5").unwrap_err();
    assert_eq!(halves(""), ["/stages/0/target: must be a whole number: it counts days"]);
    assert_eq!(halves(r#","every":"week""#), ["/stages/0/target: must be a whole number: it counts weeks"]);

    // 30 June 2026 is a Tuesday, and 22:00 of it is 1 July in Malta.
    let june = r#""start":"2026-05-31T22:00:00Z","end":"2026-06-30T21:59:59Z","#;
    let week_of_malta = r#""window":{"every":"week","zone":"Europe/Malta"},"#;
    for (mission, every, most) in [
        (r#""window":{"every":"day"},"#.to_owned(), "day", 1),
        (r#""window":{"every":"day"},"#.to_owned(), "week", 1),
        (r#""window":{"every":"week"},"#.to_owned(), "day", 7),
        (r#""window":{"every":"week"},"#.to_owned(), "week", 1),
        (r#""window":{"every":"month"},"#.to_owned(), "day", 31),
        (r#""window":{"every":"month"},"#.to_owned(), "week", 6),
        (june.to_owned(), "day", 31),
        (format!("{june}{malta}"), "day", 30),
        (format!("{june}{malta}"), "week", 5),
        (format!("{}{week_of_malta}", june.replace("06-30", "06-03")), "day", 3),
    ] {
        let measure = format!(r#","every":"{every}""#);
        assert!(streak(&mission, &measure, &most.to_string()).is_ok(), "{mission} {every} {most}");
        let error =
            format!("/stages/0/target: is out of reach: a window of this mission touches at most {most} {every}s");
        assert_eq!(streak(&mission, &measure, &(most + 1).to_string()).unwrap_err(), [error]);
    }
}
