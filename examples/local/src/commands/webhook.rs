//! `krate webhook`: is a delivery genuine, and what does it say?

use std::path::PathBuf;
use std::time::SystemTime;

use http::HeaderMap;
use krate_model::observation::CanonicalEvent;
use krate_providers::contract::{BodyLimits, Normalization, Provider, SignatureError, WebhookSecret};
use serde_json::{Value, json};

use super::provider::known;
use crate::error::{Answer, Error};
use crate::input;
use crate::output::{self, Format, Output, table};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Check a delivery's signature
    Verify(VerifyArgs),
    /// Print the canonical events of a delivery
    Normalize(DeliveryArgs),
    /// Sign payload files and post them, as GitHub would
    Replay(super::replay::Args),
}

/// A delivery in files.
#[derive(Debug, clap::Args)]
pub(crate) struct DeliveryArgs {
    /// The provider type, such as github
    #[arg(long)]
    provider: String,
    /// JSON file: an object of header names to a value, or to a list of values
    #[arg(long, value_name = "FILE")]
    headers: PathBuf,
    /// The body, byte for byte as it was received
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    delivery: DeliveryArgs,
    /// Environment variable that holds a webhook secret; repeat it where several are valid
    #[arg(long, value_name = "VARIABLE", required = true)]
    secret_env: Vec<String>,
}

/// A delivery that was read.
struct Delivery {
    provider: &'static dyn Provider,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl DeliveryArgs {
    fn read(&self) -> Result<Delivery, Error> {
        let provider = known(&self.provider)?;
        input::at_most_one_stdin([&self.headers, &self.body])?;
        let delivery = Delivery { provider, headers: input::headers(&self.headers)?, body: input::bytes(&self.body)? };
        // S13: the same bounds as at the endpoint.
        BodyLimits::DEFAULT
            .check(&delivery.body)
            .map_err(|error| Error::new(format!("{}: {error}", input::name(&self.body))))?;
        Ok(delivery)
    }
}

pub(crate) fn run(command: Command, output: Output) -> Result<Answer, Error> {
    match command {
        Command::Verify(args) => verify(&args, output),
        Command::Normalize(args) => normalize(&args, output),
        Command::Replay(args) => super::replay::run(&args, output),
    }
}

fn verify(args: &VerifyArgs, output: Output) -> Result<Answer, Error> {
    let secrets = args.secret_env.iter().map(|variable| secret(variable)).collect::<Result<Vec<_>, _>>()?;
    let delivery = args.delivery.read()?;
    let verified = delivery.provider.verify(&delivery.headers, &delivery.body, &secrets, SystemTime::now().into());
    let (answer, said, for_people) = match verified {
        Ok(verified) => {
            let said = json!({ "verified": true, "algorithm": verified.algorithm, "secretName": verified.secret_name });
            (Answer::Yes, said, format!("verified: {}, by the secret {}", verified.algorithm, verified.secret_name))
        }
        Err(error @ SignatureError::NoSecret) => return Err(Error::new(error)),
        Err(error) => {
            let said = json!({ "verified": false, "error": {"class": "Authentication", "message": error.to_string()} });
            (Answer::No, said, format!("not verified: {error}"))
        }
    };
    output.print(Format::Table, &said, |_| for_people)?;
    Ok(answer)
}

/// The secret in an environment variable; the variable's name is the secret's name.
fn secret(variable: &str) -> Result<WebhookSecret, Error> {
    Ok(WebhookSecret::new(variable, secret_bytes(variable)?))
}

/// The value of an environment variable that holds a secret.
pub(super) fn secret_bytes(variable: &str) -> Result<Vec<u8>, Error> {
    let value = std::env::var_os(variable).filter(|value| !value.is_empty()).ok_or_else(|| {
        Error::new(format!("--secret-env: the environment variable {variable} is not set, or empty"))
            .hint(format!("export {variable}=…; a secret is never given as an argument, where others can read it"))
    })?;
    Ok(value.into_encoded_bytes())
}

fn normalize(args: &DeliveryArgs, output: Output) -> Result<Answer, Error> {
    let delivery = args.read()?;
    let head = delivery.provider.head(&delivery.headers, &delivery.body).map_err(|error| {
        Error::new(format!("{}: {error}", input::name(&args.headers)))
            .hint("the event type and the delivery id stand in the headers that the provider sent")
    })?;
    match delivery.provider.normalize(&head.event_type, &delivery.body) {
        Ok(Normalization::Events(events)) => {
            output.print(Format::Json, &events, |events| {
                table(["", "Interface", "Kind", "Action", "Native", "Version", "Actor"], events.iter().map(row))
            })?;
            Ok(Answer::Yes)
        }
        Ok(Normalization::Ignored(why)) => {
            output::note(&format!("ignored: {why}"));
            output.print(Format::Json, &[] as &[Value], |_| String::new())?;
            Ok(Answer::Yes)
        }
        Err(error) => {
            let said = json!({ "error": {"class": "Decode", "path": error.path, "message": error.message} });
            let file = input::name(&args.body);
            output.print(Format::Json, &said, |_| format!("{file}: {error}"))?;
            Ok(Answer::No)
        }
    }
}

fn row(event: &CanonicalEvent<'_>) -> [String; 7] {
    let version = &event.observed_version;
    [
        event.ordinal.to_string(),
        event.interface.to_string(),
        event.resource_kind.to_string(),
        event.action.to_string(),
        format!("{} {}", event.native_kind, event.native_id),
        version.updated_at.map_or_else(|| version.sha.clone().unwrap_or_default(), |at| at.to_rfc3339()),
        event.actor.as_ref().and_then(|actor| actor.login.as_deref()).unwrap_or_default().to_owned(),
    ]
}
