//! Events that are retained whole, for missions that count from before their activation (DOMAIN §4, `count_from`).
//!
//! What contributions and the ledger keep of an event is what older missions asked, and its fingerprints. A mission that is defined within
//! its window, and counts from its start, may ask for anything. So where `missions.retained` says so, all that counts for missions is
//! kept for that time, by when it counts, and as what became of it: who comes later finds what it would have found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datasets::hash::{KEY_GROUPS, KeyGroup};
use datasets::{Event, EventBatch, Timestamp};
use serde::{Deserialize, Serialize};

use super::close::{Clocks, keep, leaving};
use super::closings::closing_hour;
use super::gate::Reopening;
use super::groups::Contested;
use super::occurrences::OccurrenceKey;
use super::touch::Touch;
use super::unlocks::{Outcome, Why};
use super::{Player, Players};
use crate::changes::{Changes, Phase};
use crate::definitions::{ClassId, DefinitionRecord, Definitions, MissionSlot};
use crate::ledger::Order;

/// Events of one player, by when they count.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Retained(BTreeMap<Order, RetainedEvent>);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct RetainedEvent {
    event: EventBatch,
    /// Nobody has taken it back.
    live: bool,
}

impl Retained {
    /// How many.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// When the first of them is forgotten, as the hour after which it is.
    pub(super) fn due(&self, definitions: &Definitions) -> Option<i64> {
        let (time, _) = self.0.keys().next()?;
        Some(due(*time, definitions))
    }
}

fn due(time: Timestamp, definitions: &Definitions) -> i64 {
    closing_hour(time.plus_micros(definitions.retained_micros()))
}

impl Touch<'_> {
    /// Retains `event`, which counts at `order`.
    pub(super) fn retain(&mut self, event: &Event<'_>, order: Order, live: bool) {
        if self.definitions.retained_micros() == 0 {
            return;
        }
        let all = &mut self.retained.get_or_insert_default().0;
        self.retains_more |= all.keys().next().is_none_or(|first| order < *first);
        all.insert(order, RetainedEvent { event: event.to_batch(), live });
    }

    /// The fact of `order` counts, or no longer.
    pub(super) fn correct_retained(&mut self, order: Order, live: bool) {
        if let Some(known) = self.retained.as_deref_mut().and_then(|retained| retained.0.get_mut(&order)) {
            known.live = live;
        }
    }
}

impl Player {
    /// Forgets what is due before `hour`.
    pub(super) fn forget_retained(&mut self, hour: i64, definitions: &Definitions) {
        let Some(retained) = self.retained.as_deref_mut() else { return };
        retained.0.retain(|(time, _), _| due(*time, definitions) >= hour);
        if retained.0.is_empty() {
            self.retained = None;
        }
    }

    /// Events at `from` or later, in order, and whether each counts.
    fn retained_from(&self, from: Timestamp) -> Vec<(Order, EventBatch, bool)> {
        let events = self.retained.iter().flat_map(|retained| &retained.0);
        let events = events.filter(|((time, _), _)| *time >= from);
        events.map(|(order, RetainedEvent { event, live })| (*order, event.clone(), *live)).collect()
    }
}

impl Players {
    /// Missions that were activated in this epoch count what happened in their windows before.
    pub(super) fn count_earlier(
        &mut self,
        activated: &[(MissionSlot, &DefinitionRecord)],
        clocks: Clocks,
        changes: &mut Changes,
    ) {
        let Some((_, first)) = activated.first() else { return };
        let histories = || activated.iter().map(|(slot, _)| self.definitions.history(*slot));
        let classes: BTreeSet<ClassId> =
            histories().flat_map(|history| history.classes().map(|(_, _, class)| class)).collect();
        let versions =
            histories().flat_map(|history| (0..=history.newest()).map(|version| history.version(version).from));
        let from = versions.min().unwrap_or(Timestamp::MAX);
        for group in (0..KEY_GROUPS).map(KeyGroup) {
            let places: Vec<u32> = self.groups[group.index()]
                .players
                .awake()
                .filter(|(_, _, player)| player.retained.is_some())
                .map(|(place, ..)| place)
                .collect();
            for place in places {
                let (_, player) = self.groups[group.index()].players.get_mut(place);
                let (mut moved, mut contested) = (Vec::new(), Contested::new());
                for (order, event, live) in player.retained_from(from) {
                    let event = event.get(0);
                    let (_, player) = self.groups[group.index()].players.get_mut(place);
                    let known = (&self.definitions, &self.rates);
                    let ingest = (first.ingest_time, clocks.1);
                    let mut touch = Touch::new(player, known, &mut self.scratch, ingest);
                    touch.contribute_earlier(&classes, &event, (order, live), &mut contested);
                    let mut touched = touch.end();
                    moved.append(&mut touched.moved);
                    self.conclude(&event, (place, Phase::Earlier), touched, clocks, changes);
                }
                self.give_up((group, place), &contested, &mut moved, first.ingest_time);
                self.tell_earlier((group, place), (moved, &contested), activated, clocks);
            }
        }
    }

    /// Missions of which others of their group get events now, from these times on, are folded again without them.
    fn give_up(
        &mut self,
        (group, place): (KeyGroup, u32),
        contested: &Contested,
        moved: &mut Vec<OccurrenceKey>,
        ingest_time: Timestamp,
    ) {
        if contested.is_empty() {
            return;
        }
        let definitions = &self.definitions;
        let (_, player) = self.groups[group.index()].players.get_mut(place);
        player.settle(definitions);
        let Player { occurrences, tracks, timeline, .. } = player;
        let mut begun = Vec::new();
        for (slot, (from, _)) in contested {
            let timeline = timeline.as_deref();
            let mut reopening = Reopening { occurrences, tracks, timeline, definitions, ingest_time };
            reopening.pass_again(*slot, *from, moved, &mut begun);
        }
        keep((&mut self.closings, &mut self.untouched), (group, place), begun, definitions);
    }

    /// Tells what came of it for one player, each by the definition of its mission, or of the one that it lost events to.
    fn tell_earlier(
        &mut self,
        (group, place): (KeyGroup, u32),
        (moved, contested): (Vec<OccurrenceKey>, &Contested),
        activated: &[(MissionSlot, &DefinitionRecord)],
        (now, oldest_to_come): Clocks,
    ) {
        if moved.is_empty() {
            return;
        }
        let (_, first) = activated[0];
        let (id, player) = self.groups[group.index()].players.get_mut(place);
        let why = Why { edited: None, ingest_time: first.ingest_time, oldest_to_come };
        let Outcome { told, begun } = player.announce(moved, why, &self.definitions);
        keep((&mut self.closings, &mut self.untouched), (group, place), begun, &self.definitions);
        let id: Arc<str> = id.clone();
        let record_of = |slot: MissionSlot| {
            let by = contested.get(&slot).map_or(slot, |(_, newcomer)| *newcomer);
            let of_slot = activated.iter().find(|(activated, _)| *activated == by);
            of_slot.map_or(first, |(_, record)| *record)
        };
        let definitions = &self.definitions;
        let told = leaving((Phase::Earlier, told), (&id, player), record_of, (definitions, &self.reporter), now);
        self.leaving.extend(told);
    }
}
