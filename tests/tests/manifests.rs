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

#[test]
fn r11_an_owner_at_github_is_any_account_that_is_there() {
    let provider = json!({"apiVersion": API_VERSION, "kind": "ExternalBackendProvider",
        "metadata": {"name": "gh", "namespace": "krate-org-a"},
        "spec": {"organizationRef": "a", "providerType": "github", "displayName": "GitHub", "capabilities": {"issueTracking": true},
            "authRef": {"mode": "personal-access-token", "secretRef": {"name": "gh"}}}});
    let view = View::partial(documents().into_iter().chain([provider]));
    let told = |owner: &str| {
        let binding = json!({"apiVersion": API_VERSION, "kind": "ExternalBackendBinding",
            "metadata": {"name": "gh-krate", "namespace": "krate-org-a"},
            "spec": {"organizationRef": "a", "providerRef": "gh", "targetRef": {"kind": "Repository", "name": "krate"},
                "externalRef": {"owner": owner, "repository": "krate"}, "interfaces": [{"name": "issueTracking", "mode": "read-only"}]}});
        let request = Request::new(Writer::Person, "2026-06-01T00:00:00Z".parse().expect("a time"));
        let failures = validate(&binding, None, &view, &request).failures;
        failures.into_iter().map(|failure| format!("{} {}", failure.path, failure.rule)).collect::<Vec<_>>()
    };
    // Old accounts have hyphens at either end, and managed users the short code of their enterprise.
    for owner in ["a5c-ai", "x", "foo-", "-ace-", "a--b", "mona_corp"] {
        assert_eq!(told(owner), [""; 0], "{owner}");
    }
    for owner in ["", "a/b", "a.b", "a b", "ä"] {
        assert_eq!(told(owner), ["spec.externalRef.owner R11"], "{owner:?}");
    }
}
