//! `krate intent key`: the idempotency key of a write.

use std::path::PathBuf;

use krate_model::key::key_of_json;
use serde_json::json;

use crate::error::{Answer, Error};
use crate::input;
use crate::output::{Format, Output};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Print the idempotency key of a write
    Key(KeyArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct KeyArgs {
    /// JSON file with organization, provider, binding, interface, operation, nativeTarget, payload and desiredGeneration,
    /// and for a create the local object as target {kind, name}
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
}

pub(crate) fn run(command: Command, output: Output) -> Result<Answer, Error> {
    let Command::Key(args) = command;
    let key = key_of_json(&input::json(&args.input)?).map_err(|error| {
        Error::new(format!("{}: {error}", input::name(&args.input)))
            .hint("every part of the request has to be there, since each makes it another request")
    })?;
    output.print(Format::Table, &json!({ "idempotencyKey": key.to_string() }), |_| key.to_string())?;
    Ok(Answer::Yes)
}
