//! The lake against stores in memory, on disk, and failing on purpose. Files are read back by
//! Parquet's own reader.

mod faults;
mod idle;
mod read_back;
mod recorded;
mod support;
mod tables;
mod unrecorded;
