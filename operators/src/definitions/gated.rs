//! Missions with gates: what is asked of them, and how far back (DOMAIN §4, opt-in and segments).

use datasets::Timestamp;
use datasets::mission::{Gate, Window};
use datasets::time::window;

use super::{Definitions, MissionHistory, MissionSlot};

/// A record may come so much behind the others: what is forgotten waits for it.
pub(crate) const GRACE: i64 = 86_400_000_000;

impl MissionHistory {
    /// The gates of all versions.
    pub fn gates(&self) -> impl Iterator<Item = &Gate> {
        self.0.iter().map(|version| &version.mission.gate)
    }

    /// A version has a gate, or is in a group with others that may have one.
    pub fn is_gated(&self) -> bool {
        self.0.iter().any(|version| version.mission.is_gated())
    }

    /// The active version in force at `time`.
    pub fn in_force_at(&self, time: Timestamp) -> Option<usize> {
        let version = self.0.iter().rposition(|version| version.from <= time)?;
        self.0[version].is_active().then_some(version)
    }

    /// What is ingested then comes in time for a window, by the version that was in force then: what came too late stays
    /// out, whatever is edited.
    pub fn is_in_time(&self, ingest_time: Timestamp, recurring_end: Option<Timestamp>) -> bool {
        let version = self.0.iter().rfind(|version| version.from <= ingest_time).unwrap_or(&self.0[0]);
        let end = recurring_end.or(version.mission.end);
        end.is_none_or(|end| ingest_time <= end.plus_micros(version.mission.lateness_micros))
    }

    /// The earliest time of events that can count for anything, or are kept for it, when nothing comes that was
    /// ingested before `oldest`.
    pub fn needed_from(&self, oldest: Timestamp) -> Timestamp {
        let lateness = self.0.iter().map(|version| version.mission.lateness_micros).max().unwrap_or(0);
        // Calendars begin in 1970.
        let Some(at) = back(oldest, lateness.saturating_add(GRACE)) else { return Timestamp::MIN };
        let from = self.0.iter().map(|version| match &version.mission.window {
            Window::Once if self.kept_until(None).is_none_or(|until| until.plus_micros(GRACE) >= oldest) => {
                Timestamp::MIN
            }
            Window::Once => at,
            Window::Every { every, zone, .. } => window(*every, zone, at).0,
        });
        from.min().unwrap_or(at)
    }
}

fn back(from: Timestamp, micros: i64) -> Option<Timestamp> {
    let at = from.micros().checked_sub(micros)?;
    (at >= 0).then(|| Timestamp::from_micros(at))
}

impl Definitions {
    /// The same as [`needed_from`](MissionHistory::needed_from) of a mission that may be defined yet: it begins to count when it is, or with
    /// what is retained then.
    pub fn unknown_needed_from(&self, oldest: Timestamp) -> Timestamp {
        back(oldest, GRACE.saturating_add(self.retained_micros())).unwrap_or(Timestamp::MIN)
    }

    /// Missions of which a version has a gate.
    pub fn gated(&self) -> &[MissionSlot] {
        &self.gated
    }
}
