//! The `krate` command. What each command does stands in `commands/`, one file each.

mod cli;
mod commands;
mod demo;
mod error;
mod input;
mod output;
mod serve;

use std::process::ExitCode;

use clap::Parser;

/// Records are read and written as JSON: small objects that live for a moment. A simulated event takes three quarters of the time that the system's own
/// allocator needs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(cli) {
        Ok(answer) => answer.into(),
        Err(error) => error.report(),
    }
}
