//! State of operators in pieces, as checkpoints keep it.
//!
//! A *part* is what one operator keeps for one key group. Parts know nothing of each other, so each is
//! written at an epoch of its own, in *sections*: one holds what has changed since the last one, and a
//! little of what has not, going round. So the sections of one time round, up to the newest, hold everything. A large
//! one is cut into *pieces*, since the first of what it holds is written again long before the last.

use std::io;

use zstd::bulk::{Compressor, Decompressor};

use crate::Epoch;
use crate::cold::ColdRun;
use crate::hash::{KEY_GROUPS, KeyGroup};

/// Whose state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Keeper {
    /// The players operator: progress and ledger.
    Players,
    /// Daily activity.
    Activity,
}

/// One operator's state of one key group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    /// The operator.
    pub keeper: Keeper,
    /// The key group.
    pub group: KeyGroup,
}

/// How many parts there are: a constant of the state format.
pub const PARTS: usize = 2 << KeyGroup::BITS;

impl Part {
    /// Its number, from 0 to [`PARTS`].
    pub fn index(self) -> usize {
        let before = match self.keeper {
            Keeper::Players => 0,
            Keeper::Activity => usize::from(KEY_GROUPS),
        };
        before + self.group.index()
    }

    /// The part of this number, if there is one.
    pub fn of(index: usize) -> Option<Self> {
        let groups = usize::from(KEY_GROUPS);
        let keeper = [Keeper::Players, Keeper::Activity].into_iter().nth(index / groups)?;
        Some(Part { keeper, group: KeyGroup(u16::try_from(index % groups).expect("below a u16")) })
    }
}

/// A section of a part.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// The part.
    pub part: Part,
    /// It holds what the state is after this epoch.
    pub epoch: Epoch,
    /// So many of the part's pieces before it hold what no later one does: with them, it is the whole part.
    pub needs: usize,
    /// What changed, encoded by the operator: one or more, each of use for as long as those behind it or shorter.
    pub pieces: Vec<Vec<u8>>,
    /// What is not in the state any more since it went cold. A part is its sections and all its runs.
    pub cold: Option<ColdRun>,
}

impl Section {
    /// How many bytes its pieces have.
    pub fn bytes(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }
}

/// Bytes as they are stored: compressed.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    bytes: Vec<u8>,
    /// Of the bytes before compression.
    len: usize,
}

impl Packed {
    /// Level 1: state is small texts and small numbers, and is read once if ever.
    const LEVEL: i32 = 1;

    /// A frame of zstd that holds `len` bytes.
    pub fn of(bytes: Vec<u8>, len: usize) -> Self {
        Packed { bytes, len }
    }

    /// The frame.
    pub fn stored(&self) -> &[u8] {
        &self.bytes
    }
}

/// Compresses what is stored.
pub struct Packer(Compressor<'static>);

impl Packer {
    /// # Errors
    /// No memory.
    pub fn new() -> io::Result<Self> {
        Compressor::new(Packed::LEVEL).map(Packer)
    }

    /// Compresses `bytes`.
    ///
    /// # Errors
    /// No memory.
    pub fn pack(&mut self, bytes: &[u8]) -> io::Result<Packed> {
        Ok(Packed::of(self.0.compress(bytes)?, bytes.len()))
    }
}

/// Reads [`Packed`] bytes, one behind the other in the same memory.
pub struct Unpacker {
    decompressor: Decompressor<'static>,
    buffer: Vec<u8>,
}

impl Unpacker {
    /// # Errors
    /// No memory.
    pub fn new() -> io::Result<Self> {
        Ok(Unpacker { decompressor: Decompressor::new()?, buffer: Vec::new() })
    }

    /// The bytes before compression.
    ///
    /// # Errors
    /// Something else than what was compressed.
    pub fn unpack(&mut self, packed: &Packed) -> io::Result<&[u8]> {
        self.buffer.clear();
        self.buffer.reserve(packed.len);
        self.decompressor.decompress_to_buffer(&packed.bytes, &mut self.buffer)?;
        Ok(&self.buffer)
    }
}

/// What a part was made of when it was last written, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The state is that after this epoch.
    pub epoch: Epoch,
    /// [`Section::pieces`] of the newest section and those that it needs, oldest first.
    pub pieces: Vec<Packed>,
    /// What went cold before, and may still be needed.
    pub cold: Vec<ColdRun>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back() {
        let (mut packer, mut unpacker) = (Packer::new().unwrap(), Unpacker::new().unwrap());
        for bytes in [&[7; 5000][..], b"", b"abc"] {
            let packed = packer.pack(bytes).unwrap();
            assert_eq!(unpacker.unpack(&packed).unwrap(), bytes);
            let cut = Packed::of(packed.bytes[..packed.bytes.len() - 1].to_vec(), bytes.len());
            assert!(unpacker.unpack(&cut).is_err());
        }
    }

    #[test]
    fn parts_are_numbered_without_gaps() {
        assert!((0..PARTS).all(|index| Part::of(index).is_some_and(|part| part.index() == index)));
        assert_eq!(Part::of(PARTS), None);
    }
}
