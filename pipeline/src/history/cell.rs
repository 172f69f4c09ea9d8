//! Single values of the lake's tables, to be compared and shown.

use std::fmt;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use datasets::time::Date;
use datasets::{Epoch, Money, Timestamp};
use sinks::cut::Table;
use sinks::lake::{LakeObject, LakeReader};

/// A row of a batch.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    batch: &'a RecordBatch,
    row: usize,
}

/// A value that is not NULL.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    Text(&'a str),
    Texts(Vec<String>),
    Int(i64),
    Bool(bool),
    Money(Money),
    Time(Timestamp),
    Date(Date),
    /// Of a type that no table has.
    Foreign(&'a DataType),
}

/// All rows of `batches`.
pub(crate) fn rows(batches: &[RecordBatch]) -> impl Iterator<Item = Row<'_>> {
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| Row { batch, row }))
}

/// Gives every row of the objects of `table` that are `wanted` to `each`, in the order of cuts.
///
/// # Errors
/// Objects that cannot be read.
pub(crate) fn each_row(
    lake: &LakeReader,
    table: Table,
    wanted: impl Fn(&LakeObject) -> bool,
    mut each: impl FnMut(Row<'_>),
) -> Result<(), String> {
    for object in lake.objects(table).iter().filter(|object| wanted(object)) {
        for batch in lake.rows(object).map_err(|error| crate::chain(&error))? {
            let batch = batch.map_err(|error| crate::chain(&error))?;
            rows(std::slice::from_ref(&batch)).for_each(&mut each);
        }
    }
    Ok(())
}

impl<'a> Row<'a> {
    /// The names of its columns.
    pub fn columns(self) -> impl Iterator<Item = &'a str> {
        self.batch.schema_ref().fields().iter().map(|field| field.name().as_str())
    }

    /// It has a column of this name, be it NULL.
    pub fn has(self, column: &str) -> bool {
        self.batch.column_by_name(column).is_some()
    }

    /// A value; `None` where it is NULL or has no column.
    pub fn cell(self, column: &str) -> Option<Cell<'a>> {
        let array = self.batch.column_by_name(column)?;
        array.is_valid(self.row).then(|| cell(array.as_ref(), self.row))
    }

    /// A text; empty where it is NULL.
    pub fn text(self, column: &str) -> &'a str {
        if let Some(Cell::Text(text)) = self.cell(column) { text } else { "" }
    }

    /// A whole number.
    pub fn int(self, column: &str) -> Option<i64> {
        if let Some(Cell::Int(number)) = self.cell(column) { Some(number) } else { None }
    }

    /// An instant.
    pub fn time(self, column: &str) -> Option<Timestamp> {
        if let Some(Cell::Time(time)) = self.cell(column) { Some(time) } else { None }
    }

    /// The epoch that put it out.
    pub fn epoch(self) -> Option<Epoch> {
        self.int("epoch").and_then(|epoch| Epoch::try_from(epoch).ok())
    }
}

fn cell(array: &dyn Array, row: usize) -> Cell<'_> {
    match array.data_type() {
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row)),
        DataType::Int64 => Cell::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::Boolean => Cell::Bool(array.as_boolean().value(row)),
        DataType::Decimal128(38, 8) => Cell::Money(Money::from_raw(array.as_primitive::<Decimal128Type>().value(row))),
        DataType::Date32 => Cell::Date(Date::from_days(array.as_primitive::<Date32Type>().value(row))),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Cell::Time(Timestamp::from_micros(array.as_primitive::<TimestampMicrosecondType>().value(row)))
        }
        DataType::List(element) if element.data_type() == &DataType::Utf8 => {
            let list = array.as_list::<i32>().value(row);
            Cell::Texts(list.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()).collect())
        }
        other => Cell::Foreign(other),
    }
}

impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Text(text) => f.write_str(text),
            Cell::Texts(texts) => write!(f, "{texts:?}"),
            Cell::Int(number) => number.fmt(f),
            Cell::Bool(truth) => truth.fmt(f),
            Cell::Money(money) => money.fmt(f),
            Cell::Time(time) => time.fmt(f),
            Cell::Date(date) => date.fmt(f),
            Cell::Foreign(kind) => write!(f, "a value of type {kind}"),
        }
    }
}

/// A value for people.
pub(crate) fn shown(cell: Option<Cell<'_>>) -> String {
    cell.map_or_else(|| "NULL".to_owned(), |cell| cell.to_string())
}
