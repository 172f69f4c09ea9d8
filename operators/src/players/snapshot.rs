//! The players operator's state in sections, and back.

use std::collections::BTreeMap;

use datasets::Epoch;
use datasets::hash::KeyGroup;
use datasets::state::{Keeper, Kept, Part, Section};
use serde::{Deserialize, Serialize};

use super::close::{closing_hour, hour_of};
use super::roster::Member;
use super::timeline::Timeline;
use super::unlocks::Unlocks;
use super::{Closed, Closing, Group, NEVER, Players};
use crate::ledger::{ColdRules, LedgerRules, LedgerSection, Markets, WrittenLedger};
use crate::snapshot;

/// What a section says of a key group. The fields of [`GroupSection`], borrowed.
#[derive(Serialize)]
struct WrittenGroup<'a> {
    swept: i64,
    members: Vec<&'a Member>,
    ledger: WrittenLedger<'a>,
}

/// What a section says of a key group, as it is read again.
#[derive(Deserialize)]
struct GroupSection {
    /// The hour up to which state had been swept.
    swept: i64,
    members: Vec<Member>,
    ledger: LedgerSection,
}

/// What format 3 says behind [`GroupSection`]: the timelines of members, by their places among them. Where nobody has
/// one there is nothing, as in older formats.
type Timelines<T> = Vec<(usize, T)>;

/// What format 4 says behind the timelines, which are there then, if only to say that there are none: what completions of
/// members unlock.
type AllUnlocks<T> = Vec<(usize, T)>;

/// Key groups that were read from a checkpoint, as they were after their epochs. Until its epoch has passed again, a
/// group is asleep: events pass it by, since it knows them.
#[derive(Default)]
pub(super) struct Restored(BTreeMap<KeyGroup, (Epoch, Group)>);

impl Restored {
    /// The group knows the events of this epoch already.
    pub(super) fn is_asleep(&self, group: KeyGroup) -> bool {
        !self.0.is_empty() && self.0.contains_key(&group)
    }

    /// Takes out the groups that begin to live in `epoch`.
    fn take(&mut self, epoch: Epoch) -> impl Iterator<Item = (KeyGroup, Group)> {
        self.0.extract_if(.., move |_, (known, _)| *known < epoch).map(|(number, (_, group))| (number, group))
    }
}

/// Why state can always be written.
const WRITABLE: &str = "state has only types that postcard writes";

impl Group {
    fn read(kept: &Kept, rules: &LedgerRules, markets: &mut Markets) -> Group {
        let mut group = Group::default();
        let (mut swept, mut overdue) = (NEVER, Vec::new());
        for bytes in &kept.sections {
            let (mut section, rest) = postcard::take_from_bytes::<GroupSection>(bytes).expect(snapshot::READABLE);
            if !rest.is_empty() {
                let (timelines, rest): (Timelines<Box<Timeline>>, _) =
                    postcard::take_from_bytes(rest).expect(snapshot::READABLE);
                for (member, timeline) in timelines {
                    section.members[member].set_timeline(timeline);
                }
                if !rest.is_empty() {
                    let unlocks: AllUnlocks<Unlocks> = postcard::from_bytes(rest).expect(snapshot::READABLE);
                    for (member, unlocks) in unlocks {
                        section.members[member].set_unlocks(unlocks);
                    }
                }
            }
            swept = section.swept;
            section.members.into_iter().for_each(|member| group.players.restore(member));
            overdue = group.ledger.read(section.ledger, markets);
        }
        group.players.members.settle();
        let swept = Some(swept).filter(|hour| *hour != NEVER);
        group.ledger.complete(swept, (&overdue, &kept.cold), rules);
        group
    }
}

impl Players {
    /// What is new in `group` after `epoch`, and a little of the rest. Nothing of a group that has yet to wake up. What is
    /// due to go cold by these rules does so first; without any, nothing does.
    pub fn write(&mut self, group: KeyGroup, epoch: Epoch, cold: Option<ColdRules>) -> Option<Section> {
        if self.restored.is_asleep(group) {
            return None;
        }
        let swept = self.swept;
        let Group { players, ledger, round } = &mut self.groups[group.index()];
        let cold = ledger.freeze(group, cold, &self.rules.ledger);
        let [plain, full] = ledger.chunks();
        let changed = players.members.changed() + ledger.changed();
        let ([members, plain, full], begins_cycle) = round.next([players.members.chunks(), plain, full], changed);
        let written = WrittenGroup {
            swept,
            members: players.members.take_changed(members).collect(),
            ledger: ledger.write([plain, full], begins_cycle, swept),
        };
        let timelines = || written.members.iter().map(|member| member.timeline()).enumerate();
        let of_marks =
            timelines().filter_map(|(member, known)| Some((member, known.filter(|known| known.has_marks())?)));
        let of_marks: Timelines<&Timeline> = of_marks.collect();
        let unlocks = timelines().filter_map(|(member, known)| Some((member, &known?.unlocks)));
        let unlocks: AllUnlocks<&Unlocks> = unlocks.filter(|(_, unlocks)| !unlocks.is_empty()).collect();
        let mut bytes = postcard::to_allocvec(&written).expect(WRITABLE);
        if !of_marks.is_empty() || !unlocks.is_empty() {
            bytes = postcard::to_extend(&of_marks, bytes).expect(WRITABLE);
        }
        if !unlocks.is_empty() {
            bytes = postcard::to_extend(&unlocks, bytes).expect(WRITABLE);
        }
        Some(Section { part: Part { keeper: Keeper::Players, group }, epoch, begins_cycle, bytes, cold })
    }

    /// Takes what was written. Each group wakes up behind the epoch that was written last.
    pub fn restore(&mut self, state: &snapshot::Restored) {
        for epoch in state.definitions.chunk_by(|(a, _), (b, _)| a == b) {
            epoch.iter().for_each(|(_, record)| drop(self.definitions.apply(record)));
            // What is defined in one epoch can share classes, so the numbers of classes depend on it.
            self.definitions.index();
        }
        // As if the epochs before had been closed here.
        self.swept = state.oldest_to_come.map_or(i64::MIN, hour_of);
        let rules = &self.rules.ledger;
        self.restored.0 = state.read(Keeper::Players, |markets, kept| Group::read(kept, rules, markets));
    }

    /// Before `epoch` is closed: groups that do not know it yet begin to live. Until then the definitions have
    /// come as far as the groups had when they were written.
    pub fn wake(&mut self, epoch: Epoch) {
        let awake: Vec<_> = self.restored.take(epoch).collect();
        for (number, group) in awake {
            self.deadlines.extend(group.ledger.deadlines().map(|deadline| (deadline, number)));
            for (id, player) in group.players.iter() {
                for key in player.occurrences.keys().chain(player.tracks.overridden()) {
                    let history = self.definitions.history(key.slot);
                    if let Some(until) = player.kept_until(key, history) {
                        let closing = Closing { group: number, player: id.clone(), what: Closed::Occurrence(key) };
                        self.closing.entry(closing_hour(until)).or_default().push(closing);
                    }
                }
                let classes = player.tracks.iter().map(|track| track.class);
                for class in classes.filter(|class| self.definitions.class(*class).is_gated) {
                    if let Some(due) = player.due(class, &self.definitions) {
                        let closing = Closing { group: number, player: id.clone(), what: Closed::Class(class) };
                        self.closing.entry(due).or_default().push(closing);
                    }
                }
            }
            self.groups[number.index()] = group;
        }
    }
}
