//! Local objects that mirror native ones: their mergeable fields, and how an observation becomes one.
//! Spec: resource-kinds.md, table of mergeable fields; external-sync.md sections 5 and 7.
//!
//! A kind's mergeable fields stand in [`mergeable_fields`], once; [`Local::get`], [`Local::set`] and [`observed`](crate::observed::observed) name the same paths, which a test
//! checks. What is not mergeable is the provider's alone and goes into the status ([`take_status`](crate::observed::take_status)).

use std::borrow::Cow;
use std::collections::BTreeSet;

use krate_model::kinds::ci::{Job, Pipeline};
use krate_model::kinds::forge::Repository;
use krate_model::kinds::sets::{SourceFormat, Visibility};
use krate_model::kinds::shared::{Body, ExternalEnvelope, ObjectRef, SyncSummary};
use krate_model::kinds::work::{
    Comment, Issue, IssueState, IssueStateReason, PullRequest, PullRequestState, Review, Verdict,
};
use krate_model::observation::ResourceKind;
use krate_model::{ClosedSet, Digest, Kind, Resource};
use serde_json::json;

use crate::merge::{FieldValue, MergeableField, mergeable_fields};

/// A local object of a kind that is synced.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)] // One is at hand at a time.
pub enum Local {
    /// An issue.
    Issue(Issue),
    /// A pull request.
    PullRequest(PullRequest),
    /// A review.
    Review(Review),
    /// A comment.
    Comment(Comment),
    /// A repository.
    Repository(Repository),
    /// A CI run.
    Pipeline(Pipeline),
    /// A job of a run.
    Job(Job),
}

/// The same expression for whichever kind it is.
macro_rules! each {
    ($local:expr, $object:ident => $value:expr) => {
        match $local {
            $crate::local::Local::Issue($object) => $value,
            $crate::local::Local::PullRequest($object) => $value,
            $crate::local::Local::Review($object) => $value,
            $crate::local::Local::Comment($object) => $value,
            $crate::local::Local::Repository($object) => $value,
            $crate::local::Local::Pipeline($object) => $value,
            $crate::local::Local::Job($object) => $value,
        }
    };
}
pub(crate) use each;

/// The mergeable fields of `kind` that stand in the spec; what stands in the status is the provider's alone.
pub fn spec_fields(kind: Kind) -> impl Iterator<Item = &'static MergeableField> {
    mergeable_fields(kind).iter().filter(|field| field.path.starts_with("spec."))
}

/// The local kind of what an event is about; `None` for what is no object here (refs, commits, labels, accounts …).
pub fn local_kind(resource: &ResourceKind) -> Option<Kind> {
    Some(match resource {
        ResourceKind::Issue => Kind::Issue,
        ResourceKind::PullRequest => Kind::PullRequest,
        ResourceKind::Review => Kind::Review,
        ResourceKind::Comment => Kind::Comment,
        ResourceKind::Repository => Kind::Repository,
        ResourceKind::Pipeline => Kind::Pipeline,
        ResourceKind::Job => Kind::Job,
        _ => return None,
    })
}

/// State and reason as one unit: they merge together or not at all.
pub(crate) fn state_value(state: &str, reason: Option<&IssueStateReason>) -> FieldValue<'static> {
    match reason {
        Some(reason) => FieldValue::Json(Cow::Owned(json!({"state": state, "stateReason": reason.as_str()}))),
        None => FieldValue::Text(Cow::Owned(state.to_owned())),
    }
}

fn state_parts(value: &FieldValue<'_>) -> (Option<String>, Option<IssueStateReason>) {
    match value {
        FieldValue::Text(state) => (Some(state.to_string()), None),
        FieldValue::Json(json) => {
            let text = |name: &str| json.get(name).and_then(serde_json::Value::as_str);
            (text("state").map(str::to_owned), text("stateReason").map(IssueStateReason::from_text))
        }
        _ => (None, None),
    }
}

fn body_value(body: Option<&Body>) -> FieldValue<'_> {
    // An empty body and none are one thing: providers send either.
    FieldValue::optional(body.map(|body| body.markdown.as_str()).filter(|text| !text.is_empty()))
}

fn set_body(body: &mut Option<Body>, value: &FieldValue<'_>, format: &SourceFormat) {
    *body = match value {
        FieldValue::Text(text) if !text.is_empty() => {
            let mut kept = Body::markdown(text.to_string());
            kept.source_digest = Some(Digest::of(text.as_bytes()));
            kept.source_format = format.clone();
            Some(kept)
        }
        _ => None,
    };
}

fn text_of(value: &FieldValue<'_>) -> Option<String> {
    match value {
        FieldValue::Text(text) => Some(text.to_string()),
        _ => None,
    }
}

fn set_of(value: &FieldValue<'_>) -> BTreeSet<String> {
    match value {
        FieldValue::List(list) => list.iter().map(ToString::to_string).collect(),
        _ => BTreeSet::new(),
    }
}

impl Local {
    /// The kind.
    pub fn kind(&self) -> Kind {
        fn of<T: Resource>(_: &T) -> Kind {
            T::KIND
        }
        each!(self, object => of(object))
    }

    /// The name.
    pub fn name(&self) -> &str {
        each!(self, object => object.name())
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        each!(self, object => object.namespace())
    }

    /// The generation of the spec.
    pub fn generation(&self) -> i64 {
        each!(self, object => object.generation())
    }

    /// A reference to the object.
    pub fn to_ref(&self) -> ObjectRef {
        ObjectRef::new(self.kind().as_str(), self.name())
    }

    /// Says that it goes with the object that it is about (R56).
    pub(crate) fn set_owner(&mut self, owner: &ObjectRef) {
        each!(self, object => object.set_owner(owner));
    }

    /// A reference to it that only it is meant by: with its uid, once a store has given it one.
    pub(crate) fn as_owner(&self) -> ObjectRef {
        ObjectRef { uid: each!(self, object => object.metadata().uid.clone()), ..self.to_ref() }
    }

    /// The repository that it names, where it does.
    pub fn repository(&self) -> Option<&str> {
        match self {
            Self::Issue(issue) => issue.spec.repository.as_deref(),
            Self::PullRequest(pull) => Some(&pull.spec.repository),
            Self::Pipeline(run) => Some(&run.spec.repository),
            Self::Repository(repository) => Some(repository.name()),
            Self::Review(_) | Self::Comment(_) | Self::Job(_) => None,
        }
    }

    /// The envelope, once the object has one (S5).
    pub fn external(&self) -> Option<&ExternalEnvelope> {
        each!(self, object => object.status.as_ref().and_then(|status| status.external.as_ref()))
    }

    /// Sets the envelope and the summary of its sync.
    pub fn set_external(&mut self, external: ExternalEnvelope, sync: SyncSummary) {
        each!(self, object => {
            let status = object.status_mut();
            status.external = Some(external);
            status.sync = Some(sync);
        });
    }

    /// The value of a mergeable field.
    pub fn get(&self, path: &str) -> FieldValue<'_> {
        match (self, path) {
            (Self::Issue(issue), _) => {
                let spec = &issue.spec;
                match path {
                    "spec.title" => FieldValue::text(&spec.title),
                    "spec.body.markdown" => body_value(spec.body.as_ref()),
                    "spec.state" => state_value(spec.state.as_str(), spec.state_reason.as_ref()),
                    "spec.labels" => FieldValue::list(&spec.labels),
                    "spec.assignees" => FieldValue::list(&spec.assignees),
                    "spec.milestone" => FieldValue::optional(spec.milestone.as_deref()),
                    "spec.issueType" => FieldValue::optional(spec.issue_type.as_deref()),
                    "spec.locked" => FieldValue::Bool(spec.locked),
                    "spec.priority" => FieldValue::optional(spec.priority.as_deref()),
                    "spec.workflowState" => FieldValue::optional(spec.workflow_state.as_deref()),
                    "spec.project" => FieldValue::optional(spec.project.as_deref()),
                    _ => FieldValue::Absent,
                }
            }
            (Self::PullRequest(pull), _) => {
                let spec = &pull.spec;
                match path {
                    "spec.title" => FieldValue::text(&spec.title),
                    "spec.body.markdown" => body_value(spec.body.as_ref()),
                    "spec.state" => state_value(spec.state.as_str(), None),
                    "spec.draft" => FieldValue::Bool(spec.draft),
                    "spec.base" => FieldValue::text(&spec.base),
                    "spec.labels" => FieldValue::list(&spec.labels),
                    "spec.assignees" => FieldValue::list(&spec.assignees),
                    "spec.requestedReviewers" => FieldValue::list(&spec.requested_reviewers),
                    "spec.milestone" => FieldValue::optional(spec.milestone.as_deref()),
                    "spec.autoMerge" => FieldValue::from_owned(json!(spec.auto_merge)),
                    _ => FieldValue::Absent,
                }
            }
            (Self::Comment(comment), "spec.minimized") => FieldValue::Bool(comment.spec.minimized),
            (Self::Comment(comment), "spec.resolved") => FieldValue::Bool(comment.spec.resolved),
            (Self::Review(review), "spec.verdict") => FieldValue::text(review.spec.verdict.as_str()),
            (Self::Review(review), "spec.body.markdown") => body_value(review.spec.body.as_ref()),
            (Self::Comment(comment), "spec.body.markdown") => body_value(Some(&comment.spec.body)),
            (Self::Repository(repository), _) => {
                let spec = &repository.spec;
                match path {
                    "spec.visibility" => FieldValue::text(spec.visibility.as_str()),
                    "spec.defaultBranch" => FieldValue::text(&spec.default_branch),
                    "spec.description" => {
                        FieldValue::optional(spec.description.as_deref().filter(|text| !text.is_empty()))
                    }
                    "spec.archived" => FieldValue::Bool(spec.archived),
                    "spec.topics" => FieldValue::list(&spec.topics),
                    _ => FieldValue::Absent,
                }
            }
            _ => FieldValue::Absent,
        }
    }

    /// Whether a field can hold a value: it has the field's shape, and its words are known ones (S1). What [`Local::set`] makes of any other isn't what was meant.
    pub fn can_hold(&self, path: &str, value: &FieldValue<'_>) -> bool {
        let mut tried = self.clone();
        tried.set(path, value, &SourceFormat::Markdown);
        let is_known = match &tried {
            Self::Issue(issue) => {
                let reason = issue.spec.state_reason.as_ref();
                issue.spec.state.is_known() && reason.is_none_or(ClosedSet::is_known)
            }
            Self::PullRequest(pull) => {
                let method = pull.spec.auto_merge.as_ref().and_then(|merge| merge.method.as_ref());
                pull.spec.state.is_known() && method.is_none_or(ClosedSet::is_known)
            }
            Self::Review(review) => review.spec.verdict.is_known(),
            Self::Repository(repository) => repository.spec.visibility.is_known(),
            Self::Comment(_) | Self::Pipeline(_) | Self::Job(_) => true,
        };
        let is_held = match (tried.get(path), value) {
            (FieldValue::List(held), FieldValue::List(meant)) => {
                held.iter().collect::<BTreeSet<_>>() == meant.iter().collect::<BTreeSet<_>>()
            }
            (FieldValue::List(held), FieldValue::Absent) => held.is_empty(),
            (FieldValue::Text(title), _) if path == "spec.title" && title.is_empty() => false,
            // An empty body and none are one thing.
            (FieldValue::Absent, FieldValue::Text(text)) => text.is_empty(),
            (held, meant) => held == *meant,
        };
        is_known && is_held
    }

    /// Sets a mergeable field; a value of another shape than the field's takes the field away. An unknown path changes nothing.
    pub fn set(&mut self, path: &str, value: &FieldValue<'_>, format: &SourceFormat) {
        match self {
            Self::Issue(issue) => {
                let spec = &mut issue.spec;
                match path {
                    "spec.title" => spec.title = text_of(value).unwrap_or_default(),
                    "spec.body.markdown" => set_body(&mut spec.body, value, format),
                    "spec.state" => {
                        let (state, reason) = state_parts(value);
                        spec.state = state.as_deref().map_or(IssueState::Open, IssueState::from_text);
                        spec.state_reason = reason;
                    }
                    "spec.labels" => spec.labels = set_of(value),
                    "spec.assignees" => spec.assignees = set_of(value),
                    "spec.milestone" => spec.milestone = text_of(value),
                    "spec.issueType" => spec.issue_type = text_of(value),
                    "spec.locked" => spec.locked = *value == FieldValue::Bool(true),
                    "spec.priority" => spec.priority = text_of(value),
                    "spec.workflowState" => spec.workflow_state = text_of(value),
                    "spec.project" => spec.project = text_of(value),
                    _ => {}
                }
            }
            Self::PullRequest(pull) => {
                let spec = &mut pull.spec;
                match path {
                    "spec.title" => spec.title = text_of(value).unwrap_or_default(),
                    "spec.body.markdown" => set_body(&mut spec.body, value, format),
                    "spec.state" => {
                        let (state, _) = state_parts(value);
                        spec.state = state.as_deref().map_or(PullRequestState::Open, PullRequestState::from_text);
                    }
                    "spec.draft" => spec.draft = *value == FieldValue::Bool(true),
                    "spec.base" => spec.base = text_of(value).unwrap_or_default(),
                    "spec.labels" => spec.labels = set_of(value),
                    "spec.assignees" => spec.assignees = set_of(value),
                    "spec.requestedReviewers" => spec.requested_reviewers = set_of(value),
                    "spec.milestone" => spec.milestone = text_of(value),
                    "spec.autoMerge" => {
                        spec.auto_merge = value.to_json().and_then(|json| serde_json::from_value(json).ok());
                    }
                    _ => {}
                }
            }
            Self::Review(review) => match path {
                "spec.verdict" => {
                    if let Some(verdict) = text_of(value) {
                        review.spec.verdict = Verdict::from_text(&verdict);
                    }
                }
                "spec.body.markdown" => set_body(&mut review.spec.body, value, format),
                _ => {}
            },
            Self::Comment(comment) => match path {
                "spec.body.markdown" => {
                    let mut body = None;
                    set_body(&mut body, value, format);
                    comment.spec.body = body.unwrap_or_else(|| Body::markdown(""));
                }
                "spec.minimized" => comment.spec.minimized = *value == FieldValue::Bool(true),
                "spec.resolved" => comment.spec.resolved = *value == FieldValue::Bool(true),
                _ => {}
            },
            Self::Repository(repository) => {
                let spec = &mut repository.spec;
                match path {
                    "spec.visibility" => {
                        spec.visibility = text_of(value).as_deref().map_or(Visibility::Private, Visibility::from_text);
                    }
                    "spec.defaultBranch" => spec.default_branch = text_of(value).unwrap_or_default(),
                    "spec.description" => spec.description = text_of(value),
                    "spec.archived" => spec.archived = *value == FieldValue::Bool(true),
                    "spec.topics" => spec.topics = set_of(value),
                    _ => {}
                }
            }
            Self::Pipeline(_) | Self::Job(_) => {}
        }
    }
}
