//! Reading lists: page by page, applied before the cursor moves (S21 to S26).

use krate_model::kinds::external::{BackfillMode, ExternalSyncState, ExternalSyncStateSpec};
use krate_model::kinds::sets::{Interface, Operation};
use krate_model::kinds::shared::Time;
use krate_model::observation::ResourceKind;
use krate_model::store::{Index, Query, Stored};
use krate_model::{Kind, Resource, derived_name};

use super::{Config, Driver, DriverError};
use crate::machines::backfill::{self, Effect, Event};
use crate::machines::{Ctx, Due, Gate, Policy};
use crate::object::controller;
use crate::records::{self, Changes, Loaded};
use crate::scope::Scope;

/// What is listed: which interface, which kind, by which operation. Comments come last, since they need what they are about.
pub(super) const LISTS: [(Interface, ResourceKind, Operation); 3] = [
    (Interface::IssueTracking, ResourceKind::Issue, Operation::ListIssues),
    (Interface::GitForge, ResourceKind::PullRequest, Operation::ListPullRequests),
    (Interface::IssueTracking, ResourceKind::Comment, Operation::ListComments),
];

/// How long the list of comments waits at least for the lists of what they are about.
const BLOCKED_PAUSE: chrono::TimeDelta = chrono::TimeDelta::milliseconds(200);

/// How long a list waits while it is held back by a pause.
const HELD_PAUSE: chrono::TimeDelta = chrono::TimeDelta::seconds(60);

impl Driver {
    /// Makes the records of the lists that the bindings need; the first run of each is complete.
    pub(super) async fn ensure_states(&self, config: &Config, now: Time) -> Result<(), DriverError> {
        for scope in config.scopes() {
            for (interface, kind, operation) in &LISTS {
                if scope.interface(interface).is_none() || scope.operation(operation).is_none() {
                    continue;
                }
                let name = state_name(scope, interface, kind)?;
                // Each pass asks for all of them: whether it is there is all that counts.
                let key = records::key_of::<ExternalSyncState>(scope.namespace(), &name);
                if self.store.get(&key).await?.is_some() {
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
    pub async fn request_backfill(
        &self,
        namespace: &str,
        binding: &str,
        mode: BackfillMode,
    ) -> Result<(), DriverError> {
        let now = self.clock.now();
        let config = self.config().await?;
        Box::pin(self.ensure_states(&config, now)).await?;
        let scope = config
            .scope(namespace, binding)
            .ok_or_else(|| DriverError::NotFound { what: "binding", name: binding.to_owned() })?;
        for state in self.states_of(scope).await? {
            if !backfill::is_running(&state.object) {
                self.step_state(scope, state, Event::Requested { mode: mode.clone(), at: now }).await?;
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

    pub(super) async fn step_state(
        &self,
        scope: &Scope,
        state: Loaded<ExternalSyncState>,
        event: Event,
    ) -> Result<Loaded<ExternalSyncState>, DriverError> {
        self.step_state_with(scope, state, event, Changes::at(self.clock.now())).await
    }

    /// The same, together with `changes`.
    async fn step_state_with(
        &self,
        scope: &Scope,
        mut state: Loaded<ExternalSyncState>,
        event: Event,
        mut changes: Changes,
    ) -> Result<Loaded<ExternalSyncState>, DriverError> {
        self.advance(scope, &mut state, event, &mut changes)?;
        changes.put(&state)?;
        let revision = changes.commit(self.store()).await?;
        state.revision = Some(revision);
        state.dirty = false;
        Ok(state)
    }

    pub(super) fn advance(
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
        // R21: the lists of a binding that is deleted are about to go.
        let scope =
            config.scope(state.object.namespace(), &state.object.spec.binding_ref).filter(|scope| !scope.is_going());
        let Some(scope) = scope else { return Ok(()) };
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

    /// Until when the list of comments waits for what they are about, which has to be read once before; nothing where it needn't wait.
    async fn blocked(&self, scope: &Scope, state: &ExternalSyncState, now: Time) -> Result<Option<Time>, DriverError> {
        if state.spec.resource_kind != ResourceKind::Comment {
            return Ok(None);
        }
        let mut until = None;
        for other in self.states_of(scope).await? {
            let status = other.object.status.unwrap_or_default();
            let first = status.last_complete_at.is_none() && status.error.is_none();
            if first && other.object.spec.resource_kind != ResourceKind::Comment {
                until = until.max(status.not_before.max(Some(now + BLOCKED_PAUSE)));
            }
        }
        Ok(until)
    }

    async fn start_run(&self, scope: &Scope, state: Loaded<ExternalSyncState>, now: Time) -> Result<(), DriverError> {
        if scope.is_paused() || !scope.is_validated() {
            let held = Event::Postponed { until: now + HELD_PAUSE, error: None };
            // Another process may have validated it since the configuration was read: then nothing holds the list back.
            let mut changes = Changes::at(now);
            changes.keep(scope.binding.as_ref());
            return self.step_state_with(scope, state, held, changes).await.map(|_| ());
        }
        if let Some(until) = self.blocked(scope, &state.object, now).await? {
            return self.step_state(scope, state, Event::Postponed { until, error: None }).await.map(|_| ());
        }
        let mode = state
            .object
            .status
            .as_ref()
            .and_then(|status| status.mode.clone())
            .unwrap_or_else(|| next_mode(scope, &state.object, now));
        if mode == BackfillMode::Complete {
            // What its target is called is for people, and may be asked for another time.
            let _ = self.see_target(scope).await;
        }
        let run_id = derived_name("run", &(state.object.name(), now.timestamp_micros()))?;
        let state = self.step_state(scope, state, Event::Started { run_id, mode, gate: Gate::Open }).await?;
        self.page(scope, state).await
    }
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

pub(super) fn state_name(
    scope: &Scope,
    interface: &Interface,
    kind: &ResourceKind,
) -> Result<String, krate_model::NotCanonical> {
    derived_name(&format!("{}-{kind}", scope.binding_name()), &(scope.binding_name(), interface, kind))
}
