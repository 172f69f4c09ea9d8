//! Exclusive groups: an event counts for one mission of each (DOMAIN §4, `exclusive_group`).
//!
//! For which ones it qualifies depends on the event, on the definitions in force at its time and on the player's gates then: not on progress, not
//! on what came before, not on when it came. All but the gates is settled when the event enters: whoever cannot get it never hears of
//! it, so missions of groups have classes of their own. Where gates decide, it is [contested](super::contests).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use datasets::hash::{KeyGroup, player_hash};
use datasets::mission::Mission;
use datasets::{Event, Timestamp};
use smallvec::SmallVec;

use super::contests::{Contest, Contestant};
use super::facts;
use super::gate::Passage;
use super::touch::Touch;
use super::{Player, Players};
use crate::definitions::{Bounds, ClassId, Definitions, MissionHistory, MissionSlot};
use crate::ledger::Order;

/// Priority, then mission: the greatest goes before.
type Rank<'a> = (i64, Reverse<&'a str>);

fn rank(mission: &Mission) -> Rank<'_> {
    (mission.priority, Reverse(&*mission.mission_id))
}

/// Missions that may have lost events to others that have begun behind these: since when, and the first one to which.
pub(super) type Contested = BTreeMap<MissionSlot, (Timestamp, MissionSlot)>;

/// A mission of a group that an event qualifies for, but for its gate. The greatest of a group goes before.
struct Rival<'a> {
    group: &'a str,
    rank: Rank<'a>,
    contestant: Contestant,
    is_open: bool,
}

/// Missions of groups that `event` qualifies for, but for their gates: by a stage that takes it for something, in force and with a
/// window at its time. By group, those first that go before.
fn rivals<'a>(
    candidates: &[ClassId],
    event: &Event<'_>,
    time: Timestamp,
    definitions: &'a Definitions,
) -> SmallVec<[Rival<'a>; 4]> {
    let mut rivals: SmallVec<[Rival<'a>; 4]> = SmallVec::new();
    for id in candidates {
        let class = definitions.class(*id);
        let is_new = |slot: &MissionSlot| rivals.iter().all(|known| known.contestant.slot != *slot);
        let Some(slot) = class.exclusive.filter(is_new) else {
            continue;
        };
        let history = definitions.history(slot);
        let in_force = class.users.iter().find(|user| {
            let (version, generation) = ((user.version, user.stage), class.generation);
            history.place(version, generation, time, &mut Bounds::ALL.clone()).is_some()
        });
        let Some(version) = in_force.map(|user| user.version) else { continue };
        let mission = &history.version(version).mission;
        let qualifies = class.takes(event) == Some(true) && facts::measured(event, &class.stage.measure).is_some();
        if let Some(group) = mission.exclusive_group.as_deref().filter(|_| qualifies) {
            let (rank, is_open) = (rank(mission), mission.gate.is_open());
            rivals.push(Rival { group, rank, contestant: Contestant::new(slot, version), is_open });
        }
    }
    rivals.sort_unstable_by_key(|rival| (rival.group, Reverse(rival.rank)));
    rivals
}

/// Of the rivals of one group, those that may get an event: up to the first whose gate is always open.
fn contest<'r>(rivals: impl IntoIterator<Item = &'r Rival<'r>>) -> Contest {
    let mut contest = Contest::new();
    for Rival { contestant, is_open, .. } in rivals {
        contest.push(*contestant);
        if *is_open {
            break;
        }
    }
    contest
}

/// Adds a rival to a contest that others are in already, where its rank puts it. It stays out behind one whose gate is always open.
fn join(contest: &mut Contest, newcomer: &Rival<'_>, definitions: &Definitions) -> Option<usize> {
    let place = contest.iter().position(|contestant| rank(contestant.mission(definitions)) < newcomer.rank);
    let place = place.unwrap_or(contest.len());
    let mut before = contest[..place].iter();
    if before.any(|contestant| contestant.mission(definitions).gate.is_open()) {
        return None;
    }
    contest.insert(place, newcomer.contestant);
    Some(place)
}

impl Touch<'_> {
    /// Leaves out of `candidates`, which may take `event` at `order`, the classes of missions that another one of their group goes
    /// before whatever the player's gates say. Answers whether these decide about others.
    pub(super) fn contest(&mut self, candidates: &mut Vec<ClassId>, event: &Event<'_>, order: Order) -> bool {
        let definitions = self.definitions;
        let rivals = rivals(candidates, event, order.0, definitions);
        if rivals.len() < 2 {
            return false;
        }
        // Who contested it when it came first still does.
        let settled = self.timeline.as_deref().map_or(&[][..], |timeline| timeline.contests.of(order)).to_vec();
        let of_group = |group: &str| {
            let is_of_group =
                |contest: &&Contest| contest.first().and_then(|first| first.group(definitions)) == Some(group);
            settled.iter().find(is_of_group).cloned()
        };
        let mut contests = settled.clone();
        let mut losers: SmallVec<[MissionSlot; 4]> = SmallVec::new();
        for rivals in rivals.chunk_by(|a, b| a.group == b.group) {
            let known = of_group(rivals[0].group);
            let contest = known.clone().unwrap_or_else(|| contest(rivals));
            let slots = rivals.iter().map(|rival| rival.contestant.slot);
            losers.extend(slots.filter(|slot| contest.iter().all(|contestant| contestant.slot != *slot)));
            if known.is_none() && contest.len() > 1 {
                contests.push(contest);
            }
        }
        candidates.retain(|class| !definitions.class(*class).exclusive.is_some_and(|slot| losers.contains(&slot)));
        if contests.len() > settled.len() {
            self.timeline.get_or_insert_default().contests.put(order, contests);
        }
        self.timeline.as_deref().is_some_and(|timeline| !timeline.contests.of(order).is_empty())
    }

    /// Missions of `classes` have begun behind `event`, which counts at `order`: they contest it with those of their groups that have it.
    /// Answers who of them goes without it. Adds to `contested` those that may have lost it to them, and since when.
    pub(super) fn contest_earlier(
        &mut self,
        classes: &BTreeSet<ClassId>,
        event: &Event<'_>,
        order: Order,
        contested: &mut Contested,
    ) -> SmallVec<[MissionSlot; 4]> {
        let definitions = self.definitions;
        let newcomers: BTreeSet<_> = classes.iter().filter_map(|class| definitions.class(*class).exclusive).collect();
        let is_new = |rival: &&Rival<'_>| newcomers.contains(&rival.contestant.slot);
        let mut losers = SmallVec::new();
        if newcomers.is_empty() {
            return losers;
        }
        let mut candidates = Vec::new();
        definitions.candidates(event, &mut candidates);
        let rivals = rivals(&candidates, event, order.0, definitions);
        let settled = self.timeline.as_deref().map_or(&[][..], |timeline| timeline.contests.of(order));
        let mut contests = settled.to_vec();
        for rivals in rivals.chunk_by(|a, b| a.group == b.group) {
            let is_of_group =
                |contest: &Contest| contest.first().and_then(|first| first.group(definitions)) == Some(rivals[0].group);
            let known = contests.iter().position(is_of_group);
            let mut contest = match known {
                Some(known) => contests.swap_remove(known),
                None => contest(rivals.iter().filter(|rival| !is_new(rival))),
            };
            for newcomer in rivals.iter().filter(is_new) {
                let newcomer_slot = newcomer.contestant.slot;
                let Some(place) = join(&mut contest, newcomer, definitions) else {
                    losers.push(newcomer_slot);
                    continue;
                };
                let behind = contest.iter().skip(place).map(|contestant| contestant.slot);
                for slot in behind.filter(|slot| !newcomers.contains(slot)) {
                    let (since, _) = contested.entry(slot).or_insert((order.0, newcomer_slot));
                    *since = order.0.min(*since);
                }
            }
            if contest.len() > 1 {
                contests.push(contest);
            }
        }
        if !contests.is_empty() {
            self.timeline.get_or_insert_default().contests.put(order, contests);
        }
        losers
    }

    /// Forgets who contests the event of `order`, if nobody has kept what it contributes.
    pub(super) fn drop_contest_unless_kept(&mut self, order: Order) {
        let Touch { tracks, waits, timeline, .. } = self;
        let is_kept = waits.as_deref().is_some_and(|held| held.has(order)) || !tracks.of(order).is_empty();
        if let (false, Some(timeline)) = (is_kept, timeline) {
            timeline.contests.remove(order);
        }
    }

    /// A control event of `time` comes too late for a mission that would get what others of its group do not, or no longer, by the gates that
    /// it opens or closes for those.
    pub(super) fn is_late_for_rivals(&self, slot: MissionSlot, time: Timestamp) -> bool {
        let definitions = self.definitions;
        let in_force = |slot: MissionSlot| {
            let history = definitions.history(slot);
            history.in_force_at(time).map(|version| (history, version, &history.version(version).mission))
        };
        let Some((_, _, own)) = in_force(slot).filter(|(.., own)| !own.gate.is_open()) else { return false };
        let is_behind = |history: &MissionHistory, version: usize| {
            let other = &history.version(version).mission;
            own.exclusive_group.is_some() && own.exclusive_group == other.exclusive_group && rank(other) < rank(own)
        };
        definitions.rivals(slot).into_iter().filter_map(in_force).any(|(history, version, _)| {
            let window = history.window_at(version, time).filter(|_| is_behind(history, version));
            window.is_some_and(|(_, end)| !history.is_in_time(self.ingest_time, end))
        })
    }
}

impl Player {
    /// Something is kept for a mission that others of its group may get instead.
    pub(super) fn contests(&self, slot: MissionSlot, definitions: &Definitions) -> bool {
        let is_contested = self.timeline.as_deref().is_some_and(|timeline| !timeline.contests.is_empty());
        is_contested && definitions.history(slot).classes().any(|(_, _, class)| self.tracks.get(class).is_some())
    }

    /// Forgets who contests events of which nothing is kept.
    pub(super) fn drop_contests(&mut self, definitions: &Definitions) {
        let Player { tracks, waits, timeline, .. } = self;
        let Some(contests) = timeline.as_deref_mut().map(|timeline| &mut timeline.contests) else { return };
        if contests.is_empty() {
            return;
        }
        let classes = |slot| definitions.history(slot).classes().map(|(_, _, class)| class);
        contests.retain(|order, contests| {
            let is_kept = |class| tracks.get(class).is_some_and(|track| track.find(order).is_some());
            let mut contestants = contests.iter().flatten();
            waits.as_deref().is_some_and(|held| held.has(order))
                || contestants.any(|contestant| classes(contestant.slot).any(is_kept))
        });
    }
}

impl Players {
    /// The mission that gets `event` of `player_id` instead of this one, which it would count for as well, by the definitions and what
    /// is known of the player as they are. `None` as well where its own gate is shut.
    pub fn preferred(&self, event: &Event<'_>, player_id: &str, mission_id: &str) -> Option<&str> {
        let mut candidates = Vec::new();
        self.definitions.candidates(event, &mut candidates);
        let definitions = &self.definitions;
        let rivals = rivals(&candidates, event, event.event_time, definitions);
        let own = rivals.iter().find(|rival| rival.rank.1.0 == mission_id)?;
        let hash = player_hash(player_id);
        let players = &self.groups[KeyGroup::of(hash).index()].players;
        let place = players.find(hash, player_id)?;
        let timeline = players.get(place).and_then(|(_, player)| player.timeline.as_deref());
        let is_in = |rival: &&Rival<'_>| {
            let Contestant { slot, .. } = rival.contestant;
            let version = rival.contestant.version();
            let window = definitions.history(slot).window_at(version, event.event_time);
            window.is_some_and(|(_, end)| {
                let passage = Passage::new(timeline, definitions, (slot, version), end);
                passage.own_since(event.event_time).is_some()
            })
        };
        if !is_in(&own) {
            return None;
        }
        let first = rivals.iter().filter(|rival| rival.group == own.group).find(is_in)?;
        (first.contestant.slot != own.contestant.slot).then_some(first.rank.1.0)
    }
}
