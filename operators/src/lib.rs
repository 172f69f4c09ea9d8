//! Collections in, collections out: no I/O, no clock, no configuration file.
//!
//! Every operator is a thin timely shell around a plain struct that is tested without timely.
//!
//! - [`players`]: identity, reversal and missions, by player.
//! - [`points`]: what a player earned and spent, and what of it has expired.
//! - [`tiers`]: which tier a player has, until when, and when that is told.
//! - [`entities`]: transactions and customers, as an operator's feed has them.
//! - [`activity`]: daily gaming activity with GGR, as restated revisions.
//! - [`decode`]: from records to events, on the worker that read them.
//! - [`rollup`]: GGR by date and game type.
//! - [`attribution`]: GGR of those who took part in missions, beside that of the others.
//! - [`snapshot`]: when operators write their state.
//! - [`outputs`]: everything an epoch put out, in one place and one order.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod activity;
pub mod attribution;
pub mod changes;
mod cold;
mod contributions;
pub mod deadline;
pub mod decode;
pub mod definitions;
pub mod entities;
mod index;
pub mod ledger;
pub mod outputs;
pub mod players;
pub mod points;
pub mod progress;
pub mod rollup;
mod room;
mod slab;
pub mod snapshot;
#[cfg(test)]
mod testing;
pub mod tiers;
