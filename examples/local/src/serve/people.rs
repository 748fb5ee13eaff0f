//! Whose token is whose, and what each person may read and write: the same review and admission as everywhere (P41).

use http::{HeaderMap, StatusCode, header};
use krate_model::Kind;
use krate_model::kinds::sets::ActorKind;
use krate_model::kinds::shared::Actor;
use krate_model::store::Store;
use krate_model::validate::{Part, View};
use krate_policy::admission::{Change, Write, admit};
use krate_policy::decision::{Decision, Outcome};
use krate_policy::explain::explain;
use krate_policy::feed;
use krate_policy::request::{Request, Verb};
use krate_policy::review::review;
use krate_policy::snapshot::Snapshot;
use krate_policy::who::{self, Place};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::sync::Mutex;

use super::App;
use super::api::ApiError;
use super::config::ApiUser;
use super::ports::now;

/// The persons of a configuration, and the policies that they are judged by.
pub(crate) struct People {
    known: Vec<ApiUser>,
    /// As of some commit; brought up to the newest before each decision, so that what was taken away is gone with the next request.
    snapshot: Mutex<Snapshot>,
}

impl People {
    /// `None` where the configuration names nobody: then there are no roles, only one token or this machine.
    pub(crate) fn new(known: Vec<ApiUser>) -> Option<Self> {
        (!known.is_empty()).then(|| Self { known, snapshot: Mutex::default() })
    }

    pub(crate) fn all(&self) -> &[ApiUser] {
        &self.known
    }

    /// Whose token the request carries. Every token is compared, so that the time tells nothing.
    pub(crate) fn identify(&self, app: &App, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        let mut found = Vec::new();
        for person in &self.known {
            let expected = app.secrets.token_of_person(person).map_err(|error| {
                tracing::error!("{error}");
                ApiError::unavailable("a person's token can't be read")
            })?;
            if given.is_some_and(|given| bool::from(given.ct_eq(&expected))) {
                found.push(person);
            }
        }
        // A token of two persons is nobody's: it would be chance whose rights it gives.
        if let [one, other, ..] = found.as_slice() {
            tracing::error!("api.users: {} and {} have one token", one.name, other.name);
        }
        let [person] = found.as_slice() else {
            let error = ApiError::new(StatusCode::UNAUTHORIZED, "Unauthorized", "a person's token is needed");
            return Err(
                error.hint("send the header Authorization: Bearer TOKEN; for krate's own commands set KRATE_TOKEN")
            );
        };
        Ok(Caller { name: person.name.clone(), namespace: Some(person.namespace.clone()) })
    }

    async fn snapshot(&self, store: &dyn Store) -> Result<Snapshot, ApiError> {
        let mut held = self.snapshot.lock().await;
        // One that failed on the way is made anew with the next request.
        *held = feed::catch_up(store, std::mem::take(&mut *held)).await.map_err(|error| {
            tracing::error!("policies: {error}");
            ApiError::unavailable("the policies can't be read, so nothing is decided")
        })?;
        Ok(held.clone())
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    name: String,
    /// Where the person is known; `None` for whoever one token, or this machine, lets in: they may do all.
    namespace: Option<String>,
}

impl Caller {
    /// Somebody who was let in and of whom nothing more is known.
    pub(crate) const fn anybody(name: String) -> Self {
        Self { name, namespace: None }
    }

    /// The caller as they stand in audit and status.
    pub(crate) fn actor(&self) -> Actor {
        Actor::new(ActorKind::User, &*self.name)
    }

    /// What the caller is judged by; `None` for whom nothing is judged.
    pub(crate) async fn judge(&self, app: &App) -> Result<Option<Judge>, ApiError> {
        let (Some(people), Some(namespace)) = (&app.people, &self.namespace) else { return Ok(None) };
        let snapshot = people.snapshot(app.store.as_ref()).await?;
        let Some(organization) = snapshot.organization_of(namespace).map(str::to_owned) else {
            return Err(ApiError::forbidden(format!("no organization has the namespace {namespace}")));
        };
        Ok(Some(Judge { snapshot, organization, name: self.name.clone(), namespace: namespace.clone() }))
    }
}

/// The policies of a moment, asked for one person.
pub(crate) struct Judge {
    snapshot: Snapshot,
    organization: String,
    name: String,
    namespace: String,
}

impl Judge {
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    fn request(&self, verb: &Verb, kind: Kind, repository: Option<&str>) -> Request {
        let mut place = Place::new(self.organization.as_str(), now());
        place.repository = repository.map(Into::into);
        who::request(&self.snapshot, &place, &self.name, verb, kind)
    }

    /// Whether the person may read the object; who may not is told what they would be told if it weren't there (P6).
    pub(crate) fn may_read(&self, kind: Kind, object: &Value, repository: Option<&str>) -> bool {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let own = text("/metadata/namespace") == Some(&*self.namespace);
        let named = if kind == Kind::Repository { text("/metadata/name") } else { text("/spec/repository") };
        let named = named.or(repository).or_else(|| self.snapshot.repository_of(&self.namespace, object));
        own && review(&self.request(&Verb::Get, kind, named), &self.snapshot).outcome == Outcome::Allowed
    }

    /// Refuses a write that the person may not make. One that waits for the approval which the binding asks for goes on: what is sent waits for it. What anything else
    /// asks for, such as a policy, nobody could give here: it isn't let through without.
    pub(crate) fn write(&self, kind: Kind, change: Change<'_>, repository: Option<&str>) -> Result<(), ApiError> {
        let by = self.request(&Verb::Update, kind, repository);
        let answer = admit(&Write { by: &by, change, part: Part::Main }, &View::partial([]), &self.snapshot);
        match answer.decision {
            Some(decision) if decision.outcome != Outcome::Allowed && !waits_as_intent(&decision) => {
                Err(refusal(&by, kind, &decision))
            }
            _ => Ok(()),
        }
    }
}

/// Whether all that is missing is an approval that the write intent asks for itself (S32).
fn waits_as_intent(decision: &Decision) -> bool {
    let binding = format!("{}/", Kind::ExternalBackendBinding);
    decision.outcome == Outcome::RequiresApproval
        && decision.required_approvals.iter().all(|asked| asked.by.starts_with(&binding))
}

fn refusal(by: &Request, kind: Kind, decision: &Decision) -> ApiError {
    let first = decision
        .reasons
        .first()
        .map_or_else(|| "denied".to_owned(), |reason| format!("{}: {}", reason.code, reason.text));
    let mut asked = by.clone();
    asked.action.kind = kind.as_str().into();
    ApiError::forbidden(first).hint(explain(&asked, decision)).failures(json!(decision.reasons))
}
