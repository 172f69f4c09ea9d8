//! Attributes: the fields of a payload that no canonical name stands for (DOMAIN §2).

use std::borrow::Cow;
use std::fmt;

use super::decimal::{Decimal, normal_form};
use super::value::Scalar;
use crate::{Event, Money};

/// A path into the payload, such as `country` or `stake.amount`.
///
/// `attributes.x` means the payload's field `x`, whatever `x` means elsewhere: `attributes.amount`
/// is the payload's own field, not the canonical amount. A payload that has an object `attributes`
/// is looked at there first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attribute {
    /// Each name in its quotes.
    path: Box<[Box<str>]>,
    is_prefixed: bool,
}

/// A scalar with nothing cut off: two are equal exactly where the payloads' values are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exact<'a> {
    Bool(bool),
    /// In [`normal_form`].
    Number(String),
    Text(Cow<'a, str>),
}

impl Attribute {
    const PREFIX: &'static str = "attributes";

    /// From the names between the dots. There is at least one.
    pub(crate) fn new<'t>(names: impl IntoIterator<Item = &'t str>) -> Self {
        let mut names: Vec<&str> = names.into_iter().collect();
        let is_prefixed = names.len() > 1 && names[0] == Self::PREFIX;
        if is_prefixed {
            names.remove(0);
        }
        Attribute { path: names.into_iter().map(|name| format!("\"{name}\"").into()).collect(), is_prefixed }
    }

    /// From a path as text, its names between dots; `None` if one of them is empty.
    pub fn of_path(path: &str) -> Option<Self> {
        let is_whole = path.split('.').all(|name| !name.is_empty() && !name.contains(['"', '\\']));
        is_whole.then(|| Attribute::new(path.split('.')))
    }

    /// The field as text: of a text what it says, of a number or bool the letters of the payload. An object or a list is none.
    pub fn text<'a>(&self, event: &Event<'a>) -> Option<Cow<'a, str>> {
        let raw = self.find(event)?;
        match raw.as_bytes().first()? {
            b'"' => text_of(raw),
            b't' | b'f' | b'-' | b'0'..=b'9' => Some(raw),
            _ => None,
        }
    }

    /// The names of its path.
    fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.path.iter().map(|name| &name[1..name.len() - 1])
    }

    /// The field is there, and neither `null` nor `""`.
    pub fn is_present(&self, event: &Event<'_>) -> bool {
        self.find(event).is_some()
    }

    /// The field, if it is there and is a bool, a number or a text.
    pub(super) fn scalar<'a>(&self, event: &Event<'a>) -> Option<Scalar<'a>> {
        let raw = self.find(event)?;
        match raw.as_bytes().first()? {
            b't' => Some(Scalar::Bool(true)),
            b'f' => Some(Scalar::Bool(false)),
            b'"' => text_of(raw).map(Scalar::Text),
            b'-' | b'0'..=b'9' => Decimal::parse(&raw).map(Scalar::Number),
            _ => None,
        }
    }

    /// The field, if it is there and is a bool, a number or a text.
    pub(crate) fn exact<'a>(&self, event: &Event<'a>) -> Option<Exact<'a>> {
        let raw = self.find(event)?;
        match raw.as_bytes().first()? {
            b't' => Some(Exact::Bool(true)),
            b'f' => Some(Exact::Bool(false)),
            b'"' => text_of(raw).map(Exact::Text),
            b'-' | b'0'..=b'9' => normal_form(&raw).map(Exact::Number),
            _ => None,
        }
    }

    /// The field as an amount: a JSON number, or a text that is one.
    pub fn amount(&self, event: &Event<'_>) -> Option<Money> {
        match self.scalar(event)? {
            Scalar::Number(number) => number.exact(),
            Scalar::Text(digits) => digits.parse().ok(),
            Scalar::Bool(_) | Scalar::Time(_) => None,
        }
    }

    /// The raw JSON of the field; `null` and `""` count as absent.
    fn find<'a>(&self, event: &Event<'a>) -> Option<Cow<'a, str>> {
        if self.cannot_be_in(event.payload()) {
            return None;
        }
        let path = self.names();
        let at_root = || sonic_rs::get(event.payload(), path.clone()).ok();
        let found = if self.is_prefixed {
            let prefixed = std::iter::once(Self::PREFIX).chain(path.clone());
            sonic_rs::get(event.payload(), prefixed).ok().or_else(at_root)
        } else {
            at_root()
        };
        found.map(|value| value.as_raw_cow()).filter(|raw| !matches!(&**raw, "null" | "\"\""))
    }
}

impl Attribute {
    /// Where nothing is escaped, a name stands in the text as it is. Most payloads lack most attributes, and a parser that looks
    /// for one in vain takes twenty times as long.
    fn cannot_be_in(&self, payload: &str) -> bool {
        self.path.iter().any(|name| !payload.contains(&**name)) && !payload.contains('\\')
    }
}

/// The text of a JSON string, copied only where it has escapes.
fn text_of(raw: Cow<'_, str>) -> Option<Cow<'_, str>> {
    match raw {
        Cow::Borrowed(raw) if !raw.contains('\\') => raw.strip_prefix('"')?.strip_suffix('"').map(Cow::Borrowed),
        raw => sonic_rs::from_str::<String>(&raw).ok().map(Cow::Owned),
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_prefixed {
            write!(f, "{}.", Self::PREFIX)?;
        }
        f.write_str(&self.names().collect::<Vec<_>>().join("."))
    }
}
