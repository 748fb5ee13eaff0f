//! What a write carries: a typed union with one member, named after the operation. Spec: resource-kinds.md R52.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sets::Operation;
use super::work::{DiffSide, IssueState, IssueStateReason, MergeMethod, Verdict};

/// A new issue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewIssue {
    /// Title.
    #[schemars(length(max = 512))]
    pub title: String,
    /// Body in the provider's format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 262_144))]
    pub body: Option<String>,
    /// Names of labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)))]
    pub labels: Vec<String>,
    /// Logins or account ids at the provider, as its codec wants them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)))]
    pub assignees: Vec<String>,
    /// Milestone, as the provider names it in a write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub milestone: Option<String>,
}

/// Changed fields of an issue or pull request; what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Changes {
    /// Title.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub title: Option<String>,
    /// Body in the provider's format.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 262_144))]
    pub body: Option<String>,
    /// State: `open` or `closed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<IssueState>,
    /// Why it is in its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_reason: Option<IssueStateReason>,
    /// All labels that it shall have.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(max = 253)))]
    pub labels: Option<Vec<String>>,
    /// All assignees that it shall have.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(max = 253)))]
    pub assignees: Option<Vec<String>>,
    /// Milestone; the empty text takes it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub milestone: Option<String>,
    /// Branch to merge into, for a pull request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub base: Option<String>,
}

/// A text alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BodyText {
    /// The text in the provider's format.
    #[schemars(length(max = 262_144))]
    pub body: String,
}

/// Names of labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Labels {
    /// The names.
    #[schemars(length(max = 256), inner(length(max = 253)))]
    pub labels: Vec<String>,
}

/// How an issue is closed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Close {
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_reason: Option<IssueStateReason>,
}

/// A write without content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Nothing {}

/// A new pull request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewPullRequest {
    /// Title.
    #[schemars(length(max = 512))]
    pub title: String,
    /// Body in the provider's format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 262_144))]
    pub body: Option<String>,
    /// Branch that is proposed.
    #[schemars(length(max = 1024))]
    pub head: String,
    /// Branch to merge into.
    #[schemars(length(max = 1024))]
    pub base: String,
    /// Whether it is a draft.
    #[serde(default)]
    pub draft: bool,
}

/// How a pull request is merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Merge {
    /// How.
    pub method: MergeMethod,
    /// The head that the person saw; another one is refused (R38).
    #[schemars(length(max = 64))]
    pub expected_head_sha: String,
}

/// A new review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewReview {
    /// Verdict.
    pub verdict: Verdict,
    /// Body in the provider's format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 262_144))]
    pub body: Option<String>,
    /// The commit that was reviewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub commit_sha: Option<String>,
}

/// A new comment on a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewLineComment {
    /// The text in the provider's format.
    #[schemars(length(max = 262_144))]
    pub body: String,
    /// File.
    #[schemars(length(max = 1024))]
    pub path: String,
    /// Side of the diff.
    pub side: DiffSide,
    /// Last line.
    pub line: i64,
    /// First line, where it spans several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_line: Option<i64>,
    /// Commit that the position refers to.
    #[schemars(length(max = 64))]
    pub commit_sha: String,
}

macro_rules! payload {
    ($($(#[$meta:meta])* $operation:ident($type:ty),)+) => {
        /// What a write carries: one member, named after its operation (R52).
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase")]
        #[non_exhaustive]
        pub enum Payload {
            $($(#[$meta])* $operation($type),)+
        }

        impl Payload {
            /// The operation that the member is named after.
            pub fn operation(&self) -> Operation {
                match self { $(Self::$operation(_) => Operation::$operation,)+ }
            }
        }
    };
}

payload! {
    /// Makes an issue.
    CreateIssue(NewIssue),
    /// Changes an issue.
    UpdateIssue(Changes),
    /// Closes an issue.
    CloseIssue(Close),
    /// Comments on an issue or, where the provider counts it as one, a pull request.
    CreateComment(BodyText),
    /// Changes a comment.
    UpdateComment(BodyText),
    /// Removes a comment.
    DeleteComment(Nothing),
    /// Adds labels.
    AddLabels(Labels),
    /// Takes labels away.
    RemoveLabels(Labels),
    /// Makes a pull request.
    CreatePullRequest(NewPullRequest),
    /// Changes a pull request.
    UpdatePullRequest(Changes),
    /// Merges a pull request.
    MergePullRequest(Merge),
    /// Reviews a pull request.
    CreateReview(NewReview),
    /// Comments on a line of a pull request.
    CreatePullRequestComment(NewLineComment),
    /// Changes a comment on a line.
    UpdatePullRequestComment(BodyText),
    /// Removes a comment on a line.
    DeletePullRequestComment(Nothing),
}
