use super::testing::TestEvent;
use super::*;
use crate::TextField;

fn condition(text: &str) -> Condition {
    Condition::compile(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
}

/// The errors of `text`, as people see them.
fn errors(text: &str) -> Vec<String> {
    let errors = Condition::compile(text).expect_err(text);
    errors.iter().map(ToString::to_string).collect()
}

/// A bet of 25.50 EUR on football from Malta.
fn bet() -> TestEvent {
    TestEvent::new("bet_placed")
        .text(TextField::Sport, "football")
        .text(TextField::GameType, "sportsbook")
        .text(TextField::Currency, "EUR")
        .amount("25.50")
        .odds("2.45")
        .payload(
            r#"{"country":"MT","vip":true,"level":7,"rtp":0.9612345678901,"note":"","gone":null,"amount":1,
                "stake":{"amount":"20.00","real":12.5},"tags":["a"],"quoted":"say \"hi\" ü",
                "placed":"2026-06-01T10:00:00+02:00","attributes":{"level":9},"bet-type":"single"}"#,
        )
}

fn assert_all(expected: bool, texts: &[&str]) {
    for text in texts {
        let condition = condition(text);
        assert_eq!(bet().see(|event| condition.matches(event)), expected, "{text}");
    }
}

#[test]
fn compares_fields_with_literals() {
    assert_all(
        true,
        &[
            "true",
            "1 == 1 && 'a' < 'b'",
            "sport == 'football'",
            "sport != 'tennis'",
            "sport < 'golf' && sport >= 'football'",
            "sport in ['tennis', 'football']",
            "!(sport in ['tennis'])",
            "25 < amount && amount < 26",
            "amount == 25.5 && 25.50 == amount && amount != 25.51",
            "amount in [1, 25.5]",
            "amount > bonus_amount",
            "odds <= 2.45",
            "amount > -1 && amount > 0x10 && 5u < amount",
            "event_name == 'bet_placed' && player_id == 'p1'",
            "event_time >= timestamp('2026-06-03T12:00:00+02:00')",
            "event_time < timestamp('2026-06-03T10:00:00.000001Z')",
            "// a comment\nsport.startsWith('foot') && sport.endsWith('ball') && sport.contains('otb')",
            "sport.matches('^f.*l$') && sport.matches('oo')",
            "(sport == 'tennis' || amount > 1) && !(amount > 100)",
        ],
    );
    assert_all(
        false,
        &["false", "sport == 'Football'", "amount > 25.5", "odds in [2.4, 2.5]", "sport.matches('^oo')", "!true"],
    );
}

#[test]
fn aliases_are_their_canonical_field() {
    assert_all(
        true,
        &[
            "bet_amount == 25.5 && win_amount == 25.5 && stake == 25.5 && payout == 25.5 && deposit_amount == 25.5",
            "user_id == 'p1' && customer_id == 'p1'",
            "timestamp == event_time && ts == event_time && event_timestamp == event_time",
        ],
    );
    let won = condition("event_name == 'bet_won'");
    assert!(TestEvent::new("win").see(|event| won.matches(event)));
}

#[test]
fn attributes_have_the_type_of_the_payload() {
    assert_all(
        true,
        &[
            "country == 'MT' && attributes.country == 'MT' && country in ['GB', 'MT']",
            "vip && vip == true && vip != false && !(vip == false)",
            "level == 7 && level > 6.99 && level in [7]",
            "attributes.level == 9",
            "rtp > 0.96123456 && rtp < 0.96123457",
            "stake.real >= 12.5 && stake.amount == '20.00'",
            "attributes.amount == 1 && attributes.amount < amount",
            "quoted == 'say \"hi\" ü' && quoted.endsWith('ü')",
            "placed == timestamp('2026-06-01T08:00:00Z') && placed < event_time",
            "attributes.`bet-type` == 'single'",
        ],
    );
    // Types that do not fit are unknown, and so is their negation.
    for text in ["level == '7'", "stake.amount == 20", "country == true", "tags == 'a'", "country > 1", "rtp == vip"] {
        assert_all(false, &[text, &format!("!({text})")]);
    }
}

#[test]
fn names_and_texts_may_be_escaped() {
    let city = condition("city == 'Sliema' && stake.amount > 1");
    let holds = |payload: &str| bet().payload(payload).see(|event| city.matches(event));
    assert!(holds(r#"{"stake":{"amount":2},"city":"Sliema"}"#));
    assert!(holds(r#"{"st\u0061ke":{"amo\u0075nt":2},"c\u0069ty":"Slie\u006da"}"#));
    assert!(!holds(r#"{"stake":2,"amount":2,"city":"Sliema"}"#), "the names are there, and not where the path leads");
    assert!(!holds(r#"{"note":"\"city\":\"Sliema\"","stake":{"amount":2}}"#));
}

#[test]
fn absent_fields_do_not_qualify() {
    for unknown in [
        "market_type == 'x'",
        "market_type != 'x'",
        "exchange_rate > 0",
        "until > event_time",
        "granted",
        "city == 'Valletta'",
        "note != 'x'",
        "gone != 'x'",
        "stake.amount.deeper == 1",
        "attributes.city in ['x']",
        "city.contains('x')",
        "level == city",
    ] {
        assert_all(false, &[unknown, &format!("!({unknown})"), &format!("({unknown}) && true")]);
        assert_all(true, &[&format!("{unknown} || amount > 1"), &format!("!({unknown} && amount < 1)")]);
    }
    assert_all(true, &["has(amount) && has(bonus_amount) && has(country) && has(stake.amount) && has(tags)"]);
    assert_all(true, &["!has(city) && !has(note) && !has(gone) && !has(market_type) && !has(exchange_rate)"]);
    assert_all(false, &["has(city) && city == 'x'", "has(until)", "has(granted)"]);
    let broken = condition("has(country) || country != 'x'");
    assert!(!TestEvent::new("login").see(|event| broken.matches(event)), "no payload at all");
}

#[test]
fn numbers_are_exact() {
    let holds = |text: &str, amount: &str| {
        let condition = condition(text);
        TestEvent::new("deposit").amount(amount).see(|event| condition.matches(event))
    };
    assert!(holds("amount == 0.1", "0.1") && holds("amount == .1e0", "0.10"));
    assert!(holds("amount > 0.1", "0.10000001") && !holds("amount > 0.1", "0.1"));
    assert!(holds("amount == 9007199254740993.00000001", "9007199254740993.00000001"));
    assert!(!holds("amount == 9007199254740993", "9007199254740992"));
    assert!(holds("amount == -0.30000000", "-0.3"));
    // 17 digits, of which an f64 keeps 16.
    assert!(holds("amount < 123456789.00000001", "123456789"));
}

#[test]
fn every_error_is_named_with_its_place() {
    assert_eq!(
        errors("amount == 'x' &&\n (sport > 5 || size(game_type) == 1)"),
        [
            "`amount` is a number and the literal is a text, which cannot be compared: numbers are written without \
             quotes (line 1, column 8)"
                .to_owned(),
            "`sport` is a text and the literal is a number, which cannot be compared: numbers are written without \
             quotes (line 2, column 9)"
                .to_owned(),
            format!("the function `size` is not supported in conditions: {} (line 2, column 20)", compile::SUPPORTED),
        ]
    );
    for (text, message) in [
        ("", "syntax error: mismatched input the end, where a field"),
        ("amount >", "syntax error: mismatched input the end"),
        ("(amount > 5", "syntax error: missing ')' at the end"),
        ("amount = 5", "syntax error at '=': compare with =="),
        ("amount + 1 > 2", "arithmetic is not supported"),
        ("-amount > 1", "arithmetic is not supported"),
        ("amount > 5 ? true : false", "`? :` is not supported"),
        ("tags.exists(t, t == 'a')", "the function `exists` is not supported"),
        ("tags[0] == 'a'", "`[…]` after a field is not supported"),
        ("{'a': 1} == x", "comparing this is not supported"),
        ("has(a, b)", "has takes one field"),
        ("has(1)", "this must be a field"),
        ("amount", "`amount` is a number, not a bool"),
        ("5", "a literal is no condition"),
        ("(a > 1) == true", "conditions cannot be compared with each other"),
        ("granted > true", "bools have no order"),
        ("amount > 1.123456789", "1.123456789 cannot be compared exactly: more than 8 decimal places"),
        ("amount > 99999999999999999999", "syntax error: invalid int literal"),
        (
            "event_time > '2026-01-01'",
            "`event_time` is a time and the literal is a text, which cannot be compared: write",
        ),
        ("event_time > timestamp('soon')", "'soon' is no RFC 3339 time"),
        ("event_time > timestamp(5)", "timestamp takes one text"),
        ("x == ''", "an empty text counts as absent"),
        ("x != null", "null counts as absent"),
        ("x == b'a'", "bytes cannot be compared"),
        ("x in []", "the list is empty"),
        ("x in ['a', 1]", "the values of a list must be of one type"),
        ("x in [y]", "the values of a list must be literals"),
        ("x in y", "`in` takes a list of literals"),
        ("sport in [1]", "`sport` is a text and the list has values of another type (a number)"),
        ("x in [true]", "`x` is an attribute and the list has values of another type (a bool)"),
        ("sport.matches('(')", "'(' is no regular expression: unclosed group"),
        ("sport.startsWith(x)", "startsWith takes one text literal"),
        ("amount.contains('1')", "`amount` is a number, and contains needs a text"),
        ("ingest_time > event_time", "`ingest_time` does not decide what counts"),
        (".amount > 5", "write `amount`"),
        ("a.?b == 1", "syntax error: unsupported syntax '.?'"),
    ] {
        let errors = errors(text);
        assert!(errors[0].starts_with(message), "{text}: {errors:?}");
    }
}

#[test]
fn no_text_overflows_the_stack() {
    let most = |part: &str| part.repeat((Condition::MAX_LEN - 10) / part.len());
    assert_eq!(errors(&format!("a{} == 1", "x".repeat(Condition::MAX_LEN))).len(), 1);
    condition(&format!("a{} == 1", most(".b")));
    condition(&format!("a{}", most(" && a")));
    condition(&format!("{}a", most("!")));
    condition(&format!("a in [{}1]", most("1,")));
    for text in [most("("), most("["), most("!("), most("a("), most("a.b("), most("a?"), format!("1{}==a", most("+1"))]
    {
        assert!(!errors(&text).is_empty());
    }
    assert!(errors(&most("(")).contains(&"too deeply nested (line 1, column 97)".to_owned()));
}

#[test]
fn tells_the_index_what_is_necessary() {
    let equalities = |text: &str| {
        let condition = condition(text);
        let equalities = condition.equalities().iter();
        equalities.map(|(source, texts)| (source.clone(), texts.join(","))).collect::<Vec<_>>()
    };
    let games = |texts: &str| vec![(TextSource::Field(TextField::GameType), texts.to_owned())];
    assert_eq!(equalities("game_type == 'slots' && amount > 1 && country != 'GB'"), games("slots"));
    assert_eq!(equalities("'slots' == game_type"), games("slots"));
    assert_eq!(equalities("game_type in ['slots', 'bingo', 'slots']"), games("bingo,slots"));
    assert_eq!(
        equalities("game_type == 'slots' || (game_type == 'bingo' || game_type == 'poker')"),
        games("bingo,poker,slots")
    );
    assert_eq!(equalities("!(game_type != 'slots' || sport == 'x')"), games("slots"));
    assert_eq!(equalities("amount > 1 && (has(x) && (game_type == 'slots' && vip))"), games("slots"));
    let country = TextSource::Attribute(Attribute::new(["country"]));
    assert_eq!(equalities("amount > 1 && country in ['MT', 'GB']"), [(country, "GB,MT".to_owned())]);
    for none in [
        "game_type != 'a'",
        "country == 5",
        "game_type == 'a' || sport == 'b'",
        "!(game_type == 'a')",
        "game_type > 'a'",
    ] {
        assert_eq!(equalities(none), [], "{none}");
    }

    let minimum = |text: &str| condition(text).minimum_amount().map(|amount| amount.to_string());
    assert_eq!(minimum("amount > 1"), Some("1.00000001".to_owned()));
    assert_eq!(minimum("bet_amount >= 5 && 7.5 <= stake && sport == 'x'"), Some("7.50".to_owned()));
    assert_eq!(minimum("!(amount < 3)"), Some("3.00".to_owned()));
    assert_eq!(minimum("amount in [4, 2]"), Some("2.00".to_owned()));
    assert_eq!(minimum("amount == 4"), Some("4.00".to_owned()));
    for none in ["amount < 5", "amount > odds", "odds > 1", "amount > 1 || vip", "amount != 1", "!(amount in [1])"] {
        assert_eq!(minimum(none), None, "{none}");
    }
}

#[test]
fn conditions_are_equal_by_text() {
    assert_eq!(condition("amount > 1"), condition("amount > 1"));
    assert_ne!(condition("amount > 1"), condition("amount > 2"));
    assert_eq!(condition("amount > 1").to_string(), "amount > 1");
}
