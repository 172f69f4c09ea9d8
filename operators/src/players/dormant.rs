//! Players who are not needed now, in the form in which a section of the state has them.
//!
//! Whoever has progress, contributions and what they unlocked, and nothing else, is dormant from a start until the first event, and when a time round of
//! checkpoints comes by and nothing has changed since the one before. That takes a fraction of the memory, and a start has nothing to build.
//! Whoever is needed wakes up first, and is as after a start: no output depends on it.

use std::hint::black_box;

use serde::{Serialize, Serializer};

use super::Player;
use super::occurrences::OccurrenceKey;
use super::timeline::Timeline;
use super::unlocks::Unlocks;
use crate::definitions::{Definitions, MissionSlot};
use crate::snapshot::{WRITABLE, next};

/// Bytes that a core reads from memory at once.
const LINE: usize = 64;

/// A player with the id: that, and what is [`written`], each behind its length.
#[derive(Clone, Debug)]
pub(super) struct Dormant(Box<[u8]>);

/// One in a section, which nobody has taken out yet.
pub(super) struct Found<'a>(&'a [u8]);

impl<'a> Found<'a> {
    /// The next one of `rest`, with its id.
    pub(super) fn next(rest: &mut &'a [u8]) -> (&'a str, Self) {
        let all = *rest;
        let (id, _): (&str, &[u8]) = next(rest);
        (id, Found(&all[..all.len() - rest.len()]))
    }
}

impl From<Found<'_>> for Dormant {
    fn from(found: Found<'_>) -> Self {
        Dormant(found.0.into())
    }
}

/// What a section says of a player: the first hour after which something can be forgotten ([`Player::next_closing`]), if there is
/// one; what completions unlock; and then the player, but for what few have.
pub(super) fn written(player: &Player, definitions: &Definitions) -> Vec<u8> {
    let closing = player.next_closing(i64::MIN, definitions);
    let unlocks = player.timeline.as_deref().map(|timeline| &timeline.unlocks).filter(|unlocks| !unlocks.is_empty());
    postcard::to_allocvec(&(closing, unlocks, player)).expect(WRITABLE)
}

/// Bytes that are written as they are.
pub(super) struct Bytes<'a>(pub &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl Dormant {
    /// Of an id, and of what is [`written`].
    pub(super) fn new(id: &str, written: &[u8]) -> Self {
        Dormant(postcard::to_allocvec(&(id, Bytes(written))).expect(WRITABLE).into())
    }

    /// The id.
    pub(super) fn id(&self) -> &str {
        next(&mut &*self.0)
    }

    /// It has this id.
    pub(super) fn is(&self, id: &str) -> bool {
        // A text is written as its bytes are.
        let own: &[u8] = next(&mut &*self.0);
        own == id.as_bytes()
    }

    /// Reads ahead what [`Dormant::knows`] looks at, mostly.
    pub(super) fn fetch(&self) {
        for byte in self.0.iter().step_by(LINE) {
            black_box(*byte);
        }
    }

    /// What is [`written`].
    pub(super) fn written(&self) -> &[u8] {
        let (_, written): (&[u8], &[u8]) = next(&mut &*self.0);
        written
    }

    /// The player.
    pub(super) fn wake(&self) -> Player {
        let (_, unlocks, mut player): (Option<i64>, Option<Unlocks>, Player) = next(&mut self.written());
        player.timeline = unlocks.map(|unlocks| Box::new(Timeline::of(unlocks)));
        player
    }

    /// The hour after which something can be forgotten first, if anything ever: an end never becomes earlier.
    pub(super) fn next_closing(&self) -> Option<i64> {
        next(&mut self.written())
    }

    /// Something is known of the player in a mission: progress, which a player's form begins with, or a completion that was forgotten.
    pub(super) fn knows(&self, slot: MissionSlot) -> bool {
        let mut rest = self.written();
        let (_, unlocks, keys): (Option<i64>, Option<Unlocks>, usize) = next(&mut rest);
        let has_completed = unlocks.is_some_and(|unlocks| unlocks.settled(slot).is_some());
        has_completed || (0..keys).any(|_| next::<OccurrenceKey>(&mut rest).slot == slot)
    }
}
