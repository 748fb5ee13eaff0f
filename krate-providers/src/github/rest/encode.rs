//! From a call to a request.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH, USER_AGENT};
use http::{HeaderValue, Method, Request};
use krate_model::kinds::external::{Changes, Payload};
use krate_model::kinds::sets::Operation;
use krate_model::kinds::work::{IssueState, IssueStateReason};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use url::Url;

use super::super::manifest::{MAX_PAGE_SIZE, PROVIDER_TYPE};
use super::page;
use crate::contract::{Call, EncodeError, Endpoint, REPOSITORY_ID, marker};

const API_VERSION: &str = "2022-11-28";
const AGENT: &str = concat!("krate/", env!("CARGO_PKG_VERSION"));
const JSON: &str = "application/vnd.github+json";

/// What a request asks for, before it has an address and headers.
struct Ask {
    method: Method,
    path: Vec<String>,
    query: Vec<(String, String)>,
    body: Option<Value>,
}

impl Ask {
    fn new(method: Method, path: &[&str]) -> Self {
        Self { method, path: path.iter().map(|part| (*part).to_owned()).collect(), query: Vec::new(), body: None }
    }

    fn get(path: &[&str]) -> Self {
        Self::new(Method::GET, path)
    }

    fn with(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }
}

pub(in crate::github) fn encode(endpoint: &Endpoint<'_>, call: &Call<'_>) -> Result<Request<Bytes>, EncodeError> {
    let ask = ask(call)?;
    let url = address(endpoint.api_base, call, &ask)?;
    let mut request = Request::builder()
        .method(ask.method)
        .uri(url.as_str())
        .header(ACCEPT, JSON)
        .header(USER_AGENT, AGENT)
        .header("x-github-api-version", API_VERSION);
    if let Some(credential) = endpoint.credential {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", credential.token.expose_secret()))
            .map_err(|_| EncodeError::Credential)?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    // S25: an unchanged object costs nothing.
    if !call.operation.is_write()
        && let Some(etag) = call.known.and_then(|known| known.etag.as_deref())
    {
        let value =
            HeaderValue::from_str(etag).map_err(|_| unrepresentable(call, "known.etag", "it is no entity tag"))?;
        request = request.header(IF_NONE_MATCH, value);
    }
    let body = match ask.body {
        Some(body) => {
            request = request.header(CONTENT_TYPE, "application/json");
            Bytes::from(body.to_string())
        }
        None => Bytes::new(),
    };
    request.body(body).map_err(|error| EncodeError::Endpoint { why: error.to_string() })
}

fn unrepresentable(call: &Call<'_>, field: &str, why: &str) -> EncodeError {
    EncodeError::Unrepresentable { operation: call.operation.clone(), field: field.to_owned(), why: why.to_owned() }
}

fn missing(call: &Call<'_>, field: &'static str) -> EncodeError {
    EncodeError::Missing { operation: call.operation.clone(), field }
}

/// The base's own path stays in front: Enterprise Server has its API under `/api/v3`.
fn address(base: &Url, call: &Call<'_>, ask: &Ask) -> Result<Url, EncodeError> {
    let refused = |why: &str| EncodeError::Endpoint { why: why.to_owned() };
    if !matches!(base.scheme(), "https" | "http") || base.host_str().is_none() {
        return Err(refused("it is no http address"));
    }
    if !base.username().is_empty() || base.password().is_some() || base.query().is_some() || base.fragment().is_some() {
        return Err(refused("it has user info, a query or a fragment"));
    }
    let mut url = base.clone();
    // Where GitHub sends the readers of a renamed repository: an id names no other repository, whoever takes the name (S5).
    let repository = match call.target.container.get(REPOSITORY_ID) {
        Some(known) => vec!["repositories", digits(call, known, "target.container.repositoryId")?],
        None => vec![
            "repos",
            name(call, "owner", "target.container.owner")?,
            name(call, "repository", "target.container.repository")?,
        ],
    };
    url.path_segments_mut()
        .map_err(|()| refused("it can't have a path"))?
        .pop_if_empty()
        .extend(repository)
        .extend(&ask.path);
    if !ask.query.is_empty() {
        url.query_pairs_mut().extend_pairs(&ask.query);
    }
    Ok(url)
}

/// A name in a path. Only letters that GitHub allows: nothing can climb out of the repository.
fn name<'c>(call: &Call<'c>, key: &str, field: &'static str) -> Result<&'c str, EncodeError> {
    let value = call.target.container.get(key).ok_or_else(|| missing(call, field))?;
    let fits = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if value.is_empty() || value.len() > 100 || !fits || value == "." || value == ".." {
        return Err(unrepresentable(call, field, "letters, digits, '.', '_' and '-' are accepted, at most 100"));
    }
    Ok(value)
}

fn number(call: &Call<'_>) -> Result<String, EncodeError> {
    let number = call.target.native_number.filter(|number| *number > 0);
    number.map(|number| number.to_string()).ok_or_else(|| missing(call, "target.nativeNumber"))
}

fn id<'c>(call: &Call<'c>) -> Result<&'c str, EncodeError> {
    let id = call.target.native_id.as_deref().ok_or_else(|| missing(call, "target.nativeId"))?;
    digits(call, id, "target.nativeId")
}

fn digits<'c>(call: &Call<'c>, id: &'c str, field: &'static str) -> Result<&'c str, EncodeError> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(unrepresentable(call, field, "GitHub's ids are digits"));
    }
    Ok(id)
}

fn ask(call: &Call<'_>) -> Result<Ask, EncodeError> {
    if !call.operation.is_write() {
        return read(call);
    }
    let unsupported = || EncodeError::Unsupported { provider_type: PROVIDER_TYPE, operation: call.operation.clone() };
    if !is_supported_write(&call.operation) {
        return Err(unsupported());
    }
    // R52: the payload has the member that the operation is named after.
    let payload =
        call.payload.filter(|payload| payload.operation() == call.operation).ok_or_else(|| missing(call, "payload"))?;
    Ok(match payload {
        Payload::CreateIssue(new) => {
            let mut body = Map::new();
            body.insert("title".into(), json!(new.title));
            put_body(&mut body, call, new.body.as_deref());
            if !new.labels.is_empty() {
                body.insert("labels".into(), json!(new.labels));
            }
            if !new.assignees.is_empty() {
                body.insert("assignees".into(), json!(new.assignees));
            }
            if let Some(title) = &new.milestone {
                body.insert("milestone".into(), milestone(call, title)?);
            }
            Ask::new(Method::POST, &["issues"]).with(Value::Object(body))
        }
        Payload::UpdateIssue(changes) => {
            if changes.base.is_some() {
                return Err(unrepresentable(call, "payload.updateIssue.base", "an issue has no base branch"));
            }
            Ask::new(Method::PATCH, &["issues", &number(call)?]).with(changed(call, changes)?)
        }
        Payload::CloseIssue(close) => {
            let mut body = Map::new();
            body.insert("state".into(), json!("closed"));
            if let Some(reason) = &close.state_reason {
                body.insert("state_reason".into(), json!(state_reason(reason)));
            }
            Ask::new(Method::PATCH, &["issues", &number(call)?]).with(Value::Object(body))
        }
        Payload::CreateComment(text) => Ask::new(Method::POST, &["issues", &number(call)?, "comments"])
            .with(json!({"body": marked(call, &text.body)})),
        Payload::UpdateComment(text) => {
            Ask::new(Method::PATCH, &["issues", "comments", id(call)?]).with(json!({"body": marked(call, &text.body)}))
        }
        Payload::DeleteComment(_) => Ask::new(Method::DELETE, &["issues", "comments", id(call)?]),
        Payload::AddLabels(labels) => {
            Ask::new(Method::POST, &["issues", &number(call)?, "labels"]).with(json!({"labels": labels.labels}))
        }
        Payload::RemoveLabels(labels) => {
            let [label] = labels.labels.as_slice() else {
                return Err(unrepresentable(
                    call,
                    "payload.removeLabels.labels",
                    "GitHub removes exactly one label a request; several are written with updateIssue",
                ));
            };
            // A path can't hold these, however they are written.
            if label.is_empty() || label == "." || label == ".." {
                return Err(unrepresentable(call, "payload.removeLabels.labels[0]", "no address can name this label"));
            }
            Ask::new(Method::DELETE, &["issues", &number(call)?, "labels", label])
        }
        Payload::CreatePullRequest(new) => {
            let mut body = Map::new();
            body.insert("title".into(), json!(new.title));
            put_body(&mut body, call, new.body.as_deref());
            body.insert("head".into(), json!(new.head));
            body.insert("base".into(), json!(new.base));
            body.insert("draft".into(), json!(new.draft));
            Ask::new(Method::POST, &["pulls"]).with(Value::Object(body))
        }
        Payload::UpdatePullRequest(changes) => {
            if changes.state_reason.is_some() {
                let field = "payload.updatePullRequest.stateReason";
                return Err(unrepresentable(call, field, "a pull request has no reason of its state"));
            }
            let as_issue = is_written_as_issue(changes);
            if as_issue && changes.base.is_some() {
                let why = "GitHub takes the base and the labels, assignees or milestone in separate requests";
                return Err(unrepresentable(call, "payload.updatePullRequest.base", why));
            }
            let folder = if as_issue { "issues" } else { "pulls" };
            Ask::new(Method::PATCH, &[folder, &number(call)?]).with(changed(call, changes)?)
        }
        Payload::MergePullRequest(merge) => {
            if !matches!(merge.method.as_str(), "merge" | "squash" | "rebase") {
                let field = "payload.mergePullRequest.method";
                return Err(unrepresentable(call, field, "merge, squash and rebase are accepted"));
            }
            if merge.expected_head_sha.is_empty() {
                return Err(missing(call, "payload.mergePullRequest.expectedHeadSha"));
            }
            Ask::new(Method::PUT, &["pulls", &number(call)?, "merge"])
                .with(json!({"merge_method": merge.method, "sha": merge.expected_head_sha}))
        }
        _ => return Err(unsupported()),
    })
}

fn is_supported_write(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::CreateIssue
            | Operation::UpdateIssue
            | Operation::CloseIssue
            | Operation::CreateComment
            | Operation::UpdateComment
            | Operation::DeleteComment
            | Operation::AddLabels
            | Operation::RemoveLabels
            | Operation::CreatePullRequest
            | Operation::UpdatePullRequest
            | Operation::MergePullRequest
    )
}

/// Whether only the issue's address takes these changes of a pull request.
pub(super) fn is_written_as_issue(changes: &Changes) -> bool {
    changes.labels.is_some() || changes.assignees.is_some() || changes.milestone.is_some()
}

fn read(call: &Call<'_>) -> Result<Ask, EncodeError> {
    let by_update = [("sort", "updated"), ("direction", "asc")];
    let (ask, query): (Ask, Vec<(&str, &str)>) = match call.operation {
        Operation::GetRepository => return Ok(Ask::get(&[])),
        Operation::GetIssue => return Ok(Ask::get(&["issues", &number(call)?])),
        Operation::GetPullRequest => return Ok(Ask::get(&["pulls", &number(call)?])),
        Operation::ListHooks => {
            let mut ask = Ask::get(&["hooks"]);
            ask.query.push(("per_page".to_owned(), MAX_PAGE_SIZE.to_string()));
            return Ok(ask);
        }
        Operation::GetHookDelivery => return Ok(Ask::get(&["hooks", &number(call)?, "deliveries", id(call)?])),
        Operation::ListHookDeliveries => (Ask::get(&["hooks", &number(call)?, "deliveries"]), Vec::new()),
        Operation::ListIssues => (Ask::get(&["issues"]), [("state", "all")].into_iter().chain(by_update).collect()),
        Operation::ListPullRequests => {
            (Ask::get(&["pulls"]), [("state", "all"), ("sort", "created"), ("direction", "asc")].to_vec())
        }
        Operation::ListComments if call.target.native_number.is_some() => {
            (Ask::get(&["issues", &number(call)?, "comments"]), Vec::new())
        }
        Operation::ListComments => (Ask::get(&["issues", "comments"]), by_update.to_vec()),
        Operation::ListLabels => (Ask::get(&["labels"]), Vec::new()),
        _ => {
            let operation = call.operation.clone();
            return Err(EncodeError::Unsupported { provider_type: PROVIDER_TYPE, operation });
        }
    };
    let mut ask = ask;
    ask.query = query.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    // Pull requests and labels can't be asked for by time; decoding leaves out what is older.
    let by_time = matches!(call.operation, Operation::ListIssues | Operation::ListComments);
    let goes_on = call.cursor.and_then(page::since_of).is_some();
    if let Some(since) = call.since.filter(|_| by_time && !goes_on) {
        ask.query.push((page::SINCE.to_owned(), page::since_text(since)));
    }
    let counted = call.cursor.and_then(page::Counted::read).map(|counted| counted.window(call));
    let page_size = counted.map_or_else(|| page::page_size(call), |window| window.size);
    ask.query.push(("per_page".to_owned(), page_size.to_string()));
    if let Some(cursor) = call.cursor {
        let parameters =
            page::parameters(cursor).ok_or_else(|| unrepresentable(call, "cursor", "it is no cursor of this codec"))?;
        // What is krate's own of it isn't GitHub's business.
        ask.query.extend(parameters.into_iter().filter(|(name, _)| page::PAGING.contains(&name.as_str())));
        ask.query.extend(counted.map(|window| ("page".to_owned(), window.page.to_string())));
    }
    Ok(ask)
}

/// Whether the list is sorted by update time, and can be asked for from a time on.
pub(super) fn is_by_time(call: &Call<'_>) -> bool {
    match call.operation {
        Operation::ListIssues => true,
        Operation::ListComments => call.target.native_number.is_none(),
        _ => false,
    }
}

fn marked(call: &Call<'_>, body: &str) -> String {
    call.marker.map_or_else(|| body.to_owned(), |digest| marker::append(body, digest))
}

/// The body of a create: there is one when there is a text or a key to hide.
fn put_body(into: &mut Map<String, Value>, call: &Call<'_>, body: Option<&str>) {
    if body.is_some() || call.marker.is_some() {
        into.insert("body".into(), json!(marked(call, body.unwrap_or_default())));
    }
}

/// GitHub writes a milestone by its number.
fn milestone(call: &Call<'_>, text: &str) -> Result<Value, EncodeError> {
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let number: u32 =
        text.parse().map_err(|_| unrepresentable(call, "payload.milestone", "GitHub takes the milestone's number"))?;
    Ok(json!(number))
}

fn state_reason(reason: &IssueStateReason) -> String {
    reason.as_str().replace('-', "_")
}

fn changed(call: &Call<'_>, changes: &Changes) -> Result<Value, EncodeError> {
    let mut body = Map::new();
    if let Some(title) = &changes.title {
        body.insert("title".into(), json!(title));
    }
    if let Some(text) = &changes.body {
        body.insert("body".into(), json!(marked(call, text)));
    }
    if let Some(state) = &changes.state {
        if !matches!(state, IssueState::Open | IssueState::Closed) {
            return Err(unrepresentable(call, "payload.state", "open and closed are accepted"));
        }
        body.insert("state".into(), json!(state.as_str()));
    }
    if let Some(reason) = &changes.state_reason {
        body.insert("state_reason".into(), json!(state_reason(reason)));
    }
    if let Some(labels) = &changes.labels {
        body.insert("labels".into(), json!(labels));
    }
    if let Some(assignees) = &changes.assignees {
        body.insert("assignees".into(), json!(assignees));
    }
    if let Some(title) = &changes.milestone {
        body.insert("milestone".into(), milestone(call, title)?);
    }
    if let Some(base) = &changes.base {
        body.insert("base".into(), json!(base));
    }
    if body.is_empty() {
        return Err(missing(call, "payload: at least one change"));
    }
    Ok(Value::Object(body))
}
