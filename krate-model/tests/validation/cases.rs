//! Each valid and invalid case of resource-kinds.md section 7.

use std::collections::BTreeSet;

use krate_model::kinds::defined::Defined;
use krate_model::validate::{Writer, validate};
use krate_model::{apply_defaults, normalize_sets};
use serde_json::{Value, json};

use super::support::{INVALID, VALID, kind, maker, place, request, store, unset, valid_documents, yaml};

/// One invalid case: the document to judge, what it changes where it is an update, and what is expected.
struct Case {
    title: String,
    document: Value,
    old: Option<Value>,
    path: String,
    rule: String,
    also: BTreeSet<String>,
    accepted: Option<Value>,
}

fn invalid_cases() -> Vec<Case> {
    let documents = valid_documents();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let case = |case: &Value| {
        let base = text(&case["base"]);
        let (kind, name) = base.split_once('/').expect("kind and name");
        let stored = documents
            .iter()
            .find(|document| document["kind"] == kind && document["metadata"]["name"] == name)
            .expect("a base among the valid cases");
        let mut document = stored.clone();
        for (path, value) in case["set"].as_object().into_iter().flatten() {
            *place(&mut document, path) = value.clone();
        }
        for path in case["unset"].as_array().into_iter().flatten() {
            unset(&mut document, path.as_str().expect("a path"));
        }
        Case {
            title: format!("{base} {} {}", text(&case["path"]), text(&case["rule"])),
            document,
            old: (case["update"] == true).then(|| stored.clone()),
            path: text(&case["path"]),
            rule: text(&case["rule"]),
            also: case["also"].as_array().into_iter().flatten().map(text).collect(),
            accepted: case.get("accepted").cloned(),
        }
    };
    yaml(INVALID).as_array().expect("a list of cases").iter().map(case).collect()
}

#[test]
fn r29_the_valid_documents_pass_together() {
    let view = store();
    for document in valid_documents() {
        let report = validate(&document, None, &view, &request(maker(&document)));
        assert_eq!(report.failures, [], "{} {}", document["kind"], document["metadata"]["name"]);
        assert_eq!(report.unchecked, [], "{} {}", document["kind"], document["metadata"]["name"]);
    }
}

#[test]
fn r31_what_no_schema_is_known_of_is_said_and_not_taken_for_valid() {
    let view = json!({
        "apiVersion": "krate.a5c.ai/v1alpha1", "kind": "View", "metadata": {"name": "mine", "namespace": "krate-org-a"},
        "spec": {"organizationRef": "a", "selector": "open"},
    });
    let report = validate(&view, None, &store(), &request(Writer::Person));
    assert_eq!(report.failures, []);
    assert!(report.unchecked.iter().any(|unchecked| unchecked.path == "spec"), "{:?}", report.unchecked);
}

#[test]
fn r67_defaulting_twice_changes_nothing() {
    for document in valid_documents() {
        let (mut once, kind) = (document.clone(), kind(&document));
        apply_defaults(kind, &mut once);
        let mut twice = once.clone();
        apply_defaults(kind, &mut twice);
        assert_eq!(once, twice);
    }
}

#[test]
fn r67_each_valid_document_survives_its_type() {
    for mut document in valid_documents() {
        let kind = kind(&document);
        let Some(defined) = Defined::of(kind) else { continue };
        apply_defaults(kind, &mut document);
        let mut retyped = defined.retype(&document).expect("a valid document has its type");
        for document in [&mut document, &mut retyped] {
            apply_defaults(kind, document);
            normalize_sets(kind, document);
        }
        assert_eq!(retyped, document);
    }
}

#[test]
fn r29_each_invalid_case_fails_at_its_path_by_its_rule_and_by_no_other() {
    let view = store();
    let mut problems = Vec::new();
    for case in invalid_cases() {
        let report = validate(&case.document, case.old.as_ref(), &view, &request(Writer::Person));
        let found = report.failures.iter().find(|f| f.path == case.path && f.rule.to_string() == case.rule);
        let others = report.failures.iter().filter(|f| {
            let rule = f.rule.to_string();
            rule != case.rule && !case.also.contains(&rule)
        });
        let others: Vec<String> = others.map(ToString::to_string).collect();
        if found.is_none() {
            problems.push(format!("{}: not found among {:?}", case.title, report.failures));
        }
        if !others.is_empty() {
            problems.push(format!("{}: other rules fail: {others:?}", case.title));
        }
        if let (Some(found), Some(accepted)) = (found, &case.accepted)
            && json!(found.accepted) != *accepted
        {
            problems.push(format!("{}: accepted {:?}, not {accepted}", case.title, found.accepted));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn r29_failures_are_ordered_by_path_then_rule() {
    for case in invalid_cases() {
        let failures = validate(&case.document, case.old.as_ref(), &store(), &request(Writer::Person)).failures;
        assert!(failures.is_sorted_by_key(|failure| (failure.path.clone(), failure.rule)), "{}", case.title);
    }
}

#[test]
fn the_copied_cases_are_those_of_the_spec() {
    let spec = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/spec/resource-kinds.md");
    let Ok(spec) = std::fs::read_to_string(spec) else {
        eprintln!("no specification beside the repository: the copied cases were not compared");
        return;
    };
    let (_, cases) = spec.split_once("## 7. Cases").expect("section 7");
    let blocks: Vec<&str> =
        cases.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap_or_default()).collect();
    assert_eq!(blocks, [VALID, INVALID]);
}
