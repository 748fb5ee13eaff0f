//! From a payload to canonical events (S12).
//!
//! | event types | read by |
//! | --- | --- |
//! | issues, comments, pull requests, reviews, threads | [`work`] |
//! | checks, statuses, workflow runs and jobs | [`ci`] |
//! | pushes, refs, repositories, labels, milestones, installations | [`forge`] |
//! | known, but without an object of krate | [`ignored`] |

mod ci;
mod forge;
mod ignored;
mod work;

use krate_model::observation::CanonicalEvent;

use super::event::{Because, action};
use super::native::{Str, User, account};
use crate::contract::{DecodeError, Ignored, Normalization};

type Events<'a> = Result<Vec<CanonicalEvent<'a>>, DecodeError>;

pub(super) fn normalize<'a>(event_type: &str, body: &'a [u8]) -> Result<Normalization<'a>, DecodeError> {
    let events = match event_type {
        "issues" => work::issues(body)?,
        "issue_comment" => work::issue_comment(body)?,
        "pull_request" => work::pull_request(body)?,
        "pull_request_review" => work::review(body)?,
        "pull_request_review_comment" => work::review_comment(body)?,
        "pull_request_review_thread" => work::review_thread(body)?,
        "check_run" => ci::check_run(body)?,
        "check_suite" => return ci::check_suite(body),
        "status" => ci::status(body)?,
        "workflow_job" => ci::workflow_job(body)?,
        "workflow_run" => ci::workflow_run(body)?,
        "push" => forge::push(body)?,
        "create" => return forge::reference("create", body),
        "delete" => return forge::reference("delete", body),
        "repository" | "public" => forge::repository(event_type, body)?,
        "label" => forge::label(body)?,
        "milestone" => forge::milestone(body)?,
        "installation" | "installation_repositories" => forge::installation(event_type, body)?,
        "ping" => return Ok(Normalization::Ignored(Ignored::Ping)),
        other => return Ok(Normalization::Ignored(ignored::by_name(other))),
    };
    Ok(Normalization::Events(numbered(events)))
}

/// What happened to one object: GitHub's action, and who did it.
fn happened<'a>(
    event_type: &str,
    native: Str<'a>,
    sender: Option<User<'a>>,
    event: CanonicalEvent<'a>,
) -> Vec<CanonicalEvent<'a>> {
    let what = action(event_type, &native.0);
    vec![event.because(what, Some(native.0), account(sender))]
}

/// Each event's ordinal is its place (S11).
fn numbered(mut events: Vec<CanonicalEvent<'_>>) -> Vec<CanonicalEvent<'_>> {
    for (ordinal, event) in (0u32..).zip(events.iter_mut()) {
        event.ordinal = ordinal;
    }
    events
}
