//! The players operator's state in sections, and back.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use datasets::Epoch;
use datasets::hash::KeyGroup;
use datasets::state::{Keeper, Kept, Part, Section, Unpacker};
use serde::{Deserialize, Serialize, Serializer};

use super::closings::{Hours, Phase};
use super::dormant::{Bytes, Found};
use super::emission::AT_ONCE;
use super::roster::{Member, Roster, WrittenMember};
use super::unlocks::Unlocks;
use super::{Group, NEVER, Player, Players};
use crate::definitions::Applied;
use crate::ledger::{Ledger, LedgerRules, Markets, Reading, WrittenLedger};
use crate::slab::Slab;
use crate::snapshot::{self, READABLE, Round, Terms, Turn, Visited, WRITABLE};

/// What a piece says of a key group. [`Group::read`] reads its fields one behind the other.
#[derive(Serialize)]
struct WrittenGroup<'a> {
    /// Since format 8, which says the length of what it says of a player.
    mark: i64,
    /// The hour up to which state had been swept.
    swept: i64,
    members: Vec<WrittenMember<'a>>,
    ledger: WrittenLedger<'a>,
}

/// Begins a piece of format 8 or later, in the place of an hour that nobody sweeps up to.
const MARK: i64 = i64::MAX;

impl Serialize for WrittenMember<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.member.id(), Bytes(&self.player)).serialize(serializer)
    }
}

impl WrittenGroup<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = postcard::to_allocvec(self).expect(WRITABLE);
        let members = &self.members;
        let lists = [
            written(members, Member::timeline),
            written(members, Member::restrictions),
            written(members, Member::points),
            // Since format 8 each player says them.
            written(members, |_| None::<&Unlocks>),
            written(members, Member::waits),
            self.ledger.slips(),
            written(members, Member::rank),
            written(members, Member::contests),
            written(members, Member::retained),
            written(members, Member::customer),
        ];
        let needed = lists.iter().rposition(|(_, is_empty)| !is_empty).map_or(0, |last| last + 1);
        lists[..needed].iter().for_each(|(list, _)| bytes.extend_from_slice(list));
        bytes
    }
}

/// What members have that few have, by their places among them. Behind [`WrittenGroup`] come lists of it, in the order of
/// the formats that added them: timelines (3); restrictions, points, unlocks (4, until 7); what waits for a rate, behind these the slips
/// of bets, and tiers (5); what missions contest, and retained events (6); what is known of
/// customers (7). The last ones are left out where they are empty.
type Beside<T> = Vec<(usize, T)>;

/// Reads what comes next, if there is anything.
fn next<'a, T: Default + Deserialize<'a>>(rest: &mut &'a [u8]) -> T {
    if rest.is_empty() { T::default() } else { snapshot::next(rest) }
}

/// A list of what members have, as it is written, and whether nobody has any.
fn written<'a, T: Serialize + 'a>(
    members: &[WrittenMember<'a>],
    of: impl Fn(&'a Member) -> Option<&'a T>,
) -> (Vec<u8>, bool) {
    let list = members.iter().enumerate().filter_map(|(place, written)| Some((place, of(written.member)?)));
    let list: Beside<&T> = list.collect();
    (postcard::to_allocvec(&list).expect(WRITABLE), list.is_empty())
}

/// Key groups that were read from a checkpoint, as they were after their epochs. Until its epoch has passed again, a
/// group is asleep: events pass it by, since it knows them.
#[derive(Default)]
pub(super) struct Restored(BTreeMap<KeyGroup, (Epoch, Asleep)>);

/// A key group, and when something of those of its players can be forgotten that are dormant.
type Asleep = (Group, Hours);

impl Restored {
    /// The group knows the events of this epoch already.
    pub(super) fn is_asleep(&self, group: KeyGroup) -> bool {
        !self.0.is_empty() && self.0.contains_key(&group)
    }

    /// Takes out the groups that begin to live in `epoch`.
    fn take(&mut self, epoch: Epoch) -> impl Iterator<Item = (KeyGroup, Asleep)> {
        self.0.extract_if(.., move |_, (known, _)| *known < epoch).map(|(number, (_, asleep))| (number, asleep))
    }
}

/// A section that is not whole yet. What changes in what it has already comes with its last piece, so that all of it is as it
/// is behind the epoch of that one.
#[derive(Clone, Debug)]
pub(super) struct Unfinished {
    /// The chunks of the pieces that are to be written.
    to_come: VecDeque<[Range<usize>; 4]>,
    is_first: bool,
    needs: usize,
    pieces: Vec<Vec<u8>>,
}

impl Group {
    /// Reads pieces from the newest to the oldest, so that nothing is built of what was written again.
    fn read(kept: Kept, unpacker: &mut Unpacker, rules: &LedgerRules, markets: &mut Markets) -> Group {
        let mut group = Group::default();
        let (mut swept, mut ledger, mut full) = (None, Reading::default(), Vec::new());
        for piece in kept.pieces.into_iter().rev() {
            full.push(group.tables(Slab::full_chunks, Ledger::full_chunks));
            let mut rest = unpacker.unpack(&piece).expect(READABLE);
            let mut hour = snapshot::next(&mut rest);
            let players = &mut group.players;
            let places = if hour == MARK {
                hour = snapshot::next(&mut rest);
                let members: usize = snapshot::next(&mut rest);
                players.restore_older((0..members).map(|_| Found::next(&mut rest)))
            } else {
                players.restore_older(snapshot::list::<(&str, Player)>(&mut rest))
            };
            swept.get_or_insert(hour);
            group.ledger.read(&mut rest, &mut ledger, markets);
            group.read_beside(&places, &mut rest);
        }
        group.players.turn_round();
        let swept = swept.filter(|hour| *hour != NEVER);
        group.ledger.complete(swept, (&ledger.overdue, &kept.cold), rules);
        group.round = Round::resume(&full, group.tables(Slab::chunks, Ledger::chunks));
        group
    }

    /// Something of each table.
    fn tables(&self, players: impl Fn(&Slab<Member>) -> usize, ledger: impl Fn(&Ledger) -> [usize; 3]) -> [usize; 4] {
        let [plain, full, slips] = ledger(&self.ledger);
        [players(&self.players.members), plain, full, slips]
    }

    /// Takes what is written beside the members of a piece that are at `places`.
    fn read_beside(&mut self, places: &[Option<u32>], rest: &mut &[u8]) {
        let players = &mut self.players;
        each_beside(players, places, rest, Member::set_timeline);
        each_beside(players, places, rest, Member::set_restrictions);
        each_beside(players, places, rest, Member::set_points);
        each_beside(players, places, rest, Member::set_unlocks);
        each_beside(players, places, rest, Member::set_waits);
        self.ledger.read_slips(next(rest));
        each_beside(players, places, rest, Member::set_rank);
        each_beside(players, places, rest, Member::set_contests);
        each_beside(players, places, rest, Member::set_retained);
        each_beside(players, places, rest, Member::set_customer);
    }
}

/// Reads the next list, if there is one, and hands each value to its member, unless something newer is known of that.
fn each_beside<'a, T: Deserialize<'a>>(
    players: &mut Roster,
    places: &[Option<u32>],
    rest: &mut &'a [u8],
    set: impl Fn(&mut Member, T),
) {
    for (number, value) in next::<Beside<T>>(rest) {
        if let Some(place) = places[number] {
            set(players.member_mut(place), value);
        }
    }
}

impl Players {
    /// What is new in `group` after `epoch`, and a little of the rest; if that is much, behind several epochs. What is due to go
    /// cold does so with the end of the section.
    pub fn write(&mut self, group: KeyGroup, epoch: Epoch, terms: Terms) -> Visited {
        if self.restored.is_asleep(group) {
            return Visited::Asleep;
        }
        let Group { players, ledger, round, unfinished } = &mut self.groups[group.index()];
        // Of a group that an earlier release had swept as of another hour, this is the later one.
        let swept = ledger.swept().unwrap_or(NEVER);
        let mut section = unfinished.take().unwrap_or_else(|| {
            let [plain, full, slips] = ledger.chunks();
            let changed = players.members.changed() + ledger.changed();
            let Turn { pieces, is_first, needs } = round.next([players.members.chunks(), plain, full, slips], changed);
            Box::new(Unfinished { to_come: pieces.into(), is_first, needs, pieces: Vec::new() })
        });
        let mut bytes = 0;
        while bytes < terms.bytes_at_once {
            let [members, plain, full, slips] = section.to_come.pop_front().expect("it ends with the last one");
            let is_last = section.to_come.is_empty();
            let cold = if is_last { ledger.freeze(group, terms.cold, &self.rules.ledger) } else { None };
            let is_first = section.is_first && section.pieces.is_empty();
            let members = players.write(members, is_last, &self.definitions);
            let ledger = ledger.write([plain, full, slips], (is_first, is_last), swept);
            section.pieces.push(WrittenGroup { mark: MARK, swept, members, ledger }.bytes());
            if is_last {
                let Unfinished { needs, pieces, .. } = *section;
                return Visited::Section(Section {
                    part: Part { keeper: Keeper::Players, group },
                    epoch,
                    needs,
                    pieces,
                    cold,
                });
            }
            bytes += section.pieces.last().map_or(0, Vec::len);
        }
        *unfinished = Some(section);
        Visited::Unfinished
    }

    /// Takes what was written. Each group wakes up behind the epoch that was written last.
    pub fn restore(&mut self, state: &snapshot::Restored) {
        for epoch in state.definitions.chunk_by(|(a, _), (b, _)| a == b) {
            for (_, record) in epoch {
                if let Applied::Version { slot, .. } = self.definitions.apply(record) {
                    self.untouched.pass(slot);
                }
            }
            // What is defined in one epoch can share classes, so the numbers of classes depend on it.
            self.definitions.index();
        }
        // As if the epochs before had been closed here.
        self.swept = state.oldest_to_come.map_or(Phase::NEVER, Phase::of);
        self.rates = state.rates.clone();
        let rules = &self.rules.ledger;
        self.restored.0 = state.read(Keeper::Players, |markets, unpacker, kept| {
            let group = Group::read(kept, unpacker, rules, markets);
            let hours = group.players.closings_of_dormant();
            (group, hours)
        });
    }

    /// Before `epoch` is closed: groups that do not know it yet begin to live. Until then the definitions have
    /// come as far as the groups had when they were written.
    pub fn wake(&mut self, epoch: Epoch) {
        let awake: Vec<_> = self.restored.take(epoch).collect();
        for (number, (group, hours)) in awake {
            self.deadlines.extend(group.ledger.deadlines().map(|deadline| (deadline, number)));
            self.closings.take_over(number, hours);
            self.untouched.read(number);
            for (place, id, player) in group.players.awake() {
                // What may not leave yet is told when it may.
                if player.restrictions.as_ref().is_some_and(|restrictions| restrictions.has_deferred()) {
                    self.releases.insert((AT_ONCE, number, id.clone()));
                }
                if let Some(due) = player.points.as_ref().and_then(|points| points.next_expiry()) {
                    self.expiries.insert((due, number, place));
                }
                if let Some(due) = player.rank.as_ref().and_then(|rank| rank.next_due()) {
                    self.falls.insert((due, number, place));
                }
                if let Some(hour) = player.next_closing(NEVER, &self.definitions) {
                    self.closings.file(hour, (number, place));
                }
            }
            self.groups[number.index()] = group;
        }
    }
}
