//! Bindings: what of a provider is used, how, and by whom alone (R4, R11, R12, R50).

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde_json::Value;

use super::failure::{Accepted, Code, Findings};
use super::mergeable::mergeable;
use super::path::{ROOT, entries, get, is_true, list, map, text, texts};
use super::references::cross_organization;
use super::rules::Rule;
use super::secrets::shown;
use super::{Subject, View};
use crate::Kind;
use crate::kinds::sets::{Interface, Mode, Operation};

/// The kinds of an interface (section 3).
pub(super) const fn kinds_of(interface: &Interface) -> &'static [Kind] {
    match interface {
        Interface::IssueTracking => &[Kind::Issue, Kind::Comment],
        Interface::Cicd => &[Kind::Pipeline, Kind::Job, Kind::RunnerPool],
        Interface::GitForge => &[
            Kind::Repository,
            Kind::PullRequest,
            Kind::Review,
            Kind::Comment,
            Kind::SSHKey,
            Kind::RepositoryPermission,
            Kind::BranchProtection,
            Kind::RefPolicy,
        ],
        Interface::Unknown(_) => &[],
    }
}

/// What a mode that writes needs for a kind: each entry is met by any of its operations (section 3, "needs of a writing mode").
const fn needs(interface: &Interface, kind: Kind) -> &'static [&'static [Operation]] {
    use Operation as Op;
    match (kind, interface) {
        (Kind::Issue, _) => &[&[Op::CreateIssue], &[Op::UpdateIssue], &[Op::CloseIssue, Op::TransitionIssue]],
        (Kind::Comment, Interface::IssueTracking) => &[&[Op::CreateComment], &[Op::UpdateComment]],
        (Kind::Comment, _) => &[&[Op::CreatePullRequestComment], &[Op::UpdatePullRequestComment]],
        (Kind::PullRequest, _) => &[&[Op::CreatePullRequest], &[Op::UpdatePullRequest]],
        (Kind::Repository, _) => &[&[Op::UpdateRepository]],
        (Kind::SSHKey, _) => &[&[Op::SyncDeployKeys]],
        (Kind::RepositoryPermission, _) => &[&[Op::SyncCollaborators]],
        (Kind::BranchProtection, _) => &[&[Op::SyncBranchProtection]],
        (Kind::Pipeline, _) => &[&[Op::RerunPipeline], &[Op::CancelPipeline]],
        _ => &[],
    }
}

/// Modes that promise to write whatever is wanted; `external-owned` writes only what the manifest has.
const fn promises_writes(mode: &Mode) -> bool {
    matches!(mode, Mode::KrateOwned | Mode::Bidirectional | Mode::WriteThrough | Mode::ReviewedWrite)
}

fn mode_of(entry: &Value) -> Option<Mode> {
    text(entry, "mode").and_then(|mode| mode.parse().ok())
}

/// The interfaces of a binding that are switched on, each with its path.
fn enabled<'v>(spec: &'v Value, at: &str) -> Vec<(String, Interface, &'v Value)> {
    let is_on = |entry: &Value| entry.get("enabled") != Some(&Value::Bool(false));
    let named = |(path, entry): (String, &'v Value)| {
        Some((format!("{at}{path}"), text(entry, "name")?.parse::<Interface>().ok()?, entry))
    };
    entries(spec, "interfaces", "name").into_iter().filter(|(_, entry)| is_on(entry)).filter_map(named).collect()
}

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    references(subject, findings);
    for (at, interface, entry) in enabled(subject.spec, "spec.") {
        overrides(&at, &interface, entry, findings);
    }
    let provider = provider_of(subject.view, subject.document);
    let manifest = provider.and_then(|provider| subject.view.manifest_of(provider));
    match (provider, manifest) {
        (Some(provider), Some(manifest)) => {
            for (at, interface, entry) in enabled(subject.spec, "spec.") {
                possible(&at, &interface, entry, provider, manifest, findings);
            }
            external_ref(subject, manifest, findings);
        }
        _ if subject.view.is_complete() => {}
        _ => findings.unchecked(
            "spec.interfaces",
            Rule::r(11),
            "the provider's manifest is not among the given documents",
        ),
    }
    alone(subject, manifest, findings);
}

fn references(subject: &Subject<'_>, findings: &mut Findings) {
    let spec = subject.spec;
    let has = |field: &str| spec.get(field).is_some();
    if !has("providerRef") && !has("sharedProviderRef") && spec.is_object() {
        let message = "is required, or sharedProviderRef in its place";
        findings.fail("spec.providerRef", Rule::r(4), Code::Required, message);
    }
    for (local, shared) in [("providerRef", "sharedProviderRef"), ("syncPolicyRef", "sharedSyncPolicyRef")] {
        if has(local) && has(shared) {
            let message = format!("stands in the place of {local}; only one of them is allowed");
            findings.fail(format!("spec.{shared}"), Rule::r(4), Code::Forbidden, message);
        }
    }
    cross_organization(subject, "sharedProviderRef", Kind::ExternalBackendProvider, findings);
    cross_organization(subject, "sharedSyncPolicyRef", Kind::ExternalBackendSyncPolicy, findings);
    let of_organization = text(spec, "targetRef.kind") == Some(Kind::Organization.as_str());
    if of_organization && text(spec, "targetRef.name") != text(spec, "organizationRef") {
        let message = "names another organization than the binding's own";
        findings.fail("spec.targetRef.name", Rule::r(4), Code::Forbidden, message);
    }
}

/// R50: overrides name kinds of the interface, mergeable fields and fitting strategies.
fn overrides(at: &str, interface: &Interface, entry: &Value, findings: &mut Findings) {
    let rule = Rule::r(50);
    let is_read_only = mode_of(entry) == Some(Mode::ReadOnly);
    let only_reads = |at: &str, entry: &Value, findings: &mut Findings| {
        if is_read_only && mode_of(entry).is_some_and(|mode| mode != Mode::ReadOnly) {
            let message = "inside a read-only interface everything is read-only";
            findings.fail_near(format!("{at}.mode"), rule, Code::Forbidden, message, Some("read-only"));
        }
    };
    for (kind_at, kind_entry) in entries(entry, "kinds", "kind") {
        let kind_at = format!("{at}.{kind_at}");
        let Some(name) = text(kind_entry, "kind") else { continue };
        only_reads(&kind_at, kind_entry, findings);
        let known = kinds_of(interface);
        let Some(kind) = known.iter().copied().find(|kind| kind.as_str() == name) else {
            let message = format!("{} is no kind of {interface}", shown(name, "kind"));
            findings.fail_set(&kind_at, rule, message, known.iter().map(|kind| kind.as_str()));
            continue;
        };
        for (field_at, field_entry) in entries(kind_entry, "fields", "path") {
            let field_at = format!("{kind_at}.{field_at}");
            let Some(path) = text(field_entry, "path") else { continue };
            only_reads(&field_at, field_entry, findings);
            let Some(field) = mergeable(kind).iter().find(|field| field.path == path) else {
                let message = format!("{} is no mergeable field of {kind}", shown(path, "path"));
                let paths = mergeable(kind).iter().map(|field| field.path);
                findings.fail_unknown(field_at, rule, Code::NotSupported, message, path, paths);
                continue;
            };
            let accepted = || field.strategies.iter().map(crate::kinds::sets::Strategy::as_str);
            if text(field_entry, "strategy").is_some_and(|found| !accepted().any(|accepted| accepted == found)) {
                let message = format!("does not fit {path}");
                findings.fail_set(format!("{field_at}.strategy"), rule, message, accepted());
            }
        }
    }
}

/// The provider that a binding uses: beside it, or of another organization.
fn provider_of<'v>(view: &'v View, binding: &Value) -> Option<&'v Value> {
    let kind = Kind::ExternalBackendProvider;
    if let Some(name) = text(binding, "spec.providerRef") {
        return view.get(kind, text(binding, "metadata.namespace")?, name);
    }
    let owner = view.organization(text(binding, "spec.sharedProviderRef.organization")?)?;
    view.get(kind, text(owner, "spec.namespaceName")?, text(binding, "spec.sharedProviderRef.name")?)
}

/// R11: the manifest has the interface, the provider wants it, and the operations carry the modes.
fn possible(
    at: &str,
    interface: &Interface,
    entry: &Value,
    provider: &Value,
    manifest: &Value,
    findings: &mut Findings,
) {
    let rule = Rule::r(11);
    let name = interface.as_str();
    let declared = entries(manifest, "spec.interfaces", "name").into_iter().map(|(_, entry)| entry);
    let mut supported = declared.filter(|entry| is_true(entry, "supported"));
    let Some(declared) = supported.find(|entry| text(entry, "name") == Some(name)) else {
        let message = format!("{name} is not an interface of this provider type");
        let have = entries(manifest, "spec.interfaces", "name").into_iter().map(|(_, entry)| entry);
        let have = have.filter(|entry| is_true(entry, "supported")).filter_map(|entry| text(entry, "name"));
        findings.fail_set(at, rule, message, have);
        return;
    };
    if !is_true(provider, &format!("spec.capabilities.{name}")) {
        let message = format!("the provider's capabilities don't have {name} switched on");
        findings.fail(at, rule, Code::Forbidden, message);
    }
    let operations: Vec<Operation> = list(declared, "operations")
        .iter()
        .filter_map(|operation| text(operation, "operation")?.parse().ok())
        .collect();
    let objects: Vec<&str> = texts(declared, "objects").map(|(_, kind)| kind).collect();
    let is_used = |kind: &Kind| objects.is_empty() || objects.contains(&kind.as_str());
    // The kinds whose mode stands at a path, so that each path fails once.
    let mut asked: BTreeMap<String, Vec<Kind>> = BTreeMap::new();
    let mut ask = |at: &str, entry: &Value, kind: Kind| {
        if mode_of(entry).is_some_and(|mode| promises_writes(&mode)) {
            asked.entry(format!("{at}.mode")).or_default().push(kind);
        }
    };
    let kind_entries = entries(entry, "kinds", "kind");
    for kind in kinds_of(interface).iter().copied().filter(is_used) {
        match kind_entries.iter().find(|(_, entry)| text(entry, "kind") == Some(kind.as_str())) {
            Some((kind_at, kind_entry)) => {
                let kind_at = format!("{at}.{kind_at}");
                match kind_entry.get("mode") {
                    Some(_) => ask(&kind_at, kind_entry, kind),
                    None => ask(at, entry, kind),
                }
                for (field_at, field) in entries(kind_entry, "fields", "path") {
                    ask(&format!("{kind_at}.{field_at}"), field, kind);
                }
            }
            None => ask(at, entry, kind),
        }
    }
    for (at, kinds) in asked {
        let missing: Vec<String> = kinds
            .iter()
            .flat_map(|kind| needs(interface, *kind))
            .filter(|any| !any.iter().any(|operation| operations.contains(operation)))
            .map(|any| any.iter().map(Operation::as_str).collect::<Vec<_>>().join(" or "))
            .collect();
        if !missing.is_empty() {
            let message = format!("this mode writes, and the provider can't: it lacks {}", missing.join(", "));
            let accepted = Some(Accepted::one_of([Mode::ReadOnly.as_str(), Mode::ExternalOwned.as_str()]));
            findings.push(at, rule, Code::NotSupported, message, accepted);
        }
    }
}

/// R11: exactly the manifest's keys, each fitting its pattern.
fn external_ref(subject: &Subject<'_>, manifest: &Value, findings: &mut Findings) {
    let Some(given) = map(subject.spec, "externalRef") else { return };
    let rule = Rule::r(11);
    let keys: Vec<&Value> = list(manifest, "spec.externalRefKeys").iter().collect();
    let find = |name: &str| keys.iter().copied().find(|key| text(key, "name") == Some(name));
    let spec = ROOT.field("spec");
    let at = spec.field("externalRef");
    for (name, value) in given {
        let Some(key) = find(name) else {
            let free = keys.iter().filter_map(|key| text(key, "name")).filter(|name| !given.contains_key(*name));
            let message = "is no key of this provider's external reference";
            findings.fail_unknown(at.key(name), rule, Code::NotSupported, message, name, free);
            continue;
        };
        let Some(pattern) = text(key, "pattern") else { continue };
        let fits = scalar(value)
            .is_none_or(|value| Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|regex| regex.is_match(&value)));
        if !fits {
            let form = Some(Accepted::One(pattern.to_owned()));
            findings.push(at.key(name), rule, Code::Invalid, "does not have the form that the provider asks for", form);
        }
    }
    for name in keys.iter().filter(|key| is_required(key)).filter_map(|key| text(key, "name")) {
        if !given.contains_key(name) {
            findings.fail(at.key(name), rule, Code::Required, "is required by the provider's manifest");
        }
    }
}

fn is_required(key: &Value) -> bool {
    key.get("required") != Some(&Value::Bool(false))
}

/// A string or number as text: `123` is `"123"` (R68).
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// R12: one binding for an external scope and for a target, per interface.
fn alone(subject: &Subject<'_>, manifest: Option<&Value>, findings: &mut Findings) {
    let scope = |binding: &Value| -> Option<BTreeMap<String, String>> {
        // What tells scopes apart are the keys that are always there; an optional one only says how to reach it.
        let is_telling = |name: &str| {
            let keys = manifest.map(|manifest| list(manifest, "spec.externalRefKeys")).unwrap_or_default();
            keys.iter().find(|key| text(key, "name") == Some(name)).is_none_or(is_required)
        };
        let keys = map(binding, "spec.externalRef")?.iter().filter(|(name, _)| is_telling(name));
        Some(keys.filter_map(|(name, value)| Some((name.clone(), scalar(value)?))).collect())
    };
    let provider = |binding: &Value| -> Option<(String, String)> {
        if let Some(name) = text(binding, "spec.providerRef") {
            return Some((text(binding, "metadata.namespace")?.to_owned(), name.to_owned()));
        }
        let owner = text(binding, "spec.sharedProviderRef.organization")?;
        let home = subject.view.organization(owner).and_then(|owner| text(owner, "spec.namespaceName"));
        let name = text(binding, "spec.sharedProviderRef.name")?;
        Some((home.unwrap_or(owner).to_owned(), name.to_owned()))
    };
    let own = enabled(subject.spec, "spec.");
    let clashes = |other: &Value| {
        enabled(other.get("spec").unwrap_or(&Value::Null), "").into_iter().find_map(|(_, name, theirs)| {
            let (_, _, ours) = own.iter().find(|(_, own, _)| *own == name)?;
            let both_read = [ours, theirs].into_iter().all(|entry| mode_of(entry) == Some(Mode::ReadOnly));
            (!both_read).then_some(name)
        })
    };
    let mut fail = |at: &str, what: &str, is_same: &dyn Fn(&Value) -> bool| {
        let mut others = subject.others(Kind::ExternalBackendBinding).filter(|other| is_same(other));
        if let Some((other, interface)) = others.find_map(|other| Some((other, clashes(other)?))) {
            let name = text(other, "metadata.name").unwrap_or_default();
            let message = format!("{name} binds {interface} of this {what} already");
            findings.fail(at, Rule::r(12), Code::Duplicate, message);
        }
    };
    let (own_provider, own_scope) = (provider(subject.document), scope(subject.document));
    fail("spec.externalRef", "external scope", &|other| {
        own_provider.is_some() && own_scope.is_some() && provider(other) == own_provider && scope(other) == own_scope
    });
    let target = get(subject.spec, "targetRef");
    fail("spec.targetRef", "target", &|other| {
        target.is_some()
            && text(other, "metadata.namespace") == Some(subject.namespace())
            && get(other, "spec.targetRef") == target
    });
    if !subject.view.is_complete() {
        findings.unchecked("spec.externalRef", Rule::r(12), "bindings outside the given documents are not known");
    }
}

/// R53: the provider's manifest has an operation that changes objects of the conflict's kind. Which field it carries is for the plan of the write to say.
pub(super) fn allows_reviewed_write(subject: &Subject<'_>, findings: &mut Findings) {
    let (at, rule) = ("spec.resolution.strategy", Rule::r(53));
    let (Some(name), Some(interface), Some(kind)) =
        (text(subject.spec, "bindingRef"), text(subject.spec, "interface"), text(subject.spec, "resource.kind"))
    else {
        return;
    };
    let binding = subject.view.get(Kind::ExternalBackendBinding, subject.namespace(), name);
    let provider = binding.and_then(|binding| provider_of(subject.view, binding));
    let Some(manifest) = provider.and_then(|provider| subject.view.manifest_of(provider)) else {
        if !subject.view.is_complete() {
            let reason = format!("the manifest of the provider of {name} is not among the given documents");
            findings.unchecked(at, rule, reason);
        }
        return;
    };
    let declared = entries(manifest, "spec.interfaces", "name").into_iter().map(|(_, entry)| entry);
    let declared = declared.filter(|entry| is_true(entry, "supported") && text(entry, "name") == Some(interface));
    let mut operations = declared
        .flat_map(|entry| list(entry, "operations"))
        .filter_map(|operation| text(operation, "operation")?.parse::<Operation>().ok());
    if !operations.any(|operation| super::external::changes(&operation).contains(&kind)) {
        let message = format!("writes a {kind} after a review, and the provider can't write one");
        findings.fail_set(at, rule, message, ["preferExternal", "ignore"]);
    }
}

/// R52: the binding's mode lets an intent write to its target's kind.
pub(super) fn allows_write(subject: &Subject<'_>, operation: &Operation, findings: &mut Findings) {
    let (Some(name), Some(interface)) = (text(subject.spec, "bindingRef"), text(subject.spec, "interface")) else {
        return;
    };
    let Some(binding) = subject.view.get(Kind::ExternalBackendBinding, subject.namespace(), name) else {
        if !subject.view.is_complete() {
            let reason = format!("ExternalBackendBinding {name} is not among the given documents");
            findings.unchecked("spec.bindingRef", Rule::r(52), reason);
        }
        return;
    };
    let entry =
        entries(binding, "spec.interfaces", "name").into_iter().find(|(_, e)| text(e, "name") == Some(interface));
    let Some((_, entry)) = entry else {
        let message = format!("{name} does not bind {interface}");
        findings.fail("spec.interface", Rule::r(52), Code::Forbidden, message);
        return;
    };
    let kind = text(subject.spec, "target.kind");
    let kinds = entries(entry, "kinds", "kind");
    let override_of = kinds.iter().find(|(_, entry)| text(entry, "kind") == kind).map(|(_, entry)| *entry);
    let writes = |entry: &Value| mode_of(entry).is_some_and(|mode| mode.writes());
    let own = override_of.filter(|entry| entry.get("mode").is_some()).unwrap_or(entry);
    // A field may be written where its kind is not; which fields an intent carries is judged where it is made.
    let by_field = override_of.is_some_and(|entry| list(entry, "fields").iter().any(writes));
    if !writes(own) && !by_field {
        let message = format!("{name} reads only here; {operation} would write");
        findings.fail("spec.operation", Rule::r(52), Code::Forbidden, message);
    }
}
