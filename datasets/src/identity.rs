//! What makes two events one (DOMAIN §2, "Identity").

use serde::{Deserialize, Serialize};

use crate::hash::{Parts, text_hash};
use crate::{Coordinates, Event, Family, SourceId};

/// (source, family, player, transaction id) as 128 bits of XXH3. Two words, so that what begins with one is
/// aligned to 8 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity(u64, u64);

impl Identity {
    /// Of `event` itself.
    pub(crate) fn of(event: &Event<'_>) -> Self {
        let family = event.name.family();
        let name = match family {
            Family::Other => event.event_name(),
            family => own_name(family),
        };
        Self::new(event.source, family, name, event.player_id(), event.transaction_id())
    }

    /// Of the transaction `id` of the same player and source in a named family.
    pub fn named(event: &Event<'_>, family: Family, id: &str) -> Self {
        Self::new(event.source, family, own_name(family), event.player_id(), id)
    }

    /// What a reversal names: `id` of the same player and source, in whatever family. Asked for every event, so it is made
    /// of hashes that are at hand; half of it is all that tells players apart, so what is found by it is looked at
    /// again.
    pub fn reference(event: &Event<'_>, id: &str) -> Self {
        let source = u64::from(event.source.0).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Identity(event.player_hash.wrapping_add(source), text_hash(id))
    }

    /// Where a transaction moves that loses its key: unique by the coordinates of its only version.
    pub fn aside(self, at: Coordinates) -> Self {
        let mut parts = Parts::<40>::new();
        parts.push(&self.0.to_le_bytes());
        parts.push(&self.1.to_le_bytes());
        parts.push(&at.topic.0.to_le_bytes());
        parts.push(&at.partition.to_le_bytes());
        parts.push(&at.offset.to_le_bytes());
        parts.push(&at.index.to_le_bytes());
        Self::from_fingerprint(parts.fingerprint())
    }

    fn new(source: SourceId, family: Family, name: &str, player: &str, id: &str) -> Self {
        let mut parts = Parts::<192>::new();
        parts.push(&source.0.to_le_bytes());
        parts.push(&[family_tag(family)]);
        // Lengths keep ("ab", "c") apart from ("a", "bc").
        for text in [name, player, id] {
            parts.push(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
            parts.push(text.as_bytes());
        }
        Self::from_fingerprint(parts.fingerprint())
    }

    /// Its bytes; equal for the same transaction in every release.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.0.to_le_bytes());
        bytes[8..].copy_from_slice(&self.1.to_le_bytes());
        bytes
    }

    /// Back from [`Identity::to_bytes`].
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let word = |half: usize| u64::from_le_bytes(std::array::from_fn(|byte| bytes[8 * half + byte]));
        Identity(word(0), word(1))
    }

    /// Half of it: a hash of 64 bits.
    pub fn leading_word(self) -> u64 {
        self.0
    }

    fn from_fingerprint(fingerprint: u128) -> Self {
        let half = |word: u128| u64::try_from(word & u128::from(u64::MAX)).expect("masked to 64 bits");
        Identity(half(fingerprint >> 64), half(fingerprint))
    }
}

/// The name that tells a family apart which shares its tag with the families of other event names. Each was one of those
/// before it had a name here, and its transactions stay the same.
fn own_name(family: Family) -> &'static str {
    match family {
        Family::PointsSpent => "points_spent",
        Family::Chargeback => "chargeback",
        _ => "",
    }
}

/// A byte of the state format: never renumber.
fn family_tag(family: Family) -> u8 {
    match family {
        Family::Bet => 0,
        Family::Win => 1,
        Family::Settlement => 2,
        Family::Deposit => 3,
        Family::Withdrawal => 4,
        Family::Bonus => 5,
        Family::Adjustment => 6,
        Family::Reversal => 7,
        Family::Other | Family::PointsSpent | Family::Chargeback => 8,
    }
}
