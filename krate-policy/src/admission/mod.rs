//! Whether a write may be made, and what is stored then: one set of functions for every way in, be it an API server's webhook, a local store, the command line,
//! an agent or the sync (permission-review.md section 9; P41 to P45).
//!
//! [`admit`] asks [`review()`](crate::review::review) for the verb on the kind, judges what the write itself lends or loosens (P44), validates the document by the
//! rules of its kind, and says what is stored: with defaults, and with what is stamped from who writes (P43). Bulk deletion is one write for each object.
//!
//! ```
//! use krate_model::validate::{Part, View};
//! use krate_policy::admission::{Change, Write, admit};
//! use krate_policy::snapshot::Snapshot;
//! use krate_policy::who::{Place, request};
//! # use krate_policy::request::Verb;
//! # use krate_model::Kind;
//! # use serde_json::json;
//! let now = "2026-06-01T00:00:00Z".parse()?;
//! let snapshot = Snapshot::new(1);
//! let by = request(&snapshot, &Place::new("acme", now), "ada", &Verb::Create, Kind::Issue);
//! let issue = json!({
//!     "apiVersion": "krate.a5c.ai/v1alpha1", "kind": "Issue", "metadata": {"name": "one", "namespace": "krate-org-acme"},
//!     "spec": {"organizationRef": "acme", "title": "One", "repository": "krate"},
//! });
//! let write = Write { by: &by, change: Change::Create { new: &issue }, part: Part::Main };
//! assert!(!admit(&write, &View::partial([]), &snapshot).is_allowed(), "nobody knows ada, nor the namespace");
//! # Ok::<(), chrono::ParseError>(())
//! ```

mod lends;
mod loosens;
mod stamp;
mod verbs;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use krate_model::audit::{AuditDraft, AuditOutcome};
use krate_model::kinds::registry::{GROUP, Home, RECORDS_API_VERSION};
use krate_model::kinds::shared::ObjectRef;
use krate_model::validate::{self, Part, Report, View};
use krate_model::{API_VERSION, Kind};
use serde_json::Value;

use crate::audit;
use crate::decision::Decision;
use crate::native;
use crate::reason::{Code, Reason};
use crate::request::{NativeQuestion, Request, SubjectKind, Target, Verb};
use crate::review::{self, review};
use crate::snapshot::Snapshot;

/// What is to become of an object.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// It is made.
    Create {
        /// As it is asked for.
        new: &'a Value,
    },
    /// It is changed.
    Update {
        /// As it is stored.
        old: &'a Value,
        /// As it is asked for.
        new: &'a Value,
    },
    /// It is deleted.
    Delete {
        /// As it is stored.
        old: &'a Value,
    },
}

impl<'a> Change<'a> {
    /// The document that tells kind, namespace and name: as it is stored, where it is.
    const fn document(&self) -> &'a Value {
        match self {
            Self::Create { new } => new,
            Self::Update { old, .. } | Self::Delete { old } => old,
        }
    }

    /// Whether the object that is asked for is another one than the one that is stored.
    fn is_another(&self) -> bool {
        let Self::Update { old, new } = self else { return false };
        ["/kind", "/metadata/namespace", "/metadata/name"].iter().any(|at| text(old, at) != text(new, at))
    }

    const fn stored(&self) -> Option<&'a Value> {
        match self {
            Self::Create { .. } => None,
            Self::Update { old, .. } | Self::Delete { old } => Some(old),
        }
    }

    const fn wanted(&self) -> Option<&'a Value> {
        match self {
            Self::Create { new } | Self::Update { new, .. } => Some(new),
            Self::Delete { .. } => None,
        }
    }
}

/// A write that somebody wants to make. Dry run or not, by whatever verb of the API: it is judged alike (P43).
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// Who writes, as the authentication told: subject, chains, causes, native answers, approvals and time. Action, object and repository are put in by
    /// [`admit`], from what is written.
    pub by: &'a Request,
    /// What is written.
    pub change: Change<'a>,
    /// Which part: everything but the status, or the status alone.
    pub part: Part,
}

/// The answer to a [`Write`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Admission {
    /// Who may; of several verbs the worst answer. `None` for kinds that aren't krate's: they are never touched (P42).
    pub decision: Option<Decision>,
    /// What is wrong with the document.
    pub report: Report,
    /// What is stored once it is allowed: with defaults, and with what is stamped. `None` for a deletion.
    pub document: Option<Value>,
    /// What is to be recorded, whatever the answer (P49); `None` for kinds that aren't krate's.
    pub audit: Option<AuditDraft>,
}

impl Admission {
    /// Whether the write may be made as [`Admission::document`] says.
    pub fn is_allowed(&self) -> bool {
        self.decision.as_ref().is_none_or(Decision::is_allowed) && self.report.is_valid()
    }
}

/// Judges a write by the snapshot as it is before it (P44: the old policy judges), with `view` for what the document refers to.
///
/// Total: a panic of the decision is a no of its own code, `DecisionFailed` (P42).
pub fn admit(write: &Write<'_>, view: &View, snapshot: &Snapshot) -> Admission {
    let documents = [write.change.stored(), write.change.wanted()];
    if !documents.into_iter().flatten().any(is_ours) {
        return Admission {
            decision: None,
            report: Report::default(),
            document: write.change.wanted().cloned(),
            audit: None,
        };
    }
    or_failed(write, snapshot, || judge(write, view, snapshot))
}

/// Whether a document is of krate's group, in either form that it is served in (R40); its version and kind are judged after.
fn is_ours(document: &Value) -> bool {
    let group = text(document, "/apiVersion").split('/').next().unwrap_or_default();
    group == GROUP || RECORDS_API_VERSION.split('/').next() == Some(group)
}

/// P42: where the decision itself fails, the answer is no.
fn or_failed(write: &Write<'_>, snapshot: &Snapshot, judge: impl FnOnce() -> Admission) -> Admission {
    catch_unwind(AssertUnwindSafe(judge)).unwrap_or_else(|_| failed(write, snapshot))
}

/// The answer where there is no decision: it panicked, or whoever asked for it gave up waiting (P42).
pub fn failed(write: &Write<'_>, snapshot: &Snapshot) -> Admission {
    let reason = Reason::new(Code::DecisionFailed, "", "the decision itself failed");
    told(write, review::refused(write.by, snapshot, [reason]), Report::default(), None)
}

fn judge(write: &Write<'_>, view: &View, snapshot: &Snapshot) -> Admission {
    let request = write.by;
    let document = write.change.document();
    let namespace = text(document, "/metadata/namespace");
    let known = [API_VERSION, RECORDS_API_VERSION].contains(&text(document, "/apiVersion"));
    let Some(kind) = text(document, "/kind").parse::<Kind>().ok().filter(|_| known && !write.change.is_another())
    else {
        // What nobody knows, and an object in the place of another, is no write of anything (P1).
        let text = "is no kind and version of krate's, or not the object that is stored";
        let reason = Reason::new(Code::InvalidRequest, "kind", text);
        return told(write, review::refused(request, snapshot, [reason]), Report::default(), None);
    };
    let home = kind.info().home;
    let of_platforms = home == Home::Platform || (home == Home::Either && namespace == view.platform_namespace());
    let decision = if of_platforms {
        of_platform(kind, write, snapshot)
    } else {
        match snapshot.organization_of(namespace) {
            Some(organization) if *organization == *request.organization => of_organization(kind, write, snapshot),
            // P6: another organization's namespace and one that isn't there read the same.
            _ => {
                let text = "is not there, or not this organization's";
                review::refused(request, snapshot, [Reason::new(Code::CrossOrgDenied, "metadata.namespace", text)])
            }
        }
    };
    let (report, document) = match write.change.wanted() {
        None => (Report::default(), None),
        Some(new) => {
            let stored = stamp::stored(kind, write, new);
            let about = validate::Request::new(writer(request), request.now);
            let about = if write.part == Part::Status { about.of_status() } else { about };
            (validate::validate(&stored, write.change.stored(), view, &about), Some(stored))
        }
    };
    told(write, decision, report, document)
}

/// Objects of the platform are its administrators', and of nobody else (P9).
fn of_platform(kind: Kind, write: &Write<'_>, snapshot: &Snapshot) -> Decision {
    let request = write.by;
    let subject = &request.subject;
    let alone = request.actor_chain.len() == 1;
    let is_admin =
        alone && subject.kind == SubjectKind::User && snapshot.is_platform_admin(&subject.name, &subject.uid);
    let status = (write.part == Part::Status).then_some("status");
    let controls = snapshot.controller(&subject.name, &subject.uid);
    let verb = verbs::of(kind, write).first().cloned().unwrap_or(Verb::Update);
    let is_controller = alone
        && subject.kind == SubjectKind::Controller
        && controls.is_some_and(|controller| controller.allows(&verb, kind, status));
    if is_controller || (is_admin && status.is_none()) {
        let by = format!("{}/{}", if is_admin { "PlatformAdmin" } else { "Controller" }, subject.name);
        return review::allowed(request, snapshot, by);
    }
    let text = format!("{} is the platform's, and {} isn't one of its administrators", kind, subject.name);
    review::refused(request, snapshot, [Reason::new(Code::MissingRole, "subject", text)])
}

fn labels(document: &Value) -> BTreeMap<String, String> {
    let labels = document.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn of_organization(kind: Kind, write: &Write<'_>, snapshot: &Snapshot) -> Decision {
    let mut worst: Option<Decision> = None;
    for request in requests(kind, write, snapshot) {
        let mut decision = review(&request, snapshot);
        // P52: what the first steps hide stays hidden.
        if decision.trust.is_some() {
            decision.add(lends::look(kind, write, &request, snapshot).reasons);
        }
        if worst.as_ref().is_none_or(|worst| decision.outcome > worst.outcome) {
            worst = Some(decision);
        }
    }
    worst.unwrap_or_else(|| {
        review::refused(write.by, snapshot, [Reason::new(Code::DecisionFailed, "", "no verb was judged")])
    })
}

/// What the review is asked about a write: once for each verb that it comes to.
fn requests(kind: Kind, write: &Write<'_>, snapshot: &Snapshot) -> Vec<Request> {
    let document = write.change.document();
    let namespace = text(document, "/metadata/namespace");
    let mut verbs = verbs::of(kind, write);
    if verbs.is_empty() {
        // Nothing changes: who may look may write nothing.
        verbs.push(Verb::Get);
    }
    let request = |verb| {
        let mut request = write.by.clone();
        request.action.verb = verb;
        request.action.kind = kind.as_str().into();
        request.action.subresource = (write.part == Part::Status).then(|| "status".into());
        request.object = Some(Target {
            kind: kind.as_str().into(),
            name: text(document, "/metadata/name").into(),
            organization: None,
            uid: write
                .change
                .stored()
                .map(|old| text(old, "/metadata/uid"))
                .filter(|uid| !uid.is_empty())
                .map(Into::into),
            labels: write.change.stored().map(labels),
            labels_after: write.change.wanted().map(labels),
        });
        // Where the document doesn't tell, who asks has looked it up: a comment's is that of what it is on.
        let asked = || write.by.repository.as_ref().map(|named| &*named.name);
        let told = match verbs::repository(kind, document).or_else(|| snapshot.repository_of(namespace, document)) {
            None if verbs::is_everywhere(kind) => None,
            told => told.or_else(asked),
        };
        request.repository = told.map(|name| snapshot.named_repository(namespace, name));
        let bound =
            request.repository.as_ref().is_some_and(|it| snapshot.bindings(namespace, &it.name).next().is_some());
        request.action.operation =
            verbs::operation(kind, &request.action.verb, write).filter(|_| bound).map(|it| it.as_str().into());
        request.action.fields = verbs::fields(kind, &request.action.verb, write);
        request.needs.clear();
        request
    };
    verbs.into_iter().map(request).collect()
}

/// What [`admit`] wants Kubernetes' answers to, to be put into [`Request::native`] of [`Write::by`] (P63): whether who writes may do so there, too, and may bind
/// or read what the write gives or names. Nothing for what Kubernetes isn't asked about: kinds of others, of the platform, other organizations' objects.
pub fn questions(write: &Write<'_>, snapshot: &Snapshot) -> Vec<NativeQuestion> {
    let document = write.change.document();
    let organization = snapshot.organization_of(text(document, "/metadata/namespace"));
    let kind = text(document, "/kind").parse::<Kind>().ok().filter(|kind| kind.info().home != Home::Platform);
    let Some(kind) = kind.filter(|_| is_ours(document) && organization == Some(&*write.by.organization)) else {
        return Vec::new();
    };
    let mut found = BTreeSet::new();
    for request in requests(kind, write, snapshot) {
        found.extend(native::question(&request, snapshot));
        found.extend(lends::look(kind, write, &request, snapshot).asked);
    }
    found.into_iter().collect()
}

/// What validation is told of who writes.
fn writer(request: &Request) -> validate::Writer {
    match request.subject.kind {
        SubjectKind::User if request.actor_chain.len() == 1 => validate::Writer::Person,
        SubjectKind::Controller => validate::Writer::Controller,
        _ => validate::Writer::Agent,
    }
}

fn told(write: &Write<'_>, decision: Decision, report: Report, document: Option<Value>) -> Admission {
    let audit = record(write, &decision, &report);
    Admission { decision: Some(decision), report, document, audit: Some(audit) }
}

/// Who did what, with which answer and why; digests and codes, never a value (P49).
fn record(write: &Write<'_>, decision: &Decision, report: &Report) -> AuditDraft {
    let document = write.change.document();
    let mut draft = audit::draft(write.by, decision, text(document, "/metadata/namespace"), "Admission");
    draft.object = Some(ObjectRef::new(text(document, "/kind"), text(document, "/metadata/name")));
    if !report.is_valid() {
        draft.outcome = AuditOutcome::Denied;
    }
    draft.to = Some(
        match write.change {
            Change::Create { .. } => "Create",
            Change::Update { .. } => "Update",
            Change::Delete { .. } => "Delete",
        }
        .to_owned(),
    );
    let rules = report.failures.iter().map(|failure| failure.rule.to_string());
    let why: Vec<String> = draft.reason.take().into_iter().chain(rules).collect();
    draft.reason = (!why.is_empty()).then(|| why.join(" "));
    draft
}

fn text<'v>(document: &'v Value, pointer: &str) -> &'v str {
    document.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn p42_case_64_a_decision_that_panics_is_a_no() {
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        let snapshot = Snapshot::new(1);
        let place = crate::who::Place::new("a", now);
        let by = crate::who::request(&snapshot, &place, "ada", &Verb::Create, Kind::Issue);
        let new = json!({"apiVersion": API_VERSION, "kind": "Issue", "metadata": {"name": "one", "namespace": "krate-org-a"}});
        let write = Write { by: &by, change: Change::Create { new: &new }, part: Part::Main };
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| ()));
        let failed = or_failed(&write, &snapshot, || panic!("a mistake"));
        std::panic::set_hook(hook);
        assert!(!failed.is_allowed() && failed.document.is_none());
        let codes: Vec<_> = failed.decision.iter().flat_map(Decision::codes).collect();
        assert_eq!(codes, [Code::DecisionFailed]);
        assert_eq!(failed.audit.map(|audit| audit.outcome), Some(AuditOutcome::Denied));
    }
}
