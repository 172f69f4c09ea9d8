//! The lake's tables as Arrow: which columns a row has and how a batch of them is built.
//!
//! A [`Layout`] declares a table once, each column with the function that reads it, so that a
//! schema and what is written under it cannot drift apart. A [`Builder`] appends column by column.
//! Column names, types and nullability are a contract (DOMAIN §6): changes are additive and raise
//! [`SCHEMA_VERSION`].
//!
//! - Text columns are nullable, always: an empty text is NULL, which every loader reads the same way.
//! - A timestamp is a column of microseconds in UTC and beside it the same as a plain integer,
//!   `<name>_us`: the one form that no loader misreads.
//! - Money is `Decimal128(38, 8)`. There are no unsigned integers.
//! - The column of the partition's folder is not in the file.

mod columns;
mod entities;
mod events;
mod outputs;
mod reports;

pub use columns::{Builder, Column, Layout};
pub use entities::{customers, reviews, transactions};
pub use events::{EventNames, EventPage, events};
pub use outputs::{
    activity, audit, completions, dead_letters, dispositions, epochs, mission_definitions, points, tiers,
};
pub use reports::mission_ggr;

/// Version of all tables' schemas; part of every object's name. A cut that an older version has recorded is put as it was named: columns
/// that were added since are NULL in rows of its time.
///
/// Version 2 adds `jackpot_contribution` and `jackpot_win` of `events`, and `chargebacks` of `activity`.
pub const SCHEMA_VERSION: u16 = 2;
