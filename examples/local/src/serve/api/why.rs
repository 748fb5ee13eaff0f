//! Why something is as it is, and where both sides differ, field by field.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use krate_model::Kind;
use krate_model::kinds::external::{BaseField, ExternalObjectLink, ExternalSyncConflict, ExternalSyncConflictPhase};
use krate_model::kinds::sets::Mode;
use krate_model::kinds::shared::{MAX_VALUE_BYTES, Value as FieldText};
use krate_model::store::{Index, Query};
use krate_sync::driver::{Forecast, Verification};
use krate_sync::local::{Local, spec_fields};
use krate_sync::merge::FieldRule;
use krate_sync::records::{self, Loaded};
use serde_json::{Value, json};

use super::objects::{load_for, to_local};
use super::{ApiError, kind_of};
use crate::serve::App;
use crate::serve::people::Caller;

/// What refers to one local object and tells the two sides apart.
struct Around {
    link: Option<Loaded<ExternalObjectLink>>,
    conflicts: Vec<Loaded<ExternalSyncConflict>>,
}

impl Around {
    async fn load(app: &App, kind: Kind, namespace: &str, name: &str) -> Result<Self, ApiError> {
        let store = app.store.as_ref();
        let local = format!("{kind}/{name}");
        let of = |kind| Query::new(kind).in_namespace(namespace).with(Index::Local, local.as_str());
        let mut conflicts = records::list::<ExternalSyncConflict>(store, of(Kind::ExternalSyncConflict)).await?;
        conflicts.retain(|conflict| is_open(&conflict.object));
        Ok(Self { link: records::list(store, of(Kind::ExternalObjectLink)).await?.pop(), conflicts })
    }
}

fn is_open(conflict: &ExternalSyncConflict) -> bool {
    let phase = conflict.status.as_ref().map(|status| &status.phase);
    matches!(phase, None | Some(ExternalSyncConflictPhase::Open | ExternalSyncConflictPhase::Resolving))
}

/// The namespace of the binding, for who may read it. Where nobody is told apart, names are looked up without their namespace.
async fn of_binding(app: &App, caller: &Caller, binding: &str) -> Result<String, ApiError> {
    if let Some(judge) = caller.judge(app).await? {
        load_for(app, caller, Kind::ExternalBackendBinding, judge.namespace(), binding).await?;
        return Ok(judge.namespace().to_owned());
    }
    let config = app.driver.config().await?;
    let found = config.scopes().find(|scope| scope.binding_name() == binding);
    let missing = || ApiError::missing(format!("ExternalBackendBinding {binding} isn't there, or may not be used"));
    found.map(|scope| scope.namespace().to_owned()).ok_or_else(missing)
}

/// `GET /api/v1/verify/{binding}`: what the binding's projections and its provider differ in. Asks the provider, and changes nothing.
pub(super) async fn verify(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(binding): Path<String>,
) -> Result<Json<Verification>, ApiError> {
    let namespace = of_binding(&app, &caller, &binding).await?;
    Ok(Json(Box::pin(app.driver.verify(&namespace, &binding)).await?))
}

/// `GET /api/v1/forecast/{binding}`: what reading the binding's lists will cost, and when it is done.
pub(super) async fn forecast(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(binding): Path<String>,
) -> Result<Json<Forecast>, ApiError> {
    let namespace = of_binding(&app, &caller, &binding).await?;
    Ok(Json(Box::pin(app.driver.forecast(&namespace, &binding)).await?))
}

/// `GET /api/v1/why/{kind}/{namespace}/{name}`: what led to it, and what happens next.
pub(super) async fn why(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path((kind, namespace, name)): Path<(String, String, String)>,
) -> Result<Json<Value>, ApiError> {
    let kind = kind_of(&kind)?;
    let found = load_for(&app, &caller, kind, &namespace, &name).await?;
    let why = Box::pin(app.driver.why(kind, &namespace, &name)).await?;
    let mut why = serde_json::to_value(&why).map_err(|error| ApiError::invalid(error.to_string()))?;
    let status = |pointer: &str| found.pointer(pointer).cloned().unwrap_or_default();
    why["object"] = json!({
        "kind": kind.as_str(), "namespace": namespace, "name": name, "phase": status("/status/phase"),
        "generation": status("/metadata/generation"), "conditions": status("/status/conditions"), "error": status("/status/error"),
    });
    Ok(Json(why))
}

/// `GET /api/v1/diff/{kind}/{namespace}/{name}`.
pub(super) async fn diff(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path((kind, namespace, name)): Path<(String, String, String)>,
) -> Result<Json<Value>, ApiError> {
    let kind = kind_of(&kind)?;
    let local = to_local(kind, load_for(&app, &caller, kind, &namespace, &name).await?)?;
    let around = Around::load(&app, kind, &namespace, &name).await?;
    let base = around.link.as_ref().and_then(|link| link.object.status.as_ref()).map(|status| status.base.as_slice());
    let fields = spec_fields(kind)
        .map(|field| {
            let rule = FieldRule::of(field, Mode::Bidirectional);
            let conflict = around.conflicts.iter().find(|conflict| conflict.object.spec.field_path == field.path);
            field_json(&local, &rule, base, conflict.map(|conflict| &conflict.object))
        })
        .collect::<Result<Vec<Value>, ApiError>>()?;
    let differs = fields.iter().any(|field| field["state"] != "inSync");
    Ok(Json(
        json!({"kind": kind.as_str(), "namespace": namespace, "name": name, "linked": around.link.is_some(), "differs": differs, "fields": fields}),
    ))
}

fn field_json(
    local: &Local,
    rule: &FieldRule<'_>,
    base: Option<&[BaseField]>,
    conflict: Option<&ExternalSyncConflict>,
) -> Result<Value, ApiError> {
    let value = local.get(&rule.path);
    let desired = value.to_base(rule, MAX_VALUE_BYTES).map_err(|error| ApiError::invalid(error.to_string()))?;
    let base = base.and_then(|fields| fields.iter().find(|field| *rule.path == *field.path)).map(|field| &field.value);
    let state = match (conflict, base) {
        (Some(_), _) => "conflict",
        (None, Some(base)) if base.digest == desired.digest && base.absent == desired.absent => "inSync",
        // Nothing was ever agreed on a field that neither side has.
        (None, None) if value.is_empty() => "inSync",
        (None, _) => "changedHere",
    };
    Ok(json!({
        "path": rule.path, "state": state,
        "base": base.map(shown), "desired": value.to_json(),
        "observed": conflict.map(|conflict| shown(&conflict.spec.observed)).or(base.map(shown)),
        "conflict": conflict.map(krate_model::Resource::name),
    }))
}

/// A kept value: itself, or its digest where only that was kept.
fn shown(value: &FieldText) -> Value {
    match value.to_json() {
        None if !value.absent => json!({"digest": value.digest, "bytes": value.bytes}),
        json => json.unwrap_or_default(),
    }
}
