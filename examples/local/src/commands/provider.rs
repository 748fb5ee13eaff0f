//! `krate provider`: the providers of this build and what they can do.

use std::fmt::Write as _;

use krate_model::kinds::external::ExternalProviderCapabilityManifestSpec as Manifest;
use krate_providers::contract::Provider;
use krate_providers::registry::{provider, providers};

use crate::error::{Answer, Error};
use crate::output::{Format, Output, table};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the providers
    List,
    /// Print one provider's manifest
    Show {
        /// The provider type, such as github
        provider_type: String,
    },
}

pub(crate) fn run(command: &Command, output: Output) -> Result<Answer, Error> {
    match command {
        Command::List => {
            let manifests: Vec<&Manifest> = providers().iter().map(|provider| provider.manifest()).collect();
            output.print(Format::Table, &manifests, |manifests| {
                table(["Type", "Name", "Interfaces", "Credentials"], manifests.iter().map(|manifest| row(manifest)))
            })?;
        }
        Command::Show { provider_type } => {
            output.print(Format::Table, known(provider_type)?.manifest(), for_people)?;
        }
    }
    Ok(Answer::Yes)
}

/// The provider of a type, or an error that names those that there are.
pub(crate) fn known(provider_type: &str) -> Result<&'static dyn Provider, Error> {
    provider(provider_type).ok_or_else(|| {
        let known: Vec<&str> = providers().iter().map(|provider| provider.provider_type()).collect();
        Error::new(format!("{provider_type:?} is no provider of this build"))
            .hint(format!("there is {}; `krate provider list` says what they can do", known.join(", ")))
    })
}

fn joined<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(", ")
}

fn row(manifest: &Manifest) -> [String; 4] {
    let interfaces = manifest.interfaces.iter().filter(|interface| interface.supported);
    [
        manifest.provider_type.clone(),
        manifest.display_name.clone(),
        joined(interfaces.map(|interface| &interface.name)),
        joined(manifest.auth_modes.iter().map(|mode| &mode.name)),
    ]
}

fn for_people(manifest: &Manifest) -> String {
    let mut text = format!("{} ({})\n", manifest.display_name, manifest.provider_type);
    let mut fact = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<14}{value}");
    };
    fact("hosting", manifest.hosting.join(", "));
    fact("credentials", joined(manifest.auth_modes.iter().map(|mode| &mode.name)));
    fact("signatures", joined(&manifest.webhook_signature));
    fact("versions", manifest.identity.version_fields.join(", "));
    fact("bound by", joined(manifest.external_ref_keys.iter().map(|key| &key.name)));
    for interface in manifest.interfaces.iter().filter(|interface| interface.supported) {
        let rows = interface.operations.iter().map(|operation| {
            let kind = if operation.write { "write" } else { "read" };
            let repeat = if operation.write { operation.idempotency.to_string() } else { String::new() };
            [operation.operation.to_string(), kind.to_owned(), repeat, operation.native_scopes.join(", ")]
        });
        if interface.operations.is_empty() {
            continue;
        }
        let _ = write!(text, "\n{}\n{}\n", interface.name, table(["Operation", "Does", "Repeat", "Scopes"], rows));
    }
    text
}
