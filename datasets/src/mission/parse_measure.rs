//! From the JSON of a stage's measure and target to [`Measure`].

use std::sync::Arc;

use super::json::{Errors, Members, Place};
use super::{Measure, MissionDefaults, Periods, Quantity, Stage, Values, Weights, Window};
use crate::condition::{Field, NumberField, TextSource};
use crate::time::Every;
use crate::{Money, Timestamp};

/// The kinds of DOMAIN §4.
#[derive(Clone, Copy)]
enum MeasureKind {
    Count,
    Sum,
    Run,
    Distinct,
    Streak,
    Max,
}

const MEASURES: [(&str, MeasureKind); 6] = [
    ("count", MeasureKind::Count),
    ("sum", MeasureKind::Sum),
    ("run", MeasureKind::Run),
    ("distinct", MeasureKind::Distinct),
    ("streak", MeasureKind::Streak),
    ("max", MeasureKind::Max),
];

const PERIODS: [(&str, Every); 2] = [("day", Every::Day), ("week", Every::Week)];

/// Stands in weights for every value that they do not name.
const OTHERS: &str = "*";

/// A stage's measure. The zone of `defaults` is that of the mission's window.
pub(super) fn measure(place: &Place<'_>, defaults: &MissionDefaults, errors: &mut Errors) -> Option<Measure> {
    let mut members = place.members(errors)?;
    let kind_place = members.require("kind", errors)?;
    let measure = match kind_place.choice(&MEASURES, errors)? {
        MeasureKind::Count => Some(Measure::Count),
        MeasureKind::Run => Some(Measure::Run),
        MeasureKind::Sum => sum(&mut members, defaults, errors),
        MeasureKind::Max => max(&mut members, defaults, errors),
        MeasureKind::Streak => streak(&mut members, defaults, errors),
        MeasureKind::Distinct => distinct(&mut members, errors),
    };
    members.finish(errors);
    measure
}

fn sum(members: &mut Members<'_>, defaults: &MissionDefaults, errors: &mut Errors) -> Option<Measure> {
    let field = members.require("field", errors).and_then(|place| quantity(&place, "summed", errors));
    let weights = members.take("weights").map_or(Some(None), |place| weights(&place, errors).map(Some));
    let real_money_only = members.take("real_money_only").and_then(|place| {
        let flag = place.flag(errors)?;
        if flag && field.as_ref().is_some_and(|field| *field != Quantity::Amount) {
            return errors.fail(&place.path, "only the field amount has a part that was bonus money");
        }
        Some(flag)
    });
    let currency = currency(members, field.as_ref(), defaults, errors);
    let real_money_only = real_money_only.unwrap_or(false);
    Some(Measure::Sum { field: field?, currency, real_money_only, weights: weights? })
}

fn max(members: &mut Members<'_>, defaults: &MissionDefaults, errors: &mut Errors) -> Option<Measure> {
    let field = members.require("field", errors).and_then(|place| quantity(&place, "compared by size", errors));
    let currency = currency(members, field.as_ref(), defaults, errors);
    Some(Measure::Max { field: field?, currency })
}

fn streak(members: &mut Members<'_>, defaults: &MissionDefaults, errors: &mut Errors) -> Option<Measure> {
    let every = members.take("every").map_or(Some(Every::Day), |place| place.choice(&PERIODS, errors))?;
    let MissionDefaults { zone, zone_name, .. } = defaults.clone();
    Some(Measure::Streak(Periods { every, zone, zone_name }))
}

fn distinct(members: &mut Members<'_>, errors: &mut Errors) -> Option<Measure> {
    let place = members.require("field", errors)?;
    let name = place.text(errors)?;
    match Values::of(field(&place, name, errors)?) {
        Ok(values) => Some(Measure::Distinct(values)),
        Err(what) => errors.fail(&place.path, format!("'{name}' {what}")),
    }
}

/// The currency of `field`, where that is money.
fn currency(
    members: &mut Members<'_>,
    field: Option<&Quantity>,
    defaults: &MissionDefaults,
    errors: &mut Errors,
) -> Option<Arc<str>> {
    let named = members.take("currency").and_then(|place| {
        let code = place.text(errors)?;
        if !defaults.currencies.contains(code) {
            let message = format!("'{code}' is neither in ISO 4217 nor in the configured currencies");
            return errors.fail(&place.path, message);
        }
        if field.is_some_and(|field| !field.is_money()) {
            return errors.fail(&place.path, "only amount and bonus_amount are in a currency");
        }
        Some(Arc::from(code))
    });
    field.filter(|field| field.is_money()).map(|_| named.unwrap_or_else(|| defaults.currency.clone()))
}

/// The field of the name at `place`, or its name as it is there.
fn field<'j>(place: &Place<'_>, name: &'j str, errors: &mut Errors) -> Option<Field> {
    let names: Vec<&'j str> = name.split('.').collect();
    if names.iter().any(|name| name.is_empty()) {
        return errors.fail(&place.path, format!("'{name}' is no field"));
    }
    Field::named(&names).map_err(|message| errors.add(&place.path, message)).ok()
}

fn quantity(place: &Place<'_>, used: &str, errors: &mut Errors) -> Option<Quantity> {
    let name = place.text(errors)?;
    let what = match field(place, name, errors)? {
        Field::Number(NumberField::Amount) => return Some(Quantity::Amount),
        Field::Number(NumberField::BonusAmount) => return Some(Quantity::BonusAmount),
        Field::Number(NumberField::Odds) => return Some(Quantity::Odds),
        Field::Attribute(attribute) => return Some(Quantity::Attribute(attribute)),
        Field::Number(NumberField::ExchangeRate) => "a rate",
        Field::Text(_) => "a text",
        Field::Time(_) => "a time",
        Field::Granted => "a bool",
    };
    errors.fail(&place.path, format!("'{name}' is {what} and cannot be {used}"))
}

fn weights(place: &Place<'_>, errors: &mut Errors) -> Option<Weights> {
    let fields = place.members(errors)?.all();
    let [(name, values)] = &fields[..] else {
        return errors.fail(&place.path, r#"must name one field, such as {"game_type": {"slots": "1"}}"#);
    };
    let by = match field(values, name, errors)? {
        Field::Text(field) => TextSource::Field(field),
        Field::Attribute(attribute) => TextSource::Attribute(attribute),
        _ => return errors.fail(&values.path, format!("'{name}' is no text: weights go by a text such as game_type")),
    };
    let (mut weights, mut others, before) = (Vec::new(), Money::ZERO, errors.0.len());
    for (value, place) in values.members(errors)?.all() {
        match place.amount(errors) {
            Some(weight) if weight.is_negative() => errors.add(&place.path, "must not be below 0"),
            Some(weight) if value == OTHERS => others = weight,
            Some(weight) => weights.push((Arc::from(value), weight)),
            None => {}
        }
    }
    if errors.0.len() == before && others.is_zero() && weights.iter().all(|(_, weight)| weight.is_zero()) {
        return errors.fail(&values.path, "must have a weight above 0: nothing would count");
    }
    weights.sort();
    Some(Weights { by, weights, others })
}

/// A stage's target.
pub(super) fn target(place: &Place<'_>, measure: Option<&Measure>, errors: &mut Errors) -> Option<Money> {
    let target = place.amount(errors)?;
    if target <= Money::ZERO {
        return errors.fail(&place.path, "must be above 0");
    }
    if let Some(what) = measure.and_then(Measure::counts)
        && target.round_to(0) != target
    {
        return errors.fail(&place.path, format!("must be a whole number: it counts {what}"));
    }
    Some(target)
}

/// Reports streaks that no window of a mission from `start` to `end` has room for.
pub(super) fn check_streaks(
    stages: &[Stage],
    window: &Window,
    (start, end): (Option<Timestamp>, Option<Timestamp>),
    errors: &mut Errors,
) {
    for (number, stage) in stages.iter().enumerate() {
        let Measure::Streak(periods) = &stage.measure else { continue };
        let of_window = match (window, periods.every) {
            (Window::Once, _) => None,
            (Window::Every { every: Every::Week, .. }, Every::Day) => Some(7),
            (Window::Every { every: Every::Month, .. }, Every::Day) => Some(31),
            // Of 31 days: the last one of a week, four weeks, two days.
            (Window::Every { every: Every::Month, .. }, _) => Some(6),
            (Window::Every { .. }, _) => Some(1),
        };
        let of_mission = end.map(|end| periods.between(start.unwrap_or_default(), end));
        let Some(most) = of_window.into_iter().chain(of_mission).min() else { continue };
        if stage.target > Money::from_units(most) {
            let what = stage.measure.counts().expect("a streak counts");
            let message = format!("is out of reach: a window of this mission touches at most {most} {what}");
            errors.add(&format!("/stages/{number}/target"), message);
        }
    }
}
