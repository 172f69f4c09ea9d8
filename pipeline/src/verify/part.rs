//! What a worker gets of an epoch.

use std::sync::Arc;

use datasets::mapping::{DecodeSink, Record};
use datasets::schema::EventNames;
use datasets::{Timestamp, TopicId};
use operators::decode::Chunk;

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
    /// Definitions are read again as they came.
    fn for_each(&self, each: &mut dyn FnMut(&Record<'_>)) {
        if self.part.0 > 0 {
            return;
        }
        for row in rows(&self.input.definitions) {
            let text = row.text("definition");
            // NULL is a tombstone, which is accepted, or an empty text, which is not.
            let accepted = row.cell("accepted") == Some(Cell::Bool(true));
            let value = (!text.is_empty() || !accepted).then_some(text.as_bytes());
            let place = (row.int("partition").and_then(|partition| i32::try_from(partition).ok()), row.int("offset"));
            let (Some(partition), Some(offset)) = place else {
                return self.halt.fail("lake: a definition has no place".to_owned());
            };
            each(&Record {
                topic: self.missions,
                partition,
                offset,
                timestamp: row.time("ingest_time"),
                key: Some(row.text("mission_id").as_bytes()),
                headers: &(),
                value,
            });
        }
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
