//! `questline report`: what follows from the lake's outputs, for people and programs outside of the pipeline.

pub mod files;
pub mod ledger;
pub mod missions;
#[cfg(test)]
mod tests;
