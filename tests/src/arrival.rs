//! Golden cases in another order of arrival, and what of their outputs may not depend on it (ARCHITECTURE's promise: facts are
//! a function of the events, not of when each of them came).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use datasets::Timestamp;
use serde_json::Value;

use crate::dice::Dice;

/// How far apart the ingest times of two records may be that change places: below every lateness and wait that a case sets.
const APART_MICROS: u64 = 12 * 3_600_000_000;

/// The lines of a replay's input in another order. Each keeps its ingest time, and its place among the coordinates, which decides between
/// events of one instant. Definitions, readings of the clock and rates stay where they are, and nothing moves past them: what they do
/// begins with their arrival.
pub fn in_another_order(events: &str, missions: &str, dice: &mut Dice) -> String {
    let lines = events.lines().enumerate().map(|(number, text)| Line::new(number, text, missions));
    let mut lines: Vec<Line> = lines.collect();
    for moving in lines.chunk_by_mut(|a, b| a.ingested.is_some() && b.ingested.is_some()) {
        let delayed = |line: &Line| {
            let delay = i64::try_from(dice.between(0, APART_MICROS)).expect("half a day");
            line.ingested.map(|time| time.plus_micros(delay))
        };
        moving.sort_by_cached_key(delayed);
    }
    lines.iter().map(|line| format!("{}\n", line.text)).collect()
}

struct Line {
    text: String,
    /// Absent of what stays.
    ingested: Option<Timestamp>,
}

impl Line {
    fn new(number: usize, text: &str, missions: &str) -> Self {
        let stays = Line { text: text.to_owned(), ingested: None };
        let Ok(parsed) = serde_json::from_str::<Value>(text) else { return stays };
        let is_record = ["topic", "value", "value_base64"].iter().any(|name| parsed.get(name).is_some());
        let payload = if is_record { parsed.get("value").cloned().unwrap_or_default() } else { parsed.clone() };
        let is_control = parsed.get("topic").is_some_and(|topic| topic == "$clock" || topic == missions);
        let is_rate = payload.get("event_name").is_some_and(|name| name == "rate");
        let time = |of: &Value| of.get("timestamp")?.as_str()?.parse::<Timestamp>().ok();
        let ingested = time(&parsed).or_else(|| time(&payload));
        let has_place = ["partition", "offset"].iter().any(|name| is_record && parsed.get(name).is_some());
        if is_control || is_rate || has_place || ingested.is_none() {
            return stays;
        }
        // A partition has its records in the order of their offsets. The text stays as it is: its digits matter.
        let place = format!(r#"{{"partition":{number},"offset":{number},"#);
        let text = match text.strip_prefix('{').filter(|_| is_record) {
            Some(members) => format!("{place}{members}"),
            None => format!(r#"{place}"value":{text}}}"#),
        };
        Line { text, ingested }
    }
}

/// By output.
pub type Facts = BTreeMap<&'static str, BTreeSet<String>>;

/// What the outputs of a replay in `out` come to: live completions, the newest row of each kind of activity that has something in it, the last tier and
/// balance of each player, and what was refused.
pub fn facts(out: &Path) -> Facts {
    let read = |name: &str| -> Vec<Value> {
        let text = fs::read_to_string(out.join(name)).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("outputs are JSON")).collect()
    };
    let last = |name: &str, key: &[&str], value: &dyn Fn(&Value) -> Option<String>| -> BTreeSet<String> {
        let mut rows: BTreeMap<String, Option<String>> = BTreeMap::new();
        for row in read(name) {
            let key = key.iter().map(|field| row[*field].to_string()).collect::<Vec<_>>().join(" ");
            rows.insert(key, value(&row));
        }
        rows.into_iter().filter_map(|(key, value)| Some(format!("{key}: {}", value?))).collect()
    };
    let completions = last("completions.jsonl", &["completion_id"], &|row| {
        let occurrence =
            format!("{} {} {} {}", row["mission_id"], row["player_id"], row["window_start"], row["occurrence"]);
        (row["type"] == "mission_completed").then_some(occurrence)
    });
    let activity = last("activity.jsonl", &["date", "customer_id", "game_type", "currency"], &|row| {
        let amounts: BTreeMap<_, _> = row
            .as_object()
            .expect("a row")
            .iter()
            .filter(|(name, value)| {
                let is_zero = *value == 0 || value.as_str().is_some_and(|text| text == "0.00");
                !is_zero && !["revision", "updated_at"].contains(&name.as_str())
            })
            .collect();
        (amounts.len() > 4).then(|| format!("{amounts:?}"))
    });
    let tiers = last("tiers.jsonl", &["player_id"], &|row| Some(row["tier"].to_string()));
    let points = last("points.jsonl", &["player_id"], &|row| {
        Some(row["balance"].to_string()).filter(|balance| balance != r#""0.00""#)
    });
    let refused = read("dead_letters.jsonl");
    let refused = refused.iter().map(|row| format!("{} {} {}", row["reason"], row["offset"], row["index"])).collect();
    let summary = fs::read_to_string(out.join("summary.json")).unwrap_or_default();
    let summary: Value = serde_json::from_str(&summary).expect("a summary");
    let counters = ["read", "accepted", "duplicates", "late", "already_reversed"];
    let counters = counters.iter().map(|name| format!("{name} {}", summary[*name])).collect();
    let named = [("completions", completions), ("activity", activity), ("tiers", tiers), ("points", points)];
    named.into_iter().chain([("dead letters", refused), ("counters", counters)]).collect()
}
