//! Putting a person's decision about a conflict in force (S27, S29).

use krate_model::kinds::external::{
    ExternalObjectLink, ExternalSyncConflict, ExternalSyncConflictPhase, ExternalWriteIntentPhase, IntentSourceKind,
    Payload, Resolution, SeenVersions,
};
use krate_model::kinds::sets::{ErrorClass, Interface, ResolutionStrategy};
use krate_model::kinds::shared::{Actor, ErrorInfo, ObjectRef, Time, Value};
use krate_model::store::Stored;
use krate_model::{Kind, NotCanonical, Resource};

use super::intents::reissued;
use super::{Config, Driver, DriverError};
use crate::local::each;
use crate::machines::conflict::{self, Effect, Event};
use crate::machines::intent;
use crate::machines::{Ctx, Due, Policy};
use crate::merge::FieldValue;
use crate::mistakes::{Mistake, made};
use crate::object::{ObjectState, controller, full_value};
use crate::observe::is_lost_edit;
use crate::plan::{PlanError, Wish, asked_again, before, payload_value, plan};
use crate::records::{self, Changes, Loaded, bump_generation};
use crate::scope::Scope;

impl Driver {
    pub(super) async fn settle_conflict(&self, stored: &Stored, config: &Config) -> Result<(), DriverError> {
        let found = records::parse::<ExternalSyncConflict>(stored)?;
        let Some(scope) = config.scope(found.object.namespace(), &found.object.spec.binding_ref) else { return Ok(()) };
        match conflict::due(&found.object) {
            Due::Now(effect) => self.settle(scope, &found.object, effect).await,
            Due::At(_) | Due::Idle => Ok(()),
        }
    }

    async fn settle(&self, scope: &Scope, found: &ExternalSyncConflict, effect: Effect) -> Result<(), DriverError> {
        let failed = match self.try_settle(scope, found, effect).await {
            Err(DriverError::Plan(error)) => error.to_string(),
            done => return done,
        };
        // The decision can't be carried out as it is: the conflict is open again, and says why. Left as it was it would be tried for ever.
        let now = self.clock.now();
        let mut state = self.state_of_conflict(scope.namespace(), found).await?;
        let mut changes = Changes::at(now);
        let error = info(ErrorClass::Validation, failed, now);
        self.step_conflict(scope, &mut state, found.name(), Event::ApplyFailed { error }, &mut changes)?;
        state.write(&mut changes)?;
        changes.commit(self.store()).await?;
        Ok(())
    }

    async fn try_settle(&self, scope: &Scope, found: &ExternalSyncConflict, effect: Effect) -> Result<(), DriverError> {
        let now = self.clock.now();
        let mut state = self.state_of_conflict(scope.namespace(), found).await?;
        if conflict_named(&mut state, found.name()).is_none() {
            return Ok(());
        }
        let mut changes = Changes::at(now);
        let by = found.status.as_ref().and_then(|status| status.resolved_by.clone()).unwrap_or_else(controller);
        match effect {
            Effect::Choose | Effect::Ignore => {
                // Whoever wrote the command is in the audit of that write.
                let event = decided(found, by, &state);
                if let Err(refused) = self.step_conflict(scope, &mut state, found.name(), event, &mut changes) {
                    // StaleResolution and the like: the command is used up, the conflict stays open, and says why.
                    let mut info = info(ErrorClass::Precondition, refused.to_string(), now);
                    info.path = Some("spec.resolution".to_owned());
                    if let Some(conflict) = conflict_named(&mut state, found.name()) {
                        let conflict = conflict.change();
                        conflict.spec.resolution = None;
                        conflict.status_mut().error = Some(info);
                    }
                }
            }
            Effect::Apply => self.apply_resolution(scope, &mut state, found.name(), &by, &mut changes).await?,
        }
        state.write(&mut changes)?;
        changes.commit(self.store()).await?;
        Ok(())
    }

    pub(super) async fn state_of_conflict(
        &self,
        namespace: &str,
        found: &ExternalSyncConflict,
    ) -> Result<ObjectState, DriverError> {
        let link = records::get::<ExternalObjectLink>(self.store(), namespace, &found.spec.link_ref).await?;
        let mut state = match link {
            Some(link) => ObjectState::load(self.store(), namespace, link.object.name()).await?,
            None => ObjectState::load_of_local(self.store(), namespace, &found.spec.resource).await?,
        };
        if !state.conflicts.iter().any(|known| known.object.name() == found.name()) {
            let known = records::get::<ExternalSyncConflict>(self.store(), namespace, found.name()).await?;
            state.conflicts.extend(known);
        }
        Ok(state)
    }

    fn step_conflict(
        &self,
        scope: &Scope,
        state: &mut ObjectState,
        name: &str,
        event: Event,
        changes: &mut Changes,
    ) -> Result<(), crate::machines::Refused> {
        let actor = controller();
        let policy = Policy::of(&scope.policy);
        let ctx = Ctx { now: self.clock.now(), actor: &actor, policy: &policy, seed: self.seed };
        let Some(loaded) = conflict_named(state, name) else { return Ok(()) };
        let step = conflict::step(&loaded.object, event, &ctx)?;
        changes.audit_all(crate::moves::take(loaded, step));
        Ok(())
    }

    async fn apply_resolution(
        &self,
        scope: &Scope,
        state: &mut ObjectState,
        name: &str,
        by: &Actor,
        changes: &mut Changes,
    ) -> Result<(), DriverError> {
        let now = self.clock.now();
        let Some(found) = conflict_named(state, name).map(|loaded| loaded.object.clone()) else { return Ok(()) };
        let Some(resolution) = found.spec.resolution.clone() else { return Ok(()) };
        if current(state, &found.spec) != found.spec.versions && !made(Mistake::StaleDecision) {
            // An edit came in after the decision was taken up: whoever decided hasn't seen it (S29).
            let message = "spec.resolution: the field was changed here since it was decided; look again".to_owned();
            let mut error = info(ErrorClass::Precondition, message, now);
            error.path = Some("spec.resolution".to_owned());
            return Ok(self.step_conflict(scope, state, name, Event::ApplyFailed { error }, changes)?);
        }
        let path = found.spec.field_path.clone();
        let rule = scope.rules(&found.spec.interface, kind_of(&found)).into_iter().find(|rule| rule.path == path);
        let Some(rule) = rule else {
            // A write that nobody can vouch for has no field: the intent itself is settled.
            return self.settle_intent(scope, state, &found, &resolution.strategy, changes);
        };
        let theirs = FieldValue::from_owned(self.kept_value(&found, &found.spec.observed).await?);
        // The provider has krate's value where it wrote theirs over.
        if !is_lost_edit(&found) {
            state.set_base(&rule, &theirs)?;
        }
        let mine = match &resolution.strategy {
            ResolutionStrategy::PreferExternal if made(Mistake::ExternalIgnored) => None,
            ResolutionStrategy::PreferKrate if made(Mistake::KrateIgnored) => Some(theirs),
            ResolutionStrategy::PreferExternal => Some(theirs),
            ResolutionStrategy::Manual => {
                let json = match &resolution.value {
                    Some(value) => self.kept_value(&found, value).await?,
                    None => serde_json::Value::Null,
                };
                Some(FieldValue::from_owned(json))
            }
            _ => None,
        };
        if let (Some(value), Some(local)) = (mine, &mut state.local) {
            if resolution.strategy == ResolutionStrategy::Manual && !local.object.can_hold(&path, &value) {
                return Err(PlanError::NoSuchValue { path }.into());
            }
            local.dirty = true;
            local.object.set(&path, &value, scope.body_format());
        }
        state.wish_anew();
        // The conflict is over before the plan looks, or the field would be held back.
        self.step_conflict(scope, state, name, Event::Applied { intent: None }, changes)?;
        let wish = Wish {
            actor: by.clone(),
            kind: IntentSourceKind::ConflictResolution,
            cause: Some(ObjectRef::new(Kind::ExternalSyncConflict.as_str(), found.name())),
            decides: Some(path),
            review: resolution.strategy == ResolutionStrategy::ReviewedWrite,
            now,
        };
        plan(state, scope, &wish)?;
        let intent = state.intents.last().filter(|intent| intent.revision.is_none());
        let intent = intent.map(|intent| intent.object.name().to_owned());
        if let Some(conflict) = conflict_named(state, name) {
            conflict.change().status_mut().resolution_intent = intent;
        }
        Ok(())
    }

    /// A conflict about a write as a whole: send it again, or let it be.
    fn settle_intent(
        &self,
        scope: &Scope,
        state: &mut ObjectState,
        found: &ExternalSyncConflict,
        strategy: &ResolutionStrategy,
        changes: &mut Changes,
    ) -> Result<(), DriverError> {
        let now = self.clock.now();
        let name = found.spec.intent_ref.clone().unwrap_or_default();
        let actor = controller();
        let policy = Policy::of(&scope.policy);
        let ctx = Ctx { now, actor: &actor, policy: &policy, seed: self.seed };
        if let Some(loaded) = state.intents.iter_mut().find(|intent| intent.object.name() == name) {
            let event = match strategy {
                ResolutionStrategy::PreferKrate => {
                    let spec = &loaded.object.spec;
                    reissued(scope, spec, spec.desired_generation.saturating_add(1), None)?
                }
                other => intent::Event::Withdrawn { reason: other.to_string() },
            };
            let taken_back =
                matches!(event, intent::Event::Withdrawn { .. }).then(|| loaded.object.spec.payload.clone());
            let step = intent::step(&loaded.object, event, &ctx)?;
            changes.audit_all(crate::moves::take(loaded, step));
            if loaded
                .object
                .status
                .as_ref()
                .is_some_and(|status| status.phase == ExternalWriteIntentPhase::PendingApproval)
            {
                state.approvals.push(asked_again(scope, &loaded.object, now)?);
            }
            if let Some(payload) = taken_back.filter(|_| !made(Mistake::WishKept)) {
                take_back(state, scope, &payload, &found.spec.interface)?;
            }
            // What was wished for since the conflict was held.
            if !made(Mistake::WishLost) {
                state.wish_anew();
                plan(state, scope, &Wish::reconcile(now))?;
            }
        }
        Ok(self.step_conflict(scope, state, found.name(), Event::Applied { intent: Some(name) }, changes)?)
    }

    /// A value that a conflict or its decision names: what isn't there is no absent field.
    async fn kept_value(
        &self,
        conflict: &ExternalSyncConflict,
        value: &Value,
    ) -> Result<serde_json::Value, DriverError> {
        let kept = full_value(self.store(), conflict.namespace(), value).await?;
        let missing = || PlanError::ValueNotKept { path: conflict.spec.field_path.clone(), bytes: value.bytes };
        Ok(kept.ok_or_else(missing)?)
    }

    /// Refuses a value that its field can't hold.
    async fn judge_value(&self, conflict: &ExternalSyncConflict, state: &ObjectState) -> Result<(), DriverError> {
        let path = &conflict.spec.field_path;
        let given = conflict.spec.resolution.as_ref().and_then(|resolution| resolution.value.as_ref());
        let (Some(value), Some(local)) = (given, &state.local) else { return Ok(()) };
        let value = FieldValue::from_owned(self.kept_value(conflict, value).await?);
        if local.object.can_hold(path, &value) {
            return Ok(());
        }
        Err(PlanError::NoSuchValue { path: path.clone() }.into())
    }

    /// Writes a person's decision about a conflict; it is put in force in the next pass.
    ///
    /// # Errors
    /// [`DriverError::NotFound`] when there is no such conflict, or it isn't open; [`DriverError::Replaced`] or [`DriverError::Refused`] when a side has moved since the
    /// person looked (S29), or the conflict can't be decided so. Nothing is stored then.
    pub async fn resolve(
        &self,
        namespace: &str,
        conflict: &str,
        resolution: Resolution,
        actor: &Actor,
    ) -> Result<(), DriverError> {
        let found = records::get::<ExternalSyncConflict>(self.store(), namespace, conflict).await?;
        let missing = || DriverError::NotFound { what: "open conflict", name: conflict.to_owned() };
        let mut found = found.ok_or_else(missing)?;
        if let Some(by) = found.object.status.as_ref().and_then(|status| status.superseded_by.clone()) {
            return Err(DriverError::Replaced { conflict: conflict.to_owned(), by });
        }
        let open = found.object.status.as_ref().is_none_or(|status| status.phase == ExternalSyncConflictPhase::Open);
        if !open {
            return Err(missing());
        }
        let config = self.config().await?;
        let binding = found.object.spec.binding_ref.clone();
        let scope = config
            .scope(namespace, &binding)
            .ok_or(DriverError::NotFound { what: "binding", name: binding.clone() })?;
        let state = self.state_of_conflict(namespace, &found.object).await?;
        found.change().spec.resolution = Some(resolution);
        // The next pass would refuse it: whoever decides hears of it while they look.
        let policy = Policy::of(&scope.policy);
        let ctx = Ctx { now: self.clock.now(), actor, policy: &policy, seed: self.seed };
        conflict::step(&found.object, decided(&found.object, actor.clone(), &state), &ctx)?;
        self.judge_value(&found.object, &state).await?;
        found.object.status_mut().resolved_by = Some(actor.clone());
        let mut changes = Changes::at(self.clock.now());
        changes.put(&found)?;
        changes.commit(self.store()).await?;
        Ok(())
    }
}

/// The decision that stands in a conflict, with the versions that both sides have now (S29).
fn decided(conflict: &ExternalSyncConflict, by: Actor, state: &ObjectState) -> Event {
    let current = Box::new(current(state, &conflict.spec));
    let ignores = |resolution: &Resolution| resolution.strategy == ResolutionStrategy::Ignore;
    if conflict.spec.resolution.as_ref().is_some_and(ignores) {
        Event::Ignored { by, current }
    } else {
        Event::Chosen { by, current }
    }
}

/// What `payload` wished for is no longer: its fields are as they were before, but for what was wished for since. What they were before is read where nobody
/// kept it.
pub(super) fn take_back(
    state: &mut ObjectState,
    scope: &Scope,
    payload: &Payload,
    interface: &Interface,
) -> Result<(), NotCanonical> {
    let Some(kind) = state.local.as_ref().map(|local| local.object.kind()) else { return Ok(()) };
    let mut is_changed = false;
    for rule in scope.rules(interface, kind) {
        let known = before(state, payload, &rule);
        let wished = payload_value(payload, &rule.path);
        let Some(local) = &mut state.local else { return Ok(()) };
        let newer = wished.as_ref().is_some_and(|wished| local.object.get(&rule.path) != *wished);
        match (known, wished) {
            _ if newer => {}
            (Some(value), _) => {
                is_changed |= local.object.get(&rule.path) != value;
                local.dirty = true;
                local.object.set(&rule.path, &value, scope.body_format());
            }
            (None, Some(wished)) if state.open_conflict(&rule.path).is_none() => state.ask_for(&rule, &wished)?,
            (None, _) => {}
        }
    }
    if let Some(local) = state.local.as_mut().filter(|_| is_changed) {
        each!(&mut local.object, object => bump_generation(object));
    }
    Ok(())
}

fn conflict_named<'s>(state: &'s mut ObjectState, name: &str) -> Option<&'s mut Loaded<ExternalSyncConflict>> {
    state.conflicts.iter_mut().find(|known| known.object.name() == name)
}

fn info(class: ErrorClass, message: String, at: Time) -> ErrorInfo {
    ErrorInfo { class, message, path: None, until: None, request_id: None, at }
}

fn kind_of(conflict: &ExternalSyncConflict) -> Kind {
    Kind::lookup(&conflict.spec.resource.kind).unwrap_or(Kind::Issue)
}

/// Where both sides stand, as far as the conflict's field is concerned (S29): the conflict's own versions while its values still hold.
fn current(state: &ObjectState, spec: &krate_model::kinds::external::ExternalSyncConflictSpec) -> SeenVersions {
    let held = state.local.as_ref().is_some_and(|local| {
        let now = Value::of(local.object.get(&spec.field_path).to_json().as_ref(), 0);
        now.is_ok_and(|now| now.digest == spec.desired.digest)
    });
    // The provider's side moving makes a newer conflict, or none (S28): while this one is open, its observed version holds.
    if held || state.local.is_none() || spec.field_path.starts_with("operation.") {
        spec.versions.clone()
    } else {
        SeenVersions {
            desired_generation: state.local.as_ref().map_or(0, |local| local.object.generation()),
            observed: spec.versions.observed.clone(),
        }
    }
}
