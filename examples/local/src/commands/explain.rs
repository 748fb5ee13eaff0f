//! `krate explain`: a kind, one of its fields, or a rule by its number.

use std::fmt::Write as _;

use krate_model::explain::{Field, NotExplained, Shape, explain};
use krate_model::validate::Rule;
use krate_model::{API_VERSION, Kind, NotAKind};
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::{Answer, Error};
use crate::output::{Format, Output, table};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A kind (Issue), a field (Issue.spec.labels) or a rule (R12); without it, all kinds
    #[arg(value_name = "KIND[.PATH] | RULE")]
    what: Option<String>,
}

pub(crate) fn run(args: &Args, output: Output) -> Result<Answer, Error> {
    let Some(what) = &args.what else {
        output.print(Format::Table, &kinds(), |_| kinds_table())?;
        return Ok(Answer::Yes);
    };
    if let Ok(rule) = what.parse::<Rule>() {
        let answer = json!({ "rule": rule, "sentence": rule.sentence() });
        output.print(Format::Table, &answer, |_| format!("{rule}: {}", rule.sentence()))?;
        return Ok(Answer::Yes);
    }
    let (name, path) = what.split_once('.').unwrap_or((what, ""));
    let kind = kind_named(name)?;
    let field = explain(kind, path).map_err(|error| {
        let hint = match &error {
            NotExplained::NoField { parent, .. } if parent != kind.as_str() => {
                format!("see `krate explain {kind}.{parent}`")
            }
            NotExplained::NoField { .. } => format!("see `krate explain {kind}`"),
            _ => "`krate crds -o table` lists the kinds that are defined".to_owned(),
        };
        Error::new(error).hint(hint)
    })?;
    output.print(Format::Table, &Explained::of(&field), |_| for_people(kind, &field))?;
    Ok(Answer::Yes)
}

/// The kind that a person means, or an error with the nearest way to go.
pub(crate) fn kind_named(text: &str) -> Result<Kind, Error> {
    if let Some(kind) = Kind::lookup(text) {
        return Ok(kind);
    }
    let hint = match text.parse::<Kind>() {
        Err(NotAKind { hint: Some(instead), .. }) => format!("use {instead}"),
        _ => "`krate explain` lists the kinds; rules are R1 to R71, P12 and P14".to_owned(),
    };
    Err(Error::new(format!("{text:?} is no kind and no rule")).hint(hint))
}

fn kinds() -> Vec<Value> {
    let row = |kind: &Kind| {
        let info = kind.info();
        json!({
            "kind": info.name, "plural": info.plural, "shortName": info.short, "purpose": info.purpose,
            "defined": krate_model::schema::schema(*kind).is_some(),
        })
    };
    Kind::ALL.iter().map(row).collect()
}

fn kinds_table() -> String {
    let rows = Kind::ALL.iter().map(|kind| {
        let info = kind.info();
        let defined = if krate_model::schema::schema(*kind).is_some() { "yes" } else { "" };
        [
            info.name.to_owned(),
            info.plural.to_owned(),
            info.short.unwrap_or_default().to_owned(),
            defined.to_owned(),
            info.purpose.to_owned(),
        ]
    });
    table(["Kind", "Plural", "Short", "Defined", "Purpose"], rows)
}

/// A field in the output.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained<'f> {
    path: &'f str,
    shape: String,
    required: bool,
    immutable: bool,
    command: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<&'f Value>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    accepted: &'f [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    bounds: &'f [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    refers_to: Option<&'f str>,
    description: &'f str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Explained<'f>>,
}

impl<'f> Explained<'f> {
    fn of(field: &'f Field) -> Self {
        Self {
            path: &field.path,
            shape: field.shape.to_string(),
            required: field.required,
            immutable: field.immutable,
            command: field.command,
            default: field.default.as_ref(),
            accepted: &field.accepted,
            bounds: &field.bounds,
            refers_to: field.refers_to.as_deref(),
            description: &field.description,
            fields: field.fields.iter().map(Explained::of).collect(),
        }
    }
}

/// What is asked of a field, on one line.
fn marks(field: &Field) -> String {
    let mut marks = Vec::new();
    let mut flag = |holds: bool, text: &str| {
        if holds {
            marks.push(text.to_owned());
        }
    };
    flag(field.required, "required");
    flag(field.immutable, "immutable");
    flag(field.command, "command");
    if let Some(default) = &field.default {
        marks.push(format!("default {default}"));
    }
    if let Some(kind) = &field.refers_to {
        marks.push(format!("names a {kind}"));
    }
    if !field.accepted.is_empty() {
        marks.push(format!("one of {}", field.accepted.join(" ")));
    }
    marks.extend(field.bounds.iter().cloned());
    marks.join(", ")
}

fn for_people(kind: Kind, field: &Field) -> String {
    let mut text = if field.path.is_empty() {
        format!("{kind} ({API_VERSION}): {}\n", kind.info().purpose)
    } else {
        format!("{kind}.{}: {}\n", field.path, field.shape)
    };
    if !field.path.is_empty() {
        let _ = writeln!(text, "  {}", field.description.trim());
        let marks = marks(field);
        if !marks.is_empty() {
            let _ = writeln!(text, "  {marks}");
        }
    }
    // For a whole kind the members of spec and status are what people look for.
    let depth = if field.path.is_empty() { 2 } else { 1 };
    let mut rows = Vec::new();
    rows_of(field, depth, 0, &mut rows);
    if !rows.is_empty() {
        let _ = write!(text, "\n{}", table(["Field", "Type", "", "Description"], rows));
    }
    text
}

fn rows_of(field: &Field, depth: usize, level: usize, rows: &mut Vec<[String; 4]>) {
    for inner in &field.fields {
        let name = inner.path.rsplit('.').next().unwrap_or(&inner.path);
        let indented = format!("{}{name}", "  ".repeat(level));
        rows.push([indented, inner.shape.to_string(), marks(inner), inner.description.trim().replace('\n', " ")]);
        if depth > 1 && inner.shape == Shape::Object {
            rows_of(inner, depth - 1, level + 1, rows);
        }
    }
}
