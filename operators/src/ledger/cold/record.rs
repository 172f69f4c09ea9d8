//! Transactions, as they are written when they go cold.

use std::sync::Arc;

use datasets::{Identity, PackedCoordinates, Timestamp};
use serde::{Deserialize, Serialize};

use super::super::transaction::Market;
use super::super::transactions::{Plain, ShortSide};
use crate::cold::{self, number_in};

#[derive(Serialize, Deserialize)]
pub(in crate::ledger) struct Block {
    markets: Vec<Arc<Market>>,
    transactions: Vec<Written>,
}

/// A transaction in a block. All are applied.
#[derive(Serialize, Deserialize)]
struct Written {
    key: [u8; 16],
    content: [u8; 8],
    ingest_time: i64,
    /// From its event time to its ingest time; around the ends of the range.
    age: i64,
    at: PackedCoordinates,
    amount: i64,
    bonus: i64,
    /// The number of its market, counted from 1; and 0 for none.
    market: u32,
    /// In version 1 the truth value `is_bet`, which is written as [`Side::Win`](crate::ledger::Side::Win) and
    /// [`Side::Bet`](crate::ledger::Side::Bet) are.
    side: ShortSide,
}

/// What chooses a key's block, and what filters know of it.
pub(super) fn hash(key: Identity) -> u32 {
    let [.., a, b, c, d] = key.leading_word().to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

impl cold::Record for (Identity, Plain) {
    type Block = Block;
    const MAGIC: [u8; 7] = *b"QLCOLD\0";
    /// Version 2 adds jackpots and chargebacks; what has none of them is as in version 1.
    const VERSION: u8 = 2;
    const NAMED: &'static str = "transactions";

    fn hash(&self) -> u32 {
        hash(self.0)
    }

    fn pack(transactions: &[Self]) -> Block {
        let mut markets: Vec<Arc<Market>> = Vec::new();
        let transactions = transactions.iter().map(|(key, plain)| Written {
            key: key.to_bytes(),
            content: plain.content.to_le_bytes(),
            ingest_time: plain.ingest_time.micros(),
            age: plain.ingest_time.micros().wrapping_sub(plain.event_time.micros()),
            at: plain.at,
            amount: plain.amount,
            bonus: plain.bonus,
            market: plain.market.as_ref().map_or(0, |market| number_in(&mut markets, market) + 1),
            side: plain.side,
        });
        let transactions = transactions.collect();
        Block { markets, transactions }
    }

    fn unpack(Block { markets, transactions }: Block) -> Option<Vec<Self>> {
        let plain = |written: Written| {
            let market = match usize::try_from(written.market).ok()?.checked_sub(1) {
                None => None,
                Some(number) => Some(markets.get(number)?.clone()),
            };
            let ingest_time = Timestamp::from_micros(written.ingest_time);
            let plain = Plain {
                ingest_time,
                event_time: Timestamp::from_micros(written.ingest_time.wrapping_sub(written.age)),
                at: written.at,
                content: u64::from_le_bytes(written.content),
                amount: written.amount,
                bonus: written.bonus,
                market,
                side: written.side,
                is_applied: true,
            };
            Some((Identity::from_bytes(written.key), plain))
        };
        transactions.into_iter().map(plain).collect()
    }
}

#[cfg(test)]
mod tests;
