use std::fs;

use datasets::mapping::AmountPlace;
use datasets::{Money, SourceId};

use super::*;

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::parse(text, "p.toml", Path::new("."), variables)
}

fn config(text: &str, variables: &[(&str, &str)]) -> Config {
    parse(text, variables).unwrap_or_else(|errors| panic!("{errors}"))
}

fn errors(text: &str) -> String {
    parse(text, &[]).expect_err(text).to_string()
}

#[test]
fn nothing_is_required_without_a_broker() {
    let config = config("", &[]);
    assert_eq!(config.pipeline, PipelineConfig::default());
    assert_eq!(
        (config.sources[0].name.as_str(), config.sources[0].topics.as_slice()),
        ("events", &["events".to_owned()][..])
    );
    assert_eq!(Config { sources: Vec::new(), ..config }, Config::default());
}

/// Each mistake of the feed at its key.
#[test]
fn entities_are_checked() {
    let text = "[entities.transactions]\nother = [\"win\", \"deposit\", \"\", \"cashback\"]\nnote = \"a..b\"\n\
                [entities.customers]\nevents = [\"kyc\"]\nallow = [\"affiliate_id\"]\n\
                [entities.customers.fields]\nlang_id = \"\"\nlanguage = \"x\"\n";
    let found = errors(text);
    for expected in [
        "\"win\" cannot be a transaction",
        "\"deposit\" is a transaction anyway",
        "an empty name",
        "entities.transactions.note: \"a..b\" is no path",
        "entities.customers.fields.lang_id: \"\" is no path",
        "entities.customers.events: \"registration\" is missing",
        "entities.customers.fields.language: unknown field \"language\"",
        "\"affiliate_id\" needs no allowance",
    ] {
        assert!(found.contains(expected), "{expected}: {found}");
    }
    assert_eq!(config("[entities]\n", &[]).entities, Some(EntitiesConfig::default()));
    assert_eq!(config("", &[]).entities, None);
}

/// The documented example: each key is there, and what it calls a default is one.
#[test]
fn the_example_states_the_defaults() {
    let text = include_str!("../../../docs/pipeline.example.toml");
    let secrets =
        [("QUESTLINE__LAKE__S3__SECRET_ACCESS_KEY", "s"), ("QUESTLINE__KAFKA__PROPERTIES__SASL_PASSWORD", "p")];
    let example = config(text, &secrets);
    let minimal =
        "[pipeline]\nname = \"acme\"\n[kafka]\nbrokers = \"127.0.0.1:9092\"\n[lake]\nurl = \"s3://bucket/root\"";
    let mut expected = config(minimal, &[]);

    // What the example shows beyond the defaults, and marks so.
    expected.pipeline.reporting_interval = Some(PipelineConfig::REPORTING_INTERVAL);
    expected.checkpoint.url = Some("s3://acme-state/questline".to_owned());
    expected.checkpoint.cold_folder = Some("/var/lib/questline/cold".into());
    expected.metrics.listen = Some(std::net::SocketAddr::from(([127, 0, 0, 1], 9464)));
    let kafka = expected.kafka.as_mut().unwrap();
    kafka.topics.progress = Some("acme-progress".to_owned());
    kafka.topics.replication = Some(3);
    kafka.properties = example.kafka.as_ref().unwrap().properties.clone();
    expected.sources = example.sources.clone();
    expected.defaults.currencies = vec!["BTC".to_owned()];
    expected.activity.ngr = example.activity.ngr.clone();
    expected.lake.as_mut().unwrap().s3 = example.lake.as_ref().unwrap().s3.clone();
    let mut entities = EntitiesConfig::default();
    entities.transactions.other = vec!["cashback".to_owned()];
    entities.customers.allow = vec!["email".to_owned()];
    entities.customers.fields = [("affiliate_id".to_owned(), "marketing.affiliate".to_owned())].into();
    expected.entities = Some(entities);
    assert_eq!(example, expected);

    assert_eq!(example.sources[0].mapping.amount, Some(AmountPlace { path: "/stake/amount".to_owned(), scale: 2 }));
    let fee = &example.activity.ngr[0];
    assert_eq!((fee.percent, fee.of), (Some(Percent(Money::from_units(10))), Some(NgrBase::Ggr)));
    assert_eq!(example.activity.ngr[1].amount_of, Some(NgrBase::BonusCost));
    assert_eq!(example.kafka.unwrap().properties.0["sasl.password"], "p");
}

/// A key that is not in the example is not documented.
#[test]
fn the_example_shows_every_key() {
    let text = include_str!("../../../docs/pipeline.example.toml");
    let shows = |key: &str| {
        text.lines()
            .map(|line| line.trim_start_matches(['#', ' ']))
            .any(|line| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('=')))
    };
    for table in [
        "",
        "pipeline",
        "kafka",
        "kafka.topics",
        "missions",
        "defaults",
        "ledger",
        "identity",
        "activity",
        "points",
        "lake",
        "lake.s3",
        "checkpoint",
        "dead_letters",
        "limits",
        "tier",
        "entities",
        "entities.transactions",
        "entities.customers",
    ] {
        let header = match table {
            "" => String::new(),
            "tier" => "[[tier]]\n".to_owned(),
            table => format!("[{table}]\n"),
        };
        let unknown = errors(&format!("{header}no_such_key_at_all = 1"));
        let known =
            unknown.lines().find_map(|line| line.split_once("use one of ")).unwrap_or_else(|| panic!("{unknown}")).1;
        for key in known.split(", ") {
            let path = if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") };
            let is_table = text.contains(&format!("[{path}]"));
            assert!(is_table || shows(key), "{path} is not in docs/pipeline.example.toml");
        }
    }
}

#[test]
fn every_error_is_listed_with_its_place() {
    let text = r#"
[pipeline]
name = "a b"
workers = "two"
[kafka]
brokrs = "x"
startup_timeout = "soon"
[[source]]
name = "pam"
topics = ["events", "bets"]
[source.mapping]
amount = { path = "stake", scale = 2 }
plyer_id = "/user"
[[source]]
name = "pam"
topics = ["bets"]
[defaults]
currency = "eur"
zone = "Europe/Valetta"
[identity]
retention = "47h"
lifecycle = ["deposits"]
[activity]
basis = "net"
attribution = "settled"
[[activity.ngr]]
name = "fee"
percent = 12.5
[[activity.ngr]]
name = "bonus"
[points]
expiry = "0s"
[[tier]]
name = "Silver"
[lake]
url = "gs://bucket"
max_file_bytes = -1
"#;
    let expected = r#"
p.toml:3:1: pipeline.name: "a b" is no name: use letters, digits, '.', '_' and '-', at most 100 of them
p.toml:4:11: pipeline.workers: invalid type: string "two", expected a whole number from 0
p.toml:5:2: kafka.brokers: is missing: write "host:port", several separated by commas
p.toml:6:1: kafka.brokrs: unknown key "brokrs": did you mean "brokers"?
p.toml:7:19: kafka.startup_timeout: "soon" is no duration: write "7d", "48h", "5m", "10s" or "P90D"
p.toml:12:1: source[0].mapping.amount: "stake" is no place: write a JSON Pointer such as "/stake", "header:NAME", "key" or "=constant"
p.toml:13:1: source[0].mapping.plyer_id: unknown key "plyer_id": did you mean "player_id"?
p.toml:15:1: source[1].name: "pam" is the name of source[0] too
p.toml:16:1: source[1].topics: topic "bets" is used by source[0].topics already: each topic has one use
p.toml:18:1: defaults.currency: unknown currency "eur": use a code of ISO 4217, or add it to defaults.currencies
p.toml:19:8: defaults.zone: unknown time zone "Europe/Valetta": use a name of the IANA database, such as "Europe/Malta"
p.toml:21:1: identity.retention: 47h is too short: wallets retry for two days, so at least 48h
p.toml:22:1: identity.lifecycle: unknown family "deposits": use bet, win, settlement, deposit, withdrawal, bonus, adjustment, reversal, points_spent, chargeback
p.toml:24:9: activity.basis: unknown value "net": use one of cash, gross
p.toml:25:15: activity.attribution: unknown value "settled": use one of transaction, settlement
p.toml:28:11: activity.ngr[0].percent: invalid type: floating point `12.5`, expected a percentage as a string, such as "12.5"
p.toml:29:1: activity.ngr[1].percent: is missing: give percent (with of), amount_of, add_back or fixed
p.toml:32:1: points.expiry: must be longer than 0
p.toml:33:1: tier[0].threshold: is missing: say how much of the measure a player needs
p.toml:33:1: tier[0].measure.on: is required
p.toml:33:1: tier[0].measure.kind: is required
p.toml:36:1: lake.url: "gs://bucket" is no place for the lake: write "s3://bucket/root" or "file:///path"
p.toml:37:18: lake.max_file_bytes: invalid value: integer `-1`, expected a whole number from 0"#;
    assert_eq!(errors(text), expected.trim_start());
}

#[test]
fn what_is_wrong_with_a_tier_is_listed() {
    let text = r#"
[[source]]
name = "pam"
topics = ["events"]
[[tier]]
measure = { kind = "count", on = ["login"] }
threshold = 1
[[tier]]
name = "Silver"
measure = { kind = "sum", field = "amount", on = ["bet_placed"], where = "game_type == 'slots'" }
threshold = "1000.50"
downgrade = "never"
[[tier]]
name = "Gold"
measure = { kind = "sum", field = "amount", where = "game_type == 'slots'", on = ["bet_placed"] }
threshold = 1000
[[tier]]
name = "Silver"
measure = { kind = "count", on = ["login"] }
threshold = 1
[[tier]]
name = "Float"
measure = { kind = "count", on = ["login"] }
threshold = 1.5
[[tier]]
name = "Wrong"
measure = { kind = "sum", feld = "amount", where = "amount >" }
threshold = "much"
downgrade = "sometimes"
"#;
    let expected = r#"
p.toml:5:1: tier[0].name: is missing: messages call the tier by it
p.toml:16:1: tier[2].threshold: is not above that of "Silver", which comes before and measures the same: list tiers from the lowest to the highest
p.toml:18:1: tier[3].name: "Silver" is the name of tier[1] too
p.toml:24:13: tier[4].threshold: invalid type: floating point `1.5`, expected a number as a string, such as "1000.50""#;
    let found = errors(text);
    let (tiers, wrong) = found.split_at(found.find("\np.toml:27").unwrap_or(found.len()));
    assert_eq!(tiers, expected.trim_start());
    let several = "[[tier]]\nmeasure = { kind = \"sum\", on = [\"login\"], weights = 0.5 }\nperiod = \"week\"\n";
    let found = errors(several);
    for key in ["name", "threshold", "period", "measure.field", "measure.weights"] {
        assert_eq!(found.matches(&format!("tier[0].{key}: ")).count(), 1, "{key}: {found}");
    }
    let misplaced =
        "[[tier]]\nname = \"S\"\nmeasure = { kind = \"count\", on = [\"login\"] }\nthreshold = 1\nperiod = \"week\"\n";
    let found = errors(misplaced);
    assert!(found.contains(r#"tier[0].period: belongs to downgrade = "period_end": remove it"#), "{found}");
    for key in ["measure.on", "measure.where", "measure.field", "measure.feld", "threshold", "downgrade"] {
        assert!(wrong.contains(&format!(" tier[5].{key}: ")), "{key}: {wrong}");
    }
}

/// A tier that nobody ever has as the highest is an error: of two that measure the same, whoever has the lower has the higher.
#[test]
fn a_tier_that_nobody_can_have_is_refused() {
    let is_refused = |lower: &str, higher: &str| {
        let tier = |name: &str, rest: &str| format!("[[tier]]\nname = \"{name}\"\n{rest}\n");
        // There is always one error.
        let found = errors(&(tier("low", lower) + &tier("high", higher) + "[points]\nexpiry = \"0s\"\n"));
        found.contains("tier[1].threshold: is not above that of \"low\"")
    };
    let bets = |kind: &str, on: &str, threshold: u32, rest: &str| {
        format!("measure = {{ {kind}, on = [{on}] }}\nthreshold = {threshold}\n{rest}")
    };
    let (count, sum) = ("kind = \"count\"", "kind = \"sum\", field = \"amount\"");
    let (both, turned) = ("\"bet_placed\", \"win\"", "\"win\", \"bet_placed\"");
    let period = |period: &str, more: &str| format!("downgrade = \"period_end\"\nperiod = \"{period}\"\n{more}");
    let (day, week, month) = (period("day", ""), period("week", ""), period("month", ""));
    let next = period("day", "kept = \"next_period\"");
    let malta = period("month", "zone = \"Europe/Malta\"");
    let adjusted = "\"bet_placed\", \"adjustment\"";
    for (lower, higher, expected) in [
        (bets(count, both, 5, ""), bets(count, turned, 5, ""), true),
        (bets(count, both, 5, ""), bets(count, turned, 6, ""), false),
        (bets(count, both, 5, ""), bets(count, "\"win\"", 5, ""), false),
        (bets(count, both, 5, &day), bets(count, both, 5, &month), true),
        (bets(count, both, 5, &day), bets(count, both, 6, &month), false),
        (bets(count, both, 5, &week), bets(count, both, 5, &month), false),
        (bets(count, both, 5, &week), bets(count, both, 5, ""), true),
        (bets(count, both, 5, ""), bets(count, both, 5, &week), false),
        (bets(count, both, 5, &day), bets(count, both, 5, &malta), false),
        (bets(count, both, 5, &next), bets(count, both, 5, &day), false),
        (bets(count, both, 5, &day), bets(count, both, 5, &next), true),
        (bets(sum, both, 5, &day), bets(sum, both, 5, &month), true),
        (bets(sum, adjusted, 5, &day), bets(sum, adjusted, 5, &month), false),
        (bets(count, both, 5, "downgrade = \"automatic\""), bets(count, both, 5, ""), true),
        (bets(count, both, 5, ""), bets(count, both, 5, "downgrade = \"automatic\""), false),
    ] {
        assert_eq!(is_refused(&lower, &higher), expected, "{lower}\n{higher}");
    }
}

#[test]
fn syntax_errors_are_listed_with_line_and_column() {
    let found = errors("[pipeline]\nname = acme\n[pipeline]\nworkers = \n");
    let places: Vec<&str> = found.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["p.toml:2:8", "p.toml:3:2", "p.toml:4:11"], "{found}");
    assert!(found.lines().all(|line| line.contains(": no valid TOML: ")), "{found}");
}

#[test]
fn what_is_required_is_asked_for() {
    assert_eq!(
        errors("[kafka]\n[[source]]\n[lake]\n[lake.s3]\nendpoint = \"http://x\"\naccess_key_id = \"x\""),
        r#"p.toml:1:2: kafka.brokers: is missing: write "host:port", several separated by commas
p.toml:2:1: source[0].name: is missing: name the source; the name is part of what a duplicate is, and stays
p.toml:2:1: source[0].topics: is missing: list at least one topic
p.toml:3:2: lake.url: is missing: write "s3://bucket/root" or "file:///path"
p.toml:5:1: lake.s3.endpoint: is plain HTTP: use https, or set lake.s3.allow_http = true
p.toml: pipeline.name: is missing: with [kafka], name the pipeline; the name goes into ids and stays"#
    );
    assert_eq!(errors("source = []"), "p.toml:1:1: source: is empty: add a [[source]] with name and topics");
    assert_eq!(errors("[source]\nname = \"x\"").lines().count(), 1);
}

#[test]
fn missing_offsets_are_not_in_a_lake_that_is_none() {
    let text = "[pipeline]\nname = \"acme\"\n[kafka]\nbrokers = \"b\"\nmissing_offsets = \"lake\"";
    let expected = r#"p.toml:5:1: kafka.missing_offsets: "lake" needs [lake]: there is no history without it"#;
    assert_eq!(errors(text), expected);
    let with_lake = config(&format!("{text}\n[lake]\nurl = \"file:///lake\""), &[]);
    assert_eq!(with_lake.kafka.unwrap().missing_offsets, MissingOffsets::Lake);
}

#[test]
fn topics_have_one_use() {
    let text = "[pipeline]\nname = \"acme\"\n[kafka]\nbrokers = \"b\"\n[kafka.topics]\nactivity = \"missions\"\n\
                completions = \"events\"\nprogress = \"a/b\"";
    assert_eq!(
        errors(text),
        r#"p.toml:6:1: kafka.topics.activity: topic "missions" is used by missions.topic already: each topic has one use
p.toml:7:1: kafka.topics.completions: topic "events" is used by source[0].topics already: each topic has one use
p.toml:8:1: kafka.topics.progress: "a/b" is no name of a topic: use letters, digits, '.', '_' and '-', at most 249 of them"#
    );
}

#[test]
fn a_deduction_is_of_one_kind() {
    let text = "[[activity.ngr]]\nname = \"a\"\npercent = 10\namount_of = \"bonus_cost\"\n\
                [[activity.ngr]]\nname = \"b\"\namount_of = \"bonus_cost\"\nclamp = \"none\"\n\
                [[activity.ngr]]\npercent = \"110\"";
    assert_eq!(
        errors(text),
        r#"p.toml:4:1: activity.ngr[0].amount_of: stands beside percent: keep one of them
p.toml:8:1: activity.ngr[1].clamp: belongs to percent: remove it
p.toml:9:1: activity.ngr[2].name: is missing: name the deduction
p.toml:10:11: activity.ngr[2].percent: "110" is not between 0 and 100"#
    );
}

#[test]
fn the_environment_wins() {
    let text =
        "[pipeline]\nname = \"acme\"\n[identity]\nretention = \"7d\"\n[[source]]\nname = \"pam\"\ntopics = [\"a\"]";
    let config = config(
        text,
        &[
            ("QUESTLINE__IDENTITY__RETENTION", "10d"),
            ("QUESTLINE__PIPELINE__WORKERS", "4"),
            ("QUESTLINE__SOURCE__0__TOPICS", "[\"b\", \"c\"]"),
            ("QUESTLINE__SOURCE__0__MAPPING__AMOUNT", "{ path = \"/x\", scale = 2 }"),
            ("QUESTLINE__KAFKA__BROKERS", "127.0.0.1:9092"),
            ("QUESTLINE__KAFKA__TOPICS__PARTITIONS", "3"),
            ("QUESTLINE__KAFKA__PROPERTIES__SASL_PASSWORD", "0123"),
            ("QUESTLINE__DEAD_LETTERS__RAW", "true"),
            ("QUESTLINE_OTHER", "x"),
        ],
    );
    assert_eq!((config.identity.retention, config.pipeline.workers), (Duration::days(10), 4));
    assert_eq!(config.sources[0].topics, ["b", "c"]);
    assert_eq!(config.sources[0].mapping.amount.as_ref().unwrap().scale, 2);
    let kafka = config.kafka.unwrap();
    assert_eq!((kafka.brokers.as_str(), kafka.topics.partitions), ("127.0.0.1:9092", 3));
    assert_eq!(kafka.properties.0["sasl.password"], "0123");
    assert!(config.dead_letters.raw);
}

#[test]
fn errors_of_the_environment_name_the_variable() {
    let variables = [
        ("QUESTLINE__IDENTITY__RETENTION", "1h"),
        ("QUESTLINE__PIPELINE__WORKRS", "4"),
        ("QUESTLINE__PIPELINE__WORKERS", "many"),
        ("QUESTLINE__SOURCE__3__NAME", "x"),
        ("QUESTLINE__ACTIVITY__NGR__NAME", "x"),
    ];
    let found = parse("[[source]]\nname = \"pam\"\ntopics = [\"a\"]", &variables).unwrap_err().to_string();
    assert_eq!(
        found,
        r#"environment variable QUESTLINE__SOURCE__3__NAME: source[3].name: source has no element 3
environment variable QUESTLINE__ACTIVITY__NGR__NAME: activity.ngr: invalid type: a table, expected an array
environment variable QUESTLINE__PIPELINE__WORKERS: pipeline.workers: invalid type: string "many", expected a whole number from 0
environment variable QUESTLINE__PIPELINE__WORKRS: pipeline.workrs: unknown key "workrs": did you mean "workers"?
environment variable QUESTLINE__IDENTITY__RETENTION: identity.retention: 1h is too short: wallets retry for two days, so at least 48h"#
    );
}

#[test]
fn secrets_come_from_files() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("kafka"), "hunter2\n").unwrap();
    fs::write(folder.path().join("s3"), "wJalr").unwrap();
    let text = "[pipeline]\nname = \"acme\"\n[kafka]\nbrokers = \"b\"\n[kafka.properties]\n\"sasl.password_file\" = \"kafka\"\n\
                [lake]\nurl = \"s3://b\"\n[lake.s3]\naccess_key_id = \"AK\"\nsecret_access_key_file = \"s3\"";
    let path = folder.path().join("pipeline.toml");
    fs::write(&path, text).unwrap();
    let config = Config::load(&path, []).unwrap();
    assert!(!format!("{config:?}").contains("hunter2") && !format!("{config:?}").contains("wJalr"));
    assert_eq!(config.kafka.unwrap().properties.0["sasl.password"], "hunter2");
    assert_eq!(config.lake.unwrap().s3.secret_access_key, Some(Secret("wJalr".to_owned())));

    let variable = ("QUESTLINE__KAFKA__PROPERTIES__SASL_PASSWORD".to_owned(), "x".to_owned());
    let found = Config::load(&path, [variable]).unwrap_err().to_string();
    assert!(
        found
            .contains(":6:1: kafka.properties.\"sasl.password_file\": kafka.properties.\"sasl.password\" is given too"),
        "{found}"
    );
    fs::remove_file(folder.path().join("s3")).unwrap();
    let found = Config::load(&path, []).unwrap_err().to_string();
    assert!(found.contains(":11:1: lake.s3.secret_access_key_file: cannot read \"s3\": "), "{found}");
}

#[test]
fn secrets_do_not_belong_into_the_configuration() {
    let text =
        "[pipeline]\nname = \"acme\"\n[kafka]\nbrokers = \"b\"\n[kafka.properties]\n\"sasl.password\" = \"hunter2\"";
    let found = errors(text);
    assert!(
        found.starts_with("p.toml:6:1: kafka.properties.\"sasl.password\": a secret does not belong in this file"),
        "{found}"
    );
    assert!(!found.contains("hunter2"), "{found}");
}

#[test]
fn a_file_that_is_not_there_says_so() {
    let found = Config::load(Path::new("no/such.toml"), []).unwrap_err().to_string();
    assert!(found.starts_with("no/such.toml: cannot be read: "), "{found}");
}

#[test]
fn mappings_follow_the_settings() {
    let text = "[identity]\nmax_future = \"1h\"\n[defaults]\ncurrencies = [\"BTC\"]\ncurrency = \"BTC\"\n\
                [[source]]\nname = \"wallet\"\ntopics = [\"w\"]\n[source.mapping]\ncurrency = \"=BTC\"\n\
                [[source]]\nname = \"bets\"\ntopics = [\"b\", \"a\"]";
    let config = config(text, &[]);
    assert_eq!(config.source_ids(), [SourceId(1), SourceId(0)]);
    assert_eq!(config.decode_rules().max_future_micros, 3_600_000_000);
    assert!(config.mappers().iter().all(Result::is_ok));
}
