//! Rows of the lake as what decoding made of records: every field of an event has its column.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, BooleanArray, PrimitiveArray, RecordBatch, StringArray};
use datasets::hash::player_hash;
use datasets::mapping::DecodeSink;
use datasets::schema::EventNames;
use datasets::{Coordinates, EventName, EventRow, Money, SourceId, TextField, Timestamp, TopicId};

/// The texts of an event and their columns.
const TEXTS: [(&str, TextField); TextField::COUNT] = [
    ("event_name", TextField::EventName),
    ("player_id", TextField::PlayerId),
    ("transaction_id", TextField::TransactionId),
    ("event_id", TextField::EventId),
    ("currency", TextField::Currency),
    ("game_type", TextField::GameType),
    ("game_id", TextField::GameId),
    ("market_type", TextField::MarketType),
    ("sport", TextField::Sport),
    ("reference_id", TextField::ReferenceId),
    ("reference_family", TextField::ReferenceFamily),
    ("status", TextField::Status),
    ("schema_version", TextField::SchemaVersion),
    ("channel", TextField::Channel),
    ("mission_id", TextField::MissionId),
    ("segment", TextField::Segment),
    ("base", TextField::Base),
    ("quote", TextField::Quote),
];

/// Gives `sink` the events of these `rows` of `events` as they were decoded, and raises `newest` to their ingest times.
///
/// # Errors
/// Rows that are no events of this configuration.
pub(crate) fn push_events(
    events: &RecordBatch,
    rows: Range<usize>,
    names: &EventNames,
    newest: &mut Option<Timestamp>,
    sink: &mut dyn DecodeSink,
) -> Result<(), String> {
    Columns::of(events)?.push(rows, names, newest, sink)
}

/// The columns of a batch.
struct Columns<'a> {
    topic: &'a StringArray,
    source: &'a StringArray,
    partition: &'a PrimitiveArray<Int64Type>,
    offset: &'a PrimitiveArray<Int64Type>,
    index: &'a PrimitiveArray<Int64Type>,
    event_time: &'a PrimitiveArray<TimestampMicrosecondType>,
    ingest_time: &'a PrimitiveArray<TimestampMicrosecondType>,
    until: &'a PrimitiveArray<TimestampMicrosecondType>,
    amount: &'a PrimitiveArray<Decimal128Type>,
    bonus_amount: &'a PrimitiveArray<Decimal128Type>,
    /// What a jackpot gets, and what one paid: of one event at most one of them. Files of schema 1 have no such columns.
    jackpots: Option<[&'a PrimitiveArray<Decimal128Type>; 2]>,
    exchange_rate: &'a PrimitiveArray<Decimal128Type>,
    odds: &'a PrimitiveArray<Decimal128Type>,
    granted: &'a BooleanArray,
    texts: Vec<(TextField, &'a StringArray)>,
    payload: &'a StringArray,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, String> {
        let texts = TEXTS.into_iter().map(|(name, field)| Ok((field, text(batch, name)?)));
        Ok(Columns {
            topic: text(batch, "topic")?,
            source: text(batch, "source")?,
            partition: primitive(batch, "partition")?,
            offset: primitive(batch, "offset")?,
            index: primitive(batch, "record_index")?,
            event_time: primitive(batch, "event_time")?,
            ingest_time: primitive(batch, "ingest_time")?,
            until: primitive(batch, "until")?,
            amount: primitive(batch, "amount")?,
            bonus_amount: primitive(batch, "bonus_amount")?,
            jackpots: jackpots(batch)?,
            exchange_rate: primitive(batch, "exchange_rate")?,
            odds: primitive(batch, "odds")?,
            granted: column(batch, "granted")?.as_boolean_opt().ok_or("column granted has another type")?,
            texts: texts.collect::<Result<_, String>>()?,
            payload: text(batch, "payload")?,
        })
    }

    /// Pushes the events of these rows as they were decoded.
    fn push(
        &self,
        range: Range<usize>,
        names: &EventNames,
        newest: &mut Option<Timestamp>,
        sink: &mut dyn DecodeSink,
    ) -> Result<(), String> {
        let mut ids = Ids::default();
        for row in range {
            let (topic, source) = ids.of(self.topic.value(row), self.source.value(row), names)?;
            let narrow = |what: &str| format!("{what} of row {row} is out of range");
            let at = Coordinates {
                topic,
                partition: i32::try_from(self.partition.value(row)).map_err(|_| narrow("partition"))?,
                offset: self.offset.value(row),
                index: u32::try_from(self.index.value(row)).map_err(|_| narrow("record_index"))?,
            };
            let ingest_time = time(self.ingest_time, row).unwrap_or_default();
            let mut event = EventRow::new(at, source, time(self.event_time, row).unwrap_or_default(), ingest_time);
            event.amount = money(self.amount, row);
            event.bonus_amount = money(self.bonus_amount, row).unwrap_or_default();
            event.jackpot =
                self.jackpots.into_iter().flatten().find_map(|column| money(column, row)).unwrap_or_default();
            event.exchange_rate = money(self.exchange_rate, row);
            event.odds = money(self.odds, row);
            event.until = time(self.until, row);
            event.granted = self.granted.is_valid(row).then(|| self.granted.value(row));
            let texts = self.texts.iter().map(|(field, column)| (*field, value(column, row)));
            let known = |wanted| texts.clone().find(|(field, _)| *field == wanted).map_or("", |(_, text)| text);
            event.name = self.name(known(TextField::EventName), source, names);
            let player = player_hash(known(TextField::PlayerId));
            sink.batch(player).push(&event, texts.clone(), value(self.payload, row));
            *newest = (*newest).max(Some(ingest_time));
        }
        Ok(())
    }
}

impl Columns<'_> {
    /// What an event of this name was read as: before there were jackpots, a chargeback was a custom event that no row has booked.
    fn name(&self, text: &str, source: SourceId, names: &EventNames) -> EventName {
        EventName::of_source(text, self.jackpots.is_some() && names.chargebacks.contains(&source))
    }
}

/// The ids behind the names of the row before: most rows have the same.
#[derive(Default)]
struct Ids<'a>(Option<(&'a str, &'a str, TopicId, SourceId)>);

impl<'a> Ids<'a> {
    fn of(&mut self, topic: &'a str, source: &'a str, names: &EventNames) -> Result<(TopicId, SourceId), String> {
        if let Some((known_topic, known_source, topic_id, source_id)) = self.0
            && (known_topic, known_source) == (topic, source)
        {
            return Ok((topic_id, source_id));
        }
        let topic_id = names.topics.id(topic).ok_or_else(|| format!("no source reads topic {topic:?}"))?;
        let place = names.sources.iter().position(|known| &**known == source);
        let place = place.ok_or_else(|| format!("there is no source {source:?}"))?;
        let source_id = SourceId(u16::try_from(place).map_err(|_| "there are too many sources")?);
        self.0 = Some((topic, source, topic_id, source_id));
        Ok((topic_id, source_id))
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a dyn Array, String> {
    batch.column_by_name(name).map(AsRef::as_ref).ok_or_else(|| format!("there is no column {name}"))
}

fn text<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray, String> {
    column(batch, name)?.as_string_opt().ok_or_else(|| format!("column {name} has another type"))
}

fn primitive<'a, T: ArrowPrimitiveType>(batch: &'a RecordBatch, name: &str) -> Result<&'a PrimitiveArray<T>, String> {
    column(batch, name)?.as_primitive_opt().ok_or_else(|| format!("column {name} has another type"))
}

fn jackpots(batch: &RecordBatch) -> Result<Option<[&PrimitiveArray<Decimal128Type>; 2]>, String> {
    const NAMES: [&str; 2] = ["jackpot_contribution", "jackpot_win"];
    if NAMES.iter().all(|name| batch.column_by_name(name).is_none()) {
        return Ok(None);
    }
    let [contribution, win] = NAMES.map(|name| primitive(batch, name));
    Ok(Some([contribution?, win?]))
}

/// Empty where it is NULL, which is what absent texts are.
fn value(column: &StringArray, row: usize) -> &str {
    if column.is_valid(row) { column.value(row) } else { "" }
}

fn money(column: &PrimitiveArray<Decimal128Type>, row: usize) -> Option<Money> {
    column.is_valid(row).then(|| Money::from_raw(column.value(row)))
}

fn time(column: &PrimitiveArray<TimestampMicrosecondType>, row: usize) -> Option<Timestamp> {
    column.is_valid(row).then(|| Timestamp::from_micros(column.value(row)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datasets::schema::{self, Builder, EventPage};
    use datasets::{Event, EventBatch, Topics};

    use super::*;

    struct Taken(EventBatch);

    impl DecodeSink for Taken {
        fn batch(&mut self, _player_hash: u64) -> &mut EventBatch {
            &mut self.0
        }

        fn refuse(&mut self, refusal: datasets::mapping::Refusal) {
            panic!("a row of history is an event: {refusal:?}");
        }
    }

    fn names() -> Arc<EventNames> {
        Arc::new(EventNames {
            topics: Topics::new(["events"]),
            sources: vec!["pam".into()],
            chargebacks: vec![SourceId(0)],
        })
    }

    /// Rows of history: a bet, a win and a settlement with jackpots, and a chargeback.
    fn rows() -> RecordBatch {
        let mut batch = EventBatch::new(0, 0);
        for (offset, name) in (0..).zip(["bet_placed", "win", "bet_settled", "chargeback"]) {
            let at = Coordinates { topic: TopicId(0), partition: 0, offset, index: 0 };
            let mut row = EventRow::new(at, SourceId(0), Timestamp::from_micros(1), Timestamp::from_micros(2));
            (row.name, row.amount) = (EventName::of_source(name, true), Some(Money::from_units(9)));
            row.jackpot = if name == "chargeback" { Money::ZERO } else { Money::from_raw(i128::from(offset) + 1) };
            let texts = [(TextField::EventName, name), (TextField::PlayerId, "p"), (TextField::TransactionId, "t")];
            batch.push(&row, texts, "{}");
        }
        let layout = Arc::new(schema::events());
        let mut builder = Builder::new(layout);
        builder.append(&EventPage { epoch: 0, batch: Arc::new(batch), names: names() }, 0..4);
        builder.finish()
    }

    fn read<T>(rows: &RecordBatch, of: impl Fn(Event<'_>) -> T) -> Vec<T> {
        let mut taken = Taken(EventBatch::new(0, 0));
        push_events(rows, 0..rows.num_rows(), &names(), &mut None, &mut taken).unwrap();
        taken.0.iter().map(of).collect()
    }

    #[test]
    fn jackpots_and_chargebacks_are_read_as_they_were_decoded() {
        let jackpots = read(&rows(), |event| event.jackpot().raw());
        assert_eq!(jackpots, [1, 2, 3, 0]);
        let names = read(&rows(), |event| event.name);
        assert_eq!(names, [EventName::BetPlaced, EventName::Win, EventName::BetSettled, EventName::Chargeback]);
    }

    /// Nobody booked a chargeback of theirs, and its amount need not be one that could be.
    #[test]
    fn in_files_of_schema_1_a_chargeback_is_a_custom_event() {
        let all = rows();
        let kept =
            all.schema_ref().fields().iter().enumerate().filter(|(_, field)| !field.name().starts_with("jackpot"));
        let old = all.project(&kept.map(|(place, _)| place).collect::<Vec<_>>()).unwrap();
        assert_eq!(old.num_columns() + 2, all.num_columns());
        let names = read(&old, |event| (event.name, event.event_name().to_owned()));
        assert_eq!(names[3], (EventName::Custom, "chargeback".to_owned()));
        assert_eq!(names[0].0, EventName::BetPlaced);
        // It stays the same transaction, with the same content.
        let same = |rows| read(rows, |event| (event.identity, event.content)).remove(3);
        assert_eq!(same(&old), same(&all));
    }
}
