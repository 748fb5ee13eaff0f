//! Rule by rule: what the cases of the spec leave out.

use krate_model::key::{KeyInput, RequestInput, request_digest};
use krate_model::kinds::external::ExternalWriteIntentSpec;
use krate_model::schema::schema;
use krate_model::validate::{Request, View, Writer, dependants, references, validate};
use krate_model::{Digest, Kind};
use serde_json::{Value, json};

use super::support::{MANIFEST, created, like, request, store, stored, told, updated, valid_documents, with, yaml};

fn failures(base: &str, changes: &[(&str, Value)]) -> Vec<String> {
    told(&created(&like(base, changes)))
}

#[test]
fn r7_unknown_fields_are_told_at_every_level_with_the_nearest_name() {
    let report = created(&like("Issue/first", &[("spec.body.markdwn", "x".into()), ("sepc", json!({}))]));
    let found: Vec<String> = report.failures.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "sepc: is no field here (R7); did you mean spec?",
            "spec.body.markdwn: is no field here (R7); did you mean markdown?"
        ]
    );
}

#[test]
fn r25_types_and_required_fields() {
    let mut document = like("Issue/first", &[("spec.labels", "bug".into()), ("spec.locked", "yes".into())]);
    document["spec"].as_object_mut().expect("a map").remove("title");
    assert_eq!(told(&created(&document)), ["spec.labels R25", "spec.locked R25", "spec.title R25"]);
}

#[test]
fn r25_lengths_count_bytes() {
    let title = |text: String| failures("Issue/first", &[("spec.title", text.into())]);
    assert_eq!(title("ä".repeat(256)), [""; 0]);
    assert_eq!(title("ä".repeat(257)), ["spec.title R25"]);
}

#[test]
fn r23_a_set_holds_no_value_twice_and_r25_a_list_map_no_key() {
    assert_eq!(failures("Issue/first", &[("spec.labels", json!(["a", "b", "a"]))]), ["spec.labels[2] R23"]);
    let names = json!([{"name": "a", "keys": ["k"]}, {"name": "a", "keys": ["k"]}]);
    let report = updated("OrgNamespaceBinding/a", &[("spec.platformSecrets", names)], Writer::Person);
    assert_eq!(told(&report), ["spec.platformSecrets[name=a] R25"]);
}

#[test]
fn r8_enums_list_what_is_accepted() {
    let report = created(&like("Repository/krate", &[("spec.visibility", "Private".into())]));
    assert_eq!(
        serde_json::to_value(&report.failures[0].accepted).expect("JSON"),
        json!(["private", "internal", "public"])
    );
    assert_eq!(report.failures[0].code.as_str(), "FieldValueNotSupported");
}

#[test]
fn r8_durations_times_and_integers() {
    let policy = |field: &str, value: Value| failures("ExternalBackendSyncPolicy/careful", &[(field, value)]);
    assert_eq!(policy("spec.backfill.overlap", "0s".into()), [""; 0]);
    assert_eq!(policy("spec.backfill.overlap", "1d".into()), ["spec.backfill.overlap R8"]);
    assert_eq!(policy("spec.staleAfter", "8785h".into()), ["spec.staleAfter R8"]);
    assert_eq!(policy("spec.staleAfter", "-1h".into()), ["spec.staleAfter R8"]);
    assert_eq!(policy("spec.retry.maxAttempts", 9_007_199_254_740_992_i64.into()), ["spec.retry.maxAttempts R8"]);
    let ends = |end: &str| failures("OrgSharingPolicy/to-b", &[("spec.expiresAt", end.into())]);
    assert_eq!(ends("2026-07-01T00:00:00+02:00"), [""; 0]);
    assert_eq!(ends("2026-07-01T00:00:00"), ["spec.expiresAt R8"]);
}

#[test]
fn r8_r25_a_value_of_an_external_ref_is_bounded() {
    // Without the manifest, whose patterns bound them, too.
    let told_of = |value: Value| {
        let binding = like("ExternalBackendBinding/gh-krate", &[("spec.externalRef.repository", value)]);
        told(&validate(&binding, None, &View::partial([]), &request(Writer::Person)))
    };
    let at = "spec.externalRef.repository";
    for fits in [json!("r".repeat(253)), json!(9_007_199_254_740_991_i64), json!(-9_007_199_254_740_991_i64)] {
        assert_eq!(told_of(fits.clone()), [""; 0], "{fits}");
    }
    assert_eq!(told_of("r".repeat(254).into()), [format!("{at} R25")]);
    for number in [json!(9_007_199_254_740_992_i64), json!(-9_007_199_254_740_992_i64), json!(u64::MAX)] {
        assert_eq!(told_of(number.clone()), [format!("{at} R8")], "{number}");
    }
}

#[test]
fn r22_an_object_has_a_largest_size_by_its_class() {
    let big = Value::from("x".repeat(300 * 1024));
    let report = created(&like("Repository/krate", &[("metadata.annotations.note", big)]));
    let failure = report.failures.iter().find(|failure| failure.rule.to_string() == "R22").expect("too large");
    assert_eq!((failure.path.as_str(), failure.code.as_str()), ("", "FieldValueTooLong"));
    assert!(
        failure.message.contains("262144") && failure.message.contains("has 307"),
        "both sizes: {}",
        failure.message
    );
}

fn envelope(fields: &Value) -> Value {
    json!({"providerRef": "gh", "bindingRef": "gh-krate", "interface": "issueTracking", "nativeKind": "issue",
        "nativeId": "1", "version": {}, "extensions": {"providerType": "github", "schemaVersion": "1", "fields": fields}})
}

#[test]
fn r68_open_content_is_bounded_before_it_is_walked() {
    let nested = |depth: usize| (1..depth).fold(json!({}), |inner, _| json!({"x": inner}));
    let told_of = |fields: Value| {
        failures("Issue/first", &[("status.phase", "Open".into()), ("status.external", envelope(&fields))])
    };
    let at = "status.external.extensions.fields R68";
    assert_eq!(told_of(nested(64)), [""; 0]);
    assert_eq!(told_of(nested(65)), [at]);
    assert_eq!(told_of(nested(5_000)), [at]);
    assert_eq!(told_of(json!({"x": "y".repeat(64 * 1024)})), [at]);
}

#[test]
fn r1_names_by_class() {
    let named = |base: &str, name: &str| told(&created(&with(stored(base), &[("metadata.name", name.into())])));
    assert_eq!(named("Issue/first", "a.b"), [""; 0]);
    assert_eq!(named("Issue/first", "a..b"), ["metadata.name R1"]);
    assert_eq!(named("RunnerPool/small", "a.b"), ["metadata.name R1"]);
    assert_eq!(named("RunnerPool/small", ""), ["metadata.name R1"]);
}

#[test]
fn r33_labels_have_kubernetes_form() {
    let labels = json!({"a5c.ai/owner": "x", "a.b/c d": "e", "f": "g h"});
    let found = failures("Issue/first", &[("metadata.labels", labels)]);
    assert_eq!(found, ["metadata.labels.f R33", "metadata.labels[\"a.b/c d\"] R33"]);
}

#[test]
fn r21_a_deletion_is_forced_by_a_reason_only() {
    let forced = |why: &str| {
        let annotations = json!({"krate.a5c.ai/force-delete": why});
        told(&updated("ExternalBackendBinding/gh-krate", &[("metadata.annotations", annotations)], Writer::Person))
    };
    let at = "metadata.annotations[\"krate.a5c.ai/force-delete\"] R21";
    assert_eq!(forced("                    because"), [at]);
    assert_eq!(forced("the forge is gone ..."), [""; 0]);
}

#[test]
fn r40_both_groups_are_read_and_no_other() {
    let version = |text: &str| failures("Issue/first", &[("apiVersion", text.into())]);
    assert_eq!(version("records.krate.a5c.ai/v1alpha1"), [""; 0]);
    assert_eq!(version("krate.a5c.ai/v1"), ["apiVersion R40"]);
}

#[test]
fn r40_a_reference_means_the_same_with_either_group() {
    let resolved = |version: &str| {
        let provider = json!({"kind": "ExternalBackendProvider", "name": "gh", "apiVersion": version});
        let mapping = json!({"apiVersion": "krate.a5c.ai/v1alpha1", "kind": "IdentityMapping",
            "metadata": {"name": "m", "namespace": "krate-org-a"},
            "spec": {"organizationRef": "a", "user": "alice", "provider": provider, "subject": "1"}});
        references(&mapping).into_iter().any(|reference| reference.path == "spec.provider.name")
    };
    assert!(resolved("krate.a5c.ai/v1alpha1") && resolved("records.krate.a5c.ai/v1alpha1"));
    assert!(!resolved("v1"), "another group's kinds are none of krate's");
}

#[test]
fn r3_a_suspended_organization_takes_no_writes_but_deliveries() {
    let mut view = store();
    view.insert(with(stored("Organization/a"), &[("spec.suspend", true.into())]));
    let report = validate(&like("Issue/first", &[]), None, &view, &request(Writer::Person));
    assert_eq!(told(&report), ["spec.organizationRef R3"]);
    let delivery = json!({"apiVersion": "krate.a5c.ai/v1alpha1", "kind": "ExternalWebhookDelivery",
        "metadata": {"name": "d1", "namespace": "krate-org-a"},
        "spec": {"organizationRef": "a", "providerRef": "gh", "deliveryId": "1", "eventType": "issues",
            "receivedAt": "2026-06-01T00:00:00Z", "signature": {"algorithm": "hmac-sha256", "verified": true},
            "source": {}, "headers": {},
            "payload": {"digest": Digest::of(b"").to_string(), "bytes": 0, "mediaType": "application/json", "storage": "none"}}});
    assert_eq!(told(&validate(&delivery, None, &view, &request(Writer::Controller))), [""; 0]);
}

#[test]
fn r5_a_namespace_is_nobodys_or_one_organizations() {
    for taken in ["default", "kube-system", "krate-system", "krate-secrets", "krate-org-b"] {
        let found = failures(
            "Organization/a",
            &[("metadata.name", "c".into()), ("spec.slug", "c".into()), ("spec.namespaceName", taken.into())],
        );
        assert_eq!(found, ["spec.namespaceName R5"], "{taken}");
    }
    let found = failures("OrgNamespaceBinding/a", &[("spec.namespace", "krate-org-b".into())]);
    assert_eq!(found, ["spec.namespace R5"]);
}

/// A view in which organization b shares its provider `shared` with a.
fn sharing(changes: &[(&str, Value)]) -> View {
    let mut view = store();
    let home = |document: Value, namespace: &str| with(document, &[("metadata.namespace", namespace.into())]);
    let provider = with(
        home(stored("ExternalBackendProvider/gh"), "krate-org-b"),
        &[("metadata.name", "shared".into()), ("spec.organizationRef", "b".into())],
    );
    let policy = |side: &str, namespace: &str| {
        let policy = home(stored("OrgSharingPolicy/to-b"), namespace);
        with(
            policy,
            &[
                ("metadata.name", side.into()),
                ("spec.side", side.into()),
                ("spec.sourceOrg", "b".into()),
                ("spec.targetOrg", "a".into()),
                (
                    "spec.allowedRefs",
                    json!([{"kind": "ExternalBackendProvider", "names": ["shared"], "verbs": ["reference"]}]),
                ),
            ],
        )
    };
    view.insert(provider);
    view.insert(with(policy("offer", "krate-org-b"), changes));
    view.insert(policy("accept", "krate-org-a"));
    view
}

fn shared_binding() -> Value {
    let reference = json!({"organization": "b", "kind": "ExternalBackendProvider", "name": "shared"});
    let mut binding = like(
        "ExternalBackendBinding/gh-krate",
        &[("spec.sharedProviderRef", reference), ("spec.targetRef.name", "other".into())],
    );
    binding["spec"].as_object_mut().expect("a map").remove("providerRef");
    binding
}

#[test]
fn r4_a_reference_leaves_the_organization_by_offer_and_acceptance_only() {
    let told_in = |view: &View| told(&validate(&shared_binding(), None, view, &request(Writer::Person)));
    assert_eq!(told_in(&sharing(&[])), [""; 0]);
    assert_eq!(told_in(&store()), ["spec.sharedProviderRef R4"]);
    for lapsed in [
        ("spec.revoked", json!(true)),
        ("spec.expiresAt", json!("2026-05-31T23:59:59Z")),
        ("spec.allowedRefs", json!([{"kind": "ExternalBackendProvider", "names": ["other"], "verbs": ["reference"]}])),
        ("spec.allowedRefs", json!([{"kind": "ExternalBackendProvider", "names": ["shared"], "verbs": ["read"]}])),
        ("metadata.namespace", json!("krate-org-a")),
    ] {
        assert_eq!(told_in(&sharing(std::slice::from_ref(&lapsed))), ["spec.sharedProviderRef R4"], "{lapsed:?}");
    }
    let both = with(shared_binding(), &[("spec.providerRef", "gh".into())]);
    assert!(
        told(&validate(&both, None, &sharing(&[]), &request(Writer::Person)))
            .contains(&"spec.sharedProviderRef R4".into())
    );
}

#[test]
fn r34_a_selector_shares_what_has_its_labels() {
    let told_in = |selector: Value, labels: Value| {
        let refs = json!([{"kind": "ExternalBackendProvider", "selector": selector, "verbs": ["reference"]}]);
        let mut view = sharing(&[("spec.allowedRefs", refs)]);
        let provider = with(
            stored("ExternalBackendProvider/gh"),
            &[
                ("metadata.namespace", "krate-org-b".into()),
                ("metadata.name", "shared".into()),
                ("metadata.labels", labels),
                ("spec.organizationRef", "b".into()),
            ],
        );
        view.insert(provider);
        told(&validate(&shared_binding(), None, &view, &request(Writer::Person)))
    };
    let (shared, other) = (json!({"tier": "shared"}), json!({"tier": "own"}));
    let one_of = json!({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["shared", "open"]}]});
    for fits in [json!({"matchLabels": {"tier": "shared"}}), one_of.clone()] {
        assert_eq!(told_in(fits.clone(), shared.clone()), [""; 0], "{fits}");
        assert_eq!(told_in(fits.clone(), other.clone()), ["spec.sharedProviderRef R4"], "{fits}");
        assert_eq!(told_in(fits, json!({})), ["spec.sharedProviderRef R4"]);
    }
    let unreadable = json!({"matchExpressions": [{"key": "tier", "operator": "Like", "values": ["shared"]}]});
    for nothing in [json!({}), json!({"matchLabels": {}}), unreadable] {
        assert_eq!(told_in(nothing.clone(), shared.clone()), ["spec.sharedProviderRef R4"], "{nothing}");
    }
}

#[test]
fn r4_a_stack_refers_to_servers_and_skills_that_are_shared() {
    let told_of = |kind: &str, organization: &str, refs: Value| {
        let reference = json!([{"organization": organization, "kind": kind, "name": "shared"}]);
        let stack = like("AgentStack/repair", &[("spec.sharedRefs", reference)]);
        let mut view = sharing(&[("spec.allowedRefs", refs.clone())]);
        let accept = stored("OrgSharingPolicy/to-b");
        view.insert(with(
            accept,
            &[
                ("metadata.namespace", "krate-org-a".into()),
                ("metadata.name", "accept".into()),
                ("spec.side", "accept".into()),
                ("spec.sourceOrg", "b".into()),
                ("spec.targetOrg", "a".into()),
                ("spec.allowedRefs", refs),
            ],
        ));
        told(&validate(&stack, None, &view, &request(Writer::Person)))
    };
    let refs = |kind: &str| json!([{"kind": kind, "names": ["shared"], "verbs": ["reference"]}]);
    for kind in ["AgentMcpServer", "AgentSkill"] {
        assert_eq!(told_of(kind, "b", refs(kind)), [""; 0]);
        assert_eq!(told_of(kind, "b", refs("AgentMemorySource")), ["spec.sharedRefs[0] R4"]);
        assert_eq!(told_of(kind, "a", refs(kind)), ["spec.sharedRefs[0].organization R4"]);
    }
    assert_eq!(told_of("AgentToolProfile", "b", refs("AgentToolProfile")), ["spec.sharedRefs[0].kind R4"]);
}

#[test]
fn r34_what_is_revoked_stays_revoked() {
    let old = with(stored("OrgSharingPolicy/to-b"), &[("spec.revoked", true.into())]);
    let report = validate(&stored("OrgSharingPolicy/to-b"), Some(&old), &store(), &request(Writer::Person));
    assert_eq!(told(&report), ["spec.revoked R34"]);
}

#[test]
fn r32_a_reference_may_come_before_its_object() {
    let report =
        created(&like("Issue/first", &[("spec.repository", "later".into()), ("spec.assignees", json!(["bob"]))]));
    assert!(report.is_valid());
    let waits: Vec<_> = report.unresolved.iter().map(|r| format!("{} {} {}", r.path, r.kind, r.name)).collect();
    assert_eq!(waits, ["spec.assignees[0] User bob", "spec.repository Repository later"]);
}

#[test]
fn r31_what_files_do_not_hold_is_unchecked_and_not_valid() {
    let files = View::partial([yaml(MANIFEST)]);
    let report = validate(&stored("ExternalBackendBinding/gh-krate"), None, &files, &request(Writer::Person));
    assert!(report.is_valid() && report.unresolved.is_empty());
    let found: Vec<_> = report.unchecked.iter().map(|u| format!("{} {}", u.path, u.rule)).collect();
    for missing in ["spec.organizationRef R2", "spec.organizationRef R3", "spec.interfaces R11", "spec.providerRef R32"]
    {
        assert!(found.contains(&missing.to_owned()), "{missing} among {found:?}");
    }
}

#[test]
fn r11_manifests_of_providers_and_bindings() {
    let provider = |changes: &[(&str, Value)]| failures("ExternalBackendProvider/gh", changes);
    assert_eq!(provider(&[("spec.hosting", "self-hosted".into())]), ["spec.hosting R11"]);
    assert_eq!(provider(&[("spec.authRef.mode", "api-key".into())]), ["spec.authRef.mode R11"]);
    assert_eq!(
        provider(&[("spec.authRef.keys", json!({"privatekey": "a.pem"}))]),
        ["spec.authRef.keys.privatekey R11"]
    );
    assert_eq!(provider(&[("spec.authRef.keys", json!({"privateKey": "a.pem"}))]), [""; 0]);
    assert_eq!(provider(&[("spec.adapterRef", "x".into())]), ["spec.adapterRef R11"]);
    let binding = |changes: &[(&str, Value)]| {
        told(&created(&with(
            like("ExternalBackendBinding/gh-krate", &[("spec.targetRef.name", "other".into())]),
            changes,
        )))
    };
    let scope = |value: Value| binding(&[("spec.externalRef", value)]);
    assert_eq!(scope(json!({"owner": "a5c-ai", "repository": "other"})), [""; 0]);
    assert_eq!(scope(json!({"owner": "a5c-ai"})), ["spec.externalRef.repository R11"]);
    assert_eq!(scope(json!({"owner": "a/b", "repository": "other"})), ["spec.externalRef.owner R11"]);
}

#[test]
fn r12_an_optional_key_or_another_type_of_it_makes_no_other_scope() {
    let binding = |scope: Value| {
        failures(
            "ExternalBackendBinding/gh-krate",
            &[("spec.targetRef.name", "other".into()), ("spec.externalRef", scope)],
        )
    };
    for same in [
        json!({"owner": "a5c-ai", "repository": "krate"}),
        json!({"owner": "a5c-ai", "repository": "krate", "installationId": "123456"}),
    ] {
        assert_eq!(binding(same), ["spec.externalRef R12"]);
    }
    let read_only = failures(
        "ExternalBackendBinding/gh-krate",
        &[("spec.interfaces", json!([{"name": "cicd", "mode": "read-only"}]))],
    );
    assert_eq!(read_only, [""; 0], "the stored binding only reads there too");
}

#[test]
fn r50_overrides_inside_a_read_only_interface_only_read() {
    let kinds = json!([{"kind": "Pipeline", "mode": "write-through"}]);
    let found =
        updated("ExternalBackendBinding/gh-krate", &[("spec.interfaces[name=cicd].kinds", kinds)], Writer::Person);
    assert_eq!(told(&found), ["spec.interfaces[name=cicd].kinds[kind=Pipeline].mode R50"]);
    let fields = json!([{"kind": "Issue", "fields": [{"path": "spec.label", "mode": "krate-owned"}]}]);
    let found = updated(
        "ExternalBackendBinding/gh-krate",
        &[("spec.interfaces[name=issueTracking].kinds", fields)],
        Writer::Person,
    );
    assert_eq!(
        found.failures[0].to_string(),
        "spec.interfaces[name=issueTracking].kinds[kind=Issue].fields[path=spec.label]: \
        \"spec.label\" is no mergeable field of Issue (R50); did you mean spec.labels?"
    );
}

#[test]
fn r51_lists_hold_writes() {
    let found = updated(
        "ExternalBackendSyncPolicy/careful",
        &[("spec.writePolicy.allowedOperations", json!(["createIssue", "getIssue"]))],
        Writer::Person,
    );
    assert_eq!(told(&found), ["spec.writePolicy.allowedOperations[1] R51"]);
}

fn intent() -> Value {
    let digest = Digest::of(b"").to_string();
    json!({"apiVersion": "krate.a5c.ai/v1alpha1", "kind": "ExternalWriteIntent",
        "metadata": {"name": "wi1", "namespace": "krate-org-a"},
        "spec": {"organizationRef": "a", "providerRef": "gh", "bindingRef": "gh-krate", "interface": "issueTracking",
            "operation": "createIssue", "source": {"kind": "UserAction", "actor": {"kind": "user", "name": "alice"}},
            "target": {"kind": "Issue", "name": "first"},
            "nativeTarget": {"nativeKind": "issue", "container": {"owner": "a5c-ai", "repository": "krate"}},
            "payload": {"createIssue": {"title": "First"}}, "desiredGeneration": 1, "requestDigest": digest,
            "idempotencyKey": digest, "approvalPolicy": {"required": false}}})
}

/// The intent with the digests of its request, where it is one.
fn sealed(mut intent: Value) -> Value {
    if let Ok(spec) = serde_json::from_value::<ExternalWriteIntentSpec>(intent["spec"].clone()) {
        intent["spec"]["idempotencyKey"] = json!(KeyInput::of(&spec).key().unwrap());
        intent["spec"]["requestDigest"] = json!(request_digest(&RequestInput::of(&spec)).unwrap());
    }
    intent
}

fn made_by_controller(document: &Value) -> Vec<String> {
    told(&validate(document, None, &store(), &request(Writer::Controller)))
}

#[test]
fn r52_the_parts_of_an_intent_fit_each_other() {
    assert_eq!(made_by_controller(&sealed(intent())), [""; 0]);
    let changed = |changes: &[(&str, Value)]| made_by_controller(&sealed(with(intent(), changes)));
    assert_eq!(changed(&[("spec.nativeTarget.nativeId", "1".into())]), ["spec.nativeTarget.nativeId R52"]);
    assert_eq!(
        changed(&[("spec.target.kind", "Repository".into()), ("spec.target.name", "krate".into())]),
        ["spec.target.kind R52"]
    );
    assert_eq!(
        changed(&[("spec.payload", json!({"createComment": {"body": "x"}}))]),
        ["spec.payload.createComment R52", "spec.payload.createIssue R52"]
    );
    let reading = changed(&[("spec.operation", "getIssue".into())]);
    assert!(reading.contains(&"spec.operation R52".to_owned()), "{reading:?}");
    let elsewhere = changed(&[("spec.interface", "cicd".into())]);
    assert!(
        elsewhere.contains(&"spec.interface R52".to_owned()) && elsewhere.contains(&"spec.operation R52".to_owned())
    );
}

#[test]
fn r52_an_intent_has_the_digests_of_its_request() {
    let changed = |changes: &[(&str, Value)]| made_by_controller(&with(sealed(intent()), changes));
    let both = ["spec.idempotencyKey R52", "spec.requestDigest R52"];
    assert_eq!(changed(&[("spec.payload.createIssue.title", "Other".into())]), both);
    assert_eq!(changed(&[("spec.target.name", "second".into())]), both);
    assert_eq!(changed(&[("spec.desiredGeneration", 2.into())]), both);
    // The key says what is wanted, the digest of the request also who sends it and over what.
    assert_eq!(changed(&[("spec.credential", json!({"mode": "oauth-user"}))]), ["spec.requestDigest R52"]);
    assert_eq!(changed(&[("spec.precondition", json!({"etag": "e"}))]), ["spec.requestDigest R52"]);
    let inexact = changed(&[("spec.desiredGeneration", 9_007_199_254_740_993_i64.into())]);
    assert!(both.iter().all(|failure| inexact.contains(&(*failure).to_owned())), "{inexact:?}");
    // One that was asked for again has the key of what was asked for first.
    let again = [("status", json!({"phase": "ReadyToSend"})), ("spec.idempotencyKey", json!(Digest::of(b"first")))];
    assert_eq!(changed(&again), [""; 0]);
}

#[test]
fn r19_people_and_agents_leave_records_to_controllers() {
    let told_of = |writer| told(&validate(&sealed(intent()), None, &store(), &request(writer)));
    assert_eq!(told_of(Writer::Person), ["kind R19"]);
    assert_eq!(told_of(Writer::Agent), ["kind R19"]);
    let edited = with(intent(), &[("spec.payload.createIssue.title", "Other".into())]);
    let edit = |writer| told(&validate(&edited, Some(&intent()), &store(), &request(writer)));
    assert_eq!(edit(Writer::Person), ["spec.payload R6", "spec.payload R19"]);
    assert_eq!(edit(Writer::Controller), ["spec.payload R6"]);
    let cancel = with(intent(), &[("spec.cancel", json!({"id": "c1"}))]);
    assert_eq!(told(&validate(&cancel, Some(&intent()), &store(), &request(Writer::Person))), [""; 0]);
    assert_eq!(told(&updated("Issue/first", &[("spec.title", "New".into())], Writer::Agent)), ["spec.title R19"]);
    assert_eq!(told(&updated("Issue/first", &[("spec.title", "New".into())], Writer::Person)), [""; 0]);
}

#[test]
fn r37_an_id_is_acted_on_once() {
    let asked = |id: &str, reason: &str| with(intent(), &[("spec.cancel", json!({"id": id, "reason": reason}))]);
    let told_of = |new: &Value| told(&validate(new, Some(&asked("c1", "a")), &store(), &request(Writer::Person)));
    assert_eq!(told_of(&asked("c1", "a")), [""; 0]);
    assert_eq!(told_of(&asked("c1", "b")), ["spec.cancel R37"]);
    assert_eq!(told_of(&asked("c2", "b")), [""; 0]);
}

#[test]
fn r20_each_part_is_written_alone() {
    let old = stored("PullRequest/pr-krate-42");
    let both = with(old.clone(), &[("spec.title", "New".into()), ("status.headSha", "nonsense".into())]);
    let main = validate(&both, Some(&old), &store(), &request(Writer::Person));
    assert_eq!(told(&main), [""; 0], "a write of the spec says nothing of the status");
    let status = validate(&both, Some(&old), &store(), &request(Writer::Controller).of_status());
    assert_eq!(told(&status), ["status.headSha R8"]);
    let person = validate(&old, Some(&old), &store(), &request(Writer::Person).of_status());
    assert_eq!(told(&person), ["status R19"]);
}

#[test]
fn r47_a_projection_keeps_its_identity_and_has_one_envelope() {
    let of = |changes: &[(&str, Value)]| {
        let envelope = envelope(&json!({}));
        with(
            stored("Issue/first"),
            &[&[("status.phase", "Open".into()), ("status.external", envelope)], changes].concat(),
        )
    };
    let told_of =
        |new: &Value| told(&validate(new, Some(&of(&[])), &store(), &request(Writer::Controller).of_status()));
    assert_eq!(told_of(&of(&[("status.external.version", json!({"etag": "other"}))])), [""; 0]);
    for field in ["providerRef", "interface", "nativeKind", "nativeId"] {
        let other = if field == "interface" { "gitForge" } else { "other" };
        let path = format!("status.external.{field}");
        let failures = told_of(&of(&[(path.as_str(), other.into())]));
        assert!(failures.contains(&format!("{path} R47")), "{failures:?}");
    }
    assert_eq!(failures("Comment/c1", &[("spec.subject.kind", "Repository".into())])[..1], ["spec.subject.kind R47"]);
}

#[test]
fn r45_a_binding_writes_out_its_modes_whatever_a_policy_proposes() {
    let bidirectional = [("spec.writePolicy.defaultMode", "bidirectional".into())];
    assert_eq!(told(&updated("ExternalBackendSyncPolicy/careful", &bidirectional, Writer::Person)), [""; 0]);
    let interfaces = json!([{"name": "issueTracking"}]);
    let found = updated("ExternalBackendBinding/gh-krate", &[("spec.interfaces", interfaces)], Writer::Person);
    assert_eq!(told(&found), ["spec.interfaces[name=issueTracking].mode R25"]);
}

#[test]
fn r27_conditions_and_generations_move_forward() {
    let condition = |status: &str, at: &str| json!([{"type": "Synced", "status": status, "reason": "Fresh", "message": "", "lastTransitionTime": at}]);
    let issue = |status: &str, at: &str, generation: i64| {
        with(
            stored("Issue/first"),
            &[
                ("status.phase", "Open".into()),
                ("status.observedGeneration", generation.into()),
                ("status.conditions", condition(status, at)),
            ],
        )
    };
    let old = issue("True", "2026-06-01T00:00:00Z", 3);
    let told_of = |new: &Value| told(&validate(new, Some(&old), &store(), &request(Writer::Controller).of_status()));
    assert_eq!(told_of(&issue("False", "2026-06-02T00:00:00Z", 4)), [""; 0]);
    assert_eq!(
        told_of(&issue("True", "2026-06-02T00:00:00Z", 3)),
        ["status.conditions[type=Synced].lastTransitionTime R27"]
    );
    assert_eq!(told_of(&issue("True", "2026-06-01T00:00:00Z", 2)), ["status.observedGeneration R27"]);
}

#[test]
fn r6_the_order_of_a_set_and_the_type_of_a_key_are_no_change() {
    let same = json!({"owner": "a5c-ai", "repository": "krate", "installationId": "123456"});
    assert_eq!(
        told(&updated("ExternalBackendBinding/gh-krate", &[("spec.externalRef", same)], Writer::Person)),
        [""; 0]
    );
    let other = json!({"owner": "a5c-ai", "repository": "krate", "installationId": 7});
    assert_eq!(
        told(&updated("ExternalBackendBinding/gh-krate", &[("spec.externalRef", other)], Writer::Person)),
        ["spec.externalRef R6"]
    );
    let report = updated("Issue/first", &[("spec.repository", "other".into())], Writer::Controller);
    assert_eq!(told(&report), ["spec.repository R6"]);
    assert!(report.failures[0].message.contains("\"krate\"") && report.failures[0].message.contains("\"other\""));
}

#[test]
fn r64_what_was_wrong_before_and_did_not_change_is_not_refused() {
    let old = with(stored("Issue/first"), &[("spec.assignees", json!(["@octocat"])), ("spec.oldField", 1.into())]);
    let told_of = |changes: &[(&str, Value)]| {
        told(&validate(&with(old.clone(), changes), Some(&old), &store(), &request(Writer::Person)))
    };
    assert_eq!(told_of(&[("spec.title", "New".into())]), [""; 0]);
    assert_eq!(told_of(&[("spec.assignees", json!(["@hubot"]))]), ["spec.assignees[0] R54"]);
    let leaking = with(stored("Repository/krate"), &[("spec.description", format!("ghp_{}", "0".repeat(36)).into())]);
    let report = validate(&leaking, Some(&leaking), &store(), &request(Writer::Person));
    assert_eq!(told(&report), ["spec.description R9"], "a secret never passes");
}

#[test]
fn r9_and_r23_take_a_providers_text_as_it_came() {
    let token = format!("ghp_{}", "0".repeat(36));
    let old = stored("Issue/first");
    let observed =
        with(old.clone(), &[("spec.title", "👩\u{200d}💻 café".into()), ("spec.body.markdown", token.into())]);
    assert_eq!(told(&validate(&observed, Some(&old), &store(), &request(Writer::Controller))), [""; 0]);
    let by_person = validate(&observed, Some(&old), &store(), &request(Writer::Person));
    assert_eq!(told(&by_person), ["spec.body.markdown R9", "spec.title R23"]);
}

#[test]
fn r4_r10_secrets_and_config_maps_are_named_as_kubernetes_names_them() {
    let name = "spec.authRef.secretRef.name";
    let provider = |at: &str, found: &str| failures("ExternalBackendProvider/gh", &[(at, found.into())]);
    assert_eq!(provider(name, "gh.app-1"), [""; 0]);
    assert_eq!(provider(name, &"a".repeat(100)), [""; 0], "longer than a DNS label");
    assert_eq!(provider(name, "other/gh-app"), [format!("{name} R4")]);
    for wrong in ["GH", "gh_app", "-gh", "gh.", ""] {
        assert_eq!(provider(name, wrong), [format!("{name} R10")], "{wrong:?}");
    }
    let key = "spec.webhook.secretRefs[name=first].secretRef.key";
    assert_eq!(provider(key, "Tls_1.crt"), [""; 0]);
    for wrong in ["a/b", "a b", ".", "..a", ""] {
        assert_eq!(provider(key, wrong), [format!("{key} R10")], "{wrong:?}");
    }
    let authority = json!({"name": "A", "key": "b"});
    assert_eq!(failures("ExternalBackendProvider/gh", &[("spec.tls.caRef", authority)]), ["spec.tls.caRef.name R10"]);
    let lent = json!([{"name": "A/b", "keys": ["c d"]}]);
    let report = updated("OrgNamespaceBinding/a", &[("spec.platformConfigMaps", lent)], Writer::Person);
    assert_eq!(
        told(&report),
        ["spec.platformConfigMaps[name=A/b].keys[0] R10", "spec.platformConfigMaps[name=A/b].name R4"]
    );
}

#[test]
fn r18_a_schedule_says_when_and_where() {
    let rule = |schedule: Value| {
        let changes = [("spec.sources", json!(["schedule"])), ("spec.match", json!({})), ("spec.schedule", schedule)];
        failures("AgentTriggerRule/fix", &changes)
    };
    assert_eq!(rule(json!({"cron": "0 3 * * mon-fri", "timeZone": "Europe/Berlin"})), [""; 0]);
    assert_eq!(rule(json!({"cron": "0 3 1 * *"})), [""; 0], "in UTC");
    assert_eq!(
        rule(json!({"cron": "0 25 * * *", "timeZone": "Berlin"})),
        ["spec.schedule.cron R18", "spec.schedule.timeZone R18"]
    );
}

#[test]
fn r53_a_reviewed_write_is_one_that_the_manifest_can() {
    let value = json!({"json": "1", "digest": Digest::of(b"1").to_string(), "bytes": 1});
    let versions = json!({"desiredGeneration": 1, "observed": {}});
    let conflict = || {
        json!({"apiVersion": "krate.a5c.ai/v1alpha1", "kind": "ExternalSyncConflict",
            "metadata": {"name": "c1", "namespace": "krate-org-a"},
            "spec": {"organizationRef": "a", "providerRef": "gh", "bindingRef": "gh-krate", "interface": "issueTracking",
                "resource": {"kind": "Issue", "name": "first"}, "linkRef": "l", "fieldPath": "spec.title",
                "reason": "ConcurrentEdit", "strategy": "scalar", "desired": value, "observed": value,
                "versions": versions}})
    };
    let resolved = |strategy: &str, view: &View| {
        let old = conflict();
        let resolution = json!({"strategy": strategy, "seenVersions": versions});
        validate(&with(old.clone(), &[("spec.resolution", resolution)]), Some(&old), view, &request(Writer::Person))
    };
    let at = "spec.resolution.strategy";
    assert_eq!(told(&resolved("reviewedWrite", &store())), [""; 0]);
    // A provider that only reads issues, and writes comments at most.
    for operations in [
        json!([{"operation": "getIssue", "write": false}]),
        json!([{"operation": "createIssue", "write": true}, {"operation": "createComment", "write": true}, {"operation": "updateComment", "write": true}]),
    ] {
        let mut reads = store();
        reads.insert(with(yaml(MANIFEST), &[("spec.interfaces[name=issueTracking].operations", operations)]));
        assert_eq!(told(&resolved("reviewedWrite", &reads)), [format!("{at} R53")]);
        assert_eq!(told(&resolved("preferExternal", &reads)), [""; 0]);
    }
    let unknown = resolved("reviewedWrite", &View::partial([]));
    assert_eq!(told(&unknown), [""; 0]);
    assert!(unknown.unchecked.iter().any(|unchecked| unchecked.path == at), "{unknown:?}");
}

#[test]
fn r9_a_key_of_a_map_is_no_credential_and_is_not_told() {
    let token = format!("ghp_{}", "0".repeat(36));
    let map = json!({&token: "x"});
    for (base, at) in [
        ("Pipeline/p1", "spec.inputs"),
        ("RunnerPool/small", "spec.nodeSelector"),
        ("ExternalBackendProvider/gh", "spec.authRef.keys"),
        ("Repository/krate", "metadata.labels"),
        ("Repository/krate", "metadata.annotations"),
    ] {
        let report = created(&like(base, &[(at, map.clone())]));
        let hidden = format!("{at}[(hidden)] R9");
        assert!(told(&report).contains(&hidden), "{base} {at}: {report:?}");
        assert!(!serde_json::to_string(&report).expect("JSON").contains(&token), "{base} {at} tells it");
    }
    let lent = json!([{"name": token, "keys": ["k"]}]);
    let report = updated("OrgNamespaceBinding/a", &[("spec.platformSecrets", lent)], Writer::Person);
    assert!(told(&report).contains(&"spec.platformSecrets[0].name R9".to_owned()), "{report:?}");
    assert!(!serde_json::to_string(&report).expect("JSON").contains(&token));
}

#[test]
fn r23_a_key_of_a_map_shows_what_it_holds() {
    let told_of = |key: &str| failures("Pipeline/p1", &[("spec.inputs", json!({key: "x"}))]);
    assert_eq!(told_of("größe"), [""; 0]);
    assert_eq!(told_of("a\u{202e}b"), ["spec.inputs[\"a\\u202eb\"] R23"]);
    assert_eq!(told_of("a\nb"), ["spec.inputs[\"a\\nb\"] R23"]);
    assert_eq!(told_of("gro\u{308}ße"), ["spec.inputs[\"gro\u{308}ße\"] R23"]);
}

#[test]
fn r38_nothing_leaves_merged() {
    let merged =
        with(stored("PullRequest/pr-krate-42"), &[("spec.state", "merged".into()), ("status.phase", "Merged".into())]);
    let reopened = with(merged.clone(), &[("spec.state", "open".into())]);
    for writer in [Writer::Person, Writer::Controller] {
        assert_eq!(told(&validate(&reopened, Some(&merged), &store(), &request(writer))), ["spec.state R38"]);
    }
    let open = stored("PullRequest/pr-krate-42");
    assert_eq!(
        told(&validate(&merged, Some(&open), &store(), &request(Writer::Controller))),
        [""; 0],
        "an observation"
    );
    let merge = json!({"method": "squash", "expectedHeadSha": "1".repeat(40)});
    assert_eq!(told(&updated("PullRequest/pr-krate-42", &[("spec.merge", merge)], Writer::Person)), [""; 0]);
}

#[test]
fn r42_chains_of_actors() {
    let approval = |actor: Value| {
        let document = like("AgentApproval/ap1", &[("spec.requestedBy", actor)]);
        told(&validate(&document, None, &store(), &request(Writer::Controller)))
    };
    let chain = |length: usize| {
        (1..length).fold(
            json!({"kind": "user", "name": "alice"}),
            |inner, at| json!({"kind": "agent", "name": format!("agent-{at}"), "onBehalfOf": inner}),
        )
    };
    assert_eq!(approval(chain(8)), [""; 0]);
    assert!(approval(chain(9)).contains(&"spec.requestedBy R42".to_owned()));
    assert_eq!(approval(json!({"kind": "controller", "name": "sync"})), [""; 0]);
    assert_eq!(approval(json!({"kind": "agent", "name": "repair"})), ["spec.requestedBy R42"]);
    let twice = json!({"kind": "agent", "name": "a", "onBehalfOf": {"kind": "agent", "name": "a",
        "onBehalfOf": {"kind": "user", "name": "alice"}}});
    assert_eq!(approval(twice), ["spec.requestedBy R42"]);
}

#[test]
fn r44_an_audit_event_never_changes() {
    let digest = Digest::of(b"").to_string();
    let event = json!({"apiVersion": "krate.a5c.ai/v1alpha1", "kind": "AuditEvent",
        "metadata": {"name": "e1", "namespace": "krate-org-a"},
        "spec": {"organizationRef": "a", "sequence": 1, "type": "Created", "at": "2026-06-01T00:00:00Z",
            "actor": {"kind": "user", "name": "alice"}, "outcome": "Recorded", "previousDigest": digest, "digest": digest}});
    assert_eq!(made_by_controller(&event), [""; 0]);
    let changed = with(event.clone(), &[("spec.outcome", "Denied".into())]);
    let report = validate(&changed, Some(&event), &store(), &request(Writer::Controller));
    assert_eq!(told(&report), ["spec.outcome R6", "spec.outcome R44"]);
}

#[test]
fn r26_a_stored_value_of_a_newer_version_is_kept_until_it_changes() {
    let old = with(stored("Repository/krate"), &[("spec.visibility", "secret".into())]);
    let told_of = |changes: &[(&str, Value)]| {
        told(&validate(&with(old.clone(), changes), Some(&old), &store(), &request(Writer::Person)))
    };
    assert_eq!(told_of(&[("spec.description", "x".into())]), [""; 0]);
    assert_eq!(told_of(&[("spec.visibility", "hidden".into())]), ["spec.visibility R8"]);
}

#[test]
fn r16_a_grant_without_repositories_is_admitted_and_r17_a_stack_without_adapter_too() {
    let grant = like("AgentSecretGrant/model", &[("spec.allowedRepositories", json!([]))]);
    assert_eq!(told(&created(&grant)), [""; 0]);
    assert_eq!(told(&created(&like("AgentStack/repair", &[("spec.adapter", "missing".into())]))), [""; 0]);
    let purpose =
        failures("AgentSecretGrant/model", &[("spec.purpose", "runner".into()), ("spec.subject.kind", "skill".into())]);
    assert_eq!(purpose, ["spec.purpose R16"]);
}

#[test]
fn r62_a_review_of_a_label_is_a_persons_of_what_stands_there_and_void_once_it_changes() {
    let label = |fragment: &str, review: Option<&str>| {
        let mut label = json!({"apiVersion": "krate.a5c.ai/v1alpha1", "kind": "AgentContextLabel",
            "metadata": {"name": "careful", "namespace": "krate-org-a"},
            "spec": {"organizationRef": "a", "promptFragment": fragment, "allowedSources": ["issue"]}});
        if let Some(reviewed) = review {
            label["spec"]["review"] = json!({"digest": Digest::of(reviewed.as_bytes()).to_string()});
        }
        label
    };
    let told_of = |old: Option<&Value>, new: &Value, writer| told(&validate(new, old, &store(), &request(writer)));
    let (plain, reviewed) = (label("Be careful.", None), label("Be careful.", Some("Be careful.")));
    assert_eq!(told_of(None, &plain, Writer::Person), [""; 0]);
    assert_eq!(told_of(Some(&plain), &reviewed, Writer::Person), [""; 0]);
    assert_eq!(told_of(Some(&reviewed), &reviewed, Writer::Controller), [""; 0]);
    // Nobody reviews what they write in the same breath, and no agent or controller reviews at all.
    assert_eq!(told_of(None, &reviewed, Writer::Person), ["spec.review R62"]);
    for writer in [Writer::Agent, Writer::Controller] {
        assert_eq!(told_of(Some(&plain), &reviewed, writer), ["spec.review R62"]);
    }
    // A change and its old review don't go together, nor does a change with a review of its own.
    for review in ["Be careful.", "Be bold."] {
        assert_eq!(
            told_of(Some(&reviewed), &label("Be bold.", Some(review)), Writer::Person),
            ["spec.promptFragment R62"]
        );
    }
    assert_eq!(told_of(Some(&reviewed), &label("Be bold.", None), Writer::Person), [""; 0]);
    // A review is of what stands there, and the error says which digest that has.
    let report = validate(
        &label("Be bold.", Some("Be careful.")),
        Some(&label("Be bold.", None)),
        &store(),
        &request(Writer::Person),
    );
    assert_eq!(told(&report), ["spec.review.digest R62"]);
    assert!(report.failures[0].to_string().contains(&Digest::of(b"Be bold.").to_string()), "{}", report.failures[0]);
}

#[test]
fn r43_a_mapping_is_one_however_its_provider_is_written() {
    let mapping = |name: &str, more: Value| {
        let mut provider = json!({"kind": "ExternalBackendProvider", "name": "gh"});
        provider.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        json!({"apiVersion": "krate.a5c.ai/v1alpha1", "kind": "IdentityMapping",
            "metadata": {"name": name, "namespace": "krate-org-a"},
            "spec": {"organizationRef": "a", "user": "alice", "provider": provider, "subject": "583231"}})
    };
    let told_beside = |first: Value, second: Value| {
        let mut view = store();
        view.insert(mapping("m1", first));
        told(&validate(&mapping("m2", second), None, &view, &request(Writer::Person)))
    };
    let forms = [
        json!({}),
        json!({"apiVersion": "krate.a5c.ai/v1alpha1"}),
        json!({"apiVersion": "records.krate.a5c.ai/v1alpha1"}),
        json!({"uid": "u1"}),
    ];
    for first in &forms {
        for second in &forms {
            assert_eq!(told_beside(first.clone(), second.clone()), ["spec.subject R43"], "{first} {second}");
        }
    }
    assert_eq!(told_beside(json!({"uid": "u1"}), json!({"uid": "u2"})), [""; 0], "made anew under the name");
    assert_eq!(told_beside(json!({"name": "acme"}), json!({})), [""; 0]);
}

#[test]
fn r43_one_open_conflict_a_field() {
    let conflict = |name: &str, phase: &str| {
        let value = json!({"json": "1", "digest": Digest::of(b"1").to_string(), "bytes": 1});
        json!({"apiVersion": "krate.a5c.ai/v1alpha1", "kind": "ExternalSyncConflict",
            "metadata": {"name": name, "namespace": "krate-org-a"},
            "spec": {"organizationRef": "a", "providerRef": "gh", "bindingRef": "gh-krate", "interface": "issueTracking",
                "resource": {"kind": "Issue", "name": "first"}, "linkRef": "l", "fieldPath": "spec.title",
                "reason": "ConcurrentEdit", "strategy": "scalar", "desired": value, "observed": value,
                "versions": {"desiredGeneration": 1, "observed": {}}},
            "status": {"phase": phase}})
    };
    let told_beside = |phase: &str| {
        let mut view = store();
        view.insert(conflict("c1", phase));
        told(&validate(&conflict("c2", "Open"), None, &view, &request(Writer::Controller)))
    };
    assert_eq!(told_beside("Open"), ["spec.fieldPath R43"]);
    assert_eq!(told_beside("Resolved"), [""; 0]);

    let open = conflict("c1", "Open");
    let resolve = |resolution: Value| {
        let new = with(open.clone(), &[("spec.resolution", resolution)]);
        told(&validate(&new, Some(&open), &store(), &request(Writer::Person)))
    };
    let seen = json!({"desiredGeneration": 1, "observed": {}});
    assert_eq!(resolve(json!({"strategy": "preferKrate", "seenVersions": seen})), [""; 0]);
    assert_eq!(resolve(json!({"strategy": "manual", "seenVersions": seen})), ["spec.resolution.value R53"]);
    let stale = json!({"strategy": "preferKrate", "seenVersions": {"desiredGeneration": 2, "observed": {}}});
    assert_eq!(resolve(stale), ["spec.resolution.seenVersions R53"]);
}

#[test]
fn r63_the_copied_manifest_is_sound_and_a_discovered_one_only_narrows_it() {
    assert_eq!(made_by_controller(&yaml(MANIFEST)), [""; 0]);
    assert_eq!(told(&created(&yaml(MANIFEST))), ["spec.source R63"], "nobody writes a built-in one by hand");
    let discovered = |changes: &[(&str, Value)]| {
        let mut document = with(
            yaml(MANIFEST),
            &[
                ("metadata.name", "gh-found".into()),
                ("metadata.namespace", "krate-org-a".into()),
                ("spec.organizationRef", "a".into()),
                ("spec.source", "discovered".into()),
                ("spec.providerRef", "gh".into()),
            ],
        );
        document = with(document, changes);
        made_by_controller(&document)
    };
    assert_eq!(discovered(&[]), [""; 0]);
    let operation = "spec.interfaces[name=issueTracking].operations[operation=createIssue]";
    assert_eq!(
        discovered(&[(&format!("{operation}.idempotency"), "native".into())]),
        [format!("{operation}.idempotency R63")]
    );
    assert_eq!(discovered(&[(&format!("{operation}.restCost"), 0.into())]), [format!("{operation}.restCost R63")]);
    // Of another interface, and so none that the type has here; and it says that it doesn't write.
    let misplaced = json!([{"operation": "createReview", "write": false}]);
    assert_eq!(
        discovered(&[("spec.interfaces[name=issueTracking].operations", misplaced)]),
        [
            "spec.interfaces[name=issueTracking].operations[operation=createReview] R63",
            "spec.interfaces[name=issueTracking].operations[operation=createReview] R63",
            "spec.interfaces[name=issueTracking].operations[operation=createReview].write R63",
        ]
    );
}

#[test]
fn r59_and_r60_ends_and_deciders() {
    let approval = |end: &str| {
        let document = like("AgentApproval/ap1", &[("spec.expiresAt", end.into())]);
        told(&validate(&document, None, &store(), &request(Writer::Controller)))
    };
    assert_eq!(approval("2026-06-08T00:00:00Z"), [""; 0]);
    assert_eq!(approval("2026-06-08T00:00:01Z"), ["spec.expiresAt R59"]);
    assert_eq!(approval("2026-06-01T00:00:00Z"), ["spec.expiresAt R55"]);
    let digest = stored("AgentApproval/ap1")["spec"]["digest"].clone();
    let decide = json!({"id": "d1", "verdict": "approved", "digest": digest});
    assert_eq!(told(&updated("AgentApproval/ap1", &[("spec.decide", decide.clone())], Writer::Person)), [""; 0]);
    assert_eq!(
        told(&updated("AgentApproval/ap1", &[("spec.decide", decide)], Writer::Controller)),
        ["spec.decide R59"]
    );
    let glass = [
        ("spec.breakGlass", json!(true)),
        ("spec.actionClass", json!("merge")),
        ("spec.expiresAt", json!("2026-06-01T01:00:01Z")),
    ];
    assert_eq!(failures("PolicyExceptionRequest/e1", &glass), ["spec.expiresAt R60"]);
}

#[test]
fn r55_an_object_that_has_ended_still_gets_other_updates() {
    let old = with(stored("OrgSharingPolicy/to-b"), &[("spec.expiresAt", "2026-05-01T00:00:00Z".into())]);
    let told_of = |changes: &[(&str, Value)]| {
        told(&validate(&with(old.clone(), changes), Some(&old), &store(), &request(Writer::Person)))
    };
    assert_eq!(told_of(&[("spec.revoked", true.into())]), [""; 0]);
    assert_eq!(told_of(&[("spec.expiresAt", "2026-05-02T00:00:00Z".into())]), ["spec.expiresAt R55"]);
}

#[test]
fn r54_principals_and_teams() {
    let reviewers = |names: Value| failures("PullRequest/pr-krate-42", &[("spec.requestedReviewers", names)]);
    assert_eq!(reviewers(json!(["alice", "ext:42", "team/core"])), [""; 0]);
    let bad = reviewers(json!(["Alice", "ext:", "team/", "octo cat"]));
    assert_eq!(bad, [0, 1, 2, 3].map(|at| format!("spec.requestedReviewers[{at}] R54")));
    assert_eq!(failures("Issue/first", &[("spec.assignees", json!(["team/core"]))]), ["spec.assignees[0] R54"]);
}

#[test]
fn r46_unknown_counts_as_fork() {
    let mut view = store();
    let told_with = |view: &View| {
        let pipeline = like("Pipeline/p1", &[("spec.trustTier", "trusted".into())]);
        told(&validate(&pipeline, None, view, &request(Writer::Person)))
    };
    let pull_request = |from_fork: Option<bool>| {
        let mut document = stored("PullRequest/pr-krate-42");
        match from_fork {
            Some(known) => document["status"]["fromFork"] = known.into(),
            None => drop(document["status"].as_object_mut().expect("a map").remove("fromFork")),
        }
        document
    };
    for (from_fork, expected) in
        [(Some(false), vec![]), (Some(true), vec!["spec.trustTier R46"]), (None, vec!["spec.trustTier R46"])]
    {
        view.insert(pull_request(from_fork));
        assert_eq!(told_with(&view), expected, "{from_fork:?}");
    }
    view.insert(with(stored("RunnerPool/small"), &[("spec.trustTier", "trusted".into())]));
    let pipeline = like("Pipeline/p1", &[("spec.runnerPool", "small".into())]);
    assert_eq!(told(&validate(&pipeline, None, &view, &request(Writer::Person))), ["spec.runnerPool R46"]);
}

#[test]
fn r58_dependants_are_found_by_their_references() {
    let found = |kind, name: &str| {
        let found = dependants(&store(), kind, "krate-org-a", name);
        found.into_iter().map(|(kind, name)| format!("{kind}/{name}")).collect::<Vec<_>>()
    };
    assert_eq!(found(Kind::ExternalBackendProvider, "gh"), ["ExternalBackendBinding/gh-krate"]);
    assert_eq!(
        found(Kind::Repository, "krate"),
        [
            "Issue/first",
            "PullRequest/pr-krate-42",
            "Pipeline/p1",
            "ExternalBackendBinding/gh-krate",
            "PolicyExceptionRequest/e1",
            "AgentSecretGrant/model",
            "AgentTriggerRule/fix"
        ]
    );
    assert_eq!(found(Kind::PullRequest, "pr-krate-42"), ["Comment/c1", "Pipeline/p1"]);
    assert_eq!(found(Kind::Repository, "other"), [""; 0]);
}

#[test]
fn r25_every_pattern_of_every_schema_is_one_that_the_check_can_read() {
    fn patterns<'v>(schema: &'v Value, found: &mut Vec<&'v str>) {
        match schema {
            Value::Object(fields) => {
                found.extend(fields.get("pattern").and_then(Value::as_str));
                fields.values().for_each(|value| patterns(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| patterns(item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    Kind::ALL.iter().filter_map(|kind| schema(*kind)).for_each(|schema| patterns(schema, &mut found));
    assert!(found.len() > 10);
    for pattern in found {
        assert!(regex_lite::Regex::new(pattern).is_ok(), "{pattern}");
    }
}

#[test]
fn r41_the_order_of_files_is_no_matter() {
    let mut documents = valid_documents();
    documents.push(yaml(MANIFEST));
    let forward = View::complete(documents.clone());
    documents.reverse();
    let backward = View::complete(documents.clone());
    let at = Request::new(Writer::Controller, "2026-06-01T00:00:00Z".parse().expect("a time"));
    for document in &documents {
        assert_eq!(validate(document, None, &forward, &at), validate(document, None, &backward, &at));
    }
    assert_eq!(forward.of_kind(Kind::Organization).count(), 2);
}

#[test]
fn r4_a_memory_source_reads_one_memory_for_somebody() {
    let source = |spec: Value| {
        let mut document = json!({
            "apiVersion": "krate.a5c.ai/v1alpha1", "kind": "AgentMemorySource",
            "metadata": {"name": "docs", "namespace": "krate-org-a"},
            "spec": {
                "organizationRef": "a", "repositoryRef": "brain", "include": {"paths": ["docs/**"]},
                "appliesTo": {"repositories": ["krate"]}
            }
        });
        for (field, value) in spec.as_object().unwrap() {
            document["spec"][field] = value.clone();
        }
        let report = validate(&document, None, &View::partial([]), &request(Writer::Person));
        report.failures.iter().map(|failure| format!("{} {}", failure.path, failure.rule)).collect::<Vec<_>>()
    };
    let nothing: [&str; 0] = [];
    assert_eq!(source(json!({})), nothing);
    let shared = json!({"organization": "b", "kind": "AgentMemoryRepository", "name": "brain"});
    assert_eq!(source(json!({"sharedRepositoryRef": shared})), ["spec.sharedRepositoryRef R4"]);
    assert_eq!(source(json!({"appliesTo": {}})), ["spec.appliesTo R4"]);
    assert_eq!(source(json!({"include": {"paths": ["a**"]}})), ["spec.include.paths[0] P14"]);
}

#[test]
fn r18_secrets_are_always_taken_out_of_what_a_run_is_told() {
    let mut rule = valid_documents().into_iter().find(|it| it["kind"] == "AgentTriggerRule").unwrap();
    rule["spec"]["contextBundleTemplate"] = json!({"redactSecrets": false});
    let report = validate(&rule, None, &store(), &request(Writer::Person));
    let found: Vec<_> = report.failures.iter().map(|it| format!("{} {}", it.path, it.rule)).collect();
    assert_eq!(found, ["spec.contextBundleTemplate.redactSecrets R18"]);
}

#[test]
fn p14_patterns_of_a_rules_actors_are_read_when_they_are_written() {
    let mut rule = valid_documents().into_iter().find(|it| it["kind"] == "AgentTriggerRule").unwrap();
    rule["spec"]["match"]["actors"] = json!({"include": ["ada", "ext:4711", "{ada"], "exclude": ["a**", "**"]});
    let report = validate(&rule, None, &store(), &request(Writer::Person));
    let found: Vec<_> = report.failures.iter().map(|it| format!("{} {}", it.path, it.rule)).collect();
    assert_eq!(found, ["spec.match.actors.exclude[0] P14", "spec.match.actors.include[2] P14"]);
}
