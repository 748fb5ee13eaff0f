//! The examples: of every kind the least that is accepted, and one with every field.

use std::path::Path;

use krate_model::kinds::defined::{DEFINED, Defined};
use krate_model::schema::schema;
use krate_model::validate::{Request, View, Writer, validate};
use krate_model::{apply_defaults, normalize_sets};
use serde_json::Value;

/// Fields that can't stand beside another one of the same object.
const EXCLUDED: [(&str, &str); 12] = [
    ("SSHKey", "spec.repository"),
    ("ExternalBackendProvider", "spec.adapterRef"),
    ("ExternalBackendBinding", "spec.sharedProviderRef"),
    ("ExternalBackendBinding", "spec.sharedSyncPolicyRef"),
    ("ExternalProviderCapabilityManifest", "spec.providerRef"),
    ("ExternalSyncEvent", "spec.sourceBackfill"),
    ("ExternalSyncEvent", "spec.sourceIntent"),
    ("ExternalWebhookDelivery", "status.outcome"),
    ("PolicyTemplate", "spec.cel"),
    ("PolicyTemplate", "spec.kyverno"),
    ("AgentMcpServer", "spec.command"),
    ("AgentMemorySource", "spec.sharedRepositoryRef"),
];

/// The examples of a kind: the least, and all.
fn examples(defined: &Defined) -> (Value, Value) {
    let file = format!("tests/examples/{}.yaml", defined.kind.info().plural);
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file)).expect(&file);
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    let [least, all] = documents.try_into().unwrap_or_else(|_| panic!("{file} has two documents"));
    (least, all)
}

fn for_every_example(mut look: impl FnMut(&Defined, &Value)) {
    for defined in DEFINED {
        let (least, all) = examples(defined);
        look(defined, &least);
        look(defined, &all);
    }
}

fn accepted(defined: &Defined, document: &Value, old: Option<&Value>, writer: Writer) {
    let request = Request::new(writer, "2026-06-01T00:00:00Z".parse().unwrap());
    let report = validate(document, old, &View::partial([]), &request);
    assert!(report.failures.is_empty(), "{}: {:#?}", defined.kind, report.failures);
}

/// A controller makes the object, then a person gives the commands (R19, R37).
#[test]
fn examples_are_valid() {
    for defined in DEFINED {
        let (least, all) = examples(defined);
        accepted(defined, &least, None, Writer::Controller);
        let mut made = all.clone();
        let fields = &schema(defined.kind).unwrap()["properties"]["spec"]["properties"];
        made["spec"].as_object_mut().unwrap().retain(|name, _| fields[name.as_str()].get("x-krate-command").is_none());
        accepted(defined, &made, None, Writer::Controller);
        if made != all {
            accepted(defined, &all, Some(&made), Writer::Person);
        }
    }
}

#[test]
fn examples_survive_reading_and_writing() {
    for_every_example(|defined, example| {
        let normal = |mut document: Value| {
            apply_defaults(defined.kind, &mut document);
            normalize_sets(defined.kind, &mut document);
            document
        };
        let typed = defined.retype(example).unwrap_or_else(|error| panic!("{}: {error}", defined.kind));
        assert_eq!(normal(typed), normal(example.clone()), "{}", defined.kind);
    });
}

#[test]
fn the_least_has_only_what_is_required_and_all_has_every_field() {
    for defined in DEFINED {
        let (least, all) = examples(defined);
        assert!(least.get("status").is_none(), "{}: the least needs no status", defined.kind);
        for part in ["spec", "status"] {
            let fields = schema(defined.kind).unwrap()["properties"][part]["properties"].as_object().unwrap();
            for name in fields.keys() {
                let path = format!("{part}.{name}");
                let excluded = EXCLUDED.contains(&(defined.kind.as_str(), path.as_str()));
                assert_ne!(all[part].get(name).is_some(), excluded, "{}: {path}", defined.kind);
            }
        }
        let mut without = least.clone();
        for name in least["spec"].as_object().unwrap().keys() {
            without["spec"].as_object_mut().unwrap().remove(name);
            let request = Request::new(Writer::Controller, "2026-06-01T00:00:00Z".parse().unwrap());
            let report = validate(&without, None, &View::partial([]), &request);
            assert!(!report.failures.is_empty(), "{}: spec.{name} is not required", defined.kind);
            without["spec"][name] = least["spec"][name].clone();
        }
    }
}
