//! What survives reading and writing: everything that the schema knows.

use krate_model::kinds::defined::{DEFINED, Defined};
use krate_model::schema::schema;
use krate_model::{Kind, apply_defaults, canonical_json, normalize_sets};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::generate::{Fill, documents};

fn normal(kind: Kind, mut document: Value) -> Value {
    apply_defaults(kind, &mut document);
    normalize_sets(kind, &mut document);
    document
}

/// Fails with the first place where two documents differ: a whole document says little.
fn same(found: &Value, expected: &Value) -> Result<(), TestCaseError> {
    fn difference(found: &Value, expected: &Value, path: &str) -> Option<String> {
        match (found, expected) {
            (Value::Object(a), Value::Object(b)) => {
                a.keys().chain(b.keys()).find_map(|name| match (a.get(name), b.get(name)) {
                    (Some(a), Some(b)) => difference(a, b, &format!("{path}.{name}")),
                    (a, b) => Some(format!("{path}.{name}: {a:?} instead of {b:?}")),
                })
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                a.iter().zip(b).enumerate().find_map(|(at, (a, b))| difference(a, b, &format!("{path}[{at}]")))
            }
            (a, b) => (a != b).then(|| format!("{path}: {a} instead of {b}")),
        }
    }
    difference(found, expected, "").map_or(Ok(()), |difference| Err(TestCaseError::fail(difference)))
}

fn retyped(defined: &Defined, document: &Value) -> Result<Value, TestCaseError> {
    defined.retype(document).map_err(|error| TestCaseError::fail(format!("{error}\n{document:#}")))
}

fn survives(defined: &Defined, document: &Value) -> Result<(), TestCaseError> {
    let typed = retyped(defined, document)?;
    same(&normal(defined.kind, typed.clone()), &normal(defined.kind, document.clone()))?;
    same(&retyped(defined, &typed)?, &typed)
}

fn for_every_kind(fill: Fill, cases: u32, holds: fn(&Defined, &Value) -> Result<(), TestCaseError>) {
    for defined in DEFINED {
        let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        let run = runner.run(&documents(defined.kind, fill), |document| holds(defined, &document));
        if let Err(error) = run {
            panic!("{}: {error}", defined.kind);
        }
    }
}

#[test]
fn every_field_of_every_kind_survives_reading_and_writing() {
    for_every_kind(Fill::All, 4, survives);
}

#[test]
fn any_choice_of_fields_survives_reading_and_writing() {
    for_every_kind(Fill::Some, 24, survives);
}

#[test]
fn r67_defaults_applied_twice_are_applied_once_and_are_those_of_the_types() {
    for_every_kind(Fill::Some, 16, |defined, document| {
        let once = normal(defined.kind, document.clone());
        same(&normal(defined.kind, once.clone()), &once)?;
        let typed = normal(defined.kind, retyped(defined, document)?);
        same(&typed, &once)
    });
}

#[test]
fn r41_the_order_of_sets_and_list_maps_means_nothing() {
    fn reversed(schema: &Value, value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let below = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
                    if let Some(below) = below {
                        reversed(below, member);
                    }
                }
            }
            Value::Array(items) => {
                items.iter_mut().for_each(|item| reversed(&schema["items"], item));
                if schema["x-kubernetes-list-type"] != "atomic" {
                    items.reverse();
                }
            }
            _ => {}
        }
    }
    for_every_kind(Fill::Some, 16, |defined, document| {
        let mut other = document.clone();
        reversed(schema(defined.kind).unwrap(), &mut other);
        let text = |document: Value| canonical_json(&normal(defined.kind, document)).unwrap();
        prop_assert_eq!(text(other), text(document.clone()));
        Ok(())
    });
}

#[test]
fn r26_values_of_a_newer_version_are_kept_in_every_closed_set() {
    /// Replaces every value of a closed set; returns how many there were.
    fn newer(schema: &Value, value: &mut Value) -> usize {
        match value {
            Value::Object(members) => members
                .iter_mut()
                .filter_map(|(name, member)| {
                    let below = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"))?;
                    Some(newer(below, member))
                })
                .sum(),
            Value::Array(items) => {
                // In a set, one newer value: two would be one element.
                let all = if schema["x-kubernetes-list-type"] == "atomic" { items.len() } else { 1 };
                items.iter_mut().take(all).map(|item| newer(&schema["items"], item)).sum()
            }
            value if schema.get("enum").is_some() && value.as_str().is_some_and(|text| !is_condition(text)) => {
                *value = json!("from-a-newer-version");
                1
            }
            _ => 0,
        }
    }
    /// A condition's status is Kubernetes' own, and a plain string in its type.
    fn is_condition(text: &str) -> bool {
        ["True", "False"].contains(&text)
    }
    for_every_kind(Fill::All, 2, |defined, document| {
        let mut newer_document = document.clone();
        let count = newer(schema(defined.kind).unwrap(), &mut newer_document);
        prop_assert!(count > 0, "every kind has a phase");
        survives(defined, &newer_document)
    });
}

#[test]
fn what_the_schema_does_not_know_is_pruned() {
    let document = json!({"metadata": {"name": "x"}, "spec": {"organizationRef": "a", "title": "t", "titel": "t"}});
    let typed = Defined::of(Kind::Issue).unwrap().retype(&document).unwrap();
    assert_eq!(typed["spec"].get("titel"), None);
}

#[test]
fn a_time_keeps_its_instant_and_its_fraction() {
    let document = json!({
        "metadata": {"name": "x"}, "spec": {"organizationRef": "a", "title": "t"},
        "status": {"phase": "Open", "updatedAt": "2026-06-01T02:00:00.123456+02:00"},
    });
    let typed = Defined::of(Kind::Issue).unwrap().retype(&document).unwrap();
    assert_eq!(typed["status"]["updatedAt"], "2026-06-01T00:00:00.123456Z");
}
