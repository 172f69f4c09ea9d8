//! From the names in a payload to the fields that are mapped to them.
//!
//! All JSON Pointers of a mapping are one tree, so that a payload is searched for all of them at
//! once: a name that nobody maps costs one failed look-up, a nested object is entered only where a
//! pointer leads into it.

use std::fmt;

use super::json::{self, Kind, Members, Name, Value};
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

impl Target {
    /// Puts `value` to the fields that it belongs to.
    #[inline]
    fn take<'a>(&self, value: Value<'a>, found: &mut Found<'a>) {
        for slot in &self.slots {
            found.set(*slot, value);
        }
        found.redacted |= self.redacted;
        if let Some(below) = &self.below {
            below.visit_all(value, found);
        }
    }
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
    pub fn get(&self, name: &str) -> Option<&Target> {
        self.place(name).map(|place| &self.targets[place].1)
    }

    /// Where the target of `name` is.
    fn place(&self, name: &str) -> Option<usize> {
        let (start, end) = self.of_length[name.len().min(Self::LENGTHS - 1)];
        let first = name.as_bytes().first();
        let is_it = |place: &usize| {
            let known = &self.targets[*place].0;
            known.as_bytes().first() == first && known.as_ref() == name
        };
        (usize::from(start)..usize::from(end)).find(is_it)
    }

    /// Puts `value`, found under `name`, to the fields that it belongs to. Of a name that an object
    /// has twice, the last one counts.
    pub fn visit<'a>(&self, name: &str, value: Value<'a>, found: &mut Found<'a>) {
        if let Some(target) = self.get(name) {
            target.take(value, found);
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

/// The names at the top of a source's records, and which came behind which: one program writes most of them, in one
/// order, so that a name is found by comparing it with the one that is expected. What was learned decides how
/// fast a record is read, and never what it says.
#[derive(Clone, Debug, Default)]
pub(super) struct Habit {
    /// The first, which is there from the first record on, stands for the beginning of a record.
    seen: Vec<Seen>,
    /// The place of the name that came last.
    last: usize,
}

/// A name as it was seen.
#[derive(Clone, Debug)]
struct Seen {
    /// With its quotes, the colon and the space around that.
    text: Box<[u8]>,
    /// Its place among the names that lead somewhere.
    target: Option<usize>,
    /// The places of the two that came behind it, the last one first.
    next: [usize; 2],
}

impl Habit {
    /// Names beyond so many are looked up: who makes up names cannot fill memory.
    const NAMES: usize = 256;
    /// Longer ones are not learned.
    const LENGTH: usize = 128;

    /// The values of a record's members go to `found`, by what their `names` lead to. They are always the
    /// same names.
    pub fn of<'h, 'a>(&'h mut self, names: &'h Names, found: &'h mut Found<'a>) -> Habitual<'h, 'a> {
        if self.seen.is_empty() {
            // No name begins with 0: the beginning of a record comes behind nothing.
            self.seen.push(Seen { text: Box::new([0]), target: None, next: [0; 2] });
        }
        self.last = 0;
        Habitual { habit: self, names, found }
    }

    /// The name came behind the last one.
    #[cold]
    fn learn(&mut self, name: &Name<'_>, names: &Names) {
        let text = name.up_to_value.as_bytes();
        let place = self.seen.iter().position(|seen| *seen.text == *text);
        if place.is_none() && (self.seen.len() == Self::NAMES || text.len() > Self::LENGTH) {
            self.last = 0;
            return;
        }
        let place = place.unwrap_or_else(|| {
            self.seen.push(Seen { text: text.into(), target: names.place(&name.text()), next: [0; 2] });
            self.seen.len() - 1
        });
        let [first, _] = self.seen[self.last].next;
        self.seen[self.last].next = [place, first];
        self.last = place;
    }
}

/// Reads one record by habit.
pub(super) struct Habitual<'h, 'a> {
    habit: &'h mut Habit,
    names: &'h Names,
    found: &'h mut Found<'a>,
}

impl<'a> Members<'a> for Habitual<'_, 'a> {
    #[inline]
    fn known(&mut self, rest: &[u8]) -> Option<usize> {
        let Habit { seen, last } = &mut *self.habit;
        let [first, second] = seen[*last].next;
        let begins = |place: usize| rest.starts_with(&seen[place].text);
        let place = if begins(first) {
            first
        } else if begins(second) {
            seen[*last].next = [second, first];
            second
        } else {
            return None;
        };
        *last = place;
        Some(seen[place].text.len())
    }

    #[inline]
    fn member(&mut self, name: Option<Name<'a>>, value: Value<'a>) {
        match name {
            None => {
                if let Some(place) = self.habit.seen[self.habit.last].target {
                    self.names.targets[place].1.take(value, self.found);
                }
            }
            Some(name) => {
                self.names.visit(&name.text(), value, self.found);
                self.habit.learn(&name, self.names);
            }
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
    use proptest::prelude::*;

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

    #[test]
    fn a_habit_takes_hold_and_is_bounded() {
        let mut names = Names::new();
        names.lead(&Pointer::parse("/id").unwrap(), Slot::EventId);
        let mut habit = Habit::default();
        let mut read = |text: &str| {
            let mut found = Found::new();
            json::scan_members(text, habit.of(&names, &mut found)).unwrap();
            let raw = found.get(Slot::EventId).raw.to_owned();
            (raw, habit.seen.len())
        };
        for _ in 0..3 {
            assert_eq!(read(r#"{"a":1,"id":7}"#), ("7".to_owned(), 3));
        }
        for number in 0..1000 {
            read(&format!("{{\"{number}\":1,\"id\":{number}}}"));
        }
        assert_eq!(read(r#"{"new":1,"id":8}"#), ("8".to_owned(), Habit::NAMES));
        assert_eq!(read(&format!("{{\"{}\":1}}", "x".repeat(500))), (String::new(), Habit::NAMES));
    }

    proptest! {
        #[test]
        fn a_habit_changes_nothing(
            records in prop::collection::vec(prop::collection::vec((0..8_usize, 0..4_usize, 0..6_usize), 0..6), 1..12),
            cut in 0..400_usize,
        ) {
            const NAMES: [&str; 8] = ["id", "i\\u0064", "a", "ab", "a b", "", "sport", "ident"];
            const SPACES: [&str; 4] = [":", " : ", ":\n", ": "];
            const VALUES: [&str; 6] = ["1", "\"x\"", "null", "{\"id\":2}", "[1]", "\"\""];
            let mut names = Names::new();
            for (pointer, slot) in [
                ("/id", Slot::EventId),
                ("/a", Slot::Amount),
                ("/a b", Slot::Sport),
                ("/sport/id", Slot::GameId),
                ("/", Slot::Status),
            ] {
                names.lead(&Pointer::parse(pointer).unwrap(), slot);
            }
            let mut habit = Habit::default();
            for (number, record) in records.iter().enumerate() {
                let member = |(name, space, value): &(usize, usize, usize)| {
                    format!("\"{}\"{}{}", NAMES[*name], SPACES[*space], VALUES[*value])
                };
                let mut text = format!("{{{}}}", record.iter().map(member).collect::<Vec<_>>().join(","));
                if number % 3 == 2 {
                    text.truncate(cut.min(text.len()));
                }
                let (mut by_habit, mut anew) = (Found::new(), Found::new());
                let scanned = json::scan_members(&text, habit.of(&names, &mut by_habit));
                prop_assert_eq!(scanned, json::scan(&text, |name, value| names.visit(&name.text(), value, &mut anew)));
                for (slot, _) in Slot::ALL {
                    prop_assert_eq!(by_habit.get(*slot), anew.get(*slot));
                }
            }
        }
    }
}
