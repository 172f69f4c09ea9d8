//! The log of everything that is not determined by the input: one record per epoch (ARCHITECTURE,
//! "Epochs"). A replay that follows it produces the same outputs bit for bit.
//!
//! On the wire a record is one message, or several where it does not fit into one. The key is the
//! epoch in decimal; the value is
//! ```text
//! format: u8, part: u32 BE, parts: u32 BE, then a part of: chain: 16 bytes, postcard(body)
//! ```
//! A format is never changed: a new one is added, and older ones stay readable. Each record's chain
//! is a hash over the chain before and its own bytes, so two logs with one chain are one log.

use datasets::rows::{Binding, DefinitionRow, EpochOutputs, Place};
use datasets::{Epoch, Timestamp};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::cut::Cut;

/// The format that is written.
const FORMAT: u8 = 2;

/// Bytes of a message before its part of the record.
const HEADER: usize = 9;

/// Hash over all records up to one of them, from the pipeline's name on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Chain(pub u128);

impl Chain {
    /// Before the first record: a log continues only in the pipeline that began it.
    pub fn start(pipeline: &str) -> Self {
        Chain(xxh3_128(format!("questline progress of {pipeline}").as_bytes()))
    }

    fn then(self, format: u8, body: &[u8]) -> Self {
        let mut hasher = Xxh3::new();
        hasher.update(&self.0.to_be_bytes());
        hasher.update(&[format]);
        hasher.update(body);
        Chain(hasher.digest128())
    }
}

/// What one epoch bound, and what was decided in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressRecord {
    /// The format it was written in.
    pub format: u16,
    /// The run that closed the epoch.
    pub run_id: String,
    /// The epoch.
    pub epoch: Epoch,
    /// The reading of the clock.
    pub now: Timestamp,
    /// The wall's when the epoch was opened; the same in format 1.
    pub wall: Timestamp,
    /// Partitions whose upper moved.
    pub bindings: Vec<Binding>,
    /// Cuts of the lake that were decided.
    pub cuts: Vec<Cut>,
    /// Definition records that the epoch bound, accepted or not: by the time of a replay, compaction
    /// may have removed the original.
    pub definitions: Vec<DefinitionRow>,
    /// Up to and with this record.
    pub chain: Chain,
}

/// Why a message of the progress topic cannot be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ProgressError {
    #[error("no progress record: {0}")]
    Malformed(&'static str),
    #[error("progress record of format {0}, which only a later release can read")]
    UnknownFormat(u8),
    #[error("progress record that cannot be decoded")]
    Body(#[source] postcard::Error),
    #[error("part {part} of {parts} of a progress record, where part {expected} should be")]
    Part { part: u32, parts: u32, expected: u32 },
    #[error("epoch {found}, where epoch {expected} should be")]
    Epoch { found: Epoch, expected: Epoch },
    #[error("the hash chain breaks at epoch {0}: a record was altered, or belongs to another pipeline")]
    Chain(Epoch),
}

/// Format 2. The bytes are a contract: a test pins them.
#[derive(Serialize, Deserialize)]
struct Body {
    run_id: String,
    epoch: Epoch,
    now: Timestamp,
    wall: Timestamp,
    bindings: Vec<Binding>,
    cuts: Vec<Cut>,
    definitions: Vec<DefinitionV1>,
}

/// Format 1, which knew one clock.
#[derive(Deserialize)]
struct BodyV1 {
    run_id: String,
    epoch: Epoch,
    now: Timestamp,
    bindings: Vec<Binding>,
    cuts: Vec<Cut>,
    definitions: Vec<DefinitionV1>,
}

impl From<BodyV1> for Body {
    fn from(body: BodyV1) -> Self {
        let BodyV1 { run_id, epoch, now, bindings, cuts, definitions } = body;
        Body { run_id, epoch, now, wall: now, bindings, cuts, definitions }
    }
}

/// A [`DefinitionRow`] without its JSON layout, which postcard cannot express.
#[derive(Serialize, Deserialize)]
struct DefinitionV1 {
    place: Place,
    ingest_time: Timestamp,
    mission_id: String,
    version: Option<i64>,
    accepted: bool,
    definition: Option<String>,
}

impl From<&DefinitionRow> for DefinitionV1 {
    fn from(row: &DefinitionRow) -> Self {
        DefinitionV1 {
            place: row.place.clone(),
            ingest_time: row.ingest_time,
            mission_id: row.mission_id.clone(),
            version: row.version,
            accepted: row.accepted,
            definition: row.definition.clone(),
        }
    }
}

impl From<DefinitionV1> for DefinitionRow {
    fn from(row: DefinitionV1) -> Self {
        DefinitionRow {
            place: row.place,
            ingest_time: row.ingest_time,
            mission_id: row.mission_id,
            version: row.version,
            accepted: row.accepted,
            definition: row.definition,
        }
    }
}

/// A record ready to be sent, with the chain that it leads to.
pub(super) struct Encoded {
    pub chain: Chain,
    bytes: Vec<u8>,
}

/// Encodes the record of `outputs`, which follows `chain`.
pub(super) fn encode(run_id: &str, outputs: &EpochOutputs, cuts: Vec<Cut>, chain: Chain) -> Encoded {
    let body = Body {
        run_id: run_id.to_owned(),
        epoch: outputs.epoch,
        now: outputs.now,
        wall: outputs.wall,
        bindings: outputs.bindings.clone(),
        cuts,
        definitions: outputs.definitions.iter().map(DefinitionV1::from).collect(),
    };
    let body = postcard::to_allocvec(&body).expect("a body has only types that postcard writes");
    let chain = chain.then(FORMAT, &body);
    let mut bytes = chain.0.to_be_bytes().to_vec();
    bytes.extend_from_slice(&body);
    Encoded { chain, bytes }
}

impl Encoded {
    /// The values of its messages, none longer than `limit` bytes.
    pub fn messages(&self, limit: usize) -> impl Iterator<Item = Vec<u8>> {
        let room = limit.saturating_sub(HEADER).max(1);
        let parts = number(self.bytes.chunks(room).len());
        self.bytes.chunks(room).enumerate().map(move |(part, bytes)| {
            let mut value = Vec::with_capacity(HEADER + bytes.len());
            value.push(FORMAT);
            value.extend_from_slice(&number(part).to_be_bytes());
            value.extend_from_slice(&parts.to_be_bytes());
            value.extend_from_slice(bytes);
            value
        })
    }
}

fn number(parts: usize) -> u32 {
    u32::try_from(parts).expect("a record has fewer than 4 G parts")
}

/// Reads records from the values of the topic's messages, in order, and verifies that they are one log. Of a log whose
/// beginning was removed the first record is taken as it is: a checkpoint vouches for it, which knows the hash chain
/// of a later one.
pub struct Decoder {
    chain: Chain,
    upper: Epoch,
    has_begun: bool,
    parts: Vec<u8>,
    next_part: u32,
}

impl Decoder {
    /// Before the first record of this pipeline's log.
    pub fn new(pipeline: &str) -> Self {
        Decoder { chain: Chain::start(pipeline), upper: 0, has_begun: false, parts: Vec::new(), next_part: 0 }
    }

    /// The record that `value` completes, if it does.
    ///
    /// # Errors
    /// A value that does not continue the log; after it nothing more can be read.
    pub fn read(&mut self, value: &[u8]) -> Result<Option<ProgressRecord>, ProgressError> {
        let (header, bytes) =
            value.split_first_chunk::<HEADER>().ok_or(ProgressError::Malformed("shorter than its header"))?;
        let [format, part @ .., p0, p1, p2, p3] = *header;
        let (part, parts) = (u32::from_be_bytes(part), u32::from_be_bytes([p0, p1, p2, p3]));
        if !(1..=FORMAT).contains(&format) {
            return Err(ProgressError::UnknownFormat(format));
        }
        if part != self.next_part || part >= parts {
            return Err(ProgressError::Part { part, parts, expected: self.next_part });
        }
        self.parts.extend_from_slice(bytes);
        self.next_part += 1;
        if self.next_part < parts {
            return Ok(None);
        }
        self.next_part = 0;
        let whole = std::mem::take(&mut self.parts);
        self.record(format, &whole).map(Some)
    }

    /// The log ends between two records.
    ///
    /// # Errors
    /// The last parts of a record are missing.
    pub fn end(&self) -> Result<(), ProgressError> {
        if self.next_part == 0 { Ok(()) } else { Err(ProgressError::Malformed("its last parts are missing")) }
    }

    fn record(&mut self, format: u8, bytes: &[u8]) -> Result<ProgressRecord, ProgressError> {
        let (chain, body) =
            bytes.split_first_chunk::<16>().ok_or(ProgressError::Malformed("shorter than its chain"))?;
        let chain = Chain(u128::from_be_bytes(*chain));
        let (decoded, rest) = match format {
            1 => postcard::take_from_bytes::<BodyV1>(body).map(|(body, rest)| (body.into(), rest)),
            _ => postcard::take_from_bytes::<Body>(body),
        }
        .map_err(ProgressError::Body)?;
        if !rest.is_empty() {
            return Err(ProgressError::Malformed("longer than its body"));
        }
        let is_cut_off = !self.has_begun && decoded.epoch > 0;
        if decoded.epoch != self.upper && !is_cut_off {
            return Err(ProgressError::Epoch { found: decoded.epoch, expected: self.upper });
        }
        if self.chain.then(format, body) != chain && !is_cut_off {
            return Err(ProgressError::Chain(decoded.epoch));
        }
        self.chain = chain;
        self.upper = decoded.epoch + 1;
        self.has_begun = true;
        Ok(ProgressRecord {
            format: u16::from(format),
            run_id: decoded.run_id,
            epoch: decoded.epoch,
            now: decoded.now,
            wall: decoded.wall,
            bindings: decoded.bindings,
            cuts: decoded.cuts,
            definitions: decoded.definitions.into_iter().map(DefinitionRow::from).collect(),
            chain,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cut::Table;

    fn outputs(epoch: Epoch) -> EpochOutputs {
        let place = Place { topic: Arc::from("missions"), partition: 0, offset: 3 };
        EpochOutputs {
            epoch,
            now: Timestamp::from_millis(1_780_000_000_000),
            wall: Timestamp::from_millis(1_780_000_600_000),
            bindings: vec![Binding { topic: Arc::from("events"), partition: 2, upper: 4711 }],
            definitions: vec![DefinitionRow {
                place,
                ingest_time: Timestamp::from_millis(5),
                mission_id: "m".into(),
                version: Some(3),
                accepted: true,
                definition: Some("{}".into()),
            }],
            ..EpochOutputs::default()
        }
    }

    fn cut(last: Epoch) -> Cut {
        Cut { table: Table::Events, lane: 1, first: 0, last, schema_version: 1 }
    }

    /// The log of epochs `0..count` as messages of at most `limit` bytes.
    fn log(count: Epoch, limit: usize) -> Vec<Vec<u8>> {
        let mut chain = Chain::start("acme");
        let mut messages = Vec::new();
        for epoch in 0..count {
            let encoded = encode("run", &outputs(epoch), vec![cut(epoch)], chain);
            chain = encoded.chain;
            messages.extend(encoded.messages(limit));
        }
        messages
    }

    fn read(messages: &[Vec<u8>]) -> Result<Vec<ProgressRecord>, ProgressError> {
        let mut decoder = Decoder::new("acme");
        let mut records = Vec::new();
        for message in messages {
            records.extend(decoder.read(message)?);
        }
        decoder.end()?;
        Ok(records)
    }

    #[test]
    fn records_come_back_whole_or_in_parts() {
        for limit in [1_000_000, 100, 30, HEADER + 1] {
            let records = read(&log(3, limit)).unwrap();
            assert_eq!(records.len(), 3, "limit {limit}");
            let last = &records[2];
            let expected = outputs(2);
            assert_eq!((last.format, last.epoch, last.now, last.wall), (2, 2, expected.now, expected.wall));
            assert_eq!(last.run_id, "run");
            assert_eq!(last.bindings, expected.bindings);
            assert_eq!(last.definitions, expected.definitions);
            assert_eq!(last.cuts, [cut(2)]);
        }
        assert!(log(1, 30).iter().all(|message| message.len() <= 30));
    }

    /// A release must read what an earlier one wrote: when this fails, add a format.
    #[test]
    fn format_2_is_pinned() {
        let message = &log(1, 1_000_000)[0];
        let hex: String = message.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "02\
             00000000\
             00000001\
             4fde9e684029d48110b083b880e2f861\
             0372756e\
             00\
             80809abbd1b9a906\
             8098b4f7d5b9a906\
             01066576656e747304ce49\
             010001000001\
             01086d697373696f6e730006904e016d01060101027b7d"
        );
    }

    /// The first record of the log above, as it was written before there was a second clock.
    const FORMAT_1: &str = "01\
        00000000\
        00000001\
        5470054a0c003beebc07196d1bce8d33\
        0372756e\
        00\
        80809abbd1b9a906\
        01066576656e747304ce49\
        010001000001\
        01086d697373696f6e730006904e016d01060101027b7d";

    #[test]
    fn format_1_stays_readable() {
        let digits = FORMAT_1.as_bytes().chunks(2).map(|byte| std::str::from_utf8(byte).unwrap());
        let message: Vec<u8> = digits.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        let records = read(&[message]).unwrap();
        let [record] = &records[..] else { panic!("{records:?}") };
        let expected = outputs(0);
        assert_eq!((record.format, record.epoch, &*record.run_id), (1, 0, "run"));
        assert_eq!((record.now, record.wall), (expected.now, expected.now), "the clock was reported by");
        assert_eq!((&record.bindings, &record.definitions), (&expected.bindings, &expected.definitions));
        assert_eq!(record.cuts, [cut(0)]);
    }

    #[test]
    fn an_altered_log_is_refused() {
        let whole = log(3, 1_000_000);
        let error = |messages: &[Vec<u8>]| read(messages).unwrap_err().to_string();

        let mut altered = whole.clone();
        // A letter of the run's name in the second record.
        let at = altered[1].windows(3).position(|text| text == b"run").unwrap();
        altered[1][at] = b'R';
        assert_eq!(
            error(&altered),
            "the hash chain breaks at epoch 1: a record was altered, or belongs to another pipeline"
        );

        assert_eq!(error(&[whole[0].clone(), whole[2].clone()]), "epoch 2, where epoch 1 should be");
        assert_eq!(error(&[whole[0].clone(), whole[0].clone()]), "epoch 0, where epoch 1 should be");
        assert_eq!(error(&[vec![1, 2]]), "no progress record: shorter than its header");

        let mut later = whole[0].clone();
        later[0] = 3;
        assert_eq!(error(&[later]), "progress record of format 3, which only a later release can read");

        let parts = log(1, 60);
        assert_eq!(error(&parts[..1]), "no progress record: its last parts are missing");
        assert_eq!(error(&parts[1..]), "part 1 of 2 of a progress record, where part 0 should be");
    }

    #[test]
    fn a_log_belongs_to_its_pipeline() {
        let mut decoder = Decoder::new("other");
        assert!(matches!(decoder.read(&log(1, 1_000_000)[0]), Err(ProgressError::Chain(0))));
    }

    #[test]
    fn a_log_without_its_beginning_hangs_together() {
        let whole = log(4, 1_000_000);
        let epochs: Vec<Epoch> = read(&whole[1..]).unwrap().iter().map(|record| record.epoch).collect();
        assert_eq!(epochs, [1, 2, 3]);
        // A gap is one also there.
        assert!(matches!(
            read(&[whole[1].clone(), whole[3].clone()]),
            Err(ProgressError::Epoch { found: 3, expected: 2 })
        ));
        // Of the first record only the second one tells.
        let mut altered = whole[1].clone();
        let at = altered.windows(3).position(|text| text == b"run").unwrap();
        altered[at] = b'R';
        assert!(read(std::slice::from_ref(&altered)).is_ok());
        altered[HEADER] ^= 1;
        assert!(matches!(read(&[altered, whole[2].clone()]), Err(ProgressError::Chain(2))));
    }
}
