//! The questline binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    pipeline::cli::main()
}
