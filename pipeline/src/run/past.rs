//! Epochs of the log whose records Kafka has no more: what they read, as the lake keeps it.
//!
//! Table `events` has what was decoded, `dead_letters` what was refused instead. Both enter where decoding would put them
//! out, so the epoch comes to the same outputs, counters included. That the lake has all of an epoch is known by number:
//! the epoch's counters tell how much it read.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use crossbeam_channel::{Receiver, TryRecvError, bounded};
use datasets::mapping::{DecodeSink, Record, Refusal};
use datasets::rows::Counters;
use datasets::schema::EventNames;
use datasets::time::Date;
use datasets::{Coordinates, Epoch, Reason, Timestamp, TopicId};
use operators::decode::Chunk;
use sinks::cut::Table;
use sinks::lake::LakeReader;

use super::pacer::Hint;
use crate::engine::Halt;
use crate::history::cell::{Cell, Row, rows};
use crate::history::events::push_events;
use crate::history::in_order::{AFTER_DECODING, InOrder, json};

/// Epochs that the reader may be ahead of the source.
const AHEAD: usize = 4;

/// Epochs of a log and the lake that is to have them.
pub struct Past {
    /// The lake.
    pub lake: Arc<LakeReader>,
    /// Names of topics and sources.
    pub names: Arc<EventNames>,
    /// The missions topic, whose records are in the log.
    pub missions: TopicId,
    /// What the log says of each epoch, from the first one on.
    pub epochs: Vec<LoggedEpoch>,
}

/// What is known of an epoch without the lake.
#[derive(Clone, Copy, Debug)]
pub struct LoggedEpoch {
    /// The epoch.
    pub epoch: Epoch,
    /// The recorded clock.
    pub now: Timestamp,
    /// How much it read, if a checkpoint has its outputs.
    pub read: Option<u64>,
}

/// Epochs of which the lake has not everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// Which.
    pub epochs: Range<Epoch>,
    /// What it lacks.
    pub what: Lacks,
}

/// See [`Lack`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lacks {
    /// Their rows in `epochs`, without which nothing tells how much they read.
    Row,
    /// Events, or refusals.
    Events {
        /// As many are there.
        found: u64,
        /// So many were read.
        read: u64,
    },
}

impl Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.epochs.start, self.epochs.end - 1);
        let (is, has, it) = if first == last { ("is", "has", "it") } else { ("are", "have", "they") };
        match first == last {
            true => write!(f, "epoch {first} ")?,
            false => write!(f, "epochs {first} to {last} ")?,
        }
        match &self.what {
            Lacks::Row => write!(f, "{is} not in table epochs"),
            Lacks::Events { found, read } => {
                write!(f, "{has} {found} of the {read} events and refusals that {it} read")
            }
        }
    }
}

impl Past {
    /// What the lake lacks, in the order of epochs.
    ///
    /// # Errors
    /// A lake that cannot be read, or is not that of the log.
    pub fn lacking(&self) -> Result<Vec<Lack>, String> {
        let mut tables = Tables::new(self)?;
        let mut lacking: Vec<Lack> = Vec::new();
        for logged in &self.epochs {
            if let Err(what) = tables.read(self, logged)? {
                add(&mut lacking, logged.epoch, what);
            }
        }
        Ok(lacking)
    }

    /// Reads it on a thread of its own. What fails is told to `halt`.
    ///
    /// # Errors
    /// A thread that cannot be started.
    pub fn start(self, halt: Halt, hint: Hint) -> std::io::Result<PastFeed> {
        let (sender, epochs) = bounded(AHEAD);
        let left = self.epochs.len();
        std::thread::Builder::new().name("past".to_owned()).spawn(move || {
            let give = || -> Result<(), String> {
                let mut tables = Tables::new(&self)?;
                for logged in &self.epochs {
                    let read = tables.read(&self, logged)?;
                    let epoch = read.map_err(|what| {
                        let epochs = logged.epoch..logged.epoch + 1;
                        format!("the lake lost what it had at the start: {}", Lack { epochs, what })
                    })?;
                    let chunk = PastChunk { epoch, names: self.names.clone(), halt: halt.clone() };
                    if sender.send(chunk).is_err() {
                        // The source is gone, and whoever dropped it has said why.
                        break;
                    }
                    hint.look_again();
                }
                Ok(())
            };
            give().unwrap_or_else(|error| halt.fail(error));
        })?;
        Ok(PastFeed { left, epochs })
    }
}

/// Adds an epoch to the last run of epochs that lack the same.
fn add(lacking: &mut Vec<Lack>, epoch: Epoch, what: Lacks) {
    if let Some(last) = lacking.last_mut().filter(|last| last.epochs.end == epoch) {
        match (&mut last.what, &what) {
            (Lacks::Row, Lacks::Row) => {
                last.epochs.end += 1;
                return;
            }
            (Lacks::Events { found, read }, Lacks::Events { found: more, read: of }) => {
                (*found, *read) = (*found + more, *read + of);
                last.epochs.end += 1;
                return;
            }
            _ => {}
        }
    }
    lacking.push(Lack { epochs: epoch..epoch + 1, what });
}

/// The tables that have it.
struct Tables {
    epochs: InOrder,
    events: InOrder,
    letters: InOrder,
}

/// What an epoch read.
struct PastEpoch {
    logged: LoggedEpoch,
    events: Vec<RecordBatch>,
    refusals: Vec<Refusal>,
}

impl Tables {
    fn new(past: &Past) -> Result<Self, String> {
        let first = past.epochs.first().map_or(0, |logged| logged.epoch);
        let table = |table| InOrder::new(&past.lake, table, first);
        Ok(Tables { epochs: table(Table::Epochs)?, events: table(Table::Events)?, letters: table(Table::DeadLetters)? })
    }

    fn read(&mut self, past: &Past, logged: &LoggedEpoch) -> Result<Result<PastEpoch, Lacks>, String> {
        let epoch = logged.epoch;
        let log = self.epochs.take(epoch)?;
        let (events, letters) = (self.events.take(epoch)?, self.letters.take(epoch)?);
        let row = rows(&log).next();
        if row.is_some_and(|row| row.time("now") != Some(logged.now)) {
            return Err(format!("lake: epoch {epoch} of table epochs is not that of the log of epochs"));
        }
        let counted = row.map(|row| json::<Counters>(row, "counters", epoch)).transpose()?;
        let Some(read) = counted.map(|counters| counters.read).or(logged.read) else { return Ok(Err(Lacks::Row)) };
        let refusals = refusals((epoch, &events), &letters, past)?;
        let found = events.iter().map(RecordBatch::num_rows).sum::<usize>() + refusals.len();
        let found = u64::try_from(found).expect("a count fits in 64 bits");
        if found > read {
            return Err(format!("lake: epoch {epoch} has {found} events and refusals, and read {read}"));
        }
        let logged = *logged;
        Ok(if found < read { Err(Lacks::Events { found, read }) } else { Ok(PastEpoch { logged, events, refusals }) })
    }
}

/// Letters of records that became no event. The others follow from events and definitions.
fn refusals(
    (epoch, events): (Epoch, &[RecordBatch]),
    letters: &[RecordBatch],
    past: &Past,
) -> Result<Vec<Refusal>, String> {
    let missions = past.names.topics.name(past.missions);
    let mut refusals = Vec::new();
    let mut decoded = None;
    for letter in rows(letters).filter(|letter| letter.text("topic") != &**missions) {
        let reason = letter.text("reason");
        let known = Reason::ALL.iter().copied().find(|known| known.as_str() == reason);
        let reason = known.ok_or_else(|| format!("lake: table dead_letters has the reason {reason:?}"))?;
        let is_decoded = match reason {
            // Before or after: then it is an event too. Where the file is away that would have it, nothing tells, and it
            // does not count.
            Reason::BadControlEvent => {
                let decoded = decoded.get_or_insert_with(|| rows(events).map(place).collect::<BTreeSet<_>>());
                decoded.contains(&place(letter)) || !has_events(&past.lake, epoch, letter.time("ingest_time"))
            }
            reason => AFTER_DECODING.contains(&reason),
        };
        if !is_decoded {
            refusals.push(refusal(letter, reason, &past.names)?);
        }
    }
    Ok(refusals)
}

/// The lake has the file of events of an epoch and day. A file has all of its rows.
fn has_events(lake: &LakeReader, epoch: Epoch, ingest_time: Option<Timestamp>) -> bool {
    let days = ingest_time.unwrap_or_default().micros().div_euclid(86_400_000_000);
    let day = i32::try_from(days).map_or_else(|_| String::new(), |days| Date::from_days(days).to_string());
    let mut files = lake.objects(Table::Events).iter();
    files.any(|object| (object.cut.first..=object.cut.last).contains(&epoch) && object.day() == day)
}

/// What identifies the input of a row.
fn place(row: Row<'_>) -> (&str, [Option<i64>; 3]) {
    (row.text("topic"), ["partition", "offset", "record_index"].map(|column| row.int(column)))
}

fn refusal(letter: Row<'_>, reason: Reason, names: &EventNames) -> Result<Refusal, String> {
    let wrong = |what: &str| format!("lake: a dead letter {what}");
    let text = |column| match letter.cell(column) {
        Some(Cell::Text(text)) => Some(text.to_owned()),
        _ => None,
    };
    let (topic, [partition, offset, index]) = place(letter);
    let at = Coordinates {
        topic: names.topics.id(topic).ok_or_else(|| wrong(&format!("is of topic {topic:?}, which no source reads")))?,
        partition: partition.and_then(|number| i32::try_from(number).ok()).ok_or_else(|| wrong("has no partition"))?,
        offset: offset.ok_or_else(|| wrong("has no offset"))?,
        index: index.and_then(|number| u32::try_from(number).ok()).ok_or_else(|| wrong("has no record_index"))?,
    };
    let raw_bytes = text("raw_base64").map(|bytes| BASE64_STANDARD.decode(bytes)).transpose();
    Ok(Refusal {
        reason,
        detail: letter.text("detail").to_owned(),
        at,
        ingest_time: letter.time("ingest_time"),
        player_id: text("player_id"),
        raw: text("raw"),
        raw_bytes: raw_bytes.map_err(|_| wrong("has no raw_base64"))?,
    })
}

/// Epochs as they come.
#[derive(Clone)]
pub struct PastFeed {
    left: usize,
    epochs: Receiver<PastChunk>,
}

impl PastFeed {
    /// What the next epoch read, whose clock was `now`; `None` behind the last one.
    ///
    /// # Errors
    /// It has not come yet, or never will: then the reader has said why.
    pub fn next(&mut self, now: Timestamp) -> Result<Option<PastChunk>, TryRecvError> {
        if self.left == 0 {
            return Ok(None);
        }
        let chunk = self.epochs.try_recv()?;
        assert_eq!(chunk.epoch.logged.now, now, "epochs are followed in their order");
        self.left -= 1;
        Ok(Some(chunk))
    }
}

/// An epoch on its way into the decoder's batches.
pub struct PastChunk {
    epoch: PastEpoch,
    names: Arc<EventNames>,
    halt: Halt,
}

impl Chunk for PastChunk {
    /// Definitions come with the log.
    fn for_each(&self, _: &mut dyn FnMut(&Record<'_>)) {}

    fn decoded(&self, sink: &mut dyn DecodeSink) -> Option<Timestamp> {
        let PastEpoch { logged, events, refusals } = &self.epoch;
        let mut newest = None;
        for batch in events {
            if let Err(message) = push_events(batch, 0..batch.num_rows(), &self.names, &mut newest, sink) {
                self.halt.fail(format!("lake: table events, epoch {}: {message}", logged.epoch));
            }
        }
        for refusal in refusals {
            newest = newest.max(refusal.ingest_time);
            sink.refuse(refusal.clone());
        }
        newest
    }
}

#[cfg(test)]
mod tests {
    use datasets::rows::{DeadLetterRow, EpochOutputs, Place};
    use datasets::{EventBatch, EventRow, SourceId, TextField, Topics};
    use sinks::EpochWriter;
    use sinks::lake::{LakeConfig, LakeWriter};

    use super::*;

    const EPOCHS: Epoch = 4;

    fn names() -> Arc<EventNames> {
        Arc::new(EventNames {
            topics: Topics::new(["events", "missions"]),
            sources: vec!["pam".into()],
            chargebacks: Vec::new(),
        })
    }

    fn at(epoch: Epoch, index: u32) -> Coordinates {
        Coordinates { topic: TopicId(0), partition: 1, offset: i64::try_from(epoch).unwrap(), index }
    }

    fn letter(reason: Reason, topic: &str, at: Coordinates) -> DeadLetterRow {
        DeadLetterRow {
            reason,
            detail: "because".to_owned(),
            place: Place { topic: topic.into(), partition: at.partition, offset: at.offset },
            index: at.index,
            ingest_time: Timestamp::from_millis(9),
            player_id: None,
            raw: Some("{".to_owned()),
            raw_base64: Some(BASE64_STANDARD.encode([0xff, 0])),
            truncated: false,
        }
    }

    /// An event at index 0 that is refused later, and two refusals at index 1 and 2.
    fn outputs(epoch: Epoch) -> EpochOutputs {
        EpochOutputs {
            epoch,
            now: Timestamp::from_millis(i64::try_from(epoch).unwrap()),
            dead_letters: vec![
                letter(Reason::BadControlEvent, "events", at(epoch, 0)),
                letter(Reason::BadControlEvent, "events", at(epoch, 1)),
                letter(Reason::NotJson, "events", at(epoch, 2)),
                letter(Reason::OrphanReversal, "events", at(epoch, 7)),
                letter(Reason::InvalidDefinition, "missions", at(epoch, 1)),
            ],
            counters: Counters { read: 3, ..Counters::default() },
            ..EpochOutputs::default()
        }
    }

    fn event(epoch: Epoch) -> Arc<EventBatch> {
        let row = EventRow::new(at(epoch, 0), SourceId(0), Timestamp::from_millis(1), Timestamp::from_millis(1));
        let mut batch = EventBatch::new(0, 0);
        batch.push(&row, [(TextField::PlayerId, "p")], "{}");
        Arc::new(batch)
    }

    /// A lake whose cuts have so many epochs each.
    fn write(folder: &std::path::Path, per_cut: usize) -> LakeConfig {
        let config = LakeConfig::new(format!("file://{}", folder.display()));
        let epochs: Vec<Epoch> = (0..EPOCHS).collect();
        for cut in epochs.chunks(per_cut) {
            let mut writer = LakeWriter::open(&config, 1, 1, names()).unwrap();
            for epoch in cut {
                writer.handle().history(0, *epoch, event(*epoch));
                writer.handle().history_upper(0, epoch + 1);
                writer.commit(&[Arc::new(outputs(*epoch))]).unwrap();
            }
            writer.finish().unwrap();
        }
        config
    }

    /// Epochs 1 and 2 of it.
    fn past(config: &LakeConfig, read: Option<u64>) -> Past {
        let logged = |epoch| LoggedEpoch { epoch, now: outputs(epoch).now, read };
        let lake = Arc::new(LakeReader::open(config).unwrap());
        Past { lake, names: names(), missions: TopicId(1), epochs: (1..3).map(logged).collect() }
    }

    fn remove(config: &LakeConfig, table: &str, day: &str, epoch: Epoch) {
        let root = config.url.strip_prefix("file://").unwrap();
        let name = format!("{table}/{day}=1970-01-01/{table}-v2-00-{epoch:012}-{epoch:012}.parquet");
        std::fs::remove_file(std::path::Path::new(root).join(name)).unwrap();
    }

    #[derive(Default)]
    struct Taken(Vec<EventBatch>, Vec<Refusal>);

    impl DecodeSink for Taken {
        fn batch(&mut self, _: u64) -> &mut EventBatch {
            self.0.push(EventBatch::new(0, 0));
            self.0.last_mut().unwrap()
        }

        fn refuse(&mut self, refusal: Refusal) {
            self.1.push(refusal);
        }
    }

    #[test]
    fn an_epoch_comes_as_it_was_decoded() {
        for per_cut in [1, 4] {
            let folder = tempfile::tempdir().unwrap();
            let past = past(&write(folder.path(), per_cut), None);
            assert_eq!(past.lacking().unwrap(), []);
            let feed = past.start(Halt::default(), Hint::new(crate::engine::Wake::default())).unwrap();
            for epoch in 1..3 {
                let chunk = feed.epochs.recv().unwrap();
                assert_eq!(chunk.epoch.logged.epoch, epoch);
                let mut taken = Taken::default();
                assert_eq!(chunk.decoded(&mut taken), Some(Timestamp::from_millis(9)));
                let events: Vec<Coordinates> =
                    taken.0.iter().flat_map(EventBatch::iter).map(|event| event.at).collect();
                assert_eq!(events, [at(epoch, 0)]);
                let refused: Vec<_> = taken.1.iter().map(|refusal| (refusal.reason, refusal.at)).collect();
                assert_eq!(refused, [(Reason::BadControlEvent, at(epoch, 1)), (Reason::NotJson, at(epoch, 2))]);
                let Refusal { detail, ingest_time, player_id, raw, raw_bytes, .. } = taken.1.swap_remove(1);
                assert_eq!((detail.as_str(), player_id, raw.as_deref()), ("because", None, Some("{")));
                assert_eq!((ingest_time, raw_bytes), (Some(Timestamp::from_millis(9)), Some(vec![0xff, 0])));
            }
            assert!(feed.epochs.recv().is_err(), "there are no more");
        }
    }

    #[test]
    fn what_a_lake_lacks_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let config = write(folder.path(), 1);
        remove(&config, "dead_letters", "ingest_dt", 1);
        let lack = |epochs, what| Lack { epochs, what };
        assert_eq!(past(&config, None).lacking().unwrap(), [lack(1..2, Lacks::Events { found: 1, read: 3 })]);
        remove(&config, "events", "ingest_dt", 2);
        // The letter of an event that is not there is not taken for a refusal.
        assert_eq!(past(&config, None).lacking().unwrap(), [lack(1..3, Lacks::Events { found: 2, read: 6 })]);
        remove(&config, "epochs", "epoch_dt", 2);
        let row = lack(2..3, Lacks::Row);
        assert_eq!(past(&config, None).lacking().unwrap(), [lack(1..2, Lacks::Events { found: 1, read: 3 }), row]);
    }

    #[test]
    fn a_checkpoint_tells_how_much_was_read_too() {
        let folder = tempfile::tempdir().unwrap();
        let config = write(folder.path(), 1);
        remove(&config, "epochs", "epoch_dt", 1);
        assert_eq!(past(&config, Some(3)).lacking().unwrap(), []);
        assert_eq!(
            past(&config, Some(2)).lacking().unwrap_err(),
            "lake: epoch 1 has 3 events and refusals, and read 2"
        );
    }

    #[test]
    fn a_lake_of_another_log_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut past = past(&write(folder.path(), 4), None);
        past.epochs[1].now = Timestamp::from_millis(77);
        let refused = past.lacking().unwrap_err();
        assert_eq!(refused, "lake: epoch 2 of table epochs is not that of the log of epochs");
    }
}
