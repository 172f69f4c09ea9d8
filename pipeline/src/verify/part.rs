//! What a worker gets of an epoch.

use std::sync::Arc;

use datasets::mapping::{DecodeSink, Record};
use datasets::schema::EventNames;
use datasets::{Timestamp, TopicId};
use operators::decode::Chunk;
use operators::definitions::DefinitionRecord;

use crate::engine::Halt;
use crate::history::events::push_events;
use crate::history::log::EpochInput;

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

    fn definitions(&self) -> Vec<DefinitionRecord> {
        if self.part.0 > 0 {
            return Vec::new();
        }
        self.input.definitions(self.missions).unwrap_or_else(|message| {
            self.halt.fail(message);
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
