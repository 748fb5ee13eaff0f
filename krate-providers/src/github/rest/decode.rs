//! From an answer to an outcome.

use std::borrow::Cow;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use krate_model::kinds::external::Payload;
use krate_model::kinds::sets::{ErrorClass, Operation};
use krate_model::kinds::shared::Time;
use krate_model::observation::{CanonicalEvent, Text};

use super::super::decode::parse;
use super::super::forge::{Label, Repository};
use super::super::hooks::{Registered, Sent, Whole};
use super::super::native::{Named, names};
use super::super::work::{Comment, Issue, PullRequest, Subject};
use super::encode::{is_by_time, is_written_as_issue};
use super::failure::{self, header_text};
use super::page;
use crate::contract::{Call, Cursor, Decoded, Outcome, ProviderError};

const MAX_REQUEST_ID_BYTES: usize = 253;

pub(in crate::github) fn decode<'a>(call: &Call<'_>, response: &'a Response<Bytes>, received_at: Time) -> Decoded<'a> {
    let headers = response.headers();
    let request_id = header_text(headers, "x-github-request-id").filter(|id| id.len() <= MAX_REQUEST_ID_BYTES);
    let request_id = request_id.map(str::to_owned);
    let result = outcome(call, response, received_at).map_err(|error| error.request_id(request_id.clone()));
    Decoded { result, quota: failure::quota(headers, received_at), request_id }
}

fn outcome<'a>(
    call: &Call<'_>,
    response: &'a Response<Bytes>,
    received_at: Time,
) -> Result<Outcome<'a>, ProviderError> {
    let (status, headers) = (response.status(), response.headers());
    let is_write = call.operation.is_write();
    match status {
        StatusCode::NOT_MODIFIED => Ok(Outcome::NotModified),
        StatusCode::NO_CONTENT => Ok(Outcome::Done),
        // GitHub sends a renamed repository's readers on, and a transferred issue's. The new address may be on another host, and
        // is another repository's where the issue moved; the new name has to be configured, so that nothing is taken for gone.
        status if status.is_redirection() => {
            let why = format!("{status}: the repository or the object has moved; its new name has to be configured");
            Err(ProviderError::new(ErrorClass::Configuration, why).at("header Location"))
        }
        status if status.is_success() => {
            // What a success says but krate can't read may have been carried out all the same (S34).
            let unread = |error: ProviderError| if is_write { error.maybe_sent() } else { error };
            if !failure::is_json(headers) {
                return Err(unread(ProviderError::new(ErrorClass::Transient, "a success without GitHub's JSON")));
            }
            success(call, response).map_err(unread)
        }
        status => Err(failure::error(status, headers, response.body(), is_write, received_at)),
    }
}

fn success<'a>(call: &Call<'_>, response: &'a Response<Bytes>) -> Result<Outcome<'a>, ProviderError> {
    let body: &'a [u8] = response.body();
    let etag = header_text(response.headers(), header::ETAG.as_str());
    let objects: Vec<CanonicalEvent<'a>> = match call.operation {
        Operation::GetIssue | Operation::CreateIssue | Operation::UpdateIssue | Operation::CloseIssue => {
            return Ok(object(parse::<Issue<'_>>(body)?.event(None), etag));
        }
        Operation::GetRepository => return Ok(object(parse::<Repository<'_>>(body)?.event(None, None), etag)),
        Operation::UpdatePullRequest if written_as_issue(call) => {
            return Ok(object(parse::<Issue<'_>>(body)?.event(None), None));
        }
        Operation::GetPullRequest | Operation::CreatePullRequest | Operation::UpdatePullRequest => {
            return Ok(object(parse::<PullRequest<'_>>(body)?.event(None), etag));
        }
        Operation::CreateComment | Operation::UpdateComment => {
            return Ok(object(comment(call, parse::<Comment<'_>>(body)?), etag));
        }
        Operation::AddLabels | Operation::RemoveLabels => {
            return Ok(Outcome::Labels(names(Some(parse::<Vec<Named<'_>>>(body)?))));
        }
        Operation::MergePullRequest | Operation::DeleteComment => return Ok(Outcome::Done),
        Operation::ListHooks => {
            let hooks = parse::<Vec<Registered<'_>>>(body)?;
            return Ok(Outcome::Hooks(hooks.into_iter().map(Registered::hook).collect()));
        }
        Operation::ListHookDeliveries => {
            let lines = parse::<Vec<Sent<'_>>>(body)?.into_iter().filter_map(Sent::line).collect();
            return Ok(Outcome::Deliveries { lines, next: next(response)?, etag: etag.map(Cow::Borrowed) });
        }
        Operation::GetHookDelivery => {
            return Ok(Outcome::Delivery(Box::new(parse::<Whole<'_>>(body)?.delivery())));
        }
        // S8: pull requests among the issues are pull requests.
        Operation::ListIssues => parse::<Vec<Issue<'_>>>(body)?.into_iter().map(|issue| issue.event(None)).collect(),
        Operation::ListPullRequests => parse::<Vec<PullRequest<'_>>>(body)?
            .into_iter()
            .map(|pull_request| pull_request.event(None))
            .filter(|event| match (call.since, event.observed_version.updated_at) {
                (Some(since), Some(updated_at)) => updated_at >= since,
                _ => true,
            })
            .collect(),
        Operation::ListComments => {
            parse::<Vec<Comment<'_>>>(body)?.into_iter().map(|found| comment(call, found)).collect()
        }
        Operation::ListLabels => {
            parse::<Vec<Label<'_>>>(body)?.into_iter().map(|label| label.event(None, None)).collect()
        }
        _ => {
            let message = format!("GitHub has no operation {}", call.operation);
            return Err(ProviderError::new(ErrorClass::Unsupported, message));
        }
    };
    let next = next(response)?;
    let next = if is_by_time(call) { page::after(call, next, &objects) } else { next };
    // A page that was counted isn't of the usual size, so nobody could tell by its tag that no other one follows.
    let is_counted = call.cursor.is_some_and(|cursor| page::Counted::read(cursor).is_some());
    let etag: Option<Text<'a>> = etag.map(Cow::Borrowed).filter(|_| !is_counted);
    Ok(Outcome::Page { objects, next, etag, more: page::more(response.headers()) })
}

/// Where the list goes on.
fn next(response: &Response<Bytes>) -> Result<Option<Cursor>, ProviderError> {
    page::next(response.headers()).map_err(|why| ProviderError::new(ErrorClass::Decode, why).at("header Link"))
}

fn object<'a>(mut event: CanonicalEvent<'a>, etag: Option<&str>) -> Outcome<'a> {
    event.observed_version.etag = etag.map(str::to_owned);
    Outcome::Object(Box::new(event))
}

/// A comment; its addresses say what it stands on, and where they don't, the call does for its number.
fn comment<'a>(call: &Call<'_>, comment: Comment<'a>) -> CanonicalEvent<'a> {
    let subject = comment.subject().or_else(|| {
        let number = call.target.native_number?;
        Some(Subject { kind: krate_model::observation::ResourceKind::Issue, number, id: None })
    });
    comment.event(None, subject)
}

fn written_as_issue(call: &Call<'_>) -> bool {
    matches!(call.payload, Some(Payload::UpdatePullRequest(changes)) if is_written_as_issue(changes))
}
