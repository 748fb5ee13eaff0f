//! Why an object is as it is: its link, conflicts, pending writes and the newest audit events; and where both sides differ, field by field.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use krate_model::audit::AuditEventSpec;
use krate_model::kinds::external::{
    BaseField, ExternalObjectLink, ExternalSyncConflict, ExternalSyncConflictPhase, ExternalWriteIntent,
};
use krate_model::kinds::sets::Mode;
use krate_model::kinds::shared::{MAX_VALUE_BYTES, Value as FieldText};
use krate_model::store::{Index, Query};
use krate_model::{Kind, Resource};
use krate_sync::driver::{Forecast, Verification};
use krate_sync::local::{Local, spec_fields};
use krate_sync::machines::{Due, Policy, intent};
use krate_sync::merge::FieldRule;
use krate_sync::records::{self, Loaded};
use serde_json::{Value, json};

use super::objects::{load, object, to_local};
use super::{ApiError, kind_of};
use crate::serve::App;
use crate::serve::ports::now;

/// The audit events of an answer.
const NEWEST: usize = 20;

/// Everything that refers to one local object.
struct Around {
    link: Option<Loaded<ExternalObjectLink>>,
    conflicts: Vec<Loaded<ExternalSyncConflict>>,
    intents: Vec<Loaded<ExternalWriteIntent>>,
}

impl Around {
    async fn load(app: &App, kind: Kind, namespace: &str, name: &str) -> Result<Self, ApiError> {
        let store = app.store.as_ref();
        let local = format!("{kind}/{name}");
        let of = |kind| Query::new(kind).in_namespace(namespace).with(Index::Local, local.as_str());
        let mut conflicts = records::list::<ExternalSyncConflict>(store, of(Kind::ExternalSyncConflict)).await?;
        conflicts.retain(|conflict| is_open(&conflict.object));
        Ok(Self {
            link: records::list(store, of(Kind::ExternalObjectLink)).await?.pop(),
            conflicts,
            intents: records::list(store, of(Kind::ExternalWriteIntent)).await?,
        })
    }

    /// The object and its records, as audit events name them.
    fn subjects(&self, kind: Kind, name: &str) -> Vec<String> {
        let mut all = vec![format!("{kind}/{name}")];
        all.extend(self.link.iter().map(|link| subject(&link.object)));
        all.extend(self.conflicts.iter().map(|conflict| subject(&conflict.object)));
        all.extend(self.intents.iter().map(|intent| subject(&intent.object)));
        all
    }
}

fn subject<T: Resource>(object: &T) -> String {
    format!("{}/{}", T::KIND, object.name())
}

fn is_open(conflict: &ExternalSyncConflict) -> bool {
    let phase = conflict.status.as_ref().map(|status| &status.phase);
    matches!(phase, None | Some(ExternalSyncConflictPhase::Open | ExternalSyncConflictPhase::Resolving))
}

/// `GET /api/v1/verify/{binding}`: what the binding's projections and its provider differ in. Asks the provider, and changes nothing.
pub(super) async fn verify(
    State(app): State<Arc<App>>,
    Path(binding): Path<String>,
) -> Result<Json<Verification>, ApiError> {
    Ok(Json(Box::pin(app.driver.verify(&binding)).await?))
}

/// `GET /api/v1/forecast/{binding}`: what reading the binding's lists will cost, and when it is done.
pub(super) async fn forecast(
    State(app): State<Arc<App>>,
    Path(binding): Path<String>,
) -> Result<Json<Forecast>, ApiError> {
    Ok(Json(Box::pin(app.driver.forecast(&binding)).await?))
}

/// `GET /api/v1/why/{kind}/{namespace}/{name}`.
pub(super) async fn why(
    State(app): State<Arc<App>>,
    Path((kind, namespace, name)): Path<(String, String, String)>,
) -> Result<Json<Value>, ApiError> {
    let kind = kind_of(&kind)?;
    let found = load(&app, kind, &namespace, &name).await?;
    let around = Around::load(&app, kind, &namespace, &name).await?;
    let events = newest_events(&app, &namespace, &around.subjects(kind, &name)).await?;
    let intents: Vec<Value> = around.intents.iter().map(|intent| intent_json(&intent.object)).collect();
    let conflicts: Vec<Value> = around.conflicts.iter().map(|conflict| conflict_json(&conflict.object)).collect();
    let status = |pointer: &str| found.pointer(pointer).cloned().unwrap_or_default();
    Ok(Json(json!({
        "object": {
            "kind": kind.as_str(), "namespace": namespace, "name": name,
            "phase": status("/status/phase"), "generation": status("/metadata/generation"),
            "external": status("/status/external"), "sync": status("/status/sync"), "conditions": status("/status/conditions"),
        },
        "link": around.link.as_ref().map(|link| link_json(&link.object)),
        "conflicts": conflicts,
        "intents": intents,
        "events": events,
    })))
}

fn link_json(link: &ExternalObjectLink) -> Value {
    let status = link.status.clone().unwrap_or_default();
    json!({
        "name": link.name(), "phase": link.phase(), "providerRef": link.spec.provider_ref, "bindingRef": link.spec.binding_ref,
        "external": link.spec.external, "needsHydration": status.needs_hydration, "notBefore": status.not_before,
        "lastAgreedGeneration": status.last_agreed_generation, "tombstone": status.tombstone,
    })
}

fn intent_json(intent: &ExternalWriteIntent) -> Value {
    let due = match intent::due(intent, &Policy::default(), now()) {
        Due::Now(effect) => format!("now: {effect:?}"),
        Due::At(at) => format!("at {}", at.to_rfc3339()),
        Due::Idle => "waits for nothing".to_owned(),
    };
    let status = intent.status.as_ref();
    json!({
        "name": intent.name(), "phase": intent.phase(), "operation": intent.spec.operation, "source": intent.spec.source,
        "due": due, "attempts": status.map(|status| status.attempts), "error": status.and_then(|status| status.error.clone()),
    })
}

fn conflict_json(conflict: &ExternalSyncConflict) -> Value {
    let spec = &conflict.spec;
    json!({
        "name": conflict.name(), "phase": conflict.phase(), "fieldPath": spec.field_path, "reason": spec.reason,
        "base": spec.base.as_ref().map(shown), "desired": shown(&spec.desired), "observed": shown(&spec.observed),
        "desiredBy": spec.desired_by, "observedBy": spec.observed_by, "resolution": spec.resolution,
        "error": conflict.status.as_ref().and_then(|status| status.error.clone()),
    })
}

/// The newest audit events about any of these, newest first.
async fn newest_events(app: &App, namespace: &str, subjects: &[String]) -> Result<Vec<Value>, ApiError> {
    let mut events: Vec<(i64, Value)> = Vec::new();
    for subject in subjects {
        let mut query = Query::new(Kind::AuditEvent).in_namespace(namespace).with(Index::Subject, subject.as_str());
        loop {
            let page = app.store.list(&query).await?;
            for stored in &page.items {
                let value = object(stored)?;
                let spec = value.get("spec").cloned().unwrap_or_default();
                let sequence = spec.get("sequence").and_then(Value::as_i64).unwrap_or_default();
                events.push((sequence, spec));
            }
            match page.next {
                Some(next) => query = query.after(next),
                None => break,
            }
        }
        // Only the newest are kept from subject to subject.
        events.sort_by_key(|(sequence, _)| std::cmp::Reverse(*sequence));
        events.truncate(NEWEST);
    }
    let readable = |(_, spec): (i64, Value)| serde_json::from_value::<AuditEventSpec>(spec).ok();
    Ok(events.into_iter().filter_map(readable).filter_map(|spec| serde_json::to_value(spec).ok()).collect())
}

/// `GET /api/v1/diff/{kind}/{namespace}/{name}`.
pub(super) async fn diff(
    State(app): State<Arc<App>>,
    Path((kind, namespace, name)): Path<(String, String, String)>,
) -> Result<Json<Value>, ApiError> {
    let kind = kind_of(&kind)?;
    let local = to_local(kind, load(&app, kind, &namespace, &name).await?)?;
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
