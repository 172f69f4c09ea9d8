//! Conditions: the `where` of a mission, in CEL, compiled to exact predicates (DOMAIN §4).
//!
//! **Fields.** A name is a canonical field of DOMAIN §2 or one of its default aliases (`bet_amount` is
//! `amount`); any other name, or a path such as `stake.amount`, is an attribute: a field of the
//! payload. `attributes.x` is always the payload's own `x`.
//!
//! **Types.** Canonical fields have static types, and comparing a number with a text is an error of the
//! definition. Attributes have the type that each payload gives them. Numbers compare as exact
//! decimals, literals by the digits as written: `odds == 0.1` means a tenth.
//!
//! **Absent fields.** A field that is absent (or `null`, or `""`), or an attribute of a type that the
//! other side cannot be compared with, makes the comparison *unknown*. `!` of unknown is unknown;
//! `&&` and `||` follow Kleene: `a == 1 || b == 2` is true where `b` is 2, whatever `a` is. An event
//! qualifies only where the whole condition is true. `has(x)` is never unknown.

mod attribute;
mod compile;
mod decimal;
mod field;
mod literal;
mod predicate;
#[cfg(test)]
mod proptests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod value;

use std::fmt;
use std::sync::Arc;

use cel::Env;

pub use attribute::Attribute;
pub(crate) use attribute::Exact;
pub use field::TextSource;
pub(crate) use field::{Field, NumberField, canonical_event_name};
use predicate::Predicate;

use crate::{Event, Money};

/// A compiled condition; cheap to clone. Two are equal when their texts are.
#[derive(Clone, Debug)]
pub struct Condition(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    text: Box<str>,
    predicate: Predicate,
    equalities: Vec<(TextSource, Vec<Arc<str>>)>,
    minimum_amount: Option<Money>,
}

/// Something wrong with a condition's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (line {line}, column {column})")]
pub struct ConditionError {
    /// What is wrong, and what to write instead.
    pub message: String,
    /// Counts from 1.
    pub line: usize,
    /// Counts characters from 1.
    pub column: usize,
}

impl ConditionError {
    /// At a byte of `text`.
    fn at(text: &str, offset: usize, message: String) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        ConditionError { message, line, column: before[line_start..].chars().count() + 1 }
    }
}

impl Condition {
    /// Longest text of a condition, in bytes.
    pub const MAX_LEN: usize = 16 * 1024;

    /// Parses, type-checks and compiles a CEL expression.
    ///
    /// # Errors
    /// All that is wrong with it, in the order of the text.
    pub fn compile(text: &str) -> Result<Condition, Vec<ConditionError>> {
        if text.len() > Self::MAX_LEN {
            let message = format!("a condition has at most {} bytes, this one has {}", Self::MAX_LEN, text.len());
            return Err(vec![ConditionError::at(text, 0, message)]);
        }
        let predicate = with_deep_stack(text.len(), || predicate_of(text))?;
        let parts = predicate.conjuncts();
        let equalities = parts.iter().filter_map(Predicate::equality);
        let equalities = equalities.map(|(field, texts)| (field, texts.to_vec())).collect();
        let minimum_amount = parts.iter().filter_map(Predicate::minimum_amount).max();
        Ok(Condition(Arc::new(Compiled { text: text.into(), predicate, equalities, minimum_amount })))
    }

    /// The condition is true for `event`: neither false nor unknown.
    pub fn matches(&self, event: &Event<'_>) -> bool {
        self.0.predicate.holds(event)
    }

    /// Necessary conditions for an index: texts, each with the values of which a matching event has one.
    pub fn equalities(&self) -> &[(TextSource, Vec<Arc<str>>)] {
        &self.0.equalities
    }

    /// A necessary condition for an index: the least amount of a matching event, if there is one.
    pub fn minimum_amount(&self) -> Option<Money> {
        self.0.minimum_amount
    }

    /// The text that it was compiled from.
    pub fn text(&self) -> &str {
        &self.0.text
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Condition {}

impl std::hash::Hash for Condition {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text().hash(state);
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Parses and compiles. The syntax tree is dropped before this returns.
fn predicate_of(text: &str) -> Result<Predicate, Vec<ConditionError>> {
    // Without macros: `has(x)` stays a call, and `x.exists(…)` an unknown one.
    let parser = Env::default().with_optional_support(false).parser().enable_ident_escape_syntax(true);
    let (expr, source) = parser.parse_with_source_info(text).map_err(|errors| syntax_errors(text, &errors))?;
    compile::compile(&expr, &source).map_err(in_order)
}

/// Runs `work` on a stack that no text of `len` bytes overflows: the parser limits the depth of
/// parentheses, but descends once for each `.x` of a path and each operator of a chain.
fn with_deep_stack<R: Send>(len: usize, work: impl FnOnce() -> R + Send) -> R {
    const BASE: usize = 1 << 20;
    const PER_BYTE: usize = 4096;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("condition".to_owned()).stack_size(BASE + len * PER_BYTE);
        let handle = thread.spawn_scoped(scope, work).expect("the system can start a thread");
        handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn syntax_errors(text: &str, errors: &cel::ParseErrors) -> Vec<ConditionError> {
    let errors = errors.errors.iter().map(|error| {
        let place = |at: isize| usize::try_from(at).ok().filter(|at| *at > 0).unwrap_or(1);
        ConditionError { message: syntax_message(&error.msg), line: place(error.pos.0), column: place(error.pos.1) }
    });
    let errors: Vec<_> = errors.collect();
    if errors.is_empty() { vec![ConditionError::at(text, 0, "not a CEL expression".to_owned())] } else { errors }
}

/// The parser's message without the names of its token classes.
fn syntax_message(message: &str) -> String {
    if message.contains("Recursion limit") {
        return "too deeply nested".to_owned();
    }
    if message.contains("token recognition error at: '=") {
        return "syntax error at '=': compare with ==".to_owned();
    }
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message).replace("'<EOF>'", "the end");
    let message = message.replace("<EOF>", "the end");
    match message.split_once(" expecting {") {
        Some((what, _)) => format!("syntax error: {what}, where a field, a literal or '(' belongs"),
        None => format!("syntax error: {message}"),
    }
}

fn in_order(mut errors: Vec<ConditionError>) -> Vec<ConditionError> {
    errors.sort_by_key(|error| (error.line, error.column));
    errors
}
