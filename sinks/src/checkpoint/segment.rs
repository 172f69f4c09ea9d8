//! A segment: what one round wrote, in one object.
//!
//! ```text
//! magic, zstd frames, index: postcard, its length: u64 LE, its hash: u64 LE, magic
//! ```

use datasets::rows::EpochOutputs;
use datasets::state::{Packed, Packer, Part, Section, Unpacker};
use datasets::{Epoch, Timestamp};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 8] = b"QLSEG\0\0\x01";
/// Behind the index.
const TAIL: usize = 24;

/// Why an object is no segment.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    #[error("no segment: {0}")]
    Malformed(&'static str),
    #[error("its index cannot be decoded")]
    Index(#[source] postcard::Error),
    #[error("{what} at byte {offset} is damaged: its checksum differs")]
    Damaged { what: &'static str, offset: usize },
    #[error("{what} at byte {offset} cannot be decompressed")]
    Frame { what: &'static str, offset: usize, source: std::io::Error },
    #[error("nothing can be decompressed")]
    Decompressor(#[source] std::io::Error),
    #[error("outputs of epochs cannot be decoded")]
    Outputs(#[source] serde_json::Error),
}

/// Where everything is.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Index {
    pieces: Vec<PieceEntry>,
    /// Outputs of consecutive epochs.
    outputs: Option<OutputsEntry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PieceEntry {
    part: usize,
    epoch: Epoch,
    /// Of earlier releases.
    begins_cycle: bool,
    frame: Frame,
}

#[derive(Debug, Serialize, Deserialize)]
struct OutputsEntry {
    first: Epoch,
    last: Epoch,
    frame: Frame,
}

/// Compressed bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Frame {
    offset: usize,
    len: usize,
    /// Of the bytes before compression.
    raw_len: usize,
    /// Of the compressed bytes.
    hash: u64,
}

/// Builds a segment. `outputs` are consecutive. What went cold is elsewhere.
pub(super) fn encode(sections: &[Section], outputs: &[&EpochOutputs]) -> std::io::Result<Vec<u8>> {
    let mut bytes = MAGIC.to_vec();
    let mut index = Index::default();
    let mut packer = Packer::new()?;
    for Section { part, epoch, pieces, .. } in sections {
        for piece in pieces {
            let frame = put(&mut bytes, &mut packer, piece)?;
            index.pieces.push(PieceEntry { part: part.index(), epoch: *epoch, begins_cycle: false, frame });
        }
    }
    if let (Some(first), Some(last)) = (outputs.first(), outputs.last()) {
        // Rows have a JSON form that is a contract, and none for anything more compact.
        let raw = serde_json::to_vec(outputs)?;
        let frame = put(&mut bytes, &mut packer, &raw)?;
        index.outputs = Some(OutputsEntry { first: first.epoch, last: last.epoch, frame });
    }
    let encoded = postcard::to_allocvec(&index).expect("an index has only types that postcard writes");
    bytes.extend_from_slice(&encoded);
    bytes.extend_from_slice(&length(encoded.len()).to_le_bytes());
    bytes.extend_from_slice(&xxh3_64(&encoded).to_le_bytes());
    bytes.extend_from_slice(MAGIC);
    Ok(bytes)
}

fn put(bytes: &mut Vec<u8>, packer: &mut Packer, raw: &[u8]) -> std::io::Result<Frame> {
    let packed = packer.pack(raw)?;
    let stored = packed.stored();
    let frame = Frame { offset: bytes.len(), len: stored.len(), raw_len: raw.len(), hash: xxh3_64(stored) };
    bytes.extend_from_slice(stored);
    Ok(frame)
}

fn length(len: usize) -> u64 {
    u64::try_from(len).expect("a length fits in 64 bits")
}

/// A segment that was read.
pub(super) struct Segment<'a> {
    bytes: &'a [u8],
    index: Index,
}

impl<'a> Segment<'a> {
    /// Reads the index.
    pub fn open(bytes: &'a [u8]) -> Result<Self, SegmentError> {
        let body = bytes.strip_prefix(MAGIC).ok_or(SegmentError::Malformed("it begins otherwise"))?;
        let (body, tail) = body.split_last_chunk::<TAIL>().ok_or(SegmentError::Malformed("too short"))?;
        let [l @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = *tail;
        let [_, _, _, _, _, _, _, _, h @ .., _, _, _, _, _, _, _, _] = *tail;
        if !tail.ends_with(MAGIC) {
            return Err(SegmentError::Malformed("it ends otherwise"));
        }
        let len = usize::try_from(u64::from_le_bytes(l)).ok();
        let start = len.and_then(|len| body.len().checked_sub(len)).ok_or(SegmentError::Malformed("too short"))?;
        let encoded = &body[start..];
        if xxh3_64(encoded) != u64::from_le_bytes(h) {
            return Err(SegmentError::Damaged { what: "the index", offset: MAGIC.len() + start });
        }
        let index = postcard::from_bytes(encoded).map_err(SegmentError::Index)?;
        Ok(Segment { bytes, index })
    }

    /// Its pieces, in the order in which they were written.
    pub fn pieces(&self) -> impl Iterator<Item = Result<(Part, Packed), SegmentError>> {
        self.index.pieces.iter().map(|PieceEntry { part, frame, .. }| {
            let part = Part::of(*part).ok_or(SegmentError::Malformed("a part of a number that does not exist"))?;
            let packed = self.read("a piece", frame)?;
            Ok((part, Packed::of(packed.to_vec(), frame.raw_len)))
        })
    }

    /// The epochs whose outputs it holds.
    pub fn output_epochs(&self) -> Option<(Epoch, Epoch)> {
        self.index.outputs.as_ref().map(|outputs| (outputs.first, outputs.last))
    }

    /// Outputs of epochs, in order.
    pub fn outputs(&self) -> Result<Vec<EpochOutputs>, SegmentError> {
        let Some(entry) = &self.index.outputs else { return Ok(Vec::new()) };
        let what = "the outputs of epochs";
        let packed = Packed::of(self.read(what, &entry.frame)?.to_vec(), entry.frame.raw_len);
        let mut unpacker = Unpacker::new().map_err(SegmentError::Decompressor)?;
        let raw = unpacker.unpack(&packed);
        let raw = raw.map_err(|source| SegmentError::Frame { what, offset: entry.frame.offset, source })?;
        let mut outputs: Vec<EpochOutputs> = serde_json::from_slice(raw).map_err(SegmentError::Outputs)?;
        // An earlier release knew one clock.
        for outputs in outputs.iter_mut().filter(|outputs| outputs.wall == Timestamp::default()) {
            outputs.wall = outputs.now;
        }
        Ok(outputs)
    }

    /// Compressed bytes as they were written.
    fn read(&self, what: &'static str, frame: &Frame) -> Result<&'a [u8], SegmentError> {
        let Frame { offset, len, hash, .. } = *frame;
        let packed = self.bytes.get(offset..).and_then(|bytes| bytes.get(..len));
        let packed = packed.ok_or(SegmentError::Malformed("shorter than its index says"))?;
        if xxh3_64(packed) != hash {
            return Err(SegmentError::Damaged { what, offset });
        }
        Ok(packed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(part: usize, epoch: Epoch, pieces: &[&[u8]]) -> Section {
        Section {
            part: Part::of(part).unwrap(),
            epoch,
            needs: 0,
            pieces: pieces.iter().map(|piece| piece.to_vec()).collect(),
            cold: None,
        }
    }

    fn sample() -> (Vec<Section>, Vec<EpochOutputs>, Vec<u8>) {
        let sections =
            [section(0, 3, &[b"abc", b"de"]), section(2047, 5, &[b""]), section(0, 6, &[&[7; 1000]])].to_vec();
        let (now, wall) = (Timestamp::from_micros(9), Timestamp::from_micros(12));
        let outputs = |epoch| EpochOutputs { epoch, now, wall, ..EpochOutputs::default() };
        let outputs: Vec<EpochOutputs> = (4..7).map(outputs).collect();
        let bytes = encode(&sections, &outputs.iter().collect::<Vec<_>>()).unwrap();
        (sections, outputs, bytes)
    }

    #[test]
    fn comes_back_as_it_was_written() {
        let (sections, outputs, bytes) = sample();
        let segment = Segment::open(&bytes).unwrap();
        let pieces =
            |section: &Section| section.pieces.iter().map(|piece| (section.part, piece.clone())).collect::<Vec<_>>();
        let mut unpacker = Unpacker::new().unwrap();
        let read = segment.pieces().map(|piece| {
            let (part, packed) = piece.unwrap();
            (part, unpacker.unpack(&packed).unwrap().to_vec())
        });
        assert_eq!(read.collect::<Vec<_>>(), sections.iter().flat_map(pieces).collect::<Vec<_>>());
        assert_eq!(segment.output_epochs(), Some((4, 6)));
        assert_eq!(segment.outputs().unwrap(), outputs);
    }

    #[test]
    fn outputs_of_a_release_with_one_clock_stay_readable() {
        let (.., outputs, _) = sample();
        let mut json = serde_json::to_value(&outputs).unwrap();
        for outputs in json.as_array_mut().unwrap() {
            outputs.as_object_mut().unwrap().remove("wall").unwrap();
        }
        let raw = serde_json::to_vec(&json).unwrap();
        let mut bytes = MAGIC.to_vec();
        let frame = put(&mut bytes, &mut Packer::new().unwrap(), &raw).unwrap();
        let index = Index { pieces: Vec::new(), outputs: Some(OutputsEntry { first: 4, last: 6, frame }) };
        let read = Segment { bytes: &bytes, index }.outputs();
        let now = Timestamp::from_micros(9);
        assert!(read.unwrap().iter().all(|outputs| (outputs.now, outputs.wall) == (now, now)));
    }

    #[test]
    fn any_damage_is_seen() {
        let (.., bytes) = sample();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            let read = Segment::open(&damaged)
                .and_then(|segment| segment.pieces().collect::<Result<Vec<_>, _>>().map(|_| segment.outputs()));
            assert!(!matches!(read, Ok(Ok(_))), "byte {at}");
        }
        for len in 0..bytes.len() {
            assert!(Segment::open(&bytes[..len]).is_err(), "{len} bytes");
        }
    }
}
