//! `krate merge`: what two sides' changes come to.

use std::fmt::Write as _;
use std::path::PathBuf;

use krate_sync::merge::{MergeInput, MergeOutput};

use crate::error::{Answer, Error};
use crate::input;
use crate::output::{Format, Output, table};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// JSON file with mode, strategies, base, desired and observed
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
}

pub(crate) fn run(args: &Args, output: Output) -> Result<Answer, Error> {
    let json = input::json(&args.input)?;
    let merge = MergeInput::from_json(&json).map_err(|error| {
        let hint = "the input is {\"mode\", \"strategies\", \"base\", \"desired\", \"observed\"}; without base the sides never met";
        Error::new(format!("{}: {error}", input::name(&args.input))).hint(hint)
    })?;
    let merged = merge.merge();
    output.print(Format::Json, &merged, for_people)?;
    Ok(Answer::yes_if(merged.conflicts.is_empty()))
}

fn for_people(merged: &MergeOutput) -> String {
    let fields = merged.fields.iter().map(|(path, outcome)| {
        let value = |side: &serde_json::Map<String, serde_json::Value>| {
            side.get(path).map(ToString::to_string).unwrap_or_default()
        };
        [path.clone(), (*outcome).to_owned(), value(&merged.merged), value(&merged.write)]
    });
    let mut text = format!("{}\n\n{}", merged.outcome, table(["Field", "Outcome", "Merged", "Write"], fields));
    for conflict in &merged.conflicts {
        let base = conflict.base.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        let _ = write!(
            text,
            "\n\n{}: {}\n  base      {base}\n  desired   {}\n  observed  {}",
            conflict.path, conflict.reason, conflict.desired, conflict.observed
        );
    }
    text
}
