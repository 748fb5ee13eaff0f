//! Bindings that are deleted: what was begun ends, what waits is withdrawn, what was learned is let go, and only then the binding is gone (R21).
//!
//! Every step is a commit of its own about one object, and is decided by the records alone: after a crash there is less left to do. Nobody learns anything
//! new in the name of such a binding meanwhile, which [`Driver::try_apply`](super::objects) sees to, so that what is let go is all there is.

use krate_model::audit::AuditDraft;
use krate_model::condition::{ConditionStatus, Finding, condition, from_kube_time, set_condition, to_kube_time};
use krate_model::kinds::external::{
    DeletionPolicy, ExternalBackendBinding, ExternalObjectLink, ExternalSyncConflict, ExternalSyncConflictPhase,
    ExternalSyncState, ExternalWriteIntent, ExternalWriteIntentPhase,
};
use krate_model::kinds::sets::ErrorClass;
use krate_model::kinds::shared::{Actor, ObjectRef, Time};
use krate_model::store::{Expect, Index, Key, Private, Query};
use krate_model::{ClosedSet, FORCE_DELETE, Kind, Resource, SYNC_FINALIZER, is_force_reason};

use super::intents::{info, phase_of};
use super::{Config, Driver, DriverError, MAX_RACES, Pass};
use crate::machines::binding::{self, Effect, Event, is_going};
use crate::machines::intent::LEFT_BEHIND;
use crate::machines::{Due, Policy, Refused};
use crate::moves;
use crate::object::{ObjectState, controller, is_final, is_in_flight, is_open};
use crate::observe::withdraw_unsent;
use crate::plan::Removal;
use crate::records::{self, Changes, Loaded, key_of};
use crate::scope::Scope;

/// Objects of a binding that one pass lets go: others have their turn in between (S46).
const STEP: usize = 256;
/// Writes that a message names.
const MOST_NAMED: usize = 8;

/// Why what waits is withdrawn.
const DELETED: &str = "its binding is deleted";

/// Phases of intents about which something is still to be decided or known.
const OPEN_WRITES: [ExternalWriteIntentPhase; 6] = [
    ExternalWriteIntentPhase::PendingApproval,
    ExternalWriteIntentPhase::ReadyToSend,
    ExternalWriteIntentPhase::Sending,
    ExternalWriteIntentPhase::Retrying,
    ExternalWriteIntentPhase::AwaitingConfirmation,
    ExternalWriteIntentPhase::Conflict,
];

impl Driver {
    /// Deletes a binding as Kubernetes does: one that nothing holds is gone at once; one with finalizers is marked, and goes when the last of them does.
    /// With `force` nothing is waited for at the provider; the text says why, and stands in the audit.
    ///
    /// # Errors
    /// [`DriverError::NotFound`] when it isn't there; [`DriverError::NoReason`] when `force` says too little.
    pub async fn remove_binding(
        &self,
        namespace: &str,
        name: &str,
        actor: &Actor,
        force: Option<&str>,
    ) -> Result<Removal, DriverError> {
        if let Some(reason) = force.filter(|reason| !is_force_reason(reason)) {
            return Err(DriverError::NoReason { characters: reason.trim().chars().count() });
        }
        for _ in 0..MAX_RACES {
            match self.try_remove_binding(namespace, name, actor, force).await {
                Err(error) if error.is_race() => {}
                done => return done,
            }
        }
        self.try_remove_binding(namespace, name, actor, force).await
    }

    async fn try_remove_binding(
        &self,
        namespace: &str,
        name: &str,
        actor: &Actor,
        force: Option<&str>,
    ) -> Result<Removal, DriverError> {
        let now = self.clock.now();
        let found: Option<Loaded<ExternalBackendBinding>> = records::get(self.store(), namespace, name).await?;
        let mut found = found.ok_or_else(|| DriverError::NotFound { what: "binding", name: name.to_owned() })?;
        let mut changes = Changes::at(now);
        if found.object.metadata().finalizers.as_ref().is_none_or(Vec::is_empty) {
            changes.delete(key_of::<ExternalBackendBinding>(namespace, name), found.expected());
            changes.audit(told(&found.object, "BindingDeleted", actor, now).reason("nothing held it"));
            changes.commit(self.store()).await?;
            return Ok(Removal::Removed);
        }
        let before = found.object.metadata().clone();
        let metadata = found.object.metadata_mut();
        metadata.deletion_timestamp.get_or_insert_with(|| to_kube_time(now));
        if let Some(reason) = force {
            metadata.annotations.get_or_insert_default().insert(FORCE_DELETE.to_owned(), reason.to_owned());
        }
        if *found.object.metadata() != before {
            let reason =
                force.map_or_else(|| "DeletionRequested".to_owned(), |reason| format!("force-delete: {reason}"));
            found.dirty = true;
            changes.put(&found)?;
            changes.audit(told(&found.object, "BindingDeletionRequested", actor, now).reason(reason));
            changes.commit(self.store()).await?;
        }
        Ok(Removal::Ending)
    }

    /// Puts the finalizer on a binding that was taken up before there was one.
    pub(super) async fn hold_binding(&self, scope: &Scope, now: Time) -> Result<(), DriverError> {
        let Some(mut found) = self.binding(scope).await? else { return Ok(()) };
        if !put_finalizer(&mut found.object) {
            return Ok(());
        }
        found.dirty = true;
        let mut changes = Changes::at(now);
        changes.put(&found)?;
        changes.commit(self.store()).await?;
        Ok(())
    }

    /// Takes the bindings that are deleted further towards their end; whether one of them goes on at once.
    pub(super) async fn end_bindings(&self, config: &Config, now: Time, pass: &mut Pass) -> bool {
        let mut more = false;
        for going in config.going() {
            match Box::pin(self.end_binding(going.namespace(), going.name(), now)).await {
                Ok(goes_on) => more |= goes_on,
                // Whoever was faster left something to look at again.
                Err(error) if error.is_race() => more = true,
                Err(error) => pass.failed.push(format!("{} {}: {error}", ExternalBackendBinding::KIND, going.name())),
            }
        }
        more
    }

    async fn end_binding(&self, namespace: &str, name: &str, now: Time) -> Result<bool, DriverError> {
        let Some(going) = self.going(namespace, name).await? else { return Ok(false) };
        let forced = force_reason(&going.object).is_some();
        let deletes = going.object.spec.deletion_policy == DeletionPolicy::Delete;
        self.tell_ending(going, None, now).await?;
        self.let_lists_go(namespace, name, now).await?;
        let in_flight = self.let_writes_go(namespace, name, forced, now).await?;
        if !in_flight.is_empty() {
            if let Some(going) = self.going(namespace, name).await? {
                let waits =
                    format!("waits for {}; the annotation {FORCE_DELETE} leaves them behind", named(&in_flight));
                self.tell_ending(going, Some(&waits), now).await?;
            }
            return Ok(false);
        }
        if self.let_objects_go(namespace, name, deletes, now).await? {
            return Ok(true);
        }
        self.let_binding_go(namespace, name, now).await?;
        Ok(false)
    }

    /// The binding, where it is deleted and this finalizer holds it.
    async fn going(&self, namespace: &str, name: &str) -> Result<Option<Loaded<ExternalBackendBinding>>, DriverError> {
        let found: Option<Loaded<ExternalBackendBinding>> = records::get(self.store(), namespace, name).await?;
        Ok(found.filter(|found| is_going(&found.object) && has_finalizer(&found.object)))
    }

    /// Pauses the binding through its machine, and says in its condition that it is on its way out, and what it waits for.
    async fn tell_ending(
        &self,
        mut going: Loaded<ExternalBackendBinding>,
        waits: Option<&str>,
        now: Time,
    ) -> Result<(), DriverError> {
        let mut changes = Changes::at(now);
        if binding::due(&going.object, false) == Due::Now(Effect::Suspend) {
            let policy = Policy::default();
            let step = moves::as_controller(&policy, now, |ctx| binding::step(&going.object, Event::Suspended, ctx))?;
            changes.audit_all(moves::take(&mut going, step));
        }
        let observed_generation = Some(going.object.generation());
        let (status, reason) = (ConditionStatus::False, "Terminating");
        let conditions = &mut going.object.status_mut().conditions;
        let known = condition(conditions, "Ready").filter(|known| known.reason == reason);
        // Without news what is known to be waited for stays.
        let message = waits.map(str::to_owned).or_else(|| known.map(|known| known.message.clone())).unwrap_or_default();
        let finding = Finding { kind: "Ready", status, reason, message: &message, observed_generation };
        going.dirty |= set_condition(conditions, finding, now);
        changes.put(&going)?;
        if !changes.is_empty() {
            changes.commit(self.store()).await?;
        }
        Ok(())
    }

    /// The lists and their cursors go: whoever binds the same repository again reads it whole.
    async fn let_lists_go(&self, namespace: &str, name: &str, now: Time) -> Result<(), DriverError> {
        let query = Query::new(Kind::ExternalSyncState).in_namespace(namespace).with(Index::Binding, name);
        let mut changes = Changes::at(now);
        for state in records::list::<ExternalSyncState>(self.store(), query).await? {
            changes.delete(key_of::<ExternalSyncState>(namespace, state.object.name()), state.expected());
            changes.delete(Key::new(Private::Cursor, namespace, state.object.name()), Expect::Any);
        }
        if !changes.is_empty() {
            changes.commit(self.store()).await?;
        }
        Ok(())
    }

    /// Withdraws what isn't sent yet and what waits for a decision; by force also what is in flight. The names of what is in flight still.
    async fn let_writes_go(
        &self,
        namespace: &str,
        name: &str,
        forced: bool,
        now: Time,
    ) -> Result<Vec<String>, DriverError> {
        let mut in_flight = Vec::new();
        for open in self.of_binding::<ExternalWriteIntent>(namespace, name, &OPEN_WRITES).await? {
            let known = records::get::<ExternalWriteIntent>(self.store(), namespace, &open).await?;
            let Some(intent) = known.filter(|intent| !is_final(&intent.object)) else { continue };
            if is_in_flight(&intent.object) && !forced {
                in_flight.push(open);
                continue;
            }
            let mut state = ObjectState::load_of_local(self.store(), namespace, &intent.object.spec.target).await?;
            if state.intents.iter().all(|known| known.object.name() != open) {
                state.intents.push(intent);
            }
            self.let_go(state, forced, now).await?;
        }
        let phases = [ExternalSyncConflictPhase::Open, ExternalSyncConflictPhase::Resolving];
        for open in self.of_binding::<ExternalSyncConflict>(namespace, name, &phases).await? {
            let Some(found) = records::get::<ExternalSyncConflict>(self.store(), namespace, &open).await? else {
                continue;
            };
            let state = self.state_of_conflict(namespace, &found.object).await?;
            self.let_go(state, forced, now).await?;
        }
        Ok(in_flight)
    }

    /// Names of the binding's records in these phases.
    async fn of_binding<T: Resource>(
        &self,
        namespace: &str,
        name: &str,
        phases: &[impl ClosedSet],
    ) -> Result<Vec<String>, DriverError> {
        let mut found = Vec::new();
        for phase in phases {
            let query = Query::new(T::KIND).in_namespace(namespace).with(Index::Phase, phase.as_str());
            for record in records::list::<T>(self.store(), query).await? {
                let mut is_own = false;
                record.object.indexes(&mut |index, value| is_own |= index == Index::Binding && value == name);
                if is_own {
                    found.push(record.object.name().to_owned());
                }
            }
        }
        Ok(found)
    }

    async fn let_go(&self, mut state: ObjectState, forced: bool, now: Time) -> Result<(), DriverError> {
        withdraw(&mut state, forced, now)?;
        let mut changes = Changes::at(now);
        state.write(&mut changes)?;
        if !changes.is_empty() {
            changes.commit(self.store()).await?;
        }
        Ok(())
    }

    /// Lets the next objects go: they stay as nobody's, or go with their links. Whether there are more of them.
    async fn let_objects_go(&self, namespace: &str, name: &str, deletes: bool, now: Time) -> Result<bool, DriverError> {
        let query = Query::new(Kind::ExternalObjectLink).in_namespace(namespace).with(Index::Binding, name).limit(STEP);
        let page = self.store.list(&query).await?;
        for stored in &page.items {
            let mut state = ObjectState::load(self.store(), namespace, &stored.key.name).await?;
            let mut changes = Changes::at(now);
            match (&state.link, &state.local) {
                // A repository is what a binding is about, and nobody's projection alone.
                (Some(link), local) if deletes && link.object.spec.local_ref.kind != Kind::Repository.as_str() => {
                    changes.delete(key_of::<ExternalObjectLink>(namespace, link.object.name()), link.expected());
                    if let Some(local) = local {
                        let key = Key::new(local.object.kind(), namespace, local.object.name());
                        changes.delete(key, local.expected());
                    }
                }
                _ => {
                    state.orphan(name);
                    state.write(&mut changes)?;
                }
            }
            changes.commit(self.store()).await?;
        }
        Ok(page.next.is_some())
    }

    /// The finalizer goes, and with the last finalizer the binding.
    async fn let_binding_go(&self, namespace: &str, name: &str, now: Time) -> Result<(), DriverError> {
        let Some(mut going) = self.going(namespace, name).await? else { return Ok(()) };
        let fate = match going.object.spec.deletion_policy {
            DeletionPolicy::Delete => "its projections went with it",
            _ => "its projections stay as nobody's",
        };
        let mut reason = fate.to_owned();
        if let Some(why) = force_reason(&going.object) {
            let left = self.left_behind(&going.object).await?;
            let left = if left.is_empty() { "nothing".to_owned() } else { named(&left) };
            reason = format!("{fate}; force-delete: {why}; left behind: {left}");
        }
        let mut changes = Changes::at(now);
        changes.audit(told(&going.object, "BindingDeleted", &controller(), now).reason(reason));
        let finalizers = going.change().metadata_mut().finalizers.get_or_insert_default();
        finalizers.retain(|held| held != SYNC_FINALIZER);
        if finalizers.is_empty() {
            changes.delete(key_of::<ExternalBackendBinding>(namespace, name), going.expected());
        } else {
            changes.put(&going)?;
        }
        changes.commit(self.store()).await?;
        Ok(())
    }

    /// The writes that nobody waited for since the binding is deleted.
    async fn left_behind(&self, going: &ExternalBackendBinding) -> Result<Vec<String>, DriverError> {
        let since = going.metadata().deletion_timestamp.as_ref().map(from_kube_time);
        let failed = [ExternalWriteIntentPhase::Failed];
        let mut left = Vec::new();
        for name in self.of_binding::<ExternalWriteIntent>(going.namespace(), going.name(), &failed).await? {
            let intent = records::get::<ExternalWriteIntent>(self.store(), going.namespace(), &name).await?;
            let status = intent.and_then(|intent| intent.object.status);
            let is_left =
                status.as_ref().and_then(|status| condition(&status.conditions, "Confirmed")).is_some_and(|it| {
                    // An earlier binding of the same name may have left some behind, too.
                    it.reason == LEFT_BEHIND && Some(from_kube_time(&it.last_transition_time)) >= since
                });
            if is_left {
                left.push(name);
            }
        }
        Ok(left)
    }
}

/// Withdraws all that isn't in flight, and by force that, too.
fn withdraw(state: &mut ObjectState, forced: bool, now: Time) -> Result<(), Refused> {
    withdraw_unsent(state, DELETED, now)?;
    for conflict in state.conflicts.iter_mut().filter(|conflict| is_open(&conflict.object)) {
        state.audit.extend(moves::let_conflict_go(conflict, now)?);
    }
    for intent in &mut state.intents {
        if phase_of(&intent.object) == ExternalWriteIntentPhase::Conflict {
            state.audit.extend(moves::withdraw_intent(intent, DELETED, now)?);
        } else if forced && is_in_flight(&intent.object) {
            let error =
                info(ErrorClass::Timeout, "its binding was deleted by force: nobody knows what became of it", now);
            state.audit.extend(moves::leave_behind(intent, error, now)?);
        }
    }
    Ok(())
}

/// Puts the finalizer on a binding that isn't deleted; whether it wasn't there yet.
pub(super) fn put_finalizer(binding: &mut ExternalBackendBinding) -> bool {
    if is_going(binding) || has_finalizer(binding) {
        return false;
    }
    binding.metadata_mut().finalizers.get_or_insert_default().push(SYNC_FINALIZER.to_owned());
    true
}

pub(super) fn has_finalizer(binding: &ExternalBackendBinding) -> bool {
    binding.metadata().finalizers.iter().flatten().any(|held| held == SYNC_FINALIZER)
}

/// Why nothing is waited for, where somebody said so.
fn force_reason(binding: &ExternalBackendBinding) -> Option<&str> {
    let said = binding.metadata().annotations.as_ref()?.get(FORCE_DELETE)?;
    is_force_reason(said).then_some(said)
}

fn told(binding: &ExternalBackendBinding, kind: &str, actor: &Actor, now: Time) -> AuditDraft {
    let mut object = ObjectRef::new(ExternalBackendBinding::KIND.as_str(), binding.name());
    object.uid.clone_from(&binding.metadata().uid);
    let mut draft = AuditDraft::new(binding.namespace(), kind, now, actor.clone())
        .organization(binding.spec.organization_ref.as_str())
        .object(object);
    draft.provider.clone_from(&binding.spec.provider_ref);
    draft.binding = Some(binding.name().to_owned());
    draft
}

/// The first few names of a list, and how many more there are.
fn named(names: &[String]) -> String {
    let first: Vec<&str> = names.iter().take(MOST_NAMED).map(String::as_str).collect();
    let more = names.len().saturating_sub(first.len());
    if more == 0 { first.join(", ") } else { format!("{} and {more} more", first.join(", ")) }
}
