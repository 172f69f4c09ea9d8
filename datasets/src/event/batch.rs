//! Events that travel together.

use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::row::{Rare, Span, Text};
use super::{Event, EventRow, Row, TextField};
use crate::Identity;
use crate::hash::{Parts, player_hash};

/// Events of one epoch, one lane of the lake and one owner.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EventBatch {
    /// The worker that owns the players of this batch.
    pub worker: usize,
    /// The lane of the lake that its history belongs to.
    pub lane: u16,
    buffers: Buffers,
    /// Where its memory goes when the last who holds it lets go.
    #[serde(skip)]
    pool: Option<BatchPool>,
}

/// The memory of a batch.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Buffers {
    rows: Vec<Row>,
    rare: Vec<Rare>,
    text: String,
}

/// Memory of batches that are done with, for the next ones. Who decodes allocates as much as is under way
/// at once, and no more: tens of megabytes an epoch would else come from the kernel, page by page, and
/// go back to it from another thread.
#[derive(Clone, Debug, Default)]
pub struct BatchPool(Arc<Mutex<Vec<Buffers>>>);

impl BatchPool {
    /// Batches kept at most; more than are under way in a pipeline that keeps up.
    const KEPT: usize = 32;

    /// An empty batch.
    pub fn batch(&self, worker: usize, lane: u16) -> EventBatch {
        let buffers = self.kept().pop().unwrap_or_default();
        EventBatch { worker, lane, buffers, pool: Some(self.clone()) }
    }

    fn give(&self, mut buffers: Buffers) {
        buffers.rows.clear();
        buffers.rare.clear();
        buffers.text.clear();
        let mut kept = self.kept();
        if buffers.rows.capacity() > 0 && kept.len() < Self::KEPT {
            kept.push(buffers);
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Buffers>> {
        // Nothing that holds the lock panics.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for EventBatch {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.give(std::mem::take(&mut self.buffers));
        }
    }
}

/// A field is a piece of the payload up to here, and is copied when it lies behind: places are 16 bits, of which
/// the fields that are copied take the rest.
const REACH: usize = 24 * 1024;

impl EventBatch {
    /// An empty batch.
    pub fn new(worker: usize, lane: u16) -> Self {
        EventBatch { worker, lane, buffers: Buffers::default(), pool: None }
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        let Buffers { rows, rare, text } = &self.buffers;
        size_of_val(&rows[..]) + size_of_val(&rare[..]) + text.len()
    }

    /// Adds an event with its texts, of which one that is a piece of the payload takes no memory of its own. An empty
    /// text is absent.
    ///
    /// # Panics
    /// With more than 4 GiB of text, or fields beyond the limit of DOMAIN §2: flow control and decoding stay far below.
    pub fn push<'t>(&mut self, row: &EventRow, fields: impl IntoIterator<Item = (TextField, &'t str)>, payload: &str) {
        let text = self.write(fields, payload);
        let rare = Rare::of(row);
        let rare = (rare != Rare::default()).then(|| {
            self.buffers.rare.push(rare);
            u32::try_from(self.buffers.rare.len()).ok().and_then(NonZeroU32::new).expect("fewer than 2^32 events")
        });
        let mut row = Row::new(row, text, rare);
        let event = Event { row: &row, batch: self };
        let (hash, content, identity) =
            (player_hash(event.player_id()), content_fingerprint(&event), Identity::of(&event));
        (row.player_hash, row.content, row.identity) = (hash, content, identity);
        self.buffers.rows.push(row);
    }

    fn write<'t>(&mut self, fields: impl IntoIterator<Item = (TextField, &'t str)>, payload: &str) -> Text {
        let held = &mut self.buffers.text;
        let start = held.len();
        let mut spans = [Span::default(); TextField::COUNT];
        // Pieces of the payload, whose place is known when everything before it is written.
        let mut is_piece = [false; TextField::COUNT];
        for (field, text) in fields {
            let offset = text.as_ptr().addr().wrapping_sub(payload.as_ptr().addr());
            let place = if offset < REACH && offset + text.len() <= payload.len() {
                is_piece[field.index()] = true;
                offset
            } else {
                held.push_str(text);
                held.len() - start - text.len()
            };
            spans[field.index()] = Span { start: short(place), len: short(text.len()) };
        }
        let payload_start = short(held.len() - start);
        for (span, is_piece) in spans.iter_mut().zip(is_piece) {
            if is_piece {
                span.start = span.start.checked_add(payload_start).expect("fields leave room for their places");
            }
        }
        held.push_str(payload);
        let long = |len: usize| u32::try_from(len).expect("a batch stays below 4 GiB");
        Text { start: long(start), payload_len: long(payload.len()), payload_start, fields: spans }
    }

    pub(super) fn text_of(&self, row: &Row, field: TextField) -> Option<&str> {
        let Text { start, payload_len, payload_start, fields } = &row.text;
        let (from, len) = match fields.get(field.index()) {
            Some(span) => (span.start, u32::from(span.len)),
            None => (*payload_start, *payload_len),
        };
        let from = place(*start) + usize::from(from);
        (len > 0).then(|| &self.buffers.text[from..from + place(len)])
    }

    pub(super) fn rare(&self, row: &Row) -> Option<&Rare> {
        row.rare.map(|number| &self.buffers.rare[place(number.get()) - 1])
    }

    /// A batch of one of its events alone.
    pub(super) fn only(&self, row: &Row) -> EventBatch {
        let mut batch = EventBatch::new(0, 0);
        let all = whole(&row.text);
        batch.buffers.text = self.buffers.text[all].to_owned();
        batch.buffers.rare = self.rare(row).cloned().into_iter().collect();
        let rare = row.rare.and(NonZeroU32::new(1));
        let text = Text { start: 0, ..row.text.clone() };
        let mut row = row.clone();
        (row.text, row.rare) = (text, rare);
        batch.buffers.rows = vec![row];
        batch
    }

    /// How many events.
    pub fn len(&self) -> usize {
        self.buffers.rows.len()
    }

    /// No events.
    pub fn is_empty(&self) -> bool {
        self.buffers.rows.is_empty()
    }

    /// The `index`-th event.
    pub fn get(&self, index: usize) -> Event<'_> {
        Event { row: &self.buffers.rows[index], batch: self }
    }

    /// All events in the order in which they were read.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Event<'_>> {
        self.buffers.rows.iter().map(|row| Event { row, batch: self })
    }
}

/// The text of an event in its batch.
fn whole(text: &Text) -> Range<usize> {
    let start = place(text.start);
    start..start + usize::from(text.payload_start) + place(text.payload_len)
}

fn place(place: u32) -> usize {
    usize::try_from(place).expect("usize holds a u32")
}

fn short(len: usize) -> u16 {
    u16::try_from(len).expect("fields are at most 512 characters long")
}

/// What is absent is left out. Each part begins with a tag of its own, and a text with its length, so that neighbours
/// cannot trade characters and absent differs from empty.
fn content_fingerprint(event: &Event<'_>) -> u64 {
    let mut parts = Parts::<384>::new();
    for (tag, field) in (0..).zip(TextField::CONTENT) {
        if let Some(text) = event.text(field) {
            let [a, b, c, d] = u32::try_from(text.len()).expect("a span's length is a u16").to_le_bytes();
            parts.push(&[tag, a, b, c, d]);
            parts.push(text.as_bytes());
        }
    }
    let amounts = [event.amount(), Some(event.bonus_amount()), event.exchange_rate(), event.odds()];
    for (tag, amount) in (64..).zip(amounts) {
        if let Some(amount) = amount {
            parts.push(&[tag]);
            parts.push(&amount.raw().to_le_bytes());
        }
    }
    // What has none has the fingerprint that it had before there were jackpots.
    if !event.jackpot().is_zero() {
        parts.push(&[80]);
        parts.push(&event.jackpot().raw().to_le_bytes());
    }
    for (tag, time) in (96..).zip([Some(event.event_time), event.until()]) {
        if let Some(time) = time {
            parts.push(&[tag]);
            parts.push(&time.micros().to_le_bytes());
        }
    }
    if let Some(granted) = event.granted() {
        parts.push(&[128 + u8::from(granted)]);
    }
    let [low @ .., _, _, _, _, _, _, _, _] = parts.fingerprint().to_le_bytes();
    u64::from_le_bytes(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Coordinates, Money, SourceId, Timestamp, TopicId};

    fn row() -> EventRow {
        let at = Coordinates { topic: TopicId(0), partition: 0, offset: 7, index: 0 };
        EventRow::new(at, SourceId(0), Timestamp::from_micros(1), Timestamp::from_micros(2))
    }

    #[test]
    fn a_pool_gives_memory_again_and_nothing_that_was_in_it() {
        let pool = BatchPool::default();
        let mut batch = pool.batch(3, 1);
        batch.push(&EventRow { granted: Some(true), ..row() }, [(TextField::PlayerId, "p")], "{}");
        let held = Arc::new(batch);
        let also_held = held.clone();
        drop(held);
        assert!(pool.kept().is_empty(), "somebody still reads it");
        drop(also_held);
        let next = pool.batch(0, 0);
        assert_eq!((next.len(), next.size(), next.worker, next.lane), (0, 0, 0, 0));
        assert!(next.buffers.rows.capacity() > 0);
        assert!(pool.kept().is_empty());
    }

    #[test]
    fn fields_are_pieces_of_the_payload_where_they_can_be() {
        let payload = format!("{{\"player_id\":\"p7\",\"x\":\"{}\",\"id\":\"t1\",\"s\":\"\"}}", "é".repeat(20_000));
        let piece = |text: &str| &payload[payload.find(text).unwrap()..][..text.len()];
        let player = piece("p7");
        let far = piece("t1");
        let mut batch = EventBatch::new(0, 0);
        batch.push(&row(), [(TextField::PlayerId, "before")], "{}");
        let before = batch.buffers.text.len();
        let fields = [
            (TextField::PlayerId, player),
            (TextField::Currency, "EUR"),
            (TextField::TransactionId, far),
            (TextField::Status, ""),
        ];
        batch.push(&row(), fields, &payload);
        batch.push(&row(), [(TextField::PlayerId, "behind")], "");
        // Only what is not in the payload, or too far in it, has text of its own.
        assert_eq!(batch.buffers.text.len() - before, payload.len() + "EUR".len() + "t1".len() + "behind".len());
        let check = |event: Event<'_>| {
            assert_eq!((event.player_id(), event.currency(), event.transaction_id()), ("p7", "EUR", "t1"));
            assert_eq!((event.text(TextField::Status), event.text(TextField::Sport)), (None, None));
            assert_eq!(event.payload(), payload);
        };
        check(batch.get(1));
        check(batch.get(1).to_batch().get(0));
        assert_eq!((batch.get(0).player_id(), batch.get(0).payload()), ("before", "{}"));
        assert_eq!((batch.get(2).player_id(), batch.get(2).text(TextField::Payload)), ("behind", None));
    }

    #[test]
    fn what_few_events_have_is_theirs() {
        let wide: Money = "9007199254740993.00000001".parse().unwrap();
        let rows = [
            EventRow { amount: Some(wide), bonus_amount: Money::from_units(3), ..row() },
            EventRow { amount: Some(Money::from_units(-2)), ..row() },
            EventRow { amount: None, bonus_amount: wide, odds: Some(Money::ONE), ..row() },
            EventRow { exchange_rate: Some(wide), until: Some(Timestamp::MAX), granted: Some(false), ..row() },
            EventRow { amount: Some(wide), jackpot: Money::ONE, ..row() },
            EventRow { amount: Some(Money::ONE), jackpot: wide, odds: Some(wide), ..row() },
            row(),
        ];
        let mut batch = EventBatch::new(0, 0);
        rows.iter().for_each(|row| batch.push(row, [], ""));
        for (row, event) in rows.iter().zip(batch.iter()) {
            let alone = event.to_batch();
            for event in [event, alone.get(0)] {
                assert_eq!((event.amount(), event.bonus_amount()), (row.amount, row.bonus_amount));
                assert_eq!((event.exchange_rate(), event.odds()), (row.exchange_rate, row.odds));
                assert_eq!((event.until(), event.granted(), event.jackpot()), (row.until, row.granted, row.jackpot));
            }
        }
        assert_eq!(batch.buffers.rare.len(), 5);
    }
}
