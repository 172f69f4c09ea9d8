//! `questline replay`: the same dataflow on files, without a broker.

pub mod feed;
pub mod input;
pub mod line;
