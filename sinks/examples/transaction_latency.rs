//! Latency of one epoch's transaction (begin, 5 records, commit) on a real broker:
//! `cargo run --release -p sinks --example transaction_latency -- 127.0.0.1:9092 [transactions]`

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use datasets::rows::{DeadLetterRow, EpochOutputs, Place};
use datasets::{Reason, Timestamp};
use sinks::EpochWriter;
use sinks::kafka::{CommitterConfig, Connection, open};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let brokers = arguments.next().ok_or("usage: transaction_latency BROKERS [TRANSACTIONS]")?;
    let transactions = arguments.next().map_or(Ok(500), |text| text.parse::<u64>())?;

    let run = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
    let config = CommitterConfig::new(Connection::new(brokers), format!("latency-{run}"), "latency");
    let started = Instant::now();
    let (mut committer, log) = open(&config)?;
    println!("opened in {:?}", started.elapsed());

    // Four rows and the progress record.
    let row = DeadLetterRow {
        reason: Reason::NotJson,
        detail: "latency".into(),
        place: Place { topic: Arc::from("events"), partition: 0, offset: 0 },
        index: 0,
        ingest_time: Timestamp::from_micros(0),
        player_id: Some("player".into()),
        raw: Some("x".repeat(200)),
        raw_base64: None,
        truncated: false,
    };
    let mut taken = Vec::new();
    for epoch in log.upper..log.upper + transactions {
        let outputs = EpochOutputs { epoch, dead_letters: vec![row.clone(); 4], ..EpochOutputs::default() };
        let started = Instant::now();
        committer.commit(&[Arc::new(outputs)])?;
        taken.push(started.elapsed());
        // As epochs come: not back to back.
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("first {} : {:?}", 8.min(taken.len()), &taken[..8.min(taken.len())]);
    taken.sort();
    let at = |share: usize| taken[(taken.len() - 1) * share / 1000];
    println!("p50 {:?}  p90 {:?}  p99 {:?}  max {:?}", at(500), at(900), at(990), at(1000));

    let started = Instant::now();
    drop(committer);
    println!("closed in {:?}", started.elapsed());
    let started = Instant::now();
    let (_, log) = open(&config)?;
    println!("opened again at epoch {} in {:?}", log.upper, started.elapsed());
    Ok(())
}
