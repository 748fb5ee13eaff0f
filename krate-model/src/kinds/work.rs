//! Issues, pull requests, reviews and comments. Spec: resource-kinds.md section 4, R19, R37, R38, R47, R54.
//!
//! The spec is what krate wants, and mergeable with the provider's value; the status is what was observed.

use std::collections::BTreeSet;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::{Actor, Body, Condition, ExternalEnvelope, ObjectRef, SyncSummary, Time};
use crate::resource::{index_envelope, phases, resource};
use crate::store::Index;

crate::closed_set! {
    /// Whether an issue is open.
    #[derive(Default)]
    IssueState {
        #[default] Open = "open",
        Closed = "closed",
    }
}

crate::closed_set! {
    /// Why an issue is in its state.
    IssueStateReason {
        Completed = "completed", NotPlanned = "not-planned", Duplicate = "duplicate", Reopened = "reopened",
    }
}

/// A work item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "Issue",
    plural = "issues",
    category = "krate",
    category = "krate-work",
    namespaced,
    status = "IssueStatus",
    derive = "PartialEq",
    doc = "A work item.",
    printcolumn(name = "Title", type_ = "string", json_path = ".spec.title"),
    printcolumn(name = "Repository", type_ = "string", json_path = ".spec.repository"),
    printcolumn(name = "Number", type_ = "integer", json_path = ".status.external.nativeNumber"),
    printcolumn(name = "Updated", type_ = "date", json_path = ".status.updatedAt")
)]
#[serde(rename_all = "camelCase")]
pub struct IssueSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// Title.
    #[schemars(length(max = 512))]
    pub title: String,
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    /// State.
    #[serde(default)]
    pub state: IssueState,
    /// Why it is in that state; merges with the state as one unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_reason: Option<IssueStateReason>,
    /// Labels of the provider, which are no Kubernetes labels.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub labels: BTreeSet<String>,
    /// Principals: names of users, or `ext:` and an account id (R54).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub assignees: BTreeSet<String>,
    /// Milestone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub milestone: Option<String>,
    /// Type, in the provider's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub issue_type: Option<String>,
    /// Priority, in the provider's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub priority: Option<String>,
    /// State of the provider's workflow, in its own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub workflow_state: Option<String>,
    /// The repository; absent for project trackers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Repository"))]
    pub repository: Option<String>,
    /// The project that groups it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "AgentProject"))]
    pub project: Option<String>,
    /// Whether the conversation is closed to comments.
    #[serde(default)]
    pub locked: bool,
}

impl IssueSpec {
    /// What is required, and the defaults for the rest.
    pub fn new(organization: impl Into<String>, title: impl Into<String>) -> Self {
        Self {
            organization_ref: organization.into(),
            title: title.into(),
            body: None,
            state: IssueState::default(),
            state_reason: None,
            labels: BTreeSet::new(),
            assignees: BTreeSet::new(),
            milestone: None,
            issue_type: None,
            priority: None,
            workflow_state: None,
            repository: None,
            project: None,
            locked: false,
        }
    }
}

phases! {
    /// Phases of an [`Issue`].
    IssuePhase { Pending = "Pending", Open = "Open", Closed = "Closed", Deleted = "Deleted" }
}

/// What is so with an [`Issue`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IssueStatus {
    /// Phase.
    pub phase: IssuePhase,
    /// Conditions: `Synced`, `Conflicted`, `WritePending`, `NeedsHydration`, `Orphaned`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When it was made at the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
    /// When it was last changed at the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Time>,
    /// When it was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Time>,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<Actor>,
    /// Who closed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<Actor>,
    /// How many comments the provider counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub comment_count: Option<i64>,
    /// Where the object stands at its provider (S5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEnvelope>,
    /// How the two sides stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncSummary>,
}

resource!(Issue, IssueSpec, IssueStatus, |spec| Some(&spec.organization_ref), |object, add| {
    if let Some(repository) = &object.spec.repository {
        add(Index::Repository, repository.clone());
    }
    index_envelope(object.status.as_ref().and_then(|status| status.external.as_ref()), add);
});

crate::closed_set! {
    /// Whether a pull request is open; `merged` is final and never set by hand (R38).
    #[derive(Default)]
    PullRequestState {
        #[default] Open = "open",
        Closed = "closed",
        Merged = "merged",
    }
}

crate::closed_set! {
    /// How the commits of a pull request join its base.
    MergeMethod { Merge = "merge", Squash = "squash", Rebase = "rebase" }
}

/// Where the change is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullRequestHead {
    /// The ref.
    #[schemars(length(max = 253))]
    pub r#ref: String,
    /// The provider's id of the repository, where it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub native_repository_id: Option<String>,
}

/// What the provider merges by itself once it may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoMerge {
    /// How.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<MergeMethod>,
}

/// Asks for the merge of exactly that head (R38).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MergeCommand {
    /// How.
    pub method: MergeMethod,
    /// The head that was looked at; another one is refused.
    #[schemars(length(max = 64), regex(pattern = "^([0-9a-f]{40}|[0-9a-f]{64})$"))]
    pub expected_head_sha: String,
}

/// A change proposed for review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "PullRequest",
    plural = "pullrequests",
    shortname = "pr",
    category = "krate",
    category = "krate-work",
    namespaced,
    status = "PullRequestStatus",
    derive = "PartialEq",
    doc = "A change proposed for review.",
    printcolumn(name = "Title", type_ = "string", json_path = ".spec.title"),
    printcolumn(name = "Repository", type_ = "string", json_path = ".spec.repository"),
    printcolumn(name = "Number", type_ = "integer", json_path = ".status.external.nativeNumber"),
    printcolumn(name = "Head", type_ = "string", json_path = ".status.headSha"),
    printcolumn(name = "Mergeable", type_ = "string", json_path = ".status.mergeState")
)]
#[x_kube(validation = Rule::new("oldSelf.state != 'merged' || self.state == 'merged'")
        .message("R38: from merged nothing leaves spec.state")
        .field_path(".state")
        .reason(Reason::FieldValueForbidden))]
#[serde(rename_all = "camelCase")]
pub struct PullRequestSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// The repository that it is proposed to.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Repository"))]
    pub repository: String,
    /// Title.
    #[schemars(length(max = 512))]
    pub title: String,
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    /// State (R38).
    #[serde(default)]
    pub state: PullRequestState,
    /// Whether it is not ready for review.
    #[serde(default)]
    pub draft: bool,
    /// Where the change is.
    #[schemars(extend("x-krate-immutable" = true))]
    pub head: PullRequestHead,
    /// The branch that it is proposed to.
    #[schemars(length(max = 253))]
    pub base: String,
    /// Labels of the provider, which are no Kubernetes labels.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub labels: BTreeSet<String>,
    /// Principals: names of users, or `ext:` and an account id (R54).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub assignees: BTreeSet<String>,
    /// Principals, or `team/` and the name of a Team.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub requested_reviewers: BTreeSet<String>,
    /// Milestone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub milestone: Option<String>,
    /// What the provider merges by itself once it may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_merge: Option<AutoMerge>,
    /// Command: merge it (R37, verb `merge`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-krate-command" = true))]
    pub merge: Option<MergeCommand>,
}

impl PullRequestSpec {
    /// What is required, and the defaults for the rest.
    pub fn new(
        organization: impl Into<String>,
        repository: impl Into<String>,
        title: impl Into<String>,
        head: PullRequestHead,
        base: impl Into<String>,
    ) -> Self {
        Self {
            organization_ref: organization.into(),
            repository: repository.into(),
            title: title.into(),
            body: None,
            state: PullRequestState::default(),
            draft: false,
            head,
            base: base.into(),
            labels: BTreeSet::new(),
            assignees: BTreeSet::new(),
            requested_reviewers: BTreeSet::new(),
            milestone: None,
            auto_merge: None,
            merge: None,
        }
    }
}

phases! {
    /// Phases of a [`PullRequest`].
    PullRequestPhase {
        Pending = "Pending", Draft = "Draft", Open = "Open", Merged = "Merged", Closed = "Closed", Deleted = "Deleted",
    }
}

crate::closed_set! {
    /// Whether a pull request could be merged.
    MergeState {
        Clean = "clean", Blocked = "blocked", Behind = "behind", Dirty = "dirty", Unstable = "unstable",
        Undetermined = "unknown",
    }
}

crate::closed_set! {
    /// What the reviews come to.
    ReviewDecision {
        Approved = "approved", ChangesRequested = "changes-requested", ReviewRequired = "review-required",
        None = "none",
    }
}

/// What is so with a [`PullRequest`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PullRequestStatus {
    /// Phase.
    pub phase: PullRequestPhase,
    /// Conditions: `Synced`, `Conflicted`, `WritePending`, `NeedsHydration`, `Orphaned`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The head that was last seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^([0-9a-f]{40}|[0-9a-f]{64})$"))]
    pub head_sha: Option<String>,
    /// The base that was last seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^([0-9a-f]{40}|[0-9a-f]{64})$"))]
    pub base_sha: Option<String>,
    /// Whether it could be merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge_state: Option<MergeState>,
    /// The commit that the merge made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^([0-9a-f]{40}|[0-9a-f]{64})$"))]
    pub merge_commit_sha: Option<String>,
    /// Whether the head is in another repository; absent means unknown and counts as a fork (P23).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_fork: Option<bool>,
    /// Who proposed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<Actor>,
    /// Who merged it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged_by: Option<Actor>,
    /// What the reviews come to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review_decision: Option<ReviewDecision>,
    /// How many files it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub changed_files: Option<i64>,
    /// When it was made at the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
    /// When it was last changed at the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Time>,
    /// When it was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Time>,
    /// When it was merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged_at: Option<Time>,
    /// Where the object stands at its provider (S5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEnvelope>,
    /// How the two sides stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncSummary>,
}

resource!(PullRequest, PullRequestSpec, PullRequestStatus, |spec| Some(&spec.organization_ref), |object, add| {
    add(Index::Repository, object.spec.repository.clone());
    index_envelope(object.status.as_ref().and_then(|status| status.external.as_ref()), add);
});

crate::closed_set! {
    /// What a reviewer says of a pull request.
    Verdict {
        Approved = "approved", ChangesRequested = "changes-requested", Commented = "commented", Dismissed = "dismissed",
    }
}

/// A verdict on a pull request at a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "Review",
    plural = "reviews",
    category = "krate",
    category = "krate-work",
    namespaced,
    status = "ReviewStatus",
    derive = "PartialEq",
    doc = "A verdict on a pull request at a commit.",
    printcolumn(name = "Pull request", type_ = "string", json_path = ".spec.pullRequest"),
    printcolumn(name = "Verdict", type_ = "string", json_path = ".spec.verdict"),
    printcolumn(name = "Author", type_ = "string", json_path = ".status.author.name")
)]
#[serde(rename_all = "camelCase")]
pub struct ReviewSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// What is reviewed.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "PullRequest"))]
    pub pull_request: String,
    /// The verdict.
    pub verdict: Verdict,
    /// What the reviewer says to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    /// The commit that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^([0-9a-f]{40}|[0-9a-f]{64})$"), extend("x-krate-immutable" = true))]
    pub commit_sha: Option<String>,
}

impl ReviewSpec {
    /// What is required, and the defaults for the rest.
    pub fn new(organization: impl Into<String>, pull_request: impl Into<String>, verdict: Verdict) -> Self {
        Self {
            organization_ref: organization.into(),
            pull_request: pull_request.into(),
            verdict,
            body: None,
            commit_sha: None,
        }
    }
}

phases! {
    /// Phases of a [`Review`].
    ReviewPhase { Pending = "Pending", Submitted = "Submitted", Dismissed = "Dismissed", Deleted = "Deleted" }
}

/// What is so with a [`Review`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReviewStatus {
    /// Phase.
    pub phase: ReviewPhase,
    /// Conditions: `Synced`, `Conflicted`, `WritePending`, `NeedsHydration`, `Orphaned`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Who reviewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<Actor>,
    /// When it was submitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submitted_at: Option<Time>,
    /// Whether the head has moved since.
    pub stale: bool,
    /// Where the object stands at its provider (S5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEnvelope>,
    /// How the two sides stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncSummary>,
}

resource!(Review, ReviewSpec, ReviewStatus, |spec| Some(&spec.organization_ref), |object, add| {
    add(Index::Parent, format!("PullRequest/{}", object.spec.pull_request));
    index_envelope(object.status.as_ref().and_then(|status| status.external.as_ref()), add);
});

crate::closed_set! {
    /// The side of a diff: before or after the change.
    DiffSide { Left = "left", Right = "right" }
}

/// A place in a diff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.startLine) || self.startLine <= self.line")
        .message("R49: startLine is not after line")
        .field_path(".line")
        .reason(Reason::FieldValueInvalid))]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// The file.
    #[schemars(length(max = 1024))]
    pub path: String,
    /// Which side of the diff.
    pub side: DiffSide,
    /// The last line that is meant.
    #[schemars(range(min = 1))]
    pub line: i64,
    /// The first line that is meant; absent means one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub start_line: Option<i64>,
    /// The commit that the lines are counted in.
    #[schemars(length(max = 64), regex(pattern = "^([0-9a-f]{40}|[0-9a-f]{64})$"))]
    pub commit_sha: String,
}

/// One message on an issue, a pull request or a line of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "Comment",
    plural = "comments",
    category = "krate",
    category = "krate-work",
    namespaced,
    status = "CommentStatus",
    derive = "PartialEq",
    doc = "One message on an issue, a pull request or a line of it.",
    printcolumn(name = "Subject", type_ = "string", json_path = ".spec.subject.name"),
    printcolumn(name = "Author", type_ = "string", json_path = ".status.author.name")
)]
#[serde(rename_all = "camelCase")]
pub struct CommentSpec {
    /// The organization.
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Organization"))]
    pub organization_ref: String,
    /// The Issue or PullRequest.
    #[schemars(extend("x-krate-immutable" = true))]
    pub subject: ObjectRef,
    /// The review that it is part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Review"))]
    pub review: Option<String>,
    /// The comment that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-immutable" = true, "x-krate-ref" = "Comment"))]
    pub in_reply_to: Option<String>,
    /// The message.
    pub body: Body,
    /// The place in the diff that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-krate-immutable" = true))]
    pub position: Option<Position>,
    /// Whether it is folded away.
    #[serde(default)]
    pub minimized: bool,
    /// Whether its thread is settled.
    #[serde(default)]
    pub resolved: bool,
}

impl CommentSpec {
    /// What is required, and the defaults for the rest.
    pub fn new(organization: impl Into<String>, subject: ObjectRef, body: Body) -> Self {
        Self {
            organization_ref: organization.into(),
            subject,
            review: None,
            in_reply_to: None,
            body,
            position: None,
            minimized: false,
            resolved: false,
        }
    }
}

phases! {
    /// Phases of a [`Comment`].
    CommentPhase { Pending = "Pending", Visible = "Visible", Minimized = "Minimized", Deleted = "Deleted" }
}

/// What is so with a [`Comment`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CommentStatus {
    /// Phase.
    pub phase: CommentPhase,
    /// Conditions: `Synced`, `Conflicted`, `WritePending`, `NeedsHydration`, `Orphaned`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::shared::conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Who wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<Actor>,
    /// Who last changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_editor: Option<Actor>,
    /// Whether its lines are no longer in the diff.
    pub outdated: bool,
    /// When it was made at the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
    /// When it was last changed at the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Time>,
    /// When its thread was settled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Time>,
    /// Where the object stands at its provider (S5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEnvelope>,
    /// How the two sides stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncSummary>,
}

resource!(Comment, CommentSpec, CommentStatus, |spec| Some(&spec.organization_ref), |object, add| {
    add(Index::Parent, format!("{}/{}", object.spec.subject.kind, object.spec.subject.name));
    index_envelope(object.status.as_ref().and_then(|status| status.external.as_ref()), add);
});
