//! Identity and organization: which namespace is whose, and what two organizations share (R5, R30, R34, R43).

use serde_json::Value;

use super::Subject;
use super::failure::{Code, Findings};
use super::path::{get, list, text};
use super::references::{is_object_ref, is_ours};
use super::rules::Rule;
use crate::{Kind, is_dns_label};

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    match subject.kind {
        Kind::Organization => organization(subject, findings),
        Kind::OrgNamespaceBinding => namespace_binding(subject, findings),
        Kind::OrgSharingPolicy => sharing_policy(subject, findings),
        Kind::IdentityMapping => {
            unique(subject, &["provider", "subject"], "spec.subject", findings);
        }
        Kind::RepositoryPermission => {
            unique(subject, &["repository", "subject"], "spec.subject", findings);
        }
        _ => {}
    }
}

fn organization(subject: &Subject<'_>, findings: &mut Findings) {
    let (slug, namespace) = (text(subject.spec, "slug"), text(subject.spec, "namespaceName"));
    if let Some(slug) = slug {
        let at = "spec.slug";
        if !is_dns_label(slug) || slug.len() > 40 {
            let message = "is no DNS label of at most 40 bytes: a-z, 0-9 and -, neither first nor last a hyphen";
            findings.fail(at, Rule::r(30), Code::Invalid, message);
        } else if slug != subject.name() {
            findings.fail(at, Rule::r(30), Code::Invalid, "must equal metadata.name");
        }
        first_other(subject, Kind::Organization, "slug", slug, at, findings);
    }
    let at = "spec.namespaceName";
    let Some(namespace) = namespace else { return };
    reserved(subject, namespace, at, findings);
    first_other(subject, Kind::Organization, "namespaceName", namespace, at, findings);
    let bound = subject.view.of_kind(Kind::OrgNamespaceBinding).find(|binding| {
        text(binding, "spec.namespace") == Some(namespace)
            && text(binding, "spec.organizationRef") != Some(subject.name())
    });
    if let Some(other) = bound {
        taken(other, at, findings);
    }
}

fn namespace_binding(subject: &Subject<'_>, findings: &mut Findings) {
    let at = "spec.namespace";
    let Some(namespace) = text(subject.spec, "namespace") else { return };
    reserved(subject, namespace, at, findings);
    first_other(subject, Kind::OrgNamespaceBinding, "namespace", namespace, at, findings);
    let organization = text(subject.spec, "organizationRef").and_then(|name| subject.view.organization(name));
    let own = organization.and_then(|organization| text(organization, "spec.namespaceName"));
    if let Some(own) = own.filter(|own| *own != namespace) {
        let message = "is not the namespace of the organization";
        findings.fail_near(at, Rule::r(5), Code::Invalid, message, Some(own));
    }
}

/// R5: namespaces that are nobody's to take.
fn reserved(subject: &Subject<'_>, namespace: &str, at: &str, findings: &mut Findings) {
    let is_platforms = namespace == subject.view.platform_namespace() || namespace == subject.view.secret_namespace();
    if is_platforms || namespace == "default" || namespace.starts_with("kube-") {
        let message = "is a namespace of the platform or of Kubernetes and is never an organization's";
        findings.fail(at, Rule::r(5), Code::Forbidden, message);
    }
}

fn first_other(subject: &Subject<'_>, kind: Kind, field: &str, value: &str, at: &str, findings: &mut Findings) {
    let at_field = format!("spec.{field}");
    if let Some(other) = subject.others(kind).find(|other| text(other, &at_field) == Some(value)) {
        taken(other, at, findings);
    }
}

fn taken(other: &Value, at: &str, findings: &mut Findings) {
    let (kind, name) = (text(other, "kind").unwrap_or_default(), text(other, "metadata.name").unwrap_or_default());
    findings.fail(at, Rule::r(5), Code::Duplicate, format!("belongs to {kind} {name} already"));
}

fn sharing_policy(subject: &Subject<'_>, findings: &mut Findings) {
    let spec = subject.spec;
    let (source, target) = (text(spec, "sourceOrg"), text(spec, "targetOrg"));
    if source.is_some() && source == target {
        findings.fail("spec.targetOrg", Rule::r(34), Code::Invalid, "an organization does not share with itself");
    }
    for (at, shared) in list(spec, "allowedRefs").iter().enumerate() {
        let path = format!("spec.allowedRefs[{at}].names");
        match (shared.get("names").is_some(), shared.get("selector").is_some()) {
            (true, true) => findings.fail(path, Rule::r(24), Code::Forbidden, "is not allowed beside a selector"),
            (false, false) if shared.is_object() => {
                findings.fail(path, Rule::r(24), Code::Required, "names or a selector tell what is shared");
            }
            _ => {}
        }
    }
    let side = text(spec, "side");
    let (role, organization) = match side {
        Some("offer") => ("sourceOrg", source),
        Some("accept") => ("targetOrg", target),
        _ => return,
    };
    let Some(name) = organization else { return };
    match subject.view.organization(name).and_then(|organization| text(organization, "spec.namespaceName")) {
        Some(home) if home == subject.namespace() => {}
        Some(home) => {
            let message = format!("stands in the namespace of {role} only, which is {home}");
            findings.fail("spec.side", Rule::r(34), Code::Forbidden, message);
        }
        None if subject.view.is_complete() => {
            findings.fail(format!("spec.{role}"), Rule::r(3), Code::NotFound, "names no organization that exists");
        }
        None => {
            let reason = format!("Organization {name} is not among the given documents");
            findings.unchecked("spec.side", Rule::r(34), reason);
        }
    }
}

/// R43: no other object of the kind and namespace has the same values in `fields`.
pub(super) fn unique(subject: &Subject<'_>, fields: &[&str], at: &str, findings: &mut Findings) {
    let is_same = |other: &Value, field: &str| {
        let properties = format!("properties.spec.properties.{}", field.replace('.', ".properties."));
        let schema = subject.schema.and_then(|schema| get(schema, &properties));
        let theirs = get(other, &format!("spec.{field}"));
        get(subject.spec, field).zip(theirs).is_some_and(|(own, theirs)| same_referent(schema, own, theirs))
    };
    let first = subject.others(subject.kind).find(|other| {
        text(other, "metadata.namespace") == Some(subject.namespace())
            && fields.iter().all(|field| is_same(other, field))
    });
    if let Some(other) = first {
        let name = text(other, "metadata.name").unwrap_or_default();
        findings.fail(at, Rule::r(43), Code::Duplicate, format!("{} {name} is about the same already", subject.kind));
    }
}

/// Whether two values are the same or, as references, name the same object: with either of krate's groups or none (R40), and with a uid or without, since
/// that is taken down when a reference first resolves (R32).
fn same_referent(schema: Option<&Value>, one: &Value, other: &Value) -> bool {
    if !schema.is_some_and(is_object_ref) {
        return one == other;
    }
    let same = |field: &str| one.get(field) == other.get(field);
    let same_version = (is_ours(one) && is_ours(other)) || same("apiVersion");
    let same_uid = one.get("uid").is_none() || other.get("uid").is_none() || same("uid");
    same("kind") && same("name") && same_version && same_uid
}
