//! What stands in the files: types, values, NULLs.

use std::sync::Arc;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, TimestampMicrosecondType};
use arrow_schema::{DataType, TimeUnit};
use datasets::rows::EpochOutputs;
use datasets::schema::{self, Builder, EventPage};
use datasets::{EventBatch, Money};
use parquet::basic::{Compression, Encoding, LogicalType, Type};

use super::support::*;
use crate::EpochWriter;
use crate::contract;
use crate::lake::row_hash::row_hash;
use crate::lake::{CutLimits, LakeWriter};

#[test]
fn an_event_is_stored_as_it_was_read() {
    let store = memory();
    let mut writer = LakeWriter::open_at(place(&store), &config(CutLimits::default()), 1, 1, names()).unwrap();
    let mut batch = EventBatch::new(0, 0);
    event(&mut batch, 7, clock(2));
    event(&mut batch, 8, clock(2));
    writer.handle().history(0, 0, Arc::new(batch));
    writer.handle().history_upper(0, 1);
    writer.commit(&[Arc::new(EpochOutputs { now: clock(2), ..EpochOutputs::default() })]).unwrap();
    let totals = writer.finish().unwrap();
    assert_eq!(totals.tables[&crate::cut::Table::Events].rows, 2);

    let events = table(&store, "events");
    assert_eq!(events.len(), 1);
    let rows = &events[0].rows;
    assert_eq!(texts(rows, "topic"), [Some("events".into()), Some("events".into())]);
    assert_eq!(texts(rows, "source")[0], Some("pam".into()));
    assert_eq!(ints(rows, "partition"), [3, 3]);
    assert_eq!(ints(rows, "offset"), [7, 8]);
    assert_eq!(ints(rows, "record_index"), [1, 1]);
    assert_eq!(texts(rows, "payload")[1], Some("{\"bet_amount\":25.50,\"ö\":1}".into()));
    assert_eq!(texts(rows, "transaction_id")[1], Some("t8".into()));
    for absent in ["status", "event_id", "sport", "odds", "exchange_rate", "until", "until_us", "granted"] {
        assert_eq!(nulls(rows, absent), [true, true], "{absent}");
    }
    let amount = rows.column_by_name("amount").unwrap();
    assert_eq!(amount.data_type(), &DataType::Decimal128(38, 8));
    assert_eq!(amount.as_primitive::<Decimal128Type>().value(0), 900_719_925_474_099_300_000_001);
    let time = rows.column_by_name("event_time").unwrap();
    assert_eq!(time.data_type(), &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
    let micros = clock(2).micros() - 1_500_001;
    assert_eq!(time.as_primitive::<TimestampMicrosecondType>().value(0), micros);
    assert_eq!(ints(rows, "event_time_us"), [micros, micros]);
    assert_eq!(ints(rows, "epoch"), [0, 0]);
    assert!(rows.column_by_name("ingest_dt").is_none(), "the folder says it");
    assert!(events[0].name.contains("/events/ingest_dt=2026-06-01/"), "{}", events[0].name);
}

#[test]
fn a_file_is_written_as_warehouses_read_it() {
    let store = memory();
    let mut writer = LakeWriter::open_at(place(&store), &config(CutLimits::default()), 0, 1, names()).unwrap();
    writer.commit(&contract::script(0..12)).unwrap();
    writer.finish().unwrap();
    for read in read(&store) {
        assert_eq!(read.metadata.file_metadata().version(), 1);
        for group in read.metadata.row_groups() {
            for column in group.columns() {
                let path = column.column_path().string();
                assert!(matches!(column.compression(), Compression::ZSTD(_)), "{path}");
                assert!(column.bloom_filter_offset().is_none(), "{path}");
                if matches!(path.as_str(), "completion_id" | "transaction_id" | "raw" | "offset") {
                    assert!(!column.encodings().any(|encoding| encoding == Encoding::RLE_DICTIONARY), "{path}");
                }
            }
        }
        for column in read.metadata.file_metadata().schema_descr().columns() {
            assert_eq!(column.name(), column.name().to_lowercase());
            assert_ne!(column.physical_type(), Type::INT96);
            if let Some(LogicalType::Integer(int)) = column.logical_type_ref() {
                assert!(int.is_signed, "{}", column.name());
            }
        }
    }
    let completions = table(&store, "completions");
    let schema = completions[0].metadata.file_metadata().schema_descr();
    assert!(schema.columns().iter().any(|column| column.path().string() == "channels.list.element"));
}

#[test]
fn completions_keep_their_fields() {
    let store = memory();
    let mut writer = LakeWriter::open_at(place(&store), &config(aged(1_000)), 0, 1, names()).unwrap();
    let epochs = contract::script(0..3);
    writer.commit(&epochs).unwrap();
    writer.finish().unwrap();
    let read = table(&store, "completions");
    let rows = &read[0].rows;
    let expected: Vec<_> = epochs.iter().flat_map(|out| &out.completions).collect();
    assert_eq!(rows.num_rows(), expected.len());
    let channels = rows.column_by_name("channels").unwrap().as_list::<i32>();
    let progress = rows.column_by_name("progress").unwrap().as_primitive::<Decimal128Type>();
    for (index, row) in expected.into_iter().enumerate() {
        assert_eq!(texts(rows, "completion_id")[index].as_ref(), Some(&row.completion_id));
        assert_eq!(texts(rows, "reversed_by")[index], row.reversed_by);
        assert_eq!(texts(rows, "reward_value")[index], row.reward.as_ref().map(|reward| reward.value.clone()));
        assert_eq!(nulls(rows, "window_end")[index], row.window_end.is_none());
        assert_eq!(ints(rows, "emitted_at_us")[index], row.emitted_at.micros());
        assert_eq!(ints(rows, "trigger_offset")[index], row.trigger.place.offset);
        assert_eq!(Money::from_raw(progress.value(index)), row.progress);
        let listed = channels.value(index);
        let listed: Vec<_> = listed.as_string::<i32>().iter().map(|text| text.unwrap().to_owned()).collect();
        assert_eq!(listed, row.channels);
    }
    let epochs = table(&store, "epochs");
    assert_eq!(ints(&epochs[0].rows, "epoch"), [0, 1, 2]);
    assert_eq!(texts(&epochs[0].rows, "bindings")[0], Some("[]".into()));
    assert!(texts(&epochs[0].rows, "counters")[1].as_ref().unwrap().contains("\"accepted\":1"));
}

#[test]
fn the_row_hash_knows_rows_and_not_their_order_or_batching() {
    let layout = Arc::new(schema::events());
    let page = |offsets: &[i64]| {
        let mut batch = EventBatch::new(0, 0);
        offsets.iter().for_each(|offset| event(&mut batch, *offset, clock(0)));
        EventPage { epoch: 4, batch: Arc::new(batch), names: names() }
    };
    let hash = |offsets: &[i64]| {
        let mut builder = Builder::new(layout.clone());
        builder.append(&page(offsets), 0..offsets.len());
        row_hash(&builder.finish())
    };
    assert_eq!(hash(&[1, 2, 3]), hash(&[3, 1, 2]));
    assert_eq!(hash(&[1, 2, 3]), hash(&[2]).wrapping_add(hash(&[3, 1])));
    assert_ne!(hash(&[1, 2, 3]), hash(&[1, 2, 4]));
    assert_ne!(hash(&[1, 1, 2]), hash(&[1, 2, 2]));
    assert_eq!(hash(&[]), 0);
    // A constant of the format: objects of earlier releases are compared by it.
    assert_eq!(hash(&[7]), 16_679_615_532_447_934_724);
}
