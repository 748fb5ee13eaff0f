//! Layer 1: a document against the schema of its kind (R7, R8, R23, R25, R68).
//!
//! The schema is what the CRD is made from, so that a file, the local store and a cluster refuse the same. Krate's own extensions of it are
//! read elsewhere: `x-krate-immutable` and `x-krate-command` in `change.rs`, `x-krate-ref` in `references.rs`.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex_lite::Regex;
use serde_json::{Map, Value, json};

use super::failure::{Accepted, Code, Findings};
use super::path::{Path, ROOT};
use super::rules::Rule;
use super::scalars::{MAX_SAFE_INTEGER, duration, is_native_key, is_native_name, is_sha, url_problem};
use super::secrets::shown;
use crate::Digest;
use crate::kinds::shared::{NATIVE_KEY, NATIVE_NAME, parse_time};

/// The deepest open content (R68).
pub(crate) const MAX_OPEN_DEPTH: usize = 64;
/// The largest open content, as compact JSON (R68).
pub(crate) const MAX_OPEN_BYTES: usize = 64 * 1024;

/// Durations that may be no time at all (R8).
const MAY_BE_ZERO: [&str; 3] = ["jitter", "overlap", "debounce"];

/// The fields of `metadata`, as Kubernetes has them; what a server sets is only looked at, never asked for.
static METADATA: LazyLock<Value> = LazyLock::new(|| {
    let text = |bytes: usize| json!({"type": "string", "maxLength": bytes});
    let texts = |bytes: usize| json!({"type": "object", "additionalProperties": text(bytes)});
    let time = || json!({"type": "string", "format": "date-time"});
    json!({"type": "object", "properties": {
        "name": text(253), "namespace": text(253), "generateName": text(253), "uid": text(253),
        "resourceVersion": text(253), "selfLink": text(2048), "creationTimestamp": time(), "deletionTimestamp": time(),
        "generation": {"type": "integer"}, "deletionGracePeriodSeconds": {"type": "integer"},
        "labels": texts(63), "annotations": texts(262_144),
        "finalizers": {"type": "array", "items": text(253), "x-kubernetes-list-type": "set"},
        "ownerReferences": {"type": "array", "items": {"type": "object",
            "required": ["apiVersion", "kind", "name", "uid"],
            "properties": {"apiVersion": text(253), "kind": text(253), "name": text(253), "uid": text(253),
                "controller": {"type": "boolean"}, "blockOwnerDeletion": {"type": "boolean"}}}},
        "managedFields": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
    }})
});

/// Checks everything below `apiVersion` and `kind` against the schema of the kind, as its CRD has it.
pub(super) fn check(schema: &Value, document: &Map<String, Value>, findings: &mut Findings) {
    const ENVELOPE: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
    let properties = schema.get("properties");
    for (name, value) in document {
        match name.as_str() {
            "apiVersion" | "kind" => {}
            "metadata" => walk(&METADATA, value, ROOT.field("metadata"), findings),
            known => match properties.and_then(|properties| properties.get(known)) {
                Some(schema) => walk(schema, value, ROOT.field(known), findings),
                None => findings.fail_unknown(name, Rule::r(7), Code::Forbidden, "is no field here", name, ENVELOPE),
            },
        }
    }
    missing(schema, document, &ROOT, findings);
}

/// Checks the envelope of a kind that has no schema yet: nothing of `spec` and `status` but that they are objects.
pub(super) fn check_envelope(document: &Map<String, Value>, findings: &mut Findings) {
    let any = json!({"properties": {"spec": {"type": "object"}, "status": {"type": "object"}}, "required": ["spec"]});
    check(&any, document, findings);
}

fn walk(schema: &Value, value: &Value, path: Path<'_>, findings: &mut Findings) {
    if flag(schema, "x-kubernetes-preserve-unknown-fields") {
        return open(value, &path, findings);
    }
    if flag(schema, "x-kubernetes-int-or-string") {
        return match value {
            Value::String(text) => string(schema, text, &path, findings),
            Value::Number(number) => integer(schema, number, &path, findings),
            other => wrong_type("a string or an integer", other, &path, findings),
        };
    }
    match (schema.get("type").and_then(Value::as_str).unwrap_or_default(), value) {
        ("object", Value::Object(fields)) => object(schema, fields, &path, findings),
        ("array", Value::Array(items)) => array(schema, items, &path, findings),
        ("string", Value::String(text)) => string(schema, text, &path, findings),
        ("integer", Value::Number(number)) => integer(schema, number, &path, findings),
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) | ("", _) => {}
        (wanted, other) => wrong_type(wanted, other, &path, findings),
    }
}

fn wrong_type(wanted: &str, found: &Value, path: &Path<'_>, findings: &mut Findings) {
    let message = match found {
        Value::Null => format!("is null where {} belongs; leave the field out instead", article(wanted)),
        found => format!("is {} where {} belongs", article(type_name(found)), article(wanted)),
    };
    findings.fail(path, Rule::r(25), Code::TypeInvalid, message);
}

fn article(noun: &str) -> String {
    match noun.bytes().next() {
        _ if noun.starts_with("a ") => noun.to_owned(),
        Some(b'a' | b'e' | b'i' | b'o' | b'u') => format!("an {noun}"),
        _ => format!("a {noun}"),
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn object(schema: &Value, fields: &Map<String, Value>, path: &Path<'_>, findings: &mut Findings) {
    at_most(schema, "maxProperties", fields.len(), "entries", path, findings);
    at_least(schema, "minProperties", fields.len(), "entries", path, findings);
    let properties = schema.get("properties").and_then(Value::as_object);
    let others = schema.get("additionalProperties").filter(|others| others.is_object());
    for (name, value) in fields {
        match (properties.and_then(|properties| properties.get(name)), others) {
            (Some(schema), _) => walk(schema, value, path.field(name), findings),
            (None, Some(schema)) => walk(schema, value, path.key(name), findings),
            // An object without any property named is opaque: the schema says no more about it.
            (None, None) if properties.is_none() => {}
            (None, None) => {
                let known = properties.into_iter().flatten().map(|(known, _)| known.as_str());
                let at = path.field(name);
                findings.fail_unknown(at, Rule::r(7), Code::Forbidden, "is no field here", name, known);
            }
        }
    }
    missing(schema, fields, path, findings);
}

fn missing(schema: &Value, fields: &Map<String, Value>, path: &Path<'_>, findings: &mut Findings) {
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    for name in required.filter(|name| !fields.contains_key(*name)) {
        findings.fail(path.field(name), Rule::r(25), Code::Required, "is required");
    }
}

fn array(schema: &Value, items: &[Value], path: &Path<'_>, findings: &mut Findings) {
    at_most(schema, "maxItems", items.len(), "entries", path, findings);
    at_least(schema, "minItems", items.len(), "entries", path, findings);
    let keys: Vec<&str> = map_keys(schema);
    let is_set =
        schema.get("x-kubernetes-list-type").and_then(Value::as_str) == Some("set") || flag(schema, "uniqueItems");
    let mut seen = BTreeSet::new();
    for (at, item) in items.iter().enumerate() {
        let here = keys.first().map_or_else(|| path.index(at), |key| path.entry(at, item, key));
        if let Some(items) = schema.get("items") {
            walk(items, item, here, findings);
        }
        let identity = if keys.is_empty() {
            is_set.then(|| item.to_string())
        } else {
            let values: Vec<_> = keys.iter().map(|key| item.get(key)).collect();
            values.iter().all(Option::is_some).then(|| format!("{values:?}"))
        };
        if identity.is_some_and(|identity| !seen.insert(identity)) {
            let rule = if keys.is_empty() { Rule::r(23) } else { Rule::r(25) };
            findings.fail(here, rule, Code::Duplicate, "stands in the list twice");
        }
    }
}

/// The keys of a list-map; none where the list is a set or atomic.
pub(super) fn map_keys(schema: &Value) -> Vec<&str> {
    let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
    keys.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn at_most(schema: &Value, bound: &str, found: usize, unit: &str, path: &Path<'_>, findings: &mut Findings) {
    if let Some(max) = size(schema, bound).filter(|max| found > *max) {
        let code = if unit == "bytes" { Code::TooLong } else { Code::TooMany };
        findings.fail(path, Rule::r(25), code, format!("has {found} {unit}, at most {max} are allowed"));
    }
}

fn at_least(schema: &Value, bound: &str, found: usize, unit: &str, path: &Path<'_>, findings: &mut Findings) {
    if let Some(min) = size(schema, bound).filter(|min| found < *min) {
        findings.fail(path, Rule::r(25), Code::Invalid, format!("has {found} {unit}, at least {min} are needed"));
    }
}

fn size(schema: &Value, bound: &str) -> Option<usize> {
    schema.get(bound).and_then(Value::as_u64).and_then(|bound| usize::try_from(bound).ok())
}

fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn string(schema: &Value, text: &str, path: &Path<'_>, findings: &mut Findings) {
    let name = path.last_name();
    if let Some(accepted) = schema.get("enum").and_then(Value::as_array) {
        let accepted: Vec<&str> = accepted.iter().filter_map(Value::as_str).collect();
        if !accepted.contains(&text) {
            let message = format!("{} is not one of the accepted values", shown(text, name));
            findings.fail_set(path, Rule::r(8), message, accepted);
        }
        return;
    }
    // The spec's bounds are bytes; a CRD can only count characters, so this is the stricter of the two.
    at_most(schema, "maxLength", text.len(), "bytes", path, findings);
    at_least(schema, "minLength", text.chars().count(), "characters", path, findings);
    match schema.get("format").and_then(Value::as_str) {
        Some("date-time") if parse_time(text).is_none() => {
            let message = "is no time; write RFC 3339 with an offset, such as 2026-06-01T00:00:00Z";
            findings.fail(path, Rule::r(8), Code::Invalid, message);
        }
        Some("duration") => match duration(text) {
            Ok(duration) if duration.is_zero() && !MAY_BE_ZERO.contains(&name) => {
                findings.fail(path, Rule::r(8), Code::Invalid, "is no time at all; a duration is positive");
            }
            Ok(_) => {}
            Err(problem) => findings.fail(path, Rule::r(8), Code::Invalid, problem),
        },
        // Addresses that krate calls are judged whole by R48.
        Some("uri") if !is_called(path) => {
            if let Some(problem) = url_problem(text) {
                findings.fail(path, Rule::r(8), Code::Invalid, problem);
            }
        }
        _ => {}
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        check_pattern(pattern, text, path, findings);
    }
}

/// Whether R48 judges the address at `path`.
fn is_called(path: &Path<'_>) -> bool {
    path.passes("spec") && super::external::CALLED_ADDRESSES.contains(&path.last_name())
}

fn check_pattern(pattern: &str, text: &str, path: &Path<'_>, findings: &mut Findings) {
    match pattern {
        "^sha256:[0-9a-f]{64}$" => {
            if let Err(problem) = text.parse::<Digest>() {
                findings.fail(path, Rule::r(8), Code::Invalid, problem.to_string());
            }
        }
        "^([0-9a-f]{40}|[0-9a-f]{64})$" => {
            if !is_sha(text) {
                findings.fail(path, Rule::r(8), Code::Invalid, "is no commit: 40 or 64 lower-case hex digits");
            }
        }
        NATIVE_NAME if text.contains('/') => {
            let message = "leaves the namespace; a Secret or ConfigMap is one of it, named alone";
            findings.fail(path, Rule::r(4), Code::Invalid, message);
        }
        NATIVE_NAME => {
            if !is_native_name(text) {
                let message = "is no name of a Secret or ConfigMap: a-z, 0-9 and -, in parts joined by dots";
                findings.fail(path, Rule::r(10), Code::Invalid, message);
            }
        }
        NATIVE_KEY => {
            if !is_native_key(text) {
                let message = "is no key of a Secret or ConfigMap: letters, digits, -, _ and .";
                findings.fail(path, Rule::r(10), Code::Invalid, message);
            }
        }
        // A pattern that the engine can't read is a defect of the schema, not of the document; a test compiles them all.
        pattern => {
            if Regex::new(pattern).is_ok_and(|regex| !regex.is_match(text)) {
                let form = Some(Accepted::One(pattern.to_owned()));
                findings.push(path, Rule::r(25), Code::Invalid, "does not have the form that is asked for", form);
            }
        }
    }
}

fn integer(schema: &Value, number: &serde_json::Number, path: &Path<'_>, findings: &mut Findings) {
    let Some(found) = number.as_i64() else {
        if number.is_u64() {
            findings.fail(path, Rule::r(8), Code::Invalid, "does not fit 53 bits, so JSON readers would change it");
        } else {
            wrong_type("integer", &Value::Number(number.clone()), path, findings);
        }
        return;
    };
    if !(-MAX_SAFE_INTEGER..=MAX_SAFE_INTEGER).contains(&found) {
        findings.fail(path, Rule::r(8), Code::Invalid, "does not fit 53 bits, so JSON readers would change it");
        return;
    }
    let bound = |name: &str| schema.get(name).and_then(whole);
    if let Some(min) = bound("minimum").filter(|min| found < *min) {
        findings.fail(path, Rule::r(25), Code::Invalid, format!("is {found}, at least {min} is needed"));
    }
    if let Some(max) = bound("maximum").filter(|max| found > *max) {
        findings.fail(path, Rule::r(25), Code::Invalid, format!("is {found}, at most {max} is allowed"));
    }
}

/// A bound as a whole number; schemars writes some as `0.0`.
fn whole(bound: &Value) -> Option<i64> {
    bound.as_i64().or_else(|| format!("{:.0}", bound.as_f64()?).parse().ok())
}

/// Open content: bounded before it is walked, and then not judged (R68).
fn open(value: &Value, path: &Path<'_>, findings: &mut Findings) {
    if !value.is_object() {
        return wrong_type("object", value, path, findings);
    }
    if path.passes("managedFields") {
        return;
    }
    if is_deeper(value, MAX_OPEN_DEPTH) {
        findings.fail(path, Rule::r(68), Code::Invalid, format!("is nested more than {MAX_OPEN_DEPTH} deep"));
        return;
    }
    let bytes = compact_bytes(value);
    if bytes > MAX_OPEN_BYTES {
        let message = format!("has {bytes} bytes as compact JSON, at most {MAX_OPEN_BYTES} are allowed");
        findings.fail(path, Rule::r(68), Code::TooLong, message);
    }
}

/// Whether `value` nests more than `max` objects and lists, itself counted. Never recurses, so that depth can't hurt.
pub(crate) fn is_deeper(value: &Value, max: usize) -> bool {
    let mut waiting = vec![(value, 1)];
    while let Some((value, depth)) = waiting.pop() {
        let is_container = value.is_object() || value.is_array();
        if is_container && depth > max {
            return true;
        }
        match value {
            Value::Object(fields) => waiting.extend(fields.values().map(|value| (value, depth + 1))),
            Value::Array(items) => waiting.extend(items.iter().map(|value| (value, depth + 1))),
            _ => {}
        }
    }
    false
}

/// The length of `value` as compact JSON. Never recurses.
pub(crate) fn compact_bytes(value: &Value) -> usize {
    let quoted = |text: &str| {
        let escaped = |byte: u8| match byte {
            b'"' | b'\\' | 0x08 | b'\t' | b'\n' | 0x0c | b'\r' => 2,
            0..0x20 => 6,
            _ => 1,
        };
        text.bytes().map(escaped).sum::<usize>() + 2
    };
    let (mut waiting, mut bytes) = (vec![value], 0usize);
    while let Some(value) = waiting.pop() {
        bytes += match value {
            Value::Null | Value::Bool(true) => 4,
            Value::Bool(false) => 5,
            Value::Number(number) => number.to_string().len(),
            Value::String(text) => quoted(text),
            Value::Array(items) => {
                waiting.extend(items);
                2 + items.len().saturating_sub(1)
            }
            Value::Object(fields) => {
                waiting.extend(fields.values());
                2 + fields.len().saturating_sub(1) + fields.keys().map(|name| quoted(name) + 1).sum::<usize>()
            }
        };
    }
    bytes
}
