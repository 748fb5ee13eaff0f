//! Reading lists: page by page, applied before the cursor moves (S21 to S26).

use std::collections::BTreeSet;

use krate_model::kinds::external::{
    BackfillMode, ExternalBackendBindingPhase, ExternalObjectLink, ExternalObjectLinkPhase, ExternalSyncState,
    ExternalSyncStateSpec, Tombstone, TombstoneReason,
};
use krate_model::kinds::sets::{ErrorClass, Interface, Operation};
use krate_model::kinds::shared::{ErrorInfo, NativeTarget, Time, Version};
use krate_model::observation::{Normalized, ResourceKind};
use krate_model::store::{Expect, Index, Key, Private, Query, Stored};
use krate_model::{Kind, Resource, derived_name};
use krate_providers::contract::{Call, Cursor, Outcome, ProviderError};
use serde::{Deserialize, Serialize};

use super::objects::Cause;
use super::{Config, Driver, DriverError};
use crate::machines::backfill::{self, Effect, Event};
use crate::machines::{Ctx, Due, Gate, Policy};
use crate::object::{ObjectState, controller};
use crate::observe::{Applied, Shows};
use crate::observed::mark_deleted;
use crate::order::Origin;
use crate::records::{self, Changes, Loaded};
use crate::scope::Scope;

/// What is listed: which interface, which kind, by which operation. Comments come last, since they need what they are about.
const LISTS: [(Interface, ResourceKind, Operation); 3] = [
    (Interface::IssueTracking, ResourceKind::Issue, Operation::ListIssues),
    (Interface::GitForge, ResourceKind::PullRequest, Operation::ListPullRequests),
    (Interface::IssueTracking, ResourceKind::Comment, Operation::ListComments),
];

/// How long a list waits while it is held back by a pause.
const HELD_PAUSE: chrono::TimeDelta = chrono::TimeDelta::seconds(5);

/// What a run remembers from page to page, beside its record.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Progress {
    run_id: String,
    /// The newest of the provider's times among what was applied.
    newest: Option<Time>,
    /// Names of the links that were met, for what a complete run doesn't meet (S23).
    met: BTreeSet<String>,
}

impl Driver {
    /// Makes the records of the lists that the bindings need; the first run of each is complete.
    pub(super) async fn ensure_states(&self, config: &Config, now: Time) -> Result<(), DriverError> {
        for scope in config.scopes() {
            for (interface, kind, operation) in &LISTS {
                if scope.interface(interface).is_none() || scope.operation(operation).is_none() {
                    continue;
                }
                let name = state_name(scope, interface, kind)?;
                if records::get::<ExternalSyncState>(self.store(), scope.namespace(), &name).await?.is_some() {
                    continue;
                }
                let spec = ExternalSyncStateSpec {
                    organization_ref: scope.organization().to_owned(),
                    provider_ref: scope.provider().to_owned(),
                    binding_ref: scope.binding_name().to_owned(),
                    interface: interface.clone(),
                    resource_kind: kind.clone(),
                    scope: std::collections::BTreeMap::new(),
                };
                let mut state = ExternalSyncState::at(scope.namespace(), name, spec);
                state.status_mut().mode = Some(BackfillMode::Complete);
                let mut changes = Changes::at(now);
                changes.put(&Loaded::new(state))?;
                match changes.commit(self.store()).await {
                    Err(error) if !error.is_conflict() => return Err(error.into()),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Asks for a run of every list of a binding (S26).
    ///
    /// # Errors
    /// [`DriverError`] when the binding isn't there, or a list is running already.
    pub async fn request_backfill(&self, binding: &str, mode: BackfillMode) -> Result<(), DriverError> {
        let now = self.clock.now();
        let config = Box::pin(Config::load(self.store(), now)).await?;
        Box::pin(self.ensure_states(&config, now)).await?;
        let scope =
            config.scope(binding).ok_or_else(|| DriverError::NotFound { what: "binding", name: binding.to_owned() })?;
        for state in self.states_of(scope).await? {
            let event = Event::Requested { mode: mode.clone(), at: now };
            let running = !matches!(
                backfill::due(&state.object, now),
                Due::Idle | Due::At(_) | Due::Now(Effect::Schedule | Effect::Start)
            );
            if !running {
                self.step_state(scope, state, event).await?;
            }
        }
        Ok(())
    }

    /// The list records of a binding.
    pub(super) async fn states_of(&self, scope: &Scope) -> Result<Vec<Loaded<ExternalSyncState>>, DriverError> {
        let query = Query::new(Kind::ExternalSyncState)
            .in_namespace(scope.namespace())
            .with(Index::Binding, scope.binding_name());
        Ok(records::list(self.store(), query).await?)
    }

    async fn step_state(
        &self,
        scope: &Scope,
        mut state: Loaded<ExternalSyncState>,
        event: Event,
    ) -> Result<Loaded<ExternalSyncState>, DriverError> {
        let mut changes = Changes::at(self.clock.now());
        self.advance(scope, &mut state, event, &mut changes)?;
        changes.put(&state)?;
        let revision = changes.commit(self.store()).await?;
        state.revision = Some(revision);
        state.dirty = false;
        Ok(state)
    }

    fn advance(
        &self,
        scope: &Scope,
        state: &mut Loaded<ExternalSyncState>,
        event: Event,
        changes: &mut Changes,
    ) -> Result<(), DriverError> {
        let actor = controller();
        let policy = Policy::of(&scope.policy);
        let ctx = Ctx { now: self.clock.now(), actor: &actor, policy: &policy, seed: self.seed };
        let step = backfill::step(&state.object, event, &ctx)?;
        changes.audit_all(crate::moves::take(state, step));
        Ok(())
    }

    pub(super) async fn advance_backfill(&self, stored: &Stored, config: &Config) -> Result<(), DriverError> {
        let state = records::parse::<ExternalSyncState>(stored)?;
        let Some(scope) = config.scope(&state.object.spec.binding_ref) else { return Ok(()) };
        let now = self.clock.now();
        match backfill::due(&state.object, now) {
            Due::Now(Effect::Start) => self.start_run(scope, state, now).await,
            Due::Now(Effect::Page) => self.page(scope, state).await,
            Due::Now(Effect::Resume) => self.step_state(scope, state, Event::LimitOver).await.map(|_| ()),
            Due::Now(Effect::Schedule) => {
                let mode = next_mode(scope, &state.object, now);
                self.step_state(scope, state, Event::Requested { mode, at: now }).await.map(|_| ())
            }
            Due::At(_) | Due::Idle => Ok(()),
        }
    }

    async fn start_run(&self, scope: &Scope, state: Loaded<ExternalSyncState>, now: Time) -> Result<(), DriverError> {
        // Comments wait until what they are about was read once.
        let blocked = state.object.spec.resource_kind == ResourceKind::Comment
            && self.states_of(scope).await?.iter().any(|other| {
                other.object.spec.resource_kind != ResourceKind::Comment
                    && other.object.status.as_ref().is_none_or(|status| status.last_complete_at.is_none())
                    && other.object.status.as_ref().is_none_or(|status| status.error.is_none())
            });
        if scope.is_paused() || blocked {
            let until = now + if blocked { chrono::TimeDelta::milliseconds(200) } else { HELD_PAUSE };
            return self.step_state(scope, state, Event::Postponed { until, error: None }).await.map(|_| ());
        }
        let mode = state
            .object
            .status
            .as_ref()
            .and_then(|status| status.mode.clone())
            .unwrap_or_else(|| next_mode(scope, &state.object, now));
        let run_id = derived_name("run", &(state.object.name(), now.timestamp_micros()))?;
        let state = self.step_state(scope, state, Event::Started { run_id, mode, gate: Gate::Open }).await?;
        self.page(scope, state).await
    }

    /// Reads one page and goes through it to its checkpoint. A crash on the way reads the page again (S21).
    async fn page(&self, scope: &Scope, mut state: Loaded<ExternalSyncState>) -> Result<(), DriverError> {
        let status = state.object.status.clone().unwrap_or_default();
        let complete = status.mode == Some(BackfillMode::Complete);
        let kind = state.object.spec.resource_kind.clone();
        let Some((_, _, operation)) = LISTS.iter().find(|(_, listed, _)| *listed == kind) else { return Ok(()) };
        let target = NativeTarget {
            native_kind: kind.as_str().to_lowercase(),
            native_id: None,
            native_number: None,
            container: scope.container(),
        };
        let cursor = status.cursor.clone().map(Cursor);
        let mut call = Call::new(operation.clone(), &target);
        call.cursor = cursor.as_ref();
        call.page_size = scope.policy.backfill.page_size.and_then(|size| u16::try_from(size).ok());
        if !complete {
            let overlap = scope.policy.backfill.overlap.to_delta().unwrap_or_default();
            call.since = status.watermark.map(|watermark| watermark - overlap);
        }
        let answer = match self.call(scope, &call).await {
            Ok(answer) => answer,
            Err(DriverError::Provider(error)) => return self.interrupted(scope, state, &error).await,
            Err(other) => return Err(other),
        };
        let decoded = scope.backend.adapter.decode(&call, &answer.response, self.clock.now());
        if let Some(quota) = &decoded.quota {
            self.note(scope.backend.object.name(), |seen| seen.take_quota(quota));
        }
        let (objects, next) = match decoded.result {
            Ok(Outcome::Page { objects, next, .. }) => (objects, next),
            // Not an empty page: a complete backfill would bury everything.
            Ok(_) => {
                let error = ProviderError::new(ErrorClass::Decode, "the answer to a list is no page");
                return self.interrupted(scope, state, &error).await;
            }
            Err(error) => return self.interrupted(scope, state, &error).await,
        };
        let count = i64::try_from(objects.len()).unwrap_or(i64::MAX);
        let (progress_key, mut progress, revision) = self.progress(scope, &state.object).await?;
        let name = state.object.name().to_owned();
        let origin = Origin::Read { started_at: answer.started_at };
        let mut applied = 0_i64;
        for event in &objects {
            let outcome = self.apply(scope, event, origin, Shows::Backfill, Cause::Backfill(&name)).await?;
            if let (Applied::Hydrate, Normalized::PullRequest(pull)) = (&outcome, &event.normalized)
                && !self.is_linked(scope, event).await?
                && let Some(number) = pull.number
                && scope.interface(&Interface::GitForge).is_some()
            {
                self.read_numbered(scope, Kind::PullRequest, number).await?;
            }
            applied = applied.saturating_add(i64::from(matches!(outcome, Applied::Changed(_))));
            progress.newest = progress.newest.max(event.observed_version.updated_at);
            progress.met.insert(crate::object::link_name(
                scope.organization(),
                scope.provider(),
                &event.native_kind,
                &event.native_id,
            )?);
        }
        let mut changes = Changes::at(self.clock.now());
        let resumed = status.phase.clone();
        if resumed == krate_model::kinds::external::ExternalSyncStatePhase::Listing {
            self.advance(scope, &mut state, Event::Listed { objects: count, calls: 1 }, &mut changes)?;
            self.advance(scope, &mut state, Event::Hydrated { calls: 0 }, &mut changes)?;
            self.advance(scope, &mut state, Event::Applied { objects: applied }, &mut changes)?;
        }
        if let Some(next) = next {
            self.advance(scope, &mut state, Event::MorePages { cursor: next.0 }, &mut changes)?;
        } else {
            let tombstones = if complete { self.bury_unmet(scope, &state.object, &progress).await? } else { 0 };
            self.advance(scope, &mut state, Event::Ended { watermark: progress.newest, tombstones }, &mut changes)?;
        }
        let body = serde_json::to_vec(&progress).unwrap_or_default();
        changes.put_private(progress_key, revision, body);
        changes.put(&state)?;
        changes.commit(self.store()).await?;
        if next_is_end(&state.object) {
            self.binding_synced(scope, &state.object).await?;
        }
        Ok(())
    }

    async fn progress(&self, scope: &Scope, state: &ExternalSyncState) -> Result<(Key, Progress, Expect), DriverError> {
        let key = Key::new(Private::Cursor, scope.namespace(), state.name());
        let run_id = state.status.as_ref().and_then(|status| status.run_id.clone()).unwrap_or_default();
        let stored = self.store.get(&key).await?;
        let expect = stored.as_ref().map_or(Expect::Absent, |stored| Expect::At(stored.revision));
        let known = stored.and_then(|stored| serde_json::from_slice::<Progress>(&stored.body).ok());
        let progress =
            known.filter(|known| known.run_id == run_id).unwrap_or(Progress { run_id, ..Progress::default() });
        Ok((key, progress, expect))
    }

    /// S23: what a complete run didn't meet is gone, unless it was seen after the run began.
    async fn bury_unmet(
        &self,
        scope: &Scope,
        state: &ExternalSyncState,
        progress: &Progress,
    ) -> Result<i64, DriverError> {
        let started = state.status.as_ref().and_then(|status| status.started_at).unwrap_or(Time::UNIX_EPOCH);
        let kind = state.spec.resource_kind.as_str();
        let query = Query::new(Kind::ExternalObjectLink)
            .in_namespace(scope.namespace())
            .with(Index::Binding, scope.binding_name());
        let mut buried = 0_i64;
        for link in records::list::<ExternalObjectLink>(self.store(), query).await? {
            let Some(status) = &link.object.status else { continue };
            let seen = status.external.as_ref().and_then(|external| external.last_seen_at);
            let listed_here = link.object.spec.local_ref.kind == kind && is_listed(&link.object);
            if !listed_here
                || status.tombstone.is_some()
                || progress.met.contains(link.object.name())
                || seen.is_none_or(|seen| seen >= started)
            {
                continue;
            }
            let now = self.clock.now();
            let mut object = ObjectState::load(self.store(), scope.namespace(), link.object.name()).await?;
            let Some(link) = &mut object.link else { continue };
            let version = link
                .object
                .status
                .as_ref()
                .and_then(|status| status.external.as_ref())
                .map_or_else(Version::default, |external| external.version.clone());
            let status = link.change().status_mut();
            status.tombstone = Some(Tombstone { version, reason: TombstoneReason::Missing, at: now });
            status.phase = ExternalObjectLinkPhase::Tombstoned;
            if let Some(local) = &mut object.local {
                mark_deleted(local.change());
            }
            crate::observe::withdraw_unsent(&mut object, "the object is no longer at the provider", now)?;
            let draft = object.tell(scope, "ObjectMissing", controller(), now);
            object.audit.push(draft.reason("a complete backfill didn't meet it"));
            let mut changes = Changes::at(now);
            object.write(&mut changes)?;
            match changes.commit(self.store()).await {
                Ok(_) => buried = buried.saturating_add(1),
                // Somebody saw it just now: then it isn't gone.
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(buried)
    }

    async fn interrupted(
        &self,
        scope: &Scope,
        state: Loaded<ExternalSyncState>,
        error: &ProviderError,
    ) -> Result<(), DriverError> {
        let now = self.clock.now();
        let info = ErrorInfo {
            class: error.class.clone(),
            message: error.message.clone(),
            path: error.path.clone(),
            until: error.until,
            request_id: error.request_id.clone(),
            at: now,
        };
        let policy = Policy::of(&scope.policy);
        let event = match error.class {
            ErrorClass::RateLimited => Event::Limited { until: error.until.unwrap_or(now + policy.max_delay) },
            _ if error.is_retryable() => Event::Postponed {
                until: now + policy.backoff(self.seed, state.object.name(), 3).max(policy.base_delay),
                error: Some(info),
            },
            _ => Event::Failed { error: info },
        };
        self.step_state(scope, state, event).await.map(|_| ())
    }

    /// The first complete backfill makes a binding ready.
    async fn binding_synced(&self, scope: &Scope, state: &ExternalSyncState) -> Result<(), DriverError> {
        let all_done = self
            .states_of(scope)
            .await?
            .iter()
            .all(|state| state.object.status.as_ref().is_some_and(|status| status.last_complete_at.is_some()));
        let loaded = records::get(self.store(), scope.namespace(), scope.binding_name()).await?;
        let Some(mut binding): Option<Loaded<krate_model::kinds::external::ExternalBackendBinding>> = loaded else {
            return Ok(());
        };
        let now = self.clock.now();
        let interface = state.spec.interface.clone();
        let watermark = state.status.as_ref().and_then(|status| status.watermark);
        let status = binding.change().status_mut();
        match status.interfaces.iter_mut().find(|entry| entry.name == interface) {
            Some(entry) => {
                entry.initial_sync_done |= all_done;
                entry.ready |= all_done;
                entry.last_backfill_at = Some(now);
                entry.watermark = entry.watermark.max(watermark);
            }
            None => {
                if let Ok(mut entry) = serde_json::from_value::<krate_model::kinds::external::BindingInterfaceStatus>(
                    serde_json::json!({"name": interface.as_str()}),
                ) {
                    entry.last_backfill_at = Some(now);
                    entry.watermark = watermark;
                    entry.ready = all_done;
                    entry.initial_sync_done = all_done;
                    status.interfaces.push(entry);
                }
            }
        }
        if all_done
            && !matches!(
                status.phase,
                ExternalBackendBindingPhase::Paused
                    | ExternalBackendBindingPhase::Failed
                    | ExternalBackendBindingPhase::Conflict
            )
        {
            status.phase = ExternalBackendBindingPhase::Ready;
        }
        let mut changes = Changes::at(now);
        changes.put(&binding)?;
        match changes.commit(self.store()).await {
            Err(error) if !error.is_conflict() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

fn next_is_end(state: &ExternalSyncState) -> bool {
    state
        .status
        .as_ref()
        .is_some_and(|status| status.phase == krate_model::kinds::external::ExternalSyncStatePhase::Succeeded)
}

/// Comments on lines of a diff aren't in the list of comments.
fn is_listed(link: &ExternalObjectLink) -> bool {
    link.spec.external.native_kind != "pull_request_review_comment"
}

/// A complete run when the last one is too old, an incremental one else (S26).
fn next_mode(scope: &Scope, state: &ExternalSyncState, now: Time) -> BackfillMode {
    let full = scope.policy.backfill.full_resync_interval.to_delta().unwrap_or(chrono::TimeDelta::hours(24));
    let last = state.status.as_ref().and_then(|status| status.last_complete_at);
    match last {
        Some(last) if now - last < full => BackfillMode::Incremental,
        _ => BackfillMode::Complete,
    }
}

fn state_name(scope: &Scope, interface: &Interface, kind: &ResourceKind) -> Result<String, krate_model::NotCanonical> {
    derived_name(&format!("{}-{kind}", scope.binding_name()), &(scope.binding_name(), interface, kind))
}
