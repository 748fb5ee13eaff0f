//! `krate crds`: the definitions of all kinds, or of those asked for.

use krate_model::crd::{crd, crds};

use super::explain::kind_named;
use crate::error::{Answer, Error};
use crate::output::{self, Format, Output, table, yaml};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Kinds by name, plural or short name; without any, all that are defined
    #[arg(value_name = "KIND")]
    kinds: Vec<String>,
}

pub(crate) fn run(args: &Args, output: Output) -> Result<Answer, Error> {
    let definitions = if args.kinds.is_empty() {
        crds()
    } else {
        let of = |text: &String| {
            let kind = kind_named(text)?;
            crd(kind).ok_or_else(|| Error::new(format!("{kind} is registered, its fields are not defined yet")))
        };
        args.kinds.iter().map(of).collect::<Result<_, _>>()?
    };
    match output.format_or(Format::Yaml) {
        // One document each, as kubectl takes them.
        Format::Yaml => {
            for definition in &definitions {
                output::text(&format!("---\n{}", yaml(definition)?))?;
            }
        }
        Format::Json => output::line(&output::json(&definitions)?)?,
        Format::Table => {
            let rows = definitions.iter().map(|definition| {
                let names = &definition.spec.names;
                let name = definition.metadata.name.clone().unwrap_or_default();
                [names.kind.clone(), name, names.short_names.clone().unwrap_or_default().join(", ")]
            });
            output::line(&table(["Kind", "Name", "Short"], rows))?;
        }
    }
    Ok(Answer::Yes)
}
