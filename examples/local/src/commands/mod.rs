//! The commands, one file each. Each takes its arguments and the output, and says how it ended.

pub(crate) mod completions;
pub(crate) mod crds;
pub(crate) mod explain;
pub(crate) mod intent;
pub(crate) mod merge;
pub(crate) mod online;
pub(crate) mod policy;
pub(crate) mod provider;
pub(crate) mod rbac;
pub(crate) mod replay;
pub(crate) mod review;
pub(crate) mod simulate;
pub(crate) mod validate;
pub(crate) mod webhook;

use crate::cli::{Cli, Command};
use crate::error::{Answer, Error};
use crate::output::Output;

/// Runs the command that was called.
pub(crate) fn run(cli: Cli) -> Result<Answer, Error> {
    let output = Output::new(cli.output);
    match cli.command {
        Command::Demo(args) => crate::demo::run(&args, output),
        Command::Serve(args) => crate::serve::run(&args),
        Command::Online(command) => online::run(command, output),
        Command::Webhook(command) => webhook::run(command, output),
        Command::Merge(args) => merge::run(&args, output),
        Command::Intent(command) => intent::run(command, output),
        Command::Validate(args) => validate::run(&args, output),
        Command::Review(args) => review::run(&args, output),
        Command::WhoCan(args) => policy::who(&args, output),
        Command::Policy(command) => policy::run(&command, output),
        Command::Simulate(args) => simulate::run(&args, output),
        Command::Crds(args) => crds::run(&args, output),
        Command::Rbac(args) => rbac::run(&args, output),
        Command::Explain(args) => explain::run(&args, output),
        Command::Provider(command) => provider::run(&command, output),
        Command::Completions(args) => completions::run(&args),
    }
}
