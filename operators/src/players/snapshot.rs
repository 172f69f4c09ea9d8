//! The players operator's state in sections, and back.

use std::collections::BTreeMap;

use datasets::Epoch;
use datasets::hash::{KeyGroup, player_hash};
use datasets::state::{Keeper, Kept, Part, Section};
use serde::{Deserialize, Serialize};

use super::close::{closing_hour, hour_of};
use super::emission::AT_ONCE;
use super::restrictions::Restrictions;
use super::roster::Member;
use super::timeline::Timeline;
use super::unlocks::Unlocks;
use super::{Closed, Closing, Group, NEVER, Players};
use crate::ledger::{ColdRules, LedgerRules, LedgerSection, Markets, WrittenLedger};
use crate::points::Points;
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

/// What members have that few have, by their places among them. Behind [`GroupSection`] come lists of it, in the order of
/// the formats that added them: timelines (3); restrictions, points, unlocks (4). The last ones are left out where they are empty, so a
/// section that needs nothing of a format is one of the format before.
type Beside<T> = Vec<(usize, T)>;

/// Reads the next list, if there is one.
fn beside<T: for<'a> Deserialize<'a>>(rest: &mut &[u8]) -> Beside<T> {
    if rest.is_empty() {
        return Vec::new();
    }
    let (list, behind) = postcard::take_from_bytes(rest).expect(snapshot::READABLE);
    *rest = behind;
    list
}

/// A list of what members have, as it is written, and whether nobody has any.
fn written<'a, T: Serialize + 'a>(members: &[&'a Member], of: impl Fn(&'a Member) -> Option<&'a T>) -> (Vec<u8>, bool) {
    let list = members.iter().enumerate().filter_map(|(place, member)| Some((place, of(member)?)));
    let list: Beside<&T> = list.collect();
    (postcard::to_allocvec(&list).expect(WRITABLE), list.is_empty())
}

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
            let (mut section, mut rest) = postcard::take_from_bytes::<GroupSection>(bytes).expect(snapshot::READABLE);
            for (member, timeline) in beside::<Box<Timeline>>(&mut rest) {
                section.members[member].set_timeline(timeline);
            }
            for (member, restrictions) in beside::<Box<Restrictions>>(&mut rest) {
                section.members[member].set_restrictions(restrictions);
            }
            for (member, points) in beside::<Box<Points>>(&mut rest) {
                section.members[member].set_points(points);
            }
            for (member, unlocks) in beside::<Unlocks>(&mut rest) {
                section.members[member].set_unlocks(unlocks);
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
        let group_section = WrittenGroup {
            swept,
            members: players.members.take_changed(members).collect(),
            ledger: ledger.write([plain, full], begins_cycle, swept),
        };
        let mut bytes = postcard::to_allocvec(&group_section).expect(WRITABLE);
        let members = &group_section.members;
        let lists = [
            written(members, Member::timeline),
            written(members, Member::restrictions),
            written(members, Member::points),
            written(members, Member::unlocks),
        ];
        let needed = lists.iter().rposition(|(_, is_empty)| !is_empty).map_or(0, |last| last + 1);
        lists[..needed].iter().for_each(|(list, _)| bytes.extend_from_slice(list));
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
                // What may not leave yet is told when it may.
                if player.restrictions.as_ref().is_some_and(|restrictions| restrictions.has_deferred()) {
                    self.releases.insert((AT_ONCE, number, id.clone()));
                }
                if let Some(due) = player.points.as_ref().and_then(|points| points.next_expiry()) {
                    let place = group.players.find(player_hash(id), id).expect("it is one of them");
                    self.expiries.insert((due, number, place));
                }
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
