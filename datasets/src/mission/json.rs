//! JSON of definitions: numbers keep their digits, every member has a path, and reading it collects
//! errors instead of stopping at the first.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::DefinitionError;
use crate::Money;

/// Definitions are shallow; what is deeper is none.
const MAX_DEPTH: usize = 16;

/// A JSON value.
pub(super) enum Json {
    Null,
    Bool(bool),
    /// The digits as written.
    Number(String),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// All that is wrong, in the order in which it was found.
#[derive(Default)]
pub(super) struct Errors(pub(super) Vec<DefinitionError>);

/// A value and where it is. Functions that read it return `None` after they have reported an error.
pub(super) struct Place<'j> {
    pub(super) path: String,
    pub(super) json: &'j Json,
}

/// An object whose members are taken by name; what is not taken is unknown.
pub(super) struct Members<'j> {
    path: String,
    rest: Vec<(&'j str, &'j Json)>,
    known: Vec<&'static str>,
}

impl Json {
    /// Parses a whole text.
    pub(super) fn parse(text: &str) -> Result<Json, serde_json::Error> {
        Self::of(serde_json::from_str(text)?, MAX_DEPTH)
    }

    fn of(raw: &RawValue, depth: usize) -> Result<Json, serde_json::Error> {
        let text = raw.get();
        if depth == 0 {
            return Err(serde::de::Error::custom("nested too deeply"));
        }
        Ok(match text.as_bytes().first() {
            Some(b'{') => {
                let RawMembers(members) = serde_json::from_str(text)?;
                let member = |(name, raw)| Ok::<_, serde_json::Error>((name, Self::of(raw, depth - 1)?));
                Json::Object(members.into_iter().map(member).collect::<Result<_, _>>()?)
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text)?;
                Json::Array(items.into_iter().map(|raw| Self::of(raw, depth - 1)).collect::<Result<_, _>>()?)
            }
            Some(b'"') => Json::Text(serde_json::from_str(text)?),
            Some(b't' | b'f') => Json::Bool(serde_json::from_str(text)?),
            Some(b'n') => Json::Null,
            _ => Json::Number(text.to_owned()),
        })
    }

    fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "a bool",
            Json::Number(_) => "a number",
            Json::Text(_) => "a text",
            Json::Array(_) => "an array",
            Json::Object(_) => "an object",
        }
    }
}

/// The members of an object in order, repeated names included.
struct RawMembers<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for RawMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = RawMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(RawMembers(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl Errors {
    /// Reports an error.
    pub(super) fn add(&mut self, path: &str, message: impl Into<String>) {
        self.0.push(DefinitionError { path: path.to_owned(), message: message.into() });
    }

    /// The same, for the caller to return.
    pub(super) fn fail<T>(&mut self, path: &str, message: impl Into<String>) -> Option<T> {
        self.add(path, message);
        None
    }
}

impl<'j> Place<'j> {
    fn wrong_type<T>(&self, expected: &str, errors: &mut Errors) -> Option<T> {
        errors.fail(&self.path, format!("must be {expected}, not {}", self.json.kind()))
    }

    /// A text that is not empty, of at most 500 characters.
    pub(super) fn text(&self, errors: &mut Errors) -> Option<&'j str> {
        match self.json {
            Json::Text(text) if text.is_empty() => errors.fail(&self.path, "must not be empty"),
            Json::Text(text) if text.chars().count() > 500 => {
                errors.fail(&self.path, "must have at most 500 characters")
            }
            Json::Text(text) => Some(text),
            _ => self.wrong_type("a text", errors),
        }
    }

    /// A text of any length.
    pub(super) fn long_text(&self, errors: &mut Errors) -> Option<&'j str> {
        match self.json {
            Json::Text(text) => Some(text),
            _ => self.wrong_type("a text", errors),
        }
    }

    pub(super) fn flag(&self, errors: &mut Errors) -> Option<bool> {
        match self.json {
            Json::Bool(flag) => Some(*flag),
            _ => self.wrong_type("true or false", errors),
        }
    }

    pub(super) fn integer(&self, errors: &mut Errors) -> Option<i64> {
        match self.json {
            Json::Number(digits) => match digits.parse() {
                Ok(number) => Some(number),
                Err(_) => errors.fail(&self.path, format!("{digits} is no whole number of 64 bits")),
            },
            _ => self.wrong_type("a whole number", errors),
        }
    }

    /// The digits of a number, or the text of a text.
    pub(super) fn number_or_text(&self, errors: &mut Errors) -> Option<&'j str> {
        match self.json {
            Json::Number(digits) => Some(digits),
            Json::Text(_) => self.text(errors),
            _ => self.wrong_type("a text or a number", errors),
        }
    }

    /// An exact amount, as a number or a text.
    pub(super) fn amount(&self, errors: &mut Errors) -> Option<Money> {
        let digits = self.number_or_text(errors)?;
        match digits.parse() {
            Ok(amount) => Some(amount),
            Err(error) => errors.fail(&self.path, format!("'{digits}' is no amount: {error}")),
        }
    }

    /// One of the texts of `choices`.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&'static str, T)], errors: &mut Errors) -> Option<T> {
        let text = self.text(errors)?;
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == text) {
            return Some(*choice);
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        errors.fail(&self.path, format!("'{text}' is not known{}", suggestion(text, &names)))
    }

    pub(super) fn items(&self, errors: &mut Errors) -> Option<Vec<Place<'j>>> {
        match self.json {
            Json::Array(items) => Some(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, json)| Place { path: format!("{}/{index}", self.path), json })
                    .collect(),
            ),
            _ => self.wrong_type("an array", errors),
        }
    }

    /// Texts, none of them twice.
    pub(super) fn texts(&self, errors: &mut Errors) -> Option<Vec<&'j str>> {
        let mut texts = Vec::new();
        for item in self.items(errors)? {
            match item.text(errors) {
                Some(text) if texts.contains(&text) => {
                    errors.add(&item.path, format!("'{text}' is given twice"));
                }
                Some(text) => texts.push(text),
                None => {}
            }
        }
        Some(texts)
    }

    pub(super) fn members(&self, errors: &mut Errors) -> Option<Members<'j>> {
        let Json::Object(members) = self.json else { return self.wrong_type("an object", errors) };
        let mut rest: Vec<(&str, &Json)> = Vec::with_capacity(members.len());
        for (name, json) in members {
            if rest.iter().any(|(known, _)| known == name) {
                errors.add(&format!("{}/{}", self.path, escaped(name)), "is given twice");
            } else {
                rest.push((name, json));
            }
        }
        Some(Members { path: self.path.clone(), rest, known: Vec::new() })
    }
}

impl<'j> Members<'j> {
    /// The member called `name`. `null` counts as absent.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Place<'j>> {
        self.known.push(name);
        let index = self.rest.iter().position(|(known, _)| *known == name)?;
        let (_, json) = self.rest.remove(index);
        (!matches!(json, Json::Null)).then(|| Place { path: format!("{}/{name}", self.path), json })
    }

    /// The same; its absence is an error.
    pub(super) fn require(&mut self, name: &'static str, errors: &mut Errors) -> Option<Place<'j>> {
        let place = self.take(name);
        if place.is_none() {
            errors.add(&format!("{}/{name}", self.path), "is required");
        }
        place
    }

    /// All members, where any name is good.
    pub(super) fn all(self) -> Vec<(&'j str, Place<'j>)> {
        let path = |name: &str| format!("{}/{}", self.path, escaped(name));
        self.rest.into_iter().map(|(name, json)| (name, Place { path: path(name), json })).collect()
    }

    /// Reports what was not taken.
    pub(super) fn finish(self, errors: &mut Errors) {
        for (name, _) in self.rest {
            let message = format!("is not a known field{}", suggestion(name, &self.known));
            errors.add(&format!("{}/{}", self.path, escaped(name)), message);
        }
    }
}

/// A name as a part of a JSON Pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// `, did you mean 'x'?` when a known name is close, else the known ones.
fn suggestion(name: &str, known: &[&str]) -> String {
    let near = known.iter().map(|known| (distance(name, known), known)).min();
    match near {
        Some((distance, near)) if distance <= 2 && distance < near.len() => format!(", did you mean '{near}'?"),
        _ => format!("; known are {}", known.join(", ")),
    }
}

/// Levenshtein's: how many characters to insert, delete or replace.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (index, from) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, to) in right.chars().enumerate() {
            let replace = diagonal + usize::from(from != to);
            diagonal = row[column + 1];
            row[column + 1] = replace.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[row.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_is_close() {
        assert_eq!((distance("", "abc"), distance("kitten", "sitting"), distance("same", "same")), (3, 3, 0));
        assert_eq!(suggestion("stages_", &["stages", "status"]), ", did you mean 'stages'?");
        assert_eq!(suggestion("on", &["where", "target"]), "; known are where, target");
    }

    #[test]
    fn numbers_keep_their_digits() {
        let json = Json::parse("[9007199254740993.00000001, 1e3]").unwrap();
        let Json::Array(items) = json else { panic!("an array") };
        assert!(matches!(&items[0], Json::Number(digits) if digits == "9007199254740993.00000001"));
        assert!(matches!(&items[1], Json::Number(digits) if digits == "1e3"));
    }

    #[test]
    fn depth_is_bounded() {
        assert!(Json::parse(&"[".repeat(100_000)).is_err());
        assert!(Json::parse(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))).is_err());
    }
}
