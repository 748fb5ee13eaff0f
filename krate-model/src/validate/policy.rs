//! Grants, accounts, approvals and exceptions (R10, R16, R42, R59, R60, R65, and P12 for their patterns).

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::Value;

use super::failure::{Code, Findings};
use super::path::{Path, ROOT, entries, get, int, is_true, list, text, texts};
use super::rules::Rule;
use super::scalars::duration;
use super::work::exactly_when;
use super::{Subject, Writer};
use crate::kinds::shared::{MAX_ACTOR_CHAIN, Time, parse_time};
use crate::pattern::Domain;
use crate::{Kind, is_dns_label};

/// Fields that hold an actor.
const ACTOR_FIELDS: [&str; 5] = ["actor", "desiredBy", "observedBy", "producer", "requestedBy"];
/// The longest life of an approval (R59).
const MAX_APPROVAL_HOURS: i64 = 168;

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    actors(subject.spec, ROOT.field("spec"), findings);
    match subject.kind {
        Kind::AgentSecretGrant => grant(subject, "secretRef", "platformSecrets", findings),
        Kind::AgentConfigGrant => grant(subject, "configMapRef", "platformConfigMaps", findings),
        Kind::AgentServiceAccount => service_account(subject, findings),
        Kind::AgentRoleBinding => role_binding(subject, findings),
        Kind::AgentApproval => approval(subject, findings),
        Kind::PolicyExceptionRequest => exception(subject, findings),
        Kind::PolicyTemplate => template(subject, findings),
        _ => {}
    }
}

/// R42: every chain of actors in a spec.
fn actors(value: &Value, path: Path<'_>, findings: &mut Findings) {
    match value {
        Value::Object(fields) => {
            if value.get("onBehalfOf").is_some() || ACTOR_FIELDS.contains(&path.last_name()) {
                return actor_chain(value, &path, findings);
            }
            for (name, value) in fields {
                actors(value, path.field(name), findings);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                actors(item, path.index(at), findings);
            }
        }
        _ => {}
    }
}

fn actor_chain(actor: &Value, path: &Path<'_>, findings: &mut Findings) {
    let chain: Vec<&Value> = std::iter::successors(Some(actor), |actor| actor.get("onBehalfOf")).collect();
    if chain.len() > MAX_ACTOR_CHAIN {
        let message = format!("acts for {} others, at most {} are allowed", chain.len() - 1, MAX_ACTOR_CHAIN - 1);
        findings.fail(path, Rule::r(42), Code::TooMany, message);
        return;
    }
    let names: BTreeSet<_> = chain.iter().map(|actor| (text(actor, "kind"), text(actor, "name"))).collect();
    if names.len() < chain.len() {
        findings.fail(path, Rule::r(42), Code::Duplicate, "names somebody twice in one chain");
    }
    // A schedule acts as the system. A controller that acts for nobody answers for itself; it is never whom an agent acts for.
    let ends_well = chain.last().is_some_and(|last| match text(last, "kind") {
        Some("user" | "provider" | "system") | None => true,
        Some("controller") if chain.len() == 1 => true,
        Some(_) => last.get("account").is_some(),
    });
    if !ends_well {
        let message = "ends at nobody who answers for it: a chain ends at a user, a schedule or a provider account";
        findings.fail(path, Rule::r(42), Code::Invalid, message);
    }
}

/// A grant of keys of a Secret or ConfigMap.
fn grant(subject: &Subject<'_>, reference: &str, lent: &str, findings: &mut Findings) {
    let spec = subject.spec;
    let at = |field: &str| format!("spec.{reference}.{field}");
    for (index, key) in texts(spec, &format!("{reference}.keys")) {
        if key.is_empty() || key.contains(['*', '?', '[', ']', '{', '}']) {
            let message = "is a pattern; a grant names its keys one by one";
            findings.fail(format!("{}[{index}]", at("keys")), Rule::r(16), Code::Invalid, message);
        }
    }
    if list(spec, &format!("{reference}.keys")).is_empty() && get(spec, reference).is_some() {
        findings.fail(at("keys"), Rule::r(16), Code::Required, "a grant names its keys one by one");
    }
    if let (Some(kind), Some(purpose)) = (text(spec, "subject.kind"), text(spec, "purpose")) {
        let fits = match purpose {
            "model-provider-token" => matches!(kind, "agent-stack" | "subagent"),
            "tool" | "mcp-server" | "skill" | "runner" => kind == purpose || kind == "agent-stack",
            _ => true,
        };
        if !fits {
            findings.fail("spec.purpose", Rule::r(16), Code::Invalid, format!("does not fit a subject of kind {kind}"));
        }
    }
    super::pattern::check_filter(spec, "allowedRefs", Domain::Ref, findings);
    let Some(namespace) = text(spec, &format!("{reference}.namespace")).filter(|space| *space != subject.namespace())
    else {
        return;
    };
    if namespace != subject.view.secret_namespace() {
        let message = format!("is neither this namespace nor the platform's, {}", subject.view.secret_namespace());
        findings.fail(at("namespace"), Rule::r(10), Code::Forbidden, message);
        return;
    }
    lent_by_platform(subject, reference, lent, findings);
}

/// R10: the name and each key are listed in the organization's namespace binding.
fn lent_by_platform(subject: &Subject<'_>, reference: &str, lent: &str, findings: &mut Findings) {
    let organization = text(subject.spec, "organizationRef");
    let bindings = || {
        let all = subject.view.of_kind(Kind::OrgNamespaceBinding);
        all.filter(|binding| text(binding, "spec.organizationRef") == organization)
    };
    let at = format!("spec.{reference}");
    if bindings().next().is_none() && !subject.view.is_complete() {
        let reason = "the organization's OrgNamespaceBinding is not among the given documents";
        findings.unchecked(format!("{at}.name"), Rule::r(10), reason);
        return;
    }
    let name = text(subject.spec, &format!("{reference}.name")).unwrap_or_default();
    let field = format!("spec.{lent}");
    let listed: Vec<&Value> = bindings()
        .flat_map(|binding| entries(binding, &field, "name"))
        .filter(|(_, entry)| text(entry, "name") == Some(name))
        .map(|(_, entry)| entry)
        .collect();
    if listed.is_empty() {
        let message = format!("is not in {lent} of the organization's namespace binding");
        findings.fail(format!("{at}.name"), Rule::r(10), Code::Forbidden, message);
        return;
    }
    for (index, key) in texts(subject.spec, &format!("{reference}.keys")) {
        if !listed.iter().any(|entry| list(entry, "keys").iter().any(|listed| listed == key)) {
            let message = format!("is a key that {lent} of the organization's namespace binding does not lend");
            findings.fail(format!("{at}.keys[{index}]"), Rule::r(10), Code::Forbidden, message);
        }
    }
}

fn service_account(subject: &Subject<'_>, findings: &mut Findings) {
    let spec = subject.spec;
    if let Some(namespace) = text(spec, "namespace").filter(|namespace| *namespace != subject.namespace()) {
        let message = format!("{namespace} is not the organization's own namespace");
        findings.fail_near("spec.namespace", Rule::r(65), Code::Invalid, message, Some(subject.namespace()));
    }
    let Some(name) = text(spec, "serviceAccountName") else { return };
    let at = "spec.serviceAccountName";
    if !is_dns_label(name) {
        findings.fail(at, Rule::r(65), Code::Invalid, "is no DNS label");
    }
    let other = subject.others(Kind::AgentServiceAccount).find(|other| {
        text(other, "spec.serviceAccountName") == Some(name) && text(other, "spec.namespace") == text(spec, "namespace")
    });
    if let Some(other) = other {
        let message = format!("belongs to {} already", text(other, "metadata.name").unwrap_or_default());
        findings.fail(at, Rule::r(65), Code::Duplicate, message);
    }
}

fn role_binding(subject: &Subject<'_>, findings: &mut Findings) {
    const WAYS_UP: [&str; 3] = ["bind", "escalate", "impersonate"];
    const WAYS_IN: [&str; 3] = ["secrets", "serviceaccounts/token", "pods/exec"];
    for (index, rule) in list(subject.spec, "resourceRules").iter().enumerate() {
        for field in ["apiGroups", "resources", "verbs"] {
            for (at, word) in texts(rule, field) {
                let is_refused = word == "*"
                    || (field == "verbs" && WAYS_UP.contains(&word))
                    || (field == "resources" && WAYS_IN.contains(&word));
                if is_refused {
                    let at = format!("spec.resourceRules[{index}].{field}[{at}]");
                    findings.fail(at, Rule::r(65), Code::Forbidden, "gives more than an agent may have");
                }
            }
        }
    }
    let Some(kind) = text(subject.spec, "scope.kind") else { return };
    exactly_when(
        subject,
        "scope.name",
        kind != "organization",
        Rule::r(65),
        "but for the organization's scope",
        findings,
    );
}

/// The end of an object, where this write sets it.
fn new_end(subject: &Subject<'_>) -> Option<Time> {
    text(subject.spec, "expiresAt").filter(|_| subject.sets("expiresAt")).and_then(parse_time)
}

fn approval(subject: &Subject<'_>, findings: &mut Findings) {
    let (spec, now) = (subject.spec, subject.request.now);
    if let (Some(decided), Some(digest)) = (text(spec, "decide.digest"), text(spec, "digest"))
        && decided != digest
    {
        let message = "is not the digest of this approval: what was decided on is something else";
        findings.fail("spec.decide.digest", Rule::r(59), Code::Invalid, message);
    }
    if subject.sets("decide") && subject.request.writer != Writer::Person {
        findings.fail("spec.decide", Rule::r(59), Code::Forbidden, "only persons decide");
    }
    if new_end(subject).is_some_and(|end| end - now > TimeDelta::hours(MAX_APPROVAL_HOURS)) {
        let message = format!("lies more than {MAX_APPROVAL_HOURS} hours ahead");
        findings.fail("spec.expiresAt", Rule::r(59), Code::Invalid, message);
    }
    if int(spec, "policy.quorum").is_some_and(|quorum| !(1..=10).contains(&quorum)) {
        findings.fail("spec.policy.quorum", Rule::r(59), Code::Invalid, "is 1 to 10 persons");
    }
}

fn exception(subject: &Subject<'_>, findings: &mut Findings) {
    let (spec, now) = (subject.spec, subject.request.now);
    let breaks_glass = is_true(spec, "breakGlass");
    exactly_when(subject, "actionClass", breaks_glass, Rule::r(60), "where breakGlass is true", findings);
    if text(spec, "justification").is_some_and(|reason| reason.chars().count() < 20) {
        findings.fail("spec.justification", Rule::r(60), Code::Invalid, "takes at least 20 characters");
    }
    let binding =
        text(spec, "policyRef").and_then(|name| subject.view.get(Kind::PolicyBinding, subject.namespace(), name));
    if let Some(end) = new_end(subject) {
        let at = "spec.expiresAt";
        if end <= now {
            findings.fail(at, Rule::r(60), Code::Invalid, "lies in the past");
        } else if breaks_glass && end - now > TimeDelta::hours(1) {
            findings.fail(at, Rule::r(60), Code::Invalid, "breaking glass lasts at most one hour");
        } else if longest(subject, binding).is_some_and(|longest| end - now > longest) {
            findings.fail(at, Rule::r(60), Code::Invalid, "lies further ahead than the profile's maxDuration");
        }
    }
    let enforces = binding.is_some_and(|binding| text(binding, "spec.mode") == Some("enforce"));
    if enforces && text(spec, "riskAcceptance").is_none_or(str::is_empty) {
        let message = "is required where the policy enforces";
        findings.fail("spec.riskAcceptance", Rule::r(60), Code::Required, message);
    }
    if binding.is_none() && !subject.view.is_complete() {
        findings.unchecked("spec.policyRef", Rule::r(60), "the PolicyBinding is not among the given documents");
    }
}

/// The longest exception that the binding's profile allows.
fn longest(subject: &Subject<'_>, binding: Option<&Value>) -> Option<TimeDelta> {
    let profile = text(binding?, "spec.profileRef")?;
    let profile = subject.view.get(Kind::PolicyProfile, subject.namespace(), profile)?;
    duration(text(profile, "spec.exceptionPolicy.maxDuration").unwrap_or("168h")).ok()
}

fn template(subject: &Subject<'_>, findings: &mut Findings) {
    let Some(engine) = text(subject.spec, "engine") else { return };
    for member in ["krate", "cel", "kyverno"] {
        let why = format!("for the engine {member}");
        exactly_when(subject, member, engine == member, Rule::r(61), &why, findings);
    }
}
