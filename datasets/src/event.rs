//! The canonical event (DOMAIN §2), stored in batches.
//!
//! A batch keeps the text of all its events in one buffer, so decoding an event allocates nothing
//! of its own and a batch crosses to another worker, or to the lake's writer, as one value.

use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::hash::{KeyGroup, fingerprint, player_hash};
use crate::{Coordinates, Money, SourceId, Timestamp};

/// What happened. Any name that is not known is [`EventName::Custom`]: it counts in missions and
/// stays in history, its text is [`Event::event_name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the variants are the names of DOMAIN §2")]
pub enum EventName {
    BetPlaced,
    BetSettled,
    Win,
    Reversal,
    Deposit,
    Withdrawal,
    BonusGranted,
    Adjustment,
    Login,
    Registration,
    Kyc,
    SelfExcluded,
    CooledOff,
    ExclusionLifted,
    ConsentChanged,
    OptedIn,
    OptedOut,
    SegmentEntered,
    SegmentLeft,
    Rate,
    Custom,
}

impl EventName {
    /// Every known name with its text.
    pub const KNOWN: [(&'static str, EventName); 20] = [
        ("bet_placed", EventName::BetPlaced),
        ("bet_settled", EventName::BetSettled),
        ("win", EventName::Win),
        ("reversal", EventName::Reversal),
        ("deposit", EventName::Deposit),
        ("withdrawal", EventName::Withdrawal),
        ("bonus_granted", EventName::BonusGranted),
        ("adjustment", EventName::Adjustment),
        ("login", EventName::Login),
        ("registration", EventName::Registration),
        ("kyc", EventName::Kyc),
        ("self_excluded", EventName::SelfExcluded),
        ("cooled_off", EventName::CooledOff),
        ("exclusion_lifted", EventName::ExclusionLifted),
        ("consent_changed", EventName::ConsentChanged),
        ("opted_in", EventName::OptedIn),
        ("opted_out", EventName::OptedOut),
        ("segment_entered", EventName::SegmentEntered),
        ("segment_left", EventName::SegmentLeft),
        ("rate", EventName::Rate),
    ];

    /// The known name of `text`, else [`EventName::Custom`].
    pub fn of(text: &str) -> Self {
        Self::KNOWN.iter().find(|(name, _)| *name == text).map_or(EventName::Custom, |(_, name)| *name)
    }

    /// The identity family, for the names that share one with no other kind of event.
    pub fn family(self) -> Family {
        match self {
            EventName::BetPlaced => Family::Bet,
            EventName::BetSettled => Family::Settlement,
            EventName::Win => Family::Win,
            EventName::Deposit => Family::Deposit,
            EventName::Withdrawal => Family::Withdrawal,
            EventName::BonusGranted => Family::Bonus,
            EventName::Adjustment => Family::Adjustment,
            EventName::Reversal => Family::Reversal,
            _ => Family::Other,
        }
    }

    /// An `amount` is required. (A reversal takes the amount of what it reverses.)
    pub fn is_money(self) -> bool {
        !matches!(self.family(), Family::Reversal | Family::Other)
    }
}

/// The part of a transaction's identity that keeps a bet, its settlement and a deposit with one
/// id apart (DOMAIN §2, "Identity"). The order is the order in which a reversal without
/// `reference_family` looks for its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the variants are the families of DOMAIN §2")]
pub enum Family {
    Bet,
    Win,
    Settlement,
    Deposit,
    Withdrawal,
    Bonus,
    Adjustment,
    Reversal,
    /// Each other event name is a family of its own: the event's name tells them apart.
    Other,
}

impl Family {
    /// The families that a reversal can name, in the order in which it looks.
    pub const REVERSIBLE: [(&'static str, Family); 8] = [
        ("bet", Family::Bet),
        ("win", Family::Win),
        ("settlement", Family::Settlement),
        ("deposit", Family::Deposit),
        ("withdrawal", Family::Withdrawal),
        ("bonus", Family::Bonus),
        ("adjustment", Family::Adjustment),
        ("reversal", Family::Reversal),
    ];

    /// The family with this name, as written in `reference_family` and in configuration.
    pub fn named(text: &str) -> Option<Self> {
        Self::REVERSIBLE.iter().find(|(name, _)| *name == text).map(|(_, family)| *family)
    }
}

/// A piece of a batch's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// No text: the field is absent.
    pub const ABSENT: Span = Span { start: u32::MAX, len: 0 };

    /// The field is absent.
    pub fn is_absent(self) -> bool {
        self.start == u32::MAX
    }
}

/// The text fields of an event, each a [`Span`] of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the variants are the fields of DOMAIN §2")]
#[repr(usize)]
pub enum TextField {
    EventName,
    PlayerId,
    TransactionId,
    EventId,
    Currency,
    GameType,
    GameId,
    MarketType,
    Sport,
    ReferenceId,
    ReferenceFamily,
    Status,
    SchemaVersion,
    Channel,
    MissionId,
    Segment,
    Base,
    Quote,
    /// The event's own JSON object after redaction: history keeps it, conditions look into it.
    Payload,
}

impl TextField {
    /// How many there are.
    pub const COUNT: usize = 19;

    /// The mapped fields that decide whether two events under one key are the same
    /// (DOMAIN §2: not `event_id`, not unknown attributes).
    const CONTENT: [TextField; 16] = [
        TextField::EventName,
        TextField::Currency,
        TextField::GameType,
        TextField::GameId,
        TextField::MarketType,
        TextField::Sport,
        TextField::ReferenceId,
        TextField::ReferenceFamily,
        TextField::Status,
        TextField::SchemaVersion,
        TextField::Channel,
        TextField::MissionId,
        TextField::Segment,
        TextField::Base,
        TextField::Quote,
        TextField::PlayerId,
    ];

    fn index(self) -> usize {
        #[expect(clippy::as_conversions, reason = "the discriminant of a repr(usize) enum")]
        let index = self as usize;
        index
    }
}

/// The fixed-size part of an event; its texts are spans of the batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventRow {
    /// Where it came from.
    pub at: Coordinates,
    /// Which `[[source]]` it came through.
    pub source: SourceId,
    /// What happened.
    pub name: EventName,
    /// When it happened, by the payload.
    pub event_time: Timestamp,
    /// When the broker took it: the record's timestamp.
    pub ingest_time: Timestamp,
    /// Stake, win, payout …; absent on events without money.
    pub amount: Option<Money>,
    /// The part of `amount` that was bonus money.
    pub bonus_amount: Money,
    /// 1 unit of the event's currency = this many of the mission's.
    pub exchange_rate: Option<Money>,
    /// Decimal odds.
    pub odds: Option<Money>,
    /// End of an exclusion.
    pub until: Option<Timestamp>,
    /// `consent_changed`: given or withdrawn.
    pub granted: Option<bool>,
    /// [`player_hash`] of the player.
    pub player_hash: u64,
    /// Fingerprint of the content, see [`Event::is_same_content`].
    pub content: u128,
    text: [Span; TextField::COUNT],
}

impl EventRow {
    /// A row with every optional field absent.
    pub fn new(at: Coordinates, source: SourceId, event_time: Timestamp, ingest_time: Timestamp) -> Self {
        EventRow {
            at,
            source,
            name: EventName::Custom,
            event_time,
            ingest_time,
            amount: None,
            bonus_amount: Money::ZERO,
            exchange_rate: None,
            odds: None,
            until: None,
            granted: None,
            player_hash: 0,
            content: 0,
            text: [Span::ABSENT; TextField::COUNT],
        }
    }

    /// Sets a text field to a span of the batch that the row will be pushed to.
    pub fn set(&mut self, field: TextField, span: Span) {
        self.text[field.index()] = span;
    }
}

/// Events that travel together: those of one epoch, one lane of the lake and one owner.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EventBatch {
    /// The worker that owns the players of this batch.
    pub worker: usize,
    /// The lane of the lake that its history belongs to.
    pub lane: u16,
    rows: Vec<EventRow>,
    text: String,
    /// Where its memory goes when the last who holds it lets go.
    #[serde(skip)]
    pool: Option<BatchPool>,
}

/// Memory of batches that are done with, for the next ones. Who decodes allocates as much as is under way
/// at once, and no more: tens of megabytes an epoch would else come from the kernel, page by page, and
/// go back to it from another thread.
#[derive(Clone, Debug, Default)]
pub struct BatchPool(Arc<Mutex<Vec<Buffers>>>);

/// Rows and text of a batch, empty.
type Buffers = (Vec<EventRow>, String);

impl BatchPool {
    /// Batches kept at most; more than are under way in a pipeline that keeps up.
    const KEPT: usize = 32;

    /// An empty batch.
    pub fn batch(&self, worker: usize, lane: u16) -> EventBatch {
        let (rows, text) = self.kept().pop().unwrap_or_default();
        EventBatch { worker, lane, rows, text, pool: Some(self.clone()) }
    }

    fn give(&self, mut rows: Vec<EventRow>, mut text: String) {
        rows.clear();
        text.clear();
        let mut kept = self.kept();
        if rows.capacity() > 0 && kept.len() < Self::KEPT {
            kept.push((rows, text));
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
            pool.give(std::mem::take(&mut self.rows), std::mem::take(&mut self.text));
        }
    }
}

impl EventBatch {
    /// An empty batch.
    pub fn new(worker: usize, lane: u16) -> Self {
        EventBatch { worker, lane, rows: Vec::new(), text: String::new(), pool: None }
    }

    /// Appends text and tells where it is. Panics beyond 4 GiB: flow control keeps a batch far below.
    pub fn write(&mut self, text: &str) -> Span {
        let start = u32::try_from(self.text.len()).expect("a batch stays below 4 GiB");
        let len = u32::try_from(text.len()).expect("a batch stays below 4 GiB");
        self.text.push_str(text);
        Span { start, len }
    }

    /// Drops text written for an event that was then refused.
    pub fn truncate_text(&mut self, len: usize) {
        self.text.truncate(len);
    }

    /// Bytes of text held, which is most of a batch's memory.
    pub fn text_len(&self) -> usize {
        self.text.len()
    }

    /// Adds an event whose spans were written to this batch. Fills in its hash and fingerprint.
    pub fn push(&mut self, mut row: EventRow) {
        let player = &self.text[range(row.text[TextField::PlayerId.index()])];
        row.player_hash = player_hash(player);
        row.content = content_fingerprint(&Event { row: &row, text: &self.text });
        self.rows.push(row);
    }

    /// How many events.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// No events.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The `index`-th event.
    pub fn get(&self, index: usize) -> Event<'_> {
        Event { row: &self.rows[index], text: &self.text }
    }

    /// All events in the order in which they were read.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Event<'_>> {
        self.rows.iter().map(|row| Event { row, text: &self.text })
    }
}

fn range(span: Span) -> std::ops::Range<usize> {
    if span.is_absent() {
        return 0..0;
    }
    let start = usize::try_from(span.start).expect("usize holds a u32");
    start..start + usize::try_from(span.len).expect("usize holds a u32")
}

/// What is absent is left out. Each part begins with a tag of its own, and a text with its length, so that neighbours
/// cannot trade characters and absent differs from empty.
fn content_fingerprint(event: &Event<'_>) -> u128 {
    let mut bytes = smallvec::SmallVec::<[u8; 512]>::new();
    for (tag, field) in (0..).zip(TextField::CONTENT) {
        if let Some(text) = event.text(field) {
            let [a, b, c, d] = u32::try_from(text.len()).expect("a span's length is a u32").to_le_bytes();
            bytes.extend_from_slice(&[tag, a, b, c, d]);
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    let amounts = [event.amount, Some(event.bonus_amount), event.exchange_rate, event.odds];
    for (tag, amount) in (64..).zip(amounts) {
        if let Some(amount) = amount {
            bytes.push(tag);
            bytes.extend_from_slice(&amount.raw().to_le_bytes());
        }
    }
    for (tag, time) in (96..).zip([Some(event.event_time), event.until]) {
        if let Some(time) = time {
            bytes.push(tag);
            bytes.extend_from_slice(&time.micros().to_le_bytes());
        }
    }
    bytes.extend(event.granted.map(|granted| 128 + u8::from(granted)));
    fingerprint(&bytes)
}

/// One canonical event, borrowed from its batch. The fixed-size fields are those of [`EventRow`].
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    row: &'a EventRow,
    text: &'a str,
}

impl std::ops::Deref for Event<'_> {
    type Target = EventRow;

    fn deref(&self) -> &EventRow {
        self.row
    }
}

impl<'a> Event<'a> {
    /// A text field, if present.
    pub fn text(&self, field: TextField) -> Option<&'a str> {
        let span = self.row.text[field.index()];
        (!span.is_absent()).then(|| &self.text[range(span)])
    }

    fn required(&self, field: TextField) -> &'a str {
        self.text(field).unwrap_or("")
    }

    /// The event's name as text, custom ones included.
    pub fn event_name(&self) -> &'a str {
        self.required(TextField::EventName)
    }

    /// The player; empty on a `rate` only.
    pub fn player_id(&self) -> &'a str {
        self.required(TextField::PlayerId)
    }

    /// The key group of the player.
    pub fn key_group(&self) -> KeyGroup {
        KeyGroup::of(self.player_hash)
    }

    /// The transaction's id, or the event's own where it carries none: one of the two is required.
    pub fn transaction_id(&self) -> &'a str {
        self.text(TextField::TransactionId).unwrap_or_else(|| self.required(TextField::EventId))
    }

    /// ISO 4217 code or a configured extra one; present after decoding.
    pub fn currency(&self) -> &'a str {
        self.required(TextField::Currency)
    }

    /// The kind of game; present after decoding on bets, settlements and wins.
    pub fn game_type(&self) -> &'a str {
        self.required(TextField::GameType)
    }

    /// The event's own JSON object.
    pub fn payload(&self) -> &'a str {
        self.required(TextField::Payload)
    }

    /// A batch of this event alone, for what has to outlive its batch.
    pub fn to_batch(&self) -> EventBatch {
        let mut batch = EventBatch::new(0, 0);
        let mut row = self.row.clone();
        for span in row.text.iter_mut().filter(|span| !span.is_absent()) {
            *span = batch.write(&self.text[range(*span)]);
        }
        batch.rows.push(row);
        batch
    }

    /// The same mapped content as `other`: together with the same key, a duplicate.
    pub fn is_same_content(&self, other: &Event<'_>) -> bool {
        self.content == other.content
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TopicId;

    fn event(batch: &mut EventBatch, fields: &[(TextField, &str)], amount: &str) {
        let at = Coordinates { topic: TopicId(0), partition: 0, offset: 7, index: 0 };
        let mut row = EventRow::new(at, SourceId(0), Timestamp::from_micros(1), Timestamp::from_micros(2));
        for (field, text) in fields {
            let span = batch.write(text);
            row.set(*field, span);
        }
        row.amount = amount.parse().ok();
        batch.push(row);
    }

    #[test]
    fn a_pool_gives_memory_again_and_nothing_that_was_in_it() {
        let pool = BatchPool::default();
        let mut batch = pool.batch(3, 1);
        event(&mut batch, &[(TextField::PlayerId, "p")], "1.00");
        let held = Arc::new(batch);
        let also_held = held.clone();
        drop(held);
        assert!(pool.kept().is_empty(), "somebody still reads it");
        drop(also_held);
        let next = pool.batch(0, 0);
        assert_eq!((next.len(), next.text_len(), next.worker, next.lane), (0, 0, 0, 0));
        assert!(next.rows.capacity() > 0);
        assert!(pool.kept().is_empty());
    }

    #[test]
    fn content_is_the_mapped_fields() {
        let mut batch = EventBatch::new(0, 0);
        event(&mut batch, &[(TextField::PlayerId, "p"), (TextField::EventId, "e1")], "1.00");
        event(&mut batch, &[(TextField::EventId, "e2"), (TextField::PlayerId, "p"), (TextField::Payload, "{}")], "1");
        event(&mut batch, &[(TextField::PlayerId, "p")], "1.01");
        event(&mut batch, &[(TextField::PlayerId, "p"), (TextField::Sport, "x")], "1");
        event(&mut batch, &[(TextField::PlayerId, "p"), (TextField::MarketType, "x")], "1");
        let events: Vec<_> = batch.iter().collect();
        assert!(events[0].is_same_content(&events[1]));
        assert!(!events[0].is_same_content(&events[2]));
        assert!(!events[0].is_same_content(&events[3]));
        assert!(!events[3].is_same_content(&events[4]));
    }

    #[test]
    fn a_transaction_without_id_is_its_event() {
        let mut batch = EventBatch::new(0, 0);
        event(&mut batch, &[(TextField::EventId, "e1")], "1");
        event(&mut batch, &[(TextField::EventId, "e1"), (TextField::TransactionId, "t1")], "1");
        assert_eq!(batch.get(0).transaction_id(), "e1");
        assert_eq!(batch.get(1).transaction_id(), "t1");
        assert_eq!(batch.get(1).text(TextField::Sport), None);
    }

    #[test]
    fn known_names_have_their_families() {
        for (text, name) in EventName::KNOWN {
            assert_eq!(EventName::of(text), name);
        }
        assert_eq!(EventName::of("spin"), EventName::Custom);
        assert_eq!(EventName::of("bet_settled").family(), Family::Settlement);
        assert!(EventName::Deposit.is_money() && !EventName::Reversal.is_money() && !EventName::Login.is_money());
    }
}
