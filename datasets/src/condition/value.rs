//! Values and their types, as conditions compare them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use super::decimal::Decimal;
use crate::Timestamp;

/// The static type of an operand. Attributes are [`Type::Dynamic`]: the payload decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Number,
    Text,
    Time,
    Dynamic,
}

impl Type {
    /// Values of the two types may be compared.
    pub(super) fn fits(self, other: Type) -> bool {
        self == other || self == Type::Dynamic || other == Type::Dynamic
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::Bool => "a bool",
            Type::Number => "a number",
            Type::Text => "a text",
            Type::Time => "a time",
            Type::Dynamic => "an attribute",
        })
    }
}

/// The value of a field or of a literal.
#[derive(Clone, Debug)]
pub(super) enum Scalar<'a> {
    Bool(bool),
    Number(Decimal),
    Text(Cow<'a, str>),
    Time(Timestamp),
}

impl Scalar<'_> {
    pub(super) fn type_of(&self) -> Type {
        match self {
            Scalar::Bool(_) => Type::Bool,
            Scalar::Number(_) => Type::Number,
            Scalar::Text(_) => Type::Text,
            Scalar::Time(_) => Type::Time,
        }
    }

    /// The order of two values; `None` between values of types that have none. Texts are in the order
    /// of their code points; a text beside a time is read as RFC 3339.
    pub(super) fn compare(&self, other: &Scalar<'_>) -> Option<Ordering> {
        match (self, other) {
            (Scalar::Bool(left), Scalar::Bool(right)) => Some(left.cmp(right)),
            (Scalar::Number(left), Scalar::Number(right)) => left.compare(*right),
            (Scalar::Text(left), Scalar::Text(right)) => Some(left.cmp(right)),
            (Scalar::Time(left), Scalar::Time(right)) => Some(left.cmp(right)),
            (Scalar::Text(left), Scalar::Time(right)) => Some(left.parse::<Timestamp>().ok()?.cmp(right)),
            (Scalar::Time(left), Scalar::Text(right)) => Some(left.cmp(&right.parse::<Timestamp>().ok()?)),
            _ => None,
        }
    }
}
