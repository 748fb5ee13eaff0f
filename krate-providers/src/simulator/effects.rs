//! What was carried out, by whom and how often: the ground truth for at-most-once checks (S34).

use std::fmt;

use chrono::{DateTime, Utc};
use thiserror::Error;

/// What can be done to the forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each variant is named after what it does")]
pub enum Operation {
    CreateRepository,
    ForkRepository,
    RenameRepository,
    TransferRepository,
    DeleteRepository,
    OpenIssue,
    EditIssue,
    DeleteIssue,
    TransferIssue,
    Comment,
    EditComment,
    DeleteComment,
    AddLabels,
    RemoveLabel,
    CreateLabel,
    EditLabel,
    DeleteLabel,
    CreateMilestone,
    OpenPullRequest,
    EditPullRequest,
    MergePullRequest,
    Push,
}

/// How a change came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// Made on the forge itself: a person in its pages.
    Native,
    /// Made by a REST request, the n-th that this forge answered.
    Rest(u64),
}

/// One operation that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// What.
    pub operation: Operation,
    /// Login of who did it.
    pub actor: String,
    /// How it came in.
    pub via: Via,
    /// When, as the caller said.
    pub at: DateTime<Utc>,
    /// Native id of the repository.
    pub repository: u64,
    /// Number of the issue or pull request that it was about.
    pub number: Option<u64>,
    /// Native id of the object that it made, changed or removed.
    pub object: u64,
    /// The fields that changed; empty where the request asked for what already was.
    pub changed: Vec<&'static str>,
}

/// One invalid field, as GitHub reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// `Issue`, `PullRequest`, `Label`, …
    pub resource: &'static str,
    /// The field.
    pub field: &'static str,
    /// `missing`, `missing_field`, `invalid`, `already_exists`, `custom`.
    pub code: &'static str,
    /// The value that was refused.
    pub value: Option<String>,
    /// A sentence; with code `custom`.
    pub message: Option<String>,
}

impl FieldError {
    pub(super) fn new(resource: &'static str, field: &'static str, code: &'static str) -> Self {
        Self { resource, field, code, value: None, message: None }
    }

    pub(super) fn value(mut self, value: impl fmt::Display) -> Self {
        self.value = Some(format!("{value}"));
        self
    }
}

/// Why the forge did not carry something out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Nothing of that kind is there.
    #[error("{what} was not found")]
    NotFound {
        /// What was looked for.
        what: &'static str,
    },
    /// It was deleted.
    #[error("the issue was deleted")]
    Gone,
    /// It was transferred to this number of this repository.
    #[error("the issue was transferred to number {number} of repository {repository}")]
    Moved {
        /// Native id of the repository.
        repository: u64,
        /// Number there.
        number: u64,
    },
    /// A field has a value that the forge does not take.
    #[error("validation failed: {}.{} is {}", .0.resource, .0.field, .0.code)]
    Invalid(FieldError),
    /// The pull request is closed, a draft or merged already.
    #[error("the pull request is not mergeable")]
    NotMergeable,
    /// The head moved since the caller looked.
    #[error("the head of the pull request was modified")]
    HeadModified,
}
