//! From the names in a payload to the fields that are mapped to them.
//!
//! All JSON Pointers of a mapping are one tree, so that a payload is searched for all of them at
//! once: a name that nobody maps costs one failed look-up, a nested object is entered only where a
//! pointer leads into it.

use std::fmt;

use super::json::{self, Kind, Value};
use super::slot::{Found, Slot};

/// A JSON Pointer (RFC 6901), unescaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pointer(pub Vec<String>);

impl Pointer {
    /// Reads a pointer; says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Pointer(Vec::new()));
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!("a JSON Pointer starts with '/': write \"/{text}\""));
        };
        let tokens: Vec<String> = rest.split('/').map(unescape).collect::<Result<_, _>>()?;
        let limit = usize::try_from(json::MAX_DEPTH).expect("usize holds a u32");
        if tokens.len() > limit {
            return Err(format!("a payload has no more than {limit} levels"));
        }
        Ok(Pointer(tokens))
    }

    /// `self` points to what `other` points to, or to something that holds it.
    pub fn contains(&self, other: &Pointer) -> bool {
        other.0.starts_with(&self.0)
    }

    /// The value that the pointer leads to in `value`, which was scanned before.
    pub fn find<'a>(&self, value: Value<'a>) -> Value<'a> {
        self.0.iter().fold(value, |value, token| {
            let mut found = Value::ABSENT;
            match value.kind {
                Kind::Object => json::members(value, |name, member| {
                    if name.text() == token.as_str() {
                        found = member;
                    }
                }),
                Kind::Array => enumerate(value, |index, item| {
                    if index == token {
                        found = item;
                    }
                }),
                _ => {}
            }
            found
        })
    }
}

/// As configuration writes it.
impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("\"\"");
        }
        self.0.iter().try_for_each(|token| write!(f, "/{}", token.replace('~', "~0").replace('/', "~1")))
    }
}

fn unescape(token: &str) -> Result<String, String> {
    let plain = token.replace("~1", "").replace("~0", "");
    if plain.contains('~') {
        return Err(format!("'~' in a JSON Pointer is written ~0, and '/' in a name ~1: in \"{token}\""));
    }
    Ok(token.replace("~1", "/").replace("~0", "~"))
}

/// The items of an array with their indices as a pointer writes them.
pub(super) fn enumerate<'a>(array: Value<'a>, mut item: impl FnMut(&str, Value<'a>)) {
    let mut index = 0_u64;
    json::items(array, |value| {
        item(&index.to_string(), value);
        index += 1;
    });
}

/// What one name leads to.
#[derive(Clone, Debug, Default)]
pub(super) struct Target {
    /// The fields that have their value here.
    slots: Vec<Slot>,
    /// The value never leaves the process.
    pub redacted: bool,
    /// The names inside of the value that lead on.
    pub below: Option<Box<Names>>,
}

/// The names of one level.
#[derive(Clone)]
pub(super) struct Names {
    /// Sorted by length.
    targets: Vec<(Box<str>, Target)>,
    /// Where the names of each length are; the last entry is for all that are longer.
    of_length: [(u16, u16); Names::LENGTHS],
}

impl Names {
    const LENGTHS: usize = 64;

    /// No names.
    pub fn new() -> Self {
        Names { targets: Vec::new(), of_length: [(0, 0); Self::LENGTHS] }
    }

    /// Leads `pointer` to a field.
    pub fn lead(&mut self, pointer: &Pointer, slot: Slot) {
        if let Some(target) = self.target(&pointer.0) {
            target.slots.push(slot);
        }
    }

    /// Marks what `pointer` leads to as redacted.
    pub fn redact(&mut self, pointer: &Pointer) {
        if let Some(target) = self.target(&pointer.0) {
            target.redacted = true;
        }
    }

    fn target(&mut self, tokens: &[String]) -> Option<&mut Target> {
        let (name, rest) = tokens.split_first()?;
        if self.get(name).is_none() {
            self.targets.push((name.as_str().into(), Target::default()));
            self.index();
        }
        let (_, target) = self.targets.iter_mut().find(|(known, _)| known.as_ref() == name)?;
        if rest.is_empty() {
            return Some(target);
        }
        target.below.get_or_insert_with(|| Box::new(Names::new())).target(rest)
    }

    fn index(&mut self) {
        self.targets.sort_by_key(|(name, _)| name.len());
        for (length, range) in self.of_length.iter_mut().enumerate() {
            let in_bucket = |name: &str| name.len().min(Self::LENGTHS - 1);
            let start = self.targets.partition_point(|(name, _)| in_bucket(name) < length);
            let end = self.targets.partition_point(|(name, _)| in_bucket(name) <= length);
            let narrow = |at: usize| u16::try_from(at).expect("a mapping has fewer than 65,536 pointers");
            *range = (narrow(start), narrow(end));
        }
    }

    /// What `name` leads to.
    #[inline]
    pub fn get(&self, name: &str) -> Option<&Target> {
        let (start, end) = self.of_length[name.len().min(Self::LENGTHS - 1)];
        let first = name.as_bytes().first();
        self.targets[usize::from(start)..usize::from(end)]
            .iter()
            .find(|(known, _)| known.as_bytes().first() == first && known.as_ref() == name)
            .map(|(_, target)| target)
    }

    /// Puts `value`, found under `name`, to the fields that it belongs to. Of a name that an object
    /// has twice, the last one counts.
    #[inline]
    pub fn visit<'a>(&self, name: &str, value: Value<'a>, found: &mut Found<'a>) {
        let Some(target) = self.get(name) else { return };
        for slot in &target.slots {
            found.set(*slot, value);
        }
        found.redacted |= target.redacted;
        if let Some(below) = &target.below {
            below.visit_all(value, found);
        }
    }

    /// Puts everything inside of `value` to the fields that it belongs to.
    pub fn visit_all<'a>(&self, value: Value<'a>, found: &mut Found<'a>) {
        match value.kind {
            Kind::Object => json::members(value, |name, member| self.visit(&name.text(), member, found)),
            Kind::Array => enumerate(value, |index, item| self.visit(index, item, found)),
            _ => {}
        }
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.targets.iter().map(|(name, target)| (name, target))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_follow_the_rfc() {
        let tokens = |text: &str| Pointer::parse(text).map(|pointer| pointer.0);
        assert_eq!(tokens(""), Ok(vec![]));
        assert_eq!(tokens("/"), Ok(vec![String::new()]));
        assert_eq!(tokens("/a~1b/m~0n/~01/0"), Ok(vec!["a/b".into(), "m~n".into(), "~1".into(), "0".into()]));
        assert!(tokens("a/b").is_err_and(|message| message.contains("\"/a/b\"")));
        assert!(tokens("/a~2").is_err());
        assert!(tokens("/a~").is_err());
    }

    #[test]
    fn one_pass_fills_every_pointer() {
        let mut names = Names::new();
        for (pointer, slot) in [
            ("/id", Slot::EventId),
            ("/id", Slot::TransactionId),
            ("/body/stake/amount", Slot::Amount),
            ("/body/stake/currency", Slot::Currency),
            ("/legs/1/sport", Slot::Sport),
            ("/body", Slot::GameId),
        ] {
            names.lead(&Pointer::parse(pointer).unwrap(), slot);
        }
        let text = r#"{"legs":[{"sport":"a"},{"sport":"b"}],"id":7,"x":{"amount":1},
            "body":{"stake":{"amount":2,"currency":"EUR","amount":3},"st":1}}"#;
        let mut found = Found::new();
        let value = json::scan(text, |name, value| names.visit(&name.text(), value, &mut found)).unwrap();
        let raw = |slot| found.get(slot).raw;
        assert_eq!((raw(Slot::EventId), raw(Slot::TransactionId)), ("7", "7"));
        assert_eq!((raw(Slot::Amount), raw(Slot::Currency), raw(Slot::Sport)), ("3", "\"EUR\"", "\"b\""));
        assert!(raw(Slot::GameId).starts_with("{\"stake\""));
        assert_eq!(Pointer::parse("/body/stake/amount").unwrap().find(value).raw, "3");
        assert_eq!(Pointer::parse("/legs/1/sport").unwrap().find(value).raw, "\"b\"");
        assert!(Pointer::parse("/legs/2").unwrap().find(value).is_absent());
    }

    #[test]
    fn names_of_any_length_are_told_apart() {
        let mut names = Names::new();
        let long = ["a".repeat(63), "a".repeat(64), "a".repeat(500), String::new()];
        for name in &long {
            names.lead(&Pointer(vec![name.clone()]), Slot::GameId);
        }
        assert!(long.iter().all(|name| names.get(name).is_some()));
        assert!(names.get(&"a".repeat(65)).is_none() && names.get("b").is_none());
    }
}
