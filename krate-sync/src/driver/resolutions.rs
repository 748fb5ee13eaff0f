//! Putting a person's decision about a conflict in force (S27, S29), and taking local edits in.

use krate_model::Kind;
use krate_model::Resource;
use krate_model::kinds::external::{
    ExternalObjectLink, ExternalSyncConflict, ExternalSyncConflictPhase, IntentSourceKind, SeenVersions,
};
use krate_model::kinds::sets::{ErrorClass, ResolutionStrategy};
use krate_model::kinds::shared::{Actor, ErrorInfo, ObjectRef};
use krate_model::store::Stored;

use super::{Config, Driver, DriverError, MAX_RACES};
use crate::local::{Local, each};
use crate::machines::conflict::{self, Effect, Event};
use crate::machines::{Ctx, Due, Policy};
use crate::merge::FieldValue;
use crate::object::{ObjectState, controller, full_value};
use crate::plan::{Wish, plan, plan_create, target_of};
use crate::records::{self, Changes, Loaded, bump_generation};
use crate::scope::Scope;

impl Driver {
    pub(super) async fn settle_conflict(&self, stored: &Stored, config: &Config) -> Result<(), DriverError> {
        let found = records::parse::<ExternalSyncConflict>(stored)?;
        let Some(scope) = config.scope(&found.object.spec.binding_ref) else { return Ok(()) };
        match conflict::due(&found.object) {
            Due::Now(effect) => self.settle(scope, &found.object, effect).await,
            Due::At(_) | Due::Idle => Ok(()),
        }
    }

    async fn settle(&self, scope: &Scope, found: &ExternalSyncConflict, effect: Effect) -> Result<(), DriverError> {
        let now = self.clock.now();
        let mut state = self.state_of_conflict(scope, found).await?;
        let Some(at) = state.conflicts.iter().position(|known| known.object.name() == found.name()) else {
            return Ok(());
        };
        let mut changes = Changes::at(now);
        let by = found.status.as_ref().and_then(|status| status.resolved_by.clone()).unwrap_or_else(controller);
        match effect {
            Effect::Choose | Effect::Ignore => {
                // Whoever wrote the command is in the audit of that write; the machine needs the versions of both sides (S29).
                let current = Box::new(current(&state, &found.spec));
                let event = if effect == Effect::Choose {
                    Event::Chosen { by, current }
                } else {
                    Event::Ignored { by, current }
                };
                if let Err(refused) = self.step_conflict(scope, &mut state, at, event, &mut changes) {
                    // StaleResolution and the like: the command is used up, the conflict stays open, and says why.
                    let info = ErrorInfo {
                        class: ErrorClass::Precondition,
                        message: refused.to_string(),
                        path: Some("spec.resolution".to_owned()),
                        until: None,
                        request_id: None,
                        at: now,
                    };
                    let conflict = state.conflicts[at].change();
                    conflict.spec.resolution = None;
                    conflict.status_mut().error = Some(info);
                }
            }
            Effect::Apply => self.apply_resolution(scope, &mut state, at, &by, &mut changes).await?,
        }
        state.write(&mut changes)?;
        changes.commit(self.store()).await?;
        Ok(())
    }

    async fn state_of_conflict(&self, scope: &Scope, found: &ExternalSyncConflict) -> Result<ObjectState, DriverError> {
        let link = records::get::<ExternalObjectLink>(self.store(), scope.namespace(), &found.spec.link_ref).await?;
        let mut state = match link {
            Some(link) => ObjectState::load(self.store(), scope.namespace(), link.object.name()).await?,
            None => ObjectState::load_of_local(self.store(), scope.namespace(), &found.spec.resource).await?,
        };
        if !state.conflicts.iter().any(|known| known.object.name() == found.name()) {
            let known = records::get::<ExternalSyncConflict>(self.store(), scope.namespace(), found.name()).await?;
            state.conflicts.extend(known);
        }
        Ok(state)
    }

    fn step_conflict(
        &self,
        scope: &Scope,
        state: &mut ObjectState,
        at: usize,
        event: Event,
        changes: &mut Changes,
    ) -> Result<(), crate::machines::Refused> {
        let actor = controller();
        let policy = Policy::of(&scope.policy);
        let ctx = Ctx { now: self.clock.now(), actor: &actor, policy: &policy, seed: self.seed };
        let Some(loaded) = state.conflicts.get_mut(at) else { return Ok(()) };
        let step = conflict::step(&loaded.object, event, &ctx)?;
        changes.audit_all(crate::moves::take(loaded, step));
        Ok(())
    }

    async fn apply_resolution(
        &self,
        scope: &Scope,
        state: &mut ObjectState,
        at: usize,
        by: &Actor,
        changes: &mut Changes,
    ) -> Result<(), DriverError> {
        let now = self.clock.now();
        let found = state.conflicts[at].object.clone();
        let Some(resolution) = found.spec.resolution.clone() else { return Ok(()) };
        let path = found.spec.field_path.clone();
        let observed = full_value(self.store(), scope.namespace(), &found.spec.observed).await?;
        let rule = scope.rules(&found.spec.interface, kind_of(&found)).into_iter().find(|rule| rule.path == path);
        let Some(rule) = rule else {
            // A write that nobody can vouch for has no field: the intent itself is settled.
            return self.settle_intent(scope, state, at, &resolution.strategy, changes);
        };
        let theirs = FieldValue::from_owned(observed.unwrap_or(serde_json::Value::Null));
        state.set_base(&rule, &theirs)?;
        let mine = match &resolution.strategy {
            ResolutionStrategy::PreferExternal => Some(theirs),
            ResolutionStrategy::Manual => {
                let value = resolution.value.as_ref();
                let json = match value {
                    Some(value) => full_value(self.store(), scope.namespace(), value).await?,
                    None => None,
                };
                Some(FieldValue::from_owned(json.unwrap_or(serde_json::Value::Null)))
            }
            _ => None,
        };
        if let (Some(value), Some(local)) = (mine, &mut state.local) {
            local.dirty = true;
            local.object.set(&path, &value, scope.body_format());
        }
        state.wish_anew();
        // The conflict is over before the plan looks, or the field would be held back.
        self.step_conflict(scope, state, at, Event::Applied { intent: None }, changes)?;
        let wish = Wish {
            actor: by.clone(),
            kind: IntentSourceKind::ConflictResolution,
            cause: Some(ObjectRef::new(Kind::ExternalSyncConflict.as_str(), found.name())),
            review: resolution.strategy == ResolutionStrategy::ReviewedWrite,
            now,
        };
        plan(state, scope, &wish)?;
        let intent = state.intents.last().filter(|intent| intent.revision.is_none());
        let intent = intent.map(|intent| intent.object.name().to_owned());
        state.conflicts[at].change().status_mut().resolution_intent = intent;
        Ok(())
    }

    /// A conflict about a write as a whole: send it again, or let it be.
    fn settle_intent(
        &self,
        scope: &Scope,
        state: &mut ObjectState,
        at: usize,
        strategy: &ResolutionStrategy,
        changes: &mut Changes,
    ) -> Result<(), DriverError> {
        use crate::machines::intent;
        let now = self.clock.now();
        let name = state.conflicts[at].object.spec.intent_ref.clone().unwrap_or_default();
        if let Some(loaded) = state.intents.iter_mut().find(|intent| intent.object.name() == name) {
            let spec = &loaded.object.spec;
            let event = match strategy {
                ResolutionStrategy::PreferKrate => intent::Event::Reissued {
                    request: Box::new(intent::Reissue {
                        payload: spec.payload.clone(),
                        precondition: spec.precondition.clone(),
                        desired_generation: spec.desired_generation,
                        idempotency_key: spec.idempotency_key,
                        request_digest: spec.request_digest,
                    }),
                },
                other => intent::Event::Withdrawn { reason: other.to_string() },
            };
            let policy = Policy::of(&scope.policy);
            let actor = controller();
            let ctx = Ctx { now, actor: &actor, policy: &policy, seed: self.seed };
            let step = intent::step(&loaded.object, event, &ctx)?;
            changes.audit_all(crate::moves::take(loaded, step));
        }
        Ok(self.step_conflict(scope, state, at, Event::Applied { intent: Some(name) }, changes)?)
    }

    /// Takes a person's or an agent's change of an object in: what `edit` does to it is stored, and what follows is planned, in one commit.
    ///
    /// # Errors
    /// [`DriverError::Plan`] when the change can't be carried: nothing is stored then.
    pub async fn edit(
        &self,
        namespace: &str,
        object: &ObjectRef,
        actor: &Actor,
        edit: &(dyn Fn(&mut Local) + Sync),
    ) -> Result<Local, DriverError> {
        for attempt in 0.. {
            match Box::pin(self.try_edit(namespace, object, actor, edit)).await {
                Err(error) if error.is_race() && attempt < MAX_RACES => {}
                done => return done,
            }
        }
        Err(not_there(object))
    }

    async fn try_edit(
        &self,
        namespace: &str,
        object: &ObjectRef,
        actor: &Actor,
        edit: &(dyn Fn(&mut Local) + Sync),
    ) -> Result<Local, DriverError> {
        let now = self.clock.now();
        let config = Config::load(self.store()).await?;
        let mut state = ObjectState::load_of_local(self.store(), namespace, object).await?;
        let Some(local) = &mut state.local else { return Err(not_there(object)) };
        let before = local.object.clone();
        edit(&mut local.object);
        if local.object == before {
            return Ok(before);
        }
        each!(&mut local.object, object => bump_generation(object));
        local.dirty = true;
        let scope = match &state.link {
            Some(link) => config.scope(&link.object.spec.binding_ref),
            None => None,
        };
        if let Some(scope) = scope {
            plan(&mut state, scope, &Wish::of(actor.clone(), now))?;
        }
        self.commit_state(state).await
    }

    /// Makes a new object here; where its repository is bound, the provider gets it too.
    ///
    /// # Errors
    /// As [`Self::edit`]; and a conflict when the name is taken.
    pub async fn create(&self, local: Local, actor: &Actor) -> Result<Local, DriverError> {
        let now = self.clock.now();
        let config = Config::load(self.store()).await?;
        let namespace = local.namespace().to_owned();
        let mut subject = None;
        let mut repository = local.repository().map(str::to_owned);
        let mut scope: Option<&Scope> = None;
        if let Local::Comment(comment) = &local {
            let about = ObjectState::load_of_local(self.store(), &namespace, &comment.spec.subject).await?;
            repository = about.local.as_ref().and_then(|local| local.object.repository().map(str::to_owned));
            if let Some(link) = &about.link {
                scope = config.scope(&link.object.spec.binding_ref);
                subject = scope.and_then(|scope| target_of(&about, scope));
            }
        }
        scope = scope.or_else(|| config.scope_of_repository(&namespace, &repository?));
        let mut state = ObjectState { local: Some(Loaded::new(local)), ..ObjectState::default() };
        if let Some(scope) = scope {
            plan_create(&mut state, scope, &Wish::of(actor.clone(), now), subject.as_ref())?;
        }
        self.commit_state(state).await
    }

    async fn commit_state(&self, mut state: ObjectState) -> Result<Local, DriverError> {
        let mut changes = Changes::at(self.clock.now());
        state.write(&mut changes)?;
        changes.commit(self.store()).await?;
        state.local.map(|local| local.object).ok_or(DriverError::NotFound { what: "object", name: String::new() })
    }

    /// Writes a person's decision about a conflict; it is put in force in the next pass.
    ///
    /// # Errors
    /// [`DriverError::NotFound`] when there is no such conflict, or it isn't open.
    pub async fn resolve(
        &self,
        namespace: &str,
        conflict: &str,
        resolution: krate_model::kinds::external::Resolution,
        actor: &Actor,
    ) -> Result<(), DriverError> {
        let found = records::get::<ExternalSyncConflict>(self.store(), namespace, conflict).await?;
        let missing = || DriverError::NotFound { what: "open conflict", name: conflict.to_owned() };
        let mut found = found.ok_or_else(missing)?;
        let open = found.object.status.as_ref().is_none_or(|status| status.phase == ExternalSyncConflictPhase::Open);
        if !open {
            return Err(missing());
        }
        found.change().spec.resolution = Some(resolution);
        found.object.status_mut().resolved_by = Some(actor.clone());
        let mut changes = Changes::at(self.clock.now());
        changes.put(&found)?;
        changes.commit(self.store()).await?;
        Ok(())
    }
}

fn kind_of(conflict: &ExternalSyncConflict) -> Kind {
    Kind::lookup(&conflict.spec.resource.kind).unwrap_or(Kind::Issue)
}

/// Where both sides stand, as far as the conflict's field is concerned (S29): the conflict's own versions while its values still hold.
fn current(state: &ObjectState, spec: &krate_model::kinds::external::ExternalSyncConflictSpec) -> SeenVersions {
    let held = state.local.as_ref().is_some_and(|local| {
        let now = krate_model::kinds::shared::Value::of(local.object.get(&spec.field_path).to_json().as_ref(), 0);
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

fn not_there(object: &ObjectRef) -> DriverError {
    DriverError::NotFound { what: "object", name: format!("{}/{}", object.kind, object.name) }
}
