//! Random conditions over random events agree with a naive interpreter of three-valued logic.

use std::cmp::Ordering;
use std::fmt;

use proptest::prelude::*;
use proptest::sample::select;

use super::Condition;
use super::testing::TestEvent;
use crate::{Money, TextField};

/// A value of an event or a literal.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Bool(bool),
    /// Units of 10^-12: four digits more than an amount holds.
    Number(i64),
    Text(&'static str),
}

/// An event as a naive interpreter sees it.
#[derive(Clone, Debug)]
struct Model {
    game_type: Option<&'static str>,
    sport: Option<&'static str>,
    /// Units of 10^-8.
    amount: Option<i32>,
    odds: Option<i32>,
    /// `country` and `x.y`: of any type.
    country: Option<Value>,
    nested: Option<Value>,
}

#[derive(Clone, Debug)]
enum Expr {
    Constant(bool),
    Has(&'static str),
    Flag(&'static str),
    Compare(&'static str, &'static str, Value),
    Flipped(Value, &'static str, &'static str),
    Fields(&'static str, &'static str, &'static str),
    In(&'static str, Vec<Value>),
    Like(&'static str, &'static str, &'static str),
    Not(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
}

impl Model {
    fn value(&self, field: &str) -> Option<Value> {
        let number = |units: i32| Value::Number(i64::from(units) * 10_000);
        match field {
            "game_type" => self.game_type.map(Value::Text),
            "sport" => self.sport.map(Value::Text),
            "amount" => self.amount.map(number),
            "odds" => self.odds.map(number),
            "country" => self.country.clone(),
            "x.y" => self.nested.clone(),
            other => panic!("no field {other}"),
        }
    }

    fn event(&self) -> TestEvent {
        let mut event = TestEvent::new("bet_placed");
        for (field, text) in [(TextField::GameType, self.game_type), (TextField::Sport, self.sport)] {
            if let Some(text) = text {
                event = event.text(field, text);
            }
        }
        let money = |units: Option<i32>| units.map(|units| Money::from_raw(i128::from(units)));
        let event = event.with(|row| (row.amount, row.odds) = (money(self.amount), money(self.odds)));
        // An absent attribute is left out, null or empty.
        let json = |value: &Option<Value>, absent: &str| value.as_ref().map_or(absent.to_owned(), Value::json);
        let country = json(&self.country, "null");
        let nested = json(&self.nested, "\"\"");
        match self.country {
            None if self.sport.is_some() => event.payload(&format!(r#"{{"x":{{"y":{nested}}}}}"#)),
            _ => event.payload(&format!(r#"{{"country":{country},"x":{{"y":{nested}}}}}"#)),
        }
    }
}

impl Value {
    fn json(&self) -> String {
        match self {
            Value::Bool(flag) => flag.to_string(),
            Value::Number(units) => format!("{units}e-12"),
            Value::Text(text) => format!("\"{text}\""),
        }
    }

    /// The order of two values of one type.
    fn order(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
            (Value::Number(left), Value::Number(right)) => Some(left.cmp(right)),
            (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(flag) => flag.fmt(f),
            Value::Number(units) => write!(f, "{}", Money::from_raw(i128::from(units / 10_000))),
            Value::Text(text) => write!(f, "'{text}'"),
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Constant(flag) => flag.fmt(f),
            Expr::Has(field) => write!(f, "has({field})"),
            Expr::Flag(field) => f.write_str(field),
            Expr::Compare(field, operator, value) => write!(f, "{field} {operator} {value}"),
            Expr::Flipped(value, operator, field) => write!(f, "{value} {operator} {field}"),
            Expr::Fields(left, operator, right) => write!(f, "{left} {operator} {right}"),
            Expr::In(field, values) => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                write!(f, "{field} in [{}]", values.join(", "))
            }
            Expr::Like(field, function, text) => write!(f, "{field}.{function}('{text}')"),
            Expr::Not(inner) => write!(f, "!({inner})"),
            Expr::And(left, right) => write!(f, "({left} && {right})"),
            Expr::Or(left, right) => write!(f, "({left} || {right})"),
        }
    }
}

impl Expr {
    /// True, false, or unknown, straight from the definitions.
    fn interpret(&self, event: &Model) -> Option<bool> {
        match self {
            Expr::Constant(flag) => Some(*flag),
            Expr::Has(field) => Some(event.value(field).is_some()),
            Expr::Flag(field) => match event.value(field)? {
                Value::Bool(flag) => Some(flag),
                _ => None,
            },
            Expr::Compare(field, operator, value) => Some(holds(operator, event.value(field)?.order(value)?)),
            Expr::Flipped(value, operator, field) => Some(holds(operator, value.order(&event.value(field)?)?)),
            Expr::Fields(left, operator, right) => {
                Some(holds(operator, event.value(left)?.order(&event.value(right)?)?))
            }
            Expr::In(field, values) => {
                let value = event.value(field)?;
                value.order(&values[0])?;
                Some(values.contains(&value))
            }
            Expr::Like(field, function, text) => match event.value(field)? {
                Value::Text(value) => Some(match *function {
                    "startsWith" => value.starts_with(text),
                    "endsWith" => value.ends_with(text),
                    _ => value.contains(text),
                }),
                _ => None,
            },
            Expr::Not(inner) => inner.interpret(event).map(|outcome| !outcome),
            Expr::And(left, right) => match (left.interpret(event), right.interpret(event)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Expr::Or(left, right) => match (left.interpret(event), right.interpret(event)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
        }
    }
}

fn holds(operator: &str, order: Ordering) -> bool {
    match operator {
        "==" => order.is_eq(),
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        ">=" => order.is_ge(),
        other => panic!("no operator {other}"),
    }
}

const TEXTS: [&str; 5] = ["a", "ab", "b", "ba", "ü"];
const OPERATORS: [&str; 6] = ["==", "!=", "<", "<=", ">", ">="];

fn texts() -> impl Strategy<Value = &'static str> {
    select(&TEXTS[..])
}

/// Close together, so that equal ones and neighbours are common.
fn units() -> impl Strategy<Value = i32> {
    prop_oneof![-3..4_i32, select(vec![100_000_000, 99_999_999, 250_000_000])]
}

fn attribute() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        Just(None),
        any::<bool>().prop_map(|flag| Some(Value::Bool(flag))),
        (-40_000..40_000_i64).prop_map(|units| Some(Value::Number(units))),
        units().prop_map(|units| Some(Value::Number(i64::from(units) * 10_000))),
        texts().prop_map(|text| Some(Value::Text(text))),
    ]
}

fn model() -> impl Strategy<Value = Model> {
    let text = || proptest::option::of(texts());
    let number = || proptest::option::of(units());
    (text(), text(), number(), number(), attribute(), attribute()).prop_map(
        |(game_type, sport, amount, odds, country, nested)| Model { game_type, sport, amount, odds, country, nested },
    )
}

fn number_literal() -> impl Strategy<Value = Value> {
    units().prop_map(|units| Value::Number(i64::from(units) * 10_000))
}

fn text_literal() -> impl Strategy<Value = Value> {
    texts().prop_map(Value::Text)
}

fn test() -> impl Strategy<Value = Expr> {
    let text_field = || select(vec!["game_type", "sport", "country", "x.y"]);
    let number_field = || select(vec!["amount", "odds", "country", "x.y"]);
    let attribute = || select(vec!["country", "x.y"]);
    let operator = || select(&OPERATORS[..]);
    let equality = || select(&OPERATORS[..2]);
    let literal = || prop_oneof![number_literal(), text_literal()];
    prop_oneof![
        any::<bool>().prop_map(Expr::Constant),
        select(vec!["game_type", "amount", "country", "x.y"]).prop_map(Expr::Has),
        attribute().prop_map(Expr::Flag),
        (text_field(), operator(), text_literal()).prop_map(|(f, o, v)| Expr::Compare(f, o, v)),
        (number_field(), operator(), number_literal()).prop_map(|(f, o, v)| Expr::Compare(f, o, v)),
        (attribute(), equality(), any::<bool>()).prop_map(|(f, o, v)| Expr::Compare(f, o, Value::Bool(v))),
        (literal(), operator(), attribute()).prop_map(|(v, o, f)| Expr::Flipped(v, o, f)),
        (number_literal(), operator(), Just("amount")).prop_map(|(v, o, f)| Expr::Flipped(v, o, f)),
        select(vec![("amount", "odds"), ("game_type", "sport"), ("amount", "country"), ("x.y", "sport")])
            .prop_flat_map(move |(left, right)| {
                operator().prop_map(move |operator| Expr::Fields(left, operator, right))
            }),
        (text_field(), prop::collection::vec(text_literal(), 1..4)).prop_map(|(f, v)| Expr::In(f, v)),
        (number_field(), prop::collection::vec(number_literal(), 1..4)).prop_map(|(f, v)| Expr::In(f, v)),
        (text_field(), select(vec!["startsWith", "endsWith", "contains"]), texts())
            .prop_map(|(f, function, text)| Expr::Like(f, function, text)),
    ]
}

fn expr() -> impl Strategy<Value = Expr> {
    test().prop_recursive(5, 32, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|expr| Expr::Not(Box::new(expr))),
            (inner.clone(), inner.clone()).prop_map(|(l, r)| Expr::And(Box::new(l), Box::new(r))),
            (inner.clone(), inner).prop_map(|(l, r)| Expr::Or(Box::new(l), Box::new(r))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn agrees_with_a_naive_interpreter(expr in expr(), models in prop::collection::vec(model(), 8)) {
        let text = expr.to_string();
        let condition = Condition::compile(&text).map_err(|errors| TestCaseError::fail(format!("{text}: {errors:?}")))?;
        for model in models {
            let expected = expr.interpret(&model) == Some(true);
            model.event().see(|event| {
                prop_assert_eq!(condition.matches(event), expected, "{} on {:?}", &text, &model);
                if expected {
                    // What the index relies on is necessary.
                    for (source, texts) in condition.equalities() {
                        prop_assert!(source.text(event).is_some_and(|text| texts.iter().any(|known| **known == *text)));
                    }
                    if let Some(least) = condition.minimum_amount() {
                        prop_assert!(event.amount().is_some_and(|amount| amount >= least));
                    }
                }
                Ok(())
            })?;
        }
    }

    #[test]
    fn no_text_panics(text in "[a-c.'\"0-9=!<>&|()\\[\\], \\\\+-]{0,40}|\\PC{0,20}") {
        let _ = Condition::compile(&text);
    }
}
