//! Answers and failures in GitHub's form.

use std::fmt::Write as _;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::{CONTENT_TYPE, DATE, ETAG, LAST_MODIFIED, LINK, LOCATION, RETRY_AFTER, SERVER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use sha2::{Digest, Sha256};

use crate::simulator::effects::{FieldError, Refusal};
use crate::simulator::json::{list, object};
use crate::simulator::limits::Usage;

const DOCUMENTATION: &str = "https://docs.github.com/rest";

/// What a request led to, before the headers that every answer has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: String,
    pub(super) modified: Option<DateTime<Utc>>,
    pub(super) link: Option<String>,
    pub(super) location: Option<String>,
    pub(super) retry_after: Option<u32>,
}

impl Answer {
    pub(super) fn new(status: StatusCode, body: String) -> Self {
        Self { status, body, modified: None, link: None, location: None, retry_after: None }
    }

    pub(super) fn ok(body: String) -> Self {
        Self::new(StatusCode::OK, body)
    }

    pub(super) fn modified(mut self, at: DateTime<Utc>) -> Self {
        self.modified = Some(at);
        self
    }

    pub(super) fn link(mut self, link: Option<String>) -> Self {
        self.link = link;
        self
    }

    pub(super) fn location(mut self, location: String) -> Self {
        self.location = Some(location);
        self
    }

    /// The validator of this answer: a digest of what it says, so it changes when and only when that does.
    pub(super) fn etag(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(&self.body);
        hash.update(self.link.as_deref().unwrap_or_default());
        let mut tag = String::with_capacity(68);
        tag.push_str("W/\"");
        for byte in hash.finalize() {
            let _ = write!(tag, "{byte:02x}");
        }
        tag.push('"');
        tag
    }
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    BadCredentials,
    RequiresAuthentication,
    Forbidden,
    NotFound,
    LabelMissing,
    Gone,
    /// Moved for good; a request that is not a read has to be repeated as it is (307).
    Moved {
        location: String,
        read: bool,
    },
    Malformed,
    NotAnObject,
    /// The body does not fit the schema: what and where.
    Schema(String),
    Invalid(Vec<FieldError>),
    NotMergeable,
    HeadModified,
    Exhausted {
        status: StatusCode,
        login: Option<String>,
    },
    Secondary {
        retry_after: u32,
    },
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Gone => Self::Gone,
            // The router answers moved issues before an operation runs.
            Refusal::NotFound { .. } | Refusal::Moved { .. } => Self::NotFound,
            Refusal::Invalid(error) => Self::Invalid(vec![error]),
            Refusal::NotMergeable => Self::NotMergeable,
            Refusal::HeadModified => Self::HeadModified,
        }
    }
}

impl Failure {
    pub(super) fn into_answer(self) -> Answer {
        let (status, message) = match &self {
            Self::BadCredentials => (StatusCode::UNAUTHORIZED, "Bad credentials".to_owned()),
            Self::RequiresAuthentication => (StatusCode::UNAUTHORIZED, "Requires authentication".to_owned()),
            Self::Forbidden => (StatusCode::FORBIDDEN, "Resource not accessible by personal access token".to_owned()),
            Self::NotFound => (StatusCode::NOT_FOUND, "Not Found".to_owned()),
            Self::LabelMissing => (StatusCode::NOT_FOUND, "Label does not exist".to_owned()),
            Self::Gone => (StatusCode::GONE, "This issue was deleted".to_owned()),
            Self::Moved { read: true, .. } => (StatusCode::MOVED_PERMANENTLY, "Moved Permanently".to_owned()),
            Self::Moved { read: false, .. } => (StatusCode::TEMPORARY_REDIRECT, "Temporary Redirect".to_owned()),
            Self::Malformed => (StatusCode::BAD_REQUEST, "Problems parsing JSON".to_owned()),
            Self::NotAnObject => (StatusCode::BAD_REQUEST, "Body should be a JSON object".to_owned()),
            Self::Schema(what) => (StatusCode::UNPROCESSABLE_ENTITY, format!("Invalid request.\n\n{what}")),
            Self::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "Validation Failed".to_owned()),
            Self::NotMergeable => (StatusCode::METHOD_NOT_ALLOWED, "Pull Request is not mergeable".to_owned()),
            Self::HeadModified => (
                StatusCode::CONFLICT,
                "Head branch was modified. Review and try the merge again.".to_owned(),
            ),
            Self::Exhausted { status, login } => (*status, exhausted(login.as_deref())),
            Self::Secondary { .. } => (
                StatusCode::FORBIDDEN,
                "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. If you reach out to \
                 GitHub Support for help, please include the request ID."
                    .to_owned(),
            ),
        };
        let mut body = String::new();
        object(&mut body, |o| {
            o.text("message", &message);
            if let Self::Moved { location, .. } = &self {
                o.text("url", location);
            }
            if let Self::Invalid(errors) = &self {
                o.list("errors", errors, |out, error| {
                    object(out, |o| {
                        if let Some(value) = &error.value {
                            o.text("value", value);
                        }
                        o.text("resource", error.resource);
                        o.text("field", error.field);
                        o.text("code", error.code);
                        if let Some(message) = &error.message {
                            o.text("message", message);
                        }
                    });
                });
            }
            o.text("documentation_url", DOCUMENTATION);
            o.text("status", status.as_str());
        });
        let mut answer = Answer::new(status, body);
        match self {
            Self::Moved { location, .. } => answer.location = Some(location),
            Self::Secondary { retry_after } => answer.retry_after = Some(retry_after),
            _ => {}
        }
        answer
    }
}

fn exhausted(login: Option<&str>) -> String {
    match login {
        Some(login) => format!(
            "API rate limit exceeded for {login}. If you reach out to GitHub Support for help, please include the request ID."
        ),
        None => "API rate limit exceeded for an unauthenticated caller. (But here's the good news: Authenticated requests get a \
                 higher rate limit. Check out the documentation for more details.)"
            .to_owned(),
    }
}

/// The response with everything that a GitHub answer carries.
pub(super) fn respond(
    answer: Answer,
    etag: Option<String>,
    usage: Option<&Usage>,
    request_id: &str,
    now: DateTime<Utc>,
) -> Response<Bytes> {
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(SERVER, "github.com");
    set(DATE, &http_date(now));
    if !answer.body.is_empty() {
        set(CONTENT_TYPE, "application/json; charset=utf-8");
    }
    if let Some(etag) = etag {
        set(ETAG, &etag);
    }
    if let Some(modified) = answer.modified {
        set(LAST_MODIFIED, &http_date(modified));
    }
    if let Some(link) = &answer.link {
        set(LINK, link);
    }
    if let Some(location) = &answer.location {
        set(LOCATION, location);
    }
    if let Some(seconds) = answer.retry_after {
        set(RETRY_AFTER, &seconds.to_string());
    }
    set(HeaderName::from_static("x-github-media-type"), "github.v3; format=json");
    set(HeaderName::from_static("x-github-request-id"), request_id);
    if let Some(usage) = usage {
        set(HeaderName::from_static("x-ratelimit-limit"), &usage.limit.to_string());
        set(HeaderName::from_static("x-ratelimit-remaining"), &usage.remaining().to_string());
        set(HeaderName::from_static("x-ratelimit-used"), &usage.used.to_string());
        set(HeaderName::from_static("x-ratelimit-reset"), &usage.reset.timestamp().to_string());
        set(HeaderName::from_static("x-ratelimit-resource"), "core");
    }
    let mut response = Response::new(Bytes::from(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = headers;
    response
}

/// Array of objects, as most lists are.
pub(super) fn array<T>(
    items: impl IntoIterator<Item = T>,
    mut members: impl FnMut(&mut crate::simulator::json::Object<'_>, T),
) -> String {
    let mut body = String::new();
    list(&mut body, items, |out, item| object(out, |o| members(o, item)));
    body
}

fn http_date(at: DateTime<Utc>) -> String {
    at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
