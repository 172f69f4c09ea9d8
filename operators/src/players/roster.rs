//! The players of a key group, by id.

use std::borrow::Cow;
use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;

use datasets::hash::player_hash;

use super::Player;
use super::closings::Hours;
use super::contests::Contests;
use super::dormant::{Dormant, Found, written};
use super::held::Held;
use super::restrictions::Restrictions;
use super::retained::Retained;
use super::timeline::Timeline;
use super::unlocks::Unlocks;
use crate::definitions::{Definitions, MissionSlot};
use crate::entities::Customer;
use crate::index::{Index, short_hash};
use crate::points::Points;
use crate::slab::Slab;
use crate::tiers::Rank;

/// Every player that was heard of, at a place that stays.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster {
    index: Index,
    pub(super) members: Slab<Member>,
}

/// A player with the id.
#[derive(Clone, Debug)]
pub(super) enum Member {
    /// As it is worked on.
    Awake(Box<Active>),
    /// As it is kept of who is not needed, and has nothing of what few have.
    Dormant(Dormant),
}

/// A player who is awake, with the id.
#[derive(Clone, Debug)]
pub(super) struct Active {
    id: Arc<str>,
    player: Player,
}

/// Reads ahead what tells of some players in which missions they have progress: a link of each at a time, as [`super::fetch`] does.
fn fetch(members: &[Option<Member>]) {
    for member in members.iter().flatten() {
        match member {
            Member::Awake(active) => {
                black_box(active.player.occurrences.is_empty());
            }
            Member::Dormant(dormant) => dormant.fetch(),
        }
    }
    for active in members.iter().flatten().filter_map(Member::awake) {
        active.player.occurrences.fetch();
    }
}

/// A player with the id, and what a section says of its state.
pub(super) struct WrittenMember<'a> {
    pub(super) member: &'a Member,
    pub(super) player: Cow<'a, [u8]>,
}

/// What a section says of a player.
pub(super) trait Form {
    /// The player, who has the id.
    fn member(self, id: &str) -> Member;
}

/// As formats before 8 wrote it, behind the id.
impl Form for Player {
    fn member(self, id: &str) -> Member {
        Member::Awake(Box::new(Active { id: id.into(), player: self }))
    }
}

impl Form for Found<'_> {
    fn member(self, _: &str) -> Member {
        Member::Dormant(self.into())
    }
}

impl Member {
    /// The id.
    pub(super) fn id(&self) -> &str {
        match self {
            Member::Awake(active) => &active.id,
            Member::Dormant(dormant) => dormant.id(),
        }
    }

    /// It has this id.
    fn is(&self, id: &str) -> bool {
        match self {
            Member::Awake(active) => *active.id == *id,
            Member::Dormant(dormant) => dormant.is(id),
        }
    }

    /// The player, if awake.
    fn awake(&self) -> Option<&Active> {
        match self {
            Member::Awake(active) => Some(active),
            Member::Dormant(_) => None,
        }
    }

    /// The player, awake or not.
    fn look(&self) -> Cow<'_, Player> {
        match self {
            Member::Awake(active) => Cow::Borrowed(&active.player),
            Member::Dormant(dormant) => Cow::Owned(dormant.wake()),
        }
    }

    /// The player, who is awake from now on.
    fn wake(&mut self) -> (&Arc<str>, &mut Player) {
        if let Member::Dormant(dormant) = self {
            *self = Member::Awake(Box::new(Active { id: dormant.id().into(), player: dormant.wake() }));
        }
        match self {
            Member::Awake(active) => (&active.id, &mut active.player),
            Member::Dormant(_) => unreachable!("it has just been woken"),
        }
    }

    /// What a section says of the player, who is dormant from now on if that `may_doze` and has nothing that is said elsewhere.
    fn write(&mut self, may_doze: bool, definitions: &Definitions) -> WrittenMember<'_> {
        let mut fresh = None;
        if let Member::Awake(active) = self {
            let written = written(&active.player, definitions);
            if may_doze && active.player.may_doze() {
                *self = Member::Dormant(Dormant::new(&active.id, &written));
            } else {
                fresh = Some(written);
            }
        }
        let player = match (&*self, fresh) {
            (Member::Dormant(dormant), _) => Cow::Borrowed(dormant.written()),
            (Member::Awake(_), written) => Cow::Owned(written.expect("who is awake has just been written")),
        };
        WrittenMember { member: self, player }
    }

    /// The player's timeline, where a control event was heard.
    pub(super) fn timeline(&self) -> Option<&Timeline> {
        self.awake()?.player.timeline.as_deref().filter(|timeline| timeline.has_marks())
    }

    /// Which events of the player missions contest.
    pub(super) fn contests(&self) -> Option<&Contests> {
        self.awake()?
            .player
            .timeline
            .as_deref()
            .map(|timeline| &timeline.contests)
            .filter(|contests| !contests.is_empty())
    }

    /// What waits of the player.
    pub(super) fn waits(&self) -> Option<&Held> {
        self.awake()?.player.waits.as_deref()
    }

    /// What was written beside the player.
    pub(super) fn set_waits(&mut self, waits: Box<Held>) {
        self.wake().1.waits = Some(waits);
    }

    /// What was written beside the player.
    pub(super) fn set_timeline(&mut self, mut timeline: Box<Timeline>) {
        let (_, player) = self.wake();
        // The player's own form says these.
        timeline.unlocks = player.timeline.take().map(|known| known.unlocks).unwrap_or_default();
        player.timeline = Some(timeline);
    }

    /// The same.
    pub(super) fn set_unlocks(&mut self, unlocks: Unlocks) {
        self.wake().1.timeline.get_or_insert_default().unlocks = unlocks;
    }

    /// The same.
    pub(super) fn set_contests(&mut self, contests: Contests) {
        self.wake().1.timeline.get_or_insert_default().contests = contests;
    }

    /// What is known of the player as a customer.
    pub(super) fn customer(&self) -> Option<&Customer> {
        self.awake()?.player.customer.as_deref()
    }

    /// What was written beside the player.
    pub(super) fn set_customer(&mut self, customer: Box<Customer>) {
        self.wake().1.customer = Some(customer);
    }

    /// What is retained of the player's events.
    pub(super) fn retained(&self) -> Option<&Retained> {
        self.awake()?.player.retained.as_deref()
    }

    /// What was written beside the player.
    pub(super) fn set_retained(&mut self, retained: Box<Retained>) {
        self.wake().1.retained = Some(retained);
    }

    /// The player's restrictions.
    pub(super) fn restrictions(&self) -> Option<&Restrictions> {
        self.awake()?.player.restrictions.as_deref()
    }

    /// What was written beside the player.
    pub(super) fn set_restrictions(&mut self, restrictions: Box<Restrictions>) {
        self.wake().1.restrictions = Some(restrictions);
    }

    /// The player's tiers.
    pub(super) fn rank(&self) -> Option<&Rank> {
        self.awake()?.player.rank.as_deref()
    }

    /// What was written beside the player.
    pub(super) fn set_rank(&mut self, rank: Box<Rank>) {
        self.wake().1.rank = Some(rank);
    }

    /// The player's points.
    pub(super) fn points(&self) -> Option<&Points> {
        self.awake()?.player.points.as_deref()
    }

    /// What was written beside the player.
    pub(super) fn set_points(&mut self, points: Box<Points>) {
        self.wake().1.points = Some(points);
    }
}

impl Roster {
    /// The place of the player of `id`, whose [`player_hash`] is `hash`; begun if this is the first that is heard of it.
    pub(super) fn enter(&mut self, hash: u64, id: &str) -> u32 {
        if let Some(place) = self.find(hash, id) {
            return place;
        }
        self.insert(hash, Member::Awake(Box::new(Active { id: id.into(), player: Player::default() })))
    }

    fn insert(&mut self, hash: u64, member: Member) -> u32 {
        let place = self.members.insert(member);
        self.index.insert(short_hash(hash), place);
        place
    }

    /// The place of the player of `id`, whose [`player_hash`] is `hash`.
    pub(super) fn find(&self, hash: u64, id: &str) -> Option<u32> {
        self.index.find(short_hash(hash), |place| self.members.get(place).is_some_and(|one| one.is(id)))
    }

    /// Where the player of this hash is, unless another one has the same part of it.
    pub(super) fn guess(&self, hash: u64) -> Option<u32> {
        self.index.find(short_hash(hash), |_| true)
    }

    /// The player at `place`, with the id, if awake. Who is dormant has occurrences and tracks alone.
    pub(super) fn get(&self, place: u32) -> Option<(&Arc<str>, &Player)> {
        self.members.get(place)?.awake().map(|Active { id, player }| (id, player))
    }

    /// The player at `place`, who is awake from now on, with the id. Panics where nobody is.
    pub(super) fn get_mut(&mut self, place: u32) -> (&Arc<str>, &mut Player) {
        self.member_mut(place).wake()
    }

    /// The player at `place`, awake or not.
    pub(super) fn look(&self, place: u32) -> Option<Cow<'_, Player>> {
        self.members.get(place).map(Member::look)
    }

    /// The players that are `wanted`, with their places, all awake from now on. Nothing else is wanted of who is dormant than what is known
    /// in the mission of `slot`.
    pub(super) fn iter_mut_where(
        &mut self,
        wanted: impl Fn(&Player) -> bool + Clone,
        slot: MissionSlot,
    ) -> impl Iterator<Item = (u32, &Arc<str>, &mut Player)> {
        let of_awake = wanted.clone();
        let members = self.members.iter_mut_where(fetch, move |member| match member {
            Member::Awake(active) => of_awake(&active.player),
            Member::Dormant(dormant) => dormant.knows(slot),
        });
        members.filter_map(move |(place, member)| {
            let (id, player) = member.wake();
            wanted(player).then_some((place, id, player))
        })
    }

    /// What a section says of players: of the `chunks`, and of those that may have changed since they were last written, if `with_changed`.
    /// Who has not changed since then is dormant from now on.
    pub(super) fn write(
        &mut self,
        chunks: Range<usize>,
        with_changed: bool,
        definitions: &Definitions,
    ) -> Vec<WrittenMember<'_>> {
        let members = self.members.take(chunks, with_changed);
        members.map(|(member, is_changed)| member.write(!is_changed, definitions)).collect()
    }

    /// Takes players as they were written, but for those of whom something newer was taken before. Answers their places, and none of those.
    pub(super) fn restore_older<'a>(
        &mut self,
        members: impl ExactSizeIterator<Item = (&'a str, impl Form)>,
    ) -> Vec<Option<u32>> {
        self.index.make_room(members.len());
        let restore = |(id, form): (&str, _)| {
            let hash = player_hash(id);
            self.find(hash, id).is_none().then(|| self.insert(hash, Form::member(form, id)))
        };
        members.map(restore).collect()
    }

    /// After the oldest: who was taken first is written last. Nobody counts as changed.
    pub(super) fn turn_round(&mut self) {
        let turned = self.members.turn_round();
        self.index.move_all(turned);
    }

    /// The player at a place where one is.
    pub(super) fn member_mut(&mut self, place: u32) -> &mut Member {
        self.members.get_mut(place).expect("players stay where they are")
    }

    /// All players that are awake, with their places.
    pub(super) fn awake(&self) -> impl Iterator<Item = (u32, &Arc<str>, &Player)> {
        self.members.places().filter_map(|(place, member)| {
            let Active { id, player } = member.awake()?;
            Some((place, id, player))
        })
    }

    /// When something of those that are dormant can be forgotten.
    pub(super) fn closings_of_dormant(&self) -> Hours {
        let dormant = self.members.places().filter_map(|(place, member)| match member {
            Member::Awake(_) => None,
            Member::Dormant(dormant) => Some((dormant.next_closing()?, place)),
        });
        let mut all: Vec<(i64, u32)> = dormant.collect();
        all.sort_unstable();
        let hours = all.chunk_by(|(one, _), (other, _)| one == other);
        hours.map(|due| (due[0].0, due.iter().map(|(_, place)| *place).collect())).collect()
    }

    /// All players, awake or not.
    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, Cow<'_, Player>)> {
        self.members.iter().map(|member| (member.id(), member.look()))
    }

    /// All players that are awake.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Player)> {
        self.awake().map(|(_, id, player)| (id, player))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_player_takes_24_bytes_beside_what_is_known() {
        assert_eq!(size_of::<Option<Member>>(), 24);
    }
}
