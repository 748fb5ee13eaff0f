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

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(cli) {
        Ok(answer) => answer.into(),
        Err(error) => error.report(),
    }
}
