//! Table `events`: every event that decoded, as it was read (DOMAIN §6).

use std::sync::Arc;

use super::{Column, Layout};
use crate::{Epoch, Event, EventBatch, SourceId, TextField, Timestamp, Topics};

/// Names behind the small numbers that events carry.
#[derive(Clone, Debug, Default)]
pub struct EventNames {
    /// By [`TopicId`](crate::TopicId).
    pub topics: Topics,
    /// By [`SourceId`](crate::SourceId).
    pub sources: Vec<Arc<str>>,
    /// The sources whose chargebacks are booked.
    pub chargebacks: Vec<SourceId>,
}

/// Events of one epoch, with what their rows need beside them.
#[derive(Clone, Debug)]
pub struct EventPage {
    /// The epoch that read them.
    pub epoch: Epoch,
    /// The events.
    pub batch: Arc<EventBatch>,
    /// Names of topics and sources.
    pub names: Arc<EventNames>,
}

impl EventPage {
    fn event(&self, row: usize) -> Event<'_> {
        self.batch.get(row)
    }

    fn source(&self, row: usize) -> Option<&str> {
        self.names.sources.get(usize::from(self.event(row).source.0)).map(AsRef::as_ref)
    }
}

type Col = Column<EventPage>;

/// A text column that shows one text field.
macro_rules! text {
    ($name:literal, $field:ident) => {
        Col::text($name, |page, row| page.event(row).text(TextField::$field))
    };
}

/// Layout of `events`, partitioned by the UTC day of ingestion: the day of the event would scatter
/// rows over many small files.
pub fn events() -> Layout<EventPage> {
    let columns = vec![
        Col::text("topic", |page, row| Some(page.names.topics.name(page.event(row).at.topic))),
        Col::int("partition", |page, row| Some(i64::from(page.event(row).at.partition))).required(),
        Col::int("offset", |page, row| Some(page.event(row).at.offset)).required(),
        Col::int("record_index", |page, row| Some(i64::from(page.event(row).at.index))).required(),
        Col::text("source", EventPage::source),
        text!("event_name", EventName),
        text!("event_id", EventId),
        text!("player_id", PlayerId),
        text!("transaction_id", TransactionId),
        Col::time("event_time", |page, row| Some(page.event(row).event_time)).required(),
        Col::time("ingest_time", |page, row| Some(page.event(row).ingest_time)).required(),
        Col::money("amount", |page, row| page.event(row).amount()),
        Col::money("bonus_amount", |page, row| Some(page.event(row).bonus_amount())).required(),
        text!("currency", Currency),
        Col::money("exchange_rate", |page, row| page.event(row).exchange_rate()),
        text!("game_type", GameType),
        text!("game_id", GameId),
        text!("market_type", MarketType),
        text!("sport", Sport),
        Col::money("odds", |page, row| page.event(row).odds()),
        text!("reference_id", ReferenceId),
        text!("reference_family", ReferenceFamily),
        text!("status", Status),
        text!("schema_version", SchemaVersion),
        text!("channel", Channel),
        text!("mission_id", MissionId),
        text!("segment", Segment),
        text!("base", Base),
        text!("quote", Quote),
        Col::time("until", |page, row| page.event(row).until()),
        Col::bool("granted", |page, row| page.event(row).granted()),
        text!("payload", Payload),
        Col::money("jackpot_contribution", |page, row| page.event(row).jackpot_contribution()).since(2),
        Col::money("jackpot_win", |page, row| page.event(row).jackpot_win()).since(2),
        Col::int("epoch", |page, _| Some(super::outputs::signed(page.epoch))).required(),
    ];
    Layout::new(
        "events",
        "ingest_dt",
        |page| page.batch.len(),
        |page, row| utc_day(page.event(row).ingest_time),
        columns,
    )
}

/// The UTC day of `at`, in days since 1970-01-01.
pub(super) fn utc_day(at: Timestamp) -> i32 {
    const DAY_MICROS: i64 = 86_400_000_000;
    i32::try_from(at.micros().div_euclid(DAY_MICROS)).expect("2^63 µs are fewer than 2^31 days")
}
