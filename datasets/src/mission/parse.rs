//! From the JSON of a definition to [`Definition`].

use std::sync::Arc;

use jiff::Span;

use super::json::{Errors, Json, Members, Place};
use super::parse_measure::{check_streaks, measure, target};
use super::repeat::{check_carry, repeat};
use super::{
    CountFrom, Definition, DefinitionError, EventKind, Gate, MissionDefaults, OnReversal, OnSuppression, Stage, Status,
    Window,
};
use crate::condition::{Condition, canonical_event_name};
use crate::rows::RewardRow;
use crate::time::{Every, zone};
use crate::{EventName, Timestamp};

const STATUSES: [(&str, Status); 4] =
    [("draft", Status::Draft), ("active", Status::Active), ("paused", Status::Paused), ("archived", Status::Archived)];
const CORRECTIONS: [(&str, OnReversal); 2] = [("revoke", OnReversal::Revoke), ("keep", OnReversal::Keep)];
const SUPPRESSIONS: [(&str, OnSuppression); 2] = [("drop", OnSuppression::Drop), ("defer", OnSuppression::Defer)];
const COUNTS_FROM: [(&str, CountFrom); 2] =
    [("activation", CountFrom::Activation), ("window_start", CountFrom::WindowStart)];
const WINDOWS: [(&str, Option<Every>); 4] =
    [("once", None), ("day", Some(Every::Day)), ("week", Some(Every::Week)), ("month", Some(Every::Month))];

/// Seven days (DOMAIN §3).
const DEFAULT_LATENESS_MICROS: i64 = 7 * 24 * 3600 * 1_000_000;

/// Reads the definition in the record with this `key`; every error is reported.
pub(super) fn parse(key: &str, text: &str, defaults: &MissionDefaults) -> Result<Definition, Vec<DefinitionError>> {
    let mut errors = Errors::default();
    let json = match Json::parse(text) {
        Ok(json) => json,
        Err(error) => {
            return Err(vec![DefinitionError { path: String::new(), message: format!("is not JSON: {error}") }]);
        }
    };
    let root = Place { path: String::new(), json: &json };
    match definition(&root, key, defaults, &mut errors) {
        Some(definition) if errors.0.is_empty() => Ok(definition),
        _ => Err(errors.0),
    }
}

fn definition(root: &Place<'_>, key: &str, defaults: &MissionDefaults, errors: &mut Errors) -> Option<Definition> {
    let mut members = root.members(errors)?;
    // Every member is read before the first missing one ends it.
    let mission_id = mission_id(&mut members, key, errors);
    let version = version(&mut members, errors);
    let name = members.take("name").and_then(|place| place.text(errors)).map(str::to_owned);
    let status = members.require("status", errors).and_then(|place| place.choice(&STATUSES, errors));
    let (start, end) = period(&mut members, errors);
    let mut defaults = defaults.clone();
    let window = members.take("window").map_or(Some(Window::Once), |place| window(&place, &mut defaults, errors));
    let eligibility = members.take("eligibility").and_then(|place| eligibility(&place, errors));
    let (eligibility, gate) = eligibility.unwrap_or_default();
    let stages = members.require("stages", errors).and_then(|place| stages(&place, &defaults, errors));
    let repeat = members.take("repeat").and_then(|place| repeat(&place, &defaults, errors));
    let reward = members.take("reward").and_then(|place| reward(&place, errors));
    let on_reversal = members.take("on_reversal").and_then(|place| place.choice(&CORRECTIONS, errors));
    let on_suppression = members.take("on_suppression").and_then(|place| place.choice(&SUPPRESSIONS, errors));
    let lateness_micros = members.take("lateness").and_then(|place| duration_micros(&place, errors));
    let exclusive_group = members.take("exclusive_group").and_then(|place| place.text(errors).map(Arc::from));
    let priority = members.take("priority").and_then(|place| place.integer(errors));
    if let (Some(stages), Some(window)) = (&stages, &window) {
        check_streaks(stages, window, (start, end), errors);
    }
    if let (Some(stages), Some(repeat)) = (&stages, &repeat) {
        check_carry(repeat, stages, errors);
    }
    if mission_id.as_ref().is_some_and(|id| gate.requires.contains(id)) {
        errors.add(super::requires::PATH, "a mission cannot require itself");
    }
    let count_from = count_from(&mut members, &defaults, errors);
    members.finish(errors);

    let (reward, channels) = reward.unzip();
    let mission_id = mission_id?;
    Some(Definition {
        version: version?,
        name: name.unwrap_or_else(|| mission_id.to_string()),
        mission_id,
        status: status?,
        start: start.unwrap_or_default(),
        end,
        window: window?,
        eligibility,
        repeat,
        gate,
        stages: stages?,
        reward,
        channels: channels.unwrap_or_default(),
        on_reversal: on_reversal.unwrap_or(OnReversal::Revoke),
        on_suppression: on_suppression.unwrap_or(OnSuppression::Drop),
        lateness_micros: lateness_micros.unwrap_or(DEFAULT_LATENESS_MICROS),
        exclusive_group,
        count_from,
        priority: priority.unwrap_or(0),
    })
}

fn mission_id(members: &mut Members<'_>, key: &str, errors: &mut Errors) -> Option<Arc<str>> {
    let place = members.require("mission_id", errors)?;
    let id = place.text(errors)?;
    if id != key {
        return errors.fail(&place.path, format!("'{id}' must equal the record's key, which is '{key}'"));
    }
    Some(id.into())
}

fn version(members: &mut Members<'_>, errors: &mut Errors) -> Option<i64> {
    let place = members.require("version", errors)?;
    match place.integer(errors)? {
        version if version >= 1 => Some(version),
        version => errors.fail(&place.path, format!("must be at least 1, not {version}")),
    }
}

/// The mission's own bounds.
fn period(members: &mut Members<'_>, errors: &mut Errors) -> (Option<Timestamp>, Option<Timestamp>) {
    let start = members.take("start").and_then(|place| timestamp(&place, errors));
    let Some(place) = members.take("end") else { return (start, None) };
    let end = timestamp(&place, errors);
    if let (Some(start), Some(end)) = (start, end)
        && end <= start
    {
        errors.add(&place.path, format!("must be after the start, {start}"));
    }
    (start, end)
}

fn timestamp(place: &Place<'_>, errors: &mut Errors) -> Option<Timestamp> {
    let text = place.text(errors)?;
    match text.parse() {
        Ok(time) => Some(time),
        Err(_) => errors.fail(&place.path, format!("'{text}' is no RFC 3339 time such as 2026-06-01T00:00:00Z")),
    }
}

/// The window. Its zone becomes the default of what else goes by a calendar.
fn window(place: &Place<'_>, defaults: &mut MissionDefaults, errors: &mut Errors) -> Option<Window> {
    let mut members = place.members(errors)?;
    let every = members.take("every").map_or(Some(None), |place| place.choice(&WINDOWS, errors));
    let zone = members.take("zone").map_or(Some((defaults.zone_name.as_ref(), defaults.zone.clone())), |place| {
        let name = place.text(errors)?;
        match zone(name) {
            Ok(zone) => Some((name, zone)),
            Err(_) => errors.fail(&place.path, format!("'{name}' is no IANA time zone such as Europe/Malta")),
        }
    });
    members.finish(errors);
    let (zone_name, zone) = zone.map(|(name, zone)| (name.to_owned(), zone))?;
    (defaults.zone_name, defaults.zone) = (zone_name.as_str().into(), zone.clone());
    Some(match every? {
        None => Window::Once,
        Some(every) => Window::Every { every, zone, zone_name },
    })
}

/// Which events count at all, and when.
fn eligibility(place: &Place<'_>, errors: &mut Errors) -> Option<(Option<Condition>, Gate)> {
    let mut members = place.members(errors)?;
    let condition = members.take("where").and_then(|place| condition(&place, errors));
    let gate = Gate::parse(&mut members, errors);
    members.finish(errors);
    Some((condition, gate))
}

fn condition(place: &Place<'_>, errors: &mut Errors) -> Option<Condition> {
    match Condition::compile(place.long_text(errors)?) {
        Ok(condition) => Some(condition),
        Err(found) => {
            for error in found {
                errors.add(&place.path, error.to_string());
            }
            None
        }
    }
}

fn stages(place: &Place<'_>, defaults: &MissionDefaults, errors: &mut Errors) -> Option<Vec<Stage>> {
    let items = place.items(errors)?;
    if items.is_empty() {
        return errors.fail(&place.path, "must have at least one stage");
    }
    let stages: Vec<_> = items.iter().map(|item| stage(item, defaults, errors)).collect();
    stages.into_iter().collect()
}

fn stage(place: &Place<'_>, defaults: &MissionDefaults, errors: &mut Errors) -> Option<Stage> {
    let mut members = place.members(errors)?;
    let on = members.require("on", errors).and_then(|place| kinds(&place, errors));
    let condition = members.take("where").and_then(|place| condition(&place, errors));
    let measure = members.require("measure", errors).and_then(|place| measure(&place, defaults, errors));
    let target = members.require("target", errors).and_then(|place| target(&place, measure.as_ref(), errors));
    members.finish(errors);
    Some(Stage { on: on?, condition, measure: measure?, target: target? })
}

fn kinds(place: &Place<'_>, errors: &mut Errors) -> Option<Vec<EventKind>> {
    let names = place.texts(errors)?;
    if names.is_empty() {
        return errors.fail(&place.path, "must name at least one event");
    }
    let mut kinds = Vec::with_capacity(names.len());
    for name in names {
        match EventKind::of(canonical_event_name(name)) {
            EventKind::Known(EventName::Reversal) => {
                errors.add(&place.path, "a reversal takes back what it names: it does not count by itself");
            }
            EventKind::Known(EventName::Rate) => errors.add(&place.path, "a rate belongs to no player"),
            kind if kinds.contains(&kind) => {
                errors.add(&place.path, format!("'{name}' is given twice"));
            }
            kind => kinds.push(kind),
        }
    }
    Some(kinds)
}

/// The reward and the channels on which CRM may tell of it.
fn reward(place: &Place<'_>, errors: &mut Errors) -> Option<(RewardRow, Vec<String>)> {
    let mut members = place.members(errors)?;
    let kind = members.require("type", errors).and_then(|place| place.text(errors));
    let place = members.require("value", errors);
    let value = place.as_ref().and_then(|place| place.number_or_text(errors));
    let channels = members.take("channels").and_then(|place| place.texts(errors));
    members.finish(errors);
    let channels = channels.unwrap_or_default().into_iter().map(str::to_owned).collect();
    let row = RewardRow { kind: kind?.to_owned(), value: value?.to_owned() };
    if let Some(place) = place.filter(|_| row.kind == RewardRow::POINTS && row.points().is_none()) {
        errors.add(&place.path, format!("'{}' is no number of points: write a decimal above 0", row.value));
    }
    Some((row, channels))
}

/// An ISO 8601 duration of fixed length; a day has 24 hours.
fn duration_micros(place: &Place<'_>, errors: &mut Errors) -> Option<i64> {
    let text = place.text(errors)?;
    let span = if text.starts_with('P') { text.parse::<Span>().ok() } else { None };
    let Some(span) = span else {
        return errors.fail(&place.path, format!("'{text}' is no ISO 8601 duration such as P7D or PT36H"));
    };
    if span.get_years() != 0 || span.get_months() != 0 {
        return errors.fail(&place.path, "years and months differ in length: use weeks, days or hours");
    }
    let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours());
    match duration.ok().and_then(|duration| i64::try_from(duration.as_micros()).ok()) {
        Some(micros) if micros >= 0 => Some(micros),
        _ => errors.fail(&place.path, format!("'{text}' is out of range")),
    }
}

/// From when on events count. Those from before the activation have to be there.
fn count_from(members: &mut Members<'_>, defaults: &MissionDefaults, errors: &mut Errors) -> CountFrom {
    let Some(place) = members.take("count_from") else { return CountFrom::default() };
    let count_from = place.choice(&COUNTS_FROM, errors).unwrap_or_default();
    if count_from == CountFrom::WindowStart && defaults.retained_micros == 0 {
        let message = "'window_start' counts events from before the activation, and none are retained: set missions.retained, \
                       such as \"8d\" for windows of a week, or define the mission before its window begins";
        errors.add(&place.path, message);
    }
    count_from
}
