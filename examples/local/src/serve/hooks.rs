//! The webhook endpoint, and what tells whether the process is well.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use krate_providers::contract::{BodyError, HeadError};
use krate_sync::driver::DriverError;
use krate_sync::ingest::{AcceptError, Accepted};
use serde_json::json;

use super::App;
use super::api::ApiError;

/// How long a sender may take for its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of a body that is too long is still read, so that the sender reads the answer and not a broken connection.
const DRAINED_BYTES: usize = 8 * 1024 * 1024;

/// A body that wasn't read whole.
pub(crate) enum Unread {
    TooLong { max_bytes: usize },
    TooSlow,
    Broken,
}

/// Reads a body up to a limit.
pub(crate) async fn read(body: Body, max_bytes: usize) -> Result<Bytes, Unread> {
    tokio::time::timeout(BODY_TIMEOUT, read_all(body, max_bytes)).await.unwrap_or(Err(Unread::TooSlow))
}

async fn read_all(body: Body, max_bytes: usize) -> Result<Bytes, Unread> {
    let mut stream = body.into_data_stream();
    let mut kept = BytesMut::new();
    let mut seen = 0_usize;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| Unread::Broken)?;
        seen = seen.saturating_add(chunk.len());
        if seen <= max_bytes {
            kept.extend_from_slice(&chunk);
        } else {
            kept = BytesMut::new();
            if seen > max_bytes.saturating_add(DRAINED_BYTES) {
                break;
            }
        }
    }
    if seen > max_bytes { Err(Unread::TooLong { max_bytes }) } else { Ok(kept.freeze()) }
}

impl From<Unread> for ApiError {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::TooLong { max_bytes } => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "TooLarge",
                format!("the body is longer than {max_bytes} bytes"),
            ),
            Unread::TooSlow => Self::new(StatusCode::REQUEST_TIMEOUT, "TooSlow", "the body didn't come in time"),
            Unread::Broken => Self::new(StatusCode::BAD_REQUEST, "Body", "the body was cut off"),
        }
    }
}

/// `POST /webhooks/{provider}`.
pub(crate) async fn webhook(State(app): State<Arc<App>>, Path(provider): Path<String>, request: Request) -> Response {
    let begin = Instant::now();
    let (parts, body) = request.into_parts();
    let answer = match take(&app, &provider, &parts.headers, body).await {
        Ok(accepted) => {
            let (status, outcome) =
                if accepted.duplicate { (StatusCode::OK, "duplicate") } else { (StatusCode::ACCEPTED, "accepted") };
            app.metrics.delivery(outcome, "");
            (status, Json(json!({"delivery": accepted.name, "duplicate": accepted.duplicate}))).into_response()
        }
        Err((reason, error)) => {
            app.metrics.delivery("rejected", reason);
            tracing::info!(provider, reason, status = error.status().as_u16(), "delivery rejected: {error}");
            error.into_response()
        }
    };
    app.metrics.answered(begin.elapsed());
    answer
}

async fn take(
    app: &App,
    provider: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Accepted, (&'static str, ApiError)> {
    let _permit = app.permits.try_acquire().map_err(|_| ("busy", ApiError::busy()))?;
    let config = app.config();
    let Some(backend) = config.backend(provider) else {
        let error = ApiError::new(StatusCode::NOT_FOUND, "UnknownProvider", "there is no provider of this name")
            .hint("the path ends with the name of an ExternalBackendProvider");
        return Err(("unknown-provider", error));
    };
    let own = backend.object.spec.webhook.as_ref().and_then(|webhook| usize::try_from(webhook.max_body_bytes).ok());
    let max_bytes = own.unwrap_or(usize::MAX).min(app.limits.max_body_bytes);
    let body = read(body, max_bytes).await.map_err(|unread| match unread {
        Unread::TooLong { .. } => ("too-large", unread.into()),
        other => ("body", ApiError::from(other)),
    })?;
    match app.driver.accept(&config, provider, headers, &body).await {
        Ok(Ok(accepted)) => Ok(accepted),
        Ok(Err(error)) => Err((reason(&error), refused(&error))),
        Err(error @ DriverError::Secret(_)) => {
            // The sender has to come again; the reference is for the log, not for strangers.
            tracing::error!(provider, "{error}");
            Err(("secret", ApiError::unavailable("the webhook's secret can't be read")))
        }
        Err(error) => Err(("store", error.into())),
    }
}

fn reason(error: &AcceptError) -> &'static str {
    match error {
        AcceptError::Body(BodyError::TooLong { .. }) => "too-large",
        AcceptError::Body(_) => "body",
        AcceptError::Signature(_) => "signature",
        AcceptError::Head(HeadError::ContentType { .. }) => "content-type",
        AcceptError::Head(_) => "header",
        _ => "store",
    }
}

fn refused(error: &AcceptError) -> ApiError {
    let status = error.status();
    let code = match reason(error) {
        "too-large" => "TooLarge",
        "body" => "Body",
        "signature" => "Signature",
        "header" => "Header",
        "content-type" => "ContentType",
        _ => return store_down(error),
    };
    let refused = ApiError::new(status, code, error.to_string());
    if status == StatusCode::SERVICE_UNAVAILABLE { refused.retry() } else { refused }
}

fn store_down(error: &AcceptError) -> ApiError {
    tracing::error!("a delivery could not be stored: {error}");
    ApiError::unavailable("the delivery could not be stored; send it again")
}

/// `GET /healthz`: the process answers.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the store can be read, the worker runs, and the process isn't about to end.
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let store = app.store.revision().await.is_ok();
    let worker = app.is_working();
    let stays = !app.is_stopping();
    let status = if store && worker && stays { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = |well: bool| if well { "ok" } else { "down" };
    (status, Json(json!({"store": word(store), "worker": word(worker), "process": word(stays)}))).into_response()
}

/// `GET /metrics`.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    app.measure().await;
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], app.metrics.text(&app.counters())).into_response()
}
