//! Stable hashes. They decide key groups and fingerprints, which outlive a process and a release,
//! so they come from published algorithms (XXH3, BLAKE3) and never from a per-process seed.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// State is divided into this many key groups; a constant of the state format.
pub const KEY_GROUPS: u16 = 1024;

/// The part of the state that a player belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyGroup(pub u16);

impl KeyGroup {
    /// The low bits of a player's hash that tell its group.
    pub const BITS: u32 = KEY_GROUPS.ilog2();

    /// The group of a player by [`player_hash`].
    pub fn of(player_hash: u64) -> Self {
        let group = player_hash % u64::from(KEY_GROUPS);
        KeyGroup(u16::try_from(group).expect("a remainder of a u16 fits"))
    }

    /// The group's place in a table of all groups.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The worker that owns the group out of `workers`.
    pub fn worker(self, workers: usize) -> usize {
        usize::from(self.0) % workers
    }
}

/// Hash of a player's id.
pub fn player_hash(player_id: &str) -> u64 {
    xxh3_64(player_id.as_bytes())
}

/// Hash of any text.
pub fn text_hash(text: &str) -> u64 {
    xxh3_64(text.as_bytes())
}

/// Parts of a text to be hashed as one, in memory of the stack as far as that reaches: every event has two.
pub(crate) struct Parts<const N: usize> {
    bytes: [u8; N],
    len: usize,
    /// All of it, when it is longer than `N`.
    spilled: Vec<u8>,
}

impl<const N: usize> Parts<N> {
    /// Nothing.
    pub(crate) fn new() -> Self {
        Parts { bytes: [0; N], len: 0, spilled: Vec::new() }
    }

    /// Adds a part.
    #[inline]
    pub(crate) fn push(&mut self, part: &[u8]) {
        let end = self.len + part.len();
        if self.spilled.is_empty()
            && let Some(place) = self.bytes.get_mut(self.len..end)
        {
            place.copy_from_slice(part);
        } else {
            self.spill(part);
        }
        self.len = end;
    }

    #[cold]
    fn spill(&mut self, part: &[u8]) {
        if self.spilled.is_empty() {
            self.spilled.extend_from_slice(&self.bytes[..self.len]);
        }
        self.spilled.extend_from_slice(part);
    }

    /// All parts.
    pub(crate) fn fingerprint(&self) -> u128 {
        fingerprint(if self.spilled.is_empty() { &self.bytes[..self.len] } else { &self.spilled })
    }
}

/// Bits of [`value_hash`].
pub const VALUE_BITS: u32 = 126;

/// Names a value among others by [`VALUE_BITS`] bits, of which the first is the sign.
///
/// Two values with one name would count as one. Among n values of a player that happens with a probability under
/// n² / 2^127: 6e-27 for a million of them, and for a billion such players together still under 1e-17. Nobody can look for
/// two such values in less than 2^63 tries, and who finds them gets less than what is due, not more. The key only keeps
/// these names apart from other uses of BLAKE3: it is no secret, and must never change, since names are state.
pub fn value_hash(value: &[u8]) -> i128 {
    const KEY: &[u8; 32] = b"questline: values of `distinct` ";
    let hash = blake3::keyed_hash(KEY, value);
    let (bits, _) = hash.as_bytes().split_first_chunk::<16>().expect("a hash has 32 bytes");
    i128::from_le_bytes(*bits) >> (i128::BITS - VALUE_BITS)
}

/// 128 bits: two different contents under one key never pass for the same.
pub fn fingerprint(bytes: &[u8]) -> u128 {
    xxh3_128(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_hashed_as_one_text_of_any_length() {
        for count in 0..12 {
            let mut parts = Parts::<16>::new();
            let text: Vec<u8> = (0..count * 5).collect();
            text.chunks(5).for_each(|part| parts.push(part));
            parts.push(&[]);
            assert_eq!(parts.fingerprint(), fingerprint(&text), "{count} parts");
        }
    }
}
