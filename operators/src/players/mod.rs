//! The pure core of the players operator: closes one epoch at a time.
//!
//! - Input: an epoch's definitions and events, and its reading of the clock.
//! - Output: [`Changes`](crate::changes::Changes), a function of the epoch log alone.
//! - State: key groups, each with its players' progress and its ledger.
//!
//! Definitions apply first, then rates of exchange. Then identity is settled in the order of coordinates, and what is
//! accepted is applied in the order of event time, one player after the other. Then timers fire.

mod account;
mod close;
mod closings;
mod contests;
mod dormant;
mod emission;
mod entities;
mod facts;
mod fetch;
mod gate;
mod groups;
mod held;
mod occurrences;
mod operator;
mod purse;
mod ranks;
mod rates;
mod repeats;
mod report;
mod restrictions;
mod retained;
mod roster;
mod snapshot;
mod tally;
mod timeline;
mod touch;
mod tracks;
mod unlocks;
mod untouched;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datasets::hash::{KEY_GROUPS, KeyGroup};
use datasets::mission::MissionDefaults;
use datasets::rates::{RateBook, RateIdentity};
use datasets::{Coordinates, Timestamp, Topics};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::definitions::Definitions;
use crate::entities::{Customer, EntityRules};
use crate::ledger::{Effect, Ledger, LedgerRules, Markets};
use crate::points::PointsRules;
use crate::snapshot::Round;
use crate::tiers::Tier;
use closings::Closings;
use emission::{Leaving, Release};
use held::Held;
use occurrences::Occurrences;
use purse::{BookedSpending, Expiry, Purse};
use ranks::{Fall, Ranked};
use report::Reporter;
use restrictions::Restrictions;
use retained::Retained;
use roster::Roster;
use snapshot::{Restored, Unfinished};
use timeline::Timeline;
use touch::Scratch;
use tracks::Tracks;
use untouched::Untouched;

pub use account::Account;
pub(crate) use operator::is_closed;
pub use operator::{Clock, players};

/// The hour up to which nothing has been swept yet.
const NEVER: i64 = i64::MIN;

/// Settings of the core.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The pipeline's name: part of every completion's id.
    pub pipeline: Arc<str>,
    /// Identity and reversal.
    pub ledger: LedgerRules,
    /// Zone of the reporting day.
    pub activity_zone: TimeZone,
    /// Defaults of mission definitions.
    pub missions: MissionDefaults,
    /// When points expire.
    pub points: PointsRules,
    /// From the lowest to the highest.
    pub tiers: Vec<Tier>,
    /// Absent: nothing is told of entities.
    pub entities: Option<Arc<EntityRules>>,
}

/// One player's state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Player {
    occurrences: Occurrences,
    tracks: Tracks,
    /// Absent where there is none. A section of the state says it of those who have one.
    #[serde(skip)]
    timeline: Option<Box<Timeline>>,
    /// The same.
    #[serde(skip)]
    restrictions: Option<Box<Restrictions>>,
    /// Absent where there never were points. As the timeline, said apart.
    #[serde(skip)]
    points: Purse,
    /// Absent where there never was a tier. The same.
    #[serde(skip)]
    rank: Ranked,
    /// Absent where nothing waits, and written as timelines are.
    #[serde(skip)]
    waits: Option<Box<Held>>,
    /// Absent where nothing is retained. The same.
    #[serde(skip)]
    retained: Option<Box<Retained>>,
    /// Absent where nothing was told, and where nobody asks. The same.
    #[serde(skip)]
    customer: Option<Box<Customer>>,
}

impl Player {
    /// There is nothing that few have: occurrences, tracks and unlocks are all.
    fn may_doze(&self) -> bool {
        let Player { occurrences: _, tracks: _, timeline, restrictions, points, rank, waits, retained, customer } =
            self;
        let has_more = [
            timeline.as_deref().is_some_and(|timeline| timeline.has_marks() || !timeline.contests.is_empty()),
            restrictions.is_some(),
            points.is_some(),
            rank.is_some(),
            waits.is_some(),
            retained.is_some(),
            customer.is_some(),
        ];
        !has_more.contains(&true)
    }
}

/// The state of one key group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    players: Roster,
    ledger: Ledger,
    /// Where writing it goes on.
    round: Round<4>,
    /// A section of which the rest is written behind a later epoch.
    unfinished: Option<Box<Unfinished>>,
}

/// The state of the key groups that one worker owns.
pub struct Players {
    rules: Rules,
    reporter: Reporter,
    definitions: Definitions,
    rates: RateBook,
    /// Rates of the epoch that are not taken, and why.
    refused_rates: BTreeMap<Coordinates, RateIdentity>,
    groups: Vec<Group>,
    restored: Restored,
    markets: Markets,
    days: facts::Days,
    /// When reversals stop waiting.
    deadlines: BTreeSet<(Timestamp, KeyGroup)>,
    /// Whose deferred completions may leave, and when.
    releases: BTreeSet<Release>,
    /// When whose points expire.
    expiries: BTreeSet<Expiry>,
    /// When who may lose a tier.
    falls: BTreeSet<Fall>,
    /// What an epoch does to points beside its completions, until it closes.
    spendings: Vec<BookedSpending>,
    /// Who is looked at when, for what can be forgotten.
    closings: Closings,
    untouched: Untouched,
    /// Up to which state has been swept.
    swept: closings::Phase,
    /// One worker speaks for all about definitions, which all see alike.
    speaks: bool,
    /// What an epoch has to tell, until it closes.
    leaving: Vec<Leaving>,
    /// Reused between events.
    effects: Vec<Effect>,
    /// Reused between events.
    scratch: Scratch,
}

impl Players {
    /// No players yet. `speaks` is set on one worker, which reports on definitions.
    pub fn new(rules: Rules, topics: Arc<Topics>, speaks: bool) -> Self {
        Players {
            reporter: Reporter { topics, pipeline: rules.pipeline.clone() },
            definitions: Definitions::with_tiers(rules.missions.clone(), rules.tiers.iter().map(|tier| &tier.mission)),
            rates: RateBook::default(),
            refused_rates: BTreeMap::new(),
            groups: (0..KEY_GROUPS).map(|_| Group::default()).collect(),
            restored: Restored::default(),
            markets: Markets::default(),
            days: facts::Days::new(rules.activity_zone.clone()),
            deadlines: BTreeSet::new(),
            releases: BTreeSet::new(),
            expiries: BTreeSet::new(),
            falls: BTreeSet::new(),
            spendings: Vec::new(),
            closings: Closings::default(),
            untouched: Untouched::default(),
            swept: closings::Phase::NEVER,
            speaks,
            leaving: Vec::new(),
            effects: Vec::new(),
            scratch: Scratch::default(),
            rules,
        }
    }

    /// The earliest clock reading at which a timer fires that puts something out.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let orphan = self.deadlines.first().map(|(deadline, _)| deadline.plus_micros(1));
        let release = self.releases.first().map(|(due, ..)| *due);
        let expiry = self.expiries.first().map(|(due, ..)| *due);
        let fall = self.falls.first().map(|(due, ..)| *due);
        orphan.into_iter().chain(release).chain(expiry).chain(fall).min()
    }

    /// A key group's state.
    #[cfg(test)]
    pub(crate) fn group(&self, group: KeyGroup) -> &Group {
        &self.groups[group.index()]
    }
}

#[cfg(test)]
mod contest_tests;
#[cfg(test)]
mod dormant_tests;
#[cfg(test)]
mod earlier_tests;
#[cfg(test)]
mod gate_tests;
#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod rate_tests;
#[cfg(test)]
mod reset_tests;
#[cfg(test)]
mod restriction_tests;
#[cfg(test)]
mod settlement_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tier_tests;
#[cfg(test)]
mod unlock_tests;
