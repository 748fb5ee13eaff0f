//! Issues, pull requests, reviews and comments, as payloads and answers show them.

use std::borrow::Cow;

use krate_model::ClosedSet;
use krate_model::kinds::sets::Interface;
use krate_model::kinds::work::{DiffSide, IssueState, IssueStateReason, MergeState, PullRequestState, Verdict};
use krate_model::observation::{
    CanonicalEvent, CommentObserved, IssueObserved, Normalized, PullRequestObserved, RepositoryIdentity, ResourceKind,
    ReviewObserved, Text,
};

use super::event::{Because, Identity, body, event, kind};
use super::native::{
    Id, Named, Repo, Str, Titled, User, When, account, accounts, is_dropped, names, native, set, text, version, when,
};
use super::object::from_object;

from_object!(PullRequestOfIssue RepoId Head Base Slug AutoMerge);

/// What an issue that is a pull request says about that (S8).
#[derive(Debug, serde::Deserialize)]
#[serde(remote = "Self")]
pub(super) struct PullRequestOfIssue<'a> {
    #[serde(borrow)]
    url: Option<Str<'a>>,
    #[serde(borrow)]
    html_url: Option<Str<'a>>,
    merged_at: Option<When>,
}

native! {
    /// An issue, or a pull request in the form that issues have.
    Issue {
        required {
            id: Id<'a> = "id",
            number: i64 = "number",
            title: Str<'a> = "title",
        }
        optional {
            state: Str<'a> = "state",
            node_id: Str<'a> = "node_id",
            html_url: Str<'a> = "html_url",
            url: Str<'a> = "url",
            body: Str<'a> = "body",
            state_reason: Str<'a> = "state_reason",
            labels: Vec<Named<'a>> = "labels",
            assignees: Vec<User<'a>> = "assignees",
            milestone: Titled<'a> = "milestone",
            user: User<'a> = "user",
            issue_type: Named<'a> = "type",
            locked: bool = "locked",
            comments: i64 = "comments",
            closed_by: User<'a> = "closed_by",
            closed_at: When = "closed_at",
            created_at: When = "created_at",
            updated_at: When = "updated_at",
            draft: bool = "draft",
            pull_request: PullRequestOfIssue<'a> = "pull_request",
        }
    }
}

impl<'a> Issue<'a> {
    /// Whether it is a pull request, which has its own projection (S8).
    pub(super) fn is_pull_request(&self) -> bool {
        self.pull_request.is_some()
    }

    /// The issue; or, for a pull request, what is known of its activity: never an issue then (S8).
    pub(super) fn event(self, repository: Option<RepositoryIdentity<'a>>) -> CanonicalEvent<'a> {
        if self.is_pull_request() { self.activity(repository) } else { self.issue(repository) }
    }

    fn issue(self, repository: Option<RepositoryIdentity<'a>>) -> CanonicalEvent<'a> {
        let updated_at = when(self.updated_at);
        let (body, marker) = body(self.body);
        let observed = IssueObserved {
            number: Some(self.number),
            url: text(self.html_url),
            api_url: text(self.url),
            repository,
            title: Some(self.title.0),
            body,
            marker,
            state: self.state.map(|state| IssueState::from_text(&state.0)),
            labels: names(self.labels),
            assignees: accounts(self.assignees),
            milestone: self.milestone.map(|milestone| milestone.title.0),
            author: account(self.user),
            state_reason: self.state_reason.map(|reason| state_reason(&reason.0)),
            issue_type: self.issue_type.map(|named| named.name.0),
            locked: self.locked,
            comment_count: self.comments,
            closed_by: account(self.closed_by),
            closed_at: when(self.closed_at),
            created_at: when(self.created_at),
            updated_at,
            fields: self.rest,
        };
        let identity =
            Identity { kind: kind::ISSUE, id: self.id.0, node_id: self.node_id, version: version(updated_at) };
        // Some payloads (pinning) leave the state out.
        let whole = observed.state.is_some();
        let event = event(Interface::IssueTracking, identity, Normalized::Issue(observed));
        if whole { event } else { event.incomplete() }
    }

    /// The issue's id is not the pull request's, so the event names only number and node id.
    fn activity(self, repository: Option<RepositoryIdentity<'a>>) -> CanonicalEvent<'a> {
        let updated_at = when(self.updated_at);
        let (body, marker) = body(self.body);
        let (url, api_url, merged_at) = match self.pull_request {
            Some(pull) => (text(pull.html_url), text(pull.url), when(pull.merged_at)),
            None => (None, None, None),
        };
        let observed = PullRequestObserved {
            number: Some(self.number),
            url,
            api_url,
            repository,
            title: Some(self.title.0),
            body,
            marker,
            state: self.state.map(|state| pull_request_state(&state.0, merged_at.is_some())),
            labels: names(self.labels),
            assignees: accounts(self.assignees),
            milestone: self.milestone.map(|milestone| milestone.title.0),
            author: account(self.user),
            draft: self.draft,
            locked: self.locked,
            merged_at,
            closed_at: when(self.closed_at),
            created_at: when(self.created_at),
            updated_at,
            ..PullRequestObserved::default()
        };
        let identity = Identity {
            kind: kind::PULL_REQUEST,
            id: Cow::Borrowed(""),
            node_id: self.node_id,
            version: version(updated_at),
        };
        event(Interface::GitForge, identity, Normalized::PullRequest(observed)).incomplete()
    }
}

fn state_reason(native: &str) -> IssueStateReason {
    match native {
        "not_planned" => IssueStateReason::NotPlanned,
        other => IssueStateReason::from_text(other),
    }
}

fn pull_request_state(native: &str, merged: bool) -> PullRequestState {
    if merged { PullRequestState::Merged } else { PullRequestState::from_text(native) }
}

/// A repository of which only the id matters.
#[derive(Debug, serde::Deserialize)]
#[serde(remote = "Self")]
struct RepoId<'a> {
    #[serde(borrow)]
    id: Id<'a>,
}

/// The branch that is proposed.
#[derive(Debug, serde::Deserialize)]
#[serde(remote = "Self")]
pub(super) struct Head<'a> {
    #[serde(borrow, rename = "ref")]
    name: Str<'a>,
    #[serde(borrow)]
    sha: Str<'a>,
    #[serde(borrow)]
    repo: Option<RepoId<'a>>,
}

/// The branch to merge into.
#[derive(Debug, serde::Deserialize)]
#[serde(remote = "Self")]
pub(super) struct Base<'a> {
    #[serde(borrow, rename = "ref")]
    name: Str<'a>,
    #[serde(borrow)]
    sha: Str<'a>,
    #[serde(borrow)]
    repo: Option<Repo<'a>>,
}

/// A team, by the slug that writes name.
#[derive(Debug, serde::Deserialize)]
#[serde(remote = "Self")]
pub(super) struct Slug<'a> {
    #[serde(borrow)]
    slug: Str<'a>,
}

/// An automatic merge.
#[derive(Debug, serde::Deserialize)]
#[serde(remote = "Self")]
pub(super) struct AutoMerge<'a> {
    #[serde(borrow)]
    merge_method: Option<Str<'a>>,
}

native! {
    /// A pull request.
    PullRequest {
        required {
            id: Id<'a> = "id",
            number: i64 = "number",
            title: Str<'a> = "title",
            state: Str<'a> = "state",
            head: Head<'a> = "head",
            base: Base<'a> = "base",
        }
        optional {
            node_id: Str<'a> = "node_id",
            html_url: Str<'a> = "html_url",
            url: Str<'a> = "url",
            body: Str<'a> = "body",
            labels: Vec<Named<'a>> = "labels",
            assignees: Vec<User<'a>> = "assignees",
            milestone: Titled<'a> = "milestone",
            user: User<'a> = "user",
            draft: bool = "draft",
            locked: bool = "locked",
            requested_reviewers: Vec<User<'a>> = "requested_reviewers",
            requested_teams: Vec<Slug<'a>> = "requested_teams",
            auto_merge: AutoMerge<'a> = "auto_merge",
            merged: bool = "merged",
            mergeable_state: Str<'a> = "mergeable_state",
            merge_commit_sha: Str<'a> = "merge_commit_sha",
            merged_by: User<'a> = "merged_by",
            merged_at: When = "merged_at",
            closed_at: When = "closed_at",
            changed_files: i64 = "changed_files",
            created_at: When = "created_at",
            updated_at: When = "updated_at",
        }
    }
}

impl<'a> PullRequest<'a> {
    pub(super) fn is_merged(&self) -> bool {
        self.merged.unwrap_or_else(|| when(self.merged_at).is_some())
    }

    pub(super) fn event(self, repository: Option<RepositoryIdentity<'a>>) -> CanonicalEvent<'a> {
        let merged = self.is_merged();
        let updated_at = when(self.updated_at);
        let (body, marker) = body(self.body);
        let head_repository_id = self.head.repo.map(|repo| repo.id.0);
        let base_repository = self.base.repo.map(Repo::identity);
        // P23: where the head's repository is gone, nobody knows whether it was a fork.
        let from_fork = match (&head_repository_id, &base_repository) {
            (Some(head), Some(base)) => Some(*head != base.id),
            _ => None,
        };
        let observed = PullRequestObserved {
            number: Some(self.number),
            url: text(self.html_url),
            api_url: text(self.url),
            repository: repository.or(base_repository),
            title: Some(self.title.0),
            body,
            marker,
            state: Some(pull_request_state(&self.state.0, merged)),
            labels: names(self.labels),
            assignees: accounts(self.assignees),
            milestone: self.milestone.map(|milestone| milestone.title.0),
            author: account(self.user),
            draft: self.draft,
            locked: self.locked,
            head_ref: Some(self.head.name.0),
            head_sha: Some(self.head.sha.0),
            head_repository_id,
            base_ref: Some(self.base.name.0),
            base_sha: Some(self.base.sha.0),
            from_fork,
            requested_reviewers: accounts(self.requested_reviewers),
            requested_teams: self.requested_teams.unwrap_or_default().into_iter().map(|team| team.slug.0).collect(),
            auto_merge_method: self.auto_merge.and_then(|auto| text(auto.merge_method)),
            merge_state: self.mergeable_state.map(|state| merge_state(&state.0)),
            merge_commit_sha: text(self.merge_commit_sha),
            merged_by: account(self.merged_by),
            merged_at: when(self.merged_at),
            closed_at: when(self.closed_at),
            changed_files: self.changed_files,
            created_at: when(self.created_at),
            updated_at,
            fields: self.rest,
        };
        let identity =
            Identity { kind: kind::PULL_REQUEST, id: self.id.0, node_id: self.node_id, version: version(updated_at) };
        event(Interface::GitForge, identity, Normalized::PullRequest(observed))
    }
}

native! {
    /// A review.
    Review {
        required {
            id: Id<'a> = "id",
            state: Str<'a> = "state",
        }
        optional {
            node_id: Str<'a> = "node_id",
            html_url: Str<'a> = "html_url",
            body: Str<'a> = "body",
            commit_id: Str<'a> = "commit_id",
            user: User<'a> = "user",
            submitted_at: When = "submitted_at",
            updated_at: When = "updated_at",
        }
    }
}

/// What a review or a comment stands on.
pub(super) struct Subject<'a> {
    pub(super) kind: ResourceKind,
    pub(super) number: i64,
    pub(super) id: Option<Text<'a>>,
}

impl<'a> Review<'a> {
    pub(super) fn event(self, repository: RepositoryIdentity<'a>, subject: Subject<'a>) -> CanonicalEvent<'a> {
        let submitted_at = when(self.submitted_at);
        let updated_at = when(self.updated_at).or(submitted_at);
        let (body, marker) = body(self.body);
        let observed = ReviewObserved {
            url: text(self.html_url),
            api_url: None,
            repository: Some(repository),
            pull_request_number: Some(subject.number),
            pull_request_id: subject.id,
            verdict: verdict(&self.state.0),
            body,
            marker,
            commit_sha: text(self.commit_id),
            author: account(self.user),
            submitted_at,
            updated_at,
            fields: self.rest,
        };
        let identity =
            Identity { kind: kind::REVIEW, id: self.id.0, node_id: self.node_id, version: version(updated_at) };
        event(Interface::GitForge, identity, Normalized::Review(observed))
    }
}

/// GitHub's `mergeable_state`, in krate's words: a draft can't be merged, and what only waits for hooks of the server can.
fn merge_state(native: &str) -> MergeState {
    match native {
        "clean" | "has_hooks" => MergeState::Clean,
        "blocked" | "draft" => MergeState::Blocked,
        "behind" => MergeState::Behind,
        "dirty" => MergeState::Dirty,
        "unstable" => MergeState::Unstable,
        _ => MergeState::Undetermined,
    }
}

/// What a review says; nothing while it is pending, or where GitHub has a word that krate doesn't know.
fn verdict(native: &str) -> Option<Verdict> {
    // Payloads write it in lower case, answers in upper case.
    let verdict = Verdict::from_text(&native.to_ascii_lowercase().replace('_', "-"));
    verdict.is_known().then_some(verdict)
}

native! {
    /// A comment: on an issue, on a pull request, or on a line of one.
    Comment {
        required {
            id: Id<'a> = "id",
            body: Str<'a> = "body",
        }
        optional {
            node_id: Str<'a> = "node_id",
            html_url: Str<'a> = "html_url",
            url: Str<'a> = "url",
            issue_url: Str<'a> = "issue_url",
            user: User<'a> = "user",
            review_id: Id<'a> = "pull_request_review_id",
            in_reply_to: Id<'a> = "in_reply_to_id",
            path: Str<'a> = "path",
            side: Str<'a> = "side",
            line: i64 = "line",
            start_line: i64 = "start_line",
            commit_id: Str<'a> = "commit_id",
            created_at: When = "created_at",
            updated_at: When = "updated_at",
        }
    }
}

impl<'a> Comment<'a> {
    /// What the comment stands on, by its own addresses: an answer names it nowhere else.
    pub(super) fn subject(&self) -> Option<Subject<'a>> {
        let number = self.issue_url.as_ref()?.0.rsplit('/').next()?.parse().ok()?;
        let on_pull_request = self.html_url.as_ref().is_some_and(|url| url.0.contains("/pull/"));
        let kind = if on_pull_request { ResourceKind::PullRequest } else { ResourceKind::Issue };
        Some(Subject { kind, number, id: None })
    }

    /// A comment in the conversation.
    pub(super) fn event(
        self,
        repository: Option<RepositoryIdentity<'a>>,
        subject: Option<Subject<'a>>,
    ) -> CanonicalEvent<'a> {
        self.any(kind::ISSUE_COMMENT, repository, subject, None)
    }

    /// A comment on a line; with `resolved` where its thread's state is known.
    pub(super) fn on_line(
        self,
        repository: RepositoryIdentity<'a>,
        subject: Subject<'a>,
        resolved: Option<bool>,
    ) -> CanonicalEvent<'a> {
        self.any(kind::REVIEW_COMMENT, Some(repository), Some(subject), resolved)
    }

    fn any(
        self,
        kind: &'static str,
        repository: Option<RepositoryIdentity<'a>>,
        subject: Option<Subject<'a>>,
        resolved: Option<bool>,
    ) -> CanonicalEvent<'a> {
        let updated_at = when(self.updated_at);
        let (body, marker) = body(Some(self.body));
        let (subject_kind, subject_number, subject_id) = match subject {
            Some(subject) => (Some(subject.kind), Some(subject.number), subject.id),
            None => (None, None, None),
        };
        let interface = match subject_kind {
            Some(ResourceKind::PullRequest) => Interface::GitForge,
            _ => Interface::IssueTracking,
        };
        let observed = CommentObserved {
            url: text(self.html_url),
            api_url: text(self.url),
            repository,
            subject_kind,
            subject_number,
            subject_id,
            review_id: self.review_id.map(|id| id.0),
            in_reply_to: self.in_reply_to.map(|id| id.0),
            body,
            marker,
            author: account(self.user),
            path: text(self.path),
            side: self.side.map(|side| DiffSide::from_text(&side.0.to_ascii_lowercase())),
            line: self.line,
            start_line: self.start_line,
            commit_sha: text(self.commit_id),
            resolved,
            minimized: None,
            created_at: when(self.created_at),
            updated_at,
            fields: self.rest,
        };
        let identity = Identity { kind, id: self.id.0, node_id: self.node_id, version: version(updated_at) };
        event(interface, identity, Normalized::Comment(observed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r8_every_word_of_githubs_is_one_of_krates() {
        for (native, ours) in [
            ("clean", "clean"),
            ("has_hooks", "clean"),
            ("draft", "blocked"),
            ("blocked", "blocked"),
            ("behind", "behind"),
            ("dirty", "dirty"),
            ("unstable", "unstable"),
            ("unknown", "unknown"),
            ("not-yet-invented", "unknown"),
        ] {
            assert_eq!(merge_state(native).as_str(), ours, "{native}");
            assert!(merge_state(native).is_known());
        }
        for (native, ours) in [
            ("approved", Some("approved")),
            ("CHANGES_REQUESTED", Some("changes-requested")),
            ("COMMENTED", Some("commented")),
            ("dismissed", Some("dismissed")),
            ("PENDING", None),
            ("not-yet-invented", None),
        ] {
            assert_eq!(verdict(native).as_ref().map(Verdict::as_str), ours, "{native}");
        }
    }
}
