//! What persons decide: how a conflict ends (S27, S29), whether a write may go out (S32, R59), what becomes of a delivery that was given up or a write
//! that wasn't sent (R37), and that lists are read now (S26).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Path, Request, State};
use axum::{Extension, Json};
use krate_model::kinds::external::{
    Disposition, DispositionAct, ExternalSyncConflict, IntentCancel, Resolution, SeenVersions,
};
use krate_model::kinds::policy::{
    AgentApproval, AgentApprovalPhase, ApprovalDecision, ApprovalVerdict, WithdrawCommand,
};
use krate_model::kinds::sets::ResolutionStrategy;
use krate_model::kinds::shared::{MAX_VALUE_BYTES, Value as FieldText};
use krate_model::validate::credential_in;
use krate_model::{BACKFILL_REQUESTED, ClosedSet, Digest, Kind, Resource};
use krate_policy::admission::Change;
use krate_sync::driver::DriverError;
use krate_sync::records::{self, Loaded};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::objects::{load, load_for, may_write};
use super::{ApiError, body_of, read_as};
use crate::serve::App;
use crate::serve::people::Caller;
use crate::serve::ports::now;

/// Characters of a value that an error shows.
const MAX_SHOWN_CHARS: usize = 200;
/// Characters of a reason.
const MAX_REASON_CHARS: usize = 1024;

/// A decision about a conflict.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Resolve {
    strategy: ResolutionStrategy,
    /// The value itself, exactly with `manual`.
    #[serde(default, deserialize_with = "given")]
    value: Option<Value>,
    /// What the person looked at; the conflict's own versions when absent.
    seen_versions: Option<SeenVersions>,
    comment: Option<String>,
}

/// A value that is there, null included.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// `POST /api/v1/conflicts/{namespace}/{name}/resolve`.
pub(super) async fn resolve(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path((namespace, name)): Path<(String, String)>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let body = body_of(request).await?;
    let kind = Kind::ExternalSyncConflict;
    let old = load_for(&app, &caller, kind, &namespace, &name).await?;
    let asked: Resolve = read_as(body.clone())?;
    let new = with(&old, "resolution", body);
    may_write(&app, &caller, kind, Change::Update { old: &old, new: &new }).await?;
    plain("comment", asked.comment.as_deref().unwrap_or_default())?;
    let resolution = resolution(&app, &namespace, &name, asked).await?;
    match app.driver.resolve(&namespace, &name, resolution, &caller.actor()).await {
        Err(DriverError::Replaced { conflict, by }) => {
            let newer = load_for(&app, &caller, kind, &namespace, &by).await?;
            Err(ApiError::from(DriverError::Replaced { conflict, by }).hint(shown(&newer)).failures(newer))
        }
        done => {
            done?;
            Ok(Json(load(&app, kind, &namespace, &name).await?))
        }
    }
}

/// The values that a conflict is about now (S29).
fn shown(conflict: &Value) -> String {
    let value = |side: &str| match conflict.pointer(&format!("/spec/{side}/json")).and_then(Value::as_str) {
        Some(json) if json.chars().count() <= MAX_SHOWN_CHARS => json.to_owned(),
        Some(json) => format!("{}…", json.chars().take(MAX_SHOWN_CHARS).collect::<String>()),
        None => "a long value".to_owned(),
    };
    let name = conflict.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    format!("now {} stands here and {} there: krate resolve {name}", value("desired"), value("observed"))
}

/// A command about a delivery that was given up.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Dispose {
    act: DispositionAct,
    reason: String,
}

/// `POST /api/v1/deliveries/{namespace}/{name}/dispose`.
pub(super) async fn dispose(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path((namespace, name)): Path<(String, String)>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let kind = Kind::ExternalWebhookDelivery;
    let (asked, id) = commanded(&app, &caller, (kind, &namespace, &name), "disposition", request, |asked: &Dispose| {
        if !asked.act.is_known() {
            let accepted = DispositionAct::ACCEPTED.join(", ");
            return Err(ApiError::invalid(format!("act: {} is not one of {accepted}", asked.act)));
        }
        reasoned(&asked.reason)
    })
    .await?;
    app.driver.dispose(&namespace, &name, Disposition { id, act: asked.act, reason: asked.reason }).await?;
    Ok(Json(load(&app, kind, &namespace, &name).await?))
}

/// A command that a write isn't sent.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Cancel {
    reason: String,
}

/// `POST /api/v1/intents/{namespace}/{name}/cancel`.
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path((namespace, name)): Path<(String, String)>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let kind = Kind::ExternalWriteIntent;
    let judge = |asked: &Cancel| reasoned(&asked.reason);
    let (asked, id) = commanded(&app, &caller, (kind, &namespace, &name), "cancel", request, judge).await?;
    app.driver.cancel(&namespace, &name, IntentCancel { id, reason: Some(asked.reason) }).await?;
    Ok(Json(load(&app, kind, &namespace, &name).await?))
}

/// `POST /api/v1/bindings/{namespace}/{name}/backfill`.
pub(super) async fn backfill(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let kind = Kind::ExternalBackendBinding;
    let old = load_for(&app, &caller, kind, &namespace, &name).await?;
    let id = command_id(&caller);
    let mut new = old.clone();
    new["metadata"]["annotations"][BACKFILL_REQUESTED] = id.as_str().into();
    may_write(&app, &caller, kind, Change::Update { old: &old, new: &new }).await?;
    app.driver.command_backfill(&namespace, &name, &id).await?;
    Ok(Json(load(&app, kind, &namespace, &name).await?))
}

/// The command that a request holds, with the id that it gets, where `judge` lets it through and the caller may write it to that field of the spec.
async fn commanded<T: DeserializeOwned>(
    app: &App,
    caller: &Caller,
    (kind, namespace, name): (Kind, &str, &str),
    field: &str,
    request: Request,
    judge: impl Fn(&T) -> Result<(), ApiError>,
) -> Result<(T, String), ApiError> {
    let mut body = body_of(request).await?;
    let old = load_for(app, caller, kind, namespace, name).await?;
    let asked: T = read_as(body.clone())?;
    judge(&asked)?;
    let id = command_id(caller);
    body["id"] = id.as_str().into();
    let new = with(&old, field, body);
    may_write(app, caller, kind, Change::Update { old: &old, new: &new }).await?;
    Ok((asked, id))
}

/// Who commands when: no two commands have the same id (R37).
fn command_id(caller: &Caller) -> String {
    static COMMANDS: AtomicU64 = AtomicU64::new(0);
    let count = COMMANDS.fetch_add(1, Ordering::Relaxed);
    format!("{}-{}-{count}", caller.actor().name, now().timestamp_micros())
}

fn reasoned(reason: &str) -> Result<(), ApiError> {
    if reason.trim().is_empty() {
        return Err(ApiError::invalid(format!("reason: has to have 1 to {MAX_REASON_CHARS} characters")));
    }
    plain("reason", reason)
}

/// Refuses what no text of a person may hold: it is kept in records and the audit (R9, S47).
fn plain(field: &str, text: &str) -> Result<(), ApiError> {
    if text.chars().count() > MAX_REASON_CHARS {
        return Err(ApiError::invalid(format!("{field}: has to have 1 to {MAX_REASON_CHARS} characters")));
    }
    if text.chars().any(|char| char.is_control() && !matches!(char, '\n' | '\t')) {
        return Err(ApiError::invalid(format!("{field}: holds a control character")));
    }
    match credential_in(text) {
        Some(_) => Err(ApiError::invalid(format!("{field}: holds something shaped like a credential"))),
        None => Ok(()),
    }
}

async fn resolution(app: &App, namespace: &str, name: &str, asked: Resolve) -> Result<Resolution, ApiError> {
    if matches!(asked.strategy, ResolutionStrategy::Unknown(_)) {
        let accepted = ResolutionStrategy::ACCEPTED.join(", ");
        return Err(ApiError::invalid(format!("strategy: {} is not one of {accepted}", asked.strategy)));
    }
    if (asked.strategy == ResolutionStrategy::Manual) != asked.value.is_some() {
        return Err(ApiError::invalid("value is set exactly when strategy is manual (R53)"));
    }
    let value = asked.value.as_ref().map(|value| FieldText::of(Some(value), MAX_VALUE_BYTES)).transpose();
    let value = value.map_err(|error| ApiError::invalid(format!("value: {error}")))?;
    if value.as_ref().is_some_and(|value| value.json.is_none()) {
        return Err(ApiError::invalid(format!("value: longer than {MAX_VALUE_BYTES} bytes")));
    }
    let seen_versions = match asked.seen_versions {
        Some(seen) => seen,
        None => conflict(app, namespace, name).await?.object.spec.versions,
    };
    Ok(Resolution { strategy: asked.strategy, value, seen_versions, comment: asked.comment })
}

async fn conflict(app: &App, namespace: &str, name: &str) -> Result<Loaded<ExternalSyncConflict>, ApiError> {
    let found = records::get::<ExternalSyncConflict>(app.store.as_ref(), namespace, name).await?;
    found.ok_or_else(|| ApiError::missing(format!("ExternalSyncConflict {namespace}/{name} isn't there")))
}

async fn approval(app: &App, namespace: &str, name: &str) -> Result<Loaded<AgentApproval>, ApiError> {
    let found = records::get::<AgentApproval>(app.store.as_ref(), namespace, name).await?;
    found.ok_or_else(|| ApiError::missing(format!("AgentApproval {namespace}/{name} isn't there")))
}

/// An answer to an approval.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Decide {
    verdict: ApprovalVerdict,
    /// What the person looked at (R59).
    digest: Digest,
    reason: Option<String>,
}

/// `POST /api/v1/approvals/{namespace}/{name}/decide`.
pub(super) async fn decide(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path((namespace, name)): Path<(String, String)>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let body = body_of(request).await?;
    let old = load_for(&app, &caller, Kind::AgentApproval, &namespace, &name).await?;
    let asked: Decide = read_as(body.clone())?;
    plain("reason", asked.reason.as_deref().unwrap_or_default())?;
    let mut answer = body;
    // One answer of one person needs no id of its own here.
    answer["id"] = "api".into();
    let new = with(&old, "decide", answer);
    may_write(&app, &caller, Kind::AgentApproval, Change::Update { old: &old, new: &new }).await?;
    let by = caller.actor();
    let approval = approval(&app, &namespace, &name).await?;
    check(&approval.object, &asked)?;
    let decision = ApprovalDecision { by, at: now(), verdict: asked.verdict, reason: asked.reason };
    app.driver.decide(approval, decision).await?;
    Ok(Json(load(&app, Kind::AgentApproval, &namespace, &name).await?))
}

/// An answer that is taken back.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Withdraw {
    reason: String,
}

/// `POST /api/v1/approvals/{namespace}/{name}/withdraw`.
pub(super) async fn withdraw(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path((namespace, name)): Path<(String, String)>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let kind = Kind::AgentApproval;
    let judge = |asked: &Withdraw| reasoned(&asked.reason);
    let (asked, id) = commanded(&app, &caller, (kind, &namespace, &name), "withdraw", request, judge).await?;
    let approval = approval(&app, &namespace, &name).await?;
    let command = WithdrawCommand { id, reason: Some(asked.reason) };
    app.driver.withdraw(approval, command, &caller.actor()).await?;
    Ok(Json(load(&app, kind, &namespace, &name).await?))
}

/// The object with a command in its spec, as it is judged.
fn with(object: &Value, command: &str, value: Value) -> Value {
    let mut object = object.clone();
    object["spec"][command] = value;
    object
}

fn check(approval: &AgentApproval, asked: &Decide) -> Result<(), ApiError> {
    if approval.spec.digest != asked.digest {
        return Err(ApiError::conflict("digest: the approval is about something else than what was looked at (R59)"));
    }
    let status = approval.status();
    if status.is_some_and(|status| status.phase != AgentApprovalPhase::Pending) {
        return Err(ApiError::conflict(format!("the approval is {}, it can't be decided again", approval.phase())));
    }
    Ok(())
}
