//! Taking local edits in: what a person or an agent changes or makes here, and the writes that follow, in one commit.

use krate_model::audit::{AuditDraft, AuditOutcome};
use krate_model::kinds::sets::Interface;
use krate_model::kinds::shared::{Actor, ObjectRef, Time};
use krate_model::{Kind, NotCanonical, canonical_digest};

use super::{Config, Driver, DriverError, MAX_RACES};
use crate::local::{Local, each, spec_fields};
use crate::merge::FieldValue;
use crate::object::{ObjectState, is_nobodys};
use crate::plan::{PlanError, Wish, is_deleted, plan, plan_create, target_of};
use crate::records::{Changes, Loaded, bump_generation};
use crate::scope::Scope;

impl Driver {
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
        let config = self.config().await?;
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
            // An object whose binding is gone is local.
            Some(link) if !is_nobodys(&link.object) => Some(usable(&config, namespace, &link.object.spec.binding_ref)?),
            _ => None,
        };
        let told = told(&state, scope, Some(&before), actor, now)?;
        if let Some(scope) = scope {
            plan(&mut state, scope, &Wish::of(actor.clone(), now))?;
        }
        let mut changes = Changes::at(now);
        changes.audit_all(told);
        self.commit_state(state, changes).await
    }

    /// Makes a new object here; where its repository is bound, the provider gets it too.
    ///
    /// # Errors
    /// As [`Self::edit`]; and a conflict when the name is taken.
    pub async fn create(&self, local: Local, actor: &Actor) -> Result<Local, DriverError> {
        for _ in 0..MAX_RACES {
            match Box::pin(self.try_create(local.clone(), actor)).await {
                Err(error) if error.is_race_about(Kind::ExternalBackendBinding) => {}
                done => return done,
            }
        }
        Box::pin(self.try_create(local, actor)).await
    }

    async fn try_create(&self, mut local: Local, actor: &Actor) -> Result<Local, DriverError> {
        let now = self.clock.now();
        let config = self.config().await?;
        let namespace = local.namespace().to_owned();
        let mut subject = None;
        let mut repository = local.repository().map(str::to_owned);
        let mut scope: Option<&Scope> = None;
        let mut owner = None;
        if let Local::Comment(comment) = &local {
            let about = ObjectState::load_of_local(self.store(), &namespace, &comment.spec.subject).await?;
            repository = about.local.as_ref().and_then(|local| local.object.repository().map(str::to_owned));
            owner = about.local.as_ref().map(|owner| owner.object.as_owner());
            if is_deleted(&about) {
                return Err(PlanError::SubjectDeleted { name: comment.spec.subject.name.clone() }.into());
            }
            if let Some(link) = &about.link {
                scope = config.scope(&namespace, &link.object.spec.binding_ref);
                subject = scope.and_then(|scope| target_of(&about, scope));
            }
        }
        if let (None, Some(repository), Some(interface)) = (scope, &repository, interface_of(&local)) {
            scope = config.scope_of_repository(&namespace, repository, &interface);
            if let (None, Some(refused)) = (scope, config.refused_of_repository(&namespace, repository, &interface)) {
                scope = Some(usable(&config, &namespace, refused)?);
            }
        }
        if let Some(owner) = owner {
            local.set_owner(&owner);
        }
        let mut state = ObjectState { local: Some(Loaded::new(local)), ..ObjectState::default() };
        let mut changes = Changes::at(now);
        changes.audit_all(told(&state, scope, None, actor, now)?);
        if let Some(scope) = scope {
            plan_create(&mut state, scope, &Wish::of(actor.clone(), now), subject.as_ref())?;
            // R21: a binding that is deleted meanwhile gets no new write.
            changes.keep(scope.binding.as_ref());
        }
        self.commit_state(state, changes).await
    }

    async fn commit_state(&self, mut state: ObjectState, mut changes: Changes) -> Result<Local, DriverError> {
        state.write(&mut changes)?;
        changes.commit(self.store()).await?;
        state.local.map(|local| local.object).ok_or(DriverError::NotFound { what: "object", name: String::new() })
    }
}

/// Who changed or made the object here: the fields, each with the digest of what it is now (S41). A write that follows tells more, and not every edit leads to one.
fn told(
    state: &ObjectState,
    scope: Option<&Scope>,
    before: Option<&Local>,
    actor: &Actor,
    now: Time,
) -> Result<Option<AuditDraft>, NotCanonical> {
    let Some(local) = state.local.as_ref().map(|local| &local.object) else { return Ok(None) };
    let kind = if before.is_some() { "ObjectEdited" } else { "ObjectMade" };
    let mut draft = match scope {
        Some(scope) => state.tell(scope, kind, actor.clone(), now),
        None => AuditDraft::new(local.namespace(), kind, now, actor.clone())
            .organization(each!(local, object => object.spec.organization_ref.clone()))
            .object(local.to_ref())
            .outcome(AuditOutcome::Succeeded),
    };
    let mut paths = Vec::new();
    for field in spec_fields(local.kind()) {
        let value = local.get(field.path);
        let was = before.map_or(FieldValue::Absent, |before| before.get(field.path));
        if value != was {
            draft = draft.digest(field.path, canonical_digest(&value.to_json())?);
            paths.push(field.path);
        }
    }
    Ok(Some(draft.reason(paths.join(", "))))
}

/// The binding, where it may be used: what is changed under another one would never be sent, and nobody would know (S37).
pub(super) fn usable<'c>(config: &'c Config, namespace: &str, binding: &str) -> Result<&'c Scope, DriverError> {
    config.scope(namespace, binding).ok_or_else(|| match config.why_refused(namespace, binding) {
        Some(why) => DriverError::Unusable { binding: binding.to_owned(), why: why.to_string() },
        None => DriverError::NotFound { what: "binding", name: binding.to_owned() },
    })
}

/// The interface that a new object of a repository belongs to.
fn interface_of(local: &Local) -> Option<Interface> {
    let about = match local {
        Local::Comment(comment) => Kind::lookup(&comment.spec.subject.kind)?,
        local => local.kind(),
    };
    match about {
        Kind::Issue => Some(Interface::IssueTracking),
        Kind::PullRequest | Kind::Review => Some(Interface::GitForge),
        Kind::Pipeline | Kind::Job => Some(Interface::Cicd),
        _ => None,
    }
}

fn not_there(object: &ObjectRef) -> DriverError {
    DriverError::NotFound { what: "object", name: format!("{}/{}", object.kind, object.name) }
}
