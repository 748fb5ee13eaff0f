//! External backends: providers, their policies and the records of sync (R13, R48, R51 to R53); bindings stand in `binding.rs`, manifests in
//! `manifest.rs`.

use serde::Deserialize;
use serde_json::Value;

use super::failure::{Accepted, Code, Findings};
use super::path::{ROOT, entries, get, is_true, list, map, text, texts};
use super::rules::Rule;
use super::scalars::address_problem;
use super::secrets::shown;
use super::work::exactly_when;
use super::{Subject, binding, identity, manifest};
use crate::Kind;
use crate::key::{KeyInput, RequestInput, request_digest};
use crate::kinds::external::ExternalWriteIntentSpec;
use crate::kinds::sets::{Interface, Operation};

/// Fields of a spec that hold an address which krate calls (R48).
pub(super) const CALLED_ADDRESSES: [&str; 6] = ["baseUrl", "apiBaseUrl", "url", "gatewayUrl", "endpoint", "apiBase"];

/// What no agent is trusted with (R51).
const GRAVE: [Operation; 6] = [
    Operation::MergePullRequest,
    Operation::UpdateRef,
    Operation::DeleteRef,
    Operation::SyncBranchProtection,
    Operation::SyncCollaborators,
    Operation::SyncDeployKeys,
];

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    addresses(subject, findings);
    match subject.kind {
        Kind::ExternalBackendProvider => provider(subject, findings),
        Kind::ExternalBackendBinding => binding::check(subject, findings),
        Kind::ExternalBackendSyncPolicy => sync_policy(subject, findings),
        Kind::ExternalProviderCapabilityManifest => manifest::check(subject, findings),
        Kind::ExternalWriteIntent => intent(subject, findings),
        Kind::ExternalSyncEvent => event(subject, findings),
        Kind::ExternalSyncConflict => conflict(subject, findings),
        Kind::ExternalObjectLink => {
            let fields = ["providerRef", "external.nativeKind", "external.nativeId"];
            identity::unique(subject, &fields, "spec.external", findings);
        }
        _ => {}
    }
}

fn addresses(subject: &Subject<'_>, findings: &mut Findings) {
    let allow_insecure = is_true(subject.spec, "allowInsecure");
    for field in CALLED_ADDRESSES {
        // A transport's endpoint may be a socket or a command; those are no addresses.
        let address = text(subject.spec, field).filter(|text| field != "endpoint" || text.contains("://"));
        if let Some(problem) = address.and_then(|address| address_problem(address, allow_insecure)) {
            findings.fail(format!("spec.{field}"), Rule::r(48), Code::Invalid, problem);
        }
    }
}

fn provider(subject: &Subject<'_>, findings: &mut Findings) {
    let spec = subject.spec;
    let is_custom = text(spec, "providerType") == Some("custom");
    exactly_when(subject, "adapterRef", is_custom, Rule::r(11), "where providerType is custom", findings);
    if map(spec, "capabilities").is_some_and(|wanted| !wanted.values().any(|value| value == &Value::Bool(true))) {
        findings.fail("spec.capabilities", Rule::r(11), Code::Required, "at least one interface is wanted");
    }
    if let Some(manifest) = manifest_of(subject, findings) {
        follows_manifest(subject, manifest, findings);
        proves_origin(subject, manifest, findings);
    }
}

/// The manifest of this provider, or why there is none.
fn manifest_of<'a>(subject: &Subject<'a>, findings: &mut Findings) -> Option<&'a Value> {
    let provider_type = text(subject.spec, "providerType")?;
    if let Some(manifest) = subject.view.manifest_of(subject.document) {
        return Some(manifest);
    }
    if provider_type == "custom" {
        let name = text(subject.spec, "adapterRef")?;
        if subject.view.is_complete() {
            findings.unresolved("spec.adapterRef", Kind::ExternalProviderCapabilityManifest.as_str(), name);
        } else {
            let reason = format!("no declared manifest of the adapter {name} is among the given documents");
            findings.unchecked("spec.adapterRef", Rule::r(11), reason);
        }
        return None;
    }
    let at = "spec.providerType";
    let mut known: Vec<&str> = subject.view.built_in_manifests().filter_map(|m| text(m, "spec.providerType")).collect();
    if known.is_empty() && !subject.view.is_complete() {
        findings.unchecked(at, Rule::r(11), "no built-in manifest is among the given documents");
        return None;
    }
    known.push("custom");
    let message = format!("{} is no registered provider type", shown(provider_type, "providerType"));
    findings.fail_unknown(at, Rule::r(11), Code::NotSupported, message, provider_type, known);
    None
}

fn follows_manifest(subject: &Subject<'_>, manifest: &Value, findings: &mut Findings) {
    let spec = subject.spec;
    let hosting: Vec<&str> = texts(manifest, "spec.hosting").map(|(_, name)| name).collect();
    if let Some(found) = text(spec, "hosting").filter(|found| !hosting.contains(found)) {
        let message = format!("{} is no hosting of this provider type", shown(found, "hosting"));
        findings.fail_set("spec.hosting", Rule::r(11), message, &hosting);
    }
    let modes = entries(manifest, "spec.authModes", "name");
    let Some(mode) = text(spec, "authRef.mode") else { return };
    let Some((_, mode)) = modes.iter().find(|(_, entry)| text(entry, "name") == Some(mode)) else {
        let message = format!("{} is no way to authenticate with this provider type", shown(mode, "mode"));
        let accepted = modes.iter().filter_map(|(_, entry)| text(entry, "name"));
        findings.fail_set("spec.authRef.mode", Rule::r(11), message, accepted);
        return;
    };
    let keys: Vec<&str> = list(mode, "credentialKeys").iter().filter_map(|key| text(key, "name")).collect();
    for renamed in map(spec, "authRef.keys").into_iter().flatten().map(|(key, _)| key.as_str()) {
        if !keys.contains(&renamed) {
            let at = ROOT.field("spec");
            let at = at.field("authRef");
            let at = at.field("keys");
            let message = "is no credential key of this way to authenticate";
            let known = keys.iter().copied();
            findings.fail_unknown(at.key(renamed), Rule::r(11), Code::NotSupported, message, renamed, known);
        }
    }
}

/// R13: webhooks that are proven by a secret take one.
fn proves_origin(subject: &Subject<'_>, manifest: &Value, findings: &mut Findings) {
    let takes_webhooks = is_true(manifest, "spec.api.webhook");
    let by_secret = |proof: &str| {
        matches!(proof, "hmac-sha256" | "hmac-sha256-timestamped" | "standard-webhooks" | "shared-token" | "basic")
    };
    let proofs: Vec<&str> = texts(manifest, "spec.webhookSignature").map(|(_, proof)| proof).collect();
    let needs_secret = takes_webhooks && !proofs.is_empty() && proofs.iter().all(|proof| by_secret(proof));
    if needs_secret && list(subject.spec, "webhook.secretRefs").is_empty() {
        let message = format!("a webhook of this provider is proven by its secret ({}); name one", proofs.join(", "));
        findings.fail("spec.webhook.secretRefs", Rule::r(13), Code::Required, message);
    }
}

fn sync_policy(subject: &Subject<'_>, findings: &mut Findings) {
    let denied: Vec<&str> = texts(subject.spec, "writePolicy.deniedOperations").map(|(_, name)| name).collect();
    for field in ["allowedOperations", "deniedOperations"] {
        let at = format!("writePolicy.{field}");
        for (index, operation) in known_operations(get(subject.spec, &at)) {
            let at = format!("spec.{at}[{index}]");
            writes(&operation, &at, findings);
            if field == "allowedOperations" && denied.contains(&operation.as_str()) {
                let message = format!("{operation} is denied in deniedOperations too");
                findings.fail(at, Rule::r(51), Code::Invalid, message);
            }
        }
    }
    for (at, trusted) in entries(subject.spec, "writePolicy.trustedAgents", "agent") {
        for (index, operation) in known_operations(trusted.get("operations")) {
            let at = format!("spec.{at}.operations[{index}]");
            writes(&operation, &at, findings);
            if GRAVE.contains(&operation) {
                let message = format!("{operation} can't be trusted to an agent; it waits for a person");
                findings.fail(at, Rule::r(51), Code::Forbidden, message);
            }
        }
    }
}

/// The operations of a list; an unknown one is R8's.
fn known_operations(list: Option<&Value>) -> impl Iterator<Item = (usize, Operation)> {
    let names = list.and_then(Value::as_array).into_iter().flatten().enumerate();
    names.filter_map(|(at, name)| Some((at, name.as_str()?.parse().ok()?)))
}

fn writes(operation: &Operation, at: &str, findings: &mut Findings) {
    if !operation.is_write() {
        findings.fail(
            at,
            Rule::r(51),
            Code::Invalid,
            format!("{operation} only reads; here stand operations that write"),
        );
    }
}

/// The kinds that an operation may be about.
fn targets(operation: &Operation) -> &'static [&'static str] {
    match operation {
        Operation::AddLabels | Operation::RemoveLabels | Operation::SyncLabels => &["Issue", "PullRequest"],
        Operation::CreateIssue | Operation::UpdateIssue | Operation::CloseIssue | Operation::TransitionIssue => {
            &["Issue"]
        }
        Operation::CreateComment | Operation::UpdateComment | Operation::DeleteComment => {
            &["Comment", "Issue", "PullRequest"]
        }
        Operation::RerunPipeline | Operation::CancelPipeline | Operation::CreateCheck | Operation::UpdateCheck => {
            &["Pipeline", "Job"]
        }
        Operation::RegisterRunner => &["RunnerPool"],
        Operation::CreatePullRequest | Operation::UpdatePullRequest | Operation::MergePullRequest => &["PullRequest"],
        Operation::CreateReview | Operation::DismissReview => &["Review", "PullRequest"],
        Operation::CreatePullRequestComment
        | Operation::UpdatePullRequestComment
        | Operation::DeletePullRequestComment => &["Comment", "PullRequest", "Review"],
        Operation::SyncDeployKeys => &["SSHKey", "Repository"],
        Operation::SyncCollaborators => &["RepositoryPermission", "Repository"],
        Operation::SyncBranchProtection => &["BranchProtection", "Repository"],
        _ => &["Repository"],
    }
}

/// The kinds of which an operation changes an object that is there already.
pub(super) fn changes(operation: &Operation) -> &'static [&'static str] {
    match operation {
        _ if !operation.is_write() || is_create(operation) => &[],
        // These are named with what holds them; what they change is the part.
        Operation::UpdateComment
        | Operation::DeleteComment
        | Operation::UpdatePullRequestComment
        | Operation::DeletePullRequestComment => &["Comment"],
        Operation::DismissReview => &["Review"],
        Operation::SyncDeployKeys => &["SSHKey"],
        Operation::SyncCollaborators => &["RepositoryPermission"],
        Operation::SyncBranchProtection => &["BranchProtection"],
        Operation::UpdateRef | Operation::DeleteRef | Operation::UpdateRelease => &[],
        other => targets(other),
    }
}

fn is_create(operation: &Operation) -> bool {
    operation.as_str().starts_with("create") || *operation == Operation::RegisterRunner
}

fn intent(subject: &Subject<'_>, findings: &mut Findings) {
    let (spec, rule) = (subject.spec, Rule::r(52));
    let Some(operation) = text(spec, "operation").and_then(|name| name.parse::<Operation>().ok()) else { return };
    if !operation.is_write() {
        findings.fail("spec.operation", rule, Code::Invalid, format!("{operation} only reads; an intent writes"));
    }
    let own = operation.interface();
    if let Some(interface) = text(spec, "interface").and_then(|name| name.parse::<Interface>().ok())
        && own.as_ref() != Some(&interface)
    {
        let message = format!("{operation} is no operation of {interface}");
        findings.fail_near("spec.interface", rule, Code::Invalid, message, own.as_ref().map(Interface::as_str));
    }
    let accepted = targets(&operation);
    if text(spec, "target.kind").is_some_and(|kind| !accepted.contains(&kind)) {
        let message = format!("{operation} is not about that kind");
        findings.fail_set("spec.target.kind", rule, message, accepted);
    }
    one_member(spec, "payload", operation.as_str(), rule, findings);
    let creates = is_create(&operation);
    if map(spec, "nativeTarget").is_some() {
        exactly_when(subject, "nativeTarget.nativeId", !creates, rule, "but for creates", findings);
    }
    binding::allows_write(subject, &operation, findings);
    digests(subject, findings);
}

/// R52: an intent's digests are those of its request, or a person would approve something else than what is sent (S32). Which request its key was made from
/// is known of a new one only: one that was asked for again keeps its key.
fn digests(subject: &Subject<'_>, findings: &mut Findings) {
    let Ok(spec) = ExternalWriteIntentSpec::deserialize(subject.spec) else { return };
    if subject.old.is_some() {
        return;
    }
    let is_new = subject.document.get("status").is_none();
    let key = is_new.then(|| ("idempotencyKey", KeyInput::of(&spec).key(), spec.idempotency_key));
    let request = ("requestDigest", request_digest(&RequestInput::of(&spec)), spec.request_digest);
    for (field, computed, given) in key.into_iter().chain([request]) {
        let path = format!("spec.{field}");
        match computed {
            Ok(computed) if computed == given => {}
            Ok(computed) => {
                let message = "is not the digest of the request in this spec";
                let accepted = Accepted::one_of([computed.to_string()]);
                findings.push(path, Rule::r(52), Code::Invalid, message, Some(accepted));
            }
            Err(error) => findings.fail(path, Rule::r(52), Code::Invalid, error.to_string()),
        }
    }
}

/// A union has exactly the member that another field names.
fn one_member(spec: &Value, field: &str, member: &str, rule: Rule, findings: &mut Findings) {
    let Some(union) = map(spec, field) else { return };
    if !union.contains_key(member) {
        findings.fail(format!("spec.{field}.{member}"), rule, Code::Required, "is the member that is named here");
    }
    for other in union.keys().filter(|name| *name != member) {
        let message = format!("only the member {member} is allowed here");
        findings.fail(ROOT.field("spec").field(field).field(other), rule, Code::Forbidden, message);
    }
}

fn event(subject: &Subject<'_>, findings: &mut Findings) {
    const SOURCES: [&str; 3] = ["sourceDelivery", "sourceBackfill", "sourceIntent"];
    const BESIDE_KINDS: [&str; 6] = ["Ref", "Commit", "Label", "Milestone", "Account", "Installation"];
    let (spec, rule) = (subject.spec, Rule::r(53));
    let given: Vec<&str> = SOURCES.into_iter().filter(|source| spec.get(source).is_some()).collect();
    match given.as_slice() {
        [] if spec.is_object() => {
            findings.push(
                "spec.sourceDelivery",
                rule,
                Code::Required,
                "an event has exactly one source",
                Some(Accepted::one_of(SOURCES)),
            );
        }
        [_, others @ ..] => {
            for other in others {
                findings.fail(format!("spec.{other}"), rule, Code::Forbidden, "an event has exactly one source");
            }
        }
        [] => {}
    }
    let Some(kind) = text(spec, "resourceKind") else { return };
    if let Some(interface) = text(spec, "interface").and_then(|name| name.parse::<Interface>().ok()) {
        let of_interface = binding::kinds_of(&interface).iter().map(|kind| kind.as_str());
        let accepted: Vec<&str> = of_interface.chain(BESIDE_KINDS).collect();
        if !accepted.contains(&kind) {
            let message = format!("{} is no kind of {interface}", shown(kind, "resourceKind"));
            findings.fail_set("spec.resourceKind", rule, message, accepted);
        }
    }
    // The union's members are named as fields are, in lower camel case.
    one_member(spec, "normalized", &lower_camel(kind), rule, findings);
}

fn lower_camel(kind: &str) -> String {
    let mut chars = kind.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

fn conflict(subject: &Subject<'_>, findings: &mut Findings) {
    let (spec, rule) = (subject.spec, Rule::r(53));
    if map(spec, "resolution").is_some() {
        let is_manual = text(spec, "resolution.strategy") == Some("manual");
        exactly_when(subject, "resolution.value", is_manual, rule, "where strategy is manual", findings);
        if subject.sets("resolution") && get(spec, "resolution.seenVersions") != get(spec, "versions") {
            let message = "are not the versions of this conflict (StaleResolution): look at it again";
            findings.fail("spec.resolution.seenVersions", rule, Code::Invalid, message);
        }
        if subject.sets("resolution") && text(spec, "resolution.strategy") == Some("reviewedWrite") {
            binding::allows_reviewed_write(subject, findings);
        }
    }
    let is_open = |conflict: &Value| text(conflict, "status.phase").is_none_or(|phase| phase == "Open");
    let same = |other: &&Value| {
        let other_spec = other.get("spec").unwrap_or(&Value::Null);
        is_open(other)
            && text(other, "metadata.namespace") == Some(subject.namespace())
            && text(other_spec, "resource.kind") == text(spec, "resource.kind")
            && text(other_spec, "resource.name") == text(spec, "resource.name")
            && text(other_spec, "fieldPath") == text(spec, "fieldPath")
    };
    if is_open(subject.document)
        && let Some(other) = subject.others(Kind::ExternalSyncConflict).find(same)
    {
        let message = format!("{} is open about this field already", text(other, "metadata.name").unwrap_or_default());
        findings.fail("spec.fieldPath", Rule::r(43), Code::Duplicate, message);
    }
}
