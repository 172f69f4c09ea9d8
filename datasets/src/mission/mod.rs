//! Mission definitions, checked and compiled (DOMAIN §4).
//!
//! [`Mission::parse`] reads the JSON of a definition and names everything that is wrong with it.
//! [`StageIndex`] finds the stages that an event may move without looking at the others.

mod gate;
mod index;
#[cfg(test)]
mod index_tests;
mod json;
mod measure;
mod parse;
mod parse_measure;
mod repeat;
mod requires;
mod stage;
#[cfg(test)]
mod tests;
mod values;

use std::sync::Arc;

use jiff::tz::TimeZone;

pub use gate::{Again, Gate, Segments};
pub use index::StageIndex;
pub use measure::{Measure, Periods, Quantity, Weights};
pub use repeat::{Per, Repeat};
pub use stage::{EventKind, Stage};
pub use values::Values;

use crate::condition::Condition;
use crate::currency::Currencies;
use crate::rows::RewardRow;
use crate::time::{Every, window};
use crate::{Event, Timestamp};

/// A mission in force or not; cheap to clone. Its fields are those of [`Definition`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mission(Arc<Definition>);

impl std::ops::Deref for Mission {
    type Target = Definition;

    fn deref(&self) -> &Definition {
        &self.0
    }
}

/// What a definition record says, compiled.
#[derive(Debug, PartialEq, Eq)]
pub struct Definition {
    /// The record's key.
    pub mission_id: Arc<str>,
    /// Given by who wrote it, from 1.
    pub version: i64,
    /// For people; the id where the definition has none.
    pub name: String,
    /// Whether it counts.
    pub status: Status,
    /// First instant; 1970-01-01T00:00:00Z where the definition sets no bound.
    pub start: Timestamp,
    /// Last instant, inclusive; absent: it never ends.
    pub end: Option<Timestamp>,
    /// How often it can be completed.
    pub window: Window,
    /// Which events of which players count at all.
    pub eligibility: Option<Condition>,
    /// How often it can be completed in a window; absent: once.
    pub repeat: Option<Repeat>,
    /// When they do.
    pub gate: Gate,
    /// In the order in which they are reached; at least one.
    pub stages: Vec<Stage>,
    /// What the player earns.
    pub reward: Option<RewardRow>,
    /// Channels on which CRM may tell the player.
    pub channels: Vec<String>,
    /// What a correction does to a completion.
    pub on_reversal: OnReversal,
    /// What becomes of a completion that may not be told.
    pub on_suppression: OnSuppression,
    /// Microseconds after a window's end in which an event may still move it, by its ingest time.
    pub lateness_micros: i64,
    /// Of the missions of a group an event counts for one only.
    pub exclusive_group: Option<Arc<str>>,
    /// Which events of the window in which it was activated count.
    pub count_from: CountFrom,
    /// Decides within an exclusive group: the largest, then the smallest id.
    pub priority: i64,
}

/// Whether a mission counts (DOMAIN §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Not yet.
    Draft,
    /// Yes.
    Active,
    /// Not now.
    Paused,
    /// Not any more.
    Archived,
}

/// What a correction does to a completion that it takes under the target (DOMAIN §4, "Correction").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnReversal {
    /// It is revoked, and can be completed again.
    Revoke,
    /// It stays.
    Keep,
}

/// What becomes of a completion while its player is excluded or has not consented (DOMAIN §4, "RG").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnSuppression {
    /// It never leaves.
    Drop,
    /// It leaves when it may, if it still stands then.
    Defer,
}

/// From when on events count (DOMAIN §4, `count_from`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CountFrom {
    /// From the first active version's own time.
    #[default]
    Activation,
    /// From the start of the window that this falls into.
    WindowStart,
}

/// How often a mission can be completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Window {
    /// Once, between its start and its end.
    Once,
    /// Once in each window.
    Every {
        /// Day, ISO week or month.
        every: Every,
        /// Where days begin.
        zone: TimeZone,
        /// The zone's IANA name.
        zone_name: String,
    },
}

/// What definitions leave to the pipeline's configuration.
#[derive(Clone, Debug)]
pub struct MissionDefaults {
    /// The currency of a sum of money that names none.
    pub currency: Arc<str>,
    /// The codes that a sum may name.
    pub currencies: Currencies,
    /// The zone of a window that names none.
    pub zone: TimeZone,
    /// The zone's IANA name.
    pub zone_name: Arc<str>,
    /// How long events are retained whole, in microseconds, for missions that count some from before their activation.
    pub retained_micros: i64,
}

impl MissionDefaults {
    /// Windows in UTC, and no retained events.
    pub fn utc(currency: impl Into<Arc<str>>, currencies: Currencies) -> Self {
        let zone_name = "UTC".into();
        MissionDefaults { currency: currency.into(), currencies, zone: TimeZone::UTC, zone_name, retained_micros: 0 }
    }
}

/// Something wrong with a definition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", if path.is_empty() { "/" } else { path })]
pub struct DefinitionError {
    /// JSON Pointer to the member; empty for the whole definition.
    pub path: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl Mission {
    /// Reads the definition in the record with this `key`.
    ///
    /// # Errors
    /// All that is wrong with it, also what this version does not support yet.
    pub fn parse(key: &str, text: &str, defaults: &MissionDefaults) -> Result<Mission, Vec<DefinitionError>> {
        parse::parse(key, text, defaults).map(|definition| Mission(Arc::new(definition)))
    }
}

impl Definition {
    /// The window that `at` falls into, as `(start, end)`: natural bounds of a recurring one, half-open and
    /// not clipped to the mission; both of the mission's own, closed, for [`Window::Once`].
    /// `None` outside of the mission's closed `start..=end`.
    pub fn window_at(&self, at: Timestamp) -> Option<(Timestamp, Option<Timestamp>)> {
        if !self.covers(at) {
            return None;
        }
        Some(match &self.window {
            Window::Once => (self.start, self.end),
            Window::Every { every, zone, .. } => {
                let (start, end) = window(*every, zone, at);
                (start, Some(end))
            }
        })
    }

    /// Until when a completion in the window that ends at `end` takes part in what completes: longer than the window where a
    /// limit is of a period that goes on behind it.
    pub fn reaches(&self, end: Timestamp) -> Timestamp {
        self.repeat.as_ref().map_or(end, |repeat| repeat.reaches(&self.window, end))
    }

    /// From when on events count, if this is the first active version and takes effect at `activation`.
    pub fn counts_from(&self, activation: Timestamp) -> Timestamp {
        match (self.count_from, self.window_at(activation)) {
            // A mission begins within its first window.
            (CountFrom::WindowStart, Some((start, _))) => start.max(self.start),
            _ => activation,
        }
    }

    /// `at` is within the mission's closed `start..=end`.
    pub fn covers(&self, at: Timestamp) -> bool {
        self.start <= at && self.end.is_none_or(|end| at <= end)
    }

    /// Whether an event counts may depend on more than the event: on what the player was in then, or had completed. In a group it
    /// may depend on the gates of the others.
    pub fn is_gated(&self) -> bool {
        !self.gate.is_open() || self.exclusive_group.is_some()
    }

    /// The event counts for this mission, if it does for one of its stages.
    pub fn is_eligible(&self, event: &Event<'_>) -> bool {
        self.eligibility.as_ref().is_none_or(|condition| condition.matches(event))
    }
}
