//! Whether a document may be what it says: every failure at once, each with field path, rule number and what would be accepted (R29).
//!
//! Three layers, all pure, the same whatever the way in (P41):
//!
//! 1. structure, by the schema of the kind: `schema.rs`;
//! 2. one object, old and new: names and homes (`tenancy.rs`), text and secrets (`hygiene.rs`), order of bounds (`bounds.rs`), what may
//!    change and by whom (`change.rs`), and one file a context;
//! 3. across objects, over a [`View`]: references (`references.rs`), and the same files by context.
//!
//! It works on JSON, so that bad input gets a path and a rule, not a decoder's error. The rules with their numbers stand in `rules.rs`.
//!
//! ```
//! use krate_model::validate::{Request, View, Writer, validate};
//! use serde_json::json;
//! let document = json!({
//!     "apiVersion": "krate.a5c.ai/v1alpha1", "kind": "GitProvider",
//!     "metadata": {"name": "gh", "namespace": "krate-org-a"}, "spec": {},
//! });
//! let now = "2026-06-01T00:00:00Z".parse().unwrap();
//! let report = validate(&document, None, &View::complete([]), &Request::new(Writer::Person, now));
//! assert_eq!(report.failures[0].to_string(), "kind: \"GitProvider\" is not defined (R7); did you mean ExternalBackendProvider?");
//! ```

mod agents;
mod binding;
mod bounds;
mod change;
mod ci;
mod external;
mod failure;
mod hygiene;
mod identity;
mod manifest;
mod mergeable;
mod nearest;
mod path;
mod pattern;
mod policy;
mod references;
mod rules;
mod scalars;
mod schedule;
pub(crate) mod schema;
mod secrets;
mod ssh;
mod tenancy;
pub(crate) mod text;
mod view;
mod work;

use serde_json::{Map, Value};

pub use change::{Command, admitted, commands, maker};
pub use failure::{Accepted, Code, Failure, Report, Unchecked, Unresolved};
pub use mergeable::{MergeableField, mergeable};
pub use references::{Reference, dependants, references};
pub use rules::{NotARule, Rule};
pub use scalars::MAX_SAFE_INTEGER;
pub use secrets::{credential_in, credential_in_member};
pub use ssh::{NotAnSshKey, SshPublicKey};
pub use view::{DEFAULT_PLATFORM_NAMESPACE, DEFAULT_SECRET_NAMESPACE, View};

use crate::kinds::registry::RESERVED;
use crate::kinds::shared::Time;
use crate::schema::schema as schema_of;
use crate::{Kind, StorageClass, apply_defaults};
use failure::Findings;

/// The largest object of etcd, as compact JSON (R22).
pub const MAX_CONFIG_BYTES: usize = 256 * 1024;
/// The largest Record, as compact JSON (R22).
pub const MAX_RECORD_BYTES: usize = 1024 * 1024;
/// The deepest document that is looked at; deeper ones are refused whole (R68).
const MAX_DOCUMENT_DEPTH: usize = 128;

/// Who writes, as the request's authentication says (P43), never the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Writer {
    /// A person, by whatever client.
    Person,
    /// An agent.
    Agent,
    /// A controller of krate.
    Controller,
}

/// Which part of the object a request writes (R20).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Everything but status.
    Main,
    /// The status subresource: status alone.
    Status,
}

/// What is known of a write besides the document.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Request {
    /// Who writes.
    pub writer: Writer,
    /// When.
    pub now: Time,
    /// Which part.
    pub part: Part,
}

impl Request {
    /// A write of the main part.
    pub const fn new(writer: Writer, now: Time) -> Self {
        Self { writer, now, part: Part::Main }
    }

    /// The same, of the status subresource.
    #[must_use]
    pub const fn of_status(mut self) -> Self {
        self.part = Part::Status;
        self
    }
}

/// What a check looks at.
#[derive(Clone, Copy)]
struct Subject<'a> {
    kind: Kind,
    /// The whole document, with defaults.
    document: &'a Value,
    /// Its `spec`, or null.
    spec: &'a Value,
    /// The stored object, with defaults, where there is one.
    old: Option<&'a Value>,
    schema: Option<&'static Value>,
    view: &'a View,
    request: &'a Request,
}

impl<'a> Subject<'a> {
    fn namespace(&self) -> &'a str {
        path::text(self.document, "metadata.namespace").unwrap_or_default()
    }

    fn name(&self) -> &'a str {
        path::text(self.document, "metadata.name").unwrap_or_default()
    }

    fn old_spec(&self) -> Option<&'a Value> {
        self.old.map(|old| old.get("spec").unwrap_or(&Value::Null))
    }

    /// Whether the value at a path of plain fields in `spec` is new: the object is created, or the value changes.
    fn sets(&self, field: &str) -> bool {
        let new = path::get(self.spec, field);
        new.is_some() && self.old_spec().is_none_or(|old| path::get(old, field) != new)
    }

    /// The documents of a kind that are not this one.
    fn others(&self, kind: Kind) -> impl Iterator<Item = &'a Value> {
        self.view.others(kind, self.namespace(), self.name())
    }
}

/// Judges `document`, which is to be created or, with `old`, to take the place of `old`.
///
/// Total: any JSON is answered, and the same input gives the same answer.
pub fn validate(document: &Value, old: Option<&Value>, view: &View, request: &Request) -> Report {
    let mut findings = Findings::default();
    if let Some(kind) = kind_of(document, &mut findings) {
        judge(kind, document, old, view, request, &mut findings);
        if let Some(old) = old.filter(|_| !findings.report.failures.is_empty()) {
            change::ratchet(kind, document, old, view, request, &mut findings);
        }
        subsume(&mut findings);
    }
    findings.report.sort();
    findings.report
}

/// The kind of a document that can be looked at; what is wrong otherwise is among the findings.
fn kind_of(document: &Value, findings: &mut Findings) -> Option<Kind> {
    let Some(fields) = document.as_object() else {
        findings.fail(
            "",
            Rule::r(25),
            Code::TypeInvalid,
            "is no object; a document is a map with apiVersion, kind, metadata and spec",
        );
        return None;
    };
    if schema::is_deeper(document, MAX_DOCUMENT_DEPTH) {
        let open = "status.external.extensions.fields";
        let is_open = path::get(document, open).is_some_and(|open| schema::is_deeper(open, schema::MAX_OPEN_DEPTH));
        let (at, max) = if is_open { (open, schema::MAX_OPEN_DEPTH) } else { ("", MAX_DOCUMENT_DEPTH) };
        findings.fail(at, Rule::r(68), Code::Invalid, format!("is nested more than {max} deep"));
        return None;
    }
    match fields.get("kind") {
        None => findings.fail("kind", Rule::r(25), Code::Required, "is required"),
        Some(Value::String(text)) => match text.parse::<Kind>() {
            Ok(kind) => return Some(kind),
            Err(problem) => {
                let is_reserved = RESERVED.iter().any(|(reserved, _)| reserved == text);
                let known = || nearest::nearest(text, Kind::ALL.iter().map(|kind| kind.as_str()));
                let message = if is_reserved {
                    format!("{text:?} is not defined")
                } else {
                    format!("{} is no kind of krate's", secrets::shown(text, "kind"))
                };
                findings.fail_near("kind", Rule::r(7), Code::NotSupported, message, problem.hint.or_else(known));
            }
        },
        Some(_) => findings.fail("kind", Rule::r(25), Code::TypeInvalid, "is no string"),
    }
    None
}

/// All three layers, without the ratchet.
fn judge(kind: Kind, document: &Value, old: Option<&Value>, view: &View, request: &Request, findings: &mut Findings) {
    let schema = schema_of(kind);
    let with_defaults = |document: &Value| {
        let mut document = document.clone();
        apply_defaults(kind, &mut document);
        document
    };
    let old = old.map(with_defaults);
    let document = match &old {
        // R20: what the other part says is not part of this write.
        Some(old) => with_defaults(&admitted(document, old, request.part)),
        None => with_defaults(document),
    };
    let Some(fields) = document.as_object() else { return };
    structure(kind, schema, fields, &document, findings);
    let spec = document.get("spec").unwrap_or(&Value::Null);
    let subject = Subject { kind, document: &document, spec, old: old.as_ref(), schema, view, request };
    if request.part == Part::Status {
        change::check_status(&subject, findings);
        return;
    }
    tenancy::check(&subject, findings);
    hygiene::check(&subject, findings);
    bounds::check(&subject, findings);
    change::check(&subject, findings);
    references::check(&subject, findings);
    identity::check(&subject, findings);
    work::check(&subject, findings);
    ci::check(&subject, findings);
    external::check(&subject, findings);
    policy::check(&subject, findings);
    agents::check(&subject, findings);
}

fn structure(
    kind: Kind,
    schema: Option<&Value>,
    fields: &Map<String, Value>,
    document: &Value,
    findings: &mut Findings,
) {
    if let Some(schema) = schema {
        schema::check(schema, fields, findings);
    } else {
        schema::check_envelope(fields, findings);
        findings.unchecked("spec", Rule::r(25), format!("this version has no schema of {kind}"));
    }
    let max = match kind.info().class {
        StorageClass::Config => MAX_CONFIG_BYTES,
        StorageClass::Record => MAX_RECORD_BYTES,
    };
    let bytes = schema::compact_bytes(document);
    if bytes > max {
        let message =
            format!("has {bytes} bytes as compact JSON, at most {max} are allowed; larger content goes by digest");
        findings.fail("", Rule::r(22), Code::TooLong, message);
    }
}

/// Where a rule of its own speaks, the schema's word on the same field adds nothing.
fn subsume(findings: &mut Findings) {
    let shape = Rule::r(25);
    let judged: std::collections::BTreeSet<String> =
        findings.report.failures.iter().filter(|f| f.rule != shape).map(|f| f.path.clone()).collect();
    findings.report.failures.retain(|failure| failure.rule != shape || !judged.contains(&failure.path));
}
