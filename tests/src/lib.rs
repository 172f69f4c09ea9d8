//! What the end-to-end tests share.
#![allow(clippy::unwrap_used)]

pub mod arrival;
pub mod cases;
pub mod cluster;
pub mod compare;
pub mod dice;
pub mod explained;
pub mod kafka;
pub mod kafka_proxy;
pub mod lake;
pub mod load;
pub mod oracle;
pub mod play;
pub mod process;
pub mod proxy;
pub mod s3_proxy;
pub mod scenario;
pub mod stack;
