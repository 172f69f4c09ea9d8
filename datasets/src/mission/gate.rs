//! What has to be true of a player, at the time of an event, for it to count (DOMAIN §4): opt-in, segments, and other
//! missions.

use std::sync::Arc;

use super::json::{Errors, Json, Members, Place};

const AGAIN: [(&str, Again); 2] = [("resume", Again::Resume), ("reset", Again::Reset)];

/// When a mission counts a player's events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// Only from an opt-in to the next opt-out.
    pub opt_in: Option<Again>,
    /// Only while the player is in segments.
    pub segments: Option<Segments>,
    /// Only after completions of all of these missions, by their ids; none twice.
    pub requires: Vec<Arc<str>>,
}

/// What a second opt-in does to the progress made before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It goes on.
    Resume,
    /// It starts anew. A completion stands.
    Reset,
}

/// Segments of players.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segments {
    /// At least one, none twice.
    pub names: Vec<Arc<str>>,
    /// To be in each of them is needed; otherwise one is enough.
    pub all: bool,
}

impl Gate {
    /// Every event of every player counts.
    pub fn is_open(&self) -> bool {
        self.opt_in.is_none() && self.segments.is_none() && self.requires.is_empty()
    }

    /// A second opt-in starts anew.
    pub fn resets(&self) -> bool {
        self.opt_in == Some(Again::Reset)
    }

    /// It asks for this segment, perhaps among others.
    pub fn asks_for(&self, segment: &str) -> bool {
        self.segments.as_ref().is_some_and(|segments| segments.names.iter().any(|name| **name == *segment))
    }

    /// Reads `opt_in`, `segments` and `requires` of `eligibility`.
    pub(super) fn parse(members: &mut Members<'_>, errors: &mut Errors) -> Gate {
        let opt_in = members.take("opt_in").and_then(|place| opt_in(&place, errors));
        let segments = members.take("segments").and_then(|place| segments(&place, errors));
        let requires = members.take("requires").and_then(|place| names(&place, errors));
        Gate { opt_in, segments, requires: requires.unwrap_or_default() }
    }
}

fn opt_in(place: &Place<'_>, errors: &mut Errors) -> Option<Again> {
    match place.json {
        Json::Bool(is_needed) => is_needed.then_some(Again::Resume),
        Json::Object(_) => {
            let mut members = place.members(errors)?;
            let again = members.take("again").map_or(Some(Again::Resume), |place| place.choice(&AGAIN, errors));
            members.finish(errors);
            again
        }
        _ => errors.fail(&place.path, r#"must be true, false or an object such as {"again": "reset"}"#),
    }
}

fn segments(place: &Place<'_>, errors: &mut Errors) -> Option<Segments> {
    match place.json {
        Json::Array(_) => {
            let names = names(place, errors)?;
            (!names.is_empty()).then_some(Segments { names, all: false })
        }
        Json::Object(_) => {
            let mut members = place.members(errors)?;
            let (any, all) = (members.take("any"), members.take("all"));
            members.finish(errors);
            let (names_place, all) = match (any, all) {
                (Some(any), None) => (any, false),
                (None, Some(all)) => (all, true),
                _ => return errors.fail(&place.path, "must have one of any, all"),
            };
            let names = names(&names_place, errors)?;
            if names.is_empty() {
                return errors.fail(&names_place.path, "must name at least one segment");
            }
            Some(Segments { names, all })
        }
        _ => errors.fail(&place.path, r#"must be an array of segments or an object such as {"all": ["vip", "gold"]}"#),
    }
}

fn names(place: &Place<'_>, errors: &mut Errors) -> Option<Vec<Arc<str>>> {
    Some(place.texts(errors)?.into_iter().map(Arc::from).collect())
}
