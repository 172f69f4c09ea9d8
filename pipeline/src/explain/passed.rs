//! Events that did not count, and why.

use std::collections::BTreeMap;
use std::sync::Arc;

use datasets::mission::Gate;
use datasets::rows::DispositionKind;
use datasets::{Coordinates, Event, Timestamp};
use serde::Serialize;

use super::EventLine;
use super::versions::Versions;

/// An event of a kind that the mission looks at, which never counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Passed {
    /// The event.
    #[serde(flatten)]
    pub event: EventLine,
    /// Why not, for people.
    pub why: String,
}

/// What is said of an event that would count.
const ELSEWHERE: &str = "it counts in another window, or for nothing";

/// Why `event` does not count for a mission with these `versions`; `None` if no stage looks at events of its kind. `preferred` is asked for
/// another mission of its group that gets it.
pub(super) fn reason(
    event: &Event<'_>,
    versions: &Versions,
    dispositions: &BTreeMap<Coordinates, DispositionKind>,
    reversed_by: Option<&str>,
    required: &BTreeMap<Arc<str>, Timestamp>,
    preferred: impl Fn() -> Option<String>,
) -> Option<String> {
    let (newest, ..) = versions.newest()?;
    let mission = versions.at(event.event_time);
    let looked_at = mission.as_ref().map_or(newest, |mission| mission);
    let looks = |stage: &datasets::mission::Stage| stage.on.iter().any(|kind| kind.includes(event));
    if !looked_at.stages.iter().any(looks) {
        return None;
    }
    let of_itself = dispositions.get(&event.at).map(|disposition| match disposition {
        DispositionKind::Duplicate => "a duplicate",
        DispositionKind::AlreadyReversed => "a reversal of what was reversed",
        DispositionKind::Late => "too late for its window",
        DispositionKind::Conflict => "its transaction is known with other content",
        DispositionKind::Orphan => "a reversal of nothing known",
        DispositionKind::Held => "it waits for a rate",
    });
    Some(match (of_itself, mission) {
        (Some(why), _) => why.to_owned(),
        (None, Err(why)) => why,
        (None, Ok(mission)) if !mission.covers(event.event_time) => "outside of the mission's start and end".to_owned(),
        (None, Ok(mission)) if !mission.is_eligible(event) => "eligibility.where does not hold".to_owned(),
        (None, Ok(mission)) => {
            let looking = || (1..).zip(&mission.stages).filter(|(_, stage)| looks(stage));
            match (looking().any(|(_, stage)| stage.accepts(event)), reversed_by) {
                (true, Some(by)) => format!("taken back by {by}"),
                (true, None) => {
                    let locked = locked(&mission.gate, event.event_time, required);
                    let elsewhere = || {
                        preferred()
                            .map(|other| format!("it counts for {other}, which goes before in the exclusive group"))
                    };
                    locked.or_else(elsewhere).unwrap_or_else(|| not_in(&mission.gate).to_owned())
                }
                (false, _) => {
                    let stages: Vec<String> = looking().map(|(number, _): (usize, _)| number.to_string()).collect();
                    format!("it does not qualify for stage {}", stages.join(", "))
                }
            }
        }
    })
}

/// Which missions are missing that the mission requires.
fn locked(gate: &Gate, time: Timestamp, required: &BTreeMap<Arc<str>, Timestamp>) -> Option<String> {
    let missing = gate.requires.iter().filter_map(|id| match required.get(id) {
        None => Some(format!("{id} is required, and not completed")),
        Some(since) if time <= *since => {
            Some(format!("{id} is required, and completed at {since}: only what is later counts"))
        }
        Some(_) => None,
    });
    let missing: Vec<String> = missing.collect();
    (!missing.is_empty()).then(|| missing.join("; "))
}

/// What is left for an event that qualifies and that nobody took back.
fn not_in(gate: &Gate) -> &'static str {
    match (gate.opt_in.is_some(), gate.segments.is_some()) {
        (false, false) => ELSEWHERE,
        (true, false) => "the player was not opted in then",
        (false, true) => "the player was not in the segments then",
        (true, true) => "the player was not opted in then, or not in the segments",
    }
}
