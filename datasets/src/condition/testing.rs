//! Events for tests.

use crate::{Coordinates, Event, EventBatch, EventName, EventRow, Money, SourceId, TextField, TopicId};

/// Builds one event in a batch of its own.
pub(crate) struct TestEvent {
    batch: EventBatch,
    row: EventRow,
}

impl TestEvent {
    pub(crate) fn new(name: &str) -> Self {
        let at = Coordinates { topic: TopicId(0), partition: 0, offset: 0, index: 0 };
        let time = "2026-06-03T10:00:00Z".parse().unwrap();
        let row = EventRow::new(at, SourceId(0), time, time);
        let mut event = TestEvent { batch: EventBatch::new(0, 0), row };
        event.row.name = EventName::of(name);
        event.text(TextField::EventName, name).text(TextField::PlayerId, "p1")
    }

    pub(crate) fn text(mut self, field: TextField, text: &str) -> Self {
        let span = self.batch.write(text);
        self.row.set(field, span);
        self
    }

    pub(crate) fn payload(self, json: &str) -> Self {
        self.text(TextField::Payload, json)
    }

    pub(crate) fn amount(mut self, digits: &str) -> Self {
        self.row.amount = Some(digits.parse().unwrap());
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut EventRow)) -> Self {
        change(&mut self.row);
        self
    }

    pub(crate) fn odds(self, digits: &str) -> Self {
        let odds: Money = digits.parse().unwrap();
        self.with(|row| row.odds = Some(odds))
    }

    /// Shows the event to `look`.
    pub(crate) fn see<R>(mut self, look: impl FnOnce(&Event<'_>) -> R) -> R {
        self.batch.push(self.row);
        look(&self.batch.get(0))
    }
}
