//! Which fields of a kind merge between krate and a provider, and by which strategies. Spec: resource-kinds.md section 4.

use crate::Kind;
use crate::kinds::sets::Strategy;

/// A field whose wanted and observed value are brought together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergeableField {
    /// Where it stands, such as `spec.labels`.
    pub path: &'static str,
    /// What an override may say (R50); the first one holds where nothing is said.
    pub strategies: &'static [Strategy],
}

const SCALAR: &[Strategy] = &[Strategy::Scalar];
const SET: &[Strategy] = &[Strategy::Set];
const BODY: &[Strategy] = &[Strategy::Scalar, Strategy::Text];

macro_rules! fields {
    ($($path:literal $strategies:ident),+ $(,)?) => {
        &[$(MergeableField { path: concat!("spec.", $path), strategies: $strategies }),+]
    };
}

/// The mergeable fields of `kind` that people and policies may name; none for a kind that has no provider's side.
pub const fn mergeable(kind: Kind) -> &'static [MergeableField] {
    match kind {
        Kind::Issue => fields![
            "title" SCALAR, "body.markdown" BODY, "state" SCALAR, "stateReason" SCALAR, "labels" SET, "assignees" SET,
            "milestone" SCALAR, "issueType" SCALAR, "priority" SCALAR, "workflowState" SCALAR, "project" SCALAR,
            "locked" SCALAR,
        ],
        Kind::PullRequest => fields![
            "title" SCALAR, "body.markdown" BODY, "state" SCALAR, "draft" SCALAR, "base" SCALAR, "labels" SET,
            "assignees" SET, "requestedReviewers" SET, "milestone" SCALAR, "autoMerge" SCALAR,
        ],
        Kind::Review => fields!["verdict" SCALAR, "body.markdown" BODY],
        Kind::Comment => fields!["body.markdown" BODY, "minimized" SCALAR, "resolved" SCALAR],
        Kind::Repository => fields![
            "visibility" SCALAR, "description" SCALAR, "defaultBranch" SCALAR, "archived" SCALAR, "topics" SET,
        ],
        Kind::SSHKey => fields!["title" SCALAR],
        Kind::RepositoryPermission => fields!["permission" SCALAR],
        Kind::BranchProtection => fields![
            "requirePullRequest" SCALAR, "requiredApprovals" SCALAR, "dismissStaleApprovals" SCALAR,
            "requiredChecks" SET, "requireConversationResolution" SCALAR, "restrictPushTo" SET,
            "enforceForAdmins" SCALAR,
        ],
        _ => &[],
    }
}

/// Whether people may change the field `name` of a kind's spec because it merges (R19).
pub(super) fn is_mergeable(kind: Kind, name: &str) -> bool {
    mergeable(kind).iter().any(|field| field.path.split('.').nth(1) == Some(name))
}
