//! What bindings and providers show about themselves (S3, S42).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use krate_model::condition::{ConditionStatus, Finding, condition, set_condition};
use krate_model::kinds::external::{
    BackfillMode, ExternalBackendBinding, ExternalBackendBindingPhase as Phase, ExternalBackendProvider,
    ExternalSyncConflict, ExternalSyncState, ExternalWebhookDelivery, ExternalWriteIntent, ManifestRef,
};
use krate_model::kinds::shared::Time;
use krate_model::store::{Index, Query, Revision};
use krate_model::{Kind, Resource, canonical_digest};

use super::{Config, Driver, DriverError};
use crate::machines::binding::is_going;
use crate::machines::{Ctx, Policy};
use crate::object::controller;
use crate::quota::Ledger;
use crate::records::{self, Changes, Loaded};
use crate::scope::{Backend, Scope};
use crate::sharing::Refusal;
use crate::status::{self, Counts, Seen};

/// How far apart two looks at everything that statuses show are at least.
const BETWEEN_LOOKS: chrono::TimeDelta = chrono::TimeDelta::seconds(5);
/// Records of one phase that are counted; a status that shows so many tells enough.
const MOST_COUNTED: usize = 1000;

/// What the statuses are computed from, beside the records.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    seen: BTreeMap<String, Seen>,
    /// When they were computed last, and what the store had then.
    looked: Option<(Time, Revision)>,
    is_new: bool,
    /// Bindings that didn't work: how often, and until when they aren't tried again.
    pub(super) held: BTreeMap<String, (i64, Time)>,
    /// Who had the last turn, where more organizations have something due than get one in a pass.
    turn: String,
    /// What is known about each binding's log of deliveries.
    pub(super) logs: BTreeMap<String, super::gaps::Watch>,
    /// The manifests of the providers' adapters, which never change while the process lives.
    manifests: BTreeMap<String, ManifestRef>,
    /// How far the removal of what is over has come.
    pub(super) round: super::retention::Round,
}

impl Driver {
    /// Says in the `Ready` condition of each binding that may not be used why that is so, and takes it back when it may (S3). What stands there already
    /// isn't written again.
    pub(super) async fn tell_refusals(&self, config: &Config, now: Time) -> Result<(), DriverError> {
        // Of one that is deleted the condition says what it waits for (R21).
        for (binding, refusal) in config.refused().filter(|(binding, _)| !is_going(binding)) {
            let message = refusal.to_string();
            self.tell_ready(binding, (ConditionStatus::False, refusal.reason(), &message), Changes::at(now)).await?;
        }
        for scope in config.scopes() {
            let Some(status) = &scope.binding.status else { continue };
            let refused =
                condition(&status.conditions, "Ready").is_some_and(|it| Refusal::REASONS.contains(&&*it.reason));
            if refused {
                let holds = matches!(status.phase, Phase::Ready | Phase::Conflict);
                let found = if holds { ConditionStatus::True } else { ConditionStatus::Unknown };
                // Webhooks about it were nobody's meanwhile: what they told is in the lists.
                let mut changes = Changes::at(now);
                self.request_lists(scope, &BackfillMode::Complete, now, &mut changes).await?;
                self.tell_ready(&scope.binding, (found, "Admitted", ""), changes).await?;
            }
        }
        Ok(())
    }

    async fn tell_ready(
        &self,
        binding: &ExternalBackendBinding,
        (status, reason, message): (ConditionStatus, &str, &str),
        mut changes: Changes,
    ) -> Result<(), DriverError> {
        let read_at = binding.metadata().resource_version.as_ref().and_then(|text| text.parse().ok()).map(Revision);
        let mut loaded = Loaded { object: binding.clone(), revision: read_at, dirty: true };
        let observed_generation = Some(binding.generation());
        let finding = Finding { kind: "Ready", status, reason, message, observed_generation };
        if !set_condition(&mut loaded.object.status_mut().conditions, finding, changes.now()) {
            return Ok(());
        }
        changes.put(&loaded)?;
        match changes.commit(self.store()).await {
            // Whoever changed it has woken the next pass.
            Err(error) if !error.is_conflict() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl Driver {
    /// Notes something about a provider for its next status.
    pub(crate) fn note(&self, provider: &str, take: impl FnOnce(&mut Seen)) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        take(notes.seen.entry(provider.to_owned()).or_default());
        notes.is_new = true;
    }

    /// Whose turn it is: all of them, or so many from where the last turns ended (S46).
    pub(super) fn next_turns(&self, namespaces: &BTreeSet<&str>, most: usize) -> Vec<String> {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let last = notes.turn.as_str();
        let (before, after): (Vec<&str>, Vec<&str>) = namespaces.iter().partition(|namespace| **namespace <= last);
        let turns: Vec<String> = after.into_iter().chain(before).take(most).map(str::to_owned).collect();
        notes.turn = turns.last().cloned().unwrap_or_default();
        turns
    }

    /// What is known about a provider's budgets, to be asked or written to; no news for its status.
    pub(crate) fn with_ledger<T>(&self, provider: &str, ask: impl FnOnce(&mut Ledger) -> T) -> T {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        ask(&mut notes.seen.entry(provider.to_owned()).or_default().ledger)
    }

    /// Computes the statuses where something was written or noted since they were computed last, and writes those that differ. Answers when
    /// it is time again; never, while nothing happens.
    pub(super) async fn show_all(&self, config: &Config, now: Time) -> Result<Option<Time>, DriverError> {
        let revision = self.store.revision().await?;
        let seen = {
            let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((at, known)) = notes.looked {
                if known == revision && !notes.is_new {
                    return Ok(None);
                }
                let due = at + BETWEEN_LOOKS;
                // A clock that was set back doesn't hold the next look up.
                if now < due && now >= at {
                    return Ok(Some(due));
                }
            }
            notes.looked = Some((now, revision));
            notes.is_new = false;
            notes.seen.clone()
        };
        let counts = self.counts().await?;
        let nothing = Seen::default();
        for backend in config.backends() {
            let name = backend.object.name();
            let mut seen = seen.get(name).unwrap_or(&nothing).clone();
            let mut states = Vec::new();
            let scopes: Vec<&Scope> = config.scopes().filter(|scope| scope.backend.object.name() == name).collect();
            for scope in &scopes {
                let own: Vec<ExternalSyncState> =
                    self.states_of(scope).await?.into_iter().map(|loaded| loaded.object).collect();
                let held = scope.binding.status.as_ref().and_then(|status| status.last_error.clone());
                let held = held.filter(|_| !scope.is_validated());
                let of_one = Seen { held: held.clone(), ..seen.clone() };
                self.show_binding(scope, &own, &counts, &of_one, now).await?;
                seen.held = held.or(seen.held);
                states.extend(own);
            }
            let bindings: Vec<&str> = scopes.iter().map(|scope| scope.binding_name()).collect();
            let loaded: Option<Loaded<ExternalBackendProvider>> =
                records::get(self.store(), backend.object.namespace(), name).await?;
            if let Some(mut loaded) = loaded {
                let manifest = self.manifest_of(backend)?;
                let (actor, policy) = (controller(), Policy::default());
                let ctx = Ctx { now, actor: &actor, policy: &policy, seed: self.seed };
                let (next, audit) =
                    status::of_provider(&loaded.object, &manifest, &bindings, &states, &counts, &seen, &ctx)?;
                loaded.dirty = next != loaded.object;
                loaded.object = next;
                let mut changes = Changes::at(now);
                changes.audit_all(audit);
                self.show(&loaded, changes).await?;
            }
        }
        Ok((self.store.revision().await? != revision).then(|| now + BETWEEN_LOOKS))
    }

    fn manifest_of(&self, backend: &Backend) -> Result<ManifestRef, DriverError> {
        let manifest = backend.adapter.manifest();
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = notes.manifests.get(&manifest.provider_type) {
            return Ok(known.clone());
        }
        let name = manifest.provider_type.clone();
        let found = ManifestRef { name: name.clone(), digest: canonical_digest(manifest)? };
        notes.manifests.insert(name, found.clone());
        Ok(found)
    }

    async fn show_binding(
        &self,
        scope: &Scope,
        states: &[ExternalSyncState],
        counts: &Counts,
        seen: &Seen,
        now: Time,
    ) -> Result<(), DriverError> {
        let loaded: Option<Loaded<ExternalBackendBinding>> =
            records::get(self.store(), scope.namespace(), scope.binding_name()).await?;
        let Some(mut loaded) = loaded else { return Ok(()) };
        let (actor, policy) = (controller(), Policy::of(&scope.policy));
        let ctx = Ctx { now, actor: &actor, policy: &policy, seed: self.seed };
        let missing = scope.missing_policy.as_deref();
        let (next, audit) = status::of_binding(&loaded.object, scope.is_paused(), missing, states, counts, seen, &ctx)?;
        loaded.dirty = next != loaded.object;
        loaded.object = next;
        let mut changes = Changes::at(now);
        changes.audit_all(audit);
        self.show(&loaded, changes).await
    }

    async fn show<T: Resource>(&self, loaded: &Loaded<T>, mut changes: Changes) -> Result<(), DriverError> {
        changes.put(loaded)?;
        if changes.is_empty() {
            return Ok(());
        }
        match changes.commit(self.store()).await {
            // Somebody changed it meanwhile: the next look sees that.
            Err(error) if !error.is_conflict() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// What waits, counted by index.
    async fn counts(&self) -> Result<Counts, DriverError> {
        let mut counts = Counts::default();
        for phase in ["Open", "Resolving"] {
            for conflict in self.in_phase::<ExternalSyncConflict>(phase).await? {
                add(&mut counts.open_conflicts, (conflict.spec.binding_ref, conflict.spec.interface));
            }
        }
        for phase in ["PendingApproval", "ReadyToSend", "Sending", "Retrying", "AwaitingConfirmation"] {
            for intent in self.in_phase::<ExternalWriteIntent>(phase).await? {
                add(&mut counts.pending_writes, (intent.spec.binding_ref, intent.spec.interface));
            }
        }
        let query = Query::new(Kind::ExternalWebhookDelivery).between(Index::Due, ""..).limit(MOST_COUNTED);
        for stored in self.store.list(&query).await?.items {
            add(&mut counts.queue_depth, records::parse::<ExternalWebhookDelivery>(&stored)?.object.spec.provider_ref);
        }
        Ok(counts)
    }

    async fn in_phase<T: Resource>(&self, phase: &str) -> Result<Vec<T>, DriverError> {
        let query = Query::new(T::KIND).with(Index::Phase, phase).limit(MOST_COUNTED);
        let page = self.store.list(&query).await?;
        Ok(page
            .items
            .iter()
            .map(|stored| Ok(records::parse::<T>(stored)?.object))
            .collect::<Result<_, records::RecordError>>()?)
    }
}

fn add<K: Ord>(counts: &mut BTreeMap<K, i64>, key: K) {
    let count = counts.entry(key).or_default();
    *count = count.saturating_add(1);
}
