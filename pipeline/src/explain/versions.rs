//! The versions of one mission, as they were read.

use datasets::mission::{Mission, MissionDefaults, Status};
use datasets::{Coordinates, Timestamp, TopicId};
use operators::definitions::DefinitionRecord;

/// One that took effect.
struct Version {
    at: Coordinates,
    from: Timestamp,
    text: String,
    mission: Mission,
    archived: bool,
}

/// The versions that took effect, in the order of their records.
#[derive(Default)]
pub(super) struct Versions(Vec<Version>);

/// No record defines a tier.
const NOWHERE: Coordinates = Coordinates { topic: TopicId(0), partition: 0, offset: 0, index: 0 };

impl Versions {
    /// The only one of a tier, which has always been there; with what the configuration says of it.
    pub fn of_tier(mission: Mission, text: String) -> Self {
        Versions(vec![Version { at: NOWHERE, from: Timestamp::MIN, text, mission, archived: false }])
    }

    /// Takes a record of the mission.
    pub fn take(&mut self, record: DefinitionRecord, defaults: &MissionDefaults) {
        let (at, from) = (record.at, record.ingest_time);
        match record.text {
            Some(text) if !record.was_refused => {
                if let Ok(mission) = Mission::parse(&record.key, &text, defaults) {
                    let is_active = |mission: &Mission| mission.status == Status::Active;
                    let is_first = is_active(&mission) && !self.0.iter().any(|version| is_active(&version.mission));
                    let from = if is_first { mission.counts_from(from) } else { from };
                    self.0.push(Version { at, from, text, mission, archived: false });
                }
            }
            Some(_) => {}
            None => {
                if let Some(Version { text, mission, .. }) = self.0.last() {
                    let (text, mission) = (text.clone(), mission.clone());
                    self.0.push(Version { at, from, text, mission, archived: true });
                }
            }
        }
    }

    /// The one in force at `time`, or why nothing counts then.
    pub fn at(&self, time: Timestamp) -> Result<&Mission, String> {
        let in_force = self.0.iter().rfind(|version| version.from <= time);
        let first = || self.0.first().map_or_else(String::new, |first| format!(", which is from {}", first.from));
        let in_force = in_force.ok_or_else(|| format!("before the mission's first version{}", first()))?;
        let status = match in_force.mission.status {
            _ if in_force.archived => "archived",
            Status::Active => return Ok(&in_force.mission),
            Status::Draft => "a draft",
            Status::Paused => "paused",
            Status::Archived => "archived",
        };
        Err(format!("the mission was {status} then"))
    }

    /// The text of the record at `at`.
    pub fn text(&self, at: Coordinates) -> Option<&str> {
        self.0.iter().find(|version| version.at == at).map(|version| version.text.as_str())
    }

    /// The one read last, with its record and when it took effect.
    pub fn newest(&self) -> Option<(&Mission, Coordinates, Timestamp)> {
        self.0.last().map(|version| (&version.mission, version.at, version.from))
    }
}
