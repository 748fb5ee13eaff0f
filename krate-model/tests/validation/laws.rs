//! Laws that hold for any document.

use krate_model::validate::{Writer, validate};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::support::{request, store, valid_documents};

/// Every place in a document, as a JSON pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                places(value, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                places(item, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({"x": inner}) })
}

/// What a single place can become.
fn replacement() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        Just(None),
        Just(Some(Value::Null)),
        any::<bool>().prop_map(|value| Some(value.into())),
        any::<i64>().prop_map(|value| Some(value.into())),
        any::<u64>().prop_map(|value| Some(value.into())),
        any::<f64>().prop_map(|value| Some(value.into())),
        "\\PC{0,40}".prop_map(|value| Some(value.into())),
        "[-/.:*{}\\[\\]=@\\\\0-9a-zA-Z\u{0}\u{202e}]{0,300}".prop_map(|value| Some(value.into())),
        (1usize..2_000).prop_map(|depth| Some(nested(depth))),
        Just(Some(json!([]))),
        Just(Some(json!({"unknown": {"a": [1, "b"]}}))),
        Just(Some(json!([{"name": "gitForge"}, {"name": "gitForge"}, 7, null, "x"]))),
    ]
}

fn mutate(document: &mut Value, place: &str, new: Option<Value>) {
    let Some((above, name)) = place.rsplit_once('/') else {
        *document = new.unwrap_or(Value::Null);
        return;
    };
    match (document.pointer_mut(above), new) {
        (Some(Value::Object(fields)), None) => {
            fields.remove(&name.replace("~1", "/").replace("~0", "~"));
        }
        (Some(Value::Array(items)), None) => {
            let at: usize = name.parse().expect("an index");
            items.remove(at);
        }
        (_, Some(new)) => {
            if let Some(value) = document.pointer_mut(place) {
                *value = new;
            }
        }
        (_, None) => {}
    }
}

/// A valid document with one or two places changed, removed or added.
fn mutated() -> impl Strategy<Value = (Value, Value)> {
    let documents = valid_documents();
    let change = (any::<prop::sample::Index>(), replacement());
    (0..documents.len(), prop::collection::vec(change, 1..3), any::<bool>()).prop_map(move |(at, changes, adds)| {
        let old = documents[at].clone();
        let mut new = old.clone();
        for (place, value) in changes {
            let mut found = Vec::new();
            places(&new, "", &mut found);
            let place = place.get(&found);
            match (adds, new.pointer_mut(place), &value) {
                (true, Some(Value::Object(fields)), Some(value)) => {
                    fields.insert("unexpected".to_owned(), value.clone());
                }
                _ => mutate(&mut new, place, value),
            }
        }
        (old, new)
    })
}

/// The same document with the keys of every map in the other order.
fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().rev().map(|(name, value)| (name.clone(), reversed(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(reversed).collect(),
        other => other.clone(),
    }
}

fn writer() -> impl Strategy<Value = Writer> {
    prop_oneof![Just(Writer::Person), Just(Writer::Agent), Just(Writer::Controller)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn r29_any_document_is_answered_and_the_answer_is_one((old, new) in mutated(), writer in writer(), status in any::<bool>()) {
        let view = store();
        let request = if status { request(writer).of_status() } else { request(writer) };
        for old in [None, Some(&old)] {
            let report = validate(&new, old, &view, &request);
            prop_assert!(report.failures.is_sorted_by_key(|failure| (failure.path.clone(), failure.rule)));
            prop_assert_eq!(&report, &validate(&reversed(&new), old.map(reversed).as_ref(), &view, &request));
        }
        // The stored object may be anything that an older version let in.
        validate(&old, Some(&new), &view, &request);
    }

    #[test]
    fn r64_writing_the_stored_object_again_is_refused_for_nothing_but_what_never_yields((_, new) in mutated()) {
        let report = validate(&new, Some(&new), &store(), &request(Writer::Controller));
        let never = ["R2", "R3", "R4", "R5", "R6", "R9", "R14", "R16"];
        if !report.failures.iter().any(|failure| failure.path.is_empty() || failure.path == "kind") {
            let refused = report.failures.iter().find(|failure| !never.contains(&failure.rule.to_string().as_str()));
            prop_assert_eq!(refused, None);
        }
    }

    #[test]
    fn r29_any_json_is_answered(text in "\\PC{0,200}") {
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            validate(&value, None, &store(), &request(Writer::Person));
        }
        validate(&Value::String(text), None, &store(), &request(Writer::Person));
    }
}

#[test]
fn r9_no_secret_is_echoed_wherever_it_stands() {
    let canary = format!("ghp_{}", "Zq7".repeat(12));
    for document in valid_documents() {
        let mut found = Vec::new();
        places(&document, "", &mut found);
        for place in found.iter().filter(|place| place.starts_with("/spec")) {
            let mut new = document.clone();
            mutate(&mut new, place, Some(canary.clone().into()));
            for old in [None, Some(&document)] {
                let report = validate(&new, old, &store(), &request(Writer::Person));
                let text = format!("{report:?} {}", serde_json::to_string(&report).expect("JSON"));
                assert!(!text.contains(&canary), "{place}: {text}");
            }
        }
    }
}
