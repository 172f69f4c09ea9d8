//! The players of a key group, by id.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use datasets::hash::player_hash;
use hashbrown::HashTable;
use serde::Deserialize;

use super::Player;
use super::contests::Contests;
use super::dormant::{Dormant, written};
use super::held::Held;
use super::occurrences::OccurrenceKey;
use super::restrictions::Restrictions;
use super::retained::Retained;
use super::timeline::Timeline;
use super::unlocks::Unlocks;
use crate::definitions::Definitions;
use crate::entities::Customer;
use crate::points::Points;
use crate::slab::Slab;
use crate::tiers::Rank;

/// Every player that was heard of, at a place that stays.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster {
    index: HashTable<Slot>,
    pub(super) members: Slab<Member>,
}

/// A player's place, with the hash of the id: who is not here is known by this alone.
#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u64,
    place: u32,
}

/// A player with the id.
#[derive(Clone, Debug)]
pub(super) struct Member {
    id: Arc<str>,
    form: Form,
}

/// A player's state.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// As it is worked on.
    Awake(Box<Player>),
    /// As it is kept of who is not needed, and has nothing of what few have.
    Dormant(Dormant),
}

/// A player with the id as formats before 8 wrote it.
#[derive(Deserialize)]
pub(super) struct ReadMember<'a> {
    id: &'a str,
    player: Player,
}

/// A player with the id, and what a section says of its state.
pub(super) struct WrittenMember<'a> {
    pub(super) member: &'a Member,
    pub(super) player: Cow<'a, [u8]>,
}

impl<'a> From<ReadMember<'a>> for (&'a str, Form) {
    fn from(ReadMember { id, player }: ReadMember<'a>) -> Self {
        (id, Form::Awake(Box::new(player)))
    }
}

impl Form {
    /// The player, if awake.
    fn awake(&self) -> Option<&Player> {
        match self {
            Form::Awake(player) => Some(player),
            Form::Dormant(_) => None,
        }
    }

    /// The player, awake or not.
    fn look(&self) -> Cow<'_, Player> {
        match self {
            Form::Awake(player) => Cow::Borrowed(player),
            Form::Dormant(dormant) => Cow::Owned(dormant.wake()),
        }
    }

    /// The player, who is awake from now on.
    fn wake(&mut self) -> &mut Player {
        if let Form::Dormant(dormant) = self {
            *self = Form::Awake(Box::new(dormant.wake()));
        }
        match self {
            Form::Awake(player) => player,
            Form::Dormant(_) => unreachable!("it has just been woken"),
        }
    }
}

impl Member {
    /// The id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What a section says of the player, who is dormant from now on if that `may_doze` and has nothing that is said elsewhere.
    fn write(&mut self, may_doze: bool, definitions: &Definitions) -> WrittenMember<'_> {
        let player = match &self.form {
            Form::Dormant(_) => None,
            Form::Awake(player) => {
                let written = written(player, definitions);
                if may_doze && player.may_doze() {
                    self.form = Form::Dormant(Dormant::new(&written));
                    None
                } else {
                    Some(written)
                }
            }
        };
        let member = &*self;
        let player = match (&member.form, player) {
            (Form::Dormant(dormant), _) => Cow::Borrowed(dormant.written()),
            (Form::Awake(_), written) => Cow::Owned(written.expect("who is awake has just been written")),
        };
        WrittenMember { member, player }
    }

    /// The player's timeline, where a control event was heard.
    pub(super) fn timeline(&self) -> Option<&Timeline> {
        self.form.awake()?.timeline.as_deref().filter(|timeline| timeline.has_marks())
    }

    /// What completions unlock for the player.
    pub(super) fn unlocks(&self) -> Option<&Unlocks> {
        self.form.awake()?.timeline.as_deref().map(|timeline| &timeline.unlocks).filter(|unlocks| !unlocks.is_empty())
    }

    /// Which events of the player missions contest.
    pub(super) fn contests(&self) -> Option<&Contests> {
        self.form
            .awake()?
            .timeline
            .as_deref()
            .map(|timeline| &timeline.contests)
            .filter(|contests| !contests.is_empty())
    }

    /// What waits of the player.
    pub(super) fn waits(&self) -> Option<&Held> {
        self.form.awake()?.waits.as_deref()
    }

    /// What was written beside the player.
    pub(super) fn set_waits(&mut self, waits: Box<Held>) {
        self.form.wake().waits = Some(waits);
    }

    /// What was written beside the player.
    pub(super) fn set_timeline(&mut self, timeline: Box<Timeline>) {
        self.form.wake().timeline = Some(timeline);
    }

    /// The same.
    pub(super) fn set_unlocks(&mut self, unlocks: Unlocks) {
        self.form.wake().timeline.get_or_insert_default().unlocks = unlocks;
    }

    /// The same.
    pub(super) fn set_contests(&mut self, contests: Contests) {
        self.form.wake().timeline.get_or_insert_default().contests = contests;
    }

    /// What is known of the player as a customer.
    pub(super) fn customer(&self) -> Option<&Customer> {
        self.form.awake()?.customer.as_deref()
    }

    /// What was written beside the player.
    pub(super) fn set_customer(&mut self, customer: Box<Customer>) {
        self.form.wake().customer = Some(customer);
    }

    /// What is retained of the player's events.
    pub(super) fn retained(&self) -> Option<&Retained> {
        self.form.awake()?.retained.as_deref()
    }

    /// What was written beside the player.
    pub(super) fn set_retained(&mut self, retained: Box<Retained>) {
        self.form.wake().retained = Some(retained);
    }

    /// The player's restrictions.
    pub(super) fn restrictions(&self) -> Option<&Restrictions> {
        self.form.awake()?.restrictions.as_deref()
    }

    /// What was written beside the player.
    pub(super) fn set_restrictions(&mut self, restrictions: Box<Restrictions>) {
        self.form.wake().restrictions = Some(restrictions);
    }

    /// The player's tiers.
    pub(super) fn rank(&self) -> Option<&Rank> {
        self.form.awake()?.rank.as_deref()
    }

    /// What was written beside the player.
    pub(super) fn set_rank(&mut self, rank: Box<Rank>) {
        self.form.wake().rank = Some(rank);
    }

    /// The player's points.
    pub(super) fn points(&self) -> Option<&Points> {
        self.form.awake()?.points.as_deref()
    }

    /// What was written beside the player.
    pub(super) fn set_points(&mut self, points: Box<Points>) {
        self.form.wake().points = Some(points);
    }
}

impl Roster {
    /// The place of the player of `id`, whose [`player_hash`] is `hash`; begun if this is the first that is heard of it.
    pub(super) fn enter(&mut self, hash: u64, id: &str) -> u32 {
        if let Some(place) = self.find(hash, id) {
            return place;
        }
        self.insert(hash, Member { id: id.into(), form: Form::Awake(Box::default()) })
    }

    fn insert(&mut self, hash: u64, member: Member) -> u32 {
        let place = self.members.insert(member);
        self.index.insert_unique(spread(hash), Slot { hash, place }, |slot| spread(slot.hash));
        place
    }

    /// The place of the player of `id`, whose [`player_hash`] is `hash`.
    pub(super) fn find(&self, hash: u64, id: &str) -> Option<u32> {
        let is_same = |slot: &Slot| slot.hash == hash && self.members.get(slot.place).is_some_and(|one| &*one.id == id);
        self.index.find(spread(hash), is_same).map(|slot| slot.place)
    }

    /// Where the player of this hash is, unless another one has the same.
    pub(super) fn guess(&self, hash: u64) -> Option<u32> {
        self.index.find(spread(hash), |slot| slot.hash == hash).map(|slot| slot.place)
    }

    /// The player at `place`, with the id, if awake. Who is dormant has occurrences and tracks alone.
    pub(super) fn get(&self, place: u32) -> Option<(&Arc<str>, &Player)> {
        self.members.get(place).and_then(|Member { id, form }| Some((id, form.awake()?)))
    }

    /// The player at `place`, who is awake from now on, with the id. Panics where nobody is.
    pub(super) fn get_mut(&mut self, place: u32) -> (&Arc<str>, &mut Player) {
        let Member { id, form } = self.members.get_mut(place).expect("players stay where they are");
        (id, form.wake())
    }

    /// The player at `place`, awake or not.
    pub(super) fn look(&self, place: u32) -> Option<Cow<'_, Player>> {
        self.members.get(place).map(|member| member.form.look())
    }

    /// The players that are `wanted`, with their places, all awake from now on. Of who is dormant a player is wanted who has progress in
    /// an occurrence that is `wanted_for`.
    pub(super) fn iter_mut_where(
        &mut self,
        wanted: impl Fn(&Player) -> bool,
        wanted_for: impl Fn(OccurrenceKey) -> bool,
    ) -> impl Iterator<Item = (u32, &Arc<str>, &mut Player)> {
        let members = self.members.iter_mut_where(move |member| match &member.form {
            Form::Awake(player) => wanted(player),
            Form::Dormant(dormant) => dormant.occurrences().any(&wanted_for),
        });
        members.map(|(place, Member { id, form })| (place, &*id, form.wake()))
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

    /// Takes players as they were written, in the places of what is known. Answers their places.
    pub(super) fn restore_all<'a>(&mut self, members: impl ExactSizeIterator<Item = (&'a str, Form)>) -> Vec<u32> {
        if self.index.is_empty() {
            self.index.reserve(members.len(), |slot| spread(slot.hash));
        }
        members.map(|(id, form)| self.restore(id, form)).collect()
    }

    fn restore(&mut self, id: &str, form: Form) -> u32 {
        let hash = player_hash(id);
        match self.find(hash, id) {
            Some(place) => {
                self.member_mut(place).form = form;
                place
            }
            None => self.insert(hash, Member { id: id.into(), form }),
        }
    }

    /// The player at a place that [`Roster::restore_all`] has answered.
    pub(super) fn member_mut(&mut self, place: u32) -> &mut Member {
        self.members.get_mut(place).expect("players stay where they are")
    }

    /// All players that are awake, with their places.
    pub(super) fn awake(&self) -> impl Iterator<Item = (u32, &Arc<str>, &Player)> {
        self.members.places().filter_map(|(place, Member { id, form })| Some((place, id, form.awake()?)))
    }

    /// The places of those that are dormant, with the hour after which something of each can be forgotten.
    pub(super) fn closings_of_dormant(&self) -> impl Iterator<Item = (u32, i64)> {
        self.members.places().filter_map(|(place, member)| match &member.form {
            Form::Awake(_) => None,
            Form::Dormant(dormant) => Some((place, dormant.next_closing()?)),
        })
    }

    /// All players, awake or not.
    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = (&Arc<str>, Cow<'_, Player>)> {
        self.members.iter().map(|Member { id, form }| (id, form.look()))
    }

    /// All players that are awake.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Player)> {
        self.awake().map(|(_, id, player)| (id, player))
    }
}

/// The players of one group have the low bits of their hashes in common, which an index begins with.
fn spread(hash: u64) -> u64 {
    hash.rotate_right(16)
}
