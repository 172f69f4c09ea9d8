//! What is set over the file: environment variables, and files that keep secrets.

use std::fs;
use std::path::Path;

use toml::de::DeValue;

use super::document::Document;
use super::errors::Problems;
use super::path::{KeyPath, Step};

const PREFIX: &str = "QUESTLINE__";

/// Properties of librdkafka that are secrets.
const KAFKA_SECRETS: [&str; 5] =
    ["sasl.password", "sasl.oauthbearer.client.secret", "ssl.key.password", "ssl.key.pem", "ssl.keystore.password"];

/// Keys of `[lake.s3]` that may stand in a file of their own.
const S3_FILES: [&str; 3] = ["access_key_id_file", "secret_access_key_file", "session_token_file"];

/// Keys of `[lake.s3]` that are secrets.
const S3_SECRETS: [&str; 2] = ["secret_access_key", "session_token"];

/// Sets `QUESTLINE__SECTION__KEY` variables over the file. Others are left alone.
pub(super) fn environment<'t>(document: &mut Document<'t>, variables: &'t [(String, String)], problems: &mut Problems) {
    for (name, value) in variables {
        let Some(keys) = name.strip_prefix(PREFIX) else { continue };
        let path = path_of(keys);
        let value = if is_text(&path) { text(value) } else { scalar(value) };
        let origin = format!("environment variable {name}");
        if let Err(why) = document.set(&path, value, &origin) {
            problems.add(path, super::Place::Outside(origin), why);
        }
    }
}

/// `KAFKA__TOPICS__PARTITIONS` is `kafka.topics.partitions`, `SOURCE__0__NAME` is `source[0].name`,
/// and, as shells allow no dots, `KAFKA__PROPERTIES__SASL_PASSWORD` is `sasl.password`.
fn path_of(keys: &str) -> KeyPath {
    let properties = KeyPath::of("kafka.properties");
    keys.to_lowercase().split("__").fold(KeyPath::default(), |path, key| match key.parse() {
        _ if path == properties => path.key(property(key)),
        Ok(index) if path.steps().last().is_some_and(|step| matches!(step, Step::Key(_))) => path.index(index),
        _ => path.key(key),
    })
}

/// The property that shells call `sasl_password`, or the key of its file.
fn property(key: &str) -> String {
    let (name, suffix) = key.strip_suffix("_file").map_or((key, ""), |name| (name, "_file"));
    name.replace('_', ".") + suffix
}

/// A password of digits is no number.
fn is_text(path: &KeyPath) -> bool {
    ["kafka.properties", "lake.s3"].map(KeyPath::of).iter().any(|table| path.overlaps(table))
        && path.steps().last() != Some(&Step::Key("allow_http".to_owned()))
}

fn text(value: &str) -> DeValue<'_> {
    DeValue::String(value.into())
}

/// A value of TOML where it is one, else a string.
fn scalar(value: &str) -> DeValue<'_> {
    DeValue::parse(value).map_or_else(|_| text(value), toml::Spanned::into_inner)
}

/// Refuses secrets that stand in the configuration, and reads those that `…_file` keys name.
/// A relative path is relative to the folder of the configuration.
pub(super) fn secrets(document: &mut Document<'_>, folder: &Path, problems: &mut Problems) {
    let (kafka, s3) = (KeyPath::of("kafka.properties"), KeyPath::of("lake.s3"));
    let given = KAFKA_SECRETS.map(|key| kafka.key(key)).into_iter().chain(S3_SECRETS.map(|key| s3.key(key)));
    for path in given.filter(|path| document.is_in_file(path)) {
        let message = "a secret does not belong in this file: give it by the environment or name a file that has it \
                       by the same key with _file behind it";
        problems.add(path.clone(), document.place(&path), message);
    }
    let properties = document.keys(&kafka).into_iter().filter(|key| key.ends_with("_file"));
    let properties: Vec<KeyPath> = properties.map(|key| kafka.key(key)).collect();
    let keys = properties.into_iter().chain(S3_FILES.map(|key| s3.key(key)));
    for path in keys.filter(|path| document.has(path)).collect::<Vec<_>>() {
        read_file(document, &path, folder, problems);
    }
}

fn read_file(document: &mut Document<'_>, path: &KeyPath, folder: &Path, problems: &mut Problems) {
    let place = document.place(path);
    let Some((Step::Key(key), _)) = path.steps().split_last() else { return };
    let target = path.sibling(key.trim_end_matches("_file"));
    if document.has(&target) {
        return problems.add(path.clone(), place, format!("{target} is given too: keep one of them"));
    }
    let Some(name) = document.take_text(path) else {
        return problems.add(path.clone(), place, "is no string: write the path of a file");
    };
    match fs::read_to_string(folder.join(&name)) {
        Ok(secret) => {
            let secret = DeValue::String(secret.trim_end_matches(['\r', '\n']).to_owned().into());
            let set = document.set(&target, secret, &format!("file {name}"));
            set.expect("the table of a key that was just read is there");
        }
        Err(why) => problems.add(path.clone(), place, format!("cannot read {name:?}: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_name_keys() {
        for (variable, path) in [
            ("PIPELINE__REPORTING_INTERVAL", "pipeline.reporting_interval"),
            ("KAFKA__TOPICS__PARTITIONS", "kafka.topics.partitions"),
            ("SOURCE__0__MAPPING__PLAYER_ID", "source[0].mapping.player_id"),
        ] {
            assert_eq!(path_of(variable), KeyPath::of(path), "{variable}");
        }
        let password = KeyPath::of("kafka.properties").key("sasl.password");
        assert_eq!(path_of("KAFKA__PROPERTIES__SASL_PASSWORD"), password);
        assert_eq!(path_of("KAFKA__PROPERTIES__SASL_PASSWORD_FILE"), password.sibling("sasl.password_file"));
    }
}
