//! Stable hashes. They decide key groups and fingerprints, which outlive a process and a release,
//! so they come from a published algorithm (XXH3) and never from a per-process seed.

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

/// 128 bits: two different contents under one key never pass for the same.
pub fn fingerprint(bytes: &[u8]) -> u128 {
    xxh3_128(bytes)
}
