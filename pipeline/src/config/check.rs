//! What no single value shows: names that clash, values out of bounds, mappings, what is not supported.

use std::collections::BTreeMap;

use datasets::Family;

use super::document::Document;
use super::entities::EntitiesConfig;
use super::errors::Problems;
use super::ngr::NgrBase;
use super::path::KeyPath;
use super::settings::{Config, KafkaConfig, LakeConfig, MissingOffsets};
use super::tiers::TierError;
use super::values::Duration;

/// Reports everything that is wrong in `config`.
pub(super) fn check(config: &Config, document: &Document<'_>, problems: &mut Problems) {
    let mut checker = Checker { document, problems };
    checker.pipeline(config);
    checker.sources(config);
    checker.topics(config);
    checker.money(config);
    checker.times(config);
    checker.identity(config);
    checker.activity(config);
    if let Some(kafka) = &config.kafka {
        checker.kafka(kafka);
        let has_lake = config.lake.is_some() || kafka.missing_offsets != MissingOffsets::Lake;
        checker.require(has_lake, "kafka.missing_offsets", "\"lake\" needs [lake]: there is no history without it");
    }
    if let Some(lake) = &config.lake {
        checker.lake(lake);
    }
    checker.at_least_one("limits.epochs_in_flight", config.limits.epochs_in_flight);
    checker.at_least_one("limits.bytes_in_flight", config.limits.bytes_in_flight);
    checker.mappings(config);
    checker.tiers(config);
    for (key, message) in config.entities.iter().flat_map(EntitiesConfig::mistakes) {
        checker.fail(key, message);
    }
}

struct Checker<'a, 't> {
    document: &'a Document<'t>,
    problems: &'a mut Problems,
}

impl Checker<'_, '_> {
    fn fail(&mut self, path: KeyPath, message: impl Into<String>) {
        let place = self.document.place(&path);
        self.problems.add(path, place, message);
    }

    /// `ok`, or it is reported at the dotted `key`.
    fn require(&mut self, ok: bool, key: &str, message: impl Into<String>) {
        if !ok {
            self.fail(KeyPath::of(key), message);
        }
    }

    fn at_least_one(&mut self, key: &str, value: u64) {
        self.require(value > 0, key, "must be at least 1");
    }

    fn pipeline(&mut self, config: &Config) {
        let name = KeyPath::of("pipeline.name");
        if config.kafka.is_some() && !self.document.has(&name) {
            self.fail(name, "is missing: with [kafka], name the pipeline; the name goes into ids and stays");
        } else if !is_name(&config.pipeline.name) {
            self.fail(name, format!("{:?} is no name: {NAME}", config.pipeline.name));
        }
        let workers = config.pipeline.workers;
        self.require((1..=1024).contains(&workers), "pipeline.workers", "must be between 1 and 1024");
        let interval = config.pipeline.reporting_interval;
        self.positive("pipeline.reporting_interval", interval);
        self.positive("pipeline.checkpoint_interval", Some(config.pipeline.checkpoint_interval));
        if let Some(url) = &config.checkpoint.url {
            let is_place =
                ["file:///", "s3://"].iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme));
            self.require(
                is_place,
                "checkpoint.url",
                format!("{url:?} is no place: use file:///path or s3://bucket/prefix"),
            );
        }
        if let Some(folder) = &config.checkpoint.cold_folder {
            let key = "checkpoint.cold_folder";
            self.require(folder.is_absolute(), key, format!("{folder:?} is no absolute path"));
            let has_place = config.checkpoint.url.is_some() || config.lake.is_some();
            self.require(has_place, key, "needs checkpoints, which have the same: name checkpoint.url, or a [lake]");
        }
    }

    fn kafka(&mut self, kafka: &KafkaConfig) {
        let missing = "is missing: write \"host:port\", several separated by commas";
        self.require(!kafka.brokers.trim().is_empty(), "kafka.brokers", missing);
        self.positive("kafka.startup_timeout", Some(kafka.startup_timeout));
        let is_long_enough = kafka.transaction_timeout >= Duration::seconds(1);
        self.require(is_long_enough, "kafka.transaction_timeout", "must be at least 1 second");
        self.at_least_one("kafka.topics.partitions", kafka.topics.partitions.into());
        self.at_least_one("kafka.topics.replication", kafka.topics.replication.unwrap_or(1).into());
        for key in ["bootstrap.servers", "metadata.broker.list"] {
            if kafka.properties.0.contains_key(key) {
                self.fail(KeyPath::of("kafka.properties").key(key), "has a key of its own: use kafka.brokers");
            }
        }
    }

    fn sources(&mut self, config: &Config) {
        let mut names = BTreeMap::new();
        for (index, source) in config.sources.iter().enumerate() {
            let path = KeyPath::of("source").index(index);
            if source.name.is_empty() {
                self.fail(
                    path.key("name"),
                    "is missing: name the source; the name is part of what a duplicate is, and stays",
                );
            } else if !is_name(&source.name) {
                self.fail(path.key("name"), format!("{:?} is no name: {NAME}", source.name));
            } else if let Some(first) = names.insert(&source.name, index) {
                self.fail(path.key("name"), format!("{:?} is the name of source[{first}] too", source.name));
            }
            if source.topics.is_empty() {
                self.fail(path.key("topics"), "is missing: list at least one topic");
            }
        }
        self.require(!config.sources.is_empty(), "source", "is empty: add a [[source]] with name and topics");
    }

    /// Every topic is a legal name and has one use.
    fn topics(&mut self, config: &Config) {
        let mut uses: Vec<(KeyPath, String)> = Vec::new();
        for (index, source) in config.sources.iter().enumerate() {
            let path = KeyPath::of("source").index(index).key("topics");
            uses.extend(source.topics.iter().map(|topic| (path.clone(), topic.clone())));
        }
        uses.push((KeyPath::of("missions.topic"), config.missions.topic.clone()));
        if let Some(kafka) = &config.kafka {
            let topics = &kafka.topics;
            let outputs = [
                ("completions", topics.completions.clone()),
                ("audit", topics.audit.clone()),
                ("activity", topics.activity.clone()),
                ("dead_letters", topics.dead_letters.clone()),
            ];
            uses.extend(outputs.map(|(key, topic)| (KeyPath::of("kafka.topics").key(key), topic)));
            if config.entities.is_some() {
                let outputs = [
                    ("gaming_activity", topics.gaming_activity.clone()),
                    ("transactions", topics.transactions.clone()),
                    ("customers", topics.customers.clone()),
                    ("reviews", topics.reviews.clone()),
                ];
                uses.extend(outputs.map(|(key, topic)| (KeyPath::of("kafka.topics").key(key), topic)));
            }
            // A bad name of the pipeline is reported as such, not as that of a topic.
            if topics.progress.is_some() || is_name(&config.pipeline.name) {
                uses.push((KeyPath::of("kafka.topics.progress"), topics.progress(&config.pipeline.name)));
            }
        }
        let mut used = BTreeMap::new();
        for (path, topic) in uses {
            if !is_topic(&topic) {
                let legal = "use letters, digits, '.', '_' and '-', at most 249 of them";
                self.fail(path, format!("{topic:?} is no name of a topic: {legal}"));
            } else if let Some(first) = used.insert(topic.clone(), path.clone()) {
                self.fail(path, format!("topic {topic:?} is used by {first} already: each topic has one use"));
            }
        }
    }

    fn money(&mut self, config: &Config) {
        for code in &config.defaults.currencies {
            let ok = !code.is_empty() && code.len() <= 16 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
            self.require(ok, "defaults.currencies", format!("{code:?} is no code: use up to 16 letters and digits"));
        }
        let currency = &config.defaults.currency;
        let message =
            format!("unknown currency {currency:?}: use a code of ISO 4217, or add it to defaults.currencies");
        self.require(config.currencies().contains(currency), "defaults.currency", message);
    }

    fn times(&mut self, config: &Config) {
        let least = Duration::days(2);
        let retention = config.identity.retention;
        let message = format!("{retention} is too short: wallets retry for two days, so at least 48h");
        self.require(retention >= least, "identity.retention", message);
        self.positive("identity.orphan_wait", Some(config.identity.orphan_wait));
        self.positive("ledger.retention", Some(config.ledger.retention));
        self.positive("points.expiry", config.points.expiry);
    }

    fn positive(&mut self, key: &str, duration: Option<Duration>) {
        self.require(duration.is_none_or(|duration| duration.micros() > 0), key, "must be longer than 0");
    }

    fn identity(&mut self, config: &Config) {
        for family in &config.identity.lifecycle {
            let known = Family::REVERSIBLE.map(|(name, _)| name).join(", ");
            let message = format!("unknown family {family:?}: use {known}");
            self.require(Family::named(family).is_some(), "identity.lifecycle", message);
        }
        let has_empty = config.identity.counted_status.iter().any(String::is_empty);
        self.require(
            !has_empty,
            "identity.counted_status",
            "an empty status counts as none, which counts anyway: remove it",
        );
    }

    fn activity(&mut self, config: &Config) {
        let currencies = config.currencies();
        for (index, step) in config.activity.ngr.iter().enumerate() {
            let path = KeyPath::of("activity.ngr").index(index);
            if step.name.is_empty() {
                self.fail(path.key("name"), "is missing: name the deduction");
            }
            let ways = [
                ("percent", step.percent.is_some()),
                ("amount_of", step.amount_of.is_some()),
                ("add_back", step.add_back.is_some()),
                ("fixed", step.fixed.is_some()),
            ];
            let mut given = ways.iter().filter(|(_, is_given)| *is_given).map(|(way, _)| *way);
            let Some(way) = given.next() else {
                self.fail(path.key("percent"), "is missing: give percent (with of), amount_of, add_back or fixed");
                continue;
            };
            for other in given {
                self.fail(path.key(other), format!("stands beside {way}: keep one of them"));
            }
            let belonging = [
                ("of", step.of.is_some(), "percent"),
                ("clamp", step.clamp.is_some(), "percent"),
                ("currency", step.currency.is_some(), "fixed"),
                ("per", step.per.is_some(), "fixed"),
            ];
            for (key, is_given, to) in belonging {
                if is_given && way != to {
                    self.fail(path.key(key), format!("belongs to {to}: remove it"));
                } else if !is_given && way == to && to == "fixed" {
                    self.fail(path.key(key), format!("is missing: fixed needs {key}"));
                }
            }
            if let Some(code) = step.currency.as_ref().filter(|code| !currencies.contains(code)) {
                let message = format!("{code:?} is neither an ISO 4217 code nor one of defaults.currencies");
                self.fail(path.key("currency"), message);
            }
            if step.amount_of == Some(NgrBase::JackpotWins) {
                let message =
                    "\"jackpot_wins\" are in wins, and so deducted already: use add_back for what others have paid";
                self.fail(path.key("amount_of"), message);
            }
        }
    }

    fn lake(&mut self, lake: &LakeConfig) {
        let url = lake.url.as_str();
        let bucket = url.strip_prefix("s3://").map(|rest| rest.split('/').next().unwrap_or(""));
        let forms = "write \"s3://bucket/root\" or \"file:///path\"";
        match bucket {
            _ if url.is_empty() => self.fail(KeyPath::of("lake.url"), format!("is missing: {forms}")),
            Some("") => self.fail(KeyPath::of("lake.url"), format!("{url:?} names no bucket: {forms}")),
            None if !url.starts_with("file:///") => {
                self.fail(KeyPath::of("lake.url"), format!("{url:?} is no place for the lake: {forms}"));
            }
            _ => {}
        }
        self.at_least_one("lake.max_file_bytes", lake.max_file_bytes);
        self.positive("lake.max_file_age", Some(lake.max_file_age));
        let is_plain = lake.s3.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        self.require(
            !is_plain || lake.s3.allow_http,
            "lake.s3.endpoint",
            "is plain HTTP: use https, or set lake.s3.allow_http = true",
        );
    }

    fn tiers(&mut self, config: &Config) {
        for (index, tier) in config.checked_tiers().into_iter().enumerate() {
            let path = KeyPath::of("tier").index(index);
            for TierError { key, message } in tier.err().into_iter().flatten() {
                self.fail(path.join(&key), message);
            }
        }
    }

    fn mappings(&mut self, config: &Config) {
        for (index, mapper) in config.mappers().into_iter().enumerate() {
            let path = KeyPath::of("source").index(index).key("mapping");
            for error in mapper.err().into_iter().flatten() {
                self.fail(path.join(&error.path), error.message);
            }
        }
    }
}

const NAME: &str = "use letters, digits, '.', '_' and '-', at most 100 of them";

fn is_name(name: &str) -> bool {
    is_topic(name) && name.len() <= 100
}

/// What Kafka accepts as the name of a topic.
fn is_topic(name: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=249).contains(&name.len()) && name.bytes().all(is_legal) && name != "." && name != ".."
}
