//! Helpers of `scripts/bench`. Each prints one line of JSON.
//!
//! - `bare-loop`: consumes a topic and parses its payloads, and does nothing else.
//! - `cold`: what transactions cost that are not in memory.
//! - `commits`: follows a pipeline's progress topic until everything is committed, and says when that was.
//! - `edits`: edits missions so that players are completed, and measures how soon that is visible.
//! - `state`: what it costs to write the state of many players and to read it again, without storage.
//! - `group`: follows a consumer group's offsets, of programs that have no progress topic.
//! - `tally`: counts and hashes what a topic holds.
//! - `topics`: makes topics.
//! - `prepare`: makes topics and definitions for live play.
//! - `latency`: sends play at a steady rate, and measures how soon a completion is visible.

mod bare_loop;
mod begin;
mod cold;
mod commits;
mod edits;
mod group;
mod latency;
mod prepare;
mod reader;
mod state;
mod tally;
mod topics;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a helper ends with.
type Outcome = Result<serde_json::Value, Box<dyn std::error::Error>>;

#[derive(Parser)]
#[command(name = "bench")]
struct Bench {
    /// The brokers.
    #[arg(long, value_name = "HOST:PORT", env = "QUESTLINE_BROKERS", global = true, default_value = "127.0.0.1:9092")]
    brokers: String,
    #[command(subcommand)]
    helper: Helper,
}

#[derive(Subcommand)]
enum Helper {
    /// Consumes and parses, on one thread.
    BareLoop(bare_loop::BareLoop),
    /// Reads the state that `state` has left in a file. It asks for this itself.
    #[command(hide = true)]
    Begin(begin::Begin),
    /// Lets transactions go cold, and asks for them, on one thread.
    Cold(cold::Cold),
    /// Waits until a pipeline has committed a topic.
    Commits(commits::Commits),
    /// Measures edit of a definition to completion.
    Edits(edits::Edits),
    /// Waits until a consumer group has committed a topic.
    Group(group::Group),
    /// Makes topics and definitions for live play.
    Prepare(prepare::Prepare),
    /// Writes and reads the state of many players, on one thread.
    State(state::State),
    /// Counts and hashes the records of a topic.
    Tally(tally::Tally),
    /// Makes topics.
    Topics(topics::MakeTopics),
    /// Measures event to completion.
    Latency(latency::Latency),
}

fn main() -> ExitCode {
    let Bench { brokers, helper } = Bench::parse();
    let outcome = match helper {
        Helper::BareLoop(helper) => helper.run(&brokers),
        Helper::Begin(helper) => helper.run(),
        Helper::Cold(helper) => helper.run(),
        Helper::Commits(helper) => helper.run(&brokers),
        Helper::Edits(helper) => helper.run(&brokers),
        Helper::Group(helper) => helper.run(&brokers),
        Helper::Prepare(helper) => helper.run(&brokers),
        Helper::State(helper) => helper.run(),
        Helper::Tally(helper) => helper.run(&brokers),
        Helper::Topics(helper) => helper.run(&brokers),
        Helper::Latency(helper) => helper.run(&brokers),
    };
    match outcome {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {}", pipeline::chain(&*error));
            ExitCode::FAILURE
        }
    }
}
