//! A hash of a table's rows that depends on neither their order nor their batching, so that equal
//! rows are known as equal although their files differ in bytes.
//!
//! A row's canonical bytes are its cells in the order of the schema. A cell is one byte 0 when NULL,
//! else one byte 1 and its value: integers, instants and days as 8 bytes and decimals as 16, little
//! end first; a truth value as one byte; a text as its length in 4 bytes and its UTF-8; a list as
//! its length in 4 bytes and its texts. The hash of rows is the wrapping sum of the 64-bit XXH3 of each.

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, BooleanArray, Date32Array, Decimal128Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::{DataType, TimeUnit};
use xxhash_rust::xxh3::xxh3_64;

/// The sum of the hashes of `batch`'s rows. Panics on a column type that no table has.
pub(super) fn row_hash(batch: &RecordBatch) -> u64 {
    let cells: Vec<Cells<'_>> = batch.columns().iter().map(|column| Cells::of(column.as_ref())).collect();
    let mut bytes = Vec::with_capacity(1024);
    let mut sum = 0_u64;
    for row in 0..batch.num_rows() {
        bytes.clear();
        for cells in &cells {
            cells.write(row, &mut bytes);
        }
        sum = sum.wrapping_add(xxh3_64(&bytes));
    }
    sum
}

/// A column by its type, so that the type is looked at once a batch.
enum Cells<'a> {
    Text(&'a StringArray),
    Texts(&'a ListArray, &'a StringArray),
    Int(&'a Int64Array),
    Time(&'a TimestampMicrosecondArray),
    Date(&'a Date32Array),
    Money(&'a Decimal128Array),
    Bool(&'a BooleanArray),
}

impl<'a> Cells<'a> {
    fn of(column: &'a dyn Array) -> Self {
        match column.data_type() {
            DataType::Utf8 => Cells::Text(column.as_string()),
            DataType::List(_) => Cells::Texts(column.as_list(), column.as_list::<i32>().values().as_string()),
            DataType::Int64 => Cells::Int(column.as_primitive::<Int64Type>()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Cells::Time(column.as_primitive::<TimestampMicrosecondType>())
            }
            DataType::Date32 => Cells::Date(column.as_primitive::<Date32Type>()),
            DataType::Decimal128(_, _) => Cells::Money(column.as_primitive::<Decimal128Type>()),
            DataType::Boolean => Cells::Bool(column.as_boolean()),
            other => unreachable!("no table has a column of type {other}"),
        }
    }

    fn write(&self, row: usize, bytes: &mut Vec<u8>) {
        match self {
            Cells::Text(cells) => present(cells.is_null(row), bytes, |bytes| text(cells.value(row), bytes)),
            Cells::Texts(cells, texts) => present(cells.is_null(row), bytes, |bytes| {
                let ends = cells.value_offsets();
                bytes.extend((ends[row + 1] - ends[row]).to_le_bytes());
                for at in ends[row]..ends[row + 1] {
                    text(texts.value(usize::try_from(at).expect("offsets are not negative")), bytes);
                }
            }),
            Cells::Int(cells) => {
                present(cells.is_null(row), bytes, |bytes| bytes.extend(cells.value(row).to_le_bytes()));
            }
            Cells::Time(cells) => {
                present(cells.is_null(row), bytes, |bytes| bytes.extend(cells.value(row).to_le_bytes()));
            }
            Cells::Date(cells) => {
                present(cells.is_null(row), bytes, |bytes| bytes.extend(i64::from(cells.value(row)).to_le_bytes()));
            }
            Cells::Money(cells) => {
                present(cells.is_null(row), bytes, |bytes| bytes.extend(cells.value(row).to_le_bytes()));
            }
            Cells::Bool(cells) => {
                present(cells.is_null(row), bytes, |bytes| bytes.push(u8::from(cells.value(row))));
            }
        }
    }
}

fn present(is_null: bool, bytes: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    bytes.push(u8::from(!is_null));
    if !is_null {
        value(bytes);
    }
}

fn text(value: &str, bytes: &mut Vec<u8>) {
    let len = u32::try_from(value.len()).expect("Arrow's texts are below 2 GiB");
    bytes.extend(len.to_le_bytes());
    bytes.extend(value.as_bytes());
}
