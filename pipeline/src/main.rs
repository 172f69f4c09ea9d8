//! The questline binary.
fn main() {}
