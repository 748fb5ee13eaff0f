//! What the tests stand on: the cases of resource-kinds.md section 7, and documents made from them.

use std::sync::LazyLock;

use krate_model::validate::{Report, Request, View, Writer, validate};
use krate_model::{API_VERSION, Kind};
use serde_json::{Map, Value};

pub(crate) const VALID: &str = include_str!("../cases/valid.yaml");
pub(crate) const INVALID: &str = include_str!("../cases/invalid.yaml");
pub(crate) const MANIFEST: &str = include_str!("../cases/github-manifest.yaml");

pub(crate) fn yaml(text: &str) -> Value {
    // One case has `y` for a name, which YAML 1.1 takes for a boolean.
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).expect("the cases are YAML")
}

pub(crate) fn request(writer: Writer) -> Request {
    Request::new(writer, "2026-06-01T00:00:00Z".parse().expect("a time"))
}

pub(crate) fn kind(document: &Value) -> Kind {
    document["kind"].as_str().expect("a kind").parse().expect("a known kind")
}

pub(crate) fn valid_documents() -> Vec<Value> {
    static DOCUMENTS: LazyLock<Vec<Value>> = LazyLock::new(|| {
        let Value::Array(mut documents) = yaml(VALID) else { panic!("the valid cases are a list") };
        for document in &mut documents {
            document["apiVersion"] = API_VERSION.into();
        }
        documents
    });
    DOCUMENTS.clone()
}

pub(crate) fn store() -> View {
    static VIEW: LazyLock<View> =
        LazyLock::new(|| View::complete(valid_documents().into_iter().chain([yaml(MANIFEST)])));
    VIEW.clone()
}

/// Who brings a document of the store there: a person, but for what only controllers make (R19).
pub(crate) fn maker(document: &Value) -> Writer {
    if kind(document) == Kind::AgentApproval { Writer::Controller } else { Writer::Person }
}

/// The steps of a path as the cases write it: `spec.a[name=b].c[0]`; dots inside brackets are no steps.
pub(crate) fn steps(path: &str) -> Vec<String> {
    let (mut steps, mut rest) = (Vec::new(), path);
    while !rest.is_empty() {
        let end = match rest.strip_prefix('[') {
            Some(_) => rest.find(']').expect("a closing bracket") + 1,
            None => rest.find(['.', '[']).unwrap_or(rest.len()),
        };
        steps.push(rest[..end].to_owned());
        rest = rest[end..].trim_start_matches('.');
    }
    steps
}

/// The place at a path, made where it isn't there yet.
pub(crate) fn place<'v>(document: &'v mut Value, path: &str) -> &'v mut Value {
    steps(path).iter().fold(document, |at, step| {
        let Some(inside) = step.strip_prefix('[').and_then(|step| step.strip_suffix(']')) else {
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            return &mut at[step];
        };
        match inside.split_once('=') {
            None => &mut at[inside.parse::<usize>().expect("an index")],
            Some((key, value)) => {
                let list = at.as_array_mut().expect("a list-map");
                list.iter_mut().find(|entry| entry[key] == value).expect("an entry of that key")
            }
        }
    })
}

pub(crate) fn unset(document: &mut Value, path: &str) {
    let (above, name) = path.rsplit_once('.').expect("a path of fields");
    place(document, above).as_object_mut().expect("an object").remove(name);
}

/// The stored document of that kind and name.
pub(crate) fn stored(base: &str) -> Value {
    let (kind, name) = base.split_once('/').expect("kind and name");
    let mut documents = valid_documents().into_iter();
    documents
        .find(|document| document["kind"] == kind && document["metadata"]["name"] == name)
        .expect("a stored document")
}

/// A document with some places set.
pub(crate) fn with(mut document: Value, changes: &[(&str, Value)]) -> Value {
    for (path, value) in changes {
        *place(&mut document, path) = value.clone();
    }
    document
}

/// A document like the stored one under the name `x`, with some places set.
pub(crate) fn like(base: &str, changes: &[(&str, Value)]) -> Value {
    with(with(stored(base), &[("metadata.name", "x".into())]), changes)
}

/// What is said of a new document, made by a person, beside the stored ones.
pub(crate) fn created(document: &Value) -> Report {
    validate(document, None, &store(), &request(Writer::Person))
}

/// What is said of a change of a stored document.
pub(crate) fn updated(base: &str, changes: &[(&str, Value)], writer: Writer) -> Report {
    let old = stored(base);
    validate(&with(old.clone(), changes), Some(&old), &store(), &request(writer))
}

/// Path and rule of each failure, as `spec.a R1`.
pub(crate) fn told(report: &Report) -> Vec<String> {
    report.failures.iter().map(|failure| format!("{} {}", failure.path, failure.rule)).collect()
}
