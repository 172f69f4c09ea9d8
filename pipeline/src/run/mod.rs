//! `questline run`: on Kafka, exactly once.

mod chunk;
mod commit;
mod pacer;
mod source;
