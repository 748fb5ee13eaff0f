//! References by name: inside their namespace, or by consent across organizations; what they name may come later (R4, R32, R34).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize as _;
use serde_json::Value;

use super::Subject;
use super::failure::{Code, Findings};
use super::path::{Path, ROOT, entries, get, is_true, list, text};
use super::rules::Rule;
use super::schema::map_keys;
use super::secrets::shown;
use super::view::{View, identity};
use crate::kinds::registry::RECORDS_API_VERSION;
use crate::kinds::shared::{Time, parse_time};
use crate::{API_VERSION, Kind, Selector, StorageClass};

/// A reference that a document holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Where it stands.
    pub path: String,
    /// The kind that it names.
    pub kind: Kind,
    /// The name.
    pub name: String,
}

/// Every reference by name in a document's spec, as the schema of its kind marks them; none for a kind without schema.
pub fn references(document: &Value) -> Vec<Reference> {
    let mut found = Vec::new();
    let kind = text(document, "kind").and_then(|kind| kind.parse::<Kind>().ok());
    let schema = kind.and_then(crate::schema::schema).and_then(|schema| get(schema, "properties.spec"));
    if let (Some(schema), Some(spec)) = (schema, document.get("spec")) {
        collect(schema, spec, ROOT.field("spec"), &mut found);
    }
    // A binding's target names its kind itself, one of a few, so it is no `ObjectRef` and has no mark.
    let target = text(document, "spec.targetRef.kind").filter(|_| kind == Some(Kind::ExternalBackendBinding));
    if let (Some(target), Some(name)) =
        (target.and_then(|kind| kind.parse().ok()), text(document, "spec.targetRef.name"))
    {
        found.push(Reference { path: "spec.targetRef.name".to_owned(), kind: target, name: name.to_owned() });
    }
    found.sort();
    found
}

/// The documents of `view` that refer to the object of that kind, namespace and name, by kind and name: what a person is shown before
/// it is deleted (R58). Which of them that person may know is the caller's to judge (P6).
pub fn dependants(view: &View, kind: Kind, namespace: &str, name: &str) -> Vec<(Kind, String)> {
    let refers = |document: &Value| {
        references(document).iter().any(|reference| reference.kind == kind && reference.name == name)
    };
    let beside = view.iter().filter(|document| text(document, "metadata.namespace") == Some(namespace));
    let named = beside.filter(|document| refers(document)).filter_map(identity);
    let mut found: Vec<(Kind, String)> = named.map(|(kind, _, name)| (kind, name.to_owned())).collect();
    found.sort();
    found
}

fn collect(schema: &Value, value: &Value, path: Path<'_>, found: &mut Vec<Reference>) {
    let named = schema.get("x-krate-ref").and_then(Value::as_str).and_then(|kind| kind.parse::<Kind>().ok());
    let mut add = |path: &Path<'_>, kind: Kind, name: &str| {
        found.push(Reference { path: path.to_string(), kind, name: name.to_owned() });
    };
    match (named, value) {
        (Some(kind), Value::String(name)) => add(&path, kind, name),
        (Some(kind), Value::Array(items)) => {
            items.iter().enumerate().filter_map(|(at, name)| Some((at, name.as_str()?))).for_each(|(at, name)| {
                add(&path.index(at), kind, name);
            });
        }
        (_, Value::Object(fields)) => {
            if is_object_ref(schema) {
                let kind = text(value, "kind").filter(|_| is_ours(value)).and_then(|kind| kind.parse::<Kind>().ok());
                if let (Some(kind), Some(name)) = (kind, text(value, "name")) {
                    add(&path.field("name"), kind, name);
                }
            }
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, property) in properties.into_iter().flatten() {
                if let Some(value) = fields.get(name) {
                    collect(property, value, path.field(name), found);
                }
            }
        }
        (_, Value::Array(items)) => {
            let key = map_keys(schema).first().copied();
            let Some(schema) = schema.get("items") else { return };
            for (at, item) in items.iter().enumerate() {
                let here = key.map_or_else(|| path.index(at), |key| path.entry(at, item, key));
                collect(schema, item, here, found);
            }
        }
        _ => {}
    }
}

/// Whether the schema is that of an `ObjectRef`: kind, name, and the two that nothing else has beside them.
pub(super) fn is_object_ref(schema: &Value) -> bool {
    let Some(properties) = schema.get("properties") else { return false };
    ["kind", "name", "uid", "apiVersion"].iter().all(|name| properties.get(name).is_some())
}

/// Whether an `ObjectRef` names one of krate's kinds: its `apiVersion` is the canonical one, which is also what none means, or the one by which an
/// extension server serves Records (R40).
pub(super) fn is_ours(reference: &Value) -> bool {
    reference.get("apiVersion").is_none_or(|version| version == API_VERSION || version == RECORDS_API_VERSION)
}

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    for reference in references(subject.document) {
        resolve(subject, &reference, findings);
    }
}

/// One reference by name: R4 for its form, R32 for what it names.
fn resolve(subject: &Subject<'_>, reference: &Reference, findings: &mut Findings) {
    let Reference { path, kind, name } = reference;
    // The organization itself is R3's and R34's.
    if *kind == Kind::Organization {
        return;
    }
    if name.contains('/') {
        // R4: records under a shared provider name its organization too.
        let is_shared = subject.kind.info().class == StorageClass::Record && *kind == Kind::ExternalBackendProvider;
        if !is_shared {
            let message = format!("{} leaves the namespace; a reference by name stays in it", shown(name, "name"));
            findings.fail(path, Rule::r(4), Code::Invalid, message);
        }
        return;
    }
    let namespace = match subject.kind {
        // What an Organization names stands in its own namespace.
        Kind::Organization => text(subject.spec, "namespaceName").unwrap_or_default(),
        _ => subject.namespace(),
    };
    let platform = subject.view.platform_namespace();
    let is_there = subject.view.get(*kind, namespace, name).is_some()
        || (*kind == Kind::PolicyTemplate && subject.view.get(*kind, platform, name).is_some())
        || (*kind == subject.kind && namespace == subject.namespace() && name == subject.name());
    if is_there {
        return;
    }
    if subject.view.is_complete() {
        findings.unresolved(path, kind.as_str(), name);
    } else {
        findings.unchecked(path, Rule::r(32), format!("{kind} {name} is not among the given documents"));
    }
}

/// A reference to another organization's object of `kind`, at the plain field `spec.<field>` (R4, R34).
pub(super) fn cross_organization(subject: &Subject<'_>, field: &str, kind: Kind, findings: &mut Findings) {
    if let Some(reference) = get(subject.spec, field) {
        crossing(subject, reference, &format!("spec.{field}"), &[kind], findings);
    }
}

/// References to other organizations' objects of one of the kinds, in the list `spec.<field>`.
pub(super) fn cross_organizations(subject: &Subject<'_>, field: &str, kinds: &[Kind], findings: &mut Findings) {
    for (place, reference) in list(subject.spec, field).iter().enumerate() {
        crossing(subject, reference, &format!("spec.{field}[{place}]"), kinds, findings);
    }
}

fn crossing(subject: &Subject<'_>, reference: &Value, at: &str, kinds: &[Kind], findings: &mut Findings) {
    let (Some(organization), Some(own)) = (text(reference, "organization"), text(subject.spec, "organizationRef"))
    else {
        return;
    };
    let Some(kind) = kinds.iter().copied().find(|kind| text(reference, "kind") == Some(kind.as_str())) else {
        let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        let message = format!("this field refers to an {}", names.join(" or "));
        findings.fail_near(format!("{at}.kind"), Rule::r(4), Code::NotSupported, message, names.first().copied());
        return;
    };
    if organization == own {
        let message = "names the own organization; what is its own is named by the field for it";
        findings.fail(format!("{at}.organization"), Rule::r(4), Code::Invalid, message);
        return;
    }
    let name = text(reference, "name").unwrap_or_default();
    if name.contains('/') {
        findings.fail(format!("{at}.name"), Rule::r(4), Code::Invalid, "is no name of one object");
        return;
    }
    let consent =
        Consent { view: subject.view, source: organization, target: own, kind, name, now: subject.request.now };
    match ["offer", "accept"].into_iter().find(|side| !consent.is_given(side)) {
        None => {}
        Some(side) if subject.view.is_complete() => {
            let message = format!(
                "no {side} of an OrgSharingPolicy from {organization} to {own} that holds now lets {name} be referred to"
            );
            findings.fail(at, Rule::r(4), Code::Forbidden, message);
        }
        Some(side) => {
            let reason = format!("no {side} from {organization} to {own} is among the given documents");
            findings.unchecked(at, Rule::r(4), reason);
        }
    }
}

/// Whether two organizations agree on a reference (R34). The stored phase is not asked (R66).
struct Consent<'a> {
    view: &'a View,
    source: &'a str,
    target: &'a str,
    kind: Kind,
    name: &'a str,
    now: Time,
}

impl Consent<'_> {
    fn is_given(&self, side: &str) -> bool {
        let home = match side {
            "offer" => self.source,
            _ => self.target,
        };
        let home = self.view.organization(home).and_then(|organization| text(organization, "spec.namespaceName"));
        self.view.of_kind(Kind::OrgSharingPolicy).any(|policy| {
            text(policy, "spec.side") == Some(side)
                && home.is_some()
                && text(policy, "metadata.namespace") == home
                && text(policy, "spec.sourceOrg") == Some(self.source)
                && text(policy, "spec.targetOrg") == Some(self.target)
                && !is_true(policy, "spec.revoked")
                && get(policy, "spec.expiresAt")
                    .is_none_or(|end| end.as_str().and_then(parse_time).is_some_and(|end| end > self.now))
                && self.is_listed(policy)
        })
    }

    fn is_listed(&self, policy: &Value) -> bool {
        entries(policy, "spec.allowedRefs", "kind").iter().any(|(_, allowed)| {
            text(allowed, "kind") == Some(self.kind.as_str())
                && list(allowed, "verbs").iter().any(|verb| verb == "reference")
                && (list(allowed, "names").iter().any(|name| name == self.name) || self.is_selected(allowed))
        })
    }

    /// Whether a selector fits the shared object. One that asks for nothing shares nothing, as an empty list does (P15).
    fn is_selected(&self, allowed: &Value) -> bool {
        let selector = get(allowed, "selector").and_then(|selector| LabelSelector::deserialize(selector).ok());
        let Some(selector) = selector.and_then(|selector| Selector::new(&selector).ok()) else { return false };
        let namespace = self.view.organization(self.source).and_then(|source| text(source, "spec.namespaceName"));
        let object = namespace.and_then(|namespace| self.view.get(self.kind, namespace, self.name));
        let labels = object.map(|object| get(object, "metadata.labels").cloned().unwrap_or_default());
        let labels = labels.and_then(|labels| serde_json::from_value::<Option<_>>(labels).ok());
        !selector.is_empty() && labels.is_some_and(|labels| selector.matches(&labels.unwrap_or_default()))
    }
}
