//! Missions that a player's completions of other missions unlock (DOMAIN §4, `requires`).
//!
//! What is asked of a mission that others require is since when a completion of it has been in force: the least `completed_at` of those
//! that stand. It can change with every event that completes, corrects or revokes. A window that asks knows what was caused in
//! time for it, and does not know what came too late, as with opt-ins and segments; so changes are kept with the ingest times of
//! their causes. Whoever changes it folds again what lies behind, mission by mission, those first that unlock others.

use std::collections::{BTreeMap, BTreeSet};

use datasets::Timestamp;
use datasets::mission::Mission;
use serde::{Deserialize, Serialize};

use super::Player;
use super::gate::Reopening;
use super::occurrences::OccurrenceKey;
use super::repeats::{self, Told};
use super::tracks::OccurrenceSequence;
use crate::definitions::{Definitions, MissionSlot};
use crate::progress::{Cause, Progress};

/// Since when completions of missions have been in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unlocks {
    /// The least `completed_at` of completions in windows that are forgotten, which nothing takes back any more. Of all missions: one that
    /// requires them may still be defined.
    settled: Vec<(MissionSlot, Timestamp)>,
    /// Of missions that are required.
    known: Vec<(MissionSlot, Changes)>,
}

/// How what is asked of one mission has changed, in the order in which the changes came.
type Changes = Vec<Change>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Change {
    /// Of the cause. A window does not know what comes too late for it.
    ingest_time: Timestamp,
    /// From here on a completion is in force.
    since: Option<Timestamp>,
}

impl Unlocks {
    /// Nothing is known.
    pub(super) fn is_empty(&self) -> bool {
        self.settled.is_empty() && self.known.is_empty()
    }

    /// Since when a completion of a mission has been in force, as far as causes of which the ingest time `is_known` tell.
    pub(super) fn since(&self, slot: MissionSlot, is_known: impl Fn(Timestamp) -> bool) -> Option<Timestamp> {
        let (_, changes) = self.known.iter().find(|(known, _)| *known == slot)?;
        changes.iter().rfind(|change| is_known(change.ingest_time))?.since
    }

    /// A completion at `time` stands for ever.
    fn settle(&mut self, slot: MissionSlot, time: Timestamp) {
        match self.settled.iter_mut().find(|(known, _)| *known == slot) {
            Some((_, known)) => *known = time.min(*known),
            None => push(&mut self.settled, (slot, time)),
        }
    }

    /// The least `completed_at` of what stands for ever.
    pub(super) fn settled(&self, slot: MissionSlot) -> Option<Timestamp> {
        self.settled.iter().find(|(known, _)| *known == slot).map(|(_, time)| *time)
    }

    /// From now on it is `since`. Answers from when on that makes a difference. Forgets what nobody asks for: every window that
    /// asks ends behind the `horizon`.
    fn change(
        &mut self,
        slot: MissionSlot,
        ingest_time: Timestamp,
        since: Option<Timestamp>,
        horizon: Timestamp,
    ) -> Option<Timestamp> {
        let place = self.known.iter().position(|(known, _)| *known == slot);
        let before = place.and_then(|place| self.known[place].1.last()?.since);
        if before == since {
            return None;
        }
        let place = place.unwrap_or_else(|| {
            push(&mut self.known, (slot, Changes::new()));
            self.known.len() - 1
        });
        let changes = &mut self.known[place].1;
        push(changes, Change { ingest_time, since });
        // What is ingested before a window ends comes in time for it, whatever its lateness is.
        if let Some(last) = changes.iter().rposition(|change| change.ingest_time <= horizon) {
            changes.drain(..last);
        }
        [before, since].into_iter().flatten().min()
    }
}

/// Most players have one of each for long.
fn push<T>(all: &mut Vec<T>, one: T) {
    if all.len() < 4 {
        all.reserve_exact(1);
    }
    all.push(one);
}

/// After which instant events pass a gate that asks for completions of other missions: the last of them; `None`: never.
pub(super) fn unlocked_after(
    mission: &Mission,
    unlocks: Option<&Unlocks>,
    definitions: &Definitions,
    is_known: impl Fn(Timestamp) -> bool,
) -> Option<Timestamp> {
    let mut required = mission.gate.requires.iter();
    required.try_fold(Timestamp::MIN, |after, id| {
        // Whoever is not defined has not been completed.
        let since = unlocks?.since(definitions.slot(id)?, &is_known)?;
        Some(after.max(since))
    })
}

/// Why a player's missions are looked at again.
#[derive(Clone, Copy)]
pub(super) struct Why {
    /// The mission that a new version brought it about for, if that did, and when it took effect.
    pub(super) edited: Option<(MissionSlot, Timestamp)>,
    /// Of the event or definition.
    pub(super) ingest_time: Timestamp,
    /// Nothing comes any more that was ingested before.
    pub(super) oldest_to_come: Timestamp,
}

/// What follows.
#[derive(Default)]
pub(super) struct Outcome {
    /// What is to be announced, in order of mission, window and occurrence.
    pub(super) told: Vec<Told>,
    /// Occurrences of which something is kept from now on, with the end of a recurring window.
    pub(super) begun: Vec<(OccurrenceKey, Option<Timestamp>)>,
}

/// Missions that depend on each other: one of a group unlocks what takes later events from it. What is told of them follows from where
/// they come to rest, so whoever is moved again is judged again, as if it had not been judged before.
#[derive(Default)]
struct Circles(BTreeMap<MissionSlot, Judged>);

/// What was judged.
#[derive(Default)]
struct Judged {
    times: usize,
    /// Before anything was told of it.
    before: BTreeMap<OccurrenceKey, Progress>,
    /// All that moved.
    moved: BTreeSet<OccurrenceKey>,
}

impl Circles {
    /// A mission of which `moved` occurrences have changed is about to be judged. Takes back what was told of it, and adds to `moved` what
    /// that concerned. Answers `false` where that would go on for ever.
    ///
    /// It comes to an end: when a mission is unlocked depends on what is strictly earlier alone, so of all that is still to
    /// move the first in time is final when it has been judged. But a completion that stands whatever happens, since it is kept, or by a
    /// version that was in force before, is told by what it was.
    fn enter(
        &mut self,
        slot: MissionSlot,
        player: &mut Player,
        moved: &mut Vec<OccurrenceKey>,
        definitions: &Definitions,
    ) -> bool {
        let judged = self.0.entry(slot).or_default();
        judged.times += 1;
        if judged.times > 8 * definitions.circle(slot) {
            return false;
        }
        let Player { occurrences, tracks, timeline, .. } = player;
        let timeline = timeline.as_deref();
        let history = definitions.history(slot);
        for (key, progress) in occurrences.of_mission(slot, definitions) {
            match judged.before.get(&key) {
                Some(before) => {
                    progress.clone_from(before);
                    progress.fold_anew(history, &OccurrenceSequence { tracks, timeline, definitions, key });
                }
                None => drop(judged.before.insert(key, progress.clone())),
            }
        }
        judged.moved.extend(moved.iter().copied());
        *moved = judged.moved.iter().copied().collect();
        true
    }
}

impl Player {
    /// What is to be announced after `moved` occurrences have changed, of them and of all that they unlock or lock.
    pub(super) fn announce(&mut self, moved: Vec<OccurrenceKey>, why: Why, definitions: &Definitions) -> Outcome {
        self.settle(definitions);
        let mut outcome = Outcome::default();
        // Whatever unlocks a mission has been judged before it is, so each is judged once.
        let place = |key: OccurrenceKey| (definitions.rank(key.slot), key.slot, key.window, key);
        let mut waiting: BTreeSet<_> = moved.into_iter().map(place).collect();
        let mut circles = Circles::default();
        while let Some((_, slot, ..)) = waiting.first().copied() {
            let mut moved: Vec<_> =
                waiting.extract_if(.., |(_, other, ..)| *other == slot).map(|(.., key)| key).collect();
            if definitions.circle(slot) > 0 {
                if !circles.enter(slot, self, &mut moved, definitions) {
                    continue;
                }
                outcome.told.retain(|told| told.key.slot != slot);
            }
            // What an edit unlocks completes when its own events say.
            let edited = why.edited.filter(|(edited, _)| *edited == slot);
            let cause = edited.map_or(Cause::Event, |(_, at)| Cause::Definition(at));
            outcome.told.extend(repeats::announce(self, &moved, cause, definitions));
            let mut moved = Vec::new();
            for (next, from) in self.unlock(slot, why, definitions) {
                let Player { occurrences, tracks, timeline, .. } = &mut *self;
                let timeline = timeline.as_deref();
                let mut reopening =
                    Reopening { occurrences, tracks, timeline, definitions, ingest_time: why.ingest_time };
                reopening.pass_again(next, from, &mut moved, &mut outcome.begun);
            }
            waiting.extend(moved.into_iter().map(place));
        }
        outcome.told.sort_by_key(|told| definitions.mission_id(told.key.slot));
        outcome
    }

    /// Brings up to date what others know of a mission that has just been judged. Answers what that concerns, and from when on.
    fn unlock(&mut self, slot: MissionSlot, why: Why, definitions: &Definitions) -> Vec<(MissionSlot, Timestamp)> {
        let Why { ingest_time, oldest_to_come, .. } = why;
        let next = definitions.moved_by(slot);
        if next.is_empty() {
            return Vec::new();
        }
        let since = self.in_force_since(slot, definitions);
        if since.is_none() && self.timeline.is_none() {
            return Vec::new();
        }
        let needed = next.iter().map(|next| definitions.history(*next).needed_from(oldest_to_come));
        let horizon = needed.chain([definitions.unknown_needed_from(oldest_to_come)]).min();
        let horizon = horizon.unwrap_or(Timestamp::MIN);
        let unlocks = &mut self.timeline.get_or_insert_default().unlocks;
        let from = unlocks.change(slot, ingest_time, since, horizon);
        from.into_iter().flat_map(|from| next.iter().map(move |next| (*next, from))).collect()
    }

    /// There may be something to tell of a mission that is required from now on.
    pub(super) fn may_have_completed(&self, slot: MissionSlot, definitions: &Definitions) -> bool {
        let settled = self.timeline.as_deref().and_then(|timeline| timeline.unlocks.settled(slot));
        settled.is_some() || self.occurrences.has(slot, definitions)
    }

    /// A mission is required from now on. Every window that asks for it ends later than this.
    pub(super) fn begin_to_unlock(&mut self, slot: MissionSlot, definitions: &Definitions) {
        if let Some(since) = self.in_force_since(slot, definitions) {
            let unlocks = &mut self.timeline.get_or_insert_default().unlocks;
            unlocks.change(slot, Timestamp::MIN, Some(since), Timestamp::MIN);
        }
    }

    /// Since when a completion of a mission has been in force, as it is now.
    pub(super) fn in_force_since(&self, slot: MissionSlot, definitions: &Definitions) -> Option<Timestamp> {
        let settled = self.timeline.as_deref().and_then(|timeline| timeline.unlocks.settled(slot));
        let standing = self.occurrences.progress_of(slot, definitions).filter_map(|progress| progress.in_force_since());
        standing.chain(settled).min()
    }

    /// A window is about to be forgotten, with its completion.
    pub(super) fn settle_completion(&mut self, key: OccurrenceKey, definitions: &Definitions) {
        // Nobody can require a tier.
        if definitions.tier(key.slot).is_some() {
            return;
        }
        if let Some(since) = self.occurrences.get(key).and_then(|progress| progress.in_force_since()) {
            self.timeline.get_or_insert_default().unlocks.settle(key.slot, since);
        }
    }
}
