//! The manifests that ship, judged as any other document of their kind.
#![allow(missing_docs)]

use krate_model::API_VERSION;
use krate_model::validate::{DEFAULT_PLATFORM_NAMESPACE, Request, View, Writer, validate};
use krate_providers::registry::providers;
use serde_json::{Value, json};

fn documents() -> Vec<Value> {
    let document = |provider: &&dyn krate_providers::contract::Provider| {
        json!({
            "apiVersion": API_VERSION,
            "kind": "ExternalProviderCapabilityManifest",
            "metadata": {"name": provider.provider_type(), "namespace": DEFAULT_PLATFORM_NAMESPACE},
            "spec": provider.manifest(),
        })
    };
    providers().iter().map(document).collect()
}

#[test]
fn r63_every_manifest_that_ships_is_valid() {
    let request = Request::new(Writer::Controller, "2026-06-01T00:00:00Z".parse().expect("a time"));
    let view = View::complete(documents());
    assert!(!documents().is_empty());
    for document in documents() {
        assert_eq!(validate(&document, None, &view, &request).failures, [], "{}", document["metadata"]["name"]);
    }
}
