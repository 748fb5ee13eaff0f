//! `krate edit` and `krate delete`: change mergeable fields, or let an object go; the provider gets it where the binding says so.

use std::path::PathBuf;

use http::Method;
use serde_json::{Map, Value, json};

use super::{Api, Failed, Server, text};
use crate::commands::explain::kind_named;
use crate::error::{Answer, Error};
use crate::input;
use crate::output::{Format, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// The kind, by name, plural or short name
    kind: String,
    /// The object
    name: String,
    /// A field and its new value: spec.title="A title", or spec.labels with a JSON list; repeat it for more
    #[arg(long, value_name = "PATH=VALUE", required_unless_present = "file")]
    set: Vec<String>,
    /// A JSON merge patch
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// For whom
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
}

pub(super) fn run(args: &Args, output: Output) -> Result<Answer, Failed> {
    let kind = kind_named(&args.kind)?;
    let mut patch = match &args.file {
        Some(file) => input::json(file)?,
        None => Value::Object(Map::new()),
    };
    for assignment in &args.set {
        set(&mut patch, assignment)?;
    }
    let api = Api::new(&args.server)?.user(args.user.as_deref());
    let namespace = api.namespace_of(kind, &args.name)?;
    let url = api.url(&[kind.as_str(), &namespace, &args.name], &[]);
    let object = api.call(Method::PATCH, &url, Some(&patch))?;
    output.print(Format::Table, &object, |object| {
        format!("{kind} {} is at generation {}", args.name, text(object, "/metadata/generation"))
    })?;
    Ok(Answer::Yes)
}

#[derive(Debug, clap::Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    server: Server,
    /// The kind, by name, plural or short name
    kind: String,
    /// The object
    name: String,
    /// Why a binding goes without waiting for what its provider makes of writes in flight; at least 20 characters
    #[arg(long, value_name = "REASON")]
    force: Option<String>,
    /// For whom
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
}

/// `krate delete`: what becomes of the wish is the provider's to say, and told.
pub(super) fn delete(args: &DeleteArgs, output: Output) -> Result<Answer, Failed> {
    let kind = kind_named(&args.kind)?;
    let api = Api::new(&args.server)?.user(args.user.as_deref());
    let namespace = api.namespace_of(kind, &args.name)?;
    let force: Vec<(&str, &str)> = args.force.iter().map(|reason| ("force", reason.as_str())).collect();
    let url = api.url(&[kind.as_str(), &namespace, &args.name], &force);
    let answer = api.call(Method::DELETE, &url, None)?;
    output.print(Format::Table, &answer, |answer| format!("{kind} {}: {}", args.name, text(answer, "/message")))?;
    Ok(Answer::Yes)
}

fn set(patch: &mut Value, assignment: &str) -> Result<(), Error> {
    let bad =
        || Error::new(format!("--set: {assignment:?}: PATH=VALUE is expected")).hint("such as spec.title=\"A title\"");
    let (path, value) = assignment.split_once('=').ok_or_else(bad)?;
    let path = if path.starts_with("spec.") { path.to_owned() } else { format!("spec.{path}") };
    if path.split('.').any(str::is_empty) {
        return Err(bad());
    }
    let mut at = patch;
    for part in path.split('.') {
        if !at.is_object() {
            *at = json!({});
        }
        let Some(members) = at.as_object_mut() else { return Err(bad()) };
        at = members.entry(part).or_insert(Value::Null);
    }
    *at = value_of(value);
    Ok(())
}

/// JSON where it is no mere text or number: no field that can be edited is a number, so `5` is a title.
fn value_of(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Number(_)) | Err(_) => Value::String(text.to_owned()),
        Ok(value) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_make_a_patch() {
        let mut patch = json!({"spec": {"labels": ["a"]}});
        for assignment in
            ["title=5", "spec.body.markdown=x = y", "spec.labels=[\"b\"]", "spec.locked=true", "spec.milestone=null"]
        {
            set(&mut patch, assignment).unwrap();
        }
        let expected = json!({"spec": {
            "title": "5", "body": {"markdown": "x = y"}, "labels": ["b"], "locked": true, "milestone": null,
        }});
        assert_eq!(patch, expected);
        assert!(set(&mut patch, "title").is_err());
        assert!(set(&mut patch, "spec..title=x").is_err());
    }
}
