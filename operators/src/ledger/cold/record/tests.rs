//! The format of runs: it comes back, any damage is seen, and what a release has written stays readable.

use datasets::cold::{ColdBytes, ColdRun};
use datasets::{Coordinates, Money, TopicId};

use super::*;
use crate::cold::{Run, Unreadable, encode};
use crate::ledger::Side;
use crate::testing::Rng;

/// What the first release with cold transactions has written of [`sample`].
const VERSION_1: &[u8] = include_bytes!("version_1.run");

/// Where what the first release with jackpots has written of [`with_money`] is.
const VERSION_2: &str = "src/ledger/cold/record/version_2.run";

fn sample(len: usize) -> Vec<(Identity, Plain)> {
    let mut rng = Rng(5);
    let markets =
        [("slots", "EUR"), ("table", "EUR"), ("slots", "BTC")].map(|(game, currency)| Market::new(game, currency));
    let markets = markets.map(Arc::new);
    let transactions = (0..i64::try_from(len).unwrap()).map(|number| {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&rng.next().to_le_bytes());
        key[8..].copy_from_slice(&rng.next().to_le_bytes());
        let at = Coordinates { topic: TopicId(0), partition: 3, offset: 1_000 + number, index: 0 };
        let ingest_time = Timestamp::from_micros(1_780_000_000_000_000 + rng.below(86_400_000_000));
        let plain = Plain {
            ingest_time,
            event_time: rng.pick(&[ingest_time, ingest_time.plus_micros(-7_000_001), Timestamp::MIN, Timestamp::MAX]),
            at: PackedCoordinates::pack(at).unwrap(),
            content: rng.next(),
            amount: rng.pick(&[0, 250_000_000, i64::MIN, i64::MAX]),
            bonus: rng.pick(&[0, 1]),
            market: rng.pick(&[None, Some(0), Some(1), Some(2)]).map(|market: usize| markets[market].clone()),
            side: short(if rng.one_in(2) { Side::Bet } else { Side::Win }),
            is_applied: true,
        };
        (Identity::from_bytes(key), plain)
    });
    transactions.collect()
}

fn short(side: Side) -> ShortSide {
    ShortSide::try_from(side).unwrap()
}

fn written(len: usize) -> (Vec<(Identity, Plain)>, ColdRun) {
    let transactions = sorted(sample(len));
    let (cold, _) = encode(&transactions, 500_000, Some(Timestamp::from_micros(7)));
    (transactions, cold)
}

fn sorted(mut transactions: Vec<(Identity, Plain)>) -> Vec<(Identity, Plain)> {
    transactions.sort_unstable_by_key(|(key, plain)| (hash(*key), *key, plain.ingest_time));
    transactions
}

fn bytes(cold: &ColdRun) -> Vec<u8> {
    cold.bytes.read(0..cold.bytes.len()).unwrap()
}

fn of(bytes: &[u8], head: usize) -> ColdRun {
    ColdRun { bytes: Arc::new(ColdBytes::new(bytes.to_vec())), head, until: Some(Timestamp::from_micros(7)) }
}

fn text(transactions: &[(Identity, Plain)]) -> String {
    format!("{transactions:?}")
}

/// Everything that is in a run.
fn all(cold: &ColdRun) -> Result<Vec<(Identity, Plain)>, Unreadable> {
    let (run, hashes) = Run::<(Identity, Plain)>::open(cold)?;
    let mut all = Vec::new();
    for number in 0..run.blocks() {
        let block = run.block(number)?;
        assert!(block.iter().all(|(key, _)| run.block_of(hash(*key)) == number));
        all.extend(block);
    }
    assert_eq!(hashes, all.iter().map(|(key, _)| hash(*key)).collect::<Vec<_>>());
    assert_eq!(run.last_hour, 500_000);
    Ok(all)
}

#[test]
fn comes_back_as_it_was_written() {
    for len in [1, 63, 64, 65, 1_000, 20_000] {
        let (transactions, cold) = written(len);
        assert_eq!(text(&all(&cold).unwrap()), text(&transactions), "{len}");
    }
}

/// The same with jackpots and chargebacks.
fn with_money() -> Vec<(Identity, Plain)> {
    let most = Money::from_raw((1 << 48) - 1);
    let sides = [Side::bet(Money::from_raw(1)), Side::Chargeback, Side::win(most), Side::Bet, Side::win(Money::ONE)];
    let mut transactions = sample(200);
    for ((_, plain), side) in transactions.iter_mut().zip(sides.into_iter().cycle()) {
        plain.side = short(side);
    }
    transactions
}

#[test]
fn any_damage_is_seen() {
    let (_, cold) = written(150);
    let whole = bytes(&cold);
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        let unreadable = all(&of(&damaged, cold.head)).unwrap_err().to_string();
        assert!(unreadable.starts_with("cold transactions in memory cannot be used: "), "byte {at}: {unreadable}");
    }
    for len in cold.head..whole.len() {
        assert!(all(&of(&whole[..len], cold.head)).is_err(), "{len} bytes");
    }
}

#[test]
fn a_newer_version_is_refused() {
    let (_, cold) = written(3);
    let mut newer = bytes(&cold);
    newer[7] = 3;
    let unreadable = all(&of(&newer, cold.head)).unwrap_err().to_string();
    assert!(unreadable.contains("they have version 3, and this program reads up to 2"), "{unreadable}");
}

#[test]
fn version_1_stays_readable() {
    let (transactions, cold) = written(200);
    assert_eq!(text(&all(&of(VERSION_1, cold.head)).unwrap()), text(&transactions));
    // But for the version, what has no jackpot is written as it was.
    let mut now = bytes(&cold);
    now[7] = 1;
    assert!(VERSION_1 == now);
}

#[test]
fn version_2_is_what_is_written() {
    let transactions = sorted(with_money());
    let (cold, _) = encode(&transactions, 500_000, Some(Timestamp::from_micros(7)));
    if std::env::var_os("QUESTLINE_WRITE_FORMAT").is_some_and(|wanted| wanted == "version_2") {
        std::fs::write(VERSION_2, bytes(&cold)).unwrap();
    }
    let known = std::fs::read(VERSION_2).unwrap();
    assert!(known == bytes(&cold), "what is written has changed: count VERSION on, and keep reading this");
    assert_eq!(text(&all(&of(&known, cold.head)).unwrap()), text(&transactions));
}

#[test]
fn a_transaction_takes_less_than_sixty_bytes() {
    let (transactions, cold) = written(20_000);
    let plain = transactions.len() * size_of::<(Identity, Plain)>();
    assert!(cold.bytes.len() < 60 * transactions.len(), "{} bytes instead of {plain}", cold.bytes.len());
}
