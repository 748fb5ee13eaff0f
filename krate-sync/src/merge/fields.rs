//! Which fields of which kind merge, and how. Spec: resource-kinds.md section 4, "mergeable field"; R50.

use krate_model::Kind;
use krate_model::kinds::sets::Strategy;

use super::order::{CONCLUSIONS, Order, RUN_PHASES, STATES};

/// One field that two sides may both change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeableField {
    /// Where it stands, such as `spec.labels`.
    pub path: &'static str,
    /// How it merges unless a binding or a policy says otherwise.
    pub strategy: Strategy,
    /// The order of its values under `monotonic`.
    pub order: Order<'static>,
}

const fn field(path: &'static str, strategy: Strategy) -> MergeableField {
    MergeableField { path, strategy, order: &[] }
}

const fn forward(path: &'static str, order: Order<'static>) -> MergeableField {
    MergeableField { path, strategy: Strategy::Monotonic, order }
}

/// An issue's `state` stands for state and reason, which merge as one unit. A pull request's `state` is a scalar of which `merged` is final: under
/// `monotonic` values of one rank merge as scalars do.
const ISSUE: &[MergeableField] = &[
    field("spec.title", Strategy::Scalar),
    field("spec.body.markdown", Strategy::Scalar),
    field("spec.state", Strategy::Scalar),
    field("spec.labels", Strategy::Set),
    field("spec.assignees", Strategy::Set),
    field("spec.milestone", Strategy::Scalar),
    field("spec.issueType", Strategy::Scalar),
    field("spec.priority", Strategy::Scalar),
    field("spec.workflowState", Strategy::Scalar),
    field("spec.project", Strategy::Scalar),
    field("spec.locked", Strategy::Scalar),
];

const PULL_REQUEST: &[MergeableField] = &[
    field("spec.title", Strategy::Scalar),
    field("spec.body.markdown", Strategy::Scalar),
    forward("spec.state", STATES),
    field("spec.draft", Strategy::Scalar),
    field("spec.base", Strategy::Scalar),
    field("spec.labels", Strategy::Set),
    field("spec.assignees", Strategy::Set),
    field("spec.requestedReviewers", Strategy::Set),
    field("spec.milestone", Strategy::Scalar),
    field("spec.autoMerge", Strategy::Scalar),
    field("status.headSha", Strategy::Version),
    field("status.baseSha", Strategy::Version),
];

const REVIEW: &[MergeableField] =
    &[field("spec.verdict", Strategy::Scalar), field("spec.body.markdown", Strategy::Scalar)];

const COMMENT: &[MergeableField] = &[
    field("spec.body.markdown", Strategy::Scalar),
    field("spec.minimized", Strategy::Scalar),
    field("spec.resolved", Strategy::Scalar),
];

const RUN: &[MergeableField] = &[forward("status.phase", RUN_PHASES), forward("status.conclusion", CONCLUSIONS)];

const REPOSITORY: &[MergeableField] = &[
    field("spec.visibility", Strategy::Scalar),
    field("spec.description", Strategy::Scalar),
    field("spec.defaultBranch", Strategy::Scalar),
    field("spec.archived", Strategy::Scalar),
    field("spec.topics", Strategy::Set),
];

const SSH_KEY: &[MergeableField] = &[field("spec.title", Strategy::Scalar)];

const REPOSITORY_PERMISSION: &[MergeableField] = &[field("spec.permission", Strategy::Scalar)];

/// The mergeable fields of `kind`; none for a kind that isn't synced.
pub fn mergeable_fields(kind: Kind) -> &'static [MergeableField] {
    match kind {
        Kind::Issue => ISSUE,
        Kind::PullRequest => PULL_REQUEST,
        Kind::Review => REVIEW,
        Kind::Comment => COMMENT,
        Kind::Pipeline | Kind::Job => RUN,
        Kind::Repository => REPOSITORY,
        Kind::SSHKey => SSH_KEY,
        Kind::RepositoryPermission => REPOSITORY_PERMISSION,
        _ => &[],
    }
}

/// How a field merges that nobody gave a strategy, by its name.
pub(super) fn by_name(name: &str) -> MergeableField {
    match name {
        "labels" | "assignees" | "requestedReviewers" | "topics" | "requiredChecks" | "restrictPushTo" => {
            field("", Strategy::Set)
        }
        "comments" => field("", Strategy::Append),
        "headSha" | "baseSha" => field("", Strategy::Version),
        "state" => forward("", STATES),
        "phase" => forward("", RUN_PHASES),
        "conclusion" => forward("", CONCLUSIONS),
        "extensions" | "fields" => field("", Strategy::Map),
        _ => field("", Strategy::Scalar),
    }
}
