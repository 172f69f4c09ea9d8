//! Questline's parts that know the world: configuration, sources, the dataflow and its loop.

pub mod dataflow;
pub mod engine;
pub mod epochs;
pub mod reading;
pub mod replay;
