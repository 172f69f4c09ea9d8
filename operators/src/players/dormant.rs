//! Players who are not needed now, in the form in which a section of the state has them.
//!
//! Whoever has progress and contributions and nothing else is dormant from a start until the first event, and when a time round of
//! checkpoints comes by and nothing has changed since the one before. That takes a fraction of the memory, and a start has nothing to build.
//! Whoever is needed wakes up first, and is as after a start: no output depends on it.

use serde::{Serialize, Serializer};

use super::Player;
use super::occurrences::OccurrenceKey;
use crate::definitions::Definitions;
use crate::snapshot::{WRITABLE, next};

/// A player with the id: that, and what is [`written`], each behind its length.
#[derive(Clone, Debug)]
pub(super) struct Dormant(Box<[u8]>);

/// What a section says of a player: the first hour after which something can be forgotten ([`Player::next_closing`]), if there is
/// one, and then the player, but for what few have.
pub(super) fn written(player: &Player, definitions: &Definitions) -> Vec<u8> {
    let closing = player.next_closing(i64::MIN, definitions);
    postcard::to_allocvec(&(closing, player)).expect(WRITABLE)
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

    /// Takes one off the front of `rest`.
    pub(super) fn read(rest: &mut &[u8]) -> Self {
        let all = *rest;
        let _: (&str, &[u8]) = next(rest);
        Dormant(all[..all.len() - rest.len()].into())
    }

    /// The id.
    pub(super) fn id(&self) -> &str {
        next(&mut &*self.0)
    }

    /// What is [`written`].
    pub(super) fn written(&self) -> &[u8] {
        let (_, written): (&str, &[u8]) = next(&mut &*self.0);
        written
    }

    /// The player.
    pub(super) fn wake(&self) -> Player {
        let (_, player): (Option<i64>, Player) = next(&mut self.written());
        player
    }

    /// The hour after which something can be forgotten first, if anything ever: an end never becomes earlier.
    pub(super) fn next_closing(&self) -> Option<i64> {
        next(&mut self.written())
    }

    /// The occurrences in which the player has progress. Those are what a player's form begins with.
    pub(super) fn occurrences(&self) -> impl Iterator<Item = OccurrenceKey> {
        let mut rest = self.written();
        let (_, keys): (Option<i64>, usize) = next(&mut rest);
        (0..keys).map(move |_| next(&mut rest))
    }
}
