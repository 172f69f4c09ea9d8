//! Helpers of `scripts/bench`. Each prints one line of JSON.
//!
//! - `bare-loop`: consumes a topic and parses its payloads, and does nothing else.
//! - `cold`: what transactions cost that are not in memory.
//! - `commits`: follows a pipeline's progress topic until everything is committed, and says when that was.
//! - `core`: the stages of the core on events in memory, without a broker.
//! - `state`: what it costs to write the state of many players and to read it again, without storage.
//! - `prepare`: makes topics and definitions for live play.
//! - `latency`: sends play at a steady rate, and measures how soon a completion is visible.

mod bare_loop;
mod cold;
mod commits;
mod core;
mod latency;
mod prepare;
mod reader;
mod state;

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
    /// Lets transactions go cold, and asks for them, on one thread.
    Cold(cold::Cold),
    /// Waits until a pipeline has committed a topic.
    Commits(commits::Commits),
    /// Decodes and settles events in memory, on one thread.
    Core(core::Core),
    /// Makes topics and definitions for live play.
    Prepare(prepare::Prepare),
    /// Writes and reads the state of many players, on one thread.
    State(state::State),
    /// Measures event to completion.
    Latency(latency::Latency),
}

fn main() -> ExitCode {
    let Bench { brokers, helper } = Bench::parse();
    let outcome = match helper {
        Helper::BareLoop(helper) => helper.run(&brokers),
        Helper::Cold(helper) => helper.run(),
        Helper::Commits(helper) => helper.run(&brokers),
        Helper::Core(helper) => helper.run(),
        Helper::Prepare(helper) => helper.run(&brokers),
        Helper::State(helper) => helper.run(),
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
