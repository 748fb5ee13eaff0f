//! Names and homes: what every object has, whatever its kind (R1 to R3, R33, R35, R40).

use serde_json::Value;

use super::Subject;
use super::failure::{Code, Findings};
use super::path::{ROOT, is_true, map, text};
use super::rules::Rule;
use crate::kinds::registry::RECORDS_API_VERSION;
use crate::{API_VERSION, Home, Kind, StorageClass, is_dns_label, is_dns_subdomain};

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    api_version(subject.document, findings);
    name(subject, findings);
    labels(subject.document, findings);
    home(subject, findings);
}

fn api_version(document: &Value, findings: &mut Findings) {
    match document.get("apiVersion") {
        None => findings.fail_near("apiVersion", Rule::r(40), Code::Required, "is required", Some(API_VERSION)),
        Some(Value::String(found)) if found == API_VERSION || found == RECORDS_API_VERSION => {}
        Some(_) => {
            let message = "is no version of krate's kinds";
            findings.fail_near("apiVersion", Rule::r(40), Code::NotSupported, message, Some(API_VERSION));
        }
    }
}

fn name(subject: &Subject<'_>, findings: &mut Findings) {
    let name = text(subject.document, "metadata.name").unwrap_or_default();
    let at = "metadata.name";
    if name.is_empty() {
        findings.fail(at, Rule::r(1), Code::Required, "is required");
    } else if subject.kind.info().class == StorageClass::Record {
        if !is_dns_subdomain(name) {
            let message = "is no DNS subdomain: labels of a-z, 0-9 and -, joined by dots, at most 253 bytes";
            findings.fail(at, Rule::r(1), Code::Invalid, message);
        }
    } else if !is_dns_label(name) {
        let message = "is no DNS label: a-z, 0-9 and -, neither first nor last a hyphen, at most 63 bytes";
        findings.fail(at, Rule::r(1), Code::Invalid, message);
    }
}

/// Labels have the form that Kubernetes asks for, so that every store takes the same (R33).
fn labels(document: &Value, findings: &mut Findings) {
    for (at, list) in [("metadata.labels", "labels"), ("metadata.annotations", "annotations")] {
        let metadata = ROOT.field("metadata");
        let path = metadata.field(list);
        for (key, value) in map(document, at).into_iter().flatten() {
            let (prefix, name) =
                key.rsplit_once('/').map_or((None, key.as_str()), |(prefix, name)| (Some(prefix), name));
            if !is_label_text(name) || name.is_empty() || prefix.is_some_and(|prefix| !is_dns_subdomain(prefix)) {
                let message =
                    "is no label key: a DNS subdomain and `/` before a name of at most 63 letters, digits, -, _ and .";
                findings.fail(path.key(key), Rule::r(33), Code::Invalid, message);
            }
            if list == "labels" && value.as_str().is_some_and(|value| !is_label_text(value)) {
                let message =
                    "is no label value: at most 63 letters, digits, -, _ and ., first and last a letter or digit";
                findings.fail(path.key(key), Rule::r(33), Code::Invalid, message);
            }
        }
    }
}

fn is_label_text(text: &str) -> bool {
    let ends = |char: Option<char>| char.is_none_or(|char| char.is_ascii_alphanumeric());
    text.len() <= 63
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && ends(text.chars().next())
        && ends(text.chars().next_back())
}

fn home(subject: &Subject<'_>, findings: &mut Findings) {
    let view = subject.view;
    let Some(namespace) = text(subject.document, "metadata.namespace").filter(|namespace| !namespace.is_empty()) else {
        findings.fail(
            "metadata.namespace",
            Rule::r(2),
            Code::Required,
            "is required: every kind stands in a namespace",
        );
        return;
    };
    let is_platform = namespace == view.platform_namespace();
    let at = "metadata.namespace";
    match subject.kind.info().home {
        Home::Platform if !is_platform => {
            let message = format!("a {} stands in the platform's namespace only", subject.kind);
            findings.fail_near(at, Rule::r(35), Code::Forbidden, message, Some(view.platform_namespace()));
        }
        Home::Organization if is_platform => {
            let message = format!("a {} never stands in the platform's namespace", subject.kind);
            findings.fail(at, Rule::r(35), Code::Forbidden, message);
        }
        Home::Either if is_platform => {
            if subject.spec.get("organizationRef").is_some() {
                let message = "what stands in the platform's namespace belongs to no organization";
                findings.fail("spec.organizationRef", Rule::r(35), Code::Forbidden, message);
            }
            return;
        }
        _ => {}
    }
    if !matches!(subject.kind, Kind::Organization | Kind::OrgSharingPolicy) {
        organization(subject, namespace, findings);
    }
}

fn organization(subject: &Subject<'_>, namespace: &str, findings: &mut Findings) {
    let at = "spec.organizationRef";
    let Some(name) = text(subject.spec, "organizationRef") else {
        if subject.spec.get("organizationRef").is_none() {
            let rule = if subject.kind.info().home == Home::Either { Rule::r(35) } else { Rule::r(3) };
            findings.fail(at, rule, Code::Required, "is required: an object belongs to one organization");
        }
        return;
    };
    let Some(organization) = subject.view.organization(name) else {
        if subject.view.is_complete() {
            findings.fail(at, Rule::r(3), Code::NotFound, "names no organization that exists");
        } else {
            let reason = format!("Organization {name} is not among the given documents");
            findings.unchecked(at, Rule::r(2), &*reason);
            findings.unchecked(at, Rule::r(3), reason);
        }
        return;
    };
    let is_suspended = is_true(organization, "spec.suspend") || text(organization, "status.phase") == Some("Suspended");
    // R3: deliveries are still recorded, and so is what was done.
    let is_record_of_fact = matches!(subject.kind, Kind::ExternalWebhookDelivery | Kind::AuditEvent);
    if is_suspended && !is_record_of_fact {
        findings.fail(
            at,
            Rule::r(3),
            Code::Forbidden,
            "the organization is suspended: it can be read, and objects deleted",
        );
    }
    let own = text(organization, "spec.namespaceName").unwrap_or_default();
    if subject.kind != Kind::OrgNamespaceBinding && namespace != own {
        let message = format!("an object of organization {name} stands in its namespace {own}, not in {namespace}");
        findings.fail(at, Rule::r(2), Code::Invalid, message);
    }
}
