//! Questline's parts that know the world: configuration, sources, the dataflow and its loop.
//!
//! - [`dataflow`]: the whole pipeline on one page; [`epochs`] and [`reading`] are its way in.
//! - [`engine`]: runs it on worker threads; [`cluster`]: of several processes.
//! - [`replay`]: on files; [`run`]: on Kafka, by [`source`]; [`verify`]: on what a lake says was read.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod bench;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod dataflow;
pub mod dead_letters;
pub mod engine;
pub mod epochs;
pub mod explain;
mod exporter;
mod history;
mod kafka_feed;
pub mod missions;
pub mod plan;
pub mod reading;
pub mod reconcile;
pub mod replay;
pub mod report;
pub mod run;
pub mod source;
pub mod verify;
pub mod warehouse;

/// An error with its causes, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
