//! What goes into Questline and what comes out of it, without any I/O.
//!
//! - [`Event`]: the canonical event, borrowed from an [`EventBatch`] (DOMAIN §2).
//! - [`Money`] and [`Timestamp`]: exact amounts and instants.
//! - [`mapping`]: from a payload of any shape to canonical events, or a [`Reason`] for refusing it.
//! - [`mission`]: mission definitions, checked and compiled; [`condition`]: their `where` in CEL.
//! - [`rows`]: everything that leaves, as JSON; [`schema`]: the same as Arrow schemas.
//! - [`currency`], [`iso`]: codes of currencies, countries and languages.
//! - [`rates`]: rates of exchange, and which one converts.
//! - [`wire`]: rows between processes.
//! - [`state`]: what operators keep, in the pieces that checkpoints are made of.
//! - [`cold`]: what they keep of it outside memory.
//! - [`generator`]: seeded play that looks like play.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod cold;
pub mod condition;
pub mod currency;
mod event;
pub mod generator;
pub mod hash;
mod identity;
pub mod iso;
pub mod mapping;
pub mod mission;
mod money;
mod origin;
pub mod rates;
mod reason;
pub mod rows;
pub mod schema;
pub mod state;
pub mod time;
pub mod wire;

pub use event::{BatchPool, Event, EventBatch, EventName, EventRow, Family, Row, TextField};
pub use identity::Identity;
pub use money::{Money, MoneyError};
pub use origin::{Coordinates, PackedCoordinates, SourceId, TopicId, Topics};
pub use reason::Reason;
pub use time::Timestamp;

/// The dataflow's timestamp: one closed interval of input offsets and one reading of the clock.
pub type Epoch = u64;
