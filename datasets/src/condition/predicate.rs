//! Compiled conditions: trees of tests that an event passes for certain or does not.
//!
//! CEL's `&& || !` over three values (true, false, unknown because a field is absent) need no third
//! value here. The compiler pushes `!` down to the tests (De Morgan's laws hold in Kleene's logic),
//! each test says which outcome it needs, and an unknown outcome is neither. What is left is
//! "every one" and "any one" of things that hold for certain, which can stop at the first answer and
//! be tried in any order.

use std::cmp::Ordering;
use std::sync::Arc;

use regex::Regex;

use super::field::{Field, NumberField, TextSource};
use super::value::Scalar;
use crate::{Event, Money};

/// What must hold for certain.
#[derive(Clone, Debug)]
pub(super) enum Predicate {
    All(Vec<Predicate>),
    Any(Vec<Predicate>),
    /// The test's outcome is known, and is `expected`.
    Is {
        test: Test,
        expected: bool,
    },
}

/// One question about an event. Its outcome is unknown when a field that it needs is absent.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Constant(bool),
    Present(Field),
    /// The field itself is true.
    Flag(Field),
    Compare {
        left: Field,
        operator: Comparison,
        right: Operand,
    },
    /// The text is one of these, sorted.
    TextIn {
        field: Field,
        texts: Box<[Arc<str>]>,
    },
    /// The value equals one of these.
    ValueIn {
        field: Field,
        values: Box<[Scalar<'static>]>,
    },
    Like {
        field: Field,
        pattern: Pattern,
    },
}

/// The right side of a comparison.
#[derive(Clone, Debug)]
pub(super) enum Operand {
    Field(Field),
    Literal(Scalar<'static>),
}

/// An operator of CEL that compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What a text may look like.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    StartsWith(Arc<str>),
    EndsWith(Arc<str>),
    Contains(Arc<str>),
    Matches(Regex),
}

impl Comparison {
    /// The operator that holds exactly where this one does not.
    pub(super) fn negated(self) -> Self {
        match self {
            Comparison::Equal => Comparison::NotEqual,
            Comparison::NotEqual => Comparison::Equal,
            Comparison::Less => Comparison::GreaterOrEqual,
            Comparison::LessOrEqual => Comparison::Greater,
            Comparison::Greater => Comparison::LessOrEqual,
            Comparison::GreaterOrEqual => Comparison::Less,
        }
    }

    /// The operator for exchanged sides.
    pub(super) fn flipped(self) -> Self {
        match self {
            Comparison::Less => Comparison::Greater,
            Comparison::LessOrEqual => Comparison::GreaterOrEqual,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterOrEqual => Comparison::LessOrEqual,
            symmetric => symmetric,
        }
    }

    pub(super) fn is_ordering(self) -> bool {
        !matches!(self, Comparison::Equal | Comparison::NotEqual)
    }

    pub(super) fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Predicate {
    /// Holds where every part does.
    pub(super) fn all(parts: Vec<Predicate>) -> Self {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Predicate::All(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        flat.sort_by_key(Predicate::cost);
        single_or(flat, Predicate::All)
    }

    /// Holds where one part does.
    pub(super) fn any(parts: Vec<Predicate>) -> Self {
        let mut flat: Vec<Predicate> = Vec::with_capacity(parts.len());
        for part in parts {
            let inner = if let Predicate::Any(inner) = part { inner } else { vec![part] };
            for part in inner {
                if !flat.iter_mut().any(|known| known.absorb(&part)) {
                    flat.push(part);
                }
            }
        }
        flat.sort_by_key(Predicate::cost);
        single_or(flat, Predicate::Any)
    }

    /// Turns `x == 'a'` into `x in ['a', 'b']` when `other` is `x == 'b'`: the index looks for such lists.
    fn absorb(&mut self, other: &Predicate) -> bool {
        let Predicate::Is { test: Test::TextIn { field, texts }, expected: true } = self else { return false };
        match other {
            Predicate::Is { test: Test::TextIn { field: same, texts: more }, expected: true } if field == same => {
                *texts = sorted(texts.iter().chain(more).cloned().collect());
                true
            }
            _ => false,
        }
    }

    /// What is cheap goes first: a look into the payload costs more than any number of canonical fields.
    fn cost(&self) -> u32 {
        match self {
            Predicate::All(parts) | Predicate::Any(parts) => parts.iter().map(Predicate::cost).sum(),
            Predicate::Is { test, .. } => test.cost(),
        }
    }

    /// The predicate holds for certain.
    pub(super) fn holds(&self, event: &Event<'_>) -> bool {
        match self {
            Predicate::All(parts) => parts.iter().all(|part| part.holds(event)),
            Predicate::Any(parts) => parts.iter().any(|part| part.holds(event)),
            Predicate::Is { test, expected } => test.outcome(event) == Some(*expected),
        }
    }

    /// The parts that must all hold.
    pub(super) fn conjuncts(&self) -> &[Predicate] {
        match self {
            Predicate::All(parts) => parts,
            other => std::slice::from_ref(other),
        }
    }

    /// A text, and the values of which it must have one.
    pub(super) fn equality(&self) -> Option<(TextSource, &[Arc<str>])> {
        let Predicate::Is { test: Test::TextIn { field, texts }, expected: true } = self else { return None };
        match field {
            Field::Text(field) => Some((TextSource::Field(*field), texts)),
            Field::Attribute(attribute) => Some((TextSource::Attribute(attribute.clone()), texts)),
            Field::Number(_) | Field::Time(_) | Field::Granted => None,
        }
    }

    /// The least amount that an event must have for this to hold.
    pub(super) fn minimum_amount(&self) -> Option<Money> {
        let Predicate::Is { test, expected: true } = self else { return None };
        match test {
            Test::Compare {
                left: Field::Number(NumberField::Amount),
                operator,
                right: Operand::Literal(Scalar::Number(bound)),
            } => {
                let bound = bound.exact()?;
                match operator {
                    Comparison::Equal | Comparison::GreaterOrEqual => Some(bound),
                    Comparison::Greater => Some(bound + Money::from_raw(1)),
                    _ => None,
                }
            }
            Test::ValueIn { field: Field::Number(NumberField::Amount), values } => {
                let amount = |value: &Scalar<'_>| match value {
                    Scalar::Number(number) => number.exact(),
                    _ => None,
                };
                values.iter().map(amount).collect::<Option<Vec<Money>>>()?.into_iter().min()
            }
            _ => None,
        }
    }
}

impl Test {
    fn cost(&self) -> u32 {
        const CANONICAL: u32 = 1;
        const TEXT_SEARCH: u32 = 20;
        const PAYLOAD: u32 = 1000;
        let of = |field: &Field| if matches!(field, Field::Attribute(_)) { PAYLOAD } else { CANONICAL };
        match self {
            Test::Constant(_) => 0,
            Test::Present(field) | Test::Flag(field) => of(field),
            Test::Compare { left, right: Operand::Field(right), .. } => of(left) + of(right),
            Test::Compare { left: field, .. } | Test::TextIn { field, .. } | Test::ValueIn { field, .. } => of(field),
            Test::Like { field, .. } => of(field) + TEXT_SEARCH,
        }
    }

    /// True or false; `None` when a field that is needed is absent or of a type that cannot be compared.
    fn outcome(&self, event: &Event<'_>) -> Option<bool> {
        match self {
            Test::Constant(outcome) => Some(*outcome),
            Test::Present(field) => Some(field.is_present(event)),
            Test::Flag(field) => match field.value(event)? {
                Scalar::Bool(flag) => Some(flag),
                _ => None,
            },
            Test::Compare { left, operator, right } => {
                let left = left.value(event)?;
                if operator.is_ordering() && matches!(left, Scalar::Bool(_)) {
                    return None;
                }
                let order = match right {
                    Operand::Field(right) => left.compare(&right.value(event)?)?,
                    Operand::Literal(right) => left.compare(right)?,
                };
                Some(operator.holds(order))
            }
            Test::TextIn { field, texts } => match field.value(event)? {
                Scalar::Text(text) => Some(texts.binary_search_by(|known| known.as_ref().cmp(&text)).is_ok()),
                _ => None,
            },
            Test::ValueIn { field, values } => {
                let value = field.value(event)?;
                // All values are of one type: what cannot be compared with the first fits none.
                let orders = values.iter().map(|known| value.compare(known));
                orders.collect::<Option<Vec<_>>>().map(|orders| orders.contains(&Ordering::Equal))
            }
            Test::Like { field, pattern } => match field.value(event)? {
                Scalar::Text(text) => Some(pattern.is_match(&text)),
                _ => None,
            },
        }
    }
}

impl Pattern {
    fn is_match(&self, text: &str) -> bool {
        match self {
            Pattern::StartsWith(part) => text.starts_with(part.as_ref()),
            Pattern::EndsWith(part) => text.ends_with(part.as_ref()),
            Pattern::Contains(part) => text.contains(part.as_ref()),
            Pattern::Matches(regex) => regex.is_match(text),
        }
    }
}

/// Ready for a binary search.
pub(super) fn sorted(mut texts: Vec<Arc<str>>) -> Box<[Arc<str>]> {
    texts.sort_unstable();
    texts.dedup();
    texts.into()
}

fn single_or(mut parts: Vec<Predicate>, combine: fn(Vec<Predicate>) -> Predicate) -> Predicate {
    if parts.len() == 1 { parts.remove(0) } else { combine(parts) }
}
