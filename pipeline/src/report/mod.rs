//! `questline report`: what follows from the lake's outputs, for people and programs outside of the pipeline.

pub mod files;
pub mod ledger;
#[cfg(test)]
mod tests;
