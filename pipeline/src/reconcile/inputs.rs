//! What was read of each partition, and what became of it.

use std::collections::{BTreeMap, HashMap};

use datasets::rows::Binding;
use datasets::time::Date;
use datasets::{Epoch, Reason, Timestamp};
use serde::Serialize;
use sinks::cut::Table;
use sinks::lake::{LakeObject, LakeReader};

use super::books::utc_day;
use crate::history::cell::each_row;
use crate::history::in_order::{AFTER_DECODING, json};

/// A partition, as far as its records were recomputed from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i64,
    /// The first offset that the log of epochs tells of, and the next one to read; absent in the lake of a replay.
    pub range: Option<(i64, i64)>,
    /// Offsets with an event in the history.
    pub with_events: u64,
    /// Offsets without one, of which something was refused.
    pub refused: u64,
    /// Offsets in the range with neither: markers of transactions, tombstones, empty envelopes, what compaction removed.
    pub neither: u64,
    /// Offsets of events or dead letters that the log never read.
    pub outside: u64,
}

impl Input {
    fn new(topic: String, partition: i64, date: Date) -> Self {
        let (events, duplicates, conflicts) = (0, 0, 0);
        let (already_reversed, orphans, counted, refused) = (0, 0, 0, 0);
        Input { topic, partition, date, events, duplicates, conflicts, already_reversed, orphans, counted, refused }
    }
}

impl Partition {
    /// Nothing is there that was not read.
    pub fn is_whole(&self) -> bool {
        self.outside == 0
    }
}

/// Events of a partition that were ingested on one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Input {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i64,
    /// UTC day of ingestion.
    pub date: Date,
    /// Events in the history.
    pub events: u64,
    /// Of these: sent before.
    pub duplicates: u64,
    /// Sent before with other content: also dead letters.
    pub conflicts: u64,
    /// Reversals of what was reversed.
    pub already_reversed: u64,
    /// Reversals of nothing: also dead letters.
    pub orphans: u64,
    /// The rest.
    pub counted: u64,
    /// Records and items that became no event: dead letters of decoding.
    pub refused: u64,
}

/// A set of offsets, a bit each.
#[derive(Default)]
struct Offsets(HashMap<i64, Vec<u64>>);

/// Offsets whose bits are together.
const CHUNK: i64 = 1 << 16;

impl Offsets {
    fn insert(&mut self, offset: i64) -> bool {
        let bits = self.0.entry(offset.div_euclid(CHUNK)).or_insert_with(|| vec![0; 1 << 10]);
        let place = usize::try_from(offset.rem_euclid(CHUNK)).expect("below 2^16");
        let (word, bit) = (&mut bits[place / 64], 1_u64 << (place % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

#[derive(Default)]
struct Seen {
    offsets: Offsets,
    partition: Partition,
}

impl Seen {
    /// Answers whether nothing was known of this offset.
    fn see(&mut self, offset: i64) -> bool {
        if let Some((first, upper)) = self.partition.range {
            self.partition.outside += u64::from(offset < first || offset >= upper);
        }
        self.offsets.insert(offset)
    }
}

/// The least ingest times of the events of epochs.
type First = HashMap<Epoch, Timestamp>;

/// Reads what the lake says of epochs below `upper`. Records of the topic `missions` are no events.
///
/// # Errors
/// What cannot be read.
pub(super) fn read(
    lake: &LakeReader,
    missions: &str,
    upper: Epoch,
) -> Result<(Vec<Partition>, Vec<Input>, First), String> {
    let mut first = First::new();
    let mut partitions: BTreeMap<(String, i64), Seen> = BTreeMap::new();
    for ((topic, partition), range) in ranges(lake, upper)? {
        if topic != missions {
            partitions.entry((topic, partition)).or_default().partition.range = Some(range);
        }
    }
    let mut days: BTreeMap<(String, i64, Date), Input> = BTreeMap::new();
    let is_read = |object: &LakeObject| object.cut.first < upper;
    for table in [Table::Events, Table::DeadLetters, Table::Dispositions] {
        each_row(lake, table, is_read, |row| {
            let Some((partition, offset)) = row.int("partition").zip(row.int("offset")) else { return };
            let after_decoding = AFTER_DECODING.iter().any(|reason: &Reason| reason.as_str() == row.text("reason"));
            if row.epoch().is_none_or(|epoch| epoch >= upper) || (table == Table::DeadLetters && after_decoding) {
                return;
            }
            let (topic, date) = (row.text("topic").to_owned(), utc_day(row.time("ingest_time").unwrap_or_default()));
            if topic == missions {
                return;
            }
            let new = || Input::new(topic.clone(), partition, date);
            let input = days.entry((topic.clone(), partition, date)).or_insert_with(new);
            if table == Table::Dispositions {
                match row.text("disposition") {
                    "duplicate" => input.duplicates += 1,
                    "conflict" => input.conflicts += 1,
                    "already_reversed" => input.already_reversed += 1,
                    "orphan" => input.orphans += 1,
                    _ => {}
                }
                return;
            }
            let is_event = table == Table::Events;
            if let Some((epoch, time)) = row.epoch().zip(row.time("ingest_time")).filter(|_| is_event) {
                let known = first.entry(epoch).or_insert(time);
                *known = time.min(*known);
            }
            *(if is_event { &mut input.events } else { &mut input.refused }) += 1;
            let seen = partitions.entry((topic, partition)).or_default();
            if seen.see(offset) {
                *(if is_event { &mut seen.partition.with_events } else { &mut seen.partition.refused }) += 1;
            }
        })?;
    }
    let partitions = partitions.into_iter().map(|((topic, partition), seen)| {
        let Seen { partition: mut found, .. } = seen;
        let known = found.with_events + found.refused - found.outside.min(found.with_events + found.refused);
        let range = found.range.map_or(known, |(first, upper)| u64::try_from(upper - first).unwrap_or_default());
        found.neither = range.saturating_sub(known);
        Partition { topic, partition, ..found }
    });
    let days = days.into_values().map(|input| {
        let not_counted = input.duplicates + input.conflicts + input.already_reversed + input.orphans;
        Input { counted: input.events.saturating_sub(not_counted), ..input }
    });
    Ok((partitions.collect(), days.collect(), first))
}

/// First offset and next one to read, by topic and partition.
type Ranges = BTreeMap<(String, i64), (i64, i64)>;

/// What the log read of each partition: from its first binding to its last.
fn ranges(lake: &LakeReader, upper: Epoch) -> Result<Ranges, String> {
    let mut ranges = Ranges::new();
    let mut failed = None;
    each_row(
        lake,
        Table::Epochs,
        |object| object.cut.first < upper,
        |row| {
            let Some(epoch) = row.epoch().filter(|epoch| *epoch < upper) else { return };
            match json::<Vec<Binding>>(row, "bindings", epoch) {
                Ok(bindings) => {
                    for Binding { topic, partition, upper } in bindings {
                        let range = ranges.entry((topic.to_string(), partition.into())).or_insert((upper, upper));
                        *range = (range.0.min(upper), range.1.max(upper));
                    }
                }
                Err(error) => failed = Some(error),
            }
        },
    )?;
    failed.map_or(Ok(ranges), Err)
}
