//! What a worker gets of an epoch.

use std::sync::Arc;

use datasets::mapping::{DecodeSink, Record};
use datasets::schema::EventNames;
use datasets::{Coordinates, Timestamp, TopicId};
use operators::decode::Chunk;
use operators::definitions::DefinitionRecord;

use super::input::EpochInput;
use crate::engine::Halt;
use crate::history::cell::{Cell, rows};
use crate::history::events::push_events;

/// One worker's part of an epoch.
pub(super) struct Part {
    pub input: Arc<EpochInput>,
    pub names: Arc<EventNames>,
    pub missions: TopicId,
    /// Which of how many parts. Definitions and the rest come with the first.
    pub part: (usize, usize),
    /// Where rows that are no events of this configuration are reported.
    pub halt: Halt,
}

impl Chunk for Part {
    fn for_each(&self, _: &mut dyn FnMut(&Record<'_>)) {}

    /// Definitions are taken as they were judged when they were read.
    fn definitions(&self) -> Vec<DefinitionRecord> {
        if self.part.0 > 0 {
            return Vec::new();
        }
        let read = rows(&self.input.definitions).map(|row| {
            let text = row.text("definition");
            // NULL is a tombstone, which is accepted, or an empty text, which is not.
            let accepted = row.cell("accepted") == Some(Cell::Bool(true));
            let text = (!text.is_empty() || !accepted).then(|| text.to_owned());
            let partition = row.int("partition").and_then(|partition| i32::try_from(partition).ok())?;
            Some(DefinitionRecord {
                at: Coordinates { topic: self.missions, partition, offset: row.int("offset")?, index: 0 },
                ingest_time: row.time("ingest_time").unwrap_or_default(),
                key: row.text("mission_id").to_owned(),
                text,
                was_refused: !accepted,
            })
        });
        let read: Option<Vec<_>> = read.collect();
        read.unwrap_or_else(|| {
            self.halt.fail("lake: a definition has no place".to_owned());
            Vec::new()
        })
    }

    fn decoded(&self, sink: &mut dyn DecodeSink) -> Option<Timestamp> {
        let (part, parts) = self.part;
        let mut newest = self.input.newest.filter(|_| part == 0);
        for batch in &self.input.events {
            let share = |part: usize| batch.num_rows() * part / parts;
            let pushed = push_events(batch, share(part)..share(part + 1), &self.names, &mut newest, sink);
            if let Err(message) = pushed {
                self.halt.fail(format!("lake: table events, epoch {}: {message}", self.input.epoch));
            }
        }
        newest
    }
}
