//! Taking local objects away: with a write at the provider where one is due, and only with it (S4).

use krate_model::kinds::external::{ExternalObjectLink, ExternalWriteIntent};
use krate_model::kinds::sets::EventAction;
use krate_model::kinds::shared::{Actor, ObjectRef};
use krate_model::observation::{CanonicalEvent, CommentObserved, Normalized, ResourceKind};
use krate_model::store::{Expect, Index, Key, Query};
use krate_model::{Kind, Resource};

use super::objects::Cause;
use super::{Driver, DriverError, MAX_RACES};
use crate::local::each;
use crate::object::{ObjectState, is_final, is_nobodys};
use crate::observe::{Shows, withdraw_unsent};
use crate::order::Origin;
use crate::plan::{PlanError, Removal, Wish, plan_removal};
use crate::records::{Changes, bump_generation, key_of, list_stored};
use crate::scope::Scope;

/// The kinds whose objects are about another one, and go with it (R56).
pub(super) const DEPENDANTS: [Kind; 3] = [Kind::Comment, Kind::Review, Kind::Job];

impl Driver {
    /// Takes a person's or an agent's wish in that an object goes. What no provider has goes at once. What a provider has is deleted there by a write,
    /// or closed where the provider deletes no such object; in the modes that let no local change out on its own the wish is refused.
    ///
    /// # Errors
    /// [`DriverError::Plan`] when the wish can't be carried: nothing is stored then.
    pub async fn remove(&self, namespace: &str, object: &ObjectRef, actor: &Actor) -> Result<Removal, DriverError> {
        for _ in 0..MAX_RACES {
            match Box::pin(self.try_remove(namespace, object, actor)).await {
                Err(error) if error.is_race() => {}
                done => return done,
            }
        }
        Box::pin(self.try_remove(namespace, object, actor)).await
    }

    async fn try_remove(&self, namespace: &str, object: &ObjectRef, actor: &Actor) -> Result<Removal, DriverError> {
        let now = self.clock.now();
        let config = self.config().await?;
        let mut state = ObjectState::load_of_local(self.store(), namespace, object).await?;
        let not_there = || DriverError::NotFound { what: "object", name: format!("{}/{}", object.kind, object.name) };
        let Some(local) = &mut state.local else { return Err(not_there()) };
        let mut changes = Changes::at(now);
        // An object whose binding is gone is local.
        let Some(link) = state.link.as_ref().filter(|link| !is_nobodys(&link.object)) else {
            withdraw_unsent(&mut state, "the object was removed here", now)?;
            if let Some(making) = state.intents.iter().find(|intent| !is_final(&intent.object)) {
                return Err(PlanError::BeingMade { intent: making.object.name().to_owned() }.into());
            }
            let gone = state.local.take().ok_or_else(not_there)?;
            let key = Key::new(gone.object.kind(), namespace, object.name.as_str());
            changes.delete(key, gone.expected());
            if let Some(link) = state.link.take() {
                changes.delete(key_of::<ExternalObjectLink>(namespace, link.object.name()), link.expected());
            }
            self.remove_dependants(namespace, object, &mut changes).await?;
            state.write(&mut changes)?;
            changes.commit(self.store()).await?;
            return Ok(Removal::Removed);
        };
        let binding = link.object.spec.binding_ref.clone();
        let scope =
            config.scope(namespace, &binding).ok_or(DriverError::NotFound { what: "binding", name: binding })?;
        each!(&mut local.object, object => bump_generation(object));
        let removal = plan_removal(&mut state, scope, &Wish::of(actor.clone(), now))?;
        if removal != Removal::Gone {
            state.write(&mut changes)?;
            changes.commit(self.store()).await?;
        }
        Ok(removal)
    }

    /// Takes what goes with an object that no provider has (R56), as Kubernetes' garbage collector would: its comments and reviews, the jobs of a run.
    async fn remove_dependants(
        &self,
        namespace: &str,
        owner: &ObjectRef,
        changes: &mut Changes,
    ) -> Result<(), DriverError> {
        for kind in DEPENDANTS {
            let parent = format!("{}/{}", owner.kind, owner.name);
            let query = Query::new(kind).in_namespace(namespace).with(Index::Parent, parent);
            for stored in list_stored(self.store(), query).await? {
                let child = ObjectRef::new(kind.as_str(), &*stored.key.name);
                let state = ObjectState::load_of_local(self.store(), namespace, &child).await?;
                match &state.link {
                    // What a provider has of it goes there, and not because of this.
                    Some(link) if !is_nobodys(&link.object) => continue,
                    Some(link) => {
                        changes.delete(key_of::<ExternalObjectLink>(namespace, link.object.name()), link.expected());
                    }
                    None => {}
                }
                changes.delete(stored.key.clone(), Expect::At(stored.revision));
            }
        }
        Ok(())
    }

    /// What a write has deleted is buried here without waiting for anybody to tell of it (S18).
    pub(super) async fn bury_deleted(
        &self,
        scope: &Scope,
        intent: &ExternalWriteIntent,
        origin: Origin,
        shows: Shows,
    ) -> Result<(), DriverError> {
        let target = &intent.spec.native_target;
        let Some(id) = target.native_id.as_deref() else { return Ok(()) };
        let event = CanonicalEvent {
            ordinal: 0,
            interface: intent.spec.interface.clone(),
            resource_kind: ResourceKind::Comment,
            native_kind: target.native_kind.as_str().into(),
            native_id: id.into(),
            node_id: None,
            action: EventAction::Deleted,
            native_action: None,
            event_time: None,
            observed_version: krate_model::kinds::shared::Version::default(),
            complete: false,
            actor: None,
            normalized: Normalized::Comment(CommentObserved::default()),
        };
        self.apply(scope, &event, origin, shows, Cause::Intent(intent.name())).await.map(|_| ())
    }
}
