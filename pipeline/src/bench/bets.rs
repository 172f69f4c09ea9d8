//! Bets of players by number, for state of a known size.

use datasets::mapping::Record;
use datasets::{Timestamp, TopicId};
use operators::decode::Chunk;

/// A bet of 2.50 EUR on slots of each of some players, in one partition.
#[derive(Clone, Debug)]
pub struct Bets {
    /// Where they come from.
    pub topic: TopicId,
    /// The numbers of the players, as generated play counts them.
    pub players: Vec<u64>,
    /// Offset of the first bet. Each has its offset in the id of its transaction.
    pub first: u64,
    /// When all of them are placed.
    pub at: Timestamp,
}

impl Chunk for Bets {
    fn for_each(&self, each: &mut dyn FnMut(&Record<'_>)) {
        let at = self.at;
        for (player, offset) in self.players.iter().zip(self.first..) {
            let key = format!("player_{player}");
            let value = format!(
                r#"{{"event_name":"bet_placed","player_id":"{key}","transaction_id":"bet-{offset}","amount":"2.50","currency":"EUR","game_type":"slots","timestamp":"{at}"}}"#
            );
            each(&Record {
                topic: self.topic,
                partition: 0,
                offset: i64::try_from(offset).unwrap_or(i64::MAX),
                timestamp: Some(at),
                key: Some(key.as_bytes()),
                headers: &(),
                value: Some(value.as_bytes()),
            });
        }
    }
}
