//! Payloads about issues, pull requests, reviews and comments.

use krate_model::kinds::sets::EventAction;
use krate_model::observation::ResourceKind;
use serde::Deserialize;

use super::super::decode::parse;
use super::super::event::{Because, action};
use super::super::native::{Repo, Str, User, account};
use super::super::object::{from_object, payload};
use super::super::work::{Comment, Issue, PullRequest, Review, Subject};
use super::{Events, happened};

from_object!(Thread);

payload! { IssuesPayload { issue: Issue, } }

pub(super) fn issues(body: &[u8]) -> Events<'_> {
    let payload: IssuesPayload<'_> = parse(body)?;
    let event = payload.issue.event(Some(payload.repository.identity()));
    Ok(happened("issues", payload.action, payload.sender, event))
}

payload! { IssueCommentPayload { issue: Issue, comment: Comment, } }

/// First what the comment stands on, then the comment.
pub(super) fn issue_comment(body: &[u8]) -> Events<'_> {
    let payload: IssueCommentPayload<'_> = parse(body)?;
    let repository = payload.repository.identity();
    let actor = account(payload.sender);
    let subject = if payload.issue.is_pull_request() {
        // The issue's id is not the pull request's (S8).
        Subject { kind: ResourceKind::PullRequest, number: payload.issue.number, id: None }
    } else {
        Subject { kind: ResourceKind::Issue, number: payload.issue.number, id: Some(payload.issue.id.0.clone()) }
    };
    let what = action("issue_comment", &payload.action.0);
    let on = payload.issue.event(Some(repository.clone())).because(EventAction::Updated, None, actor.clone());
    let comment = payload.comment.event(Some(repository), Some(subject));
    Ok(vec![on, comment.because(what, Some(payload.action.0), actor)])
}

payload! { PullRequestPayload { pull_request: PullRequest, } }

pub(super) fn pull_request(body: &[u8]) -> Events<'_> {
    let payload: PullRequestPayload<'_> = parse(body)?;
    let what = match action("pull_request", &payload.action.0) {
        EventAction::Closed if payload.pull_request.is_merged() => EventAction::Merged,
        what => what,
    };
    let event = payload.pull_request.event(Some(payload.repository.identity()));
    Ok(vec![event.because(what, Some(payload.action.0), account(payload.sender))])
}

payload! { ReviewPayload { review: Review, pull_request: PullRequest, } }

fn subject<'a>(pull_request: &PullRequest<'a>) -> Subject<'a> {
    Subject { kind: ResourceKind::PullRequest, number: pull_request.number, id: Some(pull_request.id.0.clone()) }
}

/// First the pull request, whose requested reviewers a review changes, then the review.
pub(super) fn review(body: &[u8]) -> Events<'_> {
    let payload: ReviewPayload<'_> = parse(body)?;
    let repository = payload.repository.identity();
    let actor = account(payload.sender);
    let what = action("pull_request_review", &payload.action.0);
    let review = payload.review.event(repository.clone(), subject(&payload.pull_request));
    let on = payload.pull_request.event(Some(repository)).because(EventAction::Updated, None, actor.clone());
    Ok(vec![on, review.because(what, Some(payload.action.0), actor)])
}

payload! { ReviewCommentPayload { comment: Comment, pull_request: PullRequest, } }

pub(super) fn review_comment(body: &[u8]) -> Events<'_> {
    let payload: ReviewCommentPayload<'_> = parse(body)?;
    let repository = payload.repository.identity();
    let actor = account(payload.sender);
    let what = action("pull_request_review_comment", &payload.action.0);
    let comment = payload.comment.on_line(repository.clone(), subject(&payload.pull_request), None);
    let on = payload.pull_request.event(Some(repository)).because(EventAction::Updated, None, actor.clone());
    Ok(vec![on, comment.because(what, Some(payload.action.0), actor)])
}

#[derive(Deserialize)]
#[serde(remote = "Self")]
struct Thread<'a> {
    #[serde(borrow)]
    comments: Vec<Comment<'a>>,
}

payload! { ReviewThreadPayload { thread: Thread, pull_request: PullRequest, } }

/// The pull request, and every comment of the thread with whether it is resolved.
pub(super) fn review_thread(body: &[u8]) -> Events<'_> {
    let payload: ReviewThreadPayload<'_> = parse(body)?;
    let repository = payload.repository.identity();
    let actor = account(payload.sender);
    let what = action("pull_request_review_thread", &payload.action.0);
    let resolved = match &*payload.action.0 {
        "resolved" => Some(true),
        "unresolved" => Some(false),
        _ => None,
    };
    let comments: Vec<_> = payload
        .thread
        .comments
        .into_iter()
        .map(|comment| {
            comment.on_line(repository.clone(), subject(&payload.pull_request), resolved).because(
                what.clone(),
                Some(payload.action.0.clone()),
                actor.clone(),
            )
        })
        .collect();
    let on = payload.pull_request.event(Some(repository)).because(EventAction::Updated, None, actor);
    Ok(std::iter::once(on).chain(comments).collect())
}
