//! The JSON API under `/api/v1`. Objects look as in the spec; a list looks as in Kubernetes; every error is `{"error": {code, message, hint?, …}}`.

mod decisions;
mod objects;
mod why;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use krate_model::Kind;
use krate_model::store::{CommitError, StoreError};
use krate_sync::driver::DriverError;
use krate_sync::records::RecordError;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use super::App;
use super::hooks::read;
use super::people::Caller;

/// The header that says for whom a request is made. Who may say so is decided before: by the token, or by being on this machine.
const USER_HEADER: &str = "krate-user";
/// The longest body of an API request.
const MAX_BODY_BYTES: usize = 1024 * 1024;

pub(crate) fn router(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/conflicts/{namespace}/{name}/resolve", post(decisions::resolve))
        .route("/approvals/{namespace}/{name}/decide", post(decisions::decide))
        .route("/deliveries/{namespace}/{name}/dispose", post(decisions::dispose))
        .route("/approvals/{namespace}/{name}/withdraw", post(decisions::withdraw))
        .route("/intents/{namespace}/{name}/cancel", post(decisions::cancel))
        .route("/bindings/{namespace}/{name}/backfill", post(decisions::backfill))
        .route("/why/{kind}/{namespace}/{name}", get(why::why))
        .route("/verify/{binding}", get(why::verify))
        .route("/forecast/{binding}", get(why::forecast))
        .route("/diff/{kind}/{namespace}/{name}", get(why::diff))
        .route("/{kind}", get(objects::list).post(objects::create))
        .route("/{kind}/{namespace}/{name}", get(objects::get).patch(objects::patch).delete(objects::delete))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(nothing_there)
        .layer(from_fn_with_state(Arc::clone(app), guard))
}

/// For a path that nothing is at.
pub(crate) async fn nothing_there() -> ApiError {
    ApiError::missing("there is nothing at this path")
}

/// For a path that is there, asked with a method that it doesn't have; which it has is in the header `Allow`.
pub(crate) async fn method_not_allowed() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "Method", "this path doesn't have this method")
}

/// Lets in who may use the API, and no more at a time than the limit.
async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let Ok(_permit) = app.permits.try_acquire() else { return ApiError::busy().into_response() };
    match admit(&app, request.headers()) {
        Ok(caller) => {
            let mut request = request;
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

fn admit(app: &App, headers: &HeaderMap) -> Result<Caller, ApiError> {
    if let Some(people) = &app.people {
        let caller = people.identify(app, headers)?;
        if headers.contains_key(USER_HEADER) && user(headers)? != caller.actor().name {
            return Err(ApiError::forbidden("the header Krate-User names somebody else than the token"));
        }
        return Ok(caller);
    }
    let Some(token) = &app.token else {
        // Without a token only this machine is let in. A page in a browser that reaches it under another name, or from another origin, isn't.
        return if is_local(headers) {
            Ok(Caller::anybody(user(headers)?))
        } else {
            Err(ApiError::forbidden("the API answers on its loopback address only"))
        };
    };
    let expected = app.secrets.token(token).map_err(|error| {
        tracing::error!("{error}");
        ApiError::unavailable("the API's token can't be read")
    })?;
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if given.is_some_and(|given| bool::from(given.ct_eq(&expected))) {
        return Ok(Caller::anybody(user(headers)?));
    }
    let error = ApiError::new(StatusCode::UNAUTHORIZED, "Unauthorized", "a token is needed");
    Err(error.hint("send the header Authorization: Bearer TOKEN; for krate's own commands set KRATE_TOKEN"))
}

fn is_local(headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .and_then(|host| host.parse::<http::uri::Authority>().ok());
    let local = host.is_some_and(|host| {
        let name = host.host().trim_matches(['[', ']']);
        name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    });
    local && !headers.contains_key(header::ORIGIN)
}

/// For whom the header says that it is asked.
fn user(headers: &HeaderMap) -> Result<String, ApiError> {
    let Some(user) = headers.get(USER_HEADER) else { return Ok("local".to_owned()) };
    let name =
        user.to_str().ok().filter(|name| !name.is_empty() && name.len() <= 253 && !name.contains(char::is_whitespace));
    let name =
        name.ok_or_else(|| ApiError::bad("the header Krate-User has to be a user's name, at most 253 characters"))?;
    Ok(name.to_owned())
}

/// The kind of a path, by name, plural or short name.
fn kind_of(text: &str) -> Result<Kind, ApiError> {
    Kind::lookup(text).ok_or_else(|| {
        ApiError::new(StatusCode::NOT_FOUND, "UnknownKind", format!("{text:?} is no kind"))
            .hint("`krate explain` lists the kinds")
    })
}

/// The body of a request, as JSON. Its content type has to say so: a form of a strange page can't.
async fn body_of(request: Request) -> Result<Value, ApiError> {
    let (parts, body) = request.into_parts();
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if !["application/json", "application/merge-patch+json"].contains(&kind.as_str()) {
        let message = format!("content type {kind:?} is not accepted; application/json is");
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "ContentType", message));
    }
    let body = read(body, MAX_BODY_BYTES).await?;
    let value = serde_json::from_slice(&body).map_err(|error| {
        ApiError::bad(format!("the body is no JSON: line {}, column {}", error.line(), error.column()))
    })?;
    Ok(value)
}

/// A body read as a `T`.
fn read_as<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(value)
        .map_err(|error| ApiError::bad(format!("{}: {}", error.path(), error.inner())))
}

/// An answer that is no.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    hint: Option<String>,
    failures: Option<Value>,
    retry: bool,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), hint: None, failures: None, retry: false }
    }

    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(crate) fn missing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "Conflict", message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Unavailable", message).retry()
    }

    pub(crate) fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Busy", "too many requests at a time; come again").retry()
    }

    /// With what to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With everything that is wrong.
    #[must_use]
    pub(crate) fn failures(mut self, failures: Value) -> Self {
        self.failures = Some(failures);
        self
    }

    /// With a time to come again.
    #[must_use]
    pub(crate) fn retry(mut self) -> Self {
        self.retry = true;
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some(hint) = self.hint {
            error["hint"] = hint.into();
        }
        if let Some(failures) = self.failures {
            error["failures"] = failures;
        }
        let mut response = (self.status, Json(json!({ "error": error }))).into_response();
        if self.retry {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!("the store: {error}");
        Self::unavailable(error.to_string())
    }
}

impl From<RecordError> for ApiError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Store(error) | RecordError::Commit(CommitError::Store(error)) => error.into(),
            RecordError::Commit(CommitError::Conflict { key, .. }) => {
                Self::conflict(format!("{key} was changed by somebody else, or is there already"))
            }
            RecordError::Commit(CommitError::Refused(refusal)) => Self::invalid(refusal.to_string()),
            other => {
                tracing::error!("{other}");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal", other.to_string())
            }
        }
    }
}

impl From<DriverError> for ApiError {
    fn from(error: DriverError) -> Self {
        match error {
            DriverError::NotFound { .. } => Self::missing(error.to_string()),
            DriverError::Record(error) => error.into(),
            DriverError::Approval(refusal) => Self::forbidden(refusal.to_string()),
            DriverError::Plan(error) => Self::invalid(error.to_string()),
            DriverError::NoReason { .. } => Self::invalid(error.to_string()),
            DriverError::Refused(refused) => Self::conflict(refused.to_string()),
            DriverError::Replaced { .. }
            | DriverError::NotDeadLettered { .. }
            | DriverError::NotUnsent { .. }
            | DriverError::Unusable { .. } => Self::conflict(error.to_string()),
            other => {
                tracing::error!("{other}");
                Self::unavailable(other.to_string())
            }
        }
    }
}
