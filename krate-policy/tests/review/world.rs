//! An organization with one repository, a writer, a maintainer and a grant, and a request that all of it allows.

use krate_model::Resource;
use krate_model::kinds::forge::Repository;
use krate_model::kinds::grants::AgentSecretGrant;
use krate_policy::decision::Decision;
use krate_policy::request::Request;
use krate_policy::review::review;
use krate_policy::snapshot::{Item, Metadata, Snapshot};
use serde_json::{Value, json};

pub(crate) const NS: &str = "krate-org-a";

/// An item from its document.
// Callers write the values in place.
#[allow(clippy::needless_pass_by_value)]
pub(crate) fn item(kind: &str, name: &str, spec: Value, status: Value) -> Item {
    let document = json!({
        "apiVersion": "krate.a5c.ai/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": NS, "uid": format!("u-{name}"), "resourceVersion": "1"},
        "spec": spec, "status": status,
    });
    Item::read(kind.parse().unwrap(), &document).expect("a kind that is kept").expect("a document of it")
}

pub(crate) fn user(name: &str) -> Item {
    let spec = json!({"organizationRef": "a", "displayName": name, "email": format!("{name}@example.com")});
    item("User", name, spec, json!({"phase": "Active"}))
}

pub(crate) fn permission(user: &str, permission: &str) -> Item {
    item(
        "RepositoryPermission",
        &format!("{user}-krate"),
        json!({"organizationRef": "a", "repository": "krate", "subject": {"kind": "user", "name": user}, "permission": permission}),
        json!({"phase": "Applied", "repositoryUid": "u-krate"}),
    )
}

/// A role template for a person, in the whole organization.
pub(crate) fn role(user: &str, template: &str) -> Item {
    item(
        "AgentRoleBinding",
        &format!("{user}-{template}"),
        json!({
            "organizationRef": "a", "subject": {"kind": "user", "name": user},
            "roleRef": {"kind": "RoleTemplate", "name": template}, "scope": {"kind": "organization"},
        }),
        json!({"phase": "Synced", "subjectUid": format!("u-{user}")}),
    )
}

pub(crate) fn mapping(user: &str, account: &str) -> Item {
    item(
        "IdentityMapping",
        &format!("{user}-gh"),
        json!({"organizationRef": "a", "user": user, "provider": {"kind": "ExternalBackendProvider", "name": "gh"}, "subject": account}),
        json!({"phase": "Verified"}),
    )
}

/// The spec and status of the grant `model`, for tests to change.
pub(crate) fn grant_parts() -> (Value, Value) {
    (
        json!({
            "organizationRef": "a", "subject": {"kind": "agent-stack", "name": "repair"},
            "secretRef": {"name": "model", "keys": ["api-key"]}, "purpose": "model-provider-token",
            "allowedRepositories": ["krate"], "allowedRefs": {"include": ["refs/heads/**"], "exclude": ["refs/heads/release/**"]},
            "allowedTriggerSources": ["manual"], "expiresAt": "2026-12-01T00:00:00Z",
        }),
        json!({"phase": "Active", "subjectUid": "u-repair", "targetUid": "u-secret", "repositoryUids": {"krate": "u-krate"}}),
    )
}

pub(crate) fn grant(change: impl FnOnce(&mut Value, &mut Value)) -> Item {
    named_grant("model", change)
}

pub(crate) fn named_grant(name: &str, change: impl FnOnce(&mut Value, &mut Value)) -> Item {
    let (mut spec, mut status) = grant_parts();
    change(&mut spec, &mut status);
    item("AgentSecretGrant", name, spec, status)
}

/// The stack `repair` and its account, both Ready.
pub(crate) fn stack(change: impl FnOnce(&mut Value, &mut Value)) -> Item {
    let mut spec = json!({
        "organizationRef": "a", "baseAgent": "claude-code", "adapter": "local",
        "runtimeIdentity": {"serviceAccountRef": "agent-repair"},
    });
    let mut status = json!({"phase": "Ready"});
    change(&mut spec, &mut status);
    item("AgentStack", "repair", spec, status)
}

pub(crate) fn account() -> Item {
    item(
        "AgentServiceAccount",
        "agent-repair",
        json!({"organizationRef": "a", "namespace": NS, "serviceAccountName": "agent-repair"}),
        json!({"phase": "Ready"}),
    )
}

pub(crate) fn snapshot() -> Snapshot {
    let org = item(
        "Organization",
        "a",
        json!({"displayName": "A", "slug": "a", "namespaceName": NS}),
        json!({"phase": "Ready"}),
    );
    let repository = Repository::KIND.as_str();
    let repository = item(
        repository,
        "krate",
        json!({"organizationRef": "a", "visibility": "private", "defaultBranch": "main"}),
        json!({"phase": "Ready"}),
    );
    let items = [
        org,
        repository,
        user("ada"),
        user("bob"),
        permission("ada", "maintain"),
        permission("bob", "maintain"),
        mapping("ada", "1"),
        mapping("bob", "2"),
        grant(|_, _| ()),
        stack(|_, _| ()),
        account(),
    ];
    let keys = Some(["api-key".into()].into());
    Snapshot::new(0).with(7, items).with_secret(7, NS, "model", Metadata { uid: "u-secret".into(), keys })
}

/// Ada dispatches the stack by hand, on a branch of her own.
pub(crate) fn document() -> Value {
    json!({
        "organization": "a", "now": "2026-06-01T00:00:00Z",
        "subject": {"kind": "user", "name": "ada", "uid": "u-ada"},
        "actorChain": [{"kind": "user", "name": "ada", "uid": "u-ada"}],
        "causeChain": [{
            "event": "manual", "at": "2026-06-01T00:00:00Z", "verified": true,
            "gate": {"role": "author", "account": {"provider": "gh", "id": "1"}, "association": "MEMBER"},
        }],
        "action": {"verb": "dispatch", "kind": "AgentStack"},
        "repository": {"name": "krate", "uid": "u-krate"}, "ref": "refs/heads/feature/x", "triggerSource": "manual",
        "agentStack": {"name": "repair", "uid": "u-repair"},
        "needs": [{
            "type": "secret", "user": {"kind": "agent-stack", "name": "repair", "uid": "u-repair"},
            "name": "model", "key": "api-key", "purpose": "model-provider-token",
        }],
    })
}

/// The request changed so. Unless the test says something of it, who asks has looked whether the cause still holds (P57).
pub(crate) fn request(change: impl FnOnce(&mut Value)) -> Request {
    let mut document = document();
    change(&mut document);
    let causes = document["causeChain"].as_array().into_iter().flatten();
    let head = causes.map(|cause| &cause["head"]["sha"]).find(|sha| !sha.is_null()).cloned();
    let looked = json!({"causePresent": true, "headSha": head.unwrap_or_default()});
    if let Some(fields) = document.as_object_mut() {
        fields.entry("preconditions").or_insert(looked);
    }
    serde_json::from_value(document).expect("a request")
}

pub(crate) fn codes(decision: &Decision) -> Vec<&'static str> {
    decision.codes().map(krate_policy::reason::Code::as_str).collect()
}

/// What the request changed so comes to, by the snapshot changed so.
pub(crate) fn asked(snapshot: &Snapshot, change: impl FnOnce(&mut Value)) -> Decision {
    review(&request(change), snapshot)
}

pub(crate) fn is_grant(item: &Item) -> Option<&AgentSecretGrant> {
    match item {
        Item::AgentSecretGrant(grant) => Some(grant),
        _ => None,
    }
}

/// A text of a document; nothing where it has none.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The texts of a list.
pub(crate) fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The grant always asks.
pub(crate) fn asking() -> Snapshot {
    snapshot().with(8, [grant(|spec, _| spec["requiredApproval"] = json!("always"))])
}

/// Bob's answer to what Ada asks for by that snapshot.
pub(crate) fn answer(name: &str, asks: &Snapshot, change: impl FnOnce(&mut Value, &mut Value)) -> Item {
    let request = request(|_| ());
    let digest = review(&request, asks).approval_digest(&request).expect("a digest");
    let mut spec = json!({
        "organizationRef": "a", "subject": {"kind": "dispatchRun", "name": "run"}, "class": "secret-access",
        "action": {"summary": "use the key"}, "requestedBy": {"kind": "user", "name": "ada", "uid": "u-ada"},
        "digest": digest, "expiresAt": "2026-06-01T12:00:00Z",
    });
    let bob = json!({"kind": "user", "name": "bob", "uid": "u-bob"});
    let mut status = json!({
        "phase": "Approved", "uses": 0, "decisions": [{"by": bob, "at": "2026-05-31T23:00:00Z", "verdict": "approved"}],
    });
    change(&mut spec, &mut status);
    item("AgentApproval", name, spec, status)
}
