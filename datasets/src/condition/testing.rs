//! Events for tests.

use crate::{Coordinates, Event, EventBatch, EventName, EventRow, Money, SourceId, TextField, TopicId};

/// Builds one event in a batch of its own.
pub(crate) struct TestEvent {
    row: EventRow,
    texts: Vec<(TextField, String)>,
    payload: String,
}

impl TestEvent {
    pub(crate) fn new(name: &str) -> Self {
        let at = Coordinates { topic: TopicId(0), partition: 0, offset: 0, index: 0 };
        let time = "2026-06-03T10:00:00Z".parse().unwrap();
        let row = EventRow::new(at, SourceId(0), time, time);
        let mut event = TestEvent { row, texts: Vec::new(), payload: String::new() };
        event.row.name = EventName::of(name);
        event.text(TextField::EventName, name).text(TextField::PlayerId, "p1")
    }

    pub(crate) fn text(mut self, field: TextField, text: &str) -> Self {
        self.texts.push((field, text.to_owned()));
        self
    }

    pub(crate) fn payload(mut self, json: &str) -> Self {
        json.clone_into(&mut self.payload);
        self
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
    pub(crate) fn see<R>(self, look: impl FnOnce(&Event<'_>) -> R) -> R {
        let mut batch = EventBatch::new(0, 0);
        batch.push(&self.row, self.texts.iter().map(|(field, text)| (*field, text.as_str())), &self.payload);
        look(&batch.get(0))
    }
}
