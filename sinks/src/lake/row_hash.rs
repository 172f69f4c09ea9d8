//! A hash of a table's rows that depends on neither their order nor their batching, so that equal
//! rows are known as equal although their files differ in bytes.
//!
//! A cell that is NULL counts nothing. Any other is the 64-bit XXH3 of its canonical bytes, seeded with the
//! XXH3 of its column's name: integers, instants and days as 8 bytes and decimals as 16, little end
//! first; a truth value as one byte; a text as its UTF-8; a list as its texts, each
//! after its length in 4 bytes. A row is the XXH3 of the wrapping sum of its cells, and rows are the
//! wrapping sum of theirs. So a nullable column that a later schema adds leaves older rows as they are.

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The sum of the hashes of `batch`'s rows. Panics on a column type that no table has.
pub(crate) fn row_hash(batch: &RecordBatch) -> u64 {
    let mut sums = vec![0_u64; batch.num_rows()];
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        // Most columns of an event are absent.
        if column.null_count() < column.len() {
            add_column(column.as_ref(), xxh3_64(field.name().as_bytes()), &mut sums);
        }
    }
    sums.iter().fold(0, |sum, row| sum.wrapping_add(xxh3_64(&row.to_le_bytes())))
}

fn add_column(column: &dyn Array, seed: u64, sums: &mut [u64]) {
    match column.data_type() {
        DataType::Utf8 => {
            let texts = column.as_string::<i32>();
            add(column, seed, sums, |row, add| add(texts.value(row).as_bytes()));
        }
        DataType::List(_) => {
            let lists = column.as_list::<i32>();
            add(column, seed, sums, |row, add| add(&list(lists.value(row).as_ref())));
        }
        DataType::Boolean => {
            let truths = column.as_boolean();
            add(column, seed, sums, |row, add| add(&[u8::from(truths.value(row))]));
        }
        DataType::Int64 => add_fixed::<Int64Type, 8>(column, seed, sums, i64::to_le_bytes),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            add_fixed::<TimestampMicrosecondType, 8>(column, seed, sums, i64::to_le_bytes);
        }
        DataType::Date32 => add_fixed::<Date32Type, 8>(column, seed, sums, |day| i64::from(day).to_le_bytes()),
        DataType::Decimal128(_, _) => add_fixed::<Decimal128Type, 16>(column, seed, sums, i128::to_le_bytes),
        other => unreachable!("no table has a column of type {other}"),
    }
}

fn add_fixed<T: ArrowPrimitiveType, const N: usize>(
    column: &dyn Array,
    seed: u64,
    sums: &mut [u64],
    bytes: impl Fn(T::Native) -> [u8; N],
) {
    let values = column.as_primitive::<T>();
    add(column, seed, sums, |row, add| add(&bytes(values.value(row))));
}

/// Adds the hash of each cell that is not NULL; `cell` passes on the bytes of one.
fn add(column: &dyn Array, seed: u64, sums: &mut [u64], cell: impl Fn(usize, &mut dyn FnMut(&[u8]))) {
    let has_nulls = column.null_count() > 0;
    for (row, sum) in sums.iter_mut().enumerate() {
        if !has_nulls || column.is_valid(row) {
            cell(row, &mut |bytes| *sum = sum.wrapping_add(xxh3_64_with_seed(bytes, seed)));
        }
    }
}

fn list(texts: &dyn Array) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in texts.as_string::<i32>().iter().flatten() {
        let len = u32::try_from(text.len()).expect("Arrow's texts are below 2 GiB");
        bytes.extend(len.to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}
