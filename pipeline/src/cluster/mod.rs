//! Several processes that run one pipeline (docs/decisions/2026-11-21-cluster.md).
//!
//! ```text
//!              ┌───────────── process 0 ─────────────┐        ┌─────── process 1 … ───────┐
//!  brokers ──► │ sources ── workers ── outputs ──► … │ ◄────► │ sources ── workers        │ ◄── brokers
//!              │ committer, lake, checkpoints        │ timely │ (state of their players)  │
//!              │ recovery, epochs ◄──────────────────┼────────┼─ [`Link`]: start, hints,  │
//!              └─────────────────────────────────────┘        └─ state, end ──────────────┘
//! ```
//! What an epoch does goes through the dataflow. What only says when to look or how to end goes over links, a star
//! around process 0.

mod frame;
mod hosts;
mod identity;
mod join;
mod link;
mod message;
mod team;

pub use hosts::Hosts;
pub use identity::Identity;
pub use join::{Joined, Joining};
pub use link::{Ends, Farewell, Link, SILENCE};
pub use message::{Checkpoints, Message, Share, Start};
pub use team::Team;
