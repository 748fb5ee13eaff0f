//! Which fields of a kind merge between krate and a provider, and by which strategies: the one table of them. Spec: resource-kinds.md section 4, R50;
//! external-sync.md section 7. `krate-sync` adds what merging needs besides: the order of values, and what only the provider says.

use crate::Kind;
use crate::kinds::sets::Strategy;

/// A field whose wanted and observed value are brought together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergeableField {
    /// Where it stands, such as `spec.labels`.
    pub path: &'static str,
    /// How it merges where nothing is said.
    pub strategy: &'static Strategy,
    /// What an override may say (R50).
    pub strategies: &'static [Strategy],
}

/// The strategy where nothing is said, and those that an override may name.
type Merges = (&'static Strategy, &'static [Strategy]);

const SCALAR: Merges = (&Strategy::Scalar, &[Strategy::Scalar]);
const SET: Merges = (&Strategy::Set, &[Strategy::Set]);
const BODY: Merges = (&Strategy::Scalar, &[Strategy::Scalar, Strategy::Text]);
/// A pull request's state: free but for `merged`, which nothing leaves (R38).
const FORWARD: Merges = (&Strategy::Monotonic, &[Strategy::Scalar]);

macro_rules! fields {
    ($($path:literal $merges:ident),+ $(,)?) => {
        &[$(MergeableField { path: concat!("spec.", $path), strategy: $merges.0, strategies: $merges.1 }),+]
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
            "title" SCALAR, "body.markdown" BODY, "state" FORWARD, "draft" SCALAR, "base" SCALAR, "labels" SET,
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
