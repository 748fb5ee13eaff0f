//! Reading objects, and a person's changes of them.

use std::sync::Arc;

use axum::extract::{Path, Query as Params, Request, State};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use krate_model::kinds::sets::SourceFormat;
use krate_model::kinds::shared::ObjectRef;
use krate_model::store::{Index, Key, Page, Position, Query, Stored};
use krate_model::validate::{DEFAULT_PLATFORM_NAMESPACE, Report, Request as Write, View, Writer, references, validate};
use krate_model::{API_VERSION, Kind};
use krate_policy::admission::Change;
use krate_sync::local::{Local, spec_fields};
use krate_sync::plan::Removal;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{ApiError, body_of, kind_of};
use crate::serve::App;
use crate::serve::people::Caller;
use crate::serve::ports::now;

/// What persons may delete.
const REMOVED: [Kind; 5] = [Kind::Issue, Kind::PullRequest, Kind::Review, Kind::Comment, Kind::ExternalBackendBinding];
/// The objects of a page when nobody says.
const DEFAULT_PAGE: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ListParams {
    namespace: Option<String>,
    phase: Option<String>,
    /// `index=value`.
    index: Option<String>,
    limit: Option<usize>,
    r#continue: Option<String>,
}

impl ListParams {
    fn query(&self, kind: Kind) -> Result<Query, ApiError> {
        let mut query = Query::new(kind).limit(self.limit.unwrap_or(DEFAULT_PAGE));
        if let Some(namespace) = &self.namespace {
            query = query.in_namespace(namespace.as_str());
        }
        match (&self.phase, &self.index) {
            (Some(_), Some(_)) => return Err(ApiError::bad("phase and index can't be asked for together")),
            (Some(phase), None) => query = query.with(Index::Phase, phase.as_str()),
            (None, Some(text)) => {
                let (index, value) =
                    text.split_once('=').ok_or_else(|| ApiError::bad("index: NAME=VALUE is expected"))?;
                query = query.with(index_of(index)?, value);
            }
            (None, None) => {}
        }
        if let Some(token) = &self.r#continue {
            query =
                query.after(position(token).ok_or_else(|| ApiError::bad("continue: not from a list of this server"))?);
        }
        Ok(query)
    }
}

fn index_of(name: &str) -> Result<Index, ApiError> {
    Index::from_name(name).ok_or_else(|| {
        let accepted: Vec<&str> = Index::ALL.iter().map(|index| index.name()).collect();
        ApiError::bad(format!("index: {name:?} is not one of {}", accepted.join(", ")))
    })
}

fn position(token: &str) -> Option<Position> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let [value, namespace, name]: [String; 3] = serde_json::from_slice(&bytes).ok()?;
    Some(Position { value: value.into(), namespace: namespace.into(), name: name.into() })
}

fn token(position: &Position) -> String {
    URL_SAFE_NO_PAD.encode(json!([&*position.value, &*position.namespace, &*position.name]).to_string())
}

/// `GET /api/v1/{kind}`.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(kind): Path<String>,
    params: Result<Params<ListParams>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let kind = kind_of(&kind)?;
    let Params(mut params) = params.map_err(|error| ApiError::bad(error.body_text()))?;
    let judge = caller.judge(&app).await?;
    if let Some(judge) = &judge {
        // Another organization's namespace reads as one that holds nothing.
        let namespace = params.namespace.get_or_insert_with(|| judge.namespace().to_owned());
        if namespace != judge.namespace() {
            return Err(ApiError::forbidden(format!("namespace: only {} is yours", judge.namespace())));
        }
    }
    let page = app.store.list(&params.query(kind)?).await?;
    let next = page.next.as_ref().map(token);
    let Page { items, revision, .. } = page;
    let mut items = items.iter().map(object).collect::<Result<Vec<_>, _>>()?;
    if let Some(judge) = &judge {
        let mut kept = Vec::with_capacity(items.len());
        for item in items {
            let repository = repository_of(&app, kind, &item).await?;
            if judge.may_read(kind, &item, repository.as_deref()) {
                kept.push(item);
            }
        }
        items = kept;
    }
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if let Some(next) = next {
        metadata["continue"] = next.into();
    }
    let kind = format!("{kind}List");
    Ok(Json(json!({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "items": items})))
}

/// `GET /api/v1/{kind}/{namespace}/{name}`.
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path((kind, namespace, name)): Path<(String, String, String)>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(load_for(&app, &caller, kind_of(&kind)?, &namespace, &name).await?))
}

/// The object as JSON, for somebody who may read it.
pub(super) async fn load_for(
    app: &App,
    caller: &Caller,
    kind: Kind,
    namespace: &str,
    name: &str,
) -> Result<Value, ApiError> {
    let Some(judge) = caller.judge(app).await? else { return load(app, kind, namespace, name).await };
    let missing = || ApiError::missing(format!("{kind} {namespace}/{name} isn't there"));
    if namespace != judge.namespace() {
        return Err(missing());
    }
    let found = load(app, kind, namespace, name).await?;
    let repository = repository_of(app, kind, &found).await?;
    if judge.may_read(kind, &found, repository.as_deref()) { Ok(found) } else { Err(missing()) }
}

/// The repository of an object that doesn't name it: a comment's is that of what it is on, an approval's that of the write that waits for it.
pub(super) async fn repository_of(app: &App, kind: Kind, object: &Value) -> Result<Option<String>, ApiError> {
    let text = |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let (at, field) = match kind {
        Kind::Comment | Kind::Review => ("/spec/subject", "/spec/repository"),
        Kind::AgentApproval => ("/spec/subject", "/spec/bindingRef"),
        _ => return Ok(None),
    };
    let kind = match text(object, &format!("{at}/kind")).as_deref() {
        Some("writeIntent") => Kind::ExternalWriteIntent,
        Some("conflict") => Kind::ExternalSyncConflict,
        Some(kind) => match kind.parse::<Kind>() {
            Ok(kind) => kind,
            Err(_) => return Ok(None),
        },
        None if kind == Kind::Review => Kind::PullRequest,
        None => return Ok(None),
    };
    let named = text(object, &format!("{at}/name")).or_else(|| text(object, "/spec/pullRequest"));
    let (Some(name), Some(namespace)) = (named, text(object, "/metadata/namespace")) else { return Ok(None) };
    let Some(stored) = app.store.get(&Key::new(kind, namespace.as_str(), name.as_str())).await? else {
        return Ok(None);
    };
    let of = self::object(&stored)?;
    if field == "/spec/repository" {
        return Ok(text(&of, field));
    }
    let Some(binding) = text(&of, field) else { return Ok(None) };
    let key = Key::new(Kind::ExternalBackendBinding, namespace.as_str(), binding.as_str());
    let Some(stored) = app.store.get(&key).await? else { return Ok(None) };
    Ok(text(&self::object(&stored)?, "/spec/targetRef/name"))
}

/// Refuses a write that the caller may not make.
pub(super) async fn may_write(app: &App, caller: &Caller, kind: Kind, change: Change<'_>) -> Result<(), ApiError> {
    let Some(judge) = caller.judge(app).await? else { return Ok(()) };
    let (Change::Create { new: object } | Change::Update { new: object, .. } | Change::Delete { old: object }) = change;
    let repository = repository_of(app, kind, object).await?;
    judge.write(kind, change, repository.as_deref())
}

/// The object as JSON, with its version.
pub(super) async fn load(app: &App, kind: Kind, namespace: &str, name: &str) -> Result<Value, ApiError> {
    let stored = app.store.get(&Key::new(kind, namespace, name)).await?;
    let stored = stored.ok_or_else(|| ApiError::missing(format!("{kind} {namespace}/{name} isn't there")))?;
    object(&stored)
}

/// A stored body as people see it.
pub(super) fn object(stored: &Stored) -> Result<Value, ApiError> {
    let mut value: Value = serde_json::from_slice(&stored.body).map_err(|error| {
        tracing::error!("{}: no JSON: {error}", stored.key);
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "Damaged", format!("{} can't be read", stored.key))
    })?;
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), stored.revision.to_string().into());
    }
    Ok(value)
}

/// `POST /api/v1/{kind}`: a new issue or comment.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(kind): Path<String>,
    request: Request,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let kind = kind_of(&kind)?;
    if !matches!(kind, Kind::Issue | Kind::Comment) {
        return Err(ApiError::invalid(format!("{kind} can't be made here; Issue and Comment can")));
    }
    let mut document = body_of(request).await?;
    let Some(members) = document.as_object_mut() else { return Err(ApiError::bad("an object is expected")) };
    members.remove("status");
    members.entry("apiVersion").or_insert(API_VERSION.into());
    members.entry("kind").or_insert(kind.as_str().into());
    may_write(&app, &caller, kind, Change::Create { new: &document }).await?;
    refuse(&judge(&app, &document, None).await?)?;
    let local = to_local(kind, document)?;
    if local.kind() != kind || local.name().is_empty() || local.namespace().is_empty() {
        return Err(ApiError::invalid(format!("metadata.namespace and metadata.name of a {kind} are needed")));
    }
    let made = app.driver.create(local, &caller.actor()).await?;
    let made = load(&app, kind, made.namespace(), made.name()).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// `PATCH /api/v1/{kind}/{namespace}/{name}`: a JSON merge patch of mergeable fields.
pub(super) async fn patch(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path((kind, namespace, name)): Path<(String, String, String)>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let kind = kind_of(&kind)?;
    let patch = body_of(request).await?;
    let fields = named_fields(kind, &patch)?;
    let old = load_for(&app, &caller, kind, &namespace, &name).await?;
    let new = patched(&old, &patch);
    may_write(&app, &caller, kind, Change::Update { old: &old, new: &new }).await?;
    refuse(&judge(&app, &new, Some(&old)).await?)?;
    to_local(kind, new)?;
    let edit = |local: &mut Local| {
        // The object may have moved since: the patch is made again on what is there. It was well-formed on the old one.
        let Ok(wanted) = to_json(local).and_then(|now| to_local(kind, patched(&now, &patch))) else { return };
        for field in &fields {
            local.set(field, &wanted.get(field), &SourceFormat::Markdown);
        }
    };
    app.driver.edit(&namespace, &ObjectRef::new(kind.as_str(), name.as_str()), &caller.actor(), &edit).await?;
    Ok(Json(load(&app, kind, &namespace, &name).await?))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DeleteParams {
    /// Why a binding goes without waiting for its provider (R21).
    force: Option<String>,
}

/// `DELETE /api/v1/{kind}/{namespace}/{name}`: it goes here and at its provider, or is closed where the provider deletes no such object (S4). A binding goes when
/// what it began has ended, with `?force=REASON` at once (R21).
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path((kind, namespace, name)): Path<(String, String, String)>,
    params: Result<Params<DeleteParams>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let kind = kind_of(&kind)?;
    let Params(DeleteParams { force }) = params.map_err(|error| ApiError::bad(error.body_text()))?;
    if !REMOVED.contains(&kind) {
        let accepted = REMOVED.map(Kind::as_str).join(", ");
        return Err(ApiError::invalid(format!("{kind} can't be deleted here; accepted: {accepted}")));
    }
    let old = load_for(&app, &caller, kind, &namespace, &name).await?;
    may_write(&app, &caller, kind, Change::Delete { old: &old }).await?;
    let removal = match (kind, &force) {
        (Kind::ExternalBackendBinding, _) => {
            app.driver.remove_binding(&namespace, &name, &caller.actor(), force.as_deref()).await?
        }
        (_, Some(_)) => {
            return Err(ApiError::invalid(format!("force: a {kind} has nothing to wait for; a binding has")));
        }
        _ => {
            let object = ObjectRef::new(kind.as_str(), name.as_str());
            app.driver.remove(&namespace, &object, &caller.actor()).await?
        }
    };
    let (became, what) = match removal {
        Removal::Removed => ("removed", "no provider has it: it is gone"),
        Removal::Gone => ("gone", "the provider deleted it before"),
        Removal::Deleting => ("deleting", "a write deletes it at the provider, and it goes when that is done"),
        Removal::Closing => ("closing", "the provider deletes no such object: a write closes it"),
        Removal::Ending => {
            ("ending", "it goes when what it began has ended; its Ready condition says what it waits for")
        }
        _ => ("accepted", "it goes"),
    };
    Ok(Json(json!({"kind": kind.as_str(), "namespace": namespace, "name": name, "became": became, "message": what})))
}

/// The mergeable fields that a patch names; an error when it names anything else.
fn named_fields(kind: Kind, patch: &Value) -> Result<Vec<&'static str>, ApiError> {
    let accepted: Vec<&'static str> = spec_fields(kind).map(|field| field.path).collect();
    if accepted.is_empty() {
        return Err(ApiError::invalid(format!("{kind} has no field that can be edited")));
    }
    let mut leaves = Vec::new();
    leaves_of(patch, String::new(), &mut leaves);
    let mut named = Vec::new();
    for leaf in &leaves {
        let fields: Vec<&'static str> = accepted.iter().copied().filter(|field| touches(leaf, field)).collect();
        if fields.is_empty() {
            let message = format!("{leaf} can't be edited; accepted: {}", accepted.join(", "));
            return Err(ApiError::invalid(message));
        }
        named.extend(fields);
    }
    named.sort_unstable();
    named.dedup();
    if named.is_empty() {
        return Err(ApiError::bad("the patch is empty; {\"spec\": {\"title\": \"…\"}} is an example"));
    }
    Ok(named)
}

fn touches(leaf: &str, field: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    // State and reason are one unit.
    within(leaf, field)
        || (within(field, leaf) && leaf != "spec")
        || (leaf == "spec.stateReason" && field == "spec.state")
}

fn leaves_of(value: &Value, path: String, leaves: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, inner) in members {
                let inner_path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves_of(inner, inner_path, leaves);
            }
        }
        _ => leaves.push(if path.is_empty() { "the patch".to_owned() } else { path }),
    }
}

/// RFC 7396, with state and reason as one unit: a state without reason has none.
fn patched(object: &Value, patch: &Value) -> Value {
    let mut patch = patch.clone();
    if let Some(spec) = patch.get_mut("spec").and_then(Value::as_object_mut)
        && spec.contains_key("state")
    {
        spec.entry("stateReason").or_insert(Value::Null);
    }
    let mut object = object.clone();
    merge(&mut object, &patch);
    object
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(into) = target.as_object_mut() else { return };
    for (name, value) in members {
        if value.is_null() {
            into.remove(name);
        } else {
            merge(into.entry(name.as_str()).or_insert(Value::Null), value);
        }
    }
}

/// Judges a person's write of a document beside what the store holds of that which the document names: its organization (R2, R3), and what it refers to (R32).
async fn judge(app: &App, document: &Value, old: Option<&Value>) -> Result<Report, ApiError> {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let organization = Key::new(Kind::Organization, DEFAULT_PLATFORM_NAMESPACE, text("/spec/organizationRef"));
    let named = references(document).into_iter();
    let named = named.map(|named| Key::new(named.kind, text("/metadata/namespace"), named.name.as_str()));
    let mut view = View::complete([]);
    for key in named.chain([organization]) {
        if let Some(stored) = app.store.get(&key).await? {
            view.insert(self::object(&stored)?);
        }
    }
    Ok(validate(document, old, &view, &Write::new(Writer::Person, now())))
}

/// Refuses what is wrong. Where there is an old object, what was wrong before and stays as it was is none of it (R64).
fn refuse(report: &Report) -> Result<(), ApiError> {
    let Some(first) = report.failures.first() else { return Ok(()) };
    let failures = serde_json::to_value(&report.failures).unwrap_or_default();
    Err(ApiError::invalid(first.to_string()).failures(failures))
}

/// A document as the object that the sync core knows.
pub(super) fn to_local(kind: Kind, document: Value) -> Result<Local, ApiError> {
    fn typed<T: serde::de::DeserializeOwned>(document: Value) -> Result<T, ApiError> {
        serde_path_to_error::deserialize(document)
            .map_err(|error| ApiError::invalid(format!("{}: {}", error.path(), error.inner())))
    }
    Ok(match kind {
        Kind::Issue => Local::Issue(typed(document)?),
        Kind::PullRequest => Local::PullRequest(typed(document)?),
        Kind::Review => Local::Review(typed(document)?),
        Kind::Comment => Local::Comment(typed(document)?),
        Kind::Repository => Local::Repository(typed(document)?),
        Kind::Pipeline => Local::Pipeline(typed(document)?),
        Kind::Job => Local::Job(typed(document)?),
        other => return Err(ApiError::invalid(format!("{other} isn't synced"))),
    })
}

fn to_json(local: &Local) -> Result<Value, ApiError> {
    let json = match local {
        Local::Issue(object) => serde_json::to_value(object),
        Local::PullRequest(object) => serde_json::to_value(object),
        Local::Review(object) => serde_json::to_value(object),
        Local::Comment(object) => serde_json::to_value(object),
        Local::Repository(object) => serde_json::to_value(object),
        Local::Pipeline(object) => serde_json::to_value(object),
        Local::Job(object) => serde_json::to_value(object),
    };
    json.map_err(|error| ApiError::invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_names_mergeable_fields_and_nothing_else() {
        let named = |patch: Value| named_fields(Kind::Issue, &patch).map_err(|error| error.to_string());
        assert_eq!(
            named(json!({"spec": {"title": "x", "stateReason": "completed"}})),
            Ok(vec!["spec.state", "spec.title"])
        );
        assert_eq!(named(json!({"spec": {"body": null}})), Ok(vec!["spec.body.markdown"]));
        for refused in [
            json!({"status": {"phase": "x"}}),
            json!({"spec": {"organizationRef": "b"}}),
            json!({"spec": null}),
            json!([]),
        ] {
            assert!(named(refused.clone()).is_err(), "{refused}");
        }
        assert!(named(json!({})).is_err());
    }

    #[test]
    fn a_merge_patch_replaces_lists_and_removes_nulls() {
        let old =
            json!({"spec": {"title": "a", "labels": ["x"], "body": {"markdown": "b", "sourceFormat": "markdown"}}});
        let new = patched(&old, &json!({"spec": {"labels": ["y"], "body": {"markdown": "c"}, "title": null}}));
        assert_eq!(new, json!({"spec": {"labels": ["y"], "body": {"markdown": "c", "sourceFormat": "markdown"}}}));
    }

    #[test]
    fn a_page_goes_on_where_it_ended() {
        let at = Position { value: "v".into(), namespace: "n".into(), name: "x/y".into() };
        assert_eq!(position(&token(&at)), Some(at));
        assert_eq!(position("no token"), None);
    }
}
