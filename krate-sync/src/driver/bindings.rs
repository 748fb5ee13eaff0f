//! Bindings on their way into sync, through their machine only (section 9), and the external side that they are bound to.

use std::sync::{Arc, PoisonError};

use krate_model::Resource;
use krate_model::kinds::external::{
    BackfillMode, BindingFilter, BindingInterface, BindingInterfaceStatus, BoundTarget, ExternalBackendBinding,
    ExternalBackendBindingPhase as Phase, ExternalSyncState,
};
use krate_model::kinds::forge::Repository;
use krate_model::kinds::sets::{ErrorClass, Operation};
use krate_model::kinds::shared::{ErrorInfo, NativeTarget, Time};
use krate_providers::contract::{Call, Outcome, ProviderError};

use super::endings::{has_finalizer, put_finalizer};
use super::intents::{info, of};
use super::turns::{Ended, Running, Turn};
use super::{Config, Driver, DriverError, MAX_RACES};
use crate::identity::{bound, full_name, renamed};
use crate::machines::binding::{self, Effect, Event};
use crate::machines::{Ctx, Due, LIMIT_PAUSE, Policy, backfill};
use crate::object::controller;
use crate::records::{self, Changes, Loaded};
use crate::scope::Scope;

/// Moves of one binding in one pass: from `Failed` to `Backfilling` are four.
const MOST_MOVES: usize = 4;

impl Driver {
    /// Takes bindings as far as their backfill: their target is read and identified.
    pub(super) async fn advance_bindings(
        &self,
        config: &Arc<Config>,
        now: Time,
        running: &mut Running,
        patience: Option<Time>,
    ) -> Vec<Ended> {
        let key = |scope: &Scope| records::key_of::<ExternalBackendBinding>(scope.namespace(), scope.binding_name());
        // Of many bindings few have work: the others aren't read once more.
        let due = config.all_scopes().filter(|scope| self.has_work(scope, now)).map(|scope| (key(scope), scope));
        let turns = due.filter(|(key, _)| !running.busy.has(key)).map(|(key, scope)| {
            let (driver, config, at) = (self.clone(), Arc::clone(config), key.clone());
            let work = Box::pin(async move {
                match config.scope(&at.namespace, &at.name) {
                    Some(scope) => driver.advance_binding(scope, now).await,
                    None => Ok(()),
                }
            });
            Turn { key, provider: scope.backend.object.name().into(), work }
        });
        let turns = turns.collect();
        self.take(turns, running, patience).await
    }

    /// When the first of the bindings that didn't work is tried again.
    pub(super) fn held_until(&self, config: &Config, now: Time) -> Option<Time> {
        config.all_scopes().filter(|scope| !scope.is_suspended()).filter_map(|scope| self.held(scope, now)).min()
    }

    /// Whether there is anything for [`Self::advance_binding`] to do.
    fn has_work(&self, scope: &Scope, now: Time) -> bool {
        let moves = || {
            let effects = [Effect::Start, Effect::Restart, Effect::ValidateTarget, Effect::RegisterHook];
            matches!(binding::due(&scope.binding, false), Due::Now(effect) if effects.contains(&effect))
        };
        let may_move = || !scope.is_suspended() && self.held(scope, now).is_none();
        lacks_finalizer(scope) || may_move() && (moves() || is_by_name(scope, &scope.binding))
    }

    async fn advance_binding(&self, scope: &Scope, now: Time) -> Result<(), DriverError> {
        if lacks_finalizer(scope) {
            self.hold_binding(scope, now).await?;
        }
        // What is suspended asks nothing of its provider.
        if scope.is_suspended() || self.held(scope, now).is_some() {
            return Ok(());
        }
        let mut moved = false;
        for _ in 0..MOST_MOVES {
            let Some(loaded) = self.binding(scope).await? else { break };
            let mut changes = Changes::at(now);
            let event = match binding::due(&loaded.object, false) {
                Due::Now(Effect::Start) => Event::Started,
                Due::Now(Effect::Restart) => Event::ConfigurationChanged,
                Due::Now(Effect::ValidateTarget) => match unserved(scope, now) {
                    Some(error) => Event::Failed { error },
                    None => match self.read_target(scope).await {
                        Ok(target) => {
                            self.see_it_all_again(scope, &mut changes, now).await?;
                            let provider_uid = scope.backend.object.metadata().uid.clone();
                            Event::TargetValidated { provider_uid, target }
                        }
                        Err(error) => return self.held_up(scope, loaded, &error, now).await,
                    },
                },
                // Said instead of left alone: nobody would register it.
                Due::Now(Effect::RegisterHook) => {
                    let message = "krate can't register hooks; register it yourself, and unset spec.ownsHook";
                    let error = ErrorInfo {
                        path: Some("spec.ownsHook".to_owned()),
                        ..info(ErrorClass::Unsupported, message, now)
                    };
                    Event::Failed { error }
                }
                _ if is_by_name(scope, &loaded.object) => {
                    return match self.see_target(scope).await {
                        Err(error) if !error.is_race() => {
                            self.hold(scope, None, now);
                            Ok(())
                        }
                        seen => seen.map(|_| ()),
                    };
                }
                _ => break,
            };
            self.step_binding(scope, loaded, event, changes).await?;
            moved = true;
        }
        if moved {
            self.notes.lock().unwrap_or_else(PoisonError::into_inner).held.remove(scope.binding_name());
        }
        Ok(())
    }

    /// What an error in the validation comes to: the failure of a configuration that can't work, or a pause.
    async fn held_up(
        &self,
        scope: &Scope,
        mut loaded: Loaded<ExternalBackendBinding>,
        error: &DriverError,
        now: Time,
    ) -> Result<(), DriverError> {
        let told = told(error, now);
        if told.class == ErrorClass::Configuration {
            return self.step_binding(scope, loaded, Event::Failed { error: told }, Changes::at(now)).await;
        }
        self.hold(scope, told.until, now);
        let known = loaded.object.status.as_ref().and_then(|status| status.last_error.as_ref());
        if known.is_none_or(|known| known.class != told.class) {
            loaded.change().status_mut().last_error = Some(told);
            let mut changes = Changes::at(now);
            changes.put(&loaded)?;
            changes.commit(self.store()).await?;
        }
        Ok(())
    }

    pub(super) async fn binding(&self, scope: &Scope) -> Result<Option<Loaded<ExternalBackendBinding>>, DriverError> {
        Ok(records::get(self.store(), scope.namespace(), scope.binding_name()).await?)
    }

    async fn step_binding(
        &self,
        scope: &Scope,
        mut loaded: Loaded<ExternalBackendBinding>,
        event: Event,
        mut changes: Changes,
    ) -> Result<(), DriverError> {
        let (actor, policy) = (controller(), Policy::of(&scope.policy));
        let ctx = Ctx { now: changes.now(), actor: &actor, policy: &policy, seed: self.seed };
        put_finalizer(&mut loaded.object);
        let step = binding::step(&loaded.object, event, &ctx)?;
        changes.audit_all(crate::moves::take(&mut loaded, step));
        changes.put(&loaded)?;
        changes.commit(self.store()).await?;
        Ok(())
    }

    /// A binding that had failed saw nothing meanwhile: every list is read whole, those that waited for the binding at once.
    async fn see_it_all_again(&self, scope: &Scope, changes: &mut Changes, now: Time) -> Result<(), DriverError> {
        for mut state in self.states_of(scope).await? {
            if !backfill::is_running(&state.object) {
                let event = backfill::Event::Requested { mode: BackfillMode::Complete, at: now };
                self.advance(scope, &mut state, event, changes)?;
                changes.put(&state)?;
            }
        }
        Ok(())
    }

    /// Reads what the binding is bound to; nothing where it names no single repository, or its provider reads none.
    async fn read_target(&self, scope: &Scope) -> Result<Option<BoundTarget>, DriverError> {
        if !scope.names_one() {
            return Ok(None);
        }
        let container = scope.container();
        let native_kind = crate::identity::REPOSITORY.to_owned();
        let target = NativeTarget { native_kind, native_id: None, native_number: None, container };
        let call = Call::new(Operation::GetRepository, &target);
        let answer = self.call(scope, &call).await?;
        match self.decode(scope, &call, &answer).result? {
            Outcome::Object(read) => Ok(Some(bound(scope.target(), &read)?)),
            _ => Err(ProviderError::new(ErrorClass::Decode, "the answer to a read is no object").into()),
        }
    }

    /// Asks the provider what the binding's target is called, and takes that in; whether it was news. The audit tells of another name, and so does the
    /// local repository.
    pub(super) async fn see_target(&self, scope: &Scope) -> Result<bool, DriverError> {
        let Some(read) = self.read_target(scope).await? else { return Ok(false) };
        for _ in 0..MAX_RACES {
            match self.take_target(scope, &read).await {
                Err(error) if error.is_race() => {}
                done => return done,
            }
        }
        self.take_target(scope, &read).await
    }

    async fn take_target(&self, scope: &Scope, read: &BoundTarget) -> Result<bool, DriverError> {
        let Some(mut loaded) = self.binding(scope).await? else { return Ok(false) };
        let known = loaded.object.status.as_ref().and_then(|status| status.target.clone());
        if known.as_ref() == Some(read) || known.as_ref().is_some_and(|known| known.native_id != read.native_id) {
            return Ok(false);
        }
        loaded.change().status_mut().target = Some(read.clone());
        let now = self.clock.now();
        let mut changes = Changes::at(now);
        changes.put(&loaded)?;
        if let Some(known) = &known {
            changes.audit(renamed(scope, known, read, now));
            if let Some(name) = scope.repository()
                && let Some(mut local) = records::get::<Repository>(self.store(), scope.namespace(), name).await?
            {
                let former = &mut local.change().status_mut().former_names;
                let before = full_name(known);
                former.retain(|known| *known != before);
                former.push(before);
                changes.put(&local)?;
            }
        }
        changes.commit(self.store()).await?;
        Ok(true)
    }

    /// Until when a binding that didn't work isn't tried again.
    fn held(&self, scope: &Scope, now: Time) -> Option<Time> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.held.get(scope.binding_name()).map(|(_, until)| *until).filter(|until| *until > now)
    }

    /// Holds a binding back: until the provider's own time, or longer with each failure (S45).
    fn hold(&self, scope: &Scope, until: Option<Time>, now: Time) -> Time {
        let policy = Policy::of(&scope.policy);
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = notes.held.entry(scope.binding_name().to_owned()).or_insert((0, now));
        let attempts = entry.0.saturating_add(1);
        let pause = policy.backoff(self.seed, scope.binding_name(), attempts).max(policy.base_delay);
        // A time that is over by this clock isn't by the provider's.
        *entry = (attempts, until.map_or(now + pause, |until| until.max(now + LIMIT_PAUSE)));
        entry.1
    }

    /// A run of a list has ended: its binding shows so, and is in sync once every list was read.
    pub(super) async fn binding_synced(&self, scope: &Scope, state: &ExternalSyncState) -> Result<(), DriverError> {
        let is_read = |state: &Loaded<ExternalSyncState>| {
            state.object.status.as_ref().is_some_and(|status| status.last_complete_at.is_some())
        };
        let all_read = self.states_of(scope).await?.iter().all(is_read);
        let Some(mut loaded) = self.binding(scope).await? else { return Ok(()) };
        let now = self.clock.now();
        let interface = state.spec.interface.clone();
        let status = loaded.change().status_mut();
        let entry = match status.interfaces.iter_mut().find(|entry| entry.name == interface) {
            Some(entry) => entry,
            None => status.interfaces.push_mut(BindingInterfaceStatus::new(interface)),
        };
        entry.last_backfill_at = Some(now);
        entry.watermark = entry.watermark.max(state.status.as_ref().and_then(|status| status.watermark));
        let backfilling = status.phase == Phase::Backfilling;
        let result = if all_read && backfilling {
            self.step_binding(scope, loaded, Event::Backfilled { at: now }, Changes::at(now)).await
        } else {
            let mut changes = Changes::at(now);
            changes.put(&loaded)?;
            changes.commit(self.store()).await.map(|_| ()).map_err(DriverError::from)
        };
        match result {
            // Somebody changed it meanwhile: the next look at its lists sees that they were read.
            Err(error) if !error.is_race() => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether it was taken up before there was a finalizer: one that is taken up now gets it with its first move.
fn lacks_finalizer(scope: &Scope) -> bool {
    scope.phase() != Phase::Pending && !scope.is_going() && !has_finalizer(&scope.binding)
}

/// Whether it is bound by a name so far, and has to be by an id.
fn is_by_name(scope: &Scope, binding: &ExternalBackendBinding) -> bool {
    scope.names_one() && is_active(binding) && !is_identified(binding)
}

fn is_active(binding: &ExternalBackendBinding) -> bool {
    let phase = binding.status.as_ref().map(|status| &status.phase);
    matches!(phase, Some(Phase::Backfilling | Phase::Ready | Phase::Conflict))
}

fn is_identified(binding: &ExternalBackendBinding) -> bool {
    binding.status.as_ref().is_some_and(|status| status.target.is_some())
}

/// What an error says, in the status's words. What can't be encoded can't be sent until the configuration is another one.
fn told(error: &DriverError, now: Time) -> ErrorInfo {
    match error {
        DriverError::Provider(error) => of(error, now),
        DriverError::Encode(error) => info(ErrorClass::Configuration, &error.to_string(), now),
        DriverError::Secret(error) => info(ErrorClass::Authentication, &error.to_string(), now),
        other => info(ErrorClass::Transient, &other.to_string(), now),
    }
}

/// What the configuration asks for and this version doesn't do. To go on without it would do more than was asked for, so it is said instead.
fn unserved(scope: &Scope, now: Time) -> Option<ErrorInfo> {
    let filtered =
        |interface: &BindingInterface| interface.filter.as_ref().is_some_and(|it| *it != BindingFilter::default());
    let (path, message) = if let Some(at) = scope.binding.spec.interfaces.iter().position(filtered) {
        (
            format!("spec.interfaces[{at}].filter"),
            "krate doesn't filter what it syncs yet; remove the filter to bind all of it",
        )
    } else if scope.backend.object.spec.tls.as_ref().is_some_and(|tls| tls.ca_ref.is_some()) {
        let message = "krate trusts the authorities of the machine only; add the provider's there, and remove spec.tls.caRef of the provider";
        ("spec.providerRef".to_owned(), message)
    } else {
        return None;
    };
    Some(ErrorInfo { path: Some(path), ..info(ErrorClass::Unsupported, message, now) })
}
