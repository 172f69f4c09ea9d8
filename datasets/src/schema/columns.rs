//! Columns, layouts of them, and their builders.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Date32Builder, Decimal128Builder, Int64Builder, ListBuilder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::time::Date;
use crate::{Money, Timestamp};

/// Digits of the decimal type of money.
const MONEY_PRECISION: u8 = 38;
/// Decimal places of the same; equal to [`Money::SCALE`].
const MONEY_SCALE: i8 = 8;
/// Rows are appended in groups of this many, so that the group stays in the cache over all columns.
const GROUP: usize = 512;

/// One column of rows held in an `S`: its name, its type, and how the `usize`-th row fills it.
pub struct Column<S> {
    name: &'static str,
    required: bool,
    /// The first version of the schema that has it.
    since: u16,
    read: Read<S>,
}

/// How a column reads a row.
enum Read<S> {
    Text(for<'a> fn(&'a S, usize) -> Option<&'a str>),
    Json(fn(&S, usize) -> String),
    Texts(for<'a> fn(&'a S, usize) -> &'a [String]),
    Int(fn(&S, usize) -> Option<i64>),
    Bool(fn(&S, usize) -> Option<bool>),
    Money(fn(&S, usize) -> Option<Money>),
    Time(fn(&S, usize) -> Option<Timestamp>),
    Date(fn(&S, usize) -> Option<Date>),
}

impl<S> Column<S> {
    fn of(name: &'static str, read: Read<S>) -> Self {
        Column { name, required: false, since: 1, read }
    }

    /// A text; NULL when absent or empty.
    pub fn text(name: &'static str, read: for<'a> fn(&'a S, usize) -> Option<&'a str>) -> Self {
        Self::of(name, Read::Text(read))
    }

    /// A text of JSON.
    pub fn json(name: &'static str, read: fn(&S, usize) -> String) -> Self {
        Self::of(name, Read::Json(read))
    }

    /// A list of texts, empty rather than NULL.
    pub fn texts(name: &'static str, read: for<'a> fn(&'a S, usize) -> &'a [String]) -> Self {
        Self::of(name, Read::Texts(read)).required()
    }

    /// A whole number.
    pub fn int(name: &'static str, read: fn(&S, usize) -> Option<i64>) -> Self {
        Self::of(name, Read::Int(read))
    }

    /// True or false.
    pub fn bool(name: &'static str, read: fn(&S, usize) -> Option<bool>) -> Self {
        Self::of(name, Read::Bool(read))
    }

    /// An exact amount.
    pub fn money(name: &'static str, read: fn(&S, usize) -> Option<Money>) -> Self {
        Self::of(name, Read::Money(read))
    }

    /// An instant: two columns, `name` and `name_us`.
    pub fn time(name: &'static str, read: fn(&S, usize) -> Option<Timestamp>) -> Self {
        Self::of(name, Read::Time(read))
    }

    /// A calendar day.
    pub fn date(name: &'static str, read: fn(&S, usize) -> Option<Date>) -> Self {
        Self::of(name, Read::Date(read))
    }

    /// The column is never NULL.
    pub fn required(self) -> Self {
        Column { required: true, ..self }
    }

    /// Files of versions before this one do not have the column.
    pub fn since(self, version: u16) -> Self {
        Column { since: version, ..self }
    }

    fn fields(&self) -> Vec<Field> {
        let field = |kind| Field::new(self.name, kind, !self.required);
        match self.read {
            Read::Text(_) | Read::Json(_) => vec![field(DataType::Utf8)],
            Read::Texts(_) => vec![field(DataType::List(Arc::new(element())))],
            Read::Int(_) => vec![field(DataType::Int64)],
            Read::Bool(_) => vec![field(DataType::Boolean)],
            Read::Money(_) => vec![field(DataType::Decimal128(MONEY_PRECISION, MONEY_SCALE))],
            Read::Date(_) => vec![field(DataType::Date32)],
            Read::Time(_) => vec![
                field(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
                Field::new(format!("{}_us", self.name), DataType::Int64, !self.required),
            ],
        }
    }

    /// Empty cells with room for so many rows, whose texts have so many bytes in all.
    fn cells(&self, rows: usize, bytes: usize) -> Cells {
        match self.read {
            Read::Text(_) | Read::Json(_) => Cells::Text(StringBuilder::with_capacity(rows, bytes)),
            Read::Texts(_) => Cells::Texts(ListBuilder::new(StringBuilder::new()).with_field(element())),
            Read::Int(_) => Cells::Int(Int64Builder::with_capacity(rows)),
            Read::Bool(_) => Cells::Bool(BooleanBuilder::with_capacity(rows)),
            Read::Money(_) => Cells::Money(
                Decimal128Builder::with_capacity(rows)
                    .with_precision_and_scale(MONEY_PRECISION, MONEY_SCALE)
                    .expect("38 digits with 8 places are a decimal type"),
            ),
            Read::Date(_) => Cells::Date(Date32Builder::with_capacity(rows)),
            Read::Time(_) => {
                let times = TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC");
                Cells::Time(times, Int64Builder::with_capacity(rows))
            }
        }
    }
}

/// The element of a list of texts, by the name that Parquet's specification gives it.
fn element() -> Field {
    Field::new("element", DataType::Utf8, false)
}

/// A table: its columns over rows held in an `S`, and how an `S` is counted and partitioned.
pub struct Layout<S> {
    /// Name of the table and of its folder.
    pub table: &'static str,
    /// Name of the partition folders: `{partition}=2026-06-01`.
    pub partition: &'static str,
    /// How many rows an `S` holds.
    pub len: fn(&S) -> usize,
    /// The partition of a row, in days since 1970-01-01.
    pub day: fn(&S, usize) -> i32,
    columns: Vec<Column<S>>,
    schema: SchemaRef,
}

impl<S> Layout<S> {
    /// A table of `columns`.
    pub fn new(
        table: &'static str,
        partition: &'static str,
        len: fn(&S) -> usize,
        day: fn(&S, usize) -> i32,
        columns: Vec<Column<S>>,
    ) -> Self {
        let fields: Vec<Field> = columns.iter().flat_map(Column::fields).collect();
        Layout { table, partition, len, day, columns, schema: Arc::new(Schema::new(fields)) }
    }

    /// The schema of the table's files.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Those of its columns that files of the first version do not have.
    pub fn added(&self) -> Vec<Field> {
        self.columns.iter().filter(|column| column.since > 1).flat_map(Column::fields).collect()
    }
}

/// One column's values under construction.
enum Cells {
    Text(StringBuilder),
    Texts(ListBuilder<StringBuilder>),
    Int(Int64Builder),
    Bool(BooleanBuilder),
    Money(Decimal128Builder),
    Time(TimestampMicrosecondBuilder, Int64Builder),
    Date(Date32Builder),
}

/// Collects rows of a [`Layout`] into batches. Each begins with the memory that the one before it took.
pub struct Builder<S> {
    layout: Arc<Layout<S>>,
    cells: Vec<Cells>,
    rows: usize,
}

impl<S> Builder<S> {
    /// A builder without rows.
    pub fn new(layout: Arc<Layout<S>>) -> Self {
        let cells = layout.columns.iter().map(|column| column.cells(0, 0)).collect();
        Builder { layout, cells, rows: 0 }
    }

    /// Rows appended since the last [`Builder::finish`].
    pub fn len(&self) -> usize {
        self.rows
    }

    /// No rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Appends the rows of `source` in `range`.
    pub fn append(&mut self, source: &S, range: Range<usize>) {
        self.rows += range.len();
        for start in range.clone().step_by(GROUP) {
            let group = start..range.end.min(start + GROUP);
            for (column, cells) in self.layout.columns.iter().zip(&mut self.cells) {
                cells.append(&column.read, source, group.clone());
            }
        }
    }

    /// The rows appended so far, as a batch; the builder is empty after.
    pub fn finish(&mut self) -> RecordBatch {
        let rows = std::mem::take(&mut self.rows);
        let mut arrays = Vec::with_capacity(self.layout.schema.fields().len());
        for (column, cells) in self.layout.columns.iter().zip(&mut self.cells) {
            let bytes = if let Cells::Text(texts) = &*cells { texts.values_slice().len() } else { 0 };
            std::mem::replace(cells, column.cells(rows, bytes)).finish(&mut arrays);
        }
        RecordBatch::try_new(self.layout.schema.clone(), arrays).expect("cells are built by the schema's columns")
    }
}

impl Cells {
    fn append<S>(&mut self, read: &Read<S>, source: &S, rows: Range<usize>) {
        match (self, read) {
            (Cells::Text(cells), Read::Text(read)) => {
                let read = |row| read(source, row).filter(|text| !text.is_empty());
                match rows.clone().all(|row| read(row).is_none()) {
                    true => cells.append_nulls(rows.len()),
                    false => rows.for_each(|row| cells.append_option(read(row))),
                }
            }
            (Cells::Text(cells), Read::Json(read)) => rows.for_each(|row| cells.append_value(read(source, row))),
            (Cells::Texts(cells), Read::Texts(read)) => {
                for row in rows {
                    read(source, row).iter().for_each(|text| cells.values().append_value(text));
                    cells.append(true);
                }
            }
            (Cells::Int(cells), Read::Int(read)) => rows.for_each(|row| cells.append_option(read(source, row))),
            (Cells::Bool(cells), Read::Bool(read)) => rows.for_each(|row| cells.append_option(read(source, row))),
            (Cells::Money(cells), Read::Money(read)) => {
                rows.for_each(|row| cells.append_option(read(source, row).map(Money::raw)));
            }
            (Cells::Time(times, micros), Read::Time(read)) => {
                for row in rows {
                    let at = read(source, row).map(Timestamp::micros);
                    times.append_option(at);
                    micros.append_option(at);
                }
            }
            (Cells::Date(cells), Read::Date(read)) => {
                rows.for_each(|row| cells.append_option(read(source, row).map(Date::days)));
            }
            _ => unreachable!("cells are built by their column"),
        }
    }

    fn finish(self, arrays: &mut Vec<ArrayRef>) {
        match self {
            Cells::Text(mut cells) => arrays.push(Arc::new(cells.finish())),
            Cells::Texts(mut cells) => arrays.push(Arc::new(cells.finish())),
            Cells::Int(mut cells) => arrays.push(Arc::new(cells.finish())),
            Cells::Bool(mut cells) => arrays.push(Arc::new(cells.finish())),
            Cells::Money(mut cells) => arrays.push(Arc::new(cells.finish())),
            Cells::Time(mut times, mut micros) => {
                arrays.push(Arc::new(times.finish()));
                arrays.push(Arc::new(micros.finish()));
            }
            Cells::Date(mut cells) => arrays.push(Arc::new(cells.finish())),
        }
    }
}
