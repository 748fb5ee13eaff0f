//! Canonical events from GitHub's objects.

use std::borrow::Cow;

use krate_model::kinds::sets::{EventAction, Interface};
use krate_model::kinds::shared::Version;
use krate_model::observation::{AccountObserved, CanonicalEvent, Normalized, Text};

use super::native::Str;
use crate::contract::marker;

/// GitHub's own kinds, as envelopes and links name them.
pub(super) mod kind {
    pub(in crate::github) const CHECK: &str = "check";
    pub(in crate::github) const CHECK_SUITE: &str = "check_suite";
    pub(in crate::github) const COMMIT: &str = "commit";
    pub(in crate::github) const INSTALLATION: &str = "installation";
    pub(in crate::github) const ISSUE: &str = "issue";
    pub(in crate::github) const ISSUE_COMMENT: &str = "issue_comment";
    pub(in crate::github) const LABEL: &str = "label";
    pub(in crate::github) const MILESTONE: &str = "milestone";
    /// What stands for a commit and a context: GitHub has no object for it.
    pub(in crate::github) const PIPELINE: &str = "pipeline";
    pub(in crate::github) const PULL_REQUEST: &str = "pull_request";
    pub(in crate::github) const REF: &str = "ref";
    pub(in crate::github) const REPOSITORY: &str = "repository";
    pub(in crate::github) const REVIEW: &str = "pull_request_review";
    pub(in crate::github) const REVIEW_COMMENT: &str = "pull_request_review_comment";
    pub(in crate::github) const STATUS: &str = "status";
    pub(in crate::github) const WORKFLOW_JOB: &str = "workflow_job";
    pub(in crate::github) const WORKFLOW_RUN: &str = "workflow_run";
}

/// What identifies an object, and at which version it is described.
pub(super) struct Identity<'a> {
    pub(super) kind: &'static str,
    pub(super) id: Text<'a>,
    pub(super) node_id: Option<Str<'a>>,
    pub(super) version: Version,
}

/// A whole object, as a read shows it: nothing is known to have happened.
pub(super) fn event<'a>(
    interface: Interface,
    identity: Identity<'a>,
    normalized: Normalized<'a>,
) -> CanonicalEvent<'a> {
    CanonicalEvent {
        ordinal: 0,
        interface,
        resource_kind: normalized.resource_kind(),
        native_kind: Cow::Borrowed(identity.kind),
        native_id: identity.id,
        node_id: identity.node_id.map(|id| id.0),
        action: EventAction::Updated,
        native_action: None,
        event_time: identity.version.updated_at,
        observed_version: identity.version,
        complete: true,
        actor: None,
        normalized,
    }
}

/// What happened to an object, and who did it.
pub(super) trait Because<'a> {
    fn because(self, action: EventAction, native_action: Option<Text<'a>>, actor: Option<AccountObserved<'a>>) -> Self;
    fn incomplete(self) -> Self;
}

impl<'a> Because<'a> for CanonicalEvent<'a> {
    fn because(
        mut self,
        action: EventAction,
        native_action: Option<Text<'a>>,
        actor: Option<AccountObserved<'a>>,
    ) -> Self {
        self.action = action;
        self.native_action = native_action;
        self.actor = actor;
        self
    }

    fn incomplete(mut self) -> Self {
        self.complete = false;
        self
    }
}

/// A body without krate's hidden key, and the key. GitHub makes no difference between an empty body and none.
pub(super) fn body(member: Option<Str<'_>>) -> (Option<Text<'_>>, Option<Text<'_>>) {
    let (body, key) = match member {
        None => return (None, None),
        Some(Str(Cow::Borrowed(text))) => {
            let (body, key) = marker::split(text);
            (Cow::Borrowed(body), key.map(Cow::Borrowed))
        }
        Some(Str(Cow::Owned(mut text))) => {
            let (body, key) = marker::split(&text);
            let (body_bytes, key) = (body.len(), key.map(|key| Cow::Owned(key.to_owned())));
            text.truncate(body_bytes);
            (Cow::Owned(text), key)
        }
    };
    ((!body.is_empty()).then_some(body), key)
}

/// krate's word for GitHub's `action`.
pub(super) fn action(event_type: &str, native: &str) -> EventAction {
    match (event_type, native) {
        ("milestone", "opened") => EventAction::Reopened,
        ("check_suite" | "workflow_run", "requested")
        | ("check_suite", "rerequested")
        | ("workflow_job", "queued" | "waiting") => EventAction::Queued,
        (_, "created" | "opened") => EventAction::Created,
        (_, "deleted") => EventAction::Deleted,
        (_, "closed") => EventAction::Closed,
        (_, "reopened") => EventAction::Reopened,
        (_, "transferred") => EventAction::Transferred,
        (_, "labeled") => EventAction::Labeled,
        (_, "unlabeled") => EventAction::Unlabeled,
        (_, "assigned") => EventAction::Assigned,
        (_, "unassigned") => EventAction::Unassigned,
        (_, "submitted") => EventAction::Submitted,
        (_, "dismissed") => EventAction::Dismissed,
        (_, "resolved") => EventAction::Resolved,
        (_, "in_progress") => EventAction::Started,
        (_, "completed") => EventAction::Completed,
        (_, "archived") => EventAction::Archived,
        (_, "renamed") => EventAction::Moved,
        (
            _,
            "edited"
            | "synchronize"
            | "pinned"
            | "unpinned"
            | "locked"
            | "unlocked"
            | "milestoned"
            | "demilestoned"
            | "typed"
            | "untyped"
            | "unresolved"
            | "unarchived"
            | "publicized"
            | "privatized"
            | "ready_for_review"
            | "converted_to_draft"
            | "review_requested"
            | "review_request_removed"
            | "auto_merge_enabled"
            | "auto_merge_disabled"
            | "enqueued"
            | "dequeued"
            | "suspend"
            | "unsuspend"
            | "new_permissions_accepted"
            | "added"
            | "removed",
        ) => EventAction::Updated,
        _ => EventAction::Other,
    }
}

#[cfg(test)]
mod tests {
    use krate_model::Digest;

    use super::*;

    #[test]
    fn s34_the_hidden_key_is_taken_off_borrowed_and_owned_bodies_alike() {
        let digest = Digest::of(b"request");
        let hidden = marker::append("text", &digest);
        for form in [Cow::Borrowed(hidden.as_str()), Cow::Owned(hidden.clone())] {
            let (body, key) = body(Some(Str(form)));
            assert_eq!((body.as_deref(), key.as_deref()), (Some("text"), Some(marker::key(&digest).as_str())));
        }
        assert_eq!(body(Some(Str(Cow::Borrowed("")))), (None, None));
        let only_key = marker::append("", &digest);
        assert_eq!(body(Some(Str(Cow::Borrowed(&only_key)))).0, None);
    }

    #[test]
    fn one_word_can_mean_another_thing_for_another_event() {
        assert_eq!(action("milestone", "opened"), EventAction::Reopened);
        assert_eq!(action("issues", "opened"), EventAction::Created);
        assert_eq!(action("workflow_run", "requested"), EventAction::Queued);
        assert_eq!(action("check_run", "requested_action"), EventAction::Other);
        assert_eq!(action("issues", "a word of next year"), EventAction::Other);
    }
}
