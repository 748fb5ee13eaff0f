//! Reading native objects, and applying what was said about them to the store.

use krate_model::kinds::external::{
    ExternalObjectLink, ExternalSyncEvent, ExternalSyncEventSpec, ExternalWriteIntent, numbered_index,
};
use krate_model::kinds::sets::{ErrorClass, Operation};
use krate_model::kinds::shared::{NativeTarget, ObjectRef, Time};
use krate_model::observation::{CanonicalEvent, Normalized, RepositoryIdentity, ResourceKind};
use krate_model::store::{Index, Query};
use krate_model::{Kind, Resource, derived_name};
use krate_providers::contract::{Call, Credential, Decoded, Endpoint, Outcome, ProviderError, SendOutcome};

use super::backfills::{LISTS, state_name};
use super::{Config, Driver, DriverError, MAX_RACES};
use crate::machines::binding::is_going;
use crate::machines::{LIMIT_PAUSE, later};
use crate::mistakes::{Mistake, made};
use crate::object::{ObjectState, is_in_flight, link_name, load_local};
use crate::observe::{Applied, Observation, Shows, hold_uncarried, observe};
use crate::observed::actor_of;
use crate::order::Origin;
use crate::plan::{Wish, plan, uncarried};
use crate::quota::{Caller, Denied, Shares};
use crate::records::{self, Changes, Loaded};
use crate::scope::Scope;

/// Where an event comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cause<'c> {
    Delivery(&'c str),
    /// A page of a list, in one of its runs.
    Backfill {
        list: &'c str,
        run: &'c str,
    },
    Intent(&'c str),
    Read,
}

/// A provider's answer with the time at which it was asked.
pub(super) struct Answer {
    pub(super) response: http::Response<bytes::Bytes>,
    pub(super) started_at: Time,
    /// Held until the answer was read, so that what it spent is counted all the time.
    _promise: Option<Promise>,
}

/// What a call on its way was promised from a budget.
struct Promise {
    driver: Driver,
    provider: String,
    budget: String,
    cost: i64,
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.driver.with_ledger(&self.provider, |ledger| ledger.settle(&self.budget, self.cost));
    }
}

impl Driver {
    /// Asks the provider's budgets for a call (S43). What has to wait isn't sent, and ends as the provider's own limit would.
    fn pay(&self, scope: &Scope, operation: &Operation) -> Result<Option<Promise>, ProviderError> {
        let (provider, now) = (&scope.backend.object, self.clock.now());
        let shares = Shares::of(provider.spec.rate_limit.as_ref());
        let cost = scope.cost(operation);
        let caller = Caller { purpose: self.purpose, tenant: scope.namespace() };
        let paid = self.with_ledger(provider.name(), |ledger| {
            ledger.recall(provider.status.as_ref().map_or(&[], |status| &status.rate_limits));
            ledger.allow(operation, cost, caller, &shares, now)?;
            Ok(ledger.promise(operation, cost, caller, &shares, now))
        });
        let budget = paid.map_err(|denied: Denied| {
            ProviderError::new(ErrorClass::RateLimited, denied.to_string()).until(Some(denied.until()))
        })?;
        let provider = provider.name().to_owned();
        Ok(budget.map(|budget| Promise { driver: self.clone(), provider, budget, cost }))
    }

    /// Carries a call to the provider.
    pub(super) async fn call(&self, scope: &Scope, call: &Call<'_>) -> Result<Answer, DriverError> {
        let provider = &scope.backend.object;
        let credential = self.secrets.credential(provider).await?;
        let base = provider.spec.api_base_url.as_deref().or(provider.spec.base_url.as_deref());
        let base = base
            .and_then(|text| url::Url::parse(text).ok())
            .ok_or(DriverError::NotFound { what: "spec.apiBaseUrl of provider", name: scope.provider().to_owned() })?;
        let endpoint = Endpoint { api_base: &base, credential: credential.as_ref() };
        // What it is about was named when it was planned; where that is, its provider has said since.
        let container = if made(Mistake::NamedNotKnown) { scope.container() } else { scope.located() };
        let target = NativeTarget { container, ..call.target.clone() };
        let request = scope.backend.adapter.encode(&endpoint, &Call { target: &target, ..call.clone() })?;
        let promise = self.pay(scope, &call.operation)?;
        let started_at = self.tick();
        let mut response = self.http.send(request).await.map_err(|error| {
            let class = if error.outcome == SendOutcome::Unknown { ErrorClass::Timeout } else { ErrorClass::Transient };
            let failed = ProviderError::new(class, error.message);
            if error.outcome == SendOutcome::Unknown { failed.maybe_sent() } else { failed }
        })?;
        if let Some(credential) = credential.filter(|_| !response.status().is_success()) {
            hide(&credential, &mut response);
        }
        Ok(Answer { response, started_at, _promise: promise })
    }

    /// What an answer says. What it says about budgets is kept in the provider's ledger, whatever else it says (S43).
    pub(super) fn decode<'a>(&self, scope: &Scope, call: &Call<'_>, answer: &'a Answer) -> Decoded<'a> {
        let now = self.clock.now();
        let decoded = scope.backend.adapter.decode(call, &answer.response, now);
        let limited = decoded.result.as_ref().err().filter(|error| error.class == ErrorClass::RateLimited);
        if decoded.quota.is_some() || limited.is_some() {
            self.note(scope.backend.object.name(), |seen| {
                if let Some(quota) = &decoded.quota {
                    seen.ledger.read(&call.operation, quota);
                }
                // A limit that no budget shows: one of the whole account, or one whose window ends earlier than was known, which is how a clock that was set back
                // makes it look (S44).
                let is_known = seen.ledger.is_spent(&call.operation, now);
                if limited.is_some() && !is_known && !made(Mistake::LimitHammered) {
                    let until = limited.and_then(|error| error.until).unwrap_or(now);
                    seen.ledger.pause(until.max(later(now, LIMIT_PAUSE)));
                }
            });
        }
        decoded
    }

    /// Applies one event: loads its object, decides, commits. Whoever else is at the same object, the decision is made anew.
    pub(super) async fn apply(
        &self,
        scope: &Scope,
        event: &CanonicalEvent<'_>,
        origin: Origin,
        shows: Shows,
        cause: Cause<'_>,
    ) -> Result<Applied, DriverError> {
        for _ in 0..MAX_RACES {
            match Box::pin(self.try_apply(scope, event, origin, shows, cause)).await {
                Err(error) if error.is_race() && made(Mistake::RaceDropped) => return Ok(Applied::NoChange),
                Err(error) if error.is_race() => {}
                done => return done,
            }
        }
        Box::pin(self.try_apply(scope, event, origin, shows, cause)).await
    }

    async fn try_apply(
        &self,
        scope: &Scope,
        event: &CanonicalEvent<'_>,
        origin: Origin,
        shows: Shows,
        cause: Cause<'_>,
    ) -> Result<Applied, DriverError> {
        let now = self.tick();
        let mut state = self.state_of(scope, event).await?;
        if let (Cause::Intent(name), Shows::Response) = (cause, shows)
            && !state.intents.iter().any(|intent| intent.object.name() == name)
        {
            // Whoever took it over has given it up: what it made is krate's own all the same, and nobody's edit (S27).
            let given_up = records::get::<ExternalWriteIntent>(self.store(), scope.namespace(), name).await?;
            state.answered = given_up.map(|intent| intent.object.spec.payload);
        }
        let seen = Observation { event, origin, shows, received_at: now };
        // What is being made in its name is no news to a binding.
        let is_news = state.is_unbound() && !state.intents.iter().any(|intent| is_in_flight(&intent.object));
        let was_nobodys = state.link.is_some() && state.is_unbound();
        let mut applied = observe(&mut state, seen, scope)?;
        if state.replan {
            let unplanned = was_nobodys.then(|| state.clone());
            state.wish_anew();
            if let (Applied::Changed(changed), false) = (&mut applied, was_nobodys) {
                let uncarried = uncarried(&state, scope, now)?;
                hold_uncarried(&mut state, seen, scope, &uncarried, changed)?;
            }
            match (plan(&mut state, scope, &Wish::reconcile(now)), unplanned) {
                // Nobody was there to refuse it when it was wished for: it stays here alone.
                (Err(_), Some(unplanned)) => state = unplanned,
                (planned, _) => planned?,
            }
        }
        let mut changes = Changes::at(now);
        if is_news && state.link.is_some() {
            // R21: whoever lets a deleted binding go has to know all that is its. One that was read before it was deleted doesn't count.
            match self.binding(scope).await? {
                Some(binding) if !is_going(&binding.object) => changes.keep(&binding.object),
                _ => return Ok(Applied::NoObject),
            }
        }
        if let Applied::Changed(fields) = &applied
            && let Some(record) = event_record(scope, event, cause, fields, now)?
        {
            // The same event again has the same name; what it did then it doesn't do again.
            if records::get::<ExternalSyncEvent>(self.store(), scope.namespace(), record.name()).await?.is_none() {
                changes.put(&Loaded::new(record))?;
            }
        }
        state.write(&mut changes)?;
        if !changes.is_empty() {
            changes.commit(self.store()).await?;
        }
        Ok(applied)
    }

    /// The state of the object that an event is about, with what it belongs to.
    async fn state_of(&self, scope: &Scope, event: &CanonicalEvent<'_>) -> Result<ObjectState, DriverError> {
        let name = link_name(scope.organization(), scope.provider(), &event.native_kind, &event.native_id)?;
        let mut state = ObjectState::load(self.store(), scope.namespace(), &name).await?;
        if state.link.is_none() && !event.complete {
            // A part of an object may be known by its number only (S8).
            if let Normalized::PullRequest(pull) = &event.normalized
                && let Some(link) = self.link_by_number(scope, pull.number, Kind::PullRequest).await?
            {
                state = ObjectState::load(self.store(), scope.namespace(), link.object.name()).await?;
            }
        }
        if state.link.is_none() {
            if let Some(local) = self.created_here(scope, event).await? {
                state = ObjectState::load_of_local(self.store(), scope.namespace(), &local).await?;
            }
            state.parent = self.parent_of(scope, event).await?;
        }
        if state.local.is_none()
            && let Some(parent) = &mut state.parent
        {
            let owner = load_local(self.store(), scope.namespace(), parent).await?;
            parent.uid = owner.and_then(|owner| owner.object.as_owner().uid);
        }
        Ok(state)
    }

    /// The local object that an object at the provider was made from, by the marker in its text.
    async fn created_here(&self, scope: &Scope, event: &CanonicalEvent<'_>) -> Result<Option<ObjectRef>, DriverError> {
        let marker = match &event.normalized {
            Normalized::Issue(issue) => issue.marker.as_deref(),
            Normalized::PullRequest(pull) => pull.marker.as_deref(),
            Normalized::Comment(comment) => comment.marker.as_deref(),
            _ => None,
        };
        let Some(marker) = marker.filter(|_| !made(Mistake::MarkerIgnored)) else { return Ok(None) };
        // The marker is the beginning of the key, in hex.
        let from = format!("sha256:{marker}");
        let to = format!("sha256:{marker}g");
        let query = Query::new(Kind::ExternalWriteIntent)
            .in_namespace(scope.namespace())
            .between(Index::Digest, from.as_str()..to.as_str());
        let found = records::list::<ExternalWriteIntent>(self.store(), query).await?;
        for intent in found {
            let spec = &intent.object.spec;
            if spec.native_target.native_id.is_some() || spec.provider_ref != scope.provider() {
                continue;
            }
            // A marker is text that anybody can copy: it counts only while the local object has no native one.
            let state = ObjectState::load_of_local(self.store(), scope.namespace(), &spec.target).await?;
            if state.link.is_none() && state.local.is_some_and(|local| local.object.external().is_none()) {
                return Ok(Some(spec.target.clone()));
            }
        }
        Ok(None)
    }

    async fn link_by_number(
        &self,
        scope: &Scope,
        number: Option<i64>,
        kind: Kind,
    ) -> Result<Option<Loaded<ExternalObjectLink>>, DriverError> {
        let Some(number) = number else { return Ok(None) };
        let query = Query::new(Kind::ExternalObjectLink)
            .in_namespace(scope.namespace())
            .with(Index::Subject, numbered_index(scope.binding_name(), number));
        let found = records::list::<ExternalObjectLink>(self.store(), query).await?;
        Ok(found.into_iter().find(|link| link.object.spec.local_ref.kind == kind.as_str()))
    }

    /// What the object is about, where that is known here.
    async fn parent_of(&self, scope: &Scope, event: &CanonicalEvent<'_>) -> Result<Option<ObjectRef>, DriverError> {
        let by_id = |kind: &str, id: &str| link_name(scope.organization(), scope.provider(), kind, id);
        let (number, kind, id) = match &event.normalized {
            Normalized::Comment(comment) => {
                let kind = match comment.subject_kind {
                    Some(ResourceKind::PullRequest) => Kind::PullRequest,
                    _ => Kind::Issue,
                };
                (comment.subject_number, kind, None)
            }
            Normalized::Review(review) => (review.pull_request_number, Kind::PullRequest, None),
            Normalized::Job(job) => (None, Kind::Pipeline, job.pipeline_id.as_deref()),
            _ => return Ok(None),
        };
        if let Some(link) = self.link_by_number(scope, number, kind).await? {
            return Ok(Some(link.object.spec.local_ref));
        }
        for native_kind in ["workflow_run", "check_suite", "pipeline"] {
            let Some(id) = id else { break };
            let name = by_id(native_kind, id)?;
            if let Some(link) = records::get::<ExternalObjectLink>(self.store(), scope.namespace(), &name).await? {
                return Ok(Some(link.object.spec.local_ref));
            }
        }
        Ok(None)
    }

    /// Whether the object of an event has a link, by its id or its number.
    pub(super) async fn is_linked(&self, scope: &Scope, event: &CanonicalEvent<'_>) -> Result<bool, DriverError> {
        Ok(self.state_of(scope, event).await?.link.is_some())
    }

    /// Reads an issue or pull request by number and applies it. `None` where it isn't there.
    pub(super) async fn read_numbered(
        &self,
        scope: &Scope,
        kind: Kind,
        number: i64,
    ) -> Result<Option<Applied>, DriverError> {
        let operation = if kind == Kind::PullRequest { Operation::GetPullRequest } else { Operation::GetIssue };
        let target = NativeTarget {
            native_kind: if kind == Kind::PullRequest { "pull_request" } else { "issue" }.to_owned(),
            native_id: None,
            native_number: Some(number),
            container: scope.container(),
        };
        Box::pin(self.read(scope, &Call::new(operation, &target))).await
    }

    /// Reads one object and applies it. `None` where it isn't there any more.
    pub(super) async fn read(&self, scope: &Scope, call: &Call<'_>) -> Result<Option<Applied>, DriverError> {
        let answer = self.call(scope, call).await?;
        let decoded = self.decode(scope, call, &answer);
        let origin = Origin::Read { started_at: answer.started_at };
        match decoded.result {
            Ok(Outcome::Object(event)) => Ok(Some(self.apply(scope, &event, origin, Shows::Read, Cause::Read).await?)),
            Ok(_) => Ok(Some(Applied::NoChange)),
            Err(error) if matches!(error.class, ErrorClass::NotFound | ErrorClass::Gone) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// S47: what is said about a failure is shown, and may hold what was sent.
fn hide(credential: &Credential, response: &mut http::Response<bytes::Bytes>) {
    let shown: Vec<_> = response
        .headers()
        .iter()
        .filter(|(_, value)| credential.taken_out_of(value.as_bytes()).is_some())
        .map(|(name, _)| name.clone())
        .collect();
    for name in shown {
        response.headers_mut().remove(name);
    }
    if let Some(body) = credential.taken_out_of(response.body()) {
        *response.body_mut() = body.into();
    }
}

/// The binding that an event belongs to, by the repository that it names.
pub(super) fn scope_of<'c>(config: &'c Config, provider: &str, event: &CanonicalEvent<'_>) -> Option<&'c Scope> {
    config.scope_of(provider, &repository_of(event)?, &event.interface)
}

/// The repository that an event names, as it was called when the event was told.
pub(super) fn repository_of<'a>(event: &CanonicalEvent<'a>) -> Option<RepositoryIdentity<'a>> {
    match &event.normalized {
        Normalized::Issue(object) => object.repository.clone(),
        Normalized::PullRequest(object) => object.repository.clone(),
        Normalized::Review(object) => object.repository.clone(),
        Normalized::Comment(object) => object.repository.clone(),
        Normalized::Pipeline(object) => object.repository.clone(),
        Normalized::Job(object) => object.repository.clone(),
        Normalized::Ref(object) => object.repository.clone(),
        Normalized::Commit(object) => object.repository.clone(),
        Normalized::Label(object) => object.repository.clone(),
        Normalized::Milestone(object) => object.repository.clone(),
        Normalized::Repository(object) => Some(RepositoryIdentity {
            id: event.native_id.clone(),
            owner: object.owner.clone().unwrap_or_default(),
            name: object.name.clone().unwrap_or_default(),
        }),
        _ => None,
    }
}

/// The record of an event (R36). What was read alone was read for its list; none for what is in no list, nor for a read that answered a question and changed nothing.
fn event_record(
    scope: &Scope,
    event: &CanonicalEvent<'_>,
    cause: Cause<'_>,
    changed: &[String],
    now: Time,
) -> Result<Option<ExternalSyncEvent>, DriverError> {
    let (own, read);
    let (source, delivery, backfill, intent) = match cause {
        Cause::Delivery(name) => (name, Some(name), None, None),
        Cause::Backfill { list, run } => (run, None, Some(list), None),
        Cause::Intent(name) => (name, None, None, Some(name)),
        Cause::Read if changed.is_empty() => return Ok(None),
        Cause::Read => {
            let Some((interface, kind, _)) = LISTS.iter().find(|(_, kind, _)| *kind == event.resource_kind) else {
                return Ok(None);
            };
            own = state_name(scope, interface, kind)?;
            // Each read is one of its own, also of what was read before within a second.
            read = format!("{own} {}", now.timestamp_micros());
            (read.as_str(), None, Some(own.as_str()), None)
        }
    };
    let owned = |name: Option<&str>| name.map(str::to_owned);
    let name = derived_name(
        &format!("{}-{}", event.resource_kind, event.action),
        &serde_json::json!([
            source,
            event.action,
            event.native_kind,
            event.native_id,
            event.ordinal,
            // A run may meet a row twice, with two contents of one second (S16, S21).
            if delivery.is_some() { None } else { Some((&event.observed_version, &event.normalized)) },
        ]),
    )?;
    let spec = ExternalSyncEventSpec {
        organization_ref: scope.organization().to_owned(),
        provider_ref: scope.provider().to_owned(),
        binding_ref: scope.binding_name().to_owned(),
        source_delivery: owned(delivery),
        source_backfill: owned(backfill),
        source_intent: owned(intent),
        ordinal: i64::from(event.ordinal),
        interface: event.interface.clone(),
        resource_kind: event.resource_kind.clone(),
        native_kind: event.native_kind.to_string(),
        native_id: event.native_id.to_string(),
        node_id: event.node_id.as_deref().map(str::to_owned),
        action: event.action.clone(),
        event_time: event.event_time,
        observed_version: event.observed_version.clone(),
        complete: event.complete,
        actor: actor_of(event.actor.as_ref(), scope.provider()),
        normalized: event.normalized.clone().into_owned(),
    };
    let mut record = ExternalSyncEvent::at(scope.namespace(), name, spec);
    let status = record.status_mut();
    status.phase = krate_model::kinds::external::ExternalSyncEventPhase::Applied;
    status.link_ref = Some(link_name(scope.organization(), scope.provider(), &event.native_kind, &event.native_id)?);
    status.changed_fields = changed.to_vec();
    status.applied_at = Some(now);
    Ok(Some(record))
}
