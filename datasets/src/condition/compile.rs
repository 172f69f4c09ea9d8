//! From CEL's syntax tree to a [`Predicate`]: names are resolved, types checked, literals read
//! exactly. Every error is reported, not only the first.

use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr, IdedExpr, ListExpr, LiteralValue, SourceInfo, operators};
use regex::RegexBuilder;

use super::ConditionError;
use super::field::{Field, canonical_event_name};
use super::literal::literal;
use super::predicate::{Comparison, Operand, Pattern, Predicate, Test, sorted};
use super::value::{Scalar, Type};
use crate::TextField;

/// Bounds the memory of one `matches`.
const REGEX_SIZE_LIMIT: usize = 1 << 20;

pub(super) const SUPPORTED: &str = "supported are == != < <= > >=, && || !, in […], has(x), startsWith, endsWith, contains, \
                         matches and timestamp(\"…\")";

/// Checks and compiles a parsed text.
pub(super) fn compile(expr: &IdedExpr, source: &SourceInfo) -> Result<Predicate, Vec<ConditionError>> {
    let mut compiler = Compiler { source, errors: Vec::new() };
    match compiler.predicate(expr, true) {
        Some(predicate) if compiler.errors.is_empty() => Ok(predicate),
        _ => Err(compiler.errors),
    }
}

/// Functions return `None` after they have reported an error.
struct Compiler<'s> {
    source: &'s SourceInfo,
    errors: Vec<ConditionError>,
}

/// One side of a comparison.
enum Side {
    Field(Field, String),
    Literal(Scalar<'static>),
}

impl Side {
    fn type_of(&self) -> Type {
        match self {
            Side::Field(field, _) => field.type_of(),
            Side::Literal(value) => value.type_of(),
        }
    }

    fn describe(&self) -> String {
        match self {
            Side::Field(_, name) => format!("`{name}` is {}", self.type_of()),
            Side::Literal(_) => format!("the literal is {}", self.type_of()),
        }
    }
}

impl Compiler<'_> {
    /// What must hold so that the outcome of `expr` is `expected`.
    fn predicate(&mut self, expr: &IdedExpr, expected: bool) -> Option<Predicate> {
        match &expr.expr {
            Expr::Literal(LiteralValue::Boolean(flag)) => is(Test::Constant(*flag.inner()), expected),
            Expr::Ident(_) | Expr::Select(_) => self.flag(expr, expected),
            Expr::Call(call) => self.call(expr, call, expected),
            Expr::Literal(_) => self.error(expr, "a literal is no condition: compare it with a field"),
            _ => self.unsupported(expr, "this expression"),
        }
    }

    fn call(&mut self, expr: &IdedExpr, call: &CallExpr, expected: bool) -> Option<Predicate> {
        match (call.func_name.as_str(), &call.target, call.args.as_slice()) {
            (operators::LOGICAL_NOT, None, [operand]) => self.predicate(operand, !expected),
            (name @ (operators::LOGICAL_AND | operators::LOGICAL_OR), None, [left, right]) => {
                let (left, right) = (self.predicate(left, expected), self.predicate(right, expected));
                let parts = vec![left?, right?];
                // Not (a and b) is (not a) or (not b).
                let is_all = (name == operators::LOGICAL_AND) == expected;
                Some(if is_all { Predicate::all(parts) } else { Predicate::any(parts) })
            }
            (operators::IN, None, [value, list]) => self.member(expr, value, list, expected),
            ("has", None, [argument]) => {
                let (field, _) = self.field(argument)?;
                is(Test::Present(field), expected)
            }
            ("has", ..) => self.error(expr, "has takes one field, such as has(game_type)"),
            (name @ ("startsWith" | "endsWith" | "contains" | "matches"), Some(target), arguments) => {
                self.pattern(expr, name, target, arguments, expected)
            }
            (name, None, [left, right]) if comparison(name).is_some() => {
                let operator = comparison(name).expect("checked by the guard");
                self.comparison(expr, left, operator, right, expected)
            }
            (name, ..) => {
                let what = match name {
                    operators::ADD
                    | operators::SUBSTRACT
                    | operators::MULTIPLY
                    | operators::DIVIDE
                    | operators::MODULO
                    | operators::NEGATE => "arithmetic".to_owned(),
                    operators::CONDITIONAL => "`? :`".to_owned(),
                    operators::INDEX => "`[…]` after a field".to_owned(),
                    operators::IN => "this form of `in`".to_owned(),
                    name => format!("the function `{name}`"),
                };
                self.unsupported(expr, &what)
            }
        }
    }

    /// A field that is a condition by itself.
    fn flag(&mut self, expr: &IdedExpr, expected: bool) -> Option<Predicate> {
        let (field, name) = self.field(expr)?;
        match field.type_of() {
            Type::Bool | Type::Dynamic => is(Test::Flag(field), expected),
            other => self.error(expr, format!("`{name}` is {other}, not a bool: compare it with something")),
        }
    }

    fn comparison(
        &mut self,
        expr: &IdedExpr,
        left: &IdedExpr,
        operator: Comparison,
        right: &IdedExpr,
        expected: bool,
    ) -> Option<Predicate> {
        let (left, right) = (self.side(left), self.side(right));
        let (left, right) = (left?, right?);
        if !left.type_of().fits(right.type_of()) {
            let hint = match (left.type_of(), right.type_of()) {
                (Type::Time, Type::Text) | (Type::Text, Type::Time) => ": write timestamp(\"…\")",
                (Type::Number, Type::Text) | (Type::Text, Type::Number) => ": numbers are written without quotes",
                _ => "",
            };
            let message = format!("{} and {}, which cannot be compared{hint}", left.describe(), right.describe());
            return self.error(expr, message);
        }
        if operator.is_ordering() && (left.type_of() == Type::Bool || right.type_of() == Type::Bool) {
            return self.error(expr, "bools have no order: use == or !=");
        }
        let (field, operator, right) = match (left, right) {
            (Side::Literal(left), Side::Literal(right)) => {
                let outcome = left.compare(&right).map(|order| operator.holds(order));
                return is(Test::Constant(outcome.expect("literals of one type have an order")), expected);
            }
            (Side::Field(left, _), Side::Field(right, _)) => (left, operator, Operand::Field(right)),
            (Side::Field(field, _), Side::Literal(value)) => (field, operator, Operand::Literal(value)),
            (Side::Literal(value), Side::Field(field, _)) => (field, operator.flipped(), Operand::Literal(value)),
        };
        match (operator, right) {
            (Comparison::Equal | Comparison::NotEqual, Operand::Literal(Scalar::Text(text))) => {
                let texts = [canonical(&field, &text)].into();
                is(Test::TextIn { field, texts }, (operator == Comparison::Equal) == expected)
            }
            (Comparison::Equal | Comparison::NotEqual, Operand::Literal(Scalar::Bool(flag))) => {
                is(Test::Flag(field), (flag == (operator == Comparison::Equal)) == expected)
            }
            (operator, right) => {
                let operator = if expected { operator } else { operator.negated() };
                is(Test::Compare { left: field, operator, right }, true)
            }
        }
    }

    /// `value in [literals]`.
    fn member(&mut self, expr: &IdedExpr, value: &IdedExpr, list: &IdedExpr, expected: bool) -> Option<Predicate> {
        let field = self.field(value);
        let Expr::List(ListExpr { elements, .. }) = &list.expr else {
            return self.error(expr, "`in` takes a list of literals, such as game_type in ['slots', 'bingo']");
        };
        let values: Vec<Option<Scalar<'static>>> = elements.iter().map(|element| self.list_element(element)).collect();
        let (field, name) = field?;
        let values = values.into_iter().collect::<Option<Vec<_>>>()?;
        let Some(of) = values.first().map(Scalar::type_of) else {
            return self.error(list, "the list is empty");
        };
        if values.iter().any(|value| value.type_of() != of) {
            return self.error(list, "the values of a list must be of one type");
        }
        if of == Type::Bool || !field.type_of().fits(of) {
            let message = format!("`{name}` is {} and the list has values of another type ({of})", field.type_of());
            return self.error(expr, message);
        }
        if of != Type::Text {
            return is(Test::ValueIn { field, values: values.into() }, expected);
        }
        let texts = values.iter().filter_map(|value| match value {
            Scalar::Text(text) => Some(canonical(&field, text)),
            _ => None,
        });
        let texts = sorted(texts.collect());
        is(Test::TextIn { field, texts }, expected)
    }

    fn list_element(&mut self, element: &IdedExpr) -> Option<Scalar<'static>> {
        match literal(element, self.source) {
            Some(Ok(value)) => Some(value),
            Some(Err(message)) => self.error(element, message),
            None => self.error(element, "the values of a list must be literals"),
        }
    }

    fn pattern(
        &mut self,
        expr: &IdedExpr,
        function: &str,
        target: &IdedExpr,
        arguments: &[IdedExpr],
        expected: bool,
    ) -> Option<Predicate> {
        let (field, name) = self.field(target)?;
        if !field.type_of().fits(Type::Text) {
            return self.error(expr, format!("`{name}` is {}, and {function} needs a text", field.type_of()));
        }
        let [IdedExpr { expr: Expr::Literal(LiteralValue::String(text)), .. }] = arguments else {
            return self.error(expr, format!("{function} takes one text literal"));
        };
        let part: Arc<str> = text.inner().into();
        let pattern = match function {
            "startsWith" => Pattern::StartsWith(part),
            "endsWith" => Pattern::EndsWith(part),
            "contains" => Pattern::Contains(part),
            _ => match RegexBuilder::new(&part).size_limit(REGEX_SIZE_LIMIT).build() {
                Ok(regex) => Pattern::Matches(regex),
                Err(error) => {
                    // Its last line says what; the ones before draw where.
                    let error = error.to_string();
                    let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                    return self.error(expr, format!("'{part}' is no regular expression: {reason}"));
                }
            },
        };
        is(Test::Like { field, pattern }, expected)
    }

    fn side(&mut self, expr: &IdedExpr) -> Option<Side> {
        match literal(expr, self.source) {
            Some(Ok(value)) => return Some(Side::Literal(value)),
            Some(Err(message)) => return self.error(expr, message),
            None => {}
        }
        match &expr.expr {
            Expr::Ident(_) | Expr::Select(_) => self.field(expr).map(|(field, name)| Side::Field(field, name)),
            Expr::Call(call) if comparison(&call.func_name).is_some() || is_condition(&call.func_name) => {
                self.error(expr, "conditions cannot be compared with each other: combine them with && || !")
            }
            Expr::Call(call) => {
                // Reports what is not supported about the call.
                self.call(expr, call, true).and_then(|_| self.unsupported(expr, "comparing this"))
            }
            _ => self.unsupported(expr, "comparing this"),
        }
    }

    /// The field that `expr` names, and its name as written.
    fn field(&mut self, expr: &IdedExpr) -> Option<(Field, String)> {
        let Some(names) = names(expr) else {
            return self.error(expr, "this must be a field, such as game_type or attributes.country");
        };
        let name = names.join(".");
        match Field::named(&names) {
            Ok(_) if name.starts_with('.') => self.error(expr, format!("write `{}`", name.trim_start_matches('.'))),
            Ok(field) => Some((field, name)),
            Err(message) => self.error(expr, message),
        }
    }

    fn unsupported<T>(&mut self, expr: &IdedExpr, what: &str) -> Option<T> {
        self.error(expr, format!("{what} is not supported in conditions: {SUPPORTED}"))
    }

    fn error<T>(&mut self, expr: &IdedExpr, message: impl Into<String>) -> Option<T> {
        let offset = self.source.offset_for(leftmost(expr).id).map_or(0, |(start, _)| start);
        let offset = usize::try_from(offset).unwrap_or(0);
        self.errors.push(ConditionError::at(&self.source.source, offset, message.into()));
        None
    }
}

fn is(test: Test, expected: bool) -> Option<Predicate> {
    Some(Predicate::Is { test, expected })
}

fn comparison(function: &str) -> Option<Comparison> {
    Some(match function {
        operators::EQUALS => Comparison::Equal,
        operators::NOT_EQUALS => Comparison::NotEqual,
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn is_condition(function: &str) -> bool {
    matches!(function, operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT | operators::IN | "has")
}

/// `a.b.c` as its names; `None` for anything else.
fn names(expr: &IdedExpr) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    let mut expr = expr;
    loop {
        match &expr.expr {
            Expr::Select(select) if !select.test => {
                names.push(select.field.as_str());
                expr = &select.operand;
            }
            Expr::Ident(name) => {
                names.push(name);
                names.reverse();
                return Some(names);
            }
            _ => return None,
        }
    }
}

/// Where an expression begins: the parser places a path at its dot and a call at its parenthesis.
fn leftmost(mut expr: &IdedExpr) -> &IdedExpr {
    loop {
        expr = match &expr.expr {
            Expr::Select(select) => &select.operand,
            Expr::Call(CallExpr { target: Some(target), .. }) => target,
            _ => return expr,
        };
    }
}

/// A text as events carry it in `field`.
fn canonical(field: &Field, text: &str) -> Arc<str> {
    Arc::from(if *field == Field::Text(TextField::EventName) { canonical_event_name(text) } else { text })
}
