//! Literals of CEL as exact values.

use std::borrow::Cow;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SourceInfo};

use super::value::Scalar;
use crate::{Money, Timestamp};

/// The value of a literal or of `timestamp("…")`. `None` if `expr` is neither.
pub(super) fn literal(expr: &IdedExpr, source: &SourceInfo) -> Option<Result<Scalar<'static>, String>> {
    match &expr.expr {
        Expr::Literal(LiteralValue::Boolean(flag)) => Some(Ok(Scalar::Bool(*flag.inner()))),
        Expr::Literal(LiteralValue::Int(number)) => Some(Ok(number_of(Money::from_units(*number.inner())))),
        Expr::Literal(LiteralValue::UInt(number)) => Some(amount(&number.inner().to_string())),
        Expr::Literal(LiteralValue::Double(number)) => {
            Some(amount(&digits(expr.id, number.is_sign_negative(), source)))
        }
        Expr::Literal(LiteralValue::String(text)) => Some(match text.inner() {
            "" => Err("an empty text counts as absent: use has(…) or !has(…)".to_owned()),
            text => Ok(Scalar::Text(Cow::Owned(text.to_owned()))),
        }),
        Expr::Literal(LiteralValue::Null) => Some(Err("null counts as absent: use has(…) or !has(…)".to_owned())),
        Expr::Literal(LiteralValue::Bytes(_)) => Some(Err("bytes cannot be compared with any field".to_owned())),
        Expr::Call(call) => timestamp(call),
        _ => None,
    }
}

/// The digits of a double as they were written: the parser's own f64 would round them.
fn digits(id: u64, is_negative: bool, source: &SourceInfo) -> String {
    let written = source.offset_for(id).and_then(|(start, stop)| {
        let (start, stop) = (usize::try_from(start).ok()?, usize::try_from(stop).ok()?);
        source.source.get(start..=stop)
    });
    let written = written.expect("the parser places every literal");
    // CEL allows `.5`; the sign is a token of its own.
    let zero = if written.starts_with('.') { "0" } else { "" };
    let sign = if is_negative { "-" } else { "" };
    format!("{sign}{zero}{written}")
}

fn amount(digits: &str) -> Result<Scalar<'static>, String> {
    digits.parse().map(number_of).map_err(|error| format!("{digits} cannot be compared exactly: {error}"))
}

fn number_of(amount: Money) -> Scalar<'static> {
    Scalar::Number(amount.into())
}

fn timestamp(call: &CallExpr) -> Option<Result<Scalar<'static>, String>> {
    if call.func_name != "timestamp" || call.target.is_some() {
        return None;
    }
    let [IdedExpr { expr: Expr::Literal(LiteralValue::String(text)), .. }] = call.args.as_slice() else {
        return Some(Err("timestamp takes one text, such as timestamp(\"2026-06-01T00:00:00Z\")".to_owned()));
    };
    let time = text.inner().parse::<Timestamp>();
    Some(time.map(Scalar::Time).map_err(|error| format!("'{}' is no RFC 3339 time: {error}", text.inner())))
}
